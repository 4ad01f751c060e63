"""The pytest plugin of `jwtsession`: the fixtures `session_tester` and `session_clock`.

It is a module of its own, since pytest loads it in each run of each project: it imports pytest alone, and
`jwtsession.testing` only where a test asks for a fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jwtsession import SessionProvider
    from jwtsession.testing import Clock, SessionTester

_WRITE = """\
session_tester needs the provider. Write in conftest.py:

    @pytest.fixture
    def session_provider():
        from app import sessions  # your SessionProvider

        return sessions
"""


@pytest.fixture
def session_provider() -> "SessionProvider[Any, Any]":
    """The provider of the application. Define it in your `conftest.py`."""
    pytest.fail(_WRITE, pytrace=False)


@pytest.fixture
def session_tester(session_provider: "SessionProvider[Any, Any]") -> "Iterator[SessionTester[Any, Any]]":
    """A `jwtsession.testing.SessionTester` of `session_provider`, for one test."""
    from jwtsession.testing import SessionTester

    with SessionTester(session_provider) as tester:
        yield tester


@pytest.fixture
def session_clock(session_tester: "SessionTester[Any, Any]") -> "Clock":
    """The clock of `session_tester`: `session_clock.advance(hours=2)`."""
    return session_tester.clock
