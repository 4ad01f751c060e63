"""Checks whether the providers that run in one application can work together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from starlette.applications import Starlette

from .._ids import new_session_id
from ..errors import AuthenticationError, ConfigurationError, InvalidArgumentError
from ..models import Session
from ..stores import ServerStore, SessionStore
from ..tokens import TokenCodec
from .dependants import applications, nodes, routes
from .injection import class_alone
from .route_checks import check_routes, name_of


@dataclass(frozen=True, eq=False)
class Tenant:
    """A provider, as the others in its application see it."""

    name: str
    """The provider's name for messages."""
    request_key: str
    model: type[Session]
    store: SessionStore
    codec: TokenCodec[Any]
    shares_with: "Tenant | None" = None
    """Another provider that uses the same sessions on purpose."""
    cookie: tuple[str, str] | None = None
    """The cookie's name and path; None if no cookie has the token."""

    @property
    def family(self) -> "Tenant":
        """The same tenant for all providers that share their sessions."""
        return self if self.shares_with is None else self.shares_with.family


@contextmanager
def admitted(tenant: Tenant, app: Any, *, direct: bool = True) -> Iterator[list[Any]]:
    """Check an application, and record that the provider runs in it. Yields all its applications, also mounted ones.

    Args:
        tenant: The provider.
        app: The application.
        direct: Whether this application itself started the provider. Only then must no other provider of it have the
            same `request_key`: a mounted application may have one.

    Raises:
        ConfigurationError: A route or a combination of providers can't work, or would let in somebody by mistake.
    """
    check_routes(app)
    apps = [each for _, each in applications(app) if isinstance(each, Starlette)]
    # The list is in the application's own state, so it lives exactly as long as the application.
    running: list[list[tuple[Tenant, bool]]] = [
        each.state._state.setdefault("_jwtsession_tenants", []) for each in apps
    ]
    others = {other: None for each in running for other, _ in each if other is not tenant}
    if direct and running:
        taken = {other.request_key for other, is_direct in running[0] if is_direct and other is not tenant}
        if tenant.request_key in taken:
            raise ConfigurationError(f"request_key: {tenant.request_key!r} is another provider's in this application")
    for other in others:
        _check_places(tenant, other)
        _check_cookies(tenant, other)
    _check_bindings(app, [tenant, *others])
    for each in running:
        each.append((tenant, direct and each is running[0]))
    try:
        yield apps
    finally:
        for each in running:
            each.remove((tenant, direct and each is running[0]))


def _check_places(tenant: Tenant, other: Tenant) -> None:
    """Refuse two providers that would find each other's sessions, unless `shares_sessions_with` connects them."""
    overlap = _overlap(tenant.store, other.store)
    if overlap is None or (overlap != "nested" and tenant.family is other.family):
        return
    if overlap == "unknown" and not _accept(tenant, other):
        return
    raise ConfigurationError(
        f"keyspace: {tenant.name} keeps sessions in {place(tenant.store)}, {other.name} in {place(other.store)}"
        + (", which may be one server, and they accept each other's tokens" if overlap == "unknown" else "")
        + ": each would find, list or end the other's sessions. Give each a keyspace of its own, neither the beginning "
        "of the other. If both shall use the same sessions, pass shares_sessions_with"
    )


def _check_cookies(tenant: Tenant, other: Tenant) -> None:
    """Refuse two providers with other sessions and one cookie: browsers would send both, or only the last one set."""
    if tenant.cookie is None or other.cookie is None or tenant.family is other.family:
        return
    (name, path), (its_name, its_path) = tenant.cookie, other.cookie
    here, there = path.rstrip("/") + "/", its_path.rstrip("/") + "/"
    if name == its_name and (here.startswith(there) or there.startswith(here)):
        raise ConfigurationError(
            f"cookie.name: {tenant.name} and {other.name} have the same cookie, {name}: a login at one would log the "
            "user out of the other. Give one of them another request_key, or another cookie.name"
        )


def _overlap(one: SessionStore, other: SessionStore) -> Literal["same", "nested", "unknown", None]:
    if one is other:
        return "same"
    if not (isinstance(one, ServerStore) and isinstance(other, ServerStore)):
        return None
    # redis:// and valkey:// may lead to the same server.
    here, there = (store.location.partition("://")[2] for store in (one, other))
    if here != there:
        # Two databases of one server are two places. Nobody can tell whether two host names are one server.
        apart = one.keyspace != other.keyspace or here.rpartition("/")[0] == there.rpartition("/")[0]
        return None if apart else "unknown"
    if one.keyspace == other.keyspace:
        return "same"
    # All other keys of a provider, such as those of its users' index, begin with its keyspace too.
    nested = one.keyspace.startswith(other.keyspace) or other.keyspace.startswith(one.keyspace)
    return "nested" if nested else None


def _accept(one: Tenant, other: Tenant) -> bool:
    """Whether one provider accepts a token of the other. This tries it; if no token can be made here, it says yes."""
    for issuer, reader in ((one, other), (other, one)):
        try:
            issued, _ = issuer.codec.encode(new_session_id())
            reader.codec.decode(issued.token)
        except AuthenticationError:
            continue
        except InvalidArgumentError:
            return True
        return True
    return False


def place(store: SessionStore) -> str:
    """Describe for people where a store keeps sessions."""
    if isinstance(store, ServerStore):
        return f"{store.location}, under {store.keyspace!r}"
    return repr(store)


def _check_bindings(app: Any, tenants: Sequence[Tenant]) -> None:
    """Refuse `Depends()` on a class that is the model of two providers: nobody can tell which provider it asks."""
    for prefix, each in applications(app):
        for route in routes(each):
            for node in nodes(route):
                model = class_alone(node)
                if model is not None and len([tenant for tenant in tenants if tenant.model is model]) > 1:
                    raise ConfigurationError(
                        f"{name_of(prefix, route)}: Depends() on {model.__name__} does not tell which of its providers "
                        "is meant: write Depends(sessions.get_session), or give each provider a model of its own"
                    )
