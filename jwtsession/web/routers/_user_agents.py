"""`UserAgents`: tells the browser, the system and the device from a user agent. It alone imports ua-parser."""

import re
from collections.abc import Callable
from typing import NamedTuple

from ..._lru import ByteLRU

MAX_NEW = 50
"""At most so many user agents are parsed for one answer. One takes about a millisecond, and up to ten if somebody has
made it for that. What is left out is parsed for the next answer."""

_CACHE_BYTES = 1_000_000
_MAX_CHARACTERS = 64
_VARIANT = re.compile(r"^Mobile | Mobile$| Mobile iOS$| iOS$| UI/WKWebView$")
_SYSTEMS = {"Mac OS X": "macOS"}


class Seen(NamedTuple):
    """What a user agent says. The client chooses it, so it may be wrong."""

    browser: str | None = None
    """The browser, or another program."""
    os: str | None = None
    """The operating system."""
    device: str | None = None
    """The device. Browsers on a desktop seldom say it."""


_NOTHING = Seen()


class UserAgents:
    """Parses user agents by the package ua-parser, and remembers what it found. Without the package it finds nothing.

    Importing the package takes about a tenth of a second, so make this object before the application starts.
    """

    def __init__(self) -> None:
        self._parse = _parser()
        self._known: ByteLRU[str, Seen] = ByteLRU(_CACHE_BYTES, lambda key, seen: 400 + 2 * len(key))

    def known(self, user_agent: str | None) -> Seen | None:
        """What a user agent says, if that takes no time; None if it has to be parsed."""
        if not user_agent or self._parse is None:
            return _NOTHING
        return self._known.get(user_agent)

    def parse(self, user_agent: str) -> Seen:
        """Parse a user agent."""
        try:
            seen = _NOTHING if self._parse is None else self._parse(user_agent)
        except Exception:  # some rules of ua-parser raise a ValueError if somebody has made the text for that
            seen = _NOTHING
        self._known.put(user_agent, seen)
        return seen


def _parser() -> Callable[[str], Seen] | None:
    try:
        import ua_parser
    except ImportError:
        return None

    _ = ua_parser.parser  # compiles the rules now, and not at the first request

    def parse(user_agent: str) -> Seen:
        found = ua_parser.parse(user_agent)
        browser, system, device = found.user_agent, found.os, found.device
        name = None if device is None or device.brand == "Spider" else device.family
        if device is not None and (device.brand or "").startswith("Generic"):
            # Chrome says "K" for every phone. "Smartphone" and "Tablet" are no names of products, but they help.
            name = device.model if device.brand == "Generic" else None
        return Seen(
            _cut(None if browser is None else _VARIANT.sub("", browser.family)),
            _cut(None if system is None else _SYSTEMS.get(system.family, system.family)),
            _cut(name),
        )

    return parse


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_CHARACTERS].strip() or None
