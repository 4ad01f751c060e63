"""Tests of jwtsession.web.proofs.request_proof and checks: a provider whose tokens may be bound to keys."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Depends
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request

from jwtsession import (
    ConfigurationError,
    InvalidTokenError,
    SessionProvider,
    StoreUnavailableError,
)
from jwtsession.testing import InspectableStore
from tests.asgi import Answer, ask, call, scope_of
from tests.conftest import SECRET, Clock
from tests.keymaterial import private_key
from tests.proofs import PUBLIC_URL
from tests.unit.web.dpop_site import DPoPSite
from tests.unit.web.site import UserSession

OTHER = private_key("ES256", 2)


@pytest.fixture
async def site() -> AsyncIterator[DPoPSite]:
    site = DPoPSite(token_sources=("bearer", "header", "query", "body", "cookie"))
    async with site.running():
        yield site


@pytest.fixture
async def strict() -> AsyncIterator[DPoPSite]:
    site = DPoPSite("required")
    async with site.running():
        yield site


def is_refused(answer: Answer, code: str) -> bool:
    return (answer.status, answer.json().get("code")) == (401, code)


# --- logins ----------------------------------------------------------------------------------------------------------


async def test_the_token_of_a_login_with_a_proof_is_bound(site: DPoPSite) -> None:
    """It says so, its session is found with a proof, and the manager tells; without a proof nothing is bound."""
    token = await site.bound_token()
    assert (await site.get(*site.headers(token))).status == 200
    assert (await site.get(*site.headers(token, path="/bound"), path="/bound")).json() is True
    bearer = await site.bearer_token()
    assert (await site.get(("authorization", f"Bearer {bearer}"), path="/bound")).json() is False
    assert (await site.get(path="/bound")).json() is False


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"method": "GET"}, "proof_method"),
        ({"url": "https://evil.example.com/session"}, "proof_url"),
        ({"iat": 1_800_000_000 - 61}, "proof_expired"),
        ({"iat": 1_800_000_000 + 6}, "proof_expired"),
        ({"header": {"alg": "HS256"}}, "proof_algorithm"),
    ],
)
async def test_a_login_with_a_wrong_proof_stores_nothing(site: DPoPSite, wrong: dict[str, Any], code: str) -> None:
    """It is a 401, also where a proof is optional: a client that sends one wants to be bound."""
    method = wrong.pop("method", "POST")
    answer = await ask(site.app, "POST", "/session", ("dpop", site.proof(method, **wrong)))
    assert is_refused(answer, code)
    assert site.store.contents == {}


async def test_a_proof_of_a_login_is_good_once(site: DPoPSite) -> None:
    """The second login with it is a 401, and stores nothing."""
    proof = ("dpop", site.proof("POST"))
    assert (await ask(site.app, "POST", "/session", proof)).status == 200
    assert is_refused(await ask(site.app, "POST", "/session", proof), "proof_replayed")
    assert len(site.store.contents) == 1


async def test_two_logins_of_one_request_have_one_proof(site: DPoPSite) -> None:
    """The request has used it already: both tokens are bound. So it is with a login by a request with a session."""

    @site.app.post("/twice")
    async def twice(manager: site.manager) -> list[str]:  # type: ignore[name-defined]
        return [(await manager.create(UserSession())).token_type for _ in range(2)]

    answer = await ask(site.app, "POST", "/twice", ("dpop", site.proof("POST", "/twice")))
    assert answer.json() == ["DPoP", "DPoP"]
    token = await site.bound_token()
    assert (await ask(site.app, "POST", "/session", *site.headers(token, "POST"))).json()["token_type"] == "DPoP"


async def test_where_keys_are_required_a_login_without_a_proof_is_refused(strict: DPoPSite) -> None:
    """The login's endpoint answers 401, and nothing is stored."""
    assert is_refused(await ask(strict.app, "POST", "/session"), "proof_missing")
    assert strict.store.contents == {}


async def test_a_bound_token_is_in_no_cookie(site: DPoPSite) -> None:
    """It is in the body, also if the cookie is the default or the client asks for it. If the application chooses the
    cookie, the token there is not bound, and says so.
    """
    cookies = DPoPSite(token_sources=("cookie", "bearer"))
    async with cookies.running():
        for asked in ([], [("session-transport", "cookie")]):
            answer = await cookies.log_in_with_proof(asked)
            assert (answer.status, answer.json()["token_type"], answer.cookies) == (200, "DPoP", [])
        own = [("origin", PUBLIC_URL), ("host", "api.example.com"), ("sec-fetch-site", "same-origin")]
        answer = await cookies.log_in_with_proof(own, "transport=cookie")
        assert (answer.status, answer.json()["token_type"], len(answer.cookies)) == (200, "cookie", 1)


async def test_a_regenerated_token_is_bound_to_the_same_key(site: DPoPSite) -> None:
    """Another key's proof is refused with it, and the old token is gone."""
    token = await site.bound_token()
    answer = await ask(site.app, "POST", "/session/move", *site.headers(token, "POST", "/session/move"))
    assert answer.json()["token_type"] == "DPoP"
    new = answer.json()["access_token"]
    assert (await site.get(*site.headers(new))).status == 200
    assert is_refused(await site.get(*site.headers(new, key=OTHER)), "proof_key_mismatch")
    assert (await site.get(*site.headers(token))).status == 401


# --- the ways in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
async def test_the_scheme_is_read_in_any_case(site: DPoPSite, scheme: str) -> None:
    """RFC 9110 section 11.1."""
    token = await site.bound_token()
    proof = ("dpop", site.proof(token=token))
    assert (await site.get(("authorization", f"{scheme} {token}"), proof)).status == 200


async def test_a_bound_token_comes_by_its_scheme_alone(site: DPoPSite) -> None:
    """As a bearer token, in the header, the query, a body or a cookie it is refused, even with a good proof."""
    token = await site.bound_token()
    for headers, options in (
        ([("authorization", f"Bearer {token}")], {}),
        ([("x-access-token", token)], {}),
        ([], {"query": f"accessToken={token}"}),
        ([("cookie", f"{site.cookie_name}={token}"), ("host", "x"), ("sec-fetch-site", "same-origin")], {}),
    ):
        proof = ("dpop", site.proof(token=token))
        assert is_refused(await site.get(*headers, proof, **options), "token_bound")  # type: ignore[arg-type]
    body = b"accessToken=" + token.encode()
    kind = [("content-type", "application/x-www-form-urlencoded"), ("content-length", str(len(body)))]
    proof = ("dpop", site.proof("POST", "/form", token=token))
    assert is_refused(await ask(site.app, "POST", "/form", *kind, proof, body=body), "token_bound")


async def test_a_token_that_is_not_bound_does_not_come_by_the_scheme(site: DPoPSite) -> None:
    """RFC 9449 section 7.1: the scheme is for bound tokens."""
    token = await site.bearer_token()
    assert is_refused(await site.get(*site.headers(token)), "token_unbound")
    assert (await site.get(("authorization", f"Bearer {token}"))).status == 200


async def test_where_keys_are_required_a_token_that_is_not_bound_is_refused(clock: Clock) -> None:
    """In whichever way it comes: it was issued before the setting was changed."""
    before, after = DPoPSite(store=(store := InspectableStore(clock))), DPoPSite("required", store=store)
    async with before.running():
        token = await before.bearer_token()
    async with after.running():
        for header in (("authorization", f"Bearer {token}"), ("x-access-token", token)):
            assert is_refused(await after.get(header), "token_unbound")
        assert is_refused(await after.get(*after.headers(token)), "token_unbound")
        assert (await after.get(*after.headers(await after.bound_token()))).status == 200


async def test_one_token_by_two_schemes_is_two(site: DPoPSite) -> None:
    """It is a 400, in either order; twice by the same scheme it is one."""
    token = await site.bound_token()
    dpop, proof = site.headers(token)
    bearer = ("authorization", f"Bearer {token}")
    assert (await site.get(dpop, bearer, proof)).status == 400
    assert (await site.get(bearer, dpop, proof)).status == 400
    assert (await site.get(dpop, dpop, proof)).status == 200


async def test_without_the_setting_the_scheme_is_no_token() -> None:
    """Nothing is looked for there, and no proof is looked at: a bound token is refused as it was before."""
    bound = DPoPSite()
    async with bound.running():
        token = await bound.bound_token()
    site = DPoPSite("off")
    async with site.running():
        assert is_refused(await site.get(*site.headers(token)), "missing_token")
        assert is_refused(await site.get(("authorization", f"Bearer {token}")), "token_bound")
        answer = await site.log_in_with_proof()
        assert answer.json()["token_type"] == "bearer"


# --- proofs ----------------------------------------------------------------------------------------------------------


async def test_each_request_needs_its_own_proof(site: DPoPSite) -> None:
    """Without one, with two, of another key, another token, another method, with a proof that was used."""
    token, other = await site.bound_token(), await site.bound_token()
    scheme, proof = site.headers(token)
    assert is_refused(await site.get(scheme), "proof_missing")
    assert is_refused(await site.get(scheme, proof, ("dpop", site.proof(token=token))), "proof_malformed")
    assert is_refused(await site.get(scheme, ("dpop", site.proof(token=token, key=OTHER))), "proof_key_mismatch")
    assert is_refused(await site.get(scheme, ("dpop", site.proof(token=other))), "proof_token")
    assert is_refused(await site.get(scheme, ("dpop", site.proof())), "proof_claims")
    assert is_refused(await site.get(scheme, ("dpop", site.proof("POST", token=token))), "proof_method")
    assert (await site.get(scheme, proof)).status == 200
    assert is_refused(await site.get(scheme, proof), "proof_replayed")
    assert (await site.get(*site.headers(token))).status == 200


async def test_who_has_not_the_key_can_not_end_the_session(site: DPoPSite) -> None:
    """Neither by a logout nor by a login of his own, nor is he let in where a genuine token is enough."""

    @site.app.get("/genuine", dependencies=[Depends(site.sessions.get_required_manager)])
    async def genuine() -> None: ...

    token = await site.bound_token()
    used = site.headers(token, "DELETE")
    assert (await ask(site.app, "DELETE", "/session", *used[:1], used[1])).status == 204
    token = await site.bound_token()
    for headers in ([("authorization", f"Bearer {token}")], [("authorization", f"DPoP {token}")], used):
        assert (await ask(site.app, "DELETE", "/session", *headers)).status == 401
        assert (await ask(site.app, "POST", "/session", headers[0])).status == 200
        assert (await site.get(*headers, path="/genuine")).status == 401
    thief = ("dpop", site.proof("DELETE", token=token, key=OTHER))
    assert (await ask(site.app, "DELETE", "/session", ("authorization", f"DPoP {token}"), thief)).status == 401
    assert (await site.get(*site.headers(token))).status == 200
    assert (await ask(site.app, "DELETE", "/session", *site.headers(token, "DELETE"))).status == 204


async def test_a_proof_is_used_also_by_a_request_whose_session_is_gone(site: DPoPSite) -> None:
    """And a refused proof is not used up."""
    token = await site.bound_token()
    ((session_id, _),) = site.store.contents.items()
    await site.store.destroy(session_id)
    headers = site.headers(token)
    assert is_refused(await site.get(*headers), "session_not_found")
    assert is_refused(await site.get(*headers), "proof_replayed")


async def test_of_many_requests_with_one_proof_one_is_let_in(site: DPoPSite) -> None:
    """At the same time."""
    headers = site.headers(await site.bound_token())
    answers = await asyncio.gather(*(site.get(*headers) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 9


async def test_the_same_jti_of_two_clients_is_two_proofs(site: DPoPSite) -> None:
    """Each client chooses its own."""
    token = await site.bound_token()
    other = (await site.log_in_with_proof(key=OTHER)).json()["access_token"]
    assert (await site.get(*site.headers(token, jti="1"))).status == 200
    assert (await site.get(*site.headers(other, jti="1", key=OTHER))).status == 200
    assert is_refused(await site.get(*site.headers(token, jti="1")), "proof_replayed")


async def test_without_replay_a_proof_is_good_as_long_as_it_is_new() -> None:
    """The store is asked for the session alone, and then it need not know proofs."""
    site = DPoPSite(dpop={"replay": False}, store=StoreWithoutProofs())
    async with site.running():
        headers = site.headers(await site.bound_token())
        assert [(await site.get(*headers)).status for _ in range(3)] == [200] * 3
        site.clock.advance(61)
        assert is_refused(await site.get(*headers), "proof_expired")


async def test_a_proof_is_remembered_longer_than_it_is_good(site: DPoPSite) -> None:
    """From the earliest moment that it is accepted to the last: `leeway` and `max_age`."""
    headers = site.headers(await site.bound_token(), iat=site.clock() + 5)
    assert (await site.get(*headers)).status == 200
    for seconds, code in ((64, "proof_replayed"), (2, "proof_expired"), (60, "proof_expired")):
        site.clock.advance(seconds)
        assert is_refused(await site.get(*headers), code)


@pytest.mark.parametrize("space", ["", " ", "\t"])
async def test_a_middleware_and_an_endpoint_use_the_same_proof(space: str) -> None:
    """Also if a middleware in between changes the headers, so that the manager is made again.

    Some servers leave white space at the end of a header.
    """

    async def look(request: Request, call_next: Any) -> Any:
        await site.sessions.get_manager(request)
        request.scope["headers"] = [*request.scope["headers"], (b"x-request-id", b"1")]
        return await call_next(request)

    site = DPoPSite()
    site.app.add_middleware(BaseHTTPMiddleware, dispatch=look)
    async with site.running():
        authorization, (name, proof) = site.headers(await site.bound_token())
        headers = authorization, (name, proof + space)
        assert (await site.get(*headers)).status == 200
        assert is_refused(await site.get(*headers), "proof_replayed")


async def test_the_proof_of_an_earlier_request_is_none_in_a_scope_that_is_used_again(site: DPoPSite) -> None:
    """A driver may do that. The next request's headers are other objects, even if they are equal."""
    token = await site.bound_token()
    headers = site.headers(token)
    scope = scope_of("GET", "/session", headers)
    assert (await call(site.app, scope)).status == 200
    scope["headers"] = [(bytes(bytearray(name)), bytes(bytearray(value))) for name, value in scope["headers"]]
    assert is_refused(await call(site.app, scope), "proof_replayed")
    scope["headers"] = scope["headers"][:1]
    assert is_refused(await call(site.app, scope), "proof_missing")


async def test_two_providers_of_the_same_sessions_use_one_proof_of_a_request() -> None:
    """The second one does not take it for a replay."""
    site = DPoPSite()
    other = SessionProvider(
        UserSession,
        secret=SECRET,
        store=site.store,
        clock=site.clock,
        shares_sessions_with=site.sessions,
        request_key="other",
        public_url=PUBLIC_URL,
        dpop={"mode": "required"},
    )

    @site.app.get("/both")
    async def both(request: Request) -> list[int]:
        return [(await each.get_session(request)).user_id for each in (site.sessions, other)]

    async with site.running(), other:
        headers = site.headers(await site.bound_token(), path="/both")
        assert (await site.get(*headers, path="/both")).json() == [1, 1]
        assert is_refused(await site.get(*headers, path="/both"), "proof_replayed")


async def test_a_store_that_is_down_is_a_503_and_no_replay() -> None:
    """For a load and for a login; nothing is stored."""
    site = DPoPSite(store=BrokenStore(Clock()))
    async with site.running():
        site.store.is_down = False  # type: ignore[attr-defined]
        token = await site.bound_token()
        site.store.is_down = True  # type: ignore[attr-defined]
        assert (await site.get(*site.headers(token))).status == 503
        assert (await site.log_in_with_proof()).status == 503
        assert len(site.store.contents) == 1


async def test_a_store_that_knows_no_proofs_is_refused_at_the_start() -> None:
    """The message names the setting."""
    with pytest.raises(ConfigurationError, match=r"dpop\.replay: StoreWithoutProofs .* ReplayStore"):
        DPoPSite(store=StoreWithoutProofs())


async def test_rotation_leaves_bound_tokens_as_they_are() -> None:
    """And replaces the others of the same provider."""
    site = DPoPSite(rotation={"after": 10})
    async with site.running():
        bound, bearer = await site.bound_token(), await site.bearer_token()
        for _ in range(3):
            site.clock.advance(11)
            answer = await site.get(*site.headers(bound))
            assert (answer.status, answer.all("session-token")) == (200, [])
        (successor,) = (await site.get(("authorization", f"Bearer {bearer}"))).all("session-token")
        assert (await site.get(("authorization", f"Bearer {successor}"))).status == 200
        headers = site.headers(bound)
        assert (await site.get(*headers)).status == 200
        assert is_refused(await site.get(*headers), "proof_replayed")


async def test_a_client_that_asks_to_replace_a_bound_token_gets_the_same_one() -> None:
    """A client may do so at any time, so it is no error. The token of a bearer client is replaced."""
    site = DPoPSite(rotation={"after": 10})
    site.app.include_router(site.sessions.refresh_router())
    async with site.running():
        bound, bearer = await site.bound_token(), await site.bearer_token()
        for _ in range(2):
            answer = await ask(site.app, "POST", "/session/refresh", *site.headers(bound, "POST", "/session/refresh"))
            assert (answer.status, answer.all("session-token")) == (200, [])
            assert (answer.json()["access_token"], answer.json()["token_type"]) == (bound, "DPoP")
        assert (await site.get(*site.headers(bound))).status == 200
        answer = await ask(site.app, "POST", "/session/refresh", ("authorization", f"Bearer {bearer}"))
        assert (answer.status, answer.json()["token_type"]) == (200, "bearer")
        assert answer.json()["access_token"] != bearer


async def test_the_replaced_token_of_a_bound_session_is_a_reuse_only_with_its_key(site: DPoPSite) -> None:
    """Nobody else can cause what is done at a reuse: not even by a stolen token."""
    token = await site.bound_token()
    await ask(site.app, "POST", "/session/move", *site.headers(token, "POST", "/session/move"))
    site.clock.advance(11)
    assert is_refused(await site.get(("authorization", f"Bearer {token}")), "token_bound")
    assert is_refused(await site.get(*site.headers(token, key=OTHER)), "proof_key_mismatch")
    assert is_refused(await site.get(*site.headers(token)), "token_reused")


# --- WebSockets, tickets, messages -----------------------------------------------------------------------------------


async def handshake(site: DPoPSite, *headers: Any, query: str = "") -> Answer:
    return await call(site.app, scope_of("GET", "/socket", headers, query=query, kind="websocket", scheme="wss"))


async def test_a_socket_opens_with_a_proof_for_its_url_with_http(site: DPoPSite) -> None:
    """The handshake is a GET; what a browser's script can send is refused for a bound token."""
    token = await site.bound_token()
    assert (await handshake(site, *site.headers(token, path="/socket"))).accepted
    assert not (await handshake(site, *site.headers(token, path="/session"))).accepted
    assert not (await handshake(site, *site.headers(token, "CONNECT", path="/socket"))).accepted
    assert not (await handshake(site, ("sec-websocket-protocol", f"jwtsession, jwtsession.token.{token}"))).accepted
    assert not (await handshake(site, ("authorization", f"Bearer {token}"))).accepted


async def test_a_ticket_of_a_bound_session_opens_a_socket_without_a_proof(strict: DPoPSite) -> None:
    """Who asked for it has shown the key. It is good once, for thirty seconds."""
    token = await strict.bound_token()
    ticket = (await ask(strict.app, "POST", "/ticket", *strict.headers(token, "POST", "/ticket"))).json()["ticket"]
    assert (await handshake(strict, query=f"ticket={ticket}")).accepted
    assert not (await handshake(strict, query=f"ticket={ticket}")).accepted


async def test_a_bound_token_in_a_message_is_refused(site: DPoPSite) -> None:
    """A message has no proof."""
    with pytest.raises(InvalidTokenError) as refused:
        await site.sessions.authenticate(await site.bound_token())
    assert refused.value.code == "token_bound"
    assert (await site.sessions.authenticate(await site.bearer_token())).session is not None


class StoreWithoutProofs(InspectableStore):
    """A store of somebody who knows nothing of proofs."""

    def __init__(self) -> None:
        super().__init__(Clock())

    load_once = proof_add = None  # type: ignore[assignment]


class BrokenStore(InspectableStore):
    """A store whose server may be down for proofs."""

    is_down = True

    async def load_once(self, session_id: str, ttl: int | None, proof: str, window: int) -> tuple[bytes | None, bool]:
        if self.is_down:
            raise StoreUnavailableError
        return await super().load_once(session_id, ttl, proof, window)

    async def proof_add(self, proof: str, window: int) -> bool:
        if self.is_down:
            raise StoreUnavailableError
        return await super().proof_add(proof, window)
