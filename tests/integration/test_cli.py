"""The commands beside `doctor`, on real servers, and that none of them shows a secret."""

import io
import json
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token
from jwtsession.tokens.compact import payload_of, read_json
from tests import servers
from tests.conftest import SECRET
from tests.integration.doctors import PASSWORD, Run, Terminal
from tests.security.forge import with_claims

APPLICATION = """
from jwtsession import Session, SessionProvider

class UserSession(Session):
    name: str
    cart: list[str] = []

sessions = SessionProvider(UserSession)
"""


class UserSession(Session):
    name: str
    cart: list[str] = []


class Stdin(io.StringIO):
    """What the user types, at a terminal or not."""

    def __init__(self, text: str, *, is_terminal: bool) -> None:
        super().__init__(text)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


class World:
    """An application whose users log in, and a terminal beside it."""

    def __init__(self, terminal: Terminal, server: servers.Server, url: str, **options: Any) -> None:
        self.terminal, self.server, self.url = terminal, server, url
        terminal.set(redis_url=url, user_index=True, capture_client=True)
        self.sessions = SessionProvider(UserSession, **options)
        self.tokens: list[str] = []
        app = self.app = FastAPI(lifespan=self.sessions.lifespan)

        manager_ = Annotated[SessionManager[UserSession, Claims], Depends(self.sessions.get_manager)]

        @app.post("/login/{sub}")
        async def log_in(sub: str, manager: manager_) -> Token:
            return await manager.create(UserSession(name=f"the name of {sub}"), Claims(sub=sub))

        @app.get("/me")
        async def me(session: Annotated[UserSession, Depends(self.sessions.get_session)]) -> UserSession:
            return session

        @app.post("/again")
        async def again(manager: manager_) -> Token:
            return await manager.regenerate()

    def log_in(self, sub: str, times: int = 1) -> str:
        """Log a user in; the last token."""
        with TestClient(self.app, headers={"User-Agent": "a browser"}) as client:
            for _ in range(times):
                self.tokens.append(client.post(f"/login/{sub}").json()["access_token"])
        return self.tokens[-1]

    def status(self, token: str) -> int:
        with TestClient(self.app) as client:
            return client.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code

    def run(self, *arguments: str, stdin: str | None = None, is_terminal: bool = False) -> Run:
        """Run a command. Whatever it says, it shows no token, no id of a session and no password."""
        if stdin is not None:
            self.terminal.monkeypatch.setattr(sys, "stdin", Stdin(stdin, is_terminal=is_terminal))
        run = self.terminal(*arguments)
        for each in [*self.tokens, *self.ids]:
            assert each not in run.out + run.err
        return run

    @property
    def ids(self) -> list[str]:
        return [read_json(payload_of(token))["jti"] for token in self.tokens]

    def handles(self, sub: str) -> list[str]:
        return [each["handle"] for each in self.run("sessions", "list", sub, "--json").document["sessions"]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


@pytest.fixture
def world(terminal: Terminal, valkey: servers.Server) -> World:
    return World(terminal, valkey, valkey.url)


@pytest.fixture(params=["server", "cluster", "sentinel"])
def anywhere(request: pytest.FixtureRequest, terminal: Terminal) -> World:
    """On one server, in a cluster, behind a Sentinel."""
    if request.param == "server":
        server = request.getfixturevalue("valkey")
        return World(terminal, server, server.url)
    behind = {"cluster": "cluster_server", "sentinel": "valkey"}[request.param]
    server = request.getfixturevalue(behind)
    server.command("FLUSHALL")
    port = request.getfixturevalue(f"{request.param}_server").port
    path = "/mymaster/0" if request.param == "sentinel" else ""
    return World(terminal, server, f"redis+{request.param}://127.0.0.1:{port}{path}")


@pytest.fixture
def app(terminal: Terminal, tmp_path: Path) -> str:
    """The same application as a module, as `--app` takes it."""
    name = f"shop_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(APPLICATION)
    terminal.monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:sessions"


# --- sessions --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sessions_are_counted_listed_and_ended(anywhere: World) -> None:
    """Everywhere a user's sessions are found by the user, and each by its handle, with the user and without."""
    anywhere.log_in("ann", 3)
    anywhere.log_in("bob")
    counted = anywhere.run("sessions", "count", "--json").document
    assert counted["sessions"] == 4
    assert counted["keys"] > 4
    handles = anywhere.handles("ann")
    assert len(handles) == 3
    shown = anywhere.run("sessions", "show", handles[0], "--json").document
    assert shown["fields"] == ["cart", "name"]
    assert shown["keys_looked_at"] > 0
    assert anywhere.run("sessions", "revoke", handles[0], "--yes").code == 0
    assert anywhere.run("sessions", "revoke", handles[1], "--sub", "ann", "--yes", "--json").document["ended"] == 1
    assert anywhere.handles("ann") == handles[2:]
    assert anywhere.run("sessions", "revoke-all", "ann", "--yes", "--json").document == {"ended": 1}
    assert anywhere.handles("ann") == []
    assert [anywhere.status(token) for token in anywhere.tokens] == [401, 401, 401, 200]


def test_a_session_is_shown_without_its_id(world: World, app: str) -> None:
    """Its handle, its times and the names of its fields; the values only with `--data`."""
    world.log_in("ann")
    (handle,) = world.handles("ann")
    plain = world.run("sessions", "show", handle, "--sub", "ann")
    assert "the name of ann" not in plain.out
    assert "a browser" in plain.out
    assert handle in plain.out
    shown = world.run("sessions", "show", handle, "--sub", "ann", "--data", "--app", app, "--json").document
    assert shown["data"] == {"name": "the name of ann", "cart": []}
    assert shown["model"] == "reads it"
    assert 86_300 < shown["seconds_left"] <= 86_400
    assert not shown["encrypted"]


def test_a_users_sessions_are_a_table(world: World) -> None:
    """One line for each, under the names of the columns; none is said where there is none."""
    world.log_in("ann", 2)
    lines = world.run("sessions", "list", "ann").out.splitlines()
    assert lines[0].split()[:3] == ["handle", "login", "last"]
    assert len(lines) == 3
    assert world.run("sessions", "list", "nobody").out == "none\n"


def test_another_users_handle_ends_nothing(world: World) -> None:
    """With `--sub` the session must be this user's."""
    token = world.log_in("ann")
    (handle,) = world.handles("ann")
    run = world.run("sessions", "revoke", handle, "--sub", "bob", "--yes")
    assert (run.code, run.err) == (2, f"error: bob has no session with the handle {handle}\n")
    assert world.status(token) == 200


def test_a_handle_that_is_nobodys_says_how_many_keys_were_looked_at(world: World) -> None:
    """So nobody takes a wrong server for a session that has ended."""
    world.log_in("ann")
    for command in (["show"], ["revoke", "--yes"]):
        run = world.run("sessions", *command, "a" * 22)
        assert run.code == 2
        keys = world.server.ask("DBSIZE")
        assert f"of {keys} keys none is a session with the handle" in run.err


def test_a_session_of_many_keys_is_found(world: World) -> None:
    """The keys are read in portions; those of other applications do not count."""
    world.log_in("ann")
    (handle,) = world.handles("ann")
    script = "for i=1,5000 do redis.call('SET', 'other:'..i, 'x') redis.call('SET', 'sess:fwd:'..i, 'x') end"
    world.server.command("EVAL", script, "0")
    shown = world.run("sessions", "show", handle, "--json").document
    assert 0 < shown["keys_looked_at"] <= 5_010
    assert world.run("sessions", "count", "--json").document == {"sessions": 1, "keys": 5_003}


DESTRUCTIVE = [["revoke", "{handle}"], ["revoke", "{handle}", "--sub", "ann"], ["revoke-all", "ann"]]


@pytest.mark.parametrize("command", DESTRUCTIVE)
@pytest.mark.parametrize(
    ("typed", "is_terminal", "ends"),
    [("y\n", True, True), ("n\n", True, False), ("\n", True, False), ("y\n", False, False)],
)
def test_who_ends_sessions_is_asked(
    world: World, command: list[str], typed: str, is_terminal: bool, ends: bool
) -> None:
    """At a terminal `y` ends them, and nothing else does. Without a terminal `--yes` is needed."""
    token = world.log_in("ann")
    (handle,) = world.handles("ann")
    arguments = [each.format(handle=handle) for each in command]
    run = world.run("sessions", *arguments, stdin=typed, is_terminal=is_terminal)
    assert run.code == (0 if ends else 2)
    assert ("[y/N]" in run.err) == is_terminal
    assert world.status(token) == (401 if ends else 200)


def test_an_id_in_place_of_a_handle_is_refused(world: World) -> None:
    """Nobody should write the id of a session into a shell's history, and it is not shown again."""
    world.log_in("ann")
    run = world.run("sessions", "revoke", world.ids[0], "--yes")
    assert run.code == 2
    assert "it is not the session's id" in run.err


@pytest.mark.parametrize("with_app", [False, True])
def test_all_that_is_stored_about_a_user_is_exported(world: World, app: str, with_app: bool) -> None:
    """Each session with its data, and what the index knows of it; nothing of another user."""
    world.log_in("ann", 2)
    world.log_in("bob")
    options = ["--app", app] if with_app else []
    exported = world.run("sessions", "export", "ann", *options, "--json").document
    assert world.run("sessions", "export", "ann", *options).document.keys() == exported.keys()
    assert exported["sub"] == "ann"
    assert len(exported["sessions"]) == 2
    for each in exported["sessions"]:
        assert each["data"] == {"name": "the name of ann", "cart": []}
        assert each["user_agent"] == "a browser"
        assert each.keys() >= {"handle", "created", "last_seen", "expires", "client", "label", "actor"}


def test_encrypted_sessions_are_exported_in_plain(terminal: Terminal, valkey: servers.Server) -> None:
    """The user asks for what is stored, and can't decrypt it. A session that can't be opened says why."""
    key = secrets.token_urlsafe(32)
    terminal.set(encryption_keys=[key])
    world = World(terminal, valkey, valkey.url)
    world.log_in("ann")
    (found,) = world.run("sessions", "export", "ann", "--json").document["sessions"]
    assert found["data"]["name"] == "the name of ann"
    assert found["encrypted"]
    terminal.set(encryption_keys=[secrets.token_urlsafe(32)])
    run = world.run("sessions", "export", "ann", "--json")
    assert [each["unreadable"] for each in run.document["sessions"]] == ["session_key_unknown"]
    assert key not in run.out


def test_a_token_in_a_session_is_not_shown(world: World) -> None:
    """The Node original stores the raw JWT with each update."""
    world.log_in("ann")
    key = f"sess:{world.ids[0]}"
    world.server.command(
        "SET", key, json.dumps({"name": "ann", "jwt": world.tokens[0], "list": [world.tokens[0]]}), "KEEPTTL"
    )
    (found,) = world.run("sessions", "export", "ann", "--json").document["sessions"]
    assert found["data"] == {"name": "ann", "jwt": "***", "list": ["***"]}


@pytest.mark.parametrize(
    "command", [["count"], ["list", "ann"], ["show", "a" * 22], ["revoke-all", "ann", "--yes"], ["export", "ann"]]
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_server_that_is_down_is_told(terminal: Terminal, command: list[str], options: list[str]) -> None:
    """With host and port, without the password."""
    port = servers.free_port()
    terminal.set(redis_url=f"redis://:{PASSWORD}@127.0.0.1:{port}/0", user_index=True)
    run = terminal("sessions", *command, *options)
    assert run.code == 2
    said = run.document["error"] if options else run.err
    assert f"127.0.0.1:{port}" in said


LOOKING = pytest.mark.parametrize("command", [["count"], ["show", "a" * 22], ["revoke", "a" * 22, "--yes"]])
"""The commands that look at all keys."""


@LOOKING
def test_sentinels_without_their_primary_are_no_empty_server(
    terminal: Terminal, sentinel_server: servers.Server, command: list[str]
) -> None:
    """Nobody could look at the sessions: that is a failure, and not a count of 0."""
    terminal.set(redis_url=f"redis+sentinel://127.0.0.1:{sentinel_server.port}/another/0")
    run = terminal("sessions", *command, "--json")
    assert run.code == 2
    assert "it knows no service 'another'" in run.document["error"]


@pytest.mark.slow
def test_a_cluster_with_a_gap_does_not_count_as_a_whole_one(terminal: Terminal, tmp_path: Path) -> None:
    """There may be sessions in the slots that no node has."""
    node = servers.cluster(tmp_path / "node")
    try:
        terminal.set(redis_url=f"redis+cluster://127.0.0.1:{node.port}")
        assert terminal("sessions", "count").code == 0
        node.command("CLUSTER", "DELSLOTS", "7")
        run = terminal("sessions", "count")
        assert run.code == 2
        assert "not all sessions can be looked at: 1 of the 16384 slots have no server" in run.err
    finally:
        node.kill()


@LOOKING
def test_a_server_that_is_no_cluster_has_no_sessions_of_one(
    terminal: Terminal, valkey: servers.Server, command: list[str]
) -> None:
    """The application could not use it either."""
    terminal.set(redis_url=f"redis+cluster://127.0.0.1:{valkey.port}")
    run = terminal("sessions", *command)
    assert (run.code, "cluster" in run.err) == (2, True)


@pytest.mark.parametrize("command", [["list", "ann"], ["revoke-all", "ann", "--yes"], ["export", "ann"]])
def test_without_an_index_the_setting_is_named(terminal: Terminal, valkey: servers.Server, command: list[str]) -> None:
    """Nobody knows then which sessions are a user's."""
    terminal.set(redis_url=valkey.url)
    run = terminal("sessions", *command)
    assert run.code == 2
    assert "user_index" in run.err


def test_a_user_without_the_right_to_look_is_told(terminal: Terminal, valkey: servers.Server) -> None:
    """Counting needs +scan, which the application does not."""
    valkey.command("ACL", "SETUSER", "few", "reset", "on", f">{PASSWORD}", "~sess:*", "-@all", "+ping", "+get")
    terminal.set(redis_url=valkey.url.replace("//", f"//few:{PASSWORD}@"))
    run = terminal("sessions", "count")
    assert run.code == 2
    assert "+scan" in run.err


def test_sessions_in_a_processs_memory_are_out_of_reach(terminal: Terminal) -> None:
    """`memory://` is another process's."""
    terminal.set(redis_url="memory://")
    run = terminal("sessions", "count")
    assert (run.code, "MemorySessionStore, which has no server" in run.err) == (2, True)


# --- tokens ----------------------------------------------------------------------------------------------------------


def inspect(world: World, token: str, *options: str) -> tuple[int, dict[str, Any]]:
    run = world.run("token", "inspect", "-", "--json", *options, stdin=token)
    assert token == " " or token not in run.out
    return run.code, run.document


def test_a_good_token_is_accepted(world: World, app: str) -> None:
    """Its claims are shown, its session's handle in place of its jti; and looking at it is no use of the session."""
    token = world.log_in("ann")
    key = f"sess:{world.ids[0]}"
    world.server.command("PEXPIRE", key, "50000")
    for options in ([], ["--app", app]):
        code, found = inspect(world, f"{token}\n", *options)
        assert (code, found["accepted"], found["code"]) == (0, True, None)
        assert found["claims"]["sub"] == "ann"
        assert "jti" not in found["claims"]
        assert found["handle"] == world.handles("ann")[0]
        assert found["header"] == {"alg": "HS256", "typ": "JWT"}
    assert world.server.ask("PTTL", key) <= 50_000
    shown = world.run("token", "inspect", "-", stdin=token)
    assert "accepted: it is genuine, and its session lives" in shown.out
    assert "sub" in shown.out


def test_a_token_that_would_be_refused_says_why(world: World, app: str) -> None:
    """By the code that the log has, and in words."""
    token = world.log_in("ann")
    header, payload, signature = token.split(".")
    for given, code in (
        ("", "token_malformed"),
        (f"Bearer {token}", "token_malformed"),
        (f"{header}.{payload}.{signature[:-4]}AAAA", "token_signature"),
        (f"{header}.{payload}", "token_malformed"),
    ):
        assert inspect(world, given or " ")[1]["code"] == code
    assert inspect(world, with_claims(exp=1))[1]["code"] == "expired_token"
    world.server.command("SET", f"sess:{world.ids[0]}", '{"cart": 7}', "KEEPTTL")
    assert inspect(world, token)[1]["accepted"]
    code, found = inspect(world, token, "--app", app)
    assert (code, found["code"]) == (2, "session_corrupt")
    world.server.command("DEL", f"sess:{world.ids[0]}")
    code, found = inspect(world, token)
    assert (code, found["code"], found["why"]) == (2, "session_not_found", "it is genuine, and its session has ended")


def test_a_replaced_token_is_told_and_ends_nothing(world: World) -> None:
    """A request with it would be a theft, perhaps, and end the session; to look at it does not."""
    world.terminal.set(on_reuse="end", reuse_grace=0)
    world = World(world.terminal, world.server, world.url)
    with TestClient(world.app) as client:
        old = client.post("/login/ann").json()["access_token"]
        new = client.post("/again", headers={"Authorization": f"Bearer {old}"}).json()["access_token"]
    world.tokens += [old, new]
    assert inspect(world, old)[1]["code"] == "token_reused"
    assert inspect(world, new)[1]["accepted"]
    assert world.status(new) == 200


def test_a_token_that_rotation_replaced_is_told(terminal: Terminal, valkey: servers.Server) -> None:
    """Its generation is compared with the newest one."""
    terminal.set(rotation_after=1, rotation_mode="explicit")
    world = World(terminal, valkey, valkey.url)
    token = world.log_in("ann")
    assert inspect(world, token)[1]["accepted"]
    valkey.command("HSET", f"{{sess:{world.ids[0]}}}:gen", "gen", "3", "used", "1")
    assert inspect(world, token)[1]["code"] == "token_replaced"


def test_a_token_of_before_revoke_before_is_told(terminal: Terminal, valkey: servers.Server) -> None:
    """All tokens up to a time are refused."""
    terminal.set(revoke_before=True)
    world = World(terminal, valkey, valkey.url)
    token = world.log_in("ann")
    assert inspect(world, token)[1]["accepted"]
    valkey.command("SET", "sess:not_before", "9999999999")
    assert inspect(world, token)[1]["code"] == "token_revoked"


def test_a_store_that_is_down_leaves_it_open(world: World) -> None:
    """Nobody knows whether the session lives."""
    token = world.log_in("ann")
    world.terminal.set(redis_url=f"redis://:{PASSWORD}@127.0.0.1:{servers.free_port()}/0")
    code, found = inspect(world, token)
    assert (code, found["code"]) == (2, "store_unavailable")


def test_a_token_as_an_argument_is_refused(world: World) -> None:
    """It would stand in the shell's history, and in the list of processes."""
    run = world.run("token", "inspect", world.log_in("ann"))
    assert run.code == 2
    assert run.out == ""


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "options"),
    [({}, []), ({"user_index": True, "rotation_after": 900}, []), ({"near_cache_bytes": 1}, ["--tickets", "--doctor"])],
)
def test_the_rule_is_what_the_server_takes(
    terminal: Terminal, engine: servers.Server, variables: dict[str, Any], options: list[str]
) -> None:
    """It goes into ACL SETUSER as it stands there, and the doctor then finds that nothing is missing."""
    terminal.set(redis_url=engine.url, **variables)
    rule = terminal("acl", *options).out.strip()
    assert terminal("acl", *options, "--json").document["rule"] == rule
    reply = engine.command("ACL", "SETUSER", "few", "reset", "on", f">{PASSWORD}", *rule.split())
    assert reply == b"+OK\r\n"
    report = terminal.doctor(engine.url.replace("//", f"//few:{PASSWORD}@"))
    assert report.states("rights") == ["ok"]
    assert ("+getdel" in rule) == ("without +getdel" not in report.said("rights"))
    if "--doctor" in options:
        assert "skipped" not in report.states("server.clock") + report.states("server.persistence")


@pytest.mark.slow
def test_the_secret_of_the_tests_is_not_shown(world: World) -> None:
    """Every command at once, with all that could be shown, in both forms."""
    world.log_in("ann")
    (handle,) = world.handles("ann")
    for command in (
        ["doctor"],
        ["settings"],
        ["acl"],
        ["sessions", "count"],
        ["sessions", "list", "ann"],
        ["sessions", "show", handle, "--data"],
        ["sessions", "export", "ann"],
        ["keys", "rotate"],
    ):
        for options in ([], ["--json"]):
            run = world.run(*command, *options)
            assert run.code == 0, run
            assert SECRET not in run.out + run.err
            assert not options or run.document
