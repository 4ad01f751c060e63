"""`SessionTester`: the tests that a user writes for an application whose provider is a module's global."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from jwtsession import (
    Claims,
    ConfigurationError,
    InvalidArgumentError,
    MemorySessionStore,
    NotStartedError,
    Session,
    SessionNotFoundError,
    SessionProvider,
    StoreUnavailableError,
    TooManySessionsError,
)
from jwtsession.testing import Clock, InspectableStore, SessionTester
from tests.conftest import SECRET
from tests.keymaterial import private_key, public_pem
from tests.unit.testing import shop
from tests.unit.testing.shop import UserClaims, UserSession, ann, app, sessions

Tester = SessionTester[UserSession, UserClaims]


@pytest.fixture
def tester() -> Iterator[Tester]:
    with SessionTester(sessions) as tester:
        yield tester


@pytest.fixture
def client(tester: Tester) -> Iterator[TestClient]:
    with tester.client(app) as client:
        yield client


def test_the_contracts_example() -> None:
    """A session that was used two hours after the login lives, and 25 hours later it does not."""
    tester = SessionTester(sessions)
    with tester.client(app) as client:
        login = tester.login(UserSession(user_id=1), UserClaims(sub="1"), age=timedelta(hours=2))
        assert client.get("/session", headers=login.headers).json() == {"user_id": 1, "cart": []}
        tester.clock.advance(hours=25)
        assert client.get("/session", headers=login.headers).status_code == 401
    with pytest.raises(ConfigurationError, match="secret: is required"), TestClient(app):
        pass


READS = ["/session", "/by-class", "/peek", "/optional", "/fresh", "/page", "/role", "/sync"]


@pytest.mark.parametrize("path", READS)
def test_whatever_was_made_at_import_follows(client: TestClient, tester: Tester, path: str) -> None:
    """Dependencies, `Depends()` on the class, and `sync` work by the tester's store, clock and secret."""
    login = tester.login(*ann())
    answer = client.get(path, headers=login.headers)
    assert (answer.status_code, answer.json()) == (
        200,
        {"/optional": 1, "/role": "admin", "/sync": 1}.get(path, {"user_id": 1, "cart": []}),
    )


def test_routers_that_were_included_follow(client: TestClient, tester: Tester) -> None:
    """The health check, introspection and revocation ask the tester's store, with the tester's keys."""
    login = tester.login(*ann())
    asked: dict[str, Any] = {"data": {"token": login.token}, "auth": shop.GATEWAY}
    assert client.get("/healthz").status_code == 200
    assert client.get("/.well-known/jwks.json").json() == {"keys": []}
    assert client.post("/introspect", **asked).json()["sub"] == "1"
    client.post("/revoke", **asked)
    assert client.post("/introspect", **asked).json() == {"active": False}


def test_require_fresh_has_the_testers_clock(client: TestClient, tester: Tester) -> None:
    """It was made when the module was imported, with the clock that the provider had then."""
    login = tester.login(*ann(), age=590)
    assert client.get("/fresh", headers=login.headers).status_code == 200
    tester.clock.advance(11)
    assert client.get("/fresh", headers=login.headers).status_code == 401
    assert client.get("/session", headers=login.headers).status_code == 200


def test_a_login_is_a_real_one(client: TestClient, tester: Tester) -> None:
    """It stands in the user's index and counts for the limit; the token has the claims; an event tells of it."""
    logins = [tester.login(*ann()) for _ in range(3)]
    assert [*tester.store.contents] == [each.id for each in logins]
    assert client.get("/sync", headers=logins[0].headers).json() == 3
    with pytest.raises(TooManySessionsError):
        tester.login(*ann())
    assert logins[0].claims.role == "admin"
    assert logins[0].session == UserSession(user_id=1)
    assert repr(logins[0]).startswith(f"Login(handle={logins[0].handle!r}, session=UserSession(")
    assert logins[0].token not in repr(logins[0])
    assert logins[0].id not in repr(logins[0])
    told = [(each.name, each.handle) for each in tester.events]
    assert told == [*(("created", each.handle) for each in logins), ("refused", None)]


def test_a_login_works_before_within_and_between(tester: Tester) -> None:
    """No application runs, one runs, it has ended, another run of it: the session is the same."""
    before = tester.login(*ann())
    with tester.client(app) as client:
        assert client.get("/session", headers=before.headers).status_code == 200
        within = tester.login(*ann())
    between = tester.login(*ann())
    with tester.client(app) as client:
        for each in (before, within, between):
            assert client.get("/session", headers=each.headers).status_code == 200


def test_the_test_sees_no_event_loop(tester: Tester) -> None:
    """Not while a login is made, and not afterwards: a test may have one of its own."""

    async def work() -> str:
        return tester.login(*ann()).id  # the loop waits, as for any blocking call

    assert asyncio.run(work()) in tester.store.contents
    tester.login(*ann())
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


async def _in_the_loop(tester: Tester) -> None:
    async with sessions:
        with pytest.raises(RuntimeError, match="use AsyncSessionTester"):
            tester.login(*ann())


def test_where_it_would_wait_for_itself_it_says_so(tester: Tester) -> None:
    """On the event loop that runs the provider a blocking call can't work."""
    asyncio.run(_in_the_loop(tester))


def test_an_application_without_its_lifespan_is_told_so(tester: Tester) -> None:
    """The tester does not hide the mistake: a request raises NotStartedError, as in production; a login works."""
    forgetful = FastAPI()

    @forgetful.get("/session")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> None: ...

    login = tester.login(*ann())
    with tester.client(forgetful) as client, pytest.raises(NotStartedError, match="lifespan="):
        client.get("/session", headers=login.headers)
    with pytest.raises(NotStartedError, match="with TestClient"):
        tester.client(app).get("/session", headers=login.headers)


def test_after_the_test_everything_is_as_before() -> None:
    """Each part is the very object that it was, and nothing that the test has made is left."""
    before = [shop.state_of(each) for each in (sessions, sessions.get_session)]
    session_dependencies = sessions.get_session, sessions.get_manager
    tester = SessionTester(sessions)
    with tester.client(app) as client:
        login = tester.login(*ann())
        client.get("/session", headers=login.headers)
        assert sessions.store is tester.store
        assert repr(sessions).startswith("SessionProvider(UserSession, MemorySessionStore")
    assert [shop.state_of(each) for each in (sessions, sessions.get_session)] == before
    assert session_dependencies == (sessions.get_session, sessions.get_manager)
    assert "redis://nobody.invalid" in repr(sessions)
    with pytest.raises(NotStartedError):
        asyncio.run(sessions.get(login.id))


def test_a_token_of_one_test_is_worth_nothing_in_the_next() -> None:
    """The secret is another one, the cache of verified tokens is empty, and the sessions are gone."""
    with SessionTester(sessions) as first, first.client(app) as client:
        login = first.login(*ann())
        assert client.get("/session", headers=login.headers).status_code == 200
    with SessionTester(sessions) as second, second.client(app) as client:
        assert client.get("/session", headers=login.headers).status_code == 401
        assert [(each.name, each.code) for each in second.events] == [("refused", "token_signature")]


def test_the_document_is_the_same(client: TestClient) -> None:
    """OpenAPI shows what it shows without a tester."""
    shown = client.get("/openapi.json").json()
    assert shown["components"]["securitySchemes"].keys() > {"session_bearer", "session_cookie"}
    assert {"401", "503"} <= shown["paths"]["/session"]["get"]["responses"].keys()


def test_events_are_recorded_at_once_and_passed_on(tester: Tester) -> None:
    """The test waits for no thread, and the application's own hook gets each event too."""
    shop.passed_on.clear()
    with tester.client(app) as client:
        login = tester.login(*ann())
        client.delete("/session", headers=login.headers)
        assert [each.name for each in tester.events] == ["created", "destroyed"]
    assert shop.passed_on == tester.events


def test_one_provider_has_one_tester() -> None:
    """A second tester at the same time is refused, and disturbs nothing; one after the other is fine."""
    with SessionTester(sessions) as tester:
        with pytest.raises(ConfigurationError, match="has a tester already"), SessionTester(sessions):
            pass
        with tester, tester.client(app) as client, tester.client(app) as other:
            login = tester.login(*ann())
            assert [each.get("/session", headers=login.headers).status_code for each in (client, other)] == [200, 200]
        assert tester.login(*ann()).id in tester.store.contents
    with SessionTester(sessions) as tester:
        assert tester.store.contents == {}


def test_a_provider_that_runs_is_refused() -> None:
    """Its open connections and its applications would be lost."""
    running = SessionProvider(Session, secret=SECRET, store=MemorySessionStore())
    one = FastAPI(lifespan=running.lifespan)
    with TestClient(one), pytest.raises(ConfigurationError, match="is running: begin the tester before"):
        SessionTester(running).__enter__()
    with SessionTester(running) as tester:
        tester.login({})


def test_a_test_that_fails_leaves_nothing() -> None:
    """Also if the application can't start, or the test raises within the block."""
    broken = SessionProvider(Session, secret=SECRET, request_key="broken")

    async def fail(app: FastAPI) -> Any:
        raise RuntimeError("no")
        yield

    tester = SessionTester(broken)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no"), tester.client(FastAPI(lifespan=fail)):
            pass
    with pytest.raises(ZeroDivisionError), tester:
        _ = 1 / 0
    assert "redis://" in repr(broken)


def test_nothing_works_without_the_block() -> None:
    """A tester that nobody has begun would write to the real store."""
    tester = SessionTester(sessions)
    for work in (lambda: tester.login(*ann()), lambda: tester.outage().__enter__()):
        with pytest.raises(NotStartedError, match=r"with SessionTester\(sessions\) as tester"):
            work()


def test_two_providers_of_one_application() -> None:
    """Each has a tester, and its own clock and store."""
    users = SessionProvider(UserSession, request_key="users")
    admins = SessionProvider(Session, request_key="admins", keyspace="admins:")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with users.lifespan(app), admins.lifespan(app):
            yield

    both = FastAPI(lifespan=lifespan)

    @both.get("/")
    async def read(
        user: Annotated[UserSession, Depends(users.get_session)],
        admin: Annotated[Session | None, Depends(admins.get_optional_session)],
    ) -> list[bool]:
        return [user is not None, admin is not None]

    with SessionTester(users) as one, SessionTester(admins) as other, one.client(both) as client:
        login = one.login({"user_id": 1})
        assert client.get("/", headers=login.headers).json() == [True, False]
        other.login({})
        assert len(one.store.contents) == len(other.store.contents) == 1
        other.clock.advance(days=2)
        assert client.get("/", headers=login.headers).json() == [True, False]


def test_providers_that_share_their_sessions_share_them_in_a_test() -> None:
    """The second one has the store and the secret of the first one's tester."""
    shop_sessions = SessionProvider(UserSession, request_key="shop")
    office = SessionProvider(UserSession, request_key="office", shares_sessions_with=shop_sessions)
    with SessionTester(shop_sessions, now=1_900_000_000) as first, SessionTester(office, now=1_900_000_000) as second:
        login = first.login({"user_id": 7})
        assert second.reload(login).user_id == 7  # type: ignore[arg-type]
        assert second.store is first.store


# Logins


def test_a_login_of_a_while_ago(tester: Tester) -> None:
    """`age` moves iat and auth_time, not the idle timeout; a token that is older than the absolute one has expired."""
    now = tester.clock.now
    login = tester.login(*ann(), age=timedelta(days=2))
    assert (login.claims.iat, login.claims.auth_time) == (now - 172_800, now - 172_800)
    assert tester.store.contents[login.id].expires == now + 86_400
    with tester.client(app) as client:
        assert client.get("/session", headers=login.headers).status_code == 200
        old = tester.login(*ann(), age=timedelta(days=31))
        assert client.get("/session", headers=old.headers).status_code == 401
        assert tester.events[-1].code == "expired_token"
    with pytest.raises(InvalidArgumentError, match="age"):
        tester.login(*ann(), age=-1)


def test_a_sign_in_apart_from_the_login(tester: Tester) -> None:
    """`auth_time` takes seconds or a `datetime`, with claims and without."""
    for given in (1_700_000_000, datetime.fromtimestamp(1_700_000_000, UTC)):
        assert tester.login(*ann(), auth_time=given).claims.auth_time == 1_700_000_000
    assert tester.login({"user_id": 1}, auth_time=1_700_000_000).claims.role == "user"


def test_a_login_in_the_cookie(client: TestClient, tester: Tester) -> None:
    """The client is logged in by the cookie; CSRF is checked; an answer that sets the cookie replaces it."""
    login = tester.login(*ann(), transport="cookie", client=client)
    assert login.headers == {"Cookie": f"__Host-Http-session={login.token}"}
    assert login.cookies == {"__Host-Http-session": login.token}
    assert client.get("/session").json()["user_id"] == 1
    assert client.post("/move", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/move").json()["token_type"] == "cookie"
    assert client.get("/session").status_code == 200
    assert len(client.cookies.jar) == 1
    assert client.delete("/session").status_code == 204
    assert client.get("/session").status_code == 401


def test_a_login_of_a_client_by_its_header(client: TestClient, tester: Tester) -> None:
    """By default a login goes the way in which the provider delivers its tokens."""
    tester.login(*ann(), client=client)
    assert client.get("/session").json()["user_id"] == 1
    assert not client.cookies


def test_a_login_by_the_application_keeps_its_cookie(tester: Tester) -> None:
    """The client has an https address and the header of the application's own page."""
    with tester.client(app, headers={"Session-Transport": "cookie"}) as client:
        assert client.post("/session", data={"user_id": 5}).json()["token_type"] == "cookie"
        assert client.get("/session").json()["user_id"] == 5
        with client.websocket_connect("/live") as socket:
            assert socket.receive_json() == 5


@pytest.mark.parametrize(
    ("sources", "headers"),
    [
        (["bearer"], ["Authorization"]),
        (["header", "bearer"], ["Authorization"]),
        (["header"], ["x-access-token"]),
        (["cookie"], ["Cookie"]),
        (["cookie", "bearer"], ["Cookie"]),
        (["query", "cookie"], ["Cookie"]),
    ],
)
def test_a_login_has_the_headers_that_its_provider_takes(sources: list[Any], headers: list[str]) -> None:
    """Whatever `token_sources` are."""
    provider = SessionProvider(Session, token_sources=sources)
    one = FastAPI(lifespan=provider.lifespan)

    @one.get("/")
    async def read(session: Annotated[Session, Depends(provider.get_session)]) -> None: ...

    tester = SessionTester(provider)
    with tester.client(one) as client:
        login = tester.login({"a": 1})
        assert [*login.headers] == headers
        assert client.get("/", headers=login.headers).status_code == 200


def test_a_login_that_no_header_can_carry() -> None:
    """The error says what to send; a cookie that is no token source is refused."""
    with SessionTester(SessionProvider(Session, token_sources=["query"])) as tester:
        login = tester.login({})
        with pytest.raises(ConfigurationError, match="tokens from query only"):
            _ = login.headers
        assert login.cookies == {}
        with pytest.raises(ConfigurationError, match="playwright"):
            login.playwright("http://localhost")
        with pytest.raises(InvalidArgumentError, match="transport"):
            tester.login({}, transport="cookie")
        with pytest.raises(InvalidArgumentError, match='must be "cookie" or "bearer"'):
            tester.login({}, transport="cookies")  # type: ignore[arg-type]


def test_a_login_for_playwright(tester: Tester) -> None:
    """One cookie for `context.add_cookies`, with the attributes that the provider gives it."""
    login = tester.login(*ann())
    assert login.playwright("https://localhost:8443") == [
        {
            "name": "__Host-Http-session",
            "value": login.token,
            "url": "https://localhost:8443",
            "httpOnly": True,
            "secure": True,
            "sameSite": "Lax",
        }
    ]


@pytest.mark.parametrize("algorithm", ["HS384", "ES256", "ES512", "EdDSA", "RS256"])
def test_each_algorithm_gets_a_key(algorithm: Any) -> None:
    """Also those whose keys are no random texts."""
    with SessionTester(SessionProvider(Session, algorithm=algorithm)) as tester:
        assert tester.reload(tester.login({"a": 1})).model_dump() == {"a": 1}


def test_a_provider_that_only_verifies_can_be_tested() -> None:
    """The tester signs by a key of its own: the other service is not there."""
    verifying = SessionProvider(Session, algorithm="ES256", secret=public_pem(private_key("ES256")))
    with SessionTester(verifying) as tester:
        assert tester.reload(tester.login({"a": 1})).model_dump() == {"a": 1}


# Time, outages, conflicts, ends


def test_the_clock_starts_now_or_when_the_test_says() -> None:
    """Whole seconds of the present, so that other code's times fit; `now` is another one."""
    assert abs(SessionTester(sessions).clock.now - datetime.now(UTC).timestamp()) < 60
    assert SessionTester(sessions, now=2_000_000_000).clock() == 2_000_000_000


def test_a_providers_own_test_parts_are_kept() -> None:
    """A `Clock` and an `InspectableStore` that a test has given to the provider stay its clock and its store."""
    clock = Clock()
    store = InspectableStore(clock)
    with SessionTester(SessionProvider(Session, clock=clock, store=store)) as tester:
        assert (tester.clock, tester.store) == (clock, store)
        login = tester.login({})
        assert store.contents[login.id].expires == clock() + 86_400
    other = InspectableStore()
    with SessionTester(SessionProvider(Session, store=other)) as tester:
        tester.login({})
        tester.clock.advance(days=2)
        assert other.contents == {}


def test_an_outage(client: TestClient, tester: Tester) -> None:
    """Every call is a 503 or false, and afterwards everything works."""
    login = tester.login(*ann())
    with tester.outage():
        assert client.get("/session", headers=login.headers).status_code == 503
        assert client.get("/healthz").status_code == 503
        with pytest.raises(StoreUnavailableError):
            tester.login(*ann())
    assert client.get("/session", headers=login.headers).status_code == 200


def test_a_block_within_another_ends_alone(client: TestClient, tester: Tester) -> None:
    """The outer outage goes on, and the outer conflicts are still to come."""
    login = tester.login(*ann())
    with tester.outage():
        with tester.outage():
            pass
        assert client.get("/session", headers=login.headers).status_code == 503
    with tester.conflict(None):
        with tester.conflict(1):
            pass
        assert client.post("/cart?item=tea", headers=login.headers).status_code == 409
    assert client.post("/cart?item=tea", headers=login.headers).status_code == 200


def test_a_conflict(client: TestClient, tester: Tester) -> None:
    """A change conflicts once, or as long as the block lasts; `mutate` tries again."""
    login = tester.login(*ann())
    with tester.conflict():
        assert client.post("/cart?item=tea", headers=login.headers).status_code == 409
        assert client.post("/cart?item=tea", headers=login.headers).status_code == 200
    with tester.conflict(2):
        assert client.post("/mutate?item=cup", headers=login.headers).status_code == 200
    with tester.conflict(None):
        for _ in range(3):
            assert client.post("/move", headers=login.headers).status_code == 409
    assert tester.reload(login).cart == ["tea", "cup"]


def test_the_end_of_a_session(client: TestClient, tester: Tester) -> None:
    """`revoke` is a logout, `expire` is the idle timeout; `reload` says that the session is gone."""
    one, other = tester.login(*ann()), tester.login(*ann())
    assert tester.revoke(one)
    assert not tester.revoke(one)
    tester.expire(other)
    for each in (one, other):
        assert client.get("/session", headers=each.headers).status_code == 401
        with pytest.raises(SessionNotFoundError):
            tester.reload(each)
    assert [each.name for each in tester.events if each.name != "refused"] == ["created", "created", "destroyed"]


def test_a_socket_ends_with_its_session(client: TestClient, tester: Tester) -> None:
    """A WebSocket in the tester's client is watched, as in production."""
    login = tester.login(*ann())
    with client.websocket_connect("/live", headers=login.headers) as socket:
        assert socket.receive_json() == 1
        tester.revoke(login)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1008


# As a user


@pytest.mark.parametrize("path", READS)
def test_each_request_is_the_users(client: TestClient, tester: Tester, path: str) -> None:
    """Whatever the endpoint asks for: a session, a manager, a fresh one, the class. Afterwards it is nobody's."""
    with tester.as_user(app, *ann()):
        assert client.get(path).status_code == 200
        assert client.get("/role").json() == "admin"
        other = tester.login(UserSession(user_id=2), UserClaims(sub="2"))
        assert client.get("/session", headers=other.headers).json()["user_id"] == 1
    assert client.get("/session").status_code == 401
    assert client.get("/session", headers=other.headers).json()["user_id"] == 2
    assert app.dependency_overrides == {}


def test_the_verbs_of_the_users_manager_work(client: TestClient, tester: Tester) -> None:
    """The session is a real one: it is stored, and ends."""
    with tester.as_user(app, *ann()) as login:
        assert client.post("/cart?item=tea").json()["cart"] == ["tea"]
        assert client.post("/mutate?item=cup").json()["cart"] == ["tea", "cup"]
        assert tester.reload(login).cart == ["tea", "cup"]
        assert client.delete("/session").status_code == 204
        assert client.get("/session").status_code == 401


def test_a_socket_is_the_users_too(client: TestClient, tester: Tester) -> None:
    """Its handshake needs no token, and it ends with the session."""
    with tester.as_user(app, *ann()) as login, client.websocket_connect("/live") as socket:
        assert socket.receive_json() == 1
        tester.revoke(login)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1008


def test_a_middleware_and_the_state_see_the_user(tester: Tester) -> None:
    """`request.state.session` is the manager of the user, once a dependency has asked."""
    one = FastAPI(lifespan=sessions.lifespan)

    @one.get("/")
    async def read(request: Request, session: shop.CurrentSession) -> bool:
        return request.state.session.session is session

    with tester.client(one) as client, tester.as_user(one, *ann()):
        assert client.get("/").json() is True


def test_an_override_of_the_test_comes_back(client: TestClient, tester: Tester) -> None:
    """Other overrides stay, and one of a dependency of the provider counts again afterwards."""
    app.dependency_overrides[sessions.get_session] = lambda: UserSession(user_id=9)
    try:
        with tester.as_user(app, *ann()):
            assert client.get("/session").json()["user_id"] == 1
        assert client.get("/session").json()["user_id"] == 9
    finally:
        app.dependency_overrides.clear()


def test_a_peek_of_a_user_is_no_use_of_the_session(client: TestClient, tester: Tester) -> None:
    """`peek_session` does not restart the idle timeout, and `get_session` does."""
    with tester.as_user(app, *ann()) as login:
        tester.clock.advance(hours=1)
        client.get("/peek")
        assert tester.store.contents[login.id].expires == tester.clock() + 23 * 3600
        client.get("/session")
        assert tester.store.contents[login.id].expires == tester.clock() + 24 * 3600


def test_nothing_is_logged_that_the_kit_does(tester: Tester, caplog: pytest.LogCaptureFixture) -> None:
    """A logged line is the package's own, and no warning."""
    caplog.set_level(logging.WARNING)
    tester.login(*ann())
    gc.collect()
    assert caplog.text == ""


def test_claims_of_a_provider_without_a_model() -> None:
    """`Session` and `Claims` are free-form."""
    with SessionTester(SessionProvider()) as tester:
        login = tester.login({"a": 1}, Claims(sub="x"))
        assert (login.session.model_dump(), login.claims.sub) == ({"a": 1}, "x")
