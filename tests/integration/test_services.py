"""Two services over real HTTP: one issues tokens and holds the sessions, the other verifies them without the store."""

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from starlette.requests import HTTPConnection

from jwtsession import (
    Claims,
    Introspection,
    Key,
    MemorySessionStore,
    MissingTokenError,
    Session,
    SessionManager,
    SessionProvider,
    SessionVerifier,
    Token,
    client_credentials,
)
from jwtsession.tokens import KeyRing, KeySpec
from tests.conftest import Clock
from tests.keymaterial import pem, private_key
from tests.servers import free_port
from tests.web import bearer, serving

pytestmark = pytest.mark.ci

ISSUER, AUDIENCE = "https://shop.example", "orders"
JWKS = "/.well-known/jwks.json"
GATEWAY = secrets.token_urlsafe(32)
NAMES = {"iss": ISSUER, "aud": AUDIENCE}


class UserClaims(Claims):
    role: str = "user"


def key(number: int, *, verify_only: bool = False) -> Key:
    return Key(kid=f"k{number}", secret=pem(private_key("ES256", number)), verify_only=verify_only)


class Issuer:
    """The service with the sessions. Its keys can be replaced while it runs, and each of its parts can be down."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.store = clock, MemorySessionStore(clock)
        self.fetches = self.questions = 0
        self.down: set[str] = set()
        self.app = FastAPI(lifespan=self._lifespan)
        self.app.mount("/", self._now)
        self._started = contextlib.AsyncExitStack()
        self._old: list[SessionProvider[Any, Any]] = []
        self.use(key(1))

    def use(self, *keys: Key, **options: Any) -> None:
        """Replace the keys: a new provider with the same sessions, as after a deployment."""
        names = {"issuer": ISSUER, "audience": AUDIENCE, "algorithm": "ES256"}
        sessions = SessionProvider(None, UserClaims, keys=keys, store=self.store, clock=self.clock, **names | options)
        app = FastAPI()
        app.include_router(sessions.jwks_router())
        app.include_router(sessions.token_router(client_credentials({"orders": GATEWAY})))

        @app.post("/session")
        async def log_in(manager: Annotated[SessionManager, Depends(sessions.get_manager)], scope: str = "") -> Token:
            return await manager.create(Session(), UserClaims(sub="ann", role="admin", scope=scope))

        self.sessions, self._current = sessions, app
        self._needs_start = True

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        async with self._started:
            yield

    async def _now(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.fetches += path == JWKS
        self.questions += path == "/introspect"
        if self._needs_start:
            self._needs_start = False
            await self._started.enter_async_context(self.sessions)
        if path in self.down:
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._current(scope, receive, send)


class World:
    """Both services, each at its own port, and one clock."""

    def __init__(self, issuer: Issuer, shop: httpx2.Client, orders: httpx2.Client) -> None:
        self.issuer, self.shop, self.orders, self.clock = issuer, shop, orders, issuer.clock

    def log_in(self, **params: str) -> str:
        answer = self.shop.post("/session", params=params)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def read(self, token: str) -> httpx2.Response:
        return self.orders.get("/orders", headers=bearer(token))

    def revoke(self, token: str) -> None:
        answer = self.shop.post("/revoke", data={"token": token}, auth=("orders", GATEWAY))
        assert (answer.status_code, answer.content) == (200, b"")


def orders_app(verifier: SessionVerifier[UserClaims]) -> FastAPI:
    app = FastAPI(lifespan=verifier.lifespan)

    @app.get("/orders")
    async def orders(claims: Annotated[UserClaims, Depends(verifier.get_claims)]) -> list[str | None]:
        return [claims.sub, claims.role]

    @app.post("/orders")
    async def order(claims: Annotated[UserClaims, Security(verifier.get_claims, scopes=["orders:write"])]) -> None: ...

    @app.get("/twice", dependencies=[Depends(verifier.get_claims)])
    async def twice(claims: Annotated[UserClaims, Security(verifier.get_claims, scopes=["a"])]) -> str:
        return claims.role

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, claims: Annotated[UserClaims, Depends(verifier.get_claims)]) -> None:
        await websocket.accept()
        await websocket.send_text(claims.role)
        await websocket.close()

    return app


@contextlib.contextmanager
def services(introspect: int | None = None, **options: Any) -> Iterator[World]:
    issuer = Issuer(Clock())
    with serving(issuer.app) as shop:
        url = str(shop.base_url).rstrip("/")
        asked = None if introspect is None else Introspection(f"{url}/introspect", "orders", GATEWAY, cache=introspect)
        names: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "algorithm": "ES256", "clock": issuer.clock}
        verifier = SessionVerifier(UserClaims, jwks_url=url + JWKS, introspect=asked, **names | options)
        with serving(orders_app(verifier)) as orders:
            yield World(issuer, shop, orders)


@pytest.fixture
def world() -> Iterator[World]:
    with services() as made:
        yield made


def forged(header: dict[str, Any], secret: bytes | None, **claims: Any) -> str:
    """A token of this header, signed by HMAC with a secret, or not at all."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    now = int(Clock()())
    payload = NAMES | {"jti": "x" * 43, "sub": "eve", "iat": now, "exp": now + 60} | claims
    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(payload).encode())}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256') if secret else b'x')}"


def test_the_claims_come_typed_and_the_keys_are_fetched_once(world: World) -> None:
    """A request after the other, of a hundred users: one fetch."""
    tokens = [world.log_in() for _ in range(20)]
    for token in tokens * 2:
        assert world.read(token).json() == ["ann", "admin"]
    assert world.issuer.fetches == 1


def test_the_keys_are_replaced_while_tokens_are_in_use(world: World) -> None:
    """Announce, sign, remove: no token of a user is refused, until its key is removed."""
    first = world.log_in()
    assert world.read(first).is_success
    world.issuer.use(key(2, verify_only=True), key(1))
    world.clock.advance(300)
    assert world.read(world.log_in()).is_success
    world.issuer.use(key(2), key(1))
    second = world.log_in()
    assert world.read(first).is_success
    assert world.read(second).is_success
    world.issuer.use(key(2))
    world.clock.advance(300)
    assert world.read(second).is_success  # this starts the refresh
    for _ in range(100):
        if world.read(first).status_code == 401:
            break
    assert world.read(first).status_code == 401
    assert world.read(second).is_success


def test_a_key_that_nobody_announced_is_found(world: World) -> None:
    """Its first token makes the service fetch the keys again."""
    assert world.read(world.log_in()).is_success
    world.issuer.use(key(2), key(1))
    world.clock.advance(10)
    assert world.read(world.log_in()).is_success
    assert world.issuer.fetches == 2


def test_the_keys_can_not_be_fetched(world: World) -> None:
    """Before the first fetch a good token is a 503 with `Retry-After`, never a 401; afterwards the old keys stay."""
    token = world.log_in()
    world.issuer.down = {JWKS}
    for _ in range(3):
        refused = world.read(token)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    world.issuer.down = set()
    world.clock.advance(1)
    assert world.read(token).is_success
    world.issuer.down = {JWKS}
    for _ in range(3):
        world.clock.advance(1000)
        assert world.read(token).is_success
    world.issuer.use(key(2), key(1))
    world.clock.advance(10)
    assert world.read(world.log_in()).status_code == 503
    assert world.read(token).is_success


@pytest.mark.slow
def test_a_storm_of_unknown_names_is_one_fetch(world: World) -> None:
    """Hundreds of forged tokens, each with another `kid`, at the same time: each is a 401, and good tokens go on."""
    good = world.log_in()
    assert world.read(good).is_success
    world.clock.advance(10)
    tokens = [forged({"alg": "ES256", "kid": f"evil{number}"}, b"x", sub="eve") for number in range(300)]
    tokens = [f"{each.rpartition('.')[0]}.{'A' * 86}" for each in tokens]
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(world.read, tokens)]
    assert {each.status_code for each in answers} == {401}
    assert world.read(good).is_success
    assert world.issuer.fetches == 2


def test_forged_tokens(world: World) -> None:
    """Another algorithm, none, HMAC by the public key in every spelling, keys in the header: each is the same 401."""
    assert world.read(world.log_in()).is_success
    (published,) = world.shop.get(JWKS).json()["keys"]
    from tests.keymaterial import public_pem

    public = public_pem(private_key("ES256", 1))
    secrets_ = [public.encode(), json.dumps(published).encode(), published["x"].encode()]
    tokens = [forged({"alg": alg, "kid": "k1"}, secret) for alg in ("HS256", "ES256") for secret in secrets_]
    tokens += [forged({"alg": alg, "kid": "k1"}, None) for alg in ("none", "None", "ES384", "RS256", "EdDSA")]
    own = KeyRing([KeySpec("k1", pem(private_key("ES256", 9)))], "ES256")
    other = KeyRing([KeySpec("k1", pem(private_key("RS256", 1)))], "RS256")
    claims = NAMES | {"jti": "x" * 43, "sub": "eve", "exp": int(world.clock()) + 60}
    tokens += [ring.sign(dict(claims)) for ring in (own, other)]
    tokens += [forged({"alg": "ES256", "kid": "k1", name: "https://evil.example"}, None) for name in ("jku", "x5u")]
    answers = [world.read(token) for token in [*tokens, "x", "a.b.c"]]
    assert {(each.status_code, each.text, each.headers["www-authenticate"]) for each in answers} == {
        (401, '{"detail":"Not authenticated"}', 'Bearer error="invalid_token"')
    }


def signed(claims: dict[str, Any], typ: str = "JWT") -> str:
    ring = KeyRing([KeySpec("k1", pem(private_key("ES256", 1)))], "ES256")
    return ring.sign(NAMES | {"jti": "x" * 43, "sub": "ann", "exp": int(Clock()()) + 60} | claims, typ)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "shop"},
        {"iss": "https://evil.example"},
        {"exp": int(Clock()()) - 1},
        {"nbf": int(Clock()()) + 10},
        {"role": 5},
        {"cnf": {"jkt": "A" * 43}},
        {"cnf": {"x5t#S256": "A" * 43}},
    ],
    ids=str,
)
def test_genuine_tokens_that_are_not_for_this_service(world: World, claims: dict[str, Any]) -> None:
    """Another audience or issuer, other times, claims that don't fit, and tokens whose proof nobody here can check."""
    assert world.read(signed({})).is_success
    assert world.read(signed(claims)).status_code == 401


def test_a_token_without_an_end_is_refused_unless_somebody_asks() -> None:
    """Without `exp` nothing would ever end it here."""
    now = Clock()
    for introspect, status in ((None, 401), (0, 200)):
        with services(introspect) as world:
            world.issuer.use(key(1), absolute_max_age=None)
            assert world.read(world.log_in()).status_code == status
            assert now() == world.clock()


def test_only_access_tokens() -> None:
    """With `at+jwt` another JWT of the same key is refused."""
    with services(token_type_header="at+jwt") as world:
        assert world.read(signed({}, "at+jwt")).is_success
        assert world.read(signed({})).status_code == 401


def test_a_request_without_a_token(world: World) -> None:
    """401 with a plain challenge, nothing is fetched, and two tokens are a 400."""
    answer = world.orders.get("/orders")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="session"'
    twice = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
    assert world.orders.get("/orders", headers=twice).status_code == 400
    assert world.issuer.fetches == 0


def test_scopes(world: World) -> None:
    """403 for a token without the scope."""
    for scope, status in (("orders:read", 403), ("orders:read orders:write", 200)):
        assert world.orders.post("/orders", headers=bearer(world.log_in(scope=scope))).status_code == status


def test_a_logout_is_not_seen_without_introspection(world: World) -> None:
    """What the class's documentation says: the token lives until its `exp`."""
    token = world.log_in()
    world.revoke(token)
    assert world.read(token).is_success


def test_with_introspection_a_logout_is_seen_at_once() -> None:
    """Each request asks; a dead session is the same 401 as a forged token; forged tokens ask nobody."""
    with services(0) as world:
        token, other = world.log_in(), world.log_in()
        assert world.read(token).json() == ["ann", "admin"]
        assert world.read(other).is_success
        world.revoke(token)
        refused = world.read(token)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert world.read(other).is_success
        asked = world.issuer.questions
        assert world.read(forged({"alg": "ES256", "kid": "k1"}, None)).status_code == 401
        assert world.issuer.questions == asked == 4


def test_a_request_asks_once() -> None:
    """Also where a route and its router both ask for the claims; the scopes count all the same."""
    with services(0) as world:
        for scope, status in (("a", 200), ("b", 403)):
            before = world.issuer.questions
            assert world.orders.get("/twice", headers=bearer(world.log_in(scope=scope))).status_code == status
            assert world.issuer.questions == before + 1


def test_the_issuer_can_not_be_asked() -> None:
    """503, never a 200 or a 401: an outage, and credentials that the issuer does not know."""
    with services(0) as world:
        token = world.log_in()
        world.issuer.down = {"/introspect"}
        assert world.read(token).status_code == 503
        world.issuer.down = set()
        assert world.read(token).is_success
    issuer = Issuer(Clock())
    with serving(issuer.app) as shop:
        url = str(shop.base_url).rstrip("/")
        asked = Introspection(f"{url}/introspect", "orders", "wrong")
        verifier = SessionVerifier(
            UserClaims, jwks_url=url + JWKS, issuer=ISSUER, audience=AUDIENCE, algorithm="ES256", introspect=asked,
            clock=issuer.clock,
        )  # fmt: skip
        with serving(orders_app(verifier)) as orders:
            assert World(issuer, shop, orders).read(shop.post("/session").json()["access_token"]).status_code == 503


def test_a_cache_for_some_seconds() -> None:
    """For so long a logout is not seen, and no longer."""
    with services(5) as world:
        token = world.log_in()
        for _ in range(3):
            assert world.read(token).is_success
        assert world.issuer.questions == 1
        world.revoke(token)
        world.clock.advance(4)
        assert world.read(token).is_success
        world.clock.advance(1)
        assert world.read(token).status_code == 401


def test_a_websocket(world: World) -> None:
    """The handshake's header counts; without a token the handshake is refused."""
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    url = f"ws://127.0.0.1:{world.orders.base_url.port}/socket"
    with connect(url, additional_headers=bearer(world.log_in())) as socket:
        assert socket.recv() == "admin"
    with pytest.raises(InvalidStatus), connect(url):
        pass


async def test_a_middleware_may_change_the_headers(world: World) -> None:
    """Also in place, such as one that exchanges a gateway's token: the claims are those of the token that is there."""
    base = str(world.shop.base_url).rstrip("/")
    names: Any = {"issuer": ISSUER, "audience": AUDIENCE, "algorithm": "ES256"}
    async with SessionVerifier(UserClaims, jwks_url=f"{base}{JWKS}", clock=world.clock, **names) as verifier:
        headers: list[tuple[bytes, bytes]] = []
        shared = {"type": "http", "headers": headers, "query_string": b""}
        for scope in ("a", "b", "b"):
            headers[:] = [(b"authorization", f"Bearer {world.log_in(scope=scope)}".encode())]
            connection = HTTPConnection(shared)
            assert (await verifier.get_claims(connection)).scope == scope
        headers.clear()
        with pytest.raises(MissingTokenError):
            await verifier.get_claims(connection)


async def test_without_an_application() -> None:
    """`verify()` takes the token of a message, and `async with` closes the connections."""
    nobody = f"http://127.0.0.1:{free_port()}/keys"
    verifier = SessionVerifier(jwks_url=nobody, issuer=None, audience=None, algorithm="ES256")
    from jwtsession import StoreUnavailableError

    async with verifier:
        with pytest.raises(StoreUnavailableError):
            await verifier.verify("a.b.c")


def test_revoke_then_introspect_by_a_caller_over_http(world: World) -> None:
    """A gateway's own questions: active, then not, to the byte as for any other token; without credentials a 401."""
    token = world.log_in()
    auth = ("orders", GATEWAY)
    assert world.shop.post("/introspect", data={"token": token}).status_code == 401
    assert world.shop.post("/introspect", data={"token": token}, auth=auth).json()["active"] is True
    world.revoke(token)
    answers = {world.shop.post("/introspect", data={"token": each}, auth=auth).content for each in (token, "x")}
    assert answers == {b'{"active":false}'}
    assert hashlib.sha256(answers.pop()).hexdigest()
