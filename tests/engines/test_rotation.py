"""Rotation when servers and workers die at the worst moment: the client goes on, and nobody is logged out."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import jwt
import pytest

from jwtsession.testing import Clock
from tests import servers
from tests.conftest import SECRET
from tests.fleet import Fleet, running
from tests.proxy import Proxy
from tests.web import bearer

pytestmark = pytest.mark.ci

AFTER, GRACE = 900, 30
SETTINGS = {"secret": SECRET, "rotation": {"after": AFTER, "grace": GRACE}}


def gen(token: str) -> int:
    return int(jwt.decode(token, options={"verify_signature": False})["gen"])


def get(client: httpx2.Client, token: str) -> tuple[int, str]:
    """The status, and the token that the client has then."""
    answer = client.get("/session", headers=bearer(token))
    return answer.status_code, answer.headers.get("session-token", token)


def until_served(fleet: Fleet, name: str, token: str) -> str:
    """Ask until there is no outage any more. Nothing but 503 is allowed until then."""
    deadline = time.monotonic() + 30
    while True:
        status, found = get(fleet.clients[name], token)
        if status == 200:
            return found
        assert status == 503
        assert time.monotonic() < deadline


def rotated(fleet: Fleet, clock: Clock, name: str, token: str) -> str:
    """The next token, when this one is due."""
    clock.advance(AFTER)
    status, new = get(fleet.clients[name], token)
    assert (status, gen(new)) == (200, gen(token) + 1)
    return new


def still_finds_a_thief(fleet: Fleet, clock: Clock, token: str) -> None:
    """The rotation goes on as if nothing had been, and a copy of the token is found."""
    new = rotated(fleet, clock, "a", token)
    assert get(fleet.clients["b"], new) == (200, new)
    clock.advance(GRACE)
    assert get(fleet.clients["a"], token)[0] == 401
    assert get(fleet.clients["b"], new)[0] == 401


@pytest.mark.alone
@pytest.mark.parametrize("was_used", [False, True])
def test_a_failover_that_loses_the_last_rotation(replicated: servers.Replicated, clock: Clock, was_used: bool) -> None:
    """The new primary knows the old generation only: the new token is believed, and the old one is good for a while."""
    old = replicated.primary
    with running(replicated.url, clock, {}, **SETTINGS) as fleet:
        token = rotated(fleet, clock, "a", fleet.log_in("a"))
        assert get(fleet.clients["b"], token) == (200, token)
        assert old.ask("WAIT", 2, 5000) == 2
        for each in replicated.replicas:
            assert each.command("REPLICAOF", "NO", "ONE") == b"+OK\r\n"  # from here on nothing reaches them
        new = rotated(fleet, clock, "a", token)
        if was_used:
            assert get(fleet.clients["b"], new) == (200, new)
        old.kill()
        servers.until(lambda: replicated.primary is not old, "the failover")
        assert replicated.primary.ask("HGET", f"{{sess:{session_of(token)}}}:gen", "gen") == "1"
        assert until_served(fleet, "b", new) == new
        assert get(fleet.clients["a"], token) == (200, token)  # a tab that was under way
        assert get(fleet.clients["a"], new) == (200, new)
        still_finds_a_thief(fleet, clock, new)


@pytest.mark.alone
def test_a_failover_that_loses_a_rotation_that_nobody_heard_of(replicated: servers.Replicated, clock: Clock) -> None:
    """The answer and the write are both lost: the token that the client has is the newest one again."""
    old = replicated.primary
    with running(replicated.url, clock, {}, **SETTINGS) as fleet:
        token = rotated(fleet, clock, "a", fleet.log_in("a"))
        assert get(fleet.clients["b"], token) == (200, token)
        assert old.ask("WAIT", 2, 5000) == 2
        for each in replicated.replicas:
            assert each.command("REPLICAOF", "NO", "ONE") == b"+OK\r\n"
        rotated(fleet, clock, "a", token)  # its answer gets lost
        old.kill()
        servers.until(lambda: replicated.primary is not old, "the failover")
        new = until_served(fleet, "b", token)
        assert gen(new) == gen(token) + 1
        still_finds_a_thief(fleet, clock, new)


def session_of(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[servers.Server]:
    """A server that has written each change to its disk before it answers."""
    server = servers.valkey(tmp_path, "--appendonly", "yes", "--appendfsync", "always").start()
    yield server
    server.stop()


def test_a_server_that_is_killed_after_the_write_and_before_the_answer(durable: servers.Server, clock: Clock) -> None:
    """The request is a 503. When the server is back, the old token gets the generation that the script has begun."""
    proxy = Proxy(durable.port)
    with proxy.running(), running(proxy.url, clock, {}, **SETTINGS) as fleet:
        token = rotated(fleet, clock, "a", fleet.log_in("a"))  # the script is there from here on
        assert get(fleet.clients["a"], token) == (200, token)
        clock.advance(AFTER)
        proxy.silently, proxy.lose_reply_to = True, b"EVALSHA"

        def kill() -> None:
            servers.until(lambda: proxy.lost == 1, "the lost reply")
            durable.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        assert get(fleet.clients["a"], token)[0] == 503
        killer.join()
        durable.start()
        assert durable.ask("HGET", f"{{sess:{session_of(token)}}}:gen", "gen") == str(gen(token) + 1)
        new = until_served(fleet, "b", token)
        assert gen(new) == gen(token) + 1
        still_finds_a_thief(fleet, clock, new)


def test_a_reply_that_is_lost_is_asked_for_again(valkey: servers.Server, clock: Clock) -> None:
    """The second try of the same request finds the generation of the first: the client sees nothing."""
    proxy = Proxy(valkey.port)
    with proxy.running(), running(proxy.url, clock, {}, **SETTINGS) as fleet:
        token = rotated(fleet, clock, "a", fleet.log_in("a"))
        assert get(fleet.clients["a"], token) == (200, token)
        proxy.lose_reply_to = b"EVALSHA"
        new = rotated(fleet, clock, "a", token)
        assert proxy.lost == 1
        still_finds_a_thief(fleet, clock, new)


@contextlib.contextmanager
def worker(server: servers.Server, later: float) -> Iterator[httpx2.Client]:
    """A worker process whose clock is so many seconds ahead."""
    port = servers.free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.engines.rotating_app:app", "--port", str(port)]
    own = {"JWTSESSION_SECRET": SECRET, "JWTSESSION_REDIS_URL": server.url, "LATER": str(later)}
    process = subprocess.Popen([*command, "--log-level", "critical"], env=os.environ | own)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:

            def answers() -> bool:
                with contextlib.suppress(httpx2.TransportError):
                    return client.get("/openapi.json").status_code == 200
                return False

            servers.until(answers, "the worker")
            yield client
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_is_killed_between_the_rotation_and_the_answer(valkey: servers.Server) -> None:
    """The client gets no answer, and goes on with the old token at another worker: that one gives it the new token."""
    with worker(valkey, 0) as client:
        token = client.post("/session").json()["access_token"]
        assert get(client, token) == (200, token)
    with worker(valkey, AFTER) as client, pytest.raises(httpx2.TransportError):
        client.get("/die", headers=bearer(token))
    assert valkey.ask("HGET", f"{{sess:{session_of(token)}}}:gen", "gen") == "1"
    with worker(valkey, 86_000) as client:  # nearly a day later
        status, new = get(client, token)
        assert (status, gen(new)) == (200, 1)
        assert get(client, new) == (200, new)
