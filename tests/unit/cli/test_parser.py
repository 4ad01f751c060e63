"""The commands, and what an error in the arguments shows."""

import json
import re

import pytest

from jwtsession.cli import main
from jwtsession.cli.parser import parse

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "arguments",
    [
        ["settings", TOKEN],
        ["settings", f"--token={TOKEN}"],
        [TOKEN],
        ["secret", "--bytes", TOKEN],
        ["secret", f"--bytes={TOKEN}"],
        ["doctor", "--sample", TOKEN],
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The error ends with 2 and names the option, but not what was given for it."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error:" in err
    assert TOKEN not in err


def test_wrong_arguments_are_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json` the standard output has one, without what was given."""
    with pytest.raises(SystemExit) as stopped:
        main(["settings", "--json", TOKEN])
    assert stopped.value.code == 2
    assert json.loads(capsys.readouterr().out) == {"error": "unrecognized arguments: ***"}


def test_a_word_that_was_misspelled_is_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like a word can be no secret, and its writer wants to see it."""
    with pytest.raises(SystemExit):
        main(["secrets"])
    assert "'secrets'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"], ["settings", "--help"], ["secret", "--help"]])
def test_help_ends_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help is no error."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "usage: jwtsession" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["secret", "--bytes", "31"], ["doctor", "--sample", "-1"], ["doctor", "--sample", "x"]]
)
def test_numbers_have_limits(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A short secret, and a sample of less than nothing, are refused."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


@pytest.mark.parametrize("handle", ["-bcdefghijklmnopqrstuv", "--cdefghijklmnopqrstuv", "-h" + "x" * 20, "a" * 22])
@pytest.mark.parametrize("before", [True, False])
def test_a_handle_may_begin_as_an_option_does(handle: str, before: bool) -> None:
    """One in 64 does: it is a handle wherever it stands, and the options around it are options."""
    options = ["--json", "--sub", "ann", "--yes"]
    given = ["sessions", "revoke", *([handle, *options] if before else [*options, handle])]
    arguments = parse(given)
    assert (arguments.handle, arguments.json, arguments.sub, arguments.yes) == (handle, True, "ann", True)


def test_no_option_is_as_long_as_a_handle(capsys: pytest.CaptureFixture[str]) -> None:
    """It would be taken for one."""
    for command in (
        "doctor", "settings", "acl", "sessions count", "sessions list", "sessions revoke-all", "sessions export",
        "sessions show", "sessions revoke", "token inspect", "secret", "key new", "keys rotate",
    ):  # fmt: skip
        with pytest.raises(SystemExit):
            parse([*command.split(), "--help"])
    options = set(re.findall(r"(?<!\S)--?[a-z-]+", capsys.readouterr().out))
    assert {"-h", "--json", "--wait-replicas"} <= options
    assert all(len(each) < 22 for each in options)
