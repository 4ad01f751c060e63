"""What is looked at when an application starts: its routes, and the providers that run in it."""

import secrets
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.errors import PydanticUserError
from starlette.applications import Starlette

from .dependants import applications, core_schema, nodes, parameters, routes
from .errors import AuthenticationError, ConfigurationError, InvalidArgumentError
from .injection import class_alone
from .manager import SessionManager
from .models import Claims, Session
from .stores import ServerStore, SessionStore
from .tokens import TokenCodec

# Parts of a core schema that tell how to write a value or describe it, not how to make one of what a client sends.
_NOT_READ = {"serialization", "metadata", "computed_fields"}


@dataclass(frozen=True, eq=False)
class Tenant:
    """A provider, as one of those of an application."""

    name: str
    """For messages."""
    request_key: str
    model: type[Session]
    store: SessionStore
    codec: TokenCodec[Any]
    shares_with: "Tenant | None" = None
    """Another one that has the same sessions on purpose."""

    @property
    def family(self) -> "Tenant":
        """The same for all that share sessions."""
        return self if self.shares_with is None else self.shares_with.family


@contextmanager
def admitted(tenant: Tenant, app: Any, *, direct: bool = True) -> Iterator[list[Any]]:
    """Look at an application, and note that the provider runs in it; gives it and all that are mounted in it.

    Args:
        tenant: The provider.
        app: The application.
        direct: It was started with the provider. What is mounted in it may have another one under its `request_key`.

    Raises:
        ConfigurationError: A route or a combination of providers can't work, or would let in whom it must not.
    """
    check_routes(app)
    apps = [each for _, each in applications(app) if isinstance(each, Starlette)]
    # In what Starlette keeps for an application's own use: the notes live as long as it does.
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
    _check_bindings(app, [tenant, *others])
    for each in running:
        each.append((tenant, direct and each is running[0]))
    try:
        yield apps
    finally:
        for each in running:
            each.remove((tenant, direct and each is running[0]))


def _check_places(tenant: Tenant, other: Tenant) -> None:
    """Refuse two providers that would find each other's sessions, unless one says that it shares the other's."""
    overlap = _overlap(tenant.store, other.store)
    if overlap is None or (overlap != "nested" and tenant.family is other.family):
        return
    if overlap == "unknown" and not _accept(tenant, other):
        return
    raise ConfigurationError(
        f"keyspace: {tenant.name} keeps sessions in {place(tenant.store)}, {other.name} in {place(other.store)}"
        + (", which may be one server, and they accept each other's tokens" if overlap == "unknown" else "")
        + ": each would find, list or end the other's. Give each a keyspace of its own, neither the beginning of the "
        "other; where they are to have the same sessions, say so by shares_sessions_with"
    )


def _overlap(one: SessionStore, other: SessionStore) -> Literal["same", "nested", "unknown", None]:
    if one is other:
        return "same"
    if not (isinstance(one, ServerStore) and isinstance(other, ServerStore)):
        return None
    # redis:// and valkey:// may be one server.
    here, there = (store.location.partition("://")[2] for store in (one, other))
    if here != there:
        # Of one server another database is another place. Whether two names are one server nobody can tell.
        apart = one.keyspace != other.keyspace or here.rpartition("/")[0] == there.rpartition("/")[0]
        return None if apart else "unknown"
    if one.keyspace == other.keyspace:
        return "same"
    # The index of users and whatever else a provider keeps have keys that begin with its keyspace.
    nested = one.keyspace.startswith(other.keyspace) or other.keyspace.startswith(one.keyspace)
    return "nested" if nested else None


def _accept(one: Tenant, other: Tenant) -> bool:
    """Whether a token of one passes at the other: tried out, and assumed where no token can be made here."""
    for issuer, reader in ((one, other), (other, one)):
        try:
            token = issuer.codec.encode(secrets.token_urlsafe(32))[0].token
            reader.codec.decode(token)
        except AuthenticationError:
            continue
        except InvalidArgumentError:
            return True
        return True
    return False


def place(store: SessionStore) -> str:
    """Where a store keeps sessions, for people."""
    if isinstance(store, ServerStore):
        return f"{store.location}, under {store.keyspace!r}"
    return repr(store)


def _check_bindings(app: Any, tenants: Sequence[Tenant]) -> None:
    """Refuse `Depends()` on a class that two of the providers have for their model: which one it asks is chance."""
    for prefix, each in applications(app):
        for route in routes(each):
            for node in nodes(route):
                model = class_alone(node)
                if model is not None and len([tenant for tenant in tenants if tenant.model is model]) > 1:
                    raise ConfigurationError(
                        f"{_name(prefix, route)}: Depends() on {model.__name__} does not tell which of its providers "
                        "is meant: write Depends(sessions.get_session), or give each provider a model of its own"
                    )


def check_routes(app: Any) -> None:
    """Refuse routes, in mounted applications too, that would take a session or its claims from the client.

    That is what FastAPI makes of a parameter whose `Depends()` was forgotten: a 200 for whoever writes a session.

    Raises:
        ConfigurationError: Names each such route and parameter.
    """
    harmless: set[type] = set()
    found = [
        f"{_name(prefix, route)}: {wrong}"
        for prefix, each in applications(app)
        for route in routes(each)
        for node in nodes(route)
        for wrong in _faults(node, harmless)
    ]
    if found:
        raise ConfigurationError("; ".join(dict.fromkeys(found)))


def _faults(node: Any, harmless: set[type]) -> Iterator[str]:
    asked = typing.get_origin(node.call) or node.call
    if isinstance(asked, type) and issubclass(asked, Claims):
        yield f"Depends() on {asked.__name__} takes the claims from the query: ask get_manager, for manager.claims"
    elif isinstance(asked, type) and issubclass(asked, SessionManager):
        yield f"Depends() on {asked.__name__} makes one of the query: it needs Depends(sessions.get_manager)"
    else:
        for parameter in parameters(node):
            model = _in_parameter(parameter, harmless)
            if model is not None:
                yield (
                    f"the parameter {parameter.name!r} takes a {model.__name__} from the client, who may write anything"
                    " into it: it needs Depends(sessions.get_session), or a model that is no Session and no Claims"
                )


def _in_parameter(parameter: Any, harmless: set[type]) -> type | None:
    """The model of a session or of claims that Pydantic makes of a parameter, or somewhere in it, if any.

    Args:
        parameter: A field of FastAPI.
        harmless: Models that were looked through before, to which this one's are added.
    """
    looked_through: set[type] = set()
    try:
        waiting = [core_schema(parameter)]
        while waiting:
            part = waiting.pop()
            if isinstance(part, list | tuple):
                waiting += part
            elif isinstance(part, Mapping):
                made = part.get("cls") if part.get("type") == "model" else None
                if isinstance(made, type):
                    if issubclass(made, Session | Claims):
                        return made
                    if made in harmless or made in looked_through:
                        continue
                    looked_through.add(made)
                waiting += [each for name, each in part.items() if name not in _NOT_READ]
    except PydanticUserError:
        return None  # a type that is not complete: FastAPI can't read it either
    harmless |= looked_through
    return None


def _name(prefix: str, route: Any) -> str:
    methods = ", ".join(sorted(getattr(route, "methods", None) or ["WebSocket"]))
    return f"{methods} {prefix}{getattr(route, 'path', '')}"
