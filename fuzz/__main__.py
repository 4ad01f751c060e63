"""Targets for atheris (libFuzzer). Anything that is raised beside the error that the contract names is a finding."""

import base64
import json
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris
from cryptography.hazmat.primitives.asymmetric import ed25519

with atheris.instrument_imports(include=["jwtsession", "json", "base64"]):
    from jwtsession import (
        Claims,
        CookieSettings,
        CSRFError,
        ExpiredTokenError,
        InvalidArgumentError,
        InvalidProofError,
        InvalidTokenError,
        Session,
        SessionCorruptError,
    )
    from jwtsession.sessions.encryption import AESGCMSealer
    from jwtsession.sessions.serialization import SessionSerializer
    from jwtsession.tokens import KeyRing, KeySpec, ProofVerifier, TokenCodec
    from jwtsession.transports import CookieTransport, CSRFCheck

VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "wycheproof_json_web_signature_test.json"
ID = "an-id-of-the-fuzzer-of-43-characters-in-all"


class UserSession(Session):
    """A model with a few kinds of fields."""

    user_id: int
    cart: list[str] = []
    notes: dict[str, float] | None = None


class Trusting(KeyRing):
    """Takes every signature for good, so that the fuzzer gets to what lies behind it."""

    def verify(self, kid: str | None, signed: bytes, signature: bytes) -> bool:
        """Yes."""
        return True


RING = KeyRing([KeySpec(None, "a key of the fuzzer, long enough for it")], "HS256")
CODECS = [
    TokenCodec(keys, Claims, absolute_max_age=1000, cache_bytes=10_000, clock=lambda: 1_800_000_000.0)
    for keys in (RING, Trusting([KeySpec(None, "a key of the fuzzer, long enough for it")], "HS256"))
]
SERIALIZERS: list[SessionSerializer[Any]] = [SessionSerializer(UserSession), SessionSerializer(Session)]
ENCRYPTION = AESGCMSealer(["VGhpcnR5LXR3byByYW5kb20tbG9va2luZyBieXRlcyE"], "sess:", "write")


def decoder(data: bytes) -> None:
    """No token makes the decoder raise anything but its two errors."""
    for token in (data.decode("latin-1"), data.decode("utf-8", "surrogateescape")):
        for codec in CODECS:
            try:
                codec.decode(token)
            except (InvalidTokenError, ExpiredTokenError):
                pass


def stored(data: bytes) -> None:
    """No stored value makes the parser raise anything but SessionCorruptError; what it takes can be stored again."""
    for serializer in SERIALIZERS:
        try:
            session, fitting = serializer.load(ENCRYPTION.open(ID, data))
        except SessionCorruptError:
            continue
        try:
            serializer.dump(session, data, fitting)
        except InvalidArgumentError:
            if not _overflows(data):
                raise


COOKIE = CookieTransport("session", CookieSettings())
CHECKS = [
    CSRFCheck(mode, trusted_origins=["https://a.com"], same_site=same_site, cookie_secure=same_site)
    for mode in ("strict", "lenient")
    for same_site in (True, False)
]


def cookies(data: bytes) -> None:
    """No headers make a transport or a check raise anything but CSRFError; a cookie of another name is never taken."""
    names = (b"cookie", b"origin", b"sec-fetch-site", b"host")
    lines = data.split(b"\n")
    headers = [(names[number % 4], line) for number, line in enumerate(lines)]
    for token in COOKIE.find(headers):
        taken = b"session=" + token.encode("latin-1")
        if not any(taken == part.strip(b" \t") for line in lines for part in line.split(b";")):
            raise AssertionError(token)
    for check in CHECKS:
        try:
            check.check_login(headers, "http")
        except CSRFError:
            pass


PROOFS = ProofVerifier(
    algorithms=("ES256", "EdDSA", "RS256"),
    max_age=60,
    leeway=5,
    public_url="https://server.example.com",
    nonces=None,
    clock=lambda: 1_562_262_616.0,
)
PROOF_KEY = ed25519.Ed25519PrivateKey.generate()
PROOF_HEADER: dict[str, Any] = {
    "typ": "dpop+jwt",
    "alg": "EdDSA",
    "jwk": {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": base64.urlsafe_b64encode(PROOF_KEY.public_key().public_bytes_raw()).rstrip(b"=").decode(),
    },
}
# RFC 9449 figure 2.
PROOF = (
    b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJo"
    b"RjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
    b".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0"
    b"IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)


def proofs(data: bytes) -> None:
    """No proof makes the verifier raise anything but its errors, and of unsigned ones only the RFC's own is good."""
    header, _, rest = data.partition(b"\n")
    claims, _, path = rest.partition(b"\n")
    for proof in (data, _proof(header, claims, None)):
        try:
            PROOFS.verify([proof], "POST", "/token", None)
        except InvalidProofError:
            continue
        if proof != PROOF:
            raise AssertionError(proof)
    try:
        proof = _proof(json.dumps(PROOF_HEADER).encode(), claims, PROOF_KEY)
        PROOFS.verify([proof], "POST", path.decode("latin-1"), "a-token")
    except InvalidProofError:
        pass


def _proof(header: bytes, claims: bytes, key: ed25519.Ed25519PrivateKey | None) -> bytes:
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    signature = bytes(64) if key is None else key.sign(signed)
    return signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")


def _overflows(data: bytes) -> bool:
    """Whether a number is so large that it is read as infinity, which JSON can't hold: it is refused when stored."""
    found: list[bool] = []
    json.loads(
        data,
        parse_float=lambda text: found.append(math.isinf(float(text))),
        parse_constant=lambda _: found.append(True),
    )
    return any(found)


def seeds(name: str) -> list[bytes]:
    """Where the fuzzer starts."""
    if name == "cookies":
        return [
            b"a=b; session=t\nhttps://a.com\nsame-origin\na.com",
            b"session=a; session=b\nnull\n\n",
            b'session="t"\nhttps://a.com:443\ncross-site\na.com:443\n xsession=t',
        ]
    if name == "proofs":
        parts = [base64.urlsafe_b64decode(part + b"==") for part in PROOF.split(b".")]
        ath = b',"ath":"H2B246R7od7QgCX_4G5XryF8FPlAfzP7pQ-ZsccBk4c"}'
        return [PROOF, b"\n".join([parts[0], parts[1].replace(b"}", ath), b"/token"])]
    if name == "stored":
        return [
            b'{"user_id":1,"cart":["a"],"notes":{"x":1.5}}',
            b'{"jwt":"a","claims":{"jti":"b"}}',
            b"\x01" + b"x" * 40,
        ]
    groups = json.loads(VECTORS.read_text())["testGroups"]
    found = [vector["jws"].encode() for group in groups for vector in group["tests"] if isinstance(vector["jws"], str)]
    return [*found, CODECS[0].encode(ID, Claims(sub="1"))[0].token.encode()]


def main() -> None:
    """Run the target that the first argument names; the rest are libFuzzer's options."""
    targets: dict[str, Callable[[bytes], None]] = {
        "decoder": decoder,
        "stored": stored,
        "cookies": cookies,
        "proofs": proofs,
    }
    name = sys.argv[1]
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number, seed in enumerate(seeds(name)):
        (corpus / str(number)).write_bytes(seed)
    # Findings are written there too, not into the project.
    options = [sys.argv[0], str(corpus), f"-artifact_prefix={corpus}/", "-max_len=9000", *sys.argv[2:]]
    atheris.Setup(options, atheris.instrument_func(targets[name]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
