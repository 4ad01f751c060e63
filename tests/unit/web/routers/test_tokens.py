"""Tests of jwtsession.web.routers.tokens: what a gateway learns about a token, and how it ends a session."""

import secrets
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Form, HTTPException
from fastapi.security import HTTPBasic, HTTPBearer
from starlette.responses import Response

from jwtsession import (
    Claims,
    ConfigurationError,
    Session,
    SessionEvent,
    SessionManager,
    SessionProvider,
    StoreUnavailableError,
    Token,
    client_credentials,
)
from jwtsession.testing import InspectableStore
from tests import proofs
from tests.conftest import SECRET, Clock
from tests.proofs import PUBLIC_URL
from tests.security import forge
from tests.web import InProcess, bearer, in_process

GATEWAY = secrets.token_urlsafe(32)
INACTIVE = b'{"active":false}'
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class UserClaims(Claims):
    role: str = "user"


class World:
    """An application with the router, a store and a clock, and a client that is the gateway."""

    client: InProcess

    def __init__(self, router: dict[str, Any] | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.store = InspectableStore(self.clock)
        self.events: list[SessionEvent] = []
        sessions = SessionProvider(
            None, UserClaims, secret=SECRET, store=self.store, clock=self.clock, on_event=self.events.append, **options
        )
        self.sessions, self.app = sessions, FastAPI(lifespan=sessions.lifespan)
        self.app.include_router(
            sessions.token_router(client_credentials({"gateway": GATEWAY}), **router or {}), prefix="/oauth"
        )

        @self.app.post("/session")
        async def log_in(manager: Annotated[SessionManager, Depends(sessions.get_manager)]) -> Token:
            claims = UserClaims(
                sub="ann", scope="a b", nbf=self.clock() - 0.5, role="admin", acr="aal2", amr=["pwd", "otp"]
            )
            return await manager.create(Session(), claims)

        @self.app.put("/session")
        async def move(manager: Annotated[SessionManager, Depends(sessions.get_manager)]) -> Token:
            return await manager.regenerate()

        @self.app.get("/session")
        async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> None: ...

    def log_in(self) -> str:
        token: str = self.client.post("/session").json()["access_token"]
        return token

    def ask(self, path: str, **sent: Any) -> httpx2.Response:
        return self.client.post(f"/oauth/{path}", auth=("gateway", GATEWAY), **sent)

    def introspect(self, token: str) -> bytes:
        answer = self.ask("introspect", data={"token": token})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        return answer.content

    def lives(self, token: str) -> bool:
        return self.client.get("/session", headers=bearer(token)).status_code == 200


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(**getattr(request, "param", {}))
    with in_process(made.app) as made.client:
        yield made


def each_world(*options: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("world", options, indirect=True)


@each_world({"issuer": "https://shop.example", "audience": "shop"})
def test_an_active_token(world: World) -> None:
    """The registered claims, as RFC 7662 section 2.2 names and types them, and no claim of the application's own."""
    answer = world.ask("introspect", data={"token": world.log_in(), "token_type_hint": "access_token"})
    now = int(world.clock())
    told = answer.json()
    assert len(told.pop("jti")) == 43
    assert told == {
        "active": True,
        "token_type": "Bearer",
        "scope": "a b",
        "sub": "ann",
        "iss": "https://shop.example",
        "aud": "shop",
        "exp": now + 2_592_000,
        "iat": now,
        "nbf": now - 1,
        "auth_time": now,
        "acr": "aal2",
        "amr": ["pwd", "otp"],
    }


def test_every_inactive_token_gets_the_same_answer(world: World) -> None:
    """To the byte, whatever the reason is: a caller learns nothing of the reasons."""
    ended, idle, old = world.log_in(), world.log_in(), world.log_in()
    world.ask("revoke", data={"token": ended})
    moved = world.client.put("/session", headers=bearer(old)).json()["access_token"]
    assert b"true" in world.introspect(moved)
    corrupt = world.log_in()
    (session_id,) = {
        each for each in world.store.contents if each in str(world.ask("introspect", data={"token": corrupt}).json())
    }
    world.store.put(session_id, b"no JSON")
    tokens = [ended, old, corrupt, "x", "a.b.c", "x" * 9000, "ä\x00", forge.signed(key=b"another"), forge.genuine()]
    tokens += [forge.with_claims(exp=forge.NOW - 1), forge.with_claims(nbf=forge.NOW + 99), forge.with_claims(aud="x")]
    tokens += [forge.with_header(alg="none"), forge.with_claims(cnf={"jkt": "A" * 43})]
    assert {world.introspect(each) for each in tokens} == {INACTIVE}
    assert b"true" in world.introspect(idle)
    world.clock.advance(86_400 * 2)
    assert world.introspect(idle) == INACTIVE


@each_world({"max_age": 100})
def test_it_is_no_use_of_the_session(world: World) -> None:
    """However often a gateway asks, the idle timeout goes on."""
    token = world.log_in()
    for state in (True, False):
        world.clock.advance(60)
        assert world.ask("introspect", data={"token": token}).json()["active"] is state
    assert not world.store.contents


@each_world({"max_age": 100, "router": {"extend": True}, "user_index": True})
def test_with_extend_it_is_a_use_of_the_session(world: World) -> None:
    """Each introspection restarts the idle timeout."""
    token = world.log_in()
    for _ in range(3):
        world.clock.advance(60)
        assert b"true" in world.introspect(token)
    (stored,) = world.store.contents.values()
    assert stored.expires == world.clock() + 100


@each_world({"router": {"extend": False}}, {"router": {"extend": True}})
def test_the_store_down_is_503_and_never_an_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither active nor inactive: another try, a second later."""
    token = world.log_in()

    async def fail(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError

    monkeypatch.setattr(world.store, "load", fail)
    monkeypatch.setattr(world.store, "destroy", fail)
    for path in ("introspect", "revoke"):
        answer = world.ask(path, data={"token": token})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert b"active" not in answer.content


def test_a_revocation_ends_the_session(world: World) -> None:
    """At once, with an event; and again it is 200 and nothing."""
    token, other = world.log_in(), world.log_in()
    for _ in range(2):
        answer = world.ask("revoke", data={"token": token})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["cache-control"] == "no-store"
    assert not world.lives(token)
    assert world.lives(other)
    assert world.introspect(token) == INACTIVE
    world.client.__exit__(None, None, None)  # the end of the application delivers what waits
    assert [each.name for each in world.events].count("destroyed") == 1


@each_world({"user_index": True})
def test_a_revocation_clears_the_users_index(world: World) -> None:
    """The user's list has the other sessions alone."""
    tokens = [world.log_in() for _ in range(3)]

    @world.app.get("/count")
    async def count() -> int:
        return len(await world.sessions.list_sessions("ann"))

    assert world.client.get("/count").json() == 3
    world.ask("revoke", data={"token": tokens[0]})
    assert world.client.get("/count").json() == 2


@each_world({"revoke_before": True})
def test_everybody_out_counts_here_too(world: World) -> None:
    """A token from before `revoke_before()` is inactive; one from after is active."""
    token = world.log_in()

    @world.app.post("/everybody-out")
    async def everybody_out() -> None:
        await world.sessions.revoke_before()

    assert b"true" in world.introspect(token)
    world.clock.advance(2)
    assert world.client.post("/everybody-out").status_code == 200
    world.clock.advance(2)
    assert world.introspect(token) == INACTIVE
    assert b"true" in world.introspect(world.log_in())


@pytest.mark.parametrize("token", ["x", forge.signed(key=b"another"), forge.with_claims(exp=forge.NOW - 1)])
def test_a_token_that_is_not_valid_is_revoked_already(world: World, token: str) -> None:
    """200 for unknown, malformed and expired tokens (RFC 7009 section 2.2)."""
    answer = world.ask("revoke", data={"token": token, "token_type_hint": "refresh_token"})
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_refused_token_is_an_event(world: World) -> None:
    """As everywhere: the log and the hook see which tokens somebody tries."""
    world.introspect(forge.signed(key=b"another"))
    world.client.__exit__(None, None, None)
    assert [(each.name, each.code) for each in world.events] == [("refused", "token_signature")]


@each_world({}, {"user_index": True})
def test_a_revocation_by_a_replaced_token_ends_the_session(world: World) -> None:
    """The token from before `regenerate()` still names its session, as for a logout."""
    old = world.log_in()
    new = world.client.put("/session", headers=bearer(old)).json()["access_token"]
    assert world.ask("revoke", data={"token": old}).status_code == 200
    assert not world.lives(new)
    assert not world.store.contents


@each_world({"on_reuse": "refuse"}, {"on_reuse": "end"})
def test_a_question_about_a_replaced_token_is_a_reuse(world: World) -> None:
    """Inactive, as any other; the event is the same as where an endpoint meets the token, and so is what follows."""
    old = world.log_in()
    new = world.client.put("/session", headers=bearer(old)).json()["access_token"]
    world.clock.advance(60)
    assert world.introspect(old) == INACTIVE
    ends = world.introspect(new) == INACTIVE
    world.client.__exit__(None, None, None)
    assert "reuse_detected" in [each.name for each in world.events]
    assert ends is ("destroyed" in [each.name for each in world.events])


@each_world({"rotation": {"after": 900, "grace": 30}})
def test_a_question_replaces_no_token(world: World) -> None:
    """A token that is due stays the newest; one that was replaced and is beyond the grace is inactive."""
    first = world.log_in()
    world.clock.advance(901)
    for _ in range(3):
        answer = world.ask("introspect", data={"token": first})
        assert answer.json()["active"] is True
        assert "session-token" not in answer.headers
    second = world.client.get("/session", headers=bearer(first)).headers["session-token"]
    assert b"true" in world.introspect(second)
    world.clock.advance(31)
    assert world.introspect(first) == INACTIVE


@each_world({"dpop": {"mode": "optional"}, "public_url": PUBLIC_URL})
def test_a_bound_token_comes_with_its_key(world: World) -> None:
    """No proof is asked for: whoever asks checks it, by `cnf` (RFC 9449 section 6.2)."""
    proof = proofs.proof(PUBLIC_URL + "/session", "POST", iat=world.clock()).decode()
    token = world.client.post("/session", headers={"DPoP": proof}).json()["access_token"]
    told = world.ask("introspect", data={"token": token}).json()
    assert (told["active"], told["token_type"], [*told["cnf"]]) == (True, "DPoP", ["jkt"])
    assert world.ask("introspect", data={"token": world.log_in()}).json()["token_type"] == "Bearer"
    world.ask("revoke", data={"token": token})
    assert world.introspect(token) == INACTIVE


BAD: dict[str, dict[str, Any]] = {
    "no body": {},
    "no token": {"data": {"token_type_hint": "access_token"}},
    "an empty token": {"data": {"token": ""}},
    "two tokens": {"data": {"token": ["a", "a"]}},
    "two hints": {"data": {"token": "a", "token_type_hint": ["x", "y"]}},
    "JSON": {"json": {"token": "a"}},
    "no type": {"content": b"token=a"},
    "a multipart form": {"files": {"token": b"a"}},
    "in the URL": {"params": {"token": "a"}, "data": {"token": "a"}},
}


@pytest.mark.parametrize("path", ["introspect", "revoke"])
@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
def test_anything_but_one_token_in_a_form_is_a_400(world: World, path: str, sent: dict[str, Any]) -> None:
    """`invalid_request`, as RFC 6749 section 5.2 has it."""
    answer = world.ask(path, **sent)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("size", "chunked", "status"),
    [(102_400, False, 200), (102_401, False, 413), (102_401, True, 413), (9_000, True, 200)],
)
def test_a_large_body_is_not_read(world: World, size: int, chunked: bool, status: int) -> None:
    """Up to 100 KiB, whether or not the caller says its length."""
    body = b"token=" + b"x" * (size - 6)
    sent: Any = (body[at : at + 1000] for at in range(0, size, 1000)) if chunked else body
    answer = world.ask("introspect", content=sent, headers=FORM)
    assert answer.status_code == status
    assert answer.json().get("error") == (None if status == 200 else "invalid_request")


def test_many_fields_are_refused(world: World) -> None:
    """A form with more than a thousand fields."""
    assert world.ask("introspect", content=b"a=&" * 1001 + b"token=x", headers=FORM).status_code == 413


def test_other_content_type_spellings_and_fields(world: World) -> None:
    """A charset, upper case, and fields that nobody knows are fine: gateways send them."""
    token = world.log_in()
    headers = {"Content-Type": "Application/X-WWW-Form-URLEncoded; charset=UTF-8"}
    answer = world.ask("introspect", content=f"client_id=gateway&token={token}".encode(), headers=headers)
    assert answer.json()["active"] is True


@pytest.mark.parametrize("path", ["introspect", "revoke"])
def test_the_caller_must_authenticate(world: World, path: str) -> None:
    """401 with a challenge, before the body is looked at, and the session lives."""
    token = world.log_in()
    for auth in (None, ("gateway", "x"), ("other", GATEWAY), ("gateway", GATEWAY + "x"), (GATEWAY, "gateway")):
        bodies: list[dict[str, Any]] = [{"data": {"token": token}}, {"json": {}}]
        for sent in bodies:
            answer = world.client.post(f"/oauth/{path}", auth=auth, **sent)
            assert answer.status_code == 401
            assert answer.json() == {"error": "invalid_client"}
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert world.client.post(f"/oauth/{path}", headers=bearer(token), data={"token": token}).status_code == 401
    assert world.lives(token)


class Basic(HTTPBasic):
    """Only another name."""


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "gateway",
        {"gateway": GATEWAY},
        HTTPBasic(),
        HTTPBearer(auto_error=False),
        HTTPBasic,
        Basic(),
        partial(partial(HTTPBasic(auto_error=False))),
        Claims,
        Session,
    ],
)
def test_what_authenticates_nobody_is_refused(wrong: Any) -> None:
    """FastAPI's own classes read credentials and check none of them, and a model is content with its fields."""
    sessions = SessionProvider(secret=SECRET, store=InspectableStore(Clock()))
    with pytest.raises(ConfigurationError, match="authenticate_client: "):
        sessions.token_router(wrong)


def test_a_dependency_that_lets_requests_without_a_session_pass_is_refused() -> None:
    """Two of the provider's own dependencies let everybody pass; `get_session` does not."""
    sessions = SessionProvider(secret=SECRET, store=InspectableStore(Clock()))
    for wrong in (sessions.get_optional_session, sessions.get_manager):
        with pytest.raises(ConfigurationError, match="without a session"):
            sessions.token_router(wrong)
    assert sessions.token_router(sessions.get_session)


def own_dependency(answer: Any) -> World:
    world = World()
    app = FastAPI(lifespan=world.sessions.lifespan)

    async def authenticate(client_secret: Annotated[str, Form()] = "") -> Any:
        if answer == "raise" and client_secret != GATEWAY:
            raise HTTPException(401, "Who are you?")
        return answer

    app.include_router(world.sessions.token_router(authenticate, introspect_path="/a", revoke_path="/b"))
    world.app = app
    return world


def test_a_dependency_of_ones_own() -> None:
    """Its own 401 is the answer, and it may read the form (`client_secret_post`)."""
    world = own_dependency("raise")
    with in_process(world.app) as client:
        for path in ("/a", "/b"):
            refused = client.post(path, data={"token": "x", "client_secret": "wrong"})
            assert (refused.status_code, refused.json()) == (401, {"detail": "Who are you?"})
            assert client.post(path, data={"token": "x", "client_secret": GATEWAY}).status_code == 200
            assert client.post(path, data={"client_secret": GATEWAY}).status_code == 400
        assert client.post("/a", data={"token": ["x", "y"], "client_secret": GATEWAY}).status_code == 400


def test_a_dependency_that_answers_no() -> None:
    """False is a refusal, and so is an exception that is returned: an author may have meant it so."""
    for answer in (False, HTTPException(401), Response(status_code=401)):
        with in_process(own_dependency(answer).app) as client:
            assert client.post("/a", data={"token": "x"}).status_code == 401
    with in_process(own_dependency(None).app) as client:
        assert client.post("/a", data={"token": "x"}).status_code == 200


def test_the_document(world: World) -> None:
    """OpenAPI shows the form, every answer with its model, and how the caller authenticates; nothing is nullable."""
    document = world.client.get("/openapi.json").json()
    for path, model in (("introspect", "TokenStatus"), ("revoke", None)):
        (operation,) = document["paths"][f"/oauth/{path}"].values()
        (form,) = operation["requestBody"]["content"].items()
        assert form[0] == "application/x-www-form-urlencoded"
        assert form[1]["schema"]["required"] == ["token"]
        assert form[1]["schema"]["properties"]["token_type_hint"]["type"] == "string"
        assert operation["security"] == [{"client_credentials": []}]
        assert operation["responses"].keys() == {"200", "400", "401", "413", "503"}
        shown = operation["responses"]["200"].get("content", {})
        if model is not None:
            assert shown["application/json"]["schema"] == {"$ref": f"#/components/schemas/{model}"}
        else:
            assert shown == {}
    status = document["components"]["schemas"]["TokenStatus"]
    assert status["required"] == ["active"]
    assert "null" not in str(status)
    assert "title" in status["properties"]["aud"]
    assert document["components"]["securitySchemes"]["client_credentials"]["scheme"] == "basic"


@pytest.mark.parametrize("world", [{"revoke_before": True}], indirect=True)
def test_a_token_from_before_revoke_before_is_inactive(world: World) -> None:
    """A gateway learns at once that everybody was logged out. A new login is active."""
    token = world.log_in()
    assert world.introspect(token) != INACTIVE
    world.client.call(world.sessions.revoke_before)
    assert world.introspect(token) == INACTIVE
    world.clock.advance(1)
    assert world.introspect(world.log_in()) != INACTIVE
