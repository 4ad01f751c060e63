"""docs/migrate/from-tutorial.md."""

import json
import subprocess
import time
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from fastapi.testclient import TestClient

from tests import servers
from tests.docs.conftest import ROOT
from tests.docs.test_examples import blocks
from tests.web import bearer, serving

from .conftest import Load, outage

pytestmark = pytest.mark.ci
LOGIN = {"username": "ann", "password": "secret"}


@pytest.mark.parametrize("version", ["before", "after"])
def test_clients_see_the_same_api(load: Load, version: str) -> None:
    """The login by a form, the token in its answer, and a 401 without one are as they were."""
    with TestClient(load(f"jwt_tutorial.{version}").app) as client:
        assert client.post("/token", data=LOGIN | {"password": "guess"}).status_code == 401
        answer = client.post("/token", data=LOGIN).json()
        assert answer["token_type"] == "bearer"
        me = client.get("/users/me", headers=bearer(answer["access_token"]))
        assert me.json() == {"username": "ann", "full_name": "Ann Lee"}
        assert client.get("/users/me").status_code == client.get("/users/me", headers=bearer("x")).status_code == 401


def old_token(load: Load) -> str:
    with TestClient(load("jwt_tutorial.before").app) as client:
        token: str = client.post("/token", data=LOGIN).json()["access_token"]
    return token


def test_a_user_who_is_logged_in_stays_so(load: Load) -> None:
    """The old token gets a session, whose token works until the logout; the sign-in does not count as a new one."""
    old = old_token(load)
    with TestClient(load("jwt_tutorial.after").app) as client:
        assert client.get("/users/me", headers=bearer(old)).status_code == 401
        new = client.post("/token/exchange", headers=bearer(old)).json()["access_token"]
        assert client.get("/users/me", headers=bearer(new)).json()["username"] == "ann"
        assert jwt.decode(new, options={"verify_signature": False})["auth_time"] == 0
        assert client.delete("/token", headers=bearer(new)).status_code == 204
        assert client.get("/users/me", headers=bearer(new)).status_code == 401


def test_the_old_token_dies_ten_seconds_after_its_exchange(load: Load, valkey: servers.Server) -> None:
    """Then it is refused until it expires, and as long as that its mark stays."""
    old = old_token(load)
    with TestClient(load("jwt_tutorial.after").app) as client:
        for _ in range(2):
            assert client.post("/token/exchange", headers=bearer(old)).status_code == 200
        (mark,) = valkey.ask("KEYS", "exchanged:*")
        assert valkey.ask("TTL", mark) > 7 * 86_400
        valkey.ask("SET", mark, int(time.time()) - 11, "KEEPTTL")
        assert client.post("/token/exchange", headers=bearer(old)).status_code == 401


def test_the_old_token_outlives_an_outage(load: Load) -> None:
    """If the session can't be stored, the answer is a 503, and the old token is still good."""
    headers = bearer(old_token(load))
    after = load("jwt_tutorial.after")
    with TestClient(after.app) as client:
        with outage(after):
            assert client.post("/token/exchange", headers=headers).status_code == 503
        assert client.post("/token/exchange", headers=headers).status_code == 200


def test_parallel_exchanges_are_harmless(load: Load) -> None:
    """Each gets a session of the same user, and no answer is an error."""
    headers = bearer(old_token(load))
    with serving(load("jwt_tutorial.after").app) as client, ThreadPoolExecutor(4) as threads:
        answers = [*threads.map(lambda _: client.post("/token/exchange", headers=headers), range(4))]
        assert [answer.status_code for answer in answers] == [200] * 4
        for answer in answers:
            assert client.get("/users/me", headers=bearer(answer.json()["access_token"])).json()["username"] == "ann"


def test_what_is_no_good_old_token_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expired, without an end, of another key or algorithm, of a removed user; and a session's own token."""
    key = old_token(load) and load("jwt_tutorial.before").SECRET_KEY
    soon = int(time.time()) + 60
    unsigned = ".".join(
        urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none"}, {"sub": "ann", "exp": soon})
    )
    tokens = [
        jwt.encode({"sub": "ann", "exp": 1}, key),
        jwt.encode({"sub": "ann"}, key),
        jwt.encode({"sub": "ann", "exp": soon}, key[::-1]),
        jwt.encode({"sub": "ann", "exp": soon}, key, algorithm="HS512"),
        f"{unsigned}.",
        jwt.encode({"sub": "bob", "exp": soon}, key),
    ]
    with TestClient(load("jwt_tutorial.after").app) as client:
        assert client.post("/token/exchange", headers=bearer(tokens[0])).status_code == 401
        for token in tokens:
            assert client.post("/token/exchange", headers=bearer(token)).status_code == 401
    # The mistake of one secret for both: a logout would not count if a session's token could be exchanged.
    monkeypatch.setenv("JWTSESSION_SECRET", key)
    with TestClient(load("jwt_tutorial.after").app) as client:
        session = bearer(client.post("/token", data=LOGIN).json()["access_token"])
        assert client.delete("/token", headers=session).status_code == 204
        assert client.post("/token/exchange", headers=session).status_code == 401


CALL = """
const answers = JSON.parse(process.argv[2]), asked = [];
globalThis.localStorage = { token: "old" };
globalThis.fetch = async (path, { method = "GET", headers }) => {
  asked.push(`${method} ${path} ${headers.Authorization}`);
  return new Response('{"access_token": "new"}', { status: answers.shift() });
};
const answer = await call("/users/me");
console.log(JSON.stringify({ asked, status: answer.status, token: localStorage.token }));
"""


@pytest.mark.parametrize(
    ("answers", "status", "exchanges", "token"),
    [([200], 200, 0, "old"), ([401, 200, 200], 200, 1, "new"), ([401, 401], 401, 1, "old"), ([503], 503, 0, "old")],
)
def test_the_pages_client_exchanges_once(
    tmp_path: Path, answers: list[int], status: int, exchanges: int, token: str
) -> None:
    """The guide's JavaScript asks for a session at a 401, and uses its token from then on."""
    node = servers.program("node")
    (code,) = blocks(ROOT / "docs/migrate/from-tutorial.md", "js")
    script = tmp_path / "call.mjs"
    script.write_text(code + CALL)
    done = subprocess.run([node, script, json.dumps(answers)], capture_output=True, text=True, timeout=30, check=True)
    found = json.loads(done.stdout)
    assert (found["status"], found["token"]) == (status, token)
    assert found["asked"].count("POST /token/exchange Bearer old") == exchanges
    assert found["asked"][-1].endswith(f"Bearer {token}")
