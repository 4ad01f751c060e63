"""What is written, for people and for programs."""

import io
import json
import sys

import pytest

from jwtsession.cli.answer import Answer, Table, failure
from jwtsession.cli.output import write

SECRET = 'canary-of-a-"secret"'
ANSWER = Answer(
    {"name": SECRET, "list": [SECRET, 1]}, [f"it is {SECRET}", Table(("one", "two"), [("a", f"b {SECRET}")])]
)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_json_is_one_document_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """A secret is replaced before the text is made, also where JSON would write it in another way."""
    write(ANSWER, as_json=True, secrets=[SECRET])
    assert json.loads(capsys.readouterr().out) == {"name": "***", "list": ["***", 1]}


def test_a_pipe_gets_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Each row is a line, however long, and a secret is replaced."""
    write(
        Answer({}, [Table(("name", "what it is"), [("a", "x" * 300), ("long name", SECRET)])]),
        as_json=False,
        secrets=[SECRET],
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["name       what it is", f"a          {'x' * 300}", "long name  ***"]


def test_a_terminal_gets_a_table_of_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has colours, and shows brackets of a text as they are."""
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    write(Answer({}, [Table(("state", "what"), [("failure", "see [bold] here")])]), as_json=False)
    assert "\x1b[" in screen.getvalue()
    assert "see [bold] here" in screen.getvalue()


def test_a_table_of_rich_cuts_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle is there to be copied, however narrow the terminal is; sentences are wrapped."""
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0"
    row = ("-bcdefghijklmnopqrstuv", "2026-11-26T08:00:00Z", agent)
    write(Answer({}, [Table(("handle", "last seen", "user agent"), [row])]), as_json=False)
    assert "-bcdefghijklmnopqrstuv" in screen.getvalue()
    assert "2026-11-26T08:00:00Z" in screen.getvalue()


def test_a_terminal_without_rich_gets_columns_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last column is wrapped at the terminal's width."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "rich":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    write(Answer({}, [Table(("a", "b"), [("1", "word " * 20)])]), as_json=False)
    lines = screen.getvalue().splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= 40
    assert lines[2].startswith("   word")


def test_a_failure_goes_to_the_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """What a pipe reads is nothing then; with `--json` it is a document."""
    write(failure("it does not work"), as_json=False)
    assert capsys.readouterr() == ("", "error: it does not work\n")
    write(failure("it does not work"), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"error": "it does not work"}


HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31m\r\n\u202eé"


def test_no_text_of_a_stranger_commands_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters of a user agent or a claim are shown as escapes, in a line, a table, one of rich, and JSON."""
    answer = Answer({"a": HOSTILE}, [HOSTILE.replace("\n", ""), Table(("a", "b"), [(HOSTILE, HOSTILE)])])
    write(answer, as_json=False)
    write(answer, as_json=True)
    shown = capsys.readouterr().out
    assert json.loads(shown[shown.index("{") :]) == {"a": HOSTILE}
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "dumb")
    write(answer, as_json=False)
    for text in (shown, screen.getvalue()):
        assert "\\x1b]0;title\\x07" in text or "\\u001b]0;title\\u0007" in text
        assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_locale_of_ascii_can_show_everything(monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    """What the standard output can't write is an escape there, and no error; JSON stays JSON."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    write(Answer({"a": "é日"}, ["é日", Table(("a",), [("é日",)])]), as_json=as_json)
    shown = written.getvalue().decode()
    assert json.loads(shown) == {"a": "é日"} if as_json else shown == "\\xe9\\u65e5\na\n\\xe9\\u65e5\n"
