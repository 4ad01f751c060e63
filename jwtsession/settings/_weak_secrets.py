"""Tells an HMAC secret that somebody could guess (RFC 8725 section 3.5): listed, repeated, or made of placeholders."""

import itertools
import re
from pathlib import Path

MIN_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518 section 3.2: a key at least as long as the hash, in bytes."""

MAKE_ONE = 'make one with python -c "import secrets; print(secrets.token_urlsafe(64))"'

_LISTED = Path(__file__).parent / "weak_secrets.txt"

# What placeholders are made of. A random secret loses next to nothing with them, and may have a name in front.
_WORD = re.compile(
    """access|admin|and|any|api|application|app|auth|azerty|backend|bar|base64|baz|bit|byte|character|char|change|
    config|default|demo|development|dev|dummy|encryption|enter|environment|example|fixme|foo|for|from|generated|generate|
    hello|here|hmac|hs256|hs384|hs512|insecure|insert|ipsum|json|jwt|key|least|length|letmein|localhost|local|login|longer|
    long|lorem|minimum|more|must|none|not|null|one|only|our|own|passphrase|passw[o0]r[dt]|pass|placeholder|please|private|
    production|prod|public|qwert[yz]|random|redis|replace|root|safe|sample|secret|secure|security|server|service|
    session|setting|sha256|should|signing|sign|something|some|string|strong|super|test|testing|text|that|the|this|
    todo|token|top|ultra|undefined|unsafe|user|use|value|variable|very|web|welcome|with|world|your|you""",
    re.VERBOSE,
)

_LEAST_TRIPLES = 20
"""Different runs of three characters: 32 random hexadecimal digits have about 30."""


def check_secret(name: str, secret: str, least: int, algorithm: str) -> None:
    """Refuse a secret that is too short or that somebody could guess.

    Args:
        name: Of the setting, for the message.
        secret: The secret.
        least: How long it must be, in bytes.
        algorithm: That the secret is for.

    Raises:
        ValueError: The secret is too weak.
    """
    size = len(secret.encode())
    if size < least:
        raise ValueError(f"{name}: {algorithm} needs at least {least} bytes, this one has {size}: {MAKE_ONE}")
    # RFC 8725 section 3.5: nothing that a dictionary holds, or is made of.
    if (weak := weakness(secret)) is not None:
        raise ValueError(f"{name}: {weak}: {MAKE_ONE}")


def weakness(secret: str) -> str | None:
    """Why somebody could guess this secret; None where it looks random."""
    text = _plain(secret)
    if text in map(_plain, _LISTED.read_text(encoding="utf-8").split("\n")):
        return "stands in a public list of weak secrets"
    letters = "".join(each for each in text if each.isalnum())
    if _triples(text) < _LEAST_TRIPLES or _is_sequence(text):
        return "repeats a few characters or counts them up"
    rest = _WORD.sub("", letters)
    if _triples(rest) < _LEAST_TRIPLES and len(rest) < len(letters) / 2:
        return "is made of words that stand in placeholders"
    return None


def _plain(secret: str) -> str:
    """Without what is lost and won as a text is copied: spaces, line ends, quotes, upper case."""
    return "".join(secret.casefold().split()).strip("\"'")


def _triples(text: str) -> int:
    return len({text[start : start + 3] for start in range(len(text) - 2)})


def _is_sequence(text: str) -> bool:
    steps = [abs(ord(after) - ord(before)) == 1 for before, after in itertools.pairwise(text)]
    return sum(steps) > len(steps) * 3 / 4
