"""The applications of this repository that are compared; `peers` has the others.

All have the same routes: `GET /` reads two things from the session, `POST /session` makes a session of its body and
answers the headers of the requests to come, `DELETE /session` ends it.
"""

import asyncio
import json
import os
import secrets
import time
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from redis.asyncio import ConnectionPool, Redis
from starlette.requests import HTTPConnection

from jwtsession import Claims, Session, SessionManager, SessionProvider

SECRET = os.environ["JWTSESSION_SECRET"]
ALGORITHM = os.environ.get("JWTSESSION_ALGORITHM", "HS256")


class UserSession(Session):
    """What all sessions hold."""

    user_id: int
    name: str
    cart: list[str]


# 1. Nothing: what FastAPI itself costs.

bare = FastAPI()


@bare.get("/")
async def read_nothing() -> dict[str, Any]:
    """No session."""
    return {"user_id": 1, "items": 4}


@bare.post("/session")
async def start_nothing() -> dict[str, str]:
    """A token that nobody looks at: a request is as long as the others'."""
    return {"authorization": f"Bearer {jwt.encode({'jti': secrets.token_urlsafe(32)}, SECRET)}"}


# 2. A dependency that does nothing: what FastAPI takes for any.

empty = FastAPI()


async def load_nothing(connection: HTTPConnection, response: Response) -> dict[str, Any]:
    """Always the same."""
    return {"user_id": 1, "cart": [1, 2, 3, 4]}


@empty.get("/")
async def read_always_the_same(session: Annotated[dict[str, Any], Depends(load_nothing)]) -> dict[str, Any]:
    """No session, but a dependency."""
    return {"user_id": session["user_id"], "items": len(session["cart"])}


empty.post("/session")(start_nothing)


# 3. The dependency that one writes in the place of this package: PyJWT, redis-py, json.

handwritten = FastAPI()
# By default redis-py 8 has 100 connections, and the 101st request at the same time is answered 500.
redis = Redis.from_url(os.environ["JWTSESSION_REDIS_URL"], max_connections=1_000)
if ALGORITHM == "HS256":
    public: Any = SECRET
else:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    public = load_pem_private_key(SECRET.encode(), None).public_key()
bearer = HTTPBearer()
Credentials = Annotated[HTTPAuthorizationCredentials, Depends(bearer)]


def session_key(credentials: Credentials) -> str:
    """The key of the session, or 401."""
    try:
        claims = jwt.decode(credentials.credentials, public, algorithms=[ALGORITHM])
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None
    return f"sess:{claims['jti']}"


async def load_session(credentials: Credentials) -> dict[str, Any]:
    """The session, extended, or 401."""
    value = await redis.getex(session_key(credentials), ex=86_400)
    if value is None:
        raise HTTPException(401)
    session: dict[str, Any] = json.loads(value)
    return session


@handwritten.get("/")
async def read_by_hand(session: Annotated[dict[str, Any], Depends(load_session)]) -> dict[str, Any]:
    """The session as a dictionary."""
    return {"user_id": session["user_id"], "items": len(session["cart"])}


@handwritten.post("/session")
async def log_in_by_hand(request: Request) -> dict[str, str]:
    """A session of the body."""
    session_id, now = secrets.token_urlsafe(32), int(time.time())
    await redis.set(f"sess:{session_id}", await request.body(), ex=86_400)
    claims = {"sub": "1", "iat": now, "exp": now + 30 * 86_400, "jti": session_id}
    return {"authorization": f"Bearer {jwt.encode(claims, SECRET, ALGORITHM)}"}


@handwritten.delete("/session")
async def log_out_by_hand(credentials: Credentials) -> None:
    """The end of the session."""
    await redis.delete(session_key(credentials))


# 4. The least that a session in Redis takes: no signature, no time limit, no second try, no idle timeout.

ideal = FastAPI()


class Plain(BaseModel):
    """What all sessions hold, as a model of Pydantic's own."""

    user_id: int
    name: str
    cart: list[str]


class Batches:
    """`GET` on one connection: those that wait at the same time share a round trip. By redis-py's public parts."""

    def __init__(self, url: str) -> None:
        self._connection = ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
        self._waiting: list[tuple[bytes, asyncio.Future[bytes | None]]] = []
        self._busy = False
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: str) -> bytes | None:
        """The value."""
        command = b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode())
        if self._busy:
            future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
            self._waiting.append((command, future))
            return await future
        self._busy = True
        (value,) = await self._exchange([command])
        if self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._run())
        else:
            self._busy = False
        return value

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            values = await self._exchange([command for command, _ in batch])
            for (_, future), value in zip(batch, values, strict=True):
                future.set_result(value)
        self._busy = False

    async def _exchange(self, commands: list[bytes]) -> list[bytes | None]:
        await self._connection.send_packed_command(b"".join(commands))
        return [await self._connection.read_response(disable_decoding=True) for _ in commands]


batches = Batches(os.environ["JWTSESSION_REDIS_URL"])


def ideal_key(connection: HTTPConnection) -> str:
    """The key of the session."""
    return f"ideal:{connection.headers.get('authorization', '')[7:]}"


async def load_ideally(connection: HTTPConnection) -> Plain:
    """The session, or 401."""
    value = await batches.get(ideal_key(connection))
    if value is None:
        raise HTTPException(401)
    return Plain.model_validate_json(value)


@ideal.get("/")
async def read_ideally(session: Annotated[Plain, Depends(load_ideally)]) -> dict[str, Any]:
    """The session as a model."""
    return {"user_id": session.user_id, "items": len(session.cart)}


@ideal.post("/session")
async def log_in_ideally(request: Request) -> dict[str, str]:
    """A session of the body."""
    session_id = secrets.token_urlsafe(32)
    await redis.set(f"ideal:{session_id}", await request.body(), ex=86_400)
    return {"authorization": f"Bearer {session_id}"}


@ideal.delete("/session")
async def log_out_ideally(request: Request) -> None:
    """The end of the session."""
    await redis.delete(ideal_key(request))


# 5. This package; what differs from its default settings stands in the environment.


def with_sessions(sessions: SessionProvider[UserSession]) -> FastAPI:
    """The application, on the sessions of this provider."""
    app = FastAPI(lifespan=sessions.lifespan)

    @app.get("/")
    async def read_session(session: Annotated[UserSession, Depends(sessions.get_session)]) -> dict[str, Any]:
        """The session as a model."""
        return {"user_id": session.user_id, "items": len(session.cart)}

    @app.post("/session")
    async def log_in(
        request: Request, manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]
    ) -> dict[str, str]:
        """A session of the body."""
        token = await manager.create(UserSession.model_validate_json(await request.body()), Claims(sub="1"))
        return {"authorization": f"Bearer {token.access_token}"}

    @app.delete("/session")
    async def log_out(manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]) -> None:
        """The end of the session."""
        await manager.destroy()

    return app


jwtsession = with_sessions(SessionProvider(UserSession))
