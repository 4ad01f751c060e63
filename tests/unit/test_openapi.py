"""Tests of jwtsession.openapi."""

from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Form, Security
from fastapi.testclient import TestClient

from jwtsession import MemorySessionStore, Session, SessionProvider, SessionSettings, Token
from tests.conftest import SECRET


class UserSession(Session):
    user_id: int


def provider(token_url: str | None = None, **options: Any) -> SessionProvider[UserSession, Any]:
    settings = SessionSettings(secret=SECRET, **options)
    scopes = {"orders:read": "See orders"}
    return SessionProvider(
        UserSession, settings=settings, store=MemorySessionStore(), token_url=token_url, scopes=scopes
    )


def application(sessions: SessionProvider[UserSession, Any]) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    router = APIRouter()

    @router.get("/session")
    @router.post("/session")
    async def required(session: Annotated[UserSession, Depends(sessions.get_session)]) -> UserSession:
        return session

    @router.get("/class")
    async def by_class(session: Annotated[UserSession, Depends()]) -> UserSession:
        return session

    @router.get("/optional")
    async def optional(
        session: Annotated[UserSession | None, Depends(sessions.get_optional_session)],
    ) -> UserSession | None:
        return session

    @router.post("/login", status_code=201, responses={401: {"description": "Wrong password"}})
    async def log_in(name: Annotated[str, Form()], manager: Annotated[Any, Depends(sessions.get_manager)]) -> Token:
        raise NotImplementedError

    @router.get("/orders")
    async def orders(
        session: Annotated[UserSession, Security(sessions.get_session, scopes=["orders:read"])],
    ) -> None: ...

    @router.get("/public")
    async def public() -> None: ...

    app.include_router(router)
    app.include_router(router, prefix="/v1")
    sub = FastAPI()
    sub.include_router(router)
    app.mount("/sub", sub)
    return app


def document(sessions: SessionProvider[UserSession, Any], path: str = "/openapi.json") -> dict[str, Any]:
    with TestClient(application(sessions)) as client:
        schema: dict[str, Any] = client.get(path).json()
    return schema


@pytest.mark.parametrize(
    ("path", "prefix"), [("/openapi.json", ""), ("/openapi.json", "/v1"), ("/sub/openapi.json", "")]
)
def test_each_way_to_ask_is_shown(path: str, prefix: str) -> None:
    """Alternatives, optional sessions and the answers stand at each endpoint that asks, and at no other."""
    paths = document(provider(), path)["paths"]
    ways = [{"session_bearer": []}, {"session_header": []}]
    for name in ("/session", "/class"):
        operation = paths[prefix + name]["get"]
        assert operation["security"] == ways
        assert {"400", "401", "503"} <= set(operation["responses"])
        schema = operation["responses"]["401"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/SessionError"}
        assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]
    assert paths[prefix + "/optional"]["get"]["security"] == [*ways, {}]
    assert "401" not in paths[prefix + "/optional"]["get"]["responses"]
    assert "security" not in paths[prefix + "/public"]["get"]
    assert set(paths[prefix + "/public"]["get"]["responses"]) == {"200"}


def test_the_login_shows_its_token_and_keeps_what_its_author_said() -> None:
    """The answer is Token, the session is optional there, and a documented 401 stays as it was written."""
    schema = document(provider())
    login = schema["paths"]["/login"]["post"]
    assert login["responses"]["201"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Token"}
    assert {} in login["security"]
    assert login["responses"]["401"]["description"] == "Wrong password"
    assert {"409", "413", "503"} <= set(login["responses"])
    assert set(schema["components"]["schemas"]["Token"]["required"]) == {"access_token"}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("bearer",), {"session_bearer": ("http", None)}),
        (("header",), {"session_header": ("apiKey", "x-access-token")}),
        (("query",), {"session_query": ("apiKey", "accessToken")}),
        (("bearer", "query"), {"session_bearer": ("http", None), "session_query": ("apiKey", "accessToken")}),
        (("body",), {}),
    ],
)
def test_each_enabled_source_is_a_scheme_of_its_own(
    sources: tuple[str, ...], expected: dict[str, tuple[str, str | None]]
) -> None:
    """What is switched off is not shown; the schemes are alternatives."""
    schema = document(provider(token_sources=sources))
    schemes = schema["components"].get("securitySchemes", {})
    assert {name: (model["type"], model.get("name")) for name, model in schemes.items()} == expected
    shown = schema["paths"]["/session"]["get"].get("security", [])
    assert [next(iter(item)) for item in shown] == [*expected]


def test_a_token_in_the_body_is_a_member_of_the_body() -> None:
    """OpenAPI has no scheme for it: an endpoint without a body of its own shows one, GET never does."""
    paths = document(provider(token_sources=("bearer", "body")))["paths"]
    content = paths["/session"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/x-www-form-urlencoded"}
    assert "accessToken" in content["application/json"]["schema"]["properties"]
    assert "requestBody" not in paths["/session"]["get"]
    assert set(paths["/login"]["post"]["requestBody"]["content"]) == {"application/x-www-form-urlencoded"}


def test_a_token_url_makes_it_an_oauth2_password_flow() -> None:
    """Swagger UI's Authorize button asks for a password where the login's path is known, and shows the scopes."""
    schema = document(provider(token_url="login"))
    flow = schema["components"]["securitySchemes"]["session_password"]["flows"]["password"]
    assert flow == {"tokenUrl": "login", "scopes": {"orders:read": "See orders"}}
    orders = schema["paths"]["/orders"]["get"]
    assert orders["security"][0] == {"session_password": ["orders:read"]}
    assert "403" in orders["responses"]


def test_two_providers_in_one_endpoint_are_both_needed() -> None:
    """Each combination of their ways is an alternative."""
    users, admins = provider(), provider(request_key="admin", token_sources=("query",))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        async with users.lifespan(app), admins.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def both(
        user: Annotated[UserSession, Depends(users.get_session)],
        admin: Annotated[UserSession | None, Depends(admins.get_optional_session)],
    ) -> None: ...

    with TestClient(app) as client:
        security = client.get("/openapi.json").json()["paths"]["/"]["get"]["security"]
    assert {frozenset(item) for item in security} == {
        frozenset({"session_bearer", "admin_query"}),
        frozenset({"session_bearer"}),
        frozenset({"session_header", "admin_query"}),
        frozenset({"session_header"}),
    }


def test_without_a_start_the_ways_are_shown_and_document_does_the_rest() -> None:
    """A script that exports the document without running the application can have it whole."""
    sessions = provider()
    app = application(sessions)
    assert app.openapi()["paths"]["/session"]["get"]["security"] == [{"session_bearer": []}, {"session_header": []}]
    sessions.document(app)
    assert {"400", "401", "503"} <= set(app.openapi()["paths"]["/session"]["get"]["responses"])


def test_starting_twice_changes_nothing() -> None:
    """A second start, and a document that was made before the first, give the same."""
    app = application(provider())
    app.openapi()
    with TestClient(app) as client:
        first = client.get("/openapi.json").json()
    with TestClient(app) as client:
        assert client.get("/openapi.json").json() == first
    assert first == document(provider())


def test_routes_that_come_later_and_documents_of_ones_own_are_completed() -> None:
    """A route that is added after the start is shown as the others; a custom app.openapi goes on being asked."""
    sessions = provider()
    app = FastAPI(lifespan=sessions.lifespan)
    original = app.openapi

    def custom() -> dict[str, Any]:
        schema = original()
        schema["info"]["x-logo"] = "ours"
        return schema

    app.openapi = custom  # type: ignore[method-assign]
    with TestClient(app) as client:

        @app.get("/late")
        async def late(session: Annotated[UserSession, Depends(sessions.get_session)]) -> None: ...

        schema = client.get("/openapi.json").json()
    assert schema["info"]["x-logo"] == "ours"
    assert {"400", "401", "503"} <= set(schema["paths"]["/late"]["get"]["responses"])


def test_what_is_not_in_the_schema_stays_out() -> None:
    """An endpoint with include_in_schema=False is not shown, nor its components."""
    sessions = provider()
    app = FastAPI(lifespan=sessions.lifespan)

    @app.get("/hidden", include_in_schema=False)
    async def hidden(session: Annotated[UserSession, Depends(sessions.get_session)]) -> None: ...

    with TestClient(app) as client:
        assert client.get("/openapi.json").json()["paths"] == {}
