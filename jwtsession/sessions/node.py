"""The fields that the Node original (`jwt-redis-session`) adds to the session's data."""

from typing import Any


def drop_bookkeeping(fields: dict[str, Any]) -> None:
    """Remove the raw JWT and its claims, which the original stores with every update.

    Neither is session data: the original sets both again at each request. A token must not be in the store.
    """
    claims = fields.get("claims")
    if isinstance(fields.get("jwt"), str) and isinstance(claims, dict) and "jti" in claims:
        del fields["jwt"], fields["claims"]
