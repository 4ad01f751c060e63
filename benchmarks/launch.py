"""How each application is started: its interpreter, its server, its environment."""

import sys
from dataclasses import dataclass, field

from . import environments

UVICORN = ["-m", "uvicorn", "--interface", "asgi3", "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
UVICORN += ["--log-level", "warning"]
GRANIAN = ["-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"]
GRANIAN += ["--runtime-threads", "1"]
APP = "benchmarks.serve:app"
"""What both run: the application that `BENCHMARK_APP` names."""


@dataclass(frozen=True)
class App:
    """One application, in one configuration."""

    name: str
    title: str
    target: str
    """The application, as `module:name`, or a file of Node's."""
    baseline: str = "bare"
    """The name of the application that does the same without a session."""
    peer: str | None = None
    """The environment that it runs in, if it is not this one."""
    python: str | None = None
    """The Python that this environment has, if it is not this one: `3.13`."""
    server: str = "uvicorn"
    environment: dict[str, str] = field(default_factory=dict)
    workers: int = 1
    revokes: bool = True
    """Whether a session can be ended."""
    refuses: bool = True
    """Whether a bad token is refused."""

    @property
    def environment_name(self) -> str:
        """The name of the environment that it runs in."""
        return f"{self.peer}, Python {self.python}" if self.python else self.peer or "this"

    @property
    def optional(self) -> bool:
        """Whether a run goes on without it."""
        return self.peer is not None


def command(app: App, port: int) -> tuple[list[str], dict[str, str]]:
    """What starts an application on this port, and the versions of what it stands on.

    Raises:
        UnavailableError: It can't be had here; says why.
    """
    if app.target.endswith(".js"):
        folder, versions = environments.node(app.peer or "")
        return ["node", str(folder / app.target), str(port)], versions
    interpreter, versions = sys.executable, dict[str, str]()
    if app.peer is not None:
        path, versions = environments.python(app.peer, app.python)
        interpreter = str(path)
    server = GRANIAN if app.server == "granian" else UVICORN
    return [interpreter, *server, "--port", str(port), "--workers", str(app.workers), APP], versions
