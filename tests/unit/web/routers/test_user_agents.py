"""Tests of jwtsession.web.routers._user_agents: what a user agent says, and what it may cost."""

import builtins
import time
from typing import Any

import pytest

from jwtsession.web.routers._user_agents import UserAgents
from tests.devices import FIREFOX, IPHONE

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"


@pytest.mark.parametrize(
    ("agent", "seen"),
    [
        (FIREFOX, ("Firefox", "Windows", None)),
        (IPHONE, ("Safari", "iOS", "iPhone")),
        (f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Mobile Safari/537.36", ("Chrome", "Android", None)),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Safari/537.36", ("Chrome", "macOS", "Mac")),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Safari/537.36 Edg/140.0.0.0", ("Edge", "Linux", None)),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
            ("Firefox", "Android", "Smartphone"),
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 CriOS/140.0 Mobile/15E148",
            ("Chrome", "iOS", "iPhone"),
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            ("Safari", "iOS", "iPad"),
        ),
        ("Googlebot/2.1 (+http://www.google.com/bot.html)", ("Googlebot", None, None)),
        ("curl/8.5.0", ("curl", None, None)),
        ("a program of somebody", (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_what_people_call_it(agent: str, seen: tuple[str | None, ...]) -> None:
    """Names of browsers and systems that users know, without versions, and no name for what is not said."""
    agents = UserAgents()
    assert (agents.known(agent) or agents.parse(agent)) == seen
    assert agents.known(agent) == seen


def test_without_the_package_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """ua-parser is an extra: without it there is no error, and nothing is parsed."""
    original = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "ua_parser":
            raise ImportError(name)
        return original(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    assert UserAgents().known(FIREFOX) == (None, None, None)


# Found by a search of half a minute for slow ones, among the words of ua-parser's own rules.
HOSTILE = [
    "Mypal" + "; " * 14 + "Spice " + "; " * 120,
    "One S C" + "; " * 30 + "KFJWI " + "; " * 10 + "PocketTunes " + "; " * 80,
    "TPC; ; ; ; OBIGO; " + "; " * 25 + "Ypy" * 20 + "; " * 60,
    "Mozilla/5.0 (Linux; Android 9; SAMSUNG " + "SM-" * 80,
    "HTC" + " HTC_" * 60,
    " " * 256,
    "(" * 256,
    "a/1 " * 70,
]


@pytest.mark.parametrize("agent", [each[:256] for each in HOSTILE])
def test_a_hostile_user_agent_costs_little_once_and_shows_little(agent: str) -> None:
    """The index keeps 256 bytes of it: no rule of ua-parser takes long for that, and what it captures is cut."""
    agents = UserAgents()
    start = time.process_time()
    seen = agents.parse(agent)
    assert time.process_time() - start < 0.1  # 8 ms on an idle machine
    assert all(each is None or len(each) <= 64 for each in seen)
    start = time.process_time()
    assert agents.known(agent) == seen
    assert time.process_time() - start < 0.01


def test_a_user_agent_for_which_the_package_fails_is_unknown() -> None:
    """A rule of ua-parser raises a ValueError for this one, and the list of sessions must not fail by that."""
    agents = UserAgents()
    agent = "SAMSUNG-ANDROID-MMS/ ;"
    assert agents.parse(agent).device is None
    assert agents.known(agent) is not None
