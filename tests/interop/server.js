// The original behind Express. `application.py` is its twin: the same routes, the same answers.
//
// Argument: JSON with `redisPort` and the original's settings. Prints its port; ends when its standard input does.
"use strict";

const express = require("express");
const jwtRedisSession = require("jwt-redis-session");
const redis = require("redis");

const { redisPort, ...settings } = JSON.parse(process.argv[2]);
const key = settings.requestKey || "session";

const verb = (session, name, ...args) =>
  new Promise((resolve, reject) => {
    session[name](...args, (error, result) => (error ? reject(error) : resolve(result)));
  });

const route = (handler) => (req, res, next) => handler(req, res, req[key]).catch(next);

const authenticated = (handler) =>
  route(async (req, res, session) => {
    if (!session.id) return res.status(401).json({ detail: "no session" });
    // Between the load and the verb: a request to the other server.
    const { method, url, headers, json } = req.body.meanwhile || {};
    if (url) await fetch(url, { method, headers, body: json && JSON.stringify(json) });
    return handler(req, res, session);
  });

const app = express();

// The header that the original looks for, with other settings than those of this server.
app.get("/header/:requestArg", (req, res) => {
  const get = (name) => void res.json(name);
  jwtRedisSession({ client: {}, secret: "-", requestArg: req.params.requestArg })({ get, query: {} }, {}, () => {});
});

app.use(express.json(), express.urlencoded({ extended: true }));
app.use(jwtRedisSession({ client: redis.createClient(redisPort, "127.0.0.1"), ...settings }));

app.post("/session", route(async (req, res, session) => {
  Object.assign(session, req.body.session);
  const claims = req.body.claims ? [req.body.claims] : [];
  res.status(201).json({ token: await verb(session, "create", ...claims) });
}));

app.all("/read", authenticated(async (req, res, session) => {
  res.json({ session: session.toJSON(), id: session.id, claims: session.claims, jwt: session.jwt });
}));

app.put("/session", authenticated(async (req, res, session) => {
  Object.assign(session, req.body.changes);
  await verb(session, "update");
  res.json(session.toJSON());
}));

app.post("/reload", authenticated(async (req, res, session) => {
  await verb(session, "reload");
  res.json(session.toJSON());
}));

app.post("/touch", authenticated(async (req, res, session) => {
  await verb(session, "touch");
  res.status(204).end();
}));

app.delete("/session", authenticated(async (req, res, session) => {
  await verb(session, "destroy");
  res.status(204).end();
}));

const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
