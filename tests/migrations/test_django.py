"""docs/migrate/from-django.md."""

import contextlib
import os
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from fastapi.testclient import TestClient

from tests import servers

from .conftest import FOREIGN, OWN, Load, in_parallel

pytestmark = pytest.mark.ci
LOGIN = {"name": "ann", "password": "secret"}


def add_csrf_header(request: httpx2.Request) -> None:
    """What Django's pages do by a script of theirs: the header repeats the cookie."""
    request.headers["X-CSRFToken"] = re.findall(r"csrftoken=(\w+)", request.headers["Cookie"])[-1]


@pytest.fixture(scope="module", autouse=True)
def django(valkey_server: servers.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Django with a database, as it is set up once for a process."""
    servers.package("django", "migrations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE", str(tmp_path_factory.mktemp("django") / "users.sqlite"))
        patch.setenv("REDIS_URL", valkey_server.url)
        patch.setenv("SECRET_KEY", "k" * 64)
        from .django import before as before  # sets Django up
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import override_settings

    call_command("migrate", verbosity=0)
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):  # quick
        get_user_model().objects.create_user("ann", password="secret")
        yield
    from django.core.cache import caches
    from django.db import connections

    connections.close_all()
    caches.close_all()


@contextlib.contextmanager
def browser(load: Load, version: str, cookies: dict[str, str] | None = None) -> Iterator[httpx2.Client]:
    app = load(f"django.{version}").app
    base = {"before": "http://testserver", "after": "https://testserver"}[version]
    options: dict[str, Any] = {"base_url": base, "headers": OWN, "cookies": {"csrftoken": "c" * 32} | (cookies or {})}
    if version == "after":
        with TestClient(app, **options) as client:
            yield client
    else:
        with httpx2.Client(transport=httpx2.WSGITransport(app), **options) as django:
            django.event_hooks["request"].append(add_csrf_header)
            yield django


@pytest.mark.parametrize("version", ["before", "after"])
def test_pages_see_the_same_api(load: Load, version: str) -> None:
    """Login, cart and logout answer as they did; the cookie alone is another one."""
    with browser(load, version) as client:
        assert client.get("/cart").status_code == 401
        assert client.post("/login", data=LOGIN | {"password": "guess"}).status_code == 401
        assert client.post("/login", data=LOGIN).status_code == 204
        assert client.post("/cart", data={"item": "tea"}).json() == {"user_id": 1, "cart": ["tea"]}
        assert client.get("/cart").json() == {"user_id": 1, "cart": ["tea"]}
        assert client.post("/logout").status_code == 204
        assert client.get("/cart").status_code == 401


@pytest.fixture
def old(load: Load) -> dict[str, str]:
    """The cookies of a user who is logged in at the Django application, with tea in the cart."""
    return log_in(load, LOGIN)


def log_in(load: Load, login: dict[str, str]) -> dict[str, str]:
    with browser(load, "before") as client:
        client.post("/login", data=login)
        client.post("/cart", data={"item": "tea"})
        return {"sessionid": client.cookies["sessionid"]}


def key_of(old: dict[str, str]) -> str:
    return f":1:django.contrib.sessions.cache{old['sessionid']}"


def test_a_user_who_is_logged_in_stays_so(load: Load, old: dict[str, str], valkey: servers.Server) -> None:
    """The first request with Django's cookie gets the cart and the new one; ten seconds later the old one is dead."""
    with browser(load, "after", old) as client:
        assert client.post("/cart", data={"item": "cup"}).json() == {"user_id": 1, "cart": ["tea", "cup"]}
        claims = jwt.decode(client.cookies["__Host-Http-session"], options={"verify_signature": False})
        assert (claims["sub"], claims["auth_time"]) == ("1", 0)
        assert 0 < valkey.ask("TTL", key_of(old)) <= 10
        valkey.ask("EXPIRE", key_of(old), 3)
        client.cookies.delete("__Host-Http-session")
        assert client.get("/cart").json() == {"user_id": 1, "cart": ["tea"]}
        assert valkey.ask("TTL", key_of(old)) <= 3
        valkey.ask("PEXPIRE", key_of(old), 0)
        assert client.get("/cart").status_code == 200
        client.cookies.delete("__Host-Http-session")
        assert client.get("/cart").status_code == 401


def test_a_logout_and_a_new_login_end_the_old_session(load: Load, valkey: servers.Server) -> None:
    """So it can't come back when the new session has ended."""
    for path in ("/logout", "/login"):
        old = log_in(load, LOGIN)
        with browser(load, "after", old) as client:
            assert client.post(path, data=LOGIN).status_code == 204
            assert valkey.ask("EXISTS", key_of(old)) == 0
            assert client.get("/cart").status_code == (401 if path == "/logout" else 200)


def test_requests_at_the_same_time_are_all_answered(load: Load, old: dict[str, str]) -> None:
    """Each takes the same old session over, for the same user."""
    answers = in_parallel(load("django.after").app, "/cart", old)
    assert [answer.json() for answer in answers] == [{"user_id": 1, "cart": ["tea"]}] * 4


def test_page_by_page_django_decides_who_is_logged_in(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the ten seconds, and with tokens of five minutes: both work, and a logout in either of them ends both."""
    monkeypatch.setenv("JWTSESSION_ABSOLUTE_MAX_AGE", "300")
    for log_out_of in ("after", "before"):
        old = log_in(load, LOGIN)
        with browser(load, "after", old) as new, browser(load, "before", old) as django:
            after = sys.modules["tests.migrations.django.after"]
            end_old = after.end_old
            monkeypatch.setattr(after, "end_old", lambda key, seconds, end=end_old: seconds or end(key, 0))
            assert new.get("/cart").json() == django.get("/cart").json() == {"user_id": 1, "cart": ["tea"]}
            claims = jwt.decode(new.cookies["__Host-Http-session"], options={"verify_signature": False})
            assert claims["exp"] - claims["iat"] == 300
            assert {"after": new, "before": django}[log_out_of].post("/logout").status_code == 204
            new.cookies.delete("__Host-Http-session")  # as the browser does after five minutes
            assert new.get("/cart").status_code == django.get("/cart").status_code == 401


def test_another_site_ends_and_changes_nothing(load: Load, old: dict[str, str], valkey: servers.Server) -> None:
    """Its form is a 403, and the old session is as it was; a link to a page takes the session over."""
    with browser(load, "after", old) as client:
        assert client.post("/cart", data={"item": "x"}, headers=FOREIGN).status_code == 403
        assert client.post("/logout", headers=FOREIGN).status_code == 403
        assert valkey.ask("TTL", key_of(old)) > 86_400
        assert client.get("/cart", headers=FOREIGN).json() == {"user_id": 1, "cart": ["tea"]}


@pytest.mark.parametrize("change", ["password", "blocked", "expired", "forged"])
def test_django_decides_who_is_logged_in(load: Load, valkey: servers.Server, change: str) -> None:
    """After a new password, for a blocked user, for an expired session and for a made-up id it is a 401."""
    from django.contrib.auth import get_user_model

    bob = get_user_model().objects.create_user(f"bob {change}", password="secret")
    old = log_in(load, LOGIN | {"name": bob.username})
    if change == "password":
        bob.set_password("secret")  # the same, with another salt
    bob.is_active = change != "blocked"
    bob.save()
    if change == "expired":
        valkey.ask("PEXPIRE", key_of(old), 0)
    cookies = {"sessionid": "x" * 32} if change == "forged" else old
    with browser(load, "after", cookies) as client:
        assert client.get("/cart").status_code == 401
    assert valkey.sessions() == []


class Exploit:
    """What runs code when it is unpickled: it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_what_stands_in_redis_is_a_pickle(
    load: Load, old: dict[str, str], valkey: servers.Server, tmp_path: Path
) -> None:
    """Whoever can write to Django's Redis runs code in Django, and while sessions are taken over in the new one too."""
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        assert pickle.loads(client.get(key_of(old)))["_auth_user_id"] == "1"
        client.set(key_of({"sessionid": "evil1234"}), pickle.dumps(Exploit(tmp_path / "ran")))
    with browser(load, "after", {"sessionid": "evil1234"}) as after, contextlib.suppress(Exception):
        after.get("/cart")
    assert (tmp_path / "ran").exists()
