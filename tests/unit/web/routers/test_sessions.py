"""Tests of jwtsession.web.routers.sessions: a user's own sessions, by ready-made endpoints."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import AwareDatetime, TypeAdapter

from jwtsession import ConfigurationError, MemorySessionStore, SessionProvider, SessionView
from jwtsession.stores.base import SessionStore
from jwtsession.web.routers.views import moment
from tests.conftest import SECRET
from tests.devices import IPHONE, OWN, Device, serving_devices, serving_devices_again


def provider(**options: Any) -> SessionProvider:
    return SessionProvider(secret=SECRET, store=MemorySessionStore(), **options)


def endpoints(router: Any) -> set[str]:
    """The router's endpoints as OpenAPI has them."""
    app = FastAPI()
    app.include_router(router)
    return {f"{method.upper()} {path}" for path, item in app.openapi()["paths"].items() for method in item}


def test_a_user_sees_and_ends_their_sessions() -> None:
    """The list has all devices, the one used last first; an ended one is gone from it, and its token is refused."""
    with serving_devices(capture_client=True) as world:
        phone = world.log_in("ann", agent=IPHONE)
        world.log_in("bob")
        world.clock.advance(60)
        laptop = world.log_in("ann")
        first, second = (SessionView.model_validate(each) for each in world.listed(laptop))
        assert (first.handle, first.current, first.browser, first.os) == (laptop.handle, True, "Firefox", "Windows")
        assert (second.handle, second.current, second.device) == (phone.handle, False, "iPhone")
        assert first.created.timestamp() == second.created.timestamp() + 60
        assert second.expires == second.last_seen + timedelta(days=1)
        assert not first.impersonated
        assert world.ask("DELETE", f"/account/sessions/{phone.handle}", laptop).status_code == 204
        assert [each["handle"] for each in world.listed(laptop)] == [laptop.handle]
        assert world.ask("GET", "/me", phone).status_code == 401


@pytest.mark.parametrize("by", ["cookie", "bearer"])
def test_who_am_i(by: str) -> None:
    """When the user signed in, both ends of the session, how the token came: and none of the application's data."""
    with serving_devices_again(max_age=1000, absolute_max_age=1500) as world:
        device = world.log_in("ann", by=by)
        start = world.clock()
        world.clock.advance(700)
        told = world.ask("GET", "/account/session", device).json()
        times = {name: TypeAdapter(AwareDatetime).validate_python(told.pop(name)) for name in
                 ("created", "absolute_expires", "expires")}  # fmt: skip
        assert told == {"handle": device.handle, "transport": by, "impersonated": False}
        assert {name: int(each.timestamp() - int(start)) for name, each in times.items()} == {
            "created": 0,
            "absolute_expires": 1500,
            "expires": 1500,  # not later than that
        }


def test_a_visitor_has_no_other_sessions() -> None:
    """Without a `sub` nobody knows whose the session is: the list is empty, and it can end itself and nothing else."""
    with serving_devices_again() as world:
        visitor, other = world.log_in("visitor"), world.log_in("visitor")
        assert world.ask("GET", "/account/session", visitor).json()["created"] is None
        assert world.listed(visitor) == []
        assert world.ask("DELETE", "/account/sessions", visitor).json() == {"ended": 0}
        for method, body in (("DELETE", None), ("PATCH", {"label": "x"})):
            answer = world.ask(method, f"/account/sessions/{other.handle}", visitor, json=body)
            assert answer.status_code == 404
        assert world.lives(other)
        assert world.ask("DELETE", "/account/sessions?all=true", visitor).json() == {"ended": 1}
        assert not world.lives(visitor)


def test_the_others_end_and_with_all_this_one_too() -> None:
    """`DELETE /sessions` counts what has ended; with `?all=true` the cookie is cleared as well."""
    with serving_devices_again() as world:
        here, bob = world.log_in("ann", by="cookie"), world.log_in("bob")
        for _ in range(3):
            world.log_in("ann")
        answer = world.ask("DELETE", "/account/sessions", here)
        assert (answer.json(), "set-cookie" in answer.headers) == ({"ended": 3}, False)
        world.log_in("ann")
        answer = world.ask("DELETE", "/account/sessions?all=true", here)
        assert answer.json() == {"ended": 2}
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert world.ask("GET", "/me", here).status_code == 401
        assert world.lives(bob)


def test_a_log_out_twice() -> None:
    """The first clears the cookie; the second finds a genuine token without a session, which is no error."""
    with serving_devices_again() as world:
        device = world.log_in("ann", by="cookie")
        for _ in range(2):
            answer = world.ask("DELETE", "/account/session", device)
            assert (answer.status_code, answer.content) == (204, b"")
            assert "Max-Age=0" in answer.headers["set-cookie"]
        assert world.ask("DELETE", "/account/session").status_code == 401


def test_a_session_is_ended_twice_at_once() -> None:
    """Of two requests that end one session at the same time, one gets a 204 and the other a 404."""
    with serving_devices() as world:
        here, other = world.log_in("ann"), world.log_in("ann")
        path, headers = f"/account/sessions/{other.handle}", OWN | here.headers

        async def both() -> list[int]:
            transport = httpx2.ASGITransport(world.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://site") as client:
                answers = await asyncio.gather(*(client.delete(path, headers=headers) for _ in range(2)))
            return [each.status_code for each in answers]

        with ThreadPoolExecutor(1) as pool:
            assert sorted(pool.submit(asyncio.run, both()).result()) == [204, 404]


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("Kitchen", "Kitchen"),
        ("  Küche 🍳 ", "Küche 🍳"),
        ("x" * 64, "x" * 64),
        ("<b>'\"&", "<b>'\"&"),
        ("私の\u3000電話", "私の\u3000電話"),
        ("x\u200cy\u00a0\u202fz", "x\u200cy\u00a0\u202fz"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("", None),
        (" ", None),
        ("\u200d\u3000", None),
        (None, None),
    ],
)
def test_a_name(label: str | None, shown: str | None) -> None:
    """It is kept as the user wrote it, without spaces around it, and outlives a regenerated id."""
    with serving_devices_again() as world:
        here, other = world.log_in("ann"), world.log_in("ann")
        for device in (here, other):
            path = f"/account/sessions/{device.handle}"
            assert world.ask("PATCH", path, here, json={"label": "before"}).status_code == 204
            assert world.ask("PATCH", path, here, json={"label": label}).status_code == 204
        moved = world.device(world.ask("POST", "/regenerate", here))
        assert [each["label"] for each in world.listed(moved)] == [shown, shown]
        assert moved.handle != here.handle


@pytest.mark.parametrize(
    "body",
    [{"label": "x" * 65}, {"label": "a\nb"}, {"label": "\x00"}, {"label": "\u202e"}, {"label": 7}, {}, [], "x",
     {"label": "x", "more": 1}, {"label": "\ud800"}, {"label": float("nan")}, {"label": float("-inf")},
     {"label": "x", "\ud800": 1}],
)  # fmt: skip
def test_no_name(body: Any) -> None:
    """Too long, with a character that can't be shown, or no text: a 422, and the old name stays.

    The answer does not repeat what was sent, which may be what no JSON can hold.
    """
    with serving_devices_again() as world:
        here = world.log_in("ann")
        path = f"/account/sessions/{here.handle}"
        world.ask("PATCH", path, here, json={"label": "before"})
        content, headers = json.dumps(body), {"Content-Type": "application/json"}
        answer = world.ask("PATCH", path, here, content=content, headers=headers)
        assert answer.status_code == 422
        assert all(each.keys() == {"type", "loc", "msg"} for each in answer.json()["detail"])
        assert world.listed(here)[0]["label"] == "before"


def test_a_recent_sign_in() -> None:
    """With `fresh` an old sign-in may look, log out and name, and a new one may end others."""
    with serving_devices({"fresh": timedelta(minutes=5)}) as world:
        here, other = world.log_in("ann"), world.log_in("ann")
        world.clock.advance(301)
        for path in ("/account/sessions", f"/account/sessions/{other.handle}", "/account/sessions?all=true"):
            answer = world.ask("DELETE", path, here)
            assert answer.status_code == 401
            assert 'max_age="300"' in answer.headers["www-authenticate"]
        assert world.lives(here)
        assert world.lives(other)
        assert world.ask("PATCH", f"/account/sessions/{other.handle}", here, json={"label": "x"}).status_code == 204
        assert world.ask("GET", "/account/sessions", here).status_code == 200
        new = world.log_in("ann")
        assert world.ask("DELETE", f"/account/sessions/{other.handle}", new).status_code == 204
        assert world.ask("DELETE", "/account/session", here).status_code == 204


def test_refresh_and_ticket() -> None:
    """Where the settings permit them, they are `SessionManager.refresh()` and `ticket()`."""
    with serving_devices_again(rotation={"after": 300}) as world:
        here = world.log_in("ann")
        ticket = world.ask("POST", "/account/session/ticket", here).json()
        assert set(ticket) == {"ticket", "expires_in"}
        world.clock.advance(10)
        token = world.ask("POST", "/account/session/refresh", here).json()["access_token"]
        assert token != here.token
        assert world.ask("GET", "/me", Device({"Authorization": f"Bearer {token}"}, "", "", "")).json()["id"] == here.id


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"user_index": True, "rotation": {"after": 300}}, set()),
        ({"user_index": True}, {"POST /session/refresh"}),
        (
            {},
            {"POST /session/refresh", "GET /sessions", "DELETE /sessions", "DELETE /sessions/{handle}",
             "PATCH /sessions/{handle}"},
        ),
    ],
)  # fmt: skip
def test_without_include_there_is_what_the_settings_permit(options: dict[str, Any], missing: set[str]) -> None:
    """The endpoints of a feature that is off are not there."""
    everything = {
        "GET /session", "DELETE /session", "GET /sessions", "DELETE /sessions", "DELETE /sessions/{handle}",
        "PATCH /sessions/{handle}", "POST /session/refresh", "POST /session/ticket",
    }  # fmt: skip
    assert endpoints(provider(**options).router()) == everything - missing


def test_include_selects() -> None:
    """Only what is named is there."""
    router = provider(user_index=True).router("/me", include=("read", "list"))
    assert endpoints(router) == {"GET /me/session", "GET /me/sessions"}


class OnlySessions:
    """A store without tickets."""

    def __init__(self) -> None:
        self._store = MemorySessionStore()
        for name in (each for each in dir(SessionStore) if not each.startswith("_")):
            setattr(self, name, getattr(self._store, name))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ({"include": {"lst"}}, {}, "router: include: give a set of one or more of read, log_out, list, "),
        ({"include": "read"}, {}, "router: include: give a set"),
        ({"include": []}, {}, "router: include: give a set"),
        ({"include": [["read"]]}, {}, "router: include: give a set"),
        ({"include": {"list"}}, {}, "router: include: 'list' needs user_index=True"),
        ({"include": {"end"}}, {}, "router: include: 'end' needs user_index=True"),
        ({"include": {"refresh"}}, {"user_index": True}, "router: include: 'refresh' needs rotation.after"),
        ({"fresh": 300}, {}, "router: fresh: none of the endpoints ends other sessions"),
        ({"fresh": "soon"}, {"user_index": True}, "require_fresh: max_age: must be whole seconds"),
        ({"prefix": "account"}, {}, "router: prefix: must be empty, or begin with a slash"),
        ({"prefix": "/account/"}, {}, "router: prefix: must be empty, or begin with a slash"),
        ({"prefix": None}, {}, "router: prefix: must be empty, or begin with a slash"),
        ({"locate": len}, {"user_index": True}, "router: locate: needs capture_client"),
        ({"locate": "x"}, {"user_index": True, "capture_client": True}, "router: locate: must be a function"),
        ({"login": "/login"}, {"user_index": True}, "router: login: needs pages=True"),
        ({"pages": True}, {"user_index": True}, 'router: pages: needs user_index=True, and "cookie" in token_sources'),
        ({"pages": True}, {"token_sources": ["cookie"]}, "router: pages: needs user_index=True"),
        (
            {"pages": True, "login": "https://elsewhere"},
            {"token_sources": ["cookie"], "user_index": True},
            "redirect_to_login: give the path",
        ),
    ],
)
def test_what_can_not_work_is_refused(arguments: dict[str, Any], options: dict[str, Any], message: str) -> None:
    """When the router is made, with the name of the argument and of the setting."""
    with pytest.raises(ConfigurationError) as caught:
        provider(**options).router(**arguments)
    assert message in str(caught.value)


def test_a_store_without_tickets() -> None:
    """The endpoint is left out, and who asks for it is told why."""
    store: Any = OnlySessions()
    sessions = SessionProvider(secret=SECRET, store=store)
    assert "POST /session/ticket" not in endpoints(sessions.router())
    with pytest.raises(ConfigurationError, match="'ticket' needs a store with the methods of TicketStore"):
        sessions.router(include={"ticket"})


class Places:
    """A `locate` that counts its calls."""

    def __init__(self, fails: bool = False) -> None:
        self.asked: list[str] = []
        self.fails = fails

    async def __call__(self, address: str) -> str | None:
        self.asked.append(address)
        if self.fails:
            raise RuntimeError("no database")
        return {"10.1.2.3": "Here", "192.0.2.0": "There"}.get(address)


ADDRESSES = ["10.1.2.3", "10.1.2.3", "192.0.2.7", "2001:db8:1:2::3"]


@pytest.mark.parametrize("capture", [True, "coarse"])
def test_places(capture: Any) -> None:
    """`locate` is asked once for each address, or for the first address of a coarse network; it may be a coroutine."""
    places = Places()
    with serving_devices({"locate": places}, capture_client=capture) as world:
        for address in ADDRESSES:
            here = world.log_in("ann", address=address)
        shown = {each["client"]: each["location"] for each in world.listed(here)}
    if capture == "coarse":
        assert shown == {"10.1.2.0/24": None, "192.0.2.0/24": "There", "2001:db8:1::/48": None}
        assert sorted(places.asked) == ["10.1.2.0", "192.0.2.0", "2001:db8:1::"]
    else:
        assert shown == {"10.1.2.3": "Here", "192.0.2.7": None, "2001:db8:1:2::3": None}
        assert sorted(places.asked) == ["10.1.2.3", "192.0.2.7", "2001:db8:1:2::3"]


def test_places_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    """An error in `locate` is logged once for a list, and the sessions are shown without places."""
    places = Places(fails=True)
    with serving_devices({"locate": places}, capture_client=True) as world:
        for address in ADDRESSES:
            here = world.log_in("ann", address=address)
        with caplog.at_level(logging.WARNING):
            assert [each["location"] for each in world.listed(here)] == [None] * 4
    assert (len(places.asked), caplog.text.count("locate() failed")) == (1, 1)
    assert here.id not in caplog.text


def test_many_hostile_devices() -> None:
    """An answer parses 50 new user agents at most, and the next answers do the others."""
    with serving_devices_again(capture_client=True) as world:
        for number in range(60):
            here = world.log_in("ann", agent=f"Mozilla/5.0 ({number}) Firefox/145.0")
        assert [sum(each["browser"] is not None for each in world.listed(here)) for _ in range(2)] == [50, 60]


def test_a_store_that_does_not_answer() -> None:
    """503 at each endpoint, and nobody is told that something has ended."""
    with serving_devices_again() as world:
        here = world.log_in("ann")
        world.store.down = True
        for method, path in [("GET", "session"), ("GET", "sessions"), ("DELETE", "session"), ("DELETE", "sessions"),
                             ("DELETE", f"sessions/{here.handle}")]:  # fmt: skip
            answer = world.ask(method, f"/account/{path}", here)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        world.store.down = False
        assert world.lives(here)


@pytest.mark.parametrize(("seconds", "year"), [(1e18, 9999), (-1e18, 1), (0, 1970), (1_795_500_000.9, 2026)])
def test_times_that_no_calendar_has(seconds: float, year: int) -> None:
    """A token may carry any number as a time: an answer has the first or last moment of the calendar for it."""
    assert moment(seconds).year == year
    assert moment(seconds).microsecond == 0
    assert moment(seconds).tzinfo is not None


@pytest.mark.parametrize("path", ["/account/sessions", "/admin/users/root/sessions"])
@pytest.mark.parametrize(("count", "answers"), [(9, [9]), (10, [10, 0]), (25, [10, 10, 5])])
def test_a_list_that_is_cut_says_where_it_goes_on(
    path: str, count: int, answers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `Link` (RFC 8288), until an answer is not full: all sessions can be had, each once, that used last first."""
    monkeypatch.setattr("jwtsession.web.routers.paging.LISTED", 10)
    with serving_devices(admin={}) as world:
        devices = [(world.log_in("root"), world.clock.advance(1))[0] for _ in range(count)]
        url, found = httpx2.URL(path), list[list[str]]()
        while True:
            answer = world.ask("GET", str(url), devices[-1])
            found.append([each["handle"] for each in answer.json()])
            if "next" not in answer.links:
                break
            url = answer.url.join(answer.links["next"]["url"])
        assert [len(each) for each in found] == answers
        assert [handle for each in found for handle in each] == [each.handle for each in reversed(devices)]


@pytest.mark.parametrize("path", ["/account/sessions", "/admin/users/root/sessions"])
@pytest.mark.parametrize(("offset", "status"), [("-1", 422), ("x", 422), ("", 422), ("9" * 30, 200)])
def test_an_offset_of_a_list(path: str, offset: str, status: int) -> None:
    """What is no offset is a 422, and beyond the end there is nothing."""
    with serving_devices(admin={}) as world:
        answer = world.ask("GET", path, world.log_in("root"), params={"offset": offset})
        assert answer.status_code == status
        assert status == 422 or answer.json() == []


def test_the_answers_are_kept_by_nobody() -> None:
    """`Cache-Control: no-store` on each answer, also on a refusal."""
    with serving_devices_again() as world:
        here = world.log_in("ann")
        for method, path in [("GET", "session"), ("GET", "sessions"), ("DELETE", "sessions"), ("DELETE", "sessions/x")]:
            assert "no-store" in world.ask(method, f"/account/{path}", here).headers["cache-control"]


def test_the_document() -> None:
    """Operation ids are unique with two providers, errors are named, and no 422 or 409 stands where none can come."""
    one = provider(user_index=True, token_sources=["cookie"])
    two = provider(user_index=True, request_key="staff", keyspace="staff:", rotation={"after": 300})
    app = FastAPI()
    app.include_router(one.router("/account", fresh=300))
    app.include_router(two.router("/staff"))
    app.include_router(one.admin_router(lambda: None, "/admin"))
    one.document(app)
    paths = app.openapi()["paths"]
    ids = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert len(ids) == len(set(ids)) == 7 + 8 + 3
    end = paths["/account/sessions/{handle}"]["delete"]["responses"]
    assert set(end) == {"204", "400", "401", "403", "404", "422", "503"}
    assert end["404"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/SessionError"}
    for path in ("/account/sessions", "/admin/users/{sub}/sessions"):
        assert paths[path]["get"]["responses"]["200"]["headers"]["Link"]["schema"] == {"type": "string"}
        assert "offset" in [each["name"] for each in paths[path]["get"]["parameters"]]
    assert set(paths["/account/session"]["get"]["responses"]) == {"200", "400", "401", "503"}
    assert paths["/account/sessions/{handle}"]["patch"]["requestBody"]["required"]
    schemas = app.openapi()["components"]["schemas"]
    assert schemas["SessionLabel"]["properties"]["label"]["anyOf"][0]["type"] == "string"
    assert schemas["SessionView"]["properties"]["created"]["format"] == "date-time"
    assert "id" not in schemas["SessionView"]["properties"]
