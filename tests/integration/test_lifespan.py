"""One application behind two real servers at once, and scripts beside it."""

import subprocess
import sys
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from jwtsession import MemorySessionStore, Session, SessionProvider, Token
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer, serving


class UserSession(Session):
    user_id: int


def application(**options: Any) -> FastAPI:
    sessions = SessionProvider(UserSession, secret=SECRET, **options)
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[Any, Depends(sessions.get_manager)]) -> Token:
        token: Token = await manager.create(UserSession(user_id=1))
        return token

    @app.get("/session")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> UserSession:
        return session

    return app


def test_two_servers_in_one_process() -> None:
    """Each serves with the other, and the one that is left goes on, whichever came first."""
    app = application(store=MemorySessionStore())
    with serving(app) as first:
        token = first.post("/session").json()["access_token"]
        with serving(app) as second:
            assert second.get("/session", headers=bearer(token)).status_code == 200
        assert first.get("/session", headers=bearer(token)).status_code == 200


# uvicorn ends the thread that it runs in by SystemExit.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_second_server_does_not_start_where_the_store_can_not_serve_both(valkey: servers.Server) -> None:
    """Its connections belong to the first one's event loop, which goes on."""
    app = application(redis_url=valkey.url)
    with serving(app) as first:
        token = first.post("/session").json()["access_token"]
        with pytest.raises(RuntimeError, match="did not start"), serving(app):
            pass
        assert first.get("/session", headers=bearer(token)).status_code == 200
    with serving(app) as again:
        assert again.get("/session", headers=bearer(token)).status_code == 200


SCRIPT = """
import asyncio, sys
from jwtsession import Session, SessionProvider

sessions = SessionProvider(redis_url=sys.argv[1], secret=sys.argv[2], user_index=True)

async def main() -> None:
    asyncio.get_running_loop().slow_callback_duration = 60  # a slow machine is nothing to warn of
    async with sessions:
        assert await sessions.ping()
        print(await sessions.revoke_all("ann"), await asyncio.to_thread(sessions.sync.list_sessions, "ann"))

asyncio.run(main())
asyncio.run(main())
"""


def test_a_script_of_its_own_warns_of_nothing(valkey: servers.Server) -> None:
    """In an interpreter that shows every warning nothing is left open: no ResourceWarning at its end."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, valkey.url, SECRET]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("0 []\n0 []\n", "", 0)
