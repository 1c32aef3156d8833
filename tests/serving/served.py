"""Small random artifacts of every kind, servers on a free port of this machine, and a plain client for them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from liteft.serving import ServeSettings, create_app

__all__ = ["KINDS", "Client", "Response", "listening_server", "make_artifacts", "serving"]

KINDS = ("topics", "several", "pairs", "scores", "ranking", "words", "roles", "questions")
"""One label, several labels, labels of pairs, scores of texts, scores of pairs, words, roles, answers."""

_SPREAD = 10.0
_STARTS_WITHIN = 30.0  # seconds
PATIENT = ServeSettings(max_queue_ms=60_000)
"""Nothing is refused for the time it would wait: other tests have the processor."""


def make_artifacts(root: Path) -> None:
    """Write an artifact of each kind into folders of their names: tiny BERTs that read the words w0, w1, ... w235."""
    import torch

    from liteft.answer_spans import AnswerForm
    from tests.exporting.conftest import Workshop, centre, random_texts, write_unverified

    (root / "models").mkdir(parents=True)
    workshop = Workshop(root / "models")

    def write(kind: str, *, outputs: int = 5, paired: bool = False, task: str = "single_label", **fields: Any) -> None:
        pooling = "none" if task in ("tokens", "answers") else "cls"
        taught = "single_label" if task == "answers" else task
        loaded = workshop.loaded("bert", pooling, labels=outputs, paired=paired, task=taught)
        with torch.no_grad():  # far enough apart for scores to differ
            [weight for name, weight in loaded.model.named_parameters() if name.endswith("weight")][-1].mul_(_SPREAD)
        if pooling == "cls":
            centre(loaded, random_texts(80), random_texts(80, seed=1) if paired else None)
        write_unverified(loaded, root / kind, **({"task": task} | fields))

    write("topics")
    write("several", task="multi_label")
    write("pairs", outputs=3, paired=True)
    write("scores", outputs=1, task="scores", activation="sigmoid")
    write("ranking", outputs=1, task="scores", paired=True)
    write("words", task="tokens")
    write("roles", task="tokens", marked=True)
    form = AnswerForm(max_answer=6, stride=8, no_answer=-2.0)
    write("questions", outputs=2, paired=True, task="answers", labels=("start", "end"), answers=form)


@dataclass(frozen=True)
class Response:
    """What a server answered; ``headers`` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Asks one server; each request has a connection of its own, so it may be used from several threads."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """Return the answer to a request; an underscore in a header's name stands for a hyphen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Response(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Response:
        return self.send("GET", path, **headers)

    def post(self, path: str, content: Any, **headers: str) -> Response:
        """Send a value as JSON, or bytes as they are."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.send("POST", path, body, **{"content_type": "application/json"} | headers)

    def ask(self, path: str, content: Any, **headers: str) -> Any:
        """Return the value that is answered; the answer must be one."""
        answer = self.post(path, content, **headers)
        assert answer.status == 200, answer.body.decode()
        return answer.json


def serving(artifacts: list[str], settings: ServeSettings = PATIENT, **loading: Any) -> AbstractContextManager[Client]:
    """Serve artifacts on a free port, in a thread, and yield a client."""
    return listening_server(create_app(artifacts, settings, **loading))


@contextmanager
def listening_server(app: Any) -> Iterator[Client]:
    """Run an ASGI application on a free port, in a thread, and yield a client."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        ends = time.monotonic() + _STARTS_WITHIN
        while not server.started:
            assert thread.is_alive() and time.monotonic() < ends, "the server did not start"
            time.sleep(0.005)
        try:
            yield Client(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(_STARTS_WITHIN)
            assert not thread.is_alive()
