"""Makes from the settings what knows neither FastAPI nor a request: the keys, the codec, the sealer and the store."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._types import C
from .errors import ConfigurationError
from .sessions import AESGCMSealer, AtRisk, PlaintextSealer, Sealer
from .settings import CSRFMode, SessionSettings
from .stores import CachedSessionStore, MemorySessionStore, RedisClient, RedisSessionStore, SessionStore
from .stores.redis.connect import Connections
from .tokens import KeyRing, KeySpec, TokenCodec
from .transports import CSRFCheck

if TYPE_CHECKING:
    from .observability import Telemetry


def make_csrf_check(settings: SessionSettings, mode: CSRFMode) -> CSRFCheck:
    """Make the defence against requests that another site makes, in a mode that may be another one than `csrf`."""
    return CSRFCheck(
        mode,
        trusted_origins=settings.trusted_origins,
        same_site=settings.csrf_same_site,
        cookie_secure=settings.cookie.secure,
    )


def make_store(
    settings: SessionSettings, store: SessionStore | None, client: RedisClient | None, clock: Callable[[], float]
) -> SessionStore:
    """Make the store of the settings, if the caller gave none.

    Raises:
        ConfigurationError: The caller gave two, or the URL or the client can't be used.
    """
    if store is not None and client is not None:
        raise ConfigurationError("give either store or client, not both")
    if store is not None:
        return store
    if client is None and settings.is_in_memory:
        return MemorySessionStore(clock)
    url = None if client is not None else settings.redis_url.get_secret_value()
    made = RedisSessionStore(url, client=client, keyspace=settings.keyspace)
    return CachedSessionStore(made, settings.near_cache_bytes) if settings.near_cache_bytes else made


def names_server(settings: SessionSettings) -> bool:
    """Whether `redis_url` names a server that somebody else starts: neither `embedded:` nor `memory://` does."""
    return not (settings.is_in_memory or settings.redis_url.get_secret_value().lower().startswith("embedded:"))


def location_of(settings: SessionSettings) -> str:
    """`redis_url` without user, password and options.

    Raises:
        ConfigurationError: The URL can't be used.
    """
    url = settings.redis_url.get_secret_value()
    return Connections(url, None).location if names_server(settings) else url


def make_codec(
    settings: SessionSettings,
    keys: KeyRing,
    claims_model: type[C],
    telemetry: "Telemetry | None",
    clock: Callable[[], float],
) -> TokenCodec[C]:
    """Make the codec of the provider's tokens."""
    return TokenCodec(
        keys,
        claims_model,
        issuer=settings.issuer,
        audience=settings.audience,
        absolute_max_age=settings.absolute_max_age,
        leeway=settings.leeway,
        cache_bytes=settings.token_cache_bytes,
        accepts_bound=settings.dpop.mode != "off",
        typ=settings.token_type_header,
        telemetry=telemetry,
        clock=clock,
    )


def key_specs(settings: SessionSettings) -> list[KeySpec]:
    """The keys of the tokens, in the order of the settings."""
    specs = [KeySpec(key.kid, key.secret.get_secret_value(), key.verify_only) for key in settings.keys]
    if settings.secret is not None:
        specs.append(KeySpec(None, settings.secret.get_secret_value()))
    return specs


def make_sealer(settings: SessionSettings) -> Sealer:
    """Make what encrypts the stored sessions, or leaves them as they are."""
    if not settings.encryption.keys:
        return PlaintextSealer()
    keys = [key.get_secret_value() for key in settings.encryption.keys]
    return AESGCMSealer(keys, settings.keyspace, settings.encryption.mode)


def at_risk_of(settings: SessionSettings) -> AtRisk:
    """What the store would lose if its server evicted keys."""
    return AtRisk(
        has_index=settings.user_index,
        has_proofs=settings.dpop.mode != "off" and settings.dpop.replay,
        has_generations=settings.rotation.after is not None,
        has_cutoff=settings.revoke_before,
    )
