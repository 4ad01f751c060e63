// What a browser's application does: logs in, reads, logs in again with the token still there, logs out.
import { client } from "./client/client.gen";
import { addTea, logIn, logOut, readSession } from "./client";

declare const process: { argv: string[] };

let token: string | undefined;
const statuses: number[] = [];

async function done<T>(call: Promise<{ data?: T; response?: Response }>): Promise<T | undefined> {
  const { data, response } = await call;
  statuses.push(response?.status ?? 0);
  return data;
}

async function main(baseUrl: string): Promise<void> {
  // Asked for each of the ways that the document names for an endpoint: the token goes into all of them.
  client.setConfig({ baseUrl, auth: () => token });
  for (const name of ["ann", "bob"]) {
    // The second time with the living token of the first.
    token = (await done(logIn({ body: { username: name, password: "secret" } })))?.access_token;
    const session = await done(readSession());
    if (session?.name !== name) throw new Error(`expected ${name}`);
    await done(addTea());
  }
  await done(logOut());
  await done(readSession());
  // With a dead token.
  token = (await done(logIn({ body: { username: "ann", password: "secret" } })))?.access_token;
  await done(readSession());
  await done(logOut());
  console.log(JSON.stringify(statuses));
}

main(process.argv[2]);
