// The npm package jwt-redis-session behind Express, with the routes of the other applications.
//
// Argument: the port. Ends when its standard input does.
"use strict";

const express = require("express");
const jwtRedisSession = require("jwt-redis-session");
const redis = require("redis");

const app = express();
app.use(express.json({ limit: "1mb" }));
app.use(jwtRedisSession({
  client: redis.createClient(process.env.JWTSESSION_REDIS_URL),
  secret: process.env.JWTSESSION_SECRET,
}));

app.get("/", (req, res) => {
  const session = req.session;
  if (!session.id) return res.status(401).json({ detail: "no session" });
  res.json({ user_id: session.user_id, items: session.cart.length });
});

app.post("/session", (req, res, next) => {
  Object.assign(req.session, req.body);
  req.session.create((error, token) => (error ? next(error) : res.json({ "x-access-token": token })));
});

app.delete("/session", (req, res, next) => {
  if (!req.session.id) return res.status(401).json({ detail: "no session" });
  req.session.destroy((error) => (error ? next(error) : res.status(204).end()));
});

app.listen(Number(process.argv[2]), "127.0.0.1");
process.stdin.on("end", () => process.exit()).resume();
