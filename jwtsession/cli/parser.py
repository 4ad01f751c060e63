"""The commands and their options."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

# Words of ours, and what looks like one: shown in an error. Anything else may be a token or a password by mistake.
_WORD = re.compile(r"-{0,2}[a-z]{1,12}(-[a-z]{1,12}){0,3}|[0-9]{1,5}")


_HANDLE = re.compile(r"[A-Za-z0-9_-]{22}")
_LIKE_A_HANDLE = re.compile(r"-[A-Za-z0-9_-]{21,127}")
"""No option has so many characters."""

# Those of the settings, which take a third of a second to import.
ALGORITHMS = (
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """A parser whose errors repeat nothing that may be a secret in the wrong place."""

    given: ClassVar[Sequence[str]] = ()
    """What the user wrote."""

    def error(self, message: str) -> NoReturn:
        """Write the message to the standard error, with `--json` also to the standard output, and end with 2."""
        for given in sorted({part for each in self.given for part in each.split("=", 1)}, key=len, reverse=True):
            if given and not _WORD.fullmatch(given):
                message = message.replace(repr(given), "'***'").replace(given, "***")
        if "--json" in self.given:
            print(json.dumps({"error": message}, indent=2))
        super().error(message)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments. Their `module` is the module of this folder that has the command's `run`.

    Args:
        argv: The arguments; None takes those of the process.

    Raises:
        SystemExit: The arguments are wrong (code 2), or ask for help (code 0).
    """
    Parser.given = sys.argv[1:] if argv is None else argv
    return _parser().parse_args(_with_handles_last(Parser.given))


def _with_handles_last(given: Sequence[str]) -> Sequence[str]:
    """Put handles that begin with `-`, and ids, behind all options: argparse does not take them for options there."""
    handles = [each for each in given if _LIKE_A_HANDLE.fullmatch(each)]
    if not handles or "--" in given:
        return given
    return [*(each for each in given if each not in handles), "--", *handles]


def _parser() -> Parser:
    parser = Parser(prog="jwtsession", description="Looks after the sessions of an application.")
    form = Parser(add_help=False)
    form.add_argument("--json", action="store_true", help="write one JSON document")
    target = Parser(add_help=False, parents=[form])
    target.add_argument(
        "--app", metavar="MODULE:PROVIDER", help="take this SessionProvider, such as shop.main:sessions"
    )
    target.add_argument("--env-file", metavar="FILE", help="read variables from this file too")
    target.add_argument("--secrets-dir", metavar="DIR", help="read settings from the files of this folder too")
    target.add_argument("--env-prefix", metavar="PREFIX", help="the prefix of the variables, if it is not JWTSESSION_")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = _add(commands, "doctor", "Look for what is wrong with the settings and the servers.", target)
    doctor.add_argument("--strict", action="store_true", help="end with 1 if there are warnings")
    doctor.add_argument("--sample", type=_count, default=200, metavar="N", help="look at N stored keys (200; 0: none)")
    _add(commands, "settings", "Show all settings without secrets, and where each comes from.", target)
    acl = _add(commands, "acl", "Write the smallest rule for the server's user, as ACL SETUSER takes it.", target)
    for name, what in (
        ("websockets", "WebSockets or streams"),
        ("tickets", "tickets"),
        ("wait-replicas", "wait_replicas"),
        ("doctor", "all checks of jwtsession doctor"),
    ):
        acl.add_argument(f"--{name}", action="store_true", help=f"with the rights for {what}")
    _add_sessions(commands, target)
    token = _add_group(commands, "token", "Look at a token.")
    inspect = _add(token, "inspect", "Say what a token says, and whether it would be accepted.", target, "tokens")
    inspect.add_argument("token", choices=["-"], metavar="-", help="the token comes from the standard input")
    secret = _add(commands, "secret", "Make a secret for the tokens.", form)
    secret.add_argument(
        "--bytes", type=_secret_size, default=64, metavar="N", help="of N random bytes (64; at least 32)"
    )
    key = _add_group(commands, "key", "Make a key.")
    new = _add(key, "new", "Make a key for an algorithm: a secret, or a private key as JWK or PEM.", form, "key")
    new.add_argument("--algorithm", choices=ALGORITHMS, default="ES256", metavar="NAME", help="ES256, EdDSA, ...")
    new.add_argument("--kid", type=_kid, help="the key's name (today's date)")
    new.add_argument("--format", choices=["jwk", "pem"], default="jwk", help="of a private key (jwk)")
    keys = _add_group(commands, "keys", "Replace a key.")
    _add(keys, "rotate", "Say what to do next to replace the key that signs, and try it.", target, "key")
    return parser


def _add_sessions(commands: Any, target: Parser) -> None:
    sessions = _add_group(commands, "sessions", "Count, show and end sessions.")
    _add(sessions, "count", "Count the sessions.", target, "sessions")
    for name, text in (
        ("list", "List a user's sessions."),
        ("revoke-all", "End all sessions of a user."),
        ("export", "Write all that is stored about a user, as JSON."),
    ):
        made = _add(sessions, name, text, target, "sessions")
        made.add_argument("sub", help="the user: the claim sub")
        if name == "revoke-all":
            made.add_argument("--yes", action="store_true", help="do not ask")
    for name, text in (("show", "Show a session."), ("revoke", "End a session.")):
        made = _add(sessions, name, text, target, "sessions")
        made.add_argument("handle", type=_handle, help="the session's handle, as list and the log show it")
        made.add_argument("--sub", help="the session's user; without it all keys are looked at")
        if name == "show":
            made.add_argument("--data", action="store_true", help="with the values of the fields")
        else:
            made.add_argument("--yes", action="store_true", help="do not ask")
            made.add_argument("--wait-replicas", type=_count, default=0, metavar="N", help="so many must confirm")


def _add(commands: Any, name: str, text: str, parent: Parser, module: str | None = None) -> Parser:
    made: Parser = commands.add_parser(name, help=text, description=text, parents=[parent])
    made.set_defaults(module=module or name, command=name)
    return made


def _add_group(commands: Any, name: str, text: str) -> Any:
    return commands.add_parser(name, help=text, description=text).add_subparsers(required=True, metavar="COMMAND")


def _count(text: str) -> int:
    return _number(text, 0, 100_000)


def _secret_size(text: str) -> int:
    return _number(text, 32, 1024)


def _number(text: str, least: int, most: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"must be a number from {least} to {most}")
    return int(text)


def _kid(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", text):
        raise argparse.ArgumentTypeError("must have 1 to 128 letters, digits or any of ._~-")
    return text


def _handle(text: str) -> str:
    if not _HANDLE.fullmatch(text):
        raise argparse.ArgumentTypeError("a handle has 22 letters, digits, _ or -; it is not the session's id")
    return text
