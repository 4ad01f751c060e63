"""`jwtsession sessions`: counts, shows and ends sessions, and exports what is stored about a user."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ..errors import SessionCorruptError, StoreUnavailableError
from ..sessions import SessionInfo
from .answer import Answer, Table, failure
from .output import as_text
from .stored import Found, count, find, read
from .target import Target, heard_warnings, load


def run(arguments: argparse.Namespace, secrets: set[str]) -> Answer:
    """Run one of the commands."""
    target = load(arguments, secrets)
    question = {
        "revoke": "End the session {handle}?",
        "revoke-all": "End all sessions of {sub}?",
    }.get(arguments.command)
    if question is not None and (refused := _refusal(question.format(**vars(arguments)), is_sure=arguments.yes)):
        return failure(refused)
    with heard_warnings() as heard:
        try:
            return asyncio.run(_run(target, arguments))
        except StoreUnavailableError as error:
            return failure(heard[-1] if heard else str(error))


def _refusal(question: str, *, is_sure: bool) -> str:
    """Ask the user, unless the command line has said yes. Return why nothing is done, or an empty text."""
    if is_sure:
        return ""
    if not sys.stdin.isatty():
        return "there is no terminal to ask: say --yes"
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return "" if sys.stdin.readline().strip().lower() in ("y", "yes") else "nothing was done"


async def _run(target: Target, arguments: argparse.Namespace) -> Answer:
    async with target.opened():
        match arguments.command:
            case "count":
                return await _count(target)
            case "list":
                return _listed(await target.provider.list_sessions(arguments.sub))
            case "show":
                return await _show(target, arguments)
            case "revoke":
                return await _revoke(target, arguments)
            case "revoke-all":
                ended = await target.provider.revoke_all(arguments.sub)
                return Answer({"ended": ended}, [f"{ended} session{'s' * (ended != 1)} ended"])
            case _:
                return await _export(target, arguments.sub)


async def _count(target: Target) -> Answer:
    counted = await count(target.store)
    said = f"{counted.sessions} sessions ({counted.keys} keys were looked at)"
    return Answer({"sessions": counted.sessions, "keys": counted.keys}, [said])


def _listed(infos: Sequence[SessionInfo]) -> Answer:
    columns = ("handle", "login", "last seen", "ends", "client", "label", "user agent")
    rows = [
        (
            each.handle,
            _time(each.created),
            _time(each.last_seen),
            _time(each.expires),
            each.client or "",
            " ".join(part for part in (each.label, each.actor and f"(acting: {each.actor})") if part),
            each.user_agent or "",
        )
        for each in infos
    ]
    return Answer({"sessions": [_document(each) for each in infos]}, [Table(columns, rows)] if rows else ["none"])


def _document(info: SessionInfo) -> dict[str, Any]:
    """What the index knows of a session. Not its id."""
    shown = ("handle", "created", "last_seen", "expires", "client", "user_agent", "label", "actor")
    return {name: getattr(info, name) for name in shown}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


async def _found(target: Target, arguments: argparse.Namespace) -> tuple[Found | None, SessionInfo | None]:
    """Find a session: in the user's index, if the user is given, or by looking at all keys."""
    if arguments.sub is None:
        return await find(target.store, arguments.handle), None
    for info in await target.provider.list_sessions(arguments.sub):
        if info.handle == arguments.handle:
            return Found(info.id, 0), info
    return None, None


def _nowhere(arguments: argparse.Namespace, keys: int) -> Answer:
    where = f"{arguments.sub} has no session" if arguments.sub is not None else f"of {keys} keys none is a session"
    return failure(f"{where} with the handle {arguments.handle}")


async def _show(target: Target, arguments: argparse.Namespace) -> Answer:
    found, info = await _found(target, arguments)
    if found is None or found.session_id is None:
        return _nowhere(arguments, 0 if found is None else found.keys)
    stored = await read(target, found.session_id)
    if stored is None:
        return failure("the session has just ended")
    document: dict[str, Any] = {"handle": arguments.handle, **stored.document(with_data=arguments.data)}
    if info is not None:
        document |= _document(info)
    if target.given is not None:
        document["model"] = await _model(target, found.session_id)
    if found.keys:
        document["keys_looked_at"] = found.keys
    rows = [(name, _text(value)) for name, value in document.items()]
    return Answer(document, [Table(("what", "value"), rows)])


async def _model(target: Target, session_id: str) -> str:
    try:
        await target.provider.get(session_id)
    except SessionCorruptError as error:
        return f"can't read it: {error.code}"
    return "reads it"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return _time(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


async def _revoke(target: Target, arguments: argparse.Namespace) -> Answer:
    if arguments.sub is not None:
        ended = await target.provider.revoke_handle(
            arguments.handle, sub=arguments.sub, wait_replicas=arguments.wait_replicas
        )
        keys = 0
    else:
        found = await find(target.store, arguments.handle)
        keys = found.keys
        ended = found.session_id is not None and await target.provider.revoke(
            found.session_id, wait_replicas=arguments.wait_replicas
        )
    if not ended:
        return _nowhere(arguments, keys)
    looked = f" ({keys} keys were looked at)" if keys else ""
    return Answer({"ended": 1, "handle": arguments.handle, "keys": keys}, [f"the session has ended{looked}"])


async def _export(target: Target, sub: str) -> Answer:
    """All that is stored about a user, for somebody who asks for it (GDPR, article 15)."""
    sessions = []
    for info in await target.provider.list_sessions(sub):
        stored = await read(target, info.id)
        if stored is not None:
            sessions.append(_document(info) | stored.document(with_data=True))
    document = {"sub": sub, "at": datetime.now(UTC).timestamp(), "sessions": sessions}
    return Answer(document, [as_text(document)])
