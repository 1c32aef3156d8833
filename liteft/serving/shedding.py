"""Refusing what cannot be admitted before anything else is done with it.

At ten times a server's capacity nine of ten requests are refused, on the cores that compute the tenth. So a refusal is
made here, before routing, headers and bodies; and in our own server before there is an ASGI request at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from liteft.serving.http import refusal
from liteft.serving.refusals import overloaded
from liteft.serving.service import Service

__all__ = ["ADMIN", "Refusals", "Shedding"]

ADMIN = "/admin/"
"""Of paths that are never refused for the queue's sake."""


class Refusals:
    """The answers to predictions that are asked while the queue is full.

    Args:
        service: whose queue it is.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._count = service.metrics.full()
        self._last: tuple[int, bytes, list[tuple[bytes, bytes]]] | None = None

    def content(self) -> tuple[bytes, list[tuple[bytes, bytes]]] | None:
        """Return body and headers of a refusal, and count it; None if there is room, or nothing is admitted at all."""
        service = self._service
        wait = service.queue.wait_if_full()
        if wait is None or service.state == "loading":
            return None
        self._count()
        shown = round(1000 * wait)
        if self._last is None or self._last[0] != shown:
            reply = refusal(overloaded(1000 * wait, most_ms=service.settings.max_queue_ms))
            length = (b"content-length", b"%d" % len(reply.body))
            self._last = shown, reply.body, [(b"content-type", reply.kind), length, *reply.headers]
        headers = self._last[2]
        if service.state == "draining":
            headers = [*headers, (b"connection", b"close")]
        return self._last[1], headers

    def response(self) -> bytes | None:
        """Return a refusal as HTTP/1.1, head and body, and count it; None where an application has to answer.

        After a refusal the event loop rests. A request that is let through counts as one that is expected.
        """
        service = self._service
        if service.state != "ready" or service.settings.cors_origin is not None:
            return None  # the connection has to be closed, or headers for another origin to be added
        found = self.content()
        if found is None:
            self._expect()
            return None
        service.rest.soon()
        body, headers = found
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        return b"HTTP/1.1 429 Too Many Requests\r\n%s\r\n%s" % (head, body)

    def _expect(self) -> None:
        """Count a request that is let through, until the event loop comes to it and those that have come with it."""
        queue = self._service.queue
        if not queue.expected:
            asyncio.get_running_loop().call_soon(queue.expect_none)
        queue.expect_one()


class Shedding:
    """An ASGI middleware: what is behind it never sees predictions that are asked while the queue is full.

    Args:
        app: the other application.
        service: whose queue it is.
    """

    def __init__(self, app: Any, service: Service) -> None:
        self._app, self._refusals = app, Refusals(service)

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Answer one request, or refuse it."""
        asked = scope["type"] == "http" and scope["method"] == "POST" and ADMIN not in scope["path"]
        refused = self._refusals.content() if asked else None
        if refused is None:
            await self._app(scope, receive, send)
            return
        body, headers = refused
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": body})
