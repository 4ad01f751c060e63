"""`jwtsession key new` and `jwtsession keys rotate`."""

import json
import secrets
import sys
from typing import Any, get_args

import pytest

from jwtsession import SessionSettings
from jwtsession.cli import main
from jwtsession.cli.parser import ALGORITHMS
from jwtsession.settings.options import Algorithm
from jwtsession.tokens import KeyRing, KeySpec
from tests.conftest import SECRET

pytestmark = pytest.mark.slow

OTHER = secrets.token_urlsafe(64)


def test_the_parser_knows_every_algorithm() -> None:
    """It has a list of its own, so that it need not import the settings."""
    assert get_args(Algorithm) == ALGORITHMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("form", ["jwk", "pem"])
def test_a_new_key_signs(algorithm: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the command writes is a setting: `keys` with the JSON, `secret` with the text."""
    assert main(["key", "new", "--algorithm", algorithm, "--kid", "mine", "--format", form, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made.keys() == {"kid", "secret"}
    settings: Any = SessionSettings(keys=[made], algorithm=algorithm)  # type: ignore[arg-type]
    ring = KeyRing([KeySpec(key.kid, key.secret.get_secret_value()) for key in settings.keys], algorithm)
    header, payload, signature = ring.sign({"jti": "1"}).split(".")
    from jwtsession.tokens.compact import decode

    assert ring.verify("mine", f"{header}.{payload}".encode(), decode(signature))
    if not algorithm.startswith("HS"):
        assert ("BEGIN PRIVATE KEY" in made["secret"]) == (form == "pem")
        assert form == "pem" or json.loads(made["secret"])["kid"] == "mine"


def test_two_new_keys_are_two(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is made by chance; the name is the day's, unless one is given."""
    made = []
    for _ in range(2):
        assert main(["key", "new"]) == 0
        made.append(json.loads(capsys.readouterr().out))
    assert made[0]["d"] != made[1]["d"]
    assert made[0]["alg"] == "ES256"
    assert len(made[0]["kid"]) == 10


def test_a_key_without_its_package_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The extra is named."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "cryptography":
            monkeypatch.setitem(sys.modules, name, None)
    assert main(["key", "new", "--algorithm", "EdDSA"]) == 2
    assert "fastapi-jwtsession[crypto]" in capsys.readouterr().err


def rotation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, secret: str = "", **keys: bool
) -> dict[str, Any]:
    """The plan for keys by their names, with whether each only verifies."""
    values = [{"kid": kid, "secret": f"{kid} {OTHER}", "verify_only": only} for kid, only in keys.items()]
    monkeypatch.setenv("JWTSESSION_KEYS", json.dumps(values))
    if secret:
        monkeypatch.setenv("JWTSESSION_SECRET", secret)
    else:
        monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    assert main(["keys", "rotate", "--json"]) == 0
    out = capsys.readouterr().out
    assert OTHER not in out
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize(
    ("options", "signs", "states", "tried"),
    [
        ({"secret": SECRET}, "secret", ["next", "later", "later"], 6),
        ({"old": False}, "the key 'old'", ["next", "later", "later"], 6),
        ({"old": False, "new": True}, "the key 'old'", ["done", "next", "later"], 6),
        ({"new": True, "old": False}, "the key 'old'", ["done", "next", "later"], 6),
        ({"new": False, "old": False}, "the key 'new'", ["done", "done", "next"], 0),
        ({"new": False, "secret": SECRET}, "the key 'new'", ["done", "done", "next"], 0),
        ({"new": False, "old": True}, "the key 'new'", ["done", "next", "later"], 6),
    ],
)
def test_the_settings_tell_the_step(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    signs: str,
    states: list[str],
    tried: int,
) -> None:
    """Before the replacement, with the new key waiting, and with the old one left over; and each step is tried."""
    found = rotation(monkeypatch, capsys, **options)
    assert found["signs"] == signs
    assert [each["state"] for each in found["steps"]] == states
    assert len(found["tried"]) == tried
    assert all(each["accepted"] for each in found["tried"])


def test_each_step_names_its_keys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And the time to wait, which is that of the longest token."""
    monkeypatch.setenv("JWTSESSION_ABSOLUTE_MAX_AGE", "172800")
    first, second, third = (each["what"] for each in rotation(monkeypatch, capsys, old=False, new=True)["steps"])
    assert "the key 'new'" in first
    assert "put the key 'new' in front" in second
    assert "Wait 2 days" in third
    assert "take the key 'old' away" in third
    monkeypatch.setenv("JWTSESSION_ABSOLUTE_MAX_AGE", "null")
    assert "never expire" in rotation(monkeypatch, capsys, new=False, old=False)["steps"][2]["what"]
    assert "jwtsession key new --algorithm HS256" in rotation(monkeypatch, capsys, old=False)["steps"][0]["what"]


def test_people_get_the_steps_as_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """And that they were tried."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    assert main(["keys", "rotate"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("secret signs.\n")
    assert "Tried with 6 tokens" in out


def test_a_service_that_only_verifies_replaces_no_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that issues tokens does."""
    keys = [{"kid": "one", "secret": OTHER, "verify_only": True}]
    monkeypatch.setenv("JWTSESSION_KEYS", json.dumps(keys))
    monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    assert main(["keys", "rotate"]) == 2
    assert "no key signs" in capsys.readouterr().err
