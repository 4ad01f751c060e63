"""The type variables of the package's generic classes: the caller's session and the caller's claims."""

# From typing_extensions for the defaults (PEP 696), which Python itself has from 3.13 on. Pydantic and FastAPI both
# need typing_extensions, so it is no dependency of our own.
from typing_extensions import TypeVar

from .models import Claims, Session

S = TypeVar("S", bound=Session, default=Session)
"""The stored data's model."""

C = TypeVar("C", bound=Claims, default=Claims)
"""The claims' model."""
