"""What the session of a request tells its own client about itself."""

from typing import Any, NamedTuple

from .._ids import handle_of
from .request import RequestSession


class Description(NamedTuple):
    """The session of a request. Times are seconds since the epoch."""

    handle: str
    """The session's handle."""
    created: float | None
    """When the user signed in; None for a visitor."""
    expires: float
    """When the session ends if nobody uses it until then."""
    absolute_expires: float | None
    """When the session ends even if it is used; None if it never does."""
    by_cookie: bool
    """Whether the request has sent the token in the cookie."""


def describe(manager: RequestSession[Any, Any]) -> Description:
    """Describe the manager's session.

    Raises:
        AuthenticationError: There is no session.
    """
    manager.require()
    verified, _ = manager._require_record()
    timeouts, delivery = manager._repository.timeouts, manager._delivery
    return Description(
        handle_of(verified.session_id),
        verified.auth_time,
        timeouts.now() + timeouts.ttl(verified) / 1000,
        verified.exp,
        delivery is not None and delivery.by_cookie,
    )
