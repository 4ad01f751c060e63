"""The shop's users, in the place of your database. Passwords are hashed with Argon2, off the event loop."""

import secrets
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread
from pwdlib import PasswordHash

# A hash takes 64 MiB and a core for a tenth of a second, on purpose: a rush of logins queues here, and neither fills
# the memory nor takes the threads of the `def` endpoints.
_LIMITER = CapacityLimiter(2)
_HASHER = PasswordHash.recommended()


@dataclass(frozen=True)
class User:
    """A user as the database has it."""

    id: int
    name: str
    password_hash: str
    is_staff: bool = False


DEMO_PASSWORDS = {"alice": "wonderland", "bob": "builder"}
_USERS = {
    "alice": User(1, "alice", _HASHER.hash(DEMO_PASSWORDS["alice"])),
    "bob": User(2, "bob", _HASHER.hash(DEMO_PASSWORDS["bob"]), is_staff=True),
}
_NOBODYS_HASH = _HASHER.hash(secrets.token_urlsafe())


async def authenticate(name: str, password: str) -> User | None:
    """The user, or None for a wrong name and a wrong password alike.

    A name that nobody has costs the same work, so that the time of an answer does not tell which names exist.
    """
    user = _USERS.get(name)
    password_hash = _NOBODYS_HASH if user is None else user.password_hash
    matches = await to_thread.run_sync(_HASHER.verify, password, password_hash, limiter=_LIMITER)
    return user if matches else None
