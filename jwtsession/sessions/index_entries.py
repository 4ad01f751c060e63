"""What the index of a user's sessions holds of each: under which name, and sealed as sessions are."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from ..errors import InvalidArgumentError, SessionCorruptError
from ..stores import FORMER, Entry
from .encryption import Sealer

CLIENT_BYTES = 256
"""A client's address and user agent are cut to this: clients choose them."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One of a user's sessions. Times are seconds since the epoch."""

    id: str = field(repr=False)
    """The session's id, for `SessionProvider.revoke`."""
    created: float
    """When the user logged in."""
    last_seen: float
    """When the session was last used, exact to `touch_interval`."""
    expires: float
    """When it ends, if nobody uses it until then."""
    client: str | None = None
    """The client's address at the login, with `capture_client`."""
    user_agent: str | None = None
    """The client's user agent at the login, with `capture_client`."""


@dataclass(frozen=True, slots=True)
class Login:
    """What the index keeps of a login."""

    created: float
    client: str | None = None
    user_agent: str | None = None


_LOGIN = TypeAdapter(Login)


class EntryCodec:
    """Names users in the store, and reads and writes what the index keeps of a login.

    Args:
        keys: Keys of the users' names. Entries are written under the first name, and found under all.
        sealer: Encrypts what is kept.
    """

    def __init__(self, keys: Sequence[bytes], sealer: Sealer) -> None:
        self._keys = keys
        self._sealer = sealer

    def names(self, sub: str) -> list[str]:
        """The user's names in the store, the newest last: of one length, and nothing that a list of keys would tell.

        In this order they are read: what moves meanwhile moves to a newer one, or the older one is looked at again.
        """
        text = check_sub(sub).encode()
        names = [hmac.digest(key, text, "sha256").hex() for key in self._keys]
        return [FORMER + hashlib.sha256(text).hexdigest(), *reversed(names)]

    def seal(self, name: str, session_id: str, login: Login) -> bytes:
        """A login, as the store keeps it."""
        login = Login(login.created, _cut(login.client), _cut(login.user_agent))
        return self._sealer.seal(f"{name}:{session_id}", _LOGIN.dump_json(login))

    def login(self, name: str, session_id: str, entry: Entry) -> Login:
        """The login that an entry tells of."""
        try:
            stored = self._sealer.open(f"{name.removeprefix(FORMER)}:{session_id}", entry.data)
            return _LOGIN.validate_json(stored)
        except (SessionCorruptError, ValidationError):
            # Of another version, or of a key that is gone: the session is still the user's.
            return Login(created=entry.seen)


def check_sub(sub: object) -> str:
    """The claim `sub` of a user.

    Raises:
        InvalidArgumentError: No user can have it.
    """
    if not isinstance(sub, str) or not sub:
        raise InvalidArgumentError("sub: must be a text that is not empty, as the claim of that name")
    try:
        sub.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError("sub: holds half of a surrogate pair, which no token can carry") from None
    return sub


def _cut(text: str | None) -> str | None:
    """What a client says of itself, without control characters and of a bounded size."""
    if text is None:
        return None
    shown = "".join(each for each in text[:CLIENT_BYTES] if each.isprintable())
    return shown.encode()[:CLIENT_BYTES].decode(errors="ignore")
