"""The servers that people write around the same classifier, for bench/serve_peers.py.

    python bench/serve_apps.py plain --models MODELS --port 8000

``plain`` is what most would write: FastAPI, tokenizers and ONNX Runtime with its own int8 graph, in FastAPI's thread
pool, one call for each request. ``batched`` is the same by somebody who knows how: uvloop, no validation of the answer,
one thread that computes, and everything that waits in one go, by length in rectangles of few texts. ``kserve`` is a
model of KServe's Python server with the steps of its huggingfaceserver, which is not on PyPI: transformers and torch on
the event loop. Nothing is imported that an app does not need, since each may run in an environment of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import queue
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

MAX_TOKENS = 256  # as in bench/peer_texts.py
RECTANGLE = 8  # texts, the fastest of those that bench/peers.py timed for ONNX Runtime in order of length
MODEL = "minilm"  # as in bench/load_requests.py


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("app", choices=["plain", "batched", "kserve"])
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    if arguments.app == "kserve":
        serve_kserve(arguments.models / "checkpoint", arguments.port)
        return 0
    import uvicorn

    app = {"plain": plain, "batched": batched}[arguments.app](arguments.models)
    uvicorn.run(app, port=arguments.port, log_level="warning", access_log=False, timeout_keep_alive=75)
    return 0


class Classifier:
    """ONNX Runtime's int8 graph with its tokenizer."""

    def __init__(self, models: Path) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        file = str(models / "onnxruntime-int8" / "model.onnx")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]
        self.tokenizer = Tokenizer.from_file(str(models / "checkpoint" / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()

    def run(self, encoded: Sequence[Any]) -> list[dict[str, Any]]:
        """Return label and score for encodings, which all have the same length."""
        columns = {
            "input_ids": [each.ids for each in encoded],
            "attention_mask": [each.attention_mask for each in encoded],
            "token_type_ids": [each.type_ids for each in encoded],
        }
        feed = {name: np.array(columns[name], dtype=np.int64) for name in self._inputs}
        logits = self._session.run(None, feed)[0]
        odds = np.exp(logits - logits.max(1, keepdims=True))
        scores = odds / odds.sum(1, keepdims=True)
        best = scores.argmax(1)
        return [
            {"label": f"LABEL_{label}", "score": float(score)} for label, score in zip(best, scores.max(1), strict=True)
        ]


def plain(models: Path) -> Any:
    """Return the app that most would write."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    classifier = Classifier(models)
    app = FastAPI()

    class Texts(BaseModel):
        texts: list[str]

    class Prediction(BaseModel):
        label: str
        score: float

    class Predictions(BaseModel):
        predictions: list[Prediction]

    def classify(request: Any) -> Any:
        return {"predictions": classifier.run(classifier.tokenizer.encode_batch(request.texts))}

    classify.__annotations__ = {"request": Texts, "return": Predictions}  # strings would not be found in here
    app.post("/classify")(classify)
    app.get("/ready")(lambda: {})
    return app


def batched(models: Path) -> Any:
    """Return the app of somebody who knows how: what waits is computed together, by length."""
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse
    from pydantic import BaseModel

    lane = Lane(Classifier(models))
    app = FastAPI()

    class Texts(BaseModel):
        texts: list[str]

    async def classify(request: Any) -> Any:
        return JSONResponse({"predictions": await lane.answers(request.texts)})

    classify.__annotations__ = {"request": Texts}
    app.post("/classify", response_model=None)(classify)
    app.get("/ready")(lambda: {})
    return app


class Lane:
    """A thread that takes all waiting texts, and computes them in order of length, RECTANGLE at a time."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._classifier.tokenizer.no_padding()
        self._queue: queue.SimpleQueue[tuple[list[str], asyncio.Future[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def answers(self, texts: list[str]) -> list[dict[str, Any]]:
        """Return label and score of texts."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put((texts, future))
        found: list[dict[str, Any]] = await future
        return found

    def _work(self) -> None:
        while True:
            waiting = [self._queue.get()]
            while not self._queue.empty() and sum(len(texts) for texts, _ in waiting) < 64:
                waiting.append(self._queue.get())
            found = self._computed([text for texts, _ in waiting for text in texts])
            first = 0
            for texts, future in waiting:
                answers = found[first : first + len(texts)]
                first += len(texts)
                future.get_loop().call_soon_threadsafe(_settle, future, answers)

    def _computed(self, texts: list[str]) -> list[dict[str, Any]]:
        encoded = self._classifier.tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda place: len(encoded[place].ids))
        found: list[dict[str, Any]] = [{}] * len(texts)
        for start in range(0, len(order), RECTANGLE):
            places = order[start : start + RECTANGLE]
            longest = len(encoded[places[-1]].ids)
            for place in places:
                encoded[place].pad(longest)
            for place, answer in zip(places, self._classifier.run([encoded[place] for place in places]), strict=True):
                found[place] = answer
        return found


def _settle(future: asyncio.Future[Any], answers: list[dict[str, Any]]) -> None:
    if not future.done():  # the client may have gone
        future.set_result(answers)


def serve_kserve(checkpoint: Path, port: int) -> None:
    """Serve with KServe's Python server and the steps of its server for models of transformers."""
    import kserve
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(1)

    class Encoder(kserve.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(MODEL)
            self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)
            self._model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
            self.ready = True

        def preprocess(self, payload: Any, *_: Any, **__: Any) -> Any:
            return self._tokenizer(
                payload["instances"], max_length=MAX_TOKENS, padding=True, truncation=True, return_tensors="pt"
            )

        async def predict(self, payload: Any, *_: Any, **__: Any) -> Any:
            with torch.no_grad():
                return self._model(**payload).logits

        def postprocess(self, result: Any, *_: Any, **__: Any) -> Any:
            return {"predictions": [row.argmax().item() for row in result]}

    server = kserve.ModelServer(http_port=port, enable_grpc=False, enable_latency_logging=False)
    server.start([Encoder()])


if __name__ == "__main__":
    sys.exit(main())
