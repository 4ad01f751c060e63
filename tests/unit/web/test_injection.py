"""Tests of jwtsession.web.injection: `Annotated[UserSession, Depends()]`, and that models stay ordinary models."""

import contextlib
import copy
import inspect
import pickle
from typing import Annotated, Any, Generic, TypeVar

import anyio.to_thread
import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field, ValidationError
from starlette.routing import Mount

from jwtsession import ConfigurationError, MemorySessionStore, Session, SessionProvider
from tests.conftest import SECRET, started
from tests.unit.conftest import request
from tests.web import bearer


class UserSession(Session):
    user_id: int
    cart: list[str] = Field(default=[], alias="items")


def application(provider: SessionProvider[UserSession, Any]) -> FastAPI:
    app = FastAPI(lifespan=provider.lifespan)
    by_class = Annotated[UserSession, Depends()]

    @app.get("/")
    async def read(session: by_class) -> UserSession:
        return session

    router = APIRouter()

    @router.get("/router")
    async def in_router(session: by_class) -> UserSession:
        return session

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, session: by_class) -> None:
        await websocket.accept()
        await websocket.send_json(session.user_id)
        await websocket.close()

    async def user(session: by_class) -> int:
        return session.user_id

    @app.get("/nested")
    async def nested(user_id: Annotated[int, Depends(user)]) -> int:
        return user_id

    app.include_router(router, prefix="/v1")
    sub = FastAPI()
    sub.include_router(router)
    app.mount("/sub", sub)

    @app.post("/session")
    async def log_in(manager: Annotated[Any, Depends(provider.get_manager)]) -> str:
        return str((await manager.create(UserSession(user_id=1))).access_token)

    return app


PATHS = ["/", "/v1/router", "/sub/router", "/nested"]


@pytest.fixture
def provider() -> SessionProvider[UserSession, Any]:
    return SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore())


@pytest.mark.parametrize("with_app", [True, False])
def test_the_class_is_a_dependency(provider: SessionProvider[UserSession, Any], with_app: bool) -> None:
    """In endpoints, routers, nested dependencies, sub-applications and WebSockets, however the provider started."""
    client = TestClient(application(provider))
    if with_app:
        client.__enter__()
    started(provider)
    headers = bearer(client.post("/session").json())
    for path in PATHS:
        assert client.get(path, headers=headers).status_code == 200
        assert client.get(path).status_code == 401
    with client.websocket_connect("/ws", headers=headers) as socket:
        assert socket.receive_json() == 1
    if with_app:
        client.__exit__()


def test_no_thread_is_used_after_the_start(
    provider: SessionProvider[UserSession, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI takes a class for blocking code; once the application has started, the session costs no thread."""
    in_threads: list[Any] = []
    original = anyio.to_thread.run_sync

    async def noted(function: Any, *args: Any, **options: Any) -> Any:
        in_threads.append(function)
        return await original(function, *args, **options)

    app = application(started(provider))
    headers = bearer(TestClient(app).post("/session").json())
    monkeypatch.setattr("anyio.to_thread.run_sync", noted)
    TestClient(app).get("/", headers=headers)
    assert len(in_threads) == 1  # the application has not started: by way of the class
    with TestClient(app) as client:
        in_threads.clear()
        for path in PATHS:
            assert client.get(path, headers=headers).status_code == 200
        with client.websocket_connect("/ws", headers=headers) as socket:
            assert socket.receive_json() == 1
        assert in_threads == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("when", ["before the start", "after the start", "without a start"])
def test_overrides_of_the_class_and_of_the_dependency_work(
    provider: SessionProvider[UserSession, Any], when: str, path: str
) -> None:
    """dependency_overrides finds the class after its replacement too, and get_session below it, whenever it is set."""
    app = application(provider)
    (mounted,) = [route.app for route in app.routes if isinstance(route, Mount)]
    serving = mounted if path.startswith("/sub") else app
    overrides = [(UserSession, 77), (provider.get_session, 78)]

    def override(dependency: Any, user_id: int) -> None:
        serving.dependency_overrides = {dependency: lambda: UserSession(user_id=user_id)}

    client = TestClient(app)
    with contextlib.ExitStack() as stack:
        for dependency, user_id in overrides:
            if when == "before the start":
                override(dependency, user_id)
            if when != "without a start":
                stack.enter_context(client)
            override(dependency, user_id)
            assert client.get(path).json() in (user_id, {"user_id": user_id, "items": []})
            stack.close()
        serving.dependency_overrides = {}
        started(provider)
        assert client.get(path).status_code == 401


def test_a_websocket_can_be_overridden(provider: SessionProvider[UserSession, Any]) -> None:
    """The override stands for the session in a WebSocket too."""
    app = application(provider)
    app.dependency_overrides[UserSession] = lambda: UserSession(user_id=77)
    with TestClient(app) as client, client.websocket_connect("/ws") as socket:
        assert socket.receive_json() == 77


def test_models_stay_ordinary_models() -> None:
    """Construction, validation, copies, pickles, equality and the JSON schema are Pydantic's."""
    session = UserSession(user_id=1, items=["a"])  # type: ignore[call-arg]
    for same in (
        pickle.loads(pickle.dumps(session)),
        copy.deepcopy(session),
        session.model_copy(deep=True),
        UserSession.model_validate(session.model_dump(by_alias=True)),
        UserSession.model_validate_json(session.model_dump_json(by_alias=True)),
    ):
        assert same == session
        assert type(same) is UserSession
    with pytest.raises(ValidationError):
        UserSession(user_id="x")  # type: ignore[arg-type]
    assert UserSession.model_json_schema()["required"] == ["user_id"]
    assert UserSession.model_json_schema().get("additionalProperties") is None


def test_a_model_is_a_request_body_and_a_response_too(provider: SessionProvider[UserSession, Any]) -> None:
    """A parameter without Depends is the body, as with any model; OpenAPI shows its fields."""
    app = FastAPI()

    @app.post("/")
    async def echo(session: UserSession) -> UserSession:
        return session

    client = TestClient(app)
    assert client.post("/", json={"user_id": 1, "items": ["a"], "x": 1}).json() == {"user_id": 1, "items": ["a"]}
    assert client.post("/", json={}).status_code == 422
    assert set(app.openapi()["components"]["schemas"]["UserSession"]["properties"]) == {"user_id", "items"}


def test_an_unbound_model_has_its_own_signature(provider: SessionProvider[UserSession, Any]) -> None:
    """Only the class that a provider was made for gets the dependency's signature, not those above and below it."""
    SessionProvider(secret=SECRET, store=MemorySessionStore())  # of Session itself

    class Unbound(Session):
        name: str

    class Below(UserSession):
        level: int = 1

    assert list(inspect.signature(Unbound).parameters)[:1] == ["name"]
    assert list(inspect.signature(Below).parameters)[:3] == ["user_id", "items", "level"]
    assert len(inspect.signature(UserSession).parameters) == 1


@pytest.mark.parametrize("how", ["before its provider", "no provider", "completed later"])
@pytest.mark.parametrize("with_app", [True, False])
def test_a_session_is_never_made_from_the_query(how: str, with_app: bool) -> None:
    """A class that FastAPI sees before or without its provider is refused at its route, or asks for a token: no 200."""

    class Plain(Session):
        user_id: int

    class Below(Plain):
        pass

    class Forward(Session):
        user_id: int
        address: "Address | None" = None

    class Address(BaseModel):
        city: str

    app = FastAPI()
    provided: type[Session] = Forward if how == "completed later" else Plain
    asked = Below if how == "no provider" else provided

    def declare() -> None:
        async def read(session: Any) -> None: ...

        read.__annotations__["session"] = Annotated[asked, Depends()]
        app.get("/")(read)

    with contextlib.suppress(ConfigurationError):
        if how == "before its provider":
            declare()
        app.router.lifespan_context = SessionProvider(provided, secret=SECRET, store=MemorySessionStore()).lifespan
        provided.model_rebuild()
        if how != "before its provider":
            declare()
        client = TestClient(app, raise_server_exceptions=False)
        with client if with_app else contextlib.nullcontext():
            assert client.get("/?user_id=1").status_code in (401, 500)


MAGIC = "jwtsession_loaded__"


class Member(Session):
    user_id: int
    is_admin: bool = False


@pytest.mark.parametrize("value", [{"user_id": 1, "is_admin": True}, [1], "x", None, 1])
async def test_no_name_that_a_client_writes_takes_over_a_session(value: Any) -> None:
    """The keyword by which FastAPI hands a loaded session over is ordinary data where anybody else writes it."""
    theirs = {MAGIC: value}
    for made in (Member(**theirs | {"user_id": 7}), Member.model_validate(theirs | {"user_id": 7})):
        assert type(made) is Member
        assert made.model_dump() == {"user_id": 7, "is_admin": False}
    with pytest.raises(ValidationError):
        Member(**theirs)
    assert Session(**theirs).model_dump() == theirs
    provider = started(SessionProvider(Member, secret=SECRET, store=MemorySessionStore()))
    manager = await provider.get_manager(request())
    await manager.create({**theirs, "user_id": 7})
    assert manager.session == Member(user_id=7)
    assert await manager.update({**theirs, "user_id": 8}) == Member(user_id=8)


@pytest.mark.parametrize(
    "name", ["cls", "self", "mcs", "args", "kwargs", "data", "__class__", "__dict__", "model_config"]
)
def test_no_name_is_taken_by_the_constructor_itself(name: str) -> None:
    """A free-form session takes any name for data, also those of Python's and Pydantic's own parameters."""
    for made in (Session(**{name: 1}), Session.model_validate({name: 1})):
        assert type(made) is Session
        assert made.model_dump() == {name: 1}


def test_unknown_fields_are_ignored_below_session_and_kept_in_it() -> None:
    """Session is free-form; its subclasses ignore what they do not know, unless they say otherwise."""

    class Open(Session):
        model_config = {"extra": "allow"}

    class Closed(Session, extra="forbid"):
        pass

    class BelowOpen(Open):
        pass

    assert Session(x=1).model_dump() == {"x": 1}
    assert UserSession(user_id=1, x=1).model_dump() == {"user_id": 1, "cart": []}  # type: ignore[call-arg]
    assert Open(x=1).model_dump() == BelowOpen(x=1).model_dump() == {"x": 1}
    with pytest.raises(ValidationError):
        Closed(x=1)


kind = TypeVar("kind")


class Box(Session, Generic[kind]):
    content: kind


class AdminSession(UserSession):
    level: int


class Keyed(Session):
    name: str = Field(alias="userName")


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (Box[int], {"content": 5}),
        (AdminSession, {"user_id": 1, "items": ["a"], "level": 2}),
        (Keyed, {"userName": "ann"}),
        (Session, {"anything": [1]}),
    ],
)
def test_every_kind_of_model_can_be_injected(model: type[Session], data: dict[str, Any]) -> None:
    """A parametrized generic class, a subclass of a subclass, one with aliases, and the free-form session itself."""
    provider = SessionProvider(model, secret=SECRET, store=MemorySessionStore())
    app = FastAPI(lifespan=provider.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[Any, Depends(provider.get_manager)]) -> str:
        return str((await manager.create(data)).access_token)

    async def read(session: Any) -> dict[str, Any]:
        assert type(session) is model
        return session.model_dump(by_alias=True)

    read.__annotations__["session"] = Annotated[model, Depends()]
    app.get("/")(read)
    client = TestClient(app)
    for start in (contextlib.nullcontext(), client):
        started(provider)
        with start:
            headers = bearer(client.post("/session").json())
            assert client.get("/", headers=headers).json() == data
            assert client.get("/").status_code == 401


def test_the_newest_provider_of_a_model_counts() -> None:
    """Of two providers of one model `Depends()` asks the one that was made last; get_session is exact."""
    first, second = (SessionProvider(Keyed, secret=SECRET, store=MemorySessionStore()) for _ in range(2))
    app = FastAPI()

    @app.get("/")
    async def read(session: Annotated[Keyed, Depends()]) -> str:
        return session.name

    app.dependency_overrides = {
        first.get_session: lambda: Keyed(userName="first"),
        second.get_session: lambda: Keyed(userName="second"),
    }
    assert TestClient(app).get("/").json() == "second"
