"""`ProofNonces`: recent, unpredictable, and the same for all workers."""

import pytest

from jwtsession import ConfigurationError
from jwtsession.tokens import ProofNonces
from tests.conftest import Clock


def test_a_nonce_is_good_for_one_minute_to_two() -> None:
    """A nonce is good in the minute in which it was given and in the next one, and dead after them."""
    clock = Clock()
    nonces = ProofNonces([b"key"], clock)
    clock.advance(-(clock() % 60))
    first = nonces.current()
    assert nonces.accepts(first)
    clock.advance(59)
    assert nonces.current() == first
    clock.advance(60)
    assert nonces.current() != first
    assert nonces.accepts(first)
    clock.advance(1)
    assert not nonces.accepts(first)


def test_workers_with_the_same_keys_know_the_same_nonces() -> None:
    """Another worker accepts a nonce; a worker that has the key among its old ones does too, and no other worker."""
    given = ProofNonces([b"key"], Clock()).current()
    assert ProofNonces([b"key"], Clock()).accepts(given)
    assert ProofNonces([b"new", b"key"], Clock()).accepts(given)
    assert not ProofNonces([b"new"], Clock()).accepts(given)


@pytest.mark.parametrize("given", ["", "x", "é", "\ud800", None, 1, b"x", ["x"]])
def test_anything_else_is_no_nonce(given: object) -> None:
    """A value of another type, and any text that nobody gave, are refused without an error."""
    assert not ProofNonces([b"key"], Clock()).accepts(given)


def test_without_a_secret_key_there_are_no_nonces() -> None:
    """A service that has public keys alone can't make nonces that others can't compute."""
    with pytest.raises(ConfigurationError, match=r"dpop\.nonce"):
        ProofNonces([], Clock())
