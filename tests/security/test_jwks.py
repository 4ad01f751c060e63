"""The published keys, as another service meets them: over HTTP, with PyJWT's own client."""

import json
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from jwtsession import Key, Session, SessionProvider
from jwtsession.tokens import KeyRing, KeySpec
from tests import servers
from tests.conftest import SECRET, Clock
from tests.fleet import Fleet, running
from tests.keymaterial import ASYMMETRIC, HMAC, pem, private_and_public, private_key, public_pem
from tests.web import bearer, in_process, serving

pytestmark = pytest.mark.caches("tokens")

PATH = "/.well-known/jwks.json"

# RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1: what a private or symmetric key has and a public one has not.
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

# Issued tokens count in the time of the injected clock.
TIMELESS: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


def document(sessions: SessionProvider[Any, Any]) -> str:
    """What a provider publishes."""
    app = FastAPI()
    app.include_router(sessions.jwks_router())
    return TestClient(app).get(PATH).text


def published(client: httpx2.Client) -> list[dict[str, Any]]:
    answer = client.get(PATH)
    assert answer.status_code == 200
    keys: list[dict[str, Any]] = answer.json()["keys"]
    assert not PRIVATE_MEMBERS & {member for key in keys for member in key}
    return keys


def verified(client: httpx2.Client, token: str, algorithm: str) -> dict[str, Any]:
    """The claims of a token as a service reads them that knows nothing but the address of the keys."""
    found = jwt.PyJWKClient(str(client.base_url.join(PATH))).get_signing_key_from_jwt(token)
    claims: dict[str, Any] = jwt.decode(token, found, algorithms=[algorithm], options=TIMELESS)
    return claims


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_another_service_verifies_with_the_published_keys(algorithm: str, valkey: servers.Server, clock: Clock) -> None:
    """Each algorithm: PyJWT's client fetches the set over HTTP, finds the token's key and verifies with it."""
    own, foreign = pem(private_key(algorithm)), pem(private_key(algorithm, 2))
    sessions = SessionProvider(secret=own, algorithm=algorithm, redis_url=valkey.url)
    app = FastAPI(lifespan=sessions.lifespan)
    app.include_router(sessions.jwks_router())
    token = KeyRing([KeySpec(None, own)], algorithm).sign({"sub": "ann"})
    forged = KeyRing([KeySpec(None, foreign)], algorithm).sign({"sub": "eve"})
    with serving(app) as client:
        (key,) = published(client)
        assert (key["alg"], key["use"]) == (algorithm, "sig")
        assert verified(client, token, algorithm)["sub"] == "ann"
        head, payload, _ = token.split(".")
        other = forged.split(".")
        with pytest.raises(jwt.InvalidSignatureError):
            verified(client, f"{head}.{payload}.{other[2]}", algorithm)
        with pytest.raises(jwt.PyJWKClientError):
            verified(client, ".".join(other), algorithm)


@pytest.mark.parametrize("algorithm", HMAC)
def test_a_symmetric_key_is_not_published(algorithm: str, valkey: servers.Server) -> None:
    """An HMAC service answers with an empty set, in which no part of a secret stands."""
    sessions = SessionProvider(
        secret=SECRET, keys=[Key(kid="a", secret=SECRET[::-1])], algorithm=algorithm, redis_url=valkey.url
    )
    app = FastAPI(lifespan=sessions.lifespan)
    app.include_router(sessions.jwks_router())
    with in_process(app) as client:
        assert client.get(PATH).json() == {"keys": []}


def test_the_answer_may_be_cached_and_needs_neither_a_token_nor_the_store() -> None:
    """Public, for minutes, as JSON; with the store down, and whatever token the request carries."""
    sessions = SessionProvider(
        secret=pem(private_key("EdDSA")), algorithm="EdDSA", redis_url=f"redis://127.0.0.1:{servers.free_port()}"
    )
    app = FastAPI(lifespan=sessions.lifespan)
    app.include_router(sessions.jwks_router("/keys"), prefix="/auth")
    with in_process(app) as client:
        for headers in ({}, bearer("nonsense")):
            answer = client.get("/auth/keys", headers=headers)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=300"
            assert answer.headers["content-type"] == "application/json"
        assert client.get(PATH).status_code == 404
        operation = client.get("/openapi.json").json()["paths"]["/auth/keys"]["get"]
        assert "security" not in operation
        assert set(operation["responses"]) == {"200"}


def test_a_rotation_shows_both_keys(valkey: servers.Server, clock: Clock) -> None:
    """A key is published from the moment that it is announced until it is removed, so no cache is ever behind."""
    old = Key(kid="old", secret=pem(private_key("ES256")))
    new = Key(kid="new", secret=pem(private_key("ES256", 2)))
    announced = Key(kid="new", secret=pem(private_key("ES256", 2)), verify_only=True)
    seen: list[list[str]] = []
    with running(valkey.url, clock, {"keys": [old]}, algorithm="ES256", sockets=True) as fleet:
        fleet.log_in("a")
        seen.append([key["kid"] for key in published(fleet.clients["a"])])
        for keys in ([announced, old], [new, old], [new]):
            for name in Fleet.WORKERS:
                fleet.roll(name, keys=keys)
            known = [key["kid"] for key in published(fleet.clients["a"])]
            seen.append(known)
            for token in [*fleet.tokens, fleet.log_in("b")]:
                if jwt.get_unverified_header(token)["kid"] in known:
                    assert verified(fleet.clients["a"], token, "ES256")["sub"] == "1"
    assert seen == [["old"], ["new", "old"], ["new", "old"], ["new"]]


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_a_verify_only_service_publishes_what_it_has(form: str, valkey: servers.Server) -> None:
    """The public key of a service that issues nothing is published as the issuer's own, by the same name."""
    private, public = private_and_public("RS256", form)
    published_by = [
        document(SessionProvider(secret=material, algorithm="RS256", redis_url=valkey.url))
        for material in (private, public)
    ]
    assert published_by[0] == published_by[1]


def test_a_published_key_is_a_configuration_of_another_service(valkey: servers.Server, clock: Clock) -> None:
    """What stands in the set can be pasted into `keys` of a service that only verifies."""
    with running(valkey.url, clock, {"secret": pem(private_key("PS256"))}, algorithm="PS256") as fleet:
        token = fleet.log_in("a")
        (key,) = published(fleet.clients["a"])
        fleet.roll("b", keys=[Key(kid=key["kid"], secret=json.dumps(key))])
        assert fleet.refused(token) == []


def test_two_providers_publish_apart(valkey: servers.Server) -> None:
    """Each provider's router has its own path and its own keys."""

    class Users(Session):
        pass

    class Admins(Session):
        pass

    app = FastAPI()
    for model, kind, path in ((Users, "ES256", "/users.json"), (Admins, "EdDSA", "/admins.json")):
        provider = SessionProvider(
            model, secret=pem(private_key(kind)), algorithm=kind, redis_url=valkey.url, request_key=model.__name__
        )
        app.include_router(provider.jwks_router(path))
    with in_process(app) as client:
        assert [client.get(path).json()["keys"][0]["alg"] for path in ("/users.json", "/admins.json")] == [
            "ES256",
            "EdDSA",
        ]
        assert len(client.get("/openapi.json").json()["paths"]) == 2


def test_the_set_is_read_by_pyjwt_without_its_client(valkey: servers.Server) -> None:
    """`PyJWKSet` takes the document as it is and finds each key by its name."""
    keys = [Key(kid=str(number), secret=pem(private_key("ES512", number))) for number in (1, 2)]
    keys.append(Key(kid="3", secret=public_pem(private_key("ES512", 3))))
    provider = SessionProvider(keys=keys, algorithm="ES512", redis_url=valkey.url)
    found = jwt.PyJWKSet.from_json(document(provider))
    assert [key.key_id for key in found.keys] == ["1", "2", "3"]
    token = jwt.encode({"sub": "ann"}, keys[0].secret.get_secret_value(), "ES512", headers={"kid": "1"})
    assert jwt.decode(token, found["1"], algorithms=["ES512"])["sub"] == "ann"
