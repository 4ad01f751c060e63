"""One server that is killed and comes back: what each way of keeping its data does to sessions."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.engines.load import Load, application, opened, serving

pytestmark = pytest.mark.ci

HOUR = 3_600_000
BEFORE, AFTER = "a-session-from-before-the-snapshot", "a-session-from-after-the-snapshot"

ONLY_MEMORY = ()
SNAPSHOTS = ("--save", "3600 1")
EVERY_WRITE = ("--appendonly", "yes", "--appendfsync", "everysec")
BEFORE_THE_ANSWER = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    server = servers.valkey(tmp_path, *request.param).start()
    yield server
    server.stop()


def restart(server: servers.Server) -> None:
    server.kill()
    server.start()


async def what_is_left(server: servers.Server) -> tuple[bool, bool]:
    """Whether the session is there that was destroyed, and the one that was created, both after a snapshot."""
    async with opened(server.url) as store:
        assert await store.create(BEFORE, b"1", HOUR)
        assert server.command("SAVE") == b"+OK\r\n"
        assert await store.destroy(BEFORE)
        assert await store.create(AFTER, b"1", HOUR)
        # While the disk is busy with earlier writes the server keeps later ones in its memory, for two seconds at most.
        if "everysec" in server.arguments:
            server.wait_until(b"aof_buffer_length:0\r\n", "INFO", "persistence")
        restart(server)
        return await store.load(BEFORE) is not None, await store.load(AFTER) is not None


@pytest.mark.parametrize("server", [ONLY_MEMORY], indirect=True)
async def test_memory_only(server: servers.Server) -> None:
    """A restart ends every session, and brings none back."""
    async with opened(server.url) as store:
        assert await store.create(BEFORE, b"1", HOUR)
        restart(server)
        assert await store.load(BEFORE) is None


@pytest.mark.parametrize("server", [SNAPSHOTS], indirect=True)
async def test_snapshots_only(server: servers.Server) -> None:
    """A crash brings back what was destroyed since the last snapshot: no way to keep sessions."""
    assert await what_is_left(server) == (True, False)


@pytest.mark.parametrize("server", [EVERY_WRITE], indirect=True)
async def test_append_only_file(server: servers.Server) -> None:
    """A crash of the server brings nothing back and loses nothing."""
    assert await what_is_left(server) == (False, True)


@pytest.mark.parametrize("server", [BEFORE_THE_ANSWER], indirect=True)
async def test_append_only_file_in_the_middle_of_load(server: servers.Server) -> None:
    """Where each write is on the disk before it is answered, a crash loses nothing, however busy the disk is."""
    async with serving(application(server.url)) as client:
        load = Load(client)
        async with load.running():
            await asyncio.to_thread(restart, server)
            await load.go_on(0.5)
        await load.settle()
    print(
        f"answers {load.statuses}; {len(load.ended)} logouts, {len(load.undone)} undone; "
        f"{len(load.alive)} sessions, {len(load.lost)} lost"
    )
    assert load.statuses.keys() <= {200, 201, 204, 503}
    assert (load.undone, load.lost) == ({}, {})
