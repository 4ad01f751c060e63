"""The type variables of the package's generic classes: the caller's session and the caller's claims."""

# Python's own TypeVar has defaults (PEP 696) only from 3.13 on. Pydantic and FastAPI both require typing_extensions, so
# it is no additional dependency.
from typing_extensions import TypeVar

from .models import Claims, Session

S = TypeVar("S", bound=Session, default=Session)
"""The model of the stored data."""

C = TypeVar("C", bound=Claims, default=Claims)
"""The model of the claims."""
