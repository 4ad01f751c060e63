"""The entries of a user's index: the user's name in the store, and the sealed data of each login."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ..._ids import handle_of
from ...errors import InvalidArgumentError, SessionCorruptError
from ...stores import FORMER, Entry
from ..encryption import Sealer

LABEL_CHARACTERS = 64
"""The longest label of a session."""

# Spaces beside the usual one, and the joiners of Persian and of emojis. `str.isprintable` counts none of them.
_SPACES_AND_JOINERS = dict.fromkeys(map(ord, "\u00a0\u202f\u3000\u200c\u200d"))

CLIENT_BYTES = 256
"""The index keeps at most so many bytes of a client's address and user agent, because the client chooses them."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One of a user's sessions, as `SessionProvider.list_sessions` returns it. Times are seconds since the epoch."""

    id: Annotated[str, Field(exclude=True)] = field(repr=False)
    """The session's id, for `SessionProvider.revoke`. An answer that is made of this object leaves it out: clients get
    the handle."""
    created: float
    """When the user logged in, in seconds since the epoch."""
    last_seen: float
    """When the session was last used, in seconds since the epoch; exact to the setting `touch_interval`."""
    expires: float
    """When the session ends if nobody uses it until then, in seconds since the epoch."""
    client: str | None = None
    """The client's address at the login, if the setting `capture_client` is on."""
    user_agent: str | None = None
    """The client's user agent at the login, if the setting `capture_client` is on."""
    label: str | None = None
    """The user's own name for the session: see `SessionProvider.set_label`."""
    actor: str | None = None
    """Who acts for the user in this session (`SessionManager.impersonate`); None: the user."""
    current: bool = False
    """Whether this is the session that asks: see `SessionProvider.list_sessions`."""
    handle: str = ""
    """The session's name for clients and logs: 22 characters, by which nobody can use the session."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "handle", handle_of(self.id))


@dataclass(frozen=True, slots=True)
class Login:
    """The data of a login that the index keeps."""

    created: float
    """When the user logged in, in seconds since the epoch."""
    client: str | None = None
    user_agent: str | None = None
    label: str | None = None
    actor: str | None = None
    acts_for: str | None = None
    """In the index of the actor: the user of the session. The actor's sessions end together, those as others too."""


_LOGIN = TypeAdapter(Login)


class EntryCodec:
    """Computes users' names in the store, and encodes and decodes the data of logins.

    Args:
        keys: HMAC keys; each gives a user another name. Entries are written under the first key's name, and found
            under the names of all keys.
        sealer: Encrypts the data of logins.
    """

    def __init__(self, keys: Sequence[bytes], sealer: Sealer) -> None:
        self._keys = keys
        self._sealer = sealer

    def names(self, sub: str) -> list[str]:
        """The user's names in the store, the newest last. All have one length, and none of them reveals the user.

        Readers use this order: an entry that moves meanwhile moves to a newer name, so they meet it later.
        """
        text = check_sub(sub).encode()
        names = [hmac.digest(key, text, "sha256").hex() for key in self._keys]
        return [FORMER + hashlib.sha256(text).hexdigest(), *reversed(names)]

    def seal(self, name: str, session_id: str, login: Login) -> bytes:
        """Encode and encrypt a login for the store."""
        login = replace(login, client=cut(login.client), user_agent=cut(login.user_agent))
        return self._sealer.seal(f"{name}:{session_id}", _LOGIN.dump_json(login))

    def login(self, name: str, session_id: str, entry: Entry) -> Login:
        """Decode an entry's login. If that fails, the login's time is when the session was last seen."""
        return self.opened(name, session_id, entry.data) or Login(created=entry.seen)

    def opened(self, name: str, session_id: str, data: bytes) -> Login | None:
        """Decode a login; None if that fails: another version or a removed encryption key wrote it."""
        try:
            return _LOGIN.validate_json(self._sealer.open(f"{name.removeprefix(FORMER)}:{session_id}", data))
        except (SessionCorruptError, ValidationError):
            return None


def check_sub(sub: object) -> str:
    """Return `sub` if a token can carry it.

    Raises:
        InvalidArgumentError: It is not a `str`, it is empty, or it can't be encoded as UTF-8.
    """
    if not isinstance(sub, str) or not sub:
        raise InvalidArgumentError("sub: must be a text that is not empty, as the claim of that name")
    try:
        sub.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError("sub: holds half of a surrogate pair, which no token can carry") from None
    return sub


def check_label(label: object) -> str | None:
    """Return a session's label, without white space around it; None for an empty one.

    Raises:
        InvalidArgumentError: It is not a `str`, it is too long, or it has characters that can't be shown.
    """
    if not isinstance(label, str | None):
        raise InvalidArgumentError(f"label: must be a text, not {type(label).__name__}")
    label = (label or "").strip()
    visible = label.translate(_SPACES_AND_JOINERS)
    if len(label) > LABEL_CHARACTERS or not visible.isprintable():
        raise InvalidArgumentError(f"label: at most {LABEL_CHARACTERS} characters, none of them a control character")
    return label if visible.strip() else None


def cut(text: str | None) -> str | None:
    """Remove control characters from a client's text, and cut it to `CLIENT_BYTES`."""
    if text is None:
        return None
    shown = "".join(each for each in text[:CLIENT_BYTES] if each.isprintable())
    return shown.encode()[:CLIENT_BYTES].decode(errors="ignore")
