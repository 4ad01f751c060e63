"""An application whose tokens may be bound to keys, and clients that prove to have theirs, all in this process."""

import itertools
from collections.abc import Iterable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocket

from jwtsession import AuthenticationError, Ticket
from tests import proofs
from tests.asgi import Answer, Header, ask
from tests.proofs import PUBLIC_URL
from tests.unit.web.site import Site


class DPoPSite(Site):
    """A site whose answers of 401 tell the error's code."""

    def __init__(self, mode: str = "optional", **options: Any) -> None:
        self.ids = itertools.count()
        group = {"mode": mode} | options.pop("dpop", {})
        options = {"token_sources": ("bearer", "header"), "public_url": PUBLIC_URL, "dpop": group} | options
        super().__init__(**options)
        self.add_more_routes()

    def add_more_routes(self) -> None:
        app, manager_, session_ = self.app, self.manager, self.session

        @app.exception_handler(AuthenticationError)
        async def tell(request: Request, error: AuthenticationError) -> JSONResponse:
            return JSONResponse({"code": error.code}, error.status_code, error.headers)

        @app.get("/bound")
        async def bound(manager: manager_) -> bool:  # type: ignore[valid-type]
            return bool(manager.bound)  # type: ignore[attr-defined]

        @app.post("/form")
        async def post(session: session_) -> None:  # type: ignore[valid-type]
            pass

        @app.post("/ticket")
        async def ticket(manager: manager_) -> Ticket:  # type: ignore[valid-type]
            return await manager.ticket()  # type: ignore[attr-defined, no-any-return]

        @app.websocket("/socket")
        async def socket(socket: WebSocket, session: session_) -> None:  # type: ignore[valid-type]
            await socket.accept()

    def proof(self, method: str = "GET", path: str = "/session", **options: Any) -> str:
        """A new proof, which nobody has seen."""
        options = {"jti": f"proof {next(self.ids)}", "iat": self.clock()} | options
        return proofs.proof(options.pop("url", PUBLIC_URL + path), method, **options).decode()

    def headers(self, token: str, method: str = "GET", path: str = "/session", **options: Any) -> list[Header]:
        """The headers of a good request."""
        return [("authorization", f"DPoP {token}"), ("dpop", self.proof(method, path, token=token, **options))]

    async def log_in_with_proof(self, headers: Iterable[Header] = (), query: str = "", **options: Any) -> Answer:
        """The answer to a login with a proof."""
        return await ask(self.app, "POST", "/session", ("dpop", self.proof("POST", **options)), *headers, query=query)

    async def bound_token(self) -> str:
        answer = await self.log_in_with_proof()
        assert answer.json()["token_type"] == "DPoP"
        return str(answer.json()["access_token"])

    async def bearer_token(self) -> str:
        answer = await ask(self.app, "POST", "/session")
        assert answer.json()["token_type"] == "bearer"
        return str(answer.json()["access_token"])

    async def get(self, *headers: Header, path: str = "/session", **options: Any) -> Answer:
        return await ask(self.app, "GET", path, *headers, **options)
