"""`Finding`: what one check found out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..answer import FAILED, FINE, WARNINGS, Answer, Table

CHECK_SECONDS = 6.0
"""How long a check may take."""

REPORT = "This is a fault of the package: please report it."
"""The advice where a check itself fails."""

State = Literal["ok", "warning", "failure", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What one check found out."""

    id: str
    """The check's name, for programs."""
    state: State
    said: str
    """A sentence of what is. For a skipped check, the reason."""
    advice: str = ""
    """A sentence of what to do."""


def ok(check: str, said: str, advice: str = "") -> Finding:
    """A finding that all is well."""
    return Finding(check, "ok", said, advice)


def warning(check: str, said: str, advice: str) -> Finding:
    """A finding of something that may do harm."""
    return Finding(check, "warning", said, advice)


def failed(check: str, said: str, advice: str) -> Finding:
    """A finding of something that does harm."""
    return Finding(check, "failure", said, advice)


def skipped(check: str, reason: str, advice: str = "") -> Finding:
    """A finding that nothing could be found out."""
    return Finding(check, "skipped", reason, advice)


async def bounded(check: str, findings: AsyncIterator[Finding]) -> list[Finding]:
    """Collect the findings of a check, within `CHECK_SECONDS`. An error of the check is a finding, too."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            async for each in findings:
                found.append(each)  # noqa: PERF401  those from before an error count
    except TimeoutError:
        found.append(failed(check, f"no result within {CHECK_SECONDS:.0f} seconds", "Look at the server's load."))
    except Exception as error:  # a reply that nobody has thought of: the other checks go on
        found.append(failed(check, f"the check itself failed: {type(error).__name__}", REPORT))
    return found


def answer(findings: list[Finding], *, strict: bool) -> Answer:
    """Show all findings, and choose the exit code."""
    states: list[State] = ["ok", "warning", "failure", "skipped"]
    count: dict[State, int] = {state: sum(each.state == state for each in findings) for state in states}
    code = FAILED if count["failure"] else WARNINGS if strict and count["warning"] else FINE
    document: dict[str, Any] = {"checks": [asdict(each) for each in findings], "count": count}
    rows = [(each.state, each.id, each.said) for each in findings]
    todo = [f"{each.id}: {each.advice}" for each in findings if each.advice and each.state in ("warning", "failure")]
    hints = [f"{each.id}: {each.advice}" for each in findings if each.advice and each.state in ("ok", "skipped")]
    shown: list[str | Table] = [Table(("state", "check", "what is"), rows), "", _summary(count)]
    shown += ["", "What to do:", *(f"  {each}" for each in todo)] if todo else []
    shown += ["", "Hints:", *(f"  {each}" for each in hints)] if hints else []
    return Answer(document, shown, code)


def _summary(count: dict[State, int]) -> str:
    failures, warnings = count["failure"], count["warning"]
    parts = [f"{failures} failure{'s' * (failures != 1)}", f"{warnings} warning{'s' * (warnings != 1)}"]
    return ", ".join([*parts, f"{count['ok']} ok", f"{count['skipped']} skipped"])
