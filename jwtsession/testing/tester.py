"""`AsyncSessionTester`: logins and managers without an application."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Self

from starlette.requests import Request

from .._types import C, S
from ..manager import SessionManager
from ..provider import SessionProvider


@dataclass(frozen=True)
class Login(Generic[S]):
    """A session that a test has created, and its token."""

    token: str = field(repr=False)
    """The JWT."""
    id: str
    """The session's id."""
    session: S
    """The session's data, as it was stored."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers for a request that sends the token as a bearer token (RFC 6750 section 2.1)."""
        return {"Authorization": f"Bearer {self.token}"}


class AsyncSessionTester(Generic[S, C]):
    """Creates sessions and managers without an application, for tests: `async with AsyncSessionTester(sessions)`.

    `async with` starts the provider, and ends it. The setting `token_sources` must contain `bearer`.

    Args:
        sessions: The provider to test.
    """

    def __init__(self, sessions: SessionProvider[S, C]) -> None:
        self.sessions = sessions
        """The provider."""

    async def __aenter__(self) -> Self:
        """Start the provider."""
        await self.sessions.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the provider."""
        await self.sessions.__aexit__()

    async def manager(self, token: str | None = None) -> SessionManager[S, C]:
        """Return the manager of a new request.

        Args:
            token: The request's bearer token; None for a request without one.

        Raises:
            StoreUnavailableError: The store did not answer.
        """
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        scope: dict[str, Any] = {"type": "http", "method": "GET", "headers": headers, "query_string": b""}
        return await self.sessions.get_manager(Request(scope))

    async def login(
        self, session: S | Mapping[str, Any], claims: C | None = None, *, max_age: int | timedelta | None = None
    ) -> Login[S]:
        """Create a session with `SessionManager.create()`, as an endpoint does, with the user's index and all limits.

        Args:
            session: The session's data.
            claims: The token's claims.
            max_age: The session's own idle timeout, in seconds or as a `timedelta`. None uses the provider's.

        Raises:
            InvalidArgumentError: The session or the claims can't be stored or signed.
            SessionTooLargeError: The session is larger than 65,536 bytes.
            TooManySessionsError: The user already has `max_sessions` sessions.
            StoreUnavailableError: The store did not answer.
        """
        manager = await self.manager()
        token = await manager.create(session, claims, max_age=max_age, transport="bearer")
        assert manager.id is not None  # noqa: S101
        return Login(token.access_token, manager.id, manager.require())
