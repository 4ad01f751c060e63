"""`IntrospectionClient`: asks the service that issued a token whether its session still lives (RFC 7662)."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from .._lru import ByteLRU
from ..errors import ConfigurationError, InvalidTokenError, SessionNotFoundError, StoreUnavailableError
from ..settings import seconds
from ..tokens import read_json
from .client import RemoteClient, RemoteError

logger = logging.getLogger("jwtsession")

MAX_CACHE_SECONDS = 300
"""For so long an answer may be kept at most."""

_CACHE_BYTES = 1_000_000
_ENTRY_BYTES = 250


@dataclass(frozen=True, slots=True)
class Introspection:
    """Where a `SessionVerifier` asks whether a token's session still lives: at a `token_router` (RFC 7662).

    Args:
        url: The endpoint's URL, such as `https://shop.example/oauth/introspect`.
        client_id: The name of this service there.
        client_secret: The secret of this service there.
        cache: For how many seconds, or what `timedelta`, an answer that a session lives is kept, at most 300 seconds.
            For so long a logout is not seen. 0 asks at each request.
    """

    url: str
    client_id: str
    client_secret: str | SecretStr
    cache: int | timedelta = 0

    def __repr__(self) -> str:
        return f"Introspection({self.client_id!r})"

    @property
    def cache_seconds(self) -> int:
        """`cache` in seconds.

        Raises:
            ConfigurationError: It is no whole number of seconds from 0 to 300.
        """
        try:
            found = seconds(self.cache)
        except ValueError:
            found = None
        if type(found) is not int or not 0 <= found <= MAX_CACHE_SECONDS:
            raise ConfigurationError(f"introspect: cache must be whole seconds from 0 to {MAX_CACHE_SECONDS}")
        return found


class IntrospectionClient:
    """Asks about tokens.

    Args:
        client: Sends the questions.
        introspection: Where to ask.
        clock: Returns the time in seconds.

    Raises:
        ConfigurationError: The credentials or `cache` can't work.
    """

    def __init__(self, client: RemoteClient, introspection: Introspection, clock: Callable[[], float]) -> None:
        secret = introspection.client_secret
        secret = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
        for value in (introspection.client_id, secret):
            if not isinstance(value, str) or not value:
                raise ConfigurationError("introspect: client_id and client_secret must be texts")
        self._client = client
        self._url = introspection.url
        self._auth = (introspection.client_id, secret)
        self._cache_seconds = introspection.cache_seconds
        self._clock = clock
        self._alive: ByteLRU[str, float] = ByteLRU(_CACHE_BYTES, lambda _key, _since: _ENTRY_BYTES)
        self._failures = 0

    async def check(self, token: str, session_id: str) -> None:
        """Refuse a token whose session has ended.

        Args:
            token: The token.
            session_id: The token's `jti`. An answer with another one is about another token.

        Raises:
            SessionNotFoundError: The token must not be accepted.
            StoreUnavailableError: There is no usable answer.
        """
        key = hashlib.sha256(token.encode()).hexdigest() if self._cache_seconds else ""
        since = self._alive.get(key)
        if since is not None and 0 <= self._clock() - since < self._cache_seconds:
            return
        asked = self._clock()
        if not await self._is_active(token, session_id):
            self._alive.pop(key)
            raise SessionNotFoundError
        if self._cache_seconds:
            self._alive.put(key, asked)

    async def _is_active(self, token: str, session_id: str) -> bool:
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            told = read_json(await self._client.post(self._url, form, self._auth))
            active = told.get("active")
            if not isinstance(active, bool):
                raise RemoteError("its answer has no `active`")
            if active and told.get("jti", session_id) != session_id:
                raise RemoteError("its answer is about another token")  # something in between caches
        except (RemoteError, InvalidTokenError) as error:
            self._failures += 1
            if self._failures.bit_count() == 1:  # the 1st, 2nd, 4th, ...: an outage must not flood the log
                reason = "its answer is no JSON object" if isinstance(error, InvalidTokenError) else error
                logger.warning("%s tells nothing about tokens: %s (%d times)", self._url, reason, self._failures)
            raise StoreUnavailableError("introspection_unavailable") from None
        self._failures = 0
        return active
