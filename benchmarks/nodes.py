"""What a load costs in a cluster of three primaries, against one server, for the report; `cluster` measures it."""

import tempfile
from pathlib import Path

import uvloop

from .cluster import measure, running

WAITING = 64
_LOADS = 3_000


def cluster_us(rounds: int) -> dict[str, list[float]]:
    """Microseconds of this process's CPU for a load while `WAITING` wait, in each round."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as (single, nodes):
        urls = [single.url, "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in nodes)]
        one, three = uvloop.run(measure(urls, WAITING, rounds, _LOADS))
    return {"one_us": one, "three_us": three}
