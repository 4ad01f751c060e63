"""`SessionVerifier`: for a service without the store. It verifies the tokens that another service issued."""

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Generic, Literal, Self, get_args

from ._tracebacks import scrub_traceback
from ._types import C
from .errors import ConfigurationError
from .models import Claims
from .remote import Introspection, IntrospectionClient, RemoteClient, RemoteKeys, RemoteVerification, check_url
from .settings import PublicKeyAlgorithm, seconds
from .tokens import KeyRing, TokenCodec
from .web import FastAPI
from .web.claims import ClaimsDependency, document_claims

_MOST_SECONDS = 86_400


class SessionVerifier(Generic[C]):
    """Verifies the tokens of another service by the keys that its `jwks_router()` publishes.

    **It does not know whether the session still lives.** A logout, a revocation and the idle timeout end a session in
    the issuer's store. The token stays genuine until its `exp`, and this class accepts it until then, unless you give
    `introspect`: then it asks the issuer at each request. Nor does it check proofs of possession: a token that is bound
    to a key (DPoP) is refused.

    Args:
        claims_model: The model of the JWT's claims, a subclass of `Claims`.
        jwks_url: The URL of the issuer's keys: `https://shop.example/.well-known/jwks.json`.
        issuer: The `iss` that tokens must have; None accepts any.
        audience: The `aud` that tokens must have; None refuses a token that has one.
        algorithm: The only algorithm that is accepted. The token and the published keys don't choose.
        introspect: Where to ask whether the session lives; None asks nobody.
        token_type_header: The `typ` of tokens, as the issuer's setting of this name.
        leeway: By how many seconds the clocks of the machines may differ; at most 60.
        refresh_interval: After so many seconds, or this `timedelta`, the keys are fetched again.
        min_fetch_interval: The keys are fetched at most once in so many seconds, however many tokens name a key that
            nobody knows.
        timeout: Seconds within which the issuer must answer.
        allow_http: Whether URLs may begin with `http://`, also for other machines.
        ssl_context: The authorities that are trusted, or a certificate of this service's own.
        token_cache_bytes: Memory in bytes for verified tokens.
        scheme_name: The name of the security scheme in OpenAPI.
        clock: Returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: An argument can't work, or the extra `verifier` or `crypto` is not installed.
    """

    get_claims: ClaimsDependency[C]
    """Dependency: the claims of the request's token. 401 without a valid one, 503 if the issuer must be asked and does
    not answer. `Security(verifier.get_claims, scopes=[...])` demands scopes."""

    @scrub_traceback
    def __init__(
        self,
        claims_model: type[C] | None = None,
        *,
        jwks_url: str,
        issuer: str | None,
        audience: str | None,
        algorithm: PublicKeyAlgorithm,
        introspect: Introspection | None = None,
        token_type_header: Literal["JWT", "at+jwt"] = "JWT",  # noqa: S107
        leeway: int | timedelta = 0,
        refresh_interval: int | timedelta = 300,
        min_fetch_interval: int | timedelta = 10,
        timeout: float = 5.0,
        allow_http: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        token_cache_bytes: int = 4 * 1024 * 1024,
        scheme_name: str = "session_bearer",
        clock: Callable[[], float] = time.time,
    ) -> None:
        model = Claims if claims_model is None else claims_model
        if not (isinstance(model, type) and issubclass(model, Claims)):
            raise ConfigurationError("claims_model: must be a subclass of jwtsession.Claims")
        if algorithm not in get_args(PublicKeyAlgorithm):
            raise ConfigurationError(
                f"algorithm: must be one with public keys: {', '.join(get_args(PublicKeyAlgorithm))}"
            )
        if token_type_header not in ("JWT", "at+jwt"):
            raise ConfigurationError('token_type_header: must be "JWT" or "at+jwt"')
        KeyRing([], algorithm)  # refuses an algorithm that is not installed
        checked_leeway = _seconds("leeway", leeway, 0, 60)
        self._client = RemoteClient(_seconds("timeout", timeout, 0.001), ssl_context)
        self._keys = RemoteKeys(
            self._client,
            check_url("jwks_url", jwks_url, allow_http=allow_http),
            algorithm,
            refresh_interval=_seconds("refresh_interval", refresh_interval, 1),
            min_interval=_seconds("min_fetch_interval", min_fetch_interval, 1),
            clock=clock,
        )
        introspection = None
        if introspect is not None:
            if not isinstance(introspect, Introspection):
                raise ConfigurationError("introspect: must be an Introspection(url, client_id, client_secret)")
            check_url("introspect: url", introspect.url, allow_http=allow_http)
            introspection = IntrospectionClient(self._client, introspect, clock)

        def make_codec(ring: KeyRing) -> TokenCodec[Any]:
            return TokenCodec(
                ring,
                model,
                issuer=issuer,
                audience=audience,
                # Nothing is issued here. A token without `exp` is accepted only where somebody else knows its end.
                absolute_max_age=1 if introspect is None else None,
                leeway=checked_leeway,
                cache_bytes=token_cache_bytes,
                typ=token_type_header,
                clock=clock,
            )

        make_codec(KeyRing([], algorithm))  # refuses a model that can't work
        self._verification: RemoteVerification[C] = RemoteVerification(self._keys, make_codec, introspection)
        self._shown = f"SessionVerifier({model.__name__}, {jwks_url!r})"
        self.get_claims = ClaimsDependency(self._verification.verify, scheme_name)

    def __repr__(self) -> str:
        return self._shown

    @scrub_traceback
    async def verify(self, token: object) -> C:
        """Return the claims of a token that came in a message: the first one of a WebSocket, GraphQL, gRPC.

        Args:
            token: What the client sent as its token. Whatever is no token is refused.

        Raises:
            AuthenticationError: The token is not valid, or its session has ended.
            StoreUnavailableError: The issuer must be asked and did not answer.
        """
        _, claims = await self._verification.verify(token)
        return claims

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Complete the application's OpenAPI document, and close the connections at its end.

        `FastAPI(lifespan=verifier.lifespan)`. Connections are opened when they are needed.

        Raises:
            ConfigurationError: A route takes claims from the client (a forgotten `Depends()`).
        """
        document_claims(app)
        async with self:
            yield

    async def __aenter__(self) -> Self:
        """Do nothing: `async with verifier:` closes the connections at the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections. A later use opens new ones."""
        await self._keys.close()
        await self._client.close()


def _seconds(name: str, value: Any, least: float, most: float = _MOST_SECONDS) -> Any:
    """Return a duration in seconds, if it is one."""
    with contextlib.suppress(ValueError):
        found: Any = seconds(value)
        if type(found) in (int, float) and least <= found <= most:
            return found
    raise ConfigurationError(f"{name}: must be seconds, from {least} to {most}, or a timedelta of whole seconds")
