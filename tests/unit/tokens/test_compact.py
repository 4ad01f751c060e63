"""Tests of jwtsession.tokens.compact: the type in a token's header. `tests/security` attacks the rest of the reader."""

import base64
import json
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from jwtsession import Claims, InvalidTokenError, MemorySessionStore, Session, SessionManager, SessionProvider, Token
from jwtsession.tokens import KeyRing, KeySpec, TokenCodec
from tests.conftest import SECRET, Clock
from tests.security import forge
from tests.web import bearer, in_process

TYPES = ("JWT", "at+jwt")
TICKET = "a" * 64


def codec(typ: str, cache_bytes: int = 0) -> TokenCodec[Claims]:
    ring = KeyRing([KeySpec(None, SECRET)], "HS256")
    return TokenCodec(ring, Claims, absolute_max_age=1000, typ=typ, cache_bytes=cache_bytes, clock=Clock())


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    return header


@pytest.mark.parametrize("typ", TYPES)
def test_a_token_says_what_it_is(typ: str) -> None:
    """The header of a new token has the type of the setting, and the codec reads it back."""
    here = codec(typ)
    verified, _ = here.encode(forge.ID)
    assert header_of(verified.token)["typ"] == typ
    assert here.verify(verified.token) == verified


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+JWT"])
def test_an_access_token_in_any_spelling(typ: str) -> None:
    """A media type in any case, with or without `application/` (RFC 7515 section 4.1.9, RFC 9068 section 4)."""
    assert codec("at+jwt").verify(forge.with_header(typ=typ)).session_id == forge.ID


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256"},
        *({"alg": "HS256", "typ": typ} for typ in ("JWT", "", "at+jwt ", "at", "jwt", "dpop+jwt", "text/at+jwt")),
        *({"alg": "HS256", "typ": typ} for typ in ("application/application/at+jwt", "at+jwt\n", None, 1, ["at+jwt"])),
    ],
)
def test_whatever_does_not_say_so_is_refused(header: dict[str, Any]) -> None:
    """With `at+jwt` every other type, and none, is refused, though a trusted key made the signature."""
    with pytest.raises(InvalidTokenError) as refused:
        codec("at+jwt").verify(forge.signed(header=header))
    assert refused.value.code == "token_header"


def test_by_default_an_access_token_is_refused_and_no_type_is_fine() -> None:
    """`JWT` accepts `JWT` or nothing, and no other type."""
    assert codec("JWT").verify(forge.signed(header={"alg": "HS256"})).session_id == forge.ID
    for typ in ("at+jwt", "application/jwt", "jwt"):
        with pytest.raises(InvalidTokenError):
            codec("JWT").verify(forge.with_header(typ=typ))


@pytest.mark.parametrize("typ", TYPES)
def test_what_a_ticket_stands_for_is_no_token_and_no_token_is_that(typ: str) -> None:
    """The same key signs both. With either type neither is taken for the other, with the cache of tokens too."""
    here = codec(typ, cache_bytes=100_000)
    claims = {"jwtsession_ticket": TICKET, "origin": None, "cookie": False, "claims": "e30"}
    verified, _ = here.encode(forge.ID, Claims.model_validate(claims))
    stored = here.encode_ticket(TICKET, verified, None)
    assert here.verify_ticket(TICKET, stored)[0].session_id == forge.ID
    for _ in range(2):
        with pytest.raises(InvalidTokenError) as as_token:
            here.verify(stored.decode())
        with pytest.raises(InvalidTokenError) as as_ticket:
            here.verify_ticket(TICKET, verified.token.encode())
    if typ == "at+jwt":
        assert {as_token.value.code, as_ticket.value.code} == {"token_header"}


def application(store: MemorySessionStore, clock: Clock, typ: Any) -> FastAPI:
    sessions = SessionProvider(secret=SECRET, store=store, token_type_header=typ, clock=clock)
    app = FastAPI(lifespan=sessions.lifespan)

    @app.post("/session")
    async def log_in(manager: Annotated[SessionManager, Depends(sessions.get_manager)]) -> Token:
        return await manager.create(Session())

    @app.get("/session")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> None: ...

    return app


def test_the_setting_decides_for_a_provider() -> None:
    """After the switch new tokens are good, and tokens from before are a 401: their users log in again."""
    clock, store = Clock(), MemorySessionStore()
    tokens: dict[str, str] = {}
    for typ in TYPES:
        with in_process(application(store, clock, typ)) as client:
            tokens[typ] = client.post("/session").json()["access_token"]
            assert header_of(tokens[typ])["typ"] == typ
            for other, token in tokens.items():
                answer = client.get("/session", headers=bearer(token))
                assert answer.status_code == (200 if other == typ else 401)
