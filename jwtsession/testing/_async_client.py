"""The asynchronous client. This module needs httpx2, or httpx."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2 as httpx
else:
    try:
        import httpx2 as httpx
    except ModuleNotFoundError:
        import httpx

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
"""What a browser sends with a request of the application's own page."""


def own_page_client(app: Any, base_url: str, options: dict[str, Any]) -> "httpx.AsyncClient":
    """Make a client whose requests are those of the application's own page.

    Args:
        app: The application, which has started.
        base_url: The URL at which clients see it.
        options: What else `AsyncClient` takes.
    """
    headers = OWN_PAGE | dict(options.pop("headers", None) or {})
    options = {"transport": httpx.ASGITransport(app)} | options
    return httpx.AsyncClient(base_url=base_url, headers=headers, **options)
