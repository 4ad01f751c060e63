"""Keys are replaced while everybody stays logged in: two workers that roll one after the other."""

from typing import Any

import jwt
import pytest

from jwtsession import Key
from tests import servers
from tests.conftest import SECRET, Clock
from tests.fleet import Fleet, running
from tests.keymaterial import HMAC, jwk, pem, private_key, public_pem
from tests.web import bearer

pytestmark = pytest.mark.caches("tokens")

ABSOLUTE_MAX_AGE = 1_000


def material(algorithm: str, number: int) -> str:
    if algorithm in HMAC:
        return f"{SECRET} {number}"
    return pem(private_key(algorithm, number)) if number == 1 else jwk(private_key(algorithm, number))


def steps(scheme: str, algorithm: str) -> list[dict[str, Any]]:
    """The settings of each step of a rotation, from before it to after it."""
    old, new = material(algorithm, 1), material(algorithm, 2)
    old_key, new_key = Key(kid="old", secret=old), Key(kid="new", secret=new)
    announced = Key(kid="new", secret=new, verify_only=True)
    schemes: dict[str, list[dict[str, Any]]] = {
        "from secret to keys": [
            {"secret": old},
            {"secret": old, "keys": [announced]},
            {"secret": old, "keys": [new_key]},
            {"keys": [new_key]},
        ],
        "from key to key": [
            {"keys": [old_key]},
            {"keys": [announced, old_key]},
            {"keys": [new_key, old_key]},
            {"keys": [new_key]},
        ],
        "by order alone": [
            {"keys": [old_key]},
            {"keys": [old_key, new_key]},
            {"keys": [new_key, old_key]},
            {"keys": [new_key]},
        ],
    }
    return schemes[scheme]


def signer(token: str) -> str | None:
    return jwt.get_unverified_header(token).get("kid")


@pytest.mark.parametrize(
    ("scheme", "algorithm"),
    [
        ("from secret to keys", "HS256"),
        ("from secret to keys", "ES256"),
        ("from key to key", "HS256"),
        ("by order alone", "EdDSA"),
    ],
)
def test_a_rotation_logs_nobody_out(scheme: str, algorithm: str, valkey: servers.Server, clock: Clock) -> None:
    """At every moment of the three rolls sessions are made on each worker that is up, and all are read on each."""
    before, announced, signing, after = steps(scheme, algorithm)

    def moment() -> None:
        fleet.log_in_everywhere()
        assert fleet.refused() == []

    with running(valkey.url, clock, before, algorithm=algorithm, absolute_max_age=ABSOLUTE_MAX_AGE) as fleet:
        moment()
        for name in Fleet.WORKERS:
            fleet.roll(name, moment, **announced)
        assert "new" not in {signer(token) for token in fleet.tokens}
        for name in Fleet.WORKERS:
            fleet.roll(name, moment, **signing)
        assert [signer(fleet.log_in(name)) for name in Fleet.WORKERS] == ["new", "new"]

        # The old key goes when its last token has reached its absolute timeout.
        clock.advance(ABSOLUTE_MAX_AGE / 2)
        late = [fleet.log_in(name) for name in Fleet.WORKERS]
        clock.advance(ABSOLUTE_MAX_AGE / 2)
        everybody, fleet.tokens = fleet.tokens, late
        assert len(fleet.refused(*everybody)) == 2 * (len(everybody) - len(late))
        for name in Fleet.WORKERS:
            fleet.roll(name, moment, **after)


def test_without_the_first_step_people_are_refused(valkey: servers.Server, clock: Clock) -> None:
    """Why a new key is announced before it signs: a worker that does not know it refuses its tokens."""
    before, _, signing, _ = steps("from key to key", "HS256")
    with running(valkey.url, clock, before) as fleet:
        fleet.log_in("a")
        fleet.roll("a", **signing)
        fleet.log_in("a")
        assert fleet.refused() == [("b", 1)]


@pytest.mark.parametrize(
    ("scheme", "algorithm"),
    [("from secret to keys", "HS256"), ("from secret to keys", "EdDSA"), ("from key to key", "HS256")],
)
def test_a_removed_key_ends_its_tokens_at_once(
    scheme: str, algorithm: str, valkey: servers.Server, clock: Clock
) -> None:
    """After a theft: the worker that has lost the key refuses its tokens with its first answer, and no others."""
    _, _, signing, after = steps(scheme, algorithm)
    with running(valkey.url, clock, steps(scheme, algorithm)[1], algorithm=algorithm) as fleet:
        fleet.log_in_everywhere()
        fleet.roll("a", **signing)
        fleet.log_in("a")
        assert fleet.refused() == []
        fleet.roll("a", **after)
        assert fleet.refused() == [("a", 0), ("a", 1)]
        fleet.roll("b", **after)
        assert fleet.refused() == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
        answer = fleet.clients["a"].get("/session", headers=bearer(fleet.tokens[0]))
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_who_must_not_wait_moves_with_regenerate(valkey: servers.Server, clock: Clock) -> None:
    """A session of the old key gets a token of the new one, and outlives the old key with all that it holds."""
    _, _, signing, after = steps("from key to key", "HS256")
    with running(valkey.url, clock, steps("from key to key", "HS256")[1]) as fleet:
        old = fleet.log_in("b")
        fleet.add("b", old, "tea")
        for name in Fleet.WORKERS:
            fleet.roll(name, **signing)
        new = fleet.clients["a"].post("/session/id", headers=bearer(old)).json()["access_token"]
        assert (signer(old), signer(new)) == ("old", "new")
        for name in Fleet.WORKERS:
            fleet.roll(name, **after)
            assert fleet.clients[name].get("/session", headers=bearer(new)).json()["cart"] == ["tea"]


@pytest.mark.parametrize(
    ("algorithm", "form"), [("RS256", "pem"), ("PS384", "jwk"), ("ES512", "pem"), ("ES256", "jwk"), ("EdDSA", "pem")]
)
def test_a_service_with_the_public_key_only_verifies(
    algorithm: str, form: str, valkey: servers.Server, clock: Clock
) -> None:
    """It reads and changes the issuing service's sessions on the same server, and can't log anybody in."""
    key = private_key(algorithm)
    public = public_pem(key) if form == "pem" else jwk(key.public_key())
    with running(valkey.url, clock, {"secret": pem(key)}, algorithm=algorithm) as fleet:
        token = fleet.log_in("a")
        fleet.roll("b", secret=public)
        assert fleet.refused() == []
        assert fleet.add("b", token, "tea").json()["cart"] == ["tea"]
        for path, headers in (("/session", bearer("nobody")), ("/session/id", bearer(token))):
            # The server ends a connection on which an endpoint failed.
            refused = fleet.clients["b"].post(path, headers=headers | {"Connection": "close"})
            assert refused.status_code == 500
            assert public.splitlines()[1 if form == "pem" else 0] not in refused.text
        # What it could not sign has cost nobody the session.
        assert fleet.refused() == []
