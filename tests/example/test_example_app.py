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
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from example_app import __main__ as command
from example_app import users
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer

from .shop import ROOT, Shop, clean_environment, log_in, open_shop, wait_for

EMPTY = {"name": "alice", "cart": []}


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
    assert shop.output.startswith(f"\nThe shop is open: {shop.url}\n")
    assert f"{shop.url}/docs" in shop.output
    assert "The cookie is not Secure, since this is HTTP" in shop.output
    with shop.client() as client:
        for name, password in users.DEMO_PASSWORDS.items():
            assert f"{name} (password {password})" in shop.output
            log_in(client, name, password)
    kept = "an embedded Valkey" if shop.embedded() else "the server of JWTSESSION_REDIS_URL"
    assert f"Sessions are kept by {kept}" in shop.output
    assert "Tokens are signed with a random secret" in shop.output
    assert "Ctrl-C closes the shop" in shop.output


def test_the_main_job(client: httpx2.Client) -> None:
    """Log in, read, change, order, log out, and the token is worth nothing."""
    login = client.post("/token", data={"username": "alice", "password": "wonderland"})
    assert login.status_code == 201
    assert set(login.json()) == {"access_token", "token_type", "expires_in"}
    headers = bearer(login.json()["access_token"])
    assert client.get("/session", headers=headers).json() == EMPTY
    for sku in ("tea", "cup", "tea"):
        added = client.post(f"/cart/{sku}", headers=headers)
    assert added.json() == EMPTY | {"cart": ["tea", "cup", "tea"]}
    assert client.delete("/cart/tea", headers=headers).json()["cart"] == ["cup", "tea"]
    assert client.post("/order", headers=headers).json() == {"message": "Thank you, alice: that makes 32.90"}
    assert client.get("/session", headers=headers).json() == EMPTY
    assert client.delete("/session", headers=headers).status_code == 204
    for method, path in (("GET", "/session"), ("GET", "/sessions"), ("POST", "/cart/tea"), ("POST", "/order")):
        assert client.request(method, path, headers=headers).status_code == 401


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("nobody", "wonderland"), ("bob", "wonderland")])
def test_a_wrong_name_and_a_wrong_password_get_one_answer(client: httpx2.Client, name: str, password: str) -> None:
    """The 401 does not tell which of the two was wrong, and sets no cookie."""
    for path in ("/session", "/token"):
        refused = client.post(path, data={"username": name, "password": password})
        assert (refused.status_code, refused.json()) == (401, {"detail": "Wrong name or password"})
        assert refused.headers["www-authenticate"] == 'Bearer realm="session"'
        assert "set-cookie" not in refused.headers


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


def test_who_is_it_knows_users_and_visitors(client: httpx2.Client) -> None:
    """A page learns who is there without a 401: the session and its role, or null without one and for a dead one."""
    headers = log_in(client)
    found = client.get("/me", headers=headers).json()
    assert [each["current"] for each in client.get("/sessions", headers=headers).json()].count(True) == 1
    assert found == EMPTY | {"role": "customer", "admin": False, "actor": None}
    client.delete("/session", headers=headers)
    for visitor in ({}, headers, bearer("nonsense")):
        answer = client.get("/me", headers=visitor)
        assert (answer.status_code, answer.json()) == (200, None)


def test_the_products_are_for_everybody(client: httpx2.Client) -> None:
    """The list needs no session, and each product has a picture."""
    products = client.get("/products")
    assert products.status_code == 200
    assert products.json()["tea"]["price"] == 1_490
    for sku in products.json():
        assert client.get(f"/static/products/{sku}.svg").headers["content-type"] == "image/svg+xml"


def test_a_browser_gets_a_cookie_and_another_client_a_token(client: httpx2.Client) -> None:
    """The same login by two paths: one answer has no token to steal, the other one sets no cookie."""
    alice = {"username": "alice", "password": "wonderland"}
    token = client.post("/token", data=alice)
    assert (token.status_code, set(token.json())) == (201, {"access_token", "token_type", "expires_in"})
    assert "set-cookie" not in token.headers
    login = client.post("/session", data=alice)
    assert (login.status_code, set(login.json())) == (201, {"token_type", "expires_in"})
    assert "HttpOnly" in login.headers["set-cookie"]
    assert client.get("/session").json() == EMPTY
    assert "Max-Age=0" in client.delete("/session").headers["set-cookie"]
    assert client.get("/session").status_code == 401


def test_log_out_everywhere(client: httpx2.Client) -> None:
    """Every session of the user ends, the one of the request last, and nobody else's."""
    bob = log_in(client, "bob", "builder")
    all_of_alice = [log_in(client) for _ in range(3)]
    ended = client.delete("/sessions", params={"all": True}, headers=all_of_alice[1])
    assert ended.status_code == 200
    assert ended.json()["ended"] >= 3
    assert [client.get("/session", headers=each).status_code for each in all_of_alice] == [401, 401, 401]
    assert client.get("/session", headers=bob).status_code == 200


def test_an_admin_needs_the_password_again_and_gets_a_new_token(client: httpx2.Client) -> None:
    """The level is in the token's claims: it comes with a new token, the old one is dead, the session goes on."""
    cup = {"name": "Cup", "note": "Blue", "price": 950}
    assert client.put("/products/cup", json=cup).status_code == 401
    old = log_in(client, "bob", "builder")
    client.post("/cart/pot", headers=old)
    refused = client.put("/products/cup", json=cup, headers=old)
    assert refused.status_code == 401
    assert 'error="insufficient_user_authentication", acr_values="admin"' in refused.headers["www-authenticate"]
    assert client.post("/session/admin", data={"password": "wrong"}, headers=old).status_code == 403
    answer = client.post("/session/admin", data={"password": "builder"}, headers=old)
    assert answer.status_code == 200
    new = bearer(answer.json()["access_token"])
    assert client.get("/session", headers=old).status_code == 401
    assert client.get("/session", headers=new).json() == {"name": "bob", "cart": ["pot"]}
    assert client.put("/products/cup", json=cup, headers=new).status_code == 204
    assert client.get("/products").json()["cup"] == cup


def test_a_customer_does_not_become_admin(client: httpx2.Client) -> None:
    """The right password is not enough for somebody who is not of the staff."""
    headers = log_in(client)
    assert client.post("/session/admin", data={"password": "wonderland"}, headers=headers).status_code == 403
    assert client.get("/session", headers=headers).status_code == 200


def test_the_socket_shows_the_cart_until_the_user_logs_out(shop: Shop) -> None:
    """The socket sends the cart at once and after each change, closes with 1008 after a logout, and refuses others."""
    address = f"ws://127.0.0.1:{shop.port}/cart/live"
    with shop.client() as client:
        headers = log_in(client)
        with connect(address, additional_headers=headers) as socket_:
            assert json.loads(socket_.recv(10)) == []
            client.post("/cart/tea", headers=headers)
            assert json.loads(socket_.recv(10)) == ["tea"]
            client.delete("/session", headers=headers)
            with pytest.raises(ConnectionClosed) as closed:
                socket_.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        with pytest.raises(InvalidStatus) as refused, connect(address, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 401


def test_sockets_that_close_leave_nothing_behind(shop: Shop) -> None:
    """A page that is closed, one that says something, and one whose network is gone: no error in the log."""
    with shop.client() as client:
        headers = log_in(client)
        for _ in range(3):
            with connect(f"ws://127.0.0.1:{shop.port}/cart/live", additional_headers=headers) as socket_:
                socket_.recv(10)
        with connect(f"ws://127.0.0.1:{shop.port}/cart/live", additional_headers=headers) as socket_:
            socket_.recv(10)
            socket_.send("hello")
            with pytest.raises(ConnectionClosed):
                socket_.recv(10)
        gone = connect(f"ws://127.0.0.1:{shop.port}/cart/live", additional_headers=headers)
        gone.socket.close()
        assert client.post("/cart/tea", headers=headers).json()["cart"] == ["tea"]
        assert "Traceback" not in shop.output


def test_prometheus_reads_what_happens(shop: Shop, client: httpx2.Client) -> None:
    """The text names the address; the numbers name no user and no session; the documentation leaves them out."""
    pytest.importorskip("opentelemetry.exporter.prometheus")
    headers = log_in(client)
    client.get("/session", headers=headers)
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert re.search(r'^jwtsession_events_total\{[^}]*name="created"', metrics.text, re.MULTILINE)
    assert re.search(r'^jwtsession_resolutions_total\{[^}]*outcome="ok"', metrics.text, re.MULTILINE)
    (session,) = [each for each in client.get("/sessions", headers=headers).json() if each["current"]]
    assert not re.search(rf"alice|{re.escape(session['handle'])}", metrics.text)
    assert f"Prometheus can read {shop.url}/metrics." in shop.output
    assert "/metrics" not in client.get("/openapi.json").json()["paths"]


def test_without_the_exporter_there_are_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop is as it was, and says what is missing."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.prometheus", None)
    app = FastAPI()
    routes = list(app.routes)
    assert not command.add_metrics(app)
    assert app.routes == routes


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
    assert flows["password"]["tokenUrl"] == "token"
    security = schema["paths"]["/session"]["get"]["security"]
    assert sorted(security, key=str, reverse=True) == [{"session_password": []}, {"session_cookie": []}]


def test_health_is_503_without_the_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The load balancer is told, and so is who sends a token; who sends none still sees the shop."""
    server = servers.valkey(tmp_path_factory.mktemp("store")).start()
    with open_shop(JWTSESSION_REDIS_URL=server.url) as shop, shop.client() as client:
        headers = log_in(client)
        assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (200, {"status": "ok"})
        server.kill()
        health = client.get("/healthz")
        assert (health.status_code, health.json()) == (503, {"status": "unavailable"})
        for path in ("/session", "/me", "/account"):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path
        for path in ("/", "/me", "/products"):
            assert client.get(path).status_code == 200


@pytest.mark.ci
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
