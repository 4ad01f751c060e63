"""`python -m soak`: the load, the kills, the last look, and a table. Exits with 1 where anything is wrong."""

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from redis import Redis

from tests import reaper, servers

ROOT = Path(__file__).parents[1]
WORKERS = 2
CLIENTS = 2
POOL = 52
"""The most connections of one worker: its pool, and two for loads."""
MEMORY_GROWTH = 1.15
MEMORY_SLACK = 8_000_000


class Worker:
    """One uvicorn."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = servers.free_port()
        self._environment = environment
        self._log = log
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "uvicorn", "soak.app:app", "--port", str(self.port), "--log-level", "critical"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.look()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(f"a worker does not start: {self._log.read_text()[-2000:]}") from None
                time.sleep(0.05)

    def look(self) -> dict[str, int]:
        """What the process holds."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/process", timeout=5) as answer:
            return cast("dict[str, int]", json.load(answer))

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()


class Clients:
    """The processes of users."""

    def __init__(self, ports: list[int], seeds: list[int]) -> None:
        command = [sys.executable, "-m", "soak.users", ",".join(map(str, ports))]
        self._processes = [
            subprocess.Popen([*command, str(seed)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for seed in seeds
        ]
        self._told: list[dict[str, Any]] = [{} for _ in seeds]
        for process, told in zip(self._processes, self._told, strict=True):
            threading.Thread(target=_listen, args=(process.stdout, told), daemon=True).start()

    @property
    def requests(self) -> int:
        """How many there were so far."""
        return sum(told.get("requests", 0) for told in self._told)

    def say(self, expected: str, seconds: float) -> list[Any]:
        """Go on to the next part, and wait until all have told of it."""
        for process in self._processes:
            _input(process).write("\n")
            _input(process).flush()
        deadline = time.monotonic() + seconds
        while not all(expected in told for told in self._told):
            if time.monotonic() > deadline or any(process.poll() for process in self._processes):
                raise RuntimeError("a process of users does not finish")
            time.sleep(0.05)
        return [told[expected] for told in self._told]

    def end(self) -> None:
        """Whatever they do."""
        for process in self._processes:
            process.kill()
            process.wait()
            _input(process).close()


def _input(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdin is not None  # noqa: S101
    return process.stdin


def _listen(lines: IO[str], told: dict[str, Any]) -> None:
    for line in lines:
        told.update(json.loads(line))


class Soak:
    """Everything that runs, and what was found."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        # What was confirmed is on the disk: a kill loses none of it.
        self.server = servers.valkey(folder, "--appendonly", "yes", "--appendfsync", "always")
        environment = os.environ | {
            "JWTSESSION_SECRET": secrets.token_urlsafe(64),
            "JWTSESSION_REDIS_URL": self.server.url,
        }
        self.workers = [Worker(environment, folder / f"worker{number}.log") for number in range(WORKERS)]
        self.kills: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.sessions: Counter[str] = Counter()
        self.violations: list[str] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """All servers."""
        try:
            self.server.start()
            for worker in self.workers:
                worker.start()
            yield
        finally:
            for worker in self.workers:
                with contextlib.suppress(AttributeError):
                    worker.kill()
            self.server.kill()

    def round(self, name: str, seconds: float, *, workers: bool) -> None:
        """Load and kills for so long, then the last look. Workers are killed too, or live on."""
        self._seed += CLIENTS
        seeds = [self._seed + number for number in range(CLIENTS)]
        clients = Clients([worker.port for worker in self.workers], seeds)
        began = time.monotonic()
        try:
            while (passed := time.monotonic() - began) < seconds:
                kills = ", ".join(f"{what} {number}" for what, number in sorted(self.kills.items()))
                print(f"\r{name}: {passed:4.0f} s, {clients.requests:7,} requests; killed: {kills or '-'}", end=" " * 8)
                sys.stdout.flush()
                time.sleep(min(self._chance.uniform(0.5, 2.5), max(0.0, seconds - passed)))
                self._kill_somebody(workers)
            print()
            clients.say("stopped", 60)
            for result in clients.say("result", 120):
                self.answers.update(result["answers"])
                self.sessions.update({"alive": result["alive"], "ended": result["ended"]})
                self.violations += result["violations"]
        finally:
            clients.end()

    def _kill_somebody(self, workers: bool) -> None:
        draw = self._chance.random()
        if draw < 0.3:
            self.kills["server"] += 1
            self.server.kill()
            time.sleep(self._chance.uniform(0, 1))
            self.server.start()
        elif draw < 0.5:
            self.kills["connections"] += 1
            self.server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        elif draw < 0.75 and workers:
            self.kills["worker"] += 1
            worker = self._chance.choice(self.workers)
            worker.kill()
            worker.start()

    def look(self) -> list[dict[str, int]]:
        """What each worker holds at rest, and how many connections the server has."""
        time.sleep(1)
        found = [worker.look() for worker in self.workers]
        with Redis(port=self.server.port) as client:
            connections = len(client.client_list(_type="normal")) - 1
        return [each | {"connections": connections} for each in found]

    def compare(self, before: list[dict[str, int]], after: list[dict[str, int]]) -> None:
        """Nothing may have grown."""
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            bounds = {
                "memory": old["memory"] * MEMORY_GROWTH + MEMORY_SLACK,
                "tasks": old["tasks"],
                "files": old["files"] + POOL,
                "connections": POOL * WORKERS,
            }
            for what, most in bounds.items():
                if new[what] > most:
                    self.violations.append(f"worker {number} leaks {what}: {old[what]:,} before, {new[what]:,} after")


def main() -> int:
    """Run it, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="of load, in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="repeats the plan of an earlier run")
    parser.add_argument("--json", type=Path, default=None, help="file to write")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    reaper.end_all_with_this_process()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), seed)
        with soak.running():
            soak.round("all are killed", arguments.seconds * 2 / 3, workers=True)
            before = soak.look()
            soak.round("workers live on", arguments.seconds / 3, workers=False)
            after = soak.look()
            soak.compare(before, after)
    report = {
        "seed": seed,
        "seconds": arguments.seconds,
        "killed": dict(soak.kills),
        "answers": dict(soak.answers),
        "sessions": dict(soak.sessions),
        "violations": soak.violations,
        "before": before,
        "after": after,
    }
    _show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if soak.violations else 0


def _show(report: dict[str, Any]) -> None:
    def listed(found: dict[str, int]) -> str:
        return ", ".join(f"{name} {number:,}" for name, number in sorted(found.items()))

    print(f"\nseed       {report['seed']}, {report['seconds']:.0f} s")
    print(f"killed     {listed(report['killed'])}")
    print(f"answers    {listed(report['answers'])}")
    print(f"sessions   {listed(report['sessions'])}, each looked at once more in the end")
    for number, (old, new) in enumerate(zip(report["before"], report["after"], strict=True)):
        told = ", ".join(f"{what} {old[what]:,} -> {new[what]:,}" for what in old)
        print(f"worker {number}   {told}")
    print(f"violations {len(report['violations'])}")
    for violation in report["violations"][:10]:
        print(f"  {violation}")


if __name__ == "__main__":
    sys.exit(main())
