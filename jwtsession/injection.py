"""Makes `Annotated[UserSession, Depends()]` work: the only file that knows how, and the only one that needs to.

FastAPI takes the class itself as the dependency. It asks `inspect.signature` for the class's parameters, resolves them
and calls the class with them, in a thread, because it takes any class for blocking code. So:

1. The class's signature has one parameter, the provider's dependency, from `bind()` on. Without a provider its fields
   would be parameters of the query, and anybody's session: so a class that is not bound has a parameter that refuses.
2. The metaclass hands the loaded session back when the class is called with just that parameter.
3. `spare_thread()` replaces, once at start, the class in FastAPI's dependency trees by a coroutine function that does
   the same as 2. The replacement equals the class, so that `dependency_overrides[UserSession]` still finds it.
   A route that step 3 does not reach still works, by way of the thread.
"""

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from pydantic import BaseModel

from .errors import ConfigurationError

_PARAMETER = "jwtsession_loaded__"


if TYPE_CHECKING:
    # Pydantic exports its metaclass by no other name, and type checkers must know that this is one of its kind.
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class InjectableMeta(ModelMetaclass):
    """Metaclass of `Session`."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> type:
        """Make a model that ignores unknown fields, unless it says otherwise; `Session` itself does."""
        of_free_form = any("__free_form__" in vars(base) for base in bases)
        if of_free_form and "extra" not in namespace.get("model_config", {}):
            kwargs.setdefault("extra", "ignore")
        made: type = super().__new__(mcs, name, bases, namespace, **kwargs)
        return made

    if not TYPE_CHECKING:  # type checkers would take these for the constructor's signature

        @property
        def __signature__(cls):
            """What FastAPI sees; of this very class, since a subclass is another model."""
            bound = vars(cls).get("__bound__")
            if bound is not None:
                return inspect.Signature([_parameter(bound)])
            own = [*cls.__own_signature__.parameters.values()]
            extra = [own.pop()] if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD else []
            return inspect.Signature([*own, _parameter(Depends(_Unbound(cls))), *extra])

        @__signature__.setter
        def __signature__(cls, value):
            """Pydantic sets it when it makes a class, and again when it completes one."""
            cls.__own_signature__ = value

        def __call__(cls, /, *args, **kwargs):
            """Construct an instance, or pass on the one that FastAPI hands over.

            No text of a client's may mean anything here: only what is an instance already is passed on, which no JSON
            and no form can be, and under any other circumstances the names are ordinary data.
            """
            if len(kwargs) == 1 and not args:
                loaded = kwargs.get(_PARAMETER)
                if isinstance(loaded, cls):
                    return loaded
            return super().__call__(*args, **kwargs)


def bind(model: type[BaseModel], dependency: object) -> None:
    """Make `Depends()` on the class resolve `dependency` (a FastAPI `Depends`). The newest binding counts."""
    model.__bound__ = dependency  # type: ignore[attr-defined]


def _parameter(dependency: object) -> inspect.Parameter:
    return inspect.Parameter(_PARAMETER, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[Any, dependency])


class _Unbound:
    """The dependency of a class that had no provider when a route asked for it."""

    def __init__(self, model: type) -> None:
        self._model = model

    async def __call__(self) -> None:
        self.refuse()

    def refuse(self) -> None:
        raise ConfigurationError(
            f"{self._model.__name__} has no provider where a route asks for it: "
            f"make SessionProvider({self._model.__name__}) first"
        )


class _PassOn:
    """A coroutine function in the place of a session class, equal to it as a dictionary's key."""

    def __init__(self, model: type) -> None:
        self.model = model
        self.__signature__ = inspect.signature(model)

    async def __call__(self, /, **loaded: Any) -> Any:
        return loaded[_PARAMETER]  # FastAPI calls this, with what the dependency gave

    def __hash__(self) -> int:
        return hash(self.model)

    def __eq__(self, other: object) -> bool:
        return other is self.model or (isinstance(other, _PassOn) and other.model is self.model)


def class_alone(node: Any) -> type | None:
    """The session class that a node of a dependency tree asks for by `Depends()` alone, if it does."""
    model = node.call.model if isinstance(node.call, _PassOn) else node.call
    return model if isinstance(model, InjectableMeta) else None


def spare_thread(node: Any) -> None:
    """Spare FastAPI's thread for a node of a dependency tree (`fastapi.dependencies.models.Dependant`).

    Raises:
        ConfigurationError: The node asks for a class without a provider.
    """
    if isinstance(node.call, _Unbound):
        node.call.refuse()
    if isinstance(node.call, InjectableMeta) and any(sub.name == _PARAMETER for sub in node.dependencies):
        node.call = _PassOn(node.call)
        # Some versions of FastAPI compute this from `call` once and keep it.
        getattr(node, "__dict__", {}).pop("is_coroutine_callable", None)
