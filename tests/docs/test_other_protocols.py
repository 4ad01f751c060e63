"""The examples of GraphQL and Socket.IO in the guide, over real sockets."""

import json
import sys
import threading
from types import ModuleType
from typing import Any

import httpx2
import pytest
import socketio
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.web import bearer, serving

from .conftest import ROOT
from .test_examples import blocks

GUIDE = ROOT / "docs/guides/websockets.md"

pytestmark = pytest.mark.usefixtures("environment")


def application(package: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The guide's application, with the example that uses the package, as a module: Strawberry looks for it."""
    (example,) = (block for block in blocks(GUIDE, "py") if package in block)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec("\n".join([blocks(GUIDE, "python")[0], example]), vars(module))
    return module.app


def log_in(client: httpx2.Client) -> str:
    token: str = client.post("/session").json()["access_token"]
    return token


def test_graphql_takes_the_token_of_connection_init(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query has its request's session, a subscription that of its first message, and ends with it."""
    with serving(application("strawberry", monkeypatch)) as client:
        token = log_in(client)
        me = {"query": "{ me }"}
        assert client.post("/graphql", json=me, headers=bearer(token)).json() == {"data": {"me": 1}}
        url = f"ws://127.0.0.1:{client.base_url.port}/graphql"
        for sent, code in (({"token": token}, None), ({"token": "x"}, 4403), ({}, 4403)):
            with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
                socket.send(json.dumps({"type": "connection_init", "payload": sent}))
                if code is not None:
                    with pytest.raises(ConnectionClosed) as closed:
                        socket.recv(timeout=10)
                    assert closed.value.rcvd is not None
                    assert closed.value.rcvd.code == code
                    continue
                assert json.loads(socket.recv(timeout=10)) == {"type": "connection_ack"}
                ticks = {"query": "subscription { ticks }"}
                socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": ticks}))
                assert json.loads(socket.recv(timeout=10))["payload"] == {"data": {"ticks": 1}}
                client.delete("/session", headers=bearer(token))
                while (answer := json.loads(socket.recv(timeout=10)))["type"] == "next":
                    pass
                assert answer["type"] == "complete"


def test_socket_io_takes_the_token_of_auth(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without one is refused, and one that got in is disconnected when its session ends."""
    app = application("socketio", monkeypatch)
    with serving(app) as client:
        token = log_in(client)
        url = f"http://127.0.0.1:{client.base_url.port}"
        for auth in (None, "x", {}, {"token": 5}, {"token": token[:-4]}):
            refused = socketio.Client(reconnection=False)
            with pytest.raises(socketio.exceptions.ConnectionError):
                refused.connect(url, auth=auth, transports=["websocket"])
            refused.disconnect()
        inside, ended = socketio.Client(reconnection=False), threading.Event()
        inside.on("disconnect", lambda *_: ended.set())
        inside.connect(url, auth={"token": token}, transports=["websocket"])
        assert inside.call("whoami", timeout=10) == 1
        client.delete("/session", headers=bearer(token))
        assert ended.wait(10)
        inside.disconnect()
