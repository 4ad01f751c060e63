"""docs/migrate/from-authx.md."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import jwt
import pytest
from fastapi.testclient import TestClient

from tests import servers
from tests.web import bearer, serving

from .conftest import FOREIGN, OWN, Load, outage

pytestmark = pytest.mark.ci
LOGIN = {"name": "ann", "password": "secret"}
WRONG = {"name": "ann", "password": "guess"}


@pytest.fixture(autouse=True)
def package() -> None:
    servers.package("authx", "migrations")


def browser(module: ModuleType) -> TestClient:
    return TestClient(module.app, base_url="https://testserver", headers=OWN)


@pytest.mark.parametrize("version", ["before", "after"])
def test_clients_see_the_same_api(load: Load, version: str) -> None:
    """Login and current user are as they were, with a bearer token and with the cookie; so is the logout's answer."""
    with browser(load(f"authx.{version}")) as client:
        assert client.post("/login", params=WRONG).status_code == 401
        headers = bearer(client.post("/login", params=LOGIN).json()["access_token"])
        assert client.get("/me", headers=headers).json() == {"user_id": "1"}
        assert client.get("/me").status_code == 401
        assert client.get("/me", headers=bearer("x")).status_code == {"before": 422, "after": 401}[version]
        assert client.post("/login/browser", params=WRONG).status_code == 401
        assert client.post("/login/browser", params=LOGIN).status_code == 204
        assert client.get("/me").json() == {"user_id": "1"}
        assert client.post("/logout").status_code == 204
        assert client.get("/me").status_code == 401


@pytest.fixture
def old(load: Load) -> dict[str, str]:
    """The two tokens of a client that is logged in at the version before."""
    with browser(load("authx.before")) as client:
        tokens: dict[str, str] = client.post("/login", params=LOGIN).json()
    return tokens


def test_a_client_that_is_logged_in_stays_so(load: Load, old: dict[str, str]) -> None:
    """It does what it always did at a 401: it sends its refresh token, and uses the access token of the answer."""
    with browser(load("authx.after")) as client:
        assert client.get("/me", headers=bearer(old["access_token"])).status_code == 401
        answer = client.post("/refresh", headers=bearer(old["refresh_token"]))
        new = bearer(answer.json()["access_token"])
        assert client.get("/me", headers=new).json() == {"user_id": "1"}
        claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
        assert claims["auth_time"] == jwt.decode(old["refresh_token"], options={"verify_signature": False})["iat"]
        assert client.post("/logout", headers=new).status_code == 204
        assert client.get("/me", headers=new).status_code == 401


def test_a_browser_that_is_logged_in_stays_so(load: Load) -> None:
    """Its refresh cookie gets the session's cookie; another site's form gets a 403 and ends nothing."""
    with browser(load("authx.before")) as client:
        client.post("/login/browser", params=LOGIN)
        cookies, csrf = dict(client.cookies), client.cookies["csrf_refresh_token"]
        assert client.post("/refresh/browser", headers={"X-CSRF-TOKEN": csrf}).status_code == 204
    with browser(load("authx.after")) as client:
        client.cookies.update(cookies)
        assert client.get("/me").status_code == 401
        assert client.post("/refresh/browser", headers=FOREIGN).status_code == 403
        assert client.post("/refresh/browser", headers={"X-CSRF-TOKEN": csrf}).status_code == 204
        assert client.get("/me").json() == {"user_id": "1"}
        assert client.post("/logout").status_code == 204
        assert client.get("/me").status_code == client.post("/refresh/browser").status_code == 401


def test_a_logout_ends_a_refresh_token_that_was_never_exchanged(load: Load) -> None:
    """Who comes back only to log out can't be logged in by the old cookie afterwards."""
    with browser(load("authx.before")) as client:
        client.post("/login/browser", params=LOGIN)
        cookies = dict(client.cookies)
    with browser(load("authx.after")) as client:
        client.cookies.update(cookies)
        assert client.post("/logout").status_code == 204
        assert client.post("/refresh/browser").status_code == 401


def test_the_refresh_token_dies_ten_seconds_after_its_exchange(
    load: Load, old: dict[str, str], valkey: servers.Server
) -> None:
    """Then it is refused until it expires, and as long as that its mark stays."""
    with browser(load("authx.after")) as client:
        for _ in range(2):
            assert client.post("/refresh", headers=bearer(old["refresh_token"])).status_code == 200
        (mark,) = valkey.ask("KEYS", "exchanged:*")
        assert valkey.ask("TTL", mark) > 19 * 86_400
        valkey.ask("SET", mark, int(time.time()) - 11, "KEEPTTL")
        assert client.post("/refresh", headers=bearer(old["refresh_token"])).status_code == 401


def test_the_old_token_outlives_an_outage(load: Load, old: dict[str, str]) -> None:
    """If the session can't be stored, the answer is a 503, and the old token is still good."""
    headers = bearer(old["refresh_token"])
    after = load("authx.after")
    with TestClient(after.app) as client:
        with outage(after):
            assert client.post("/refresh", headers=headers).status_code == 503
        assert client.post("/refresh", headers=headers).status_code == 200


def test_parallel_exchanges_are_harmless(load: Load, old: dict[str, str]) -> None:
    """Each gets a session of the same user, and no answer is an error."""
    headers = bearer(old["refresh_token"])
    with serving(load("authx.after").app) as client, ThreadPoolExecutor(4) as threads:
        answers = [*threads.map(lambda _: client.post("/refresh", headers=headers), range(4))]
        for answer in answers:
            assert client.get("/me", headers=bearer(answer.json()["access_token"])).json() == {"user_id": "1"}


def test_what_is_no_good_refresh_token_is_refused(
    load: Load, old: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An access token, one that has expired, without an end, of another key; and a session's own token."""
    key = load("authx.before").auth.config.JWT_SECRET_KEY
    claims = jwt.decode(old["refresh_token"], key, algorithms=["HS256"])
    endless = {name: value for name, value in claims.items() if name != "exp"}
    tokens = [
        old["access_token"],
        jwt.encode(claims | {"exp": 1}, key),
        jwt.encode(endless, key),
        jwt.encode(claims, key[::-1]),
        jwt.encode(claims, key, algorithm="HS384"),
        "",
    ]
    monkeypatch.setenv("JWTSESSION_SECRET", key)  # the mistake of one secret for both
    with browser(load("authx.after")) as client:
        session = client.post("/login", params=LOGIN).json()["access_token"]
        client.post("/logout", headers=bearer(session))
        for token in [*tokens, session]:
            assert client.post("/refresh", headers=bearer(token)).status_code == 401
        assert client.get("/me", headers=bearer(old["access_token"])).status_code == 401
