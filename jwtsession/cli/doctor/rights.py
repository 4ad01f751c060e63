"""Checks of the server's user: whether it may do all that the settings need."""

import re
from collections.abc import AsyncIterator, Sequence

from ...settings import SessionSettings
from ...stores.redis.inspection import Node, Refusal, Survey
from ...stores.redis.rights import INVALIDATIONS, NEAR_CACHE, OPTIONAL, POLICY, PROBE, Rule, harmless_call
from ..rule import rule_of
from .report import Finding, failed, ok, warning


async def check_rights(survey: Survey, settings: SessionSettings) -> AsyncIterator[Finding]:
    """Which rights are missing, on each server that has or may get sessions."""
    rule = rule_of(settings, survey.kind)
    # What the eviction check tells already, and what only the near cache needs.
    asked = [right for right in rule.commands if right not in POLICY]
    near = {*NEAR_CACHE, f"&{INVALIDATIONS}"} if settings.near_cache_bytes else set()
    for node in survey.data_nodes:
        missing = await _missing(node, asked, settings.keyspace, rule.patterns[0])
        if settings.rotation.after is not None:
            missing += await _missing(node, ["+hmget"], "{" + settings.keyspace, rule.patterns[-1])
        missing = [*dict.fromkeys(missing)]
        needed = [each for each in missing if each not in near or (each == "+pttl" and settings.user_index)]
        if needed:
            yield failed(
                "rights",
                f"the user {node.user!r} lacks {' '.join(needed)} on {node.name}: requests get a 503",
                f"ACL SETUSER {node.user} {' '.join(needed)}. All that it needs: {rule}",
            )
        else:
            absent = await _missing(node, [*OPTIONAL], settings.keyspace, rule.patterns[0])
            uses = "".join(f"; without {right} there are no {OPTIONAL[right]}" for right in absent)
            yield ok("rights", f"the user {node.user!r} may do all that the settings need on {node.name}{uses}")
        if near:
            yield _tracking(node, [each for each in missing if each in near], rule)


def _tracking(node: Node, missing: Sequence[str], rule: Rule) -> Finding:
    if missing:
        return warning(
            "rights.near_cache",
            f"the user {node.user!r} lacks {' '.join(missing)} on {node.name}: everything works without the near cache",
            f"ACL SETUSER {node.user} {' '.join(missing)}. All that it needs: {rule}",
        )
    return ok("rights.near_cache", f"{node.name} may report changes to the near cache")


async def _missing(node: Node, rights: Sequence[str], keyspace: str, pattern: str) -> list[str]:
    """What the user lacks: rights, the pattern of the keys, or the channel.

    A user who may ask asks by ACL DRYRUN. A user of few rights tries: each of the calls changes nothing.
    """
    found = []
    calls = [harmless_call(right, keyspace + PROBE) for right in rights]
    tries = isinstance(await node.ask("ACL", "DRYRUN", node.user, "PING"), Refusal)
    for right, words in zip(rights, calls, strict=True):
        if tries:
            reply = await node.ask(*words)
            refused = reply.said if isinstance(reply, Refusal) and reply.forbidden else ""
            if right == "+subscribe":
                await node.close()  # a connection that has subscribed can ask nothing else
        else:
            reply = await node.ask("ACL", "DRYRUN", node.user, *words)
            refused = "" if isinstance(reply, Refusal) or reply == "OK" else str(reply)
        if refused:
            what = re.search(r"access .*(key|channel)", refused)
            found.append(right if what is None else {"key": f"~{pattern}", "channel": f"&{INVALIDATIONS}"}[what[1]])
    return found
