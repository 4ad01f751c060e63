// Fastify without sessions, with the routes of the other applications.
//
// Argument: the port. Ends when its standard input does.
"use strict";

const app = require("fastify")();

app.get("/", async () => ({ user_id: 1, items: 4 }));

// A cookie that nobody looks at: a request is as long as with a session.
app.post("/session", async () => ({ cookie: `sessionId=${"x".repeat(80)}` }));

app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
process.stdin.on("end", () => process.exit()).resume();
