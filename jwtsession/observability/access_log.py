"""Keeps tokens out of access logs where they may stand in a URL (RFC 9700 section 4.3.2)."""

import copy
import logging
import re
from collections.abc import Mapping

ACCESS_LOGGERS = (
    "uvicorn.access",
    "uvicorn.error",
    "uvicorn.asgi",
    "hypercorn.access",
    "gunicorn.access",
    "granian.access",
)
"""Loggers of the common servers; `uvicorn.error` names the URLs of WebSockets, at DEBUG their headers too."""

# Anybody can send a URL, and it is logged on the event loop: the time of all that follows grows with the text's length
# and no faster. URLs stand in URLs, percent-encoded once for each level: `%2e`, `%252e` and `%25252e` are all a dot.
_ESCAPE = r"%(?:25)*"
_ESCAPED = re.compile(_ESCAPE + "([0-9A-Fa-f]{2})")

_DELIMITER = rf"(?:^|[=&;#?\s\"']|{_ESCAPE}(?:0[9AaDd]|2[02367]|3[BbDdFf]))"
_EQUALS = rf"(?:=|{_ESCAPE}3[Dd])"
_VALUE = r"[^&;#?\s\"']*"  # of a parameter in an encoded URL all that follows there

# A run of what a token is made of (RFC 7515 section 7.1): its letters, digits, `-`, `_` and dots.
_RUN = re.compile(rf"(?:[A-Za-z0-9_.-]+|{_ESCAPE}(?:2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9Aa]))+")

_REDACTED = "[redacted]"


class TokenRedactionFilter(logging.Filter):
    """Redacts tokens in what is logged: the parameter's value, and all that looks like a token, however it is spelled.

    Percent-encoding hides neither, at any depth: the URL that a login leads back to stands encoded in another one.

    Args:
        name: The parameter: `request_arg`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        spelled = "".join(f"(?:{re.escape(each)}|{_ESCAPE}{_hex(each)})" for each in name)
        self._parameter = re.compile(f"({_DELIMITER}{spelled}{_EQUALS}){_VALUE}")

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
        encoded = "%" in text
        if encoded or "=" in text:
            text = self._parameter.sub(rf"\1{_REDACTED}", text)
        return _RUN.sub(_redacted_run, text) if encoded or "eyJ" in text else text


def _hex(character: str) -> str:
    """Matches the two digits of its percent-encoding, in either case."""
    return "".join(f"[{digit.upper()}{digit}]" for digit in f"{ord(character):02x}")


def _redacted_run(match: re.Match[str]) -> str:
    run = match[0]
    decoded = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), run) if "%" in run else run
    # `eyJ` is how `{"` begins in base64url; two dots follow in a token.
    return _REDACTED if decoded.partition("eyJ")[2].count(".") >= 2 else run
