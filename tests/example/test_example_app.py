"""The example application does what it says, started as a user starts it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from example_app import users
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer

from .shop import ROOT, Shop, clean_environment, log_in, open_shop, wait_for

EMPTY = {"user_id": 1, "name": "alice", "cart": []}


def test_the_printed_lines_work_when_they_are_pasted_into_a_shell(shop: Shop) -> None:
    """Every command of the text runs as it stands there: a login, its use, a logout, a 401."""
    servers.program("curl")
    lines = [line for line in shop.output.splitlines() if line.startswith(("  curl", "  TOKEN="))]
    done = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=30, check=True)
    answers = [line.rpartition(" ") for line in done.stdout.splitlines()]
    assert [status for _, _, status in answers] == ["200", "200", "200", "204", "401"]
    assert [json.loads(body or "null") for body, _, _ in answers] == [
        EMPTY,
        EMPTY | {"cart": ["tea"]},
        EMPTY | {"cart": ["tea"]},
        None,
        {"detail": "Not authenticated"},
    ]


def test_the_text_says_where_it_is_and_who_may_come_in(shop: Shop) -> None:
    """The text names the address, the users with the passwords that work, the store, the secret and how to stop."""
    assert f"{shop.url}/docs" in shop.output
    with shop.client() as client:
        for name, password in users.DEMO_PASSWORDS.items():
            assert f"{name} (password {password})" in shop.output
            log_in(client, name, password)
    kept = "an embedded Valkey" if shop.embedded() else "the server of JWTSESSION_REDIS_URL"
    assert f"Sessions are kept by {kept}" in shop.output
    assert "Tokens are signed with a random secret" in shop.output
    assert "Ctrl-C closes the shop" in shop.output


def test_the_main_job(client: httpx2.Client) -> None:
    """Log in, read, change, reload, touch, log out, and the token is worth nothing."""
    login = client.post("/session", data={"username": "alice", "password": "wonderland"})
    assert login.status_code == 201
    assert set(login.json()) == {"access_token", "token_type", "expires_in"}
    headers = bearer(login.json()["access_token"])
    assert client.get("/session", headers=headers).json() == EMPTY
    for sku in ("tea", "cup", "tea"):
        added = client.post(f"/cart/{sku}", headers=headers)
    assert added.json() == EMPTY | {"cart": ["tea", "cup", "tea"]}
    assert client.delete("/cart/tea", headers=headers).json()["cart"] == ["cup", "tea"]
    assert client.post("/session/reload", headers=headers).json()["cart"] == ["cup", "tea"]
    assert client.post("/session/touch", headers=headers).status_code == 204
    assert client.post("/order", headers=headers).json() == {"message": "Thank you, alice: that makes 15.90"}
    assert client.get("/session", headers=headers).json() == EMPTY
    assert client.delete("/session", headers=headers).status_code == 204
    for method, path in (("GET", "/session"), ("POST", "/session/reload"), ("POST", "/cart/tea"), ("POST", "/order")):
        assert client.request(method, path, headers=headers).status_code == 401


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("nobody", "wonderland"), ("bob", "wonderland")])
def test_a_wrong_name_and_a_wrong_password_get_one_answer(client: httpx2.Client, name: str, password: str) -> None:
    """The 401 does not tell which of the two was wrong."""
    refused = client.post("/session", data={"username": name, "password": password})
    assert (refused.status_code, refused.json()) == (401, {"detail": "Wrong name or password"})
    assert refused.headers["www-authenticate"] == 'Bearer realm="session"'


@pytest.mark.parametrize(("name", "known"), [("alice", True), ("nobody", False)])
def test_an_unknown_name_costs_the_same_work(monkeypatch: pytest.MonkeyPatch, name: str, known: bool) -> None:
    """Each attempt verifies one hash of the same cost, in a thread that is not the event loop's."""
    verified: list[tuple[str, int]] = []

    class Hasher:
        def verify(self, password: str, password_hash: str) -> bool:
            verified.append((password_hash.rpartition("$")[0].rpartition("$")[0], threading.get_ident()))
            return True

    monkeypatch.setattr(users, "_HASHER", Hasher())
    user = asyncio.run(users.authenticate(name, "any"))
    assert (user is not None) is known
    assert [cost for cost, _ in verified] == ["$argon2id$v=19$m=65536,t=3,p=4"]
    assert verified[0][1] != threading.get_ident()


def test_a_conflict_is_told_to_one_of_two(shop: Shop) -> None:
    """Of two requests that loaded the same cart one stores its change, the other gets a 409 and overwrites nothing."""
    with shop.client() as client:
        headers = log_in(client)
        answers = _at_once(shop, client, headers, [("POST", "/cart/tea"), ("POST", "/cart/cup")])
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        (stored,) = (answer.json()["cart"] for answer in answers if answer.status_code == 200)
        assert client.get("/session", headers=headers).json()["cart"] == stored


def test_two_removals_at_once_both_count(shop: Shop) -> None:
    """mutate() starts again on the fresh state where update() would give up."""
    with shop.client() as client:
        headers = log_in(client)
        for _ in range(3):
            client.post("/cart/tea", headers=headers)
        answers = _at_once(shop, client, headers, [("DELETE", "/cart/tea"), ("DELETE", "/cart/tea")])
        assert [answer.status_code for answer in answers] == [200, 200]
        assert client.get("/session", headers=headers).json()["cart"] == ["tea"]


def _at_once(
    shop: Shop, client: httpx2.Client, headers: dict[str, str], requests: list[tuple[str, str]]
) -> list[httpx2.Response]:
    """Answers to requests that have all read before any of them writes: the server holds writes back until then."""
    with ThreadPoolExecutor() as pool:
        shop.ask(b"CLIENT PAUSE 5000 WRITE")
        try:
            futures = [pool.submit(client.request, *each, headers=headers) for each in requests]
            wait_for(lambda: b"blocked_clients:%d\r" % len(requests) in shop.ask(b"INFO clients"), 5)
        finally:
            shop.ask(b"CLIENT UNPAUSE")
        return [future.result() for future in futures]


def test_what_is_not_there_is_404(client: httpx2.Client) -> None:
    """An unknown product can't be put into the cart, and what is not in the cart can't be taken out."""
    headers = log_in(client)
    assert client.post("/cart/moon", headers=headers).status_code == 404
    assert client.delete("/cart/tea", headers=headers).status_code == 404
    assert client.get("/session", headers=headers).json() == EMPTY


def test_the_home_page_knows_users_and_welcomes_visitors(client: httpx2.Client) -> None:
    """The optional session is there for a live token, and None without one and for a dead one."""
    headers = log_in(client)
    assert client.get("/", headers=headers).json() == {"message": "Welcome back, alice"}
    client.delete("/session", headers=headers)
    for visitor in ({}, headers, bearer("nonsense")):
        answer = client.get("/", headers=visitor)
        assert (answer.status_code, answer.json()) == (200, {"message": "Welcome, visitor"})


def test_the_products_are_for_everybody(client: httpx2.Client) -> None:
    """The list needs no session."""
    products = client.get("/products")
    assert products.status_code == 200
    assert products.json()["tea"] == {"name": "Tea, 100 g", "price": 690}


def test_an_admin_needs_the_password_again_and_gets_a_new_token(client: httpx2.Client) -> None:
    """The role is in the token's claims: it comes with a new token, the old one is dead, the session goes on."""
    cup = {"name": "Cup", "price": 950}
    assert client.put("/products/cup", json=cup).status_code == 401
    old = log_in(client, "bob", "builder")
    client.post("/cart/pot", headers=old)
    assert client.put("/products/cup", json=cup, headers=old).status_code == 403
    assert client.post("/session/admin", data={"password": "wrong"}, headers=old).status_code == 403
    answer = client.post("/session/admin", data={"password": "builder"}, headers=old)
    assert answer.status_code == 200
    new = bearer(answer.json()["access_token"])
    assert client.get("/session", headers=old).status_code == 401
    assert client.get("/session", headers=new).json() == {"user_id": 2, "name": "bob", "cart": ["pot"]}
    assert client.put("/products/moon", json=cup, headers=new).status_code == 404
    assert client.put("/products/cup", json=cup, headers=new).json() == cup
    assert client.get("/products").json()["cup"] == cup


def test_a_customer_does_not_become_admin(client: httpx2.Client) -> None:
    """The right password is not enough for somebody who is not of the staff."""
    headers = log_in(client)
    assert client.post("/session/admin", data={"password": "wonderland"}, headers=headers).status_code == 403
    assert client.get("/session", headers=headers).status_code == 200


def test_the_socket_shows_the_cart_until_the_user_logs_out(shop: Shop) -> None:
    """The socket sees what other requests store, closes with 1008 after a logout, and refuses who has no session."""
    address = f"ws://127.0.0.1:{shop.port}/cart/live"
    with shop.client() as client:
        headers = log_in(client)
        with connect(address, additional_headers=headers) as socket_:
            socket_.send("look")
            assert json.loads(socket_.recv(10)) == []
            client.post("/cart/tea", headers=headers)
            socket_.send("look")
            assert json.loads(socket_.recv(10)) == ["tea"]
            client.delete("/session", headers=headers)
            socket_.send("look")
            with pytest.raises(ConnectionClosed) as closed:
                socket_.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        with pytest.raises(InvalidStatus) as refused, connect(address, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 401


def test_every_endpoint_is_documented(client: httpx2.Client) -> None:
    """Each has a summary, a description, a tag and the schema of its answer; "Authorize" is told the login's path."""
    schema = client.get("/openapi.json").json()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert all(operation.get(part) for part in ("summary", "description", "tags")), where
            (answer,) = (answer for status, answer in operation["responses"].items() if status.startswith("2"))
            assert "204" in operation["responses"] or answer["content"]["application/json"]["schema"], where
    flows = schema["components"]["securitySchemes"]["session_password"]["flows"]
    assert flows["password"]["tokenUrl"] == "session"
    assert schema["paths"]["/session"]["get"]["security"] == [{"session_password": []}]


def test_health_is_503_without_the_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The load balancer is told, and so is who sends a token; who sends none still sees the home page."""
    server = servers.valkey(tmp_path_factory.mktemp("store")).start()
    with open_shop(JWTSESSION_REDIS_URL=server.url) as shop, shop.client() as client:
        headers = log_in(client)
        assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"status": "ok"})
        server.kill()
        health = client.get("/healthz")
        assert (health.status_code, health.json()) == (503, {"status": "unavailable"})
        for path in ("/session", "/"):
            assert client.get(path, headers=headers).status_code == 503
        assert client.get("/").status_code == 200


def test_a_session_outlives_a_restart_with_a_secret_and_a_server_of_ones_own(valkey: servers.Server) -> None:
    """With both settings given the token works in the next process; with a random secret it does not."""
    with open_shop(JWTSESSION_REDIS_URL=valkey.url, JWTSESSION_SECRET=SECRET) as shop, shop.client() as client:
        assert "Tokens are signed with JWTSESSION_SECRET." in shop.output
        assert SECRET not in shop.output
        headers = log_in(client)
    with open_shop(JWTSESSION_REDIS_URL=valkey.url, JWTSESSION_SECRET=SECRET) as shop, shop.client() as client:
        assert client.get("/session", headers=headers).json() == EMPTY
    with open_shop(JWTSESSION_REDIS_URL=valkey.url) as shop, shop.client() as client:
        assert client.get("/session", headers=headers).status_code == 401


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_it_ends_cleanly_and_takes_its_server_along(signum: int, code: int) -> None:
    """Exit code 0 after Ctrl-C, the signal's after SIGTERM; no traceback for whoever is connected, no Valkey left."""
    with open_shop() as shop, shop.client() as client, contextlib.ExitStack() as stack:
        stack.enter_context(connect(f"ws://127.0.0.1:{shop.port}/cart/live", additional_headers=log_in(client)))
        assert shop.embedded()
        (process_id,) = map(int, re.findall(rb"process_id:(\d+)", shop.ask(b"INFO server")))
        os.kill(process_id, 0)
        assert shop.end(signum) == code
        assert "Traceback" not in shop.output
        if signum == signal.SIGINT:
            assert shop.output.endswith("The shop is closed.\n")
        wait_for(lambda: not _is_running(process_id))


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def _fails_to_start(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "example_app", *arguments],
        cwd=ROOT,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_port_in_use_is_said_in_one_line() -> None:
    """Nothing is started, no traceback, and the line says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = _fails_to_start("--port", str(port))
    assert error.startswith(f"The shop can't open at 127.0.0.1:{port}: the port is in use. ")
    assert error.endswith("Try another port: make demo PORT=8001\n")


def test_make_takes_the_port_that_the_line_names() -> None:
    """`make demo PORT=8001` asks for it, and `make demo` for 8000, whatever is installed already."""
    make = servers.program("make")
    for given, port in (["PORT=8001"], "8001"), ([], "8000"):
        environment = {name: value for name, value in os.environ.items() if name != "PORT"}
        done = subprocess.run(
            [make, "--dry-run", "--no-print-directory", "demo", *given],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert done.stdout.rstrip().endswith(f"-m example_app --port {port}")


@pytest.mark.parametrize(
    ("setting", "value"), [("JWTSESSION_SECRET", "hunter2"), ("JWTSESSION_REDIS_URL", "mysql://u:hunter2@host")]
)
def test_a_bad_setting_is_said_in_one_line(setting: str, value: str) -> None:
    """The line names the setting and does not show the value."""
    error = _fails_to_start(**{setting: value})
    assert setting.removeprefix("JWTSESSION_").lower() in error
    assert "hunter2" not in error
