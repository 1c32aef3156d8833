"""The plain ASGI of a server: bodies are read within a limit, answers and errors get their headers, all is counted.

Endpoints are ASGI applications that Starlette's router calls, without its Request and Response.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from liteft.privacy import traceback_of
from liteft.serving.jobs import Outcome
from liteft.serving.keys import Keys
from liteft.serving.models import ServedModel
from liteft.serving.refusals import Refused, gone, refused_input, too_large
from liteft.serving.service import Receive, Service, Unread, checked_timeout
from liteft.serving.tracing import Tracing

__all__ = ["Answer", "Endpoint", "Reply", "Request", "encode_json", "refusal"]

Answer = Callable[[Service, "Request"], Awaitable["Reply"]]
encode_json = msgspec.json.Encoder().encode

_log = logging.getLogger("liteft.serving")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_JSON = b"application/json"
_BODY_SECONDS = 30.0  # for what follows the first part of a body


@dataclass(slots=True)
class Request:
    """A request as its endpoint sees it.

    Attributes:
        path: values of the parts of the path that are names.
        headers: by name, in lower case.
        receive: of ASGI.
        most: bytes that a body may have.
        unread: bytes of bodies that have not come as a whole, of all requests.
        model: the name of the model that it asked, once that is known.
    """

    path: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    receive: Receive
    most: int
    unread: Unread
    model: str = ""

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            Refused: it has more bytes than are accepted, does not come in time, too many others still come, or the
                client has left.
        """
        length = self.headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > self.most:
            raise too_large("body", "bytes", int(length), self.most, "max_body_bytes")
        first, more = await self._part(self.most)
        if not more:  # as a rule, so that it needs no timer
            return first
        room = self.most if length is None or not length.isdigit() else int(length)
        self.unread.take(room)
        try:
            async with asyncio.timeout(_BODY_SECONDS):  # or slow clients would fill the memory, and hold up the end
                return await self._rest(first)
        except TimeoutError:
            raise Refused(408, "body", f"the body has not come within {_BODY_SECONDS:g} s") from None
        finally:
            self.unread.give(room)

    async def _rest(self, first: bytes) -> bytes:
        parts, size, more = [first], len(first), True
        while more:
            part, more = await self._part(self.most - size)
            size += len(part)
            parts.append(part)
        return b"".join(parts)

    async def _part(self, room: int) -> tuple[bytes, bool]:
        """Return the next part of the body, and whether others follow."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise gone()
        part: bytes = message.get("body", b"")
        if len(part) > room:
            raise too_large("body", "bytes", self.most - room + len(part), self.most, "max_body_bytes")
        return part, message.get("more_body", False)

    def named(self, given: str | None) -> str | None:
        """Return the name of the model in the path, or else ``given``, the one in the body; None for none.

        Raises:
            Refused: both are there and differ.
        """
        name = self.path.get("model")
        if name is not None and given not in (None, name):
            raise refused_input(f"the path names the model {name!r}, and the body {given!r}")
        return name or given

    async def ask(self, service: Service, model: ServedModel, values: list[Any]) -> Outcome:
        """Return the outcome of values, or raise Refused: within the time that the request gives."""
        timeout = checked_timeout(self.headers.get(b"x-request-timeout-ms"))
        return await service.ask(model, values, self.receive, timeout_ms=timeout)

    @property
    def trace(self) -> bytes | None:
        """The ``traceparent`` that the caller sent, if it is a valid one."""
        sent = self.headers.get(b"traceparent")
        return sent if sent is not None and _TRACEPARENT.fullmatch(sent) else None


@dataclass(slots=True)
class Reply:
    """An answer.

    Attributes:
        body: its bytes.
        status: of HTTP.
        kind: the content type.
        outcome: whose times and revision become headers; None for none.
        headers: further ones.
    """

    body: bytes
    status: int = 200
    kind: bytes = _JSON
    outcome: Outcome | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class Endpoint:
    """An ASGI application that gives one kind of answer.

    Args:
        service: that answers.
        answer: makes a Reply of a Request.
        route: the path, for metrics.
        dialect: a word for metrics if this is a prediction; "" for others.
        keys: who may ask; None for everybody.
        tracing: what becomes of spans.
    """

    def __init__(
        self,
        service: Service,
        answer: Answer,
        *,
        route: str,
        dialect: str = "",
        keys: Keys | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._service, self._answer, self._route, self._dialect = service, answer, route, dialect
        self._keys, self._tracing = keys, tracing

    async def __call__(self, scope: Any, receive: Receive, send: Callable[[Any], Awaitable[None]]) -> None:
        """Answer one request."""
        started = time.perf_counter()
        service = self._service
        most, unread = service.settings.max_body_bytes, service.unread
        request = Request(scope.get("path_params") or {}, dict(scope["headers"]), receive, most, unread)
        reply = await self._reply(request)
        if reply.status != 499:
            headers = self._headers(reply, request)
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
        seconds = time.perf_counter() - started
        method = scope["method"]
        self._service.metrics.answered(method, self._route, self._dialect, request.model, reply.status, seconds)
        if self._service.settings.log_requests and self._dialect:
            _log.info("%s", _line(method, scope["path"], reply, request, seconds))
        if self._tracing is not None and self._dialect:
            self._tracing.span(method, self._route, reply.status, request.headers, request.model, seconds)

    async def _reply(self, request: Request) -> Reply:
        try:
            if self._keys is not None:
                self._keys.check(request.headers)
            if self._dialect:
                self._service.refuse_while_loading()
            return await self._answer(self._service, request)
        except Refused as refused:
            self._service.metrics.refused(refused)
            return refusal(refused)
        except Exception as error:
            return self._failure(error)

    def _failure(self, error: Exception) -> Reply:
        """Return the reply to a request that failed here; the log has the error, by an id that the reply names."""
        number = secrets.token_hex(8)
        _log.error("error %s in %s\n%s", number, self._route, "".join(traceback_of(error)).rstrip())
        text = f"the server failed; its log says why, under {number}"
        return Reply(encode_json({"error": text, "error_type": "failed", "id": number}), 500)

    def _headers(self, reply: Reply, request: Request) -> list[tuple[bytes, bytes]]:
        headers = [(b"content-type", reply.kind), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
        outcome = reply.outcome
        if outcome is not None:
            times = outcome.times
            headers += [
                (
                    b"server-timing",
                    b"queue;dur=%.3f, tokenization;dur=%.3f, inference;dur=%.3f"
                    % (1000 * times.queue, 1000 * times.tokenization, 1000 * times.inference),
                ),
                (b"x-compute-tokens", b"%d" % outcome.tokens),
                (b"x-model-revision", outcome.loaded.revision.encode()),
            ]
        if (trace := request.trace) is not None:
            headers.append((b"traceparent", trace))
        if self._service.state == "draining":
            headers.append((b"connection", b"close"))
        return headers


def refusal(refused: Refused) -> Reply:
    """Return the reply to a request that is refused."""
    content: dict[str, Any] = {"error": refused.text, "error_type": refused.reason}
    headers = []
    if refused.retry_after_ms is not None:
        content["retry_after_ms"] = round(refused.retry_after_ms)
        headers.append((b"retry-after", b"%d" % (refused.retry_after or 1)))
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return Reply(encode_json(content), refused.status, headers=headers)


def _line(method: str, path: str, reply: Reply, request: Request, seconds: float) -> str:
    """Return a line for the log: never a text, a key or a body."""
    content: dict[str, Any] = {
        "method": method,
        "path": path,
        "status": reply.status,
        "ms": round(1000 * seconds, 3),
        "model": request.model,
    }
    if reply.outcome is not None:
        content |= {"texts": len(reply.outcome.truncated), "tokens": reply.outcome.tokens}
    if (trace := request.trace) is not None:
        content["trace_id"] = trace[3:35].decode()
    return json.dumps(content)
