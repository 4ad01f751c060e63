"""Measures what rotation and DPoP cost: `python -m benchmarks.possession`. It needs a Linux and two minutes.

One request after the other, in this process, by one event loop and without sockets to clients, to applications that
have their sessions in the same Valkey: with neither, with rotation, and with proofs of two algorithms. Rounds of all
take turns, and CPU time is measured, so that other processes disturb little. What the Valkey does is not counted. The
clients make their proofs before a round begins. For comparison, the bare check of each algorithm's signature is
measured too.
"""

import argparse
import asyncio
import base64
import contextlib
import gc
import hashlib
import json
import os
import secrets
import statistics
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from .direct import SIZE, Headers, ask
from .servers import machine, session_of

ROUND = 200
"""Requests of a round."""
URL = "http://localhost:8000"
KEYS: dict[str, Callable[[], Any]] = {
    "ES256": lambda: generate_private_key(SECP256R1()),
    "EdDSA": Ed25519PrivateKey.generate,
}


class Client:
    """A client with a session of its own, which sends a proof with each request if it has a key.

    Args:
        app: The application.
        algorithm: The algorithm of its key; None for a bearer client.
    """

    def __init__(self, app: FastAPI, algorithm: str | None) -> None:
        self.app = app
        self._algorithm = algorithm
        self._key = None if algorithm is None else KEYS[algorithm]()
        self._authorization = b""
        self._token = ""

    async def log_in(self) -> None:
        """Get a token."""
        headers = [(b"content-type", b"application/json"), *self._proof("POST", "/session")]
        made = json.loads(await ask(self.app, headers, "POST", "/session", session_of(SIZE)))
        self._token = made["authorization"].partition(" ")[2]
        self._authorization = f"{'Bearer' if self._key is None else 'DPoP'} {self._token}".encode()

    def headers(self) -> Headers:
        """The headers of one request."""
        return [(b"host", b"localhost"), (b"authorization", self._authorization), *self._proof("GET", "/")]

    def signed(self) -> tuple[Any, bytes, bytes]:
        """The algorithm, and a text and its signature, for the bare check."""
        algorithm = jwt.get_algorithm_by_name(str(self._algorithm))
        text = secrets.token_bytes(400)
        return algorithm, text, algorithm.sign(text, self._key)

    def check(self, algorithm: Any, text: bytes, signature: bytes) -> bool:
        """The bare check of a signature."""
        assert self._key is not None  # noqa: S101
        return bool(algorithm.verify(text, self._key.public_key(), signature))

    def _proof(self, method: str, path: str) -> Headers:
        """The header with a proof (RFC 9449 section 4.2)."""
        if self._key is None:
            return []
        payload: dict[str, Any] = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": URL + path}
        payload["iat"] = int(time.time())
        if self._token:
            digest = hashlib.sha256(self._token.encode()).digest()
            payload["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        public = jwt.get_algorithm_by_name(str(self._algorithm)).to_jwk(self._key.public_key(), as_dict=True)
        jwk = {name: value for name, value in public.items() if name in ("kty", "crv", "x", "y")}
        header = {"typ": "dpop+jwt", "jwk": jwk}
        return [(b"dpop", jwt.encode(payload, self._key, algorithm=self._algorithm, headers=header).encode())]


def clients() -> dict[str, Client]:
    """The cases. The environment must name a Valkey: `JWTSESSION_REDIS_URL`."""
    from jwtsession import DPoPSettings, RotationSettings, SessionProvider

    from .apps import UserSession, with_sessions

    dpop = DPoPSettings(mode="required", algorithms=("ES256", "EdDSA"))

    def made(keyspace: str, algorithm: str | None = None, **settings: Any) -> Client:
        return Client(with_sessions(SessionProvider(UserSession, keyspace=keyspace, **settings)), algorithm)

    return {
        "neither": made("plain:"),
        "rotation": made("rotation:", rotation=RotationSettings(after=900)),
        "DPoP, ES256": made("es256:", "ES256", dpop=dpop, public_url=URL),
        "DPoP, EdDSA": made("eddsa:", "EdDSA", dpop=dpop, public_url=URL),
        "DPoP, ES256, no replay check": made(
            "once:", "ES256", dpop=dpop.model_copy(update={"replay": False}), public_url=URL
        ),
    }


async def round_of(client: Client) -> float:
    """Microseconds of CPU for each request of a round."""
    waiting = [client.headers() for _ in range(ROUND)]
    start = time.process_time_ns()
    for headers in waiting:
        await ask(client.app, headers)
    return (time.process_time_ns() - start) / ROUND / 1_000


def bare_check(client: Client) -> float:
    """Microseconds of CPU for the check of one signature."""
    signed = client.signed()
    start = time.process_time_ns()
    for _ in range(ROUND):
        client.check(*signed)
    return (time.process_time_ns() - start) / ROUND / 1_000


async def measure(rounds: int) -> None:
    """Measure all cases, and print the results."""
    cases = clients()
    taken: dict[str, list[float]] = {name: [] for name in cases}
    bare: dict[str, list[float]] = {name: [] for name in cases if name.count(",") == 1}
    async with contextlib.AsyncExitStack() as stack:
        for client in cases.values():
            await stack.enter_async_context(client.app.router.lifespan_context(client.app))
            await client.log_in()
            await round_of(client)
        for number in range(rounds):
            names = [*cases]
            for name in names[number % len(names) :] + names[: number % len(names)]:
                gc.collect()
                taken[name].append(await round_of(cases[name]))
                if name in bare:
                    bare[name].append(bare_check(cases[name]))
    plain = statistics.median(taken["neither"])
    for name, found in taken.items():
        added = statistics.median(each - other for each, other in zip(found, taken["neither"], strict=True))
        line = f"{name:30}{statistics.median(found):8.1f} microseconds, {statistics.median(found) / plain:5.2f} times"
        if name in bare:
            signature = statistics.median(bare[name])
            line += f"; adds {added:.1f}, {added / signature:.2f} times the bare check of a signature ({signature:.1f})"
        elif name != "neither":
            line += f"; adds {added:.1f}"
        print(line)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.possession", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each case (default: %(default)s)")
    arguments = parser.parse_args()
    with machine() as bench:
        os.environ.update(bench.environment())
        asyncio.run(measure(arguments.rounds))


if __name__ == "__main__":
    main()
