"""`rule_of()`: the smallest rule for the server's user, from the settings."""

from collections.abc import Sequence

from .._from_settings import at_risk_of, location_of, names_server
from ..settings import SessionSettings
from ..stores.redis.rights import Rule, rule


def rule_of(settings: SessionSettings, kind: str, others: Sequence[str] = ()) -> Rule:
    """Return what the server's user needs for these settings.

    Args:
        settings: The settings.
        kind: `cluster` for a cluster.
        others: Rights beside these, such as those of `OPTIONAL`.
    """
    location = location_of(settings) if names_server(settings) else ""
    return rule(
        keyspace=settings.keyspace,
        user_index=settings.user_index,
        rotation=settings.rotation.after is not None,
        near_cache=settings.near_cache_bytes > 0,
        asks_policy=bool(at_risk_of(settings)),
        cluster=kind == "cluster",
        database=location.rpartition("/")[2] not in ("", "0")
        and kind != "cluster"
        and not location.startswith("unix:"),
        others=others,
    )
