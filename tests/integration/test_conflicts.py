"""Equal changes at the same time, over real HTTP: each that is confirmed was made."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI

from jwtsession import Claims, MemorySessionStore, Session, SessionManager, SessionProvider, Token
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer, serving

pytestmark = [pytest.mark.caches("near"), pytest.mark.usefixtures("patient")]

TOGETHER = 8


class Wallet(Session):
    coupon: int | None = 10
    count: int = 0


def application(sessions: SessionProvider[Wallet, Claims]) -> FastAPI:
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[Wallet, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(manager: manager_) -> Token:
        return await manager.create(Wallet())

    @app.get("/session")
    async def read(wallet: Annotated[Wallet, Depends(sessions.get_session)]) -> Wallet:
        return wallet

    @app.post("/redeem")
    async def redeem(wallet: Annotated[Wallet, Depends(sessions.get_session)], manager: manager_) -> int:
        paid, wallet.coupon = wallet.coupon or 0, None
        await manager.update()
        return paid

    @app.post("/count")
    async def count(wallet: Annotated[Wallet, Depends(sessions.get_session)], manager: manager_) -> None:
        wallet.count += 1
        await manager.update()

    return app


@pytest.fixture(params=["memory", "plain", "near"])
def client(request: pytest.FixtureRequest) -> Iterator[httpx2.Client]:
    if request.param == "memory":
        sessions = SessionProvider(Wallet, secret=SECRET, store=MemorySessionStore())
    else:
        server: servers.Server = request.getfixturevalue("valkey")
        near = 1_000_000 if request.param == "near" else 0
        sessions = SessionProvider(Wallet, secret=SECRET, redis_url=server.url, near_cache_bytes=near)
    with serving(application(sessions)) as client:
        yield client


def together(client: httpx2.Client, path: str, headers: dict[str, str]) -> list[httpx2.Response]:
    with ThreadPoolExecutor(TOGETHER) as pool:
        return [*pool.map(lambda _: client.post(path, headers=headers), range(TOGETHER))]


def test_a_coupon_is_paid_out_once(client: httpx2.Client) -> None:
    """Of eight requests that take a coupon of 10 one is paid, the others are 409 or find none, time and again."""
    for _ in range(20):
        headers = bearer(client.post("/session").json()["access_token"])
        answers = together(client, "/redeem", headers)
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert sum(answer.json() for answer in answers if answer.status_code == 200) == 10


def test_increments_from_one_state_count_or_are_409(client: httpx2.Client) -> None:
    """Eight requests that each add one: what stands there then is the number of those that were told 200."""
    for _ in range(20):
        headers = bearer(client.post("/session").json()["access_token"])
        statuses = Counter(answer.status_code for answer in together(client, "/count", headers))
        assert client.get("/session", headers=headers).json()["count"] == statuses[200]
        assert statuses[200] + statuses[409] == TOGETHER
