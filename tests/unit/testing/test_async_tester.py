"""`AsyncSessionTester`: what differs from `SessionTester`, which has the same methods."""

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request

from jwtsession import ConfigurationError, NotStartedError, Session, SessionNotFoundError, SessionProvider
from jwtsession.testing import AsyncSessionTester, SessionTester
from tests.unit.testing.shop import UserSession, ann, app, sessions

pytestmark = pytest.mark.anyio


async def test_a_client_runs_the_application() -> None:
    """Its lifespan starts and ends, as with the blocking client; logins come before and within."""
    tester = AsyncSessionTester(sessions)
    async with tester.client(app) as client:
        login = await tester.login(*ann(), age=3600)
        assert (await client.get("/session", headers=login.headers)).json()["user_id"] == 1
        assert (await client.get("/sync", headers=login.headers)).json() == 1
        tester.clock.advance(days=2)
        assert (await client.get("/session", headers=login.headers)).status_code == 401
    with pytest.raises(ConfigurationError, match="secret: is required"):
        async with sessions:
            pass


async def test_cookies_and_csrf() -> None:
    """The client is a browser with the application's own page."""
    tester = AsyncSessionTester(sessions)
    async with tester.client(app) as client:
        await tester.login(*ann(), transport="cookie", client=client)
        assert (await client.post("/move")).json()["token_type"] == "cookie"
        assert (await client.get("/session")).status_code == 200
        assert (await client.post("/move", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403


async def test_each_method() -> None:
    """Outage, conflict, end of a session, and a user for every request."""
    async with AsyncSessionTester(sessions) as tester, tester.client(app) as client:
        login = await tester.login(*ann())
        with tester.outage():
            assert (await client.get("/session", headers=login.headers)).status_code == 503
        with tester.conflict():
            assert (await client.post("/cart?item=tea", headers=login.headers)).status_code == 409
        async with tester.as_user(app, *ann()) as user:
            assert (await client.post("/cart?item=tea")).json()["cart"] == ["tea"]
            assert (await tester.reload(user)).cart == ["tea"]
        assert await tester.revoke(login)
        await tester.expire(user)
        with pytest.raises(SessionNotFoundError):
            await tester.reload(user)


def test_the_two_testers_have_the_same_methods() -> None:
    """With the same arguments; the asynchronous one has `manager()` too."""

    def methods(tester: type) -> dict[str, list[str]]:
        found = {name: method for name, method in inspect.getmembers(tester, callable) if not name.startswith("_")}
        return {name: [*inspect.signature(method).parameters] for name, method in found.items()}

    both = methods(AsyncSessionTester)
    assert both.pop("manager") == ["self", "token"]
    assert both == methods(SessionTester)


async def test_an_application_without_its_lifespan_is_told_so() -> None:
    """The tester has started the provider, so it says itself what a request would say."""
    forgetful = FastAPI()

    @forgetful.get("/session")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> None: ...

    async with AsyncSessionTester(sessions) as tester:
        with pytest.raises(NotStartedError, match="lifespan="):
            async with tester.client(forgetful):
                pass


async def test_the_state_of_the_lifespan_reaches_requests() -> None:
    """As with a server: each request has a copy of it. An error at the start is raised as it is."""
    provider = SessionProvider(Session)

    def lifespan_of(fails: bool) -> Any:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
            async with provider.lifespan(app):
                if fails:
                    raise LookupError("no database")
                yield {"database": "here"}

        return lifespan

    one = FastAPI(lifespan=lifespan_of(False))

    @one.get("/")
    async def read(request: Request) -> str:
        return str(request.state.database)

    tester = AsyncSessionTester(provider)
    async with tester.client(one) as client:
        assert (await client.get("/")).json() == "here"
    with pytest.raises(LookupError, match="no database"):
        async with tester.client(FastAPI(lifespan=lifespan_of(True))):
            pass
    with pytest.raises(ZeroDivisionError):
        async with tester.client(one):
            _ = 1 / 0
    with pytest.raises(NotStartedError):
        await tester.login({})


async def test_a_provider_that_runs_can_be_asked_for_logins() -> None:
    """Without `async with`, the tester changes nothing of the provider; the past needs `async with`."""
    async with AsyncSessionTester(sessions):
        plain = AsyncSessionTester(sessions)
        login = await plain.login(*ann())
        assert (await plain.manager(login.token)).id == login.id
        with pytest.raises(NotStartedError, match="begin the test first"):
            await plain.login(*ann(), age=60)
