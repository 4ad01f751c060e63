"""How a command begins and ends."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jwtsession.cli import main
from jwtsession.settings import check_secret
from tests.conftest import SECRET


def test_a_new_secret_is_strong(capsys: pytest.CaptureFixture[str]) -> None:
    """It is random, as long as asked for, and the settings accept it."""
    assert main(["secret"]) == 0
    first = capsys.readouterr().out.strip()
    assert main(["secret", "--json", "--bytes", "32"]) == 0
    second = json.loads(capsys.readouterr().out)["secret"]
    assert first != second
    assert (len(first), len(second)) == (86, 43)
    for each in (first, second):
        check_secret("secret", each, 32, "HS256")


@pytest.mark.server
@pytest.mark.slow
def test_a_secret_waits_for_no_framework() -> None:
    """`python -m jwtsession secret` imports neither FastAPI nor redis-py nor Pydantic."""
    code = "import sys; from jwtsession.cli import main; main(['secret']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"fastapi", "redis", "pydantic", "jwt"} & {*done.stdout.split()}
    done = subprocess.run([sys.executable, "-m", "jwtsession", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: jwtsession")


@pytest.mark.server
@pytest.mark.slow
def test_the_doctor_of_an_environment_waits_for_no_fastapi() -> None:
    """Only `--app` imports FastAPI: the application does."""
    code = "import sys; from jwtsession.cli import main; main(['doctor']); print(*sys.modules)"
    environment = {"JWTSESSION_SECRET": SECRET, "JWTSESSION_REDIS_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "fastapi" not in done.stdout.split()


@pytest.mark.parametrize(
    ("content", "app", "told"),
    [
        (None, "", "must be MODULE:PROVIDER"),
        (None, "nothing_of_the_kind:sessions", "there is no module 'nothing_of_the_kind'"),
        ("import another_thing", ":sessions", "there is no module 'another_thing'"),
        ("password = 'hunter2'\nraise RuntimeError(password)", ":sessions", "it raises RuntimeError in"),
        ("raise SystemExit('hunter2')", ":sessions", "it raises SystemExit in"),
        (
            "from jwtsession import SessionProvider\nSessionProvider(secret='hunter2')",
            ":sessions",
            "secret: HS256 needs",
        ),
        ("x = 1", ":x", "is no SessionProvider, but int"),
        ("x = 1", ":sessions", "has no sessions"),
        ("from jwtsession import SessionProvider\nmine = SessionProvider()", ":sessions", "did you mean mine?"),
        (
            "from jwtsession import SessionProvider\nmine = SessionProvider()\ndef sessions(): ...",
            ":sessions",
            "but function",
        ),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_application_that_can_not_be_used_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    app: str,
    told: str,
    as_json: bool,
) -> None:
    """One sentence names what is wrong, without a traceback, and without what the application has."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    module = f"module_{tmp_path.name}"
    if content is not None:
        (tmp_path / f"{module}.py").write_text(content)
        app = module + app
    assert main(["settings", "--app", app or "x", *["--json"] * as_json]) == 2
    out, err = capsys.readouterr()
    assert told in (json.loads(out)["error"] if as_json else err)
    assert "hunter2" not in out + err
    assert "Traceback" not in out + err


def test_what_an_application_prints_is_no_part_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes to the standard error; an attribute of a class is found too; and a variable of the file counts."""
    monkeypatch.delenv("JWTSESSION_SECRET", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.env").write_text(f"JWTSESSION_SECRET={SECRET}\nJWTSESSION_MAX_AGE=77\n")
    code = "print('hello')\nfrom jwtsession import SessionProvider\nclass State:\n    sessions = SessionProvider()\n"
    (tmp_path / "talkative.py").write_text(code)
    monkeypatch.setenv("JWTSESSION_MAX_AGE", "78")
    with monkeypatch.context() as inner:
        inner.setenv("JWTSESSION_SECRET", "", prepend=None)
        inner.delenv("JWTSESSION_SECRET")
        assert main(["settings", "--json", "--app", "talkative:State.sessions", "--env-file", "settings.env"]) == 0
    out, err = capsys.readouterr()
    found = {each["name"]: each["value"] for each in json.loads(out)["settings"]}
    assert found["max_age"] == 78
    assert "hello" in err


@pytest.mark.parametrize("option", ["--secrets-dir", "--env-prefix"])
def test_an_application_has_its_own_settings(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Options that would make other settings are refused beside `--app`."""
    assert main(["settings", "--app", "shop:sessions", option, "x"]) == 2
    assert "has its own settings" in capsys.readouterr().err


def test_an_unexpected_error_shows_its_kind_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its message and its traceback may show a secret."""

    def fail(size: int) -> str:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("secrets.token_urlsafe", fail)
    assert main(["secret"]) == 2
    assert capsys.readouterr() == ("", "error: unexpected RuntimeError\n")


def test_an_interruption_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends a command with 2."""

    def interrupt(size: int) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("secrets.token_urlsafe", interrupt)
    assert main(["secret"]) == 2
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.server
@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error() -> None:
    """As with `| head`: no traceback, and the exit code is the command's."""
    command = [sys.executable, "-m", "jwtsession", "settings"]
    environment = os.environ | {"JWTSESSION_SECRET": SECRET, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        (">&-", 0, ""),
        (">/dev/full", 2, "error: the answer can't be written (No space left on device)\n"),
        ("2>&-", 0, ""),
    ],
)
def test_an_output_that_takes_nothing_is_no_traceback(redirection: str, code: int, said: str) -> None:
    """A standard output that is closed or full, and a standard error that is closed."""
    command = ["sh", "-c", f'"$0" -m jwtsession secret {redirection}', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)


def test_what_an_application_prints_later_is_no_part_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its hooks may print too, while the command runs."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    code = (
        "from jwtsession import SessionProvider\n"
        "class Talkative(SessionProvider):\n"
        "    @property\n"
        "    def settings(self):\n"
        "        print('hello')\n"
        "        return super().settings\n"
        "sessions = Talkative()\n"
    )
    (tmp_path / "talks_later.py").write_text(code)
    assert main(["settings", "--json", "--app", "talks_later:sessions"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["settings"]
    assert "hello" in err


@pytest.mark.parametrize("stdin", [None, io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8")])
def test_a_standard_input_without_a_text_holds_no_token(
    stdin: io.TextIOWrapper | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is closed, and one that is no UTF-8."""
    monkeypatch.setenv("JWTSESSION_SECRET", SECRET)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["token", "inspect", "-", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] == "token_malformed"


@pytest.mark.parametrize("app", [[], ["--app", "shop:sessions"]])
def test_a_file_of_variables_that_is_no_text_is_told(
    app: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the option."""
    (tmp_path / "settings.env").write_bytes(b"JWTSESSION_SECRET=\xff\xfe")
    assert main(["settings", *app, "--env-file", str(tmp_path / "settings.env")]) == 2
    assert capsys.readouterr().err == "error: --env-file: the file is no UTF-8\n"
