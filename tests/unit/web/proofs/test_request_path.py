"""Tests of jwtsession.web.proofs.request_path: the path that a client wrote, behind proxies, prefixes and mounts."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount

from jwtsession.web.proofs.request_path import path_below_root
from tests.asgi import ask, call, scope_of


def path_of(**scope: Any) -> str:
    return path_below_root({"type": "http", "path": "/me"} | scope)


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"raw_path": b"/me"}, "/me"),
        ({"raw_path": b"/m%65?x=/y"}, "/m%65"),  # Starlette's older test client leaves the query in it
        ({"raw_path": None}, "/me"),  # Mangum
        ({"raw_path": b""}, "/me"),
        ({}, "/me"),
        ({"path": "/ä b/%"}, "/%C3%A4%20b/%25"),
        ({"path": "/a;b=1,2@c:d(e)!$&'*+~"}, "/a;b=1,2@c:d(e)!$&'*+~"),
        # The proxy removes the prefix and Hypercorn leaves the path as it is.
        ({"raw_path": b"/me", "root_path": "/api"}, "/me"),
        # uvicorn puts the prefix before the path.
        ({"path": "/api/me", "raw_path": b"/api/me", "root_path": "/api"}, "/me"),
        ({"path": "/api/me", "root_path": "/api"}, "/me"),
        ({"raw_path": b"/api/me", "root_path": "/api/"}, "/me"),
        ({"raw_path": b"/api", "root_path": "/api"}, ""),
        ({"raw_path": b"/apidocs", "root_path": "/api"}, "/apidocs"),
        ({"raw_path": b"/%C3%A4/me", "root_path": "/ä"}, "/me"),
        ({"raw_path": b"/api/api/me", "root_path": "/api"}, "/api/me"),
        # What `Mount` makes: the root of the outermost application counts.
        ({"raw_path": b"/api/sub/me", "root_path": "/api/sub", "app_root_path": "/api"}, "/sub/me"),
        ({"raw_path": b"/sub/me", "root_path": "/sub", "app_root_path": ""}, "/sub/me"),
    ],
)
def test_the_path_is_what_the_client_wrote_below_the_root(scope: dict[str, Any], path: str) -> None:
    """Percent-encoded, without the query and the prefix of the application."""
    assert path_of(**scope) == path


@pytest.mark.parametrize("root", ["", "/api"])
async def test_a_mount_is_a_part_of_the_path(root: str) -> None:
    """Also behind a proxy that removes a prefix. Starlette finds no mount then unless the server puts it back."""
    seen: list[str] = []

    async def note(request: Request) -> None:
        seen.append(path_below_root(request.scope))

    inner = FastAPI()
    inner.get("/me")(note)
    plain = FastAPI()
    plain.mount("/sub", inner)
    plain.get("/me")(note)
    deep = Starlette(routes=[Mount("/a", Starlette(routes=[Mount("/b", inner)]))])
    for app, path in ((plain, "/sub/me"), (plain, "/me"), (deep, "/a/b/me")):
        assert (await call(app, scope_of("GET", root + path) | {"root_path": root})).status == 200
        assert seen.pop() == path


async def test_a_middleware_that_rewrites_the_path_does_not_change_what_the_client_wrote() -> None:
    """The raw path stays."""
    app, seen = FastAPI(), []

    async def rewrite(request: Request, call_next: Any) -> Any:
        request.scope["path"] = "/v2/me"
        return await call_next(request)

    @app.get("/v2/me")
    async def note(request: Request) -> None:
        seen.append(path_below_root(request.scope))

    app.add_middleware(BaseHTTPMiddleware, dispatch=rewrite)
    assert (await ask(app, "GET", "/me")).status == 200
    assert seen == ["/me"]


@pytest.mark.parametrize("root", ["", "/api"])
async def test_the_drivers_of_tests_tell_the_path(root: str) -> None:
    """With a root, which they do not put before the path."""
    app, seen = FastAPI(), []

    @app.get("/a/{rest:path}")
    async def note(request: Request) -> None:
        seen.append(path_below_root(request.scope))

    path = "/a/%C3%A4%20b;c=1"
    assert TestClient(app, root_path=root).get(f"{path}?x=/y").status_code == 200
    transport = httpx2.ASGITransport(app, root_path=root)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get(f"{path}?x=/y")).status_code == 200
    assert set(seen) == {path}
    assert len(seen) == 2
