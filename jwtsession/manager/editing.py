"""What a request changes in its session in place, for `get_editable_session`."""

from typing import Any

from ..errors import InvalidArgumentError
from ..sessions import Edits, Verb, refuse_lost_changes
from .request import RequestSession


def watch_edits(manager: RequestSession[Any, Any]) -> None:
    """Notice from now on what the request changes in its session. Changes since the load count too."""
    record = manager._record
    if manager._edits is None and record is not None:
        manager._edits = Edits(manager._repository.serializer, record.session, record.fitting)


def note_verb(manager: RequestSession[Any, Any]) -> None:
    """Note that a verb has just stored the manager's session, or loaded it again."""
    if manager._edits is not None and manager._record is not None:
        manager._edits.verb_done(manager._record.session)


def verb_called(manager: RequestSession[Any, Any]) -> Verb:
    """What the request's verbs have done with the session since `watch_edits`."""
    if manager._record is None:
        return Verb.ENDED
    return Verb.DONE if manager._edits is not None and manager._edits.after_verb else Verb.NONE


def has_edits(manager: RequestSession[Any, Any]) -> bool:
    """Whether the request has changed its session in place, and no verb has stored that.

    A change to an old instance counts too: `update()` refuses it, because it would be lost.
    """
    record = manager._record
    if record is None or manager._edits is None:
        return False
    try:
        refuse_lost_changes(manager._former, record.session, manager._repository.serializer)
    except InvalidArgumentError:
        return True
    return manager._edits.changed(record.session)


async def check_edits(manager: RequestSession[Any, Any]) -> None:
    """Refuse changes that can't be stored, without a question to the store. A coroutine, as `update()` is.

    Raises:
        InvalidArgumentError: The session does not fit its model, or a change to an old instance would be lost.
        SessionTooLargeError: The session is larger than 65,536 bytes.
        SessionNotFoundError: There is no session.
    """
    verified, record = manager._require_record()
    refuse_lost_changes(manager._former, record.session, manager._repository.serializer)
    manager._repository.encode(verified.session_id, record.session, record)
