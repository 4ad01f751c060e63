"""The metaclass of `Session`: makes `Annotated[UserSession, Depends()]` work.

FastAPI takes the class itself as the dependency. It asks `inspect.signature` for the class's parameters, resolves them
and calls the class with the results. So:

1. After `bind()`, the class's signature has one parameter, which is the provider's dependency. Before `bind()`, FastAPI
   would read the fields from the query, and any client could write a session. So the signature of a class that is not
   bound has one additional parameter, for which FastAPI can't make a field: FastAPI refuses the route.
2. When FastAPI calls the class with the loaded session, the metaclass returns this session.

`web/injection.py` does the rest. This module does not import FastAPI.
"""

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel

from .errors import ConfigurationError

PARAMETER = "jwtsession_loaded__"
"""The name of the parameter that carries the loaded session."""

if TYPE_CHECKING:
    # Pydantic has no public name for its metaclass, and type checkers must know that ours is a subclass of it.
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class InjectableMeta(ModelMetaclass):
    """Metaclass of `Session`."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> type:
        """Make a model that ignores unknown fields, unless its `model_config` sets `extra`."""
        of_free_form = any("__free_form__" in vars(base) for base in bases)
        if of_free_form and "extra" not in namespace.get("model_config", {}):
            kwargs.setdefault("extra", "ignore")
        made: type = super().__new__(mcs, name, bases, namespace, **kwargs)
        return made

    if not TYPE_CHECKING:  # type checkers would take these for the constructor's signature

        @property
        def __signature__(cls):
            """The signature that FastAPI sees. A subclass does not inherit it, since it is another model."""
            bound = vars(cls).get("__bound__")
            if bound is not None:
                return inspect.Signature([_parameter(Annotated[Any, bound])])
            own = [*cls.__own_signature__.parameters.values()]
            extra = [own.pop()] if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD else []
            return inspect.Signature([*own, _parameter(_unbound(cls)), *extra])

        @__signature__.setter
        def __signature__(cls, value):
            """Pydantic sets it when it makes a class, and again when it completes the class."""
            cls.__own_signature__ = value

        def __call__(cls, /, *args, **kwargs):
            """Return the loaded session that FastAPI passes, or construct an instance as usual.

            A client's data must never have this effect. Only an instance of the class is returned, and no JSON and no
            form can be one. In all other cases the parameter's name is ordinary data.
            """
            if len(kwargs) == 1 and not args:
                loaded = kwargs.get(PARAMETER)
                if isinstance(loaded, cls):
                    return loaded
            return super().__call__(*args, **kwargs)


def bind(model: type[BaseModel], dependency: object) -> None:
    """Make `Depends()` on the class resolve `dependency` (a FastAPI `Depends`). The last call counts."""
    model.__bound__ = dependency  # type: ignore[attr-defined]


def _parameter(annotation: object) -> inspect.Parameter:
    return inspect.Parameter(PARAMETER, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def _unbound(model: type) -> type:
    """A type that raises an error when FastAPI makes a field of it: the message says that the class has no provider."""

    class Unbound:
        @classmethod
        def __get_pydantic_core_schema__(cls, *_: object) -> Any:
            raise ConfigurationError(
                f"{model.__name__} has no provider where a route asks for it: "
                f"make SessionProvider({model.__name__}) first"
            )

    return Unbound
