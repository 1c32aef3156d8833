"""Control of the measuring processes: one per model, timed in turns.

A machine is never entirely quiet, so no model is timed in one stretch: in every round each model is timed on the same
texts, the order rotates, and the median over rounds is reported. A short trial determines the number of texts per
round: the slowest model sets it for all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from liteft import errors
from liteft.data import Split
from liteft.errors import Hint, LiteftError, ModelError
from liteft.ragged import Ragged, Rows
from liteft.report.subjects import Subject

__all__ = ["BATCH", "Speed", "Worker", "open_workers", "time_workers", "write_texts"]

BATCH = 32
_LEAST_CALLS, _MOST_CALLS = 100, 1000
_LEAST_BATCHES, _MOST_BATCHES = 3, 40


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of one model: medians over rounds, and the values of each round.

    Attributes:
        p50_ms, p99_ms: median and 99th percentile of the latency of one text, in ms, tokenization included.
        texts_per_second: throughput with 32 texts per call, in the order of the data.
        calls: number of single texts timed per round.
        batches: number of calls of 32 texts timed per round.
        rounds: p50_ms, p99_ms and texts_per_second of each round.
    """

    p50_ms: float
    p99_ms: float
    texts_per_second: float
    calls: int
    batches: int
    rounds: tuple[tuple[float, float, float], ...]

    @property
    def spread(self) -> float:
        """The range of the rounds' median latencies, as a share of ``p50_ms``."""
        seen = [p50 for p50, *_ in self.rounds]
        return (max(seen) - min(seen)) / self.p50_ms if seen and self.p50_ms else 0.0


class Worker:
    """One model in a process of its own.

    Args:
        subject: the model.
        threads: threads of the engine.
        device: "cpu" or "cuda".
        trust: as in ``liteft.load``, for an artifact.

    Attributes:
        versions: package -> version, of the packages that run the model.
        device: the device that the model runs on.

    Raises:
        LiteftError: what the process raised while loading the model.
        ModelError: the process died.
    """

    def __init__(self, subject: Subject, *, threads: int, device: str, trust: bool = False) -> None:
        self.subject = subject
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the worker
        self._process = subprocess.Popen(
            [sys.executable, "-m", "liteft.report.measure"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(threads),
            text=True,
            encoding="utf-8",
        )
        self._commands = cast("IO[str]", self._process.stdin)
        self._answers = cast("IO[str]", self._process.stdout)
        try:
            reply = self.ask(
                "load",
                engine=subject.engine,
                folder=str(subject.folder),
                threads=threads,
                device=device,
                said=asdict(subject.said),
                trust=trust,
            )
        except BaseException:
            self.close()
            raise
        self.versions: dict[str, str] = reply["versions"]
        self.device: str = reply["device"]

    def ask(self, todo: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return the answer.

        Raises:
            LiteftError: what the model's process raised.
            ModelError: the process died.
        """
        try:
            self._commands.write(json.dumps({"do": todo, **fields}) + "\n")
            self._commands.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise self._died()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            seen = answer["error"]
            kind: type[LiteftError] = getattr(errors, seen["kind"])
            hints = [Hint(**hint) if isinstance(hint, dict) else hint for hint in seen["fix"]]
            raise kind(f"{self.subject.name}: {seen['message']}", accepted=seen["accepted"], fix=hints)
        return answer

    @property
    def process(self) -> int:
        """The id of its process."""
        return self._process.pid

    def logits(self, texts: Path, split: Split) -> Rows:
        """Return the logits of a split, which `write_texts` wrote to a file.

        They are float32 (texts, labels), or a Ragged of words, or of questions.
        """
        out = texts.with_name("logits.npy")
        self.ask("logits", texts=str(texts), out=str(out))
        logits: np.ndarray = np.load(out, allow_pickle=False)
        if self.subject.task.extractive:
            return Ragged(logits, np.load(out.with_suffix(".offsets.npy"), allow_pickle=False))
        return logits if split.words is None else split.words.like(logits)

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory of the whole process so far, in bytes; None if the system does not report it."""
        peak: int | None = self.ask("memory")["peak_bytes"]
        return peak

    def close(self) -> None:
        """End the process."""
        for pipe in (self._commands, self._answers):
            with suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def _died(self) -> ModelError:
        """Return the error for a process that died, with the last line of its stderr."""
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode("utf-8", "replace").strip().splitlines()
        how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
        return ModelError(
            f"the process that measured {self.subject.name} {how}.",
            accepted={"its last line": lines[-1]} if lines else None,
            fix="free some memory" if code == -9 else "measure that model alone, to see whether it fails again",
        )


@contextmanager
def open_workers(
    subjects: Sequence[Subject], *, threads: int, device: str, trust: bool = False, progress: Callable[[str], None]
) -> Iterator[list[Worker]]:
    """Load every model in a process of its own; all processes end when the block ends."""
    with ExitStack() as stack:
        workers = []
        for subject in subjects:
            progress(f"loading {subject.name}")
            worker = Worker(subject, threads=threads, device=device, trust=trust)
            stack.callback(worker.close)
            workers.append(worker)
        yield workers


def write_texts(path: Path, split: Split) -> Path:
    """Write texts, the second texts of pairs, and where words are, to a file for the workers; return its path."""
    content: dict[str, Any] = {"texts": split.texts, "pairs": split.pairs}
    if split.words is not None:
        marked = None if split.marked is None else split.marked.tolist()
        content |= {"words": [row.tolist() for row in split.words], "marked": marked}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def time_workers(
    workers: Sequence[Worker],
    texts: Path,
    *,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None],
) -> list[Speed]:
    """Time every model in turns.

    Args:
        workers: the models.
        texts: file of the texts to time with.
        rounds: how often each model is timed.
        seconds: approximate duration of each of the two timings per round for the slowest model; at least 100 single
            texts and 3 batches are timed, even if that takes longer.
        progress: called with a line of text for every round.
    """
    for worker in workers:
        worker.ask("texts", path=str(texts))
    single = max(_mean_seconds(worker.ask("single", count=12)["milliseconds"]) for worker in workers)
    batch = max(worker.ask("batches", count=2, size=BATCH)["seconds"] / 2 for worker in workers)
    calls = min(_MOST_CALLS, max(_LEAST_CALLS, int(seconds / single)))
    batches = min(_MOST_BATCHES, max(_LEAST_BATCHES, int(seconds / batch)))
    seen: list[list[tuple[float, float, float]]] = [[] for _ in workers]
    for number in range(rounds):
        progress(f"timing, round {number + 1} of {rounds}: {calls} single texts, {batches} batches of {BATCH}")
        for turn in range(len(workers)):
            which = (turn + number) % len(workers)
            times = workers[which].ask("single", count=calls)["milliseconds"]
            done = workers[which].ask("batches", count=batches, size=BATCH)
            p50, p99 = np.percentile(times, [50, 99])
            seen[which].append((float(p50), float(p99), done["texts"] / done["seconds"]))
    medians = [np.median(np.array(values), axis=0).tolist() for values in seen]
    return [
        Speed(p50, p99, per_second, calls, batches, tuple(values))
        for (p50, p99, per_second), values in zip(medians, seen, strict=True)
    ]


def _mean_seconds(milliseconds: list[float]) -> float:
    return sum(milliseconds) / len(milliseconds) / 1e3


def _environment(threads: int) -> dict[str, str]:
    """Return this process's environment, with limited thread pools and this copy of liteft first on the path."""
    home = str(Path(errors.__file__).resolve().parent.parent)
    known = os.environ.get("PYTHONPATH")
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
    path = home if not known else os.pathsep.join((home, known))
    return {**os.environ, **limits, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "true"}
