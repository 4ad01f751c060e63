"""The response headers of an endpoint that asks for a session."""

from collections.abc import Sequence

from ..settings import SessionSettings

Headers = Sequence[tuple[bytes, bytes]]


def response_headers(settings: SessionSettings) -> Headers:
    """The headers that keep answers out of caches (RFC 6749 section 5.1), and tokens in URLs out of other sites' logs.

    `Vary` names the headers that may have the token. With tokens in the query, `Referrer-Policy` forbids the browser to
    send the URL to other sites (RFC 9700 section 4.3.2).
    """
    vary = ["Authorization"] if "bearer" in settings.token_sources else []
    if "header" in settings.token_sources:
        vary.append(settings.header_name)
    headers = [(b"cache-control", b"no-store")]
    if vary:
        headers.append((b"vary", ", ".join(vary).encode()))
    if "query" in settings.token_sources:
        headers.append((b"referrer-policy", b"no-referrer"))
    return headers
