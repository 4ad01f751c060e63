"""A primary with replicas behind Sentinels and a cluster, both started once, and whole again before each test."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import servers


@pytest.fixture(scope="session")
def topologies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[servers.Replicated, servers.Cluster]]:
    replicated = servers.Replicated(tmp_path_factory.mktemp("replicated"))
    cluster = servers.Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        with ThreadPoolExecutor() as pool:
            for started in [pool.submit(replicated.start), pool.submit(cluster.start)]:
                started.result()
        yield replicated, cluster
    finally:
        replicated.stop()
        cluster.stop()


@pytest.fixture
def replicated(topologies: tuple[servers.Replicated, servers.Cluster]) -> servers.Replicated:
    """A primary, two replicas and three sentinels, healthy and empty."""
    replicated, _ = topologies
    replicated.heal()
    replicated.command("FLUSHALL")
    return replicated


@pytest.fixture
def cluster(topologies: tuple[servers.Replicated, servers.Cluster]) -> servers.Cluster:
    """Three primaries and three replicas, healthy and empty."""
    _, cluster = topologies
    cluster.heal()
    cluster.command("FLUSHALL")
    return cluster
