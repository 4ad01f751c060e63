"""Checks of what a server may lose: by eviction, and when it starts again. And of its clock."""

import time
from collections.abc import AsyncIterator, Callable

from ...sessions import AtRisk
from ...stores.redis.inspection import Node, Refusal, Survey
from .report import Finding, failed, ok, skipped, warning

_INFO = "Give the user the right +info."


async def check_eviction(survey: Survey, at_risk: AtRisk) -> AsyncIterator[Finding]:
    """What a full server does. A replica counts too: it may become the primary."""
    for node in survey.data_nodes:
        memory = await node.info("memory")
        policy = None if isinstance(memory, Refusal) else memory.get("maxmemory_policy")
        if policy is None:
            yield warning(
                "server.eviction",
                f"{node.name} does not tell its maxmemory-policy",
                f"Make sure that it is noeviction. {_INFO}",
            )
        elif policy == "noeviction":
            yield ok("server.eviction", f"{node.name} evicts nothing (maxmemory-policy {policy})")
        elif not at_risk.is_safe(policy):
            yield failed(
                "server.eviction",
                f"{node.name} evicts keys when its memory is full (maxmemory-policy {policy}): it may lose"
                f" {at_risk.lost}",
                "Set maxmemory-policy to noeviction.",
            )
        else:
            yield warning(
                "server.eviction",
                f"{node.name} evicts keys when its memory is full (maxmemory-policy {policy}): users are logged out",
                "Set maxmemory-policy to noeviction.",
            )


async def check_persistence(survey: Survey) -> AsyncIterator[Finding]:
    """What is left when a server starts again."""
    for node in survey.data_nodes:
        info = await node.info("persistence")
        if isinstance(info, Refusal):
            yield skipped("server.persistence", f"{node.name}: {info.said}", _INFO)
            continue
        wrong = [name for name in ("rdb_last_bgsave_status", "aof_last_write_status") if info.get(name, "ok") != "ok"]
        if wrong:
            yield failed(
                "server.persistence",
                f"{node.name} can't write to its disk ({', '.join(wrong)}): it may refuse every change",
                "Look at the server's log and its disk.",
            )
        elif info.get("aof_enabled") == "1":
            yield ok("server.persistence", f"{node.name} keeps an append-only file: logouts stay")
        else:
            yield await _snapshots(node)


async def _snapshots(node: Node) -> Finding:
    config = await node.config("save")
    if isinstance(config, Refusal):
        reason = f"{node.name} has no append-only file, and does not tell whether it makes snapshots: {config.said}"
        return skipped("server.persistence", reason, "Give the user the right +config|get, for this check.")
    if config.get("save"):
        return warning(
            "server.persistence",
            f"{node.name} keeps snapshots alone: when it starts again, the logouts since the last one are undone",
            "Set appendonly to yes, or save to nothing.",
        )
    return ok("server.persistence", f"{node.name} keeps nothing: when it starts again, all users are logged out")


async def check_clock(survey: Survey, clock: Callable[[], float], leeway: int) -> AsyncIterator[Finding]:
    """Whether the clocks of this machine and of the servers agree."""
    for node in survey.primaries:
        before = clock(), time.perf_counter()
        reply = await node.ask("TIME")
        took = time.perf_counter() - before[1]
        if isinstance(reply, Refusal):
            yield skipped(
                "server.clock", f"{node.name}: {reply.said}", "Give the user the right +time, for this check."
            )
            continue
        seconds, micros = reply
        # The server answered at some time between question and answer.
        apart = max(0.0, abs(int(seconds) + int(micros) / 1_000_000 - before[0] - took / 2) - took / 2)
        said = f"the clocks of this machine and of {node.name} differ by {apart:.1f} seconds"
        advice = "Let both take their time from NTP. If machines differ, tokens may not be valid yet at another worker."
        if apart > 60:
            yield failed("server.clock", said, advice)
        elif apart > max(1, leeway):
            yield warning("server.clock", said, advice)
        else:
            yield ok("server.clock", said)
