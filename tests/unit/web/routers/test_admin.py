"""Tests of jwtsession.web.routers.admin: the sessions of any user, for administrators and nobody else."""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.responses import RedirectResponse, Response

from jwtsession import (
    Claims,
    ConfigurationError,
    MemorySessionStore,
    Session,
    SessionProvider,
    client_credentials,
)
from tests.conftest import SECRET
from tests.devices import OWN, Devices, serving_devices, serving_devices_again
from tests.web import in_process


class UserSession(Session):
    name: str = ""


def provider(**options: Any) -> SessionProvider[UserSession, Any]:
    options.setdefault("user_index", True)
    return SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore(), **options)


def require_admin() -> None:
    raise HTTPException(403)


def test_an_administrator_sees_and_ends_the_sessions_of_a_user() -> None:
    """The list, one by its handle, and all of them; and none of another user."""
    with serving_devices_again(admin={}) as world:
        root, bob = world.log_in("root"), world.log_in("bob")
        first, second, third = (world.log_in("ann") for _ in range(3))
        listed = world.ask("GET", "/admin/users/ann/sessions", root).json()
        assert {each["handle"] for each in listed} == {first.handle, second.handle, third.handle}
        assert not any(each["current"] for each in listed)
        assert world.ask("GET", "/admin/users/root/sessions", root).json()[0]["current"]
        assert world.ask("DELETE", f"/admin/users/ann/sessions/{first.handle}", root).status_code == 204
        assert world.ask("DELETE", f"/admin/users/ann/sessions/{first.handle}", root).status_code == 404
        assert [world.lives(each) for each in (first, second, third)] == [False, True, True]
        assert world.ask("DELETE", "/admin/users/ann/sessions", root).json() == {"ended": 2}
        assert world.ask("GET", "/admin/users/ann/sessions", root).json() == []
        assert world.lives(bob)


SUBS = ["a/b", "a%2Fb", "a%00b", "a b", "ü/日本", "../ann", "a/.", "//", "?x=1", "#", "ann/sessions", "sessions",
        "ann/sessions/" + "H" * 22, "\x00", "\x7f"]  # fmt: skip


@functools.cache
def unguarded() -> Devices:
    """Anybody is an administrator, and any text a user."""
    world = Devices(admin={"guard": lambda: None})

    @world.app.post("/login")
    async def log_in(sub: str, manager: Annotated[Any, Depends(world.sessions.get_manager)]) -> str:
        await manager.create({}, Claims(sub=sub))
        return (await world.sessions.list_sessions(sub))[0].handle

    return world


@contextmanager
def serving_unguarded() -> Iterator[Devices]:
    """As above, running in this process, without any session."""
    world = unguarded()
    world.begin_again()
    with in_process(world.app) as world.client:
        yield world


@pytest.mark.parametrize("sub", SUBS, ids=lambda sub: sub.encode("unicode_escape").decode())
async def test_every_user_has_a_path(sub: str) -> None:
    """A `sub` is percent-encoded in the path, whatever it has; no path of one user is that of another one."""
    world = unguarded()
    world.begin_again()
    transport = httpx2.ASGITransport(world.app)
    async with (
        world.sessions.lifespan(world.app),
        httpx2.AsyncClient(transport=transport, base_url="http://site", headers=OWN) as client,
    ):
        own, other = [
            (await client.post("/login", params={"sub": each}, headers={"Session-Transport": "bearer"})).json()
            for each in (sub, "ann")
        ]
        path = f"/admin/users/{quote(sub, safe='')}/sessions"
        assert [each["handle"] for each in (await client.get(path)).json()] == [own]
        assert (await client.delete(f"{path}/{other}")).status_code == 404
        assert (await client.delete(f"{path}/{own}")).status_code == 204
        assert (await client.get(path)).json() == []
        assert (await client.delete(path)).json() == {"ended": 0}
        assert (await client.delete("/admin/users/ann/sessions")).json() == {"ended": 1}


def test_a_user_without_a_name() -> None:
    """An empty `sub` is a 422, and one that nobody has has no sessions."""
    with serving_devices_again(admin={}) as world:
        root = world.log_in("root")
        for method in ("GET", "DELETE"):
            assert world.ask(method, "/admin/users//sessions", root).status_code == 422
        assert world.ask("DELETE", "/admin/users//sessions/x", root).status_code == 422
        assert world.ask("GET", "/admin/users/nobody/sessions", root).json() == []
        assert world.ask("DELETE", "/admin/users/nobody/sessions", root).json() == {"ended": 0}
        assert world.ask("GET", f"/admin/users/{'x' * 10_000}/sessions", root).json() == []


def test_log_out_everybody() -> None:
    """`POST /revoke-before` is there with the setting alone. A time in the future is a 422, and changes nothing."""
    with serving_devices_again(admin={}, revoke_before=True) as world:
        root, ann = world.log_in("root"), world.log_in("ann")
        answer = world.ask("POST", "/admin/revoke-before", root, json={"time": "2999-01-01T00:00:00Z"})
        assert answer.status_code == 422
        # The form that the document shows for every 422.
        told = {"type": "value_error", "loc": ["body", "time"], "msg": "It is in the future, or before 1970"}
        assert answer.json()["detail"] == [told]
        for body in ({"time": "2020-01-01T00:00:00"}, {"time": "soon"}, {"tim": None}, [], {"time": float("nan")},
                     {"time": float("inf")}, {"time": "\ud800"}, {"time": "0001-01-01T00:00:00+23:59"}):  # fmt: skip
            sent = json.dumps(body).encode()
            headers = {"Content-Type": "application/json"}
            assert world.ask("POST", "/admin/revoke-before", root, content=sent, headers=headers).status_code == 422
        assert world.ask("GET", "/me", ann).status_code == 200
        answer = world.ask("POST", "/admin/revoke-before", root, json={"time": "2020-01-01T00:00:00Z"})
        assert answer.json() == {"time": "2020-01-01T00:00:00Z"}
        world.clock.advance(10)
        answer = world.ask("POST", "/admin/revoke-before", root, json={})
        assert answer.json() == {"time": "2027-01-15T08:00:10Z"}
        world.clock.advance(2)
        assert world.ask("GET", "/me", ann).status_code == 401
    with serving_devices_again(admin={}) as world:
        assert world.ask("POST", "/admin/revoke-before", world.log_in("root"), json={}).status_code == 404


@pytest.mark.parametrize(
    "guard",
    [
        None, "admin", True, 1, [], object(), Depends(), Depends("admin"),  # type: ignore[arg-type]
        UserSession, Depends(UserSession), HTTPBearer(), Depends(HTTPBearer()), APIKeyHeader(name="x"),
        functools.partial(HTTPBearer()), Security(APIKeyHeader(name="x")),
    ],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
def test_what_is_no_guard(guard: Any) -> None:
    """What is no dependency, or one that refuses nobody, is refused when the router is made."""
    with pytest.raises(ConfigurationError, match="admin_router: guard: "):
        provider().admin_router(guard)


def test_a_guard_that_every_user_passes() -> None:
    """The provider's own dependencies let every user in, or every visitor, unless they demand scopes."""
    sessions = provider()
    for each in (sessions.get_session, sessions.get_manager, sessions.get_required_manager,
                 sessions.get_optional_session, sessions.peek_session, sessions.require_fresh(60)):  # fmt: skip
        for guard in (each, Depends(each), Security(each)):
            with pytest.raises(ConfigurationError, match="this lets every user in"):
                sessions.admin_router(guard)
    for optional in (sessions.get_manager, sessions.get_optional_session):
        with pytest.raises(ConfigurationError, match="this lets every user in"):
            sessions.admin_router(Security(optional, scopes=["admin"]))
    sessions.admin_router(Security(sessions.get_session, scopes=["admin"]))


def test_a_guard_that_was_not_called() -> None:
    """What makes a dependency is none, and one that a guard returns in place of asking it lets nobody in."""
    sessions = provider()
    for each in (sessions.require_fresh, sessions.require_level, sessions.redirect_to_login, client_credentials):
        for guard in (each, Depends(each)):
            with pytest.raises(ConfigurationError, match="admin_router: guard: this makes a dependency, and is none"):
                sessions.admin_router(guard)
            with pytest.raises(ConfigurationError, match="authenticate_client: "):
                sessions.token_router(guard)
    with serving_devices(admin={"guard": lambda: sessions.get_session}) as world:
        assert world.ask("GET", "/admin/users/ann/sessions", world.log_in("root")).status_code == 403


def test_a_level_is_a_guard() -> None:
    """`require_level()` lets in only those who have signed in as it demands."""
    assert provider().admin_router(Depends(provider().require_level("admin")))


def test_the_guard_is_required() -> None:
    """There is no router without one."""
    with pytest.raises(TypeError):
        provider().admin_router()  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="needs user_index=True"):
        provider(user_index=False).admin_router(require_admin)


def dependencies(route: Any) -> Iterator[Any]:
    waiting = [route.dependant]
    while waiting:
        node = waiting.pop()
        yield node.call
        waiting += node.dependencies


def test_every_endpoint_has_the_guard() -> None:
    """FastAPI calls it for each route of the router, and the check of other sites' requests too."""
    sessions = provider(revoke_before=True)
    for guard in (require_admin, Depends(require_admin), Security(require_admin)):
        router = sessions.admin_router(guard)
        assert len(router.routes) == 4
        for route in router.routes:
            names = {getattr(call, "__name__", "") for call in dependencies(route)}
            assert require_admin in dependencies(route)
            assert {"guarded", "manager_of"} <= names


def test_a_guard_that_answers_instead_of_refusing() -> None:
    """`return user.is_admin` is a mistake that is easily made: False refuses the request."""

    async def is_admin(key: Annotated[str, Depends(APIKeyHeader(name="X-Key"))]) -> bool:
        return key == "right"

    sessions = provider()
    app = FastAPI(lifespan=sessions.lifespan)
    app.include_router(sessions.admin_router(is_admin))
    with in_process(app) as client:
        assert client.get("/users/ann/sessions", headers={"X-Key": "wrong"}).status_code == 403
        assert client.get("/users/ann/sessions", headers={"X-Key": "right"}).status_code == 200


async def forbid() -> None:
    raise HTTPException(403)


async def is_admin() -> bool:
    return False


@pytest.mark.parametrize(
    "guard",
    [
        lambda: 0, lambda: "", lambda: set[str](), lambda: HTTPException(403), lambda: RedirectResponse("/login"),
        lambda: Response(status_code=403), lambda: is_admin(), lambda: forbid(),
    ],
    ids=["0", "text", "set", "returned", "redirection", "response", "awaitable", "raises"],
)  # fmt: skip
def test_a_guard_that_forgets_to_raise_lets_nobody_in(guard: Any) -> None:
    """What a guard returns in place of an exception refuses the request, and so does an answer that nobody awaits."""
    with serving_devices(admin={"guard": guard}) as world:
        ann = world.log_in("ann")
        assert world.ask("DELETE", "/admin/users/ann/sessions", ann).status_code == 403
        assert world.lives(ann)


@pytest.mark.parametrize("site", ["cross-site", "same-site", None])
def test_a_guard_of_its_own_does_not_replace_the_check_of_other_sites(site: str | None) -> None:
    """A guard may look at anything, also at the session in the request's state. The cookie is checked all the same."""
    with serving_unguarded() as world:
        root, ann = world.log_in("root", by="cookie"), world.log_in("ann")
        headers = root.headers | ({} if site is None else {"Sec-Fetch-Site": site})
        for path in ("/admin/users/ann/sessions", f"/admin/users/ann/sessions/{ann.handle}"):
            assert world.client.delete(path, headers=headers).status_code == 403
        assert world.lives(ann)
        # A machine without a session has no cookie that another site could use.
        assert world.client.delete("/admin/users/ann/sessions").json() == {"ended": 1}


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "https://testserver"}, True),
        ({}, True),  # no browser of today
    ],
)
def test_a_guard_s_own_cookie_is_no_way_in_for_other_sites(headers: dict[str, str], passes: bool) -> None:
    """A guard may look at a cookie that this package does not know: a write by another site's page is a 403."""
    with serving_unguarded() as world:
        ann = world.log_in("ann")
        headers |= {"Cookie": "admin=1"}
        assert world.client.get("/admin/users/ann/sessions", headers=headers).status_code == 200
        for path in (f"/admin/users/ann/sessions/{ann.handle}", "/admin/users/ann/sessions"):
            answer = world.client.delete(path, headers=headers)
            assert (answer.status_code < 400) is passes
        assert world.lives(ann) is not passes


def test_with_scopes() -> None:
    """`Security(get_session, scopes=[...])` is a guard: who lacks the scope gets a 403."""
    sessions = SessionProvider(secret=SECRET, store=MemorySessionStore(), user_index=True)
    guard = Security(sessions.get_session, scopes=["admin"])
    with serving_devices(admin={}) as world:
        app = world.app
        app.include_router(world.sessions.admin_router(Security(world.sessions.get_session, scopes=["admin"]), "/by"))
        assert sessions.admin_router(guard)
        ann, root = world.log_in("ann", scope="read"), world.log_in("root", scope="read admin")
        assert world.ask("GET", "/by/users/ann/sessions").status_code == 401
        assert world.ask("GET", "/by/users/ann/sessions", ann).status_code == 403
        assert len(world.ask("GET", "/by/users/ann/sessions", root).json()) == 1


def test_the_document_shows_the_guard_s_way_in_alone() -> None:
    """With an API key OpenAPI has no alternative without credentials, and it tells who is refused."""
    key = APIKeyHeader(name="X-Key", scheme_name="key")

    def check(given: Annotated[str, Depends(key)]) -> None: ...

    sessions = provider(token_sources=["cookie"])
    app = FastAPI()
    app.include_router(sessions.admin_router(check, "/admin"))
    sessions.document(app)
    operation = app.openapi()["paths"]["/admin/users/{sub}/sessions"]["delete"]
    assert operation["security"] == [{"key": []}]
    assert set(operation["responses"]) == {"200", "403", "422", "503"}
    assert "SessionError" in app.openapi()["components"]["schemas"]
    (parameter,) = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("sub", "path", True)


async def as_user(sub: str) -> Any:
    """What an application gives: nothing, the data, or the data and claims."""
    return {"nobody": None, "ann": {"name": "ann"}}.get(sub, ({"name": sub}, Claims(scope="read")))


def acts(**options: Any) -> dict[str, Any]:
    return {"may_impersonate": lambda admin, sub: admin == "root" and sub != "boss"} | options


@pytest.mark.parametrize("by", ["bearer", "cookie"])
def test_an_administrator_acts_for_a_user(by: str) -> None:
    """The token names both, ends in time, and shows as such to the user; the administrator's session goes on."""
    with serving_devices({"pages": True}, {"impersonate": as_user}, **acts()) as world:
        root, ann = world.log_in("root", by=by), world.log_in("ann")
        headers = {"Session-Transport": by}
        answer = world.ask("POST", "/admin/users/ann/impersonate", root, json={"seconds": 900}, headers=headers)
        acting = world.device(answer)
        assert answer.json()["expires_in"] == 900
        assert world.ask("GET", "/me", acting).json()["sub"] == "ann"
        assert world.ask("GET", "/account/session", acting).json()["impersonated"] is True
        assert {each["handle"]: each["impersonated"] for each in world.listed(ann)} == {
            ann.handle: False,
            acting.handle: True,
        }
        assert world.lives(root)
        page = world.ask("GET", "/account/devices", acting).text
        assert "You act for this user." in page
        assert page.count("<form") == 1  # the log-out
        assert "Somebody acts for you in it" in world.ask("GET", "/account/devices", ann).text
        refused = world.ask("POST", "/account/devices/end", acting, data={"handle": ann.handle})
        assert (refused.status_code, "Only the user can do this" in refused.text) == (403, True)
        world.clock.advance(900)
        assert world.ask("GET", "/me", acting).status_code == 401


def test_whom_nobody_may_act_for() -> None:
    """404 where the application knows no such user, 403 where `may_impersonate` refuses, 422 for more than an hour."""
    with serving_devices(admin={"impersonate": as_user}, **acts()) as world:
        root = world.log_in("root")
        refused: list[tuple[str, dict[str, int], int]] = [("nobody", {}, 404), ("boss", {}, 403), ("root", {}, 403)]
        refused += [("ann", body, 422) for body in ({"seconds": 0}, {"seconds": 3601}, {"minutes": 1})]
        for sub, body, status in refused:
            assert world.ask("POST", f"/admin/users/{sub}/impersonate", root, json=body).status_code == status
        answer = world.ask("POST", "/admin/users/a%2525b/impersonate", root)  # no body: an hour, with claims
        assert answer.json()["expires_in"] == 3600
        acting = world.device(answer)
        for method, path in [("GET", "/admin/users/ann/sessions"), ("POST", "/admin/users/ann/impersonate")]:
            assert world.ask(method, path, acting).status_code == 403


@pytest.mark.parametrize(("options", "given"), [({}, as_user), (acts(), {"name": "ann"}), (acts(), "ann")])
def test_what_can_not_make_a_user_s_session(options: dict[str, Any], given: Any) -> None:
    """`impersonate` needs `may_impersonate`, and is a function."""
    with pytest.raises(ConfigurationError, match="admin_router: impersonate: must be a function, and needs"):
        provider(**options).admin_router(require_admin, impersonate=given)
