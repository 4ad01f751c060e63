"""`Edits`: tells whether a request has changed its session in place since it was loaded or stored."""

from enum import Enum
from typing import Generic

from .._types import S
from ..errors import SessionCorruptError
from .serialization import SessionSerializer


class Verb(Enum):
    """What the request's own calls of verbs have done with the session."""

    NONE = "none"
    """No verb has stored or loaded the session."""
    DONE = "done"
    """A verb has stored the session or loaded it again (`update`, `mutate`, `reload`, `create`, `regenerate`)."""
    ENDED = "ended"
    """The session has ended: by `destroy`, or a verb found that it is gone."""


class Edits(Generic[S]):
    """Compares what this package would write now with what it would have written at the load.

    The stored bytes would not do: another writer may have written the same data in another form (the Node original, an
    older version of the application), and a session that was only read must not be written.

    Args:
        serializer: Writes the session.
        session: The session.
        fitting: The JSON from which the session was read: `Record.fitting`.
    """

    __slots__ = ("_form", "_serializer", "_session", "after_verb")

    def __init__(self, serializer: SessionSerializer[S], session: S, fitting: bytes) -> None:
        self._serializer = serializer
        # After `create()` this is an old instance, and changes to it are an error: only if it still exists.
        self._session = session
        self._form = self._loaded(session, fitting)
        self.after_verb = False
        """Whether a verb has stored or loaded the session since: only later changes count."""

    def verb_done(self, session: S) -> None:
        """Take the session as it is now for unchanged: a verb has just stored it, or loaded it again."""
        self._form = self._serializer.form(session)
        self.after_verb = True

    def changed(self, session: S) -> bool:
        """Whether the session was changed in place, at any depth."""
        form = self._serializer.form(session)
        if form == self._form:
            return False
        if form is None or self._form is None or form == self._serializer.form(session):
            return True
        # A serializer of the application writes the same data differently each time, as encryption with a nonce does.
        return not self._serializer.reads_as(self._form, session)

    def _loaded(self, session: S, fitting: bytes) -> bytes | None:
        """The form that the session had when it was loaded. Another dependency may have changed it since."""
        form = self._serializer.form(session)
        if form == fitting:
            return form
        try:
            read, again = (self._serializer.form(self._serializer.load(fitting)[0]) for _ in range(2))
        except SessionCorruptError:
            return form
        # A field that the stored value lacks may have another default at each reading, as a random id has.
        return read if read == again else form
