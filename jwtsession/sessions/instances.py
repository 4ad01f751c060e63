"""Instances that are not, or no longer, the session of a request: no change to one of them is lost in silence."""

import weakref
from typing import Any

from .._types import S
from ..errors import InvalidArgumentError
from ..models import Session
from .serialization import SessionSerializer

Former = tuple[tuple["weakref.ref[Session]", dict[str, Any]], ...]
"""Each instance, weakly since nobody can change one that nobody has, and what it held."""


def remembered(former: Former, session: S, serializer: SessionSerializer[S]) -> Former:
    """The former instances, with this one."""
    others = (each for each in former if (one := each[0]()) is not None and one is not session)
    return (*others, (weakref.ref(session), serializer.snapshot(session)))


def refuse_lost_changes(former: Former, session: S, serializer: SessionSerializer[S]) -> None:
    """Refuse to store a session while a change stands in a former instance.

    Raises:
        InvalidArgumentError: Somebody has changed one of them.
    """
    for reference, held in former:
        one: Any = reference()
        if one is not None and serializer.changed_since(held, one, session):
            raise InvalidArgumentError(
                "a session was changed after it had ended or had been given to a verb, and this would be lost: "
                "change manager.session"
            )
