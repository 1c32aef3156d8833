"""Times LiteFT on a GPU beside torch and ONNX Runtime: the same classifiers, on the same token ids, in one run.

    python bench/cuda_engines.py --out FILE.json [--part decisive|ratios|rest] [--minutes 8] [--artifact FOLDER]

The classifiers have random weights and the sizes of MiniLM-L6, of its 3-layer student and of BERT-base. Texts are dense
(all of one length) or have the lengths of real texts (cuda_lengths.json), sorted or in order of arrival, in batches of
1 to 4,096. Every contestant that does not compile is first compared with torch in float32, on texts of 1 to 512 tokens.
For every row, the logits of the timed batches are compared with those of transformers' own module in float32; a row
whose logits are wrong gets no timings. The timings are:

- ``device_seconds``: on the device, for a pass over batches that are already there;
- ``host_seconds``: from token ids on the host to logits on the host, copies included, one batch after the other;
- ``replay_seconds`` (LiteFT only): the mean over replays of each batch's CUDA graph, used for single texts.

The part "decisive" has LiteFT alone and the targets in absolute numbers. "ratios" has LiteFT and torch at its best on
the four mixes of texts whose ratios are targets. "rest" has everything else, with ONNX Runtime and an artifact's
labels. The first two need only numpy, torch and transformers.

The file is rewritten after every row, so a run that is stopped keeps its results. The exit status is 1 if a target of
the part was not measured or LiteFT has no row at all, and 77 without a GPU; the file says why.
"""

from __future__ import annotations

# This file is not named cuda.py, since in this folder that would hide NVIDIA's package of the same name from torch.
import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cuda_gpu
import numpy as np
from cuda_contestants import ROUNDS
from cuda_entries import CONTESTANTS
from cuda_lengths import read_lengths
from cuda_plan import MODELS, PARTS, REHEARSES, Task, batches_of, ids_of, lengths_of, plan, tasks_of
from cuda_targets import OURS, judge, not_measured, ratios, table, targets_of
from cuda_worker import Refused, Worker
from machine import ROOT, command_line, commit, machine, tell, versions
from peer_ratios import operations

PACKAGES = ("liteft", "torch", "triton", "transformers", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy")
SKIPPED = 77
# The largest allowed root mean square of logit differences; the logits have a standard deviation of 1. `compared`
# lowers it to about three times the error of torch itself in that precision.
LIMITS = {"fp16": 0.05, "bf16": 0.3}
CALL_SECONDS = 60.0
GRACE_SECONDS = 20.0  # beyond the end, for a call that began in time
LONG_CALL_SECONDS = 400.0  # for a call that compiles or autotunes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "cuda.json")
    parser.add_argument("--part", choices=PARTS, default="decisive")
    parser.add_argument("--minutes", type=float, default=8.0, help="begin no row after this time")
    parser.add_argument("--artifact", type=Path, help="an artifact to time from text to label, in the part 'rest'")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="CONTESTANT")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--work", type=Path, help="folder in which classifiers are kept for the next run")
    parser.add_argument("--commit", help="the commit, if git is missing")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="torch's device; cpu for a rehearsal")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, arguments.work or Path(folder))
        try:
            return bench.run()
        finally:
            bench.close()


class Bench:
    """One run of the comparison: its worker processes, what has been checked, and the result so far."""

    def __init__(self, arguments: argparse.Namespace, work: Path) -> None:
        self.arguments = arguments
        self.end = time.monotonic() + 60 * arguments.minutes
        self.work = work
        self.names = [name for name in arguments.only if arguments.part in CONTESTANTS[name].parts]
        groups = dict.fromkeys(("models", "liteft", *(CONTESTANTS[name].group for name in self.names)))
        self.workers = {group: Worker(work, arguments.device) for group in groups}
        self.gone: dict[tuple[str, str], str] = {}  # (contestant, model) -> why it is not timed
        self.references: dict[Task, np.ndarray] = {}
        self.rows: list[dict[str, Any]] = []
        self.targets = {name: each for name, each in targets_of(arguments.part).items() if self.asked(each)}
        self.result: dict[str, Any] = {
            "command": command_line("bench/cuda_engines.py"),
            "part": arguments.part,
            **({"rehearsal": "tiny models on an emulated GPU: no number here means anything"} if REHEARSES else {}),
            "machine": machine(),
            "versions": versions(PACKAGES),
            "commit": arguments.commit or commit(),
            "clocks": "device: a pass, copies from the host not included; host: ids on the host to logits on the host",
            "rounds": ROUNDS,
            "l2_bytes": cuda_gpu.l2_bytes(),
            "gpu_before": cuda_gpu.state(),
            "models": {},
            "checks": {},
            "did_not_take_part": {},
            "targets": judge([], self.targets),
        }

    def asked(self, target: Any) -> bool:
        """Return whether a target can be measured with the contestants and models that were asked for."""
        sides = [target.ours, *([target.against] if target.against else [])]
        return target.model in self.arguments.models and all(set(side) & set(self.names) for side in sides)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()

    def run(self) -> int:
        outcome = self.workers["models"].ask("gpu", seconds=CALL_SECONDS)
        self.result["gpu"] = outcome
        if not outcome["liteft"] and not outcome["torch"]:
            self.result["skipped"] = f"no GPU: {outcome['liteft_reason']}; {outcome['torch_reason']}"
            tell(f"skipped: {self.result['skipped']}")
            self.write()
            return SKIPPED
        sets = read_lengths()
        if self.arguments.artifact and self.arguments.part == "rest":
            self.labels(sets)
        for name, task in self.order(list(sets)):
            self.row(name, task, ids_of(lengths_of(task, sets)))
        self.result["gpu_after"] = cuda_gpu.state()
        self.write()
        print(table(self.result["targets"]))
        return self.status()

    def order(self, sets: list[str]) -> Iterator[tuple[str, Task]]:
        """Yield contestants and tasks in the order of timing.

        LiteFT does all tasks first, then each other contestant does; the part "rest" goes task by task instead.
        """
        tasks = [task for task in tasks_of(self.arguments.part, plan(sets)) if task.model in self.arguments.models]
        pairs = [(name, task) for name in self.names for task in tasks]
        if self.arguments.part == "rest":
            pairs = [(name, task) for task in tasks for name in self.names]
        if self.arguments.part == "decisive":  # one model after the other, so that none is made twice
            pairs = [pair for model in MODELS for pair in pairs if pair[1].model == model]
        for name, task in pairs:
            if not CONTESTANTS[name].texts:
                yield name, task
        for name in self.names:  # max-autotune takes a minute per shape: texts of one length first, sorted ones last
            texts = CONTESTANTS[name].texts
            yield from ((name, task) for task in reversed(tasks) if task.texts in texts)

    def status(self) -> int:
        """Return the exit status: 1 if a target was not measured or LiteFT has no row, after printing why."""
        missing = not_measured(self.result["targets"])
        own = [row for row in self.rows if row["contestant"] in OURS and "device_seconds" in row]
        if any(name in OURS for name in self.names) and not own:
            missing.insert(0, "LiteFT has no row")
        for each in missing:
            tell(f"failed: not measured: {each}")
        return int(bool(missing))

    def row(self, name: str, task: Task, ids: list[list[int]]) -> None:
        """Time a contestant on a task, unless its logits are known to be wrong or time is up."""
        if time.monotonic() > self.end:
            self.result["cut_off"] = f"after {self.arguments.minutes} minutes"
            return
        if not self.is_right(name, task.model):
            return
        entry = CONTESTANTS[name]
        found = {"contestant": name, "precision": entry.precision} | task.describe()
        try:
            batches = batches_of(task, ids)
            expected = self.reference(task, batches)
            seconds = LONG_CALL_SECONDS if entry.compiles else CALL_SECONDS
            numbers, logits = self.ask(name, "measure", name, task.model, batches, seconds=seconds)
            found |= self.checked(name, task, numbers, self.compared(name, task.model, logits, expected), ids)
        except Refused as error:
            self.refuse(name, task.model, str(error))
            return
        except RuntimeError as error:
            found["error"] = str(error)
            tell(f"{task.model}, {task.texts}: {name} failed: {error}")
        self.rows.append(found)
        self.write()

    def checked(
        self, name: str, task: Task, numbers: dict[str, Any], outcome: dict[str, Any], ids: list[list[int]]
    ) -> dict[str, Any]:
        """Return the numbers of a row, or an error instead if the logits of the timed batches are wrong."""
        place = f"{task.model}, {task.texts}, {task.order}, {task.batch}"
        if not outcome["agrees"]:
            tell(f"{place}: {name} is not timed: {outcome}")
            return outcome | {"error": "the logits of the timed batches differ from torch's"}
        sizes = {key: MODELS[task.model][key] for key in ("layers", "width", "inner")}
        work = operations([len(row) for row in ids], **sizes)
        rates = f"{numbers['device_tokens_per_second']:,} tokens/s, {numbers['host_tokens_per_second']:,} from the host"
        tell(f"{place}: {name} {rates}")
        per_second = float(f"{work / numbers['device_seconds']:.4g}")
        return numbers | outcome | {"device_operations_per_second": per_second, "gpu": cuda_gpu.state()}

    def reference(self, task: Task, batches: list[list[list[int]]]) -> np.ndarray:
        """Return torch's logits in float32 for the batches of a task; they are computed once."""
        if task not in self.references:
            asked = self.workers["models"].ask("reference", task.model, batches, seconds=CALL_SECONDS)
            self.references[task] = asked
        return self.references[task]

    def is_right(self, name: str, model: str) -> bool:
        """Return whether a contestant computes a model's logits.

        They are compared once per model. A contestant that compiles each shape is not compared here, but in its rows.
        """
        if model not in self.result["models"]:
            self.make(model)
        if (name, model) in self.gone:
            return False
        key = f"{name}, {model}"
        if key in self.result["checks"] or CONTESTANTS[name].compiles:
            return True
        from cuda_models import checked_ids

        outcome: dict[str, Any] = {"agrees": False}
        self.result["checks"][key] = outcome
        try:
            expected = np.load(self.work / model / "reference.npy")
            ids = checked_ids()
            batches = [ids[place::3] for place in range(3)]  # short and long texts in each batch
            order = np.concatenate([np.arange(len(ids))[place::3] for place in range(3)])
            logits = self.ask(name, "logits", name, model, batches, seconds=LONG_CALL_SECONDS)  # LiteFT autotunes
            outcome |= self.compared(name, model, logits, expected[order])
        except Refused as error:
            outcome["skipped"] = str(error)
            self.refuse(name, model, str(error))
        except (RuntimeError, OSError) as error:
            outcome["error"] = str(error)
        if not outcome["agrees"]:
            self.gone.setdefault((name, model), "its logits differ from torch's")
        tell(f"{key}: {outcome}")
        self.write()
        return bool(outcome["agrees"])

    def refuse(self, name: str, model: str, reason: str) -> None:
        """Record and print why a contestant does not take part."""
        self.gone[name, model] = reason
        self.result["did_not_take_part"][name] = reason
        tell(f"{name} does not take part: {reason}")
        self.write()

    def compared(self, name: str, model: str, logits: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
        """Return how far logits are from torch's in float32, and whether that is within the limit."""
        precision = CONTESTANTS[name].precision
        off = float(np.sqrt(np.mean((logits - expected) ** 2)))
        yardstick = self.result["models"].get(model, {}).get("yardsticks", {}).get(precision)
        allowed = LIMITS[precision] if yardstick is None else min(LIMITS[precision], 0.01 + 3 * yardstick)
        return {
            "agrees": bool(np.isfinite(off) and off <= allowed),
            "logit_error": float(f"{off:.3g}"),
            "allowed": float(f"{allowed:.3g}"),
            "same_label": round(float((logits.argmax(1) == expected.argmax(1)).mean()), 4),
        }

    def make(self, model: str) -> None:
        graph = any(CONTESTANTS[name].group == "onnxruntime" for name in self.names)
        begin = time.monotonic()
        try:
            outcome = self.workers["models"].ask("make", model, graph, seconds=LONG_CALL_SECONDS)
        except RuntimeError as error:
            outcome = {"error": str(error)}
            self.gone |= {(name, model): f"the model could not be made: {error}" for name in self.names}
            tell(f"{model} could not be made: {error}")
        self.result["models"][model] = outcome | {"seconds": round(time.monotonic() - begin, 1)}
        self.write()

    def labels(self, sets: dict[str, list[int]]) -> None:
        """Time an artifact from text to label."""
        try:
            artifact = self.arguments.artifact.absolute()
            self.result["labels"] = self.workers["liteft"].ask("labels", artifact, sets, seconds=LONG_CALL_SECONDS)
        except RuntimeError as error:
            self.result["labels"] = [{"error": str(error)}]
        for row in self.result["labels"]:
            tell(f"text to label: {row}")
        self.write()

    def ask(self, name: str, call: str, *arguments: Any, seconds: float) -> Any:
        seconds = min(seconds, max(self.end - time.monotonic(), 0) + GRACE_SECONDS)
        return self.workers[CONTESTANTS[name].group].ask(call, *arguments, seconds=seconds)

    def write(self) -> None:
        """Write the result so far, with each row on a line of its own."""
        self.result["targets"] = judge(self.rows, self.targets)
        self.result["ratios"] = ratios([row for row in self.rows if "device_seconds" in row])
        path = self.arguments.out
        path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps(self.result | {"rows": []}, indent=2).removesuffix("[]\n}")
        rows = ",\n".join(f"    {json.dumps(row)}" for row in self.rows)
        draft = path.with_suffix(".part")  # a run that is stopped while writing leaves the previous file
        draft.write_text(f"{head}[\n{rows}\n  ]\n}}\n", encoding="utf-8")
        draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
