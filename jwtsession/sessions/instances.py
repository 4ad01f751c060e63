"""Finds changes in old instances: a session object that is not `manager.session`, or no longer, is never stored.

An application that changes such an object and calls `update()` gets an error. Otherwise the change would be lost.
"""

import weakref
from typing import Any

from .._types import S
from ..errors import InvalidArgumentError
from ..models import Session
from .serialization import SessionSerializer

Former = tuple[tuple["weakref.ref[Session]", dict[str, Any]], ...]
"""For each old instance a weak reference (an instance that nobody holds can't be changed), and the data it had."""


def remembered(former: Former, session: S, serializer: SessionSerializer[S]) -> Former:
    """Return the former instances and this one, with its present data."""
    others = (each for each in former if (one := each[0]()) is not None and one is not session)
    return (*others, (weakref.ref(session), serializer.snapshot(session)))


def refuse_lost_changes(former: Former, session: S, serializer: SessionSerializer[S]) -> None:
    """Refuse to store a session if the application has changed a former instance instead of it.

    Raises:
        InvalidArgumentError: A former instance was changed.
    """
    for reference, held in former:
        one: Any = reference()
        if one is not None and serializer.changed_since(held, one, session):
            raise InvalidArgumentError(
                "a session was changed after it had ended or had been given to a verb, and this change would be lost: "
                "change manager.session instead"
            )
