"""A canary in everything that is secret, and a look at everything that is shown."""

import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request

from jwtsession import (
    Claims,
    ConfigurationError,
    EncryptionSettings,
    InvalidArgumentError,
    JWTSessionError,
    Key,
    MemorySessionStore,
    RedisSessionStore,
    Session,
    SessionConflictError,
    SessionManager,
    SessionProvider,
    SessionSettings,
    Token,
)
from jwtsession.testing import AsyncSessionTester
from tests import servers
from tests.conftest import started
from tests.parts import parts
from tests.security.forge import genuine, with_claims
from tests.web import bearer

SECRET = "canary-of-the-secret-0123456789-abcdefgh"
OLD = "canary-of-the-old-key-0123456789-abcdef"
AT_REST = "Y2FuYXJ5LW9mLXRoZS1rZXktYXQtcmVzdC0zMi1ieXQ"
PASSWORD = "canary-of-the-redis-password"
DATA = "canary-of-the-session"
CLAIM = "canary-of-the-claims"


class UserSession(Session):
    name: str
    count: int = 0


class World:
    """A provider on a real server, and what must not be seen of it."""

    def __init__(self, redis_url: str) -> None:
        self.settings = SessionSettings(
            secret=SECRET,
            keys=(Key(kid="new", secret=OLD),),  # type: ignore[arg-type]
            encryption=EncryptionSettings(keys=(AT_REST,)),
            redis_url=redis_url,
        )
        self.sessions = SessionProvider(UserSession, settings=self.settings)
        self.managers: list[Any] = []
        self.errors: list[BaseException] = []
        app = self.app = FastAPI(lifespan=self.sessions.lifespan)
        manager_ = Annotated[SessionManager[UserSession, Claims], Depends(self.sessions.get_manager)]

        @app.post("/session")
        async def log_in(manager: manager_) -> Token:
            self.managers.append(manager)
            return await manager.create(UserSession(name=DATA), Claims(sub=CLAIM))

        @app.get("/session")
        async def read(session: Annotated[UserSession, Depends(self.sessions.get_session)]) -> int:
            return session.count

        @app.post("/bad/{kind}")
        async def misuse(kind: str, manager: manager_) -> None:
            session = manager.require()
            try:
                if kind == "field":
                    session.count = DATA  # type: ignore[assignment]
                    await manager.update()
                elif kind == "size":
                    session.name = DATA * 10_000
                    await manager.update()
                elif kind == "json":
                    await manager.create({"name": DATA, "count": DATA})
                else:
                    await manager.regenerate(claims=Claims(sub=CLAIM, aud=CLAIM))
            except JWTSessionError as error:
                self.errors.append(error)
                raise


@pytest.fixture
def world(valkey: servers.Server) -> Any:
    valkey.command("CONFIG", "SET", "requirepass", PASSWORD)
    try:
        yield World(valkey.url.replace("redis://", f"redis://:{PASSWORD}@"))
    finally:
        import socket

        with socket.create_connection(("127.0.0.1", valkey.port), timeout=5) as connection:
            for command in (f"AUTH {PASSWORD}", "CONFIG SET requirepass ''"):
                connection.sendall(command.encode() + b"\r\n")
                connection.recv(100)


def canaries(token: str | None = None, session_id: str | None = None) -> list[str]:
    signature = [] if token is None else [token, token.rpartition(".")[2], token.split(".")[1]]
    return [SECRET, OLD, AT_REST, PASSWORD, DATA, CLAIM, *signature, *([session_id] if session_id else [])]


def assert_clean(text: str, forbidden: list[str]) -> None:
    for canary in forbidden:
        assert canary not in text, f"{canary[:24]}... is shown"


def test_nothing_secret_is_logged_or_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The whole life of a session, with every kind of refusal and mistake, at DEBUG for all loggers."""
    caplog.set_level(logging.DEBUG)
    with TestClient(world.app, raise_server_exceptions=False) as client:
        token = client.post("/session").json()["access_token"]
        manager = world.managers[0]
        session_id = manager.id
        forbidden = canaries(token, session_id)
        held = parts(world.sessions, manager, manager.sync, world.settings, Token(access_token=token))
        assert {"KeyRing", "RedisSessionStore", "UserSession"} <= {type(each).__name__ for each in held}
        shown = [repr(each) for each in (*held, world.settings.keys)]
        shown += [str(world.settings), repr(world.settings.model_dump()), world.settings.model_dump_json()]
        for headers in (bearer(token), bearer(token[:-3] + "AAA"), bearer("x"), bearer(with_claims()), {}):
            client.get("/session", headers=headers)
        client.get("/session", headers=bearer(token) | {"x-access-token": "another"})
        for kind in ("field", "size", "json", "claims"):
            shown.append(client.post(f"/bad/{kind}", headers=bearer(token)).text)
        shown.append(json.dumps(client.get("/openapi.json").json()))
    assert len(world.errors) == 4
    for error in world.errors:
        shown += [repr(error), str(error), *traceback.format_exception(error)]
    for text in [*shown, caplog.text, *(repr(entry.__dict__) for entry in caplog.records)]:
        assert_clean(text, forbidden)


def test_corrupt_and_unreachable_values_are_not_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A value that can't be read, a wrong password and a dead server say what happened and nothing that was there."""
    caplog.set_level(logging.DEBUG)
    wrong = World(world.settings.redis_url.get_secret_value().replace(PASSWORD, PASSWORD + "-wrong"))
    with TestClient(world.app) as client:
        token = client.post("/session").json()["access_token"]
    with TestClient(wrong.app) as client:
        answer = client.get("/session", headers=bearer(token))
    assert answer.status_code == 503
    assert_clean(answer.text + caplog.text, canaries(token))


@pytest.mark.parametrize(
    "values",
    [
        {"secret": SECRET, "redis_url": f"http://:{PASSWORD}@host"},
        {"secret": SECRET, "redis_url": f"redis://:{PASSWORD}@host:port"},
        {"secret": SECRET[:20]},
        {"secret": SECRET, "algorithm": "RS256"},
        {"secret": SECRET, "encryption": {"keys": (AT_REST + "A",)}},
        {"secret": SECRET, "encryption": {"keys": AT_REST}},
        {"secret": SECRET, "keys": ({"kid": "a", "secret": OLD, "colour": OLD},)},
        {"secret": {"of": SECRET}},
        {"secret": SECRET, "max_age": SECRET},
    ],
)
def test_errors_of_the_settings_show_no_value(values: dict[str, Any]) -> None:
    """Message, traceback and chain of a ConfigurationError name the setting alone."""
    with pytest.raises(ConfigurationError) as caught:
        SessionProvider(**values)
    text = "".join(traceback.format_exception(caught.value))
    shown = [line for line in text.splitlines() if "canary" in line or AT_REST in line]
    assert shown == []


def test_a_model_that_refuses_shows_no_value() -> None:
    """Pydantic's own errors of sessions and claims are without their input."""
    for model in (UserSession, Claims):
        with pytest.raises(ValueError, match="validation error") as caught:
            model.model_validate({"name": [DATA], "sub": [DATA], "count": DATA})
        assert DATA not in str(caught.value)


async def test_errors_cross_processes_without_their_secrets(clock: Any) -> None:
    """What a task queue pickles of an error is its code."""
    sessions = started(SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore()))
    manager = await AsyncSessionTester(sessions).manager()
    with pytest.raises(InvalidArgumentError) as caught:
        await manager.create({"name": [DATA]})
    assert DATA.encode() not in pickle.dumps(caught.value)


async def test_what_tells_of_sessions_does_not_show_their_ids() -> None:
    """A log line of the claims, or of a user's sessions, has no id: it would be enough to revoke the session."""
    sessions = started(SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore(), user_index=True))
    manager = await AsyncSessionTester(sessions).manager()
    await manager.create(UserSession(name=DATA), Claims(sub=CLAIM))
    assert manager.id
    assert manager.id not in f"{manager.claims!r} {await sessions.list_sessions(CLAIM)!r}"


async def test_a_conflict_shows_neither_side() -> None:
    """Two requests changed one session: the error of the later one holds nothing of either's data."""
    sessions = started(SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore()))
    first = await AsyncSessionTester(sessions).manager()
    token = (await first.create(UserSession(name=DATA))).access_token
    second = await sessions.get_manager(request_with(token))
    await first.update(UserSession(name=DATA + "1"))
    with pytest.raises(SessionConflictError) as caught:
        await second.update(UserSession(name=DATA + "2"))
    assert_forgotten(caught.value, *canaries(token, first.id))


def test_the_stores_and_their_clients_do_not_show_the_url() -> None:
    """The repr of a store has no password, nor does the error of a URL that can't be used."""
    assert PASSWORD not in repr(RedisSessionStore(f"redis://:{PASSWORD}@localhost"))
    for url in (
        f"redis+sentinel://:{PASSWORD}@localhost",
        f"redis+cluster://:{PASSWORD}@:x",
        f"redis://{PASSWORD}@h:p",
    ):
        with pytest.raises(ConfigurationError) as caught:
            RedisSessionStore(url)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value)).replace(f'"{url}"', "")


def request_with(token: str) -> Request:
    return Request({"type": "http", "method": "GET", "headers": [(b"authorization", f"Bearer {token}".encode())]})


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, its causes and contexts, those that are not shown too."""
    if error is not None:
        yield error
        yield from chain(error.__cause__)
        if error.__context__ is not error.__cause__:
            yield from chain(error.__context__)


def assert_forgotten(error: BaseException, *forbidden: str) -> None:
    """No text and no local variable of the package, or of what it called, has them. This file's own frames may."""
    for each in chain(error):
        assert_clean(f"{each} {each!r} {each.args}", [*forbidden])
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename != __file__:
                # An error tracker does the same; a repr that raises would break it.
                assert_clean(repr({name: repr(value) for name, value in frame.f_locals.items()}), [*forbidden])


@pytest.mark.server
@pytest.mark.parametrize("fault", ["down", "wrong password", "no right", "no command", "another type"])
async def test_the_locals_of_an_error_of_the_store_are_forgotten(tmp_path: Path, fault: str) -> None:
    """Whatever the server does: no frame of the error keeps the token, the id, the data, the password or the secret."""
    option = ("--rename-command", "SET", "", "--rename-command", "GETEX", "") if fault == "no command" else ()
    server = servers.redis(tmp_path / "own", *option).start()
    try:
        prepared = {
            "wrong password": ("CONFIG", "SET", "requirepass", "other"),
            "no right": ("ACL", "SETUSER", "default", "-set", "-getex"),
        }.get(fault)
        if prepared:
            server.command(*prepared)
        if fault == "down":
            server.kill()
        url = (
            server.url
            if fault in ("no right", "no command", "another type")
            else f"redis://:{PASSWORD}@127.0.0.1:{server.port}"
        )
        sessions = started(SessionProvider(UserSession, secret=SECRET, redis_url=url))
        session_id = "an-id-of-the-canaries-in-a-token"
        token = genuine(session_id, SECRET)
        manager = await AsyncSessionTester(sessions).manager()
        if fault == "another type":
            server.command("HSET", f"sess:{session_id}", "f", DATA)
        calls: list[Any] = [lambda: sessions.get(session_id)]
        if fault != "another type":
            calls += [
                lambda: sessions.get_session(request_with(token)),
                lambda: manager.create(UserSession(name=DATA), Claims(sub=CLAIM)),
            ]
        caught_any = 0
        for call in calls:
            try:
                await call()
            except JWTSessionError as error:
                caught_any += 1
                assert_forgotten(error, *canaries(token, session_id))
        assert caught_any or fault == "no right"
        await sessions.store.close()
    finally:
        server.kill()


async def test_the_locals_of_a_mistake_are_forgotten() -> None:
    """What the application handed over and could not be stored is not in the frames of the error."""
    sessions = started(SessionProvider(UserSession, secret=SECRET, store=MemorySessionStore()))
    for call in (
        lambda manager: manager.create({"name": [DATA]}),
        lambda manager: manager.create(UserSession(name=DATA * 10_000)),
        lambda manager: manager.create(UserSession(name=DATA), Claims(sub=CLAIM, jti=CLAIM)),
        lambda manager: manager.update(UserSession(name=DATA)),
    ):
        with pytest.raises(JWTSessionError) as caught:
            await call(await AsyncSessionTester(sessions).manager())
        assert_forgotten(caught.value, *canaries())


@pytest.mark.parametrize(
    "values",
    [
        {"secret": SECRET[:20]},
        {"secret": SECRET, "algorithm": "RS256", "redis_url": f"redis://:{PASSWORD}@h"},
        {"secret": SECRET, "redis_url": f"redis://:{PASSWORD}@h:port"},
        {"secret": SECRET, "encryption": {"keys": (AT_REST + "A",)}},
        {"secret": SECRET, "redis_url": f"redis+sentinel://:{PASSWORD}@h"},
    ],
)
def test_the_locals_of_a_configuration_error_are_forgotten(values: dict[str, Any]) -> None:
    """At the start too: error trackers see these first."""
    with pytest.raises(ConfigurationError) as caught:
        SessionProvider(**values)
    assert_forgotten(caught.value, *canaries(), SECRET[:20])
