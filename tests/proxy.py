"""A TCP proxy between a client and a server that does to connections what networks do to them."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator

from anyio.from_thread import BlockingPortal, start_blocking_portal


class Proxy:
    """Passes everything on, until a test says otherwise. May be changed at any time, from any thread."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = 0
        self.delay = 0.0
        """Seconds by which each piece of a reply comes later."""
        self.mute = False
        """Replies get lost; requests arrive, and the server does what they say."""
        self.black_hole = False
        """Nothing gets through in either direction, and nobody is told."""
        self.lose_reply_to: bytes | None = None
        """The reply to the next request with these bytes in it gets lost, and its connection with it."""
        self.closes_at: bytes | None = None
        """A request with these bytes in it closes its connection, as at a proxy that does not know the command."""
        self.silently = False
        """The connection stays open then, and dead."""
        self.lost = 0
        """How many replies got lost that way."""
        self._open: set[asyncio.StreamWriter] = set()
        self._connections: set[_Connection] = set()
        self._portal: BlockingPortal | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        """In a thread of its own for the length of a `with`."""
        with start_blocking_portal() as self._portal:
            server = self._portal.call(asyncio.start_server, self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                self._portal.call(server.close)
                self.reset()

    def reset(self) -> None:
        """Every open connection ends at once, with RST."""
        assert self._portal is not None
        self._portal.call(self._reset)

    async def _reset(self) -> None:
        for writer in [*self._open]:
            # Without a linger time a close is an RST.
            with contextlib.suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    def forget_all(self) -> None:
        """Every open connection is dead, and nobody is told, as when a router forgets those that are idle."""
        for connection in self._connections:
            connection.forgotten = True

    def close_all(self) -> None:
        """Every open connection ends in good order, with FIN, as idle ones do at servers and balancers."""
        assert self._portal is not None
        self._portal.call(self._close_all)

    async def _close_all(self) -> None:
        for writer in [*self._open]:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, writer, upstream_writer)
        self._open |= {writer, upstream_writer}
        self._connections.add(connection)
        try:
            with contextlib.suppress(OSError):
                await asyncio.gather(connection.requests(reader), connection.replies(upstream_reader))
        finally:
            self._open -= {writer, upstream_writer}
            self._connections.discard(connection)
            writer.transport.abort()
            upstream_writer.transport.abort()


class _Connection:
    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._loses_next = False
        self.forgotten = False

    async def requests(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65_536):
            if self._proxy.closes_at is not None and self._proxy.closes_at in data:
                break
            wanted = self._proxy.lose_reply_to
            if wanted is not None and wanted in data:
                self._proxy.lose_reply_to = None
                self._loses_next = True
            if not self._proxy.black_hole and not self.forgotten:
                self._server.write(data)
                await self._server.drain()
        self._server.close()

    async def replies(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65_536):
            if self._loses_next:
                self._proxy.lost += 1
                if self._proxy.silently:
                    continue
                break
            if self._proxy.delay:
                await asyncio.sleep(self._proxy.delay)
            if not self._proxy.mute and not self._proxy.black_hole:
                self._client.write(data)
                await self._client.drain()
        self._client.close()
