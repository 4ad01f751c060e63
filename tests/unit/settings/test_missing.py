"""Settings without a secret: a provider can be made with them, and can't start."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request

from jwtsession import (
    Claims,
    ConfigurationError,
    InvalidArgumentError,
    MemorySessionStore,
    NotStartedError,
    Session,
    SessionProvider,
    SessionSettings,
    client_credentials,
)
from jwtsession.settings import settings_or_missing
from tests.conftest import started

pytestmark = pytest.mark.anyio
MISSING = r"^secret: is required: give it as an argument or as JWTSESSION_SECRET"


class UserSession(Session):
    user_id: int


def provider(**options: Any) -> SessionProvider[UserSession, Claims]:
    options = {"store": MemorySessionStore(), "user_index": True, "revoke_before": True} | options
    return SessionProvider(UserSession, **options)


async def test_a_provider_without_a_secret_raises_at_the_start() -> None:
    """It can be made; each start raises the error of `SessionSettings()`, and nothing is started."""
    with pytest.raises(ConfigurationError, match=MISSING) as direct:
        SessionSettings()
    sessions = provider()
    for start in (lambda: sessions.lifespan(FastAPI()), lambda: sessions, lambda: sessions.lifespan(FastAPI())):
        with pytest.raises(ConfigurationError, match=MISSING) as caught:
            async with start():  # type: ignore[attr-defined]
                pass
        assert str(caught.value) == str(direct.value)
    assert not await sessions.ping()


@pytest.mark.parametrize("algorithm", ["HS512", "EdDSA", "RS256"])
async def test_each_algorithm_may_miss_its_key(algorithm: str) -> None:
    """Also where nobody can make up a key in no time, as for RSA."""
    with pytest.raises(ConfigurationError, match=r"^secret: is required"):
        async with provider(algorithm=algorithm):
            pass


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"secret": "short"}, "^secret: HS256 needs at least 32 bytes"),
        ({"secret": ""}, "^secret"),
        ({"max_age": 0}, "^max_age"),
        ({"max_sessions": 3, "user_index": False}, "^max_sessions"),
        ({"keys": [{"kid": "a", "secret": "short"}]}, "^keys"),
        ({"colour": "blue"}, "colour"),
        ({"redis_url": "redis://localhost:canary", "store": None}, "redis_url"),
    ],
)
def test_what_is_wrong_is_refused_at_once(options: dict[str, Any], named: str) -> None:
    """A secret that is missing does not hide another mistake, and a bad secret is no missing one."""
    with pytest.raises(ConfigurationError, match=named):
        provider(**options)


def test_given_settings_are_complete() -> None:
    """`settings=SessionSettings(...)` raises by itself, as it always did."""
    with pytest.raises(ConfigurationError, match=MISSING):
        SessionProvider(UserSession, settings=SessionSettings(max_age=60))


def test_the_error_shows_no_value() -> None:
    """The error that is kept refers to no frame: their variables hold the options."""
    _, missing = settings_or_missing({"max_age": 60})
    assert missing is not None
    assert missing.__traceback__ is missing.__context__ is missing.__cause__ is None


def test_who_asks_for_settings_gets_an_error_of_his_own() -> None:
    """The frames of one caller, and what they hold, are not in the traceback of the next one."""
    sessions = SessionProvider(UserSession)
    depths = []
    for _ in range(3):
        with pytest.raises(ConfigurationError, match=MISSING) as caught:
            _ = sessions.settings
        depths.append(len(caught.traceback))
    assert depths == [2, 2, 2]


def test_the_document_is_that_of_the_application_with_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export of OpenAPI needs no secret, and shows the same."""
    schemas = []
    for secret in (None, "s" * 20 + "canary of a good secret 0123456789"):
        if secret is not None:
            monkeypatch.setenv("JWTSESSION_SECRET", secret)
        sessions = SessionProvider(UserSession, rotation={"after": 60}, user_index=True)
        app = FastAPI()
        app.include_router(sessions.refresh_router())
        app.include_router(sessions.jwks_router())

        @app.get("/session")
        async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> UserSession:
            return session

        sessions.document(app)
        schemas.append(app.openapi())
    assert schemas[0] == schemas[1]
    assert "Session-Token" in str(schemas[0])


Work = Callable[[SessionProvider[UserSession, Claims]], Coroutine[Any, Any, object]]


@pytest.mark.parametrize(
    "work",
    [
        lambda sessions: sessions.authenticate("a.b.c"),
        lambda sessions: sessions.get("id"),
        lambda sessions: sessions.revoke("id"),
        lambda sessions: sessions.list_sessions("ann"),
        lambda sessions: sessions.revoke_all("ann"),
        lambda sessions: sessions.revoke_before(),
    ],
)
async def test_nothing_works_before_the_start(work: Work) -> None:
    """Whatever could read, write or sign raises NotStartedError."""
    with pytest.raises(NotStartedError):
        await work(provider())
    with pytest.raises(NotStartedError):
        provider().sync.get("id")


def test_no_endpoint_works_before_the_start() -> None:
    """Not the dependencies, and none of the ready-made endpoints; the published keys are no made-up ones."""
    sessions = provider()
    app = FastAPI()
    app.include_router(sessions.jwks_router())
    app.include_router(sessions.token_router(client_credentials({"gateway": "a secret of a gateway 0123456789 abc"})))

    @app.get("/session")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> None: ...

    client = TestClient(app, raise_server_exceptions=False)
    asked = {"data": {"token": "a.b.c"}, "auth": ("gateway", "a secret of a gateway 0123456789 abc")}
    assert client.get("/session", headers={"Authorization": "Bearer a.b.c"}).status_code == 500
    assert client.get("/.well-known/jwks.json").status_code == 500
    assert client.post("/introspect", **asked).status_code == 500  # type: ignore[arg-type]
    assert client.post("/revoke", **asked).status_code == 500  # type: ignore[arg-type]


async def test_nothing_is_signed_even_if_somebody_forces_a_start() -> None:
    """The keys are not there: no token is signed, and none is accepted."""
    sessions = started(provider(dpop={"mode": "optional", "nonce": True}, public_url="https://api.example.com"))
    manager = await sessions.get_manager(Request({"type": "http", "method": "GET", "headers": [], "query_string": b""}))
    with pytest.raises(InvalidArgumentError, match=MISSING):
        await manager.create(UserSession(user_id=1))
