"""Tests of jwtsession.web.early: which requests load their session early, and that nothing else differs."""

import asyncio
import gc
import inspect
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Request, Security, routing
from fastapi.dependencies.utils import get_parameterless_sub_dependant
from fastapi.routing import APIRoute
from starlette.responses import Response

from jwtsession import Claims, Session, SessionProvider, StoreUnavailableError
from jwtsession.testing import AsyncSessionTester, Clock, InspectableStore
from tests.asgi import ask, scope_of
from tests.conftest import SECRET


class UserSession(Session):
    user_id: int = 1


async def wait_for_nothing() -> None:
    """A dependency in front of the session."""


class SlowStore(InspectableStore):
    """A store whose loads wait as long as the test wants, or fail."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.answers = asyncio.Event()
        self.answers.set()
        self.loads = 0
        self._asked = asyncio.Event()
        self.error: Exception | None = None

    async def asked(self) -> None:
        """Wait until somebody asks."""
        self._asked.clear()
        await self._asked.wait()

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        self.loads += 1
        self._asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return await super().load(session_id, ttl, allow_cached=allow_cached)


class Site:
    """A provider, an application of it without routes, and a client that is logged in."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        self.store = SlowStore(clock)
        options = {"max_age": 1000, "absolute_max_age": 5000, "touch_interval": 0} | options
        self.sessions = SessionProvider(UserSession, secret=SECRET, store=self.store, clock=clock, **options)
        self.session = Annotated[UserSession, Depends(self.sessions.get_session)]
        self.app = FastAPI(lifespan=self.sessions.lifespan)
        self.token = ""

    @asynccontextmanager
    async def running(self, **claims: Any) -> AsyncIterator[None]:
        async with self.app.router.lifespan_context(self.app):
            self.token = (await AsyncSessionTester(self.sessions).login(UserSession(), Claims(**claims))).token
            yield

    async def ask(self, path: str = "/", method: str = "GET", **options: Any) -> Any:
        return await ask(self.app, method, path, ("authorization", f"Bearer {self.token}"), **options)

    async def waits_in(self, path: str = "/", method: str = "GET", **options: Any) -> set[str]:
        """The names of the coroutines of a request that waits for its session. It gets its answer then."""
        self.store.answers.clear()
        task = asyncio.create_task(self.ask(path, method, **options))
        await self.store.asked()
        names, waits = set(), task.get_coro()
        while inspect.iscoroutine(waits):
            names.add(waits.__qualname__)
            waits = waits.cr_await
        self.store.answers.set()
        assert (await task).status == 200
        return names

    async def is_early(self, path: str = "/", method: str = "GET", **options: Any) -> bool:
        """Whether such a request loads its session before FastAPI begins to call dependencies."""
        names = await self.waits_in(path, method, **options)
        early, solving = "EarlyLoad.__call__" in names, "solve_dependencies" in names
        assert early is not solving
        return early


@pytest.fixture
def site(clock: Clock) -> Site:
    return Site(clock)


def reads(site: Site, router: Any = None, path: str = "/", **options: Any) -> None:
    """Add a route that asks for the session alone."""

    @(router or site.app).get(path, **options)
    async def read(session: site.session) -> int:  # type: ignore[name-defined]
        return session.user_id  # type: ignore[no-any-return]


async def test_a_route_whose_first_dependency_is_the_session_loads_it_early(site: Site) -> None:
    """FastAPI has not made its objects for dependencies yet while the request waits, wherever the route is: in the
    application, in a router with a prefix, in an application that is mounted.
    """
    reads(site)
    router, inner = APIRouter(prefix="/router"), FastAPI()
    reads(site, router, "/session")
    reads(site, inner, "/session")
    site.app.include_router(router, prefix="/within")
    site.app.mount("/mounted", inner)
    async with site.running():
        for path in ("/", "/within/router/session", "/mounted/session"):
            assert await site.is_early(path), path


async def test_every_way_to_ask_first_for_a_session_is_early(site: Site) -> None:
    """By `Depends()` on the class, by the manager, by a dependency that asks for the session itself, and with others
    that come later.
    """

    def user(session: site.session) -> int:  # type: ignore[name-defined]
        return session.user_id  # type: ignore[no-any-return]

    @site.app.get("/class")
    async def by_class(session: Annotated[UserSession, Depends()]) -> None: ...

    @site.app.get("/manager")
    async def by_manager(manager: Annotated[Any, Depends(site.sessions.get_manager)]) -> None: ...

    @site.app.get("/user")
    async def by_user(number: Annotated[int, Depends(user)], q: str = "") -> None: ...

    @site.app.get("/later")
    async def with_later(session: site.session, later: Annotated[None, Depends(lambda: None)]) -> None: ...  # type: ignore[name-defined]

    async with site.running():
        for path in ("/class", "/manager", "/user", "/later"):
            assert await site.is_early(path), path


async def test_a_route_where_something_comes_first_is_not_early(site: Site) -> None:
    """Another dependency, of the endpoint or of its router, a body, and a route class of the application's own may take
    time or refuse the request: the session is loaded when FastAPI asks for it.
    """

    class OwnRoute(APIRoute):
        pass

    async def first() -> None: ...

    @site.app.get("/first")
    async def after_another(other: Annotated[None, Depends(first)], session: site.session) -> None: ...  # type: ignore[name-defined]

    @site.app.post("/body")
    async def with_body(session: site.session, text: Annotated[str, Body()]) -> None: ...  # type: ignore[name-defined]

    paths = ["/first", "/own", "/guarded"]
    if "max_body_size" in inspect.signature(APIRoute).parameters:  # newer versions of FastAPI
        reads(site, path="/limited", max_body_size=10)
        paths.append("/limited")
    if "max_concurrency" in inspect.signature(Depends).parameters:

        @site.app.get("/few")
        async def few_at_a_time(
            session: Annotated[UserSession, Depends(site.sessions.get_session, max_concurrency=2)],
        ) -> None: ...

        paths.append("/few")
    own, guarded = APIRouter(route_class=OwnRoute), APIRouter(dependencies=[Depends(first)])
    reads(site, own, "/own")
    reads(site, guarded, "/guarded")
    site.app.include_router(own)
    site.app.include_router(guarded)
    async with site.running():
        for path in paths:
            assert not await site.is_early(path), path
        assert not await site.is_early("/body", "POST", body=b'"text"')


async def test_a_route_that_somebody_has_wrapped_is_not_early(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of an application's own around the route, or around FastAPI's handler, as Sentry has it, comes first."""
    reads(site, path="/limited")
    limited = site.app.routes[-1]
    inner, seen, counted = limited.app, [], True  # type: ignore[attr-defined]

    async def limit(scope: Any, receive: Any, send: Any) -> None:
        nonlocal counted
        counted = True
        seen.append(site.store.loads)
        await inner(scope, receive, send)

    del counted  # a variable of the function may have no value yet

    limited.app = limit  # type: ignore[attr-defined]
    get_handler = routing.get_request_handler

    def get_other(*args: Any, **options: Any) -> Any:
        handler = get_handler(*args, **options)

        async def handle(request: Request) -> Response:
            seen.append(site.store.loads)
            return await handler(request)

        return handle

    monkeypatch.setattr(routing, "get_request_handler", get_other)
    reads(site, path="/watched")
    async with site.running():
        assert not await site.is_early("/limited")
        assert not await site.is_early("/watched")
    assert seen == [0, 1]


async def test_an_application_that_is_mounted_and_served_alone_has_its_headers(site: Site) -> None:
    """There its own `Response` takes them to the client, so it loads the session when FastAPI asks for it."""
    inner = FastAPI()
    reads(site, inner)
    site.app.mount("/mounted", inner)
    async with site.running():
        assert await site.is_early("/mounted/")
        answer = await ask(inner, "GET", "/", ("authorization", f"Bearer {site.token}"))
    assert answer.status == 200
    assert answer.all("cache-control") == ["no-store"]
    assert answer.all("vary") == ["Authorization, x-access-token"]


async def test_a_token_in_a_body_is_never_looked_for_early(clock: Clock) -> None:
    """Only FastAPI's own `Request` keeps a body that was read."""
    site = Site(clock, token_sources=["bearer", "body"])
    reads(site)
    async with site.running():
        assert not await site.is_early()


async def test_a_session_that_ends_while_the_body_is_sent_is_refused(site: Site) -> None:
    """A client that sends slowly can't use a session that has ended meanwhile."""

    @site.app.post("/")
    async def with_body(session: site.session, text: Annotated[str, Body()]) -> None: ...  # type: ignore[name-defined]

    sent, messages = asyncio.Event(), []

    async def receive() -> dict[str, Any]:
        await sent.wait()
        return {"type": "http.request", "body": b'"text"', "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    async with site.running():
        headers = [(b"authorization", f"Bearer {site.token}".encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
        task = asyncio.create_task(site.app(scope, receive, send))
        for _ in range(50):
            await asyncio.sleep(0)
        (session_id,) = site.store.contents
        await site.store.destroy(session_id)
        sent.set()
        await task
    assert messages[0]["status"] == 401


async def test_a_request_asks_the_store_once(site: Site) -> None:
    """However many of its dependencies ask for the session, and also where the store fails."""

    @site.app.get("/")
    async def read(session: site.session, manager: Annotated[Any, Depends(site.sessions.get_manager)]) -> bool:  # type: ignore[name-defined]
        return manager.session is session  # type: ignore[no-any-return]

    async with site.running():
        assert (await site.ask()).body == b"true"
        assert site.store.loads == 1
        site.store.error = StoreUnavailableError("down")
        assert (await site.ask()).status == 503
        assert site.store.loads == 2


async def test_an_error_is_raised_by_the_dependency(site: Site) -> None:
    """So a handler of the application answers it, the next request is not concerned, and the scope keeps nothing."""
    reads(site)

    class OddError(Exception):
        pass

    @site.app.exception_handler(OddError)
    async def answer(request: Request, error: OddError) -> Response:
        assert "solve_dependencies" in [each.name for each in traceback.extract_tb(error.__traceback__)]
        return Response(status_code=418)

    async with site.running():
        site.store.error = OddError()
        assert (await site.ask()).status == 418
        site.store.error = None
        assert (await site.ask()).status == 200


async def test_an_error_shows_where_it_was_raised(site: Site) -> None:
    """Its traceback is as if the dependency had asked the store itself, and no frame below it has variables."""
    reads(site)
    seen: list[tuple[list[str], list[Any]]] = []

    @site.app.exception_handler(StoreUnavailableError)
    async def answer(request: Request, error: StoreUnavailableError) -> Response:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        names = [frame.f_code.co_name for frame in frames]
        begin = names.index("solve_dependencies") + 2
        seen.append((names[begin:], [frame.f_locals for frame in frames[begin:] if frame.f_locals]))
        return Response(status_code=418)

    async with site.running():
        site.store.error = StoreUnavailableError("down")
        assert (await site.ask()).status == 418
    ((names, variables),) = seen
    assert names[0] == "authenticate"
    assert names[-1] == "load"
    assert variables == []


@pytest.mark.parametrize("error", [StoreUnavailableError, RuntimeError], ids=["down", "unknown"])
async def test_an_error_leaves_nothing_to_the_garbage_collector(site: Site, error: type[Exception]) -> None:
    """Neither one that is answered, nor one that passes through the application."""
    reads(site)

    async def fails() -> None:
        site.store.error = error("failed")
        try:
            await site.ask()
        except RuntimeError:
            pass
        finally:
            site.store.error = None

    async with site.running():
        await fails()
        gc.collect()
        gc.disable()
        try:
            await fails()
            assert gc.collect() == 0
        finally:
            gc.enable()


async def test_an_overridden_dependency_loads_nothing(site: Site) -> None:
    """`dependency_overrides` counts for the early load too, and its removal as well."""
    reads(site)
    async with site.running():
        site.app.dependency_overrides[site.sessions.get_session] = lambda: UserSession(user_id=7)
        assert (await site.ask()).body == b"7"
        assert site.store.loads == 0
        site.app.dependency_overrides.clear()
        assert await site.is_early()


async def test_a_token_without_the_demanded_scope_extends_nothing(clock: Clock) -> None:
    """The early load knows what the endpoint demands: a refused request does not restart the idle timeout."""
    site = Site(clock)

    @site.app.get("/")
    async def read(session: Annotated[UserSession, Security(site.sessions.get_session, scopes=["write"])]) -> None: ...

    async with site.running(scope="read"):
        ((session_id, kept),) = site.store.contents.items()
        before = kept.expires
        clock.advance(100)
        assert (await site.ask()).status == 403
        assert site.store.contents[session_id].expires == before
        assert site.store.loads == 1


async def test_a_scope_that_a_driver_uses_again_gives_nobody_anothers_session(site: Site) -> None:
    """Also where nobody took what was loaded early, because the dependency was overridden meanwhile."""
    reads(site)

    @site.app.get("/late")
    async def late(other: Annotated[None, Depends(lambda: None)], session: site.session) -> None: ...  # type: ignore[name-defined]

    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    async with site.running():
        scope = scope_of(headers=[("authorization", f"Bearer {site.token}")])
        site.store.answers.clear()
        task = asyncio.create_task(site.app(scope, receive, send))
        await site.store.asked()
        site.app.dependency_overrides[site.sessions.get_session] = lambda: UserSession(user_id=7)
        site.store.answers.set()
        await task
        site.app.dependency_overrides.clear()
        scope |= {"path": "/late", "headers": []}
        await site.app(scope, receive, send)
    assert statuses == [200, 401]


async def test_an_override_that_comes_while_a_request_waits_counts(site: Site, clock: Clock) -> None:
    """As it does where FastAPI asks. The other provider's dependency gets no session of the first one."""

    class OtherSession(Session):
        name: str = "other"

    other = SessionProvider(
        OtherSession, secret=SECRET, store=InspectableStore(clock), clock=clock, request_key="other", keyspace="other"
    )

    @site.app.get("/")
    async def read(
        session: site.session,  # type: ignore[name-defined]
        another: Annotated[OtherSession | None, Depends(other.get_optional_session)],
    ) -> tuple[int, str | None]:
        return session.user_id, another and type(another).__name__

    async with site.running(), other:
        site.store.answers.clear()
        task = asyncio.create_task(site.ask())
        await site.store.asked()
        site.app.dependency_overrides[site.sessions.get_session] = lambda: UserSession(user_id=7)
        site.store.answers.set()
        assert (await task).body == b"[7,null]"


async def test_a_route_that_was_changed_between_two_starts_is_looked_at_again(site: Site) -> None:
    """Something may come first now."""

    async def first() -> None: ...

    reads(site)
    async with site.running():
        assert await site.is_early()
    node = site.app.routes[-1].dependant  # type: ignore[attr-defined]
    node.dependencies.insert(0, get_parameterless_sub_dependant(depends=Depends(first), path="/"))
    async with site.running():
        assert not await site.is_early()


async def test_an_application_that_starts_again_loads_once(site: Site) -> None:
    """The second start finds the routes as the first one left them."""
    reads(site)
    for _ in range(2):
        async with site.running():
            await site.waits_in()
            assert type(site.app.routes[-1].app.app).__name__ != "EarlyLoad"  # type: ignore[attr-defined]


async def test_a_request_that_waits_early_holds_little(site: Site) -> None:
    """Python's garbage collector looks at less than 70 % of what another request would show it."""
    reads(site)

    @site.app.get("/late")
    async def late(other: Annotated[None, Depends(wait_for_nothing)], session: site.session) -> int:  # type: ignore[name-defined]
        return session.user_id  # type: ignore[no-any-return]

    async def held(path: str) -> float:
        """The tracked objects for each of ten requests that wait."""
        site.store.answers.clear()
        gc.collect()
        before = len(gc.get_objects())
        tasks = [asyncio.create_task(site.ask(path)) for _ in range(10)]
        for _ in range(5):
            await asyncio.sleep(0)
        found = len(gc.get_objects()) - before
        site.store.answers.set()
        assert [each.status for each in await asyncio.gather(*tasks)] == [200] * 10
        return found / 10

    async with site.running():
        for path in ("/", "/late"):
            await site.ask(path)
        gc.disable()
        try:
            early, at_its_turn = await held("/"), await held("/late")
        finally:
            gc.enable()
    assert early < 0.7 * at_its_turn
