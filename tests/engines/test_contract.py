"""The contract suite of every store, on a primary with replicas behind Sentinels and on a cluster of six."""

import inspect
import time
from collections.abc import AsyncIterator

import pytest

from jwtsession import RedisSessionStore, StoreUnavailableError
from tests import servers
from tests.contract import test_store
from tests.contract.test_store import HOUR, ID, Subject

pytestmark = pytest.mark.ci

# Every test of the suite that is of a store, and not of one server.
globals().update(
    {
        name: member
        for name, member in vars(test_store).items()
        if inspect.isfunction(member) and name.startswith("test_") and "subject" in inspect.signature(member).parameters
    }
)
del globals()["test_a_durable_destroy_needs_its_replicas"]  # they are there
TestUserIndex, TestTickets, TestForwards = test_store.TestUserIndex, test_store.TestTickets, test_store.TestForwards

REPLICAS = {"replicated": 2, "cluster": 1}


@pytest.fixture(params=[*REPLICAS])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    topology: servers.Replicated | servers.Cluster = request.getfixturevalue(request.param)
    topology.be_patient()
    store = RedisSessionStore(topology.url)
    await store.open()

    async def expire_now(session_id: str) -> None:
        topology.command("PEXPIREAT", f"sess:{session_id}", str(int(time.time() * 1000) - 1))

    async def pttl(session_id: str) -> int:
        return int(topology.command("PTTL", f"sess:{session_id}").decode().strip(":\r\n"))

    yield Subject(store, expire_now, pttl)
    await store.close()


async def test_a_durable_destroy_is_confirmed_by_all_replicas_and_by_no_more(
    subject: Subject, request: pytest.FixtureRequest
) -> None:
    """It succeeds with as many replicas as there are, also where the session is gone; one more is an error."""
    replicas = REPLICAS[request.node.callspec.params["subject"]]
    await subject.store.create(ID, b"1", HOUR)
    assert await subject.store.destroy(ID, wait_replicas=replicas)
    assert not await subject.store.destroy(ID, wait_replicas=replicas)
    with pytest.raises(StoreUnavailableError) as caught:
        await subject.store.destroy(ID, wait_replicas=replicas + 1)
    assert caught.value.code == "destroy_not_confirmed"
