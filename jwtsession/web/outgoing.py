"""The headers of every answer of an endpoint that asks for a session."""

from collections.abc import Sequence

from starlette.responses import Response

from ..settings import SessionSettings

Headers = Sequence[tuple[bytes, bytes]]


def response_headers(settings: SessionSettings) -> Headers:
    """Answers are not stored, and depend on the token's header (RFC 6749 section 5.1, RFC 9700 section 4.3.2)."""
    vary = ["Authorization"] if "bearer" in settings.token_sources else []
    if "header" in settings.token_sources:
        vary.append(settings.header_name)
    headers = [(b"cache-control", b"no-store")]
    if vary:
        headers.append((b"vary", ", ".join(vary).encode()))
    if "query" in settings.token_sources:
        headers.append((b"referrer-policy", b"no-referrer"))
    return headers


def add_headers(response: Response, headers: Headers) -> None:
    """Put the headers on an answer, those of several providers once."""
    raw = response.raw_headers
    raw += [header for header in headers if header not in raw] if raw else headers
