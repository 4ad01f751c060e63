"""Proof of possession (DPoP, RFC 9449) over real HTTP: what a thief of tokens and proofs tries, and what he gets.

The client is the test's own. It sees the application at `https://shop.example.com/api`, behind a proxy that has another
host and port and removes `/api`. Two workers share one store.
"""

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, Response
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from jwtsession import AuthenticationError, Claims, Session, SessionManager, SessionProvider, Token
from tests import servers
from tests.conftest import SECRET, Clock
from tests.keymaterial import private_key
from tests.proofs import proof
from tests.web import serving, serving_by_hypercorn

pytestmark = pytest.mark.server

PUBLIC_URL = "https://shop.example.com/api"


class UserSession(Session):
    user_id: int = 1


def application(redis_url: str, clock: Clock, **options: Any) -> FastAPI:
    """A worker. Its answers of 401 tell the code, for the test."""
    dpop = {"mode": "optional"} | options.pop("dpop", {})
    sessions = SessionProvider(
        UserSession, secret=SECRET, redis_url=redis_url, public_url=PUBLIC_URL, dpop=dpop, clock=clock, **options
    )
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]

    @app.exception_handler(AuthenticationError)
    async def tell(request: Request, error: AuthenticationError) -> JSONResponse:
        return JSONResponse({"code": error.code}, error.status_code, error.headers)

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create(UserSession(), Claims(sub="ann"))

    @app.api_route("/session", methods=["GET", "PUT"])
    @app.get("/session/{item}")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> int:
        return session.user_id

    @app.post("/session/id")
    async def regenerate(manager: manager_) -> Token:
        return await manager.regenerate()

    @app.websocket("/socket")
    async def talk(socket: WebSocket, session: Annotated[UserSession, Depends(sessions.get_session)]) -> None:
        await socket.accept()
        await socket.send_text(str(session.user_id))

    @app.delete("/session", status_code=204)
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    outer = FastAPI(lifespan=sessions.lifespan)
    outer.mount("/v1", app)
    outer.include_router(app.router)
    outer.exception_handler(AuthenticationError)(tell)
    return outer


def proxy(*upstreams: str) -> FastAPI:
    """Passes requests on to the workers in turn, without the prefix `/api`, as another host."""
    turns = itertools.cycle(upstreams)
    client = httpx2.AsyncClient()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.api_route("/api{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    async def pass_on(request: Request) -> Response:
        raw = request.scope["raw_path"].removeprefix(b"/api").decode() or "/"
        query = f"?{request.url.query}" if request.url.query else ""
        headers = [(name, value) for name, value in request.headers.items() if name != "host"]
        url = next(turns) + raw + query
        answer = await client.request(
            request.method, url, headers=[*headers, ("host", "internal:1")], content=await request.body()
        )
        kept = {name: value for name, value in answer.headers.items() if name not in ("content-length", "date")}
        return Response(answer.content, answer.status_code, kept)

    return app


class Client:
    """A client with a key of its own, and a clock."""

    ids = itertools.count()

    def __init__(self, http: httpx2.Client, clock: Clock, number: int = 1) -> None:
        self.http = http
        self.clock = clock
        self.key = private_key("ES256", number)
        self.token = ""
        self.nonce: str | None = None

    def proof(self, method: str, path: str, **changed: Any) -> str:
        right: dict[str, Any] = {"jti": f"{next(self.ids)}", "iat": self.clock(), "key": self.key}
        right |= {} if self.nonce is None else {"nonce": self.nonce}
        right |= {"token": self.token or None}
        made = right | changed
        return proof(made.pop("url", PUBLIC_URL + path), made.pop("htm", method), **made).decode()

    def headers(self, method: str = "GET", path: str = "/session", **changed: Any) -> dict[str, str]:
        return {"Authorization": f"DPoP {self.token}", "DPoP": self.proof(method, path, **changed)}

    def ask(self, method: str = "GET", path: str = "/session", *, query: str = "", **changed: Any) -> httpx2.Response:
        return self.send(method, path + query, self.headers(method, path, **changed))

    def send(self, method: str, path: str, headers: dict[str, str]) -> httpx2.Response:
        answer = self.http.request(method, "/api" + path, headers=headers)
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)
        return answer

    def log_in(self) -> "Client":
        answer = self.send("POST", "/session", {"DPoP": self.proof("POST", "/session", token=None)}).json()
        assert answer["token_type"] == "DPoP"
        self.token = answer["access_token"]
        return self


WORKERS = {
    "h11": (serving, {"http": "h11"}),
    "httptools": (serving, {"http": "httptools"}),
    "root_path": (serving, {"root_path": "/api"}),
    "hypercorn": (serving_by_hypercorn, {}),
    "hypercorn-root_path": (serving_by_hypercorn, {"root_path": "/api"}),
}


@contextlib.contextmanager
def site(url: str, clock: Clock, worker: str = "h11", count: int = 2, **options: Any) -> Iterator[httpx2.Client]:
    """Workers behind the proxy, which asks them in turn; gives a client of the proxy."""
    run, how = WORKERS[worker]
    with contextlib.ExitStack() as running:
        workers = [
            running.enter_context(run(application(url, clock, **options), **how))  # type: ignore[operator]
            for _ in range(count)
        ]
        yield running.enter_context(serving(proxy(*(str(each.base_url).rstrip("/") for each in workers))))


@pytest.fixture
def client(valkey: servers.Server, clock: Clock) -> Iterator[Client]:
    with site(valkey.url, clock) as http:
        yield Client(http, clock).log_in()


def code_of(answer: httpx2.Response) -> str:
    return str(answer.json()["code"]) if answer.status_code == 401 else str(answer.status_code)


# --- what the client does --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.slow
def test_a_client_is_let_in_behind_a_proxy(worker: str, valkey: servers.Server, clock: Clock) -> None:
    """Whatever the server does with the prefix that the proxy removes; the query and a mount change nothing."""
    with site(valkey.url, clock, worker, 1) as http:
        client = Client(http, clock).log_in()
        assert client.ask().status_code == 200
        assert client.ask(query="?a=/b&a=%2F").status_code == 200
        assert client.ask("PUT").status_code == 200
        assert client.ask(path="/session/%C3%A4%20b;c=1").status_code == 200
        assert code_of(client.ask(path="/session/a", url=PUBLIC_URL + "/session/b")) == "proof_url"
        if "hypercorn-root" not in worker:  # Starlette finds no mount there: the path does not begin with the root
            assert client.ask(path="/v1/session").status_code == 200
            assert code_of(client.ask(path="/v1/session", url=PUBLIC_URL + "/session")) == "proof_url"


def test_a_program_opens_a_socket(valkey: servers.Server, clock: Clock) -> None:
    """With the headers of a request, for the URL with `https://`; the same proof again is refused."""
    with serving(application(valkey.url, clock)) as http, serving(proxy(str(http.base_url).rstrip("/"))) as outside:
        client = Client(outside, clock).log_in()
        url = str(http.base_url).replace("http:", "ws:").rstrip("/") + "/socket"
        headers = client.headers(path="/socket")
        with connect(url, additional_headers=headers) as socket:
            assert socket.recv(5) == "1"
        for wrong in (headers, client.headers(), {"Authorization": f"Bearer {client.token}"}):
            with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=wrong):
                pass
            assert refused.value.response.status_code == 401


def test_the_nonce_dance(valkey: servers.Server, clock: Clock) -> None:
    """A client learns the nonce by a 401, and the next one by each answer; any worker knows it."""
    with site(valkey.url, clock, dpop={"nonce": True}) as http:
        client = Client(http, clock)
        refused = client.send("POST", "/session", {"DPoP": client.proof("POST", "/session")})
        assert (code_of(refused), refused.headers["www-authenticate"]) == (
            "use_dpop_nonce",
            'DPoP error="use_dpop_nonce", algs="ES256 EdDSA"',
        )
        client.log_in()
        for _ in range(5):
            assert client.ask().status_code == 200
            clock.advance(59)
        clock.advance(120)
        assert code_of(client.ask()) == "use_dpop_nonce"
        assert client.ask().status_code == 200


def test_the_clock_of_a_client_may_differ(client: Client) -> None:
    """By `max_age` to the past and `leeway` to the future, and not by a second more."""
    now = client.clock()
    for seconds, code in ((-60, "200"), (5, "200"), (-61, "proof_expired"), (6, "proof_expired")):
        assert code_of(client.ask(iat=now + seconds)) == code


# --- what a thief does: the table of the documentation ---------------------------------------------------------------


def thief_of(client: Client) -> Client:
    """Somebody with the token, and a key of his own."""
    thief = Client(client.http, client.clock, number=2)
    thief.token = client.token
    return thief


def test_a_stolen_token_is_worth_nothing(client: Client) -> None:
    """As a bearer token, with no proof, with a proof of the thief's own key, in the other header."""
    thief = thief_of(client)
    bearer = thief.send("GET", "/session", {"Authorization": f"Bearer {client.token}"})
    assert (code_of(bearer), bearer.headers["www-authenticate"].count('error="invalid_token"')) == ("token_bound", 2)
    assert code_of(thief.send("GET", "/session", {"x-access-token": client.token})) == "token_bound"
    assert code_of(thief.send("GET", "/session", {"Authorization": f"DPoP {client.token}"})) == "proof_missing"
    assert code_of(thief.ask()) == "proof_key_mismatch"
    for method, path in (("POST", "/session/id"), ("DELETE", "/session")):
        assert thief.ask(method, path).status_code == 401
        assert thief.send(method, path, {"Authorization": f"Bearer {client.token}"}).status_code == 401
    assert client.ask().status_code == 200


def test_a_stolen_proof_was_used(client: Client) -> None:
    """At the other worker, by another spelling of the method or the query, and by many at the same time."""
    headers = client.headers()
    assert client.send("GET", "/session", headers).status_code == 200
    for path in ("/session", "/session?a=1", "/session?", "/session#x"):
        assert [code_of(client.send("GET", path, headers)) for _ in range(2)] == ["proof_replayed"] * 2
    assert code_of(client.send("get", "/session", headers)) in ("proof_replayed", "proof_method", "405")


def test_a_stolen_proof_is_for_its_request(client: Client) -> None:
    """Another method, path or host: the proof names them, and the header `Host` plays no part."""
    for method, path, changed, code in (
        ("GET", "/session", {"htm": "PUT"}, "proof_method"),
        ("GET", "/session", {"htm": "get"}, "proof_method"),
        ("GET", "/session", {"url": PUBLIC_URL + "/session/a"}, "proof_url"),
        ("GET", "/session", {"url": "https://evil.example.com/api/session"}, "proof_url"),
        ("GET", "/session", {"url": "https://shop.example.com/session"}, "proof_url"),
        ("GET", "/session", {"url": "http://internal:1/session"}, "proof_url"),
        ("GET", "/session", {"url": "http://shop.example.com/api/session"}, "proof_url"),
    ):
        assert code_of(client.ask(method, path, **changed)) == code  # type: ignore[arg-type]
    forged = client.headers(url="https://evil.example.com/api/session")
    for name in ("Host", "X-Forwarded-Host", "Forwarded", "X-Forwarded-Prefix"):
        value = "host=evil.example.com" if name == "Forwarded" else "evil.example.com"
        assert code_of(client.send("GET", "/session", forged | {name: value})) == "proof_url"


def test_a_proof_is_for_its_token(client: Client) -> None:
    """Two sessions of one key do not share proofs."""
    other = Client(client.http, client.clock).log_in()
    assert code_of(client.ask(token=other.token)) == "proof_token"


def test_a_login_can_not_be_replayed(client: Client) -> None:
    """At the other worker, and with a body of the thief's own: the proof was used."""
    headers = {"DPoP": client.proof("POST", "/session", token=None)}
    assert client.send("POST", "/session", headers).status_code == 200
    assert [code_of(client.send("POST", "/session", headers)) for _ in range(2)] == ["proof_replayed"] * 2


def test_a_moved_session_keeps_its_key(client: Client) -> None:
    """The thief can't move it to his own, and the new token needs the same one."""
    moved = client.ask("POST", "/session/id").json()
    assert moved["token_type"] == "DPoP"
    old, client.token = client.token, moved["access_token"]
    assert client.ask().status_code == 200
    assert code_of(thief_of(client).ask()) == "proof_key_mismatch"
    client.token = old
    assert client.ask().status_code == 401


@pytest.mark.parametrize("options", [{}, {"near_cache_bytes": 1_000_000}, {"touch_interval": 0}])
def test_each_worker_knows_what_the_others_have_seen(
    options: dict[str, Any], valkey: servers.Server, clock: Clock
) -> None:
    """Also with a near cache, whose loads may ask no server: with a proof they do."""
    with site(valkey.url, clock, **options) as http:
        client = Client(http, clock).log_in()
        for _ in range(4):
            headers = client.headers()
            answers = [code_of(client.send("GET", "/session", headers)) for _ in range(4)]
            assert answers == ["200"] + ["proof_replayed"] * 3


@pytest.mark.slow
def test_without_the_store_nobody_is_let_in(valkey: servers.Server, clock: Clock) -> None:
    """A proof that can't be noted is a 503, for a request and for a login; the same client is let in afterwards."""
    with site(valkey.url, clock) as http:
        client = Client(http, clock).log_in()
        valkey.command("CLIENT", "KILL", "TYPE", "normal")
        assert client.ask().status_code == 200
        valkey.freeze()
        try:
            assert client.ask().status_code == 503
            login = client.send("POST", "/session", {"DPoP": client.proof("POST", "/session", token=None)})
            assert login.status_code == 503
        finally:
            valkey.thaw()
        assert client.ask().status_code == 200
