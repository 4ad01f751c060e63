"""The rights that the documentation lists: enough, and not one too many. With fewer it is 503, and never anything else.

That they are enough for the contract of a store is shown by the contract suite itself, which runs as such a user on
each engine; here it runs in a cluster and behind a Sentinel.
"""

import inspect
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from jwtsession import RedisSessionStore, SessionProvider, StoreUnavailableError
from jwtsession.stores import FORMER
from jwtsession.stores.redis import rights
from tests import servers, verbs
from tests.conftest import SECRET
from tests.contract import test_generations as generations
from tests.contract import test_store as contract
from tests.contract.test_store import HOUR, RIGHTS, Subject

pytestmark = [pytest.mark.server, pytest.mark.ci]

ID = "an-id-of-the-least-privilege-tests"
CLUSTER = [*rights.CLUSTER]
ROTATION = [*rights.ROTATION]

# redis-py tells a server its name and version, and with an index its eviction policy is asked for. This user may not,
# and neither minds.
HARMLESS = {"client|setinfo", "info"}


KEYS = "~sess:* ~{sess:*"


def user_of(server: servers.Server, rights: list[str], keys: str = KEYS) -> str:
    """Make a user with these rights and no other; the first part of a URL for it."""
    reply = server.command("ACL", "SETUSER", "few", "reset", "on", ">password", *keys.split(), "-@all", *rights)
    assert reply == b"+OK\r\n"
    server.command("ACL", "LOG", "RESET")
    return "few:password@"


def store_of(server: servers.Server, rights: list[str], keys: str = KEYS) -> RedisSessionStore:
    return RedisSessionStore(server.url.replace("redis://", "redis://" + user_of(server, rights, keys)))


def without(*missing: str) -> list[str]:
    return [right for right in RIGHTS if right not in missing]


def denied(server: servers.Server) -> dict[str, int]:
    """What users tried without the right to, and how often."""
    with Redis(port=server.port, decode_responses=True) as client:
        log = client.acl_log()
    return {entry["object"]: entry["count"] for entry in log if entry["object"] not in HARMLESS}


# --- enough ----------------------------------------------------------------------------------------------------------


def test_these_are_the_documented_rights() -> None:
    """The documentation shows the rights of `rights.py`, by which the contract suite runs, to the letter."""
    text, command_line = (
        (Path(__file__).parents[2] / f"docs/guides/{page}.md").read_text() for page in ("stored", "command-line")
    )
    assert f"\n{' '.join(rights.INSPECTION)}\n" in command_line
    blocks = [block.split() for block in re.findall(r"^```text\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)]
    basic = next(block for block in blocks if block[0] == "~sess:*")
    index = next(block for block in blocks if "+hscan" in block)
    assert basic == str(rights.rule(keyspace="sess:")).split()
    assert index == [*rights.USER_INDEX]
    assert ["~{sess:*", *ROTATION] in blocks
    single = (*rights.OPTIONAL, *rights.POLICY, *rights.DATABASE, *rights.MOVING_SLOTS, " ".join(rights.CLUSTER))
    assert all(f"`{right}`" in text for right in single)


# Every test of the contract that is of a store, with the fixture of this module: see tests/contract.
globals().update(
    {
        name: member
        for name, member in vars(contract).items()
        if inspect.isfunction(member) and name.startswith("test_") and "subject" in inspect.signature(member).parameters
    }
)
TestUserIndex, TestTickets, TestCutoff = contract.TestUserIndex, contract.TestTickets, contract.TestCutoff
TestForwards = contract.TestForwards
TestGenerations = generations.TestGenerations


@pytest.fixture(params=["cluster", "sentinel"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    port = request.getfixturevalue(f"{request.param}_server").port
    behind = {"cluster": "cluster_server", "sentinel": "valkey_server"}[request.param]
    server: servers.Server = request.getfixturevalue(behind)
    server.command("FLUSHALL")
    user = user_of(server, RIGHTS + CLUSTER if request.param == "cluster" else RIGHTS)
    path = "/mymaster/0" if request.param == "sentinel" else ""
    store = RedisSessionStore(f"redis+{request.param}://{user}127.0.0.1:{port}{path}")

    async def expire_now(session_id: str) -> None:
        server.command("PEXPIRE", f"sess:{session_id}", "-1")

    async def pttl(session_id: str) -> int:
        return int(server.command("PTTL", f"sess:{session_id}").decode().strip(":\r\n"))

    yield Subject(store, expire_now, pttl)
    await store.close()
    assert denied(server) == {}


def provider_of(url: str, **options: Any) -> SessionProvider[verbs.UserSession, Any]:
    return SessionProvider(
        verbs.UserSession, secret=SECRET, redis_url=url, user_index=True, touch_interval=0, **options
    )


def everything(client: Any) -> dict[str, int]:
    """Every endpoint once, each with a login of its own: what each answers."""
    found = {}
    for what in [*verbs.USING, "DELETE /everywhere/ann", "GET /devices/ann", "GET /ping"]:
        found[what] = verbs.ask(client, what, verbs.log_in(client)).status_code
    return found


def test_an_application_needs_no_more(engine: servers.Server) -> None:
    """Every endpoint works as the documented user, and the server's own log of refusals stays empty."""
    url = engine.url.replace("redis://", "redis://" + user_of(engine, without("+wait", "+getdel")))
    with TestClient(verbs.application(provider_of(url))) as client:
        assert set(everything(client).values()) == {200}
    assert denied(engine) == {}


# --- not one too many ------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(engine: servers.Server) -> Iterator[Any]:
    """An application with all rights on the same server, where people log in."""
    with TestClient(verbs.application(provider_of(engine.url))) as client:
        yield client


@pytest.mark.parametrize("missing", [right for right in RIGHTS if right not in ("+wait", "+getdel")])
def test_a_missing_right_is_503_and_nothing_else(admin: Any, engine: servers.Server, missing: str) -> None:
    """Each right is there for something: what needs it is 503 without it. Nobody is logged out or becomes anonymous."""
    url = engine.url.replace("redis://", "redis://" + user_of(engine, without(missing)))
    with TestClient(verbs.application(provider_of(url))) as client:
        refused = [] if client.get("/ping").json() else ["GET /ping"]
        for what in [*verbs.USING, "DELETE /everywhere/ann", "GET /devices/ann"]:
            headers = verbs.log_in(admin)
            engine.command("SCRIPT", "FLUSH")  # a script that is loaded needs no EVAL
            answer = verbs.ask(client, what, headers)
            if verbs.is_unavailable(answer):
                refused.append(what)
            else:
                assert answer.status_code == 200, what
                assert what not in verbs.READING or answer.json() == {"user_id": 1, "cart": []}
    assert refused
    assert denied(engine).keys() == {missing.removeprefix("+")}


async def test_a_durable_destroy_needs_wait(engine: servers.Server) -> None:
    """Without the right it is the server that says no, with it the missing replica."""
    for allowed, code in ((without("+wait"), "store_unavailable"), (RIGHTS, "destroy_not_confirmed")):
        store = store_of(engine, allowed)
        with pytest.raises(StoreUnavailableError) as caught:
            await store.destroy(ID, wait_replicas=1)
        assert caught.value.code == code
        await store.close()


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("+get", lambda store: store.load(ID)),
        ("+getex", lambda store: store.load(ID, 1000)),
        ("+set", lambda store: store.create(ID, b"2", 1000)),
        ("+del", lambda store: store.destroy(ID)),
        ("+pexpire", lambda store: store.touch(ID, 1000)),
        ("+set", lambda store: store.ticket_add("a" * 64, b"1", 1000)),
        ("+getdel", lambda store: store.ticket_take("a" * 64)),
        ("+get", lambda store: store.not_before_get()),
        ("+evalsha", lambda store: store.not_before_set(1)),
        ("+set", lambda store: store.forward_add(ID, b"1", 1000)),
        ("+get", lambda store: store.forward_get(ID)),
        ("+evalsha", lambda store: store.forward_replace(ID, b"1", b"2", 1000)),
        ("+get", lambda store: store.update(ID, b"1", b"2", 1000)),
        ("+set", lambda store: store.update(ID, b"1", b"2", 1000)),
        ("+evalsha", lambda store: store.update(ID, b"1", b"2", 1000)),
    ],
)
async def test_what_the_server_forbids_is_asked_once(engine: servers.Server, missing: str, call: Any) -> None:
    """It is unavailable with the cause and without a second try, and the value stays as it is."""
    engine.command("SET", f"sess:{ID}", "1")
    store = store_of(engine, without(missing))
    with pytest.raises(StoreUnavailableError) as caught:
        await call(store)
    await store.close()
    assert caught.value.__cause__ is not None
    assert denied(engine) == {missing.removeprefix("+"): 1}
    assert engine.command("GET", f"sess:{ID}") == b"$1\r\n1\r\n"


@pytest.mark.parametrize("missing", ["~{sess:*", *ROTATION, "+get", "+pexpire", "+evalsha"])
async def test_rotation_needs_its_key_and_two_rights(engine: servers.Server, missing: str) -> None:
    """They are needed and, with the basic ones, enough. Without one it is 503: no old token is believed."""
    basic = ["+get", "+getex", "+pexpire", "+eval", "+evalsha"]

    async def ask_all(store: RedisSessionStore) -> None:
        await store.load_generation(ID)
        await store.rotate(ID, 0, 1, due=True, grace=0, ttl=HOUR)
        await store.extend_generation(ID, HOUR)

    store = store_of(engine, [*basic, *ROTATION], KEYS)
    await ask_all(store)
    await store.close()
    assert denied(engine) == {}
    engine.command("FLUSHALL")
    rights = [each for each in (*basic, *ROTATION) if each != missing]
    store = store_of(engine, rights, "~sess:*" if missing == "~{sess:*" else KEYS)
    with pytest.raises(StoreUnavailableError):
        await ask_all(store)
    await store.close()


@pytest.mark.parametrize("missing", CLUSTER)
async def test_a_cluster_needs_two_more(cluster_server: servers.Server, missing: str) -> None:
    """The client asks a cluster for its slots and its commands; without the right to, nothing works, and it is 503."""
    rights = [right for right in RIGHTS + CLUSTER if right != missing]
    store = RedisSessionStore(f"redis+cluster://{user_of(cluster_server, rights)}127.0.0.1:{cluster_server.port}")
    with pytest.raises(StoreUnavailableError):
        await store.create(ID, b"1", HOUR)
    assert not await store.ping()
    await store.close()


@pytest.mark.parametrize("allowed", [False, True])
async def test_another_database_needs_one_more(engine: servers.Server, allowed: bool) -> None:
    """With a number in the URL the client selects that database, which is a right of its own."""
    url = f"redis://{user_of(engine, [*RIGHTS, '+select'] if allowed else RIGHTS)}127.0.0.1:{engine.port}/3"
    store = RedisSessionStore(url)
    assert await store.ping() is allowed
    await store.close()


# --- out of reach ----------------------------------------------------------------------------------------------------


async def test_other_keys_are_out_of_reach(engine: servers.Server) -> None:
    """With another application's keyspace even all rights give nothing, by no verb, and change nothing."""
    engine.command("SET", f"other:{ID}", "1")
    user = user_of(engine, RIGHTS)
    other = RedisSessionStore(engine.url.replace("redis://", f"redis://{user}"), keyspace="other:")
    for call in (
        other.load(ID),
        other.load(ID, HOUR),
        other.create(ID + "x", b"1", HOUR),
        other.update(ID, b"1", b"2", HOUR),
        other.touch(ID, HOUR),
        other.compare_and_delete(ID, b"1"),
        other.destroy(ID),
        other.destroy(ID, 1),
        other.index_add("ann", ID, b"1", 1.0, HOUR),
        other.index_remove("ann", [ID]),
        other.index_page("ann", 0, 10),
        other.index_page(FORMER + "ann", 0, 10),
        other.index_get("ann", ID),
        other.index_set("ann", ID, b"2"),
        other.remaining([ID]),
        other.destroy_all([ID]),
        other.ticket_add("a" * 64, b"1", HOUR),
        other.ticket_take("a" * 64),
        other.not_before_set(1),
        other.not_before_get(),
        other.forward_add(ID, b"1", HOUR),
        other.forward_replace(ID, b"1", b"2", HOUR),
        other.forward_get(ID),
    ):
        with pytest.raises(StoreUnavailableError):
            await call
    await other.close()
    assert engine.command("KEYS", "*") == f"*1\r\n${len(ID) + 6}\r\nother:{ID}\r\n".encode()
    assert engine.command("PTTL", f"other:{ID}") == b":-1\r\n"


async def test_the_user_can_do_nothing_else(engine: servers.Server) -> None:
    """Who steals the password reads no list of keys, changes no configuration and no user, and listens to nobody."""
    user_of(engine, RIGHTS)
    with Redis(port=engine.port, username="few", password="password") as thief:
        for command in (
            "KEYS *",
            "SCAN 0",
            "CONFIG GET *",
            "ACL LIST",
            "FLUSHALL",
            "DBSIZE",
            "INFO",
            "CLIENT LIST",
            "SUBSCRIBE x",
            "SCRIPT FLUSH",
            "SELECT 1",
            "MODULE LIST",
            "SHUTDOWN",
        ):
            with pytest.raises(Exception, match="permissions"):
                thief.execute_command(*command.split())
        for script in ("return redis.call('KEYS', '*')", "return redis.call('GET', 'other:1')"):
            with pytest.raises(Exception, match=r"permission|can't"):
                thief.execute_command("EVAL", script, 0)


async def test_a_wrong_password_is_unavailable_at_once(engine: servers.Server) -> None:
    """It is 503 without a second try, and ping is false."""
    user_of(engine, RIGHTS)
    store = RedisSessionStore(engine.url.replace("redis://", "redis://few:wrong@"))
    with pytest.raises(StoreUnavailableError):
        await store.load(ID)
    with Redis(port=engine.port, decode_responses=True) as client:
        assert [(entry["reason"], entry["count"]) for entry in client.acl_log()] == [("auth", 1)]
    assert not await store.ping()
    await store.close()
