"""`ValidatedRoute`: answers a request that does not fit with a 422 that every client can read."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class ValidatedRoute(APIRoute):
    """A route whose 422 does not repeat what the client has sent.

    JSON may hold what no answer can: half of a surrogate pair, `NaN`. FastAPI would repeat it, and fail with a 500.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise RequestValidationError([_told(each) for each in error.errors()]) from None

        return answered


def _told(error: Mapping[str, Any]) -> dict[str, Any]:
    # A place may be a name that the client has made up.
    place = [each if isinstance(each, int) else str(each).encode(errors="replace").decode() for each in error["loc"]]
    return {"type": error["type"], "loc": place, "msg": error["msg"]}
