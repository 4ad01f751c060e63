"""`MemorySessionStore`: sessions in this process, for tests."""

import time
from collections.abc import Callable, Mapping, Sequence

from ..errors import StoreUnavailableError
from ._memory_index import MemoryUserIndex
from .base import Entry, IndexAddition, IndexPage, Outcome
from .generations import Generation, LoadedGeneration, Rotated, judge


class MemorySessionStore:
    """A store of all kinds in dictionaries, for tests. Workers do not share it.

    Args:
        clock: Returns the time in seconds. It must not run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sessions: dict[str, tuple[bytes, float]] = {}
        self._users: dict[str, tuple[MemoryUserIndex, float]] = {}
        self._tickets: dict[str, tuple[bytes, float]] = {}
        self._proofs: dict[str, float] = {}
        self._generations: dict[str, tuple[Generation, int, float]] = {}
        self._forwards: dict[str, tuple[bytes, float]] = {}
        self._entered = 0
        self._not_before: float | None = None

    def __repr__(self) -> str:
        return f"MemorySessionStore({len(self._sessions)} sessions)"

    @property
    def location(self) -> str:
        """Where the sessions are, for a log."""
        return "memory://"

    async def open(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing: the sessions stay as long as the object."""

    async def ping(self) -> bool:
        """Always true."""
        return True

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        """See `SessionStore.create`."""
        current = self._get(session_id)
        if current is not None:
            return current == value
        self._set(session_id, value, ttl)
        return True

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        """See `SessionStore.load`."""
        value = self._get(session_id)
        if value is not None and ttl is not None:
            self._set(session_id, value, ttl)
        return value

    async def update(self, session_id: str, expected: bytes, value: bytes, ttl: int, *, retry: bool = True) -> Outcome:
        """See `SessionStore.update`."""
        current = self._get(session_id)
        if current is None:
            return Outcome.GONE
        if current == expected:
            self._set(session_id, value, ttl)
            return Outcome.DONE
        return Outcome.CONFLICT

    async def touch(self, session_id: str, ttl: int) -> bool:
        """See `SessionStore.touch`."""
        return await self.load(session_id, ttl) is not None

    async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
        """See `SessionStore.destroy`. There are no replicas."""
        if wait_replicas:
            raise StoreUnavailableError("destroy_not_confirmed")
        found = self._get(session_id) is not None
        self._sessions.pop(session_id, None)
        return found

    async def compare_and_delete(self, session_id: str, expected: bytes) -> Outcome:
        """See `SessionStore.compare_and_delete`."""
        current = self._get(session_id)
        if current is None:
            return Outcome.GONE
        if current != expected:
            return Outcome.CONFLICT
        del self._sessions[session_id]
        return Outcome.DONE

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
        """See `UserIndexStore.index_add`."""
        index, expires = self._index(user)
        old = index.get(session_id)
        if old is None and only_if_present:
            return IndexAddition(False, False, len(index), {})
        if old is None or (confirmed and not old.confirmed):
            self._entered += 1
            entry = Entry(self._entered, data if old is None else old.data, seen, confirmed)
        else:
            entry = old._replace(seen=seen, confirmed=confirmed)
        index.put(session_id, entry)
        self._users[user] = (index, max(expires, self._clock() + ttl / 1000))
        return IndexAddition(old is not None, True, len(index), index.sample(sample), entry.data)

    async def index_remove(self, user: str, session_ids: Sequence[str]) -> None:
        """See `UserIndexStore.index_remove`."""
        index, _ = self._index(user)
        for session_id in session_ids:
            index.remove(session_id)

    async def index_prune(self, user: str, entries: Mapping[str, Entry]) -> None:
        """See `UserIndexStore.index_prune`."""
        index, _ = self._index(user)
        for session_id, entry in entries.items():
            found = index.get(session_id)
            if found is not None and found[2:] == entry[2:]:
                index.remove(session_id)

    async def index_page(self, user: str, cursor: int, limit: int) -> IndexPage:
        """See `UserIndexStore.index_page`."""
        return self._index(user)[0].page(cursor, limit)

    async def index_get(self, user: str, session_id: str) -> bytes | None:
        """See `UserIndexStore.index_get`."""
        found = self._index(user)[0].get(session_id)
        return None if found is None else found.data

    async def index_set(self, user: str, session_id: str, data: bytes) -> bool:
        """See `UserIndexStore.index_set`."""
        index, _ = self._index(user)
        found = index.get(session_id)
        if found is not None:
            index.put(session_id, found._replace(data=data))
        return found is not None

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        """See `SessionStore.remaining`."""
        now = self._clock()
        return [round((self._sessions[each][1] - now) * 1000) if self._get(each) else 0 for each in session_ids]

    async def destroy_all(self, session_ids: Sequence[str]) -> list[bool]:
        """See `SessionStore.destroy_all`."""
        return [await self.destroy(session_id) for session_id in session_ids]

    async def ticket_add(self, ticket: str, value: bytes, ttl: int) -> None:
        """See `TicketStore.ticket_add`."""
        self._tickets[ticket] = (value, self._clock() + ttl / 1000)

    async def ticket_take(self, ticket: str) -> bytes | None:
        """See `TicketStore.ticket_take`."""
        value, expires = self._tickets.pop(ticket, (None, 0.0))
        return value if expires > self._clock() else None

    async def not_before_set(self, time: float) -> float:
        """See `CutoffStore.not_before_set`."""
        self._not_before = time if self._not_before is None else max(self._not_before, time)
        return self._not_before

    async def not_before_get(self) -> float | None:
        """See `CutoffStore.not_before_get`."""
        return self._not_before

    async def load_once(self, session_id: str, ttl: int | None, proof: str, window: int) -> tuple[bytes | None, bool]:
        """See `ReplayStore.load_once`."""
        return await self.load(session_id, ttl), await self.proof_add(proof, window)

    async def proof_add(self, proof: str, window: int) -> bool:
        """See `ReplayStore.proof_add`."""
        now = self._clock()
        while self._proofs and (oldest := next(iter(self._proofs.items())))[1] <= now:
            del self._proofs[oldest[0]]
        if self._proofs.get(proof, now) > now:
            return False
        self._proofs.pop(proof, None)
        self._proofs[proof] = now + window / 1000
        return True

    async def load_generation(self, session_id: str, ttl: int | None = None) -> LoadedGeneration:
        """See `RotationStore.load_generation`."""
        return LoadedGeneration(await self.load(session_id, ttl), *self._generation(session_id))

    async def rotate(self, session_id: str, presented: int, now: int, *, due: bool, grace: int, ttl: int) -> Rotated:
        """See `RotationStore.rotate`."""
        verdict, newest = judge(self._generation(session_id)[0], presented, now, due=due, grace=grace)
        self._generations[session_id] = (newest, now + ttl, self._clock() + ttl / 1000)
        return Rotated(verdict, newest.number)

    async def extend_generation(self, session_id: str, ttl: int) -> None:
        """See `RotationStore.extend_generation`."""
        newest, until = self._generation(session_id)
        if newest is not None:
            self._generations[session_id] = (newest, until, self._clock() + ttl / 1000)

    def _generation(self, session_id: str) -> tuple[Generation | None, int]:
        newest, until, expires = self._generations.get(session_id, (None, 0, 0.0))
        return (newest, until) if expires > self._clock() else (None, 0)

    async def forward_add(self, session_id: str, value: bytes, ttl: int) -> bool:
        """See `ForwardStore.forward_add`."""
        if self._forward(session_id) is not None:
            return False
        self._forwards[session_id] = (value, self._clock() + ttl / 1000)
        return True

    async def forward_replace(self, session_id: str, expected: bytes, value: bytes, ttl: int) -> bool:
        """See `ForwardStore.forward_replace`."""
        if self._forward(session_id) != expected:
            return False
        self._forwards[session_id] = (value, self._clock() + ttl / 1000)
        return True

    async def forward_get(self, session_id: str) -> bytes | None:
        """See `ForwardStore.forward_get`."""
        return self._forward(session_id)

    def _forward(self, session_id: str) -> bytes | None:
        value, expires = self._forwards.get(session_id, (None, 0.0))
        return value if expires > self._clock() else None

    def _index(self, user: str) -> tuple[MemoryUserIndex, float]:
        index, expires = self._users.get(user, (None, 0.0))
        return (index, expires) if index is not None and expires > self._clock() else (MemoryUserIndex(), 0.0)

    def _get(self, session_id: str) -> bytes | None:
        value, expires = self._sessions.get(session_id, (None, 0.0))
        if value is not None and expires <= self._clock():
            del self._sessions[session_id]
            return None
        return value

    def _set(self, session_id: str, value: bytes, ttl: int) -> None:
        self._sessions[session_id] = (value, self._clock() + ttl / 1000)
