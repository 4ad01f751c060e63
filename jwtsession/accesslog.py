"""Keeps tokens out of access logs where they may stand in a URL (RFC 9700 section 4.3.2)."""

import logging
import re
from urllib.parse import unquote_plus

ACCESS_LOGGERS = ("uvicorn.access", "uvicorn.error", "hypercorn.access", "gunicorn.access", "granian.access")
"""Loggers of the common servers; `uvicorn.error` names the URLs of WebSockets."""

_PARAMETER = re.compile(r"([?&;])([^=&;#\s\"']+)=([^&;#\s\"']*)")


class TokenRedactionFilter(logging.Filter):
    """Replaces the token's value in URLs that are logged, however the parameter's name is spelled.

    Args:
        name: The parameter: `request_arg`.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._parameter = name

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record's message and arguments; keep the record."""
        if isinstance(record.msg, str):
            record.msg = self._redact(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(self._redact(arg) if isinstance(arg, str) else arg for arg in record.args)
        elif isinstance(record.args, dict):
            record.args = {key: self._redact(arg) if isinstance(arg, str) else arg for key, arg in record.args.items()}
        return True

    def _redact(self, text: str) -> str:
        return _PARAMETER.sub(self._redacted, text) if "=" in text else text

    def _redacted(self, match: re.Match[str]) -> str:
        if unquote_plus(match[2]) != self._parameter:
            return match[0]
        return f"{match[1]}{match[2]}=[redacted]"
