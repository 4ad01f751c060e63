"""Clients that `@hey-api/openapi-ts` generates from the document of an application with default settings."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import BaseModel

from jwtsession import Claims, MemorySessionStore, Session, SessionManager, SessionProvider, Token
from tests import servers
from tests.conftest import SECRET
from tests.web import serving

pytestmark = pytest.mark.ci

HERE = Path(__file__).parent


class UserSession(Session):
    name: str
    cart: list[str] = []


class Login(BaseModel):
    username: str
    password: str


def application(**options: Any) -> FastAPI:
    sessions = SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore(), **options)
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[UserSession, Claims], Depends(sessions.get_manager)]

    async def log_in(name: str, manager: SessionManager[UserSession, Claims]) -> Token:
        return await manager.create(UserSession(name=name), Claims(sub=name))

    if "token_url" in options:

        @app.post("/session", operation_id="logIn")
        async def log_in_by_form(form: Annotated[OAuth2PasswordRequestForm, Depends()], manager: manager_) -> Token:
            return await log_in(form.username, manager)
    else:

        @app.post("/session", operation_id="logIn")
        async def log_in_by_json(login: Login, manager: manager_) -> Token:
            return await log_in(login.username, manager)

    @app.get("/session", operation_id="readSession")
    async def read(session: Annotated[UserSession, Depends(sessions.get_session)]) -> UserSession:
        return session

    @app.post("/session/tea", operation_id="addTea")
    async def add(session: Annotated[UserSession, Depends()], manager: manager_) -> UserSession:
        session.cart.append("tea")
        return await manager.update()

    @app.delete("/session", status_code=204, operation_id="logOut")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    return app


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages of `package.json` installed: once, into a folder that git ignores."""
    return servers.node_with_packages(HERE, "the generators")


@pytest.mark.parametrize("options", [{}, {"token_url": "session"}], ids=["defaults", "password"])
@pytest.mark.parametrize("version", ["0.97", "0.99"])
def test_a_generated_client_logs_in_and_out_with_what_the_document_says(
    node: str, tmp_path: Path, version: str, options: dict[str, Any]
) -> None:
    """It logs in, reads, changes, logs in again with a living token and with a dead one, and logs out."""
    with serving(application(**options)) as server:
        (tmp_path / "openapi.json").write_text(server.get("/openapi.json").text)
        for name in ("main.ts", "tsconfig.json"):
            shutil.copy(HERE / name, tmp_path)
        modules = HERE / "node_modules"
        run(node, modules / f"openapi-ts-{version}/bin/run.js", "-i", "openapi.json", "-o", "client", cwd=tmp_path)
        run(node, modules / "typescript/bin/tsc", "-p", ".", cwd=tmp_path)
        statuses = json.loads(run(node, "main.js", str(server.base_url).rstrip("/"), cwd=tmp_path))
    assert statuses == [200, 200, 200] * 2 + [204, 401, 200, 200, 204]


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
