"""A small proxy in front of several servers, as a cluster has one: it sends each request to a server that is ready.

It asks each server for /readyz many times a second, and gives a request to the ready one that has the fewest. A request
of which anything may have reached a server is never sent again: if the connection breaks, the client gets 502. So every
failure of a server shows. It reads and writes whole messages and knows only what the measurements send.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import uvloop
from load_client import measure_head

_LOOK_SECONDS = 0.05
_BROKEN = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
_NOBODY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
_READY = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@dataclass
class Backend:
    """A server, and what it was given.

    Attributes:
        port: of the server.
        ready: whether it said so at the last look.
        held: requests that it has now.
        answered: requests that it answered.
        lost: requests that it had when their connection broke.
        idle: connections without a request.
    """

    port: int
    ready: bool = False
    held: int = 0
    answered: int = 0
    lost: int = 0
    idle: list[Outward] = field(default_factory=list)

    def connection(self) -> Outward:
        """Return a connection that is not open yet."""
        return Outward(self)


class Proxy:
    """The proxy, in a thread of its own; all methods may be called from other threads."""

    def __init__(self, port: int) -> None:
        self.refused = 0  # requests that came when no server was ready
        self._backends: dict[int, Backend] = {}
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(port), self.loop).result(10)

    def add(self, port: int) -> None:
        """Ask a server from now on, and give it requests when it is ready."""
        backend = self._backends[port] = Backend(port)
        asyncio.run_coroutine_threadsafe(self._ask(backend), self.loop)

    def remove(self, port: int) -> Backend:
        """Forget a server, and return what it was given."""
        return self._backends.pop(port)

    def backend(self, port: int) -> Backend:
        """Return a server's state."""
        return self._backends[port]

    def close(self) -> None:
        """End the proxy."""
        self._backends.clear()
        self.loop.call_soon_threadsafe(self.loop.call_later, 4 * _LOOK_SECONDS, self.loop.stop)
        self._thread.join(10)

    async def forward(self, client: Inward, content: bytes) -> None:
        """Give a request to a server; another one is asked only if no connection could be opened."""
        while ready := [backend for backend in list(self._backends.values()) if backend.ready]:
            backend = min(ready, key=lambda each: each.held)
            backend.held += 1
            if backend.idle:
                backend.idle.pop().send(client, content)
                return
            try:
                _, opened = await self.loop.create_connection(
                    lambda own=backend: Outward(own), "127.0.0.1", backend.port
                )
            except OSError:
                backend.ready = False
                backend.held -= 1
                continue
            opened.send(client, content)
            return
        self.refused += 1
        client.answer(_NOBODY)

    async def _listen(self, port: int) -> None:
        await self.loop.create_server(lambda: Inward(self), "127.0.0.1", port, backlog=2048)

    async def _ask(self, backend: Backend) -> None:
        while self._backends.get(backend.port) is backend:
            backend.ready = await _is_ready(backend.port)
            await asyncio.sleep(_LOOK_SECONDS)


class Inward(asyncio.Protocol):
    """A client's connection; it sends a request when it has the answer to the one before."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if is_whole(self._buffer):
            content, self._buffer = self._buffer, b""
            self._proxy.loop.create_task(self._proxy.forward(self, content))

    def answer(self, content: bytes) -> None:
        """Send an answer to the client."""
        if not self._transport.is_closing():
            self._transport.write(content)


class Outward(asyncio.Protocol):
    """A connection to a server, with one request at a time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._client: Inward | None = None
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, client: Inward, content: bytes) -> None:
        """Send a client's request."""
        self._client = client
        if self._transport.is_closing():  # its end was noticed, and connection_lost has been called or will be
            self.connection_lost(None)
            return
        self._transport.write(content)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not is_whole(self._buffer) or self._client is None:
            return
        content, keep = staying(self._buffer)
        client, self._client, self._buffer = self._client, None, b""
        self._backend.held -= 1
        self._backend.answered += 1
        if keep:
            self._backend.idle.append(self)
        else:
            self._transport.close()
        client.answer(content)

    def connection_lost(self, _: Exception | None) -> None:
        if self in self._backend.idle:
            self._backend.idle.remove(self)
        if self._client is not None:
            self._backend.held -= 1
            self._backend.lost += 1
            client, self._client = self._client, None
            client.answer(_BROKEN)


def is_whole(data: bytes) -> bool:
    """Return whether a request or an answer has come to its end; its head must say how long its body is."""
    end = data.find(b"\r\n\r\n")
    return end >= 0 and len(data) >= end + 4 + measure_head(data[:end])[0]


def staying(data: bytes) -> tuple[bytes, bool]:
    """Return an answer for the client, whose own connection stays, and whether the server's connection stays."""
    end = data.find(b"\r\n\r\n")
    place = data[:end].lower().find(b"connection: close")
    if place < 0:
        return data, True
    return data[:place] + b"connection: keep-alive" + data[place + len(b"connection: close") :], False


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(_READY)
        return b" 200 " in await asyncio.wait_for(reader.readline(), 2.0)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
