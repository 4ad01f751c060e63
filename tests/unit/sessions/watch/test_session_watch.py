"""Tests of the watch of open sockets' sessions: jwtsession.sessions.watch.session_watch and .watched."""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from jwtsession import MemorySessionStore, SessionNotFoundError, StoreUnavailableError
from jwtsession.sessions import Ending, SessionToken, SessionWatch, Uses
from jwtsession.testing import Clock

OVER = Ending(1008, "Session ended")
UNKNOWN = Ending(1013, "Session store unavailable")
OWNER = object()


@dataclass(frozen=True)
class Token:
    """What the watch needs of a token."""

    session_id: str
    sub: str | None = None
    exp: float | None = None
    iat: float | None = None
    auth_time: float | None = None
    jwtsession_idle_timeout: int | None = None
    actor: str | None = None


class Store(MemorySessionStore):
    """A store whose questions are counted, and which fails if it is told to. It reports changes."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: list[list[str]] = []
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.listeners: set[Callable[[Sequence[str] | None], object]] = set()
        self.followed: list[str] = []

    def follow(self, session_id: str) -> None:
        self.followed.append(session_id)

    async def remaining(self, session_ids: Sequence[str]) -> list[int]:
        self.asked.append([*session_ids])
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().remaining(session_ids)

    def report(self, session_ids: Sequence[str] | None) -> None:
        for each in [*self.listeners]:
            each(session_ids)


class CountedUses(Uses):
    """Uses that a test sees."""

    def __init__(self) -> None:
        self.due = True
        self.counted: list[str] = []
        self.error: Exception | None = None

    def is_due(self, token: SessionToken) -> bool:
        return self.due

    async def extend(self, token: SessionToken) -> None:
        self.counted.append(token.session_id)
        if self.error is not None:
            raise self.error


class Setting:
    """A watch, its store, and what its sockets were told."""

    def __init__(self, clock: Clock, *, keeps_alive: bool = True) -> None:
        self.clock = clock
        self.store = Store(clock)
        self.uses = CountedUses()
        self.watch = SessionWatch(
            self.store,
            self.uses,
            check_interval=5,
            close_code=1008,
            keeps_alive=keeps_alive,
            clock=clock,
            timer=clock,
        )
        self.told: list[tuple[str, Ending]] = []

    async def open(self, *session_ids: str, owner: object = OWNER, exp: float | None = None) -> None:
        for each in session_ids:
            await self.store.create(each, b"{}", 3_600_000)
            self.watch.add(Token(each, exp=exp), owner, self.tell(each))
        await settle()
        self.store.asked.clear()

    def tell(self, name: str) -> Callable[[Ending], None]:
        return lambda ending: self.told.append((name, ending))


async def settle() -> None:
    """Let the watch's task do all that it can do without time."""
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
def setting(clock: Clock) -> Setting:
    return Setting(clock)


# --- ends -------------------------------------------------------------------------------------------------------------


async def test_an_end_in_this_worker_is_told_at_once(setting: Setting) -> None:
    """To all sockets of the session and to no others, once, and without a question to the store."""
    await setting.open("a", "a", "b")
    setting.watch.ended(["a", "unknown"])
    setting.watch.ended(["a"])
    assert setting.told == []  # a moment later, so that a message that is there already is read
    await settle()
    assert setting.told == [("a", OVER), ("a", OVER)]
    assert (setting.watch.count, setting.store.asked) == (1, [])


async def test_an_end_elsewhere_is_found_by_the_next_look(setting: Setting) -> None:
    """One question for all sessions; each session once, however many sockets it has."""
    await setting.open("a", "a", "b")
    await setting.store.destroy("a")
    await setting.watch.look()
    await settle()
    assert setting.store.asked == [["a", "b"]]
    assert setting.told == [("a", OVER), ("a", OVER)]


async def test_the_task_looks_by_itself(setting: Setting) -> None:
    """When the interval has passed, it asks for all."""
    await setting.open("a", "b")
    await setting.store.destroy("a")
    setting.clock.advance(5)
    setting.watch.add(Token("b"), OWNER, setting.tell("b"))  # wakes the task, which sees the time
    await settle()
    assert setting.store.asked == [["a", "b"]]
    assert setting.told == [("a", OVER)]


async def test_a_look_asks_in_batches_of_500(setting: Setting) -> None:
    """A thousand and one sessions are three round trips."""
    await setting.open(*[f"{number}" for number in range(1001)])
    await setting.watch.look()
    assert [len(batch) for batch in setting.store.asked] == [500, 500, 1]


async def test_a_session_that_ended_before_its_socket_was_watched_is_found_at_once(setting: Setting) -> None:
    """A new socket's session is asked for without waiting for the interval."""
    setting.watch.add(Token("gone"), OWNER, setting.tell("gone"))
    await settle()
    assert setting.told == [("gone", OVER)]


async def test_a_closed_socket_is_told_nothing(setting: Setting) -> None:
    """Also if it closed between the end and the telling. Closing twice is nothing."""
    await setting.store.create("a", b"{}", 1000)
    watched = setting.watch.add(Token("a"), OWNER, setting.tell("a"))
    setting.watch.ended(["a"])
    watched.close()
    watched.close()
    watched.used()
    await settle()
    assert (setting.told, setting.watch.count) == ([], 0)


async def test_a_token_that_expires_ends_its_socket(setting: Setting) -> None:
    """Also if the store still has the session, or does not answer."""
    setting.store.error = StoreUnavailableError()
    await setting.open("a", exp=setting.clock.now + 20)
    await setting.open("b")
    setting.clock.advance(19)
    await setting.watch.look()
    await settle()
    assert setting.told == []
    setting.clock.advance(1)
    await setting.watch.look()
    await settle()
    assert setting.told == [("a", OVER)]


async def test_another_event_loops_socket_is_told_in_its_own(setting: Setting) -> None:
    """The socket's loop runs in another thread than the verb that ended its session."""
    told: list[int] = []
    ready, ended = threading.Event(), threading.Event()

    async def elsewhere() -> None:
        await setting.store.create("a", b"{}", 1_000_000)
        over = asyncio.Event()
        setting.watch.add(Token("a"), OWNER, lambda _: (told.append(threading.get_ident()), over.set()))
        ready.set()
        await over.wait()
        ended.set()

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    await asyncio.to_thread(ready.wait, 10)
    setting.watch.ended(["a"])
    assert await asyncio.to_thread(ended.wait, 10)
    thread.join(10)
    assert told == [thread.ident]


# --- reports ----------------------------------------------------------------------------------------------------------


async def test_a_reported_change_is_looked_at_at_once(setting: Setting) -> None:
    """Of watched sessions alone; None is all of them. A change that is no end ends nothing."""
    await setting.open("a", "b")
    assert {*setting.store.followed} == {"a", "b"}
    setting.store.report(["a", "unknown"])
    await settle()
    assert setting.store.asked == [["a"]]
    await setting.store.destroy("b")
    setting.store.report(None)
    await settle()
    assert {*setting.store.asked[1]} == {"a", "b"}
    assert setting.told == [("b", OVER)]


async def test_reports_during_a_question_are_one_more_question(setting: Setting) -> None:
    """A session that is written a hundred times costs no hundred questions: one is under way at a time."""
    await setting.open("a", "b")
    setting.store.gate = asyncio.Event()
    for _ in range(50):
        setting.store.report(["a"])
        await asyncio.sleep(0)
    for _ in range(50):
        setting.store.report(["b"])
        await asyncio.sleep(0)
    assert setting.store.asked == [["a"]]
    setting.store.gate.set()
    await settle()
    assert [sorted(each) for each in setting.store.asked] == [["a"], ["a", "b"]]


async def test_nobody_listens_without_sockets(setting: Setting) -> None:
    """The store's list of listeners is empty before the first socket and after the last one."""
    assert setting.store.listeners == set()
    await setting.open("a")
    assert len(setting.store.listeners) == 1
    setting.watch.ended(["a"])
    await settle()
    assert setting.store.listeners == set()


# --- outages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [StoreUnavailableError(), KeyError("x"), TypeError(), ExceptionGroup("", [OSError()])]
)
async def test_an_outage_closes_sockets_after_30_seconds(
    setting: Setting, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """With 1013, whatever the store raises. Until then they stay open."""
    await setting.open("a", "b")
    setting.store.error = error
    for _ in range(4):
        await setting.watch.look()
        setting.clock.advance(10)
    await settle()
    assert setting.told == []
    setting.clock.advance(1)
    with caplog.at_level(logging.ERROR):
        await setting.watch.look()
    await settle()
    assert setting.told == [("a", UNKNOWN), ("b", UNKNOWN)]
    assert "2 open sockets are closed" in caplog.text


async def test_an_outage_that_passes_closes_nothing(setting: Setting) -> None:
    """The thirty seconds begin anew with the next outage."""
    await setting.open("a")
    for _ in range(5):
        setting.store.error = StoreUnavailableError()
        await setting.watch.look()
        setting.clock.advance(20)
        setting.store.error = None
        await setting.watch.look()
    await settle()
    assert (setting.told, setting.watch.count) == ([], 1)


async def test_a_store_that_cancels_its_own_work_does_not_end_the_watch(setting: Setting) -> None:
    """It is an outage as any other, and the next look finds what has ended."""
    await setting.open("a")
    setting.store.error = asyncio.CancelledError()
    setting.store.report(None)
    await settle()
    setting.store.error = None
    await setting.store.destroy("a")
    setting.store.report(None)
    await settle()
    assert setting.told == [("a", OVER)]


async def test_an_answer_of_the_wrong_length_is_an_outage(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that leaves out a session ends none: nobody knows which one it left out."""

    async def remaining(session_ids: Sequence[str]) -> list[int]:
        return [0]

    await setting.open("a", "b")
    monkeypatch.setattr(setting.store, "remaining", remaining)
    await setting.watch.look()
    await settle()
    assert setting.told == []


async def test_a_store_that_lost_everything_ends_the_sockets(setting: Setting) -> None:
    """With 1008: nobody can tell it from a log-out."""
    await setting.open("a", "b")
    await setting.store.destroy_all(["a", "b"])
    await setting.watch.look()
    await settle()
    assert setting.told == [("a", OVER), ("b", OVER)]


# --- new ids ----------------------------------------------------------------------------------------------------------


async def test_sockets_follow_a_session_to_its_new_id(setting: Setting) -> None:
    """All of them, and a look in the middle of the move ends none."""
    await setting.open("old", "old", owner=object())
    with setting.watch.moving("old", Token("new"), OWNER, all_follow=True):
        await setting.store.destroy("old")
        await setting.watch.look()
        await setting.store.create("new", b"{}", 1_000_000)
    await setting.watch.look()
    await settle()
    assert (setting.told, setting.watch.count) == ([], 2)
    setting.watch.ended(["new"])
    await settle()
    assert setting.told == [("old", OVER), ("old", OVER)]


async def test_only_the_own_socket_follows_a_session_that_becomes_another_users(setting: Setting) -> None:
    """Who planted the old id in a browser, and has a socket open with it, does not see what comes after the login."""
    await setting.open("old", owner=OWNER)
    await setting.open("old", owner=object())
    await setting.store.create("new", b"{}", 1_000_000)
    with setting.watch.moving("old", Token("new"), OWNER, all_follow=False):
        await setting.store.destroy("old")
    await settle()
    assert (len(setting.told), setting.watch.count) == (1, 1)


async def test_a_move_that_fails_half_way_ends_the_sockets(setting: Setting) -> None:
    """The store is asked at once; a move that failed before it changed anything ends none."""
    await setting.open("kept", "lost")

    async def move(old_id: str, *ended: str) -> None:
        with setting.watch.moving(old_id, Token("new"), OWNER, all_follow=True):
            await setting.store.destroy_all(ended)
            raise StoreUnavailableError

    for arguments in (["kept"], ["lost", "lost"]):
        with pytest.raises(StoreUnavailableError):
            await move(*arguments)
    await settle()
    assert setting.told == [("lost", OVER)]


async def test_of_two_moves_the_loser_does_not_end_the_winners_sockets(setting: Setting) -> None:
    """The loser's error comes while the winner is between the two ids."""
    await setting.open("old")
    with setting.watch.moving("old", Token("new"), OWNER, all_follow=True):
        await setting.store.destroy("old")
        with (
            pytest.raises(SessionNotFoundError),
            setting.watch.moving("old", Token("other"), object(), all_follow=True),
        ):
            raise SessionNotFoundError
        await settle()
        await setting.store.create("new", b"{}", 1_000_000)
    await settle()
    assert (setting.told, setting.watch.count) == ([], 1)


async def test_the_own_socket_follows_a_new_login(setting: Setting) -> None:
    """The others of the old session end with it."""
    await setting.open("old", owner=OWNER)
    await setting.open("old", owner=object())
    await setting.store.create("new", b"{}", 1_000_000)
    setting.watch.follow("old", Token("new"), OWNER)
    setting.watch.ended(["old"])
    await setting.watch.look()
    await settle()
    assert (len(setting.told), setting.watch.count) == (1, 1)


# --- uses -------------------------------------------------------------------------------------------------------------


async def test_uses_are_counted_by_the_task_and_only_when_due(setting: Setting) -> None:
    """A hundred messages are one use, and none where none is due."""
    await setting.store.create("a", b"{}", 1_000_000)
    watched = setting.watch.add(Token("a"), OWNER, setting.tell("a"))
    for _ in range(100):
        watched.used()
    assert setting.uses.counted == []
    await settle()
    assert setting.uses.counted == ["a"]
    setting.uses.due = False
    watched.used()
    await settle()
    assert setting.uses.counted == ["a"]


async def test_a_use_that_fails_is_tried_again_with_the_next_look(setting: Setting) -> None:
    """Not with each message, and the socket stays open."""
    await setting.store.create("a", b"{}", 1_000_000)
    watched = setting.watch.add(Token("a"), OWNER, setting.tell("a"))
    setting.uses.error = StoreUnavailableError()
    for _ in range(10):
        watched.used()
        await settle()
    assert (setting.uses.counted, setting.told) == (["a"], [])
    setting.uses.error = None
    setting.store.report(None)
    await settle()
    assert (setting.uses.counted, setting.told) == (["a", "a"], [])


async def test_a_use_of_a_session_that_is_gone_ends_the_socket(setting: Setting) -> None:
    """The store is asked, and says so."""
    await setting.store.create("a", b"{}", 1_000_000)
    watched = setting.watch.add(Token("a"), OWNER, setting.tell("a"))
    await settle()
    await setting.store.destroy("a")
    setting.uses.error = SessionNotFoundError()
    watched.used()
    await settle()
    assert setting.told == [("a", OVER)]


async def test_many_uses_do_not_delay_the_look(setting: Setting, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow store and many sockets with messages: the look comes in time, and every use is counted after it."""

    async def slow(token: SessionToken) -> None:
        clock.advance(1)
        await asyncio.sleep(0)
        setting.uses.counted.append(token.session_id)

    monkeypatch.setattr(setting.uses, "extend", slow)
    names = [str(number) for number in range(20)]
    for name in names:
        await setting.store.create(name, b"{}", 1_000_000)
    every = [setting.watch.add(Token(name), OWNER, setting.tell(name)) for name in names]
    await settle()
    await setting.store.destroy("0")
    for watched in every[1:]:
        watched.used()
    while not setting.told:  # noqa: ASYNC110  # the watch tells
        await asyncio.sleep(0)
    assert len(setting.uses.counted) < 10
    await settle()
    assert sorted(setting.uses.counted) == sorted(names[1:])


async def test_uses_do_not_count_if_the_setting_is_off(clock: Clock) -> None:
    """`keeps_alive=False`."""
    setting = Setting(clock, keeps_alive=False)
    watched = setting.watch.add(Token("a"), OWNER, setting.tell("a"))
    watched.used()
    await settle()
    assert setting.uses.counted == []


# --- nothing stays ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_ten_thousand_sockets_leave_nothing_behind(setting: Setting) -> None:
    """Closed by their clients, ended by log-outs, found by looks: no handle is kept, and no task runs."""
    left, before = weakref.WeakSet[object](), asyncio.all_tasks()
    for number in range(10_000):
        name = f"{number % 100}"
        await setting.store.create(name, b"{}", 1_000_000)
        owner = Token(f"owner {number}")
        watched = setting.watch.add(Token(name), owner, setting.tell(name))
        left.add(owner)
        watched.used()
        if number % 3 == 0:
            setting.watch.ended([name])
        elif number % 3 == 1:
            watched.close()
        if number % 1000 == 0:
            await setting.store.destroy_all([f"{each}" for each in range(100)])
            await setting.watch.look()
    del owner, watched
    setting.watch.ended([f"{each}" for each in range(100)])
    await settle()
    setting.told.clear()
    gc.collect()
    assert (setting.watch.count, len(left)) == (0, 0)
    assert asyncio.all_tasks() == before


async def test_the_end_of_the_provider_ends_the_task(setting: Setting) -> None:
    """The server closes what is open then. The watch works again after the next start."""
    before = asyncio.all_tasks()
    await setting.watch.close()
    await setting.open("a")
    await setting.watch.close()
    await settle()
    assert (setting.told, setting.watch.count) == ([], 0)
    assert asyncio.all_tasks() == before
    await setting.open("b")
    setting.watch.ended(["b"])
    await settle()
    assert setting.told == [("b", OVER)]
