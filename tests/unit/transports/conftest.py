"""Requests with tokens in them."""

from typing import Any

from starlette.requests import Request

from jwtsession import CookieSettings
from jwtsession.transports import CookieTransport, TokenExtractor

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
EVERYWHERE = ("bearer", "header", "query", "body")


def request(
    *headers: tuple[str, str],
    query: str = "",
    body: bytes = b"",
    kind: str | None = None,
    method: str = "POST",
    length: bool = True,
) -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if kind is not None:
        raw.append((b"content-type", kind.encode()))
    if length:
        raw.append((b"content-length", str(len(body)).encode()))
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop(0)

    scope = {"type": "http", "method": method, "path": "/", "query_string": query.encode(), "headers": raw}
    return Request(scope, receive)


def extractor(*sources: str, first_wins: bool = False) -> TokenExtractor:
    cookie = CookieTransport("session", CookieSettings()) if "cookie" in sources else None
    return TokenExtractor(sources, header="x-access-token", name="accessToken", first_wins=first_wins, cookie=cookie)
