"""Tests of jwtsession.web.tenants and web.route_checks: what is looked at when an application starts."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, Optional, TypeVar

import pytest
from fastapi import APIRouter, Body, Cookie, Depends, FastAPI, Form, Header, Query, WebSocket
from pydantic import BaseModel, Json, RootModel
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount
from typing_extensions import TypeAliasType, TypedDict

from jwtsession import (
    Claims,
    ConfigurationError,
    MemorySessionStore,
    Session,
    SessionManager,
    SessionProvider,
    client_credentials,
)
from tests.conftest import SECRET
from tests.web import InProcess, bearer

T = TypeVar("T")
numbers = itertools.count()


class UserSession(Session):
    user_id: int


class AdminSession(UserSession):
    level: int = 0


class UserClaims(Claims):
    role: str = "user"


class Demanding(Claims):
    tenant: int


class Holder(BaseModel):
    session: UserSession | None = None


class Deep(BaseModel):
    holders: dict[str, list[Holder]] = {}


class Box(BaseModel, Generic[T]):
    content: T


class Tree(BaseModel):
    below: "list[Tree]" = []
    leaf: Optional["UserSession"] = None


class Row(TypedDict):
    session: UserSession


@dataclass
class Record:
    session: UserSession


class Many(RootModel[list[UserSession]]):
    pass


class Incomplete(BaseModel):
    part: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


class Harmless(BaseModel):
    user_id: int
    below: "list[Harmless]" = []


Alias = TypeAliasType("Alias", UserSession)


def provider(**options: Any) -> SessionProvider[UserSession, UserClaims]:
    return SessionProvider(UserSession, UserClaims, **({"secret": SECRET, "store": MemorySessionStore()} | options))


def endpoint(annotation: Any) -> Any:
    """An endpoint whose parameter `data` has this annotation."""

    async def take(data: Any) -> str:
        return "reached"

    take.__annotations__["data"] = annotation
    return take


async def refused(sessions: SessionProvider[Any, Any], app: FastAPI) -> str:
    """With what words the start is refused."""
    with pytest.raises(ConfigurationError) as caught:
        async with sessions.lifespan(app):
            pass
    return str(caught.value)


@pytest.mark.parametrize(
    "annotation",
    [
        UserSession,
        AdminSession,
        Session,
        UserClaims,
        UserSession | None,
        UserSession | int,
        Annotated[UserSession, Body()],
        Annotated[UserSession, Body(embed=True)],
        Annotated[UserSession, Form()],
        Annotated[UserSession, Query()],
        Annotated[UserSession, Header()],
        Annotated[UserSession, Cookie()],
        list[UserSession],
        dict[str, UserSession],
        tuple[int, UserSession],
        Json[UserSession],
        Holder,
        Deep,
        Box[UserSession],
        Tree,
        Row,
        Record,
        Many,
        Alias,
    ],
    ids=str,
)
async def test_a_session_or_claims_from_the_client_are_refused(annotation: Any) -> None:
    """Whatever place of a request a parameter is, and however deep the model stands in it: route and name are told."""
    sessions, app = provider(), FastAPI()
    app.post("/items")(endpoint(annotation))
    message = await refused(sessions, app)
    assert message.startswith("POST /items: the parameter 'data' takes a ")
    assert "Depends(sessions.get_session)" in message
    with pytest.raises(ConfigurationError, match="POST /items"):
        sessions.document(app)


def everywhere(app: FastAPI, where: str) -> str:
    """Put an endpoint that forgot its `Depends()` there; returns what names it."""
    forgetful = endpoint(UserSession)
    if where == "router":
        router = APIRouter(prefix="/v1")
        router.put("/x")(forgetful)
        app.include_router(router, prefix="/api")
        return "PUT /api/v1/x"
    if where == "router in a router":
        inner, outer = APIRouter(), APIRouter()
        inner.put("/x")(forgetful)
        outer.include_router(inner, prefix="/inner")
        app.include_router(outer, prefix="/outer")
        return "PUT /outer/inner/x"
    if where == "websocket":

        async def socket(websocket: WebSocket, data: Annotated[UserSession, Query()]) -> None: ...

        app.websocket("/ws")(socket)
        return "WebSocket /ws"
    if where == "dependency":

        async def user(data: Annotated[str, Depends(forgetful)]) -> str:
            return data

        async def read(user: Annotated[str, Depends(user)]) -> None: ...

        app.put("/x")(read)
        return "PUT /x"
    if where == "dependencies of the application":
        app.router.dependencies.append(Depends(forgetful))
        app.put("/x")(endpoint(int))
        return "PUT /x"
    mounted = FastAPI()
    mounted.put("/x")(forgetful)
    if where == "mounted":
        app.mount("/sub", mounted)
        return "PUT /sub/x"
    if where == "mounted behind a middleware":
        app.mount("/sub", BaseHTTPMiddleware(mounted))
        return "PUT /sub/x"
    if where == "mounted behind a function":

        async def passes_on(scope: Any, receive: Any, send: Any) -> None:
            await mounted(scope, receive, send)

        app.mount("/sub", passes_on)
        return "PUT /sub/x"
    if where == "mounted behind an object":

        class PassesOn:
            def __init__(self) -> None:
                self.inner = mounted

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await self.inner(scope, receive, send)

        app.mount("/sub", PassesOn())
        return "PUT /sub/x"
    if where == "mounted in a mounted one":
        between = FastAPI()
        between.mount("/b", mounted)
        app.mount("/a", between)
        return "PUT /a/b/x"
    assert where == "routes of a mount"
    app.router.routes.append(Mount("/m", routes=mounted.routes))
    return "PUT /m/x"


@pytest.mark.parametrize(
    "where",
    [
        "router",
        "router in a router",
        "websocket",
        "dependency",
        "dependencies of the application",
        "mounted",
        "mounted behind a middleware",
        "mounted behind a function",
        "mounted behind an object",
        "mounted in a mounted one",
        "routes of a mount",
    ],
)
async def test_no_route_is_passed_over(where: str) -> None:
    """Included routers, WebSockets, dependencies of dependencies and mounted applications are looked at too."""
    app = FastAPI()
    named = everywhere(app, where)
    assert (await refused(provider(), app)).startswith(f"{named}: the parameter 'data'")


def test_an_application_may_be_mounted_in_itself_and_use_any_name_of_its_state() -> None:
    """Neither a circle of mounts nor `app.state.jwtsession` hinders the start."""
    sessions = provider()
    app = FastAPI(lifespan=sessions.lifespan)
    app.mount("/v1", app)
    app.state.jwtsession = sessions
    with InProcess(app, raises=True):
        assert app.state.jwtsession is sessions


async def test_all_that_is_wrong_is_told_at_once() -> None:
    """Each route and parameter stands in the message once."""
    app = FastAPI()
    annotations = {"/a": UserSession, "/b": UserSession, "/c": Holder, "/d": Harmless, "/e": Holder, "/f": Deep}
    for path, annotation in annotations.items():
        app.post(path)(endpoint(annotation))
    message = await refused(provider(), app)
    assert [message.count(f"POST {path}: ") for path in annotations] == [1, 1, 1, 0, 1, 1]


@pytest.mark.parametrize(
    ("annotation", "remedy"),
    [
        (Annotated[UserClaims, Depends()], "manager.claims"),
        (Annotated[SessionManager[UserSession, UserClaims], Depends()], "Depends(sessions.get_manager)"),
    ],
)
async def test_depends_alone_is_for_the_session_alone(annotation: Any, remedy: str) -> None:
    """On claims it would read them from the query, where a role is anybody's; on the manager it can't work."""
    app = FastAPI()
    app.get("/items")(endpoint(annotation))
    message = await refused(provider(), app)
    assert message.startswith("GET /items: ")
    assert remedy in message


def test_a_type_that_nobody_can_read_does_not_hinder_the_start() -> None:
    """A model with a name that is nowhere is a fault of another kind, and takes nothing from a client."""
    sessions = provider()
    app = FastAPI(lifespan=sessions.lifespan)
    app.post("/")(endpoint(Incomplete))
    with InProcess(app, raises=True):
        pass


def test_what_asks_rightly_starts() -> None:
    """Bound dependencies, response models and models of the application's own are no fault."""
    sessions = provider()
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(data: Harmless, manager: Annotated[Any, Depends(sessions.get_manager)]) -> str:
        return str((await manager.create(UserSession(user_id=data.user_id))).access_token)

    @app.get("/")
    async def read(
        session: Annotated[UserSession, Depends(sessions.get_session)], same: Annotated[UserSession, Depends()]
    ) -> UserSession:
        assert session is same
        return session

    @app.get("/all", response_model=list[UserSession])
    async def read_all(session: UserSession = Depends(sessions.get_session)) -> Any:  # noqa: B008
        return [session]

    with InProcess(app, raises=True) as client:
        headers = bearer(client.post("/session", json={"user_id": 1}).json())
        assert client.get("/", headers=headers).json() == {"user_id": 1}
        assert client.get("/all", headers=headers).json() == [{"user_id": 1}]


def application(
    *sessions: SessionProvider[Any, Any], by_class: type[Session] | None = None, admin_app: bool = False
) -> FastAPI:
    """An application in which all of these run, the last one with a mounted application that it starts with."""
    mounted = FastAPI()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for each in sessions:
                own = admin_app and each is sessions[-1]
                await stack.enter_async_context(each.lifespan(mounted if own else app))
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/admin", mounted)
    if by_class is not None:
        app.get("/me")(endpoint(Annotated[by_class, Depends()]))
    return app


def start(app: FastAPI) -> None:
    with InProcess(app, raises=True):
        pass


URL = "redis://localhost:1/0"


def at(url: str = URL, keyspace: str = "sess:", **options: Any) -> SessionProvider[UserSession, Claims]:
    """A provider of sessions on a Redis, under a request_key of its own."""
    key = options.pop("request_key", f"key{next(numbers)}")
    settings = {"redis_url": url, "keyspace": keyspace, "request_key": key, "secret": SECRET}
    return SessionProvider(UserSession, **(settings | options))


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sess:", "sess:"),
        ("sess:", "sess:user:"),
        ("sess:fwd:", "sess:"),
        ("sess", "sess-admin:"),
    ],
)
def test_two_providers_that_find_each_others_sessions_are_refused(one: str, other: str, mounted: bool) -> None:
    """The same keyspace, or one that is the beginning of the other, also where one stands in a mounted application."""
    with pytest.raises(ConfigurationError, match=r"keyspace: .*keyspace of its own.*shares_sessions_with"):
        start(application(at(keyspace=one), at(keyspace=other), admin_app=mounted))


@pytest.mark.parametrize(
    "others",
    [
        {"keyspace": "admin:"},
        {"url": "redis://localhost:1/1"},
        {"url": "redis://localhost:2/0", "keyspace": "admin:"},
        {"url": "redis://another:1/0", "secret": SECRET[::-1]},
        {"url": "redis://another:1/0", "audience": "admins", "keyspace": "sess:admin:"},
        {"store": MemorySessionStore(), "url": "redis://localhost:1/0"},
    ],
    ids=str,
)
def test_two_providers_that_have_nothing_in_common_start(others: dict[str, Any]) -> None:
    """Another keyspace, another database, another server or another store: no session of one is found by the other."""
    start(application(at(), at(**others)))


def test_other_names_of_one_server_are_seen_through() -> None:
    """Credentials, options and the scheme are no part of the place."""
    for url in ("redis://ann:canary@localhost:1/0", "redis://localhost:1", "redis://localhost:1/0?socket_timeout=1"):
        with pytest.raises(ConfigurationError, match="keyspace") as caught:
            start(application(at(), at(url)))
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://localhost:2/0", "unix:///run/redis.sock"])
def test_names_that_may_be_one_server_need_other_keyspaces_or_tokens(url: str) -> None:
    """Of two names nobody can tell: where tokens of one would pass at the other, they are refused."""
    for options in ({}, {"claims_model": Demanding}):
        with pytest.raises(ConfigurationError, match=r"may be one server.*shares_sessions_with"):
            start(application(at(), at(url, **options)))
    users = at()
    start(application(users, at(url, shares_sessions_with=users)))
    with pytest.raises(ConfigurationError, match="may be one server"):
        start(application(at(), at(url, issuer="admins")))  # who demands no issuer takes any
    start(application(at(issuer="users"), at(url, issuer="admins")))


def test_one_store_object_for_two_providers_is_refused() -> None:
    """Whatever its kind, and whatever keyspace the settings name: it holds the sessions of both."""
    store = MemorySessionStore()
    with pytest.raises(ConfigurationError, match="keyspace"):
        start(application(at(store=store), at(store=store, keyspace="admin:")))


def test_those_that_are_told_to_share_start() -> None:
    """`shares_sessions_with` holds in a chain, and for the one who is named too; but not for nested keyspaces."""
    first = at()
    second = at(shares_sessions_with=first)
    third = at(shares_sessions_with=second)
    for order in ((first, second, third), (third, first, second)):
        start(application(*order))
    with pytest.raises(ConfigurationError, match="keyspace"):
        start(application(first, second, at()))
    with pytest.raises(ConfigurationError, match="keyspace"):
        start(application(first, at(keyspace="sess:user:", shares_sessions_with=first)))


COOKIE: dict[str, Any] = {"token_sources": ("cookie", "bearer")}


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"cookie": {"name": "sid"}},
        {"cookie": {"name": "sid", "path": "/admin"}},
        {"cookie": {"name": "sid", "path": "/admin/"}},
    ],
)
def test_two_providers_with_one_cookie_are_refused(options: dict[str, Any], mounted: bool) -> None:
    """Each login would log the user out of the other, or both cookies would come: a path within a path is no help."""
    one = at(keyspace="a:", **COOKIE, cookie={"name": "sid"})
    other = at(keyspace="b:", **COOKIE, **options)
    for order in ((one, other), (other, one)):
        with pytest.raises(ConfigurationError, match=r"cookie\.name: .* have the same cookie, sid"):
            start(application(*order, admin_app=mounted))


def test_a_mounted_application_of_its_own_needs_a_cookie_of_its_own() -> None:
    """It may have the same `request_key`, but browsers know only cookies."""
    first, second = (at(keyspace=f"{name}:", request_key="session", **COOKIE) for name in ("a", "b"))
    with pytest.raises(ConfigurationError, match="__Host-Http-session"):
        start(application(first, second, admin_app=True))
    start(application(first, at(keyspace="b:", request_key="session"), admin_app=True))


def test_cookies_that_do_not_meet_start() -> None:
    """By their names, by paths beside each other, and of providers that share their sessions."""
    first = at(keyspace="a:", **COOKIE, cookie={"name": "sid", "path": "/a"})
    start(application(first, at(keyspace="b:", **COOKIE)))
    start(application(first, at(keyspace="b:", **COOKIE, cookie={"name": "sid", "path": "/ab"})))
    start(application(first, at(keyspace="a:", **COOKIE, cookie={"name": "sid"}, shares_sessions_with=first)))


def test_tokens_of_two_providers_from_one_environment() -> None:
    """Where their stores are two, a token of one is worth nothing at the other, though all settings agree."""
    users, admins = at(store=MemorySessionStore()), at(store=MemorySessionStore())
    app = application(users, admins)

    @app.post("/session")
    async def log_in(manager: Annotated[Any, Depends(users.get_manager)]) -> str:
        return str((await manager.create(UserSession(user_id=1))).access_token)

    @app.get("/users")
    async def user(session: Annotated[UserSession, Depends(users.get_session)]) -> None: ...

    @app.get("/admins")
    async def admin(session: Annotated[UserSession, Depends(admins.get_session)]) -> None: ...

    with InProcess(app, raises=True) as client:
        headers = bearer(client.post("/session").json())
        assert client.get("/users", headers=headers).status_code == 200
        assert client.get("/admins", headers=headers).status_code == 401


def test_one_after_the_other_is_fine() -> None:
    """In a process, and in one application: only what runs at the same time can meet."""
    first, second = at(), at()
    app = FastAPI()
    for each in (first, second, first):
        app.router.lifespan_context = each.lifespan
        start(app)
    start(application(first))
    start(application(second))


def test_a_class_alone_needs_one_provider() -> None:
    """Of two providers of one model that run together, `Depends()` on the class would ask whichever was made last."""
    users, admins = at(), at(keyspace="admin:")
    with pytest.raises(ConfigurationError, match=r"GET /me: Depends\(\) on UserSession .*get_session"):
        start(application(users, admins, by_class=UserSession))
    start(application(users, admins))
    start(application(admins, by_class=UserSession))


def test_a_class_alone_beside_a_provider_of_another_model_starts() -> None:
    """A subclass is a model of its own."""
    admins = SessionProvider(AdminSession, secret=SECRET, redis_url=URL, keyspace="admin:", request_key="admin")
    start(application(at(), admins, by_class=UserSession))


@pytest.mark.parametrize(
    "uncalled",
    [
        lambda sessions: sessions.require_fresh,
        lambda sessions: sessions.require_level,
        lambda sessions: sessions.redirect_to_login,
        lambda sessions: sessions.get,
        lambda sessions: sessions.revoke,
        lambda sessions: sessions.list_sessions,
        lambda sessions: client_credentials,
        lambda sessions: partial(sessions.require_fresh, 300),
        lambda sessions: partial(partial(sessions.redirect_to_login), "/login"),
        lambda sessions: partial(sessions.get),
    ],
    ids=[
        "require_fresh",
        "require_level",
        "redirect_to_login",
        "get",
        "revoke",
        "list_sessions",
        "client_credentials",
        "partial",
        "partial_of_partial",
        "partial_get",
    ],
)
@pytest.mark.parametrize("place", ["parameter", "route", "application"])
def test_what_makes_a_dependency_is_none(uncalled: Any, place: str) -> None:
    """`Depends(sessions.require_fresh)` without the call would take `max_age` from the client, and let everybody in."""
    sessions = provider()
    dependency = Depends(uncalled(sessions))
    app = FastAPI(lifespan=sessions.lifespan, dependencies=[dependency] if place == "application" else [])

    @app.get("/secret", dependencies=[dependency] if place == "route" else [])
    async def secret(answer: Any = dependency if place == "parameter" else None) -> None: ...

    with pytest.raises(ConfigurationError, match=r"GET /secret: Depends\((\w+)\) calls \1 with what the client sends"):
        start(app)


def test_a_method_that_asks_the_client_for_nothing_is_a_dependency() -> None:
    """Such as `sessions.ping`."""
    sessions = provider()
    app = FastAPI(lifespan=sessions.lifespan)

    @app.get("/health")
    async def health(answers: Annotated[bool, Depends(sessions.ping)]) -> bool:
        return answers

    with InProcess(app, raises=True) as client:
        assert client.get("/health").json() is True
