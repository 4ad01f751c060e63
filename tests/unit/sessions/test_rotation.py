"""`Rotation`: what a load asks the store, what a client gets, and how long a generation is kept."""

from typing import Any

import pytest

from jwtsession import (
    ConfigurationError,
    InvalidArgumentError,
    MemorySessionStore,
    SessionConflictError,
    SessionEvent,
    SessionNotFoundError,
    SessionProvider,
    SessionSettings,
)
from jwtsession.errors import TokenReusedError
from jwtsession.observability import AuditTrail
from jwtsession.sessions import (
    Clients,
    PlaintextSealer,
    Rotation,
    SessionRepository,
    SessionSerializer,
    Timeouts,
    Uses,
)
from jwtsession.stores import LoadedGeneration, Rotated, Verdict
from jwtsession.testing import InspectableStore
from jwtsession.tokens import VerifiedToken
from tests.conftest import SECRET, Clock
from tests.unit.conftest import UserClaims, UserSession, World

ID = "a-session-of-the-tests-of-rotation-0000000"
AFTER, GRACE, MAX_AGE = 900, 30, 4000


class CountingStore(InspectableStore):
    """A store that notes what it is asked, and may lose a reply."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[str] = []
        self.again = False

    async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
        self.asked.append("load")
        return await super().load(session_id, ttl, allow_cached=allow_cached)

    async def load_generation(self, session_id: str, ttl: int | None = None) -> LoadedGeneration:
        asked = [*self.asked, "load_generation"]
        found = await super().load_generation(session_id, ttl)
        self.asked = asked  # without the load that the store itself makes
        return found

    async def rotate(self, session_id: str, presented: int, now: int, **options: Any) -> Rotated:
        self.asked.append("rotate")
        if self.again:
            await super().rotate(session_id, presented, now, **options)  # done, and the reply was lost
        return await super().rotate(session_id, presented, now, **options)

    async def extend_generation(self, session_id: str, ttl: int) -> None:
        self.asked.append("extend_generation")
        await super().extend_generation(session_id, ttl)

    def taken(self) -> list[str]:
        """What was asked since the last call."""
        asked, self.asked = self.asked, []
        return asked


class Client:
    """A provider on such a store, and one client that sends bearer tokens."""

    def __init__(self, clock: Clock, **rotation: Any) -> None:
        self.clock, self.store = clock, rotation.pop("store", None) or CountingStore(clock)
        self.events: list[SessionEvent] = []
        options = {"on_reuse": rotation.pop("on_reuse", None), "on_event": self.events.append}
        options["rotation"] = {"after": AFTER, "grace": GRACE} | rotation
        self.world = World(clock, self.store, max_age=MAX_AGE, absolute_max_age=None, **options)

    async def load(self, token: str) -> Any:
        """The manager of a request with the token, which was not refused."""
        manager = await self.world.request(token)
        manager.require()
        return manager

    async def refresh(self, token: str) -> str:
        return str((await (await self.load(token)).refresh()).access_token)


@pytest.fixture
def client(clock: Clock) -> Client:
    return Client(clock, mode="explicit")


async def test_a_login_and_a_regenerate_begin_with_generation_0(client: Client) -> None:
    """The claim is always there, and a new session never has the generation of the old one."""
    token = await client.world.log_in()
    manager = await client.load(token)
    assert manager.claims.gen == 0
    await manager.refresh()
    assert manager.claims.gen == 1
    await manager.regenerate()
    assert manager.claims.gen == 0


async def test_without_rotation_tokens_have_no_generation_and_the_store_is_not_asked(clock: Clock) -> None:
    """An ordinary load, and no other method of the store."""
    store = CountingStore(clock)
    world = World(clock, store)  # type: ignore[arg-type]
    manager = await world.request(await world.log_in())
    assert manager.claims is not None
    assert manager.claims.gen is None
    assert store.taken() == ["load"]
    await manager.update()
    assert store.taken() == []


async def test_an_ordinary_load_is_one_question(client: Client) -> None:
    """The first load notes the use by a second one; then nothing has to change."""
    token = await client.world.log_in()
    await client.load(token)
    assert client.store.taken() == ["load_generation", "rotate"]
    await client.load(token)
    await client.load(token)
    assert client.store.taken() == ["load_generation"] * 2


async def test_a_token_from_before_rotation_counts_as_the_first(clock: Clock, client: Client) -> None:
    """It has no generation: its session goes on, and its next token is generation 1."""
    before = World(clock, client.store, max_age=MAX_AGE, absolute_max_age=None)  # type: ignore[arg-type]
    token = await before.log_in()
    assert client.world.provider is not before.provider
    manager = await client.load(await client.refresh(token))
    assert manager.claims.gen == 1


async def test_refresh_keeps_the_session_and_all_claims_but_two(client: Client) -> None:
    """The id, the data, the user, the time of the login and the claims of the application stay."""
    token = await client.world.log_in(sub="ann", role="admin")
    old = await client.load(token)
    client.clock.advance(100)
    new = await client.load(await client.refresh(token))
    assert new.id == old.id
    assert new.session == old.session
    changed = {"gen": 1, "iat": old.claims.iat + 95}
    assert new.claims.model_dump() == old.claims.model_dump() | changed


async def test_the_answer_of_refresh_may_be_lost(client: Client) -> None:
    """The old token gets the same generation again, after however long a time, and none is passed over."""
    token = await client.world.log_in()
    first = await client.refresh(token)
    client.clock.advance(MAX_AGE - 1)
    second = await client.refresh(token)
    assert [(await client.load(each)).claims.gen for each in (first, second)] == [1, 1]


async def test_refresh_twice_in_one_request_is_one_new_generation(client: Client) -> None:
    """If the answer with the second token is lost, the client still has one that is good."""
    token = await client.world.log_in()
    manager = await client.load(token)
    await manager.refresh()
    await manager.refresh()
    assert manager.claims.gen == 1
    await client.load(token)


async def test_a_manager_that_lives_on_refreshes_the_token_that_it_gave(client: Client) -> None:
    """A socket's manager: once its client has used the new token, the next refresh gives the next one."""
    manager = await client.load(await client.world.log_in())
    await client.load((await manager.refresh()).access_token)
    client.clock.advance(MAX_AGE / 2)
    await client.load((await manager.refresh()).access_token)
    assert manager.claims.gen == 2


async def test_refresh_while_the_new_token_is_in_use_is_a_conflict(client: Client) -> None:
    """Within the grace: the client that has the new token is alive, and nothing changes."""
    token = await client.world.log_in()
    new = await client.refresh(token)
    await client.load(new)
    manager = await client.load(token)
    with pytest.raises(SessionConflictError):
        await manager.refresh()
    assert manager.token == token
    assert (await client.load(await client.refresh(new))).claims.gen == 2


async def test_after_the_grace_the_old_token_is_refused(client: Client) -> None:
    """By its own code. The new token is not yet."""
    token = await client.world.log_in()
    new = await client.refresh(token)
    await client.load(new)
    client.clock.advance(GRACE)
    with pytest.raises(TokenReusedError) as refused:
        await client.load(token)
    assert refused.value.code == "token_reused"


@pytest.mark.parametrize("on_reuse", ["refuse", None])
async def test_a_reuse_ends_the_session_unless_the_setting_says_otherwise(clock: Clock, on_reuse: Any) -> None:
    """The events tell of it."""
    client = Client(clock, mode="explicit", on_reuse=on_reuse)
    async with client.world.provider:
        token = await client.world.log_in()
        new = await client.refresh(token)
        await client.load(new)
        clock.advance(GRACE)
        with pytest.raises(TokenReusedError):
            await client.load(token)
        lives = (await client.world.request(new)).session is not None
    ended = [] if on_reuse == "refuse" else ["destroyed"]
    names = [event.name for event in client.events]
    assert names[:5] == ["created", "rotated", "reuse_detected", *ended, "refused"][:5]
    assert lives is (on_reuse == "refuse")


async def test_a_manager_that_lived_on_with_an_old_token_is_no_thief(client: Client) -> None:
    """A socket's or a long request's, whose client has got and used a newer token meanwhile: refresh is a conflict."""
    token = await client.world.log_in()
    manager = await client.load(token)
    new = await client.refresh(token)
    await client.load(new)
    for _ in range(2):
        client.clock.advance(GRACE)
        with pytest.raises(SessionConflictError):
            await manager.refresh()
        assert manager.session is not None
        new = await client.refresh(new)
        await client.load(new)


async def test_a_session_that_is_gone_is_not_found_and_gets_no_generation(client: Client) -> None:
    """By a load, and by a refresh: neither brings anything back."""
    token = await client.world.log_in()
    manager = await client.load(token)
    await client.world.provider.revoke(manager.id)
    client.store.taken()
    with pytest.raises(SessionNotFoundError):
        await manager.refresh()
    with pytest.raises(SessionNotFoundError):
        await client.load(token)
    assert client.store.taken() == ["load_generation"] * 2


async def test_a_lost_reply_of_the_store_costs_nothing(client: Client) -> None:
    """The store did it, and does it again: the client gets the one new generation."""
    token = await client.world.log_in()
    await client.load(token)
    client.store.again = True
    new = await client.refresh(token)
    assert (await client.load(new)).claims.gen == 1
    await client.load(token)


async def test_refresh_without_rotation_is_a_mistake_in_the_code(world: World) -> None:
    """The error names the setting."""
    manager = await world.request(await world.log_in())
    with pytest.raises(InvalidArgumentError, match=r"rotation\.after"):
        await manager.refresh()


async def test_refresh_without_a_session_is_refused(client: Client) -> None:
    """There is nothing to replace."""
    with pytest.raises(SessionNotFoundError):
        await (await client.world.request()).refresh()


# --- how long a generation is kept ------------------------------------------------------------------------------------


def kept(client: Client) -> float:
    """The seconds for which the only generation is kept from now on."""
    (found,) = client.store.generations.values()
    return found.expires - client.clock()


async def test_a_generation_is_kept_for_two_idle_timeouts(client: Client) -> None:
    """Loads extend it, each quarter of an idle timeout once."""
    token = await client.world.log_in()
    await client.load(token)
    assert kept(client) == 2 * MAX_AGE
    client.clock.advance(MAX_AGE / 4 - 1)
    await client.load(token)
    assert kept(client) == 2 * MAX_AGE - MAX_AGE / 4 + 1
    client.clock.advance(1)
    await client.load(token)
    assert kept(client) == 2 * MAX_AGE


async def test_workers_do_not_extend_for_each_other_again(clock: Clock, client: Client) -> None:
    """The store tells when a generation was extended: neither another worker nor a forgetful one does it twice."""
    token = await client.world.log_in()
    await client.load(token)
    other = Client(clock, mode="explicit", store=client.store)
    client.store.taken()
    clock.advance(MAX_AGE / 4 - 1)
    await other.load(token)
    assert client.store.taken() == ["load_generation"]
    clock.advance(1)
    await other.load(token)
    await client.load(token)
    assert client.store.taken() == ["load_generation", "rotate", "load_generation"]


@pytest.mark.parametrize("verb", ["touch", "update", "mutate"])
async def test_whatever_keeps_a_session_alive_keeps_its_generation(client: Client, verb: str) -> None:
    """A manager may outlive its request, in a job that stores its progress."""
    manager = await client.load(await client.world.log_in())
    for _ in range(8):
        client.clock.advance(MAX_AGE * 0.9)
        if verb == "mutate":
            await manager.mutate(lambda session: session)
        else:
            await getattr(manager, verb)()
        assert kept(client) >= MAX_AGE


async def test_a_thief_who_asks_again_and_again_does_not_outlast_the_generation(clock: Clock) -> None:
    """Each refused load keeps the session alive. Were its generation forgotten then, the old token would count."""
    world = World(
        clock,
        rotation={"after": AFTER, "grace": GRACE, "mode": "explicit"},
        on_reuse="refuse",
        max_age=MAX_AGE,
        absolute_max_age=None,
    )
    stolen = await world.log_in()
    new = (await (await world.request(stolen)).refresh()).access_token
    await world.request(new)
    clock.advance(GRACE)
    for _ in range(8):
        assert (await world.request(stolen)).session is None
        clock.advance(MAX_AGE * 0.9)
    assert (await world.request(new)).session is not None


async def test_messages_that_keep_a_socket_alive_keep_the_generation(clock: Clock) -> None:
    """They are counted as uses (`websocket.keeps_alive`), which are due for the generation too."""
    store, token = InspectableStore(clock), VerifiedToken("", ID, None, None, clock(), None, None, None, None, 0, None)
    timeouts = Timeouts(MAX_AGE, MAX_AGE, 10**9, clock)
    rotation = Rotation(store, timeouts, max_age=MAX_AGE, after=AFTER, grace=GRACE, silent=True, clock=clock)
    repository = SessionRepository(
        SessionSerializer(UserSession), PlaintextSealer(), store, timeouts, rotation=rotation
    )
    uses = Uses(repository, None, Clients(False, AuditTrail()))
    timeouts.extended(ID)  # the session itself is not due
    await rotation.settle(token, LoadedGeneration(b"", None, 0), clock(), due=False)
    assert not uses.is_due(token)
    for _ in range(20):
        clock.advance(MAX_AGE / 4)
        timeouts.extended(ID)
        assert uses.is_due(token)
        await uses.note(token)
        assert not uses.is_due(token)
    assert store.generations[ID].expires - clock() == 2 * MAX_AGE


async def test_a_generation_is_never_kept_beyond_the_tokens_end(client: Client) -> None:
    """Its session has ended then."""
    await client.load(await client.world.log_in(exp=int(client.clock()) + 5000))
    assert kept(client) == pytest.approx(5000, abs=1)


async def test_a_session_with_an_idle_timeout_of_its_own_is_extended_by_that(client: Client) -> None:
    """A short one is due more often."""
    login = await client.world.tester.login(UserSession(user_id=1), UserClaims(), max_age=100)
    await client.load(login.token)
    assert kept(client) == 200
    client.clock.advance(25)
    await client.load(login.token)
    assert kept(client) == 200


# --- what can't rotate ------------------------------------------------------------------------------------------------


class _Plain:
    """A store of the application's own, without the methods of `RotationStore`."""

    def __init__(self) -> None:
        store = MemorySessionStore()
        self.open, self.close, self.ping, self.create = store.open, store.close, store.ping, store.create
        self.load, self.update, self.touch, self.destroy = store.load, store.update, store.touch, store.destroy
        self.compare_and_delete, self.remaining = store.compare_and_delete, store.remaining
        self.destroy_all = store.destroy_all


def test_a_store_without_the_methods_is_refused() -> None:
    """At the start, by its class."""
    with pytest.raises(ConfigurationError, match="_Plain does not have all methods of RotationStore"):
        SessionProvider(secret=SECRET, store=_Plain(), rotation={"after": AFTER})


def test_sessions_of_the_original_are_not_rotated() -> None:
    """It can't take a new token to its clients."""
    settings = SessionSettings.node_compatible(secret=SECRET, rotation={"after": AFTER})
    with pytest.raises(ConfigurationError, match=r"rotation\.after"):
        SessionProvider(settings=settings, store=MemorySessionStore())


async def test_an_old_token_is_due_by_its_own_age(clock: Clock) -> None:
    """Only where answers take new tokens to clients, and from the second on at which it has the age."""
    timeouts = Timeouts(MAX_AGE, MAX_AGE, 60, clock)
    options: dict[str, Any] = {"max_age": MAX_AGE, "after": AFTER, "grace": GRACE, "clock": clock}
    silent = Rotation(MemorySessionStore(clock), timeouts, silent=True, **options)
    explicit = Rotation(MemorySessionStore(clock), timeouts, silent=False, **options)
    token = VerifiedToken("", ID, None, None, clock(), None, None, None, None, 0, None)
    assert not silent.replaces(token, clock() + AFTER - 1)
    assert silent.replaces(token, clock() + AFTER)
    without_time = VerifiedToken("", ID, None, None, None, None, None, None, None, 0, None)
    assert not silent.replaces(without_time, clock() + AFTER)
    assert not explicit.replaces(token, clock() + AFTER)
    assert (await silent.settle(token, LoadedGeneration(b"", None, 0), clock(), due=True))[0] is Verdict.ROTATED
