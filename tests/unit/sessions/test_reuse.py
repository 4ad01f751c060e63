"""Tests of jwtsession.sessions.reuse: what happens when somebody uses a token that was replaced."""

import base64
import logging
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from jwtsession import (
    AuthenticationError,
    StoreUnavailableError,
    TokenReusedError,
)
from jwtsession.stores import IndexPage
from jwtsession.testing import Clock, InspectableStore
from jwtsession.web.dependency import SessionDependency
from tests.unit.conftest import UserClaims, UserSession, World, request

GRACE = 10.0
"""For so many seconds a replaced token is no reuse, by default."""

KEY = base64.urlsafe_b64encode(bytes(range(0, 224, 7))).decode()

Events = Callable[[], list[tuple[str, str, str]]]


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Iterator[Events]:
    """The events since the last call, as the log has them: name, session, code."""

    def since() -> list[tuple[str, str, str]]:
        records = [vars(each) for each in caplog.records if hasattr(each, "jwtsession_event")]
        caplog.clear()
        return [
            (
                each["jwtsession_event"],
                each["jwtsession_handle"] or "-",
                each["jwtsession_code"] or each["jwtsession_reason"] or "-",
            )
            for each in records
        ]

    with caplog.at_level(logging.INFO, "jwtsession"):
        yield since


async def stolen(world: World, **claims: Any) -> tuple[str, str]:
    """The victim's token, and the one that a thief has got for it by an endpoint that regenerates."""
    token = await world.log_in(**claims)
    return token, (await (await world.request(token)).regenerate()).access_token


async def refused(world: World, token: str) -> str:
    """The code with which a request with this token is refused."""
    manager = await world.request(token)
    with pytest.raises(AuthenticationError) as caught:
        manager.require()
    assert (type(caught.value) is TokenReusedError) is (caught.value.code == "token_reused")
    assert caught.value.status_code == 401
    assert caught.value.detail == "Not authenticated"
    return caught.value.code


async def lives(world: World, token: str) -> bool:
    return (await world.request(token)).session is not None


async def handle_in(world: World, token: str) -> str:
    handle = (await world.request(token)).handle
    assert handle is not None
    return handle


@pytest.mark.parametrize(
    ("options", "seconds", "is_reuse"),
    [
        ({}, 0, False),
        ({}, GRACE - 0.1, False),
        ({}, GRACE, True),
        ({}, 900, True),
        ({"reuse_grace": 0}, 0, True),
        ({"reuse_grace": 300}, 299, False),
        ({"reuse_grace": 300}, 301, True),
    ],
)
async def test_a_replaced_token_is_a_reuse_after_the_grace(
    clock: Clock, events: Events, options: dict[str, Any], seconds: float, is_reuse: bool
) -> None:
    """Before, it is a request that was under way: refused, and nothing more. By default the living session goes on."""
    world = World(clock, **options)
    token = await world.log_in()
    old = await handle_in(world, token)
    new_token = (await (await world.request(token)).regenerate()).access_token
    new = await handle_in(world, new_token)
    clock.advance(seconds)
    events()
    expected = "token_reused" if is_reuse else "session_not_found"
    assert await refused(world, token) == expected
    assert events() == [("reuse_detected", old, new)] * is_reuse + [("refused", old, expected)]
    assert await lives(world, new_token)


async def test_the_grace_is_that_of_the_presented_token(clock: Clock) -> None:
    """The session may have moved again a moment ago."""
    world = World(clock)
    token, new = await stolen(world)
    clock.advance(60)
    await (await world.request(new)).regenerate()
    assert await refused(world, token) == "token_reused"
    assert await refused(world, new) == "session_not_found"


@pytest.mark.parametrize("action", ["refuse", "end", "end_all"])
@pytest.mark.parametrize("sub", ["ann", None])
async def test_what_ends_at_a_reuse_is_a_setting(clock: Clock, events: Events, action: Any, sub: str | None) -> None:
    """Nothing; the session that lives; or all of the token's user, of whom a visitor's token knows none."""
    world = World(clock, on_reuse=action, user_index=True)
    other, foreign = await world.log_in(sub=sub), await world.log_in(sub="bob")
    token, new_token = await stolen(world, sub=sub)
    new = await handle_in(world, new_token)
    clock.advance(GRACE)
    events()
    assert await refused(world, token) == "token_reused"
    told = events()
    assert [name for name, *_ in told if name != "destroyed"] == ["reuse_detected", "refused"]
    ended = [session for name, session, _ in told if name == "destroyed"]
    assert ended[-1:] == [new] * (action != "refuse")
    assert len(ended) == {"refuse": 0, "end": 1, "end_all": 2 if sub else 1}[action]
    assert await lives(world, new_token) is (action == "refuse")
    assert await lives(world, other) is not (action == "end_all" and sub is not None)
    assert await lives(world, foreign)
    again = "token_reused" if action == "refuse" else "session_not_found"
    assert await refused(world, token) == again


async def test_an_end_of_all_that_failed_halfway_is_tried_again(clock: Clock) -> None:
    """The next use of the old token is a reuse again, until all sessions have ended."""

    class Failing(InspectableStore):
        fails = 0

        async def index_page(self, user: str, cursor: int, limit: int) -> IndexPage:
            self.fails -= 1
            if self.fails == 0:
                raise StoreUnavailableError
            return await super().index_page(user, cursor, 1)

    store = Failing(clock)
    world = World(clock, store, on_reuse="end_all", user_index=True)
    others = [await world.log_in(sub="ann") for _ in range(3)]
    token, new = await stolen(world, sub="ann")
    others += [await world.log_in(sub="ann") for _ in range(3)]
    clock.advance(60)
    for _ in range(2):
        store.fails = 3
        with pytest.raises(StoreUnavailableError):
            await world.request(token)
    assert await refused(world, token) == "token_reused"
    assert [await lives(world, each) for each in (new, *others)] == [False] * 7


async def test_all_sessions_of_the_presented_tokens_user_end_and_the_living_one(clock: Clock) -> None:
    """Also if that has become another user's, whose other sessions go on."""
    world = World(clock, on_reuse="end_all", user_index=True)
    anns, bobs = await world.log_in(sub="ann"), await world.log_in(sub="bob")
    token = await world.log_in(sub="ann")
    new = (await (await world.request(token)).regenerate(claims=UserClaims(sub="bob"))).access_token
    clock.advance(GRACE)
    assert await refused(world, token) == "token_reused"
    assert [await lives(world, each) for each in (anns, new, bobs)] == [False, False, True]


async def test_after_the_end_an_old_token_is_an_ordinary_dead_one(clock: Clock, events: Events) -> None:
    """Whoever ended the session, and by which token."""
    world = World(clock, user_index=True)
    for by in ("old token", "new token", "user", "time"):
        token, new = await stolen(world, sub="ann")
        clock.advance(GRACE)
        if by == "user":
            await world.provider.revoke_all("ann")
        elif by == "time":
            clock.advance(1001)
        else:
            await (await world.request(token if by == "old token" else new)).destroy()
        events()
        assert await refused(world, token) == "session_not_found"
        assert [name for name, *_ in events()] == ["refused"]


async def test_an_old_token_that_has_expired_is_only_expired(clock: Clock, events: Events) -> None:
    """Nobody follows it, though its session may live longer by a later token."""
    world = World(clock, on_reuse="end")
    token = await world.log_in(exp=clock() + 100)
    manager = await world.request(token)
    new = (await manager.regenerate(claims=UserClaims(exp=clock() + 900))).access_token
    clock.advance(200)
    assert await refused(world, token) == "expired_token"
    assert await lives(world, new)


@pytest.mark.parametrize("ask", ["get_optional_session", "get_manager", "get_session", "authenticate"])
async def test_it_is_noticed_wherever_the_token_is_used(clock: Clock, events: Events, ask: str) -> None:
    """Also where a request without a session goes on; and once in a request, however many ask."""
    world = World(clock, on_reuse="end")
    token, new = await stolen(world)
    clock.advance(GRACE)
    events()
    if ask == "authenticate":
        with pytest.raises(TokenReusedError):
            await world.provider.authenticate(token)
    else:
        asked = request(token)
        dependency: SessionDependency[Any] = getattr(world.provider, ask)
        for _ in range(2):
            if ask == "get_session":
                with pytest.raises(TokenReusedError):
                    await dependency(asked)
            else:
                found = await dependency(asked)
                assert getattr(found, "session", None) is None
    assert [name for name, *_ in events()] == ["reuse_detected", "destroyed", "refused"]
    assert not await lives(world, new)


async def test_a_login_by_a_request_with_a_replaced_token_succeeds(clock: Clock, events: Events) -> None:
    """The reuse is told, and the session that the token leads to ends, as any old one does at a login."""
    world = World(clock)
    token, new = await stolen(world)
    clock.advance(GRACE)
    events()
    created = (await (await world.request(token)).create(UserSession(user_id=2))).access_token
    assert [name for name, *_ in events()] == ["reuse_detected", "refused", "created", "destroyed"]
    assert await lives(world, created)
    assert not await lives(world, new)


async def test_an_encrypted_store_shows_no_forward(clock: Clock) -> None:
    """It is sealed as the sessions are, and bound to its own key: under another id it leads nowhere."""
    world = World(clock, encryption={"keys": (KEY,)})
    token, new = await stolen(world)
    old_id, new_id = [await id_by(world, each) for each in (token, new)]
    stored = await world.store.forward_get(old_id)
    assert stored is not None
    assert new_id.encode() not in stored
    clock.advance(GRACE)
    assert await refused(world, token) == "token_reused"
    other, _ = await stolen(world)
    other_id = await id_by(world, other)
    found = await world.store.forward_get(other_id)
    assert found is not None
    assert await world.store.forward_replace(other_id, found, stored, 1_000_000)
    clock.advance(GRACE)
    assert await refused(world, other) == "session_not_found"


async def id_by(world: World, token: str) -> str:
    """The id in a token, whose session may be gone."""
    found: str = jwt.decode(token, options={"verify_signature": False})["jti"]
    return found


class DownStore(InspectableStore):
    """Fails the calls that a test names."""

    down: frozenset[str] = frozenset()

    async def forward_get(self, session_id: str) -> bytes | None:
        self._fail("forward_get")
        return await super().forward_get(session_id)

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        self._fail(f"load {session_id}")
        return await super().load(session_id, ttl, allow_cached=allow_cached)

    async def destroy(self, session_id: str, wait_replicas: int = 0) -> bool:
        self._fail("destroy")
        self._fail(f"destroy {session_id}")
        return await super().destroy(session_id, wait_replicas)

    def _fail(self, name: str) -> None:
        if name in self.down:
            raise StoreUnavailableError


@pytest.mark.parametrize("call", ["forward_get", "load", "destroy"])
async def test_a_store_that_fails_is_a_503_and_the_next_request_finds_the_reuse(
    clock: Clock, events: Events, call: str
) -> None:
    """It is never a guess: neither that the token is only dead, nor that the session has ended."""
    store = DownStore(clock)
    world = World(clock, store, on_reuse="end")
    token, new = await stolen(world)
    clock.advance(GRACE)
    store.down = frozenset({f"load {await id_by(world, new)}" if call == "load" else call})
    events()
    with pytest.raises(StoreUnavailableError):
        await world.request(token)
    assert [name for name, *_ in events()] == ["reuse_detected"] * (call == "destroy")
    store.down = frozenset()
    assert await refused(world, token) == "token_reused"


@pytest.mark.parametrize("by", ["logout", "reuse"])
async def test_what_failed_halfway_is_finished_by_the_next_request(clock: Clock, events: Events, by: str) -> None:
    """The mark is there, and the session still lives: whoever uses the old token then ends it, and that is no reuse."""
    store = DownStore(clock)
    world = World(clock, store, on_reuse="end")
    token, new = await stolen(world)
    new_id = await id_by(world, new)
    clock.advance(GRACE if by == "reuse" else 0)
    leaver = await world.request(token) if by == "logout" else None
    store.down = frozenset({f"destroy {new_id}"})
    with pytest.raises(StoreUnavailableError):
        await (leaver.destroy() if leaver is not None else world.request(token))
    store.down = frozenset()
    assert await lives(world, new)
    events()
    assert await refused(world, token) == "session_not_found"
    assert [name for name, *_ in events()] == ["destroyed", "refused"]
    assert not await lives(world, new)
