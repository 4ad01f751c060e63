"""Tests of what a request holds while it waits for the server, from the dependency to the pipeline."""

import asyncio
from typing import Any

from jwtsession import RedisSessionStore, Session, SessionProvider
from jwtsession.testing import AsyncSessionTester
from tests import servers
from tests.conftest import SECRET
from tests.unit.conftest import request


def chain(task: "asyncio.Task[Any]") -> tuple[list[str], object]:
    """The names of the coroutines that wait for one another, the outermost first, and what the last one waits for."""
    names: list[str] = []
    waits: Any = task.get_coro()
    while (inner := getattr(waits, "cr_await", None)) is not None:
        names.append(waits.__qualname__)
        waits = inner
    return names, waits


async def test_a_request_that_waits_holds_few_coroutines(valkey: servers.Server) -> None:
    """Each coroutine takes memory and is passed twice: there are four, another one with telemetry, and the future."""
    sessions = SessionProvider(Session, secret=SECRET, store=RedisSessionStore(valkey.url))
    async with sessions:
        token = (await AsyncSessionTester(sessions).login(Session())).token
        await sessions.get_session(request(token))
        valkey.freeze()
        tasks = [asyncio.create_task(sessions.get_session(request(token))) for _ in range(3)]
        try:
            await asyncio.sleep(0)
            found = [chain(each) for each in tasks]
        finally:
            valkey.thaw()
        await asyncio.gather(*tasks)
    for names, waits in found[1:]:
        assert [name for name in names if not name.startswith("Operations.")] == [
            "SessionDependency.__call__",
            "Authenticator.authenticate",
            "SessionRepository.load",
            "Executor.read",
        ]
        assert "Future" in type(waits).__name__
