"""The example application, on its embedded server and on a given one, once for all tests that only talk to it."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.servers import Server

from .shop import Shop, open_shop


@pytest.fixture(scope="package", params=["embedded", "valkey"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    environment = {}
    if request.param == "valkey":
        server: Server = request.getfixturevalue("valkey_server")
        environment["JWTSESSION_REDIS_URL"] = server.url
    with open_shop(**environment) as shop:
        yield shop


@pytest.fixture
def client(shop: Shop) -> Iterator[httpx2.Client]:
    with shop.client() as client:
        yield client
