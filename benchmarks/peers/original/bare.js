// Express without sessions, with the routes of the other applications.
//
// Argument: the port. Ends when its standard input does.
"use strict";

const express = require("express");

const app = express();
app.use(express.json({ limit: "1mb" }));

app.get("/", (req, res) => {
  res.json({ user_id: 1, items: 4 });
});

// A token that nobody looks at: a request is as long as with a session.
app.post("/session", (req, res) => {
  res.json({ "x-access-token": "x".repeat(180) });
});

app.listen(Number(process.argv[2]), "127.0.0.1");
process.stdin.on("end", () => process.exit()).resume();
