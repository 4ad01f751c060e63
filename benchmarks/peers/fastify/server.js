// Fastify with @fastify/session and connect-redis, with the routes of the other applications.
//
// Argument: the port. Ends when its standard input does.
"use strict";

const { RedisStore } = require("connect-redis");
const fastify = require("fastify");
const { createClient } = require("redis");

const DAY = 86400;

async function start() {
  const client = await createClient({ url: process.env.JWTSESSION_REDIS_URL }).connect();
  const app = fastify({ bodyLimit: 1024 * 1024 });
  app.register(require("@fastify/cookie"));
  app.register(require("@fastify/session"), {
    secret: process.env.JWTSESSION_SECRET,
    store: new RedisStore({ client, prefix: "fastify:", ttl: DAY }),
    cookie: { secure: false, maxAge: 1000 * DAY },
    saveUninitialized: false,
  });

  app.get("/", async (request, reply) => {
    const data = request.session.get("data");
    if (!data) return reply.code(401).send({ detail: "no session" });
    return { user_id: data.user_id, items: data.cart.length };
  });

  app.post("/session", async (request) => {
    request.session.set("data", request.body); // its id is in the cookie
    return {};
  });

  app.delete("/session", async (request, reply) => {
    await request.session.destroy();
    return reply.code(204).send();
  });

  await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
}

start();
process.stdin.on("end", () => process.exit()).resume();
