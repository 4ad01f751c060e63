"""`ProofVerifier`: RFC 9449's own examples, and one wrong proof for each check of its section 4.3."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from jwtsession import InvalidProofError, ProofNonceError
from jwtsession.tokens import Proof, ProofNonces, ProofVerifier, is_of_key
from tests.conftest import Clock
from tests.keymaterial import ASYMMETRIC, private_key
from tests.proofs import PUBLIC_URL, proof, public_jwk, signed

TOKEN = "a-token"


def verifier(clock: Callable[[], float] | None = None, **options: Any) -> ProofVerifier:
    settings: dict[str, Any] = {
        "algorithms": ("ES256", "EdDSA"),
        "max_age": 60,
        "leeway": 5,
        "public_url": PUBLIC_URL,
        "nonces": None,
        "clock": clock or Clock(),
    }
    return ProofVerifier(**settings | options)


def refusal(*headers: bytes, method: str = "GET", path: str = "/me", token: str | None = None, **options: Any) -> str:
    """The code with which a proof is refused."""
    with pytest.raises(InvalidProofError) as refused:
        verifier(**options).verify(headers, method, path, token)
    assert refused.value.algorithms == tuple(options.get("algorithms", ("ES256", "EdDSA")))
    return refused.value.code


# RFC 9449, figures 2 (a login), 7 (the same client later), 13 (a request with a token) and 9 (the thumbprint).
RFC_HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJo"
    "RjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
RFC_LOGIN = (
    "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0"
    "IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
RFC_LATER = (
    "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0"
    "IjoxNTYyMjY1Mjk2fQ.pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP2hjiaG5QsGSuKDYW7_X620BxqhvYC8ynrrvZLTk41mSRroapUA"
)
RFC_REQUEST = (
    "eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRy"
    "ZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9"
    ".2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.mark.parametrize(
    ("rest", "method", "url", "path", "now", "token"),
    [
        (RFC_LOGIN, "POST", "https://server.example.com", "/token", 1562262616, None),
        (RFC_LATER, "POST", "https://server.example.com", "/token", 1562265296, None),
        (RFC_REQUEST, "GET", "https://resource.example.org", "/protectedresource", 1562262618, RFC_TOKEN),
    ],
)
def test_the_examples_of_the_rfc_are_good(
    rest: str, method: str, url: str, path: str, now: int, token: str | None
) -> None:
    """The proofs that RFC 9449 prints are good at their time and place, and have the thumbprint that it prints."""
    found = verifier(lambda: now, public_url=url).verify([f"{RFC_HEADER}.{rest}".encode()], method, path, token)
    assert found.jkt == RFC_THUMBPRINT
    assert is_of_key(found, RFC_THUMBPRINT)
    assert not is_of_key(found, RFC_THUMBPRINT[::-1])


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_each_algorithm_of_the_settings_is_good(algorithm: str) -> None:
    """A proof by a key of each algorithm is good, the first time and when its key is known, and with a token."""
    asked = verifier(algorithms=(algorithm,))
    first, second = (asked.verify([proof(algorithm=algorithm, jti=jti)], "GET", "/me", None) for jti in "ab")
    assert first.jkt == second.jkt
    assert first.name != second.name
    assert asked.verify([proof(algorithm=algorithm, token=TOKEN)], "GET", "/me", TOKEN).jkt == first.jkt


HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(private_key("ES256"))}
CLAIMS = {"jti": "a", "htm": "GET", "htu": PUBLIC_URL + "/me", "iat": Clock()()}


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        ("proof_missing", []),
        ("proof_malformed", [proof(), proof()]),  # check 1
        ("proof_malformed", [b", ".join([proof(), proof()])]),
        ("proof_malformed", [b""]),
        ("proof_malformed", [proof(padding="x" * 4000)]),
        ("proof_malformed", [proof() + b"="]),  # check 2
        ("proof_malformed", [proof() + b"\xff"]),
        ("proof_malformed", [signed(b'{"typ":"dpop+jwt","typ":"dpop+jwt"}', CLAIMS)]),
        ("proof_malformed", [signed(HEADER, b'{"jti":"a","jti":"a"}')]),
        ("proof_malformed", [signed(HEADER, b"[]")]),
        ("proof_malformed", [proof(iat=float("nan"))]),
        *(("proof_header", [proof(header={name: "x"})]) for name in ("jku", "x5u", "x5c", "zip", "cty", "crit", "b64")),
        ("proof_header", [proof(header={"kid": 1})]),
        *(("proof_claims", [proof(without=(name,))]) for name in ("jti", "htm", "htu", "iat")),  # check 3
        ("proof_claims", [proof(jti="")]),
        ("proof_claims", [proof(jti="x" * 257)]),
        ("proof_claims", [proof(jti=1)]),
        ("proof_claims", [proof(htu=["https://api.example.com/me"])]),
        ("proof_claims", [proof(htm=None)]),
        *(("proof_claims", [proof(iat=iat)]) for iat in (True, "1", None, 2**60, [])),
        *(("proof_type", [proof(header={"typ": typ})]) for typ in ("JWT", "DPOP+JWT", "application/dpop+jwt", None, 1)),
        ("proof_type", [signed({"alg": "ES256", "jwk": HEADER["jwk"]}, CLAIMS)]),  # check 4
        *(("proof_algorithm", [proof(header={"alg": alg})]) for alg in ("none", "HS256", "es256", "RS256", None, [])),
        ("proof_algorithm", [proof(algorithm="ES384")]),  # check 5
        ("proof_key", [signed({"typ": "dpop+jwt", "alg": "ES256"}, CLAIMS)]),  # check 6: see test_jwk.py
        ("proof_key", [proof(header={"jwk": HEADER["jwk"] | {"d": "AA"}})]),
        ("proof_signature", [proof(header={"jwk": public_jwk(private_key("ES256", 2))})]),  # check 7
        ("proof_signature", [proof()[:-86] + b"A" * 86]),
        ("proof_method", [proof(method="POST")]),  # check 8
        ("proof_method", [proof(method="get")]),
        ("proof_url", [proof("https://api.example.com/you")]),  # check 9: see test_urls.py
        ("proof_url", [proof("https://api.example.org/me")]),
        ("proof_url", [proof("http://api.example.com/me")]),
        ("proof_url", [proof("https://api.example.com:8443/me")]),
        ("proof_url", [proof("/me")]),
        ("proof_expired", [proof(iat=Clock()() - 60.5)]),  # check 11
        ("proof_expired", [proof(iat=Clock()() + 5.5)]),
        ("proof_expired", [proof(iat=Clock()() * 1000)]),
    ],
)
def test_each_check_refuses_what_it_is_for(code: str, headers: list[bytes]) -> None:
    """A proof that is wrong in one point is refused with the code of that point."""
    assert refusal(*headers) == code


def test_a_proof_for_a_token_has_the_hash_of_exactly_that_token() -> None:
    """Beside a token, a proof without `ath` and a proof for another token are refused; at a login, `ath` is ignored."""
    assert refusal(proof(), token=TOKEN) == "proof_claims"
    assert refusal(proof(token="another"), token=TOKEN) == "proof_token"  # check 12
    assert refusal(proof(ath="é"), token=TOKEN) == "proof_token"
    assert refusal(proof(ath=1), token=TOKEN) == "proof_claims"
    assert verifier().verify([proof(token=TOKEN)], "GET", "/me", TOKEN)
    assert verifier().verify([proof(token="another")], "GET", "/me", None)


def test_the_first_check_that_fails_names_the_refusal() -> None:
    """A proof that is wrong in all points is refused for the first of them, so nobody pays for what comes later."""
    nonces = ProofNonces([b"key"], Clock())
    claims: dict[str, Any] = {"jti": 1, "htm": "PUT", "htu": "x", "iat": 0, "ath": "x", "nonce": "x"}
    header: dict[str, Any] = {"typ": "JWT", "alg": "none", "jwk": {}, "crit": []}
    steps: list[dict[str, Any]] = [
        {},
        {"crit": None},
        {"jti": "a"},
        {"typ": "dpop+jwt"},
        {"alg": "ES256"},
        {"jwk": HEADER["jwk"]},
        {"signature": True},
        {"htm": "GET"},
        {"htu": PUBLIC_URL + "/me"},
        {"nonce": nonces.current()},
        {"iat": Clock()()},
    ]
    codes, repaired = [], dict[str, Any]()
    for step in steps:
        repaired |= step
        fields = {name: repaired.get(name, value) for name, value in header.items()}
        if fields["crit"] is None:
            del fields["crit"]
        given = signed(fields, {name: repaired.get(name, value) for name, value in claims.items()})
        if "signature" not in repaired:
            given = given[:-8] + b"AAAAAAAA"
        codes.append(refusal(given, token=TOKEN, nonces=nonces))
    assert codes == [
        "proof_header",
        "proof_claims",
        "proof_type",
        "proof_algorithm",
        "proof_key",
        "proof_signature",
        "proof_method",
        "proof_url",
        "use_dpop_nonce",
        "proof_expired",
        "proof_token",
    ]


def test_the_window_of_iat_includes_its_ends() -> None:
    """A proof is good from `leeway` before its `iat` to `max_age` after it, also with a fraction of a second."""
    now = Clock()()
    for iat in (now - 60, now + 5, now + 0.5):
        assert verifier().verify([proof(iat=iat)], "GET", "/me", None)


def test_a_known_key_still_needs_a_good_signature() -> None:
    """The parsed key is kept for the next proof with the same header, and its signature is checked as the first was."""
    asked = verifier()
    asked.verify([proof()], "GET", "/me", None)
    with pytest.raises(InvalidProofError) as refused:
        asked.verify([proof(jti="b")[:-86] + proof()[-86:]], "GET", "/me", None)
    assert refused.value.code == "proof_signature"


@pytest.mark.parametrize("wrong", [".x", ".", "=", "+", "é", "A" * 4000, " "])
def test_a_known_key_still_needs_the_form_of_a_proof(wrong: str) -> None:
    """Beside a header that is known, the rest of a proof is read as strictly as the first time."""
    asked = verifier()
    good = proof()
    header, payload, signature = good.split(b".")
    asked.verify([good], "GET", "/me", None)
    more = wrong.encode("latin-1")
    for changed in (good + more, b".".join([header, payload + more, signature]), b".".join([header, more, signature])):
        with pytest.raises(InvalidProofError) as refused:
            asked.verify([changed], "GET", "/me", None)
        assert refused.value.code == "proof_malformed"


def test_the_name_of_a_proof_is_of_its_key_method_url_and_id() -> None:
    """Two proofs have one name if all four are the same, however the URL is spelled; the time changes nothing."""

    def name(path: str = "/me", method: str = "GET", **options: Any) -> str:
        options.setdefault("url", PUBLIC_URL + path)
        given = proof(method=method, **options)
        return verifier().verify([given], method, path, None).name

    assert re.fullmatch("[0-9a-f]{64}", name())
    same = [name(), name(iat=Clock()() + 1), name("/%6de"), name(url="HTTPS://API.example.com:443/me?a=b#c")]
    assert len({*same}) == 1
    others = [name("/you"), name(method="POST"), name(jti="b"), name(key=private_key("ES256", 2))]
    assert len({*same, *others}) == 5


def test_a_nonce_is_asked_for_where_there_are_nonces() -> None:
    """Without `nonces` a proof may have any nonce; with them it needs the current one, and the refusal tells it."""
    clock = Clock()
    nonces = ProofNonces([b"key"], clock)
    assert verifier().verify([proof(nonce=1)], "GET", "/me", None)
    assert verifier(nonces=nonces).verify([proof(nonce=nonces.current())], "GET", "/me", None)
    for given in (proof(), proof(nonce="x"), proof(nonce=None), proof(nonce=[nonces.current()])):
        with pytest.raises(ProofNonceError) as refused:
            verifier(nonces=nonces).verify([given], "GET", "/me", None)
        headers = refused.value.headers or {}
        assert headers["DPoP-Nonce"] == nonces.current()
        assert headers["WWW-Authenticate"] == 'DPoP error="use_dpop_nonce", algs="ES256 EdDSA"'


@pytest.mark.parametrize(
    ("public_url", "path", "htu"),
    [
        ("https://a.com", "/x", "https://a.com/x"),
        ("https://a.com", "", "https://a.com"),
        ("https://a.com", "/", "https://a.com"),
        ("https://a.com/api", "/x", "https://a.com/api/x"),
        ("https://a.com/api", "", "https://a.com/api"),
        ("https://a.com/api", "/", "https://a.com/api/"),
        ("http://a.com:8080/api/v1", "/x", "http://a.com:8080/api/v1/x"),
        ("http://[2001:db8::1]:8000", "/x", "http://[2001:DB8::1]:8000/x"),
        ("https://[::1]", "/x", "https://[::1]:443/x"),
        ("https://xn--bcher-kva.example", "/%C3%BC", "https://xn--bcher-kva.example/%c3%bc"),
        ("https://a.com", "//x", "https://a.com//x"),
        ("https://a.com", "/a|b", "https://a.com/a|b"),
    ],
)
def test_the_url_is_public_url_with_the_path(public_url: str, path: str, htu: str) -> None:
    """What the client wrote is compared with `public_url` and the path below it: host, port, prefix and all."""
    assert verifier(public_url=public_url).verify([proof(htu)], "GET", path, None)


@pytest.mark.parametrize(
    ("path", "htu"),
    [
        ("/x", "https://a.com/x"),  # without the prefix
        ("/x", "https://a.com/API/x"),
        ("/x", "https://a.com/api/x/"),
        ("/x", "https://user@a.com/api/x"),
        ("/x", "https://a.com:443@b.com/api/x"),
        ("/x", "https://bücher.example/api/x"),
        ("/ü", "https://a.com/api/ü"),
        ("/x", "//a.com/api/x"),
        ("/x", "https:/a.com/api/x"),
        ("/x", ""),
        ("/x", " https://a.com/api/x"),
        ("/x", "https://a.com/api/x\n"),
        ("/x", "https://a.com/api/%78%zz"),
        ("/x#y", "https://a.com/api/x"),
        ("/x#y", "https://a.com/api/x#y"),
        ("/x?y", "https://a.com/api/x"),
        ("/a%2Fb", "https://a.com/api/a/b"),
        ("x", "https://a.com/apix"),
        ("*", "https://a.com/api*"),
        ("@b.com/x", "https://a.com/api@b.com/x"),
    ],
)
def test_another_url_is_refused(path: str, htu: str) -> None:
    """A proof for another URL is refused, also where the difference is small."""
    assert refusal(proof(htu), path=path, public_url="https://a.com/api") == "proof_url"


def test_a_proof_shows_nothing_of_itself() -> None:
    """`repr` hides the thumbprint and the name: both could stand in a log."""
    assert repr(Proof("a-thumbprint", "a-name")) == "Proof()"
    assert repr(ProofNonces([b"key"], Clock())) == "ProofNonces()"
