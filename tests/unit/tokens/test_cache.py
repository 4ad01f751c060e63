"""Tests of jwtsession.tokens.cache, and of its use by the codec."""

import gc
import secrets
import tracemalloc
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter, field_validator

from jwtsession import Claims, ExpiredTokenError, InvalidTokenError
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from jwtsession.tokens.cache import TokenCache
from tests.conftest import SECRET, Clock
from tests.parts import parts_of

ID = "a-session-id-of-the-cache-tests"


class UserClaims(Claims):
    roles: list[str] = []


def codec(clock: Clock, cache_bytes: int = 10_000, model: type[Any] = UserClaims) -> TokenCodec[Any]:
    keys = KeyRing([KeySpec(None, SECRET)], "HS256")
    return TokenCodec(keys, model, absolute_max_age=100, cache_bytes=cache_bytes, clock=clock)


def count_verifications(made: TokenCodec[UserClaims]) -> list[None]:
    found: list[None] = []
    (keys,) = parts_of(made, KeyRing)
    original = keys.verify

    def counted(*args: Any) -> bool:
        found.append(None)
        return original(*args)

    keys.verify = counted  # type: ignore[method-assign]
    return found


def cache_of(made: TokenCodec[UserClaims]) -> TokenCache:
    (found,) = parts_of(made, TokenCache)
    return found


def test_a_token_is_verified_once(clock: Clock) -> None:
    """The second use of a token costs no cryptography and gives the same claims."""
    made = codec(clock)
    verified, issued = codec(clock).encode(ID, UserClaims(roles=["a"]))
    token = verified.token
    count = count_verifications(made)
    assert made.decode(token) == made.decode(token) == issued
    assert len(count) == 1


def test_without_a_cache_it_is_verified_each_time(clock: Clock) -> None:
    """cache_bytes=0 keeps nothing."""
    made = codec(clock, cache_bytes=0)
    token = made.encode(ID)[0].token
    count = count_verifications(made)
    made.decode(token)
    made.decode(token)
    assert len(count) == 2
    assert len(cache_of(made)) == 0


def test_times_are_checked_at_each_use(clock: Clock) -> None:
    """A token that is cached expires all the same."""
    made = codec(clock)
    token = made.encode(ID)[0].token
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
    token = made.encode(ID, UserClaims(roles=["a"]))[0].token
    made.decode(token).roles.append("admin")
    assert made.decode(token).roles == ["a"]


def test_a_refused_token_is_never_cached(clock: Clock) -> None:
    """A bad signature leaves nothing behind, and a second spelling is refused beside the first."""
    made = codec(clock)
    token = made.encode(ID)[0].token
    for bad in (token[:-2] + "AA", token + "=", " " + token, "x.y.z"):
        for _ in range(2):
            with pytest.raises(InvalidTokenError):
                made.decode(bad)
        assert cache_of(made).get(bad) is None
    assert len(cache_of(made)) == 1
    assert cache_of(made).get(token) is not None


@pytest.mark.parametrize("limit", [1_500, 3_000, 10_000])
def test_memory_is_bounded_and_the_least_used_goes_first(clock: Clock, limit: int) -> None:
    """The cache never costs more than its bytes."""
    made = codec(clock, cache_bytes=limit)
    tokens = []
    for number in range(200):
        tokens.append(made.encode(f"{ID}-{number}")[0].token)
        made.decode(tokens[0])
        assert cache_of(made).size <= limit
    assert cache_of(made).get(tokens[0]) is not None
    assert cache_of(made).get(tokens[1]) is None


@pytest.mark.parametrize("claims", [{"sub": "\u00fc" * 99}, {"sub": "\U0001f600" * 9}, {"amr": ["\u00e9" * 99] * 9}])
def test_a_text_that_grows_in_memory_does_not_widen_the_limit(clock: Clock, claims: dict[str, Any]) -> None:
    """JSON that is made of a cached claim leaves its UTF-8 beside it: the cache still knows how much it keeps."""
    sizes = []
    for dump in (TypeAdapter(Any).dump_json, lambda _: None):
        made = codec(clock, cache_bytes=40_000)
        for number in range(40):
            verified = made.verify(made.encode(f"{ID}-{number}", UserClaims(**claims))[0].token)
            dump((verified.sub, verified.amr))
        sizes.append(cache_of(made).size)
    assert sizes[0] == sizes[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "claims",
    [
        {},
        pytest.param({"sub": "u" * 40, "scope": "read write " * 10}, marks=pytest.mark.ci),
        pytest.param({"sub": "\U0001f600" * 30}, marks=pytest.mark.ci),
        pytest.param({"acr": "aal2", "amr": ["pwd"] * 30}, marks=pytest.mark.ci),
    ],
    ids=["none", "two", "wide", "list"],
)
def test_it_takes_no_more_memory_than_it_may(clock: Clock, claims: dict[str, Any]) -> None:
    """Full, and with tokens that come and go, it takes what it was given at most, and at least two fifths of it."""

    class Uncached(Claims):
        model_config = ConfigDict(cache_strings="keys")  # or Pydantic keeps thousands of texts for itself

    made = codec(clock, cache_bytes=1_000_000, model=Uncached)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(4_000):
            made.verify(made.encode(f"{number}-{secrets.token_urlsafe(24)}", Uncached(**claims))[0].token)
        most = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 400_000 < most <= 1_000_000  # the half of the recent ones may just have been emptied


def test_a_usual_token_takes_about_250_bytes(clock: Clock) -> None:
    """As the settings tell: half of the limit has so many. A user, scopes and ways to sign in are counted too."""

    def bytes_each(**claims: Any) -> float:
        made = codec(clock, cache_bytes=80_000)
        for _ in range(300):
            made.encode(secrets.token_urlsafe(32), UserClaims(**claims))
        return 40_000 / len(cache_of(made))

    usual = bytes_each(sub="1")
    assert 230 <= usual <= 270
    assert usual + 170 <= bytes_each(sub="1" * 101, scope="a" * 100) <= usual + 240
    assert usual + 480 <= bytes_each(sub="1", amr=["a" * 500]) <= usual + 600


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "ann", "scope": "a b", "acr": "aal2", "amr": ["pwd", "otp"]},
        {"sub": "\U0001f600é", "exp": 1_800_000_050.25, "iat": 1_799_999_999.5, "nbf": -(10**12), "amr": []},
    ],
    ids=["none", "most", "odd"],
)
def test_a_packed_token_is_the_same_token(clock: Clock, claims: dict[str, Any]) -> None:
    """All that was verified comes back, with the types that it had."""
    made = codec(clock, cache_bytes=1_500)
    verified, _ = made.encode(ID, UserClaims(**claims), idle_timeout=7, gen=3, actor="eve")
    found = cache_of(made).get(verified.token)
    assert found is not None
    assert found is not verified
    assert found == verified
    assert [*map(type, found)] == [*map(type, verified)]


def test_a_changed_token_is_another_one(clock: Clock) -> None:
    """Whatever letter of a token changes, and whether it is packed or not: it is not taken for the token."""
    for cache_bytes in (1_500, 10_000):
        made = codec(clock, cache_bytes=cache_bytes)
        token = made.encode(ID)[0].token
        assert made.verify(token).session_id == ID
        for place, letter in enumerate(token):
            for other in {"A", "B", "é", "\ud800", ""} - {letter}:
                changed = token[:place] + other + token[place + 1 :]
                assert cache_of(made).get(changed) is None
                with pytest.raises(InvalidTokenError):
                    made.verify(changed)


def test_the_garbage_collector_looks_at_few_tokens(clock: Clock) -> None:
    """Of many tokens only those that were used last are objects that a full collection visits."""
    made = codec(clock, cache_bytes=60_000)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(100):
        made.verify(made.encode(f"{number}-{secrets.token_urlsafe(24)}")[0].token)
    gc.collect()
    assert len(cache_of(made)) == 100
    assert len(gc.get_objects()) - before < 40


def test_claims_are_made_when_somebody_asks(clock: Clock) -> None:
    """A token that is cached costs no model; its claims come anew at each call, and are as at the first."""
    calls: list[None] = []

    class Counted(UserClaims):
        @field_validator("sub")
        @classmethod
        def check(cls, sub: str | None) -> str | None:
            calls.append(None)
            return sub

    made = codec(clock, model=Counted)
    verified, issued = made.encode(ID, Counted(sub="ann"))
    calls.clear()
    assert made.verify(verified.token) is verified
    assert not calls
    assert made.claims(verified) == made.claims(verified) == issued
    assert len(calls) == 2


def test_a_verified_token_shows_nothing(clock: Clock) -> None:
    """Neither the token nor the session's id stands in its `repr`."""
    made = codec(clock)
    assert repr(made.verify(made.encode(ID)[0].token)) == "VerifiedToken()"


def test_a_verified_token_has_what_decides(clock: Clock) -> None:
    """Times, user and scopes are there without another look into the token; what it does not say is None."""
    made = codec(clock, cache_bytes=0)
    now = int(clock())
    for claims, found in (
        (UserClaims(), (None, None, None)),
        (UserClaims(sub="ann", scope="a b", nbf=now), (now, "ann", "a b")),
    ):
        issued, _ = made.encode(ID, claims, idle_timeout=7)
        assert (issued.nbf, issued.sub, issued.scope) == found
        assert (issued.session_id, issued.exp, issued.iat, issued.jwtsession_idle_timeout) == (ID, now + 100, now, 7)
        assert issued.auth_time == (now if claims.sub else None)
        assert made.verify(issued.token) == issued


def test_a_token_larger_than_the_cache_works(clock: Clock) -> None:
    """A cache that is too small for a token is no reason to refuse it."""
    made = codec(clock, cache_bytes=1)
    verified, issued = made.encode(ID)
    token = verified.token
    assert made.decode(token) == issued
    assert len(cache_of(made)) == 0
