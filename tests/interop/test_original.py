"""Interop with the npm package `jwt-redis-session`: both on one Valkey, each over real HTTP."""

import contextlib
import functools
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis

from jwtsession import SessionSettings
from tests import servers
from tests.conftest import SECRET
from tests.interop.application import application
from tests.web import serving

pytestmark = pytest.mark.caches("near", "tokens")

HERE = Path(__file__).parent
MAX_AGE = 5_000

DATA = {"user_id": 7, "name": "Ada", "cart": ["tea"], "price": 2.5}


class Side:
    """One of the two servers. Both have the same routes, so both have this client."""

    def __init__(self, http: httpx2.Client, base_url: str, settings: SessionSettings) -> None:
        self.http = http
        self.base_url = base_url
        self.header = settings.header_name

    def request(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx2.Response:
        headers = {self.header: token} if token else {}
        return self.http.request(method, self.base_url + path, headers=headers, **options)

    def later(self, method: str, path: str, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request for the other server to make between the load and the verb of one of its own."""
        headers = {self.header: token, "content-type": "application/json"}
        return {"method": method, "url": self.base_url + path, "headers": headers, "json": body or {}}

    def create(self, session: dict[str, Any], claims: dict[str, Any] | None = None) -> str:
        answer = self.request("POST", "/session", json={"session": session} | ({"claims": claims} if claims else {}))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def read(self, token: str) -> dict[str, Any]:
        answer = self.request("GET", "/read", token)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def data(self, token: str) -> dict[str, Any]:
        """The session without what the original puts beside the data."""
        return {name: value for name, value in self.read(token)["session"].items() if name not in ("jwt", "claims")}

    def update(self, token: str, **changes: Any) -> None:
        answer = self.request("PUT", "/session", token, json={"changes": changes})
        assert answer.status_code == 200, answer.text

    def status(self, token: str, method: str = "GET", path: str = "/read") -> int:
        return self.request(method, path, token).status_code


class Clock:
    """The real time, which the original has, and what a test adds to it on our side."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Pair:
    """The original and the FastAPI application, with the same settings on the same Valkey."""

    def __init__(self, node: Side, typed: Side, free: Side, redis: Redis, clock: Clock) -> None:
        self.node = node
        self.typed = typed
        self.free = free
        self.redis = redis
        self.clock = clock

    def side(self, name: str) -> Side:
        found: Side = getattr(self, name)
        return found

    def key(self) -> bytes:
        """Of the only session."""
        (key,) = self.redis.keys()
        assert isinstance(key, bytes)
        return key

    def stored(self) -> bytes:
        """The only session's value."""
        value = self.redis.get(self.key())
        assert isinstance(value, bytes)
        return value


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages of `package.json` installed: once, into a folder that git ignores."""
    return servers.node_with_packages(HERE, "the original")


@contextlib.contextmanager
def original(node: str, settings: dict[str, Any]) -> Iterator[str]:
    """The Express server; gives its address."""
    command = [node, str(HERE / "server.js"), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port.isdigit()
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@contextlib.contextmanager
def pair_of(node: str, server: servers.Server, **changed: Any) -> Iterator[Pair]:
    # In the original's names, which SessionSettings understands.
    settings = {"secret": SECRET, "keyspace": "sess:", "maxAge": MAX_AGE} | changed
    ours: dict[str, Any] = {name: settings.pop(name) for name in ("issuer", "audience") if name in settings}
    ours |= settings | {"redis_url": server.url}
    clock = Clock()
    with (
        original(node, settings | {"redisPort": server.port}) as address,
        serving(application(clock, **ours)) as http,
        Redis.from_url(server.url) as redis,
    ):
        known = SessionSettings.node_compatible(**ours)
        node_side, typed, free = (
            Side(http, base, known) for base in (address, f"{http.base_url}/typed", f"{http.base_url}/free")
        )
        yield Pair(node_side, typed, free, redis, clock)


@pytest.fixture(scope="module")
def start(node: str, valkey_server: servers.Server) -> Iterator[Callable[..., Pair]]:
    """Starts a pair with these settings, or gives the one that runs."""
    with contextlib.ExitStack() as running:
        yield functools.cache(lambda **settings: running.enter_context(pair_of(node, valkey_server, **settings)))


@pytest.fixture
def pair(start: Callable[..., Pair], valkey: servers.Server) -> Iterator[Pair]:
    pair = start()
    yield pair
    pair.clock.ahead = 0.0


DIRECTIONS = [("node", "typed"), ("node", "free"), ("typed", "node"), ("free", "node")]
both_ways = pytest.mark.parametrize(("one", "other"), DIRECTIONS)
every_side = pytest.mark.parametrize("name", ["node", "typed", "free"])


@both_ways
@pytest.mark.parametrize("claims", [None, {"sub": "ada", "role": "admin", "level": 3}])
def test_each_reads_what_the_other_created(pair: Pair, one: str, other: str, claims: dict[str, Any] | None) -> None:
    """Data, id, claims and token are the same on both sides, with claims of one's own and without."""
    token = pair.side(one).create(DATA, claims)
    assert pair.side(other).data(token) == DATA
    here, there = pair.side(one).read(token), pair.side(other).read(token)
    assert here["id"] == there["id"]
    assert here["jwt"] == there["jwt"] == token
    for name, value in (claims or {}).items():
        assert here["claims"][name] == there["claims"][name] == value
    assert here["claims"]["iat"] == there["claims"]["iat"]
    assert "exp" not in here["claims"]


@both_ways
def test_each_updates_what_the_other_created(pair: Pair, one: str, other: str) -> None:
    """What one changes the other sees, back and forth."""
    token = pair.side(one).create(DATA)
    pair.side(other).update(token, name="Grace")
    assert pair.side(one).data(token) == DATA | {"name": "Grace"}
    pair.side(one).update(token, cart=["tea", "milk"])
    assert pair.side(other).data(token) == DATA | {"name": "Grace", "cart": ["tea", "milk"]}


@both_ways
def test_each_touches_what_the_other_created(pair: Pair, one: str, other: str) -> None:
    """The key's time to live starts with maxAge, and again with the other's touch and update."""
    token = pair.side(one).create(DATA)
    key = pair.key()
    for method, path in (("POST", "/touch"), ("PUT", "/session")):
        assert MAX_AGE - 10 < pair.redis.ttl(key) <= MAX_AGE
        pair.redis.expire(key, 100)
        assert pair.side(other).request(method, path, token, json={}).is_success
    assert MAX_AGE - 10 < pair.redis.ttl(key) <= MAX_AGE


@both_ways
def test_each_destroys_what_the_other_created(pair: Pair, one: str, other: str) -> None:
    """After the other's destroy the token is worth nothing on either side, for any verb, and the key is gone."""
    token = pair.side(one).create(DATA)
    assert pair.side(other).status(token, "DELETE", "/session") == 204
    for name in ("node", "typed", "free"):
        for method, path in (("GET", "/read"), ("POST", "/touch"), ("DELETE", "/session")):
            assert pair.side(name).status(token, method, path) == 401
    assert not pair.redis.keys()


@both_ways
def test_each_reloads_what_the_other_changed_meanwhile(pair: Pair, one: str, other: str) -> None:
    """A reload shows what the other has stored since the request began."""
    token = pair.side(one).create(DATA)
    meanwhile = pair.side(other).later("PUT", "/session", token, {"changes": {"name": "Grace"}})
    answer = pair.side(one).request("POST", "/reload", token, json={"meanwhile": meanwhile})
    assert answer.status_code == 200
    assert answer.json()["name"] == "Grace"


@every_side
def test_a_request_without_a_token_has_no_session(pair: Pair, name: str) -> None:
    """Neither side takes a request for somebody's that has no token, or one that somebody else signed."""
    assert pair.side(name).request("GET", "/read").status_code == 401
    forged = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyIn0.c2lnbmF0dXJl"
    assert pair.side(name).status(forged) == 401


@pytest.mark.parametrize("name", ["typed", "free"])
def test_what_the_original_stores_beside_the_data_is_never_shown(pair: Pair, name: str) -> None:
    """The original's update() stores its token and claims; we read the session, and our update removes both.

    Other fields that the model does not know stay, and the original goes on reading the session.
    """
    ours = pair.side(name)
    token = pair.node.create(DATA | {"plan": "gold", "prefs": {"dark": True}}, {"role": "admin"})
    pair.node.update(token, name="Grace")
    assert token.encode() in pair.stored()
    assert {"jwt", "claims"} < json.loads(pair.stored()).keys()

    shown = ours.read(token)
    assert not {"jwt", "claims"} & shown["session"].keys()
    assert shown["session"]["name"] == "Grace"
    assert shown["claims"]["role"] == "admin"
    assert ("plan" in shown["session"]) == (name == "free")

    ours.update(token, name="Edsger")
    assert token.encode() not in pair.stored()
    expected = DATA | {"plan": "gold", "prefs": {"dark": True}, "name": "Edsger"}
    assert json.loads(pair.stored()) == expected
    assert pair.node.data(token) == expected
    assert pair.node.read(token)["jwt"] == token


def test_a_session_that_the_original_made_on_top_of_another_shows_no_old_token(pair: Pair) -> None:
    """The original copies the request's token and claims into a session that it creates with one still attached."""
    old = pair.node.create(DATA)
    answer = pair.node.request("POST", "/session", old, json={"session": {"name": "Grace"}})
    pair.node.status(old, "DELETE", "/session")
    new = answer.json()["token"]
    assert old.encode() in pair.stored()
    assert pair.free.read(new)["session"] == DATA | {"name": "Grace"}
    pair.typed.update(new, name="Edsger")
    assert old.encode() not in pair.stored()


def places(token: str) -> dict[str, dict[str, Any]]:
    return {
        "header": {"headers": {"X-Access-Token": token}},
        "query": {"params": {"accessToken": token}},
        "json": {"json": {"accessToken": token}},
        "form": {"data": {"accessToken": token}},
    }


@every_side
@pytest.mark.parametrize("place", ["header", "query", "json", "form"])
def test_both_find_the_token_in_each_place(pair: Pair, name: str, place: str) -> None:
    """Header, query, JSON body and form body carry the token on both sides."""
    token = pair.node.create(DATA)
    side = pair.side(name)
    answer = side.http.post(side.base_url + "/read", **places(token)[place])
    assert answer.status_code == 200
    assert answer.json()["jwt"] == token


@every_side
@pytest.mark.parametrize("body", ["json", "form"])
def test_both_prefer_the_header_to_the_query_and_the_query_to_the_body(pair: Pair, name: str, body: str) -> None:
    """Of three sessions in one request the header's counts, then the query's, then the body's."""
    side = pair.side(name)
    tokens = {place: pair.node.create(DATA) for place in ("header", "query", body)}
    options: dict[str, Any] = {}
    for place, token in tokens.items():
        options |= places(token)[place]
    for place, key in (("header", "headers"), ("query", "params"), (body, "data" if body == "form" else "json")):
        assert side.http.post(side.base_url + "/read", **options).json()["jwt"] == tokens[place]
        del options[key]
    assert side.http.post(side.base_url + "/read", **options).status_code == 401


@every_side
def test_both_look_no_further_than_the_first_token(pair: Pair, name: str) -> None:
    """A dead token in the header is not made good by a live one in the query."""
    dead, live = pair.node.create(DATA), pair.node.create(DATA)
    pair.node.status(dead, "DELETE", "/session")
    assert pair.side(name).request("GET", "/read", dead, params={"accessToken": live}).status_code == 401


REQUEST_ARGS = ["accessToken", "fancyAccessToken", "AccessToken", "token", "Token", "TOKEN", "t", "T", "token2", "t2k"]
REQUEST_ARGS += ["jwtToken", "xAccessToken", "access_token", "a_B9z", "aBCd", "id0"]


def test_both_derive_the_same_header_from_a_request_arg(pair: Pair) -> None:
    """`header_name` is what the original computes: words, capitals, digits and underscores."""
    for name in REQUEST_ARGS:
        theirs = pair.node.request("GET", f"/header/{name}").json()
        assert SessionSettings(secret=SECRET, request_arg=name).header_name == theirs


@pytest.mark.parametrize(
    ("request_arg", "header"),
    [("fancyAccessToken", "x-fancy-access-token"), ("AccessToken", "x-access-token"), ("token2", "x-token-2")],
)
def test_both_know_the_token_by_another_name(
    start: Callable[..., Pair], valkey: servers.Server, request_arg: str, header: str
) -> None:
    """A requestArg of one's own names header, query and body on both sides."""
    pair = start(requestArg=request_arg)
    token = pair.typed.create(DATA)
    for side in (pair.node, pair.typed, pair.free):
        for place in ({"headers": {header: token}}, {"params": {request_arg: token}}, {"json": {request_arg: token}}):
            assert side.http.post(side.base_url + "/read", **place).json()["jwt"] == token
        assert side.http.post(side.base_url + "/read", json={"other": token}).status_code == 401


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_both_sign_with_another_algorithm_under_another_keyspace(
    start: Callable[..., Pair], valkey: servers.Server, algorithm: str
) -> None:
    """Algorithm, keyspace and requestKey of one's own work both ways."""
    pair = start(algorithm=algorithm, keyspace="shop/sessions:", requestKey="jwtSession")
    for one, other in DIRECTIONS:
        token = pair.side(one).create(DATA)
        assert pair.side(other).data(token) == DATA
        assert pair.key() == b"shop/sessions:" + pair.node.read(token)["id"].encode()
        pair.side(other).update(token, name="Grace")
        assert pair.side(one).data(token) == DATA | {"name": "Grace"}
        assert pair.side(other).status(token, "DELETE", "/session") == 204


@pytest.mark.parametrize("name", ["typed", "free"])
def test_we_honour_an_exp_of_the_original(pair: Pair, name: str) -> None:
    """A token of the original with an `exp` ends then on our side too, and our touch does not outlive it."""
    token = pair.node.create(DATA, {"exp": int(time.time()) + 1_000})
    assert pair.redis.ttl(pair.key()) > 1_000
    assert pair.side(name).status(token, "POST", "/touch") == 204
    assert 980 < pair.redis.ttl(pair.key()) <= 1_000
    assert pair.side(name).data(token) == DATA
    pair.clock.ahead = 1_001
    assert pair.side(name).status(token) == 401


def test_the_original_honours_an_exp_of_ours(pair: Pair) -> None:
    """A token of ours with an `exp` that has passed is no session for the original, though the key is there."""
    pair.clock.ahead = -3_600
    expired = pair.typed.create(DATA, {"exp": int(time.time()) - 60})
    live = pair.typed.create(DATA, {"exp": int(time.time()) + 600})
    assert len(pair.redis.keys()) == 2
    assert pair.node.status(expired) == 401
    assert pair.node.data(live) == DATA


def test_issuer_and_audience_of_the_original_need_our_settings(
    pair: Pair, start: Callable[..., Pair], valkey: servers.Server
) -> None:
    """The claims of the original's own manual are read where the settings name them; unknown audiences are refused."""
    claims = {"iss": "my application name", "aud": "myapplication.com"}
    token = pair.node.create(DATA, claims)
    assert pair.typed.status(token) == 401
    named = start(issuer=claims["iss"], audience=claims["aud"])
    assert named.typed.data(token) == DATA
    assert named.node.read(named.typed.create(DATA))["claims"].items() > claims.items()


UNICODE = {
    "emoji": "🦊👩‍🚀 Žofie",
    "separators": "a\u2028b\u2029c\u0085",
    "quoted": "\"\\/</script>'",
    "control": "\0\b\t\n\x1f\x7f",
    "ключ": "日本語",
    "nested": {"list": [1, [], {}, {"deep": [None, True, False, ""]}], "": "no name"},
    "numbers": [0, -1, 1.5, 1e-7, 1e21, 2**53 - 1, -(2**53) + 1, 0.1 + 0.2],
}


@pytest.mark.parametrize(("one", "other"), [("node", "free"), ("free", "node")])
def test_any_json_comes_through_unharmed(pair: Pair, one: str, other: str) -> None:
    """Emoji, line separators, control characters, nested values and numbers survive both sides' updates."""
    token = pair.side(one).create(UNICODE, {"name": "🦊\u2028"})
    for side in (pair.side(other), pair.side(one), pair.side(other)):
        assert side.data(token) == UNICODE
        assert side.read(token)["claims"]["name"] == "🦊\u2028"
        side.update(token)


def test_a_float_stays_a_float_of_the_model(pair: Pair) -> None:
    """JavaScript has one kind of number: 3.0 comes back as 3, and is a float again in the typed session."""
    token = pair.typed.create(DATA | {"price": 3.0})
    pair.node.update(token, name="Grace")
    assert b'"price":3,' in pair.stored()
    assert isinstance(pair.typed.read(token)["session"]["price"], float)


@pytest.mark.parametrize("name", ["typed", "free"])
def test_we_lose_nothing_that_the_original_wrote_meanwhile(pair: Pair, name: str) -> None:
    """The original's write between our load and our update gives 409, and stays; a second try has both."""
    token = pair.node.create(DATA)
    meanwhile = pair.node.later("PUT", "/session", token, {"changes": {"cart": ["tea", "milk"]}})
    ours = pair.side(name)
    answer = ours.request("PUT", "/session", token, json={"changes": {"name": "Grace"}, "meanwhile": meanwhile})
    assert answer.status_code == 409
    assert pair.node.data(token) == DATA | {"cart": ["tea", "milk"]}
    ours.update(token, name="Grace")
    assert pair.node.data(token) == DATA | {"cart": ["tea", "milk"], "name": "Grace"}


def test_the_original_overwrites_what_we_wrote_meanwhile(pair: Pair) -> None:
    """What an application that still runs the original must know: its update() is no compare-and-set."""
    token = pair.node.create(DATA)
    meanwhile = pair.typed.later("PUT", "/session", token, {"changes": {"cart": ["tea", "milk"]}})
    answer = pair.node.request("PUT", "/session", token, json={"changes": {"name": "Grace"}, "meanwhile": meanwhile})
    assert answer.status_code == 200
    assert pair.typed.data(token) == DATA | {"name": "Grace"}


@pytest.mark.parametrize("name", ["typed", "free"])
@pytest.mark.parametrize(("method", "path"), [("PUT", "/session"), ("POST", "/reload")])
def test_our_verbs_do_not_bring_back_what_the_original_destroyed(pair: Pair, name: str, method: str, path: str) -> None:
    """A session that the original destroys between our load and our update or reload is a 401, and stays gone."""
    token = pair.node.create(DATA)
    meanwhile = pair.node.later("DELETE", "/session", token)
    assert pair.side(name).request(method, path, token, json={"meanwhile": meanwhile}).status_code == 401
    assert not pair.redis.keys()


def test_the_original_brings_back_what_we_destroyed(pair: Pair) -> None:
    """What an application that still runs the original must know: its update() makes a destroyed session anew."""
    token = pair.typed.create(DATA)
    meanwhile = pair.typed.later("DELETE", "/session", token)
    answer = pair.node.request("PUT", "/session", token, json={"meanwhile": meanwhile})
    assert answer.status_code == 200
    assert pair.typed.data(token) == DATA


def test_the_original_takes_the_reload_of_a_destroyed_session_for_a_success(pair: Pair) -> None:
    """What an application that still runs the original must know: only the next request is refused."""
    token = pair.typed.create(DATA)
    meanwhile = pair.typed.later("DELETE", "/session", token)
    assert pair.node.request("POST", "/reload", token, json={"meanwhile": meanwhile}).status_code == 200
    assert not pair.redis.keys()
    assert pair.node.status(token) == 401


@pytest.mark.parametrize("value", [b'{"user_id":7,"name":"\\ud83e"}', b'{"user_id":7,"name":"' + b"x" * 65_536 + b'"}'])
def test_a_value_of_the_original_that_we_do_not_read_is_refused_and_kept(pair: Pair, value: bytes) -> None:
    """JavaScript stores half of a surrogate pair, which is no character, and values of any size: 401 on our side."""
    headers = {"content-type": "application/json"}
    answer = pair.node.http.post(pair.node.base_url + "/session", content=b'{"session":%b}' % value, headers=headers)
    token = answer.json()["token"]
    for side in (pair.typed, pair.free):
        assert side.status(token) == 401
    assert pair.stored() == value
    assert pair.node.status(token) == 200


@pytest.mark.parametrize(("name", "lives_on"), [("node", True), ("typed", False), ("free", False)])
def test_a_login_with_an_old_token_ends_the_old_session_on_our_side_only(pair: Pair, name: str, lives_on: bool) -> None:
    """The original makes a second session beside the first; our create() leaves one."""
    old = pair.node.create(DATA)
    answer = pair.side(name).request("POST", "/session", old, json={"session": DATA})
    assert answer.status_code == 201
    assert pair.node.status(answer.json()["token"]) == 200
    assert pair.node.status(old) == pair.typed.status(old) == (200 if lives_on else 401)


@every_side
def test_both_touch_at_every_read(pair: Pair, name: str) -> None:
    """node_compatible() extends the idle timeout as often as the original does, not once in a touch_interval."""
    token = pair.node.create(DATA)
    for _ in range(2):
        pair.redis.expire(pair.key(), 100)
        assert pair.side(name).status(token) == 200
        # The original answers without waiting for its touch.
        servers.until(lambda: pair.redis.ttl(pair.key()) > MAX_AGE - 10, "the touch", seconds=5)


@pytest.mark.parametrize(("name", "touched"), [("node", True), ("typed", False), ("free", False)])
def test_the_original_touches_for_endpoints_that_ask_for_no_session(pair: Pair, name: str, touched: bool) -> None:
    """Its middleware sees every request, a 404 too; our dependency those whose endpoint asks for the session."""
    token = pair.node.create(DATA)
    pair.redis.expire(pair.key(), 100)
    assert pair.side(name).status(token, "GET", "/nothing") == 404
    if touched:
        servers.until(lambda: pair.redis.ttl(pair.key()) > 100, "the touch", seconds=5)
    else:
        assert pair.redis.ttl(pair.key()) <= 100


@pytest.mark.parametrize(("name", "status"), [("node", 200), ("typed", 401), ("free", 401)])
def test_we_look_for_no_token_in_the_body_of_a_get(pair: Pair, name: str, status: int) -> None:
    """RFC 9110 gives such a body no meaning; the original takes the token from it."""
    token = pair.node.create(DATA)
    side = pair.side(name)
    assert side.http.request("GET", side.base_url + "/read", json={"accessToken": token}).status_code == status


@pytest.mark.parametrize(("name", "status"), [("node", 200), ("typed", 401), ("free", 401)])
def test_we_look_for_no_token_in_a_body_of_unknown_length(pair: Pair, name: str, status: int) -> None:
    """A chunked body may be an endless stream: it is the endpoint's to read. The original reads it first."""
    body = json.dumps({"accessToken": pair.node.create(DATA)}).encode()
    side = pair.side(name)
    headers = {"content-type": "application/json"}
    assert side.http.post(side.base_url + "/read", content=iter([body]), headers=headers).status_code == status
    # FastAPI has read the body that this endpoint declares.
    assert side.http.post(side.base_url + "/reload", content=iter([body]), headers=headers).status_code == 200


@pytest.mark.parametrize(("name", "status", "twice"), [("node", 401, 401), ("typed", 400, 200), ("free", 400, 200)])
def test_a_parameter_that_stands_twice_is_no_session_for_the_original(
    pair: Pair, name: str, status: int, twice: int
) -> None:
    """It is a list there, which is never verified; here two tokens are ambiguous, and the same one twice is one."""
    one, other = pair.node.create(DATA), pair.node.create(DATA)
    side = pair.side(name)
    assert side.http.get(side.base_url + "/read", params={"accessToken": [one, other]}).status_code == status
    assert side.http.get(side.base_url + "/read", params={"accessToken": [one, one]}).status_code == twice


def test_an_audience_of_our_settings_is_asked_of_every_token(
    start: Callable[..., Pair], valkey: servers.Server
) -> None:
    """With `audience` set, a token of the original without this `aud` is a 401; the original never looks at it."""
    pair = start(audience="shop")
    for claims in (None, {"aud": "blog"}):
        token = pair.node.create(DATA, claims)
        assert pair.node.status(token) == 200
        assert pair.typed.status(token) == pair.free.status(token) == 401
    for aud in ("shop", ["blog", "shop"]):
        assert pair.typed.data(pair.node.create(DATA, {"aud": aud})) == DATA
    assert pair.node.data(pair.typed.create(DATA)) == DATA
