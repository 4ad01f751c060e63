"""Tests of jwtsession.web.answers.outcome: the rule of saving at the end, over its whole space."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtsession import (
    AmbiguousTokenError,
    AuthenticationError,
    ExpiredTokenError,
    InvalidArgumentError,
    JWTSessionError,
    SessionConflictError,
    SessionNotFoundError,
    SessionTooLargeError,
    StoreUnavailableError,
)
from jwtsession.sessions import Verb
from jwtsession.web.answers.outcome import Attempt, Outcome, failed, outcome
from tests.properties import exact

FACTS = [*itertools.product((False, True), Verb, (False, True), Attempt)]


@pytest.mark.parametrize("attempt", Attempt)
def test_the_whole_space(attempt: Attempt) -> None:
    """For every status from 100 to 599 and all other facts, the outcome is that of the guide's table."""
    told = {Attempt.NOT_MADE: Outcome.STORE, Attempt.STORED: Outcome.SAVED}
    for status, changed, verb, gone in itertools.product(range(100, 600), (False, True), Verb, (False, True)):
        found = outcome(status, changed=changed, verb=verb, client_gone=gone, attempt=attempt)
        if status < 400 and changed and verb in (Verb.NONE, Verb.DONE) and not gone:
            assert found is told.get(attempt, Outcome.REPLACE)
        else:
            assert found is Outcome.PASS


@exact(400)
@given(st.integers(100, 599), st.sampled_from(FACTS))
def test_nothing_is_stored_without_a_reason(status: int, facts: tuple[bool, Verb, bool, Attempt]) -> None:
    """A failed answer, an unchanged session, an ended one and a lost client each forbid to store, whatever the rest."""
    changed, verb, gone, attempt = facts
    found = outcome(status, changed=changed, verb=verb, client_gone=gone, attempt=attempt)
    if found is not Outcome.PASS:
        assert (status < 400, changed, verb is not Verb.ENDED, gone) == (True, True, True, False)
    if found is Outcome.REPLACE:
        assert attempt not in (Attempt.NOT_MADE, Attempt.STORED)


@exact(400)
@given(st.integers(100, 598), st.sampled_from(FACTS))
def test_only_whether_the_status_is_below_400_counts(status: int, facts: tuple[bool, Verb, bool, Attempt]) -> None:
    """All other statuses on one side of 400 have the same outcome."""
    changed, verb, gone, attempt = facts
    first, second = (
        outcome(each, changed=changed, verb=verb, client_gone=gone, attempt=attempt) for each in (status, status + 1)
    )
    assert first is second or status == 399


def test_an_own_update_does_not_forbid_to_store_later_changes() -> None:
    """What verbs have stored before makes no difference to a change that came after them."""
    for (changed, _, gone, attempt), status in itertools.product(FACTS, (200, 400)):
        none, done = (
            outcome(status, changed=changed, verb=verb, client_gone=gone, attempt=attempt)
            for verb in (Verb.NONE, Verb.DONE)
        )
        assert none is done


@pytest.mark.parametrize(
    ("error", "attempt"),
    [
        (SessionConflictError(), Attempt.CONFLICT),
        (SessionNotFoundError(), Attempt.GONE),
        (ExpiredTokenError(), Attempt.GONE),
        (AuthenticationError(), Attempt.GONE),
        (SessionTooLargeError(), Attempt.TOO_LARGE),
        (InvalidArgumentError(), Attempt.UNFIT),
        (StoreUnavailableError(), Attempt.UNAVAILABLE),
        (AmbiguousTokenError(), Attempt.NOT_MADE),
    ],
)
def test_each_error_of_an_attempt_has_its_name(error: JWTSessionError, attempt: Attempt) -> None:
    """Every error that `update()` documents is an attempt that failed; others are none."""
    assert failed(error) is attempt
