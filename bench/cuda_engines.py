"""LiteFT on a GPU beside torch and ONNX Runtime: the same classifiers, the same token ids, in one run.

    python bench/cuda_engines.py --out FILE.json [--minutes 8] [--artifact FOLDER]

Classifiers have random weights and the sizes of MiniLM-L6, of its 3-layer student and of BERT-base. Texts are dense
(all of one length) or have the lengths of real ones (cuda_lengths.json), sorted or in order of arrival, in batches of 1
to 4,096. Each contestant's logits are compared with torch's in float32 first; who does not agree is not timed, and the
result says so. ``device_seconds`` is the time on the device for what lies there already, copies not included;
``host_seconds`` goes from ids on the host to logits on the host, copies included, one batch after the other.

The tasks on which targets hang come first, and the file is written after every row: a run that is cut off leaves what
it has. An artifact of LiteFT's is timed from text to label besides. Without a GPU the file says why, and the exit
status is 77.
"""

from __future__ import annotations

# Not named cuda.py: in this folder it would hide NVIDIA's package of that name from torch.
import argparse
import json
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from cuda_contestants import CONTESTANTS
from cuda_lengths import read_lengths
from cuda_plan import MODELS, Task, batches_of, ids_of, lengths_of, plan
from cuda_targets import judge, ratios
from cuda_worker import Refused, Worker
from machine import ROOT, commit, machine, tell, versions
from peer_ratios import operations

PACKAGES = ("liteft", "torch", "triton", "transformers", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy")
SKIPPED = 77
# Root mean square of the differences of logits, whose spread is 1. Others may be three times as far off as torch is.
LIMITS = {"fp16": 0.05, "bf16": 0.3}
YARDSTICKS = {"fp16": "torch eager fp16", "bf16": "torch eager bf16"}
CALL_SECONDS = 60.0
GRACE_SECONDS = 20.0  # of a call that began in time
LONG_CALL_SECONDS = 400.0  # of what compiles


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "cuda.json")
    parser.add_argument("--minutes", type=float, default=8.0, help="no row begins after that")
    parser.add_argument("--artifact", type=Path, help="a folder of LiteFT's, timed from text to label")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="CONTESTANT")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--tasks", type=int, help="the first ones of the plan only")
    parser.add_argument("--batches", nargs="+", type=int, help="tasks of these batches only")
    parser.add_argument("--work", type=Path, help="keep the classifiers here, and take those that are there")
    parser.add_argument("--commit", help="where git is not at hand")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a look at torch's part only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, arguments.work or Path(folder))
        try:
            return bench.run()
        finally:
            bench.close()


class Bench:
    """A run: its workers, what is known of contestants, and the result so far."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self.arguments = arguments
        self.end = time.monotonic() + 60 * arguments.minutes
        self.work = work
        self.workers = {
            group: Worker(work, arguments.device)
            for group in ("models", *dict.fromkeys(CONTESTANTS[name].group for name in arguments.only))
        }
        self.gone: dict[tuple[str, str], str] = {}  # contestant and model: why it is not timed
        self.errors: dict[str, float] = {}
        self.rows: list[dict[str, Any]] = []
        self.result: dict[str, Any] = {
            "command": shlex.join(["python", "bench/cuda_engines.py", *sys.argv[1:]]),
            "machine": machine(),
            "versions": versions(PACKAGES),
            "commit": arguments.commit or commit(),
            "clocks": "device: copies not included; host: ids on the host to logits on the host, copies included",
            "models": {},
            "checks": {},
        }

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()

    def run(self) -> int:
        self.result["gpu"] = said = self.workers["models"].ask("gpu", seconds=CALL_SECONDS)
        if not said["liteft"] and not said["torch"]:
            self.result["skipped"] = f"no GPU: {said['liteft_reason']}; {said['torch_reason']}"
            tell(f"skipped: {self.result['skipped']}")
            self.write()
            return SKIPPED
        sets = read_lengths()
        tasks = [task for task in plan(list(sets)) if task.model in self.arguments.models]
        if self.arguments.batches:
            tasks = [task for task in tasks if task.batch in self.arguments.batches]
        tasks = tasks[: self.arguments.tasks]
        # What compiles comes after all others have done what targets hang on, and before the rest.
        decisive = [task for task in tasks if task.decisive]
        for fast, some in ((True, decisive), (False, decisive), (True, [task for task in tasks if not task.decisive])):
            for task in some:
                ids = ids_of(lengths_of(task, sets))
                for name in self.arguments.only:
                    if CONTESTANTS[name].decisive_only != fast:
                        self.row(name, task, ids)
            if fast and some is decisive and self.arguments.artifact:
                self.labels(sets)
        self.write()
        return 0

    def row(self, name: str, task: Task, ids: list[list[int]]) -> None:
        """Time a contestant at a task, unless it is known to be wrong, or time is up."""
        if time.monotonic() > self.end:
            self.result["cut_off"] = f"after {self.arguments.minutes} minutes"
            return
        if not self.is_right(name, task.model):
            return
        seconds = LONG_CALL_SECONDS if CONTESTANTS[name].decisive_only else CALL_SECONDS
        found = {"contestant": name, "precision": CONTESTANTS[name].precision} | task.describe()
        try:
            batches = batches_of(task, ids)
            numbers = self.ask(name, "measure", name, task.model, batches, seconds=seconds)
            sizes = {key: MODELS[task.model][key] for key in ("layers", "width", "inner")}
            work = operations([len(row) for row in ids], **sizes)
            found |= numbers | {"device_operations_per_second": float(f"{work / numbers['device_seconds']:.4g}")}
            rates = f"{found['device_tokens_per_second']:,} tokens/s, {found['host_tokens_per_second']:,} from the host"
            tell(f"{task.model}, {task.texts}, {task.order}, {task.batch}: {name} {rates}")
        except RuntimeError as error:
            found["error"] = str(error)
            tell(f"{task.model}, {task.texts}: {name} failed: {error}")
        self.rows.append(found)
        self.write()

    def is_right(self, name: str, model: str) -> bool:
        """Say whether a contestant computes a model's logits; compared once."""
        if model not in self.result["models"]:
            self.make(model)
        if (name, model) in self.gone:
            return False
        key = f"{name}, {model}"
        if key in self.result["checks"]:
            return True
        yardstick = YARDSTICKS[CONTESTANTS[name].precision]
        if name != yardstick and yardstick in self.arguments.only:
            self.is_right(yardstick, model)
        from cuda_models import checked_ids

        said: dict[str, Any] = {"agrees": False}
        self.result["checks"][key] = said
        try:
            expected = np.load(self.work / model / "reference.npy")
            ids = checked_ids()
            batches = [ids[place::3] for place in range(3)]  # short ones and long ones together
            order = np.concatenate([np.arange(len(ids))[place::3] for place in range(3)])
            seconds = LONG_CALL_SECONDS if CONTESTANTS[name].decisive_only else CALL_SECONDS
            logits = self.ask(name, "logits", name, model, batches, seconds=seconds)
            said |= self.compared(name, model, logits, expected[order])
        except Refused as error:
            said["skipped"] = str(error)
        except (RuntimeError, OSError) as error:
            said["error"] = str(error)
        if not said["agrees"]:
            self.gone[name, model] = "does not agree"
        tell(f"{key}: {said}")
        self.write()
        return bool(said["agrees"])

    def compared(self, name: str, model: str, logits: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
        """Return how far logits are from torch's in float32, and whether that is near enough."""
        precision = CONTESTANTS[name].precision
        off = float(np.sqrt(np.mean((logits - expected) ** 2)))
        allowed = LIMITS[precision]
        yardstick = self.errors.get(f"{YARDSTICKS[precision]}, {model}")
        if name == YARDSTICKS[precision]:
            self.errors[f"{name}, {model}"] = off
        elif yardstick is not None:
            allowed = min(allowed, 0.01 + 3 * yardstick)
        return {
            "agrees": bool(np.isfinite(off) and off <= allowed),
            "logit_error": float(f"{off:.3g}"),
            "allowed": float(f"{allowed:.3g}"),
            "same_label": round(float((logits.argmax(1) == expected.argmax(1)).mean()), 4),
        }

    def make(self, model: str) -> None:
        graph = any(CONTESTANTS[name].group == "onnxruntime" for name in self.arguments.only)
        begin = time.monotonic()
        try:
            said = self.workers["models"].ask("make", model, graph, seconds=LONG_CALL_SECONDS)
        except RuntimeError as error:
            said = {"error": str(error)}
            self.gone |= {(name, model): f"there is no model: {error}" for name in self.arguments.only}
        self.workers["models"].close()  # gives its memory back
        self.result["models"][model] = said | {"seconds": round(time.monotonic() - begin, 1)}
        self.write()

    def labels(self, sets: dict[str, list[int]]) -> None:
        """Time an artifact from text to label."""
        if "liteft" not in self.workers or time.monotonic() > self.end:
            return
        try:
            artifact = self.arguments.artifact.absolute()
            self.result["labels"] = self.workers["liteft"].ask("labels", artifact, sets, seconds=LONG_CALL_SECONDS)
        except RuntimeError as error:
            self.result["labels"] = [{"error": str(error)}]
        for row in self.result["labels"]:
            tell(f"text to label: {row}")
        self.write()

    def ask(self, name: str, what: str, *given: Any, seconds: float) -> Any:
        seconds = min(seconds, max(self.end - time.monotonic(), 0) + GRACE_SECONDS)
        return self.workers[CONTESTANTS[name].group].ask(what, *given, seconds=seconds)

    def write(self) -> None:
        """Write the result so far, each row on a line."""
        self.result["targets"] = judge(self.rows)
        self.result["ratios"] = ratios([row for row in self.rows if "device_seconds" in row])
        path = self.arguments.out
        path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps(self.result | {"rows": []}, indent=2).removesuffix("[]\n}")
        rows = ",\n".join(f"    {json.dumps(row)}" for row in self.rows)
        draft = path.with_suffix(".part")  # a run that is cut off while it writes leaves the one before
        draft.write_text(f"{head}[\n{rows}\n  ]\n}}\n", encoding="utf-8")
        draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
