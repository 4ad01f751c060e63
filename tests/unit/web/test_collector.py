"""Tests of jwtsession.web.collector: what an application makes at its start is frozen, once and only if it says so.

`gc.freeze()` holds for a whole process, so each test that freezes has a process of its own.
"""

import gc
import subprocess
import sys
from textwrap import dedent

import pytest
from fastapi import FastAPI

from jwtsession import MemorySessionStore, SessionProvider
from tests.conftest import SECRET

_PROLOGUE = f"""
import asyncio, contextlib, gc, weakref
from fastapi import FastAPI
from jwtsession import MemorySessionStore, SessionProvider

frozen, freeze = [], gc.freeze
gc.freeze = lambda: frozen.append(freeze())

def provider(**options):
    return SessionProvider(secret={SECRET!r}, store=MemorySessionStore(), **options)

class Node:
    def __init__(self):
        self.itself = self
"""


def passes(code: str) -> None:
    """Run this in a new process, in which an assertion must not fail."""
    body = "async def main():\n" + "".join(f"    {line}\n" for line in dedent(code).strip().splitlines())
    command = [sys.executable, "-c", f"{_PROLOGUE}\n{body}\nasyncio.run(main())"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr


async def test_without_the_setting_nothing_is_frozen() -> None:
    """The start leaves the collector as it is."""
    before = gc.get_freeze_count()
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore())
    app = FastAPI()
    async with sessions.lifespan(app):
        assert gc.get_freeze_count() <= before


@pytest.mark.slow
def test_a_process_freezes_once() -> None:
    """The first start freezes. Another provider of the application, a second start and another application do not."""
    passes("""
        sessions, others, app = provider(gc_freeze=True), provider(gc_freeze=True, request_key="other"), FastAPI()
        assert not frozen
        async with sessions.lifespan(app):
            assert len(frozen) == 1
            assert gc.get_freeze_count() > 10_000
            async with others.lifespan(app):
                assert len(frozen) == 1
        async with sessions.lifespan(app), others.lifespan(FastAPI()):
            assert len(frozen) == 1
        assert gc.get_freeze_count() > 10_000, "the end unfreezes nothing"
    """)


@pytest.mark.slow
def test_a_frozen_application_frees_its_garbage() -> None:
    """Cycles from before the start are freed and not frozen, those made later are collected, and an object that was
    frozen is freed with its last reference. Only a cycle that was in use at the start stays.
    """
    passes("""
        gc.disable()
        before, kept = weakref.ref(Node()), Node()
        plain = {"frozen": FastAPI.__new__(FastAPI)}
        stays, goes = weakref.ref(kept), weakref.ref(plain["frozen"])
        assert before() is not None
        async with provider(gc_freeze=True).lifespan(FastAPI()):
            assert before() is None
            later = weakref.ref(Node())
            del kept, plain
            assert goes() is None
            gc.collect()
            assert later() is None
            assert stays() is not None
    """)


@pytest.mark.slow
def test_what_others_have_frozen_stays_frozen() -> None:
    """A server that forks its workers freezes before. The start adds to that, and the end leaves it."""
    passes("""
        freeze()
        before = gc.get_freeze_count()
        async with provider(gc_freeze=True).lifespan(FastAPI()):
            assert gc.get_freeze_count() > before
        assert gc.get_freeze_count() > before
    """)
