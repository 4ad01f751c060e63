"""What is compared, and in which configurations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from .launch import App
from .servers import Machine

SMALL, MEDIUM, LARGE = 200, 4_096, 65_536
CONNECTIONS = (1, 64, 256)
COLD_SESSIONS = 12_000  # more than one measurement comes to
NEAR = {"JWTSESSION_NEAR_CACHE_BYTES": str(64 * 1024 * 1024)}

_PEERS = "benchmarks.peers"
APPS = (
    App("bare", "FastAPI alone", "benchmarks.apps:bare", revokes=False, refuses=False),
    App("empty", "a dependency that does nothing", "benchmarks.apps:empty", revokes=False, refuses=False),
    App("ideal", "a batched GET + validation", "benchmarks.apps:ideal"),
    App("handwritten", "PyJWT + redis-py by hand", "benchmarks.apps:handwritten"),
    App("jwtsession", "jwtsession", "benchmarks.apps:jwtsession"),
    App("jwtsession-near", "jwtsession, near cache", "benchmarks.apps:jwtsession", environment=NEAR),
    App("fastapi-redis-sdk", "fastapi-redis-sdk", f"{_PEERS}.fastapi_redis_sdk_app:app", peer="fastapi-redis-sdk"),
    App("starsessions", "starsessions", f"{_PEERS}.starsessions_app:app", peer="starsessions"),
    App("fastapi-users", "fastapi-users, Redis", f"{_PEERS}.fastapi_users_app:app", peer="fastapi-users"),
    App("authx", "AuthX, no store", f"{_PEERS}.authx_app:app", peer="authx", revokes=False),
    App(
        "litestar-bare",
        "Litestar alone",
        f"{_PEERS}.litestar_app:bare",
        peer="litestar",
        revokes=False,
        refuses=False,
    ),
    App("litestar", "Litestar's sessions", f"{_PEERS}.litestar_app:app", "litestar-bare", "litestar"),
    App("fastify-bare", "Fastify alone, Node", "bare.js", peer="fastify", revokes=False, refuses=False),
    App("fastify", "@fastify/session, Node", "server.js", "fastify-bare", "fastify"),
    App("express-bare", "Express alone, Node", "bare.js", peer="original", revokes=False, refuses=False),
    App("original", "jwt-redis-session, Node", "server.js", "express-bare", "original"),
)
BY_NAME = {app.name: app for app in APPS}
NAMES = {app.name: app.title for app in APPS}
BASELINES = {app.name: app.baseline for app in APPS if app.name not in {each.baseline for each in APPS}}
"""Of each application that has sessions, the one without that it is compared with."""
OURS = ("handwritten", "jwtsession", "jwtsession-near")
PYTHON = tuple(app.name for app in APPS if not app.target.endswith(".js"))
FROZEN, THRESHOLD = "collector frozen", "collector at 50,000"


@dataclass(frozen=True)
class Point:
    """One thing that is measured again and again."""

    app: str
    connections: int
    variation: str = ""
    """How it differs from the base: nothing, or one thing."""
    size: int = SMALL
    cold: bool = False
    """Each request is the first one of its session, as far as the worker knows."""
    server: str = ""
    """Which server, if not that of the app's name."""

    @property
    def runs_on(self) -> str:
        """The server's name."""
        return self.server or self.app


@dataclass
class Group:
    """Points that are measured in turns, and the servers that run meanwhile."""

    points: list[Point]
    servers: list[App]

    def differently(
        self,
        variation: str,
        apps: Sequence[str],
        environment: Mapping[str, str] = MappingProxyType({}),
        **changes: Any,
    ) -> None:
        """Add a variation of these applications, each on a server of its own.

        Args:
            variation: What it is called.
            apps: Their names.
            environment: What it adds to their environment.
            changes: Other fields of `App`.
        """
        for name in apps:
            app = BY_NAME[name]
            server = replace(
                app, name=f"{name}, {variation}", environment={**app.environment, **environment}, **changes
            )
            self.servers.append(server)
            self.points.append(Point(name, 64, variation, server=server.name))


def groups(apps: Sequence[str], connections: Sequence[int], variations: bool) -> list[Group]:
    """All that is measured of these applications.

    Base: small sessions, HS256, one worker, warm caches, the collector as Python has it. In a variation one thing
    differs. Without `variations` there is only that of a frozen collector, and of few applications.
    """
    base = Group(
        [Point(name, number) for number in connections for name in apps],
        [app for app in APPS if app.name in apps],
    )
    of_ours = [name for name in OURS if name in apps]
    of_python = [name for name in PYTHON if name in apps]
    compared = [name for name in ("bare", *OURS) if name in apps]
    base.differently(FROZEN, of_python if variations else compared, environment={"GC_FREEZE": "1"})
    if not variations:
        return [base]
    base.differently(THRESHOLD, of_python, environment={"GC_THRESHOLD": "50000"})
    for size, variation in ((MEDIUM, "4 KB"), (LARGE, "64 KB")):
        base.points += [Point(name, 64, variation, size=size) for name in of_ours]
    base.points += [Point(name, 64, "cold caches", cold=True) for name in of_ours]

    signed = {"JWTSESSION_ALGORITHM": "ES256"}
    uncached = {"JWTSESSION_TOKEN_CACHE_BYTES": "0"}
    rest = Group([], [])
    with_sessions = [name for name in ("jwtsession",) if name in apps]
    rest.differently("no token cache", with_sessions, environment=uncached)
    rest.differently("ES256", [name for name in of_ours if name != "jwtsession-near"], environment=signed)
    rest.differently("ES256, no token cache", with_sessions, environment=signed | uncached)
    rest.differently("2 workers", compared, workers=2)
    rest.differently("granian", compared, peer="jwtsession", server="granian")
    for version in ("3.12", "3.13"):
        rest.differently(f"Python {version}", compared, peer="jwtsession", python=version)
    return [base, rest]


def headers(machine: Machine, point: Point) -> list[dict[str, str]]:
    """One session for each client; for cold caches new ones."""
    if not point.cold:
        return machine.servers[point.runs_on].sessions(point.size, point.connections)
    return machine.fresh_sessions(point.size, COLD_SESSIONS)
