"""Tests of jwtsession.web.openapi."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Depends, FastAPI, Form, Security
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from jwtsession import Claims, MemorySessionStore, Session, SessionManager, SessionProvider, SessionSettings, Token
from tests.conftest import SECRET
from tests.web import InProcess


class UserSession(Session):
    user_id: int


def provider(token_url: str | None = None, **options: Any) -> SessionProvider[UserSession, Any]:
    settings = SessionSettings(secret=SECRET, **options)
    scopes = {"orders:read": "See orders"}
    return SessionProvider(
        UserSession, settings=settings, store=MemorySessionStore(), token_url=token_url, scopes=scopes
    )


def application(sessions: SessionProvider[UserSession, Any], *, thrice: bool = True) -> FastAPI:
    """Endpoints of every kind; also below a prefix, and in a mounted application."""
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
    if not thrice:
        return app
    app.include_router(router, prefix="/v1")
    sub = FastAPI()
    sub.include_router(router)
    app.mount("/sub", sub)
    return app


def document(sessions: SessionProvider[UserSession, Any], path: str | None = None) -> dict[str, Any]:
    """The document at this path; None for that of the endpoints alone."""
    with InProcess(application(sessions, thrice=path is not None), raises=True) as client:
        schema: dict[str, Any] = client.get(path or "/openapi.json").json()
    return schema


@pytest.mark.parametrize(
    ("path", "prefix"), [("/openapi.json", ""), ("/openapi.json", "/v1"), ("/sub/openapi.json", "")]
)
def test_each_way_to_ask_is_shown(path: str, prefix: str) -> None:
    """The scheme, optional sessions and the answers stand at each endpoint that asks, and at no other."""
    paths = document(provider(), path)["paths"]
    ways = [{"session_bearer": []}]
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
    assert set(login["responses"]) == {"201", "400", "401", "413", "422", "503"}
    assert set(schema["components"]["schemas"]["Token"]["required"]) == {"access_token"}


def test_a_login_shows_no_answer_that_it_can_not_give() -> None:
    """No 401 of the session and no 409; a 403 only where a user's sessions are limited."""
    for options, answers in (({}, {"413"}), ({"user_index": True, "max_sessions": 1}, {"403", "413"})):
        sessions = provider(**options)
        app = FastAPI()

        @app.post("/login")
        async def log_in(
            manager: Annotated[Any, Depends(sessions.get_manager)],
        ) -> Token:
            raise NotImplementedError

        sessions.document(app)
        login = app.openapi()["paths"]["/login"]["post"]
        assert set(login["responses"]) == {"200", "400", "503"} | answers
        assert {} in login["security"]
        if "403" in answers:
            assert login["responses"]["403"]["description"] == "The user has too many sessions"


def test_a_log_out_is_not_open() -> None:
    """`get_required_manager` shows that a token is needed, and only what ending a session can come to.

    What changes a session shows the conflict too, and that it may be too large.
    """
    sessions = provider()
    app = FastAPI()

    @app.delete("/session")
    async def log_out(manager: Annotated[Any, Depends(sessions.get_required_manager)]) -> None: ...

    @app.post("/cart")
    async def change(
        session: Annotated[UserSession, Depends(sessions.get_session)],
        manager: Annotated[Any, Depends(sessions.get_manager)],
    ) -> None: ...

    @app.post("/orders")
    async def guarded(
        manager: Annotated[Any, Security(sessions.get_manager, scopes=["orders:read"])],
    ) -> None: ...

    @app.post("/edit")
    async def edit(session: Annotated[UserSession, Depends(sessions.get_editable_session)]) -> None: ...

    @app.post("/edit/as/manager")
    async def edit_as_manager(
        session: Annotated[UserSession, Depends(sessions.get_editable_session)],
        manager: Annotated[Any, Depends(sessions.get_manager)],
    ) -> None: ...

    sessions.document(app)
    for path in ("/edit", "/edit/as/manager"):
        operation = app.openapi()["paths"][path]["post"]
        assert set(operation["responses"]) == {"200", "400", "401", "409", "413", "503"}
        assert {} not in operation["security"]
    paths = app.openapi()["paths"]
    out, cart, orders = paths["/session"]["delete"], paths["/cart"]["post"], paths["/orders"]["post"]
    assert set(out["responses"]) == {"200", "400", "401", "503"}
    assert set(cart["responses"]) == {"200", "400", "401", "409", "413", "503"}
    assert set(orders["responses"]) == {"200", "400", "401", "403", "503"}
    assert orders["responses"]["403"]["description"] == "The token's scope does not permit this"
    assert not any({} in operation["security"] for operation in (out, cart, orders))


def test_a_sign_in_too_long_ago_is_shown_where_it_matters() -> None:
    """Only an endpoint with `require_fresh` speaks of it."""
    sessions = provider()
    app = FastAPI()
    for path, dependency in (("/fresh", sessions.require_fresh(60)), ("/any", sessions.get_session)):
        app.get(path, dependencies=[Depends(dependency)])(lambda: None)
    sessions.document(app)
    fresh, other = (app.openapi()["paths"][path]["get"]["responses"]["401"] for path in ("/fresh", "/any"))
    assert fresh["description"] == "No session / A sign-in too long ago for this endpoint"
    assert "max_age" in fresh["headers"]["WWW-Authenticate"]["description"]
    assert other["description"] == "No session"
    assert "max_age" not in other["headers"]["WWW-Authenticate"]["description"]


def test_what_clients_read_is_written_for_them() -> None:
    """The texts of Token, and of the base classes where they are answers; `expires_in` is left out, never null."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore())
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/login")
    async def log_in(manager: Annotated[Any, Depends(sessions.get_manager)]) -> Token:
        raise NotImplementedError

    @app.get("/session")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> Session:
        return session

    @app.get("/claims")
    async def claims() -> Claims:
        raise NotImplementedError

    @app.get("/mine")
    async def mine() -> UserSession:
        raise NotImplementedError

    schemas = app.openapi()["components"]["schemas"]
    token = schemas["Token"]
    assert token["description"] == "The token of a new session (RFC 6749 section 5.1)."
    assert token["properties"]["expires_in"]["type"] == "integer"
    assert not {"anyOf", "default"} & set(token["properties"]["expires_in"])
    assert all(member["description"] for member in token["properties"].values())
    shown = f"{schemas}"
    assert not [word for word in ("repr", "subclass", "create()", "Redis", "`exp`") if word in shown]
    assert "description" not in schemas["UserSession"]


def mounted_plain(app: Any, sub: FastAPI) -> None:
    app.mount("/sub", sub)


def mounted_behind_middleware(app: Any, sub: FastAPI) -> None:
    app.mount("/sub", GZipMiddleware(sub))


def mounted_below_a_mount(app: Any, sub: FastAPI) -> None:
    app.router.routes.append(Mount("/sub", routes=[Mount("/", app=sub)]))


@pytest.mark.parametrize("mount", [mounted_plain, mounted_behind_middleware, mounted_below_a_mount])
@pytest.mark.parametrize("parent", [FastAPI, Starlette])
def test_a_mounted_application_shows_the_answers_however_it_is_mounted(mount: Any, parent: Any) -> None:
    """The lifespan of the application above it completes its document too."""
    sessions = provider()
    app, sub = parent(lifespan=sessions.lifespan), FastAPI()
    sub.get("/me", dependencies=[Depends(sessions.get_session)])(lambda: None)
    mount(app, sub)
    with InProcess(app, raises=True) as client:
        answers = client.get("/sub/openapi.json").json()["paths"]["/me"]["get"]["responses"]
    assert {"400", "401", "503"} <= set(answers)


def test_an_application_that_is_mounted_later_shows_the_answers_after_its_first_request() -> None:
    """It did not start with the provider, which finds it when it is asked."""
    sessions = provider()
    app, sub = FastAPI(lifespan=sessions.lifespan), FastAPI()
    sub.get("/me", dependencies=[Depends(sessions.get_session)])(lambda: None)
    with InProcess(app, raises=True) as client:
        app.mount("/sub", sub)
        assert client.get("/sub/me").status_code == 401
        answers = client.get("/sub/openapi.json").json()["paths"]["/me"]["get"]["responses"]
    assert {"400", "401", "503"} <= set(answers)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("bearer",), {"session_bearer": ("http", None)}),
        (("header",), {"session_header": ("apiKey", "x-access-token")}),
        (("query",), {"session_query": ("apiKey", "accessToken")}),
        (("bearer", "query"), {"session_bearer": ("http", None)}),
        (("header", "query", "body"), {"session_header": ("apiKey", "x-access-token")}),
        (("body", "query"), {"session_query": ("apiKey", "accessToken")}),
        (("body",), {}),
    ],
)
def test_the_first_source_is_the_one_scheme(
    sources: tuple[str, ...], expected: dict[str, tuple[str, str | None]]
) -> None:
    """A client that fills in every alternative finds one; a token in a body has no scheme."""
    schema = document(provider(token_sources=sources))
    schemes = schema["components"].get("securitySchemes", {})
    assert {name: (model["type"], model.get("name")) for name, model in schemes.items()} == expected
    shown = schema["paths"]["/session"]["get"].get("security", [])
    assert [next(iter(item)) for item in shown] == [*expected]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"token_sources": ("cookie",)}, {"session_cookie": "__Host-Http-session"}),
        ({"token_sources": ("cookie", "body")}, {"session_cookie": "__Host-Http-session"}),
        (
            {"token_sources": ("cookie", "bearer")},
            {"session_bearer": None, "session_cookie": "__Host-Http-session"},
        ),
        (
            {"token_sources": ("query", "cookie"), "cookie": {"secure": False}},
            {"session_query": "accessToken", "session_cookie": "session"},
        ),
        ({"token_sources": ("cookie",), "cookie": {"name": "sid"}}, {"session_cookie": "sid"}),
        ({"token_sources": ("cookie",), "request_key": "user"}, {"user_cookie": "__Host-Http-user"}),
    ],
)
def test_the_cookie_is_a_key_beside_the_first_other_source(
    options: dict[str, Any], expected: dict[str, str | None]
) -> None:
    """An `apiKey` in `cookie` by its name; each way alone is enough, since a request that has both is valid too."""
    schema = document(provider(**options))
    schemes = schema["components"]["securitySchemes"]
    assert {name: model.get("name") for name, model in schemes.items()} == expected
    (cookie,) = [model for name, model in schemes.items() if name.endswith("_cookie")]
    assert (cookie["type"], cookie["in"]) == ("apiKey", "cookie")
    assert schema["paths"]["/session"]["get"]["security"] == [{name: []} for name in expected]
    assert schema["paths"]["/optional"]["get"]["security"] == [*({name: []} for name in expected), {}]


def test_a_refusal_of_other_sites_is_shown_where_it_can_happen() -> None:
    """At methods that change something, and only if there is a cookie."""
    for sources, shown in ((("cookie", "bearer"), True), (("bearer",), False)):
        paths = document(provider(token_sources=sources))["paths"]
        assert ("403" in paths["/session"]["post"]["responses"]) is shown
        assert ("403" in paths["/login"]["post"]["responses"]) is shown
        assert "403" not in paths["/session"]["get"]["responses"]
        assert "403" not in paths["/public"]["get"]["responses"]


@pytest.mark.parametrize("path", ["/openapi.json", "/sub/openapi.json"])
def test_a_login_s_answer_has_a_token_unless_there_is_a_cookie(path: str) -> None:
    """A generated client must not demand the token that a cookie hides, and must demand it otherwise."""
    token = document(provider(token_sources=("cookie", "bearer")), path)["components"]["schemas"]["Token"]
    assert "required" not in token
    assert token["properties"]["token_type"]["enum"] == ["bearer", "cookie"]
    assert "const" not in token["properties"]["token_type"]
    token = document(provider(), path)["components"]["schemas"]["Token"]
    assert token["required"] == ["access_token"]
    assert token["properties"]["token_type"]["const"] == "bearer"


@pytest.mark.parametrize("path", ["/openapi.json", "/sub/openapi.json"])
@pytest.mark.parametrize(
    ("mode", "sources", "shown", "types"),
    [
        ("optional", ("bearer", "header"), ["session_bearer", "session_dpop"], ["bearer", "DPoP"]),
        ("required", ("bearer", "header"), ["session_dpop"], ["DPoP"]),
        (
            "optional",
            ("cookie", "bearer"),
            ["session_bearer", "session_cookie", "session_dpop"],
            ["bearer", "cookie", "DPoP"],
        ),
        ("optional", ("header", "bearer"), ["session_header", "session_dpop"], ["bearer", "DPoP"]),
    ],
)
def test_tokens_that_are_bound_to_keys_have_a_scheme(
    path: str, mode: Literal["optional", "required"], sources: Any, shown: list[str], types: list[str]
) -> None:
    """Of `http`, beside the other one or in its place; and a login's answer says which tokens there are."""
    sessions = provider(token_sources=sources, dpop={"mode": mode}, public_url="https://api.example.com")
    schema = document(sessions, path)
    assert schema["paths"]["/session"]["get"]["security"] == [{name: []} for name in shown]
    scheme = schema["components"]["securitySchemes"]["session_dpop"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "DPoP")
    token = schema["components"]["schemas"]["Token"]
    kind = token["properties"]["token_type"]
    assert (kind.get("enum") or [kind["const"]]) == types
    assert kind["default"] in types
    assert ("required" in token) is ("cookie" not in sources)


def test_a_password_form_has_no_place_where_keys_are_required() -> None:
    """Swagger UI can't make proofs, so its dialog could not log in."""
    options: Any = {"dpop": {"mode": "required"}, "public_url": "https://api.example.com"}
    schemes = document(provider("login", **options))["components"]["securitySchemes"]
    assert set(schemes) == {"session_dpop"}


def test_a_token_in_the_body_is_a_member_of_the_body() -> None:
    """OpenAPI has no scheme for it: where it is all there is, endpoints without a body of their own show one."""
    paths = document(provider(token_sources=("body",)))["paths"]
    content = paths["/session"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/x-www-form-urlencoded"}
    assert "accessToken" in content["application/json"]["schema"]["properties"]
    assert "requestBody" not in paths["/session"]["get"]
    assert set(paths["/login"]["post"]["requestBody"]["content"]) == {"application/x-www-form-urlencoded"}


def test_the_other_sources_are_told_in_the_description() -> None:
    """The scheme says where else a token may come; a single source says nothing of others."""

    def description(**options: Any) -> str:
        (scheme,) = document(provider(**options))["components"]["securitySchemes"].values()
        text: str = scheme["description"]
        return text

    assert "or" not in description(token_sources=("bearer",)).split()
    assert description().endswith("It may come in the header `x-access-token` instead.")
    told = description(token_sources=("query", "header", "bearer", "body"), token_url="login")
    for place in ("`accessToken` of the URL", "`x-access-token`", "JSON or form body"):
        assert place in told
    assert "Authorization" not in told


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
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with users.lifespan(app), admins.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def both(
        user: Annotated[UserSession, Depends(users.get_session)],
        admin: Annotated[UserSession | None, Depends(admins.get_optional_session)],
    ) -> None: ...

    with InProcess(app, raises=True) as client:
        security = client.get("/openapi.json").json()["paths"]["/"]["get"]["security"]
    assert {frozenset(item) for item in security} == {
        frozenset({"session_bearer", "admin_query"}),
        frozenset({"session_bearer"}),
    }


def test_without_a_start_the_ways_are_shown_and_document_does_the_rest() -> None:
    """A script that exports the document without running the application can have it whole."""
    sessions = provider()
    app = application(sessions)
    assert app.openapi()["paths"]["/session"]["get"]["security"] == [{"session_bearer": []}]
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
    assert first == document(provider(), "/openapi.json")


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
    with InProcess(app, raises=True) as client:

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

    with InProcess(app, raises=True) as client:
        assert client.get("/openapi.json").json()["paths"] == {}


@pytest.mark.parametrize("sources", [["bearer"], ["cookie", "bearer"]], ids="-".join)
def test_a_subclass_of_token_is_shown_with_its_own_fields(sources: list[Any]) -> None:
    """Its required fields stay required, also where a cookie may take the token's place; a kind of its own stays."""

    class Own(Token):
        user: int

    class Fixed(Token):
        token_type: Literal["bearer"] = "bearer"

    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), token_sources=sources)
    app = FastAPI()

    @app.post("/own")
    async def own(manager: Annotated[SessionManager, Depends(sessions.get_manager)]) -> Own:
        raise NotImplementedError

    @app.post("/fixed")
    async def fixed(manager: Annotated[SessionManager, Depends(sessions.get_manager)]) -> Fixed:
        raise NotImplementedError

    sessions.document(app)
    schemas = app.openapi()["components"]["schemas"]
    cookies = "cookie" in sources
    assert schemas["Own"]["required"] == (["user"] if cookies else ["access_token", "user"])
    assert schemas["Own"]["properties"]["token_type"].get("enum") == (["bearer", "cookie"] if cookies else None)
    assert schemas["Fixed"].get("required") == (None if cookies else ["access_token"])
