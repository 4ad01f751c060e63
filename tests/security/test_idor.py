"""Who may do what with whose session: each user, each handle, each endpoint and each form of the ready-made routers."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx2
import pytest

from jwtsession import SessionInfo
from tests.devices import Device, Devices, serving_devices

pytestmark = pytest.mark.slow

WHO = ("ann", "bob", "root", "nobody", "acting", "expired")
"""Who asks: two users, the administrator, a client without a token, the administrator who acts for ann, and ann with a
token that has expired."""

HANDLES = ("own", "current", "other's", "ended", "id", "garbage")
"""Which session is named: another one of whoever asks (of ann, for those without a session), the one that asks, one of
another user, one that has ended; and what is no handle: a session's id, and a text."""


class Town:
    """The sessions of all users, before somebody asks."""

    def __init__(self, world: Devices, by: str) -> None:
        self.world = world
        expired = world.log_in("ann", by=by)
        world.clock.advance(1_000)  # `absolute_max_age`
        self.own = {name: world.log_in(name) for name in ("ann", "bob", "root")}
        ended = {name: world.log_in(name) for name in ("ann", "bob", "root")}
        for each in ended.values():
            assert world.ask("DELETE", "/account/session", each).status_code == 204
        self.current = {name: world.log_in(name, by=by) for name in ("ann", "bob", "root")}
        headers = {"Session-Transport": by}
        admin = world.log_in("root", by=by)
        answer = world.ask("POST", "/admin/users/ann/impersonate", admin, headers=headers)
        assert world.ask("DELETE", "/account/session", admin).status_code == 204
        self.asks: dict[str, Device | None] = self.current | {
            "nobody": None,
            "expired": expired,
            "acting": world.device(answer),
        }
        self.ended = ended
        self.living = {
            each.id: each for each in [*self.own.values(), *self.current.values(), self.asks["acting"]] if each
        }
        everybody = [*self.living.values(), *ended.values(), expired, admin]
        self.secrets = {each.id for each in everybody} | {each.token for each in everybody}

    def handle(self, who: str, which: str) -> str:
        """The handle by which `who` names a session."""
        user = "ann" if who in ("nobody", "acting", "expired") else who
        if which == "own":
            return self.own[user].handle
        if which == "current":
            device = self.asks[who]
            return self.current["ann"].handle if device is None else device.handle
        if which == "other's":
            return self.own["ann" if user == "bob" else "bob"].handle
        if which == "ended":
            return self.ended[user].handle
        return self.own[user].id if which == "id" else "garbage"

    def of(self, user: str) -> set[Device]:
        """All living sessions of a user."""
        acting = self.asks["acting"]
        return {self.own[user], self.current[user], *({acting} if acting and user == "ann" else ())}

    def stored(self) -> dict[str, bytes]:
        """What the store holds of the sessions that live at the start: their data, and their labels."""
        return {name: each.value for name, each in self.world.store.contents.items() if name in self.living}

    def labels(self) -> dict[str, str | None]:
        """The label of each session."""
        listed: list[SessionInfo] = []
        for name in ("ann", "bob", "root"):
            listed += self.world.client.call(self.world.sessions.list_sessions, name)
        return {each.handle: each.label for each in listed}


@contextmanager
def town(by: str) -> Iterator[Town]:
    options: dict[str, Any] = {"absolute_max_age": 1_000, "capture_client": True, "touch_interval": 60}
    options |= {"may_impersonate": lambda admin, sub: admin == "root"}
    admin = {"impersonate": lambda sub: {} if sub in ("ann", "bob") else None}
    with serving_devices({"pages": True}, admin, **options) as world:
        yield Town(world, by)


# What each may do, by the session that is named. A row is an endpoint, its columns are `HANDLES`.
OK, BACK, OUT, GONE, WHO_ARE_YOU, NO = 204, 303, 200, 404, 401, 403
NOTHING = (GONE, GONE, GONE, GONE)  # another's, an ended one, an id, a text: all the same
EXPECTED: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {
    ("DELETE", "/account/sessions/{handle}"): {
        "ann": (OK, OK, *NOTHING),
        "bob": (OK, OK, *NOTHING),
        "root": (OK, OK, *NOTHING),  # to be an administrator is worth nothing here
        "nobody": (WHO_ARE_YOU,) * 6,
        "acting": (NO, OK, NO, NO, NO, NO),
        "expired": (WHO_ARE_YOU,) * 6,
    },
    ("PATCH", "/account/sessions/{handle}"): {
        "ann": (OK, OK, *NOTHING),
        "bob": (OK, OK, *NOTHING),
        "root": (OK, OK, *NOTHING),
        "nobody": (WHO_ARE_YOU,) * 6,
        "acting": (NO,) * 6,
        "expired": (WHO_ARE_YOU,) * 6,
    },
    ("POST", "/account/devices/end"): {
        "ann": (BACK, OUT, *NOTHING),
        "bob": (BACK, OUT, *NOTHING),
        "root": (BACK, OUT, *NOTHING),
        "nobody": (WHO_ARE_YOU,) * 6,
        "acting": (NO, OUT, NO, NO, NO, NO),
        "expired": (WHO_ARE_YOU,) * 6,
    },
    ("POST", "/account/devices/rename"): {
        "ann": (BACK, BACK, *NOTHING),
        "bob": (BACK, BACK, *NOTHING),
        "root": (BACK, BACK, *NOTHING),
        "nobody": (WHO_ARE_YOU,) * 6,
        "acting": (NO,) * 6,
        "expired": (WHO_ARE_YOU,) * 6,
    },
    ("DELETE", "/admin/users/ann/sessions/{handle}"): {  # with the handles of ann, bob and root: only ann's are hers
        "ann": (NO,) * 6,
        "bob": (NO,) * 6,
        "root": (GONE,) * 6,
        "nobody": (WHO_ARE_YOU,) * 6,
        "acting": (NO,) * 6,
        "expired": (WHO_ARE_YOU,) * 6,
    },
    ("DELETE", "/admin/users/root/sessions/{handle}"): {
        "ann": (NO,) * 6,
        "bob": (NO,) * 6,
        "root": (OK, OK, *NOTHING),
        "nobody": (WHO_ARE_YOU,) * 6,
        "acting": (NO,) * 6,
        "expired": (WHO_ARE_YOU,) * 6,
    },
    ("DELETE", "/admin/users/bob/sessions/{handle}"): {
        "ann": (NO,) * 6,
        "bob": (NO,) * 6,
        "root": (GONE, GONE, OK, GONE, GONE, GONE),  # the other's is bob's
        "nobody": (WHO_ARE_YOU,) * 6,
        "acting": (NO,) * 6,
        "expired": (WHO_ARE_YOU,) * 6,
    },
}

# The same for what names no session: one status for each of `WHO`.
WITHOUT_A_HANDLE: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "/account/session"): (200, 200, 200, 401, 200, 401),
    ("GET", "/account/sessions"): (200, 200, 200, 401, 200, 401),
    ("GET", "/account/devices"): (200, 200, 200, 401, 200, 401),
    ("DELETE", "/account/session"): (204, 204, 204, 401, 204, 401),
    ("DELETE", "/account/sessions"): (200, 200, 200, 401, 403, 401),
    ("DELETE", "/account/sessions?all=true"): (200, 200, 200, 401, 403, 401),
    ("POST", "/account/session/ticket"): (200, 200, 200, 401, 200, 401),
    ("POST", "/account/devices/log-out"): (200, 200, 200, 401, 200, 401),
    ("POST", "/account/devices/end-others"): (303, 303, 303, 401, 403, 401),
    ("GET", "/admin/users/ann/sessions"): (403, 403, 200, 401, 403, 401),
    ("GET", "/admin/users/nobody/sessions"): (403, 403, 200, 401, 403, 401),
    ("DELETE", "/admin/users/bob/sessions"): (403, 403, 200, 401, 403, 401),
    ("POST", "/admin/users/ann/impersonate"): (403, 403, 200, 401, 403, 401),
    ("POST", "/admin/users/root/impersonate"): (403, 403, 404, 401, 403, 401),
}


def ask(place: Town, who: str, method: str, path: str, handle: str = "", site: str = "same-origin") -> httpx2.Response:
    options: dict[str, Any] = {"headers": {"Sec-Fetch-Site": site}}
    if "/devices" in path:
        options["headers"]["Accept"] = "text/html"
    if method == "PATCH":
        options["json"] = {"label": "Mine"}
    elif "/devices/" in path:
        options["data"] = {"handle": handle, "label": "Mine"}
    return place.world.ask(method, path.format(handle=handle), place.asks[who], **options)


def shows_nothing(place: Town, answer: httpx2.Response, log: str) -> None:
    """No session's id and no token stands in the answer, and none in the log."""
    told = answer.text + json.dumps([*answer.headers.multi_items()])
    new = answer.status_code == 200 and answer.request.url.path.endswith("/impersonate")
    assert not [each for each in place.secrets if each in told or each in log]
    assert "eyJ" not in log
    assert ("eyJ" in told) == new


class Towns:
    """A town for as many questions as change nothing in it: what was refused must have left it as it was."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._places: dict[str, Town] = {}

    def of(self, by: str) -> Town:
        if by not in self._places:
            self._places[by] = self._open.enter_context(town(by))
        return self._places[by]

    def leave(self, by: str) -> None:
        """A question has changed it: the next one needs a new town."""
        self._places.pop(by, None)

    def close(self) -> None:
        self._open.close()


@pytest.fixture(scope="module")
def towns() -> Iterator[Towns]:
    towns = Towns()
    yield towns
    towns.close()


@pytest.mark.parametrize("by", ["bearer", "cookie"])
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "path"), EXPECTED)
def test_each_handle(method: str, path: str, who: str, by: str, towns: Towns, caplog: pytest.LogCaptureFixture) -> None:
    """The table holds, no answer and no log line shows an id or a token, and what is refused changes nothing."""
    caplog.set_level(logging.DEBUG)
    for which, expected in zip(HANDLES, EXPECTED[method, path][who], strict=True):
        place = towns.of(by)
        handle = place.handle(who, which)
        before, labels = place.stored(), place.labels()
        caplog.clear()
        answer = ask(place, who, method, path, handle)
        # The id stands in the request's own URL then, which the client logs.
        log = "\n".join(each.getMessage() for each in caplog.records if each.name != "httpx2" or which != "id")
        assert (which, answer.status_code) == (which, expected)
        shows_nothing(place, answer, log)
        if answer.status_code == GONE and "/devices" not in path:
            assert answer.json() == {"detail": "Not Found"}
        after = place.stored()
        if answer.status_code >= 400:
            assert (after, place.labels()) == (before, labels)
            continue
        towns.leave(by)
        if method == "PATCH" or path.endswith("rename"):
            assert after == before
            assert {each for each, label in place.labels().items() if label == "Mine"} == {handle}
        else:
            (gone,) = before.keys() - after.keys()
            assert place.living[gone].handle == handle


@pytest.mark.parametrize("by", ["bearer", "cookie"])
@pytest.mark.parametrize(("method", "path"), WITHOUT_A_HANDLE)
def test_what_names_no_session(method: str, path: str, by: str, towns: Towns, caplog: pytest.LogCaptureFixture) -> None:
    """As above: each ends sessions of one user alone, and shows those of one user alone."""
    caplog.set_level(logging.DEBUG)
    for who, expected in zip(WHO, WITHOUT_A_HANDLE[method, path], strict=True):
        place = towns.of(by)
        before, labels = place.stored(), place.labels()
        caplog.clear()
        answer = ask(place, who, method, path)
        assert (who, answer.status_code) == (who, expected)
        shows_nothing(place, answer, caplog.text)
        if method == "GET" or answer.status_code >= 400:
            assert (place.stored(), place.labels()) == (before, labels)
        else:
            towns.leave(by)
            gone = {place.living[each] for each in before.keys() - place.stored().keys()}
            assert gone == changed(place, who, path)
        if answer.status_code == 200 and path.endswith("sessions") and method == "GET":
            user = "nobody" if "nobody" in path else "ann" if "/ann/" in path or who == "acting" else who
            others = {each.handle for name, each in [*place.own.items(), *place.current.items()] if name != user}
            shown = {each["handle"] for each in answer.json()}
            assert not shown & others
            assert len(shown) == (0 if user == "nobody" else len(place.of(user)))


def changed(place: Town, who: str, path: str) -> set[Device]:
    """The sessions that end."""
    asking = place.asks[who]
    assert asking is not None
    if path.endswith(("/ticket", "/impersonate")):
        return set()
    if path in ("/account/session", "/account/devices/log-out"):
        return {asking}
    if "/bob/" in path:
        return place.of("bob")
    ended = place.of(who) if "all=true" in path else place.of(who) - {asking}
    acting = place.asks["acting"]
    return ended | {acting} if who == "root" and acting else ended  # root acts for ann in it


WRITES = [each for each in [*EXPECTED, *WITHOUT_A_HANDLE] if each[0] != "GET"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("who", ["ann", "root"])
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_another_site_s_page_changes_nothing(method: str, path: str, who: str, site: str, towns: Towns) -> None:
    """Each write with the cookie, by the page of another site, is a 403, for users and for administrators."""
    place = towns.of("cookie")
    before, labels = place.stored(), place.labels()
    for which in ("own", "current", "other's") if "{handle}" in path or "/devices/" in path else ("own",):
        assert ask(place, who, method, path, place.handle(who, which), site).status_code == 403
    assert (place.stored(), place.labels()) == (before, labels)
