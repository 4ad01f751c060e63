"""The commands and their options."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import ClassVar, NoReturn

# Words of ours, and what looks like one: shown in an error. Anything else may be a token or a password by mistake.
_WORD = re.compile(r"-{0,2}[a-z]{1,12}(-[a-z]{1,12}){0,3}|[0-9]{1,5}")


class Parser(argparse.ArgumentParser):
    """A parser whose errors repeat nothing that may be a secret in the wrong place."""

    given: ClassVar[Sequence[str]] = ()
    """What the user wrote."""

    def error(self, message: str) -> NoReturn:
        """Write the message to the standard error and end with 2."""
        for given in sorted({part for each in self.given for part in each.split("=", 1)}, key=len, reverse=True):
            if given and not _WORD.fullmatch(given):
                message = message.replace(repr(given), "'***'").replace(given, "***")
        super().error(message)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments. Their `module` is the module of this folder that has the command's `run`.

    Args:
        argv: The arguments; None takes those of the process.

    Raises:
        SystemExit: The arguments are wrong (code 2), or ask for help (code 0).
    """
    Parser.given = sys.argv[1:] if argv is None else argv
    return _parser().parse_args(Parser.given)


def _parser() -> Parser:
    parser = Parser(prog="jwtsession", description="Looks after the sessions of an application.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    form = Parser(add_help=False)
    form.add_argument("--json", action="store_true", help="write one JSON document")
    target = Parser(add_help=False, parents=[form])
    target.add_argument(
        "--app", metavar="MODULE:PROVIDER", help="take this SessionProvider, such as shop.main:sessions"
    )
    target.add_argument("--env-file", metavar="FILE", help="read variables from this file too")
    target.add_argument("--secrets-dir", metavar="DIR", help="read settings from the files of this folder too")
    target.add_argument("--env-prefix", metavar="PREFIX", help="the prefix of the variables, if it is not JWTSESSION_")

    def add(name: str, module: str, text: str, parent: Parser) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, parents=[parent])
        made.set_defaults(module=module)
        return made

    doctor = add("doctor", "doctor", "Look for what is wrong with the settings and the servers.", target)
    doctor.add_argument("--strict", action="store_true", help="end with 1 if there are warnings")
    doctor.add_argument("--sample", type=_count, default=200, metavar="N", help="look at N stored keys (200; 0: none)")
    add("settings", "settings", "Show all settings without secrets, and where each comes from.", target)
    secret = add("secret", "secret", "Make a secret for the tokens.", form)
    secret.add_argument(
        "--bytes", type=_secret_size, default=64, metavar="N", help="of N random bytes (64; at least 32)"
    )
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 100_000:
        raise argparse.ArgumentTypeError("must be a number from 0 to 100000")
    return number


def _secret_size(text: str) -> int:
    number = int(text)
    if not 32 <= number <= 1024:
        raise argparse.ArgumentTypeError("must be a number from 32 to 1024")
    return number
