"""Tests of jwtsession.web.proofs.proof_answers: what answers tell clients about proofs."""

from collections.abc import AsyncIterator

import pytest
from fastapi import Depends, HTTPException, Security
from starlette.middleware.cors import CORSMiddleware

from jwtsession.web.proofs.proof_answers import ProofAnswers
from tests.asgi import ask, scope_of
from tests.unit.web.dpop_site import DPoPSite

ALGS = 'DPoP algs="ES256 EdDSA"'


@pytest.fixture(params=["optional", "required"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[DPoPSite]:
    site = DPoPSite(request.param)
    site.mode = request.param  # type: ignore[attr-defined]
    async with site.running():
        yield site


@pytest.fixture
async def nonces() -> AsyncIterator[DPoPSite]:
    site = DPoPSite(dpop={"nonce": True})
    async with site.running():
        yield site


def challenges(site: DPoPSite, parameters: str) -> list[str]:
    bearer = [f"Bearer {parameters}"] if site.mode == "optional" else []  # type: ignore[attr-defined]
    return [*bearer, f"{ALGS}, {parameters}"]


async def test_each_refusal_names_the_scheme_and_the_algorithms(site: DPoPSite) -> None:
    """With both schemes where tokens need not be bound (RFC 9449 section 7.1, RFC 9110 section 11.6.1)."""
    invalid = challenges(site, 'error="invalid_token"')
    token = await site.bound_token()
    assert (await site.get()).all("www-authenticate") == challenges(site, 'realm="session"')
    assert (await site.get(("authorization", "Bearer x"))).all("www-authenticate") == invalid
    assert (await site.get(("authorization", f"Bearer {token}"))).all("www-authenticate") == invalid
    assert (await ask(site.app, "DELETE", "/session")).all("www-authenticate") == invalid  # a verb's error
    two = [("authorization", f"DPoP {token}"), ("authorization", f"Bearer {token}")]
    assert (await site.get(*two)).all("www-authenticate") == challenges(site, 'error="invalid_request"')
    site.clock.advance(5001)
    assert (await site.get(*site.headers(token))).all("www-authenticate") == invalid


async def test_a_refused_proof_has_its_own_challenge(site: DPoPSite) -> None:
    """RFC 9449 sections 7.1 and 5: and no other scheme."""
    token = await site.bound_token()
    answer = await site.get(("authorization", f"DPoP {token}"))
    assert answer.all("www-authenticate") == ['DPoP error="invalid_dpop_proof", algs="ES256 EdDSA"']


async def test_demands_of_an_endpoint_name_the_scheme_too(site: DPoPSite) -> None:
    """A scope that the token lacks, a sign-in too long ago, and one that is not strong enough."""

    @site.app.get("/orders", dependencies=[Security(site.sessions.get_session, scopes=["orders"])])
    async def orders() -> None: ...

    fresh = site.sessions.require_fresh(60)
    site.app.get("/fresh", dependencies=[Security(fresh)])(orders)
    token = await site.bound_token()
    answer = await site.get(*site.headers(token, path="/orders"), path="/orders")
    assert answer.all("www-authenticate") == challenges(site, 'error="insufficient_scope", scope="orders"')
    site.clock.advance(61)
    answer = await site.get(*site.headers(token, path="/fresh"), path="/fresh")
    expected = challenges(site, 'error="insufficient_user_authentication", max_age="60"')
    assert answer.all("www-authenticate") == expected
    site.app.get("/strong", dependencies=[Depends(site.sessions.require_level("aal2", "aal3"))])(orders)
    answer = await site.get(*site.headers(token, path="/strong"), path="/strong")
    expected = challenges(site, 'error="insufficient_user_authentication", acr_values="aal2 aal3"')
    assert answer.all("www-authenticate") == expected


async def test_an_answer_of_the_application_is_left_alone(site: DPoPSite) -> None:
    """Another scheme's challenge, and an endpoint that asks for no session."""

    @site.app.get("/basic")
    async def basic(manager: site.manager) -> None:  # type: ignore[name-defined]
        raise HTTPException(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    @site.app.get("/plain")
    async def plain() -> None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer x"})

    assert (await site.get(path="/basic")).all("www-authenticate") == ['Basic realm="x"']
    assert (await site.get(path="/plain")).all("www-authenticate") == ["Bearer x"]


async def test_a_good_answer_says_nothing(site: DPoPSite) -> None:
    """No challenge and no nonce, if none is asked for."""
    answer = await site.get(*site.headers(await site.bound_token()))
    assert answer.status == 200
    assert not answer.all("www-authenticate") + answer.all("dpop-nonce") + answer.all("access-control-expose-headers")


async def test_a_client_gets_the_nonce_by_a_401_and_then_by_each_answer(nonces: DPoPSite) -> None:
    """RFC 9449 sections 8 and 9: the client tries once more, and the next proofs have the newest nonce."""
    answer = await nonces.log_in_with_proof()
    assert answer.all("www-authenticate") == ['DPoP error="use_dpop_nonce", algs="ES256 EdDSA"']
    (nonce,) = answer.all("dpop-nonce")
    answer = await nonces.log_in_with_proof(nonce=nonce)
    assert (answer.status, answer.all("dpop-nonce")) == (200, [nonce])
    token = answer.json()["access_token"]
    nonces.clock.advance(60)
    answer = await nonces.get(*nonces.headers(token, nonce=nonce))
    (newer,) = answer.all("dpop-nonce")
    assert (answer.status, newer != nonce) == (200, True)
    nonces.clock.advance(60)
    answer = await nonces.get(*nonces.headers(token, nonce=nonce))
    assert (answer.status, answer.json()["code"]) == (401, "use_dpop_nonce")
    assert (await nonces.get(*nonces.headers(token, nonce=newer))).status == 200


async def test_a_proof_that_lacks_a_nonce_is_not_used_up(nonces: DPoPSite) -> None:
    """The same client may not send it again with a nonce, but nothing was stored for it."""
    (nonce,) = (await nonces.log_in_with_proof()).all("dpop-nonce")
    assert (await nonces.log_in_with_proof(nonce=nonce, jti="proof 0")).status == 200


async def test_a_client_without_proofs_gets_no_nonce_but_by_a_401(nonces: DPoPSite) -> None:
    """A bearer's answers stay as they were."""
    token = await nonces.bearer_token()
    assert not (await nonces.get(("authorization", f"Bearer {token}"))).all("dpop-nonce")
    assert len((await nonces.get()).all("dpop-nonce")) == 1


async def test_a_socket_that_is_refused_for_its_nonce_gets_one(nonces: DPoPSite) -> None:
    """By the handshake's answer."""
    token_answer = await nonces.log_in_with_proof(nonce=(await nonces.get()).all("dpop-nonce")[0])
    headers = nonces.headers(token_answer.json()["access_token"], path="/socket")
    scope = scope_of("GET", "/socket", headers, kind="websocket", scheme="wss")
    scope["extensions"] = {"websocket.http.response": {}}
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await nonces.app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 401
    assert b"dpop-nonce" in dict(sent[0]["headers"])  # type: ignore[call-overload]


async def test_scripts_of_other_origins_may_read_what_they_need(nonces: DPoPSite) -> None:
    """Only where there is an origin; and CORS of the application, which is outside, keeps it."""
    exposed = "access-control-expose-headers"
    origin = ("origin", "https://app.example.com")
    for headers in ([], [("dpop", nonces.proof())]):
        assert (await nonces.get(origin, *headers)).all(exposed) == ["WWW-Authenticate, DPoP-Nonce"]
        assert (await nonces.get(*headers)).all(exposed) == []
    token = await nonces.bearer_token()
    assert (await nonces.get(origin, ("authorization", f"Bearer {token}"))).all(exposed) == []
    other = DPoPSite()
    other.app.add_middleware(CORSMiddleware, allow_origins=["https://app.example.com"])
    async with other.running():
        answer = await other.get(origin)
        assert answer.all("access-control-allow-origin") == ["https://app.example.com"]
        assert answer.all(exposed) == ["WWW-Authenticate, DPoP-Nonce"]


async def test_two_providers_do_not_say_it_twice() -> None:
    """The second one finds the challenge of the first."""
    first = ProofAnswers(["ES256"], None, required=False, sent=True, has_origin=True)
    once = first([(b"WWW-Authenticate", b'Bearer realm="session"')])
    assert first(once) == once
    assert len(once) == 3


async def test_a_manager_of_a_middleware_completes_the_answer_too() -> None:
    """Its answer is there only later."""
    site = DPoPSite()

    @site.app.middleware("http")
    async def look(request, call_next):  # type: ignore[no-untyped-def]
        await site.sessions.get_manager(request)
        return await call_next(request)

    async with site.running():
        assert (await site.get()).all("www-authenticate") == ['Bearer realm="session"', f'{ALGS}, realm="session"']
