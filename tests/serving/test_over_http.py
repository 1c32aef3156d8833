"""What takes a real connection: clients that close it, browsers of other origins, spans that are sent."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from liteft.serving import ServeSettings, create_app
from liteft.serving.models import Loaded, ServedModel
from liteft.serving.protocol import shedding_protocol
from liteft.serving.service import Service
from tests.cache import Cache
from tests.runtime.tiny import write_artifact
from tests.serving.serving import running
from tests.serving.test_service import Held, run, until


@pytest.fixture(scope="session")
def folder(cache: Cache) -> Path:
    return cache("served", lambda folder: write_artifact(folder / "artifact")) / "artifact"


@asynccontextmanager
async def listening(folder: Path, **settings: Any) -> AsyncIterator[tuple[int, Service, Held]]:
    """Serve over HTTP in this process, with an engine that waits."""
    model = ServedModel("tickets", folder, {"threads": 1})
    service = Service({"tickets": model}, ServeSettings(**settings))
    protocol = shedding_protocol(service)
    config = uvicorn.Config(create_app(service), http=protocol, port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    service.load()
    held = Held(model.loaded.classifier)
    model._loaded = Loaded(held, model.loaded.revision, None, 0.0)
    service.start()
    serving = asyncio.ensure_future(server._serve())
    await until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], service, held
    finally:
        held.go.set()
        server.should_exit = True
        await serving


async def sent(port: int, text: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = json.dumps({"inputs": text}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    await writer.drain()
    return reader, writer


def test_a_closed_connection_frees_its_place_and_is_not_computed(folder: Path) -> None:
    async def test() -> None:
        async with listening(folder) as (port, service, held):
            reader, writer = await sent(port, "a text")
            await until(held.started.is_set)
            _, gone = await sent(port, "gone")
            await until(lambda: len(service.queue) == 1)
            gone.close()
            await until(lambda: service.queue.queued_seconds == 0)
            held.go.set()
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            assert held.ran == [1]
            writer.close()

    run(test)


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the first line and the body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return head.split(b"\r\n")[0], await reader.readexactly(int(length.split(b":")[1]))


def test_a_connection_goes_on_after_a_request_that_was_refused_before_its_body_had_come(folder: Path) -> None:
    async def test() -> None:
        async with listening(folder, max_queue_ms=20) as (port, service, held):
            first, _ = await sent(port, "a text")
            await until(held.started.is_set)
            service.queue._running = 60.0
            body = json.dumps({"inputs": "a text"}).encode()
            head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for cut in (0, 3, len(body)):
                writer.write(head + body[:cut])
                line, text = await answer(reader)
                assert line == b"HTTP/1.1 429 Too Many Requests"
                assert json.loads(text)["error_type"] == "overloaded"
                writer.write(body[cut:])
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await answer(reader))[0] == b"HTTP/1.1 200 OK"
            held.go.set()
            assert (await answer(first))[0] == b"HTTP/1.1 200 OK"
            writer.write(head)
            await asyncio.sleep(0.05)
            writer.write(body)
            line, text = await answer(reader)
            assert (line, held.ran) == (b"HTTP/1.1 200 OK", [1, 1])
            assert json.loads(text)[0]["label"] in {"order", "payment", "app", "praise"}
            assert b'liteft_refused_total{reason="overloaded"} 3.0' in service.metrics.text()
            writer.close()

    run(test)


def test_a_result_ends_the_event_loops_rest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteft.serving.resting._SECONDS", 60.0)

    async def test() -> None:
        async with listening(folder, max_queue_ms=20) as (port, service, held):
            first, kept = await sent(port, "a text")
            await until(held.started.is_set)
            service.queue._running = 60.0
            woken, wait = list[bool](), service.rest._over.wait
            monkeypatch.setattr(service.rest._over, "wait", lambda seconds: woken.append(wait(seconds)))
            threading.Timer(0.5, held.go.set).start()  # this loop will rest, and with it this test
            second, other = await sent(port, "refused")
            assert (await answer(second))[0] == b"HTTP/1.1 429 Too Many Requests"
            assert (await answer(first))[0] == b"HTTP/1.1 200 OK"
            assert woken == [True]
            kept.close()
            other.close()

    run(test)


def test_requests_on_one_connection_are_answered_in_order(folder: Path) -> None:
    async def test() -> None:
        async with listening(folder) as (port, _, held):
            held.go.set()
            body = json.dumps({"inputs": "a text"}).encode()
            one = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(one + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + one)
            for _ in range(3):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
            writer.close()

    run(test)


def test_a_body_that_does_not_end_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteft.serving.http._BODY_SECONDS", 0.1)

    async def test() -> None:
        async with listening(folder) as (port, _, held):
            held.go.set()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
            writer.close()

    run(test)


def test_pages_of_the_allowed_origin_may_ask(folder: Path) -> None:
    with running([folder], "--threads", "1", "--cors-origin", "https://shop.example") as server:
        asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        status, _, headers = server.ask("OPTIONS", "/predict", headers=asked)
        assert (status, headers["access-control-allow-origin"]) == (200, "https://shop.example")
        status, _, headers = server.predict("a text", Origin="https://shop.example")
        assert (status, headers["access-control-allow-origin"]) == (200, "https://shop.example")
        asked["Origin"] = "https://other.example"
        assert server.ask("OPTIONS", "/predict", headers=asked)[0] == 400


def test_a_span_is_sent_under_the_callers_trace(folder: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"}
    try:
        with running([folder], "--threads", "1", "--drain-delay", "0", "--traces", **endpoint) as server:
            trace = "4bf92f3577b34da6a3ce929d0e0e4736"
            assert server.predict("zanzibar", traceparent=f"00-{trace}-00f067aa0ba902b7-01")[0] == 200
            server.signal(signal.SIGTERM)
            assert server.process.wait(20) == 0
    finally:
        collector.shutdown()
    spans = b"".join(received)
    assert bytes.fromhex(trace) in spans
    assert b"POST /predict" in spans
    assert b"zanzibar" not in spans


def test_a_path_names_a_model_and_a_body_must_not_name_another(folder: Path) -> None:
    with running([f"a={folder}", f"b={folder}"], "--threads", "1") as server:
        status, labels, _ = server.ask("POST", "/models/b/predict", {"inputs": "a text"})
        assert status == 200
        assert server.ask("POST", "/predict", {"inputs": "a text", "model": "b"})[1] == labels
        assert server.ask("POST", "/models/b/predict", {"inputs": "a text", "model": "b"})[0] == 200
        status, body, _ = server.ask("POST", "/models/b/predict", {"inputs": "a text", "model": "a"})
        assert (status, body["error"]) == (422, "the path names the model 'b', and the body 'a'")
        assert server.ask("POST", "/models/c/predict", {"inputs": "a text"})[0] == 404
