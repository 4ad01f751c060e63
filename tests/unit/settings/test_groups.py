"""Tests of groups of settings: jwtsession.settings.group, ._environment and ._messages, by the group `encryption`."""

import copy
import json
import pickle
import traceback
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from jwtsession import ConfigurationError, EncryptionSettings, Key, MemorySessionStore, SessionProvider, SessionSettings
from jwtsession.settings import SettingsGroup, SettingsOptions
from jwtsession.settings._messages import places
from jwtsession.settings.encryption import EncryptionOptions
from tests.conftest import SECRET

KEY = "VGhpcnR5LXR3byByYW5kb20tbG9va2luZyBieXRlcyE"
OTHER = "9kQz1XWc0mB7vYt3LrJ5uHn8eAsDfGpOiUyTqEwRx2M"
GROUPS = {
    name: field.annotation
    for name, field in SessionSettings.model_fields.items()
    if (name,) not in places(SessionSettings)
}


def settings(**values: Any) -> SessionSettings:
    values.setdefault("secret", SECRET)
    return SessionSettings(**values)


def keys_of(made: SessionSettings) -> list[str]:
    return [key.get_secret_value() for key in made.encryption.keys]


@pytest.fixture
def in_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that has the keys and the mode."""
    monkeypatch.setenv("JWTSESSION_ENCRYPTION_KEYS", json.dumps([KEY]))
    monkeypatch.setenv("JWTSESSION_ENCRYPTION_MODE", "read")
    return monkeypatch


# --- as arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [EncryptionSettings(keys=[KEY], mode="write"), {"keys": [KEY], "mode": "write"}])
def test_a_group_is_an_object_or_a_mapping(given: Any) -> None:
    """Of the settings and of the provider."""
    assert settings(encryption=given).encryption == EncryptionSettings(keys=[KEY], mode="write")
    provider = SessionProvider(secret=SECRET, store=MemorySessionStore(), encryption=given)
    assert isinstance(provider, SessionProvider)


def test_what_nobody_sets_is_the_default() -> None:
    """Of each setting of the group, alone too."""
    assert settings().encryption == EncryptionSettings()
    assert (EncryptionSettings().keys, EncryptionSettings().mode) == ((), "require")
    assert settings(encryption={"keys": [KEY]}).encryption.mode == "require"


# --- from the environment --------------------------------------------------------------------------------------------


def test_each_setting_of_a_group_has_its_variable(in_environment: pytest.MonkeyPatch) -> None:
    """The group's name is in front, in upper or lower case, and nothing is warned of."""
    made = settings()
    assert (keys_of(made), made.encryption.mode) == ([KEY], "read")
    in_environment.delenv("JWTSESSION_ENCRYPTION_MODE")
    in_environment.setenv("jwtsession_encryption_mode", "write")
    assert settings().encryption.mode == "write"


def test_a_mapping_wins_over_the_environment_setting_by_setting(in_environment: pytest.MonkeyPatch) -> None:
    """What the mapping leaves out comes from the environment; an object is complete."""
    made = settings(encryption={"mode": "write"})
    assert (keys_of(made), made.encryption.mode) == ([KEY], "write")
    made = settings(encryption={"keys": [OTHER]})
    assert (keys_of(made), made.encryption.mode) == ([OTHER], "read")
    assert settings(encryption=EncryptionSettings(keys=[OTHER])).encryption.mode == "require"


def test_an_env_file_has_a_groups_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the same names; the environment wins, setting by setting."""
    file = tmp_path / ".env"
    file.write_text(f"JWTSESSION_ENCRYPTION_KEYS={json.dumps([KEY])}\nJWTSESSION_ENCRYPTION_MODE=read\n")
    made = settings(_env_file=file)
    assert (keys_of(made), made.encryption.mode) == ([KEY], "read")
    monkeypatch.setenv("JWTSESSION_ENCRYPTION_MODE", "write")
    made = settings(_env_file=file)
    assert (keys_of(made), made.encryption.mode) == ([KEY], "write")


def test_a_folder_of_secrets_has_a_groups_settings(tmp_path: Path) -> None:
    """A file for each, of the variable's name."""
    (tmp_path / "jwtsession_encryption_keys").write_text(json.dumps([KEY]))
    assert keys_of(settings(_secrets_dir=tmp_path)) == [KEY]


def test_another_prefix_counts_for_groups(in_environment: pytest.MonkeyPatch) -> None:
    """Instead of the usual one."""
    in_environment.setenv("ADMIN_ENCRYPTION_KEYS", json.dumps([OTHER]))
    made = settings(_env_prefix="ADMIN_")
    assert (keys_of(made), made.encryption.mode) == ([OTHER], "require")


def test_no_name_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting whose name has a `_` is no group's: no variable means two settings."""
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "60")
    monkeypatch.setenv("JWTSESSION_USER_INDEX", "true")
    assert (settings().max_age, settings().user_index) == (60, True)
    variables = ["_".join(map(str, place)) for place in places(SessionSettings)]
    assert len(set(variables)) == len(variables)


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mode": "on"}, "encryption.mode: Input should be 'read', 'write' or 'require'"),
        ({"mode": "read"}, "encryption.mode: needs encryption.keys"),
        ({"keys": ["canary"]}, "encryption.keys: each must be 32 random bytes as base64url"),
        ({"keys": "canary"}, "encryption.keys: must be a list"),
        ({"modee": "canary"}, "encryption.modee: there is no such setting: did you mean encryption.mode?"),
        ({"colour": "canary"}, "encryption.colour: there is no such setting"),
    ],
)
def test_an_error_names_an_argument_by_its_group(given: dict[str, Any], message: str) -> None:
    """With a dot between, as it is read; the object alone has no group yet."""
    with pytest.raises(ConfigurationError) as caught:
        settings(encryption=given)
    assert str(caught.value) == message
    assert caught.value.__context__ is None
    with pytest.raises(ConfigurationError) as caught:
        EncryptionSettings(**given)
    assert str(caught.value).startswith(message.removeprefix("encryption.").partition(":")[0])
    assert "canary" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MODE", "on", "JWTSESSION_ENCRYPTION_MODE: Input should be 'read', 'write' or 'require'"),
        ("KEYS", '["canary"]', "JWTSESSION_ENCRYPTION_KEYS: each must be 32 random bytes as base64url"),
        ("KEYS", "[5]", "JWTSESSION_ENCRYPTION_KEYS.0: Input should be a valid string"),
        (
            "KEYS",
            "canary",
            "JWTSESSION_ENCRYPTION_KEYS: must be a list as JSON in the environment: "
            """JWTSESSION_ENCRYPTION_KEYS='["..."]'""",
        ),
    ],
)
def test_an_error_names_the_variable(
    in_environment: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """Where the environment gave the setting, also where a mapping gave another one of the group."""
    in_environment.setenv(f"JWTSESSION_ENCRYPTION_{variable}", value)
    other = {"KEYS": {"mode": "read"}, "MODE": {"keys": [KEY]}}[variable]
    for values in ({}, {"encryption": other}):
        with pytest.raises(ConfigurationError) as caught:
            settings(**values)
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encryption_mode", "encryption_mode: there is no such setting: did you mean encryption.mode?"),
        ("encrypton", "encrypton: there is no such setting: did you mean encryption?"),
    ],
)
def test_an_unknown_argument_may_mean_a_setting_of_a_group(name: str, message: str) -> None:
    """The variable's name is no argument; the message tells the one that was meant."""
    with pytest.raises(ConfigurationError) as caught:
        settings(**{name: "read"})
    assert str(caught.value) == message


@pytest.mark.parametrize("given", ["canary", None, 5])
def test_what_is_no_group_is_refused(given: Any) -> None:
    """By the group's name."""
    with pytest.raises(ConfigurationError, match=r"^encryption: must be a mapping of settings") as caught:
        settings(encryption=given)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "ENCRYPTION_MODEE=canary",
            "ENCRYPTION_MODEE: there is no such setting: did you mean JWTSESSION_ENCRYPTION_MODE?",
        ),
        (
            "ENCRYPTION=canary",
            "ENCRYPTION: must be a mapping of settings; in the environment each of them has a variable",
        ),
    ],
)
def test_an_unknown_variable_of_a_group_in_an_env_file_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """As any variable with the prefix that is no setting, beside right ones too."""
    file = tmp_path / ".env"
    for before in ("", f"JWTSESSION_ENCRYPTION_KEYS={json.dumps([KEY])}\n"):
        file.write_text(f"{before}JWTSESSION_{line}\n")
        with pytest.raises(ConfigurationError) as caught:
            settings(_env_file=file)
        assert str(caught.value).startswith(f"JWTSESSION_{message}")
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("value", [f'{{"keys": ["{KEY}"]}}', "", "null", KEY])
def test_a_variable_of_a_groups_own_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    """In the environment and in a folder of secrets too: who wrote it wants the feature, and it would stay off."""
    (tmp_path / "jwtsession_encryption").write_text(value)
    message = "JWTSESSION_ENCRYPTION: must be a mapping of settings; in the environment each of them has a variable"
    with pytest.raises(ConfigurationError, match=message):
        settings(_secrets_dir=tmp_path)
    monkeypatch.setenv("JWTSESSION_ENCRYPTION_MODE", "read")
    monkeypatch.setenv("jwtsession_encryption", value)
    with pytest.raises(ConfigurationError, match=message) as caught:
        settings()
    assert KEY not in str(caught.value)


def test_an_unknown_variable_of_a_group_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the environment, where others may have theirs: the application starts all the same."""
    for name in ("MODEE", "SERVICE_HOST"):
        monkeypatch.setenv(f"JWTSESSION_ENCRYPTION_{name}", "canary")
    assert settings().encryption == EncryptionSettings()
    assert sorted(caplog.messages) == [
        "JWTSESSION_ENCRYPTION_MODEE in the environment is no setting: did you mean JWTSESSION_ENCRYPTION_MODE?",
        "JWTSESSION_ENCRYPTION_SERVICE_HOST in the environment is no setting",
    ]


def test_an_error_in_a_list_names_the_place() -> None:
    """A key's name and the setting in it, with the one that was meant."""
    wrong = {"kid": "a", "secret": SECRET, "verify_onyl": True}
    with pytest.raises(ConfigurationError) as caught:
        settings(keys=[Key(kid="b", secret=SECRET), wrong])
    assert str(caught.value) == "keys.1.verify_onyl: there is no such setting: did you mean keys.1.verify_only?"


# --- every group -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS.values())
def test_a_group_is_frozen_and_documented(group: type[SettingsGroup]) -> None:
    """Nothing in it changes, and it has a default, since a feature that nobody asks for is off."""
    assert issubclass(group, SettingsGroup)
    made = group()
    assert made == copy.copy(made) == copy.deepcopy(made)
    for name in group.model_fields:
        with pytest.raises(ValidationError):
            setattr(made, name, getattr(made, name))
    with pytest.raises(TypeError, match="holds secrets"):
        pickle.dumps(made)


@pytest.mark.parametrize(("name", "options"), [("encryption", EncryptionOptions)])
def test_editors_see_every_setting_of_a_group(name: str, options: Any) -> None:
    """As a mapping too."""
    assert get_type_hints(options).keys() == GROUPS[name].model_fields.keys()
    assert get_type_hints(SettingsOptions)[name] == GROUPS[name] | options


def test_nothing_shows_a_groups_secrets() -> None:
    """repr, str and dumps, of the group and of all settings."""
    made = settings(encryption={"keys": [KEY]})
    for shown in (made, made.encryption):
        for text in (repr(shown), str(shown), repr(shown.model_dump()), shown.model_dump_json()):
            assert KEY not in text
