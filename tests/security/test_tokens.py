"""The requirements on tokens, row by row: each test is named after its row in the list that the design refers to.

Rows 19 and 20 (redaction) are shown by test_redaction.py, 21 (at rest) by test_encryption.py, 23 (least privilege) by
test_least_privilege.py, 4 (rotation) at length by test_rotation.py, 14 and 15 by tests/unit/transports/ too.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI

from jwtsession import (
    Claims,
    ConfigurationError,
    ExpiredTokenError,
    InvalidTokenError,
    Key,
    Session,
    SessionManager,
    SessionProvider,
    SessionSettings,
    Token,
)
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from tests import servers
from tests.conftest import SECRET, Clock
from tests.security.forge import CLAIMS, HEADER, ID, NOW, encoded, raw_json, signed, with_claims, with_header
from tests.web import bearer, serving

pytestmark = pytest.mark.caches("tokens")


def codec(**options: Any) -> TokenCodec[Claims]:
    options = {"absolute_max_age": 10_000, "clock": Clock()} | options
    return TokenCodec(KeyRing([KeySpec(None, SECRET)], "HS256"), Claims, **options)


def test_the_forge_makes_good_tokens_too() -> None:
    """What the other tests change is accepted as long as nothing is changed."""
    assert codec().decode(signed()).jti == ID
    assert codec().decode(with_header(kid="any")).jti == ID
    assert codec().decode(signed(header={"alg": "HS256"})).jti == ID
    assert codec().decode(with_claims(jti="9b2e7d8c-3f41-4c7e-8a52-0d6f1b9c4e37")).jti is not None


header, payload, signature = signed().split(".")
PAIR = '"\\ud800"'

FORGED: dict[str, object] = {
    # 2: one algorithm
    "02 alg none": f"{encoded({'alg': 'none'})}.{payload}.",
    "02 alg none, signed": with_header(alg="none"),
    "02 alg None": with_header(alg="None"),
    "02 alg missing": signed(header={"typ": "JWT"}),
    "02 alg is null": with_header(alg=None),
    "02 alg is a list": with_header(alg=["HS256"]),
    "02 alg in lower case": with_header(alg="hs256"),
    "02 alg of the same family": with_header(alg="HS384"),
    "02 alg of another family": with_header(alg="RS256"),
    # 3: trusted keys only
    **{
        f"03 {name}": with_header(**{name: value})
        for name, value in {
            "jwk": {"kty": "oct", "k": "AAAA"},
            "jku": "https://attacker.example/keys",
            "x5u": "https://attacker.example/cert",
            "x5c": ["MIIB"],
            "zip": "DEF",
        }.items()
    },
    **{f"03 kid is {value!r}": with_header(kid=value) for value in (5, None, [], {}, True)},
    # 6: type
    **{f"06 typ {value!r}": with_header(typ=value) for value in ("JWS", "jwt", "at+jwt", "", None, 1, ["JWT"])},
    "06 cty": with_header(cty="JWT"),
    # 5: the id
    **{
        f"05 jti {value!r:.40}": with_claims(jti=value)
        for value in (
            None,
            5,
            "",
            "short",
            "x" * 21,
            "x" * 129,
            "../" * 10,
            "*" * 30,
            "a b" * 10,
            "sess:" * 8,
            ID + "\n",
        )
    },
    "05 jti in other letters": with_claims(jti="ä" * 30),
    "05 jti missing": signed(payload={"exp": NOW + 10}),
    # 7: an audience that nobody configured
    "07 aud": with_claims(aud="somebody else"),
    "07 aud is an empty list": with_claims(aud=[]),
    "07 aud is null": with_claims(aud=None),
    # 8: times and other claims of the right type
    **{
        f"08 {name} is {value!r:.30}": with_claims(**{name: value})
        for name in ("exp", "nbf", "iat", "auth_time")
        for value in (True, "1800000001", None, [], {}, 10**300)
    },
    **{f"08 {name} is NaN": signed(payload=raw_json(f', "{name}": NaN')) for name in ("nbf", "x")},
    "08 exp is infinite": signed(payload=f'{{"jti": "{ID}", "exp": Infinity}}'.encode()),
    "08 exp overflows": signed(payload=f'{{"jti": "{ID}", "exp": 1e999}}'.encode()),
    "08 exp has a million digits": signed(payload=f'{{"jti": "{ID}", "exp": {"9" * 5000}}}'.encode()),
    "08 exp missing": signed(payload={"jti": ID}),
    "08 iat in the future": with_claims(iat=NOW + 1),
    "08 nbf in the future": with_claims(nbf=NOW + 1),
    **{
        f"08 {name} is {value!r}": with_claims(**{name: value})
        for name in ("sub", "iss", "scope", "acr")
        for value in (5, [], {}, None)
    },
    **{
        f"08 amr is {value!r}": with_claims(amr=value)
        for value in (None, "pwd", 5, {}, {"pwd": 1}, ["pwd", 5], ["pwd", None], [["pwd"]])
    },
    **{
        f"08 act is {value!r}": with_claims(act=value)
        for value in (
            None,
            "admin",
            5,
            True,
            [],
            ["admin"],
            {},
            {"iss": "us"},
            {"sub": ""},
            {"sub": None},
            {"sub": 5},
            {"sub": ["admin"]},
            {"sub": "admin", "act": {"sub": "root"}},
            {"sub": "admin", "act": None},
            {"sub": "admin", "other": {"sub": "root"}},
            {"sub": "admin", "other": []},
        )
    },
    # 9: compact form
    "09 nothing": "",
    "09 two segments": f"{header}.{payload}",
    "09 four segments": f"{header}.{payload}.{signature}.",
    "09 five segments": f"{header}.{payload}.{signature}.{payload}.{signature}",
    "09 no header": f".{payload}.{signature}",
    "09 no payload": f"{header}..{signature}",
    "09 no signature": f"{header}.{payload}.",
    "09 padding": f"{header}.{payload}.{signature}=",
    "09 padding in the payload": f"{header}.{payload}{'=' * (-len(payload) % 4) or '='}.{signature}",
    "09 space before": " " + signed(),
    "09 newline after": signed() + "\n",
    "09 newline inside": f"{header}\n.{payload}.{signature}",
    "09 base64 of the other alphabet": f"{header}.{payload}.{signature[:-1]}+",
    "09 a spelling with unused bits": f"{header}.{payload}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}",
    "09 one character too many": f"{header}.{payload}.{signature}A",
    "09 other letters": f"{header}.{payload}.\u017f{signature[1:]}",
    "09 too long": with_claims(x="y" * 8192),
    "09 a megabyte": "a" * 1_000_000,
    "09 JSON serialization": json.dumps({"protected": header, "payload": payload, "signature": signature}),
    "09 bytes": signed().encode(),
    "09 a number": 5,
    "09 a list": [signed()],
    # 10: JSON
    "10 members twice in the header": signed(header=b'{"alg": "HS256", "alg": "HS256"}'),
    "10 members twice in the payload": signed(payload=raw_json(f', "jti": "{ID}"')),
    "10 members twice, nested": signed(payload=raw_json(', "x": {"a": 1, "a": 2}')),
    "10 members twice, spelled differently": signed(payload=raw_json(', "\\u006ati": "x"')),
    "10 UTF-16": signed(payload=json.dumps(CLAIMS).encode("utf-16")),
    "10 a byte order mark": signed(payload=b"\xef\xbb\xbf" + json.dumps(CLAIMS).encode()),
    "10 bytes that are no UTF-8": signed(payload=raw_json(', "x": "')[:-1] + b'\xff"}'),
    "10 half a pair": signed(payload=raw_json(f', "x": {PAIR}')),
    "10 half a pair as a name": signed(payload=raw_json(f", {PAIR}: 1")),
    "10 half a pair in the header": signed(header=f'{{"alg": "HS256", "x": {PAIR}}}'.encode()),
    "10 deeply nested": signed(payload=b"[" * 4000),
    "10 deeply nested objects": signed(payload=b'{"a":' * 1100),
    **{f"10 the payload is {value!r}": signed(payload=value) for value in ([], "x", 5, None, True)},
    "10 the header is a list": signed(header=[HEADER]),
    "10 text after the object": signed(payload=json.dumps(CLAIMS).encode() + b"x"),
    # 11: crit and b64
    "11 crit": with_header(crit=["exp"]),
    "11 crit is empty": with_header(crit=[]),
    "11 b64": with_header(b64=True),
    "11 b64 is false": with_header(b64=False, crit=["b64"]),
    # 12: the signature
    "12 another key": signed(key=b"another key that is long enough for it"),
    "12 no key": signed(key=b""),
    "12 a changed payload": f"{header}.{encoded(CLAIMS | {'sub': 'admin'})}.{signature}",
    "12 a cut signature": f"{header}.{payload}.{encoded(b'x' * 31)}",
    "12 of another algorithm": f"{encoded(HEADER)}.{payload}.{encoded(b'x' * 64)}",
    # 8 again: expired
    "08 expired": with_claims(exp=NOW),
    "08 expired long ago": with_claims(exp=0, iat=0),
    "08 before all time": with_claims(exp=-1, iat=-5),
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
@pytest.mark.parametrize("cached", [False, True])
def test_02_03_05_to_12_every_forged_token_is_refused(token: object, cached: bool) -> None:
    """Whatever a token holds, the codec raises InvalidTokenError or, where it is genuine and old, ExpiredTokenError."""
    made = codec(cache_bytes=100_000 if cached else 0)
    made.decode(signed())
    for _ in range(2):
        with pytest.raises((InvalidTokenError, ExpiredTokenError)):
            made.decode(token)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """A server of which nobody else asks anything, since its commands are counted."""
    server = servers.valkey(tmp_path_factory.mktemp("own")).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def shop(own_server: servers.Server) -> Iterator[httpx2.Client]:
    """A real server of one endpoint, whose clock is the forge's."""
    sessions = SessionProvider(
        Session,
        secret=SECRET,
        redis_url=own_server.url,
        clock=Clock(),
        token_sources=("bearer", "header", "query"),
        near_cache_bytes=0,  # whose heartbeat the server would count
    )
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]) -> Token:
        return await manager.create(Session(name="ann"))

    @app.get("/session")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> Session:
        return session

    with serving(app) as client:
        yield client


def commands(server: servers.Server) -> Counter[str]:
    """The commands of applications that the server has counted; a connection that was silent sends a PING first."""
    stats = server.command("INFO", "commandstats").decode()
    counted = re.findall(r"cmdstat_(\S+?):calls=(\d+)", stats)
    return Counter({name: int(calls) for name, calls in counted if name not in ("info", "ping")})


def test_12_18_a_refused_token_costs_the_server_nothing_and_the_answer_is_one(
    shop: httpx2.Client, own_server: servers.Server
) -> None:
    """For every forged token zero commands reach the server, and every 401 has the same body and the same headers."""
    token = shop.post("/session").json()["access_token"]
    assert shop.get("/session", headers=bearer(token)).status_code == 200  # everything is connected now
    sendable = [
        token for token in FORGED.values() if isinstance(token, str) and token.isascii() and token.isprintable()
    ]
    sendable = [token for token in sendable if token.strip() == token and 0 < len(token) < 30_000]
    assert len(sendable) > 100
    before = commands(own_server)
    answers = [shop.get("/session", headers=bearer(token)) for token in sendable]
    assert commands(own_server) == before
    assert {(answer.status_code, answer.text) for answer in answers} == {(401, '{"detail":"Not authenticated"}')}
    fixed = {tuple(sorted((k, v) for k, v in answer.headers.items() if k != "date")) for answer in answers}
    assert len(fixed) == 1
    # A genuine token of a session that is gone is told the same, and needs the server to know it: one command for the
    # session, and one to find out whether `regenerate()` has moved it.
    gone = shop.get("/session", headers=bearer(signed()))
    assert (gone.status_code, gone.text) == (401, answers[0].text)
    assert {tuple(sorted((k, v) for k, v in gone.headers.items() if k != "date"))} == fixed
    assert (commands(own_server) - before).total() == 2


@pytest.mark.parametrize(
    ("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)], ids=["HS256", "HS384", "HS512"]
)
def test_01_keys_are_as_long_as_the_hash(algorithm: Any, size: int) -> None:
    """A key one byte too short is refused when the settings load, one of the right length is taken."""
    text = "".join(chr(33 + (7 * number) % 90) for number in range(size))
    SessionSettings(secret=text, algorithm=algorithm)
    SessionSettings(keys=(Key(kid="a", secret=text),), algorithm=algorithm)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        SessionSettings(secret=text[:-1], algorithm=algorithm)
    with pytest.raises(ConfigurationError):
        SessionSettings(keys=(Key(kid="a", secret=text[:-1]),), algorithm=algorithm)  # type: ignore[arg-type]


def test_01_a_secret_of_a_public_list_is_refused() -> None:
    """Secrets that stand in documentation and word lists are no secrets."""
    with pytest.raises(ConfigurationError, match="secret"):
        SessionSettings(secret="!ChangeThisMercureHubJWTSecretKey!")


def test_02_a_public_key_is_no_hmac_secret() -> None:
    """The confusion of RS256 and HS256 can't be configured: a PEM is refused as an HMAC secret."""
    key = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    pem = f"-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----"
    with pytest.raises(ConfigurationError):
        KeyRing([KeySpec(None, pem)], "HS256")


def test_04_several_keys_verify_by_their_exact_name() -> None:
    """With several keys the header's kid decides; no kid, another's kid and an unknown one are refused."""
    other = SECRET[::-1]
    ring = KeyRing([KeySpec("new", SECRET), KeySpec("old", other)], "HS256")
    made = TokenCodec(ring, Claims, clock=Clock())
    assert made.decode(with_header(kid="new")).jti == ID
    assert made.decode(signed(HEADER | {"kid": "old"}, key=other.encode())).jti == ID
    for bad in (
        signed(),
        with_header(kid="old"),
        with_header(kid="NEW"),
        with_header(kid="../new"),
        with_header(kid=""),
    ):
        with pytest.raises(InvalidTokenError):
            made.decode(bad)


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"iss": "us", "aud": "app"}, True),
        ({"iss": "us", "aud": ["other", "app"]}, True),
        ({"iss": "us"}, False),
        ({"aud": "app"}, False),
        ({"iss": "US", "aud": "app"}, False),
        ({"iss": "us", "aud": "apps"}, False),
        ({"iss": "us", "aud": ["other"]}, False),
        ({"iss": "us", "aud": ["app", 5]}, False),
        ({"iss": "us", "aud": {"app": 1}}, False),
    ],
)
def test_07_issuer_and_audience_are_exact(claims: dict[str, Any], accepted: bool) -> None:
    """Where they are configured a token must name both, to the letter."""
    made = codec(issuer="us", audience="app")
    if accepted:
        assert made.decode(with_claims(**claims)).iss == "us"
    else:
        with pytest.raises(InvalidTokenError):
            made.decode(with_claims(**claims))


def test_08_the_leeway_is_exact() -> None:
    """Within it clocks may differ, and not a second more."""
    made = codec(leeway=10)
    for good in ({"exp": NOW - 9}, {"nbf": NOW + 10}, {"iat": NOW + 10}):
        made.decode(with_claims(**good))
    with pytest.raises(ExpiredTokenError):
        made.decode(with_claims(exp=NOW - 10))
    for bad in ({"nbf": NOW + 11}, {"iat": NOW + 11}):
        with pytest.raises(InvalidTokenError):
            made.decode(with_claims(**bad))


def test_09_a_header_beyond_a_kilobyte_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one part that is parsed before the signature is checked: 8 KB of it cost 100 times a normal one."""
    big = signed({"alg": "HS256", "x": [{}] * 300})
    assert len(big.split(".")[0]) > 1_024
    monkeypatch.setattr("jwtsession.tokens.compact.read_json", None)
    with pytest.raises(InvalidTokenError) as refused:
        codec().decode(big)
    assert refused.value.code == "token_malformed"


def test_08_without_an_absolute_timeout_exp_may_be_left_out() -> None:
    """Then a token without exp is good, and one with an exp still ends by it."""
    made = codec(absolute_max_age=None)
    assert made.decode(signed(payload={"jti": ID})).exp is None
    with pytest.raises(ExpiredTokenError):
        made.decode(with_claims(exp=NOW))


def test_13_24_answers_follow_rfc_6750_and_are_not_cached(shop: httpx2.Client) -> None:
    """No credentials get a realm, bad ones invalid_token, two tokens 400; nothing may be kept by a cache."""
    token = shop.post("/session").json()["access_token"]
    missing, bad = shop.get("/session"), shop.get("/session", headers=bearer("bad"))
    double = shop.get("/session", headers=bearer(token) | {"x-access-token": "bad"})
    assert (missing.status_code, missing.headers["www-authenticate"]) == (401, 'Bearer realm="session"')
    assert (bad.status_code, bad.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert (double.status_code, double.headers["www-authenticate"]) == (400, 'Bearer error="invalid_request"')
    good = shop.get("/session", headers=bearer(token))
    assert good.status_code == 200
    for answer in (missing, bad, double, good):
        assert answer.headers["cache-control"] == "no-store"
        assert "Authorization" in answer.headers["vary"]


def test_14_tokens_in_the_query_are_kept_out_of_caches_and_referrers(shop: httpx2.Client) -> None:
    """Where they are switched on, the answer is not stored and its page sends no referrer."""
    token = shop.post("/session").json()["access_token"]
    answer = shop.get("/session", params={"accessToken": token})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_16_a_session_is_never_created_under_a_supplied_id(shop: httpx2.Client, own_server: servers.Server) -> None:
    """A login with a genuine token for an id of the attacker's choice gets an id of its own."""
    shop.post("/session", headers=bearer(signed()))
    assert own_server.command("EXISTS", f"sess:{ID}") == b":0\r\n"
