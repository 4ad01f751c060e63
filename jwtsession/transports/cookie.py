"""A token in a cookie (RFC 6265): for browsers, whose scripts then never see it."""

from collections.abc import Iterable, Sequence

from ..errors import InvalidArgumentError
from ..settings import CookieSettings
from .base import WHITESPACE

MAX_COOKIE_BYTES = 4_096
"""The most bytes of a cookie's name and value. Browsers drop a larger cookie and say nothing (RFC 6265bis 5.6)."""

MAX_AGE_SECONDS = 400 * 86_400
"""The longest life of a cookie (RFC 6265bis section 5.5)."""


class CookieTransport:
    """Finds the tokens in the `Cookie` header, and writes the `Set-Cookie` header of an answer.

    Args:
        name: The cookie's name.
        settings: The cookie's attributes.
    """

    def __init__(self, name: str, settings: CookieSettings) -> None:
        self.name = name
        self._name = name.encode()
        self._persistent = settings.persistent
        attributes = [f"Path={settings.path}"]
        if settings.domain is not None:
            attributes.append(f"Domain={settings.domain}")
        attributes += ["Secure"] if settings.secure else []
        attributes += ["HttpOnly", f"SameSite={settings.same_site.capitalize()}"]
        attributes += ["Partitioned"] if settings.partitioned else []
        self._attributes = "; ".join(attributes)

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[str]:
        """See `HeaderTransport`. A client may send several `Cookie` headers (RFC 9113 section 8.2.3)."""
        tokens = []
        for header, value in headers:
            if header == b"cookie" and self._name in value:
                for pair in value.split(b";"):
                    name, equals, token = pair.strip(WHITESPACE).partition(b"=")
                    if equals and name == self._name:
                        tokens.append(token.decode("latin-1"))
        return tokens

    def set(self, token: str, expires_in: int | None, persistent: bool | None = None) -> bytes:
        """Return the value of the `Set-Cookie` header that gives a token to the browser.

        Args:
            token: The token.
            expires_in: Seconds until the token expires; None if it never does.
            persistent: Whether the cookie outlives the browser's session; None takes the setting.

        Raises:
            InvalidArgumentError: The cookie is larger than browsers keep.
        """
        size = len(self._name) + len(token)
        if size > MAX_COOKIE_BYTES:
            raise InvalidArgumentError(
                f"the cookie would have {size} bytes, and browsers drop one of more than {MAX_COOKIE_BYTES}: "
                "keep data in the session, and not in the claims"
            )
        lasts = self._persistent if persistent is None else persistent
        age = MAX_AGE_SECONDS if expires_in is None else min(expires_in, MAX_AGE_SECONDS)
        return f"{self.name}={token}; {f'Max-Age={age}; ' if lasts else ''}{self._attributes}".encode("latin-1")

    def clear(self) -> bytes:
        """Return the value of the `Set-Cookie` header that removes the cookie from the browser."""
        return f"{self.name}=; Max-Age=0; {self._attributes}".encode()
