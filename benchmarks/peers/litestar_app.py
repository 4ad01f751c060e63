"""Litestar with its server-side sessions: the session's id in a cookie. It writes the session back at each request.

`bare` is Litestar without sessions: what its sessions add is what they take more than this.
"""

import os
import secrets
from typing import Any

from litestar import Litestar, Request, delete, get, post
from litestar.exceptions import NotAuthorizedException
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.redis import RedisStore
from redis.asyncio import Redis


@get("/")
async def read(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """What every application answers."""
    session = request.session
    if not session:
        raise NotAuthorizedException
    return {"user_id": session["user_id"], "items": len(session["cart"])}


@post("/session", status_code=200)
async def log_in(request: Request[Any, Any, Any], data: dict[str, Any]) -> None:
    """A session of the body; its id is in the cookie."""
    request.set_session(data)


@delete("/session")
async def log_out(request: Request[Any, Any, Any]) -> None:
    """The end of the session."""
    request.clear_session()


store = RedisStore(Redis.from_url(os.environ["JWTSESSION_REDIS_URL"], max_connections=1_000))
config = ServerSideSessionConfig(max_age=86_400, renew_on_access=True)
app = Litestar([read, log_in, log_out], middleware=[config.middleware], stores={"sessions": store})


@get("/")
async def read_nothing() -> dict[str, Any]:
    """No session."""
    return {"user_id": 1, "items": 4}


@post("/session", status_code=200)
async def start_nothing() -> dict[str, str]:
    """A cookie that nobody looks at: a request is as long as with a session."""
    return {"cookie": f"session={secrets.token_hex(32)}"}


bare = Litestar([read_nothing, start_nothing])
