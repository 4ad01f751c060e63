"""Silent rotation: which answers take a new token to the client, and how."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import jwt
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Response, WebSocket
from starlette.responses import FileResponse, JSONResponse, StreamingResponse

from jwtsession import ConfigurationError, InvalidArgumentError, SessionMiddleware, StoreUnavailableError, Token
from jwtsession.stores import Generation
from jwtsession.testing import InspectableStore
from tests.asgi import Answer, Header, ask, call, scope_of
from tests.conftest import Clock
from tests.keymaterial import pem, private_key

from .site import NAME, OWN, Site, UserSession, value_of

AFTER, GRACE = 900, 30


def make(clock: Clock, **options: Any) -> Site:
    rotation = {"after": AFTER, "grace": GRACE} | options.pop("rotation", {})
    return Site(clock, rotation=rotation, **options)


@pytest.fixture
async def site(clock: Clock) -> AsyncIterator[Site]:
    async with make(clock).running() as site:
        yield site


def gen(token: str) -> Any:
    """The generation of a token."""
    return jwt.decode(token, options={"verify_signature": False})["gen"]


def said(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def get(site: Site, token: str, *headers: Header, path: str = "/session", method: str = "GET") -> Answer:
    """A request with a bearer token."""
    return await ask(site.app, method, path, ("authorization", f"Bearer {token}"), *headers)


def held(site: Site) -> Generation | None:
    """The newest generation of the site's one session."""
    (newest,) = site.store.generations.values()
    return Generation(newest.number, newest.used)


# --- by the cookie ----------------------------------------------------------------------------------------------------


async def test_a_young_cookie_stays(site: Site) -> None:
    """Until it has the age."""
    token = await site.log_in()
    site.clock.advance(AFTER - 1)
    assert (await site.ask("GET", "/session", cookie=token)).cookies == []


async def test_an_old_cookie_is_replaced_by_any_answer(site: Site) -> None:
    """The new one is as the old one, with its attributes, its end and its claims. It is the session's. No cache."""
    token = await site.log_in()
    site.clock.advance(AFTER)
    answer = await site.ask("GET", "/session", cookie=token)
    assert (answer.status, answer.json()) == (200, {"user_id": 1})
    (cookie,) = answer.cookies
    new = value_of(answer)
    assert cookie == f"{NAME}={new}; Max-Age={5000 - AFTER}; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert answer.all("session-token") == []
    assert answer.all("cache-control") == ["no-store"]
    assert said(new) == said(token) | {"gen": 1, "iat": said(token)["iat"] + AFTER - 5}
    answer = await site.ask("GET", "/session", cookie=new)
    assert (answer.status, answer.cookies) == (200, [])


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_replaced_cookie_outlives_the_browser_if_the_old_one_did(site: Site, persistent: bool) -> None:
    """What `create(persistent=)` chose."""
    token = await site.log_in(f"persistent={persistent}")
    site.clock.advance(AFTER)
    (cookie,) = (await site.ask("GET", "/session", cookie=token)).cookies
    assert ("Max-Age" in cookie) is persistent


async def test_parallel_requests_with_one_old_cookie_get_one_new_generation(site: Site) -> None:
    """Ten tabs: each gets the same generation, and whichever cookie stays in the browser is good."""
    token = await site.log_in()
    site.clock.advance(AFTER)
    answers = await asyncio.gather(*(site.ask("GET", "/session", cookie=token) for _ in range(10)))
    tokens = {value_of(answer) for answer in answers}
    assert {gen(each) for each in tokens} == {1}
    for each in tokens:
        assert (await site.ask("GET", "/session", cookie=each)).status == 200
    assert [event.name for event in site.events].count("rotated") <= 1


async def test_the_next_answer_takes_the_cookie_that_was_lost(site: Site) -> None:
    """Whenever that is, as long as nobody has used it; then the old one is good for the grace, and gets nothing."""
    token = await site.log_in()
    site.clock.advance(AFTER)
    await site.ask("GET", "/session", cookie=token)
    site.clock.advance(1000)
    new = value_of(await site.ask("GET", "/session", cookie=token))
    assert gen(new) == 1
    assert (await site.ask("GET", "/session", cookie=new)).status == 200
    answer = await site.ask("GET", "/session", cookie=token)
    assert (answer.status, answer.cookies) == (200, [])
    site.clock.advance(GRACE)
    answer = await site.ask("GET", "/session", cookie=token)
    assert (answer.status, answer.json(), answer.cookies) == (401, {"detail": "Not authenticated"}, [])


async def test_a_rotation_is_an_event(clock: Clock) -> None:
    """Once, by the session's handle; a token that is handed out again is none."""
    site = make(clock)
    async with site.running():
        token = await site.log_in()
        clock.advance(AFTER)
        for _ in range(2):
            await site.ask("GET", "/session", cookie=token)
    created, rotated = site.events
    assert (created.name, rotated.name, rotated.handle) == ("created", "rotated", created.handle)
    assert (rotated.code, rotated.client) == (None, "127.0.0.1")


# --- by the header ----------------------------------------------------------------------------------------------------


async def test_a_bearer_token_is_replaced_by_the_header(site: Site) -> None:
    """And no cookie is set. The answer may not be cached."""
    token = await site.token()
    site.clock.advance(AFTER)
    answer = await get(site, token)
    (new,) = answer.all("session-token")
    assert gen(new) == 1
    assert answer.cookies == answer.all("access-control-expose-headers") == []
    assert answer.all("cache-control") == ["no-store"]
    assert (await get(site, new)).all("session-token") == []


async def test_a_page_of_another_origin_may_read_the_header(site: Site) -> None:
    """It stands in the list of CORS, beside what the endpoint puts there, and once."""

    @site.app.get("/own")
    async def own(session: site.session, response: Response) -> None:  # type: ignore[name-defined]
        response.headers["Access-Control-Expose-Headers"] = "X-Own"

    token = await site.token()
    site.clock.advance(AFTER)
    origin = ("origin", "https://app.example.com")
    assert (await get(site, token, origin)).all("access-control-expose-headers") == ["Session-Token"]
    assert (await get(site, token, origin, path="/own")).all("access-control-expose-headers") == [
        "X-Own, Session-Token"
    ]


async def test_every_kind_of_answer_takes_the_token(site: Site, tmp_path: Any) -> None:
    """A `Response` of the endpoint's own, a stream, a file, a redirect, an answer without a body, a mounted app's."""
    app = site.app
    (tmp_path / "file").write_text("file")

    @app.get("/response")
    async def response(session: site.session) -> Response:  # type: ignore[name-defined]
        return JSONResponse({}, headers={"Cache-Control": "private"})

    @app.get("/stream")
    async def stream(session: site.session) -> Response:  # type: ignore[name-defined]
        return StreamingResponse(iter(["a", "b"]))

    @app.get("/file")
    async def file(session: site.session) -> Response:  # type: ignore[name-defined]
        return FileResponse(tmp_path / "file")

    @app.get("/see")
    async def see(session: site.session) -> Response:  # type: ignore[name-defined]
        return Response(status_code=303, headers={"Location": "/"})

    @app.get("/empty", status_code=204)
    async def empty(session: site.session) -> None:  # type: ignore[name-defined]
        pass

    @app.get("/threaded")
    def threaded(session: site.session) -> None:  # type: ignore[name-defined]
        pass

    mounted = FastAPI(lifespan=site.sessions.lifespan)

    @mounted.get("/inner")
    async def inner(session: site.session) -> None:  # type: ignore[name-defined]
        pass

    app.mount("/mounted", mounted)
    token = await site.token()
    site.clock.advance(AFTER)
    for path in ("/response", "/stream", "/file", "/see", "/empty", "/threaded", "/mounted/inner"):
        answer = await get(site, token, path=path)
        assert answer.status < 400
        (new,) = answer.all("session-token")
        assert gen(new) == 1
        assert answer.all("cache-control") == ["private, no-store" if path == "/response" else "no-store"]


@pytest.mark.parametrize("reads", [False, True], ids=["middleware alone", "and the endpoint"])
async def test_a_middleware_that_asks_for_the_manager_gets_the_token_out_too(clock: Clock, reads: bool) -> None:
    """The answer is there only later, and takes the token once, by the cookie and by the header."""
    site = make(clock)

    @site.app.middleware("http")
    async def look(request: Request, call_next: Any) -> Any:
        await site.sessions.get_manager(request)
        return await call_next(request)

    @site.app.get("/plain")
    async def plain() -> None:
        pass

    path = "/session" if reads else "/plain"
    async with site.running():
        token, cookie = await site.token(), await site.log_in()
        clock.advance(AFTER)
        answer = await get(site, token, path=path)
        assert [gen(each) for each in answer.all("session-token")] == [1]
        assert answer.all("cache-control") == ["no-store"]
        answer = await site.ask("GET", path, cookie=cookie)
        assert gen(value_of(answer)) == 1
        assert answer.all("session-token") == []


async def test_two_middlewares_around_one_answer_take_the_token_once(clock: Clock) -> None:
    """Whoever has added `SessionMiddleware` too has one cookie, and one header."""
    site = make(clock)

    @site.app.middleware("http")
    async def look(request: Request, call_next: Any) -> Any:
        await site.sessions.get_manager(request)
        return await call_next(request)

    site.app.add_middleware(SessionMiddleware)
    async with site.running():
        token, cookie = await site.token(), await site.log_in()
        clock.advance(AFTER)
        assert len((await get(site, token)).all("session-token")) == 1
        assert len((await site.ask("GET", "/session", cookie=cookie)).cookies) == 1


async def test_a_token_in_the_body_is_replaced_too(clock: Clock) -> None:
    """Also if a middleware asked for the manager first, which must not read the body."""
    site = make(clock, token_sources=("bearer", "body"))

    @site.app.middleware("http")
    async def look(request: Request, call_next: Any) -> Any:
        await site.sessions.get_manager(request)
        return await call_next(request)

    @site.app.post("/read")
    async def read(session: site.session) -> None:  # type: ignore[name-defined]
        pass

    async with site.running():
        token = await site.token()
        clock.advance(AFTER)
        body = b'{"accessToken": "%s"}' % token.encode()
        headers = (("content-type", "application/json"), ("content-length", str(len(body))))
        answer = await ask(site.app, "POST", "/read", *headers, body=body)
        assert (answer.status, [gen(each) for each in answer.all("session-token")]) == (200, [1])


# --- which answers take none ------------------------------------------------------------------------------------------


async def test_an_error_takes_no_token(site: Site) -> None:
    """The generation has begun, and the next good answer takes it."""

    @site.app.get("/error")
    async def error(session: site.session) -> None:  # type: ignore[name-defined]
        raise HTTPException(418)

    token = await site.token()
    site.clock.advance(AFTER)
    answer = await get(site, token, path="/error")
    assert (answer.status, answer.all("session-token")) == (418, [])
    assert gen((await get(site, token)).all("session-token")[0]) == 1


async def test_a_conflict_that_takes_the_answers_place_takes_no_token(site: Site) -> None:
    """`get_editable_session` could not store: the 409 is an error as any other."""
    editable = Depends(site.sessions.get_editable_session)

    @site.app.post("/edit")
    async def edit(session: UserSession = editable) -> None:
        session.user_id += 1
        (session_id,) = site.store.contents
        site.store.put(session_id, b'{"user_id": 7}')

    token = await site.token()
    site.clock.advance(AFTER)
    answer = await get(site, token, path="/edit", method="POST")
    assert (answer.status, answer.all("session-token")) == (409, [])


@pytest.mark.parametrize("verb", ["create", "regenerate", "refresh", "destroy"])
async def test_a_request_that_gets_another_token_or_ends_the_session_takes_none(site: Site, verb: str) -> None:
    """The answer has the verb's cookie, and no other."""

    @site.app.post("/verb")
    async def run(manager: site.manager) -> Any:  # type: ignore[name-defined]
        return await (manager.create(UserSession()) if verb == "create" else getattr(manager, verb)())

    cookie = await site.log_in()
    site.clock.advance(AFTER)
    answer = await site.ask("POST", "/verb", cookie=cookie)
    assert answer.all("session-token") == []
    (set_cookie,) = answer.cookies
    if verb == "destroy":
        assert set_cookie.startswith(f"{NAME}=;")
    else:
        assert gen(value_of(answer)) == (1 if verb == "refresh" else 0)


@pytest.mark.parametrize("by", ["cookie", "bearer"])
@pytest.mark.parametrize("verb", ["destroy", "regenerate"])
async def test_a_session_that_another_request_has_ended_or_moved_gets_no_token(
    site: Site, verb: str, by: Literal["cookie", "bearer"]
) -> None:
    """That request's answer may be there first, and the browser would lose its new cookie. Nothing is brought back."""
    other: dict[str, Any] = {}

    @site.app.get("/slow")
    async def slow(session: site.session) -> None:  # type: ignore[name-defined]
        path, method = ("/session/move", "POST") if verb == "regenerate" else ("/session", "DELETE")
        other["answer"] = await site.ask(method, path, cookie=token)

    token = await site.log_in()
    site.clock.advance(AFTER)
    if by == "cookie":
        answer = await site.ask("GET", "/slow", cookie=token)
    else:
        answer = await get(site, token, path="/slow")
    assert (answer.status, answer.cookies, answer.all("session-token")) == (200, [], [])
    assert len(site.store.contents) == (1 if verb == "regenerate" else 0)
    if verb == "regenerate":
        assert (await site.ask("GET", "/session", cookie=value_of(other["answer"]))).status == 200


@pytest.mark.parametrize("by", ["cookie", "bearer"])
async def test_an_answer_that_is_overtaken_by_the_next_generation_has_no_token(site: Site, by: str) -> None:
    """A long poll: its older token would take the place of the newer one in the browser, and be a reuse there."""
    others: list[str] = []

    @site.app.get("/poll")
    async def poll(session: site.session) -> None:  # type: ignore[name-defined]
        for _ in range(2):
            others.append(value_of(await site.ask("GET", "/session", cookie=(others or [token])[-1])))
            site.clock.advance(AFTER)

    token = await site.log_in()
    site.clock.advance(AFTER)
    if by == "cookie":
        answer = await site.ask("GET", "/poll", cookie=token)
    else:
        answer = await get(site, token, path="/poll")
    assert list(map(gen, others)) == [1, 2]
    assert (answer.status, answer.cookies, answer.all("session-token")) == (200, [], [])
    assert (await site.ask("GET", "/session", cookie=others[-1])).status == 200


async def test_a_store_that_is_down_at_the_start_of_the_answer_costs_the_token_only(clock: Clock) -> None:
    """The answer goes out as it is, and the next one takes the token."""
    is_down = False

    class Failing(InspectableStore):
        async def load(self, session_id: str, ttl: int | None = None, *, allow_cached: bool = False) -> bytes | None:
            if is_down:
                raise StoreUnavailableError
            return await super().load(session_id, ttl, allow_cached=allow_cached)

    site = make(clock, store=Failing(clock))

    @site.app.get("/down")
    async def down(session: site.session) -> None:  # type: ignore[name-defined]
        nonlocal is_down
        is_down = True

    async with site.running():
        token = await site.token()
        clock.advance(AFTER)
        answer = await get(site, token, path="/down")
        assert (answer.status, answer.all("session-token")) == (200, [])
        is_down = False
        assert len((await get(site, token)).all("session-token")) == 1


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", " Prefetch"])
async def test_a_page_that_the_browser_loads_beforehand_takes_none(site: Site, purpose: str) -> None:
    """It may never be shown. No generation begins, and one that has begun is not handed out."""
    token = await site.token()
    site.clock.advance(AFTER)
    before = ("sec-purpose", purpose)
    assert (await get(site, token, before)).all("session-token") == []
    assert held(site) == (0, int(site.clock() * 1000))
    assert len((await get(site, token)).all("session-token")) == 1
    answer = await get(site, token, before)
    assert (answer.status, answer.all("session-token")) == (200, [])


async def test_a_socket_checks_the_token_and_takes_none(site: Site) -> None:
    """No generation begins; a reuse is refused."""

    @site.app.websocket("/socket")
    async def socket(websocket: WebSocket, session: site.session) -> None:  # type: ignore[name-defined]
        await websocket.accept()
        await websocket.close()

    async def open_(token: str) -> bool:
        scope = scope_of(path="/socket", headers=[("authorization", f"Bearer {token}")], kind="websocket")
        return (await call(site.app, scope)).accepted

    token = await site.token()
    site.clock.advance(AFTER)
    assert await open_(token)
    assert held(site) == (0, int(site.clock() * 1000))
    (new,) = (await get(site, token)).all("session-token")
    assert await open_(new)
    site.clock.advance(GRACE)
    assert not await open_(token)


async def test_a_token_in_a_message_is_checked_and_not_replaced(site: Site) -> None:
    """`sessions.authenticate()` has no answer that could take one."""
    token = await site.token()
    site.clock.advance(AFTER)
    manager = await site.sessions.authenticate(token)
    assert (manager.token, held(site)) == (token, (0, int(site.clock() * 1000)))


async def test_a_ticket_is_not_checked(site: Site) -> None:
    """It can be used once, and at once. It notes no use, and begins nothing."""

    @site.app.post("/ticket")
    async def issue(manager: site.manager) -> Any:  # type: ignore[name-defined]
        return await manager.ticket()

    token = await site.token()
    ticket = (await get(site, token, path="/ticket", method="POST")).json()["ticket"]
    site.store.lose_generations()
    site.clock.advance(29)
    async with make(site.clock, store=site.store, rotation={"after": 1}).running() as other:
        answer = await ask(other.app, "GET", "/session", query=f"ticket={ticket}")
    assert answer.all("session-token") == []
    assert site.store.generations == {}


async def test_a_gateway_that_asks_about_a_token_gets_none(site: Site) -> None:
    """Its answer does not go to the client. A replaced token is not active there."""
    site.app.include_router(site.sessions.token_router(lambda: True))
    token = await site.token()
    site.clock.advance(AFTER)
    form = ("content-type", "application/x-www-form-urlencoded")

    async def is_active(token: str) -> Any:
        body = f"token={token}".encode()
        answer = await ask(
            site.app, "POST", "/introspect", form, ("content-length", str(len(body))), ("host", "a"), body=body
        )
        assert answer.all("session-token") == []
        return answer.json()["active"]

    assert await is_active(token)
    assert held(site) == (0, int(site.clock() * 1000))
    (new,) = (await get(site, token)).all("session-token")
    assert await is_active(new)
    site.clock.advance(GRACE)
    assert not await is_active(token)


async def test_a_worker_that_does_not_know_yet_that_everybody_is_out_replaces_no_token(clock: Clock) -> None:
    """It asks before it hands one out: the new token would count as issued later."""
    site = make(clock, revoke_before=True)
    other = make(clock, revoke_before=True, store=site.store)
    async with site.running(), other.running():
        token = await other.token()
        clock.advance(AFTER)
        assert (await get(site, token, ("sec-purpose", "prefetch"))).status == 200  # it reads that nobody is out
        await other.sessions.revoke_before()
        clock.advance(0.5)
        answer = await get(site, token)
        assert (answer.status, answer.all("session-token")) == (401, [])


async def test_explicit_answers_take_none(clock: Clock) -> None:
    """Only `refresh()` makes a new token, at any age."""
    async with make(clock, rotation={"mode": "explicit"}).running() as site:

        @site.app.post("/refresh")
        async def refresh(manager: site.manager) -> Token:  # type: ignore[name-defined]
            return await manager.refresh()  # type: ignore[no-any-return]

        token = await site.token()
        clock.advance(5 * AFTER)
        assert (await get(site, token)).all("session-token") == []
        answer = await get(site, token, path="/refresh", method="POST")
        assert answer.all("session-token") == []
        assert gen(answer.json()["access_token"]) == 1
        cookie = await site.log_in()
        answer = await site.ask("POST", "/refresh", cookie=cookie)
        assert answer.json()["token_type"] == "cookie"
        assert gen(value_of(answer)) == 1


async def test_a_token_that_can_no_longer_be_signed_stays(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cookie that browsers would drop: the answer is as it was, the old cookie is good, and the log tells it once."""
    site = make(clock)
    async with site.running():
        cookie = await site.log_in()
        clock.advance(AFTER)

        sizes = iter((4097, 4098))

        def too_large(*_: object) -> bytes:
            raise InvalidArgumentError(f"the cookie would have {next(sizes)} bytes")

        monkeypatch.setattr("jwtsession.transports.cookie.CookieTransport.set", too_large)
        for _ in range(2):
            answer = await site.ask("GET", "/session", cookie=cookie)
            assert (answer.status, answer.cookies) == (200, [])
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == [
        "rotation: a token can't be replaced: the cookie would have 4097 bytes"
    ]


async def test_a_service_that_only_verifies_checks_and_replaces_nothing(clock: Clock) -> None:
    """It has no key that signs, so no generation begins there."""
    key = pem(private_key("ES256"))
    options: dict[str, Any] = {"algorithm": "ES256", "secret": None}
    async with make(clock, keys=[{"kid": "k", "secret": key}], **options).running() as signs:
        token = await signs.token()
        clock.advance(AFTER)
        only = [{"kid": "k", "secret": key, "verify_only": True}]
        async with make(clock, keys=only, store=signs.store, **options).running() as verifies:
            answer = await get(verifies, token)
            assert (answer.status, answer.all("session-token"), held(signs)) == (200, [], (0, int(clock() * 1000)))


# --- the router -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def router(clock: Clock) -> AsyncIterator[Site]:
    site = make(clock, rotation={"mode": "explicit"})
    site.app.include_router(site.sessions.refresh_router())
    async with site.running():
        yield site


async def refreshed(site: Site, token: str) -> Answer:
    return await get(site, token, path="/session/refresh", method="POST")


async def test_the_router_replaces_a_bearer_token(router: Site) -> None:
    """The new one is in the answer, which no cache keeps."""
    token = await router.token()
    answer = await refreshed(router, token)
    assert (answer.status, answer.all("cache-control"), answer.cookies) == (200, ["no-store"], [])
    new = answer.json()["access_token"]
    assert answer.json() == {"access_token": new, "token_type": "bearer", "expires_in": 5000}
    assert gen(new) == 1


async def test_the_router_replaces_a_cookie_and_refuses_other_sites(router: Site) -> None:
    """The answer shows no token; CSRF counts as for every unsafe method."""
    cookie = await router.log_in()
    answer = await router.ask("POST", "/session/refresh", cookie=cookie)
    assert answer.json() == {"token_type": "cookie", "expires_in": 5000}
    assert gen(value_of(answer)) == 1
    other = ("sec-fetch-site", "cross-site")
    held = ("cookie", f"{router.cookie_name}={cookie}")
    answer = await ask(router.app, "POST", "/session/refresh", other, held)
    assert (answer.status, answer.cookies) == (403, [])


async def test_the_router_tells_a_conflict_from_a_reuse(router: Site) -> None:
    """409 while the new token is fresh in use; later 401, as without any session."""
    token = await router.token()
    new = (await refreshed(router, token)).json()["access_token"]
    assert gen((await refreshed(router, token)).json()["access_token"]) == 1
    await get(router, new)
    assert (await refreshed(router, token)).status == 409
    router.clock.advance(GRACE)
    assert (await refreshed(router, token)).status == 401
    assert (await ask(router.app, "POST", "/session/refresh")).status == 401


async def test_the_router_stands_in_openapi(router: Site) -> None:
    """With the token as its answer, and the errors that a client has to know."""
    shown = router.app.openapi()["paths"]["/session/refresh"]["post"]
    assert shown["responses"]["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Token"}
    assert {"401", "403", "409", "503"} <= shown["responses"].keys()
    assert "replaced" in shown["responses"]["409"]["description"]
    assert "422" not in shown["responses"]


@pytest.mark.parametrize(
    ("sources", "mode", "shown"),
    [
        (("cookie", "bearer"), "silent", True),
        (("bearer",), "silent", True),
        (("cookie",), "silent", False),
        (("bearer",), "explicit", False),
    ],
)
async def test_openapi_shows_the_header(clock: Clock, sources: tuple[str, ...], mode: str, shown: bool) -> None:
    """On each good answer of an endpoint that asks for the session, where any answer may have it."""
    async with make(clock, token_sources=sources, rotation={"mode": mode}).running() as site:
        paths = site.app.openapi()["paths"]
        for path, method, status in (("/session", "get", "200"), ("/session", "delete", "204")):
            answers = paths[path][method]["responses"]
            assert ("Session-Token" in answers[status].get("headers", {})) is shown
            assert not any("Session-Token" in answers[each].get("headers", {}) for each in answers if each >= "4")


async def test_silent_rotation_and_the_router_work_together(site: Site) -> None:
    """The request of the router may be the one that is due: its answer has one new token."""
    site.app.include_router(site.sessions.refresh_router("/again"))
    token = await site.token()
    site.clock.advance(AFTER)
    answer = await get(site, token, path="/again", method="POST")
    assert answer.all("session-token") == []
    assert gen(answer.json()["access_token"]) == 1


def test_without_rotation_there_is_no_such_router(clock: Clock) -> None:
    """The error names the setting, when the application is made."""
    with pytest.raises(ConfigurationError, match=r"rotation\.after"):
        Site(clock).sessions.refresh_router()


# --- requests that take long ------------------------------------------------------------------------------------------


class Upload:
    """A request with a cookie, whose body comes when the test says so."""

    def __init__(self, site: Site, cookie: str) -> None:
        held = ("cookie", f"{site.cookie_name}={cookie}")
        headers = [("host", "shop.example.com"), OWN, held, ("content-type", "application/json")]
        self.body, self.status = asyncio.Event(), 0
        self.task = asyncio.ensure_future(site.app(scope_of("POST", "/upload", headers), self.receive, self.send))

    async def receive(self) -> Any:
        await self.body.wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(self, message: Any) -> None:
        self.status = message.get("status", self.status)

    async def ends(self) -> int:
        self.body.set()
        await self.task
        return self.status


@pytest.mark.parametrize("replaced_by", ["rotation", "regenerate"])
async def test_a_long_upload_logs_nobody_out(clock: Clock, replaced_by: str) -> None:
    """FastAPI reads the body before it asks for the session. Meanwhile the page has got a new token, and uses it.

    The upload has arrived while its token was good. It is no reuse: at most, it is refused.
    """
    site = make(clock, reuse_grace=10)

    @site.app.post("/upload")
    async def upload(session: site.session, body: dict[str, int]) -> None:  # type: ignore[name-defined]
        pass

    async with site.running():
        token = await site.log_in()
        clock.advance(AFTER)
        uploading, longer = Upload(site, token), Upload(site, token)
        await asyncio.sleep(0)
        way = ("GET", "/session") if replaced_by == "rotation" else ("POST", "/session/move")
        new = value_of(await site.ask(*way, cookie=token))
        assert (await site.ask("GET", "/session", cookie=new)).status == 200
        clock.advance(GRACE + 100)
        assert await uploading.ends() == (200 if replaced_by == "rotation" else 401)
        assert (await site.ask("GET", "/session", cookie=new)).status == 200
        if replaced_by == "rotation":  # twice
            clock.advance(AFTER - GRACE - 100)
            new = value_of(await site.ask("GET", "/session", cookie=new))
            assert (await site.ask("GET", "/session", cookie=new)).status == 200
            assert await longer.ends() == 401
            assert (await site.ask("GET", "/session", cookie=new)).status == 200
        longer.task.cancel()
        late = Upload(site, token)
        assert await late.ends() == 401
        assert (await site.ask("GET", "/session", cookie=new)).status == 401
    assert [event.name for event in site.events].count("reuse_detected") == 1


# --- workers whose clocks differ --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["silent", "refresh"])
async def test_a_worker_whose_clock_is_behind_accepts_the_new_token(clock: Clock, way: str) -> None:
    """At once: the browser may send it a millisecond later, and a 401 would look like the end of the session."""
    site = make(clock)
    behind = make(Clock(), store=site.store)
    site.app.include_router(site.sessions.refresh_router())
    async with site.running(), behind.running():
        token = await site.log_in()
        clock.advance(AFTER)
        behind.clock.advance(AFTER - 5)
        method, path = ("GET", "/session") if way == "silent" else ("POST", "/session/refresh")
        new = value_of(await site.ask(method, path, cookie=token))
        assert gen(new) == 1
        assert (await behind.ask("GET", "/session", cookie=new)).status == 200


async def test_a_new_token_is_not_older_than_the_one_that_it_replaces(clock: Clock) -> None:
    """Or else `revoke_before()` would end it; and where tokens are replaced every second, each would be due at once."""
    async with make(clock, rotation={"after": 1}).running() as site:
        site.app.include_router(site.sessions.refresh_router())
        token = await site.log_in()
        first = value_of(await site.ask("POST", "/session/refresh", cookie=token))
        assert said(first)["iat"] == said(token)["iat"]
        clock.advance(2)
        second = value_of(await site.ask("GET", "/session", cookie=first))
        assert said(second)["iat"] == said(token)["iat"] + 1
