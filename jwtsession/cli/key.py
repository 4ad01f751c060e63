"""`jwtsession key new`, and `jwtsession keys rotate`."""

import argparse
import datetime
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._from_settings import key_specs
from ..errors import ConfigurationError
from ..settings import SessionSettings
from ..tokens import KeyRing, KeySpec, kid_of, new_key
from ..tokens.compact import decode
from .answer import FAILED, FINE, Answer, Table
from .target import load


def run(arguments: argparse.Namespace, secrets: set[str]) -> Answer:
    """Run one of the two commands."""
    return _new(arguments) if arguments.command == "new" else _rotate(arguments, secrets)


def _new(arguments: argparse.Namespace) -> Answer:
    """Make a key. The JSON is an item of the setting `keys`."""
    kid = arguments.kid or datetime.date.today().isoformat()
    made = new_key(arguments.algorithm, kid, as_pem=arguments.format == "pem")
    if not KeyRing([KeySpec(kid, made)], arguments.algorithm).can_sign:
        raise ConfigurationError("the new key does not sign")
    return Answer({"kid": kid, "secret": made}, [made.rstrip()])


class _Step(NamedTuple):
    """What a step of the replacement asks for, and the keys that each worker has after it."""

    what: str
    keys: list[KeySpec]


def _rotate(arguments: argparse.Namespace, secrets: set[str]) -> Answer:
    """Say which step of a replacement the settings are at, and try all of them with tokens."""
    settings = load(arguments, secrets).settings
    specs = key_specs(settings)
    ring = KeyRing(specs, settings.algorithm)
    if not ring.can_sign:
        raise ConfigurationError("no key signs: the keys are replaced where tokens are issued")
    signer, others, position = _position(specs, ring)
    new = others[0] if position else None
    name = f"the key {new.kid!r}" if new is not None else "a new key"
    steps = _steps(specs, signer, new, name, settings)
    tried = _try(steps, settings.algorithm) if new is None or position == 1 else []
    states = ["done" if number <= position else "next" if number == position + 1 else "later" for number in (1, 2, 3)]
    rows = [(str(number), state, step.what) for number, state, step in zip((1, 2, 3), states, steps[1:], strict=True)]
    wrong = [each for each in tried if not each["accepted"]]
    document = {
        "signs": _named(signer),
        "steps": [{"step": int(number), "state": state, "what": what} for number, state, what in rows],
        "tried": tried,
    }
    shown: list[str | Table] = [f"{_named(signer)} signs.", "", Table(("step", "state", "what to do"), rows), ""]
    if tried:
        shown.append(
            f"Tried with {len(tried)} tokens: workers of two steps that follow each other accept each other's tokens."
            if not wrong
            else f"{len(wrong)} of {len(tried)} tokens would be refused between two steps."
        )
    return Answer(document, shown, FAILED if wrong else FINE)


def _named(spec: KeySpec) -> str:
    return "secret" if spec.kid is None else f"the key {spec.kid!r}"


def _position(specs: Sequence[KeySpec], ring: KeyRing) -> tuple[KeySpec, list[KeySpec], int]:
    """The key that signs, the others, a waiting one first, and how many steps are done."""
    signer = next((each for each in specs if each.kid == ring.signing_kid), specs[-1])
    others = [each for each in specs if each is not signer]
    waiting = [each for each in others if each.verify_only]
    if waiting:
        return signer, waiting, 1
    return signer, others, 2 if others else 0


def _steps(
    specs: Sequence[KeySpec], signer: KeySpec, new: KeySpec | None, name: str, settings: SessionSettings
) -> list[_Step]:
    """The settings before the replacement, and after each step."""
    until = settings.absolute_max_age
    wait = "never expire (absolute_max_age is None): their users log in again" if until is None else _days(until)
    old = _named(signer)
    if new is not None and not new.verify_only:  # the new one signs already
        old, name = _named(new), _named(signer)
    fresh = KeySpec("new", new_key(settings.algorithm, "new"), verify_only=True) if new is None else new
    before = [each for each in specs if each is not fresh]
    signing = KeySpec(fresh.kid, fresh.material)
    make = f"jwtsession key new --algorithm {settings.algorithm}"
    first = f"Add {name} behind the others, with verify_only, in every worker."
    return [
        _Step("", before),
        _Step(f"{first} Make one by: {make}" if new is None else first, [*before, fresh]),
        _Step(
            f"In every worker put {name} in front, without verify_only: it signs, {old} verifies.", [signing, *before]
        ),
        _Step(
            f"Take {old} away. Tokens that it signed {wait}."
            if until is None
            else f"Wait {wait} (absolute_max_age) after the last worker's step 2, then take {old} away.",
            [signing],
        ),
    ]


def _days(seconds: int) -> str:
    return f"{seconds / 86_400:g} days" if seconds >= 86_400 else f"{seconds} seconds"


def _try(steps: Sequence[_Step], algorithm: str) -> list[dict[str, Any]]:
    """Let a worker of each step read the tokens of the step before and of the step after it.

    Between step 2 and the end of the wait there are tokens of step 1, which step 3 has not to accept any more.
    """
    rings = [KeyRing(step.keys, algorithm) for step in steps]
    tried = []
    for issuer, reader in ((0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)):
        header, payload, signature = rings[issuer].sign({"iat": int(time.time())}).split(".")
        accepted = rings[reader].verify(
            kid_of(f"{header}.{payload}.{signature}"), f"{header}.{payload}".encode(), decode(signature)
        )
        tried.append({"issued_at_step": issuer, "read_at_step": reader, "accepted": accepted})
    return tried
