"""Finds HMAC secrets that somebody could guess (RFC 8725 section 3.5): listed, repeated, or made of placeholders."""

import itertools
import re
from pathlib import Path

MIN_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least length of a secret in bytes: a key must be as long as the hash (RFC 7518 section 3.2)."""

MAKE_ONE = 'make one with python -c "import secrets; print(secrets.token_urlsafe(64))"'

_LISTED = Path(__file__).parent / "weak_secrets.txt"

# Words that placeholders are made of. Removing them takes almost nothing from a random secret, which may also begin
# with a name.
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
"""A secret needs so many different runs of three characters. 32 random hexadecimal digits have about 30."""


def check_secret(name: str, secret: str, least: int, algorithm: str) -> None:
    """Refuse a secret that is too short or that somebody could guess.

    Args:
        name: The setting's name, for the message.
        secret: The secret.
        least: How many bytes it must have at least.
        algorithm: The algorithm that uses the secret.

    Raises:
        ValueError: The secret is too weak.
    """
    size = len(secret.encode())
    if size < least:
        raise ValueError(f"{name}: {algorithm} needs at least {least} bytes, this one has {size}: {MAKE_ONE}")
    # RFC 8725 section 3.5: a secret must not be guessable, as words of a dictionary are.
    if (weak := weakness(secret)) is not None:
        raise ValueError(f"{name}: {weak}: {MAKE_ONE}")


def weakness(secret: str) -> str | None:
    """Say why somebody could guess this secret; None if it looks random."""
    text = _plain(secret)
    listed = _LISTED.read_text(encoding="utf-8").casefold()
    # A search in the whole file takes a tenth of the time that its lines take.
    if text in "".join(listed.split(" ")) and text in map(_plain, listed.split("\n")):
        return "stands in a public list of weak secrets"
    letters = "".join(each for each in text if each.isalnum())
    if _triples(text) < _LEAST_TRIPLES or _is_sequence(text):
        return "repeats a few characters or counts them up"
    rest = _WORD.sub("", letters)
    if _triples(rest) < _LEAST_TRIPLES and len(rest) < len(letters) / 2:
        return "is made of words that stand in placeholders"
    return None


def _plain(secret: str) -> str:
    """Remove differences that come from copying a text: spaces, line ends, quotes, upper case."""
    return "".join(secret.casefold().split()).strip("\"'")


def _triples(text: str) -> int:
    return len({text[start : start + 3] for start in range(len(text) - 2)})


def _is_sequence(text: str) -> bool:
    steps = [abs(ord(after) - ord(before)) == 1 for before, after in itertools.pairwise(text)]
    return sum(steps) > len(steps) * 3 / 4
