"""The rights that a server's user needs: for each feature its commands, and for each command a call that does nothing.

This is their one place: the documentation shows them, and a test compares it with this file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BASIC = ("+get", "+set", "+getex", "+del", "+pexpire", "+eval", "+evalsha", "+ping")
"""What every application needs."""
USER_INDEX = (
    "+hdel", "+hget", "+hincrby", "+hmget", "+hscan", "+hset", "+pttl",
    "+zadd", "+zcard", "+zrandmember", "+zrangebyscore", "+zrem", "+zscore",
)  # fmt: skip
"""For the setting `user_index`."""
ROTATION = ("+hmget", "+hset")
"""For `rotation`, with a second pattern of keys."""
NEAR_CACHE = ("+pttl", "+client|id", "+client|tracking", "+subscribe")
"""For `near_cache_bytes`, with the channel `INVALIDATIONS`."""
CLUSTER = ("+cluster|slots", "+command")
"""For a cluster."""
MOVING_SLOTS = ("+asking",)
"""For a cluster, while slots move."""
DATABASE = ("+select",)
"""For another database than 0."""
POLICY = ("+info",)
"""To have the eviction policy checked."""
OPTIONAL = {"+pttl": "WebSockets and streams", "+getdel": "tickets", "+wait": "wait_replicas"}
"""For what an application uses without a setting."""
INSPECTION = ("+acl|dryrun", "+config|get", "+info", "+scan", "+strlen", "+time", "+type", "+pttl")
"""What the command line needs beside: without one of these it can say less."""

INVALIDATIONS = "__redis__:invalidate"
"""The channel on which a server reports changes of keys."""

PROBE = "jwtsession-doctor-looks-for-rights"
"""A session's id that nobody has."""

# Calls that change nothing: the key is not there, the option XX makes no key, or the server finds the mistake in the
# arguments after it has looked at the rights.
_HARMLESS: Mapping[str, tuple[str, ...]] = {
    "+set": ("SET", "KEY", "1", "XX", "PX", "1000"),
    "+getex": ("GETEX", "KEY", "PX", "1000"),
    "+pexpire": ("PEXPIRE", "KEY", "1000"),
    "+eval": ("EVAL", "return 1", "1", "KEY"),
    "+evalsha": ("EVALSHA", "0" * 40, "1", "KEY"),
    "+ping": ("PING",),
    "+hdel": ("HDEL", "KEY", "field"),
    "+hget": ("HGET", "KEY", "field"),
    "+hincrby": ("HINCRBY", "KEY", "field", "no-number"),
    "+hmget": ("HMGET", "KEY", "field"),
    "+hscan": ("HSCAN", "KEY", "0"),
    "+hset": ("HSET", "KEY", "field", "value", "no-value"),
    "+zadd": ("ZADD", "KEY", "XX", "1", "member"),
    "+zrangebyscore": ("ZRANGEBYSCORE", "KEY", "0", "0"),
    "+zrem": ("ZREM", "KEY", "member"),
    "+zscore": ("ZSCORE", "KEY", "member"),
    "+client|id": ("CLIENT", "ID"),
    "+client|tracking": ("CLIENT", "TRACKING", "OFF"),
    "+subscribe": ("SUBSCRIBE", INVALIDATIONS),
    "+cluster|slots": ("CLUSTER", "SLOTS"),
    "+command": ("COMMAND",),
    "+asking": ("ASKING",),
    "+select": ("SELECT", "0"),
    "+info": ("INFO", "memory"),
    "+wait": ("WAIT", "0", "1"),
}


def harmless_call(right: str, key: str) -> tuple[str, ...]:
    """Return the words of a call that needs a right and changes nothing.

    Args:
        right: The right, such as `+get`.
        key: A key that does not exist.
    """
    words = _HARMLESS.get(right, (right.removeprefix("+").upper(), "KEY"))
    return tuple(key if word == "KEY" else word for word in words)


@dataclass(frozen=True)
class Rule:
    """What one user of the server may do."""

    patterns: tuple[str, ...]
    """Patterns of keys."""
    channels: tuple[str, ...]
    commands: tuple[str, ...]

    def __str__(self) -> str:
        """The rule as `ACL SETUSER` takes it."""
        keys = [f"~{pattern}" for pattern in self.patterns]
        return " ".join([*keys, *(f"&{channel}" for channel in self.channels), "-@all", *self.commands])


def literal_pattern(text: str) -> str:
    """The pattern of a server (`SCAN`, `ACL SETUSER`) that matches this text alone."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", text)  # nothing else has a meaning outside of brackets


def rule(
    *,
    keyspace: str,
    user_index: bool = False,
    rotation: bool = False,
    near_cache: bool = False,
    asks_policy: bool = False,
    cluster: bool = False,
    database: bool = False,
    others: Sequence[str] = (),
) -> Rule:
    """Return the smallest rule for a user of the server.

    Args:
        keyspace: The prefix of the keys.
        user_index: Whether there is an index of each user's sessions.
        rotation: Whether tokens are replaced while they are in use.
        near_cache: Whether workers keep sessions in memory.
        asks_policy: Whether the server's eviction policy is to be checked.
        cluster: Whether the servers are a cluster.
        database: Whether the URL names another database than 0.
        others: Rights beside these, such as those of `OPTIONAL`.
    """
    prefix = literal_pattern(keyspace)
    commands = [
        *BASIC,
        *(USER_INDEX if user_index else ()),
        *(ROTATION if rotation else ()),
        *(NEAR_CACHE if near_cache else ()),
        *(POLICY if asks_policy else ()),
        *((*CLUSTER, *MOVING_SLOTS) if cluster else ()),
        *(DATABASE if database else ()),
        *others,
    ]
    return Rule(
        (f"{prefix}*", f"{{{prefix}*") if rotation else (f"{prefix}*",),
        (INVALIDATIONS,) if near_cache else (),
        tuple(dict.fromkeys(commands)),
    )
