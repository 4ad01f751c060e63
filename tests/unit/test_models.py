"""Tests of jwtsession.models."""

from jwtsession import Claims, Session, Token


def test_stored_names_never_hide_methods() -> None:
    """A stored field named like a method is data, as the original's were not."""
    session = Session.model_validate_json('{"model_dump":"x","copy":1}')
    assert session.model_dump() == {"model_dump": "x", "copy": 1}


def test_a_token_hides_itself_and_leaves_out_what_it_has_not() -> None:
    """The repr does not show the token; a token without exp has no expires_in in JSON."""
    token = Token(access_token="canary", expires_in=5)
    assert "canary" not in f"{token!r} {token}"
    assert token.model_dump() == {"access_token": "canary", "token_type": "bearer", "expires_in": 5}
    assert Token(access_token="x").model_dump() == {"access_token": "x", "token_type": "bearer"}


def test_claims_of_others_are_kept() -> None:
    """Claims that the model does not declare are there, for regenerate() to keep."""
    assert Claims.model_validate({"tenant": "acme"}).model_extra == {"tenant": "acme"}
