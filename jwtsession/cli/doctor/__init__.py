"""`jwtsession doctor`: looks for what is wrong with the settings and the servers."""

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from ..._from_settings import at_risk_of
from ...errors import ConfigurationError, JWTSessionError
from ...stores import CachedSessionStore, RedisSessionStore
from ...stores.redis.inspection import Survey, leave, survey
from ..answer import Answer
from ..target import Target, heard_warnings, load
from .keeping import check_clock, check_eviction, check_persistence
from .reach import (
    check_latency,
    check_password,
    check_reachable,
    check_replication,
    check_tls,
    check_version,
)
from .report import REPORT, Finding, answer, bounded, failed, ok, skipped, warning
from .rights import check_rights
from .sample import check_sample
from .settings import check_cookie, check_keys, check_packages

_ON_THE_SERVER = (
    "server.version", "server.replication", "server.latency", "server.tls", "server.password", "server.eviction",
    "server.persistence", "server.clock", "rights", "sample",
)  # fmt: skip
_OPEN_SECONDS = 15.0
SURVEY_SECONDS = 10.0
"""How long it may take to find the servers."""


def run(arguments: argparse.Namespace, secrets: set[str]) -> Answer:
    """Check everything."""
    findings: list[Finding] = []
    with heard_warnings() as heard:
        try:
            target = load(arguments, secrets)
        except ConfigurationError as error:
            advice = "Correct what is named here; docs/settings.md has all settings."
            findings += [failed("settings", each, advice) for each in error.problems or [str(error)]]
            findings.append(skipped("server", "the settings can't be used"))
            return answer(findings, strict=arguments.strict)
    if heard:
        findings += [warning("settings", each, "Correct the setting, or take it out.") for each in heard]
    else:
        findings.append(ok("settings", "all settings can be used"))
    findings += asyncio.run(examine(target, sample=arguments.sample))
    return answer(findings, strict=arguments.strict)


async def examine(target: Target, *, sample: int, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Run all checks of an application, or of settings.

    Args:
        target: The application, or its settings.
        sample: How many stored keys to look at.
        clock: Returns this machine's time in seconds since the epoch.
    """
    found = []
    for check, findings in (
        ("keys", check_keys(target.settings)),
        ("cookie", check_cookie(target.settings)),
        ("packages", check_packages(target.settings)),
    ):
        found += await bounded(check, findings)
    return found + await _examine_servers(target, sample, clock)


async def _examine_servers(target: Target, sample: int, clock: Callable[[], float]) -> list[Finding]:
    try:
        store = target.store
        if not isinstance(store, RedisSessionStore | CachedSessionStore):
            return [skipped("server", f"the sessions are in {type(store).__name__}, which has no server")]
        async with asyncio.timeout(_OPEN_SECONDS):
            await store.open()
    except (JWTSessionError, TimeoutError) as error:
        return [failed("server.reachable", str(error) or "the store does not open in time", "Correct redis_url.")]
    try:
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(SURVEY_SECONDS):
                    servers = await stack.enter_async_context(survey(store))
            except TimeoutError:
                said = f"the servers are not found within {SURVEY_SECONDS:.0f} seconds"
                return [failed("server.topology", said, "Look at their load, and at the network.")]
            found = await bounded("server.reachable", check_reachable(servers))
            if not servers.data_nodes:
                return [*found, *(skipped(each, "no server answers") for each in _ON_THE_SERVER)]
            found += await _check_store(store)
            for check, findings in _checks(target, servers, sample, clock).items():
                found += await bounded(check, findings)
            return found
    except Exception as error:  # a reply that nobody has thought of
        return [failed("server.topology", f"the servers can't be found: {type(error).__name__}", REPORT)]
    finally:
        await store.close()
        await leave(store)


async def _check_store(store: RedisSessionStore | CachedSessionStore) -> list[Finding]:
    """Whether the package's own client gets an answer: it may speak another version of the protocol."""
    with heard_warnings() as heard:
        if await store.ping():
            return [ok("server.client", "the package's own client gets an answer")]
    advice = "The message is the server's own. A proxy may know no RESP3: then add ?protocol=2 to redis_url."
    return [failed("server.client", heard[0] if heard else "the package's own client gets no answer", advice)]


def _checks(
    target: Target, servers: Survey, sample: int, clock: Callable[[], float]
) -> dict[str, AsyncIterator[Finding]]:
    settings = target.settings
    return {
        "server.version": check_version(servers),
        "server.replication": check_replication(servers),
        "server.latency": check_latency(servers),
        "server.tls": check_tls(servers),
        "server.password": check_password(servers),
        "server.eviction": check_eviction(servers, at_risk_of(settings)),
        "server.persistence": check_persistence(servers),
        "server.clock": check_clock(servers, clock, settings.leeway),
        "rights": check_rights(servers, settings),
        "sample": check_sample(servers, target, sample),
    }
