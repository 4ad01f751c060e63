"""The shop's users, in the place of your database. Passwords are hashed with Argon2, off the event loop."""

import secrets
from typing import NamedTuple

from anyio import CapacityLimiter, to_thread
from pwdlib import PasswordHash

_LIMITER = CapacityLimiter(2)  # a hash takes 64 MiB and a core for 0.1 s, on purpose: a rush of logins queues here
_HASHER = PasswordHash.recommended()


class User(NamedTuple):
    """A user as the database has it."""

    id: int
    role: str
    password_hash: str


DEMO_PASSWORDS = {"alice": "wonderland", "bob": "builder"}
_ROLES = {"alice": "customer", "bob": "staff"}
_USERS = {name: User(id_, _ROLES[name], _HASHER.hash(DEMO_PASSWORDS[name])) for id_, name in enumerate(_ROLES, 1)}
CUSTOMERS = {str(user.id): name for name, user in _USERS.items() if user.role == "customer"}
_NOBODY = User(0, "nobody", _HASHER.hash(secrets.token_urlsafe()))


async def authenticate(name: str, password: str) -> User | None:
    """The user, or None for a wrong name and a wrong password alike: a name that nobody has costs the same work."""
    user = _USERS.get(name, _NOBODY)
    matches = await to_thread.run_sync(_HASHER.verify, password, user.password_hash, limiter=_LIMITER)
    return user if matches and user is not _NOBODY else None
