"""Tests of jwtsession.stores.redis._closing, by the stores that close: on real servers, which know who is connected."""

import asyncio
from typing import Any

import pytest
from redis.asyncio.connection import Connection
from redis.exceptions import TimeoutError

from jwtsession import RedisSessionStore
from tests import servers

HOUR = 3_600_000


@pytest.mark.server
@pytest.mark.parametrize("kind", ["redis", "redis+cluster", "redis+sentinel"])
async def test_a_connection_that_can_not_be_closed_in_time_leaves_no_other_open(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The store still says so, when it has closed all of them: nothing is left to the garbage collector."""
    name = {"redis": "valkey", "redis+cluster": "cluster", "redis+sentinel": "sentinel"}[kind]
    server: servers.Server = request.getfixturevalue(f"{name}_server")
    opened = set[Connection]()
    connect, disconnect = Connection.connect, Connection.disconnect

    async def noted(connection: Connection) -> None:
        opened.add(connection)
        await connect(connection)

    async def late(connection: Connection, *args: Any, **options: Any) -> None:
        was_open = connection.is_connected
        await disconnect(connection, *args, **options)
        if was_open:
            raise TimeoutError("Timed out closing connection after 1")

    monkeypatch.setattr(Connection, "connect", noted)
    store = RedisSessionStore(f"{kind}://127.0.0.1:{server.port}{'/mymaster' * (name == 'sentinel')}")
    ids = [f"closing-{number}" for number in range(8)]
    await asyncio.gather(*(store.create(each, b"1", HOUR) for each in ids))
    await asyncio.gather(*(store.load(each) for each in ids))
    assert sum(each.is_connected for each in opened) > 2
    monkeypatch.setattr(Connection, "disconnect", late)
    with pytest.raises(TimeoutError, match="closing"):
        await store.close()
    assert not [each for each in opened if each.is_connected]
