"""The managers of one request, kept in its ASGI scope: one for each provider."""

import operator
from collections.abc import Sequence
from typing import Any

from starlette.types import Scope

from ..manager import SessionManager

Kept = tuple[SessionManager[Any, Any], object, tuple[object, ...], object, object, bool]
"""A request's manager; the headers, what was in them, the query and the token that it was made from; and whether the
token was looked for in the body too. A plain tuple: one with names takes a tenth of the time of a load to make."""


def managers_of(scope: Scope) -> dict[object, Kept]:
    """The managers of a request, by provider. In the scope itself: some drivers share `scope["state"]`."""
    managers: dict[object, Kept] = scope.setdefault("jwtsession", {})
    return managers


def keep(scope: Scope, provider: object, manager: SessionManager[Any, Any], token: object, *, searched: bool) -> None:
    """Keep a request's manager.

    Args:
        scope: The request's.
        provider: Whose manager it is.
        manager: The manager.
        token: From which it was made.
        searched: The token was looked for in all places.
    """
    headers = scope["headers"]
    managers_of(scope)[provider] = manager, headers, tuple(headers), scope.get("query_string"), token, searched


def is_of(kept: Kept, scope: Scope) -> bool:
    """Whether a manager was made from what the request still says: a scope, or its headers, may be used again.

    By the very objects: Starlette's `request.headers` puts a copy of the list into the scope.
    """
    _, headers, items, query, *_ = kept
    now: Sequence[object] = scope["headers"]
    is_same = len(now) == len(items) and all(map(operator.is_, now, items))
    # Two empty lists tell nothing.
    return is_same and bool(items or now is headers) and scope.get("query_string") == query
