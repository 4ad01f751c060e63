"""`CSRFCheck`: refuses what another site's page asks a browser to send with the user's cookie (RFC 10017).

Browsers say in `Sec-Fetch-Site` and `Origin` who made a request, and no page can change these headers. So no form
needs a token of its own.
"""

from collections.abc import Iterable, Sequence

from starlette.types import Scope

from ..errors import CSRFError
from ..settings import CSRFMode
from .base import WHITESPACE

RawHeaders = Iterable[tuple[bytes, bytes]]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""


class CSRFCheck:
    """Decides whether the user's own page made a request.

    Args:
        mode: `strict`, `lenient` or `off`: see `SessionSettings.csrf`.
        trusted_origins: Origins that may use the cookie too.
        same_site: Whether other hosts of the same site may.
        cookie_secure: Whether browsers send the cookie over HTTPS only.
    """

    def __init__(
        self,
        mode: CSRFMode,
        *,
        trusted_origins: Sequence[str] = (),
        same_site: bool = False,
        cookie_secure: bool = True,
    ) -> None:
        self._mode = mode
        self._trusted = frozenset(origin.encode() for origin in trusted_origins)
        self._own = {b"same-origin", b"none", b"same-site"} if same_site else {b"same-origin", b"none"}
        self._cookie_secure = cookie_secure

    def check_request(self, scope: Scope) -> None:
        """Check a request, or a WebSocket's handshake, whose token came in a cookie. A safe method always passes.

        Raises:
            CSRFError: Another site may have made it.
        """
        # A handshake is always checked. ASGI gives it no method, but some servers say GET.
        if scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS:
            self.check_login(scope["headers"], scope.get("scheme"))

    def check_login(self, headers: RawHeaders, scheme: str | None) -> None:
        """Check a request of any method whose answer sets a cookie: another site must not log its user in here.

        Args:
            headers: The request's headers. ASGI promises lower-case names.
            scheme: The scheme of its URL.

        Raises:
            CSRFError: Another site may have made it.
        """
        if self._mode != "off" and not self._is_own(headers, scheme):
            raise CSRFError

    def _is_own(self, headers: RawHeaders, scheme: str | None) -> bool:
        origins, sites = _values(headers, b"origin"), _values(headers, b"sec-fetch-site")
        if len(origins) > 1:  # no browser sends two: somebody between it and here has added one
            return False
        origin = origins[0] if origins else None
        if origin in self._trusted:
            return True
        if sites:
            return len(sites) == 1 and sites[0] in self._own
        # The browser is old, the page is not from HTTPS or localhost, or this is a handshake of Chromium's.
        if origin is not None:
            return is_own_origin(origin, headers)
        return self._mode == "lenient" or (scheme in ("http", "ws") and not self._cookie_secure)


def is_own_origin(origin: bytes, headers: RawHeaders) -> bool:
    """Whether the origin's host and port are those to which the request was sent."""
    return [_place(origin)] == [_without_port(host.lower()) for host in _values(headers, b"host")]


def _values(headers: RawHeaders, wanted: bytes) -> list[bytes]:
    return [value.strip(WHITESPACE) for name, value in headers if name == wanted]


def _place(origin: bytes) -> bytes | None:
    """The host and port of an origin; None for `null`, which a sandboxed page has."""
    _, slashes, place = origin.partition(b"://")
    return _without_port(place) if slashes and place else None


def _without_port(place: bytes) -> bytes:
    """A host and port without the port of HTTP or HTTPS, which browsers leave out."""
    return place.removesuffix(b":80").removesuffix(b":443")
