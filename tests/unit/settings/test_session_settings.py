"""Tests of jwtsession.settings.session_settings."""

import copy
import gc
import inspect
import pickle
import re
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from jwtsession import ConfigurationError, EncryptionSettings, Key, MemorySessionStore, SessionProvider, SessionSettings
from jwtsession.settings import SettingsOptions
from jwtsession.settings._messages import places
from jwtsession.settings.durations import Seconds
from jwtsession.settings.session_settings import ORIGINAL_NAMES
from tests.conftest import SECRET

AT_REST = "VGhpcnR5LXR3byByYW5kb20tbG9va2luZyBieXRlcyE"


def settings(**values: Any) -> SessionSettings:
    values.setdefault("secret", SECRET)
    return SessionSettings(**values)


def test_the_defaults_are_those_of_the_design() -> None:
    """What nobody sets is safe and documented."""
    made = settings()
    assert (made.keyspace, made.max_age, made.algorithm) == ("sess:", 86_400, "HS256")
    assert (made.request_key, made.request_arg, made.absolute_max_age) == ("session", "accessToken", 30 * 86_400)
    assert (made.token_sources, made.issuer, made.audience) == (("bearer", "header"), None, None)
    assert (made.leeway, made.touch_interval, made.multiple_tokens) == (0, 60, "refuse")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a variable with the prefix JWTSESSION_; arguments win."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setenv("JWTSESSION_REDIS_URL", "redis://elsewhere:1/2")
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "60")
    monkeypatch.setenv("JWTSESSION_TOKEN_SOURCES", '["query"]')
    monkeypatch.setenv("JWTSESSION_ABSOLUTE_MAX_AGE", "null")
    made = SessionSettings(keyspace="app:")
    assert made.redis_url.get_secret_value() == "redis://elsewhere:1/2"
    assert (made.max_age, made.token_sources, made.absolute_max_age) == (60, ("query",), None)
    assert SessionSettings(max_age=5).max_age == 5
    assert SessionSettings(maxAge=6).max_age == 6


@pytest.mark.parametrize("value", ["bearer", "[", '["nowhere"]'])
def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """What is none, or holds what is none of the choices, is a ConfigurationError that names the setting."""
    monkeypatch.setenv("JWTSESSION_TOKEN_SOURCES", value)
    with pytest.raises(ConfigurationError, match="token_sources"):
        settings()


def test_the_originals_names_are_understood() -> None:
    """maxAge, requestKey and requestArg mean what they mean there."""
    made = settings(maxAge=5, requestKey="jwtSession", requestArg="jwtToken")
    assert (made.max_age, made.request_key, made.request_arg) == (5, "jwtSession", "jwtToken")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("accessToken", "x-access-token"),
        ("fancyAccessToken", "x-fancy-access-token"),
        ("token", "x-token"),
        ("AccessToken", "x-access-token"),
        ("token2", "x-token-2"),
        ("jwt_token", "x-jwt-_token"),
    ],
)
def test_the_header_is_derived_as_the_original_does(name: str, header: str) -> None:
    """Each character that is its own upper case gets a dash, digits too."""
    assert settings(request_arg=name).header_name == header


def test_node_compatible_sets_what_sharing_needs() -> None:
    """The original's places for a token in its order, the first wins, no exp; the caller's values win."""
    made = SessionSettings.node_compatible(secret=SECRET, maxAge=5)
    assert (made.token_sources, made.multiple_tokens) == (("header", "query", "body"), "first")
    assert (made.absolute_max_age, made.max_age, made.keyspace) == (None, 5, "sess:")
    assert SessionSettings.node_compatible(secret=SECRET, token_sources=("bearer",)).token_sources == ("bearer",)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"secret": None}, "secret"),
        ({"secret": "short but secret"}, "secret"),
        ({"secret": SECRET[:47], "algorithm": "HS384"}, "secret"),
        ({"secret": SECRET[:63], "algorithm": "HS512"}, "secret"),
        ({"secret": "a" * 32}, "secret"),
        ({"algorithm": "none"}, "algorithm"),
        ({"algorithm": "HS1024"}, "algorithm"),
        ({"token_sources": ("nowhere",)}, "token_sources"),
        ({"token_sources": ()}, "token_sources"),
        ({"token_sources": ("bearer", "bearer")}, "token_sources"),
        ({"redis_url": "http://user:canary@host"}, "redis_url"),
        ({"redis_url": "localhost:6379"}, "redis_url"),
        ({"redis_url": "//[canary"}, "redis_url"),
        ({"keyspace": ""}, "keyspace"),
        ({"keyspace": "{sess}:"}, "keyspace"),
        ({"keyspace": "sess}:"}, "keyspace"),
        ({"keyspace": "sess\n"}, "keyspace"),
        ({"max_age": 0}, "max_age"),
        ({"max_age": "soon"}, "max_age"),
        ({"absolute_max_age": 0}, "absolute_max_age"),
        ({"leeway": 61}, "leeway"),
        ({"leeway": -1}, "leeway"),
        ({"touch_interval": -1}, "touch_interval"),
        ({"request_key": "my key"}, "request_key"),
        ({"request_arg": ""}, "request_arg"),
        ({"multiple_tokens": "last"}, "multiple_tokens"),
        ({"colour": "blue"}, "colour"),
        ({"max_sessions": 3}, "max_sessions"),
        ({"user_index_key": SECRET}, "user_index_key"),
        ({"user_index": True, "user_index_key": "too short"}, "user_index_key"),
        ({"capture_client": True}, "capture_client"),
        ({"too_many_sessions": "evict"}, "too_many_sessions"),
        ({"encryption": {"mode": "read"}}, "encryption.mode"),
        ({"encryption": {"keys": ("too short",)}}, "encryption.keys"),
        ({"keys": ({"kid": "a b", "secret": SECRET},)}, "keys"),
        ({"keys": (Key(kid="new", secret="too short"),)}, "new"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_setting_is_named_and_its_value_is_not_shown(values: dict[str, Any], named: str) -> None:
    """The error is a ConfigurationError that names the setting, and shows neither the secret nor the URL."""
    with pytest.raises(ConfigurationError) as caught:
        settings(**values)
    message = str(caught.value)
    assert named in message
    for secret in (SECRET[:20], "short but secret", "canary", "too short"):
        assert secret not in message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("values", [[], None, "text"])
def test_what_are_no_settings_is_refused(values: Any) -> None:
    """Validation of something that is no mapping is Pydantic's own error."""
    with pytest.raises(ValidationError):
        SessionSettings.model_validate(values)


@pytest.mark.parametrize("made", [settings(), Key(kid="a", secret=SECRET)], ids=["settings", "key"])  # type: ignore[arg-type]
def test_settings_do_not_change(made: BaseModel) -> None:
    """They are frozen, and so are keys."""
    for name in type(made).model_fields:
        with pytest.raises(ValidationError):
            setattr(made, name, getattr(made, name))


@pytest.mark.parametrize("name", ["secret", "no_such_setting"])
@pytest.mark.parametrize("made", [settings(), Key(kid="a", secret=SECRET), EncryptionSettings()])  # type: ignore[arg-type]
def test_an_assignment_shows_no_value(made: BaseModel, name: str) -> None:
    """The error names the setting and says that it is frozen. Neither it nor its traceback has the value."""
    with pytest.raises(ValidationError, match=rf"{name}\s+Instance is frozen") as caught:
        setattr(made, name, SECRET[::-1])
    assert SECRET[::-1] not in "".join(traceback.format_exception(caught.value))
    assert SECRET[::-1] not in repr(caught.value.errors())
    assert caught.value.__context__ is None
    assert all(
        SECRET[::-1] not in frame.f_locals.values() for frame, _ in traceback.walk_tb(caught.value.__traceback__)
    )
    with pytest.raises(ValidationError, match="frozen"):
        delattr(made, name)


def test_a_subclass_that_is_not_frozen_takes_assignments() -> None:
    """It says so itself, and Pydantic then checks them if it asks for that."""

    class Loose(SessionSettings):
        model_config = SettingsConfigDict(frozen=False, validate_assignment=True)

    made = Loose(secret=SECRET)
    made.max_age = 5  # type: ignore[misc]
    assert made.max_age == 5
    with pytest.raises(ValidationError, match="whole seconds") as caught:
        made.max_age = "canary"  # type: ignore[assignment, misc]
    assert "canary" not in str(caught.value)


def test_nothing_shows_the_secrets() -> None:
    """repr, str and dumps hide the secret, the keys and the URL with its password."""
    made = settings(
        redis_url="redis://:canary@localhost",
        keys=(Key(kid="a", secret=SECRET[::-1]),),  # type: ignore[arg-type]
        encryption={"keys": (AT_REST,)},
    )
    for text in (repr(made), str(made), repr(made.model_dump()), made.model_dump_json(), f"{made.keys}"):
        assert SECRET not in text
        assert SECRET[::-1] not in text
        assert "canary" not in text
        assert AT_REST not in text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_settings_and_keys_are_copied_but_never_pickled(protocol: int) -> None:
    """A pickle would hold the secrets in plain text: it is refused. A copy in the same process is none."""
    key = Key(kid="a", secret=SECRET)
    for made in (settings(), key, [settings(keys=(key,))]):
        with pytest.raises(TypeError, match="holds secrets"):
            pickle.dumps(made, protocol)
        assert copy.copy(made) == copy.deepcopy(made) == made
    assert settings().model_copy(update={"max_age": 5}).max_age == 5


def test_only_node_compatible_settings_say_so() -> None:
    """What the original leaves in a session is told from the application's own fields by these settings alone."""
    settings = SessionSettings.node_compatible(secret=SECRET)
    assert settings.is_node_compatible
    assert settings.model_copy().is_node_compatible
    assert not SessionSettings(secret=SECRET, **settings.model_dump(include={"token_sources"})).is_node_compatible


# --- what editors see ------------------------------------------------------------------------------------------------


def test_editors_see_every_setting_and_no_other() -> None:
    """`SettingsOptions` has every setting, the original's names, and what pydantic-settings itself takes."""
    shown = get_type_hints(SettingsOptions)
    source = {"_env_file", "_env_file_encoding", "_env_prefix", "_secrets_dir"}
    assert shown.keys() == SessionSettings.model_fields.keys() | ORIGINAL_NAMES.keys() | source
    assert source <= inspect.signature(BaseSettings.__init__).parameters.keys()
    assert {original: shown[original] for original in ORIGINAL_NAMES} == {
        original: shown[name] for original, name in ORIGINAL_NAMES.items()
    }


@pytest.mark.parametrize("name", [str(place[0]) for place in places(SessionSettings) if len(place) == 1])
def test_what_editors_see_is_what_a_setting_takes(name: str) -> None:
    """The default fits the type that editors show, and a duration's a `timedelta` too."""
    shown = get_type_hints(SettingsOptions)[name]
    default = SessionSettings.model_fields[name].default
    assert TypeAdapter(shown).validate_python(default) == default
    assert (timedelta in get_args(shown)) == ("econds" in (field_docs(name)))


def field_docs(name: str) -> str:
    """The text under a setting in the code."""
    found = re.search(rf'^    {name}: .*?"""(.*?)"""', inspect.getsource(SessionSettings), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("name", ["max_age", "absolute_max_age", "leeway", "touch_interval", "maxAge"])
def test_a_duration_is_seconds_or_a_timedelta(name: str) -> None:
    """Whole seconds: a fraction is refused, and so is what is out of bounds."""
    made = settings(**{name: timedelta(minutes=1)})
    assert getattr(made, ORIGINAL_NAMES.get(name, name)) == 60
    for wrong in (timedelta(milliseconds=1500), timedelta(seconds=-1)):
        with pytest.raises(ConfigurationError, match=ORIGINAL_NAMES.get(name, name)):
            settings(**{name: wrong})


# --- .env ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    file = tmp_path / ".env"
    file.write_text(
        f"DATABASE_URL=postgresql://localhost/app\nDEBUG=1\nSECRET=canary\nMAX_AGE=5\n"
        f"JWTSESSION_SECRET={SECRET}\njwtsession_max_age=120\nJWTSESSION_ISSUER=\n"
    )
    return file


def test_an_env_file_may_hold_other_applications_variables(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with our prefix count, whatever stands beside them; an argument and the environment win."""
    made = SessionSettings(_env_file=env_file)
    assert made.secret is not None
    assert made.secret.get_secret_value() == SECRET
    assert (made.max_age, made.issuer) == (120, "")
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "180")
    assert SessionSettings(_env_file=env_file).max_age == 180
    assert SessionSettings(_env_file=env_file, max_age=60).max_age == 60
    SessionProvider(store=MemorySessionStore(), _env_file=env_file)


def test_a_misspelt_name_in_an_env_file_is_refused(env_file: Path) -> None:
    """A setting that nobody reads is a mistake: the message names it and the one that was meant."""
    env_file.write_text(env_file.read_text() + "JWTSESSION_MAX_AGEE=canary\n")
    with pytest.raises(ConfigurationError) as caught:
        SessionSettings(_env_file=env_file)
    assert str(caught.value) == "max_agee: there is no such setting: did you mean max_age?"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("max_agee", "max_agee: there is no such setting: did you mean max_age?"),
        ("maxAgee", "maxAgee: there is no such setting: did you mean max_age?"),
        ("database_url", "database_url: there is no such setting"),
    ],
)
def test_an_unknown_argument_is_refused(name: str, message: str) -> None:
    """With the name that was meant, where there is one like it; for a key too."""
    with pytest.raises(ConfigurationError) as caught:
        settings(**{name: 5})
    assert str(caught.value) == message
    with pytest.raises(ConfigurationError, match=r"^verify_onyl: there is no such setting: did you mean verify_only\?"):
        Key(kid="a", secret=SECRET, verify_onyl=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", [AT_REST, AT_REST[:20] + "-", AT_REST.encode(), (AT_REST,)])
@pytest.mark.parametrize(
    ("given", "place"),
    [
        (lambda name: {"encryption": {name: 1}}, "encryption.*"),
        (lambda name: {"keys": [{"kid": "a", "secret": SECRET, name: 1}]}, "keys.0.*"),
        (lambda name: {name: 1}, "*"),
    ],
)
def test_a_secret_in_the_place_of_a_name_is_not_shown(given: Any, place: str, name: Any) -> None:
    """What looks like no name, or is longer than one, is `*` in the message."""
    if place == "*" and not isinstance(name, str):
        return  # Python itself refuses such an argument
    with pytest.raises(ConfigurationError) as caught:
        settings(**given(name))
    assert f"{place}: " in str(caught.value)
    assert AT_REST[:20].upper() not in "".join(traceback.format_exception(caught.value)).upper()


def test_a_long_misspelt_name_still_has_its_hint() -> None:
    """A name beyond 32 characters is not shown, but the setting that it resembles is; that one may be longer."""

    class Own(SessionSettings):
        the_longest_name_that_anybody_gave_a_setting: int = 0

    with pytest.raises(ConfigurationError) as caught:
        Own(secret=SECRET, the_longest_name_that_anybody_gave_a_seting=1)  # type: ignore[call-arg]
    meant = "the_longest_name_that_anybody_gave_a_setting"
    assert str(caught.value) == f"*: there is no such setting: did you mean {meant}?"
    with pytest.raises(ConfigurationError, match=f"^{meant}: Input should be a valid integer"):
        Own(secret=SECRET, the_longest_name_that_anybody_gave_a_setting="canary")  # type: ignore[call-arg]


def test_a_secret_that_changed_places_with_its_name_is_not_shown() -> None:
    """A key's name as long as a secret is not in the message: the key's place in the list is."""
    with pytest.raises(ConfigurationError, match=r"^keys\.1: HS256 needs at least 32 bytes") as caught:
        settings(keys=[Key(kid="b", secret=SECRET), {"kid": AT_REST, "secret": "2026"}])
    assert AT_REST not in str(caught.value)


def test_a_provider_does_not_show_a_secret_in_the_place_of_a_name() -> None:
    """Where it refuses arguments beside `settings`."""
    options: dict[str, Any] = {AT_REST: 1, "max_age": 5}
    with pytest.raises(ConfigurationError, match=r"^give either settings or \*, max_age, not both$"):
        SessionProvider(settings=settings(), **options)


# --- an application's own settings -----------------------------------------------------------------------------------


class App(BaseModel):
    """An application's model, of which nothing is a group."""

    a: int = 0
    wait: Seconds | None = None


class WithApp(SessionSettings):
    """A subclass with a model of its own."""

    app: App = App()


class Nested(WithApp):
    """A subclass that splits names."""

    model_config = SettingsConfigDict(env_nested_delimiter="__")


@pytest.mark.parametrize(
    ("kind", "variable", "value"), [(WithApp, "APP", '{"a": 1}'), (Nested, "APP", '{"a": 1}'), (Nested, "APP__A", "1")]
)
def test_a_subclass_has_a_model_of_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: type[WithApp], variable: str, value: str
) -> None:
    """Only a `SettingsGroup` has a variable for each setting: any other model is as pydantic-settings has it."""
    monkeypatch.setenv(f"JWTSESSION_{variable}", value)
    monkeypatch.setenv("JWTSESSION_ENCRYPTION_KEYS", f'["{AT_REST}"]')
    made = kind(secret=SECRET)
    assert (made.app.a, len(made.encryption.keys)) == (1, 1)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("canary", "app: must be JSON in the environment: JWTSESSION_APP"),
        ("5", "app: Input should be a valid dictionary or instance of App"),
        ('{"a": "canary"}', "app.a: Input should be a valid integer, unable to parse string as an integer"),
        ('{"wait": "canary"}', "app.wait: must be whole seconds, or a timedelta"),
    ],
)
def test_an_error_in_a_model_of_ones_own_names_it(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    """As Pydantic says it, and without the value."""
    monkeypatch.setenv("JWTSESSION_APP", value)
    with pytest.raises(ConfigurationError) as caught:
        WithApp(secret=SECRET)
    assert str(caught.value) == message


def test_a_misspelt_name_in_the_environment_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Others may put names there that begin like ours, so the application starts all the same."""
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "60")
    monkeypatch.setenv("JWTSESSION_MAX_AGEE", "canary")
    monkeypatch.setenv("JWTSESSION_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("ADMIN_LEWAY", "5")
    assert settings().max_age == 60
    assert sorted(caplog.messages) == [
        "JWTSESSION_MAX_AGEE in the environment is no setting: did you mean JWTSESSION_MAX_AGE?",
        "JWTSESSION_SERVICE_HOST in the environment is no setting",
    ]
    caplog.clear()
    settings(_env_prefix="ADMIN_")
    assert caplog.messages == ["ADMIN_LEWAY in the environment is no setting: did you mean ADMIN_LEEWAY?"]
    caplog.clear()
    settings(_env_prefix="")
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("TOKEN_SOURCES", "bearer", """JWTSESSION_TOKEN_SOURCES='["bearer"]'"""),
        ("KEYS", "canary", """JWTSESSION_KEYS='[{"kid": "2026", "secret": "..."}]'"""),
        ("ENCRYPTION_KEYS", "canary", """JWTSESSION_ENCRYPTION_KEYS='["..."]'"""),
        ("TOKEN_SOURCES", '"bearer"', "token_sources: must be a list"),
        ("MAX_AGE", "1h", "max_age: must be whole seconds, or a timedelta"),
        ("ABSOLUTE_MAX_AGE", "none", "or a timedelta; to switch it off, give None (null in the environment)"),
        ("MAX_AGE", "0", "max_age: Input should be greater than or equal to 1"),
        ("SECRET", "short", 'python -c "import secrets; print(secrets.token_urlsafe(64))"'),
        ("SECRET", "a" * 32, 'python -c "import secrets; print(secrets.token_urlsafe(64))"'),
    ],
)
def test_an_error_tells_the_remedy(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, remedy: str) -> None:
    """A list is shown as its variable takes it, a duration says what it is, a secret how one is made."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setenv(f"JWTSESSION_{variable}", value)
    with pytest.raises(ConfigurationError, match=re.escape(remedy)) as caught:
        SessionSettings()
    assert "canary" not in str(caught.value)


def test_a_missing_secret_is_told_with_how_to_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the algorithm takes a random text, and only there."""
    monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match="token_urlsafe"):
        SessionSettings()
    with pytest.raises(ConfigurationError, match=r"JWTSESSION_SECRET$"):
        SessionSettings(algorithm="ES256")


def test_an_idle_timeout_that_never_counts_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """One above the absolute timeout, where somebody gave it: the default is cut in silence."""
    settings(absolute_max_age=10)
    settings(max_age=10, absolute_max_age=10)
    settings(max_age=10, absolute_max_age=None)
    assert caplog.messages == []
    settings(max_age=timedelta(days=40))
    settings(max_age=5, max_age_limit=20, absolute_max_age=10)
    assert caplog.messages == [
        "max_age=3456000 has no effect: absolute_max_age=2592000 ends sessions earlier",
        "max_age_limit=20 has no effect: absolute_max_age=10 ends sessions earlier",
    ]


def test_a_rotation_that_never_happens_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """If the age is not below the absolute timeout, no token gets so old. `explicit` does not look at the age."""
    settings(rotation={"after": 9}, absolute_max_age=10)
    settings(rotation={"after": 10}, absolute_max_age=None)
    settings(rotation={"after": 10, "mode": "explicit"}, absolute_max_age=10)
    assert caplog.messages == []
    settings(rotation={"after": 10}, absolute_max_age=10)
    assert caplog.messages == ["rotation.after=10 replaces no token: absolute_max_age=10 ends sessions earlier"]


def test_a_setting_of_a_subclass_may_have_a_variable_without_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias names the whole variable, and counts also where no variable has the prefix."""

    class Own(SessionSettings):
        region: str = Field("none", validation_alias="APP_REGION")

    monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    monkeypatch.setenv("APP_REGION", "eu")
    assert Own(secret=SECRET).region == "eu"


def test_gc_freeze_needs_a_python_that_can_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an implementation without `gc.freeze()` the setting is refused, and not ignored."""
    assert SessionSettings(secret=SECRET, gc_freeze=True).gc_freeze
    monkeypatch.delattr(gc, "freeze")
    assert not SessionSettings(secret=SECRET).gc_freeze
    with pytest.raises(ConfigurationError, match=r"gc_freeze: \w+ has no gc.freeze"):
        SessionSettings(secret=SECRET, gc_freeze=True)


def test_a_subclass_may_read_settings_without_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it gives the prefix to aliases alone, other variables count without it."""

    class Own(SessionSettings):
        model_config = SettingsConfigDict(env_prefix_target="alias")

    monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    monkeypatch.setenv("MAX_AGE", "77")
    assert Own(secret=SECRET).max_age == 77


def test_a_subclass_may_refuse_other_variables_in_its_env_file(tmp_path: Path) -> None:
    """Also where no variable of the file has the prefix."""

    class Own(SessionSettings):
        model_config = SettingsConfigDict(dotenv_filtering=None)

    file = tmp_path / ".env"
    file.write_text("REGION=eu\n")
    with pytest.raises(ConfigurationError, match="region: there is no such setting"):
        Own(secret=SECRET, _env_file=file)
