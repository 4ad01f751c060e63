"""Makes the parts of a provider from its settings. Only this module knows how the parts fit together."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple

from .._from_settings import at_risk_of, key_specs, make_codec, make_csrf_check, make_sealer
from .._types import C, MayImpersonate, S, Transport
from ..errors import ConfigurationError
from ..manager.request import Components
from ..observability import AuditTrail, shared_telemetry
from ..sessions import (
    Clients,
    Cutoff,
    EvictionWatch,
    Migrate,
    Reuse,
    Sealer,
    SessionAdmin,
    SessionLifecycle,
    SessionRepository,
    SessionSerializer,
    SessionWatch,
    Timeouts,
    UserIndex,
    Uses,
    check_model,
)
from ..settings import SessionSettings
from ..stores import (
    MemorySessionStore,
    SessionStore,
    has_cutoff,
    has_user_index,
    measured,
)
from ..tokens import KeyRing, MissingKeys
from ..transports import CookieTransport, TokenExtractor
from ..web import openapi
from ..web.answers.delivery import CookiePolicy
from ..web.authenticate import Authenticator
from ..web.dependencies import Dependencies
from ..web.lifespan import Lifespan
from ..web.outgoing import response_headers
from ..web.tenants import Tenant
from .wiring_checks import checks_of, rotation_of

if TYPE_CHECKING:
    from ..observability import Telemetry


class Parts(NamedTuple, Generic[S, C]):
    """The parts of one provider."""

    keys: KeyRing
    admin: SessionAdmin[S]
    lifespan: Lifespan
    dependencies: Dependencies[S, C]
    messages: Authenticator[S, C]

    def __repr__(self) -> str:
        return "Parts()"


def wire(
    settings: SessionSettings,
    session_model: type[S],
    claims_model: type[C],
    store: SessionStore,
    *,
    shares_with: Tenant | None,
    token_url: str | None,
    scopes: Mapping[str, str],
    migrate: Migrate | None,
    may_impersonate: MayImpersonate | None,
    audit: Callable[[str, bytes | None, "Telemetry | None"], AuditTrail],
    clock: Callable[[], float],
    missing: ConfigurationError | None = None,
) -> Parts[S, C]:
    """Make the parts of a provider. The arguments are those of `SessionProvider`, and what it has made of them.

    Raises:
        ConfigurationError: A setting, a model or an argument can't work.
    """
    check_model(claims_model)
    if missing is None:
        keys = KeyRing(key_specs(settings), settings.algorithm)
    else:
        keys = MissingKeys(settings.algorithm, missing)
    telemetry = shared_telemetry()
    codec = make_codec(settings, keys, claims_model, telemetry, clock)
    sealer, trail = make_sealer(settings), audit(settings.request_key, _sub_key(settings, keys), telemetry)
    clients = Clients(settings.capture_client, trail)
    asked = store if telemetry is None else measured(store, telemetry)
    timeouts = Timeouts(settings.max_age, settings.max_age_limit or settings.max_age, settings.touch_interval, clock)
    cutoff = _cutoff(settings, asked, clock)
    serializer = SessionSerializer(session_model, migrate, node_compatible=settings.is_node_compatible)
    rotation = rotation_of(settings, asked, timeouts, keys, cutoff, clock)
    repository = SessionRepository(serializer, sealer, asked, timeouts, cutoff, rotation)
    index = _user_index(settings, asked, sealer, keys, clock, cutoff)
    uses = Uses(repository, index, clients)
    watch = SessionWatch(
        asked,
        uses,
        check_interval=settings.websocket.check_interval,
        close_code=settings.websocket.close_code,
        keeps_alive=settings.websocket.keeps_alive,
        clock=clock,
        cutoff=cutoff,
    )
    if telemetry is not None:
        telemetry.sockets.add(watch, lambda each: each.count)
    checks = checks_of(settings, asked, keys, rotation, clock)
    lifecycle = SessionLifecycle(repository, index, trail, uses, watch, clients)
    reuse = Reuse(repository, lifecycle, action=settings.reuse_action, grace=settings.reuse_grace)
    components = Components(codec, repository, lifecycle, reuse, telemetry, may_impersonate)

    name = f"SessionProvider({session_model.__name__}, request_key={settings.request_key!r})"
    cookie = (settings.cookie_name, settings.cookie.path) if "cookie" in settings.token_sources else None
    tenant = Tenant(name, settings.request_key, session_model, store, codec, shares_with, cookie)
    at_risk = at_risk_of(settings)
    eviction = EvictionWatch(store, clock, at_risk) if at_risk else None
    # Where a reuse ends nothing, no request pays for a look at the clock.
    arrivals = clock if rotation is not None or settings.reuse_action != "refuse" else None
    lifespan = Lifespan(
        tenant,
        trail,
        watch,
        settings.request_arg,
        eviction,
        _weaknesses(settings, store),
        arrivals,
        missing,
        freezes=settings.gc_freeze,
    )
    cookies = _cookies(settings)
    extractor = _extractor(settings, settings.token_sources, cookies)
    on_sockets = [each for each in settings.websocket.sources if each in ("protocol", *settings.token_sources)]
    schemes = openapi.schemes(settings, token_url, scopes)
    resolutions = None if telemetry is None else telemetry.resolutions(settings.request_key)
    dependencies = Dependencies(
        Authenticator(components, extractor, cookies, checks, resolutions),
        Authenticator(components, _extractor(settings, on_sockets, cookies), cookies, checks, resolutions),
        lifespan,
        request_key=settings.request_key,
        request_arg=settings.request_arg,
        headers=response_headers(settings),
        impersonates=may_impersonate is not None,
        max_sessions=settings.max_sessions is not None,
        hands_out=rotation is not None and rotation.silent and settings.token_sources != ("cookie",),
        shown={"schemes": schemes, "body_name": None if schemes else settings.request_arg},
    )
    messages = Authenticator(components, extractor, checks=checks, resolutions=resolutions)
    return Parts(keys, SessionAdmin(asked, repository, lifecycle), lifespan, dependencies, messages)


def _extractor(settings: SessionSettings, sources: Sequence[str], cookies: CookiePolicy | None) -> TokenExtractor:
    return TokenExtractor(
        sources,
        header=settings.header_name,
        name=settings.request_arg,
        first_wins=settings.multiple_tokens == "first",
        cookie=cookies.cookie if cookies is not None and "cookie" in sources else None,
        dpop=settings.dpop.mode != "off",
    )


def _cookies(settings: SessionSettings) -> CookiePolicy | None:
    sources = settings.token_sources
    if "cookie" not in sources:
        return None
    check = make_csrf_check(settings, settings.csrf)
    by_default: Transport = "cookie" if sources[0] == "cookie" else "bearer"
    cookie = CookieTransport(settings.cookie_name, settings.cookie)
    return CookiePolicy(cookie, check, by_default, only_cookie=len(sources) == 1)


def _weaknesses(settings: SessionSettings, store: SessionStore) -> list[str]:
    """What the settings give up, as sentences for the log at the start."""
    found = []
    if settings.is_in_memory and type(store) is MemorySessionStore:
        found.append(
            "redis_url=memory://: this process alone has the sessions, and they are gone when it ends: for a first try "
            "with one worker"
        )
    if "cookie" not in settings.token_sources:
        return found
    off = ["csrf='off': pages of other sites can act with the user's cookie"] if settings.csrf == "off" else []
    return found + settings.cookie.weaknesses() + off


def _sub_key(settings: SessionSettings, keys: KeyRing) -> bytes | None:
    """The key of the HMACs that events have in place of users; None if they have the users."""
    if settings.audit_sub:
        return None
    own = settings.user_index_key
    key = keys.derived(b"jwtsession audit")[0] if own is None else own.get_secret_value().encode()
    return hmac.digest(key, b"jwtsession audit", "sha256")


def _cutoff(settings: SessionSettings, store: SessionStore, clock: Callable[[], float]) -> Cutoff | None:
    if not settings.revoke_before:
        return None
    if not has_cutoff(store):
        raise ConfigurationError(f"revoke_before: {type(store).__name__} does not have the methods of CutoffStore")
    return Cutoff(store, settings.leeway, clock)


def _user_index(
    settings: SessionSettings,
    store: SessionStore,
    sealer: Sealer,
    keys: KeyRing,
    clock: Callable[[], float],
    cutoff: Cutoff | None,
) -> UserIndex | None:
    if not settings.user_index:
        return None
    if not has_user_index(store):
        raise ConfigurationError(f"user_index: {type(store).__name__} does not have all methods of UserIndexStore")
    own, names = settings.user_index_key, keys.derived(b"jwtsession user index")
    return UserIndex(
        store,
        sealer,
        keys=names if own is None else [own.get_secret_value().encode(), *names],
        max_sessions=settings.max_sessions,
        evict=settings.too_many_sessions == "evict",
        touch_interval=min(settings.touch_interval, settings.max_age / 4),
        max_age=settings.max_age,
        clock=clock,
        cutoff=cutoff,
    )
