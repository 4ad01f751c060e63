"""`outcome`: what becomes of an answer, and of the changes that its endpoint made to the session in place."""

from enum import Enum

from ...errors import (
    AuthenticationError,
    InvalidArgumentError,
    JWTSessionError,
    SessionConflictError,
    SessionTooLargeError,
    StoreUnavailableError,
)
from ...sessions import Verb


class Attempt(Enum):
    """What became of the attempt to store the changes."""

    NOT_MADE = "not made"
    STORED = "stored"
    CONFLICT = "another request changed the session meanwhile"
    GONE = "the session has ended meanwhile"
    TOO_LARGE = "the session is too large"
    UNFIT = "the session does not fit its model"
    UNAVAILABLE = "the store did not answer"


class Outcome(Enum):
    """What happens next."""

    PASS = "the endpoint's answer goes out, and nothing is stored"
    STORE = "the changes are to be stored before the answer goes out"
    SAVED = "the endpoint's answer goes out, and its changes are stored"
    REPLACE = "the error's answer goes out instead, and nothing is stored"


_FAILED = {
    SessionConflictError: Attempt.CONFLICT,
    AuthenticationError: Attempt.GONE,
    SessionTooLargeError: Attempt.TOO_LARGE,
    InvalidArgumentError: Attempt.UNFIT,
    StoreUnavailableError: Attempt.UNAVAILABLE,
}


def outcome(status: int, *, changed: bool, verb: Verb, client_gone: bool, attempt: Attempt) -> Outcome:
    """Decide, out of all that counts and nothing else.

    Args:
        status: The HTTP status of the endpoint's answer.
        changed: Whether the session was changed in place and not stored since.
        verb: What the request's own calls of verbs have done.
        client_gone: Whether the client is known to have gone away before the answer.
        attempt: What became of the attempt to store the changes.
    """
    if status >= 400 or not changed or client_gone or verb is Verb.ENDED:
        return Outcome.PASS
    if attempt is Attempt.NOT_MADE:
        return Outcome.STORE
    return Outcome.SAVED if attempt is Attempt.STORED else Outcome.REPLACE


def failed(error: JWTSessionError) -> Attempt:
    """The failed attempt that this error stands for. `NOT_MADE` for an error that no attempt raises."""
    return next((attempt for kind, attempt in _FAILED.items() if isinstance(error, kind)), Attempt.NOT_MADE)
