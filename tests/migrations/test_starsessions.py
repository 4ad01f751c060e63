"""docs/migrate/from-starsessions.md."""

from types import ModuleType

import pytest
from fastapi.testclient import TestClient

from tests import servers

from .conftest import FOREIGN, OWN, Load, in_parallel, outage

pytestmark = pytest.mark.ci
LOGIN = {"name": "ann", "password": "secret"}


@pytest.fixture(autouse=True)
def package() -> None:
    servers.package("starsessions", "migrations")


def browser(module: ModuleType, cookies: dict[str, str] | None = None) -> TestClient:
    return TestClient(module.app, base_url="https://testserver", headers=OWN, cookies=cookies)


@pytest.mark.parametrize("version", ["before", "after"])
def test_pages_see_the_same_api(load: Load, version: str) -> None:
    """Login, cart and logout answer as they did; the cookie alone is another one."""
    with browser(load(f"starsessions.{version}")) as client:
        assert client.get("/cart").status_code == 401
        assert client.post("/login", params=LOGIN | {"password": "guess"}).status_code == 401
        assert client.post("/login", params=LOGIN).status_code == 204
        assert client.post("/cart", params={"item": "tea"}).json() == {"user_id": 1, "cart": ["tea"]}
        assert client.get("/cart").json() == {"user_id": 1, "cart": ["tea"]}
        assert client.post("/logout").status_code == 204
        assert client.get("/cart").status_code == 401


@pytest.fixture
def old(load: Load) -> dict[str, str]:
    """The cookies of a user who is logged in at the version before, with tea in the cart."""
    with browser(load("starsessions.before")) as client:
        client.post("/login", params=LOGIN)
        client.post("/cart", params={"item": "tea"})
        return dict(client.cookies)


def test_a_user_who_is_logged_in_stays_so(load: Load, old: dict[str, str], valkey: servers.Server) -> None:
    """The first request with the old cookie gets the cart and the new cookie; ten seconds later the old one is dead."""
    with browser(load("starsessions.after"), old) as client:
        assert client.post("/cart", params={"item": "cup"}).json() == {"user_id": 1, "cart": ["tea", "cup"]}
        assert "__Host-Http-session" in client.cookies
        assert 0 < valkey.ask("TTL", f"starsessions.{old['session']}") <= 10
        valkey.ask("PEXPIRE", f"starsessions.{old['session']}", 0)
        assert client.get("/cart").json()["cart"] == ["tea", "cup"]
        client.cookies.clear()
        assert client.get("/cart", headers={"Cookie": f"session={old['session']}"}).status_code == 401


def test_the_ten_seconds_do_not_begin_again(load: Load, old: dict[str, str], valkey: servers.Server) -> None:
    """A copy of the old cookie that is used again and again lives no longer."""
    key = f"starsessions.{old['session']}"
    with browser(load("starsessions.after")) as client:
        client.get("/cart", headers={"Cookie": f"session={old['session']}"})
        valkey.ask("EXPIRE", key, 3)
        client.cookies.clear()
        assert client.get("/cart", headers={"Cookie": f"session={old['session']}"}).status_code == 200
        assert valkey.ask("TTL", key) <= 3


def test_a_logout_is_final_from_the_first_request_on(load: Load, old: dict[str, str]) -> None:
    """Who comes back only to log out leaves nothing that works, neither the old cookie nor the new one."""
    with browser(load("starsessions.after"), old) as client:
        assert client.post("/logout").status_code == 204
        assert client.get("/cart").status_code == 401


def test_a_new_login_ends_the_old_session(load: Load, old: dict[str, str], valkey: servers.Server) -> None:
    """So it can't come back when the new session has ended."""
    with browser(load("starsessions.after"), old) as client:
        assert client.post("/login", params=LOGIN).status_code == 204
        assert valkey.ask("EXISTS", f"starsessions.{old['session']}") == 0
        assert client.get("/cart").json()["cart"] == []


def test_requests_at_the_same_time_are_all_answered(load: Load, old: dict[str, str]) -> None:
    """Each takes the same old session over, for the same user."""
    answers = in_parallel(load("starsessions.after").app, "/cart", old)
    assert [answer.json() for answer in answers] == [{"user_id": 1, "cart": ["tea"]}] * 4


def test_another_site_ends_and_changes_nothing(load: Load, old: dict[str, str], valkey: servers.Server) -> None:
    """Its form is a 403, and the old session is as it was; a link to a page takes the session over."""
    key = f"starsessions.{old['session']}"
    stored = valkey.ask("GET", key)
    with browser(load("starsessions.after"), old) as client:
        for path in ("/cart?item=x", "/logout"):
            assert client.post(path, headers=FOREIGN).status_code == 403
        assert (valkey.ask("GET", key), valkey.ask("TTL", key) > 86_400) == (stored, True)
        assert client.get("/cart", headers=FOREIGN).json() == {"user_id": 1, "cart": ["tea"]}


def test_the_old_session_outlives_an_outage(load: Load, old: dict[str, str]) -> None:
    """If the new session can't be stored, the answer is a 503, and the old one is still good."""
    after = load("starsessions.after")
    with browser(after, old) as client:
        with outage(after):
            assert client.get("/cart").status_code == 503
        assert client.get("/cart").json()["cart"] == ["tea"]


def test_what_is_no_old_session_is_a_401(load: Load, valkey: servers.Server) -> None:
    """An id that does not exist, a visitor's session, one that has expired, and no id at all."""
    valkey.ask("SET", "starsessions.visitor", '{"theme": "dark", "__metadata__": {"created": 1}}')
    with browser(load("starsessions.after")) as client:
        for old_id in ("0" * 32, "visitor", "", "../sess:x", "*"):
            assert client.get("/cart", headers={"Cookie": f"session={old_id}"}).status_code == 401
    assert valkey.sessions() == []
