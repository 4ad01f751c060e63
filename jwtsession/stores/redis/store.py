"""`RedisSessionStore`: sessions in Redis or Valkey, also behind Sentinel and in a cluster."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster

from ..._tracebacks import scrub_traceback
from ...errors import ConfigurationError, StoreUnavailableError
from ..base import Entry, IndexAddition, IndexPage, Outcome
from ..generations import LoadedGeneration, Rotated
from ._exchange import Call, Read
from ._generations import RedisGenerations
from ._not_before import RedisCutoff
from ._proofs import RedisProofs
from ._script import Script
from ._user_index import RedisUserIndex
from .connect import Connections
from .executor import Executor

WAIT_SECONDS = 0.8
"""How long `destroy` waits for replicas. This must be less than the socket's timeout."""

_UPDATE = Script("update.lua")
_COMPARE_AND_DELETE = Script("compare_and_delete.lua")
_DESTROY = Script("destroy.lua")


class RedisSessionStore:
    """A store of all kinds (`SessionStore`, `UserIndexStore` and the others) in Redis 6.2 or newer, or any Valkey.

    Args:
        url: See `SessionSettings.redis_url`. Options of redis-py in its query override the defaults here
            (`?max_connections=100&socket_timeout=0.5`).
        client: A `redis.asyncio` client instead of a URL. The store does not configure it and does not close it. With
            the client of a cluster, loads share no round trips: they use the client's own connections.
        keyspace: Prefix of the sessions' keys.

    Raises:
        ConfigurationError: The URL can't be used, or the client decodes responses.
    """

    @scrub_traceback
    def __init__(
        self,
        url: str | None = None,
        *,
        client: Redis | RedisCluster | None = None,
        keyspace: str = "sess:",
    ) -> None:
        if (url is None) == (client is None):
            raise ConfigurationError("RedisSessionStore needs either a url or a client")
        if client is not None and client.get_encoder().decode_responses:
            raise ConfigurationError("client: must be made with decode_responses=False, sessions are bytes")
        self._keyspace = keyspace
        self._connections = Connections(url, client)
        self._executor = Executor(self._connections, keyspace)
        self._index = RedisUserIndex(f"{keyspace}user:", self._executor)
        self._cutoff = RedisCutoff(f"{keyspace}not_before", self._executor)
        self._proofs = RedisProofs(f"{keyspace}dpop:", self._executor)
        self._generations = RedisGenerations(keyspace, self._executor)

    def __repr__(self) -> str:
        return f"RedisSessionStore({self.location!r}, keyspace={self._keyspace!r})"

    @property
    def location(self) -> str:
        """The place of the sessions, for a log: the URL without user, password and options."""
        return self._connections.location

    @property
    def keyspace(self) -> str:
        """Prefix of the keys."""
        return self._keyspace

    async def open(self) -> None:
        """Start the embedded server if the URL asks for one. Any other server may still be down."""
        await self._connections.open()

    async def close(self) -> None:
        """Close the client, unless it is the caller's own, and leave the embedded server."""
        await self._connections.close()

    async def ping(self) -> bool:
        """See `SessionStore.ping`."""
        return await self._executor.ping()

    async def eviction_policies(self) -> dict[str, tuple[str, int] | None]:
        """Ask each server that has sessions how it evicts keys.

        Returns:
            By the server's name its `maxmemory-policy` and its `maxmemory` in bytes; None where it does not tell them.

        Raises:
            StoreUnavailableError: A server did not answer.
        """
        found = await self._executor.ask_primaries("INFO", "memory")
        return {
            name: (told["maxmemory_policy"], int(told.get("maxmemory", 0)))
            if isinstance(told, dict) and "maxmemory_policy" in told
            else None  # the user has no right to ask, or a proxy answered
            for name, told in found.items()
        }

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        """See `SessionStore.create`."""
        key = self._keyspace + session_id
        if await self._executor.call("SET", key, value, "NX", "PX", ttl) is not None:
            return True
        # This call's first try may have stored it, and have lost the reply.
        found: bytes | None = await self._executor.call("GET", key)
        return found == value

    def load(
        self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False
    ) -> Coroutine[Any, Any, bytes | None]:
        """See `SessionStore.load`: one command, one round trip."""
        key = self._keyspace + session_id
        return self._executor.read(("GET", key) if ttl is None else ("GETEX", key, "PX", ttl))

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        """See `SessionStore.update`: one script."""
        call = Call(retry=retry)
        found = await self._evaluate(_UPDATE, session_id, expected, value, ttl, call=call)
        if found == b"same":
            # This call's own write, if an earlier try may have written; at a first try it is somebody else's.
            return Outcome.DONE if call.unanswered else Outcome.CONFLICT
        return Outcome(found.decode())

    async def touch(self, session_id: str, ttl: int) -> bool:
        """See `SessionStore.touch`: one command."""
        return bool(await self._executor.call("PEXPIRE", self._keyspace + session_id, ttl))

    async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
        """See `SessionStore.destroy`: one command, or one script and WAIT in one round trip."""
        key = self._keyspace + session_id
        if not wait_replicas:
            return bool(await self._executor.call("DEL", key))
        existed, confirmed = await self._executor.together(
            key, ("EVAL", _DESTROY.source, 1, key), ("WAIT", wait_replicas, int(WAIT_SECONDS * 1000))
        )
        if confirmed < wait_replicas:
            raise StoreUnavailableError("destroy_not_confirmed")
        return bool(existed)

    async def compare_and_delete(self, session_id: str, expected: bytes) -> Outcome:
        """See `SessionStore.compare_and_delete`: one script."""
        call = Call()
        found = Outcome((await self._evaluate(_COMPARE_AND_DELETE, session_id, expected, call=call)).decode())
        if found is Outcome.GONE and call.unanswered:
            # This call's first try, or somebody else, has deleted it: nobody can tell which.
            raise StoreUnavailableError
        return found

    async def index_add(
        self,
        user: str,
        session_id: str,
        data: bytes,
        seen: float,
        ttl: int,
        *,
        confirmed: bool = True,
        only_if_present: bool = False,
        sample: int = 0,
    ) -> IndexAddition:
        """See `UserIndexStore.index_add`: one script on two keys of one slot."""
        options = {"confirmed": confirmed, "only_if_present": only_if_present}
        return await self._index.add(user, session_id, data, seen, ttl, sample=sample, **options)

    async def index_remove(self, user: str, session_ids: Sequence[str]) -> None:
        """See `UserIndexStore.index_remove`: one script."""
        await self._index.remove(user, session_ids)

    async def index_prune(self, user: str, entries: Mapping[str, Entry]) -> None:
        """See `UserIndexStore.index_prune`: one script."""
        await self._index.prune(user, entries)

    async def index_page(self, user: str, cursor: int, limit: int) -> IndexPage:
        """See `UserIndexStore.index_page`: one script."""
        return await self._index.page(user, cursor, limit)

    async def index_get(self, user: str, session_id: str) -> bytes | None:
        """See `UserIndexStore.index_get`: one command."""
        return await self._index.get(user, session_id)

    async def index_set(self, user: str, session_id: str, data: bytes) -> bool:
        """See `UserIndexStore.index_set`: one script."""
        return await self._index.set(user, session_id, data)

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        """See `SessionStore.remaining`: one round trip for a thousand."""
        replies = await self._executor.each([("PTTL", self._keyspace + each) for each in session_ids])
        return [max(0, reply) for reply in replies]

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        """See `SessionStore.destroy_all`: one round trip for a thousand."""
        replies = await self._executor.each([("DEL", self._keyspace + each) for each in session_ids])
        return [bool(reply) for reply in replies]

    async def ticket_add(self, ticket: str, value: bytes, ttl: int) -> None:
        """See `TicketStore.ticket_add`: one command."""
        await self._executor.call("SET", f"{self._keyspace}ticket:{ticket}", value, "PX", ttl)

    async def ticket_take(self, ticket: str) -> bytes | None:
        """See `TicketStore.ticket_take`: one command."""
        call = Call()
        value: bytes | None = await self._executor.call("GETDEL", f"{self._keyspace}ticket:{ticket}", call=call)
        if value is None and call.unanswered:
            raise StoreUnavailableError  # this call's first try may have taken it
        return value

    async def not_before_set(self, time: float) -> float:
        """See `CutoffStore.not_before_set`: one script."""
        return await self._cutoff.set(time)

    async def not_before_get(self) -> float | None:
        """See `CutoffStore.not_before_get`: one command."""
        return await self._cutoff.get()

    async def load_once(self, session_id: str, ttl: int | None, proof: str, window: int) -> tuple[bytes | None, bool]:
        """See `ReplayStore.load_once`: two commands, one round trip."""
        key = self._keyspace + session_id
        load: Read = ("GET", key) if ttl is None else ("GETEX", key, "PX", ttl)
        return await self._proofs.load_once(load, proof, window)

    async def proof_add(self, proof: str, window: int) -> bool:
        """See `ReplayStore.proof_add`: one command."""
        return await self._proofs.add(proof, window)

    async def load_generation(self, session_id: str, ttl: int | None = None) -> LoadedGeneration:
        """See `RotationStore.load_generation`: two commands, one round trip."""
        return await self._generations.load(session_id, ttl)

    async def rotate(self, session_id: str, presented: int, now: int, *, due: bool, grace: int, ttl: int) -> Rotated:
        """See `RotationStore.rotate`: one script."""
        return await self._generations.rotate(session_id, presented, now, due=due, grace=grace, ttl=ttl)

    async def extend_generation(self, session_id: str, ttl: int) -> None:
        """See `RotationStore.extend_generation`: one command."""
        await self._generations.extend(session_id, ttl)

    async def forward_add(self, session_id: str, value: bytes, ttl: int) -> bool:
        """See `ForwardStore.forward_add`: one command."""
        return await self._executor.call("SET", self._forward(session_id), value, "NX", "PX", ttl) is not None

    async def forward_replace(self, session_id: str, expected: bytes, value: bytes, ttl: int) -> bool:
        """See `ForwardStore.forward_replace`: one script."""
        found = await self._executor.evaluate(_UPDATE, [self._forward(session_id)], expected, value, ttl)
        return found in (b"done", b"same")  # the same: an earlier try of this call, or an equal change

    async def forward_get(self, session_id: str) -> bytes | None:
        """See `ForwardStore.forward_get`: one command."""
        value: bytes | None = await self._executor.read(("GET", self._forward(session_id)))
        return value

    def _forward(self, session_id: str) -> str:
        return f"{self._keyspace}fwd:{session_id}"

    async def _evaluate(self, script: Script, session_id: str, *args: str | bytes | int, call: Call) -> Any:
        return await self._executor.evaluate(script, [self._keyspace + session_id], *args, call=call)
