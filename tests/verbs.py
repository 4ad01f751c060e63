"""An application with an endpoint for each verb: to see what becomes of every one of them where something is wrong."""

from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token
from tests.web import bearer


class UserSession(Session):
    user_id: int
    cart: list[str] = []


READING = ("GET /session", "GET /optional", "GET /class")
CHANGING = ("PUT /session", "PATCH /session", "POST /touch", "POST /id", "DELETE /session", "POST /session")
USING = READING + CHANGING
"""All that use the request's session, the last one a login that ends it."""


def application(sessions: SessionProvider[UserSession, Claims]) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    current = Annotated[UserSession, Depends(sessions.get_session)]
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create(UserSession(user_id=1), Claims(sub="ann"))

    @app.get("/session")
    async def read(session: current) -> UserSession:
        return session

    @app.get("/optional")
    async def read_optional(
        session: Annotated[UserSession | None, Depends(sessions.get_optional_session)],
    ) -> UserSession | None:
        return session

    @app.get("/class")
    async def read_class(session: Annotated[UserSession, Depends()]) -> UserSession:
        return session

    @app.put("/session")
    async def update(session: current, manager: manager_, item: str = "") -> UserSession:
        session.cart.append(item)
        return await manager.update()

    @app.patch("/session")
    async def mutate(manager: manager_) -> UserSession:
        def count(session: UserSession) -> None:
            session.user_id += 1

        return await manager.mutate(count)

    @app.post("/touch")
    async def touch(manager: manager_) -> None:
        await manager.touch()

    @app.post("/id")
    async def regenerate(manager: manager_) -> Token:
        return await manager.regenerate()

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    @app.delete("/everywhere/{sub}")
    async def log_out_everywhere(sub: str) -> int:
        return await sessions.revoke_all(sub)

    @app.get("/devices/{sub}")
    async def devices(sub: str) -> list[str]:
        return [info.id for info in await sessions.list_sessions(sub)]

    @app.get("/ping")
    async def ping() -> bool:
        return await sessions.ping()

    return app


def log_in(client: httpx2.Client) -> dict[str, str]:
    """The headers of somebody who has just logged in."""
    token: str = client.post("/session").raise_for_status().json()["access_token"]
    return bearer(token)


def ask(client: httpx2.Client, what: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    """`GET /session` and its like."""
    method, _, path = what.partition(" ")
    return client.request(method, path, headers=headers)


def each(client: httpx2.Client, headers: dict[str, str], *whats: str) -> Iterator[tuple[str, httpx2.Response]]:
    """What each endpoint answers."""
    for what in whats or USING:
        yield what, ask(client, what, headers)


def is_unavailable(response: Any) -> bool:
    """Whether it is the one answer of a store that does not work: 503, nothing more said, and when to come back."""
    return (
        response.status_code == 503
        and response.json() == {"detail": "Sessions are unavailable"}
        and response.headers["retry-after"] == "1"
        and response.headers["cache-control"] == "no-store"
    )
