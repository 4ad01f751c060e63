"""Tests of jwtsession.models."""

import logging
from functools import cached_property
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, PrivateAttr, ValidationError

from jwtsession import Claims, InvalidArgumentError, Session, Token
from jwtsession.sessions.serialization import SessionSerializer
from tests.unit.conftest import UserClaims, UserSession


def stored_and_read(session: Session) -> Any:
    serializer = SessionSerializer(type(session))
    return serializer.load(serializer.dump(session))[0]


def test_stored_names_never_hide_methods() -> None:
    """A stored field named like a method is data, as the original's were not."""
    session = Session.model_validate_json('{"model_dump":"x","copy":1}')
    assert session.model_dump() == {"model_dump": "x", "copy": 1}


class Open(Session, extra="allow"):
    """A declared model that takes other fields too, with everything that a name of a class can be."""

    declared: int = 0
    shared: ClassVar[int] = 1
    _private: int = PrivateAttr(default=0)
    _seen: Any = PrivateAttr(default=None)

    @property
    def doubled(self) -> int:
        return self.declared * 2

    @doubled.setter
    def doubled(self, value: int) -> None:
        self.declared = value // 2

    @cached_property
    def cached(self) -> int:
        return self.declared

    def own_method(self) -> None: ...


ORDINARY = ["x", "_id", "_name", "__v", "model_name", "fields", "register", "mro", "_", "ä", "__meta__"]
METHODS = ["schema", "copy", "json", "dict", "validate", "construct", "parse_obj", "model_dump", "model_copy", "_iter"]


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.parametrize("model", [Session, Open])
def test_any_name_that_is_no_methods_is_a_field(model: type[Session], name: str) -> None:
    """It is stored, read back as an attribute, and deleted, also one that Pydantic takes for private."""
    session = model()
    setattr(session, name, "v2")
    assert getattr(session, name) == "v2"
    back = stored_and_read(session)
    assert getattr(back, name) == "v2"
    assert back.model_dump() == session.model_dump()
    assert name in back.model_dump()
    delattr(session, name)
    assert name not in stored_and_read(session).model_dump()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("model", [Session, Open])
def test_the_name_of_a_method_is_refused_when_it_is_assigned(model: type[Session], name: str) -> None:
    """Nothing is set that nobody would store; the error says what to do, and no value."""
    session = model()
    with pytest.raises(InvalidArgumentError, match=f"{name} is a method.*alias='{name}'") as caught:
        setattr(session, name, "canary")
    assert "canary" not in str(caught.value)
    assert callable(getattr(session, name))


@pytest.mark.parametrize("name", [*ORDINARY, *METHODS, "model_config", "model_extra", "model_fields", "__dict__"])
def test_any_name_in_a_mapping_is_a_field(name: str) -> None:
    """What is given to create() or update() by name is stored, and nothing of it is a method."""
    serializer = SessionSerializer(Session)
    session = serializer.to_session({name: "v2"})
    assert serializer.load(serializer.dump(session))[0].model_dump() == {name: "v2"}


@pytest.mark.parametrize("name", ["model_config", "model_extra", "model_fields", "model_fields_set"])
def test_what_pydantic_keeps_for_itself_can_not_be_assigned(name: str) -> None:
    """An error at once, of Pydantic's or of ours."""
    with pytest.raises((AttributeError, InvalidArgumentError), match=name):
        setattr(Session(), name, "v2")


def test_what_a_class_declares_is_assigned_as_ever() -> None:
    """Fields, private attributes, properties and cached properties are Pydantic's; a ClassVar is refused by it."""
    session = Open()
    session.declared = 5
    session._private = 6
    session.doubled = 14
    assert session.cached == 7
    session.cached = 8  # type: ignore[misc]
    assert (session.declared, session._private, session.cached) == (7, 6, 8)
    with pytest.raises(AttributeError):
        session.shared = 2  # type: ignore[misc]
    with pytest.raises(InvalidArgumentError):
        session.own_method = 1  # type: ignore[method-assign, assignment]
    assert stored_and_read(session).model_dump() == {"declared": 7}
    with pytest.raises(ValueError, match="no field"):
        UserSession(user_id=1).copy = 1  # type: ignore[method-assign, assignment]


def test_a_frozen_session_takes_no_field() -> None:
    """Not under any name."""

    class Frozen(Session, extra="allow", frozen=True):
        pass

    for name in ("x", "_id", "register"):
        with pytest.raises((InvalidArgumentError, ValidationError), match="frozen"):
            setattr(Frozen(), name, 1)


@pytest.mark.parametrize(
    "shown",
    [
        UserSession(user_id=1, cart=["canary"]),
        Session(canary="canary"),
        UserClaims(sub="canary", role="canary", jti="canary"),
        Claims(canary="canary"),
    ],
)
def test_sessions_and_claims_show_no_data(shown: BaseModel, caplog: pytest.LogCaptureFixture) -> None:
    """Not by repr, str, a format, a log, a list that holds one, or what printers of other libraries ask for."""
    logging.getLogger("test").warning("%s %r", shown, shown)
    texts = [repr(shown), str(shown), f"{shown} {shown!r:>99}", repr([shown]), caplog.text]
    texts.append(repr(list(shown.__rich_repr__())))  # type: ignore[attr-defined]
    texts.append(repr(list(shown.__pretty__(repr))))
    assert not any("canary" in text for text in texts)
    assert repr(shown) == str(shown) == f"{type(shown).__name__}(...)"


def test_a_token_hides_itself_and_leaves_out_what_it_has_not() -> None:
    """The repr does not show the token; a token without exp has no expires_in in JSON."""
    token = Token(access_token="canary", expires_in=5)
    assert "canary" not in f"{token!r} {token}"
    assert token.model_dump() == {"access_token": "canary", "token_type": "bearer", "expires_in": 5}
    assert Token(access_token="x").model_dump() == {"access_token": "x", "token_type": "bearer"}


def test_claims_of_others_are_kept() -> None:
    """Claims that the model does not declare are there, for regenerate() to keep."""
    assert Claims.model_validate({"tenant": "acme"}).model_extra == {"tenant": "acme"}
