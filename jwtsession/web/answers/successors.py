"""Puts the new tokens of rotated sessions on an answer that starts."""

import logging
import re
from collections.abc import Iterable
from typing import Any

from starlette.types import Message, Scope

from ...errors import InvalidArgumentError, SessionCorruptError, StoreUnavailableError
from ...manager import SessionManager
from ...manager.issuing import issue_successor
from ...observability import AuditTrail

NAME = b"session-token"
"""The header that has the new token of a client which sent the old one in no cookie."""

_warned: set[str] = set()


async def with_successors(message: Message, managers: Iterable[SessionManager[Any, Any]], scope: Scope) -> Message:
    """Return an answer's first message with the new tokens, and kept out of caches.

    Cookies are not in the message yet. A page of another origin may read the header `Session-Token` too (CORS).

    Args:
        message: The first message.
        managers: The request's managers.
        scope: The request's ASGI scope.
    """
    headers = [*message.get("headers", ())]
    for manager in managers:
        try:
            token = await issue_successor(manager)
        except InvalidArgumentError as error:
            reason = re.sub("[0-9]+", "", str(error))  # the size of a cookie
            if reason not in _warned:  # the old token stays good, and each of its requests would log this
                _warned.add(reason)
                AuditTrail.log(logging.WARNING, "rotation: a token can't be replaced: %s", error)
            continue
        except (StoreUnavailableError, SessionCorruptError):
            continue  # the next answer takes it
        if token is not None and all(name.lower() != NAME for name, _ in headers):
            headers.append((NAME, token.encode()))
            if any(name == b"origin" for name, _ in scope["headers"]):
                headers = _listed(headers, b"access-control-expose-headers", b"Session-Token")
    return {**message, "headers": _listed(headers, b"cache-control", b"no-store")}


def show_successor(responses: dict[str, Any]) -> None:
    """Show the header in OpenAPI, on each answer that may have it."""
    text = "The token that replaces the request's, if the token was old and in no cookie: use this one from now on"
    for status, answer in responses.items():
        if status[:1] in ("2", "3"):
            answer.setdefault("headers", {})["Session-Token"] = {"description": text, "schema": {"type": "string"}}


def _listed(headers: list[tuple[bytes, bytes]], name: bytes, member: bytes) -> list[tuple[bytes, bytes]]:
    """The headers, in which the list of this name has the member."""
    own = [value for its_name, value in headers if its_name.lower() == name]
    if member.lower() in {each.strip().lower() for value in own for each in value.split(b",")}:
        return headers
    others = [header for header in headers if header[0].lower() != name]
    return [*others, (name, b", ".join([*own, member]))]
