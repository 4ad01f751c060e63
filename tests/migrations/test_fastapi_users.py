"""docs/migrate/from-fastapi-users.md."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from fastapi.testclient import TestClient

from tests import servers
from tests.web import bearer, serving

from .conftest import Load, outage

pytestmark = pytest.mark.ci
ANN = {"email": "ann@example.com", "password": "secret"}
LOGIN = {"username": "ann@example.com", "password": "secret"}


@pytest.fixture(autouse=True)
def accounts() -> Iterator[None]:
    servers.package("fastapi_users", "migrations")
    yield
    from .fastapi_users.accounts import ROWS

    ROWS.clear()


@pytest.mark.parametrize("version", ["before", "after"])
def test_clients_see_the_same_api(load: Load, version: str) -> None:
    """Registration, login, the current user and logout answer as they did."""
    with TestClient(load(f"fastapi_users.{version}").app) as client:
        assert client.post("/auth/register", json=ANN).status_code == 201
        wrong = client.post("/auth/login", data=LOGIN | {"password": "guess"})
        assert (wrong.status_code, wrong.json()) == (400, {"detail": "LOGIN_BAD_CREDENTIALS"})
        answer = client.post("/auth/login", data=LOGIN).json()
        assert answer["token_type"] == "bearer"
        headers = bearer(answer["access_token"])
        assert client.get("/me", headers=headers).json() == {"email": "ann@example.com"}
        assert client.post("/auth/logout", headers=headers).status_code == 204
        assert client.get("/me", headers=headers).status_code == client.get("/me").status_code == 401
        assert client.post("/auth/logout", headers=headers).status_code == 401


@pytest.fixture
def old(load: Load) -> str:
    """The token of a user who is logged in at the version before."""
    with TestClient(load("fastapi_users.before").app) as client:
        client.post("/auth/register", json=ANN)
        token: str = client.post("/auth/login", data=LOGIN).json()["access_token"]
    return token


def test_a_user_who_is_logged_in_stays_so(load: Load, old: str, valkey: servers.Server) -> None:
    """The old token gets a session once; ten seconds later it is dead. The sign-in does not count as a new one."""
    with TestClient(load("fastapi_users.after").app) as client:
        assert client.get("/me", headers=bearer(old)).status_code == 401
        new = client.post("/auth/exchange", headers=bearer(old)).json()["access_token"]
        assert client.get("/me", headers=bearer(new)).json() == {"email": "ann@example.com"}
        assert jwt.decode(new, options={"verify_signature": False})["auth_time"] == 0
        assert 0 < valkey.ask("TTL", f"fastapi_users_token:{old}") <= 10
        valkey.ask("EXPIRE", f"fastapi_users_token:{old}", 3)
        assert client.post("/auth/exchange", headers=bearer(old)).status_code == 200
        assert valkey.ask("TTL", f"fastapi_users_token:{old}") <= 3
        valkey.ask("PEXPIRE", f"fastapi_users_token:{old}", 0)
        assert client.post("/auth/exchange", headers=bearer(old)).status_code == 401


def test_the_old_token_outlives_an_outage(load: Load, old: str) -> None:
    """If the session can't be stored, the answer is a 503, and the old token is still good."""
    headers = bearer(old)
    after = load("fastapi_users.after")
    with TestClient(after.app) as client:
        with outage(after):
            assert client.post("/auth/exchange", headers=headers).status_code == 503
        assert client.post("/auth/exchange", headers=headers).status_code == 200


def test_parallel_exchanges_are_harmless(load: Load, old: str) -> None:
    """Each gets a session of the same user, and no answer is an error."""
    with serving(load("fastapi_users.after").app) as client, ThreadPoolExecutor(4) as threads:
        answers = [*threads.map(lambda _: client.post("/auth/exchange", headers=bearer(old)), range(4))]
        for answer in answers:
            assert client.get("/me", headers=bearer(answer.json()["access_token"])).status_code == 200


def test_what_is_no_good_old_token_is_refused(load: Load, old: str, valkey: servers.Server) -> None:
    """Unknown, expired, a removed user's, a blocked user's, and a session's own token."""
    from .fastapi_users.accounts import ROWS

    valkey.ask("SET", "fastapi_users_token:removed", "99")
    with TestClient(load("fastapi_users.after").app) as client:
        session = client.post("/auth/login", data=LOGIN).json()["access_token"]
        ROWS[1].is_active = False
        for token in ("unknown", "removed", old, session):
            assert client.post("/auth/exchange", headers=bearer(token)).status_code == 401
        assert client.get("/me", headers=bearer(session)).status_code == 401
        assert client.post("/auth/login", data=LOGIN).status_code == 400
