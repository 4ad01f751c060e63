"""Every verb of a session, over HTTP, behind Sentinels and in a cluster."""

import pytest

from tests import servers
from tests.engines.load import application, serving
from tests.web import bearer

pytestmark = [pytest.mark.caches("near"), pytest.mark.usefixtures("patient")]


@pytest.fixture(params=["replicated", "cluster"])
def topology(request: pytest.FixtureRequest) -> servers.Replicated | servers.Cluster:
    found: servers.Replicated | servers.Cluster = request.getfixturevalue(request.param)
    found.be_patient()
    return found


async def test_a_session_from_login_to_logout(topology: servers.Replicated | servers.Cluster) -> None:
    """Log in, read, change, move to a new id, log out durably; every read extends the session's life."""
    async with serving(application(topology.url, touch_interval=0)) as client:
        response = await client.post("/session", params={"number": 7})
        assert response.status_code == 201
        first = response.json()["access_token"]
        assert (await client.get("/session", headers=bearer(first))).json() == {"number": 7, "count": 0}
        assert (await client.post("/session/count", headers=bearer(first))).json() == {"number": 7, "count": 1}
        response = await client.post("/session/id", headers=bearer(first))
        second = response.json()["access_token"]
        assert (await client.get("/session", headers=bearer(first))).status_code == 401
        assert (await client.get("/session", headers=bearer(second))).json() == {"number": 7, "count": 1}
        response = await client.delete("/session", headers=bearer(second), params={"wait_replicas": 1})
        assert response.status_code == 204
        assert (await client.get("/session", headers=bearer(second))).status_code == 401


async def test_the_sessions_of_a_user(topology: servers.Replicated | servers.Cluster) -> None:
    """A user's sessions are listed and ended together, and another user's go on."""
    async with serving(application(topology.url, user_index=True)) as client:
        tokens = {}
        for number in (1, 1, 1, 2):
            response = await client.post("/session", params={"number": number})
            tokens.setdefault(number, []).append(response.json()["access_token"])
        assert len((await client.get("/users/1")).json()) == 3
        assert (await client.delete("/users/1")).json() == 3
        assert (await client.get("/users/1")).json() == []
        statuses = [(await client.get("/session", headers=bearer(each))).status_code for each in tokens[1]]
        assert statuses == [401] * 3
        assert (await client.get("/session", headers=bearer(tokens[2][0]))).status_code == 200


async def test_readiness(topology: servers.Replicated | servers.Cluster) -> None:
    """A store that can serve is ready, also with one of a cluster's primaries dead."""
    async with serving(application(topology.url)) as client:
        assert (await client.get("/ready")).json() is True
        if isinstance(topology, servers.Cluster):
            topology.primaries[0].kill()
            assert {(await client.get("/ready")).json() for _ in range(20)} == {True}
