"""How long a user with very many sessions stops the event loop, for the report; `many_sessions` measures it."""

import functools
from typing import Any

from .many_sessions import measured
from .turns import run

NUMBERS = (10_000, 100_000)
_OPERATIONS = {
    "list_sessions": "list_sessions, all",
    "revoke_all": "revoke_all",
    "a login that ends other sessions": "login, a quarter, evicts",
}
"""What the report calls them, and the beginning of their names there."""


def stops(port: int) -> list[dict[str, Any]]:
    """The longest turn of the event loop in each operation, in milliseconds of CPU, without the garbage collector.

    Args:
        port: Of a server that may be emptied.
    """
    found: list[dict[str, Any]] = []
    for number in NUMBERS:
        for what, name in _OPERATIONS.items():
            url = f"redis://127.0.0.1:{port}"
            figures = run(functools.partial(measured, url=url, number=number, rounds=1, only=name))
            found.append({"what": what, "sessions": number, "ms": figures[name]["turn"]})
    return found
