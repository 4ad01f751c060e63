"""Rotation under everything at once: tabs, a clock, lost answers, killed workers, failovers, and a thief.

Hypothesis plays requests against the real `Rotation`, `SessionRepository` and store. A request stops before each of its
calls of the store, so two requests interleave in every order. `pytest -rP` shows how much was played.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from jwtsession import (
    AuthenticationError,
    MemorySessionStore,
    RedisSessionStore,
    SessionConflictError,
    SessionNotFoundError,
    TokenReusedError,
)
from jwtsession.sessions import (
    PlaintextSealer,
    Rotation,
    RotationCheck,
    SessionRepository,
    SessionSerializer,
    Timeouts,
)
from jwtsession.stores import Generation, LoadedGeneration, Rotated, Verdict, judge
from jwtsession.testing import Clock
from tests import servers
from tests.unit.conftest import UserSession

AFTER, GRACE, IDLE = 900, 30, 7200
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
PATIENCE = 20
"""A client gives up a request after so many seconds. It must be less than the grace and than `rotation.after`."""


@types.coroutine
def stop() -> Generator[None, None, None]:
    """Where a request stops: before a call of the store."""
    yield


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a request to its end, without a stop."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value


@dataclass(frozen=True)
class Token:
    """What rotation needs of a token."""

    session_id: str
    gen: int
    iat: float
    sub: str | None = None
    exp: float | None = None
    auth_time: float | None = None
    jwtsession_idle_timeout: int | None = None
    actor: str | None = None


async def refreshed(
    repository: SessionRepository[UserSession], rotation: Rotation, token: Token, now: float
) -> tuple[int, bool]:
    """What a request that refreshes its token does."""
    await repository.load(token, check=RotationCheck(rotation, token, lambda: False))
    return await rotation.refresh(token, now)


@dataclass(eq=False)
class Sent:
    """A request that a client has sent."""

    token: Token
    thief: bool
    at: float
    coroutine: Coroutine[Any, Any, Any]
    check: RotationCheck | None
    must_refuse: bool = False
    too_late: bool = False
    began: bool = False
    done: bool = False
    successor: Token | None = None


class Stopping(MemorySessionStore):
    """A store in memory. A failover brings back one of its last states."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.states: list[dict[str, Any]] = []

    def keep(self) -> None:
        """Remember this state, and not more than three."""
        state = {name: dict(value) for name, value in vars(self).items() if isinstance(value, dict)}
        if not self.states or self.states[-1] != state:
            self.states = [*self.states[-3:], state]

    def fail_over(self, lost: int) -> None:
        """Lose the last writes."""
        self.states = self.states[: max(1, len(self.states) - lost)]
        vars(self).update({name: dict(value) for name, value in self.states[-1].items()})

    async def load_generation(self, session_id: str, ttl: int | None = None) -> LoadedGeneration:
        await stop()
        found = await super().load_generation(session_id, ttl)
        self.keep()
        return found

    async def rotate(self, session_id: str, presented: int, now: int, *, due: bool, grace: int, ttl: int) -> Rotated:
        await stop()
        found = await super().rotate(session_id, presented, now, due=due, grace=grace, ttl=ttl)
        self.keep()
        return found

    def seen(self, session_id: str) -> tuple[bool, Generation | None]:
        """Whether there is a session, and the newest generation."""
        found = run(MemorySessionStore.load_generation(self, session_id))
        return found.value is not None, found.newest

    def end(self, session_id: str) -> None:
        run(self.destroy(session_id))
        self.keep()


class StoppingServer:
    """The same with the real store of a Valkey, and its script. A failover writes an earlier state back."""

    port: ClassVar[int]
    loop: ClassVar[asyncio.AbstractEventLoop]
    inner: ClassVar[RedisSessionStore]
    client: ClassVar["Redis[bytes]"]

    def __init__(self) -> None:
        self.states: list[dict[bytes, tuple[int, bytes]]] = []
        self.client.flushall()

    def keep(self) -> None:
        keys: list[bytes] = self.client.keys("*")
        state = {key: (max(1, self.client.pttl(key)), self.client.dump(key)) for key in keys}
        if not self.states or {*self.states[-1].items()} != {*state.items()}:
            self.states = [*self.states[-3:], state]

    def fail_over(self, lost: int) -> None:
        self.states = self.states[: max(1, len(self.states) - lost)]
        self.client.flushall()
        for key, (ttl, value) in self.states[-1].items():
            self.client.restore(key, ttl, value)

    async def create(self, session_id: str, value: bytes, ttl: int) -> bool:
        return self.loop.run_until_complete(self.inner.create(session_id, value, ttl))

    async def load_generation(self, session_id: str, ttl: int | None = None) -> LoadedGeneration:
        await stop()
        found = self.loop.run_until_complete(self.inner.load_generation(session_id, ttl))
        self.keep()
        return found

    async def rotate(self, session_id: str, presented: int, now: int, *, due: bool, grace: int, ttl: int) -> Rotated:
        await stop()
        call = self.inner.rotate(session_id, presented, now, due=due, grace=grace, ttl=ttl)
        found = self.loop.run_until_complete(call)
        self.keep()
        return found

    def seen(self, session_id: str) -> tuple[bool, Generation | None]:
        found = self.loop.run_until_complete(self.inner.load_generation(session_id))
        return found.value is not None, found.newest

    def end(self, session_id: str) -> None:
        self.loop.run_until_complete(self.inner.destroy(session_id))
        self.keep()


class World(RuleBasedStateMachine):
    """One user, whose tabs share one place for the token, and a thief."""

    played: ClassVar[dict[str, int]] = {}

    def make_store(self) -> Any:
        return Stopping(self.clock)

    def count(self, what: str) -> None:
        self.played[what] = self.played.get(what, 0) + 1

    @initialize(
        adopts=st.sampled_from(["the last one", "the next one", "none"]),
        silent=st.sampled_from([True, True, False]),
        ends=st.booleans(),
    )
    def begin(self, adopts: str, silent: bool, ends: bool) -> None:
        self.clock = Clock()
        self.store = self.make_store()
        self.adopts, self.silent, self.ends_sessions = adopts, silent, ends
        self.workers = []
        for _ in range(2):
            timeouts = Timeouts(IDLE, IDLE, 60, self.clock)
            rotation = Rotation(
                self.store, timeouts, max_age=IDLE, after=AFTER, grace=GRACE, silent=silent, clock=self.clock
            )
            serializer = SessionSerializer(UserSession, None, node_compatible=False)
            self.workers.append(SessionRepository(serializer, PlaintextSealer(), self.store, timeouts, None, rotation))
        self.logins = 0
        self.jar: Token | None = None
        self.stolen: Token | None = None
        self.sent: list[Sent] = []
        self.log_in()

    # --- the user -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.jar is None)
    @rule()
    def log_in(self) -> None:
        """A new session, which nobody has stolen yet."""
        self.count("logins")
        self.logins += 1
        self.jar = Token(f"session-{self.logins}-of-the-state-machine", 0, self.clock())
        self.session_id = self.jar.session_id
        self.stolen = None
        self.thief_acted = self.dead = False
        self.newest, self.shown, self.presented = 0, dict[int, float](), 0
        self.drop([*self.sent])
        record = self.workers[0].encode(self.jar.session_id, UserSession(user_id=1))
        run(self.workers[0].create(self.jar, record))
        self.store.keep()
        self.existed = True

    @precondition(lambda self: self.jar is not None and len(self.sent) < 6)
    @rule(worker=st.integers(0, 1), page=st.sampled_from([True, True, True, False]))
    def a_tab_sends(self, worker: int, page: bool) -> None:
        """A request, or what can bring no new token: a prefetch, a WebSocket's handshake."""
        assert self.jar is not None
        self.send(self.jar, worker, page, thief=False)

    @precondition(lambda self: self.jar is not None and not self.silent and self.adopts != "none")
    @rule(worker=st.integers(0, 1))
    def the_client_refreshes(self, worker: int) -> None:
        """One refresh at a time, as the guide says."""
        assert self.jar is not None
        if not any(each.check is None and not each.thief for each in self.sent):
            self.refresh(self.jar, worker, thief=False)

    @precondition(lambda self: self.jar is not None)
    @rule(
        seconds=st.sampled_from([0, AFTER, 2 * AFTER]),
        times=st.integers(1, 3),
        arrives=st.booleans(),
        worker=st.integers(0, 1),
    )
    def a_tab_is_used(self, seconds: float, times: int, arrives: bool, worker: int) -> None:
        """Whole requests, one after the other. The last answer may get lost."""
        self.time_passes(seconds, finishes=True)
        for number in range(times):
            if self.jar is not None:
                self.exchange(self.jar, worker, thief=False, arrives=arrives or number < times - 1)

    @precondition(lambda self: self.jar is not None)
    @rule(worker=st.integers(0, 1), times=st.integers(0, 2))
    def a_tab_is_overtaken(self, worker: int, times: int) -> None:
        """Between two questions of its request to the store, another tab's requests replace the token, or log out."""
        self.time_passes(AFTER, finishes=True)
        if self.jar is None:  # a request that has ended meanwhile was a reuse
            return
        self.send(self.jar, worker, True, thief=False)
        slow = self.sent[-1]
        self.go_on(slow, whole=False)
        if times:
            self.a_tab_is_used(0, times, arrives=True, worker=worker)
        else:
            self.the_user_logs_out(really=0)
        if slow in self.sent and not slow.done:
            self.go_on(slow, whole=True)

    @precondition(lambda self: self.jar is not None)
    @rule(really=st.integers(0, 5))
    def the_user_logs_out(self, really: int) -> None:
        if really or self.jar is None:
            return
        self.count("logouts")
        self.store.end(self.jar.session_id)
        self.dead, self.existed, self.jar = True, False, None

    @precondition(lambda self: self.jar is not None and len(self.sent) < 6)
    @rule(worker=st.integers(0, 1), really=st.integers(0, 2))
    def the_user_logs_out_meanwhile(self, worker: int, really: int) -> None:
        """While a request is between its two calls of the store."""
        assert self.jar is not None
        if really:
            return
        self.send(self.jar, worker, True, thief=False)
        self.go_on(self.sent[-1], whole=False)
        if self.jar is not None:
            self.the_user_logs_out(0)

    # --- the thief ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.jar is not None)
    @rule()
    def the_thief_copies(self) -> None:
        """At any moment."""
        self.stolen = self.jar

    @precondition(lambda self: self.stolen is not None and len(self.sent) < 6)
    @rule(worker=st.integers(0, 1), page=st.booleans(), refreshes=st.booleans())
    def the_thief_sends(self, worker: int, page: bool, refreshes: bool) -> None:
        assert self.stolen is not None
        self.count("thefts")
        self.thief_acted = True
        if refreshes:
            self.refresh(self.stolen, worker, thief=True)
        else:
            self.send(self.stolen, worker, page, thief=True)

    @precondition(lambda self: self.stolen is not None)
    @rule(
        seconds=st.sampled_from([0, 1, GRACE, AFTER]),
        times=st.integers(1, 2),
        keeps=st.booleans(),
        worker=st.integers(0, 1),
    )
    def the_thief_uses_it(self, seconds: float, times: int, keeps: bool, worker: int) -> None:
        """Whole requests, after a while."""
        self.time_passes(seconds, finishes=True)
        for _ in range(times):
            if self.stolen is not None:
                self.count("thefts")
                self.thief_acted = True
                self.exchange(self.stolen, worker, thief=True, arrives=keeps)

    @precondition(lambda self: self.jar is not None)
    @rule(
        before=st.integers(0, 2),
        after=st.sampled_from([1, GRACE - 1, GRACE]),
        victim=st.integers(0, 1),
        thief=st.integers(0, 1),
    )
    def a_theft(self, before: int, after: float, victim: int, thief: int) -> None:
        """The thief copies, the user goes on for a while, and then the thief comes."""
        self.the_thief_copies()
        self.a_tab_is_used(AFTER, 1 + before, arrives=True, worker=victim)
        self.the_thief_uses_it(after, 1, keeps=True, worker=thief)

    def exchange(self, token: Token, worker: int, *, thief: bool, arrives: bool) -> None:
        self.send(token, worker, True, thief=thief)
        sent = self.sent[-1]
        self.go_on(sent, whole=True)
        if sent in self.sent:
            self.arrives(sent, arrives=arrives)

    # --- requests -----------------------------------------------------------------------------------------------------

    def send(self, token: Token, worker: int, page: bool, *, thief: bool) -> None:
        self.count("requests")
        repository = self.workers[worker]
        assert repository.rotation is not None
        check = RotationCheck(repository.rotation, token, lambda: page)
        coroutine = repository.load(token, check=check)
        self.sent.append(Sent(token, thief, self.clock(), coroutine, check))

    def refresh(self, token: Token, worker: int, *, thief: bool) -> None:
        self.count("refreshes")
        repository = self.workers[worker]
        assert repository.rotation is not None
        now = self.clock()
        self.sent.append(Sent(token, thief, now, refreshed(repository, repository.rotation, token, now), None))

    @precondition(lambda self: any(not each.done for each in self.sent))
    @rule(data=st.data(), whole=st.booleans())
    def the_server_goes_on(self, data: st.DataObject, whole: bool) -> None:
        """To the next call of the store, or to the end."""
        self.go_on(data.draw(st.sampled_from([each for each in self.sent if not each.done])), whole)

    def go_on(self, sent: Sent, whole: bool) -> None:
        while not sent.done:
            if not sent.began:
                self.begins(sent)
            try:
                sent.coroutine.send(None)
            except StopIteration as end:
                self.ends(sent, end.value)
            except AuthenticationError as error:
                self.is_refused(sent, error)
            except SessionConflictError:  # the client asks again
                sent.done = True
                self.sent.remove(sent)
            if not whole:
                break

    def begins(self, sent: Sent) -> None:
        """The first part, up to the first call of the store, does nothing: from now on it knows the state."""
        sent.coroutine.send(None)
        sent.began = True
        g, now = sent.token.gen, self.clock()
        self.presented = max(self.presented, g)
        sent.too_late = self.dead
        in_use = self.shown.get(g + 1)
        sent.must_refuse = self.newest >= g + 2 or (
            self.newest == g + 1 and in_use is not None and now - in_use >= GRACE
        )

    def ends(self, sent: Sent, value: Any) -> None:
        sent.done = True
        assert not sent.must_refuse, "a token was good although its successor had been in use for the grace"
        assert not sent.too_late, "a session was good after its end"
        if sent.check is None:
            generation, rotated = value
        else:
            generation, rotated = sent.check.successor, sent.check.rotated
        if generation is not None:
            sent.successor = replace(sent.token, gen=generation, iat=sent.check.issued if sent.check else sent.at)
            self.count("rotations" if rotated else "hand-outs of the same generation")
        self.newest = max(self.newest, sent.token.gen, generation or 0)
        if self.newest == sent.token.gen:
            self.shown.setdefault(sent.token.gen, self.clock())

    def is_refused(self, sent: Sent, error: AuthenticationError) -> None:
        sent.done = True
        self.sent.remove(sent)
        if isinstance(error, TokenReusedError):
            self.count("reuses found")
            assert self.thief_acted, "a client that behaves was taken for a thief"
            if self.ends_sessions:  # on_reuse="end", or "refuse"
                self.store.end(sent.token.session_id)
                self.dead, self.existed, self.jar = True, False, None
            elif not sent.thief:
                self.jar = None
        else:
            assert isinstance(error, SessionNotFoundError)
            if not sent.thief and self.jar is not None:
                assert not self.existed or not self.store.seen(sent.token.session_id)[0]
                self.jar, self.dead = None, True

    @precondition(lambda self: any(each.done for each in self.sent))
    @rule(data=st.data(), arrives=st.sampled_from([True, True, False]), keeps=st.booleans())
    def an_answer_is_there(self, data: st.DataObject, arrives: bool, keeps: bool) -> None:
        """It arrives, or it gets lost."""
        sent = data.draw(st.sampled_from([each for each in self.sent if each.done]))
        self.arrives(sent, arrives=arrives and (keeps or not sent.thief))

    def arrives(self, sent: Sent, *, arrives: bool) -> None:
        self.sent.remove(sent)
        # A cookie jar has what comes last. The page in the guide takes only what replaces the token that it has.
        takes = self.adopts == "the last one" or (self.adopts == "the next one" and self.jar == sent.token)
        if not arrives:
            self.count("lost answers")
        elif sent.successor is not None and sent.thief:
            self.stolen = sent.successor
        elif sent.successor is not None and self.jar is not None and takes:
            self.jar = sent.successor

    @precondition(lambda self: any(not each.done for each in self.sent))
    @rule(data=st.data())
    def a_worker_is_killed(self, data: st.DataObject) -> None:
        """Before any call of the store."""
        self.count("killed workers")
        self.drop([data.draw(st.sampled_from([each for each in self.sent if not each.done]))])

    def drop(self, sents: list[Sent]) -> None:
        for each in sents:
            each.coroutine.close()
            self.sent.remove(each)

    # --- the world ----------------------------------------------------------------------------------------------------

    @rule(
        seconds=st.sampled_from(
            [0.5, 5, 10, GRACE - 1, GRACE, GRACE + 1, AFTER - 1, AFTER, AFTER + 1, 2 * AFTER, 7000, 8000]
        ),
        finishes=st.booleans(),
    )
    def time_passes(self, seconds: float, finishes: bool) -> None:
        """No request takes longer than a client waits for it. The server goes on with it, or does not."""
        for each in [each for each in self.sent if each.at + PATIENCE < self.clock() + seconds]:
            if finishes and not each.done and each in self.sent:
                self.go_on(each, whole=True)
            if each in self.sent:
                self.drop([each])
        self.clock.advance(seconds)
        self.existed = self.existed and self.store.seen(self.session_id)[0]

    @precondition(lambda self: self.jar is not None)
    @rule(lost=st.integers(-5, 3))
    def the_server_fails_over(self, lost: int) -> None:
        """The last writes of the session and of its generation are lost: nobody can know any more what was shown."""
        if lost < 1:
            return
        self.count("failovers")
        self.store.fail_over(lost)
        self.existed = self.store.seen(self.session_id)[0]
        self.newest, self.shown = 0, {}
        for each in self.sent:
            each.must_refuse = each.too_late = False

    # --- always -------------------------------------------------------------------------------------------------------

    @invariant()
    def one_generation_ahead_at_most(self) -> None:
        """Whatever happens, only the next generation exists beyond those that somebody had."""
        if self.logins:
            _, newest = self.store.seen(self.session_id)
            assert newest is None or newest.number <= self.presented + 1

    @invariant()
    def nothing_comes_back(self) -> None:
        """What is gone stays gone, but for a failover."""
        self.count("steps")
        if not self.existed:
            assert not self.store.seen(self.session_id)[0], "a rotation has brought a session back"

    def teardown(self) -> None:
        self.count("examples")
        for each in self.sent:
            each.coroutine.close()


class WorldOnServer(World):
    """The same on a server."""

    played: ClassVar[dict[str, int]] = {}

    def make_store(self) -> Any:
        return StoppingServer()


def play(machine: type[World], examples: int, steps: int) -> None:
    machine.played.clear()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            phases=PHASES,
            report_multiple_bugs=False,
        ),
    )
    print(machine.__name__, machine.played)


@pytest.mark.ci
def test_clients_that_behave_are_never_ended_and_reuse_is_always_found() -> None:
    """With the table in Python, and the store in memory."""
    play(World, 400, 60)
    assert min(World.played[each] for each in ("rotations", "reuses found", "lost answers", "failovers")) > 10


@pytest.mark.server
@pytest.mark.ci
def test_the_script_in_the_server_does_the_same(valkey_server: servers.Server) -> None:
    """With the real store, and the script in a Valkey."""
    StoppingServer.loop = asyncio.new_event_loop()
    StoppingServer.inner = RedisSessionStore(valkey_server.url)
    StoppingServer.client = Redis(port=valkey_server.port)
    try:
        play(WorldOnServer, 150, 40)
    finally:
        StoppingServer.loop.run_until_complete(StoppingServer.inner.close())
        StoppingServer.loop.close()
        StoppingServer.client.close()
    assert WorldOnServer.played["rotations"] > 10


Judge = Callable[..., tuple[Verdict, Generation]]


def broken(verdict: Verdict, instead: Callable[[Verdict, Generation, int, int], tuple[Verdict, Generation]]) -> Judge:
    """The table with one row that is wrong."""

    def judged(held: Generation | None, presented: int, now: int, *, due: bool, grace: int) -> Any:
        found, newest = judge(held, presented, now, due=due, grace=grace)
        return instead(found, newest, presented, now) if found is verdict else (found, newest)

    return judged


BROKEN: dict[str, Judge] = {
    "a token that the store does not know is a reuse": lambda held, presented, now, *, due, grace: (
        (Verdict.REUSE, held or Generation(0, 0))
        if held is None or presented > held.number
        else judge(held, presented, now, due=due, grace=grace)
    ),
    "the first use is not noted": broken(Verdict.CURRENT, lambda v, newest, g, now: (v, Generation(newest.number, 0))),
    "two generations at once": broken(Verdict.ROTATED, lambda v, newest, g, now: (v, Generation(newest.number + 1, 0))),
    "a new generation counts as used": broken(Verdict.ROTATED, lambda v, n, g, now: (v, Generation(n.number, now))),
    "a lost answer is a reuse": broken(Verdict.AGAIN, lambda v, newest, g, now: (Verdict.REUSE, newest)),
    "a parallel request begins another generation": broken(
        Verdict.AGAIN, lambda v, newest, g, now: (Verdict.ROTATED, Generation(newest.number + 1, 0))
    ),
    "no grace": broken(Verdict.LATE, lambda v, newest, g, now: (Verdict.REUSE, newest)),
    "a reuse gets the successor": broken(Verdict.REUSE, lambda v, newest, g, now: (Verdict.AGAIN, newest)),
    "a reuse is late": broken(Verdict.REUSE, lambda v, newest, g, now: (Verdict.LATE, newest)),
    "a reuse moves the state back": broken(Verdict.REUSE, lambda v, newest, g, now: (v, Generation(g, now))),
}


@pytest.mark.ci
@pytest.mark.parametrize("row", BROKEN)
def test_each_row_that_is_broken_is_found(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So these games can fail."""
    for module in ("jwtsession.stores.memory", "jwtsession.sessions.rotation"):
        monkeypatch.setattr(f"{module}.judge", BROKEN[row])
    with pytest.raises(AssertionError):
        play(World, 1500, 60)


@pytest.mark.ci
def test_a_rotation_that_brings_sessions_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """So this can fail too."""
    rotate = Stopping.rotate

    async def reviving(self: Stopping, session_id: str, *args: Any, **options: Any) -> Rotated:
        found = await rotate(self, session_id, *args, **options)
        await self.create(session_id, b'{"user_id":1}', 3_600_000)
        return found

    monkeypatch.setattr(Stopping, "rotate", reviving)
    with pytest.raises(AssertionError):
        play(World, 1500, 60)
