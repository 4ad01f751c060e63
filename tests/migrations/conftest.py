"""What the tests of the migration guides share: the guides' applications, before and after, on one Valkey."""

import contextlib
import importlib
import secrets
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import httpx2
import pytest

from jwtsession import StoreUnavailableError
from tests import servers
from tests.conftest import SECRET
from tests.web import serving


@pytest.fixture
def load(valkey: servers.Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import an application anew, by its name such as `authx.before`: its globals read the environment."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setenv("JWTSESSION_REDIS_URL", valkey.url)
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("SECRET_KEY", secrets.token_urlsafe(64))

    def imported(name: str) -> ModuleType:
        whole = f"tests.migrations.{name}"
        monkeypatch.delitem(sys.modules, whole, raising=False)
        return importlib.import_module(whole)

    return imported


Load = Callable[[str], ModuleType]
OWN = {"Sec-Fetch-Site": "same-origin"}
FOREIGN = {"Sec-Fetch-Site": "cross-site"}


@contextlib.contextmanager
def outage(module: ModuleType) -> Iterator[None]:
    """The application can store no session, as if its server had died a moment ago."""

    async def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(module.sessions.store), "create", fail)
        yield


def in_parallel(app: Any, path: str, cookies: dict[str, str]) -> list[httpx2.Response]:
    """Four requests of one browser at the same time, as a page sends them that has just been opened."""
    header = OWN | {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    with serving(app) as client, ThreadPoolExecutor(4) as threads:
        return [*threads.map(lambda _: client.get(path, headers=header), range(4))]
