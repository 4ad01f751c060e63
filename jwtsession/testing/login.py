"""`Login`: a session that a test has created, and the ways to send its token."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Generic

from .._ids import handle_of
from .._types import C, S
from ..errors import ConfigurationError
from ..settings import SessionSettings


@dataclass(frozen=True)
class Login(Generic[S, C]):
    """A session that a test has created, and its token."""

    token: str
    """The JWT."""
    id: str
    """The session's id."""
    session: S
    """The session's data, as it was stored."""
    claims: C
    """The token's claims."""
    _settings: SessionSettings = field(compare=False)
    _by_cookie: bool = field(compare=False)

    def __repr__(self) -> str:
        """Neither the token nor the id: pytest shows this where a test fails."""
        return f"Login(handle={self.handle!r}, session={self.session!r}, claims={self.claims!r})"

    @property
    def handle(self) -> str:
        """The session's handle, as events, lists of sessions and endpoints show it."""
        return handle_of(self.id)

    @property
    def headers(self) -> dict[str, str]:
        """Headers for a request with the token: `Authorization`, or the header or the cookie of the provider.

        Raises:
            ConfigurationError: The provider takes tokens from no header.
        """
        sources = self._settings.token_sources
        if "bearer" in sources and not self._by_cookie:
            return {"Authorization": f"Bearer {self.token}"}
        if "header" in sources and not self._by_cookie:
            return {self._settings.header_name: self.token}
        if "cookie" in sources:
            return {"Cookie": f"{self._settings.cookie_name}={self.token}"}
        raise ConfigurationError(f"headers: the provider takes tokens from {', '.join(sources)} only: send login.token")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookie with the token, by its name; empty if the provider takes no token from a cookie."""
        return {self._settings.cookie_name: self.token} if "cookie" in self._settings.token_sources else {}

    def playwright(self, base_url: str) -> list[Any]:
        """Return the cookie for a browser that Playwright drives: `context.add_cookies(login.playwright(base_url))`.

        Args:
            base_url: The URL of the application, as `http://localhost:8000`.

        Raises:
            ConfigurationError: The provider takes no token from a cookie.
        """
        if not self.cookies:
            raise ConfigurationError('playwright: needs "cookie" in token_sources')
        cookie = self._settings.cookie
        attributes: dict[str, Any] = {
            "httpOnly": True,
            "secure": cookie.secure,
            "sameSite": cookie.same_site.capitalize(),
        }
        # Chromium takes a `Secure` cookie of an https:// URL alone, and sends it to http://localhost too.
        url = base_url.replace("http://", "https://", 1) if cookie.secure else base_url
        return [{"name": name, "value": value, "url": url, **attributes} for name, value in self.cookies.items()]

    def set_on(self, client: Any) -> None:
        """Log a client in: each of its requests has the token from now on.

        Args:
            client: A `TestClient`, or a client of httpx.
        """
        if not self._by_cookie:
            client.headers.update(self.headers)
            return
        httpx = import_module(type(client.cookies).__module__.partition(".")[0])  # httpx2 or httpx
        cookie = self._settings.cookie
        attributes = f"Path={cookie.path}" + ("; Secure" if cookie.secure else "")
        attributes += f"; Domain={cookie.domain}" if cookie.domain else ""
        (pair,) = [f"{name}={value}" for name, value in self.cookies.items()]
        # As from an answer, so that a later answer replaces this cookie, and does not add a second one.
        answer = httpx.Response(
            200, headers={"Set-Cookie": f"{pair}; {attributes}"}, request=httpx.Request("GET", client.base_url)
        )
        client.cookies.extract_cookies(answer)
