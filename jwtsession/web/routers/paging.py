"""Lists that are cut: how many sessions an answer has, and how it says where the list goes on."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

LISTED = 1000
"""An answer of the ready-made endpoints lists at most so many sessions: its size is bounded."""

Offset = Annotated[int, Query(ge=0, description="Leave out so many sessions, those used last.")]

MORE: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Link": {
                "description": 'RFC 8288: the answer is full, and there may be more at the URL with `rel="next"`',
                "schema": {"type": "string"},
            }
        }
    }
}
"""How OpenAPI shows that a list may go on."""


def tell_of_more(response: Response, offset: int, listed: Sequence[object]) -> None:
    """Let the answer say where the list goes on, if there may be more (RFC 8288).

    Args:
        response: The answer.
        offset: How many sessions were left out.
        listed: Those of the answer.
    """
    if len(listed) >= LISTED:
        response.headers["Link"] = f'<?offset={offset + LISTED}>; rel="next"'  # relative: a proxy may add a prefix
