"""`jwtsession acl`: the smallest rule for the server's user."""

import argparse

from ..errors import ConfigurationError
from ..stores.redis.rights import INSPECTION
from .answer import Answer
from .rule import rule_of
from .target import load


def run(arguments: argparse.Namespace, secrets: set[str]) -> Answer:
    """Write the rule as `ACL SETUSER` takes it.

    Raises:
        ConfigurationError: The sessions are in memory.
    """
    target = load(arguments, secrets)
    if target.settings.is_in_memory:
        raise ConfigurationError("redis_url: memory:// has no server")
    uses = {"+pttl": arguments.websockets, "+getdel": arguments.tickets, "+wait": arguments.wait_replicas}
    others = [right for right, is_used in uses.items() if is_used] + [*INSPECTION] * arguments.doctor
    scheme = target.settings.redis_url.get_secret_value().partition(":")[0].lower()
    rule = rule_of(target.settings, "cluster" if scheme.endswith("+cluster") else "server", others)
    parts = {"patterns": rule.patterns, "channels": rule.channels, "commands": rule.commands}
    return Answer({"rule": str(rule), **{name: [*each] for name, each in parts.items()}}, [str(rule)])
