"""The defence against other sites' requests, over every combination of what a request may say and what may be set.

`python -m tests.security.test_csrf` prints how many combinations there are, and how many of them were decided as the
table below wants it.
"""

import functools
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Annotated, Any, NamedTuple, get_args

import pytest
from fastapi import Depends, FastAPI, WebSocket

from jwtsession import (
    Claims,
    CSRFError,
    Session,
    SessionManager,
    SessionProvider,
    SessionSettings,
    Token,
)
from jwtsession.settings import CSRFMode
from jwtsession.testing import AsyncSessionTester
from jwtsession.transports import CSRFCheck
from tests.asgi import Header, ask, call, scope_of
from tests.conftest import SECRET
from tests.security.stores import CountingStore

# --- what a request may say, and what may be set ---------------------------------------------------------------------

KINDS = ("cookie", "login", "socket", "explicit")
"""A request with the token in the cookie; a login that sets one; a handshake with the cookie; a bearer token beside
the cookie of somebody else."""
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PURGE")
SITES: dict[str, tuple[str, ...]] = {
    "absent": (),
    "same-origin": ("same-origin",),
    "none": ("none",),
    "same-site": ("same-site",),
    "cross-site": ("cross-site",),
    "twice": ("same-origin", "same-origin"),
    "two": ("same-origin", "cross-site"),
    "odd case": ("Same-Origin",),
    "junk": ("same-origin, none",),
    "empty": ("",),
}
ORIGINS: dict[str, tuple[str, ...]] = {
    "absent": (),
    "own": ("{scheme}://shop.example.com",),
    "own with its port": ("{scheme}://shop.example.com:{port}",),
    "other port": ("{scheme}://shop.example.com:8443",),
    "other host": ("{scheme}://evil.com",),
    "sibling": ("{scheme}://blog.example.com",),
    "longer": ("{scheme}://shop.example.com.evil.com",),
    "null": ("null",),
    "trusted": ("https://app.example.org",),
    "trusted with a slash": ("https://app.example.org/",),
    "own and other": ("{scheme}://shop.example.com", "{scheme}://evil.com"),
}
HOSTS: dict[str, tuple[str, ...]] = {
    "plain": ("shop.example.com",),
    "with its port": ("shop.example.com:{port}",),
    "upper case": ("SHOP.Example.com",),
    "other port": ("shop.example.com:8443",),
    "two": ("shop.example.com", "evil.com"),
    "absent": (),
}
SCHEMES = {"http": "80", "https": "443"}


class Setting(NamedTuple):
    """What may be set."""

    csrf: CSRFMode
    secure: bool
    same_site: bool


class Case(NamedTuple):
    """One combination, by the names above."""

    kind: str
    method: str
    site: str
    origin: str
    host: str
    scheme: str
    setting: Setting

    @property
    def headers(self) -> list[Header]:
        """What the request says."""
        said = {"sec-fetch-site": SITES[self.site], "origin": ORIGINS[self.origin], "host": HOSTS[self.host]}
        port = SCHEMES[self.scheme]
        return [
            (name, value.format(scheme=self.scheme, port=port)) for name, values in said.items() for value in values
        ]


SETTINGS = [*itertools.starmap(Setting, itertools.product(get_args(CSRFMode), (True, False), (True, False)))]


def cases() -> Iterator[Case]:
    """All combinations. A handshake has no method, so it is there once."""
    for kind in KINDS:
        methods = ("GET",) if kind == "socket" else METHODS
        yield from itertools.starmap(
            Case, itertools.product((kind,), methods, SITES, ORIGINS, HOSTS, SCHEMES, SETTINGS)
        )


# --- what is right ---------------------------------------------------------------------------------------------------

SAME_PLACE = {
    ("own", "plain"), ("own", "with its port"), ("own", "upper case"),
    ("own with its port", "plain"), ("own with its port", "with its port"), ("own with its port", "upper case"),
    ("other port", "other port"),
}  # fmt: skip
"""The origins that are the host's own."""

EXPLICIT = "an explicit token comes of a script that knows it"
RULES: tuple[tuple[str, Callable[[Case], bool], Callable[[Case], bool]], ...] = (
    ("nothing is checked where the defence is off", lambda case: case.setting.csrf == "off", lambda case: True),
    (EXPLICIT, lambda case: case.kind == "explicit", lambda case: True),
    (
        "a safe method changes nothing",
        lambda case: case.kind == "cookie" and case.method in {"GET", "HEAD", "OPTIONS"},
        lambda case: True,
    ),
    ("no browser sends two origins", lambda case: case.origin == "own and other", lambda case: False),
    ("a trusted origin", lambda case: case.origin == "trusted", lambda case: True),
    ("the page's own request, or the user's", lambda case: case.site in {"same-origin", "none"}, lambda case: True),
    ("a sibling's", lambda case: case.site == "same-site", lambda case: case.setting.same_site),
    ("another site's, or what no browser says", lambda case: case.site != "absent", lambda case: False),
    ("an old browser", lambda case: case.origin != "absent", lambda case: (case.origin, case.host) in SAME_PLACE),
    ("no browser, and that is fine", lambda case: case.setting.csrf == "lenient", lambda case: True),
    (
        "no browser, or one in development",
        lambda case: True,
        lambda case: case.scheme == "http" and not case.setting.secure,
    ),
)
"""The first rule that is about a case decides whether it passes: its name, what it is about, what it decides."""


def right(case: Case) -> tuple[str, bool]:
    """The rule that decides, and whether the request passes."""
    return next((name, passes(case)) for name, is_about, passes in RULES if is_about(case))


# --- the check alone -------------------------------------------------------------------------------------------------


def decided(case: Case, check: CSRFCheck) -> bool:
    """What the check says."""
    kind = "websocket" if case.kind == "socket" else "http"
    scheme = {"http": "ws", "https": "wss"}[case.scheme] if case.kind == "socket" else case.scheme
    scope = scope_of(case.method, headers=case.headers, scheme=scheme, kind=kind)
    try:
        if case.kind == "login":
            check.check_login(scope["headers"], scope["scheme"])
        else:
            check.check_request(scope)
    except CSRFError:
        return False
    return True


def matrix() -> tuple[Counter[tuple[str, bool]], list[Case]]:
    """How many combinations each rule decides, and those that the check decides in another way."""
    checks = {
        each: CSRFCheck(
            each.csrf,
            trusted_origins=["https://app.example.org"],
            same_site=each.same_site,
            cookie_secure=each.secure,
        )
        for each in SETTINGS
    }
    counts: Counter[tuple[str, bool]] = Counter()
    wrong = []
    for case in cases():
        if case.kind == "explicit":  # it never gets to the check
            continue
        rule, passes = right(case)
        counts[rule, passes] += 1
        if decided(case, checks[case.setting]) != passes:
            wrong.append(case)
    return counts, wrong


@pytest.mark.slow
def test_every_combination_is_decided_as_the_table_says() -> None:
    """Nothing of another site passes, and nothing of the user's own pages is refused. Each rule decides something."""
    counts, wrong = matrix()
    assert wrong == []
    assert {name for name, *_ in RULES} - {name for name, _ in counts} == {EXPLICIT}
    assert sum(counts.values()) > 250_000


# --- a sample of them, over the whole application --------------------------------------------------------------------


class UserSession(Session):
    user: str


class World:
    """An application with a setting, and what happens in it."""

    def __init__(self, setting: Setting) -> None:
        self.store = CountingStore()
        self.ran = 0
        settings = SessionSettings(
            secret=SECRET,
            token_sources=("cookie", "bearer"),
            cookie={"secure": setting.secure},
            csrf=setting.csrf,
            csrf_same_site=setting.same_site,
            trusted_origins=["https://app.example.org"],
        )
        self.name = settings.cookie_name
        self.sessions = SessionProvider(UserSession, settings=settings, store=self.store)
        self.app = self._application()
        self.tokens: dict[str, str] = {}

    def _application(self) -> FastAPI:
        sessions, app = self.sessions, FastAPI(lifespan=self.sessions.lifespan)

        @app.api_route("/", methods=[*METHODS])
        async def change(session: Annotated[UserSession, Depends(sessions.get_session)]) -> str:
            self.ran += 1
            return session.user

        @app.api_route("/login", methods=[*METHODS])
        async def log_in(manager: Annotated[SessionManager[Any, Any], Depends(sessions.get_manager)]) -> Token:
            made = await manager.create(UserSession(user="mallory"), Claims(sub="mallory"))
            self.ran += 1
            return made

        @app.websocket("/")
        async def socket(socket: WebSocket, session: Annotated[UserSession, Depends(sessions.get_session)]) -> None:
            self.ran += 1
            await socket.accept()

        return app


@pytest.fixture(scope="module")
async def worlds() -> AsyncIterator[dict[Setting, World]]:
    """A running application for each setting."""
    async with AsyncExitStack() as stack:
        found = {}
        for setting in SETTINGS:
            world = found[setting] = World(setting)
            await stack.enter_async_context(world.app.router.lifespan_context(world.app))
            tester = AsyncSessionTester(world.sessions)
            for user in ("ann", "bob"):
                world.tokens[user] = (await tester.login({"user": user})).token
        yield found


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@functools.cache
def sample() -> list[Case]:
    """Some combinations, always the same ones. To list all of them takes a second."""
    return random.Random(11).sample([*cases()], 1200)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_the_application_does_what_the_check_says(worlds: dict[Setting, World], kind: str) -> None:
    """What is refused runs no endpoint, asks and changes nothing in the store, and sets no cookie."""
    checked = Counter[bool]()
    for case in (each for each in sample() if each.kind == kind):
        world, (rule, passes) = worlds[case.setting], right(case)
        headers = [*case.headers]
        if kind != "login":
            headers.append(("cookie", f"{world.name}={world.tokens['bob' if kind == 'explicit' else 'ann']}"))
        if kind == "explicit":
            headers.append(("authorization", f"Bearer {world.tokens['ann']}"))
        world.ran = world.store.loads = 0
        stored = {*world.store.contents}
        if kind == "socket":
            scheme = {"http": "ws", "https": "wss"}[case.scheme]
            answer = await call(world.app, scope_of(path="/", headers=headers, scheme=scheme, kind="websocket"))
            assert answer.accepted is passes, (rule, case)
        else:
            path = "/login" if kind == "login" else "/"
            answer = await ask(world.app, case.method, path, *headers, scheme=case.scheme)
            assert answer.status == (200 if passes else 403), (rule, case)
            assert bool(answer.cookies) is (kind == "login" and passes), (rule, case)
        assert world.ran == passes, (rule, case)
        assert world.store.loads == (passes and kind != "login"), (rule, case)
        assert len({*world.store.contents} - stored) == (passes and kind == "login"), (rule, case)
        if not passes and kind != "socket" and case.method != "HEAD":
            assert answer.json() == {"detail": "Cross-site request refused"}
        if passes and kind == "explicit" and case.method != "HEAD":
            assert answer.json() == "ann"
        checked[passes] += 1
    assert checked[True] > 10
    assert checked[False] > 10 or kind == "explicit"


def main() -> None:
    """Print the matrix's size and result."""
    counts, wrong = matrix()
    for (rule, passes), count in sorted(counts.items()):
        print(f"{count:>8,}  {'pass' if passes else '403':<5} {rule}")
    print(f"{sum(counts.values()):>8,}  combinations, {len(wrong):,} decided otherwise")
    for case in wrong[:20]:
        print(case, right(case))


if __name__ == "__main__":
    main()
