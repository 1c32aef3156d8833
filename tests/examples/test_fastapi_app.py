"""examples/fastapi_app.py: typed answers, an event loop that stays free, and liteft's own routes mounted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("msgspec", reason="the mounted routes need the extra 'serve'")

from fastapi.testclient import TestClient

import liteft
from liteft.artifact import Artifact
from tests.examples.conftest import ENVIRONMENT, EXAMPLES

TEXTS = ["the parcel arrived two days late", "please refund the second payment"]


@pytest.fixture
def client(load_example: Callable[[str], ModuleType], artifact: Artifact) -> Iterator[Any]:
    with TestClient(load_example("fastapi_app.py").build_app(str(artifact.path))) as started:
        yield started


def test_the_route_gives_the_labels_and_scores_of_predict(client: Any, artifact: Artifact) -> None:
    answer = client.post("/tickets", json={"texts": TEXTS})
    with liteft.load(artifact.path) as classifier:
        expected = classifier.predict(TEXTS)
    assert [each["label"] for each in answer.json()] == [each.label for each in expected]
    assert [each["score"] for each in answer.json()] == pytest.approx([each.score for each in expected], abs=1e-6)


def test_too_many_texts_are_refused_by_the_type(client: Any) -> None:
    assert client.post("/tickets", json={"texts": ["a"] * 257}).status_code == 422


def test_the_mounted_routes_give_the_same_labels(client: Any) -> None:
    own = client.post("/tickets", json={"texts": TEXTS}).json()
    mounted = client.post("/models/predict", json={"inputs": [[text] for text in TEXTS]}).json()
    assert [best["label"] for best, *_ in mounted] == [each["label"] for each in own]
    assert client.get("/models/readyz").status_code == 200
    assert client.get("/models/v2/models/tickets").json()["name"] == "tickets"


def test_other_routes_answer_while_texts_are_computed(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    computing, enough = threading.Event(), threading.Event()
    predict = client.app.state.classifier.predict

    def slow(texts: list[str]) -> Any:
        computing.set()
        assert enough.wait(30)
        return predict(texts)

    monkeypatch.setattr(client.app.state.classifier, "predict", slow)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/tickets", json={"texts": TEXTS})
        assert computing.wait(30)
        try:
            assert client.get("/models/livez").status_code == 200
            assert not waiting.done()
        finally:
            enough.set()
        assert waiting.result(30).status_code == 200


def test_both_are_closed_at_the_end(load_example: Callable[[str], ModuleType], artifact: Artifact) -> None:
    app = load_example("fastapi_app.py").build_app(str(artifact.path))
    with TestClient(app) as client:
        assert client.get("/models/readyz").status_code == 200
    with pytest.raises(liteft.LiteftError, match="closed"):
        app.state.classifier.predict("a")
    late = TestClient(app).get("/models/readyz")  # without starting it again
    assert (late.status_code, late.json()["state"]) == (503, "draining")


def test_it_runs_as_a_script_and_ends_on_sigterm(artifact: Artifact) -> None:
    command = [sys.executable, str(EXAMPLES / "fastapi_app.py"), str(artifact.path), "--port", "0"]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
            with urllib.request.urlopen(f"{address}/models/readyz", timeout=30) as answer:
                assert answer.status == 200
        finally:
            process.send_signal(signal.SIGTERM)
        assert "Application shutdown complete" in process.stderr.read()
