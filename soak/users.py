"""A process of users: `python -m soak.users PORT,PORT SEED`. Writes lines of JSON.

A line on standard input ends the load; another one, when all is well again, asks for the last look at everything.
"""

import asyncio
import base64
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx2

from .record import Record, State, Violation

USERS = 12
KEPT = 6
"""Sessions of one user at the same time."""
LATE_SECONDS = 12.0
"""Seconds in which a request without an answer may still do something."""
EXPECTED = {200, 201, 204, 401, 409, 503}


Verb = Callable[[Record], Coroutine[Any, Any, None]]


class User:
    """Who logs in, reads, changes and ends sessions of their own, and looks whether all is as it must be."""

    def __init__(self, client: httpx2.AsyncClient, ports: list[int], number: int, seed: int) -> None:
        self._client = client
        self._ports = ports
        self._number = number
        self._chance = random.Random(seed)
        self._records: list[Record] = []
        self._ended: list[Record] = []
        self._swept = 0.0
        self.answers: Counter[str] = Counter()
        self.violations: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until told to stop."""
        verbs: list[Verb] = [*[self._read] * 6, *[self._count] * 4, *[self._rename] * 2, *[self._look_back] * 2]
        verbs += [self._touch, self._move, self._log_out, self._list]
        while not stop.is_set():
            if len(self._records) < KEPT and self._chance.random() < 0.5:
                await self._log_in()
            elif self._records:
                draw = self._chance.random()
                with self._noting():
                    if draw < 0.005:
                        await self._sweep(None)
                    elif draw < 0.015:
                        await self._sweep(self._chance.choice(self._records))
                    else:
                        await self._chance.choice(verbs)(self._chance.choice(self._records))
            self._sort()
            await asyncio.sleep(self._chance.uniform(0, 0.02))

    async def settle(self) -> dict[str, int]:
        """The last look at everything; how many sessions were alive and how many had ended."""
        alive = [record for record in self._records if record.state is State.ALIVE]
        for record in [*self._records, *self._ended]:
            with self._noting():
                await self._read(record, certainly=True)
        with self._noting():
            await self._list(certainly=True)
        return {"alive": len(alive), "ended": len(self._ended)}

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Violation as violation:
            self.violations.append(str(violation))

    def _sort(self) -> None:
        for record in [each for each in self._records if each.state is State.ENDED]:
            self._records.remove(record)
            self._ended.append(record)
        del self._ended[:-2000]

    async def _ask(
        self, method: str, path: str, record: Record | None = None, *, certainly: bool = False, **params: Any
    ) -> httpx2.Response | None:
        """The answer; None where there was none, or a 503: nobody knows then what was done."""
        headers = {"Authorization": f"Bearer {record.token}"} if record is not None else {}
        url = f"http://127.0.0.1:{self._chance.choice(self._ports)}{path}"
        # Some go away before the answer comes.
        patience = 15.0 if certainly or self._chance.random() > 0.01 else self._chance.uniform(0.001, 0.02)
        try:
            async with asyncio.timeout(patience):
                response = await self._client.request(method, url, headers=headers, params=params)
        except (httpx2.HTTPError, TimeoutError) as error:
            self.answers["gave up" if isinstance(error, TimeoutError) else "no answer"] += 1
            if certainly:
                raise
            return None
        self.answers[str(response.status_code)] += 1
        if response.status_code not in EXPECTED:
            raise Violation(f"{method} {path}: {response.status_code} {response.text[:200]}")
        if certainly and response.status_code == 503:
            raise Violation(f"{method} {path}: 503 when all was well")
        return None if response.status_code == 503 else response

    async def _log_in(self) -> None:
        with self._noting():
            response = await self._ask("POST", "/session", number=self._number)
            if response is not None:
                record = Record(response.json()["access_token"], self._number)
                # What was to end all sessions, and gave no answer, may do so yet.
                record.state = State.UNKNOWN if time.monotonic() < self._swept else State.ALIVE
                self._records.append(record)

    async def _read(self, record: Record, *, certainly: bool = False) -> None:
        response = await self._ask("GET", "/session", record, certainly=certainly)
        if response is None:
            return
        record.note(f"read {response.status_code}")
        if response.status_code == 401:
            record.gone()
        else:
            record.found(**response.json())

    async def _count(self, record: Record) -> None:
        """Several at once, so that they come into each other's way."""
        number = self._chance.choice((1, 1, 3))
        record.unanswered += number
        for response in await asyncio.gather(*(self._ask("POST", "/session/count", record) for _ in range(number))):
            record.note(f"count {response.status_code if response is not None else None}")
            if response is None:
                continue
            if response.status_code == 401:
                record.gone()
                continue
            record.unanswered -= 1
            record.confirmed += response.status_code == 200

    async def _rename(self, record: Record) -> None:
        name = f"{self._chance.getrandbits(32):x}"
        record.names.add(name)
        response = await self._ask("POST", "/session/name", record, name=name)
        record.note(f"name {name} {response.status_code if response is not None else None}")
        if response is None:
            return
        if response.status_code == 401:
            record.gone()
        elif response.status_code == 409:
            record.names.discard(name)
        else:
            record.found(**response.json())

    async def _touch(self, record: Record) -> None:
        response = await self._ask("POST", "/session/touch", record)
        if response is not None and response.status_code == 401:
            record.gone()

    async def _move(self, record: Record) -> None:
        response = await self._ask("POST", "/session/id", record)
        record.note(f"move {response.status_code if response is not None else None}")
        if response is None:
            record.ending(confirmed=False)
        elif response.status_code == 401:
            record.gone()
        elif response.status_code == 200:
            new = record.moved(response.json()["access_token"])
            new.state = State.UNKNOWN if time.monotonic() < self._swept else State.ALIVE
            self._records.append(new)

    async def _log_out(self, record: Record) -> None:
        response = await self._ask("DELETE", "/session", record)
        record.note(f"logout {response.status_code if response is not None else None}")
        if response is not None and response.status_code == 401:
            record.gone()
        else:
            record.ending(confirmed=response is not None)

    async def _sweep(self, kept: Record | None) -> None:
        """End all sessions, or all but one."""
        if kept is None:
            response = await self._ask("DELETE", f"/users/{self._number}")
        else:
            response = await self._ask("DELETE", "/others", kept)
            if response is not None and response.status_code == 401:
                kept.gone()
                return
        if response is None:
            self._swept = time.monotonic() + LATE_SECONDS
        for record in self._records:
            record.note(f"sweep {response.status_code if response is not None else None}")
            if record is not kept:
                record.ending(confirmed=response is not None)

    async def _list(self, record: Record | None = None, *, certainly: bool = False) -> None:
        response = await self._ask("GET", f"/users/{self._number}", certainly=certainly)
        if response is None:
            return
        ids = set(response.json())
        for each in self._records:
            if each.state is State.ALIVE and id_of(each.token) not in ids:
                raise Violation(f"user {self._number}: a living session is not listed; {' | '.join(each.history)}")
        for each in self._ended:
            if id_of(each.token) in ids:
                raise Violation(f"user {self._number}: an ended session is listed; {' | '.join(each.history)}")

    async def _look_back(self, record: Record) -> None:
        if self._ended:
            await self._read(self._chance.choice(self._ended))


def id_of(token: str) -> str:
    """The session's id."""
    payload = token.split(".")[1]
    found: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    return found


async def _line() -> None:
    await asyncio.to_thread(sys.stdin.readline)


async def main(ports: list[int], seed: int) -> None:
    """The load, and the last look."""
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=20)
    async with httpx2.AsyncClient(limits=limits, timeout=15) as client:
        users = [User(client, ports, seed * 1000 + number, seed * 1000 + number) for number in range(USERS)]
        stop = asyncio.Event()
        running = asyncio.gather(*(user.run(stop) for user in users))
        ended = asyncio.create_task(_line())
        while not ended.done():
            await asyncio.wait([ended], timeout=1)
            if running.done():
                await running  # it has failed
            print(json.dumps({"requests": sum(user.answers.total() for user in users)}), flush=True)
        stop.set()
        await running
        print(json.dumps({"stopped": True}), flush=True)
        await _line()
        await asyncio.sleep(LATE_SECONDS / 4)  # what has no answer yet may still do something
        settled = [await user.settle() for user in users]
    answers: Counter[str] = sum((user.answers for user in users), Counter())
    result = {
        "answers": dict(sorted(answers.items())),
        "alive": sum(each["alive"] for each in settled),
        "ended": sum(each["ended"] for each in settled),
        "violations": [violation for user in users for violation in user.violations],
    }
    print(json.dumps({"result": result}), flush=True)


if __name__ == "__main__":
    asyncio.run(main([int(port) for port in sys.argv[1].split(",")], int(sys.argv[2])))
