"""What the tests of the command line need: a run within this process, and what it said."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from jwtsession.cli import main
from tests.conftest import SECRET

PASSWORD = "canary-of-the-redis-password"


class Run(NamedTuple):
    """What a command wrote, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on the standard output."""
        return json.loads(self.out)


class Report(NamedTuple):
    """What the doctor found out."""

    run: Run
    checks: list[dict[str, str]]

    def states(self, check: str) -> list[str]:
        """The states of all findings of a check, one for each server."""
        return [each["state"] for each in self.checks if each["id"] == check]

    def said(self, check: str) -> str:
        return " ".join(each["said"] for each in self.checks if each["id"] == check)

    def advice(self, check: str) -> str:
        return " ".join(each["advice"] for each in self.checks if each["id"] == check)

    @property
    def bad(self) -> dict[str, str]:
        """The checks that did not end well, each with its state."""
        return {each["id"]: each["state"] for each in self.checks if each["state"] in ("warning", "failure")}


class Terminal:
    """Runs commands as a user does, with the environment's variables."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        monkeypatch.setenv("JWTSESSION_SECRET", SECRET)

    def set(self, **variables: Any) -> None:
        """Set settings by variables of the environment: lists and the like as JSON."""
        for name, value in variables.items():
            text = value if isinstance(value, str) else json.dumps(value)
            self.monkeypatch.setenv(f"JWTSESSION_{name}".upper(), text)

    def __call__(self, *arguments: str) -> Run:
        """Run a command."""
        self.capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 2
        out, err = self.capsys.readouterr()
        assert SECRET not in out + err
        assert PASSWORD not in out + err
        assert "Traceback" not in out + err
        return Run(code, out, err)

    def doctor(self, url: str = "", *options: str, **variables: Any) -> Report:
        """Run the doctor for a server."""
        self.set(**({"redis_url": url} if url else {}), **variables)
        run = self("doctor", "--json", *options)
        return Report(run, run.document["checks"])


def states(report: Report, *checks: str) -> Sequence[list[str]]:
    return [report.states(check) for check in checks]
