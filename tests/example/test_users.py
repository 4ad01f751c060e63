"""What the shop does for visitors, users and staff. The tests are written with the test kit, as a user would do it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from example_app.app import ShopClaims, ShopSession, app, sessions
from jwtsession.testing import Login, SessionTester

Tester = SessionTester[ShopSession, ShopClaims]


@pytest.fixture
def tester() -> Iterator[Tester]:
    with SessionTester(sessions) as tester:
        yield tester


@pytest.fixture
def client(tester: Tester) -> Iterator[TestClient]:
    with tester.client(app) as client:
        yield client


def alice(tester: Tester) -> Login[ShopSession, ShopClaims]:
    return tester.login(ShopSession(name="alice"), ShopClaims(sub="1"), transport="bearer")


def bob(tester: Tester, acr: str | None = None) -> Login[ShopSession, ShopClaims]:
    claims = ShopClaims(sub="2", role="staff", acr=acr)
    return tester.login(ShopSession(name="bob"), claims, transport="bearer")


def log_in(client: TestClient, name: str = "alice", password: str = "wonderland") -> None:
    assert client.post("/session", data={"username": name, "password": password}).status_code == 201


def test_a_visitor_begins_once(client: TestClient) -> None:
    """A second request of the visitor finds the first one's session and its cart; a user stays the user."""
    assert client.put("/session/visitor").json() == {"name": "", "cart": []}
    client.post("/cart/tea")
    assert client.put("/session/visitor").json() == {"name": "", "cart": ["tea"]}
    assert client.get("/me").json() == {"name": "", "cart": ["tea"], "role": "customer", "admin": False, "actor": None}
    log_in(client)
    assert client.put("/session/visitor").json()["name"] == "alice"


def test_a_visitor_neither_orders_nor_has_devices(client: TestClient) -> None:
    """The order needs a user, and so do the list of sessions and the step-up."""
    client.put("/session/visitor")
    client.post("/cart/tea")
    assert client.post("/order").status_code == 403
    assert client.get("/sessions").json() == []
    assert client.post("/session/admin", data={"password": "x"}).status_code == 403
    assert client.get("/session").json()["cart"] == ["tea"]


def test_a_login_brings_the_visitors_cart_and_ends_the_visitors_session(client: TestClient) -> None:
    """The cart is in the user's session, and the old cookie is worth nothing: it can't be brought twice."""
    client.put("/session/visitor")
    client.post("/cart/tea")
    ((name, value),) = client.cookies.items()
    log_in(client)
    assert client.get("/session").json() == {"name": "alice", "cart": ["tea"]}
    client.cookies.clear()
    old = {"Cookie": f"{name}={value}"}
    assert client.get("/session", headers=old).status_code == 401
    again = client.post("/session", data={"username": "alice", "password": "wonderland"}, headers=old)
    assert again.status_code == 201
    assert client.get("/session").json() == {"name": "alice", "cart": []}


def test_a_login_brings_no_cart_of_another_user(client: TestClient) -> None:
    """Two people share a browser: what one has put into the cart is not the other's."""
    log_in(client)
    client.post("/cart/tea")
    log_in(client, "bob", "builder")
    assert client.get("/session").json() == {"name": "bob", "cart": []}


def test_a_session_ends_when_nobody_uses_it(client: TestClient, tester: Tester) -> None:
    """After a day without a request the token is worth nothing, and the page is told so without an error."""
    user = alice(tester)
    tester.clock.advance(hours=23)
    assert client.get("/session", headers=user.headers).status_code == 200
    tester.clock.advance(hours=25)
    assert client.get("/session", headers=user.headers).status_code == 401
    assert client.get("/me", headers=user.headers).json() is None


def test_an_outage_is_a_503_for_those_who_have_a_token(client: TestClient, tester: Tester) -> None:
    """Users are not logged out: pages for users and the API say when to try again. Visitors see the shop."""
    user = alice(tester)
    with tester.outage():
        for path in ("/session", "/me", "/account", "/staff", "/sessions"):
            answer = client.get(path, headers=user.headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path
        assert "<title>Staff" in client.get("/staff", headers=user.headers).text
        for path in ("/", "/me", "/products"):
            assert client.get(path).status_code == 200
    assert client.get("/session", headers=user.headers).json()["name"] == "alice"


def test_a_conflict_stores_nothing(client: TestClient, tester: Tester) -> None:
    """The cart is as the other request has left it; taking something out starts again on the fresh state."""
    user = alice(tester)
    client.post("/cart/cup", headers=user.headers)
    with tester.conflict():
        assert client.post("/cart/tea", headers=user.headers).status_code == 409
    assert tester.reload(user).cart == ["cup"]
    with tester.conflict(2):
        assert client.delete("/cart/cup", headers=user.headers).json()["cart"] == []


def test_a_users_sessions_are_seen_named_and_ended(client: TestClient, tester: Tester) -> None:
    """By handles, never by ids; another user's handle is not found."""
    here, there, other = alice(tester), alice(tester), bob(tester)
    found = {each["handle"]: each for each in client.get("/sessions", headers=here.headers).json()}
    assert {handle: each["current"] for handle, each in found.items()} == {here.handle: True, there.handle: False}
    assert here.id not in str(found)
    named = client.patch(f"/sessions/{there.handle}", json={"label": "Till"}, headers=here.headers)
    assert named.status_code == 204
    assert "Till" in [each["label"] for each in client.get("/sessions", headers=there.headers).json()]
    assert client.delete(f"/sessions/{other.handle}", headers=here.headers).status_code == 404
    assert client.delete(f"/sessions/{there.handle}", headers=here.headers).status_code == 204
    assert client.get("/session", headers=there.headers).status_code == 401
    assert client.get("/session", headers=other.headers).status_code == 200


def test_a_login_tells_the_browser_of_its_session(client: TestClient) -> None:
    """The list has the browser and the system of the login's user agent, where ua-parser is installed."""
    pytest.importorskip("ua_parser")
    client.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
    log_in(client)
    (found,) = client.get("/sessions").json()
    assert (found["browser"], found["os"], found["current"]) == ("Firefox", "Windows", True)


def test_the_page_without_a_script_asks_for_a_login(client: TestClient) -> None:
    """A visitor's browser is sent to the login and back; a user sees the sessions."""
    page = {"Accept": "text/html"}
    client.headers["Sec-Fetch-Mode"] = "navigate"
    sent = client.get("/devices", headers=page, follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/devices")
    log_in(client)
    assert "<h1>Your sessions</h1>" in client.get("/devices", headers=page).text


STAFF_ONLY = [
    ("GET", "/users/1/sessions"),
    ("DELETE", "/users/1/sessions"),
    ("DELETE", "/users/1/sessions/" + "h" * 22),
    ("POST", "/users/1/impersonate"),
    ("PUT", "/products/cup"),
]


@pytest.mark.parametrize(("method", "path"), STAFF_ONLY)
def test_only_admins_do_what_staff_does(client: TestClient, tester: Tester, method: str, path: str) -> None:
    """Neither visitors, nor customers, nor the staff before the step-up. The staff is told what is missing."""
    cup = {"name": "Cup and saucer", "note": "Glazed by hand, no two alike", "price": 1_800}
    body = cup if method == "PUT" else None
    assert client.request(method, path, json=body).status_code == 401
    for user in (alice(tester), bob(tester)):
        refused = client.request(method, path, headers=user.headers, json=body)
        assert refused.status_code == 401
        assert 'acr_values="admin"' in refused.headers["www-authenticate"]
    admin = client.request(method, path, headers=bob(tester, "admin").headers, json=body)
    assert admin.status_code in (200, 204, 404)


def test_the_step_up_notes_when_and_how(client: TestClient, tester: Tester) -> None:
    """The claims have the level, the method and a new time of the sign-in; the role and the cart stay."""
    user = bob(tester)
    client.post("/cart/tea", headers=user.headers)
    tester.clock.advance(hours=1)
    token = client.post("/session/admin", data={"password": "builder"}, headers=user.headers).json()["access_token"]
    new = {"Authorization": f"Bearer {token}"}
    about = {"name": "bob", "cart": ["tea"], "role": "staff", "admin": True, "actor": None}
    assert client.get("/me", headers=new).json() == about
    assert client.get("/session", headers=user.headers).status_code == 401


def test_an_admin_acts_for_a_customer(client: TestClient, tester: Tester) -> None:
    """For an hour, in a session that the customer sees; the log has both; what only the customer may do is refused."""
    customer, admin = alice(tester), bob(tester, "admin")
    answer = client.post("/users/1/impersonate", headers=admin.headers | {"Session-Transport": "bearer"})
    acting = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    about = {"name": "alice", "cart": [], "role": "customer", "admin": False, "actor": "2"}
    assert client.get("/me", headers=acting).json() == about
    assert client.post("/cart/tea", headers=acting).status_code == 200
    for method, path in (("POST", "/order"), ("DELETE", "/sessions"), ("DELETE", f"/sessions/{customer.handle}")):
        assert client.request(method, path, headers=acting).status_code == 403, path
    assert client.post("/session/admin", data={"password": "builder"}, headers=acting).status_code == 403
    assert client.get("/users/1/sessions", headers=acting).status_code == 403
    shown = client.get("/sessions", headers=customer.headers).json()
    assert sorted(each["impersonated"] for each in shown) == [False, True]
    (begun,) = [event for event in tester.events if event.reason == "impersonation"]
    assert begun.actor is not None
    tester.clock.advance(timedelta(minutes=59))
    assert client.get("/session", headers=acting).status_code == 200
    tester.clock.advance(timedelta(minutes=2))
    assert client.get("/session", headers=acting).status_code == 401
    assert client.get("/session", headers=admin.headers).json()["name"] == "bob"


def test_an_admin_acts_for_customers_alone(client: TestClient, tester: Tester) -> None:
    """Neither for another one of the staff, nor for nobody."""
    admin = bob(tester, "admin")
    for sub in ("2", "3", "nobody"):
        assert client.post(f"/users/{sub}/impersonate", headers=admin.headers).status_code == 404


def test_a_socket_ends_with_its_session(client: TestClient, tester: Tester) -> None:
    """It shows the cart, of a visitor too, and closes with 1008 when an admin ends the session."""
    customer, admin = alice(tester), bob(tester, "admin")
    with client.websocket_connect("/cart/live", headers=customer.headers) as socket:
        assert socket.receive_json() == []
        client.post("/cart/tea", headers=customer.headers)
        assert socket.receive_json() == ["tea"]
        ended = client.delete("/users/1/sessions", headers=admin.headers)
        assert ended.json() == {"ended": 1}
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1008
    client.put("/session/visitor")
    with client.websocket_connect("/cart/live") as socket:
        assert socket.receive_json() == []
        client.post("/cart/cup")
        assert socket.receive_json() == ["cup"]
