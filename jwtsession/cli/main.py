"""`main()`: runs one command and shows what it found out. No error ends in a traceback, which may show a secret."""

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from .answer import FAILED, Answer, failure
from .output import write
from .parser import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit code: 0, 1 for warnings with `--strict`, or 2 for a failure.

    Args:
        argv: The arguments; None takes those of the process.

    Raises:
        SystemExit: The arguments are wrong (code 2), or ask for help (code 0).
    """
    arguments = parse(argv)
    secrets: set[str] = set()
    # What the package logs is part of the answer, or would only repeat it.
    quiet = logging.NullHandler()
    logging.getLogger("jwtsession").addHandler(quiet)
    try:
        # What the application prints, in its hooks too, is no part of the answer.
        with contextlib.redirect_stdout(sys.stderr):
            answer = _run(arguments.module, arguments, secrets)
    finally:
        logging.getLogger("jwtsession").removeHandler(quiet)
    try:
        write(answer, as_json=arguments.json, secrets=secrets)
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # Nothing more can be written, also not what the interpreter flushes at its end.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # such as `| head`: nobody wants the rest
            print(f"error: the answer can't be written ({error.strerror})", file=sys.stderr)
            return FAILED
    return answer.code


def _run(module: str, arguments: object, secrets: set[str]) -> Answer:
    try:
        run = importlib.import_module(f".{module}", __package__).run
        found: Answer = run(arguments, secrets)
    except KeyboardInterrupt:
        return failure("interrupted")
    except Exception as error:
        return failure(_said(error))
    return found


def _said(error: Exception) -> str:
    """What an error says. Only the package's own errors are known to show no secret."""
    from ..errors import JWTSessionError

    if isinstance(error, JWTSessionError):
        return str(error)
    return f"unexpected {type(error).__name__}"
