"""How strongly a user has signed in: `require_level`, its challenge (RFC 9470), and what a level does not survive."""

import pickle
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import httpx2
import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from jwtsession import (
    Claims,
    ConfigurationError,
    InsufficientLevelError,
    Session,
    SessionManager,
    SessionProvider,
    Token,
)
from jwtsession.testing import SessionTester
from tests.web import bearer

ERROR = 'Bearer error="insufficient_user_authentication"'
FRESH = 300


class Bank(NamedTuple):
    """An application whose endpoints want levels and methods, and its users."""

    client: TestClient
    tester: SessionTester[Session, Claims]

    def sign_in(self, **claims: Any) -> dict[str, str]:
        """The headers of a user with these claims."""
        return self.tester.login({}, Claims(**{"sub": "ann"} | claims)).headers

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.get(path, **options)


@pytest.fixture
def bank() -> Iterator[Bank]:
    sessions = SessionProvider()
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]
    strong = sessions.require_level("aal2", "aal3")

    @app.post("/session/level")
    async def step_up(manager: manager_, acr: str | None = None) -> Token:
        return await manager.step_up(acr=acr)

    @app.post("/session/as/{sub}")
    async def take_over(manager: manager_, sub: str) -> Token:
        assert manager.claims is not None
        return await manager.regenerate(claims=manager.claims.model_copy(update={"sub": sub}))

    def route(path: str, *dependencies: Any) -> None:
        @app.get(path, dependencies=dependencies)
        async def endpoint() -> None: ...

    route("/any", Depends(sessions.get_session))
    route("/strong", Depends(strong))
    route("/otp", Depends(sessions.require_level(amr=["otp"])))
    route("/strong-otp", Depends(sessions.require_level("aal2", amr=["otp", "pwd"])))
    route("/pay", Security(strong, scopes=["pay"]))
    route("/strong-fresh", Depends(strong), Depends(sessions.require_fresh(FRESH)))

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, session: Annotated[Session, Depends(strong)]) -> None:
        await websocket.accept()
        await websocket.close()

    tester = SessionTester(sessions)
    with tester.client(app) as client:
        yield Bank(client, tester)


@pytest.mark.parametrize(
    ("claims", "permitted"),
    [
        ({}, set()),
        ({"acr": "aal1"}, set()),
        ({"acr": "aal2"}, {"/strong"}),
        ({"acr": "aal3"}, {"/strong"}),
        ({"acr": "aal2 aal3"}, set()),
        ({"acr": "AAL2"}, set()),
        ({"acr": ""}, set()),
        ({"amr": []}, set()),
        ({"amr": ["pwd"]}, set()),
        ({"amr": ["pwd", "otp"]}, {"/otp"}),
        ({"acr": "aal2", "amr": ["otp"]}, {"/strong", "/otp"}),
        ({"acr": "aal2", "amr": ["sms", "otp", "pwd"]}, {"/strong", "/otp", "/strong-otp"}),
        ({"acr": "aal3", "amr": ["otp", "pwd"]}, {"/strong", "/otp"}),
    ],
)
def test_a_level_is_one_of_a_list_and_methods_are_all_of_a_list(
    bank: Bank, claims: dict[str, Any], permitted: set[str]
) -> None:
    """To the letter, and no level stands for another one; endpoints that ask for none let everybody in."""
    headers = bank.sign_in(**claims)
    asked = {"/strong", "/otp", "/strong-otp"}
    answers = {path: bank.get(path, headers=headers).status_code for path in asked}
    assert answers == {path: 200 if path in permitted else 401 for path in asked}
    assert bank.get("/any", headers=headers).status_code == 200


def test_the_refusal_names_the_levels_that_are_enough(bank: Bank) -> None:
    """RFC 9470 section 3, in the order of the code; nothing names methods; the body is that of every 401."""
    headers = bank.sign_in()
    refused = bank.get("/strong", headers=headers)
    assert refused.headers["www-authenticate"] == f'{ERROR}, acr_values="aal2 aal3"'
    assert refused.json() == bank.get("/strong").json()
    assert refused.headers["cache-control"] == "no-store"
    assert "Authorization" in refused.headers["vary"]
    assert bank.get("/otp", headers=headers).headers["www-authenticate"] == ERROR


def test_who_has_no_session_gets_the_ordinary_refusal(bank: Bank) -> None:
    """No token, and a bad one: a level would not help."""
    assert bank.get("/strong").headers["www-authenticate"] == 'Bearer realm="session"'
    assert bank.get("/strong", headers=bearer("x")).headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_a_step_up_opens_the_endpoint_and_another_user_does_not_keep_it(bank: Bank) -> None:
    """The level is the sign-in's: who takes the session over has not signed in, also with the claims handed back."""
    weak = bank.sign_in(acr="aal1")
    strong = bearer(bank.client.post("/session/level", params={"acr": "aal2"}, headers=weak).json()["access_token"])
    assert bank.get("/strong", headers=strong).status_code == 200
    assert bank.get("/strong", headers=weak).status_code == 401
    other = bearer(bank.client.post("/session/as/bob", headers=strong).json()["access_token"])
    assert bank.get("/any", headers=other).status_code == 200
    assert bank.get("/strong", headers=other).status_code == 401


def test_a_level_and_a_scope_go_together(bank: Bank) -> None:
    """`Security` on a level demands both, and the scope's 403 comes first."""
    assert bank.get("/pay", headers=bank.sign_in(acr="aal2", scope="pay")).status_code == 200
    assert bank.get("/pay", headers=bank.sign_in(scope="pay")).status_code == 401
    assert bank.get("/pay", headers=bank.sign_in(acr="aal2")).status_code == 403
    assert bank.get("/pay", headers=bank.sign_in()).status_code == 403


def test_a_level_and_a_recent_sign_in_are_two_dependencies(bank: Bank) -> None:
    """Each refuses with its own challenge, and a step-up meets both."""
    headers = bank.sign_in(acr="aal2")
    assert bank.get("/strong-fresh", headers=headers).status_code == 200
    assert "acr_values" in bank.get("/strong-fresh", headers=bank.sign_in()).headers["www-authenticate"]
    bank.tester.clock.advance(FRESH + 1)
    assert f'max_age="{FRESH}"' in bank.get("/strong-fresh", headers=headers).headers["www-authenticate"]
    again = bearer(bank.client.post("/session/level", headers=headers).json()["access_token"])
    assert bank.get("/strong-fresh", headers=again).status_code == 200


def test_a_websocket_is_refused_before_accept(bank: Bank) -> None:
    """The check works on a handshake, with the same answer."""
    with bank.client.websocket_connect("/ws", headers=bank.sign_in(acr="aal3")):
        pass
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        bank.client.websocket_connect("/ws", headers=bank.sign_in()),
    ):
        pass
    assert refused.value.status_code == 401
    assert 'acr_values="aal2 aal3"' in refused.value.headers["www-authenticate"]


def test_openapi_shows_it(bank: Bank) -> None:
    """The schemes of every endpoint with a session, and a 401 that tells of the level."""
    paths = bank.get("/openapi.json").json()["paths"]
    assert paths["/strong"]["get"]["security"] == paths["/any"]["get"]["security"]
    refused = paths["/strong"]["get"]["responses"]["401"]
    assert "not strong enough" in refused["description"]
    assert "`acr_values`" in refused["headers"]["WWW-Authenticate"]["description"]
    assert "acr_values" not in str(paths["/any"])


@pytest.mark.parametrize(
    ("levels", "options"),
    [
        ((), {}),
        ((), {"amr": ()}),
        (("",), {}),
        (("aal 2",), {}),
        (('aal"2',), {}),
        (("aal\\2",), {}),
        (("aal2\n",), {}),
        (("aal\u00b2",), {}),
        ((2,), {}),
        ((["aal2", "aal3"],), {}),
        ((None,), {}),
        ((), {"amr": "otp"}),
        ((), {"amr": ["one time"]}),
        ((), {"amr": [5]}),
    ],
)
def test_a_demand_that_can_not_work_is_refused_at_the_start(levels: Any, options: Any) -> None:
    """Nothing to ask for, what a challenge can't have, and a text in the place of a list."""
    with pytest.raises(ConfigurationError, match="require_level"):
        SessionProvider().require_level(*levels, **options)


def test_the_error_survives_pickling() -> None:
    """With the levels, as every error of this package: some servers hand errors to other processes."""
    error = InsufficientLevelError(["aal2", "aal3"])
    again = pickle.loads(pickle.dumps(error))
    assert (again.code, again.acr_values, again.headers) == ("insufficient_level", ("aal2", "aal3"), error.headers)
