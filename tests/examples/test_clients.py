"""examples/clients against a real server, and against one that refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import liteft
from liteft.artifact import Artifact
from tests.examples.conftest import ENVIRONMENT, EXAMPLES

CLIENTS = EXAMPLES / "clients"
TEXTS = ["the parcel arrived two days late", 'please "refund" the second payment', "-- é"]


def ran(*command: object, given: str = "", **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        input=given,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def expected(artifact: Artifact) -> list[liteft.Prediction]:
    with liteft.load(artifact.path, threads=1) as classifier:
        return classifier.predict(TEXTS, top_k=3)


@contextmanager
def refusing(statuses: list[int]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers with some statuses in turn, 200 at the end; and the bodies that it got."""
    left, bodies = list(statuses), []

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            status = left.pop(0) if left else 200
            self.send_response(status)
            content = b'[[{"label": "a", "score": 0.75}]]' if status == 200 else b"{}"
            self.send_header("Content-Length", str(len(content)))
            if status != 200:
                self.send_header("Retry-After", "3")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is not installed")
def test_curl_gives_the_labels_of_one_text_and_of_several(server: str, expected: list[liteft.Prediction]) -> None:
    ready, single, several = map(json.loads, ran("sh", CLIENTS / "predict.sh", server, *TEXTS).splitlines())
    assert ready["ready"] is True
    assert [best["label"] for best in single] == [expected[0].label]
    assert [best["label"] for (best,) in several] == [each.label for each in expected]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is not installed")
def test_curl_fails_with_the_servers_text(server: str) -> None:
    command = ["sh", CLIENTS / "predict.sh", f"{server}/nowhere", "a"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode != 0


class TestRetrying:
    @pytest.fixture(autouse=True)
    def module(self, load_example: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
        self.httpx2 = pytest.importorskip("httpx2", reason="httpx2 is not installed")
        self.example = load_example("clients/retrying.py")
        self.pauses: list[float] = []
        monkeypatch.setattr(self.example.time, "sleep", self.pauses.append)

    def predict(self, statuses: list[int]) -> tuple[Any, list[bytes]]:
        with refusing(statuses) as (url, bodies), self.httpx2.Client(base_url=url) as client:
            return self.example.predict(client, ["x"]), bodies

    def test_it_waits_as_long_as_the_server_says_and_asks_the_same_again(self) -> None:
        found, bodies = self.predict([429, 503])
        assert found == [[{"label": "a", "score": 0.75}]]
        assert len(bodies) == 3 and len(set(bodies)) == 1
        assert len(self.pauses) == 2 and all(3 <= pause <= 4.5 for pause in self.pauses)

    @pytest.mark.parametrize("status", [401, 413, 422, 500])
    def test_it_does_not_repeat_what_would_fail_again(self, status: int) -> None:
        with pytest.raises(self.httpx2.HTTPStatusError):
            self.predict([status])
        assert self.pauses == []

    def test_it_gives_up_in_the_end(self) -> None:
        with pytest.raises(self.httpx2.HTTPStatusError):
            self.predict([429] * 100)
        assert len(self.pauses) == self.example.TRIES - 1

    def test_it_tries_again_where_nobody_listens(self) -> None:
        with self.httpx2.Client(base_url="http://127.0.0.1:9") as client, pytest.raises(self.httpx2.ConnectError):
            self.example.predict(client, ["x"])
        assert len(self.pauses) == self.example.TRIES - 1

    def test_it_writes_one_line_for_each_line(self, server: str, expected: list[liteft.Prediction]) -> None:
        command = [sys.executable, CLIENTS / "retrying.py", server, "--batch", 2]
        lines = [json.loads(line) for line in ran(*command, given="\n".join(TEXTS) + "\n").splitlines()]
        assert [(line["text"], line["label"]) for line in lines] == [
            (text, each.label) for text, each in zip(TEXTS, expected, strict=True)
        ]


def test_tritons_client_gives_labels_scores_and_what_was_cut(server: str, expected: list[liteft.Prediction]) -> None:
    pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    texts = [*TEXTS[:2], "parcel " * 100]
    out = ran(sys.executable, CLIENTS / "triton.py", server.removeprefix("http://"), "tickets", *texts)
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[:2] for row in rows[:2]] == [[each.label, f"{each.score:.4f}"] for each in expected[:2]]
    assert [row[2] for row in rows] == ["whole", "whole", "truncated"]


def test_the_client_of_hugging_face_gives_several_labels_of_each_text(
    server: str, expected: list[liteft.Prediction]
) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    out = ran(sys.executable, CLIENTS / "hugging_face.py", server, *TEXTS[:2], HF_HUB_OFFLINE="0")
    rows = [tuple(line.split("\t")) for line in out.splitlines()]
    assert rows == [
        (label, f"{score:.4f}", text)
        for text, each in zip(TEXTS, expected[:2], strict=False)
        for label, score in each.top
    ]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("node")), reason="curl or node is not installed")
def test_the_load_test_asks_and_checks_as_k6_would(server: str, tmp_path: Path) -> None:
    def once(url: str, folder: Path) -> Any:
        return json.loads(ran("node", Path(__file__).with_name("k6.mjs"), CLIENTS / "load.js", url, folder))

    answered = once(server, tmp_path / "answered")
    with refusing([429]) as (url, bodies):
        refused = once(url, tmp_path / "refused")
    with refusing([500]) as (url, _):
        failed = once(url, tmp_path / "failed")
    assert [list(each["checks"].values()) for each in (answered, refused, failed)] == [[True], [True], [False]]
    assert [each["added"]["refused"] for each in (answered, refused, failed)] == [[False], [True], [False]]
    assert list(json.loads(bodies[0])) == ["inputs"]
    assert set(answered["options"]["thresholds"]) >= {"checks", "refused"}
