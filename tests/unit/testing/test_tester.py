"""`AsyncSessionTester`: logins and managers without an application."""

import pytest

from jwtsession import Claims, NotStartedError, Session, SessionProvider, TooManySessionsError
from jwtsession.testing import AsyncSessionTester, Clock, InspectableStore
from tests.conftest import SECRET

pytestmark = pytest.mark.anyio


class UserSession(Session):
    user_id: int


def provider(
    clock: Clock, store: InspectableStore, max_sessions: int | None = None
) -> SessionProvider[UserSession, Claims]:
    return SessionProvider(
        UserSession,
        store=store,
        clock=clock,
        secret=SECRET,
        user_index=max_sessions is not None,
        max_sessions=max_sessions,
    )


async def test_a_login_is_a_session_with_a_token(clock: Clock) -> None:
    """The login's token is of the session that is stored, and a request with it finds that session."""
    store = InspectableStore(clock)
    async with AsyncSessionTester(provider(clock, store)) as tester:
        ann = await tester.login(UserSession(user_id=1), Claims(sub="ann"), max_age=60)
        assert [*store.contents] == [ann.id]
        assert ann.session == UserSession(user_id=1)
        assert store.contents[ann.id].expires == clock() + 60
        assert ann.headers == {"Authorization": f"Bearer {ann.token}"}
        assert ann.token not in repr(ann)
        manager = await tester.manager(ann.token)
        assert (manager.id, manager.session) == (ann.id, ann.session)
        assert manager.claims is not None
        assert manager.claims.sub == "ann"


async def test_each_manager_is_of_a_request_of_its_own(clock: Clock) -> None:
    """Without a token there is no session, and two requests share no instance of one."""
    async with AsyncSessionTester(provider(clock, InspectableStore(clock))) as tester:
        ann = await tester.login({"user_id": 1})
        assert (await tester.manager()).session is None
        first, second = [(await tester.manager(ann.token)).session for _ in range(2)]
        assert first == second
        assert first is not second


async def test_limits_are_real(clock: Clock) -> None:
    """A login that is one too many is refused, as an endpoint's is."""
    async with AsyncSessionTester(provider(clock, InspectableStore(clock), max_sessions=1)) as tester:
        await tester.login(UserSession(user_id=1), Claims(sub="ann"))
        with pytest.raises(TooManySessionsError):
            await tester.login(UserSession(user_id=1), Claims(sub="ann"))


async def test_the_provider_is_started_for_as_long_as_the_tester_is(clock: Clock) -> None:
    """After the end of `async with` the provider serves nobody."""
    async with AsyncSessionTester(provider(clock, InspectableStore(clock))) as tester:
        pass
    with pytest.raises(NotStartedError):
        await tester.manager()
