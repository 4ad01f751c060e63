"""Reads the keys of a server in portions, which hold up nobody."""

from collections.abc import AsyncIterator

from ..stores.redis.inspection import Node, Refusal
from ..stores.redis.rights import literal_pattern

_PORTION = 250
"""How many keys a server looks at for one answer."""
_MOST_PORTIONS = 200
"""`keys_of` asks no more often: in a large server few keys may be the application's."""


async def portions_of(node: Node, keyspace: str) -> AsyncIterator[list[str] | Refusal]:
    """Yield all keys of a server that begin with the keyspace, portion by portion. A `Refusal` is the last.

    A key that is there from the beginning to the end is yielded, perhaps twice.
    """
    pattern = literal_pattern(keyspace) + "*"
    cursor = "0"
    while True:
        reply = await node.ask("SCAN", cursor, "MATCH", pattern, "COUNT", str(_PORTION))
        if isinstance(reply, Refusal):
            yield reply
            return
        cursor, keys = reply
        yield keys
        if cursor == "0":
            return


async def keys_of(node: Node, keyspace: str, limit: int) -> list[str] | Refusal:
    """Return at most `limit` keys that begin with the keyspace."""
    found: dict[str, None] = {}
    portions = 0
    async for keys in portions_of(node, keyspace):
        if isinstance(keys, Refusal):
            return keys
        found |= dict.fromkeys(keys)
        portions += 1
        if len(found) >= limit or portions >= _MOST_PORTIONS:
            break
    return [*found][:limit]
