"""Sends a browser without a session to the login page, and back: where to, and whether it is safe to go there."""

import re
from collections.abc import Collection
from string import punctuation
from urllib.parse import quote, unquote_plus

from starlette.requests import HTTPConnection

from ..errors import ConfigurationError

MAX_NEXT_CHARACTERS = 2_000
"""The longest path that a browser is sent back to."""

# One slash, and nothing that a browser takes for another host: two slashes, a backslash, and control characters or
# spaces, which browsers remove. And no half of a character, which no URL can have.
_SAFE_PATH = re.compile(r"/(?!/)[!-\[\]-~\u00a1-\ud7ff\ue000-\U0010ffff]*")


def safe_next(path: object, default: str = "/") -> str:
    """Return a path of this site to which a login may send the browser back: the value of `?next=`, if it is safe.

    Everybody can make a link to the login page with any `next`, so a login must not send its user to another site
    (RFC 9700 section 4.11).

    Args:
        path: The value of `next`, or None.
        default: The result if `path` is not the path of a page of this site.
    """
    if not isinstance(path, str) or len(path) > MAX_NEXT_CHARACTERS or not _SAFE_PATH.fullmatch(path):
        return default
    return default if "//" in path.partition("?")[0].partition("#")[0] else path


def check_login_path(path: object) -> None:
    """Refuse a login page that is not a path of this site.

    Raises:
        ConfigurationError: It is not.
    """
    if not isinstance(path, str) or not path.isascii() or "#" in path or not safe_next(path, ""):
        raise ConfigurationError(
            "redirect_to_login: give the path of a page of this site, such as /login, in ASCII and without a #"
        )


def login_location(connection: HTTPConnection, login: str, hidden: Collection[str]) -> str | None:
    """Return the URL of the login page for a browser that opens a page; None for any other request.

    Args:
        connection: The request.
        login: The path of the login page.
        hidden: Parameters of the query that `next` must not have, because their values are tokens.
    """
    scope = connection.scope
    if scope["type"] != "http" or not _is_navigation(connection) or scope["path"] == login.partition("?")[0]:
        return None
    if scope["method"] not in ("GET", "HEAD"):
        return login  # the browser could not send its form again
    # The path in the scope is decoded. The query is as it was sent, and a client may send any bytes.
    given = quote(scope["query_string"], safe=punctuation).split("&")
    query = "&".join(part for part in given if part and unquote_plus(part.partition("=")[0]) not in hidden)
    here = quote(scope["path"], safe="/:@!$&'()*+,;=") + (f"?{query}" if query else "")
    if not safe_next(here, ""):
        return login
    return with_next(login, here)


def with_next(login: str, here: str) -> str:
    """Return the URL of the login page that sends the browser back to a URL of this site.

    Args:
        login: The path of the login page.
        here: The path, percent-encoded, perhaps with a query.
    """
    return f"{login}{'&' if '?' in login else '?'}next={quote(here, safe='/')}"


def _is_navigation(connection: HTTPConnection) -> bool:
    """Whether a browser opens a page, and not a script that asks for data (Fetch Metadata)."""
    mode = connection.headers.get("sec-fetch-mode")
    return mode == "navigate" if mode is not None else "text/html" in connection.headers.get("accept", "").lower()
