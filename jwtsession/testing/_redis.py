"""`RedisKeys`: the keys of one test on a real server, whose times to live follow the test's clock."""

import itertools
from collections.abc import Callable, Iterator

from redis import Redis, RedisError

from ..errors import ConfigurationError
from ..stores.redis.rights import literal_pattern

_MOST_KEYS = 100_000
"""So many keys are looked at, and no more: a test has fewer."""


class RedisKeys:
    """All keys of a keyspace.

    Args:
        url: The server: `redis://`, `rediss://`, `unix://`, `valkey://` or `valkeys://`.
        keyspace: The beginning of the keys.

    Raises:
        ConfigurationError: The URL is not that of one server.
    """

    def __init__(self, url: str, keyspace: str) -> None:
        scheme, _, rest = url.partition("://")
        scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
        if scheme not in ("redis", "rediss", "unix"):
            raise ConfigurationError(
                "redis_url: the tester needs one server: redis://, rediss://, unix:// or valkey://"
            )
        self._url = f"{scheme}://{rest}"
        beginning = literal_pattern(keyspace)
        self._patterns = f"{beginning}*", f"{{{beginning}*"  # the second one: keys that are in one slot of a cluster

    def advance(self, seconds: float) -> None:
        """Shorten the times to live, as if so many seconds had passed. A key whose time is over goes.

        Args:
            seconds: How many.

        Raises:
            ConfigurationError: The server can't be used.
        """
        self._each_batch(lambda client, names: _shorten(client, names, int(seconds * 1000)))

    def delete(self) -> None:
        """Remove all keys.

        Raises:
            ConfigurationError: The server can't be used.
        """
        self._each_batch(lambda client, names: client.delete(*names))

    def _each_batch(self, work: Callable[[Redis, list[bytes]], object]) -> None:
        try:
            with Redis.from_url(self._url) as client:
                for names in self._batches(client):
                    work(client, names)
                return
        except RedisError as error:
            wrong = str(error)
        # A new error, since the frames of the other one hold the password, which pytest shows with --showlocals. It is
        # raised outside of the handler, so that the failure of the test itself stays its context.
        raise ConfigurationError(f"redis_url: the server can't be used: {wrong}")

    def _batches(self, client: Redis) -> Iterator[list[bytes]]:
        # All names first: a scan that runs beside deletions may show a key twice, and its time would be taken twice.
        names = set[bytes]()
        for each in itertools.chain.from_iterable(client.scan_iter(one, count=1000) for one in self._patterns):
            names.add(each)
            if len(names) > _MOST_KEYS:
                raise ConfigurationError(f"the keyspace has more than {_MOST_KEYS} keys: too many for a test")
        found = sorted(names)
        for start in range(0, len(found), 500):
            yield found[start : start + 500]


def _shorten(client: Redis, names: list[bytes], by: int) -> None:
    with client.pipeline(transaction=False) as pipeline:
        for each in names:
            pipeline.pttl(each)
        left = pipeline.execute()
        for name, ttl in zip(names, left, strict=True):
            if ttl > by:
                pipeline.pexpire(name, ttl - by)
            elif ttl >= 0:
                pipeline.delete(name)
        pipeline.execute()
