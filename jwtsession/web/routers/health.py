"""The router that tells a load balancer whether the store answers."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response


def health_router(ping: Callable[[], Awaitable[bool]], path: str) -> APIRouter:
    """See `SessionProvider.health_router`."""
    router = APIRouter()
    answers: dict[int | str, dict[str, Any]] = {
        200: _answer("The store answers", "ok"),
        503: _answer("The store does not answer", "unavailable"),
    }

    @router.get(path, tags=["health"], summary="Whether the session store answers", responses=answers)
    async def read_health(response: Response) -> dict[str, str]:
        """For a load balancer: 200, or 503."""
        response.headers["Cache-Control"] = "no-store"
        if await ping():
            return {"status": "ok"}
        response.status_code = 503
        return {"status": "unavailable"}

    return router


def _answer(description: str, status: str) -> dict[str, Any]:
    example = {"application/json": {"example": {"status": status}}}
    return {"description": description, "model": dict[str, str], "content": example}
