"""The races of sessions and of users, on a primary with replicas behind Sentinels and on a cluster of six."""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests import servers
from tests.races import conftest, test_sessions, test_users
from tests.races.racing import Track, entering

pytestmark = [pytest.mark.caches("near"), pytest.mark.ci, pytest.mark.usefixtures("patient")]

globals().update(
    {
        name: member
        for module in (test_sessions, test_users)
        for name, member in vars(module).items()
        if inspect.isfunction(member) and name.startswith("test_")
    }
)
track = conftest.track
options = conftest.options


@pytest.fixture(params=["replicated", "cluster"])
async def course(
    request: pytest.FixtureRequest, track: Track, options: dict[str, Any]
) -> AsyncIterator[conftest.Course]:
    topology: servers.Replicated | servers.Cluster = request.getfixturevalue(request.param)
    topology.be_patient()
    primaries = topology.primaries if isinstance(topology, servers.Cluster) else [topology.primary]
    async with entering(topology.url, options) as entrant:
        yield conftest.Course(track, request.param, primaries, entrant, options)
