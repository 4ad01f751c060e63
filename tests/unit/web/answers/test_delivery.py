"""Tests of jwtsession.web.answers.delivery: a token gets into the browser's cookie, stays there and is taken away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import jwt
import pytest
from fastapi import BackgroundTasks, FastAPI, Request, Response, WebSocket
from starlette.responses import StreamingResponse

from jwtsession import (
    Claims,
    ConfigurationError,
    CSRFError,
    InvalidArgumentError,
    SessionMiddleware,
    StoreUnavailableError,
)
from jwtsession.testing import InspectableStore
from tests.asgi import ask, call, scope_of
from tests.conftest import Clock

from ..site import NAME, OWN, Manager, Site, UserSession, is_cleared, value_of


@pytest.fixture
async def site(clock: Clock) -> AsyncIterator[Site]:
    async with Site(clock).running() as site:
        yield site


def add(site: Site, path: str, endpoint: Callable[[Manager], Awaitable[object]]) -> None:
    """A POST that does something with the manager."""

    @site.app.post(path)
    async def run(manager: site.manager) -> Any:  # type: ignore[name-defined]
        return await endpoint(manager)


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


# --- a login ---------------------------------------------------------------------------------------------------------


async def test_a_login_sets_the_cookie_and_shows_no_token(site: Site) -> None:
    """The answer has the kind and the seconds that are left; the cookie alone has the token, and is the session."""
    answer = await site.ask("POST", "/session")
    assert answer.json() == {"token_type": "cookie", "expires_in": 5000}
    (cookie,) = answer.cookies
    token = value_of(answer)
    assert cookie == f"{NAME}={token}; Max-Age=5000; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert token not in answer.body.decode()
    answer = await site.ask("GET", "/session", cookie=token)
    assert (answer.status, answer.json()) == (200, {"user_id": 1})


@pytest.mark.parametrize(
    ("sources", "argument", "asked", "kind"),
    [
        (("cookie", "bearer"), None, [], "cookie"),
        (("bearer", "cookie"), None, [], "bearer"),
        (("header", "cookie"), None, [], "bearer"),
        (("cookie", "bearer"), "bearer", [], "bearer"),
        (("bearer", "cookie"), "cookie", [], "cookie"),
        (("cookie", "bearer"), None, ["bearer"], "bearer"),
        (("bearer", "cookie"), None, ["cookie"], "cookie"),
        (("bearer", "cookie"), None, [" Cookie "], "cookie"),
        (("bearer", "cookie"), None, ["cookie", "cookie"], "cookie"),
        (("bearer", "cookie"), None, ["cookie", "bearer"], "bearer"),
        (("cookie", "bearer"), None, ["body"], "cookie"),
        (("cookie", "bearer"), None, [""], "cookie"),
        (("cookie", "bearer"), "cookie", ["bearer"], "cookie"),
        (("bearer", "cookie"), "bearer", ["cookie"], "bearer"),
        (("cookie",), None, ["bearer"], "cookie"),
        (("bearer",), None, ["cookie"], "bearer"),
    ],
)
async def test_who_decides_where_the_token_goes(
    sources: Any, argument: str | None, asked: list[str], kind: str
) -> None:
    """The application, then the client where both are on, then the order of the sources."""
    async with Site(token_sources=sources).running() as site:
        query = f"transport={argument}" if argument else ""
        answer = await site.ask("POST", "/session", *(("Session-Transport", each) for each in asked), query=query)
        assert answer.status == 200
        assert answer.json()["token_type"] == kind
        assert ("access_token" in answer.json(), bool(answer.cookies)) == (kind == "bearer", kind == "cookie")


@pytest.mark.parametrize(
    ("sources", "options", "reason"),
    [
        (("cookie",), {"transport": "bearer"}, "another source than the cookie"),
        (("bearer",), {"transport": "cookie"}, 'needs "cookie" in token_sources'),
        (("cookie", "bearer"), {"transport": "header"}, '"cookie" or "bearer"'),
        (("cookie", "bearer"), {"transport": 1}, '"cookie" or "bearer"'),
        (("cookie", "bearer"), {"persistent": "no"}, "True or False"),
        (("cookie", "bearer"), {"allow_cross_site": 1}, "True or False"),
    ],
)
async def test_what_can_t_be_chosen_is_refused(sources: Any, options: Any, reason: str) -> None:
    """The error says what is missing, and nothing is stored."""
    async with Site(token_sources=sources).running() as site:

        async def create(manager: Manager) -> None:
            with pytest.raises(InvalidArgumentError, match=reason):
                await manager.create(UserSession(), **options)

        add(site, "/choose", create)
        assert (await site.ask("POST", "/choose")).status == 200
        assert site.store.contents == {}


@pytest.mark.parametrize(
    ("setting", "argument", "lasts"),
    [(True, None, True), (True, "false", False), (False, None, False), (False, "true", True)],
)
async def test_remember_me_is_remembered(setting: bool, argument: str | None, lasts: bool) -> None:
    """The login decides whether the cookie outlives the browser, the setting otherwise; a new id changes neither."""
    async with Site(cookie={"persistent": setting}).running() as site:
        answer = await site.ask("POST", "/session", query=f"persistent={argument}" if argument else "")
        for _ in range(3):
            assert ("Max-Age=" in answer.cookies[0]) is lasts
            answer = await site.ask("POST", "/session/move", cookie=value_of(answer))


async def test_new_claims_do_not_forget_it_either(site: Site) -> None:
    """`regenerate(claims=...)` keeps what the login chose."""

    async def move(manager: Manager) -> object:
        return await manager.regenerate(claims=Claims(sub="bob"))

    add(site, "/move", move)
    moved = await site.ask("POST", "/move", cookie=await site.log_in("persistent=false"))
    assert moved.status == 200
    assert "Max-Age" not in moved.cookies[0]


async def test_a_token_without_an_end_gets_400_days() -> None:
    """Browsers keep no cookie longer; the answer says no seconds."""
    async with Site(absolute_max_age=None).running() as site:
        answer = await site.ask("POST", "/session")
        assert "Max-Age=34560000;" in answer.cookies[0]
        assert answer.json() == {"token_type": "cookie"}


@pytest.mark.parametrize("verb", ["create", "regenerate"])
async def test_a_token_too_large_for_a_cookie_stores_nothing(site: Site, verb: str) -> None:
    """It is an error before the session is stored, moved or ended; as a bearer token it is none."""
    token = await site.token()
    large = Claims(sub="ann", note="x" * 4000)  # type: ignore[call-arg]

    async def run(manager: Manager) -> None:
        with pytest.raises(InvalidArgumentError, match="4096"):
            await (manager.create(UserSession(), large) if verb == "create" else manager.regenerate(claims=large))
        if verb == "create":
            assert (await manager.create(UserSession(), large, transport="bearer")).token_type == "bearer"

    before = {*site.store.contents}
    add(site, "/large", run)
    answer = await site.ask("POST", "/large", cookie=token)
    assert (answer.status, answer.cookies) == (200, [])
    if verb == "regenerate":
        assert {*site.store.contents} == before


async def test_the_last_login_of_a_request_counts(site: Site) -> None:
    """Two logins by cookie set one; a later one by bearer takes the cookie of the first back."""

    async def twice(manager: Manager) -> object:
        await manager.create(UserSession())
        return await manager.create(UserSession())

    async def then_bearer(manager: Manager) -> object:
        await manager.create(UserSession())
        return await manager.create(UserSession(), transport="bearer")

    add(site, "/twice", twice)
    add(site, "/bearer", then_bearer)
    token = value_of(await site.ask("POST", "/twice"))
    assert (await site.ask("GET", "/session", cookie=token)).status == 200
    answer = await site.ask("POST", "/bearer")
    assert answer.cookies == []
    assert answer.json()["token_type"] == "bearer"
    assert len(site.store.contents) == 2


# --- what is set only when something changed -------------------------------------------------------------------------


async def test_a_cookie_is_set_only_when_the_token_changes(site: Site) -> None:
    """Reading, changing, touching and reloading set none, and neither does any refusal."""
    token = await site.log_in()

    async def change(manager: Manager) -> None:
        await manager.update(UserSession(user_id=2))
        await manager.touch()
        await manager.reload()
        await manager.mutate(lambda session: UserSession(user_id=3))

    add(site, "/change", change)
    for method, path in (("GET", "/session"), ("POST", "/change"), ("GET", "/nowhere"), ("PUT", "/session")):
        assert (await site.ask(method, path, cookie=token)).cookies == []


async def test_regenerate_answers_as_the_token_came(site: Site) -> None:
    """In the cookie for the cookie, in the answer for a bearer token, whatever is the default."""
    token = await site.log_in()
    moved = await site.ask("POST", "/session/move", cookie=token)
    assert moved.json() == {"token_type": "cookie", "expires_in": 5000}
    assert value_of(moved) != token
    token = await site.token()
    moved = await site.ask("POST", "/session/move", ("authorization", f"Bearer {token}"))
    assert moved.cookies == []
    assert moved.json()["token_type"] == "bearer"
    # The client asks for the other way: that is for logins.
    token = moved.json()["access_token"]
    asked = ("authorization", f"Bearer {token}"), ("session-transport", "cookie")
    assert (await site.ask("POST", "/session/move", *asked)).cookies == []


# --- what clears it --------------------------------------------------------------------------------------------------


async def test_destroy_clears_the_cookie_that_the_request_came_with(site: Site) -> None:
    """With the attributes with which it was set; a logout by bearer token leaves the cookie alone."""
    token = await site.log_in()
    answer = await site.ask("DELETE", "/session", cookie=token)
    assert answer.cookies == [f"{NAME}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"]
    assert is_cleared(await site.ask("DELETE", "/session", cookie=token)), "a second logout too: the tab beside"
    token = await site.token()
    assert (await site.ask("DELETE", "/session", ("authorization", f"Bearer {token}"))).cookies == []


async def test_a_login_after_a_logout_in_one_request_sets_the_cookie(site: Site) -> None:
    """The last verb counts; a login by bearer token after a logout leaves the cookie cleared."""

    async def again(manager: Manager, transport: Any) -> object:
        await manager.destroy()
        return await manager.create(UserSession(), transport=transport)

    add(site, "/again", lambda manager: again(manager, None))
    add(site, "/bearer", lambda manager: again(manager, "bearer"))
    token = value_of(await site.ask("POST", "/again", cookie=await site.log_in()))
    assert is_cleared(await site.ask("POST", "/bearer", cookie=token))


async def test_a_token_past_its_own_end_is_cleared(site: Site) -> None:
    """Wherever the cookie comes: at an endpoint that needs a session, and at one that does not."""
    token = await site.log_in()
    site.clock.advance(5000)
    answer = await site.ask("GET", "/session", cookie=token)
    assert answer.status == 401
    assert is_cleared(answer)
    answer = await site.ask("GET", "/session", ("authorization", f"Bearer {token}"))
    assert (answer.status, answer.cookies) == (401, []), "an expired bearer token says nothing of the cookie"
    assert value_of(await site.ask("POST", "/session", cookie=token)), "a login replaces it"


async def test_nothing_else_clears_it(site: Site) -> None:
    """Not a session that is gone (another tab may have moved it a moment ago), nonsense, or idle time that is over."""
    token = await site.log_in()
    moved = value_of(await site.ask("POST", "/session/move", cookie=token))
    for value in (token, "nonsense", moved[:-4] + "AAAA"):
        answer = await site.ask("GET", "/session", cookie=value)
        assert (answer.status, answer.cookies) == (401, [])
    site.store.put(*[*site.store.contents][:1], b"not JSON")
    assert (await site.ask("GET", "/session", cookie=moved)).cookies == []


async def test_the_loser_of_a_race_keeps_what_the_winner_set(site: Site) -> None:
    """Two tabs move the session at once: one gets the new cookie, the other a 401 that clears nothing."""
    token = await site.log_in()
    ready = asyncio.Barrier(2)

    async def move(manager: Manager) -> object:
        await ready.wait()
        return await manager.regenerate()

    add(site, "/race", move)
    answers = await asyncio.gather(*(site.ask("POST", "/race", cookie=token) for _ in range(2)))
    assert sorted(answer.status for answer in answers) == [200, 401]
    assert [bool(answer.cookies) for answer in answers] == [answer.status == 200 for answer in answers]


class DownStore(InspectableStore):
    """A store that does not answer as long as `down`."""

    down = False

    async def load(self, *args: Any, **options: Any) -> Any:
        if self.down:
            raise StoreUnavailableError
        return await super().load(*args, **options)

    async def destroy(self, *args: Any, **options: Any) -> Any:
        if self.down:
            raise StoreUnavailableError
        return await super().destroy(*args, **options)


async def test_a_store_that_is_down_clears_nothing(clock: Clock) -> None:
    """A 503 logs nobody out, at a read and at a logout that failed."""
    async with Site(clock, store=DownStore(clock)).running() as site:
        token = await site.log_in()
        site.store.down = True
        for method in ("GET", "DELETE"):
            answer = await site.ask(method, "/session", cookie=token)
            assert (answer.status, answer.cookies) == (503, [])
        site.store.down = False
        assert (await site.ask("GET", "/session", cookie=token)).status == 200


# --- which token counts ----------------------------------------------------------------------------------------------


async def test_an_explicit_token_wins_over_the_cookie(site: Site) -> None:
    """A script that sends one means it: a bad one is a 401 and does not fall back, and it needs no defence."""
    cookie, token = await site.log_in(), await site.token()
    moved = await site.ask("POST", "/session/move", ("authorization", f"Bearer {token}"), cookie=cookie)
    assert moved.json()["token_type"] == "bearer"
    assert (await site.ask("GET", "/session", cookie=cookie)).status == 200
    assert (await site.ask("GET", "/session", ("authorization", "Bearer nonsense"), cookie=cookie)).status == 401
    foreign = ("sec-fetch-site", "cross-site"), ("authorization", f"Bearer {moved.json()['access_token']}")
    headers = ("host", "shop.example.com"), ("cookie", f"{NAME}={cookie}"), *foreign
    assert (await ask(site.app, "POST", "/session/move", *headers)).status == 200


@pytest.mark.parametrize("empty", [("authorization", "Bearer"), ("authorization", "Basic dTpw"), ("cookie", "a=b")])
async def test_what_is_no_token_does_not_hide_the_cookie(site: Site, empty: tuple[str, str]) -> None:
    """An empty bearer token, another scheme and other cookies are no token."""
    assert (await site.ask("GET", "/session", empty, cookie=await site.log_in())).status == 200


async def test_two_cookies_of_the_name_are_a_400(site: Site) -> None:
    """A sibling's page may have set one of them, and nobody can tell which; also if both are equal."""
    token = await site.log_in()
    for other in (token, "other", ""):
        answer = await site.ask("GET", "/session", ("cookie", f"{NAME}={other}"), cookie=token)
        assert (answer.status, answer.cookies) == (400, [])
        assert answer.json() == {"detail": "More than one token"}


# --- where no cookie can be set --------------------------------------------------------------------------------------


async def test_a_refused_login_of_another_site_stores_nothing(site: Site) -> None:
    """The login of a victim into the attacker's account is refused whatever the method; a callback may allow it."""

    async def create(manager: Manager, **options: Any) -> object:
        return await manager.create(UserSession(), **options)

    @site.app.get("/callback")
    async def callback(manager: site.manager) -> object:  # type: ignore[name-defined]
        with pytest.raises(CSRFError):
            await create(manager)
        assert site.store.contents == {}
        return await create(manager, allow_cross_site=True)

    answer = await ask(site.app, "GET", "/callback", ("sec-fetch-site", "cross-site"))
    assert (answer.status, len(answer.cookies)) == (200, 1)
    answer = await ask(site.app, "POST", "/session", ("sec-fetch-site", "cross-site"), ("session-transport", "bearer"))
    assert (answer.status, answer.json()["token_type"]) == (200, "bearer"), "a bearer token is no cookie"


async def test_a_socket_can_set_no_cookie(site: Site) -> None:
    """A login and a new id by cookie are refused with nothing stored or ended; by bearer token they work."""
    token, done = await site.log_in(), []

    @site.app.websocket("/socket")
    async def socket(socket: WebSocket, manager: site.manager) -> None:  # type: ignore[name-defined]
        await socket.accept()
        before = {*site.store.contents}
        for verb in (manager.regenerate, lambda: manager.create(UserSession())):
            with pytest.raises(InvalidArgumentError, match="an open WebSocket can set none"):
                await verb()
        assert {*site.store.contents} == before
        done.append(await manager.create(UserSession(), transport="bearer"))
        await socket.close()

    headers = [OWN, ("cookie", f"{NAME}={token}")]
    answer = await call(site.app, scope_of(path="/socket", headers=headers, scheme="wss", kind="websocket"))
    assert answer.accepted
    assert done[0].token_type == "bearer"


@pytest.mark.parametrize("place", ["background", "stream"])
async def test_after_the_start_of_the_answer_no_cookie_can_be_set(site: Site, place: str) -> None:
    """In a background task and in a stream: an error, and nothing is stored or moved; `destroy` works."""
    token, done = await site.log_in(), []

    async def late(manager: Manager) -> None:
        before = {*site.store.contents}
        for verb in (manager.regenerate, lambda: manager.create(UserSession())):
            with pytest.raises(InvalidArgumentError, match="already started"):
                await verb()
        assert {*site.store.contents} == before
        await manager.destroy()
        done.append(True)

    async def stream(manager: Manager) -> AsyncIterator[bytes]:
        yield b"first"
        await late(manager)

    @site.app.post("/background")
    async def background(manager: site.manager, tasks: BackgroundTasks) -> None:  # type: ignore[name-defined]
        tasks.add_task(late, manager)

    @site.app.post("/stream")
    async def streamed(manager: site.manager) -> Response:  # type: ignore[name-defined]
        return StreamingResponse(stream(manager))

    answer = await site.ask("POST", f"/{place}", cookie=token)
    assert (answer.status, answer.cookies, done) == (200, [], [True])
    assert site.store.contents == {}


async def test_a_middleware_outside_of_ours_can_set_no_cookie(clock: Clock) -> None:
    """It is told what to do, and nothing is stored; with the line that the error names, it can."""
    for is_added in (False, True):
        site, tried = Site(clock), []

        @site.app.middleware("http")
        async def log_in(request: Request, call_next: Any, site: Site = site, tried: list[Any] = tried) -> Any:
            manager = await site.sessions.get_manager(request)
            try:
                tried.append(await manager.create(UserSession()))
            except ConfigurationError as error:
                tried.append(error)
            return await call_next(request)

        if is_added:
            site.app.add_middleware(SessionMiddleware)
        async with site.running():
            answer = await site.ask("GET", "/openapi.json")
            if is_added:
                assert (await site.ask("GET", "/session", cookie=value_of(answer))).status == 200
            else:
                assert "app.add_middleware(SessionMiddleware)" in str(tried[0])
                assert (answer.cookies, site.store.contents) == ([], {})


@pytest.mark.parametrize("is_late", [False, True])
async def test_what_a_middleware_ended_is_cleared_on_the_answer(clock: Clock, is_late: bool) -> None:
    """An expired token, and a logout: the middleware has the manager before the answer is there to be completed."""
    site = Site(clock)

    @site.app.middleware("http")
    async def peek(request: Request, call_next: Any) -> Any:
        manager = await site.sessions.get_manager(request)
        if request.method == "PUT":
            await manager.destroy()
        return await call_next(request)

    @site.app.put("/optional")
    @site.app.post("/optional")
    async def optional(manager: site.manager) -> None:  # type: ignore[name-defined]
        if is_late:
            await manager.create(UserSession(), transport="bearer")

    async with site.running():
        token = await site.token()
        assert is_cleared(await site.ask("PUT", "/optional", cookie=token))
        site.clock.advance(5000)
        assert is_cleared(await site.ask("POST", "/optional", cookie=token))


@pytest.mark.parametrize("verb", ["destroy", "regenerate", "create"])
async def test_what_an_endpoint_does_with_a_middleware_s_manager_is_on_the_answer(clock: Clock, verb: str) -> None:
    """The endpoint takes it from `request.state` and asks for no dependency."""
    site = Site(clock)

    @site.app.middleware("http")
    async def peek(request: Request, call_next: Any) -> Any:
        await site.sessions.get_manager(request)
        return await call_next(request)

    @site.app.post("/state")
    async def run(request: Request) -> None:
        await getattr(request.state.session, verb)(*([UserSession()] if verb == "create" else []))

    async with site.running():
        answer = await site.ask("POST", "/state", cookie=await site.token())
        assert (answer.status, len(answer.cookies)) == (200, 1)
        assert is_cleared(answer) is (verb == "destroy")


@pytest.mark.parametrize("path", ["/session", "/session/move"])
async def test_of_a_middleware_s_cookie_and_the_endpoint_s_the_last_counts(clock: Clock, path: str) -> None:
    """A login in a middleware, and then a logout or a new id in the endpoint: one cookie, the endpoint's."""
    site = Site(clock)

    @site.app.middleware("http")
    async def log_in(request: Request, call_next: Any) -> Any:
        manager = await site.sessions.get_manager(request)
        await manager.create(UserSession(user_id=5))
        return await call_next(request)

    site.app.add_middleware(SessionMiddleware)
    async with site.running():
        answer = await site.ask("DELETE" if path == "/session" else "POST", path)
        assert len(answer.cookies) == 1
        assert is_cleared(answer) is (path == "/session")
        if path != "/session":
            assert {*site.store.contents} == {claims_of(value_of(answer))["jti"]}


async def test_without_the_middleware_a_login_by_cookie_is_an_error(clock: Clock) -> None:
    """An application that did not start the provider: nothing is stored, the error says how to start it."""
    site = Site(clock)
    app, caught = FastAPI(), []

    @app.post("/session")
    async def log_in(manager: site.manager) -> None:  # type: ignore[name-defined]
        try:
            await manager.create(UserSession())
        except ConfigurationError as error:
            caught.append(str(error))

    async with site.sessions:
        assert (await ask(app, "POST", "/session", OWN)).status == 200
        assert "FastAPI(lifespan=sessions.lifespan)" in caught[0]
        assert site.store.contents == {}


async def test_a_def_endpoint_sets_and_clears_cookies_too(site: Site) -> None:
    """`manager.sync` has the same arguments, and runs while the answer has not started."""

    @site.app.post("/sync")
    def log_in(manager: site.manager) -> Any:  # type: ignore[name-defined]
        return manager.sync.create(UserSession(), Claims(sub="ann"), persistent=False)

    @site.app.post("/sync/move")
    def move(manager: site.manager) -> Any:  # type: ignore[name-defined]
        return manager.sync.regenerate()

    @site.app.delete("/sync")
    def log_out(manager: site.manager) -> None:  # type: ignore[name-defined]
        manager.sync.destroy()

    answer = await site.ask("POST", "/sync")
    moved = await site.ask("POST", "/sync/move", cookie=value_of(answer))
    for each in (answer, moved):
        assert (each.status, "Max-Age" in each.cookies[0]) == (200, False)
    assert is_cleared(await site.ask("DELETE", "/sync", cookie=value_of(moved)))
    assert site.store.contents == {}


# --- two providers, and drivers that share ---------------------------------------------------------------------------


async def test_two_providers_set_two_cookies(clock: Clock) -> None:
    """Each reads and clears its own, in one answer too."""
    site, other = Site(clock), Site(clock, request_key="admin")

    @site.app.post("/both")
    async def both(first: site.manager, second: other.manager) -> None:  # type: ignore[name-defined]
        await first.create(UserSession(user_id=1))
        await second.create(UserSession(user_id=2))

    @site.app.get("/both")
    async def read(first: site.session, second: other.session) -> list[int]:  # type: ignore[name-defined]
        return [first.user_id, second.user_id]

    @site.app.delete("/admin")
    async def leave(second: other.manager) -> None:  # type: ignore[name-defined]
        await second.destroy()

    async with site.running(), other.sessions.lifespan(site.app):
        answer = await site.ask("POST", "/both")
        names = [each.partition("=")[0] for each in answer.cookies]
        assert names == ["__Host-Http-session", "__Host-Http-admin"]
        held = ("cookie", "; ".join(each.partition(";")[0] for each in answer.cookies))
        assert (await site.ask("GET", "/both", held)).json() == [1, 2]
        left = await site.ask("DELETE", "/admin", held)
        assert [each.partition(";")[0] for each in left.cookies] == ["__Host-Http-admin="]
        assert (await site.ask("GET", "/session", held)).status == 200


async def test_one_scope_for_two_requests_is_two_requests(site: Site) -> None:
    """A driver may use a scope again: each answer has its own cookies, and each request is checked for itself."""
    token = await site.token()
    scope = scope_of("POST", "/session", [OWN])
    first = await call(site.app, scope)
    assert value_of(first)

    scope |= {"method": "GET", "headers": [(b"authorization", f"Bearer {token}".encode())]}
    assert (await call(site.app, scope)).cookies == []

    scope |= {"method": "POST", "path": "/session/move", "raw_path": b"/session/move"}
    foreign = [(b"cookie", f"{NAME}={token}".encode()), (b"sec-fetch-site", b"cross-site")]
    assert (await call(site.app, scope | {"headers": foreign})).status == 403
    scope["headers"] = foreign
    assert (await call(site.app, scope)).status == 403, "the token is known, but it came by bearer before"
    scope["headers"] = [foreign[0], (b"sec-fetch-site", b"same-origin")]
    moved = await call(site.app, scope)
    assert moved.json()["token_type"] == "cookie"
    assert value_of(moved) != token


async def test_a_refusal_is_an_event(clock: Clock) -> None:
    """With its code, and no session's id."""
    async with Site(clock).running() as site:
        await ask(site.app, "POST", "/session/move", ("sec-fetch-site", "cross-site"), ("cookie", f"{NAME}=t"))
    assert [(each.name, each.code) for each in site.events] == [("refused", "cross_site_request")]


async def test_a_refused_login_is_an_event(clock: Clock) -> None:
    """Also without a token: whoever looks for the cause of the 403 finds it in the log."""
    async with Site(clock).running() as site:
        answer = await ask(site.app, "POST", "/session", ("sec-fetch-site", "cross-site"))
    assert answer.status == 403
    assert [(each.name, each.code) for each in site.events] == [("refused", "cross_site_request")]
