"""The process that one model is measured in: ``python -m liteft.report.measure``.

Every model gets a fresh process, so that its peak memory is its own and the thread pools of torch and ONNX Runtime do
not interfere. It reads one JSON command per line and answers with one line; between commands it uses no processor time,
so that `workers` can time several models in turns. What libraries print goes to stderr.

The timed span is what a caller waits for: from text to labels and scores, tokenization included.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from liteft.data.split import Split
from liteft.errors import DeviceError, Hint, LiteftError, MissingExtraError, option
from liteft.foreign import Said
from liteft.installation import install_hint
from liteft.machine import NOT_INSTALLED, package_versions
from liteft.ragged import Ragged, Rows, values_of
from liteft.tasks import task_asked

__all__ = ["main", "peak_memory_bytes"]

Logits = Callable[[Split], Rows]
Answer = Callable[[Split], object]


class Measuring:
    """A loaded model and the texts to time it with.

    Args:
        logits: texts -> logits, float32 (texts, labels), or a Ragged of words.
        answer: texts -> labels and scores; this call is timed.
        versions: package -> version, of the packages that run the model.
        device: "cpu" or "cuda".
    """

    def __init__(self, logits: Logits, answer: Answer, versions: dict[str, str], device: str) -> None:
        self.logits = logits
        self.answer = answer
        self.versions = versions
        self.device = device
        self.texts = Split("none", [])

    def use_texts(self, path: str) -> dict[str, Any]:
        """Read the texts to time with and run some of them, so that the costs of first calls are not timed."""
        self.texts = _read_texts(path)
        for rows in islice(self._batches(32), 2):
            self._ask(rows)
        for index in range(min(8, len(self.texts))):
            self._ask([index])
        return {}

    def single(self, count: int) -> dict[str, Any]:
        """Time ``count`` texts, evenly spaced, one per call; return the milliseconds of each call."""
        spread = np.linspace(0, len(self.texts), count, endpoint=False).astype(int).tolist()
        gc.collect()
        times = []
        for index in spread:
            started = time.perf_counter()
            self._ask([index])
            times.append((time.perf_counter() - started) * 1e3)
        return {"milliseconds": times}

    def batches(self, count: int, size: int) -> dict[str, Any]:
        """Time ``count`` calls of ``size`` texts in their order; return the seconds and the number of texts in all."""
        chosen = list(islice(self._batches(size), count))
        gc.collect()
        started = time.perf_counter()
        for rows in chosen:
            self._ask(rows)
        return {"seconds": time.perf_counter() - started, "texts": sum(len(rows) for rows in chosen)}

    def write_logits(self, texts: str, out: str) -> dict[str, Any]:
        """Write the logits of the texts in a file to ``out`` as .npy, float32 (texts, labels), or (words, labels).

        Of words and of questions the number of entries before each text is written beside it.
        """
        logits = self.logits(_read_texts(texts))
        np.save(out, values_of(logits), allow_pickle=False)
        if isinstance(logits, Ragged):
            np.save(Path(out).with_suffix(".offsets.npy"), logits.offsets, allow_pickle=False)
        return {}

    def _batches(self, size: int) -> Iterator[list[int]]:
        start = 0
        while True:
            yield [(start + offset) % len(self.texts) for offset in range(size)]
            start += size

    def _ask(self, rows: list[int]) -> None:
        self.answer(self.texts.take(rows))


def load_artifact(folder: str, threads: int, device: str, *, trust: bool = False) -> Measuring:
    """Load an artifact as a service would."""
    from liteft.runtime import load
    from liteft.runtime.splits import predict_split, split_logits

    classifier = load(folder, device=device, threads=threads, trust=trust)

    def answer(split: Split) -> object:
        return predict_split(classifier, split)

    ran = ("liteft",) if classifier.backend == "native" else ("onnxruntime", "onnxruntime-gpu")
    return Measuring(lambda split: split_logits(classifier, split), answer, _versions(*ran), classifier.device)


def load_model(folder: str, threads: int, device: str, *, said: Said | None = None) -> Measuring:
    """Load a model folder into torch, in float32 and eager mode.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        DeviceError: torch has no CUDA device.
        ModelError: the folder does not contain a classifier, or its tags are IOB1, which shows when it is asked.
    """
    try:
        import torch

        from liteft.finetuning.foreign_tags import refuse_iob1
        from liteft.finetuning.logits import predict_logits
        from liteft.finetuning.model import load_classifier
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a run or a model folder needs {error.name}, which is not installed.",
            fix=[install_hint("train"), "compare artifacts alone"],
        ) from None
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            'the device "cuda" was requested, but torch finds no CUDA device.', fix=option("device", "cpu")
        )
    torch.set_num_threads(threads)
    classifier = load_classifier(folder, said=said)
    classifier.model.to(device)
    task = classifier.settings.task

    def logits(split: Split) -> Rows:
        found = predict_logits(classifier, split, batch_size=32)
        refuse_iob1(classifier, found)
        return found

    def answer(split: Split) -> object:  # which is timed: nothing else belongs into it
        values = predict_logits(classifier, split, batch_size=32)
        return task.probabilities(values), task.decide(values)

    return Measuring(logits, answer, _versions("torch", "transformers"), device)


def peak_memory_bytes() -> int | None:
    """Return the peak memory of this process in RAM, in bytes; None if the system does not report it.

    On Linux this is VmHWM rather than getrusage's figure, which a process inherits from its parent.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform != "darwin":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    """Serve commands from stdin until it is closed; the first one loads the model."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    measuring: Measuring | None = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if measuring is None:
                measuring = _load(command)
                reply: dict[str, Any] = {"versions": measuring.versions, "device": measuring.device}
            else:
                reply = _serve(measuring, command)
        except LiteftError as error:
            hints = [asdict(hint) if isinstance(hint, Hint) else hint for hint in error.fix]
            seen = {"message": error.message, "accepted": error.accepted, "fix": hints}
            reply = {"error": {"kind": type(error).__name__, **seen}}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()
    return 0


def _load(command: dict[str, Any]) -> Measuring:
    where = (command["folder"], command["threads"], command["device"])
    if command["engine"] == "onnxruntime":
        return load_artifact(*where, trust=command["trust"])
    said = command["said"]
    labels = None if said["labels"] is None else tuple(said["labels"])
    return load_model(*where, said=Said(**{**said, "labels": labels, "task": task_asked(said["task"])}))


def _serve(measuring: Measuring, command: dict[str, Any]) -> dict[str, Any]:
    """Execute one command of `workers` and return its reply."""
    todo = command["do"]
    if todo == "texts":
        return measuring.use_texts(command["path"])
    if todo == "single":
        return measuring.single(command["count"])
    if todo == "batches":
        return measuring.batches(command["count"], command["size"])
    if todo == "logits":
        return measuring.write_logits(command["texts"], command["out"])
    return {"peak_bytes": peak_memory_bytes()}


def _read_texts(path: str) -> Split:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    words, marked = content.get("words"), content.get("marked")
    return Split(
        "texts",
        content["texts"],
        content["pairs"],
        words=None if words is None else Ragged.of(words, np.int32, width=(2,)),
        marked=None if marked is None else np.array(marked, dtype=np.int64),
    )


def _versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    return {name: version for name, version in package_versions(packages).items() if version != NOT_INSTALLED}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
