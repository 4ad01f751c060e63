"""The type variables of the package's generic classes, and types that several rooms share."""

from collections.abc import Awaitable, Callable
from typing import Literal

# Python's own TypeVar has defaults (PEP 696) only from 3.13 on. Pydantic and FastAPI both require typing_extensions, so
# it is no additional dependency.
from typing_extensions import TypeVar

from .models import Claims, Session

S = TypeVar("S", bound=Session, default=Session)
"""The model of the stored data."""

C = TypeVar("C", bound=Claims, default=Claims)
"""The model of the claims."""

Transport = Literal["cookie", "bearer"]
"""How a client gets a new token: in a cookie, or in the answer's body, as a bearer token (RFC 6750)."""

MayImpersonate = Callable[[str, str], bool | Awaitable[bool]]
"""Says whether the first user may act for the second: `SessionProvider(may_impersonate=...)`."""
