"""What the page on the command line shows is what the commands say."""

import re
import shlex
from pathlib import Path

import pytest

from jwtsession.cli import main
from tests import servers

PAGE = (Path(__file__).parents[2] / "docs/guides/command-line.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def without_figures(text: str) -> str:
    """Times, versions and ports differ from run to run."""
    text = re.sub(r"localhost:\d+", "localhost:6379", text)
    return re.sub(r"\d+\.\d+ (ms|seconds)|Valkey [\d.]+", "*", text).strip()


@pytest.mark.slow
def test_the_doctors_output_is_the_doctors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that evicts and keeps snapshots alone, and a variable that is misspelled: line by line."""
    server = servers.valkey(tmp_path / "server", "--maxmemory-policy", "allkeys-lru", "--save", "3600 1").start()
    try:
        for number in range(3):
            key = f"sess:an-id-of-the-tests-of-the-doctor{number}"
            server.command("SET", key, '{"user_id":1}', "PX", "1000000")
        assert main(["secret"]) == 0
        monkeypatch.setenv("JWTSESSION_SECRET", capsys.readouterr().out.strip())
        monkeypatch.setenv("JWTSESSION_REDIS_URL", f"redis://localhost:{server.port}/0")
        monkeypatch.setenv("JWTSESSION_USER_INDEX", "true")
        monkeypatch.setenv("JWTSESSION_MAX_AGEE", "3600")
        assert main(["doctor"]) == 2
    finally:
        server.kill()
    assert without_figures(capsys.readouterr().out) == without_figures(BLOCKS[0])


@pytest.mark.parametrize("line", re.findall(r"^jwtsession [^#\n]*", PAGE, re.MULTILINE))
def test_each_command_of_the_page_exists(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its help is that of the command, and every option that the page uses stands there."""
    words = [word for word in shlex.split(re.split(r"[<>]", line)[0])[1:] if not re.fullmatch(r"\d+|\w{22}|-", word)]
    options = [word for word in words if word.startswith("--")]
    commands = [word for word in words if re.fullmatch("[a-z-]+", word) and not word.startswith("--")]
    with pytest.raises(SystemExit) as stopped:
        main([*commands, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: jwtsession {' '.join(commands)} " in shown
    assert [option for option in options if option not in shown] == []
