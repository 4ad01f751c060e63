"""What the racers do. Every role takes an entrant and a subject, mostly the token of a session that is raced for."""

import asyncio
import contextlib
import dataclasses
import json
from typing import Any

from jwtsession import AuthenticationError, Claims, SessionConflictError, TooManySessionsError
from tests.races.racing import Entrant, Manager, Raced


@dataclasses.dataclass
class Attempt:
    """One verb, once."""

    verb: str
    outcome: str
    """`done`, `gone` (401) or `conflict` (409)."""
    mark: str
    token: str | None = None
    """Of the session's new id."""
    came_back: bool = False
    """The session was found after it was known to be gone."""


async def attempt(entrant: Entrant, token: str, verb: str) -> Attempt:
    """Load the session, hesitate, do the verb; where the session is gone then, look again."""
    made = Attempt(verb, "done", entrant.mark())
    manager = await entrant.manager(token)
    await entrant.hesitate()
    try:
        made.token = await _do(entrant, manager, verb, made.mark)
    except AuthenticationError:
        made.outcome = "gone"
    except SessionConflictError:
        made.outcome = "conflict"
    if made.outcome == "gone" or (made.outcome == "done" and verb in ("destroy", "regenerate", "sign in")):
        for _ in range(3):
            await entrant.hesitate()
            made.came_back |= (await entrant.manager(token)).session is not None
    return made


async def _do(entrant: Entrant, manager: Manager, verb: str, mark: str) -> str | None:
    def add(session: Raced) -> None:
        session.marks.append(mark)

    match verb:
        case "update":
            manager.require().marks.append(mark)
            await manager.update()
        case "mutate":
            await manager.mutate(add)
        case "touch":
            await manager.touch()
        case "destroy":
            await manager.destroy()
        case "destroy later":
            # While the others are between the steps of their move, or have just done it.
            await asyncio.sleep(entrant.random.uniform(0, 0.2))
            await manager.destroy()
        case "regenerate":
            add(manager.require())
            return (await manager.regenerate()).access_token
        case "sign in":
            add(manager.require())
            return (await manager.regenerate(claims=Claims(sub="ann"))).access_token
        case "expire":
            # As if the idle timeout passed in the next moments.
            if manager.id is not None:
                await entrant.store.touch(manager.id, entrant.random.randint(1, 4))
        case _:
            raise ValueError(verb)
    return None


async def increment_by_mutate(entrant: Entrant, token: str, field: str, times: int) -> int:
    """How many increments were confirmed."""
    manager = await entrant.manager(token)
    done = 0

    def add(session: Raced) -> None:
        setattr(session, field, getattr(session, field) + 1)

    for _ in range(times):
        try:
            await manager.mutate(add)
        except SessionConflictError:
            continue
        done += 1
    return done


async def increment_by_update(entrant: Entrant, token: str, field: str, times: int) -> int:
    """Increments by load and update, again where somebody else was faster. How many were confirmed."""
    for _ in range(times):
        while True:
            session = (manager := await entrant.manager(token)).require()
            setattr(session, field, getattr(session, field) + 1)
            try:
                await manager.update()
            except SessionConflictError:
                continue
            break
    return times


async def increment_from_one_state(entrant: Entrant, token: str) -> bool:
    """An increment, whose bytes are the same as everybody else's. Whether it was confirmed."""
    manager = await entrant.manager(token)
    manager.require().count += 1
    await entrant.hesitate()
    try:
        await manager.update()
    except SessionConflictError:
        return False
    return True


async def redeem(entrant: Entrant, token: str, verb: str) -> bool:
    """Take the coupon, which leaves the same bytes for everybody. Whether it was confirmed, and would be paid out."""
    manager = await entrant.manager(token)
    paid = manager.require().by == "coupon"

    def take(session: Raced) -> None:
        nonlocal paid
        paid, session.by = session.by == "coupon", ""

    await entrant.hesitate()
    try:
        if verb == "mutate":
            await manager.mutate(take)
        elif paid:
            take(manager.require())
            await manager.update()
    except SessionConflictError:
        return False
    return paid


async def create(entrant: Entrant, session_id: str) -> tuple[bool, str]:
    """Under an id that others want too: whether it was stored, and what."""
    mark = entrant.mark()
    return await entrant.store.create(session_id, mark.encode(), 3_600_000), mark


async def write_as_the_original(entrant: Entrant, token: str, times: int, then_destroy: bool = False) -> int:
    """As `jwt-redis-session` does it: read, change, SETEX of everything, without a look at what stands there then.

    Gives the number in its last write.
    """
    manager = await entrant.manager(token)
    async with entrant.redis() as redis:
        for number in range(1, times + 1):
            data: dict[str, Any] = json.loads(await redis.get(f"sess:{manager.id}") or b"")
            await entrant.hesitate()
            # Spaces, as no serializer of ours writes them: other bytes for the same data.
            await redis.setex(f"sess:{manager.id}", 3600, json.dumps(data | {"node": number}))
            await entrant.hesitate()
    if then_destroy:
        await manager.destroy()
    return times


def number_of_the_original(stored: bytes | None) -> int:
    """The number of the original's last write, of those that reached what is stored."""
    found: int = json.loads(stored).get("node", 0) if stored else 0
    return found


async def mark_often(entrant: Entrant, token: str, verb: str, times: int) -> list[str]:
    """Marks that were confirmed."""
    return [made.mark for _ in range(times) if (made := await attempt(entrant, token, verb)).outcome == "done"]


async def log_in(entrant: Entrant, sub: str, then: str = "") -> None:
    """A login, and perhaps a new id or a logout."""
    await entrant.hesitate()
    manager = await entrant.manager()
    with contextlib.suppress(AuthenticationError, TooManySessionsError):
        await manager.create(Raced(owner=sub), Claims(sub=sub))
        await entrant.hesitate()
        if then == "regenerate":
            await manager.regenerate()
        elif then == "destroy":
            await manager.destroy()


async def revoke_all(entrant: Entrant, sub: str, delay: float) -> None:
    await asyncio.sleep(entrant.random.uniform(0, delay))
    await entrant.sessions.revoke_all(sub)


async def list_sessions(entrant: Entrant, sub: str) -> None:
    for _ in range(3):
        await entrant.sessions.list_sessions(sub)
        await entrant.hesitate()


async def escape(entrant: Entrant, subject: tuple[str, ...]) -> None:
    """Take new id after new id, as somebody does who wants to keep a stolen session."""
    token = subject[1]
    with contextlib.suppress(AuthenticationError):
        for _ in range(30):
            token = (await (await entrant.manager(token)).regenerate()).access_token


async def hunt(entrant: Entrant, subject: tuple[str, ...]) -> None:
    await revoke_all(entrant, subject[0], delay=0.02)


async def destroy_others(entrant: Entrant, subject: tuple[str, ...]) -> None:
    manager = await entrant.manager(subject[-1])
    await asyncio.sleep(entrant.random.uniform(0, 0.2))
    await manager.destroy_others()
