"""Tests of jwtsession.sessions.forwards, and of how sessions move and end by them, step by step."""

import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jwtsession import SessionNotFoundError, StoreUnavailableError, TooManySessionsError
from jwtsession.sessions import Forwards, PlaintextSealer
from jwtsession.testing import Clock, InspectableStore
from tests.unit.conftest import Manager, UserClaims, UserSession, World

Step = Callable[[], Awaitable[object]]


class SteppedStore(InspectableStore):
    """Something may happen, once, right before or after a step: `store.before["create"] = other_request`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.before: dict[str, Step] = {}
        self.after: dict[str, Step] = {}
        self.down: set[str] = set()
        self.calls: list[str] = []
        self.users: set[str] = set()

    async def index_add(self, user: str, *args: Any, **options: Any) -> Any:
        self.users.add(user)
        return await super().index_add(user, *args, **options)

    async def _stepped(self, name: str, *args: Any, **options: Any) -> Any:
        if before := self.before.pop(name, None):
            await before()
        self.calls.append(name)
        if name in self.down or f"{name} {args[0]}" in self.down:
            raise StoreUnavailableError
        found = await getattr(super(), name)(*args, **options)
        if after := self.after.pop(name, None):
            await after()
        return found

    async def create(self, *args: Any) -> Any:
        return await self._stepped("create", *args)

    async def destroy(self, *args: Any) -> Any:
        return await self._stepped("destroy", *args)

    async def compare_and_delete(self, *args: Any) -> Any:
        return await self._stepped("compare_and_delete", *args)

    async def forward_add(self, *args: Any) -> Any:
        return await self._stepped("forward_add", *args)

    async def forward_replace(self, *args: Any) -> Any:
        return await self._stepped("forward_replace", *args)

    async def forward_get(self, *args: Any) -> Any:
        return await self._stepped("forward_get", *args)


@pytest.fixture
def store(clock: Clock) -> SteppedStore:
    return SteppedStore(clock)


@pytest.fixture
def world(clock: Clock, store: SteppedStore) -> World:
    return World(clock, store)


async def moved(world: World, token: str, times: int = 1, **options: Any) -> str:
    """The token of the session after so many moves."""
    for _ in range(times):
        token = (await (await world.request(token)).regenerate(**options)).access_token
    return token


async def log_out(world: World, token: str) -> None:
    await (await world.request(token)).destroy()


async def lives(world: World, token: str) -> bool:
    return (await world.request(token)).session is not None


async def id_of(world: World, token: str) -> str:
    found = (await world.request(token)).id
    assert found is not None
    return found


# --- the chain -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 31, 32])
async def test_a_logout_by_an_old_token_ends_the_session_where_it_is_now(world: World, times: int) -> None:
    """However often it has moved, up to 32 times."""
    first = await world.log_in()
    last = await moved(world, first, times)
    assert await lives(world, last)
    await log_out(world, first)
    assert not await lives(world, last)
    assert world.store.contents == {}


async def test_a_logout_by_a_token_of_the_middle_does_too(world: World) -> None:
    """Any genuine token of the chain will do, and a second logout by any of them does nothing."""
    first = await world.log_in()
    middle = await moved(world, first, 3)
    last = await moved(world, middle, 3)
    await log_out(world, middle)
    assert not await lives(world, last)
    for token in (first, middle, last):
        await log_out(world, token)


@pytest.mark.parametrize(("times", "calls"), [(32, 1), (33, 2), (63, 2), (64, 3)])
async def test_a_very_long_chain_ends_after_some_calls(clock: Clock, times: int, calls: int) -> None:
    """A call that does not reach the end is a 503, not a success, and the next one goes on where it stopped."""
    world = World(clock, SteppedStore(clock), user_index=True)
    first = await world.log_in(sub="ann")
    first_id = await id_of(world, first)
    last = await moved(world, first, times // 2, claims=UserClaims(sub="bob"))
    last = await moved(world, last, times - times // 2)
    for _ in range(calls - 1):
        with pytest.raises(StoreUnavailableError) as caught:
            await world.provider.revoke(first_id)
        assert caught.value.code == "session_moved_too_often"
        assert await lives(world, last)
    assert len(await world.provider.list_sessions("bob")) == 1
    assert await world.provider.revoke(first_id)
    assert await entries(world) == {}
    assert world.store.contents == {}


async def test_a_load_makes_a_very_long_chain_shorter(world: World, clock: Clock) -> None:
    """So a thief can't get out of sight by moving the session many times: the next load finds it."""
    first = await world.log_in()
    last = await moved(world, first, 70)
    clock.advance(60)
    codes = [(await refused(world, first)).code for _ in range(3)]
    assert codes == ["session_not_found", "session_not_found", "token_reused"]
    await log_out(world, first)
    assert not await lives(world, last)


@pytest.mark.parametrize("ending", [True, False])
@pytest.mark.parametrize("use", ["load", "logout"])
async def test_an_old_token_that_is_used_again_and_again_costs_little(
    world: World, store: SteppedStore, clock: Clock, ending: bool, use: str
) -> None:
    """However long its chain is, only the first use takes all the steps, also if the session has ended."""
    first = await world.log_in()
    last = await moved(world, first, 31)
    if ending:
        await log_out(world, last)
    clock.advance(60)
    code = "session_not_found" if ending else "token_reused"
    asked = []
    for _ in range(3):
        store.calls.clear()
        if use == "load" or not ending:
            assert (await refused(world, first)).code == code
        else:
            await (await world.request(first)).destroy()
        asked.append(len(store.calls))
    assert asked[0] > 31
    assert asked[1] == asked[2] <= 9
    assert await lives(world, last) is not ending
    await log_out(world, first)
    assert not await lives(world, last)


async def test_a_chain_is_not_made_shorter_beyond_what_is_settled(
    world: World, store: SteppedStore, clock: Clock
) -> None:
    """A use of an old token may come while the last id moves, and has another mover's forward that leads nowhere."""
    first = await world.log_in()
    middle = await moved(world, first, 10)
    store.down = {"compare_and_delete"}
    with pytest.raises(StoreUnavailableError):
        await (await world.request(middle)).regenerate()
    store.down = set()
    found: list[str] = []

    async def use() -> None:
        found.append((await refused(world, first)).code)

    store.after["compare_and_delete"] = use
    last = await moved(world, middle)
    assert found == ["session_not_found"]
    clock.advance(60)
    assert (await refused(world, first)).code == "token_reused"
    await log_out(world, first)
    assert not await lives(world, last)


async def test_a_store_that_takes_no_writes_does_not_stop_a_refusal(
    world: World, store: SteppedStore, clock: Clock
) -> None:
    """A server whose memory is full: the long way is gone each time."""
    first = await world.log_in()
    await moved(world, first, 20)
    clock.advance(60)
    store.down = {"forward_replace"}
    for _ in range(2):
        assert (await refused(world, first)).code == "token_reused"


async def test_a_revoked_id_is_followed(world: World) -> None:
    """`revoke` by an id that was replaced ends the session, and says so, once."""
    token = await world.log_in()
    old_id = await id_of(world, token)
    new = await moved(world, token)
    assert await world.provider.revoke(old_id)
    assert not await lives(world, new)
    assert not await world.provider.revoke(old_id)


async def test_a_login_with_an_old_token_ends_the_session_where_it_is_now(world: World) -> None:
    """`create` ends the session that the request came with."""
    first = await world.log_in()
    last = await moved(world, first, 2)
    created = await (await world.request(first)).create(UserSession(user_id=2))
    assert not await lives(world, last)
    assert await lives(world, created.access_token)


async def test_a_login_with_an_old_token_has_room_for_the_session_that_it_ends(clock: Clock) -> None:
    """A client that has lost the newest token could not log in any more, with `max_sessions` and "refuse"."""
    world = World(clock, user_index=True, max_sessions=1, too_many_sessions="refuse")
    first = await world.log_in(sub="ann")
    last = await moved(world, first, 2)
    with pytest.raises(TooManySessionsError):
        await world.log_in(sub="ann")
    manager = await world.request(first)
    created = await manager.create(UserSession(user_id=1), UserClaims(sub="ann"))
    assert not await lives(world, last)
    assert await lives(world, created.access_token)
    with pytest.raises(TooManySessionsError):
        await (await world.request(first)).create(UserSession(user_id=1), UserClaims(sub="ann"))
    assert len(await world.provider.list_sessions("ann")) == 1


async def test_the_index_follows(clock: Clock) -> None:
    """No entry is left of a session that ended by an old token, also if it had become another user's."""
    world = World(clock, SteppedStore(clock), user_index=True)
    first = await world.log_in(sub="ann")
    second = await moved(world, first)
    third = await moved(world, second, claims=UserClaims(sub="bob"))
    fourth = await moved(world, third)
    assert [info.id for info in await world.provider.list_sessions("bob")] == [await id_of(world, fourth)]
    await log_out(world, first)
    assert await entries(world) == {}


async def test_a_revocation_for_a_user_follows_only_to_the_same_user(clock: Clock) -> None:
    """The list of a user's sessions may be old: its id still ends the session, unless it has become another user's."""
    world = World(clock, user_index=True)
    token = await world.log_in(sub="ann")
    listed = (await world.provider.list_sessions("ann"))[0].id
    new = await moved(world, token)
    assert not await world.provider.revoke(listed, sub="bob")
    assert await world.provider.revoke(listed, sub="ann")
    assert not await lives(world, new)
    token = await world.log_in(sub="ann")
    listed = (await world.provider.list_sessions("ann"))[0].id
    new = await moved(world, token, claims=UserClaims(sub="bob"))
    assert not await world.provider.revoke(listed, sub="ann")
    assert await lives(world, new)


async def entries(world: World) -> dict[str, Any]:
    """All entries of all users' indices."""
    assert isinstance(world.store, SteppedStore)
    pages = [await world.store.index_page(user, 0, 10) for user in world.store.users]
    return {session_id: entry for page in pages for session_id, entry in page.entries.items()}


# --- at the same time ------------------------------------------------------------------------------------------------

STEPS = [
    ("before", "forward_add"),
    ("after", "forward_add"),
    ("before", "compare_and_delete"),
    ("after", "compare_and_delete"),
    ("before", "create"),
    ("after", "create"),
    ("before", "forward_get"),
]


@pytest.mark.parametrize(("when", "step"), STEPS)
async def test_a_logout_by_the_old_token_is_not_lost_while_the_session_moves(
    world: World, store: SteppedStore, when: str, step: str
) -> None:
    """Whichever step it comes between: the move fails, and nothing lives."""
    token = await world.log_in()
    mover, leaver = await world.request(token), await world.request(token)
    getattr(store, when)[step] = leaver.destroy
    with pytest.raises(SessionNotFoundError):
        await mover.regenerate()
    assert not getattr(store, when)
    assert store.contents == {}
    assert mover.session is None


async def test_a_logout_after_the_last_look_ends_the_new_session(world: World, store: SteppedStore) -> None:
    """The move has succeeded then; its token is dead all the same."""
    token = await world.log_in()
    mover, leaver = await world.request(token), await world.request(token)
    store.after["forward_get"] = leaver.destroy
    assert not await lives(world, (await mover.regenerate()).access_token)
    assert store.contents == {}


async def test_a_logout_by_an_even_older_token_is_not_lost_either(world: World, store: SteppedStore) -> None:
    """It meets the chain's end while that moves."""
    first = await world.log_in()
    second = await moved(world, first, 2)
    mover, leaver = await world.request(second), await world.request(first)
    store.after["compare_and_delete"] = leaver.destroy
    with pytest.raises(SessionNotFoundError):
        await mover.regenerate()
    assert store.contents == {}


async def test_of_two_moves_the_winners_forward_stands(world: World, store: SteppedStore) -> None:
    """Another move had written its forward first, and lost."""
    token = await world.log_in()
    winner, loser = await world.request(token), await world.request(token)
    found: list[str] = []

    async def win() -> None:
        found.append((await winner.regenerate()).access_token)

    store.before["compare_and_delete"] = win
    with pytest.raises(SessionNotFoundError):
        await loser.regenerate()
    assert await lives(world, found[0])
    await log_out(world, token)
    assert not await lives(world, found[0])


CLAIMED = [("before", "forward_replace"), ("after", "forward_replace"), ("before", "create"), ("after", "create")]


@pytest.mark.parametrize(("when", "step"), CLAIMED)
async def test_a_logout_is_not_lost_while_the_winner_claims_the_forward(
    world: World, store: SteppedStore, when: str, step: str
) -> None:
    """The logout marks the loser's forward, and the winner keeps the mark."""
    token = await world.log_in()
    winner, loser, leaver = [await world.request(token) for _ in range(3)]

    async def win() -> None:
        getattr(store, when)[step] = leaver.destroy
        with pytest.raises(SessionNotFoundError):
            await winner.regenerate()

    store.before["compare_and_delete"] = win
    with pytest.raises(SessionNotFoundError):
        await loser.regenerate()
    assert not getattr(store, when)
    assert store.contents == {}


async def test_a_move_that_failed_before_does_not_mislead(world: World, store: SteppedStore) -> None:
    """Its forward leads nowhere; the next move replaces it, and until then the session ends under its own id."""
    token = await world.log_in()
    store.down = {"compare_and_delete"}
    with pytest.raises(StoreUnavailableError):
        await (await world.request(token)).regenerate()
    store.down = set()
    new = await moved(world, token)
    await log_out(world, token)
    assert not await lives(world, new)


async def test_the_middle_of_a_chain_may_have_a_forward_of_a_move_that_failed(
    world: World, store: SteppedStore, clock: Clock
) -> None:
    """The session that lives is the end of the chain, wherever its own forward leads."""
    token = await world.log_in()
    new = await moved(world, token)
    store.down = {"compare_and_delete"}
    with pytest.raises(StoreUnavailableError):
        await (await world.request(new)).regenerate()
    store.down = set()
    clock.advance(60)
    assert (await refused(world, token)).code == "token_reused"
    await log_out(world, token)
    assert not await lives(world, new)


async def refused(world: World, token: str) -> SessionNotFoundError:
    manager: Manager = await world.request(token)
    with pytest.raises(SessionNotFoundError) as caught:
        manager.require()
    return caught.value


# --- halfway ---------------------------------------------------------------------------------------------------------


async def test_a_logout_that_failed_in_the_middle_goes_on_at_the_next_try(world: World, store: SteppedStore) -> None:
    """The links that it has marked still lead to the end."""
    first = await world.log_in()
    middle = await moved(world, first)
    middle_id = await id_of(world, middle)
    last = await moved(world, middle, 2)
    leaver = await world.request(first)
    store.down = {f"forward_get {middle_id}"}
    with pytest.raises(StoreUnavailableError):
        await leaver.destroy()
    store.down = set()
    assert await lives(world, last)
    await leaver.destroy()
    assert not await lives(world, last)


@pytest.mark.parametrize("step", ["forward_add", "compare_and_delete"])
async def test_a_move_that_fails_before_the_old_session_is_gone_keeps_it(
    world: World, store: SteppedStore, step: str
) -> None:
    """The forward comes first: without it nothing is removed."""
    token = await world.log_in()
    store.down = {step}
    with pytest.raises(StoreUnavailableError):
        await (await world.request(token)).regenerate()
    assert await lives(world, token)
    assert len(store.contents) == 1


@pytest.mark.parametrize("step", ["create", "forward_get"])
async def test_a_move_that_fails_later_gives_no_token(world: World, store: SteppedStore, step: str) -> None:
    """It is not known then whether somebody has logged out."""
    token = await world.log_in()
    store.down = {step}
    with pytest.raises(StoreUnavailableError):
        await (await world.request(token)).regenerate()


async def test_a_move_costs_one_write_and_one_read_more(world: World, store: SteppedStore) -> None:
    """And no other verb asks for a forward while the session lives."""
    token = await world.log_in()
    manager = await world.request(token)
    store.calls.clear()
    await manager.regenerate()
    assert store.calls == ["forward_add", "compare_and_delete", "create", "forward_get"]
    store.calls.clear()
    await manager.update()
    await manager.mutate(lambda session: None)
    await manager.reload()
    await manager.touch()
    assert store.calls == []
    await manager.destroy()
    assert store.calls == ["destroy"]


async def test_replicas_confirm_the_end_of_the_chain(clock: Clock) -> None:
    """`wait_replicas` counts where the session lives now, and too few replicas are an error also there."""

    class Replicated(InspectableStore):
        waited: list[tuple[str, int]]
        confirmed = True

        async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
            self.waited.append((session_id, wait_replicas))
            found = await super().destroy(session_id)
            if wait_replicas and not self.confirmed:
                raise StoreUnavailableError("destroy_not_confirmed")
            return found

    store = Replicated(clock)
    store.waited = []
    world = World(clock, store)
    for confirmed in (True, False):
        store.confirmed = confirmed
        first = await world.log_in()
        last = await moved(world, first, 2)
        last_id = await id_of(world, last)
        store.waited.clear()
        leaver = await world.request(first)
        if confirmed:
            await leaver.destroy(wait_replicas=2)
        else:
            with pytest.raises(StoreUnavailableError) as caught:
                await leaver.destroy(wait_replicas=2)
            assert caught.value.code == "destroy_not_confirmed"
        assert store.waited[-1] == (last_id, 2)
        assert not await lives(world, last)


# --- what is stored --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Token:
    """A token with these claims and no others."""

    session_id: str
    sub: str | None
    exp: float | None
    iat: float | None = None
    auth_time: float | None = None
    jwtsession_idle_timeout: int | None = None
    actor: str | None = None


OLD, NEW = "o" * 43, "n" * 43


@pytest.mark.parametrize(
    ("old", "new", "expected", "ttl"),
    [
        (Token(OLD, "ann", 2000.5), Token(NEW, "ann", 2000.5), {"until": 2000.5}, 1_000_500),
        (Token(OLD, "ann", 2000), Token(NEW, "ann", 3000), {"until": 3000}, 2_000_000),
        (Token(OLD, None, 2000), Token(NEW, "ann", 2000), {"until": 2000, "sub": "ann"}, 1_000_000),
        (Token(OLD, "ann", 2000), Token(NEW, None, 2000), {"until": 2000, "sub": None}, 1_000_000),
        (Token(OLD, None, None), Token(NEW, None, None), {"until": 1000 + 30 * 86400}, 30 * 86_400_000),
        (Token(OLD, None, 2**53), Token(NEW, None, 2**53), {"until": 1000 + 10**10}, 10**13),
    ],
)
async def test_a_forward_holds_the_next_id_and_little_else(
    old: Token, new: Token, expected: dict[str, Any], ttl: int
) -> None:
    """It is kept as long as either token lives, 30 days if they never expire, and names a user only if that changed."""
    kept: list[tuple[str, bytes, int]] = []

    class Store(InspectableStore):
        async def forward_add(self, session_id: str, value: bytes, ttl: int) -> bool:
            kept.append((session_id, value, ttl))
            return True

    forwards = Forwards(Store(), PlaintextSealer(), lambda: 1000.0)
    assert await forwards.add(OLD, forwards.link(old, new))
    ((session_id, value, kept_for),) = kept
    assert session_id == OLD
    assert json.loads(value) == {"id": NEW, "at": 1000, **expected}
    assert kept_for == ttl


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"no JSON",
        b"[]",
        b"7",
        b"{}",
        b'{"id":"short","at":1,"until":2}',
        b'{"id":7,"at":1,"until":2}',
        b'{"id":"%b","at":"x","until":2}' % (b"n" * 43),
        b'{"id":"%b","at":1,"until":2,"sub":7}' % (b"n" * 43),
        b'{"id":"%b","at":1,"until":NaN}' % (b"n" * 43),
        b'{"id":"%b","at":NaN,"until":2}' % (b"n" * 43),
        b'{"id":"%b","at":1,"until":1e999}' % (b"n" * 43),
        b'{"id":"%b","at":1,"until":1%b}' % (b"n" * 43, b"0" * 400),
        b"[" * 100_000,
        b"\xff",
    ],
)
async def test_a_forward_that_nobody_can_read_leads_nowhere(
    world: World, store: SteppedStore, clock: Clock, caplog: pytest.LogCaptureFixture, stored: bytes
) -> None:
    """The request is refused as if there were none, a logout succeeds, and the log warns without showing it."""
    token = await world.log_in()
    old_id = await id_of(world, token)
    await moved(world, token)
    found = await store.forward_get(old_id)
    assert found is not None
    assert await store.forward_replace(old_id, found, stored, 1000)
    clock.advance(0.5)
    with caplog.at_level(logging.WARNING, "jwtsession"):
        assert (await refused(world, token)).code == "session_not_found"
        await log_out(world, token)
    assert {record.getMessage() for record in caplog.records} == {
        "a session's forward can't be used (not readable): where the session moved is not known"
    }


async def test_a_move_replaces_a_forward_that_nobody_can_read(world: World, store: SteppedStore) -> None:
    """It was of a move that failed."""
    token = await world.log_in()
    await store.forward_add(await id_of(world, token), b"?", 1000)
    new = await moved(world, token)
    await log_out(world, token)
    assert not await lives(world, new)


async def test_a_store_that_never_replaces_a_forward_is_unavailable(world: World, store: SteppedStore) -> None:
    """It is asked a few times, and not forever."""
    token = await world.log_in()
    new = await moved(world, token)

    async def never(*_: object) -> bool:
        return False

    store.forward_replace = never  # type: ignore[assignment]
    with pytest.raises(StoreUnavailableError):
        await log_out(world, token)
    assert await lives(world, new)


async def test_a_store_may_know_no_forwards(clock: Clock) -> None:
    """Then an old token names nothing, as if it were unknown, and nothing else changes."""

    class Bare(InspectableStore):
        forward_add = None  # type: ignore[assignment]

    world = World(clock, Bare(clock))
    token = await world.log_in()
    new = await moved(world, token)
    clock.advance(60)
    assert (await refused(world, token)).code == "session_not_found"
    await log_out(world, token)
    assert await lives(world, new)
    await log_out(world, new)
    assert not await lives(world, new)
