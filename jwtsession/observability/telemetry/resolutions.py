"""`Resolutions`: how the requests of one provider are answered."""

from .counters import Counter, Series


class Resolutions(dict[tuple[str, str], Series]):
    """The numbers of requests by the place that had the token, and by the outcome.

    Adding is `resolutions[source, outcome].count += 1`: every request does it, and no function of Python runs for it.
    The source is `none` if there was no token, or more than one. The outcome is `ok`, `anonymous`, or the code of the
    error that refuses the request.

    Args:
        counter: Counts the requests of all providers.
        provider: The provider's name.
    """

    __slots__ = ("_counter", "_provider")

    def __init__(self, counter: Counter, provider: str) -> None:
        super().__init__()
        self._counter = counter
        self._provider = provider

    def __missing__(self, key: tuple[str, str]) -> Series:
        source, outcome = key
        series = self[key] = self._counter.series(self._provider, outcome, source)
        return series
