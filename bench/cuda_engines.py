"""LiteFT on a GPU beside torch and ONNX Runtime: the same classifiers, the same token ids, in one run.

    python bench/cuda_engines.py --out FILE.json [--part decisive|ratios|rest] [--minutes 8] [--artifact FOLDER]

Classifiers have random weights and the sizes of MiniLM-L6, of its 3-layer student and of BERT-base. Texts are dense
(all of one length) or have the lengths of real ones (cuda_lengths.json), sorted or in order of arrival, in batches of 1
to 4,096. LiteFT and what does not compile is first compared with torch in float32 on texts of 1 to 512 tokens. Of
every row the logits of the timed batches are compared with those of transformers' own module in float32, and a row
whose logits are wrong has no numbers. ``device_seconds`` is the time on the device for a pass over batches that lie
there already. ``host_seconds`` goes from ids on the host to logits on the host, copies included, one batch after the
other. ``replay_seconds``, of LiteFT alone, is the mean of each graph's replays: what one text takes.

Parts: "decisive" has LiteFT alone, and the targets in absolute numbers; "ratios" has LiteFT and torch at its best on
the four mixes on which ratios hang; "rest" has everything else, ONNX Runtime and an artifact's labels too. Numpy,
torch and transformers are all that the first two need.

The file is written after every row: a run that is cut off leaves what it has. The exit status is 1 where a target of
the part was not measured or LiteFT has no row at all, and 77 without a GPU; the file says why.
"""

from __future__ import annotations

# Not named cuda.py: in this folder it would hide NVIDIA's package of that name from torch.
import argparse
import json
import shlex
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
from machine import ROOT, commit, machine, tell, versions
from peer_ratios import operations

PACKAGES = ("liteft", "torch", "triton", "transformers", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy")
SKIPPED = 77
# Root mean square of the differences of logits, whose spread is 1. Others may be three times as far off as torch is.
LIMITS = {"fp16": 0.05, "bf16": 0.3}
CALL_SECONDS = 60.0
GRACE_SECONDS = 20.0  # of a call that began in time
LONG_CALL_SECONDS = 400.0  # of what compiles or learns


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "cuda.json")
    parser.add_argument("--part", choices=PARTS, default="decisive")
    parser.add_argument("--minutes", type=float, default=8.0, help="no row begins after that")
    parser.add_argument("--artifact", type=Path, help="a folder of LiteFT's, timed from text to label in the rest")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="CONTESTANT")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--work", type=Path, help="keep the classifiers here, and take those that are there")
    parser.add_argument("--commit", help="where git is not at hand")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="torch's; cpu for a rehearsal")
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
        self.names = [name for name in arguments.only if arguments.part in CONTESTANTS[name].parts]
        groups = dict.fromkeys(("models", "liteft", *(CONTESTANTS[name].group for name in self.names)))
        self.workers = {group: Worker(work, arguments.device) for group in groups}
        self.gone: dict[tuple[str, str], str] = {}  # contestant and model: why it is not timed
        self.references: dict[Task, np.ndarray] = {}
        self.rows: list[dict[str, Any]] = []
        self.targets = {name: each for name, each in targets_of(arguments.part).items() if self.asked(each)}
        self.result: dict[str, Any] = {
            "command": shlex.join(["python", "bench/cuda_engines.py", *sys.argv[1:]]),
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
        """Say whether contestants that were asked for can measure a target."""
        sides = [target.ours, *([target.against] if target.against else [])]
        return target.model in self.arguments.models and all(set(side) & set(self.names) for side in sides)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()

    def run(self) -> int:
        said = self.workers["models"].ask("gpu", seconds=CALL_SECONDS)
        self.result["gpu"] = said
        if not said["liteft"] and not said["torch"]:
            self.result["skipped"] = f"no GPU: {said['liteft_reason']}; {said['torch_reason']}"
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
        """Yield who is timed at what: LiteFT at everything first, then others in turn; the rest task by task."""
        tasks = [task for task in tasks_of(self.arguments.part, plan(sets)) if task.model in self.arguments.models]
        pairs = [(name, task) for name in self.names for task in tasks]
        if self.arguments.part == "rest":
            pairs = [(name, task) for task in tasks for name in self.names]
        if self.arguments.part == "decisive":  # a model at a time, not made twice
            pairs = [pair for model in MODELS for pair in pairs if pair[1].model == model]
        for name, task in pairs:
            if not CONTESTANTS[name].texts:
                yield name, task
        for name in self.names:  # a shape takes a minute: texts of one length first, sorted ones last
            texts = CONTESTANTS[name].texts
            yield from ((name, task) for task in reversed(tasks) if task.texts in texts)

    def status(self) -> int:
        """Return 1, having said why, where the run has not measured what it is there for."""
        missing = not_measured(self.result["targets"])
        own = [row for row in self.rows if row["contestant"] in OURS and "device_seconds" in row]
        if any(name in OURS for name in self.names) and not own:
            missing.insert(0, "LiteFT has no row")
        for each in missing:
            tell(f"failed: not measured: {each}")
        return int(bool(missing))

    def row(self, name: str, task: Task, ids: list[list[int]]) -> None:
        """Time a contestant at a task, unless it is known to be wrong, or time is up."""
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
        self, name: str, task: Task, numbers: dict[str, Any], said: dict[str, Any], ids: list[list[int]]
    ) -> dict[str, Any]:
        """Return a row's numbers, or, where the timed logits were wrong, none."""
        place = f"{task.model}, {task.texts}, {task.order}, {task.batch}"
        if not said["agrees"]:
            tell(f"{place}: {name} is not timed: {said}")
            return said | {"error": "the logits of the timed batches are not torch's"}
        sizes = {key: MODELS[task.model][key] for key in ("layers", "width", "inner")}
        work = operations([len(row) for row in ids], **sizes)
        rates = f"{numbers['device_tokens_per_second']:,} tokens/s, {numbers['host_tokens_per_second']:,} from the host"
        tell(f"{place}: {name} {rates}")
        per_second = float(f"{work / numbers['device_seconds']:.4g}")
        return numbers | said | {"device_operations_per_second": per_second, "gpu": cuda_gpu.state()}

    def reference(self, task: Task, batches: list[list[list[int]]]) -> np.ndarray:
        """Return torch's logits in float32 for the batches of a task; computed once."""
        if task not in self.references:
            asked = self.workers["models"].ask("reference", task.model, batches, seconds=CALL_SECONDS)
            self.references[task] = asked
        return self.references[task]

    def is_right(self, name: str, model: str) -> bool:
        """Say whether a contestant computes a model's logits; compared once, but for what compiles shape by shape."""
        if model not in self.result["models"]:
            self.make(model)
        if (name, model) in self.gone:
            return False
        key = f"{name}, {model}"
        if key in self.result["checks"] or CONTESTANTS[name].compiles:
            return True
        from cuda_models import checked_ids

        said: dict[str, Any] = {"agrees": False}
        self.result["checks"][key] = said
        try:
            expected = np.load(self.work / model / "reference.npy")
            ids = checked_ids()
            batches = [ids[place::3] for place in range(3)]  # short ones and long ones together
            order = np.concatenate([np.arange(len(ids))[place::3] for place in range(3)])
            logits = self.ask(name, "logits", name, model, batches, seconds=LONG_CALL_SECONDS)  # LiteFT learns
            said |= self.compared(name, model, logits, expected[order])
        except Refused as error:
            said["skipped"] = str(error)
            self.refuse(name, model, str(error))
        except (RuntimeError, OSError) as error:
            said["error"] = str(error)
        if not said["agrees"]:
            self.gone.setdefault((name, model), "does not agree")
        tell(f"{key}: {said}")
        self.write()
        return bool(said["agrees"])

    def refuse(self, name: str, model: str, reason: str) -> None:
        """Say that a contestant is not there."""
        self.gone[name, model] = reason
        self.result["did_not_take_part"][name] = reason
        tell(f"{name} does not take part: {reason}")
        self.write()

    def compared(self, name: str, model: str, logits: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
        """Return how far logits are from torch's in float32, and whether that is near enough."""
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
            said = self.workers["models"].ask("make", model, graph, seconds=LONG_CALL_SECONDS)
        except RuntimeError as error:
            said = {"error": str(error)}
            self.gone |= {(name, model): f"there is no model: {error}" for name in self.names}
            tell(f"{model} could not be made: {error}")
        self.result["models"][model] = said | {"seconds": round(time.monotonic() - begin, 1)}
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

    def ask(self, name: str, what: str, *given: Any, seconds: float) -> Any:
        seconds = min(seconds, max(self.end - time.monotonic(), 0) + GRACE_SECONDS)
        return self.workers[CONTESTANTS[name].group].ask(what, *given, seconds=seconds)

    def write(self) -> None:
        """Write the result so far, each row on a line."""
        self.result["targets"] = judge(self.rows, self.targets)
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
