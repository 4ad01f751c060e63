"""A shop on Flask and Flask-Session: a dictionary in Redis, and its id in a cookie."""

import os
from typing import Any

from flask import Flask, abort, request, session
from flask_session import Session
from redis import Redis

app = Flask(__name__)
app.config.update(
    SECRET_KEY=os.environ["SECRET_KEY"],
    SESSION_TYPE="redis",
    SESSION_REDIS=Redis.from_url(os.environ["REDIS_URL"]),
    SESSION_USE_SIGNER=bool(os.environ.get("SESSION_USE_SIGNER")),
)
Session(app)


@app.post("/login")
def log_in() -> tuple[str, int]:
    if (request.args["name"], request.args["password"]) != ("ann", "secret"):
        abort(401)
    session.update(user_id=1, cart=[])
    return "", 204


@app.get("/cart")
def read_cart() -> dict[str, Any]:
    if "user_id" not in session:
        abort(401)
    return {"user_id": session["user_id"], "cart": session["cart"]}


@app.post("/cart")
def add() -> dict[str, Any]:
    read_cart()
    session["cart"].append(request.args["item"])
    session.modified = True
    return read_cart()


@app.post("/logout")
def log_out() -> tuple[str, int]:
    session.clear()
    return "", 204
