"""A model that changed between two deployments: both at work on the same sessions in one Valkey."""

import base64
import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import httpx2
import pytest
from fastapi import Body, Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from pydantic import AliasChoices, BaseModel, Field
from redis import Redis

from jwtsession import Claims, Session, SessionManager, SessionProvider, Token
from tests import servers
from tests.conftest import SECRET
from tests.web import bearer

pytestmark = [pytest.mark.caches("near"), pytest.mark.usefixtures("patient"), pytest.mark.ci]

KEY = base64.urlsafe_b64encode(bytes(range(0, 224, 7))).decode()

READING = ("GET /session", "GET /optional")
CHANGING = ("POST /update", "POST /mutate", "POST /regenerate", "POST /touch", "POST /reload")

Migrate = Callable[[dict[str, Any]], dict[str, Any]]
Change = Annotated[dict[str, Any], Body()]


class City(BaseModel):
    name: str


class Address(BaseModel):
    street: str
    city: City


class Old(Session):
    name: str
    count: int = 0
    address: Address = Address(street="1 Old Street", city=City(name="York"))


class NewCity(City):
    country: str = "unknown"


class NewAddress(Address):
    city: NewCity
    floor: int = 0


class New(Session):
    """Of the next deployment: knows more, on each level, and no `theme`."""

    name: str
    count: int = 0
    cart: list[str] = []
    address: NewAddress = NewAddress(street="2 New Street", city=NewCity(name="York"))


def change_fields(model: BaseModel, changes: dict[str, Any]) -> None:
    """Change in place, also in nested models."""
    for name, value in changes.items():
        if isinstance(value, dict):
            change_fields(getattr(model, name), value)
        else:
            setattr(model, name, value)


def application(sessions: SessionProvider[Any, Any]) -> FastAPI:
    """Every verb, for a session of any model."""
    app = FastAPI(lifespan=sessions.lifespan)
    manager_ = Annotated[SessionManager[Any, Claims], Depends(sessions.get_manager)]

    @app.post("/session")
    async def log_in(data: Change, manager: manager_) -> Token:
        return await manager.create(data)

    @app.get("/session")
    async def read(session: Annotated[Any, Depends(sessions.get_session)]) -> Any:
        return session

    @app.get("/optional")
    async def read_optional(session: Annotated[Any, Depends(sessions.get_optional_session)]) -> Any:
        return session

    @app.put("/session")
    async def replace(data: Change, manager: manager_) -> Any:
        return await manager.update(data)

    @app.post("/update")
    async def update(changes: Change, manager: manager_) -> Any:
        if manager.session is not None:
            change_fields(manager.session, changes)
        return await manager.update()

    @app.post("/mutate")
    async def mutate(changes: Change, manager: manager_) -> Any:
        return await manager.mutate(lambda session: change_fields(session, changes))

    @app.post("/count")
    async def count(manager: manager_) -> Any:
        def change(session: Any) -> None:
            session.count += 1

        return await manager.mutate(change)

    @app.post("/regenerate")
    async def regenerate(changes: Change, manager: manager_) -> Token:
        if manager.session is not None:
            change_fields(manager.session, changes)
        return await manager.regenerate()

    @app.post("/touch")
    async def touch(manager: manager_) -> None:
        await manager.touch()

    @app.post("/reload")
    async def reload(manager: manager_) -> Any:
        return await manager.reload()

    @app.delete("/session")
    async def log_out(manager: manager_) -> None:
        await manager.destroy()

    return app


class User:
    """Somebody who has a token, and meets now one deployment, now the other."""

    def __init__(self, deployment: httpx2.Client, **data: Any) -> None:
        self.token = deployment.post("/session", json=data).raise_for_status().json()["access_token"]

    def ask(self, deployment: httpx2.Client, what: str, changes: dict[str, Any] | None = None) -> httpx2.Response:
        """`GET /session` and its like."""
        method, _, path = what.partition(" ")
        body: dict[str, Any] = {} if method == "GET" else {"json": changes or {}}
        answer = deployment.request(method, path, headers=bearer(self.token), **body)
        if path == "/regenerate" and answer.is_success:
            self.token = answer.json()["access_token"]
        return answer

    def read(self, deployment: httpx2.Client) -> Any:
        """The session, as this deployment shows it."""
        return self.ask(deployment, "GET /session").raise_for_status().json()

    def change(self, deployment: httpx2.Client, verb: str, **changes: Any) -> None:
        self.ask(deployment, f"POST /{verb}", changes).raise_for_status()


class Deployments:
    """Starts applications, with or without encryption, all with one secret and on one server."""

    def __init__(self, server: servers.Server, running: contextlib.ExitStack, **options: Any) -> None:
        self._server = server
        self._running = running
        self._options = options
        self.redis = running.enter_context(Redis(port=server.port))

    def start(self, model: type[Session], migrate: Migrate | None = None) -> httpx2.Client:
        """In service until the test ends."""
        return self._running.enter_context(self.while_running(model, migrate))

    @contextlib.contextmanager
    def while_running(self, model: type[Session], migrate: Migrate | None = None) -> Iterator[httpx2.Client]:
        """In service for the length of a `with`. Every read extends the session's time to live."""
        sessions = SessionProvider(
            model, secret=SECRET, redis_url=self._server.url, migrate=migrate, touch_interval=0, **self._options
        )
        # Threads ask it, and a near cache hears of changes between two requests.
        with TestClient(application(sessions), raise_server_exceptions=False) as client:
            yield client

    @property
    def keys(self) -> list[str]:
        """The keys of the sessions."""
        return [f"sess:{session_id}" for session_id in self._server.sessions()]

    @property
    def stored(self) -> bytes:
        """The one value in the store."""
        (key,) = self.keys
        value: bytes = self.redis.get(key)
        return value

    def assert_refused_and_kept(self, deployment: httpx2.Client, user: User) -> None:
        """401 for everything, the one body of every 401, and the value stays to the byte, alive for longer."""
        (key,) = self.keys
        value = self.redis.get(key)
        for what in (*READING, *CHANGING):
            self.redis.pexpire(key, 60_000)
            answer = user.ask(deployment, what)
            if what == "GET /optional":
                assert (answer.status_code, answer.json()) == (200, None)
            else:
                assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"}), what
            # The read extended its life: it is there for who can read it.
            assert self.redis.pttl(key) > 60_000, what
            assert self.redis.get(key) == value, what


@pytest.fixture(params=[{}, {"encryption": {"keys": (KEY,)}}], ids=["plain", "encrypted"])
def deployments(valkey: servers.Server, request: pytest.FixtureRequest) -> Iterator[Deployments]:
    with contextlib.ExitStack() as running:
        made = Deployments(valkey, running, **request.param)
        yield made
        assert all(made.redis.get(key).startswith(b"{") != bool(request.param) for key in made.keys)


every_verb = pytest.mark.parametrize("verb", ["update", "mutate", "regenerate"])


def test_defaults_fill_in(deployments: Deployments) -> None:
    """Fields that the old version did not have get their defaults on every level; a read alone stores nothing."""
    old, new = deployments.start(Old), deployments.start(New)
    user = User(old, name="Ann")
    before = deployments.stored
    assert user.read(new) == {
        "name": "Ann",
        "count": 0,
        "cart": [],
        "address": {"street": "1 Old Street", "city": {"name": "York", "country": "unknown"}, "floor": 0},
    }
    assert deployments.stored == before


@every_verb
def test_side_by_side_nobody_loses_the_others_fields(deployments: Deployments, verb: str) -> None:
    """Each version changes what it knows, in turn and on each level; what it does not know stays, and is not shown."""
    old, new = deployments.start(Old), deployments.start(New)
    address = {"street": "3 Street", "city": {"name": "Bath", "country": "C0"}, "floor": 0}
    user = User(new, name="Ann", cart=["tea"], address=address)
    for number in range(3):
        user.change(
            old, verb, name=f"old {number}", address={"street": f"{number} Old", "city": {"name": f"O{number}"}}
        )
        seen = user.read(new)
        assert seen["cart"] == ["tea", *(f"cup {each}" for each in range(number))]
        assert (seen["name"], seen["address"]) == (
            f"old {number}",
            {"street": f"{number} Old", "city": {"name": f"O{number}", "country": f"C{number}"}, "floor": number},
        )
        cart = [*seen["cart"], f"cup {number}"]
        user.change(new, verb, cart=cart, address={"city": {"country": f"C{number + 1}"}, "floor": number + 1})
        assert user.read(old) == {
            "name": f"old {number}",
            "count": 0,
            "address": {"street": f"{number} Old", "city": {"name": f"O{number}"}},
        }
    assert len(deployments.keys) == 1


def test_a_session_that_was_replaced_keeps_the_others_fields_too(deployments: Deployments) -> None:
    """`update()` with new data, and new nested models in it, replaces what the version knows and nothing else."""
    old, new = deployments.start(Old), deployments.start(New)
    address = {"street": "3 Street", "city": {"name": "Bath", "country": "England"}, "floor": 7}
    user = User(new, name="Ann", cart=["tea"], address=address)
    replacement = {"name": "Bob", "address": {"street": "4 Street", "city": {"name": "Hull"}}}
    user.ask(old, "PUT /session", replacement).raise_for_status()
    assert user.read(new) == {
        "name": "Bob",
        "count": 0,
        "cart": ["tea"],
        "address": {"street": "4 Street", "city": {"name": "Hull", "country": "England"}, "floor": 7},
    }


@every_verb
def test_models_in_a_list_keep_what_they_allow(deployments: Deployments, verb: str) -> None:
    """Items are not matched with the stored ones; with `extra="allow"` the old version carries the new fields along."""

    class OldItem(BaseModel, extra="allow"):
        sku: str

    class NewItem(OldItem):
        price: int

    class OldCart(Session):
        name: str
        items: list[OldItem]

    class NewCart(OldCart):
        items: list[NewItem]  # type: ignore[assignment]

    old, new = deployments.start(OldCart), deployments.start(NewCart)
    items = [{"sku": "tea", "price": 690}, {"sku": "cup", "price": 900}]
    user = User(new, name="Ann", items=items)
    user.change(old, verb, name="Bob")
    assert user.read(new) == {"name": "Bob", "items": items}


def test_both_versions_at_the_same_time_lose_no_change(deployments: Deployments) -> None:
    """200 increments of one counter, half of them by each version at once, are 200, and the new fields are there."""
    old, new = deployments.start(Old), deployments.start(New)
    user = User(new, name="Ann", cart=["tea"])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda deployment: user.change(deployment, "count"), [old, new] * 100))
    assert (user.read(new)["count"], user.read(new)["cart"]) == (200, ["tea"])


@every_verb
def test_a_rolled_back_deployment_reads_its_sessions_again(deployments: Deployments, verb: str) -> None:
    """Old, new, old again, new again: each finds what it stored last, and what the other did to the fields of both."""
    with deployments.while_running(Old) as old:
        user = User(old, name="Ann")
    with deployments.while_running(New) as new:
        user.change(new, verb, name="Bob", cart=["tea"], address={"floor": 3})
    with deployments.while_running(Old) as old:
        assert user.read(old)["name"] == "Bob"
        user.change(old, verb, name="Cid")
    with deployments.while_running(New) as new:
        seen = user.read(new)
        assert (seen["name"], seen["cart"], seen["address"]["floor"]) == ("Cid", ["tea"], 3)


@every_verb
def test_a_removed_field_is_not_shown_and_not_lost(deployments: Deployments, verb: str) -> None:
    """The version without it neither sees nor drops it."""

    class Themed(Session):
        name: str
        theme: str = "light"

    class Plain(Session):
        name: str

    old, new = deployments.start(Themed), deployments.start(Plain)
    user = User(old, name="Ann", theme="dark")
    assert user.read(new) == {"name": "Ann"}
    user.change(new, verb, name="Bob")
    assert user.read(old) == {"name": "Bob", "theme": "dark"}


# --- changes that need help ------------------------------------------------------------------------------------------


class Required(Session):
    name: str
    email: str


class Counted(Session):
    name: int


def with_email(stored: dict[str, Any]) -> dict[str, Any]:
    return stored | {"email": f"{stored['name']}@example.org"}


@pytest.mark.parametrize("model", [Required, Counted], ids=["became required", "another type"])
def test_what_does_not_fit_is_401_and_kept(
    deployments: Deployments, model: type[Session], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a hook: nobody gets in, the log tells why and not what, and the old version still reads it."""
    caplog.set_level(logging.INFO, "jwtsession")
    old, new = deployments.start(Old), deployments.start(model)
    user = User(old, name="Ann of the tests")
    deployments.assert_refused_and_kept(new, user)
    assert "refused: session" in caplog.text
    assert "session_corrupt" in caplog.text
    assert "Ann of the tests" not in caplog.text
    assert user.read(old)["name"] == "Ann of the tests"


def test_who_can_not_be_read_can_log_out(deployments: Deployments) -> None:
    """A token whose session does not fit still ends it."""
    old, new = deployments.start(Old), deployments.start(Required)
    user = User(old, name="Ann")
    assert user.ask(new, "DELETE /session").status_code == 200
    assert user.ask(old, "GET /session").status_code == 401
    assert deployments.keys == []


@every_verb
def test_a_hook_fills_a_field_that_became_required(deployments: Deployments, verb: str) -> None:
    """Reads upgrade and store nothing; a change stores the upgraded form, which the old version goes on using."""
    old, new = deployments.start(Old), deployments.start(Required, with_email)
    user = User(old, name="Ann", count=3)
    before = deployments.stored
    for what in (*READING, "POST /reload", "POST /touch"):
        assert user.ask(new, what).status_code == 200
    assert user.read(new) == {"name": "Ann", "email": "Ann@example.org"}
    assert deployments.stored == before
    user.change(new, verb, email="ann@example.net")
    user.change(old, verb, name="Bob")
    assert user.read(new) == {"name": "Bob", "email": "ann@example.net"}
    assert user.read(old)["count"] == 3


def test_a_hook_is_asked_only_where_the_value_does_not_fit(deployments: Deployments) -> None:
    """Not for sessions of its own version, and not for one that it has upgraded and stored."""
    asked: list[dict[str, Any]] = []

    def migrate(stored: dict[str, Any]) -> dict[str, Any]:
        asked.append(stored)
        return with_email(stored)

    old, new = deployments.start(Old), deployments.start(Required, migrate)
    user = User(new, name="Ann", email="ann@example.net")
    user.read(new)
    assert asked == []
    user = User(old, name="Bob")
    user.change(new, "update")
    assert [each["name"] for each in asked] == ["Bob"]
    user.read(new)
    assert len(asked) == 1


@every_verb
def test_a_changed_type_is_upgraded_and_then_the_old_version_is_out(deployments: Deployments, verb: str) -> None:
    """One name can not have two types: what the new version changed is 401 for the old one, and kept."""

    class Text(Session):
        cart: str

    class Listed(Session):
        cart: list[str]

    def split(stored: dict[str, Any]) -> dict[str, Any]:
        return stored | {"cart": stored["cart"].split(",")}

    old, new = deployments.start(Text), deployments.start(Listed, split)
    user = User(old, cart="tea,milk")
    assert user.read(new) == {"cart": ["tea", "milk"]}
    assert user.read(old) == {"cart": "tea,milk"}
    user.change(new, verb)
    deployments.assert_refused_and_kept(old, user)
    assert user.read(new) == {"cart": ["tea", "milk"]}


@every_verb
def test_a_renamed_field_that_keeps_its_stored_name(deployments: Deployments, verb: str) -> None:
    """Renamed in Python alone, by an alias, both versions have one value, whoever changes it."""

    class Before(Session):
        uid: int

    class After(Session):
        user_id: int = Field(alias="uid")

    old, new = deployments.start(Before), deployments.start(After)
    user = User(old, uid=1)
    user.change(new, verb, user_id=2)
    assert user.read(old) == {"uid": 2}
    user.change(old, verb, uid=3)
    assert user.read(new) == {"uid": 3}
    assert len(deployments.keys) == 1


@every_verb
def test_a_renamed_field_that_is_read_by_both_names(deployments: Deployments, verb: str) -> None:
    """Stored under the new name once it changes, and the old name leaves with it: no stale value comes back."""

    class Before(Session):
        uid: int

    class After(Session):
        user_id: int = Field(validation_alias=AliasChoices("user_id", "uid"))

    old, new = deployments.start(Before), deployments.start(After)
    user = User(old, uid=1)
    assert user.read(new) == {"user_id": 1}
    user.change(new, verb, user_id=2)
    assert user.read(new) == {"user_id": 2}
    deployments.assert_refused_and_kept(old, user)


@every_verb
def test_a_field_that_a_hook_renames_parts_from_the_old_one(deployments: Deployments, verb: str) -> None:
    """The old name stays for the old version, and from the first change on each version has a value of its own."""

    class Before(Session):
        uid: int

    class After(Session):
        user_id: int

    old = deployments.start(Before)
    new = deployments.start(After, lambda stored: {"user_id": stored["uid"]})
    user = User(old, uid=1)
    user.change(new, verb, user_id=2)
    assert user.read(old) == {"uid": 1}
    user.change(old, verb, uid=3)
    assert user.read(new) == {"user_id": 2}


@every_verb
def test_a_version_number_makes_the_hook_see_every_old_value(deployments: Deployments, verb: str) -> None:
    """Where the same field has another meaning: old values have no number, so they don't fit, and are upgraded once.

    The old version can't know, and reads the new ones.
    """

    class Euros(Session):
        total: int

    class Cents(Session):
        total: int
        version: Literal[2]

    def to_cents(stored: dict[str, Any]) -> dict[str, Any]:
        return {"total": stored["total"] * 100, "version": 2}

    old, new = deployments.start(Euros), deployments.start(Cents, to_cents)
    user = User(old, total=7)
    for _ in range(2):
        user.change(new, verb)
        assert user.read(new) == {"total": 700, "version": 2}
    assert user.read(old) == {"total": 700}


# --- hooks that go wrong ---------------------------------------------------------------------------------------------


def raising(error: BaseException) -> Migrate:
    def migrate(stored: dict[str, Any]) -> dict[str, Any]:
        raise error

    return migrate


def returning(value: Any) -> Migrate:
    return lambda stored: value


LOOP: dict[str, Any] = {}
LOOP["email"] = LOOP

BAD_HOOKS: dict[str, Migrate] = {
    "raises": raising(ValueError("Ann of the tests")),
    "raises a KeyError": lambda stored: {"email": stored["mail"]},
    "raises its own answer": raising(HTTPException(418)),
    "recurses": lambda stored: BAD_HOOKS["recurses"](stored),
    "returns None": returning(None),
    "returns a list": returning([]),
    "returns a string": returning("{}"),
    "returns what it got": lambda stored: stored,
    "returns nothing": returning({}),
    "returns another type": returning({"name": "Ann", "email": 7}),
    "returns an object": returning({"name": "Ann", "email": object()}),
    "returns half a surrogate pair": returning({"name": "Ann", "email": "\ud83e"}),
    "returns a loop": returning(LOOP),
    "empties what it got": lambda stored: stored.clear() or stored,  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("migrate", BAD_HOOKS.values(), ids=BAD_HOOKS.keys())
def test_a_hook_that_goes_wrong_is_401_and_the_value_is_kept(
    deployments: Deployments, migrate: Migrate, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises or returns; the log says that it was the hook; one that is mended reads the session."""
    caplog.set_level(logging.INFO, "jwtsession")
    old, broken = deployments.start(Old), deployments.start(Required, migrate)
    user = User(old, name="Ann of the tests")
    deployments.assert_refused_and_kept(broken, user)
    assert "session_migration_failed" in caplog.text
    assert "Ann of the tests" not in caplog.text
    assert user.read(deployments.start(Required, with_email))["email"] == "Ann of the tests@example.org"


@pytest.mark.parametrize("value", [b"garbage", b"[1]", b"null", b"", b'{"name": "\xff"}', b'{"name": "Ann"'])
def test_a_hook_never_sees_what_is_no_object(valkey: servers.Server, value: bytes) -> None:
    """It is 401 and kept without it."""
    seen: list[Any] = []
    with contextlib.ExitStack() as running:
        deployments = Deployments(valkey, running)
        deployment = deployments.start(Required, lambda stored: seen.append(stored) or stored)  # type: ignore[func-returns-value]
        user = User(deployment, name="Ann", email="ann@example.net")
        (key,) = deployments.keys
        deployments.redis.set(key, value)
        deployments.assert_refused_and_kept(deployment, user)
    assert seen == []
