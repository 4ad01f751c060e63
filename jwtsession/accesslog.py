"""Keeps tokens out of access logs where they may stand in a URL (RFC 9700 section 4.3.2)."""

import copy
import logging
import re
from collections.abc import Mapping
from urllib.parse import unquote_plus

ACCESS_LOGGERS = (
    "uvicorn.access",
    "uvicorn.error",
    "uvicorn.asgi",
    "hypercorn.access",
    "gunicorn.access",
    "granian.access",
)
"""Loggers of the common servers; `uvicorn.error` names the URLs of WebSockets, at DEBUG their headers too."""

# Anybody can send a URL, and it is logged on the event loop: both look at a run of characters from its start alone, and
# do not go back in it, so that their time grows with the text's length and no faster.
_PARAMETER = re.compile(r"(?<![^=&;#?\s\"'])([^=&;#?\s\"']++)=[^&;#?\s\"']*+")
_TOKEN = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*+")

_REDACTED = "[redacted]"


class TokenRedactionFilter(logging.Filter):
    """Redacts tokens in what is logged: the parameter's value, however its name is spelled, and all that look like one.

    Args:
        name: The parameter: `request_arg`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._parameter = name

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record's message and arguments; keep the record."""
        # The arguments first, each by itself: the servers' own formatters want them in their places.
        if isinstance(record.args, tuple):
            record.args = tuple(self._redacted(arg) for arg in record.args)
        elif isinstance(record.args, Mapping):
            record.args = self._redacted_mapping(record.args)
        try:
            message = record.getMessage()
        except Exception:
            return True  # logging tells what is wrong with it, and a filter must never raise
        redacted = self._redact(message)
        if redacted != message:
            record.msg, record.args = redacted, ()
        return True

    def _redacted(self, arg: object) -> object:
        return self._redact(arg) if isinstance(arg, str) else arg

    def _redacted_mapping(self, args: Mapping[str, object]) -> Mapping[str, object]:
        if not isinstance(args, dict):
            return args
        # Of the same kind: those of gunicorn and hypercorn answer for names that they do not hold.
        redacted = copy.copy(args)
        redacted.update({name: self._redacted(value) for name, value in args.items()})
        return redacted

    def _redact(self, text: str) -> str:
        if "=" in text:
            text = _PARAMETER.sub(self._redacted_parameter, text)
        return _TOKEN.sub(_REDACTED, text) if "eyJ" in text else text

    def _redacted_parameter(self, match: re.Match[str]) -> str:
        return f"{match[1]}={_REDACTED}" if unquote_plus(match[1]) == self._parameter else match[0]
