"""`RemoteClient`: sends requests to another service. Only this module knows httpx2."""

import asyncio
import importlib.util
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import ConfigurationError, JWTSessionError

if TYPE_CHECKING:
    from httpx2 import AsyncClient

MAX_ANSWER_BYTES = 262_144
"""A larger answer is refused."""

_LOCAL = ("localhost", "127.0.0.1", "::1")


class RemoteError(JWTSessionError):
    """The other service did not give a usable answer. The text says why, for the log."""


def check_url(name: str, url: object, *, allow_http: bool) -> str:
    """Refuse a URL that must not be asked.

    Args:
        name: The argument's name, for the message.
        url: The URL.
        allow_http: Whether it may be without TLS on another machine.

    Raises:
        ConfigurationError: It is no URL, it has a password or a fragment in it, or it has no TLS.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        host = parts and parts.port != 0 and parts.hostname
    except ValueError:
        parts = host = None
    if not isinstance(url, str) or not parts or not host or parts.scheme not in ("https", "http"):
        raise ConfigurationError(f"{name}: must be a URL that begins with https://")
    if parts.username is not None or parts.fragment:
        raise ConfigurationError(f"{name}: must have no user, no password and no fragment in it")
    if parts.scheme == "http" and host not in _LOCAL and not allow_http:
        raise ConfigurationError(f"{name}: must begin with https://, or anybody in between decides who is logged in")
    return url


class RemoteClient:
    """Sends requests to another service. It follows no redirect.

    Args:
        timeout: Seconds for a whole exchange, from the connection to the last byte.
        ssl_context: The authorities that are trusted, and a certificate of its own; None for the system's.

    Raises:
        ConfigurationError: The extra `verifier` is not installed.
    """

    def __init__(self, timeout: float, ssl_context: ssl.SSLContext | None = None) -> None:
        if importlib.util.find_spec("httpx2") is None:
            raise ConfigurationError("SessionVerifier needs the extra: pip install 'fastapi-jwtsession[verifier]'")
        self._timeout = timeout
        self._ssl_context = ssl_context
        self._client: AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self, url: str) -> bytes:
        """Return the body of a 200.

        Raises:
            RemoteError: There is no such answer.
        """
        return await self._request("GET", url)

    async def post(self, url: str, form: Mapping[str, str], auth: tuple[str, str]) -> bytes:
        """Send a form with HTTP Basic, and return the body of a 200.

        Raises:
            RemoteError: There is no such answer.
        """
        return await self._request("POST", url, form, auth)

    async def close(self) -> None:
        """Close the connections of this event loop. Those of another one can only be closed there."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()

    async def _request(
        self, method: str, url: str, form: Mapping[str, str] | None = None, auth: tuple[str, str] | None = None
    ) -> bytes:
        import httpx2

        body = bytearray()
        try:
            # httpx2's own timeouts are for each read: a slow answer would never end.
            async with (
                asyncio.timeout(self._timeout),
                self._opened().stream(method, url, data=form, auth=auth, follow_redirects=False) as answer,
            ):
                if answer.status_code != 200:
                    raise RemoteError(f"it answered {answer.status_code}")
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise RemoteError("it compressed the answer, though nobody asked for that")
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise RemoteError(f"its answer is larger than {MAX_ANSWER_BYTES} bytes")
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:  # a timeout is an OSError
            raise RemoteError(f"it did not answer ({type(error).__name__})") from None
        return bytes(body)

    def _opened(self) -> "AsyncClient":
        from httpx2 import AsyncClient

        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:  # connections belong to one event loop
            verify = True if self._ssl_context is None else self._ssl_context
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            self._client = AsyncClient(verify=verify, headers=headers, timeout=self._timeout)
            self._loop = loop
        return self._client
