"""What is kept of a request's manager in its ASGI scope, and whether it still is the request's."""

import operator
from collections.abc import Sequence
from typing import Any

from starlette.types import Scope

from ..manager import SessionManager
from ..manager.request import attach_answer

Kept = tuple[SessionManager[Any, Any], object, tuple[object, ...], object, object, bool]
"""A request's manager; the list of headers, the headers in it, the query and the token from which it was made; and
whether the body was searched for the token too. A plain tuple, because making a named tuple takes a tenth of the time
of a load."""


def kept_of(scope: Scope, manager: SessionManager[Any, Any], token: object, searched: bool) -> Kept:
    """Return what is kept of a request's manager.

    Args:
        scope: The request's ASGI scope.
        manager: The manager.
        token: The token from which the manager was made.
        searched: Whether all places were searched for the token, the body too.
    """
    headers = scope["headers"]
    return manager, headers, tuple(headers), scope.get("query_string"), token, searched


def is_of(kept: Kept, scope: Scope) -> bool:
    """Whether the request still has the headers and the query from which the manager was made.

    A driver may use a scope again, and a middleware may change headers. The headers are compared by identity, each for
    itself, because Starlette's `request.headers` puts a copy of the list into the scope.
    """
    _, headers, items, query, *_ = kept
    now: Sequence[object] = scope["headers"]
    is_same = len(now) == len(items) and all(map(operator.is_, now, items))
    # Two empty lists have no headers to compare, so the list itself must be the same.
    return is_same and bool(items or now is headers) and scope.get("query_string") == query


def attach_answers(scope: Scope) -> list[SessionManager[Any, Any]]:
    """Let the managers that a middleware asked for find the request's answer, which is there only now.

    Returns:
        These managers.
    """
    managers = [kept[0] for kept in scope["jwtsession"].values() if is_of(kept, scope)]
    for each in managers:
        attach_answer(each, scope)
    return managers
