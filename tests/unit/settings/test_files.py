"""Secrets from files."""

import base64
import json
import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from jwtsession import ConfigurationError, Key, SessionSettings
from jwtsession.settings import SettingsGroup
from jwtsession.settings._files import FILE_SETTINGS
from tests.conftest import SECRET

CANARY = "canary-of-a-file"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    return tmp_path


def name_file(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, content: str | bytes) -> Path:
    """Write a file, and set the variable of a setting that names it."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv(f"JWTSESSION_{name}_FILE".upper(), str(path))
    return path


def refusal(**options: Any) -> str:
    """What the settings say that can't be made; its traceback shows nothing of a file."""
    with pytest.raises(ConfigurationError) as caught:
        SessionSettings(**options)
    shown = "".join(traceback.format_exception(caught.value))
    frames = [str(frame.f_locals) for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert CANARY not in shown
    assert not [each for each in frames[1:] if CANARY in each]
    return str(caught.value)


@pytest.mark.parametrize(("start", "end"), [("", ""), ("", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_a_variable_names_the_file_of_the_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch, start: str, end: str
) -> None:
    """The line end and the byte order mark that an editor adds are no part of it."""
    name_file(monkeypatch, folder, "secret", start + SECRET + end)
    settings = SessionSettings()
    assert settings.secret is not None
    assert settings.secret.get_secret_value() == SECRET


def test_every_secret_may_be_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL, the keys and the key of the index as text, lists as JSON."""
    at_rest = base64.urlsafe_b64encode(os.urandom(32)).decode()
    name_file(monkeypatch, folder, "redis_url", "redis://:password@redis/0\n")
    name_file(monkeypatch, folder, "user_index_key", f"index {SECRET}\n")
    name_file(monkeypatch, folder, "keys", json.dumps([{"kid": "2026", "secret": SECRET}]))
    name_file(monkeypatch, folder, "encryption_keys", json.dumps([at_rest]))
    settings = SessionSettings(user_index=True)
    assert settings.redis_url.get_secret_value() == "redis://:password@redis/0"
    assert settings.user_index_key == SecretStr(f"index {SECRET}")
    assert settings.keys == (Key(kid="2026", secret=SECRET),)
    assert settings.encryption.keys == (SecretStr(at_rest),)


def test_the_list_has_every_setting_that_is_secret() -> None:
    """A new setting that holds a secret can't be forgotten."""

    def secret_ones(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsGroup):
                yield from secret_ones(field.annotation, f"{name}_")
            elif is_secret(field.annotation):
                yield prefix + name

    def is_secret(annotation: Any) -> bool:
        return annotation in (SecretStr, Key) or any(map(is_secret, get_args(annotation)))

    assert {*secret_ones(SessionSettings)} == {*FILE_SETTINGS}


def test_such_a_variable_is_no_unknown_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log warns of variables that are no setting, and not of these."""
    name_file(monkeypatch, folder, "secret", SECRET)
    with caplog.at_level(logging.WARNING):
        SessionSettings()
    assert caplog.messages == []
    monkeypatch.setenv("JWTSESSION_MAX_AGE_FILE", "x")
    SessionSettings()
    assert "JWTSESSION_MAX_AGE_FILE in the environment is no setting" in caplog.text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (CANARY.encode() + b"\xff", "the file is no UTF-8"),
        (CANARY.encode() * 10_000, "the file is larger than 65536 bytes"),
    ],
)
def test_a_file_that_can_not_be_the_secret_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    """The message names the variable and shows nothing of the file."""
    name_file(monkeypatch, folder, "secret", content)
    assert refusal() == f"JWTSESSION_SECRET_FILE: {told}"


@pytest.mark.parametrize("content", [f'"{CANARY}"', f'["{CANARY}"', f'{{"{CANARY}": 1}}', "[" * 5000 + CANARY])
@pytest.mark.parametrize("name", ["keys", "encryption_keys"])
def test_a_list_must_be_json(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str, name: str) -> None:
    """The message names the variable and shows nothing of the file."""
    name_file(monkeypatch, folder, name, content)
    assert refusal(secret=SECRET) == f"JWTSESSION_{name.upper()}_FILE: the file must hold a list as JSON"


def test_a_file_that_can_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none, it is a folder, it is a named pipe, for which one would wait, or the name is empty."""
    path = name_file(monkeypatch, folder, "secret", SECRET)
    path.unlink()
    assert refusal() == "JWTSESSION_SECRET_FILE: there is no such file"
    path.mkdir()
    assert refusal() == "JWTSESSION_SECRET_FILE: is no file"
    path.rmdir()
    os.mkfifo(path)
    assert refusal() == "JWTSESSION_SECRET_FILE: is no file"
    monkeypatch.setenv("JWTSESSION_SECRET_FILE", f"{Path(__file__)}/secret")
    assert refusal() == "JWTSESSION_SECRET_FILE: the file can't be read (Not a directory)"
    monkeypatch.setenv("JWTSESSION_SECRET_FILE", "")
    assert refusal() == "JWTSESSION_SECRET_FILE: names no file"


@pytest.mark.skipif(os.getuid() == 0, reason="the administrator may read everything")
def test_a_file_without_the_right_to_read_it_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own words stand there."""
    name_file(monkeypatch, folder, "secret", SECRET).chmod(0)
    assert refusal() == "JWTSESSION_SECRET_FILE: the file can't be read (Permission denied)"


@pytest.mark.parametrize("name", ["secret", "encryption_keys"])
def test_the_variable_and_the_file_together_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nobody could tell which counts, so the message names both."""
    name_file(monkeypatch, folder, name, CANARY)
    variable = f"JWTSESSION_{name.upper()}"
    monkeypatch.setenv(variable, '["x"]')
    assert refusal() == f"{variable} and {variable}_FILE are both set: keep one of them"


def test_an_argument_wins_and_the_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an argument wins over every variable."""
    name_file(monkeypatch, folder, "secret", SECRET).unlink()
    name_file(monkeypatch, folder, "encryption_keys", "").unlink()
    settings = SessionSettings(secret="argument " + SECRET, encryption={"keys": []})
    assert settings.secret == SecretStr("argument " + SECRET)


def test_what_a_file_holds_is_checked_as_any_value(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A weak secret is refused, and the message names the setting."""
    name_file(monkeypatch, folder, "secret", "short")
    assert refusal().startswith("secret: HS256 needs at least 32 bytes, this one has 5")


def test_another_prefix_has_its_own_variables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two providers take their secrets from two files."""
    (folder / "admin").write_text("admin " + SECRET)
    monkeypatch.setenv("ADMIN_SECRET_FILE", str(folder / "admin"))
    assert SessionSettings(_env_prefix="ADMIN_").secret == SecretStr("admin " + SECRET)
    (folder / "admin").unlink()
    assert refusal(_env_prefix="ADMIN_") == "ADMIN_SECRET_FILE: there is no such file"


def test_a_file_of_variables_may_name_files(folder: Path) -> None:
    """A `.env` then holds no secret."""
    (folder / "secret").write_text(SECRET)
    (folder / ".env").write_text(f"JWTSESSION_SECRET_FILE={folder / 'secret'}\n")
    assert SessionSettings(_env_file=folder / ".env").secret == SecretStr(SECRET)


def test_a_folder_has_a_file_for_each_setting(folder: Path) -> None:
    """As Docker and systemd make it, and Kubernetes, whose files are links within the folder."""
    (folder / "..2026").mkdir()
    (folder / "..2026" / "JWTSESSION_SECRET").write_text(SECRET + "\n")
    (folder / "..data").symlink_to("..2026")
    (folder / "JWTSESSION_SECRET").symlink_to("..data/JWTSESSION_SECRET")
    (folder / "jwtsession_rotation_after").write_text("900")
    (folder / "tls.key").write_bytes(b"\xff")  # another program's
    settings = SessionSettings(_secrets_dir=folder)
    assert settings.secret == SecretStr(SECRET)
    assert settings.rotation.after == 900


def test_a_folder_that_can_not_be_read_is_told(folder: Path) -> None:
    """There is none, or what is in it is no text. pydantic-settings would warn, or show the content."""
    assert refusal(_secrets_dir=folder / "nothing") == "_secrets_dir: there is no such folder"
    (folder / "jwtsession_secret").write_bytes(CANARY.encode() + b"\xff")
    assert refusal(_secrets_dir=folder) == "_secrets_dir: a file is no UTF-8"
