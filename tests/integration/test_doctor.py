"""`jwtsession doctor` on servers that have each fault, and on servers that have it not."""

import base64
import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jwtsession import SessionInfo, SessionSettings
from jwtsession.cli.doctor import examine, reach
from jwtsession.cli.target import Target
from tests import servers
from tests.conftest import SECRET
from tests.integration.doctors import PASSWORD, Terminal
from tests.proxy import Proxy

ID = "an-id-of-the-tests-of-the-doctor"


def handle_of(session_id: str) -> str:
    return SessionInfo(session_id, 0, 0, 0).handle


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[servers.Server]:
    """A server of this test alone, to be spoiled."""
    made = servers.valkey(tmp_path / "server").start()
    yield made
    made.thaw()
    made.kill()


# --- whether it answers ----------------------------------------------------------------------------------------------


def test_a_server_without_a_fault_passes(terminal: Terminal, engine: servers.Server) -> None:
    """Nothing is wrong with the tests' own servers, of either kind, so nothing is said to be."""
    report = terminal.doctor(engine.url, "--strict")
    assert report.bad == {}
    assert report.run.code == 0
    assert report.states("server.reachable") == report.states("server.client") == ["ok"]


def test_a_server_that_is_down_is_one_failure(terminal: Terminal) -> None:
    """It says where it asked and what it heard, without the password; what depends on the server is skipped."""
    port = servers.free_port()
    report = terminal.doctor(f"redis://:{PASSWORD}@127.0.0.1:{port}/0")
    assert report.bad == {"server.reachable": "failure"}
    assert report.run.code == 2
    assert f"127.0.0.1:{port}" in report.said("server.reachable")
    assert report.states("server.eviction") == report.states("rights") == ["skipped"]


@pytest.mark.slow
def test_a_server_that_never_answers_holds_nobody_up(terminal: Terminal) -> None:
    """It takes the connection and says nothing: the doctor says so after a few seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        report = terminal.doctor(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
    assert time.monotonic() - began < 10
    assert report.bad == {"server.reachable": "failure"}
    assert "no answer in time" in report.said("server.reachable") or "Timeout" in report.said("server.reachable")


@pytest.mark.slow
def test_a_server_that_falls_silent_is_asked_no_more(terminal: Terminal, valkey: servers.Server) -> None:
    """It answers at first, and no more from then on: each check is skipped, and all end within a few seconds."""
    with Proxy(valkey.port).running() as proxy:
        proxy.lose_reply_to, proxy.silently = b"server", True
        began = time.monotonic()
        report = terminal.doctor(proxy.url)
    assert time.monotonic() - began < 10
    assert report.states("server.reachable") == ["ok"]
    for check in ("server.version", "server.replication", "server.latency", "server.clock", "sample"):
        assert report.states(check) == ["skipped"], check
    assert "no answer in time" in report.said("server.version")


@pytest.mark.parametrize("given", ["wrong", ""])
def test_a_wrong_password_is_told_in_the_servers_words(terminal: Terminal, server: servers.Server, given: str) -> None:
    """The server's own message stands there, and no password."""
    server.command("CONFIG", "SET", "requirepass", PASSWORD)
    report = terminal.doctor(server.url.replace("//", f"//:{given}@" if given else "//"))
    assert report.bad == {"server.reachable": "failure"}
    assert "password" in report.said("server.reachable") or "Authentication" in report.said("server.reachable")


def test_a_proxy_that_knows_no_resp3_is_found(terminal: Terminal, valkey: servers.Server) -> None:
    """The doctor speaks RESP2 and is answered; the package's own client is not, and the remedy is named."""
    with Proxy(valkey.port).running() as proxy:
        proxy.closes_at = b"HELLO"
        report = terminal.doctor(f"{proxy.url}?protocol=3")
        assert report.states("server.reachable") == ["ok"]
        assert report.states("server.client") == ["failure"]
        assert "protocol=2" in report.advice("server.client")
        assert terminal.doctor(f"{proxy.url}?protocol=2").states("server.client") == ["ok"]


@pytest.mark.slow
def test_a_slow_way_is_told(terminal: Terminal, valkey: servers.Server) -> None:
    """A round trip of 30 milliseconds is a warning, because each request waits for one."""
    with Proxy(valkey.port).running() as proxy:
        proxy.delay = 0.03
        report = terminal.doctor(proxy.url)
    assert report.states("server.latency") == ["warning"]


def test_an_old_server_is_told(terminal: Terminal, valkey: servers.Server) -> None:
    """A version below what the tests run on is a warning, and one that lacks commands a failure."""
    assert terminal.doctor(valkey.url).states("server.version") == ["ok"]
    terminal.monkeypatch.setitem(reach.TESTED, "Valkey", (99, 0))
    assert terminal.doctor(valkey.url).states("server.version") == ["warning"]
    terminal.monkeypatch.setitem(reach.OLDEST, "Valkey", (98, 0))
    assert terminal.doctor(valkey.url).states("server.version") == ["failure"]


def test_a_socket_needs_no_password_and_no_tls(terminal: Terminal, tmp_path: Path) -> None:
    """The rights of the file count. The same holds for the server that the application starts itself."""
    socket_path = tmp_path / "s"
    made = servers.valkey(tmp_path / "server", "--unixsocket", str(socket_path)).start()
    try:
        report = terminal.doctor(f"unix://{socket_path}")
        assert report.bad == {}
        assert "socket" in report.said("server.password")
    finally:
        made.kill()


@pytest.mark.slow
def test_an_embedded_server_passes(terminal: Terminal, tmp_path: Path) -> None:
    """It is started for the doctor, if no process of the application has started it, and stopped again."""
    terminal.monkeypatch.chdir(tmp_path)
    report = terminal.doctor("embedded://", "--strict")
    assert (report.bad, report.run.code) == ({}, 0)


@pytest.mark.parametrize("kind", ["client", "near"])
def test_the_applications_own_client_is_looked_at(
    terminal: Terminal, tmp_path: Path, valkey: servers.Server, kind: str
) -> None:
    """A provider with a client of its own, or with a near cache, is asked about as any other."""
    client = f"from redis.asyncio import Redis\noptions = {{'client': Redis.from_url('{valkey.url}')}}\n"
    near = f"options = {{'redis_url': '{valkey.url}', 'near_cache_bytes': 100_000}}\n"
    provider = "from jwtsession import SessionProvider\nsessions = SessionProvider(**options)\n"
    name = f"shop_{kind}"
    (tmp_path / f"{name}.py").write_text((client if kind == "client" else near) + provider)
    terminal.monkeypatch.chdir(tmp_path)
    put(valkey, ID, '{"user_id": 1}', "PX", "100000")
    report = terminal.doctor("", "--app", f"{name}:sessions", "--strict")
    assert report.bad == {}
    assert report.states("sample.model") == ["ok"]
    assert terminal("sessions", "count", "--app", f"{name}:sessions", "--json").document["sessions"] == 1


def test_a_fault_of_the_doctor_is_no_traceback(terminal: Terminal, valkey: servers.Server) -> None:
    """A reply that nobody has thought of is one more finding, which shows nothing of it."""

    def fails(store: Any) -> Any:
        raise RuntimeError(PASSWORD)

    terminal.monkeypatch.setattr("jwtsession.cli.doctor.survey", fails)
    report = terminal.doctor(valkey.url)
    assert report.bad == {"server.topology": "failure"}
    assert "RuntimeError" in report.said("server.topology")


# --- who else may ask it, and listen ---------------------------------------------------------------------------------


def own_address() -> str:
    """An address of this machine that other machines can reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as chooser:
        try:
            chooser.connect(("192.0.2.1", 9))  # sends nothing: the system chooses the address
        except OSError:
            pytest.skip("this machine has no address but its own")
        return str(chooser.getsockname()[0])


@pytest.mark.parametrize(("password", "expected"), [("", "failure"), (PASSWORD, "ok")])
def test_a_server_that_answers_everybody_is_a_failure(
    terminal: Terminal, server: servers.Server, password: str, expected: str
) -> None:
    """It is reached by the network and wants no password; with one it is well. The way is a warning in both cases."""
    for name, value in (("bind", "0.0.0.0"), ("protected-mode", "no"), ("requirepass", password)):
        server.command("CONFIG", "SET", name, value)
        if name == "requirepass":
            break
    user = f":{password}@" if password else ""
    report = terminal.doctor(f"redis://{user}{own_address()}:{server.port}/0")
    assert report.states("server.password") == [expected]
    assert report.states("server.tls") == ["warning"]


def test_a_password_that_nobody_needs_is_found(terminal: Terminal, server: servers.Server) -> None:
    """The URL has a user and a password, and the server answers somebody without them too."""
    server.command("CONFIG", "SET", "bind", "0.0.0.0")
    server.command("CONFIG", "SET", "protected-mode", "no")
    server.command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    report = terminal.doctor(f"redis://app:{PASSWORD}@127.0.0.1:{server.port}/0")
    assert report.states("server.password") == ["failure"]
    server.command("CONFIG", "SET", "protected-mode", "yes")
    assert terminal.doctor(server.url).states("server.password") == ["ok"]


def test_a_certificate_that_is_not_checked_is_told(terminal: Terminal, tmp_path: Path) -> None:
    """TLS is well with a certificate that is checked, and a warning without the check."""
    from tests.security.test_transport import Authority

    address = own_address()
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("server", address)
    tls = servers.free_port()
    options = ["--tls-port", str(tls), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options += ["--tls-ca-cert-file", str(authority.ca), "--tls-auth-clients", "no", "--requirepass", PASSWORD]
    made = servers.redis(tmp_path / "tls", *options, "--bind", "0.0.0.0")
    made.spawn()
    try:
        servers.until(lambda: b"NOAUTH" in made.command("PING"), "the server")
        url = f"rediss://:{PASSWORD}@{address}:{tls}/0"
        report = terminal.doctor(f"{url}?ssl_ca_certs={authority.ca}")
        assert report.states("server.tls") == ["ok"], report.checks
        assert terminal.doctor(f"{url}?ssl_cert_reqs=none").states("server.tls") == ["warning"]
        untrusted = terminal.doctor(url)
        assert untrusted.bad == {"server.reachable": "failure"}
        assert "certificate" in untrusted.said("server.reachable").lower()
    finally:
        made.kill()


# --- what it may lose ------------------------------------------------------------------------------------------------

DPOP = {"dpop_mode": "optional", "public_url": "https://shop.example"}


@pytest.mark.parametrize(
    ("policy", "variables", "expected"),
    [
        ("noeviction", {"user_index": True}, "ok"),
        ("volatile-lru", {"user_index": True}, "failure"),
        ("allkeys-lru", {"rotation_after": 900}, "failure"),
        ("volatile-ttl", DPOP, "failure"),
        ("volatile-ttl", DPOP | {"dpop_replay": False}, "warning"),
        ("allkeys-lru", {"revoke_before": True}, "failure"),
        ("allkeys-lfu", {}, "warning"),
    ],
)
def test_a_server_that_evicts_is_told(
    terminal: Terminal, server: servers.Server, policy: str, variables: dict[str, Any], expected: str
) -> None:
    """It is a failure where the package relies on what is evicted, and a warning where users are logged out."""
    server.command("CONFIG", "SET", "maxmemory-policy", policy)
    report = terminal.doctor(server.url, **variables)
    assert report.states("server.eviction") == [expected]
    if expected != "ok":
        assert policy in report.said("server.eviction")
        assert "noeviction" in report.advice("server.eviction")


@pytest.mark.parametrize(
    ("save", "append", "expected", "said"),
    [
        ("", "no", "ok", "keeps nothing"),
        ("3600 1", "no", "warning", "logouts since the last one are undone"),
        ("3600 1", "yes", "ok", "append-only"),
    ],
)
def test_snapshots_alone_are_told(
    terminal: Terminal, server: servers.Server, save: str, append: str, expected: str, said: str
) -> None:
    """Snapshots alone undo logouts; with an append-only file, or with nothing at all, they do not."""
    server.command("CONFIG", "SET", "save", save)
    server.command("CONFIG", "SET", "appendonly", append)
    report = terminal.doctor(server.url)
    assert report.states("server.persistence") == [expected]
    assert said in report.said("server.persistence")


@pytest.mark.parametrize(("apart", "expected"), [(0, "ok"), (5, "warning"), (-90, "failure")])
async def test_a_clock_that_is_wrong_is_told(valkey: servers.Server, apart: float, expected: str) -> None:
    """This machine's clock and the server's differ."""
    settings = SessionSettings(secret=SECRET, redis_url=valkey.url)
    findings = await examine(Target(settings), sample=0, clock=lambda: time.time() + apart)
    (found,) = [each for each in findings if each.id == "server.clock"]
    assert found.state == expected


# --- several servers -------------------------------------------------------------------------------------------------


@pytest.mark.ci
def test_a_replica_instead_of_the_primary_is_a_failure(
    terminal: Terminal, server: servers.Server, valkey: servers.Server
) -> None:
    """Its address is in redis_url, and it would refuse each login."""
    server.command("REPLICAOF", "127.0.0.1", str(valkey.port))
    servers.until(lambda: server.ask("INFO", "replication")["master_link_status"] == "up", "the replica")
    report = terminal.doctor(server.url)
    assert report.states("server.replication") == ["failure"]
    assert "Sentinels" in report.advice("server.replication")


@pytest.mark.ci
def test_each_replica_is_asked(
    terminal: Terminal, sentinel_server: servers.Server, server: servers.Server, valkey_server: servers.Server
) -> None:
    """Behind Sentinel one that has lost its primary is named, and one that is down."""
    url = f"redis+sentinel://127.0.0.1:{sentinel_server.port}/mymaster/0"
    server.command("REPLICAOF", "127.0.0.1", str(valkey_server.port))
    try:
        known = f"127.0.0.1:{server.port}".encode()
        servers.until(lambda: known in sentinel_server.command("SENTINEL", "REPLICAS", "mymaster"), "the sentinel")
        servers.until(lambda: server.ask("INFO", "replication")["master_link_status"] == "up", "the replica")
        assert terminal.doctor(url).states("server.replication") == ["ok", "ok"]
        server.command("REPLICAOF", "127.0.0.1", str(servers.free_port()))
        lost = terminal.doctor(url)
        assert lost.states("server.replication")[-1] == "failure"
        assert f"127.0.0.1:{server.port} has lost its primary" in lost.said("server.replication")
        server.kill()
        report = terminal.doctor(url)
        assert report.states("server.reachable") == ["failure"]
        assert f"127.0.0.1:{server.port}" in report.said("server.reachable")
    finally:
        sentinel_server.command("SENTINEL", "RESET", "mymaster")


def test_each_sentinel_is_asked(terminal: Terminal, sentinel_server: servers.Server) -> None:
    """One that is down is named, though another one answers; a service that none knows is a failure of its own."""
    port, dead = sentinel_server.port, servers.free_port()
    report = terminal.doctor(f"redis+sentinel://127.0.0.1:{port},127.0.0.1:{dead}/mymaster/0")
    assert report.bad["server.reachable"] == "failure"
    assert f"127.0.0.1:{dead}" in report.said("server.reachable")
    assert "127.0.0.1" in report.said("server.eviction")
    unknown = terminal.doctor(f"redis+sentinel://127.0.0.1:{port}/another/0")
    assert "it knows no service 'another'" in unknown.said("server.topology")
    assert unknown.states("server.primary") == ["failure"]


def test_sentinels_that_disagree_are_told(
    terminal: Terminal, sentinel_server: servers.Server, server: servers.Server, tmp_path: Path
) -> None:
    """Two name different primaries: workers may log users in at both."""
    other = servers.sentinel(tmp_path / "sentinel", server)
    try:
        report = terminal.doctor(f"redis+sentinel://127.0.0.1:{sentinel_server.port},127.0.0.1:{other.port}/mymaster/0")
        assert report.states("server.topology") == ["failure"]
        assert f"127.0.0.1:{server.port}" in report.said("server.topology")
    finally:
        other.kill()


def test_a_primary_without_a_replica_is_a_warning(terminal: Terminal, sentinel_server: servers.Server) -> None:
    """The Sentinels have nothing that could take its place."""
    report = terminal.doctor(f"redis+sentinel://127.0.0.1:{sentinel_server.port}/mymaster/0")
    assert report.states("server.replication") == ["warning"]


@pytest.mark.slow
def test_a_cluster_with_a_gap_is_a_failure(terminal: Terminal, tmp_path: Path) -> None:
    """Slots that no node has: users whose session would be there get a 503."""
    node = servers.cluster(tmp_path / "node")
    try:
        url = f"redis+cluster://127.0.0.1:{node.port}"
        assert terminal.doctor(url).states("server.topology") == []
        node.command("CLUSTER", "DELSLOTS", "7")
        report = terminal.doctor(url)
        assert report.said("server.topology") == "1 of the 16384 slots have no server"
    finally:
        node.kill()


def test_a_server_that_is_no_cluster_is_a_failure(terminal: Terminal, valkey: servers.Server) -> None:
    """The URL says that it is one."""
    report = terminal.doctor(f"redis+cluster://127.0.0.1:{valkey.port}")
    assert report.states("server.topology") == ["failure"]
    assert "cluster" in report.said("server.topology")


@pytest.mark.ci
def test_each_node_of_a_cluster_is_asked(terminal: Terminal, tmp_path: Path) -> None:
    """Nodes that the URL does not name are asked too, replicas among them, and a dead one is named."""
    cluster = servers.Cluster(tmp_path).start()
    try:
        url = f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}"
        report = terminal.doctor(url)
        assert report.bad == {}
        assert "3 primaries, 3 replicas" in report.said("server.reachable")
        dead = cluster.replicas(cluster.nodes[0])[0]
        dead.kill()
        report = terminal.doctor(url)
        assert f"127.0.0.1:{dead.port}" in report.said("server.reachable")
    finally:
        cluster.stop()


@pytest.mark.ci
def test_sessions_are_found_on_each_node_of_a_cluster(terminal: Terminal, tmp_path: Path) -> None:
    """All are counted, wherever they are, and one is found by its handle."""
    cluster = servers.Cluster(tmp_path).start()
    try:
        for number in range(100):
            cluster.command("SET", f"sess:{ID}-{number}", '{"user_id": 1}', "PX", "100000")
        terminal.set(redis_url=f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}")
        assert terminal("sessions", "count", "--json").document["sessions"] == 100
        for number in range(0, 100, 10):
            assert terminal("sessions", "show", handle_of(f"{ID}-{number}"), "--json").document["fields"] == ["user_id"]
        assert terminal("sessions", "revoke", handle_of(f"{ID}-7"), "--yes").code == 0
        assert terminal("sessions", "count", "--json").document["sessions"] == 99
    finally:
        cluster.stop()


# --- what is stored --------------------------------------------------------------------------------------------------

APPLICATION = """
from jwtsession import Session, SessionProvider

class UserSession(Session):
    user_id: int

sessions = SessionProvider(UserSession)
"""


@pytest.fixture
def application(terminal: Terminal, tmp_path: Path, valkey: servers.Server) -> str:
    """A module with a provider, as `--app` takes it."""
    name = f"shop_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(APPLICATION)
    terminal.monkeypatch.chdir(tmp_path)
    terminal.monkeypatch.syspath_prepend(str(tmp_path))
    terminal.set(redis_url=valkey.url)
    return f"{name}:sessions"


def put(server: servers.Server, rest: str, value: str, *ttl: str) -> None:
    server.command("SET", f"sess:{rest}", value, *ttl)


def test_a_sound_sample_passes(terminal: Terminal, application: str, valkey: servers.Server) -> None:
    """Sessions as the application stores them: each check of the sample is well, also with the model."""
    for number in range(300):
        put(valkey, f"{ID}-{number}", '{"user_id": 1}', "PX", "100000")
    report = terminal.doctor("", "--app", application)
    assert report.bad == {}
    assert "each of 200 keys" in report.said("sample.ttl")
    assert "each of 200 sessions" in report.said("sample.model")
    assert "each of 10 keys" in terminal.doctor("", "--sample", "10").said("sample.ttl")
    assert terminal.doctor("", "--sample", "0").states("sample") == ["skipped"]


@pytest.mark.parametrize(
    ("value", "ttl", "check"),
    [
        ('{"user_id": 1}', (), "sample.ttl"),
        ('{"user_id": "' + "x" * 66_000 + '"}', ("PX", "100000"), "sample.size"),
        ('{"name": "ann"}', ("PX", "100000"), "sample.model"),
        ("\x01abcdefghijklmnopqrstuvwxyz", ("PX", "100000"), "sample.encryption"),
    ],
)
def test_what_is_wrong_with_stored_sessions_is_told(
    terminal: Terminal, application: str, valkey: servers.Server, value: str, ttl: tuple[str, ...], check: str
) -> None:
    """Without a time to live, too large, not readable by the model, encrypted without a key: and no id is shown."""
    put(valkey, ID, value, *ttl)
    put(valkey, f"{ID}-sound", '{"user_id": 1}', "PX", "100000")
    report = terminal.doctor("", "--app", application)
    assert check in report.bad
    assert ID not in report.run.out
    assert "ann" not in report.run.out


def test_another_type_of_key_is_told(terminal: Terminal, valkey: servers.Server) -> None:
    """A list where a session should be."""
    valkey.command("RPUSH", f"sess:{ID}", "1")
    report = terminal.doctor(valkey.url)
    assert report.states("sample.size") == ["warning"]
    assert "1 are no strings" in report.said("sample.size")


def test_the_time_of_revoke_before_may_stay(terminal: Terminal, valkey: servers.Server) -> None:
    """Its key has no time to live on purpose."""
    put(valkey, "not_before", "1")
    assert terminal.doctor(valkey.url).states("sample.ttl") == ["ok"]


@pytest.mark.parametrize(("mode", "expected"), [("require", "failure"), ("write", "warning")])
def test_plain_sessions_where_encryption_is_on_are_told(
    terminal: Terminal, valkey: servers.Server, mode: str, expected: str
) -> None:
    """With `require` their users get a 401; with `write` they are read, and counted."""
    put(valkey, ID, '{"user_id": 1}', "PX", "100000")
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    report = terminal.doctor(valkey.url, encryption_keys=[key], encryption_mode=mode)
    assert report.states("sample.encryption") == [expected]
    assert key not in report.run.out


def test_the_sample_is_bounded(terminal: Terminal, valkey: servers.Server) -> None:
    """In a server with many other keys the doctor stops, and it reads no key of another application."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", valkey.port))) as connection:
        connection.sendall(b"EVAL \"for i=1,60000 do redis.call('SET', 'other:'..i, 'x') end\" 0\r\n")
        connection.recv(100)
    report = terminal.doctor(valkey.url)
    assert report.states("sample") == ["skipped"]
    assert "none of the keys that were looked at begins with 'sess:'" in report.said("sample")
    assert json.dumps(report.checks).count("other:") == 0
