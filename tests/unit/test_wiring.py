"""The store that a provider makes from its settings, where no server is needed."""

import logging
from typing import Any

import pytest

from jwtsession import Claims, ConfigurationError, MemorySessionStore, Session, SessionProvider
from jwtsession.testing import AsyncSessionTester, Clock
from tests.conftest import SECRET

pytestmark = pytest.mark.anyio


def provider(**options: Any) -> SessionProvider[Session, Claims]:
    return SessionProvider(Session, secret=SECRET, **options)


async def test_memory_is_a_store_without_anything(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """`memory://` is a MemorySessionStore with the provider's clock; the log says once at the start what it is not."""
    caplog.set_level(logging.INFO, "jwtsession")
    sessions = provider(redis_url="memory://", clock=clock, max_age=60, user_index=True)
    assert type(sessions.store) is MemorySessionStore
    async with sessions, sessions:
        (warning,) = [each.message for each in caplog.records if each.levelno == logging.WARNING]
        assert warning.startswith("redis_url=memory://: this process alone has the sessions")
        assert "sessions are in MemorySessionStore" in caplog.text
        tester = AsyncSessionTester(sessions)
        ann = await tester.login({}, Claims(sub="ann"))
        assert len(await sessions.list_sessions("ann")) == 1
        clock.advance(61)
        assert (await tester.manager(ann.token)).session is None


@pytest.mark.parametrize(
    "url", ["memory:", "memory:/", "memory:///", "memory://x", "memory:///0", "memory://?db=1", "memory"]
)
def test_memory_has_no_place(url: str) -> None:
    """There is no path, no database and no option of this process's memory."""
    with pytest.raises(ConfigurationError, match=r"^redis_url: "):
        provider(redis_url=url)


def test_memory_has_no_near_cache() -> None:
    """A cache in memory of what is in memory is a mistake."""
    with pytest.raises(ConfigurationError, match=r"^near_cache_bytes: needs a server"):
        provider(redis_url="memory://", near_cache_bytes=1_000_000)


async def test_a_store_of_ones_own_is_no_first_try(caplog: pytest.LogCaptureFixture) -> None:
    """With `store=` nobody asks for the URL, and nobody is warned."""
    async with provider(store=MemorySessionStore()):
        assert caplog.text == ""
