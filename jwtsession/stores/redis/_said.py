"""What a server said, for people: without passwords, sessions' ids and data."""

import builtins
import re
from collections.abc import Sequence

REPEATED = ", with args beginning with"
"""After these words, a server's error repeats the arguments of an unknown command: the session's id and data."""


def said(error: BaseException, secrets: Sequence[str], keyspace: str) -> str:
    """Return an error's message as one line, without secrets and the sessions' ids.

    Args:
        error: The error.
        secrets: Texts that nobody may see.
        keyspace: Prefix of the sessions' keys. Nothing that follows it is shown.
    """
    text = " ".join(str(error).partition(REPEATED)[0].split())
    if not text and isinstance(error, builtins.TimeoutError):  # that of our own deadline has no message
        text = "no answer in time"
    for secret in secrets:
        text = text.replace(secret, "***")
    return re.sub(rf"{re.escape(keyspace)}[^\s'\"]+", "***", text)[:200] if keyspace else text[:200]
