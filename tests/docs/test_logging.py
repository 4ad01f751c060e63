"""What stands in the log of a real uvicorn with its default logging."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests import servers

from .conftest import ROOT
from .test_examples import blocks

APPLICATION = """
import secrets
from typing import Annotated
from fastapi import Depends, FastAPI
from jwtsession import MemorySessionStore, Session, SessionProvider

sessions = SessionProvider(Session, secret=secrets.token_urlsafe(64), store=MemorySessionStore())
app = FastAPI({lifespan})

@app.get("/session")
async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> None: ...
"""


def log_of(source: str, folder: Path, work: Callable[[httpx2.Client], None]) -> str:
    """What `uvicorn app:app` writes while a client works."""
    (folder / "app.py").write_text(source, encoding="utf-8")
    port = servers.free_port()
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    log = folder / "log"
    with log.open("wb") as output, subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + 30
            while "Uvicorn running" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
                work(client)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    return log.read_text()


def ask_with_a_bad_token(client: httpx2.Client) -> None:
    assert client.get("/session", headers={"Authorization": "Bearer nonsense"}).status_code == 401


@pytest.mark.parametrize("set_up", [True, False])
def test_a_refused_requests_reason_stands_in_the_log_with_the_lines_of_the_page(set_up: bool, tmp_path: Path) -> None:
    """The guide's lines, and nothing else, make uvicorn's log show why, and where the sessions are."""
    (lines,) = [block for block in blocks(ROOT / "docs/guides/log.md", "python") if "basicConfig" in block]
    source = APPLICATION.format(lifespan="lifespan=sessions.lifespan") + lines * set_up
    log = log_of(source, tmp_path, ask_with_a_bad_token)
    assert '"GET /session HTTP/1.1" 401' in log
    assert ("INFO:     refused: session -, token_malformed, client 127.0.0.1\n" in log) == set_up
    assert ("sessions are in MemorySessionStore" in log) == set_up


def test_a_provider_that_nobody_started_is_told_without_any_set_up(tmp_path: Path) -> None:
    """A 500, and the remedy stands in the log of uvicorn as it comes."""

    def ask(client: httpx2.Client) -> None:
        assert client.get("/session").status_code == 500

    log = log_of(APPLICATION.format(lifespan=""), tmp_path, ask)
    assert "NotStartedError" in log
    assert "FastAPI(lifespan=sessions.lifespan)" in log


def test_a_forgotten_depends_is_told_where_the_server_starts(tmp_path: Path) -> None:
    """Uvicorn ends, and its last words name the route."""
    source = APPLICATION.format(lifespan="lifespan=sessions.lifespan")
    (tmp_path / "app.py").write_text(source + "@app.post('/x')\nasync def forgot(data: Session) -> None: ...\n")
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(servers.free_port())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "POST /x: the parameter 'data'" in done.stderr
