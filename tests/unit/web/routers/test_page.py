"""Tests of jwtsession.web.routers._page: the page "Your sessions", as a browser without scripts uses it."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx2
import pytest

from tests.devices import FIREFOX, IPHONE, Device, Devices, serving_devices, serving_devices_again

BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
PAGE = "/account/devices"
WITH_PAGES = {"pages": True}


def open_page(world: Devices, device: Device | None, path: str = PAGE) -> httpx2.Response:
    return world.ask("GET", path, device, headers=BROWSER)


def send(world: Devices, form: str, device: Device | None, **fields: str) -> httpx2.Response:
    return world.ask("POST", f"{PAGE}/{form}", device, data=fields, headers=BROWSER)


def text(answer: httpx2.Response) -> str:
    """What the page shows, without its style."""
    body = re.sub(r"<style>.*?</style>", "", answer.text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


class Outline(HTMLParser):
    """The tags of a page, with their attributes; it complains if they are not nested well."""

    EMPTY = {"meta", "input", "path", "rect"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_the_page_of_two_devices() -> None:
    """This device and the others, each in words that people know, with the times as `<time>`."""
    with serving_devices_again(WITH_PAGES, capture_client=True) as world:
        phone = world.log_in("ann", agent=IPHONE, address="192.0.2.7")
        world.clock.advance(3 * 3600)
        here = world.log_in("ann", by="cookie")
        world.clock.advance(200)
        world.ask("PATCH", f"/account/sessions/{here.handle}", here, json={"label": "Desk"})
        answer = open_page(world, here)
        assert answer.status_code == 200
        assert text(answer) == (
            "Your sessions Your sessions These devices are signed in to your account. If you do not know one of them, "
            "end its session and change your password. This device Desk Log out Firefox on Windows Active now "
            "Signed in 3 minutes ago Rename Desk Your name for it Save Other devices Safari on iPhone End session: "
            "Safari on iPhone 192.0.2.7 Last active 3 hours ago Signed in 3 hours ago Rename Safari on iPhone "
            "Your name for it Save End all other sessions"
        )
        outline = Outline(answer.text)
        assert next(each["datetime"] for tag, each in outline.tags if tag == "time") == "2027-01-15T11:00:00Z"
        assert [tag for tag, each in outline.tags if each.get("aria-current")] == ["li"]
        assert (phone.id in answer.text, here.token in answer.text) == (False, False)


def test_a_page_has_headers_that_permit_nothing_else() -> None:
    """The policy names the style by its hash, and nothing of the page needs more: no script, no style in attributes."""
    with serving_devices_again(WITH_PAGES) as world:
        here = world.log_in("ann", by="cookie")
        world.log_in("ann")
        for answer in (open_page(world, here), open_page(world, None), send(world, "end", here, handle="x")):
            (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            assert answer.headers["content-security-policy"] == (
                f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; frame-ancestors 'none'; "
                "base-uri 'none'"
            )
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "same-origin"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            names = {name for _, each in Outline(answer.text).tags for name in each}
            assert not any(name.startswith("on") or name in ("style", "src") for name in names)


HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.mark.parametrize("place", ["label", "agent", "location", "client"])
def test_nothing_that_a_client_chooses_becomes_html(place: str) -> None:
    """A label, a user agent, a place: each is escaped, in texts and in attributes."""
    router = {**WITH_PAGES, "locate": lambda address: HOSTILE if place == "location" else None}
    with serving_devices(router, capture_client=True) as world:
        agent = (
            f"Mozilla/5.0 (Linux; Android 9; {HOSTILE} Build/X) Chrome/1 {HOSTILE}/1.0" if place == "agent" else FIREFOX
        )
        other = world.log_in("ann", agent=agent, address=HOSTILE if place == "client" else "192.0.2.7")
        here = world.log_in("ann", by="cookie")
        if place == "label":
            world.ask("PATCH", f"/account/sessions/{other.handle}", here, json={"label": HOSTILE})
        page = open_page(world, here).text
        assert "<script" not in page
        assert "\"'&" not in page
        Outline(page)
        if place in ("label", "location"):
            assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;" in page


def test_the_forms_do_what_they_say() -> None:
    """Each answers with a 303 to the page, which then says what happened, and says it in its title too."""
    with serving_devices_again(WITH_PAGES) as world:
        here, phone, tablet = (world.log_in("ann", by=by) for by in ("cookie", "bearer", "bearer"))
        answer = send(world, "rename", here, handle=phone.handle, label=" My phone ")
        assert (answer.status_code, answer.headers["location"]) == (303, "../devices?done=named")
        page = open_page(world, here, f"{PAGE}?done=named")
        assert "The name is saved. This device" in text(page)
        assert "<title>The name is saved. Your sessions</title>" in page.text
        assert "My phone" in text(page)
        answer = send(world, "end", here, handle=phone.handle)
        assert (answer.status_code, answer.headers["location"]) == (303, "../devices?done=ended")
        assert (world.lives(phone), world.lives(tablet)) == (False, True)
        answer = send(world, "end-others", here)
        assert (answer.status_code, answer.headers["location"]) == (303, "../devices?done=others-ended")
        assert (world.lives(here), world.lives(tablet)) == (True, False)
        assert "You are not signed in anywhere else." in text(open_page(world, here))
        assert HOSTILE not in open_page(world, here, f"{PAGE}?done={HOSTILE}").text


@pytest.mark.parametrize("form", ["log-out", "end"])
@pytest.mark.parametrize("login", [None, "/login"])
def test_a_log_out(form: str, login: str | None) -> None:
    """The cookie is cleared, and the browser goes to the login page, if the router knows one."""
    with serving_devices_again({**WITH_PAGES, "login": login}) as world:
        here = world.log_in("ann", by="cookie")
        answer = send(world, form, here, handle=here.handle)
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert not world.lives(here)
        if login is None:
            assert (answer.status_code, text(answer)[:19]) == (200, "You are logged out ")
        else:
            assert (answer.status_code, answer.headers["location"]) == (303, login)


def test_the_page_does_not_say_that_a_session_has_ended_which_has_moved() -> None:
    """The other device may have got a new id since the list was made: then its session goes on."""
    with serving_devices_again({"pages": True}) as world:
        here, other = world.log_in("ann", by="cookie"), world.log_in("ann")
        moved = world.device(world.ask("POST", "/regenerate", other))
        answer = world.ask("POST", "/account/devices/end", here, data={"handle": other.handle})
        assert answer.status_code == 404
        assert "It has ended, or it has changed." in answer.text
        assert world.lives(moved)


def test_a_visitor_goes_to_the_login_and_back() -> None:
    """With `login` the browser gets a 303 with the page as `next`; without, a 401 that says so."""
    with serving_devices_again({**WITH_PAGES, "login": "/login"}) as world:
        answer = open_page(world, None)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/account/devices")
        assert send(world, "end", None, handle="x").headers["location"] == "/login"
    with serving_devices_again(WITH_PAGES) as world:
        answer = open_page(world, None)
        assert answer.status_code == 401
        assert "You are not signed in" in text(answer)


def test_a_session_without_a_user() -> None:
    """A visitor's session has no devices: the page says so, and offers the log-out."""
    with serving_devices_again(WITH_PAGES) as world:
        visitor = world.log_in("visitor", by="cookie")
        page = text(open_page(world, visitor))
        assert "This device You are not signed in. Log out Other devices You are not signed in anywhere else." in page


REFUSED = [
    ("end", {"handle": "x"}, {}, 404, "This session is not in the list any more"),
    ("end", {"other": "x"}, {}, 404, "This session is not in the list any more"),
    ("rename", {"handle": "x", "label": "y"}, {}, 404, "This session is not in the list any more"),
    ("rename", {"handle": "x", "label": "y" * 65}, {}, 422, "This name is not possible"),
    ("rename", {"handle": "x", "label": "\u202e"}, {}, 422, "This name is not possible"),
    ("end", {"handle": "x"}, {"Sec-Fetch-Site": "cross-site"}, 403, "This request was refused"),
    ("end-others", {}, {"Sec-Fetch-Site": "cross-site"}, 403, "This request was refused"),
    ("log-out", {}, {"Sec-Fetch-Site": "cross-site"}, 403, "This request was refused"),
    ("rename", {"handle": "x"}, {"Sec-Fetch-Site": "same-site"}, 403, "This request was refused"),
    ("end", {"handle": "x"}, {"Content-Type": "text/plain"}, 400, "This was not understood"),
    ("end", {str(number): "x" for number in range(1_100)}, {}, 413, "This was not understood"),
    ("end", {"handle": "x" * 103_000}, {}, 413, "This was not understood"),
]


@pytest.mark.parametrize(("form", "fields", "headers", "status", "title"), REFUSED)
def test_a_refusal_is_a_page(
    form: str, fields: dict[str, str], headers: dict[str, str], status: int, title: str
) -> None:
    """With the right status, a sentence that people understand, and a way back; and nothing has changed."""
    with serving_devices_again(WITH_PAGES) as world:
        here, other = world.log_in("ann", by="cookie"), world.log_in("ann")
        answer = world.ask("POST", f"{PAGE}/{form}", here, data=fields, headers=BROWSER | headers)
        assert (answer.status_code, text(answer).startswith(title)) == (status, True)
        assert 'href="../devices"' in answer.text
        Outline(answer.text)
        assert (world.lives(here), world.lives(other)) == (True, True)


def test_an_old_sign_in_is_told_to_sign_in_again() -> None:
    """With `fresh` the page links to the login, and from there back to the page. Naming needs no new sign-in."""
    with serving_devices_again({**WITH_PAGES, "fresh": 300, "login": "/login?x=1"}) as world:
        here, other = world.log_in("ann", by="cookie"), world.log_in("ann")
        world.clock.advance(301)
        for form in ("end", "end-others"):
            answer = send(world, form, here, handle=other.handle)
            assert (answer.status_code, "Sign in again" in text(answer)) == (401, True)
            assert 'href="/login?x=1&amp;next=/account/devices"' in answer.text
            assert 'max_age="300"' in answer.headers["www-authenticate"]
        assert world.lives(other)
        assert send(world, "rename", here, handle=other.handle, label="x").status_code == 303


def test_a_store_that_does_not_answer_is_a_page_too() -> None:
    """503, with `Retry-After`, and the user learns that nobody has been signed out."""
    with serving_devices_again(WITH_PAGES) as world:
        here = world.log_in("ann", by="cookie")
        world.store.down = True
        answer = open_page(world, here)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "Nobody has been signed out." in text(answer)
        assert 'href="devices"' in answer.text


def test_a_store_that_fails_halfway() -> None:
    """The page does not say that nobody has been signed out, where somebody may have been."""
    with serving_devices_again(WITH_PAGES) as world:
        here = world.log_in("ann", by="cookie")
        world.log_in("ann")
        world.store.down = True
        answer = world.ask("POST", "/account/devices/end-others", here)
        assert answer.status_code == 503
        assert "Nobody has been signed out." not in text(answer)
        assert "may have happened in part" in text(answer)


def test_only_what_is_included_has_a_button() -> None:
    """Without an endpoint the page has neither its button nor its form."""
    with serving_devices({**WITH_PAGES, "include": {"list"}}) as world:
        here = world.log_in("ann", by="cookie")
        world.log_in("ann")
        assert "<form" not in open_page(world, here).text
        for form in ("end", "end-others", "rename", "log-out"):
            assert send(world, form, here).status_code == 404


def test_a_long_list_is_cut() -> None:
    """The page shows a hundred other sessions, says how many there are more, and can end them all."""
    with serving_devices(WITH_PAGES, touch_interval=60) as world:
        world.log_in_often("ann", 103)
        here = world.log_in("ann", by="cookie")
        page = open_page(world, here)
        assert page.text.count('action="devices/end"') == 100
        assert "3 more are not shown." in text(page)
        send(world, "end-others", here)
        assert len(world.listed(here)) == 1


def test_a_list_that_is_not_read_to_its_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a user has more sessions than an answer lists, the page says how many it knows of, and ends all others."""
    monkeypatch.setattr("jwtsession.web.routers.paging.LISTED", 102)
    with serving_devices(WITH_PAGES, touch_interval=60) as world:
        world.log_in_often("ann", 105)
        here = world.log_in("ann", by="cookie")
        assert len(world.listed(here)) == 102
        page = open_page(world, here)
        assert page.text.count('action="devices/end"') == 100
        assert "At least 1 more are not shown." in text(page)
        send(world, "end-others", here)
        assert len(world.listed(here)) == 1


def test_the_page_is_not_in_the_document_and_knows_no_prefix() -> None:
    """OpenAPI shows no form, and behind a proxy with a prefix each URL of the page still leads to it."""
    with serving_devices({"pages": True, "prefix": ""}) as world:
        assert not [path for path in world.app.openapi()["paths"] if "devices" in path]
        here = world.log_in("ann", by="cookie")
        page = world.ask("GET", "/devices", here, headers=BROWSER)
        assert page.status_code == 200
        actions = {each["action"] for tag, each in Outline(page.text).tags if tag == "form"}
        assert actions == {"devices/log-out", "devices/rename"}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "just now"), (119, "just now"), (120, "2 minutes ago"), (3599, "59 minutes ago"), (3600, "1 hour ago"),
     (86_399, "23 hours ago"), (86_400, "1 day ago"), (14 * 86_400 - 1, "13 days ago"),
     (14 * 86_400, "on 15 January 2027")],
)  # fmt: skip
def test_times_as_people_say_them(seconds: int, shown: str) -> None:
    """Nobody knows the user's time zone, so a time is an age, and later a date."""
    with serving_devices_again(WITH_PAGES, max_age=30 * 86_400) as world:
        here = world.log_in("ann", by="cookie")
        world.clock.advance(seconds)
        assert f"Signed in {shown} " in text(open_page(world, here))


@pytest.mark.parametrize("agent", ["", "a program", FIREFOX, IPHONE, "Googlebot/2.1 (+http://www.google.com/bot.html)"])
def test_every_device_has_a_name(agent: str) -> None:
    """Also one of which nothing is known: the button's name would be empty without it."""
    with serving_devices_again(WITH_PAGES, capture_client=True) as world:
        world.log_in("ann", agent=agent)
        here = world.log_in("ann", by="cookie")
        (heading,) = re.findall(r"End<span class=\"unseen\"> session: ([^<]*)<", open_page(world, here).text)
        assert heading
