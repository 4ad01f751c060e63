"""Measures what a proof of possession (DPoP) costs: `python -m benchmarks.proofs`. It takes a minute.

In this process, without an application: all checks of a proof whose key is known, and the signature check of the same
proof by PyJWT alone. Rounds of both take turns, and CPU time is measured, so that other processes disturb little. The
result is the ratio of the medians.
"""

import argparse
import base64
import gc
import hashlib
import statistics
import time
from collections.abc import Callable, Sequence

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from jwtsession.tokens import ProofVerifier

ROUND = 100
"""Checks of a round."""

URL = "https://api.example.com"
NOW = 1_800_000_000
TOKEN = "x" * 300


def checks(algorithm: str, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> list[Callable[[], object]]:
    """The signature check alone, all checks with a known key, and all checks with a new key each time."""
    used = jwt.get_algorithm_by_name(algorithm)
    own = key.public_key()
    public = {name: value for name, value in used.to_jwk(own, as_dict=True).items() if name != "key_ops"}
    ath = base64.urlsafe_b64encode(hashlib.sha256(TOKEN.encode()).digest()).rstrip(b"=").decode()
    claims = {"jti": "x" * 22, "htm": "GET", "htu": f"{URL}/session", "iat": NOW, "ath": ath}
    proof = jwt.encode(claims, key, algorithm=algorithm, headers={"typ": "dpop+jwt", "jwk": public}).encode()
    signed, _, signature = proof.rpartition(b".")
    raw = base64.urlsafe_b64decode(signature + b"==")

    def verifier() -> ProofVerifier:
        return ProofVerifier(
            algorithms=[algorithm], max_age=60, leeway=5, public_url=URL, nonces=None, clock=lambda: NOW
        )

    known = verifier()
    return [
        lambda: used.verify(signed, own, raw),
        lambda: known.verify([proof], "GET", "/session", TOKEN),
        lambda: verifier().verify([proof], "GET", "/session", TOKEN),
    ]


def compare(what: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The median of the microseconds of CPU that one call of each takes."""
    taken: list[list[float]] = [[] for _ in what]
    for number in range(rounds):
        for each in range(len(what)):
            which = (each + number) % len(what)
            gc.collect()
            start = time.process_time_ns()
            for _ in range(ROUND):
                what[which]()
            taken[which].append((time.process_time_ns() - start) / ROUND / 1_000)
    return [statistics.median(each) for each in taken]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proofs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="how often each is measured (default: %(default)s)")
    rounds = parser.parse_args().rounds
    for algorithm, key in (
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ):
        bare, known, new = compare(checks(algorithm, key), rounds)
        print(
            f"{algorithm}: signature {bare:.1f} microseconds, all checks {known / bare:.2f} times that,"
            f" with a new key {new / bare:.2f} times"
        )


if __name__ == "__main__":
    main()
