"""A Redis user with the documented rights is enough, and one with fewer is 503: see also the contract suite, which
runs as such a user on both engines.
"""

from typing import Any

import pytest

from jwtsession import RedisSessionStore, StoreUnavailableError
from tests import servers

ID = "an-id-of-the-least-privilege-tests"
RIGHTS = ["+get", "+set", "+getex", "+del", "+pexpire", "+eval", "+evalsha", "+ping"]


def store_of(server: servers.Server, rights: list[str], keys: str = "~sess:*") -> RedisSessionStore:
    server.command("ACL", "SETUSER", "few", "reset", "on", ">password", keys, "-@all", *rights)
    return RedisSessionStore(server.url.replace("redis://", "redis://few:password@"))


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("+get", lambda store: store.load(ID)),
        ("+getex", lambda store: store.load(ID, 1000)),
        ("+set", lambda store: store.create(ID, b"2", 1000)),
        ("+del", lambda store: store.destroy(ID)),
        ("+pexpire", lambda store: store.touch(ID, 1000)),
        ("+get", lambda store: store.update(ID, b"1", b"2", 1000)),
        ("+set", lambda store: store.update(ID, b"1", b"2", 1000)),
        ("+evalsha", lambda store: store.update(ID, b"1", b"2", 1000)),
    ],
)
async def test_a_missing_right_is_unavailable_and_never_gone(engine: servers.Server, missing: str, call: Any) -> None:
    """Whatever the server forbids is 503 with the cause, not a 401 and not an anonymous visitor."""
    engine.command("SET", f"sess:{ID}", "1")
    store = store_of(engine, [right for right in RIGHTS if right != missing])
    with pytest.raises(StoreUnavailableError) as caught:
        await call(store)
    await store.close()
    assert caught.value.__cause__ is not None
    assert engine.command("GET", f"sess:{ID}") == b"$1\r\n1\r\n"


async def test_other_keys_are_out_of_reach(engine: servers.Server) -> None:
    """With another application's keyspace even all rights give nothing."""
    engine.command("SET", f"other:{ID}", "1")
    store_of(engine, RIGHTS)
    other = RedisSessionStore(engine.url.replace("redis://", "redis://few:password@"), keyspace="other:")
    for call in (other.load(ID), other.destroy(ID), other.update(ID, b"1", b"2", 1000)):
        with pytest.raises(StoreUnavailableError):
            await call
    await other.close()


async def test_a_wrong_password_is_unavailable_at_once(engine: servers.Server) -> None:
    """It is 503 without a second try, and ping is false."""
    store_of(engine, RIGHTS)
    store = RedisSessionStore(engine.url.replace("redis://", "redis://few:wrong@"))
    assert not await store.ping()
    with pytest.raises(StoreUnavailableError):
        await store.load(ID)
    await store.close()
