"""Tests of the cache of verified tokens in jwtsession.tokens."""

import gc
import secrets
import tracemalloc
from typing import Any

import pytest
from pydantic import field_validator

from jwtsession import Claims, ExpiredTokenError, InvalidTokenError
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from tests.conftest import SECRET, Clock

ID = "a-session-id-of-the-cache-tests"


class UserClaims(Claims):
    roles: list[str] = []


def codec(clock: Clock, cache_bytes: int = 10_000, **options: Any) -> TokenCodec[UserClaims]:
    keys = KeyRing([KeySpec(None, SECRET)], "HS256")
    return TokenCodec(keys, UserClaims, absolute_max_age=100, cache_bytes=cache_bytes, clock=clock, **options)


def count_verifications(made: TokenCodec[UserClaims]) -> list[None]:
    found: list[None] = []
    original = made._keys.verify

    def counted(*args: Any) -> bool:
        found.append(None)
        return original(*args)

    made._keys.verify = counted  # type: ignore[method-assign]
    return found


def test_a_token_is_verified_once(clock: Clock) -> None:
    """The second use of a token costs no cryptography and gives the same claims."""
    made = codec(clock)
    token, issued = codec(clock).encode(ID, UserClaims(roles=["a"]))
    count = count_verifications(made)
    assert made.decode(token) == made.decode(token) == issued
    assert len(count) == 1


def test_without_a_cache_it_is_verified_each_time(clock: Clock) -> None:
    """cache_bytes=0 keeps nothing."""
    made = codec(clock, cache_bytes=0)
    token, _ = made.encode(ID)
    count = count_verifications(made)
    made.decode(token)
    made.decode(token)
    assert len(count) == 2
    assert not made._cache._verified


def test_times_are_checked_at_each_use(clock: Clock) -> None:
    """A token that is cached expires all the same."""
    made = codec(clock)
    token, _ = made.encode(ID)
    made.decode(token)
    clock.advance(100)
    with pytest.raises(ExpiredTokenError):
        made.decode(token)
    clock.advance(-100.5)
    with pytest.raises(InvalidTokenError):
        made.decode(token)


def test_claims_are_not_shared_between_requests(clock: Clock) -> None:
    """What an endpoint does to its claims stays with it."""
    made = codec(clock)
    token, _ = made.encode(ID, UserClaims(roles=["a"]))
    made.decode(token).roles.append("admin")
    assert made.decode(token).roles == ["a"]


def test_a_refused_token_is_never_cached(clock: Clock) -> None:
    """A bad signature leaves nothing behind, and a second spelling is refused beside the first."""
    made = codec(clock)
    token, _ = made.encode(ID)
    for bad in (token[:-2] + "AA", token + "=", " " + token, "x.y.z"):
        for _ in range(2):
            with pytest.raises(InvalidTokenError):
                made.decode(bad)
    assert list(made._cache._verified) == [token]


def test_memory_is_bounded_and_the_least_used_goes_first(clock: Clock) -> None:
    """The cache never costs more than its bytes."""
    made = codec(clock, cache_bytes=3_000)
    tokens = []
    for number in range(50):
        tokens.append(made.encode(f"{ID}-{number}")[0])
        made.decode(tokens[0])
        assert made._cache._size <= 3_000
    assert tokens[0] in made._cache._verified
    assert tokens[1] not in made._cache._verified
    assert made._cache._size == sum(made._cache._cost(each) for each in made._cache._verified.values())


def test_it_takes_no_more_memory_than_it_may(clock: Clock) -> None:
    """Full, and with tokens that come and go, it takes what it was given at most, and at least half of it."""
    made = codec(clock, cache_bytes=1_000_000)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(3_000):
            made.verify(made.encode(f"{number}-{secrets.token_urlsafe(24)}")[0])
        most = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 500_000 < most <= 1_000_000


def test_claims_are_made_when_somebody_asks(clock: Clock) -> None:
    """A token that is cached costs no model; its claims come anew at each call, and are as at the first."""
    calls: list[None] = []

    class Counted(UserClaims):
        @field_validator("sub")
        @classmethod
        def check(cls, sub: str | None) -> str | None:
            calls.append(None)
            return sub

    made = TokenCodec(
        KeyRing([KeySpec(None, SECRET)], "HS256"), Counted, absolute_max_age=100, cache_bytes=10_000, clock=clock
    )
    token, issued = made.encode(ID, Counted(sub="ann"))
    calls.clear()
    verified = made.verify(token)
    assert made.verify(token) is verified
    assert not calls
    assert made.claims(verified) == made.claims(verified) == issued
    assert len(calls) == 2


def test_a_verified_token_shows_nothing(clock: Clock) -> None:
    """Neither the token nor the session's id stands in its `repr`."""
    made = codec(clock)
    assert repr(made.verify(made.encode(ID)[0])) == "VerifiedToken()"


def test_a_token_larger_than_the_cache_works(clock: Clock) -> None:
    """A cache that is too small for a token is no reason to refuse it."""
    made = codec(clock, cache_bytes=1)
    token, issued = made.encode(ID)
    assert made.decode(token) == issued
    assert not made._cache._verified
