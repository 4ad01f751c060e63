"""Tests of jwtsession.injection: `Annotated[UserSession, Depends()]`, and that models stay ordinary models."""

import copy
import inspect
import pickle
import threading
from typing import Annotated, Any, Generic, TypeVar

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from pydantic import Field, ValidationError

from jwtsession import MemorySessionStore, Session, SessionProvider
from jwtsession.injection import InjectableMeta
from tests.conftest import SECRET
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


@pytest.mark.parametrize("started", [True, False])
def test_the_class_is_a_dependency(provider: SessionProvider[UserSession, Any], started: bool) -> None:
    """In endpoints, routers, nested dependencies, sub-applications and WebSockets, with the lifespan and without."""
    client = TestClient(application(provider))
    if started:
        client.__enter__()
    headers = bearer(client.post("/session").json())
    for path in PATHS:
        assert client.get(path, headers=headers).status_code == 200
        assert client.get(path).status_code == 401
    with client.websocket_connect("/ws", headers=headers) as socket:
        assert socket.receive_json() == 1
    if started:
        client.__exit__()


def test_no_thread_is_used_after_the_start(
    provider: SessionProvider[UserSession, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastAPI takes a class for blocking code; once the application has started, the session costs no thread."""
    threads: list[int] = []
    original = InjectableMeta.__call__

    def noted(cls: Any, *args: Any, **kwargs: Any) -> Any:
        threads.append(threading.get_ident())
        return original(cls, *args, **kwargs)

    app = application(provider)
    headers = bearer(TestClient(app).post("/session").json())
    monkeypatch.setattr(InjectableMeta, "__call__", noted)
    TestClient(app).get("/", headers=headers)
    assert len(threads) == 1  # not started: by way of the class
    with TestClient(app) as client:
        threads.clear()
        for path in PATHS:
            assert client.get(path, headers=headers).status_code == 200
        assert threads == []


@pytest.mark.parametrize("started", [True, False])
def test_overrides_of_the_class_and_of_the_dependency_work(
    provider: SessionProvider[UserSession, Any], started: bool
) -> None:
    """dependency_overrides finds the class after its replacement too, and get_session below it."""
    app = application(provider)
    client = TestClient(app)
    if started:
        client.__enter__()
    app.dependency_overrides[UserSession] = lambda: UserSession(user_id=77)
    assert client.get("/").json()["user_id"] == 77
    assert client.get("/nested").json() == 77
    app.dependency_overrides = {provider.get_session: lambda: UserSession(user_id=78)}
    assert client.get("/").json()["user_id"] == 78
    app.dependency_overrides = {}
    assert client.get("/").status_code == 401
    if started:
        client.__exit__()


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


def test_an_unbound_model_has_its_own_signature() -> None:
    """Only the class that a provider was made for gets the dependency's signature."""

    class Unbound(Session):
        name: str

    assert list(inspect.signature(Unbound).parameters) == ["name"]

    class Below(UserSession):
        level: int = 1

    assert "level" in inspect.signature(Below).parameters


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


def test_a_generic_model_can_be_injected() -> None:
    """A parametrized generic session is a class like any other."""
    kind = TypeVar("kind")

    class Box(Session, Generic[kind]):
        content: kind

    provider = SessionProvider(Box[int], secret=SECRET, store=MemorySessionStore())
    app = FastAPI(lifespan=provider.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[Any, Depends(provider.get_manager)]) -> str:
        return str((await manager.create(Box[int](content=5))).access_token)

    @app.get("/")
    async def read(session: Annotated[Box[int], Depends(provider.get_session)]) -> int:
        return session.content

    with TestClient(app) as client:
        assert client.get("/", headers=bearer(client.post("/session").json())).json() == 5
