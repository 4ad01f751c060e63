"""Whatever stands in `Cookie` headers: the session's cookie is taken, or nothing is, and nothing breaks."""

from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jwtsession import Session, SessionProvider
from jwtsession.testing import AsyncSessionTester
from tests.asgi import call, scope_of
from tests.conftest import SECRET
from tests.properties import exact
from tests.security.stores import CountingStore

pytestmark = pytest.mark.slow

NAME = b"__Host-Http-session"


class World:
    """An application with one session, whose token may be in a cookie alone."""

    def __init__(self) -> None:
        self.store = CountingStore()
        sessions = self.sessions = SessionProvider(
            Session, secret=SECRET, store=self.store, token_sources=("cookie", "bearer")
        )
        self.app = FastAPI(lifespan=sessions.lifespan)
        self.token = b""

        @self.app.get("/")
        async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> None: ...


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    world = World()
    async with world.app.router.lifespan_context(world.app):
        world.token = (await AsyncSessionTester(world.sessions).login({})).token.encode()
        yield world


TOKEN = b"TOKEN"
"""Stands for the token of the session."""

names = st.sampled_from(
    [NAME, NAME.lower(), b"x" + NAME, NAME + b"x", NAME + b" ", b" " + NAME, b'"' + NAME + b'"',
     b"session", b"", NAME[7:]]
)  # fmt: skip
values = st.one_of(
    st.sampled_from([TOKEN, b" " + TOKEN, TOKEN + b" ", b'"' + TOKEN + b'"', b"", TOKEN + b"\x00", b"t" * 4097,
                     NAME + b"=" + TOKEN, TOKEN + b"=", TOKEN[:-1], b"%54OKEN"]),
    st.binary(max_size=20),
    st.text(max_size=10).map(lambda text: text.encode("utf-8", "surrogatepass")),
)  # fmt: skip
pairs = st.one_of(
    st.tuples(names, st.sampled_from([b"=", b"=", b"= ", b" =", b"", b"=="]), values).map(b"".join), values
)
separators = st.sampled_from([b"; ", b"; ", b";", b", ", b"\t;\t", b" ", b";;", b"\x00;", b"\n"])
headers = st.lists(st.tuples(pairs, separators).map(b"".join), max_size=5).map(b"".join)


def expected(sent: list[bytes], token: bytes) -> int:
    """The status for these `Cookie` headers: what RFC 6265bis section 5.8.3 lets a browser send for our cookie."""
    found = [
        pair.strip(b" \t")[len(NAME) + 1 :]
        for header in sent
        for pair in header.split(b";")
        if pair.strip(b" \t").startswith(NAME + b"=")
    ]
    return 400 if len(found) > 1 else 200 if found == [token] else 401


@settings(exact(300), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(headers, max_size=3))
@example([NAME + b"=TOKEN"])
@example([b"a=b; " + NAME + b"=TOKEN;", b"c=d"])
@example([NAME + b"=TOKEN", NAME + b"=TOKEN"])
@example([NAME + b"=" + b"t" * 4097])
@example([NAME + b"=\x00"])
@example([b"a=" + NAME + b"=TOKEN"])
async def test_no_cookie_header_breaks_anything_or_is_taken_for_another(world: World, sent: list[bytes]) -> None:
    """Never a 500, never another cookie's value, and the store is asked only for the session of a genuine token."""
    sent = [each.replace(TOKEN, world.token) for each in sent]
    world.store.loads = 0
    scope = scope_of()
    scope["headers"] = [(b"cookie", each) for each in sent]
    answer = await call(world.app, scope)
    assert answer.status == expected(sent, world.token)
    assert world.store.loads == (answer.status == 200)
    assert answer.cookies == []
