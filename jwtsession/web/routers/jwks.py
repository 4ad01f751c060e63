"""The router that publishes the public keys (RFC 7517), so that other services can verify tokens."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

MAX_AGE_SECONDS = 300
"""For so long other services may cache the published keys."""


def jwks_router(keys: Callable[[], dict[str, list[dict[str, Any]]]], path: str) -> APIRouter:
    """See `SessionProvider.jwks_router`."""
    router = APIRouter()

    @router.get(path, tags=["keys"], summary="Public keys that verify this service's tokens")
    async def read_public_keys(response: Response) -> dict[str, list[dict[str, Any]]]:
        response.headers["Cache-Control"] = f"public, max-age={MAX_AGE_SECONDS}"
        return keys()

    return router
