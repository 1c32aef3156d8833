"""Requests to answers, inside the process: the server's application without a server, sockets or a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from micro_models import available
from micro_texts import texts_of

pytest.importorskip("starlette", reason="the extra 'serve' installs starlette")

from liteft.serving import ServeSettings, create_app

PATIENT = ServeSettings(max_queue_ms=60_000)


class Asked:
    """An application that is started, and answers one request after the other."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self._app, self._runner = app, runner

    def __call__(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        return self._runner.run(self._ask(method, path, body))

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        sent: list[dict[str, Any]] = []
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {},
        }  # fmt: skip
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            await asyncio.Event().wait()  # a client that stays
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@asynccontextmanager
async def _started(app: Any) -> AsyncIterator[None]:
    async with app.router.lifespan_context(app):
        yield


@pytest.fixture(scope="module")
def asked(models: Path) -> Iterator[Asked]:
    """The application with the int8 artifact in the native engine."""
    _, backend = available("int8", "native")
    app = create_app([f"minilm={models / 'int8'}"], PATIENT, backend=backend)
    with asyncio.Runner() as runner:
        life = _started(app)
        runner.run(life.__aenter__())
        try:
            yield Asked(app, runner)
        finally:
            runner.run(life.__aexit__(None, None, None))


@pytest.mark.benchmark(group="service")
def test_readiness(timed: Callable[..., Any], asked: Asked) -> None:
    status, _ = timed(lambda: asked("GET", "/readyz"), requests=1)
    assert status == 200


@pytest.mark.benchmark(group="service")
@pytest.mark.parametrize("count", [1, 8, 32])
def test_request(timed: Callable[..., Any], asked: Asked, count: int) -> None:
    body = json.dumps({"inputs": [[text] for text in texts_of("short", count)]}).encode()
    status, answer = timed(lambda: asked("POST", "/predict", body), requests=1, texts=count)
    assert status == 200 and len(json.loads(answer)) == count
