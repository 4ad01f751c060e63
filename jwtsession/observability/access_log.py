"""Keeps tokens out of access logs, which show the tokens in URLs (RFC 9700 section 4.3.2)."""

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
"""Loggers of the common servers. `uvicorn.error` logs the URLs of WebSockets, and at DEBUG their headers too."""

# Any client can send any URL, and the server logs it on the event loop. So each pattern below takes time that grows
# linearly with the text. A URL may contain another URL, percent-encoded once for each level: `%2e`, `%252e` and
# `%25252e` are all a dot.
_ESCAPE = r"%(?:25)*"
_ESCAPED = re.compile(_ESCAPE + "([0-9A-Fa-f]{2})")

_DELIMITER = rf"(?:^|[=&;#?\s\"']|{_ESCAPE}(?:0[9AaDd]|2[02367]|3[BbDdFf]))"
_EQUALS = rf"(?:=|{_ESCAPE}3[Dd])"
_CHARACTER = r"[^&;#?\s\"']"  # of a value; in an encoded URL this also takes what follows the value

# A run of characters that a token may have (RFC 7515 section 7.1): letters, digits, `-`, `_` and dots.
_RUN = re.compile(rf"(?:[A-Za-z0-9_.-]+|{_ESCAPE}(?:2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9Aa]))+")

_REDACTED = "[redacted]"


class TokenRedactionFilter(logging.Filter):
    """Replaces tokens in log records: the value of the token's URL parameter, a ticket's, and any text like a JWT.

    It also finds them percent-encoded, at any depth, because a URL may contain another URL: the one to which a login
    returns.

    Args:
        name: The name of the URL parameter: the setting `request_arg`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        token, ticket = _spelled(name) + _EQUALS, _spelled("ticket") + _EQUALS
        # An application may have a `ticket` of its own. Its number is short, and stays in the log.
        self._parameter = re.compile(f"({_DELIMITER}(?:{token}|{ticket}(?={_CHARACTER}{{43}}))){_CHARACTER}*")

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record's message and arguments. Always returns True: no record is dropped."""
        # Redact each argument by itself first: the servers' formatters read the arguments by position.
        if isinstance(record.args, tuple):
            record.args = tuple(self._redacted(arg) for arg in record.args)
        elif isinstance(record.args, Mapping):
            record.args = self._redacted_mapping(record.args)
        try:
            message = record.getMessage()
        except Exception:
            return True  # the logging module will report the error; a filter must never raise
        redacted = self._redact(message)
        if redacted != message:
            record.msg, record.args = redacted, ()
        return True

    def _redacted(self, arg: object) -> object:
        return self._redact(arg) if isinstance(arg, str) else arg

    def _redacted_mapping(self, args: Mapping[str, object]) -> Mapping[str, object]:
        if not isinstance(args, dict):
            return args
        # Keep the class of the mapping: those of gunicorn and hypercorn have values for names that they do not list.
        redacted = copy.copy(args)
        redacted.update({name: self._redacted(value) for name, value in args.items()})
        return redacted

    def _redact(self, text: str) -> str:
        encoded = "%" in text
        if encoded or "=" in text:
            text = self._parameter.sub(rf"\1{_REDACTED}", text)
        return _RUN.sub(_redacted_run, text) if encoded or "eyJ" in text else text


def _spelled(name: str) -> str:
    """A pattern for a parameter's name."""
    return "".join(f"(?:{re.escape(each)}|{_ESCAPE}{_hex(each)})" for each in name)


def _hex(character: str) -> str:
    """A pattern for the two hex digits of a character's percent-encoding, in either case."""
    return "".join(f"[{digit.upper()}{digit}]" for digit in f"{ord(character):02x}")


def _redacted_run(match: re.Match[str]) -> str:
    run = match[0]
    decoded = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), run) if "%" in run else run
    # In base64url `{"` gives `eyJ`, so each JWT begins with it, and has two dots.
    return _REDACTED if decoded.partition("eyJ")[2].count(".") >= 2 else run
