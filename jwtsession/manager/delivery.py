"""`Delivery`: what a manager knows of the cookie that takes its tokens to the browser."""

from typing import Any, Protocol

from .._types import Transport


class Delivery(Protocol):
    """Gives a request's new token to the client in a cookie, and takes it away again."""

    by_cookie: bool
    """Whether the session's token is in the cookie."""

    def attach(self, scope: Any) -> None:
        """Find the answer in the request's scope."""
        ...

    def choose(self, transport: Transport | None, *, allow_cross_site: bool) -> bool:
        """Whether a new session's token goes into the cookie. Nothing is stored or signed before this.

        Args:
            transport: What the application chose; None leaves it to the client, or to the settings.
            allow_cross_site: Whether another site may have made the request.

        Raises:
            CSRFError: Another site may have made the request.
            ConfigurationError: Nothing would put the cookie on the answer.
            InvalidArgumentError: The answer has started, it can have no cookie, or no place accepts such a token.
        """
        ...

    def prepare(self, token: str, expires_in: int | None, persistent: bool | None) -> bytes:
        """Make the cookie of a token that is about to be stored.

        Args:
            token: The token.
            expires_in: Seconds until the token expires; None if it never does.
            persistent: Whether the cookie outlives the browser's session; None takes the setting.

        Raises:
            ConfigurationError: Nothing would put the cookie on the answer.
            InvalidArgumentError: Browsers would drop the cookie, because it is too large; or see `choose`.
        """
        ...

    def deliver(self, cookie: bytes | None) -> None:
        """Put a prepared cookie on the answer. None: the new session's token is in no cookie."""
        ...

    def replace(self, token: str, expires_in: int | None, persistent: bool | None) -> None:
        """Put a session's next token on the answer, which is about to start, if the session's token is in the cookie.

        Args:
            token: The token.
            expires_in: See `prepare`.
            persistent: See `prepare`.

        Raises:
            InvalidArgumentError: Browsers would drop the cookie, because it is too large.
        """
        ...

    def clear(self) -> None:
        """Remove the cookie from the browser, if the session's token is in it, and if the answer has not started."""
        ...
