"""Checks of a sample of what is stored: times to live, sizes, encryption, and whether the model can read it."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from ..._from_settings import make_sealer
from ..._ids import handle_of, is_session_id
from ...errors import AuthenticationError, SessionCorruptError, StoreUnavailableError
from ...sessions import MAX_SESSION_BYTES, is_sealed
from ...stores.redis.inspection import Node, Refusal, Survey
from ..keyspace import keys_of
from ..target import Target
from .report import Finding, failed, ok, skipped, warning

_ENCRYPTED_MORE_BYTES = 64
"""An encrypted session is larger than its JSON by less than this."""


class _Stored(NamedTuple):
    """A key that was looked at."""

    rest: str
    """The key without the keyspace."""
    ttl: int
    size: int
    """In bytes; -1 for a key of another type than a session's."""
    value: bytes | None
    """None for a key that is no session, and for one that is too large to be read."""

    @property
    def is_session(self) -> bool:
        return is_session_id(self.rest)


async def check_sample(survey: Survey, target: Target, limit: int) -> AsyncIterator[Finding]:
    """Look at some of the keys on each primary.

    Args:
        survey: The servers.
        target: The application, or its settings.
        limit: How many keys to look at, on all servers together.
    """
    if limit == 0:
        yield skipped("sample", "--sample 0: no stored key is looked at")
        return
    keyspace = target.settings.keyspace
    found: list[_Stored] = []
    for node in survey.primaries:
        keys = await keys_of(node, keyspace, max(1, limit // len(survey.primaries)))
        if isinstance(keys, Refusal):
            yield skipped("sample", f"{node.name}: {keys.said}", "Give the user +scan +pttl +strlen, for this check.")
            return
        found += await _look(node, keyspace, keys)
    if not found:
        yield skipped("sample", f"none of the keys that were looked at begins with {keyspace!r}")
        return
    for check in (_ttl, _size, _encryption):
        yield check(found, target)
    if target.given is not None:
        yield await _model(found, target)
    else:
        yield skipped("sample.model", "the model is not known", "Give --app, to check whether it reads what is stored.")


async def _look(node: Node, keyspace: str, keys: list[str]) -> list[_Stored]:
    asked = [words for key in keys for words in (("PTTL", key), ("STRLEN", key))]
    replies = await node.ask_all(asked)
    sizes = [-1 if isinstance(size, Refusal) else int(size) for size in replies[1::2]]
    rests = [key.removeprefix(keyspace) for key in keys]
    is_read = [
        is_session_id(rest) and 0 <= size <= MAX_SESSION_BYTES + _ENCRYPTED_MORE_BYTES
        for rest, size in zip(rests, sizes, strict=True)
    ]
    values = await node.ask_all([("GET", key) for key, read in zip(keys, is_read, strict=True) if read], raw=True)
    remaining = iter(values)
    found = []
    for rest, ttl, size, read in zip(rests, replies[::2], sizes, is_read, strict=True):
        value: Any = next(remaining) if read else None
        if ttl != -2 and not isinstance(ttl, Refusal):  # it was there when it was looked at
            found.append(_Stored(rest, int(ttl), size, value if isinstance(value, bytes) else None))
    return found


def _ttl(found: list[_Stored], target: Target) -> Finding:
    endless = [each for each in found if each.ttl == -1 and each.rest != "not_before"]
    if not endless:
        return ok("sample.ttl", f"each of {len(found)} keys has a time to live")
    sessions = [each.rest for each in endless if each.is_session]
    return warning(
        "sample.ttl",
        f"{len(endless)} of {len(found)} keys have no time to live, {len(sessions)} of them sessions"
        f"{_such_as(sessions)}: they never end",
        "Find out what wrote them (PERSIST, a restored backup, another program), and give them one by EXPIRE.",
    )


def _size(found: list[_Stored], target: Target) -> Finding:
    sessions = [each for each in found if each.is_session]
    large = [each for each in sessions if each.size > MAX_SESSION_BYTES + _ENCRYPTED_MORE_BYTES]
    other = [each for each in sessions if each.size < 0]
    if large or other:
        return warning(
            "sample.size",
            f"of {len(sessions)} sessions {len(large)} are larger than {MAX_SESSION_BYTES} bytes, and {len(other)} are"
            f" no strings{_such_as([each.rest for each in (*large, *other)])}: their users get a 401",
            "Another program writes to these keys: give it a keyspace of its own.",
        )
    most = max((each.size for each in sessions), default=0)
    return ok("sample.size", f"the largest of {len(sessions)} sessions has {most} bytes of {MAX_SESSION_BYTES}")


def _encryption(found: list[_Stored], target: Target) -> Finding:
    sealer, settings = make_sealer(target.settings), target.settings.encryption
    values = [(each.rest, each.value) for each in found if each.value is not None]
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    plain = 0
    for session_id, value in values:
        plain += not is_sealed(value)
        try:
            sealer.open(session_id, value)
        except SessionCorruptError as error:
            codes[error.code] += 1
            wrong.append(session_id)
    if not settings.keys:
        if plain < len(values):
            return failed(
                "sample.encryption",
                f"{len(values) - plain} of {len(values)} sessions are encrypted, and encryption.keys is not set: a 401",
                "Give encryption.keys.",
            )
        return ok("sample.encryption", f"{len(values)} sessions are not encrypted, as the settings say")
    if codes:
        told = ", ".join(f"{number} {code}" for code, number in codes.items())
        return failed(
            "sample.encryption",
            f"of {len(values)} sessions some can't be opened ({told}){_such_as(wrong)}: their users get a 401",
            "session_not_encrypted: set encryption.mode to write until the old ones have ended. session_key_unknown:"
            " put the key back behind the others. session_tampered: somebody has changed or copied them.",
        )
    if plain:
        return warning(
            "sample.encryption",
            f"{plain} of {len(values)} sessions are not encrypted (encryption.mode {settings.mode})",
            "After absolute_max_age all are: then set encryption.mode to require.",
        )
    return ok("sample.encryption", f"{len(values)} sessions are encrypted, by keys that the settings have")


async def _model(found: list[_Stored], target: Target) -> Finding:
    sessions = [each.rest for each in found if each.is_session]
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    async with target.provider:
        for session_id in sessions:
            try:
                await target.provider.get(session_id)
            except StoreUnavailableError:
                return skipped("sample.model", "the store did not answer")
            except AuthenticationError as error:
                codes[error.code] += 1
                wrong.append(session_id)
    if not codes:
        return ok("sample.model", f"the model reads each of {len(sessions)} sessions")
    told = ", ".join(f"{number} {code}" for code, number in codes.items())
    return (failed if codes.total() == len(sessions) else warning)(
        "sample.model",
        f"the model can't read {codes.total()} of {len(sessions)} sessions ({told}){_such_as(wrong)}: their users get"
        " a 401",
        "Give the new fields of the model defaults, or the provider a migrate function.",
    )


def _such_as(session_ids: list[str]) -> str:
    """One of the sessions, by its handle, for `jwtsession sessions show`."""
    return f", such as {handle_of(session_ids[0])}" if session_ids else ""
