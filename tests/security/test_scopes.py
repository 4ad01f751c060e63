"""Scopes: `Security(..., scopes=[...])` in every place where FastAPI takes it, and checks of one's own on claims."""

from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security, WebSocket
from fastapi.responses import PlainTextResponse
from fastapi.security import OAuth2PasswordRequestForm
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from jwtsession import (
    Claims,
    InsufficientScopeError,
    InvalidTokenError,
    MemorySessionStore,
    Session,
    SessionManager,
    SessionProvider,
    Token,
)
from jwtsession.testing import SessionTester
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from tests.conftest import SECRET, Clock
from tests.security.forge import with_claims
from tests.web import InProcess, bearer

pytestmark = pytest.mark.caches("tokens")

SCOPES = {"orders:read": "See your orders", "orders:write": "Order", "admin": "Do everything"}


class UserSession(Session):
    user_id: int


class UserClaims(Claims):
    role: str = "user"
    tenant: int | None = None


Provider = SessionProvider[UserSession, UserClaims]


def provider(**options: Any) -> Provider:
    return SessionProvider(UserSession, UserClaims, store=MemorySessionStore(), secret=SECRET, **options)


class Shop:
    """An application that demands scopes in every way."""

    def __init__(self, sessions: Provider) -> None:
        app = self.app = FastAPI(lifespan=sessions.lifespan)
        manager_ = Annotated[SessionManager[UserSession, UserClaims], Depends(sessions.get_manager)]
        reader = Annotated[UserSession, Security(sessions.get_session, scopes=["orders:read"])]

        @app.post("/session")
        async def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], manager: manager_) -> Token:
            # What may be granted is the application's decision; here everybody gets what they ask for.
            return await manager.create(UserSession(user_id=1), UserClaims(sub="ann", scope=" ".join(form.scopes)))

        @app.post("/without")
        async def log_in_without_scope(manager: manager_) -> Token:
            return await manager.create(UserSession(user_id=1), UserClaims(sub="ann"))

        @app.get("/none")
        async def none(session: Annotated[UserSession, Depends(sessions.get_session)]) -> int:
            return session.user_id

        @app.get("/read")
        async def read(session: reader) -> int:
            return session.user_id

        @app.get("/sync")
        def sync(session: reader) -> int:
            return session.user_id

        @app.get("/both")
        async def both(
            session: Annotated[UserSession, Security(sessions.get_session, scopes=["orders:read", "orders:write"])],
        ) -> int:
            return session.user_id

        @app.get("/class")
        async def by_class(session: Annotated[UserSession, Security(scopes=["orders:read"])]) -> int:
            return session.user_id

        @app.get("/twice")
        async def twice(
            session: Annotated[UserSession, Depends(sessions.get_session)], same: reader, manager: manager_
        ) -> bool:
            return session is same is manager.session

        @app.get("/optional")
        async def optional(
            session: Annotated[UserSession | None, Security(sessions.get_optional_session, scopes=["orders:read"])],
        ) -> int | None:
            return None if session is None else session.user_id

        @app.get("/manager")
        async def manager(
            manager: Annotated[
                SessionManager[UserSession, UserClaims], Security(sessions.get_manager, scopes=["orders:read"])
            ],
        ) -> bool:
            return manager.session is not None

        async def current_user(session: Annotated[UserSession, Depends(sessions.get_session)]) -> int:
            return session.user_id

        async def writer(user: Annotated[int, Security(current_user, scopes=["orders:write"])]) -> int:
            return user

        @app.get("/nested")
        async def nested(user: Annotated[int, Security(writer, scopes=["orders:read"])]) -> int:
            return user

        @app.get("/nested/without")
        async def nested_without(user: Annotated[int, Depends(current_user)]) -> int:
            return user

        router = APIRouter(prefix="/router", dependencies=[Security(sessions.get_session, scopes=["admin"])])

        @router.get("/none")
        async def in_router(session: Annotated[UserSession, Depends(sessions.get_session)]) -> int:
            return session.user_id

        @router.get("/read")
        async def in_router_with_more(session: reader) -> int:
            return session.user_id

        app.include_router(router, prefix="/v1")

        @app.get("/route", dependencies=[Security(sessions.get_session, scopes=["admin"])])
        async def on_route() -> None:
            pass

        @app.get("/guarded", dependencies=[Security(sessions.get_manager, scopes=["admin"])])
        async def guarded_by_the_manager() -> None:
            pass

        @app.websocket("/ws")
        async def socket(websocket: WebSocket, session: reader) -> None:
            await websocket.accept()
            await websocket.send_json(session.user_id)
            await websocket.close()

        async def tenant(manager: manager_) -> int:
            manager.require()
            if manager.claims is None or manager.claims.tenant is None:
                raise HTTPException(403, "No tenant")
            return manager.claims.tenant

        @app.post("/tenant")
        async def log_in_to_tenant(number: int, manager: manager_) -> Token:
            return await manager.create(UserSession(user_id=1), UserClaims(sub="ann", tenant=number))

        @app.get("/tenant")
        async def read_tenant(number: Annotated[int, Depends(tenant)]) -> int:
            return number


@pytest.fixture
def shop() -> Iterator[InProcess]:
    with InProcess(Shop(provider(token_url="session", scopes=SCOPES)).app, raises=True) as client:
        yield client


def log_in(shop: httpx2.Client, *scopes: str) -> dict[str, str]:
    form = {"username": "ann", "password": "x", "scope": " ".join(scopes)}
    return bearer(shop.post("/session", data=form).json()["access_token"])


def status(shop: InProcess, path: str, *scopes: str) -> int:
    return shop.get(path, headers=log_in(shop, *scopes)).status_code


@pytest.mark.parametrize("path", ["/read", "/sync", "/class", "/twice", "/optional", "/manager"])
def test_an_endpoint_that_demands_a_scope(path: str, shop: InProcess) -> None:
    """With the scope, alone or among others, 200; without it 403. For each dependency, and for the class itself."""
    assert status(shop, path, "orders:read") == 200
    assert status(shop, path, "other", "orders:read", "admin") == 200
    for scopes in ([], ["orders"], ["orders:write"], ["orders:read:more"], ["ORDERS:READ"], ["admin"]):
        assert status(shop, path, *scopes) == 403


def test_the_refusal_follows_rfc_6750(shop: InProcess) -> None:
    """Section 3.1: 403, the error code, and the scopes that are demanded; nothing of those that the token has."""
    refused = shop.get("/both", headers=log_in(shop, "orders:read", "hidden"))
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == (
        'Bearer error="insufficient_scope", scope="orders:read orders:write"'
    )
    assert refused.headers["cache-control"] == "no-store"
    assert "Authorization" in refused.headers["vary"]
    assert refused.json() == {"detail": "Insufficient scope"}


def test_several_scopes_must_all_be_there(shop: InProcess) -> None:
    """In any order; one of two is too few."""
    assert status(shop, "/both", "orders:write", "orders:read") == 200
    assert status(shop, "/both", "orders:read") == 403
    assert status(shop, "/both", "orders:write") == 403


def test_a_session_without_the_claim_has_no_scope(shop: InProcess) -> None:
    """No `scope` in the token: good for what demands none, 403 for the rest."""
    headers = bearer(shop.post("/without").json()["access_token"])
    assert shop.get("/none", headers=headers).status_code == 200
    assert shop.get("/nested/without", headers=headers).status_code == 200
    assert shop.get("/read", headers=headers).status_code == 403


@pytest.mark.parametrize("path", ["/read", "/class", "/nested", "/v1/router/none", "/route"])
def test_who_has_no_session_is_401_and_not_403(path: str, shop: InProcess) -> None:
    """Missing and dead tokens get the ordinary answers: first who, then what."""
    assert shop.get(path).status_code == 401
    assert shop.get(path).headers["www-authenticate"] == 'Bearer realm="session"'
    dead = shop.get(path, headers=bearer("dead"))
    assert (dead.status_code, dead.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_an_optional_session_has_the_scope_or_is_none(shop: InProcess) -> None:
    """Nobody is None; somebody without the scope is refused, not made nobody."""
    assert shop.get("/optional").json() is None
    assert shop.get("/optional", headers=bearer("dead")).json() is None
    assert status(shop, "/optional") == 403


def test_a_scope_that_the_manager_is_asked_for_needs_a_session(shop: InProcess) -> None:
    """A guard on a route never lets somebody in for having no session at all."""
    assert status(shop, "/guarded", "admin") == 200
    assert status(shop, "/guarded") == 403
    assert shop.get("/guarded").status_code == 401
    assert shop.get("/guarded", headers=bearer("dead")).status_code == 401


def test_nested_dependencies_add_their_scopes(shop: InProcess) -> None:
    """What the endpoint and each dependency on the way demand comes together at the session."""
    assert status(shop, "/nested", "orders:read", "orders:write") == 200
    assert status(shop, "/nested", "orders:read") == 403
    refused = shop.get("/nested", headers=log_in(shop, "orders:write"))
    assert refused.status_code == 403
    demanded = refused.headers["www-authenticate"].partition('scope="')[2].rstrip('"').split()
    assert sorted(demanded) == ["orders:read", "orders:write"]
    assert status(shop, "/nested/without") == 200


def test_a_router_demands_for_all_that_is_in_it(shop: InProcess) -> None:
    """Endpoints of an included router need its scope besides their own; so does one route with `dependencies`."""
    assert status(shop, "/v1/router/none", "admin") == 200
    assert status(shop, "/v1/router/none", "orders:read") == 403
    assert status(shop, "/v1/router/read", "admin", "orders:read") == 200
    assert status(shop, "/v1/router/read", "admin") == 403
    assert status(shop, "/v1/router/read", "orders:read") == 403
    assert status(shop, "/route", "admin") == 200
    assert status(shop, "/route", "orders:read") == 403


def test_a_websocket_demands_a_scope_before_accept() -> None:
    """403 with the challenge is the answer to the handshake."""
    with TestClient(Shop(provider()).app) as shop:
        with shop.websocket_connect("/ws", headers=log_in(shop, "orders:read")) as socket:
            assert socket.receive_json() == 1
        headers = log_in(shop, "admin")
        with pytest.raises(WebSocketDenialResponse) as refused, shop.websocket_connect("/ws", headers=headers):
            pass
    assert refused.value.status_code == 403
    assert refused.value.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="orders:read"'


def test_openapi_shows_scopes_and_the_answer(shop: InProcess) -> None:
    """Each way to send the token lists the scopes of the endpoint; 403 stands there, and only where scopes do."""
    schema = shop.get("/openapi.json").json()
    expected = {
        "/none": set(),
        "/read": {"orders:read"},
        "/class": {"orders:read"},
        "/both": {"orders:read", "orders:write"},
        "/twice": {"orders:read"},
        "/manager": {"orders:read"},
        "/nested": {"orders:read", "orders:write"},
        "/nested/without": set(),
        "/v1/router/none": {"admin"},
        "/v1/router/read": {"admin", "orders:read"},
        "/route": {"admin"},
    }
    for path, scopes in expected.items():
        operation = schema["paths"][path]["get"]
        ways = [way for way in operation["security"] if way]
        assert [[*way] for way in ways] == [["session_password"]]
        assert all(set(demanded) == scopes for way in ways for demanded in way.values())
        assert ("403" in operation["responses"]) is bool(scopes)
    answer = schema["paths"]["/read"]["get"]["responses"]["403"]
    assert "insufficient_scope" in answer["headers"]["WWW-Authenticate"]["description"]


def test_the_login_s_flow_lists_what_each_scope_permits(shop: InProcess) -> None:
    """Swagger UI's dialog offers what `scopes=` describes."""
    schema = shop.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"]["session_password"]["flows"]["password"] == {
        "tokenUrl": "session",
        "scopes": SCOPES,
    }


def test_scopes_work_without_a_login_form(shop: InProcess) -> None:
    """With a plain bearer scheme too; OpenAPI 3.1 lists scopes for any kind of scheme."""
    with InProcess(Shop(provider()).app, raises=True) as client:
        assert status(client, "/read", "orders:read") == 200
        assert status(client, "/read") == 403
        security = client.get("/openapi.json").json()["paths"]["/read"]["get"]["security"]
        assert security == [{"session_bearer": ["orders:read"]}]


def test_an_override_takes_the_place_of_session_and_scopes() -> None:
    """A test's fake user needs no token, whatever the endpoint demands; by function and by class."""
    sessions = provider()
    app = Shop(sessions).app
    app.dependency_overrides[sessions.get_session] = lambda: UserSession(user_id=7)
    app.dependency_overrides[UserSession] = lambda: UserSession(user_id=8)
    with InProcess(app, raises=True) as client:
        assert client.get("/read").json() == 7
        assert client.get("/both").json() == 7
        assert client.get("/nested").json() == 7
        assert client.get("/class").json() == 8


@pytest.mark.parametrize("scope", [5, True, ["orders:read"], {"orders:read": True}, None])
def test_a_scope_that_is_no_text_is_no_token(scope: Any) -> None:
    """A signed token of a wrong form grants nothing: RFC 8693 section 4.2 knows a text with spaces only."""
    codec = TokenCodec(KeyRing([KeySpec(None, SECRET)], "HS256"), Claims, clock=Clock())
    with pytest.raises(InvalidTokenError):
        codec.decode(with_claims(scope=scope))


def test_odd_spaces_in_a_scope_do_not_matter() -> None:
    """Tabs and repeated spaces separate, and an empty text is no scope; nothing demands the empty scope."""
    sessions = SessionProvider(UserSession, UserClaims)
    app = FastAPI(lifespan=sessions.lifespan)

    @app.get("/")
    async def read(session: Annotated[UserSession, Security(sessions.get_session, scopes=["a", "b"])]) -> int:
        return session.user_id

    tester = SessionTester(sessions)
    with tester.client(app) as client:
        for scope, expected in (("a b", 200), ("  b \t a ", 200), ("", 403), (" ", 403), ("ab", 403), ("a,b", 403)):
            with tester.as_user(app, UserSession(user_id=1), UserClaims(scope=scope)):
                assert client.get("/").status_code == expected


def test_checks_of_one_s_own_are_ordinary_dependencies_on_typed_claims(shop: InProcess) -> None:
    """A dependency on the manager reads its claims with their types and refuses as the application likes."""
    headers = bearer(shop.post("/tenant", params={"number": 7}).json()["access_token"])
    assert shop.get("/tenant", headers=headers).json() == 7
    refused = shop.get("/tenant", headers=log_in(shop))
    assert (refused.status_code, refused.json()) == (403, {"detail": "No tenant"})
    assert shop.get("/tenant").status_code == 401


def test_the_error_tells_a_handler_what_was_demanded() -> None:
    """An application's own handler for 403 finds the scopes on the error."""
    sessions = provider()
    app = Shop(sessions).app
    seen: list[tuple[str, ...]] = []

    async def handle(request: Any, error: Exception) -> Any:
        assert isinstance(error, InsufficientScopeError)
        seen.append(error.scopes)
        return PlainTextResponse("ask an administrator", 403)

    app.add_exception_handler(InsufficientScopeError, handle)
    with InProcess(app, raises=True) as client:
        assert client.get("/both", headers=log_in(client, "admin")).text == "ask an administrator"
    assert seen == [("orders:read", "orders:write")]
