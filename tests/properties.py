"""How long the tests with generated input look for a counterexample."""

import os

from hypothesis import settings

FACTOR = float(os.environ.get("EXAMPLES", "1"))


def exact(examples: int) -> settings:
    """The same examples in each run, as many as that: `EXAMPLES=10 pytest -m security` makes it ten times as many."""
    return settings(derandomize=True, deadline=None, max_examples=max(1, int(examples * FACTOR)))
