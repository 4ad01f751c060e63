"""Counts the machine instructions of a request: `python -m benchmarks.instructions`. It needs valgrind, and a minute.

Time differs from run to run by several percent, a count of instructions by some thousandths: it shows whether a change
made the code longer that runs at each request. All cases run in one process under `valgrind --tool=callgrind`, without
sockets to clients and without the garbage collector, with one request in flight and with 64. What the Valkey does is
not counted.

`benchmarks/instructions.json` has the counts that are expected. `--check` compares, `--update` writes the file.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from . import callgrind
from .counted import EACH, IN_FLIGHT, sent
from .expected import TOLERANCE, Counts, Expected, here
from .servers import machine

EXPECTED = Path(__file__).with_suffix(".json")
TITLES = {
    "bare": "FastAPI alone",
    "empty": "a dependency that does nothing",
    "handwritten": "PyJWT + redis-py by hand",
    "read": "a session is read",
    "near": "read, near cache",
    "memory": "read, MemorySessionStore",
    "update": "changed",
    "bad": "401, the token's signature is wrong",
    "gone": "401, the session has ended",
    "cookie": "read, by a cookie",
    "rotation": "read, rotation on",
    "dpop": "read, with a proof (DPoP, ES256)",
}


def count(each: int, folder: Path) -> Counts:
    """The instructions of a request of each case. callgrind's files stay in the folder.

    Args:
        each: Requests of each client where 64 are in flight.
        folder: An existing one.

    Raises:
        RuntimeError: The run failed.
    """
    with machine() as bench:
        # What else stands in the environment would not matter, but might.
        needed = {"PATH": os.environ["PATH"], "PYTHONPATH": bench.environment()["PYTHONPATH"]}
        needed |= {name: value for name, value in bench.environment().items() if name.startswith("JWTSESSION_")}
        found = callgrind.counts("benchmarks.steady", [str(each)], needed, folder)
    return {
        case: {str(number): found[f"{case} {number}"] // sent(number, each) for number in IN_FLIGHT} for case in TITLES
    }


def table(found: Counts, expected: Expected) -> Iterator[str]:
    """For people: what was counted, and the differences that matter."""
    for in_flight in map(str, IN_FLIGHT):
        bare, empty, by_hand = (found[case][in_flight] for case in ("bare", "empty", "handwritten"))
        yield f"Instructions of a request, {in_flight} in flight"
        yield f"  {'':36}{'count':>10}{'expected':>11}{'':>8}{'- FastAPI':>11}{'- empty':>11}{'by hand = 1':>13}"
        for case, title in TITLES.items():
            now, before = found[case][in_flight], expected.of(case, in_flight)
            changed = f"{'none':>11}{'':8}" if before is None else f"{before:>11,}{now / before - 1:>+8.1%}"
            share = (now - empty) / (by_hand - empty)
            yield f"  {title:36}{now:>10,}{changed}{now - bare:>+11,}{now - empty:>+11,}{share:>13.3f}"


def verdict(found: Counts, expected: Expected) -> str:
    """What is wrong; empty if nothing is."""
    off = [*expected.off(found)]
    if not off:
        return ""
    return (
        f"{len(off)} counts differ by more than {TOLERANCE:.0%} from {EXPECTED.name}:\n"
        + "".join(f"  {each}\n" for each in off)
        + "If that is meant, also where they became less, write them down: make instructions COUNTS=--update"
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--each", type=int, default=EACH, help="requests of each of the 64 clients (default: %(default)s)"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where callgrind's files are kept")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="fail if a count differs from the expected one by over 2 %%")
    what.add_argument("--update", action="store_true", help="write the counts down as the expected ones")
    arguments = parser.parse_args()

    expected = Expected.read(EXPECTED)
    missing = callgrind.unavailable()
    others = [missing] if missing else expected.not_comparable(here())
    if others and not arguments.update:
        print("Instructions can't be compared with the expected ones:", *others, sep="\n  ", file=sys.stderr)
    if missing or (others and arguments.check):
        return int(not arguments.check or "NO_SKIP" in os.environ)
    folder = arguments.keep or Path(tempfile.mkdtemp())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = count(arguments.each, folder.resolve())
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)
    print(*table(found, expected if not others else Expected({}, {})), sep="\n")
    if arguments.update:
        Expected(here(), found).write(EXPECTED)
    elif arguments.check and (wrong := verdict(found, expected)):
        print(wrong, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
