"""The blocking client. This module needs httpx2, or httpx."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self
from urllib.parse import urljoin

from starlette.testclient import TestClient, WebSocketTestSession

from ._async_client import OWN_PAGE


class HoldingClient(TestClient):
    """A `TestClient` that gives the provider the parts of the test, for as long as `with` lasts.

    Args:
        holding: Gives the provider the parts.
        app: The application.
        base_url: The URL at which clients see the application.
        options: What else `TestClient` takes.
    """

    def __init__(
        self, holding: Callable[[], AbstractContextManager[None]], app: Any, base_url: str, options: dict[str, Any]
    ) -> None:
        headers = OWN_PAGE | dict(options.pop("headers", None) or {})
        super().__init__(app, base_url, headers=headers, **options)
        self._holding, self._held = holding, ExitStack()

    def __enter__(self) -> Self:
        """Begin the test, and start the application."""
        with ExitStack() as held:
            held.enter_context(self._holding())
            super().__enter__()
            self._held = held.pop_all()
        return self

    def __exit__(self, *args: Any) -> None:
        """End the application, and the test."""
        with self._held:
            super().__exit__(*args)

    def websocket_connect(self, url: str, *args: Any, **options: Any) -> WebSocketTestSession:
        """Open a WebSocket at the host of `base_url`, over TLS if that has it: so the cookies are sent."""
        base = str(self.base_url).replace("http", "ws", 1)
        return super().websocket_connect(urljoin(base, url), *args, **options)
