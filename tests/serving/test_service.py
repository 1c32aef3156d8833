"""Admission, deadlines, clients that leave, failures: the application in this process, with an engine that can wait."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import liteft
from liteft.errors import DeviceError, ModelError
from liteft.serving import ServeSettings, create_app
from liteft.serving.models import Loaded, ServedModel
from liteft.serving.refusals import Refused
from liteft.serving.service import Service
from tests.cache import Cache
from tests.runtime.tiny import write_artifact


class Panic(BaseException):
    """What pyo3 raises where Rust code panics."""


class Held:
    """A classifier whose runs wait until they are let go, and which remembers what it ran."""

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier
        self.go = threading.Event()
        self.started = threading.Event()
        self.ran: list[int] = []
        self.error: BaseException | None = None
        self.breaking: dict[int, BaseException] = {}  # raised for texts of so many tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def run(self, encoded: Any, *, check: bool = True) -> Any:
        self.started.set()
        assert self.go.wait(20)
        error = next((error for size, error in self.breaking.items() if size in encoded.lengths), self.error)
        if error is not None:
            raise error
        self.ran.append(len(encoded))
        return self._classifier.run(encoded, check=check)


class Client:
    """Asks an ASGI application, and may leave before it is answered."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def ask(
        self, path: str, body: Any = None, *, method: str = "POST", left: asyncio.Event | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        content = b"" if body is None else json.dumps(body).encode()
        sent: list[dict[str, Any]] = []
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": content, "more_body": False}
            await (left or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        named = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": named, "query_string": b""}
        await self.app({**scope, "http_version": "1.1", "root_path": "", "scheme": "http"}, receive, send)
        if not sent:
            return 499, None, {}
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        read = sent[1]["body"]
        return sent[0]["status"], json.loads(read) if "json" in found["content-type"] else read, found


@pytest.fixture(scope="session")
def folder(cache: Cache) -> Path:
    return cache("served", lambda folder: write_artifact(folder / "artifact")) / "artifact"


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[tuple[Client, Service, Held]]:
    model = ServedModel("tickets", folder, {"threads": 1})
    service = Service({"tickets": model}, ServeSettings(**settings))
    client = Client(create_app(service))
    service.load()
    held = Held(model.loaded.classifier)
    model._loaded = Loaded(held, model.loaded.revision, None, 0.0)
    model._characters, model._tokens, model._seconds = 1000.0, 300.0, 1.0  # 1 ms a character
    service.start()
    try:
        yield client, service, held
    finally:
        held.go.set()
        service.close()


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.002)


def test_requests_that_wait_are_computed_together_and_each_gets_its_own(folder: Path) -> None:
    texts = [f"text number {number}" for number in range(6)]
    with liteft.load(folder, threads=1) as classifier:
        expected = classifier.predict(texts, top_k=4)

    async def test() -> None:
        async with served(folder) as (client, service, held):
            first = asyncio.ensure_future(client.ask("/predict", {"inputs": texts[0]}))
            await until(held.started.is_set)
            service.models["tickets"].learn(1, 10**9, 10**9, 1.0)  # so fast that all fit into one batch
            others = [asyncio.ensure_future(client.ask("/predict", {"inputs": text})) for text in texts[1:]]
            await until(lambda: len(service.queue) == 5)
            held.go.set()
            answers = await asyncio.gather(first, *others)
            assert held.ran == [1, 5]
            for (status, labels, _), one in zip(answers, expected, strict=True):
                assert status == 200
                assert [each["label"] for each in labels] == [label for label, _ in one.top]
                assert [each["score"] for each in labels] == pytest.approx([score for _, score in one.top])

    run(test)


def test_a_full_queue_is_429_with_the_time_until_there_is_room(folder: Path) -> None:
    async def test() -> None:
        async with served(folder, max_queue_ms=50) as (client, service, held):
            first = asyncio.ensure_future(client.ask("/predict", {"inputs": "x" * 1900}))  # two seconds, as it seems
            await until(held.started.is_set)
            status, body, headers = await client.ask("/predict", {"inputs": "a text"})
            assert (status, body["error_type"], headers["retry-after"]) == (429, "overloaded", "2")
            assert 1000 < body["retry_after_ms"] <= 1920
            assert "up to 50 ms are accepted" in body["error"]
            assert b'liteft_refused_total{reason="overloaded"} 1.0' in service.metrics.text()
            shown = (await client.ask("/metrics", method="GET"))[1].decode()
            assert 'liteft_refused_total{reason="overloaded"} 1.0' in shown
            assert 'liteft_requests_total{code="429",dialect="",model=""} 1.0' in shown
            assert (await client.ask("/livez", method="GET"))[0] == 200  # while the engine runs
            assert (await client.ask("/readyz", method="GET"))[0] == 200  # overload does not make it unready
            held.go.set()
            assert (await first)[0] == 200

    run(test)


def test_a_request_is_admitted_whole_or_not_at_all(folder: Path) -> None:
    async def test() -> None:
        async with served(folder, max_queue_ms=50) as (client, service, held):
            first = asyncio.ensure_future(client.ask("/predict", {"inputs": "x" * 2000}))
            await until(held.started.is_set)
            batch = {"inputs": [["a text"]] * 40}
            assert (await client.ask("/predict", batch))[0] == 429
            assert len(service.queue) == 0
            held.go.set()
            await first
            assert (await client.ask("/predict", batch))[0] == 200
            assert held.ran == [1, 40]

    run(test)


def test_a_request_whose_time_is_over_is_504_and_never_computed(folder: Path) -> None:
    async def test() -> None:
        async with served(folder) as (client, service, held):
            first = asyncio.ensure_future(client.ask("/predict", {"inputs": "a text"}))
            await until(held.started.is_set)
            status, body, headers = await client.ask("/predict", {"inputs": "late"}, X_Request_Timeout_Ms="30")
            assert (status, body["error_type"]) == (504, "expired")
            assert "retry-after" not in headers
            assert service.queue.queued_seconds == 0
            held.go.set()
            await first
            assert held.ran == [1]

    run(test)


@pytest.mark.parametrize("timeout", ["0", "-5", "soon", "nan", "inf", ""])
def test_a_timeout_that_is_not_a_positive_number_is_refused(folder: Path, timeout: str) -> None:
    async def test() -> None:
        async with served(folder) as (client, _, held):
            held.go.set()
            status, body, _ = await client.ask("/predict", {"inputs": "a text"}, X_Request_Timeout_Ms=timeout)
            assert status == 422
            assert body["error"] == f"X-Request-Timeout-Ms must be a positive number, got {timeout!r}"

    run(test)


def test_a_client_that_leaves_frees_its_place_in_the_queue(folder: Path) -> None:
    async def test() -> None:
        async with served(folder) as (client, service, held):
            first = asyncio.ensure_future(client.ask("/predict", {"inputs": "a text"}))
            await until(held.started.is_set)
            left = asyncio.Event()
            second = asyncio.ensure_future(client.ask("/predict", {"inputs": "gone"}, left=left))
            await until(lambda: len(service.queue) == 1)
            left.set()
            assert (await second)[0] == 499
            assert service.queue.queued_seconds == 0
            held.go.set()
            await first
            assert held.ran == [1]
            assert b'liteft_refused_total{reason="cancelled"} 1.0' in service.metrics.text()

    run(test)


def test_a_request_that_expires_behind_a_long_run_leaves_no_text(folder: Path) -> None:
    class Text(str):
        """A text that can be watched."""

    async def test() -> None:
        async with served(folder) as (client, service, held):
            first = asyncio.ensure_future(client.ask("/predict", {"inputs": "a text"}))
            await until(held.started.is_set)
            text = Text("another text")
            seen = weakref.ref(text)
            gc.disable()
            try:
                try:  # pytest.raises would keep the error, and with it all that is looked for
                    await service.ask(service.models["tickets"], [text], asyncio.Event().wait, timeout_ms=20)
                except Refused as refused:
                    assert "was over" in str(refused)
                del text
                await asyncio.sleep(0.05)
                assert seen() is None, gc.get_referrers(seen())
            finally:
                gc.enable()
            held.go.set()
            assert (await first)[0] == 200

    run(test)


def test_a_model_learns_its_speed_from_all_that_the_lane_does_for_a_batch(folder: Path) -> None:
    async def test() -> None:
        async with served(folder) as (client, service, held):
            service._lane._told = lambda *_: time.sleep(0.3)  # as if the event loop took the core
            held.go.set()
            model = service.models["tickets"]
            model._characters = model._seconds = 0.0
            assert (await client.ask("/predict", {"inputs": "a text"}))[0] == 200
            await until(lambda: model._seconds > 0)
            assert 0.3 < model._seconds < 3

    run(test)


def test_a_text_that_the_model_cannot_read_fails_only_its_own_request(folder: Path) -> None:
    async def test() -> None:
        async with served(folder) as (client, service, held):
            first = asyncio.ensure_future(client.ask("/predict", {"inputs": "a text"}))
            await until(held.started.is_set)
            service.models["tickets"].learn(1, 10**9, 10**9, 1.0)
            texts = ("one", "two", "three")
            asked = [asyncio.ensure_future(client.ask("/predict", {"inputs": text})) for text in texts]
            await until(lambda: len(service.queue) == 3)
            service.queue._jobs[1].values[0] = "\ud800"  # JSON cannot bring one here, and ASGI servers of others might
            held.go.set()
            await first
            assert [status for status, *_ in await asyncio.gather(*asked)] == [200, 422, 200]

    run(test)


def test_an_engine_that_fails_is_500_with_an_id_and_unready_after_three_times(folder: Path) -> None:
    async def test() -> None:
        async with served(folder) as (client, service, held):
            held.error = DeviceError("the engine failed: texts that nobody should see.")
            held.go.set()
            for _ in range(3):
                assert service.ready
                status, body, _ = await client.ask("/predict", {"inputs": "a text"})
                assert (status, body["error_type"]) == (500, "failed")
                assert len(body["id"]) == 16
                assert "nobody should see" not in json.dumps(body)
            assert (await client.ask("/readyz", method="GET"))[0] == 503
            assert (await client.ask("/livez", method="GET"))[0] == 200
            assert b"liteft_ready 0.0" in (await client.ask("/metrics", method="GET"))[1]
            service._lane.failed -= 15  # it is asked again after a while, or nobody would know that it works
            assert (await client.ask("/readyz", method="GET"))[0] == 200
            assert (await client.ask("/predict", {"inputs": "a text"}))[0] == 500
            assert (await client.ask("/readyz", method="GET"))[0] == 503
            held.error = None
            assert (await client.ask("/predict", {"inputs": "a text"}))[0] == 200
            assert (await client.ask("/readyz", method="GET"))[0] == 200
            assert b"liteft_ready 1.0" in (await client.ask("/metrics", method="GET"))[1]

    run(test)


def test_a_server_that_loads_is_live_unready_and_503(folder: Path) -> None:
    async def test() -> None:
        service = Service({"tickets": ServedModel("tickets", folder, {"threads": 1})}, ServeSettings())
        client = Client(create_app(service))
        assert (await client.ask("/livez", method="GET"))[0] == 200
        assert (await client.ask("/readyz", method="GET"))[0] == 503
        for method, path in (("POST", "/predict"), ("GET", "/info"), ("GET", "/v2/models/tickets")):
            status, body, headers = await client.ask(path, {"inputs": "a text"}, method=method)
            assert (status, body["error_type"]) == (503, "loading"), path
            assert headers["retry-after"] == "1"

    run(test)


def test_limits_are_named_with_both_numbers(folder: Path) -> None:
    async def test() -> None:
        limits = {"max_texts": 3, "max_characters": 40, "max_body_bytes": 200, "max_request_tokens": 20}
        async with served(folder, **limits) as (client, _, held):
            held.go.set()
            for inputs, text in (
                ([["a"]] * 4, "the request has 4 texts, and up to 3 are accepted (max_texts)"),
                ("x" * 41, "the request has 41 characters, and up to 40 are accepted (max_characters)"),
                ("x" * 200, "the request has 214 bytes, and up to 200 are accepted (max_body_bytes)"),
            ):
                status, body, _ = await client.ask("/predict", {"inputs": inputs})
                assert (status, body["error"]) == (413, text)
            status, body, _ = await client.ask("/predict", {"inputs": [["x" * 13]] * 3})
            assert status == 413
            assert body["error"].endswith("and up to 20 are accepted (max_request_tokens)")

    run(test)


def test_counters_agree_with_what_was_asked(folder: Path) -> None:
    async def test() -> None:
        async with served(folder) as (client, service, held):
            held.go.set()
            await client.ask("/predict", {"inputs": "a text"})
            await client.ask("/classify", {"input": ["a text", "another " * 40]})
            await client.ask("/predict", {"inputs": 5})
            texts = 'liteft_texts_total{model="tickets"} 3.0'  # counted by the lane, once it has answered
            await until(lambda: texts in service.metrics.text().decode())
            text = service.metrics.text().decode()
            assert 'liteft_requests_total{code="200",dialect="predict",model="tickets"} 1.0' in text
            assert 'liteft_requests_total{code="422",dialect="predict",model=""} 1.0' in text
            assert 'liteft_truncated_total{model="tickets"} 1.0' in text
            assert 'liteft_refused_total{reason="input"} 1.0' in text
            counts = [line for line in text.splitlines() if line.startswith("liteft_predictions_total")]
            assert sum(float(line.split()[-1]) for line in counts) == 3
            assert 'liteft_model_info{backend="onnxruntime"' in text

    run(test)


@pytest.mark.parametrize("hidden", [False, True])
def test_the_log_has_the_traceback_of_a_failure_and_without_texts_not_what_it_says(
    hidden: bool, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with served(folder) as (client, _, held):
            held.error = RuntimeError("it cannot read: a text of a request")
            held.go.set()
            _, body, _ = await client.ask("/predict", {"inputs": "a text"})
            assert body["id"] in caplog.text and "RuntimeError" in caplog.text and "Traceback" not in body["error"]
            assert ("a text of a request" in caplog.text) is not hidden

    if hidden:
        monkeypatch.setenv("LITEFT_NO_TEXTS", "1")
    run(test)


def test_a_panic_of_the_tokenizer_fails_its_request_and_the_lane_goes_on(folder: Path) -> None:
    async def test() -> None:
        async with served(folder) as (client, _, held):
            held.go.set()
            held.error = Panic("index out of bounds")
            status, body, _ = await client.ask("/predict", {"inputs": "a text"})
            assert (status, body["error_type"]) == (500, "failed")
            held.error = None
            assert (await client.ask("/predict", {"inputs": "a text"}))[0] == 200

    run(test)


def test_an_engine_that_fails_at_its_first_texts_replaces_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from liteft.serving import models

    model = ServedModel("tickets", folder, {"threads": 1})
    before = model.load()
    broken = Held(before.classifier)
    broken.go.set()
    broken.error = DeviceError("the engine failed.")
    monkeypatch.setattr(models, "load_artifact", lambda *_: Loaded(broken, "another", None, 0.0))
    with pytest.raises(DeviceError):
        model.load()
    assert model.loaded is before


@pytest.mark.parametrize("error", [ModelError("the logits of a text are NaN."), Panic("index out of bounds")])
def test_a_text_that_breaks_the_model_fails_only_its_own_request(folder: Path, error: BaseException) -> None:
    async def test() -> None:
        async with served(folder) as (client, service, held):
            first = asyncio.ensure_future(client.ask("/predict", {"inputs": "a text"}))
            await until(held.started.is_set)
            service.models["tickets"].learn(1, 10**9, 10**9, 1.0)
            held.breaking = {len(held.encode(["a much longer text than the others"]).ids): error}
            texts = ("one", "a much longer text than the others", "three")
            asked = [asyncio.ensure_future(client.ask("/predict", {"inputs": text})) for text in texts]
            await until(lambda: len(service.queue) == 3)
            held.go.set()
            await first
            assert [status for status, *_ in await asyncio.gather(*asked)] == [200, 500, 200]

    run(test)


def test_an_idle_server_admits_a_request_where_none_may_wait(folder: Path) -> None:
    async def test() -> None:
        async with served(folder, max_queue_ms=0) as (client, service, held):
            held.go.set()
            service._tick(asyncio.get_running_loop().time() - 0.001)  # a timer that was as late as usual
            assert (await client.ask("/predict", {"inputs": "a text"}))[0] == 200

    run(test)


def test_a_reload_that_fails_in_any_way_is_counted_and_keeps_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from liteft.serving import models

    def broken(*_: Any) -> Loaded:
        raise OSError("stale file handle")

    async def test() -> None:
        async with served(folder) as (client, service, held):
            held.go.set()
            monkeypatch.setattr(models, "load_artifact", broken)
            with pytest.raises(OSError, match="stale"):
                service.reload("tickets")
            shown = (await client.ask("/metrics", method="GET"))[1].decode()
            assert 'liteft_reloads_total{model="tickets",outcome="failed"} 1.0' in shown
            assert (await client.ask("/predict", {"inputs": "a text"}))[0] == 200

    run(test)


def test_a_request_is_computed_by_the_artifact_for_which_it_was_read(folder: Path) -> None:
    async def test() -> None:
        async with served(folder) as (client, service, held):
            held.go.set()
            status, before, _ = await client.ask("/classify", {"input": "a text"})
            assert status == 200
            held.go.clear()
            held.started.clear()
            first = asyncio.ensure_future(client.ask("/classify", {"input": "a text"}))
            await until(held.started.is_set)
            queued = asyncio.ensure_future(client.ask("/classify", {"input": "a text"}))
            await until(lambda: len(service.queue) == 1)
            service.models["tickets"]._loaded = Loaded(None, "of another kind", None, 0.0)
            held.go.set()
            for status, found, headers in await asyncio.gather(first, queued):
                assert (status, found["data"]) == (200, before["data"])
                assert headers["x-model-revision"] != "of another kind"
            await until(lambda: service.queue.idle)
            assert service._lane.failures == 0
            service.models["tickets"]._loaded = Loaded(held, "the same", None, 0.0)

    run(test)


def test_bodies_that_are_still_coming_have_a_limit_together(folder: Path) -> None:
    async def test() -> None:
        async with served(folder, max_body_bytes=100) as (client, service, held):
            held.go.set()
            waiting = asyncio.Event()

            async def never() -> dict[str, Any]:
                if not waiting.is_set():
                    waiting.set()
                    return {"type": "http.request", "body": b'{"inputs":', "more_body": True}
                await asyncio.Event().wait()
                raise AssertionError

            async def send(_: Any) -> None: ...

            scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b""}
            scope |= {"http_version": "1.1", "root_path": "", "scheme": "http"}
            tasks = []
            for _ in range(16):
                waiting.clear()
                tasks.append(asyncio.ensure_future(client.app(dict(scope), never, send)))
                await waiting.wait()
            await asyncio.sleep(0.01)
            waiting.clear()
            sent: list[Any] = []

            async def keep(message: Any) -> None:
                sent.append(message)

            await client.app(dict(scope), never, keep)
            assert sent[0]["status"] == 429
            assert b"1,600 bytes of other requests are still coming" in sent[1]["body"]
            assert (await client.ask("/predict", {"inputs": "a text"}))[0] == 200
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            service.unread.take(1600)  # all of it is free again

    run(test)
