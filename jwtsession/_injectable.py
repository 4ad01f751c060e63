"""The metaclass of `Session`: what FastAPI sees of a session class in `Annotated[UserSession, Depends()]`.

FastAPI takes the class itself as the dependency. It asks `inspect.signature` for the class's parameters, resolves them
and calls the class with them. So:

1. The class's signature has one parameter, the provider's dependency, from `bind()` on. Without a provider its fields
   would be parameters of the query, and anybody's session: so a class that is not bound has one more parameter, which
   FastAPI can't make a field of.
2. The metaclass hands the loaded session back when the class is called with just that parameter.

`web/injection.py` does the rest. Nothing here knows FastAPI.
"""

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel

from .errors import ConfigurationError

PARAMETER = "jwtsession_loaded__"
"""Carries the loaded session."""

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
                return inspect.Signature([_parameter(Annotated[Any, bound])])
            own = [*cls.__own_signature__.parameters.values()]
            extra = [own.pop()] if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD else []
            return inspect.Signature([*own, _parameter(_unbound(cls)), *extra])

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
                loaded = kwargs.get(PARAMETER)
                if isinstance(loaded, cls):
                    return loaded
            return super().__call__(*args, **kwargs)


def bind(model: type[BaseModel], dependency: object) -> None:
    """Make `Depends()` on the class resolve `dependency` (a FastAPI `Depends`). The newest binding counts."""
    model.__bound__ = dependency  # type: ignore[attr-defined]


def _parameter(annotation: object) -> inspect.Parameter:
    return inspect.Parameter(PARAMETER, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def _unbound(model: type) -> type:
    """A type of which nobody can make a field: whoever tries is told that the class has no provider."""

    class Unbound:
        @classmethod
        def __get_pydantic_core_schema__(cls, *_: object) -> Any:
            raise ConfigurationError(
                f"{model.__name__} has no provider where a route asks for it: "
                f"make SessionProvider({model.__name__}) first"
            )

    return Unbound
