"""Tests of jwtsession.verifier: what it is made from. `tests/integration/test_services.py` meets it over HTTP."""

import subprocess
import sys
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Security

from jwtsession import Claims, ConfigurationError, Introspection, Session, SessionVerifier, Token
from tests.web import in_process

GOOD: dict[str, Any] = {
    "jwks_url": "https://shop.example/.well-known/jwks.json",
    "issuer": "https://shop.example",
    "audience": "orders",
    "algorithm": "ES256",
}


class UserClaims(Claims):
    role: str = "user"


class Aliased(Claims):
    user: str = ""

    model_config = {"alias_generator": lambda name: "sub" if name == "user" else name}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"jwks_url": "http://shop.example/keys"}, "jwks_url: must begin with https"),
        ({"jwks_url": None}, "jwks_url: must be a URL"),
        ({"algorithm": "HS256"}, "algorithm: must be one with public keys"),
        ({"algorithm": "none"}, "algorithm: "),
        ({"algorithm": "RS1"}, "algorithm: "),
        ({"claims_model": Session}, "claims_model: "),
        ({"claims_model": Aliased}, "registered claim"),
        ({"token_type_header": "jwt"}, "token_type_header: "),
        ({"timeout": 0}, "timeout: "),
        ({"timeout": float("inf")}, "timeout: "),
        ({"refresh_interval": -1}, "refresh_interval: "),
        ({"refresh_interval": True}, "refresh_interval: "),
        ({"refresh_interval": None}, "refresh_interval: "),
        ({"min_fetch_interval": "10"}, "min_fetch_interval: "),
        ({"min_fetch_interval": timedelta(milliseconds=1)}, "min_fetch_interval: "),
        ({"introspect": Introspection("http://shop.example", "a", "b")}, "introspect: url: must begin with https"),
        ({"introspect": Introspection("https://shop.example", "a", "b", cache=1000)}, "introspect: cache"),
        ({"introspect": "https://shop.example/introspect"}, "introspect: "),
        ({"leeway": -1}, "leeway: "),
        ({"leeway": 61}, "leeway: "),
    ],
)
def test_what_can_not_work_is_refused_at_once(wrong: dict[str, Any], message: str) -> None:
    """Each argument: the error names it."""
    with pytest.raises(ConfigurationError, match=message):
        SessionVerifier(**GOOD | wrong)


@pytest.mark.parametrize("left_out", GOOD)
def test_issuer_audience_and_algorithm_are_choices_that_must_be_made(left_out: str) -> None:
    """None of them has a default that could be too wide."""
    with pytest.raises(TypeError, match=left_out):
        SessionVerifier(**{name: value for name, value in GOOD.items() if name != left_out})


@pytest.mark.slow
def test_it_needs_neither_a_secret_nor_a_store() -> None:
    """A process with no variable of this package makes one and loads no Redis client."""
    code = (
        f"from jwtsession import SessionVerifier; import sys; v = SessionVerifier(**{GOOD!r}); print(v, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.startswith("SessionVerifier(Claims, 'https://shop.example/.well-known/jwks.json')")


def test_a_forgotten_depends_is_refused() -> None:
    """A route that would take the claims from the client: the application does not start."""
    verifier = SessionVerifier(UserClaims, **GOOD)
    app = FastAPI(lifespan=verifier.lifespan)

    @app.post("/orders")
    async def order(claims: UserClaims) -> None: ...

    with pytest.raises(ConfigurationError, match="/orders"), in_process(app):
        pass


def test_the_document() -> None:
    """OpenAPI shows the bearer scheme and the answers of refused requests."""
    verifier = SessionVerifier(UserClaims, **GOOD)
    app = FastAPI(lifespan=verifier.lifespan)

    @app.get("/orders")
    async def orders(claims: Annotated[UserClaims, Depends(verifier.get_claims)]) -> str:
        return claims.role

    @app.post("/orders")
    async def order(claims: Annotated[UserClaims, Security(verifier.get_claims, scopes=["orders:write"])]) -> str:
        return claims.role

    with in_process(app) as client:
        document = client.get("/openapi.json").json()
    read, write = document["paths"]["/orders"]["get"], document["paths"]["/orders"]["post"]
    assert read["security"] == [{"session_bearer": []}]
    assert write["security"] == [{"session_bearer": ["orders:write"]}]
    assert read["responses"].keys() == {"200", "400", "401", "503"}
    assert write["responses"].keys() == {"200", "400", "401", "403", "503"}
    assert document["components"]["securitySchemes"]["session_bearer"]["bearerFormat"] == "JWT"


def test_the_name_of_the_scheme_says_nothing_about_tokens() -> None:
    """An application that also returns a `Token` shows it as a bearer token, whatever the scheme's name ends with."""
    verifier = SessionVerifier(UserClaims, scheme_name="orders_dpop", **GOOD)
    app = FastAPI(lifespan=verifier.lifespan)

    @app.get("/token")
    async def token(claims: Annotated[UserClaims, Depends(verifier.get_claims)]) -> Token:
        raise NotImplementedError

    with in_process(app) as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Token"]["properties"]["token_type"]["const"] == "bearer"
