"""`KeyRing` and the settings of keys: every algorithm, every form of key, and every key that does not fit."""

import contextlib
import datetime
import functools
import json
import secrets
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.x509.oid import NameOID
from jwt import utils

from jwtsession import Claims, ConfigurationError, InvalidArgumentError, Key, SessionProvider, SessionSettings
from jwtsession.errors import InvalidTokenError
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from tests.conftest import SECRET, Clock
from tests.keymaterial import (
    ALGORITHMS,
    ASYMMETRIC,
    HMAC,
    by_algorithm,
    jwk,
    pem,
    private_and_public,
    private_key,
    public_pem,
    rsa_key,
    twin,
)

OTHER = SECRET[::-1]


@functools.cache
def ring(material: str, algorithm: str = "HS256", **options: Any) -> KeyRing:
    """A ring of one key; each is made once, since a private key of RSA takes long to read."""
    return KeyRing([KeySpec(None, material, **options)], algorithm)


def codec(keys: KeyRing, clock: Callable[[], float]) -> TokenCodec[Claims]:
    return TokenCodec(keys, Claims, absolute_max_age=100, clock=clock)


def header(token: str) -> dict[str, Any]:
    return jwt.get_unverified_header(token)


def new_token(keys: KeyRing) -> str:
    return codec(keys, Clock()).encode(secrets.token_urlsafe(32))[0].token


def accepts(keys: KeyRing, token: str) -> bool:
    """Whether the codec takes the token. What it refuses it refuses for the signature."""
    try:
        return bool(codec(keys, Clock()).decode(token).jti)
    except InvalidTokenError as error:
        return error.code != "token_signature"


FORMS = [*by_algorithm(HMAC, "text"), *by_algorithm(ASYMMETRIC, "pem", "jwk")]


@pytest.mark.parametrize(("algorithm", "form"), FORMS)
def test_every_algorithm_issues_and_verifies(algorithm: str, form: str) -> None:
    """A token of each algorithm verifies by its key in each form, by its public half, and by PyJWT itself."""
    private, public = (SECRET, SECRET) if form == "text" else private_and_public(algorithm, form)
    token = new_token(ring(private, algorithm))
    assert header(token)["alg"] == algorithm
    assert accepts(ring(private, algorithm), token)
    assert accepts(ring(public, algorithm), token)
    plain = SECRET if form == "text" else public_pem(private_key(algorithm))
    assert jwt.decode(token, plain, algorithms=[algorithm], options={"verify_exp": False, "verify_iat": False})["jti"]


@pytest.mark.parametrize("algorithm", by_algorithm(ALGORITHMS))
def test_no_algorithm_takes_another_key_s_or_a_changed_signature(algorithm: str) -> None:
    """A signature by another key, one with a bit changed, cut or empty, and one of other content are refused."""
    first = SECRET if algorithm in HMAC else pem(private_key(algorithm))
    second = OTHER if algorithm in HMAC else pem(private_key(algorithm, 2))
    keys, token = ring(first, algorithm), new_token(ring(first, algorithm))
    assert not accepts(keys, new_token(ring(second, algorithm)))
    signed, _, text = token.rpartition(".")
    signature = utils.base64url_decode(text)
    assert keys.verify(None, signed.encode(), signature)
    assert not keys.verify(None, signed.encode() + b"A", signature)
    for bad in (
        b"",
        bytes(len(signature)),
        signature[:-1],
        signature + b"\0",
        bytes([signature[0] ^ 1]) + signature[1:],
        signature[:-1] + bytes([signature[-1] ^ 1]),
    ):
        assert not keys.verify(None, signed.encode(), bad)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_an_ecdsa_signature_has_one_twin_and_no_other_spelling(algorithm: str) -> None:
    """`(r, n - s)` verifies too, and other libraries issue it (RFC 7518 section 3.4); nothing else does."""
    keys = ring(pem(private_key(algorithm)), algorithm)
    token = new_token(keys)
    other = twin(algorithm, token)
    assert other != token
    assert accepts(keys, token)
    assert accepts(keys, other)
    assert twin(algorithm, other) == token
    signed, _, text = token.rpartition(".")
    signature = utils.base64url_decode(text)
    half = len(signature) // 2
    for r, s in ((signature[:half] + b"\0", signature[half:]), (b"\0" + signature[:half], b"\0" + signature[half:])):
        assert not keys.verify(None, signed.encode(), r + s)


@pytest.mark.parametrize(("ours", "theirs"), [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS384")])
def test_one_rsa_key_does_not_serve_two_algorithms(ours: str, theirs: str) -> None:
    """A signature of another padding or hash by the right key is no signature of ours."""
    material = pem(private_key(ours))
    signed, _, signature = new_token(ring(material, theirs)).rpartition(".")
    assert not ring(material, ours).verify(None, signed.encode(), utils.base64url_decode(signature))


@pytest.mark.parametrize("algorithm", by_algorithm(ASYMMETRIC))
@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_a_public_key_can_not_sign(algorithm: str, form: str) -> None:
    """A verify-only configuration says so where somebody asks it for a token, and shows no key."""
    public = private_and_public(algorithm, form)[1]
    with pytest.raises(InvalidArgumentError, match="this service only verifies") as refused:
        ring(public, algorithm).sign({"jti": "x"})
    assert_hides(refused.value, public)
    # As `create()` asks for it.
    with pytest.raises(InvalidArgumentError, match="this service only verifies"):
        new_token(ring(public, algorithm))


@pytest.mark.parametrize("algorithm", by_algorithm(ALGORITHMS))
def test_a_verify_only_key_can_not_sign_even_if_it_is_private(algorithm: str) -> None:
    """`verify_only` holds for secrets and private keys too."""
    material = SECRET if algorithm in HMAC else pem(private_key(algorithm))
    keys = ring(material, algorithm, verify_only=True)
    assert accepts(keys, new_token(ring(material, algorithm)))
    with pytest.raises(InvalidArgumentError, match="this service only verifies"):
        keys.sign({"jti": "x"})


def test_a_private_jwk_that_is_for_verifying_only_does_not_sign() -> None:
    """`key_ops` (RFC 7517 section 4.3) limits what a key does: without `sign` it verifies, and that is all."""
    key = private_key("ES256")
    keys = ring(jwk(key, key_ops=["verify"]), "ES256")
    assert accepts(keys, new_token(ring(pem(key), "ES256")))
    with pytest.raises(InvalidArgumentError, match="this service only verifies"):
        keys.sign({"jti": "x"})


@pytest.mark.parametrize("members", [{"use": "sig"}, {"key_ops": ["sign", "verify"]}, {"alg": "ES256", "ext": True}])
def test_a_jwk_may_say_what_it_is_for(members: dict[str, Any]) -> None:
    """A JWK whose members fit the algorithm, or that has some that nobody knows, is taken."""
    assert ring(jwk(private_key("ES256"), **members), "ES256").sign({"jti": "x"})


def test_keys_may_stand_between_blank_lines() -> None:
    """White space around a PEM or a JWK, as files and shells leave it, does no harm."""
    for material in (pem(private_key("EdDSA")), jwk(private_key("EdDSA"))):
        assert ring(f"\n  {material}\n\n", "EdDSA").sign({"jti": "x"})


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jwtsession tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key("RS256").public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(private_key("RS256"), hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    return made.public_bytes(Encoding.PEM).decode()


def oct_jwk() -> str:
    return json.dumps({"kty": "oct", "k": utils.base64url_encode(SECRET.encode()).decode()})


def without(text: str, *members: str) -> str:
    return json.dumps({name: value for name, value in json.loads(text).items() if name not in members})


MISFITS: dict[str, tuple[str, Callable[[], str]]] = {
    "another curve, PEM": ("ES256", lambda: pem(private_key("ES384"))),
    "another curve, public PEM": ("ES256", lambda: public_pem(private_key("ES384"))),
    "another curve, JWK": ("ES384", lambda: jwk(private_key("ES256"))),
    "secp256k1, PEM": ("ES256", lambda: pem(private_key("ES256K"))),
    "secp256k1, JWK": ("ES256", lambda: jwk(private_key("ES256K"))),
    "RSA of 1024 bits, PEM": ("RS256", lambda: pem(rsa_key(1024))),
    "RSA of 1024 bits, public PEM": ("PS256", lambda: public_pem(rsa_key(1024))),
    "RSA of 1024 bits, JWK": ("PS256", lambda: jwk(rsa_key(1024))),
    "RSA of 2040 bits": ("RS512", lambda: pem(rsa_key(2040))),
    "Ed448, PEM": ("EdDSA", lambda: pem(private_key("Ed448"))),
    "Ed448, public PEM": ("EdDSA", lambda: public_pem(private_key("Ed448"))),
    "Ed448, JWK": ("EdDSA", lambda: jwk(private_key("Ed448"))),
    "X25519": ("EdDSA", lambda: pem(x25519.X25519PrivateKey.generate())),
    "a secret under RS256": ("RS256", lambda: SECRET),
    "a secret under ES256": ("ES256", lambda: SECRET),
    "a secret under EdDSA": ("EdDSA", lambda: SECRET),
    "RSA under ES256": ("ES256", lambda: pem(private_key("RS256"))),
    "EC under RS256": ("RS256", lambda: pem(private_key("ES256"))),
    "EC under EdDSA": ("EdDSA", lambda: pem(private_key("ES256"))),
    "an RSA JWK under ES256": ("ES256", lambda: jwk(private_key("RS256"))),
    "an oct JWK under RS256": ("RS256", oct_jwk),
    "a private PEM under HS256": ("HS256", lambda: pem(private_key("RS256"))),
    "a public PEM under HS256": ("HS256", lambda: public_pem(private_key("RS256"))),
    "a public JWK under HS512": ("HS512", lambda: jwk(private_key("RS256").public_key())),
    "an oct JWK under HS256": ("HS256", oct_jwk),
    "a certificate under HS256": ("HS256", certificate),
    "a certificate under RS256": ("RS256", certificate),
    "an encrypted PEM": ("RS256", lambda: pem(private_key("RS256"), BestAvailableEncryption(b"password"))),
    "an encrypted Ed25519 PEM": ("EdDSA", lambda: pem(private_key("EdDSA"), BestAvailableEncryption(b"password"))),
    "a JWK for encryption": ("RS256", lambda: jwk(private_key("RS256"), use="enc")),
    "a JWK whose key_ops encrypt": ("RS256", lambda: jwk(private_key("RS256"), key_ops=["encrypt", "decrypt"])),
    "a JWK without key_ops in its key_ops": ("RS256", lambda: jwk(private_key("RS256"), key_ops=[])),
    "a JWK whose key_ops is a text": ("RS256", lambda: jwk(private_key("RS256"), key_ops="sign")),
    "a JWK whose key_ops is null": ("RS256", lambda: jwk(private_key("RS256"), key_ops=None)),
    "a JWK for another algorithm": ("RS256", lambda: jwk(private_key("RS256"), alg="PS256")),
    "a JWK whose kid is a number": ("ES256", lambda: jwk(private_key("ES256"), kid=5)),
    "a JWK without kty": ("ES256", lambda: without(jwk(private_key("ES256")), "kty")),
    "a JWK without y": ("ES256", lambda: without(jwk(private_key("ES256")), "y")),
    "a JWK whose halves differ": (
        "EdDSA",
        lambda: jwk(private_key("EdDSA"), x=json.loads(jwk(private_key("EdDSA", 2)))["x"]),
    ),
    "a JWK set": ("RS256", lambda: '{"keys": [' + jwk(private_key("RS256")) + "]}"),
    "a list": ("RS256", lambda: f"[{jwk(private_key('RS256'))}]"),
    "a cut JWK": ("RS256", lambda: jwk(private_key("RS256"))[:-40]),
    "a cut PEM": ("RS256", lambda: pem(private_key("RS256"))[:-300]),
    "a PEM with escaped line ends": ("EdDSA", lambda: pem(private_key("EdDSA")).replace("\n", "\\n")),
    "deep JSON": ("RS256", lambda: '{"a":' * 100_000),
    "half a surrogate": ("RS256", lambda: "\ud800" * 64),
    "a NUL": ("EdDSA", lambda: "\0" * 64),
}


def assert_hides(error: BaseException, material: str) -> None:
    """No eight characters in a row of the key's secret part, in the error and all that a traceback can show."""
    assert error.__context__ is None
    told = repr(error) + "".join(traceback.format_exception(error))
    # What an error tracker collects: the locals of every frame but the test's own, which holds the key.
    frames = traceback.walk_tb(error.__traceback__.tb_next if error.__traceback__ is not None else None)
    for value in (value for frame, _ in frames for value in frame.f_locals.values()):
        with contextlib.suppress(AttributeError):  # an object that is not yet whole
            told += repr(value)
    lines = [line for line in material.splitlines() if not line.startswith("-----")]
    text = "".join(lines) if material.lstrip().startswith("-----") else material
    for start in range(min(len(text), 4_000) - 12):
        assert text[start : start + 12] not in told


@pytest.mark.parametrize("name", MISFITS)
def test_a_key_that_does_not_fit_is_refused_by_its_setting_s_name(name: str) -> None:
    """Whatever stands in the place of a key: a ConfigurationError that names the setting and shows nothing of it."""
    algorithm, make = MISFITS[name]
    material = make()
    for spec, setting in ((KeySpec(None, material), "secret: "), (KeySpec("spring", material), "keys: 'spring': ")):
        with pytest.raises(ConfigurationError) as refused:
            refuse(spec, algorithm)
        assert str(refused.value).startswith(setting)
        assert algorithm in str(refused.value)
        assert_hides(refused.value, material)


def refuse(spec: KeySpec, algorithm: str) -> None:
    KeyRing([spec], algorithm)


@pytest.mark.parametrize(
    ("algorithm", "needs"),
    [
        ("HS256", "random text"),
        ("RS256", "RSA key of at least 2048 bits"),
        ("PS512", "RSA key of at least 2048 bits"),
        ("ES256", "P-256"),
        ("ES384", "P-384"),
        ("ES512", "P-521"),
        ("EdDSA", "Ed25519"),
    ],
)
def test_the_refusal_says_what_is_needed(algorithm: str, needs: str) -> None:
    """The message tells which key the algorithm needs, so that nobody has to guess."""
    with pytest.raises(ConfigurationError, match=needs):
        ring(certificate(), algorithm)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_the_provider_refuses_at_start(algorithm: Any) -> None:
    """An application with a wrong key does not come up, and its error hides the key behind the settings too."""
    material = pem(private_key("Ed448"))
    settings = SessionSettings(secret=material, algorithm=algorithm, redis_url="redis://localhost")
    with pytest.raises(ConfigurationError, match=r"^secret: ") as refused:
        SessionProvider(settings=settings)
    assert_hides(refused.value, material)


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_each_of_several_secrets_must_be_long_enough(algorithm: Any, least: int) -> None:
    """One byte too few is refused by the key's name and size, for `keys` as for `secret`."""
    enough = (OTHER + SECRET)[:least]
    SessionSettings(algorithm=algorithm, keys=[Key(kid="a", secret=enough)])
    wrong: list[dict[str, Any]] = [
        {"keys": [{"kid": "a", "secret": enough}, {"kid": "b", "secret": enough[1:]}]},
        {"keys": [{"kid": "b", "secret": enough[1:], "verify_only": True}], "secret": enough},
    ]
    for options in wrong:
        with pytest.raises(ConfigurationError, match=f"keys: 'b': {algorithm} needs at least {least} bytes") as refused:
            SessionSettings(algorithm=algorithm, **options)
        assert enough[1:13] not in str(refused.value)


# --- kid -----------------------------------------------------------------------------------------------------------


def several(*kids: str | None, algorithm: str = "HS256") -> KeyRing:
    return KeyRing([spec(kid, algorithm) for kid in kids], algorithm)


def spec(kid: str | None, algorithm: str = "HS256") -> KeySpec:
    """The key that has this name in these tests, always the same."""
    if algorithm in HMAC:
        return KeySpec(kid, f"{kid} {SECRET}")
    return KeySpec(kid, pem(private_key(algorithm, hash(kid))))


def test_the_first_key_signs_and_all_verify() -> None:
    """The token names the key that signed it, and each key of the ring verifies its own."""
    keys = several("new", "old")
    assert header(new_token(keys))["kid"] == "new"
    assert accepts(keys, new_token(several("new")))
    assert accepts(keys, new_token(several("old")))


def test_a_new_key_that_only_verifies_leaves_the_signing_to_the_old_one() -> None:
    """The first key that may sign signs."""
    new = KeySpec("new", f"new {SECRET}", verify_only=True)
    assert header(new_token(KeyRing([new, spec("old")], "HS256")))["kid"] == "old"
    assert "kid" not in header(new_token(KeyRing([new, spec(None)], "HS256")))


def signed(material: str, **more: Any) -> str:
    payload = {"jti": secrets.token_urlsafe(32), "iat": int(Clock()()), "exp": int(Clock()()) + 50}
    return jwt.encode(payload, material, headers=more)


def test_with_one_key_a_kid_does_not_matter() -> None:
    """A service with one key takes its tokens whatever name they give it, or none."""
    keys = several("only")
    material = spec("only").material
    for token in (signed(material), signed(material, kid="only"), signed(material, kid="another")):
        assert accepts(keys, token)
    assert not accepts(keys, signed(OTHER, kid="only"))


def test_with_several_keys_a_kid_must_be_the_right_one() -> None:
    """A name that is unknown, missing, empty, spelt otherwise or another key's refuses the token."""
    keys = several("new", "old")
    material = spec("old").material
    assert accepts(keys, signed(material, kid="old"))
    for token in (
        signed(material),
        signed(material, kid=""),
        signed(material, kid="OLD"),
        signed(material, kid="old "),
        signed(material, kid="unknown"),
        signed(material, kid="new"),
    ):
        assert not accepts(keys, token)


def test_the_plain_secret_beside_keys_has_no_name() -> None:
    """Tokens from before the keys had names go on; a named token is never tried with the nameless secret."""
    keys = several("new", None)
    material = spec(None).material
    assert accepts(keys, signed(material))
    assert not accepts(keys, signed(material, kid="new"))
    assert not accepts(keys, signed(material, kid="None"))
    assert not accepts(keys, signed(spec("new").material))


def test_two_kids_in_one_header_are_no_token() -> None:
    """A header that names two keys is refused before any key is tried (RFC 7515 section 4)."""
    material = spec("old").material
    text = b'{"alg":"HS256","kid":"new","kid":"old"}'
    payload = signed(material).split(".")[1]
    head = utils.base64url_encode(text).decode()
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = algorithm.sign(f"{head}.{payload}".encode(), material.encode())
    token = f"{head}.{payload}.{utils.base64url_encode(signature).decode()}"
    with pytest.raises(InvalidTokenError) as refused:
        codec(several("new", "old"), Clock()).decode(token)
    assert refused.value.code == "token_malformed"


@pytest.mark.parametrize("algorithm", ["HS256", "EdDSA"])
def test_two_keys_of_one_name_are_refused(algorithm: str) -> None:
    """Which of two keys is meant must never depend on their order."""
    with pytest.raises(ConfigurationError, match="keys: two keys have the name 'a'"):
        several("a", "b", "a", algorithm=algorithm)


def test_a_private_key_without_a_name_is_known_by_its_thumbprint() -> None:
    """Services that take public keys from a JWK set look them up by `kid`: so a nameless key gets one (RFC 7638)."""
    keys = ring(pem(private_key("ES256")), "ES256")
    published = keys.jwks()["keys"][0]
    assert header(new_token(keys))["kid"] == published["kid"]
    beside = KeyRing([spec("new", "ES256"), KeySpec(None, pem(private_key("ES256")))], "ES256")
    assert accepts(beside, new_token(keys))
    unnamed = jwt.encode(
        jwt.decode(new_token(keys), options={"verify_signature": False}), private_key("ES256"), "ES256"
    )
    assert "kid" not in header(unnamed)
    assert accepts(beside, unnamed)
    assert {each["kid"] for each in beside.jwks()["keys"]} == {"new", published["kid"]}


@pytest.mark.parametrize(
    ("algorithm", "public", "thumbprint"),
    [
        (  # RFC 7638 section 3.1
            "RS256",
            {
                "kty": "RSA",
                "e": "AQAB",
                "alg": "RS256",
                "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
                "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
                "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
                "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            },
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        (  # RFC 8037 appendix A.3
            "EdDSA",
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
    ],
)
def test_thumbprints_are_those_of_the_standards(algorithm: str, public: dict[str, str], thumbprint: str) -> None:
    """The examples of RFC 7638 and RFC 8037."""
    assert ring(json.dumps(public), algorithm).jwks()["keys"][0]["kid"] == thumbprint


def test_a_jwk_keeps_its_own_kid_where_it_is_given_no_other() -> None:
    """The `kid` inside of a JWK is its name; a name in the settings goes before it."""
    material = jwk(private_key("ES256"), kid="its own")
    assert header(new_token(ring(material, "ES256")))["kid"] == "its own"
    named = KeyRing([KeySpec("ours", material)], "ES256")
    assert header(new_token(named))["kid"] == "ours"
    assert [each["kid"] for each in named.jwks()["keys"]] == ["ours"]


def test_a_secret_without_a_name_gives_its_tokens_none() -> None:
    """With HMAC a `kid` would say something of the secret, and the original knows none."""
    assert "kid" not in header(new_token(ring(SECRET)))


# --- the set ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", by_algorithm(ASYMMETRIC))
@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_the_published_set_holds_public_members_only(algorithm: str, form: str) -> None:
    """Of a private key: type, public members, `kid`, `alg` and `use`, to the letter."""
    members = {"RS": {"n", "e"}, "PS": {"n", "e"}, "ES": {"crv", "x", "y"}, "Ed": {"crv", "x"}}[algorithm[:2]]
    (found,) = KeyRing([KeySpec("a", private_and_public(algorithm, form)[0])], algorithm).jwks()["keys"]
    assert set(found) == members | {"kty", "kid", "alg", "use"}
    assert (found["kid"], found["alg"], found["use"]) == ("a", algorithm, "sig")


@pytest.mark.parametrize("algorithm", HMAC)
def test_a_symmetric_key_is_never_published(algorithm: str) -> None:
    """The set of an HMAC service is empty."""
    assert several("a", "b", None, algorithm=algorithm).jwks() == {"keys": []}


def test_the_set_that_is_handed_out_is_a_copy() -> None:
    """Who changes the answer changes nothing for the next one."""
    keys = several("a", algorithm="EdDSA")
    keys.jwks()["keys"][0]["x"] = "another"
    keys.jwks()["keys"].clear()
    assert len(keys.jwks()["keys"][0]["x"]) == 43


# --- the settings ----------------------------------------------------------------------------------------------------


def test_keys_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PEM is read when the provider is made, and not again for any token (it takes as long as the signature)."""
    import jwt.algorithms

    parsed: list[str] = []

    def count(name: str) -> None:
        original = getattr(jwt.algorithms, name)

        def counted(*args: Any, **options: Any) -> Any:
            parsed.append(name)
            return original(*args, **options)

        monkeypatch.setattr(jwt.algorithms, name, counted)

    count("load_pem_private_key")
    count("load_pem_public_key")
    keys = KeyRing([spec("new", "ES256"), spec("old", "ES256")], "ES256")
    assert "load_pem_private_key" in parsed
    parsed.clear()
    for _ in range(10):
        assert accepts(keys, new_token(keys))
        keys.jwks()
    assert parsed == []


def test_nothing_that_holds_a_key_shows_it() -> None:
    """The repr of every object around keys hides them."""
    settings = SessionSettings(secret=SECRET, keys=[Key(kid="a", secret=OTHER)], redis_url="redis://localhost")
    provider = SessionProvider(settings=settings)
    shown = repr(
        [
            settings,
            settings.model_dump(),
            settings.keys,
            provider,
            KeyRing([KeySpec("a", OTHER)], "HS256"),
            KeySpec("a", OTHER),
            settings.model_dump_json(),
        ]
    )
    assert "'a'" in shown
    assert SECRET[:12] not in shown
    assert OTHER[:12] not in shown


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`JWTSESSION_KEYS` is JSON, with PEM texts in it as JSON writes them."""
    material = pem(private_key("ES256"))
    keys = [{"kid": "new", "secret": material, "verify_only": True}, {"kid": "old", "secret": material}]
    monkeypatch.setenv("JWTSESSION_KEYS", json.dumps(keys))
    monkeypatch.setenv("JWTSESSION_ALGORITHM", "ES256")
    settings = SessionSettings()
    assert [(key.kid, key.verify_only) for key in settings.keys] == [("new", True), ("old", False)]
    assert settings.keys[0].secret.get_secret_value() == material
    SessionProvider(settings=settings)


BAD_KEYS = {
    "no JSON": "topsecret-topsecret",
    "cut JSON": '[{"kid": "a", "secret": "topsecret-topsecret',
    "no list": '{"kid": "a", "secret": "topsecret-topsecret"}',
    "a text": '["topsecret-topsecret"]',
    "no kid": '[{"secret": "topsecret-topsecret"}]',
    "no secret": '[{"kid": "a", "secrte": "topsecret-topsecret"}]',
    "a bad kid": '[{"kid": "a b", "secret": "topsecret-topsecret"}]',
    "a JWK as an object": '[{"kid": "a", "secret": {"kty": "topsecret-topsecret"}}]',
    "nothing": "",
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_bad_keys_in_the_environment_are_a_configuration_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the variable holds, the error is the package's own, names `keys`, and shows nothing of it."""
    monkeypatch.setenv("JWTSESSION_KEYS", BAD_KEYS[name])
    with pytest.raises(ConfigurationError, match=r"\bkeys\b") as refused:
        SessionSettings(secret=SECRET)
    assert "topsecret" not in "".join(traceback.format_exception(refused.value))
    # The errors of the parsers hold the text that they could not parse: none of them may hang on.
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "options",
    [
        {"kid": "a b", "secret": "topsecret"},
        {"kid": "", "secret": "topsecret"},
        {"kid": "a\n", "secret": "topsecret"},
        {"kid": "a" * 129, "secret": "topsecret"},
        {"kid": "a", "secrte": "topsecret"},
        {"kid": "a", "secret": 1},
    ],
)
def test_a_bad_key_is_a_configuration_error(options: dict[str, Any]) -> None:
    """`Key(...)` refuses as the settings do: by name, without the value."""
    with pytest.raises(ConfigurationError, match=r"^(kid|secret): ") as refused:
        Key(**options)
    assert "topsecret" not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None


def test_no_key_at_all_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `secret` nor `keys`: the message names both ways to give one."""
    monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    none: list[dict[str, Any]] = [{}, {"keys": []}]
    for options in none:
        with pytest.raises(ConfigurationError, match=r"^secret: is required.*JWTSESSION_SECRET"):
            SessionSettings(**options)


WITHOUT_CRYPTOGRAPHY = """
import base64, sys
sys.modules["cryptography"] = None
from jwtsession import ConfigurationError, SessionProvider
common = {"secret": SECRET, "redis_url": "redis://localhost"}
SessionProvider(**common)
at_rest = {"encryption": {"keys": [base64.urlsafe_b64encode(bytes(range(200, 232))).decode()]}}
proofs = {"dpop": {"mode": "optional"}, "public_url": "https://a.com"}
for options in [{"algorithm": name} for name in ("RS256", "PS384", "ES512", "EdDSA")] + [at_rest, proofs]:
    try:
        SessionProvider(**common, **options)
    except ConfigurationError as error:
        print(error)
"""


@pytest.mark.slow
def test_without_cryptography_the_error_names_the_extra() -> None:
    """HMAC works in an installation without extras; the rest says what to install."""
    program = f"SECRET = {SECRET!r}\n{WITHOUT_CRYPTOGRAPHY}"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    lines = told.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["algorithm"] * 4 + ["encryption.keys", "dpop.algorithms"]
    assert all("fastapi-jwtsession[crypto]" in line for line in lines)


@pytest.mark.parametrize("algorithm", by_algorithm(ALGORITHMS))
def test_a_derived_secret_comes_from_the_private_half(algorithm: str) -> None:
    """The key of a private key is not the one that the public half gives; a public key gives none."""
    private, public = (SECRET, SECRET) if algorithm in HMAC else private_and_public(algorithm, "pem")
    secret = ring(private, algorithm).derived_secrets(b"a purpose")
    assert len(secret) == 1
    assert len(secret[0]) == 32
    assert secret == ring(private, algorithm, verify_only=True).derived_secrets(b"a purpose")
    assert secret != ring(private, algorithm).derived_secrets(b"another")
    if algorithm not in HMAC:
        assert secret != ring(private, algorithm).derived(b"a purpose")
        assert ring(public, algorithm).derived_secrets(b"a purpose") == []


def test_the_signing_key_s_derived_secret_comes_first() -> None:
    """Services that replace a key share the secrets of both keys, whichever of them signs."""
    specs = [KeySpec(name, pem(private_key("ES256", number)), number == 1) for number, name in enumerate("ab", 1)]
    keys = KeyRing(specs, "ES256")
    old, new = (KeyRing([spec], "ES256").derived_secrets(b"a purpose") for spec in specs)
    assert keys.derived_secrets(b"a purpose") == [*new, *old]
