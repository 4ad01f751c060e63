"""Tests of jwtsession.remote.client: which URLs are asked, and which answers are accepted."""

import asyncio
import gc
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from jwtsession import ConfigurationError
from jwtsession.remote import RemoteClient, check_url
from jwtsession.remote.client import MAX_ANSWER_BYTES, RemoteError
from tests.web import serving

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/keys",
        "https://shop.example:8443/keys?a=b",
        "http://localhost:8000/keys",
        "http://127.0.0.1/keys",
        "http://[::1]:80/keys",
        "HTTPS://SHOP.EXAMPLE",
    ],
)
def test_a_url_with_tls_or_of_this_machine(url: str) -> None:
    """Is good as it is."""
    assert check_url("jwks_url", url, allow_http=False) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        5,
        "",
        "shop.example/keys",
        "/keys",
        "ftp://shop.example",
        "file:///etc/passwd",
        "https://",
        "https://shop.example:0/",
        "https://shop.example:99999/",
        "https://user:secret@shop.example/",
        "https://shop.example/#x",
        "http://shop.example/keys",
        "http://localhost.shop.example/keys",
        "https://[::1",
    ],
)
def test_any_other_url_is_refused(url: object) -> None:
    """The message names the argument, and shows no password."""
    with pytest.raises(ConfigurationError, match="jwks_url: must") as refused:
        check_url("jwks_url", url, allow_http=False)
    assert "secret" not in str(refused.value)


def test_http_on_another_machine_is_a_choice() -> None:
    """For a network that somebody else encrypts."""
    assert check_url("jwks_url", "http://keys.internal/", allow_http=True)


@asynccontextmanager
async def answering(answer: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that reads a request and writes this, whatever was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(writer)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def ask(answer: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]], limit: float = 5.0) -> bytes:
    client = RemoteClient(limit)
    try:
        async with answering(answer) as url:
            return await client.get(url)
    finally:
        await client.close()


async def test_a_200_has_the_answer() -> None:
    """Up to the largest size."""
    assert await ask(http(b"{}")) == b"{}"
    assert len(await ask(http(b"x" * MAX_ANSWER_BYTES))) == MAX_ANSWER_BYTES


REFUSED = {
    "an error": http(b"{}", "500 Oops"),
    "no content": http(b"", "204 No Content"),
    "a redirect": http(b"", "302 Found", "Location: http://127.0.0.1:1/"),
    "a redirect to itself": http(b"", "307 Temporary Redirect", "Location: /"),
    "too large": http(b"x" * (MAX_ANSWER_BYTES + 1)),
    "a compressed bomb": http(gzip.compress(b"x" * 10_000_000), "200 OK", "Content-Encoding: gzip"),
    "cut off": http(b"{}").replace(b"Length: 2", b"Length: 3"),
    "no HTTP": b"hello\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
async def test_anything_else_is_no_answer(answer: bytes) -> None:
    """Each is a `RemoteError`; no redirect is followed."""
    with pytest.raises(RemoteError):
        await ask(answer)


async def test_an_answer_that_never_ends_is_given_up() -> None:
    """The whole exchange has one timeout, also if a byte comes now and then."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(RemoteError, match="TimeoutError"):
        await ask(drip, limit=0.2)


async def test_nobody_there() -> None:
    """A refused connection is an error like any other, and the client works on afterwards."""
    async with answering(http(b"{}")) as url:
        pass
    client = RemoteClient(5.0)
    with pytest.raises(RemoteError, match="ConnectError"):
        await client.get(url)
    async with answering(http(b"{}")) as url:
        assert await client.get(url) == b"{}"
    await client.close()
    await client.close()


def test_a_client_moves_to_another_event_loop() -> None:
    """Connections of a loop that has ended are not used again."""
    client = RemoteClient(5.0)

    async def once() -> bytes:
        async with answering(http(b"{}")) as url:
            return await client.get(url)

    assert asyncio.run(once()) == asyncio.run(once()) == b"{}"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_end_in_another_event_loop() -> None:
    """An open connection of a loop that has ended, such as that of a test client, does not stop `close()`."""
    app = FastAPI()

    @app.get("/keys")
    async def keys() -> dict[str, str]:
        return {}

    client = RemoteClient(5.0)
    with serving(app) as server:
        assert asyncio.run(client.get(str(server.base_url.join("/keys")))) == b"{}"
        asyncio.run(client.close())
        gc.collect()  # Python warns of the socket, which nobody could close


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="fastapi-jwtsession\\[verifier\\]"):
        RemoteClient(5.0)
