"""The requests whose instructions are counted."""

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, FastAPI

from jwtsession import DPoPSettings, MemorySessionStore, RotationSettings, SessionManager, SessionProvider

from .callgrind import Callgrind
from .direct import CONNECTIONS, SIZE, Headers, ask, log_in, send
from .possession import URL, Client
from .servers import session_of

IN_FLIGHT = (1, CONNECTIONS)
EACH = 2
"""Requests of each client, where all ask at the same time."""

_ALONE = 16
"""Requests of a client that asks alone, for each that it sends at the same time as the others."""
_WARM_UP = 2


class Request(NamedTuple):
    """One request, ready to be sent."""

    headers: Headers
    method: str = "GET"
    status: int = 200


Requests = list[Request]
Prepare = Callable[[FastAPI, int], Awaitable[Requests]]


@dataclass(frozen=True)
class Case:
    """What is counted.

    Attributes:
        app: The application.
        prepare: Logs a client in, and makes so many requests of it.
    """

    app: FastAPI
    prepare: Prepare


async def read(app: FastAPI, count: int) -> Requests:
    """A client with a token reads its session."""
    return [Request(await log_in(app))] * count


async def change(app: FastAPI, count: int) -> Requests:
    """It changes its session."""
    return [Request(await log_in(app), "PATCH")] * count


async def bad(app: FastAPI, count: int) -> Requests:
    """Its token has another signature."""
    headers = [
        (name, value[:-9] + 9 * b"A" if name == b"authorization" else value) for name, value in await log_in(app)
    ]
    return [Request(headers, status=401)] * count


async def gone(app: FastAPI, count: int) -> Requests:
    """Its session was ended."""
    headers = await log_in(app)
    await ask(app, headers, "DELETE", "/session")
    return [Request(headers, status=401)] * count


async def browse(app: FastAPI, count: int) -> Requests:
    """It is a browser, with a cookie."""
    headers: Headers = [
        (b"host", b"localhost"),
        (b"origin", URL.encode()),
        (b"sec-fetch-site", b"same-origin"),
        (b"content-type", b"application/json"),
    ]
    answer = await send(app, headers, "POST", "/session", session_of(SIZE))
    cookie = dict(answer.headers)[b"set-cookie"].partition(b";")[0]
    return [Request([*headers[:-1], (b"cookie", cookie)])] * count


async def prove(app: FastAPI, count: int) -> Requests:
    """It signs a proof for each request."""
    client = Client(app, "ES256")
    await client.log_in()
    return [Request(client.headers()) for _ in range(count)]


def cases() -> dict[str, Case]:
    """All of them by name. The environment must name a Valkey: `JWTSESSION_REDIS_URL`."""
    from . import apps

    def made(keyspace: str, **settings: Any) -> FastAPI:
        provider = SessionProvider(apps.UserSession, keyspace=keyspace, **settings)
        app = apps.with_sessions(provider)

        @app.patch("/")
        async def update(manager: Annotated[SessionManager[apps.UserSession], Depends(provider.get_manager)]) -> None:
            session = manager.require()
            session.name = "carol" if session.name == "alice" else "alice"
            await manager.update()

        return app

    dpop = DPoPSettings(mode="required", algorithms=("ES256",), max_age=600)
    return {
        "bare": Case(apps.bare, read),
        "empty": Case(apps.empty, read),
        "handwritten": Case(apps.handwritten, read),
        "read": Case(made("read:"), read),
        "near": Case(made("near:", near_cache_bytes=64 * 1024 * 1024), read),
        "memory": Case(made("memory:", store=MemorySessionStore()), read),
        "update": Case(made("update:"), change),
        "bad": Case(made("bad:"), bad),
        "gone": Case(made("gone:"), gone),
        "cookie": Case(made("cookie:", token_sources=["cookie"]), browse),
        "rotation": Case(made("rotation:", rotation=RotationSettings(after=900)), read),
        "dpop": Case(made("dpop:", dpop=dpop, public_url=URL), prove),
    }


async def send_all(app: FastAPI, clients: Sequence[Requests]) -> None:
    """All clients at the same time; each of them sends its requests one after the other.

    Raises:
        RuntimeError: The status of an answer is another than the request's.
    """

    async def client(requests: Requests) -> None:
        for headers, method, expected in requests:
            if (answer := await send(app, headers, method)).status != expected:
                raise RuntimeError(f"{answer.status} for {method}, not {expected}: {answer.body!r}")

    await asyncio.gather(*map(client, clients))


def sent(in_flight: int, each: int) -> int:
    """How many requests are counted."""
    return each * (in_flight if in_flight > 1 else _ALONE)


async def run(
    chosen: Mapping[str, Case], each: int, callgrind: Callgrind, prepare: Callable[[int], object] = lambda _: None
) -> None:
    """Let the clients of one case after the other ask.

    Args:
        chosen: The cases.
        each: Requests of each client where many are in flight.
        callgrind: Counts.
        prepare: Called before each case with the number in flight, and with 0 after the last.
    """
    async with contextlib.AsyncExitStack() as stack:
        clients = {}
        for name, case in chosen.items():
            await stack.enter_async_context(case.app.router.lifespan_context(case.app))
            for in_flight in IN_FLIGHT:
                number = _WARM_UP + 1 + sent(in_flight, each) // in_flight
                made = [await case.prepare(case.app, number) for _ in range(in_flight)]
                await send_all(case.app, [requests[:_WARM_UP] for requests in made])
                clients[name, in_flight] = [requests[_WARM_UP:] for requests in made]
        gc.collect()
        gc.disable()
        callgrind.start()
        for (name, in_flight), requests in clients.items():
            dump = callgrind.dump(f"{name} {in_flight}")
            prepare(in_flight)
            await send_all(chosen[name].app, [each[:1] for each in requests])
            rest = [each[1:] for each in requests]
            callgrind.zero()
            await send_all(chosen[name].app, rest)
            dump()
        callgrind.stop()
        prepare(0)
        gc.enable()
