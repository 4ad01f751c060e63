"""`jwtsession secret`."""

import argparse
import secrets as random

from .answer import Answer


def run(arguments: argparse.Namespace, secrets: set[str]) -> Answer:
    """Make a secret: random bytes as base64url."""
    made = random.token_urlsafe(arguments.bytes)
    return Answer({"secret": made}, [made])
