"""What is compared, and in which configurations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .servers import App, Machine

SMALL, MEDIUM, LARGE = 200, 4_096, 65_536
CONNECTIONS = (1, 8, 64, 256)
COLD_SESSIONS = 12_000  # more than one measurement comes to
NEAR = {"JWTSESSION_NEAR_CACHE_BYTES": str(64 * 1024 * 1024)}

APPS = (
    App("bare", "benchmarks.apps:bare", revokes=False, refuses=False),
    App("empty", "benchmarks.apps:empty", revokes=False, refuses=False),
    App("handwritten", "benchmarks.apps:handwritten"),
    App("jwtsession", "benchmarks.apps:jwtsession"),
    App("jwtsession-near", "benchmarks.apps:jwtsession", environment=NEAR),
    App("starsessions", "benchmarks.peers.starsessions_app:app", "starsessions"),
    App("fastapi-users", "benchmarks.peers.fastapi_users_app:app", "fastapi-users"),
    App("authx", "benchmarks.peers.authx_app:app", "authx", revokes=False),
    App("original", "server.js", "original"),
)
NAMES = {
    "bare": "FastAPI alone",
    "empty": "a dependency that does nothing",
    "handwritten": "PyJWT + redis-py by hand",
    "jwtsession": "jwtsession",
    "jwtsession-near": "jwtsession, near cache",
    "starsessions": "starsessions",
    "fastapi-users": "fastapi-users, Redis",
    "authx": "AuthX, no store",
    "original": "jwt-redis-session, Node",
}
OURS = ("handwritten", "jwtsession", "jwtsession-near")


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


def base(apps: Sequence[str], connections: Sequence[int]) -> list[Point]:
    """All applications: small sessions, HS256, one worker, warm caches."""
    return [Point(app, number) for number in connections for app in apps]


def variations(apps: Sequence[str]) -> tuple[list[Point], list[App]]:
    """One thing differs from the base; and the servers that it takes."""
    by_name = {app.name: app for app in APPS}
    points: list[Point] = []
    servers: list[App] = []

    def differently(variation: str, names: Sequence[str], environment: dict[str, str], workers: int = 1) -> None:
        for name in names:
            app, server = by_name[name], f"{name}, {variation}"
            servers.append(replace(app, name=server, environment=app.environment | environment, workers=workers))
            points.append(Point(name, 64, variation, server=server))

    for size, variation in ((MEDIUM, "4 KB"), (LARGE, "64 KB")):
        points += [Point(name, 64, variation, size=size) for name in OURS]
    points += [Point(name, 64, "cold caches", cold=True) for name in OURS]
    differently("no token cache", ("jwtsession",), {"JWTSESSION_TOKEN_CACHE_BYTES": "0"})
    differently("ES256", ("handwritten", "jwtsession"), {"JWTSESSION_ALGORITHM": "ES256"})
    differently(
        "ES256, no token cache", ("jwtsession",), {"JWTSESSION_ALGORITHM": "ES256", "JWTSESSION_TOKEN_CACHE_BYTES": "0"}
    )
    differently("collector at 50,000", ("bare", *OURS), {"GC_THRESHOLD": "50000"})
    differently("2 workers", ("bare", *OURS), {}, workers=2)
    kept = [point for point in points if point.app in apps]
    return kept, [server for server in servers if any(point.server == server.name for point in kept)]


def near_cache_is_there() -> bool:
    """Whether the installed package has a near cache."""
    from jwtsession import SessionSettings

    return "near_cache_bytes" in SessionSettings.model_fields


def headers(machine: Machine, point: Point) -> list[dict[str, str]]:
    """One session for each client; for cold caches new ones."""
    if not point.cold:
        return machine.servers[point.runs_on].sessions(point.size, point.connections)
    return machine.fresh_sessions(point.size, COLD_SESSIONS)
