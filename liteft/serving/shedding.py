"""Refusing what cannot be admitted before anything else is done with it.

At ten times a server's capacity nine of ten requests are refused, on the cores that compute the tenth. So a refusal is
made here, before routing, headers and bodies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from liteft.serving.http import refusal
from liteft.serving.refusals import Refused
from liteft.serving.service import Service

__all__ = ["Shedding"]

_ADMIN = "/admin/"


class Shedding:
    """An ASGI middleware: what is behind it never sees predictions that are asked while the queue is full.

    Args:
        app: the other application.
        service: whose queue it is.
    """

    def __init__(self, app: Any, service: Service) -> None:
        self._app, self._service = app, service
        self._count = service.metrics.full()
        self._last: tuple[int, bytes, list[tuple[bytes, bytes]]] | None = None

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Answer one request, or refuse it."""
        service = self._service
        if scope["type"] != "http" or scope["method"] != "POST" or service.state == "loading":
            await self._app(scope, receive, send)
            return
        try:
            service.queue.refuse_if_full()
        except Refused as refused:
            if _ADMIN in scope["path"]:
                await self._app(scope, receive, send)
                return
            self._count()
            body, headers = self._content(refused)
            await send({"type": "http.response.start", "status": refused.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, send)

    def _content(self, refused: Refused) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Return body and headers, those of the last refusal if it said the same milliseconds."""
        wait = round(refused.retry_after_ms or 0)
        if self._last is None or self._last[0] != wait:
            reply = refusal(refused)
            length = (b"content-length", b"%d" % len(reply.body))
            self._last = wait, reply.body, [(b"content-type", reply.kind), length, *reply.headers]
        headers = self._last[2]
        if self._service.state == "draining":
            headers = [*headers, (b"connection", b"close")]
        return self._last[1], headers
