"""Checks of the way to the servers: whether they answer, how fast, who else may ask them, and who can listen."""

import ipaddress
import statistics
import time
from collections.abc import AsyncIterator

from ...stores.redis.inspection import Node, Refusal, Survey
from .report import Finding, failed, ok, skipped, warning

_PINGS = 5
_SLOW_SECONDS = 0.010
OLDEST = {"Redis": (6, 2), "Valkey": (7, 2)}
"""The first version of each server that has all commands."""
TESTED = {"Redis": (7, 0), "Valkey": (9, 1)}
"""The oldest version of each server that the tests run on."""


async def check_reachable(survey: Survey) -> AsyncIterator[Finding]:
    """Which servers answer."""
    for name, said in survey.unreachable.items():
        alone = not survey.primaries
        yield failed(
            "server.reachable",
            f"{name} does not answer: {said}",
            f"Check redis_url ({survey.location}), the server, and the network between."
            if alone
            else "Start this server, or take it out of redis_url.",
        )
    for fault in survey.faults:
        yield failed("server.topology", fault, "Mend it on the servers: the sessions depend on it.")
    if survey.nodes and not survey.unreachable and not survey.faults:
        yield ok("server.reachable", f"{_counted(survey)} at {survey.location}: all answer")
    if survey.nodes and not survey.primaries:
        yield failed("server.primary", "no primary can be reached: nobody can log in", "Start it, or fail over.")


def _counted(survey: Survey) -> str:
    counts = {
        role: sum(node.role == role for node in survey.nodes) for role in ("server", "sentinel", "primary", "replica")
    }
    shown = {"server": "server", "sentinel": "Sentinel", "primary": "primary", "replica": "replica"}
    plural = {"primary": "primaries"}
    return ", ".join(
        f"{number} {shown[role] if number == 1 else plural.get(role, shown[role] + 's')}"
        for role, number in counts.items()
        if number
    )


async def check_replication(survey: Survey) -> AsyncIterator[Finding]:
    """Whether the primary is one, and its replicas follow it."""
    for node in survey.data_nodes:
        info = await node.info("replication")
        if isinstance(info, Refusal):
            yield skipped("server.replication", f"{node.name}: {info.said}", "Give the user the right +info.")
            continue
        is_replica = info.get("role") == "slave"
        if node.role != "replica" and is_replica:
            yield failed(
                "server.replication",
                f"{node.name} is a replica: it refuses every login and every change",
                "Let redis_url name the primary, or the Sentinels: redis+sentinel://host:26379/mymaster/0.",
            )
        elif is_replica and info.get("master_link_status") != "up":
            yield failed(
                "server.replication",
                f"{node.name} has lost its primary: after a failover to it logins are lost, and logouts are undone",
                "Mend the replication.",
            )
        elif node.role == "primary" and info.get("connected_slaves") == "0":
            yield warning(
                "server.replication",
                f"{node.name} has no replica: if it fails, nothing takes its place",
                "Add a replica.",
            )
        else:
            count = info.get("connected_slaves", "0")
            yield ok(
                "server.replication",
                f"{node.name} is a {'replica' if is_replica else f'primary, with {count} replicas'}",
            )


async def check_version(survey: Survey) -> AsyncIterator[Finding]:
    """Whether the servers are new enough."""
    for node in survey.data_nodes:
        info = await node.info("server")
        if isinstance(info, Refusal):
            yield skipped("server.version", f"{node.name}: {info.said}", "Give the user the right +info.")
            continue
        kind = "Valkey" if "valkey_version" in info else "Redis"
        text = info.get("valkey_version") or info.get("redis_version", "")
        version = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
        said = f"{node.name} is {kind} {text}"
        if version < OLDEST[kind]:
            yield failed("server.version", f"{said}: it lacks commands", "Use Redis 6.2 or newer, or Valkey.")
        elif version < TESTED[kind]:
            tested = ".".join(map(str, TESTED[kind]))
            yield warning("server.version", f"{said}: the tests begin with {tested}", f"Use {kind} {tested} or newer.")
        else:
            yield ok("server.version", said)


async def check_latency(survey: Survey) -> AsyncIterator[Finding]:
    """How long a round trip takes: each request with a session waits for one."""
    for node in survey.primaries:
        times = []
        for _ in range(_PINGS):
            began = time.perf_counter()
            if isinstance(await node.ask("PING"), Refusal):
                break
            times.append(time.perf_counter() - began)
        if not times:
            yield skipped("server.latency", f"{node.name}: no answer to PING")
            continue
        median = statistics.median(times)
        said = f"a round trip to {node.name} takes {median * 1000:.1f} ms"
        if median > _SLOW_SECONDS:
            yield warning("server.latency", f"{said}, and each request waits for one", "Move the server nearer.")
        else:
            yield ok("server.latency", said)


async def check_tls(survey: Survey) -> AsyncIterator[Finding]:
    """Whether somebody in the network can read passwords and sessions."""
    for node in survey.nodes:
        if is_own_machine(node):
            yield ok("server.tls", f"{node.name} is reached without a network")
        elif not node.is_tls:
            yield warning(
                "server.tls",
                f"the way to {node.name} is not encrypted: the network can read and change sessions",
                "Use rediss://, unless this network is the servers' own.",
            )
        elif node.options.get("ssl_cert_reqs") == "none" or node.options.get("ssl_check_hostname") is False:
            yield warning(
                "server.tls",
                f"{node.name} need not show whose certificate it has: somebody else can take its place",
                "Leave ssl_cert_reqs and ssl_check_hostname out, and give ssl_ca_certs.",
            )
        else:
            yield ok("server.tls", f"the way to {node.name} is encrypted, and the certificate is checked")


async def check_password(survey: Survey) -> AsyncIterator[Finding]:
    """Whether a server answers everybody."""
    for node in survey.nodes:
        stranger = node.anonymous()
        try:
            found = await _answer_to(stranger, node)
        finally:
            await stranger.close()
        yield found


async def _answer_to(stranger: Node, node: Node) -> Finding:
    if isinstance(await stranger.ask("PING"), Refusal):
        return ok("server.password", f"{node.name} wants a password")
    if node.is_socket:
        return ok("server.password", f"{node.name} is a socket: the rights of the file count")
    if is_own_machine(node):
        return await _on_this_machine(node, stranger)
    return failed(
        "server.password",
        f"{node.name} answers everybody who reaches it, without a password",
        "Set a password (requirepass, or a user with few rights: jwtsession acl), and put it into redis_url.",
    )


async def _on_this_machine(node: Node, stranger: Node) -> Finding:
    listens = await stranger.config("bind", "protected-mode")
    if isinstance(listens, Refusal):
        return ok("server.password", f"{node.name} wants no password; it is on this machine")
    others = [each for each in listens.get("bind", "").split() if not _is_loopback(each.lstrip("-"))]
    if (others or not listens.get("bind")) and listens.get("protected-mode") == "no":
        return failed(
            "server.password",
            f"{node.name} answers everybody, also from other machines: it listens at {' '.join(others) or '*'}",
            "Set a password, or bind it to 127.0.0.1, or set protected-mode to yes.",
        )
    return ok("server.password", f"{node.name} wants no password, and is for this machine alone")


def is_own_machine(node: Node) -> bool:
    """Whether a server is reached by a socket or a loopback address."""
    return node.is_socket or _is_loopback(node.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
