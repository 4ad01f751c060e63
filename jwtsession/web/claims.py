"""`ClaimsDependency`: gives an endpoint the claims of a token that another service issued."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic

from fastapi import FastAPI
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from .._tracebacks import clear_frame_locals
from .._types import C
from ..errors import AmbiguousTokenError, AuthenticationError, JWTSessionError, MissingTokenError
from ..observability import AuditTrail
from ..tokens import VerifiedToken
from ..transports import TokenExtractor
from . import openapi
from .route_checks import check_routes
from .scopes import scope_demand


class ClaimsDependency(openapi.Documented, Generic[C]):
    """A dependency for `Depends(...)`: `SessionVerifier.get_claims`.

    Args:
        verify: Verifies a token.
        name: The name of the security scheme in OpenAPI.
    """

    def __init__(self, verify: Callable[[object], Awaitable[tuple[VerifiedToken, C]]], name: str) -> None:
        bearer = HTTPBearer(bearerFormat="JWT", description="The JWT that the issuer's login returned.")
        answers = ("ambiguous", "no_session", "unavailable")
        super().__init__([openapi.Scheme(name, bearer)], optional=False, answers=answers, body_name=None)
        self._verify = verify
        self._extractor = TokenExtractor(("bearer",), header="", name="", first_wins=False)
        self.set_signature(connection=HTTPConnection, scopes=SecurityScopes)

    async def __call__(self, connection: HTTPConnection, scopes: SecurityScopes | None = None, **_schemes: None) -> C:
        """Return the claims of the request's token. FastAPI calls this; a middleware may too.

        Args:
            connection: The request or the WebSocket.
            scopes: The scopes of `Security(..., scopes=[...])`.

        Raises:
            AuthenticationError: The request has no token that is valid.
            InsufficientScopeError: The token's `scope` does not permit the request.
            AmbiguousTokenError: The request has two different tokens.
            StoreUnavailableError: The issuer did not answer.
        """
        verified = None
        try:
            verified, claims = await self._verified(connection)
            demand = scope_demand(scopes.scopes) if scopes is not None else None
            refusal = None if demand is None else demand(verified)
            if refusal is not None:
                raise refusal
            return claims
        except JWTSessionError as error:
            address = connection.scope.get("client")
            if isinstance(error, AuthenticationError | AmbiguousTokenError) and not isinstance(
                error, MissingTokenError
            ):
                session_id = None if verified is None else verified.session_id
                AuditTrail().emit("refused", session_id, code=error.code, host=address[0] if address else None)
            del connection, scopes
            verified = None
            clear_frame_locals(error)
            raise

    async def _verified(self, connection: HTTPConnection) -> tuple[VerifiedToken, C]:
        """Verify the request's token once, however many dependencies ask: each may cost a question to the issuer."""
        kept: dict[object, Any] = connection.scope.setdefault("jwtsession_claims", {})
        headers = connection.scope["headers"]
        token, _ = await self._extractor.extract(connection, body=False)
        # Drivers may share the scope, but another request has other headers; and a middleware may have changed them.
        if self not in kept or kept[self][0] is not headers or kept[self][1] != token:
            kept[self] = headers, token, await self._verify(token)
        verified: tuple[VerifiedToken, C] = kept[self][2]
        return verified


def document_claims(app: FastAPI) -> None:
    """Complete the OpenAPI document of an application that verifies tokens, and look for unsafe routes.

    Raises:
        ConfigurationError: A route takes claims from the client (a forgotten `Depends()`).
    """
    check_routes(app)
    openapi.document(app)
    openapi.prune_dependants(app)
