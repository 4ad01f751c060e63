"""Tests of jwtsession.errors."""

import pickle
from collections.abc import Mapping

import pytest
from starlette.exceptions import HTTPException

from jwtsession import errors

WITH_STATUS = [
    (errors.MissingTokenError, 401, "missing_token"),
    (errors.InvalidTokenError, 401, "invalid_token"),
    (errors.ExpiredTokenError, 401, "expired_token"),
    (errors.SessionNotFoundError, 401, "session_not_found"),
    (errors.SessionCorruptError, 401, "session_corrupt"),
    (errors.InvalidProofError, 401, "invalid_proof"),
    (errors.ProofNonceError, 401, "use_dpop_nonce"),
    (errors.AmbiguousTokenError, 400, "ambiguous_token"),
    (errors.SessionConflictError, 409, "session_conflict"),
    (errors.SessionTooLargeError, 413, "session_too_large"),
    (errors.StoreUnavailableError, 503, "store_unavailable"),
]


@pytest.mark.parametrize(("error", "status", "code"), WITH_STATUS)
def test_each_error_is_the_http_answer_that_the_design_names(
    error: type[errors.JWTSessionError], status: int, code: str
) -> None:
    """An error with a status is an HTTPException with that status and a machine code of its own."""
    raised = error()
    assert isinstance(raised, HTTPException)
    assert raised.status_code == status
    assert raised.code == code
    assert raised.headers is not None
    assert raised.headers["Cache-Control"] == "no-store"


def test_every_401_has_one_body() -> None:
    """No 401 tells a client more than another by its body."""
    bodies = {error().detail for error, status, _ in WITH_STATUS if status == 401}  # type: ignore[attr-defined]
    assert len(bodies) == 1


def test_www_authenticate_follows_rfc_6750() -> None:
    """A request without credentials gets a realm, a bad token invalid_token, two tokens invalid_request."""

    def challenge(error: HTTPException) -> str:
        return (error.headers or {})["WWW-Authenticate"]

    assert challenge(errors.MissingTokenError()) == 'Bearer realm="session"'
    assert challenge(errors.InvalidTokenError()) == 'Bearer error="invalid_token"'
    assert challenge(errors.ExpiredTokenError()) == 'Bearer error="invalid_token"'
    assert challenge(errors.SessionNotFoundError()) == 'Bearer error="invalid_token"'
    assert challenge(errors.AmbiguousTokenError()) == 'Bearer error="invalid_request"'


def test_the_challenge_for_a_proof_follows_rfc_9449() -> None:
    """The challenge names the error and the algorithms (section 7.1); with another key the token is the problem
    (figure 16); a demand for a nonce brings one (section 9).
    """

    def headers(error: HTTPException) -> Mapping[str, str]:
        return error.headers or {}

    wrong = headers(errors.InvalidProofError("proof_url", ("ES256", "EdDSA")))
    assert wrong["WWW-Authenticate"] == 'DPoP error="invalid_dpop_proof", algs="ES256 EdDSA"'
    assert wrong["Vary"] == "Authorization, DPoP"
    mismatch = headers(errors.InvalidProofError("proof_key_mismatch", ["ES256"]))
    assert mismatch["WWW-Authenticate"] == 'DPoP error="invalid_token", algs="ES256"'
    assert headers(errors.InvalidProofError())["WWW-Authenticate"] == 'DPoP error="invalid_dpop_proof"'
    nonce = headers(errors.ProofNonceError(["ES256"], "a-nonce"))
    assert nonce["WWW-Authenticate"] == 'DPoP error="use_dpop_nonce", algs="ES256"'
    assert nonce["DPoP-Nonce"] == "a-nonce"
    assert "DPoP-Nonce" not in headers(errors.ProofNonceError())


def test_an_unavailable_store_tells_when_to_come_back() -> None:
    """The 503 has a Retry-After in seconds."""
    assert (errors.StoreUnavailableError().headers or {})["Retry-After"].isdigit()


def test_an_error_survives_pickling_with_its_code() -> None:
    """Errors cross process borders, as task queues need."""
    copied = pickle.loads(pickle.dumps(errors.InvalidTokenError("token_signature")))
    assert isinstance(copied, errors.InvalidTokenError)
    assert copied.code == "token_signature"
    assert "token_signature" in str(copied)
    proof = pickle.loads(pickle.dumps(errors.InvalidProofError("proof_url", ["ES256"])))
    assert (proof.code, proof.algorithms) == ("proof_url", ("ES256",))
    nonce = pickle.loads(pickle.dumps(errors.ProofNonceError(["ES256"], "a-nonce")))
    assert (nonce.code, nonce.algorithms, nonce.nonce) == ("use_dpop_nonce", ("ES256",), "a-nonce")


def test_errors_of_the_programmer_are_value_errors() -> None:
    """Mistakes in code and settings are caught where Python's own are."""
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.InvalidArgumentError, ValueError)
