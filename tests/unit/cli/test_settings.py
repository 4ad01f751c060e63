"""`jwtsession settings`."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jwtsession.cli import main
from tests.conftest import SECRET

AT_REST = base64.urlsafe_b64encode(os.urandom(32)).decode()
NAMES = "canary-of-the-index-0123456789-abcdefgh"
PASSWORD = "canary/of the password"


def settings(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["settings", "--json", *options]) == 0
    return {each["name"]: each for each in json.loads(capsys.readouterr().out)["settings"]}


def test_each_setting_has_its_value_and_its_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the environment, a `.env`, a folder of secrets, a file that a variable names, or the default."""
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "77")
    monkeypatch.setenv("JWTSESSION_ROTATION_AFTER", "900")
    (tmp_path / "one.env").write_text("JWTSESSION_LEEWAY=7\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "jwtsession_issuer").write_text("me\n")
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("JWTSESSION_SECRET_FILE", str(tmp_path / "secret"))
    found = settings(capsys, "--env-file", str(tmp_path / "one.env"), "--secrets-dir", str(tmp_path / "secrets"))
    shown = {name: (found[name]["value"], found[name]["origin"]) for name in found}
    assert shown["max_age"] == (77, "environment")
    assert shown["rotation.after"] == (900, "environment")
    assert shown["leeway"] == (7, "file")
    assert shown["issuer"] == ("me", "file")
    assert shown["secret"] == ("***", "file")
    assert shown["rotation.grace"] == (30, "default")
    assert shown["token_sources"] == (["bearer", "header"], "default")


def test_sessions_in_memory_have_no_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With `memory://` each command answers, or says that there is no server."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setenv("JWTSESSION_REDIS_URL", "memory://")
    assert settings(capsys)["redis_url"]["value"] == "memory://"
    assert main(["doctor", "--json"]) == 0
    checks = {each["id"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert (checks["server"]["state"], "which has no server" in checks["server"]["said"]) == ("skipped", True)
    assert main(["acl"]) == 2
    assert "redis_url: memory:// has no server" in capsys.readouterr().err
    assert main(["sessions", "count"]) == 2
    assert "the sessions are in MemorySessionStore, which has no server" in capsys.readouterr().err


def test_an_embedded_server_has_its_own_rights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its URL is shown as it is, and its path is no number of a database."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setenv("JWTSESSION_REDIS_URL", "embedded:///var/lib/app")
    assert settings(capsys)["redis_url"]["value"] == "embedded:///var/lib/app"
    assert main(["acl"]) == 0
    assert "+select" not in capsys.readouterr().out


def test_arguments_of_an_application_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one of a group that a mapping gave, and one by the original's name."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "5")
    monkeypatch.setenv("JWTSESSION_ROTATION_GRACE", "20")
    monkeypatch.chdir(tmp_path)
    code = "from jwtsession import SessionProvider\nsessions = SessionProvider(maxAge=7, rotation={'after': 60})\n"
    (tmp_path / "with_arguments.py").write_text(code)
    found = settings(capsys, "--app", "with_arguments:sessions")
    assert (found["max_age"]["value"], found["max_age"]["origin"]) == (7, "argument")
    assert found["rotation.after"]["origin"] == "argument"
    assert found["rotation.grace"]["origin"] == "environment"
    assert found["secret"]["origin"] == "environment"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_no_secret_is_shown(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the keys nor the password of the URL, in any form."""
    quoted = "canary%2Fof%20the%20password"
    for name, value in {
        "SECRET": SECRET,
        "KEYS": json.dumps([{"kid": "2026", "secret": f"key {SECRET}", "verify_only": True}]),
        "USER_INDEX": "true",
        "USER_INDEX_KEY": NAMES,
        "ENCRYPTION_KEYS": json.dumps([AT_REST]),
        "REDIS_URL": f"redis+sentinel://app:{quoted}@one:1,two:2/mymaster/3?sentinel_password=canary-of-theirs",
    }.items():
        monkeypatch.setenv(f"JWTSESSION_{name}", value)
    assert main(["settings", *options]) == 0
    out, err = capsys.readouterr()
    for secret in (SECRET, NAMES, AT_REST, PASSWORD, quoted, "canary-of-theirs"):
        assert secret not in out + err
    assert "redis+sentinel://one:1,two:2/mymaster/3" in out
    assert "2026" in out


def test_a_missing_file_of_variables_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """pydantic-settings would pass over it."""
    assert main(["settings", "--env-file", "nothing.env"]) == 2
    assert "--env-file: there is no such file" in capsys.readouterr().err
