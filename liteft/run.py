"""A finished training run on disk: what it was, how good it is, and where its model lies.

A run folder holds

    recipe.toml             every setting, resolved
    run.json                what came out: metrics of every split, sizes, versions
    data_check.json         what the data check found
    log.jsonl               loss, rate and validation metric over the steps
    logs/                   the same for the loggers that report_to names, a folder for each
    model/                  the classifier as transformers writes it; or an adapter, with base.json for what it is on
    predictions/SPLIT.npz   logits (texts, labels) float32, the gold labels, and a hash of each text
    checkpoints/            only while the run is unfinished

This module reads it. Training writes it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack, cast
from zipfile import BadZipFile

import numpy as np

from liteft import files
from liteft.answer_labels import AnswerLabels
from liteft.errors import Hint, ModelError, RunError, first_line, spelling
from liteft.foreign import train_first
from liteft.foreign.folders import MANIFEST, RUN_FILE, finished_runs, likely_run, pipelines_in, run_of
from liteft.foreign.weights import ADAPTER, BASE, WEIGHTS, require_weights, weights_sha256
from liteft.hub import Pushed, PushOptions, push
from liteft.ragged import Ragged, Rows
from liteft.results import Result
from liteft.run_card import run_upload
from liteft.run_info import RunInfo
from liteft.tasks import Task, task_named
from liteft.text_tables import aligned, metric_words, share

__all__ = [
    "ADAPTER",
    "BASE",
    "BASE_KIND",
    "FOLDS_FILE",
    "MODEL_FOLDER",
    "POOL_HASHES",
    "RUN_FILE",
    "RUN_FORMAT",
    "WEIGHTS",
    "WORDS",
    "Run",
    "ancestors",
    "base_of_run",
    "check_weights",
    "model_weights",
    "model_weights_sha256",
    "read_base",
    "read_info",
    "read_run",
    "runs_table",
]

RUN_FORMAT = 2  # of run.json; what an unreleased version wrote in format 1 is refused
MODEL_FOLDER = "model"
BASE_KIND = "base"
"""The kind of a run that pretraining made."""
FOLDS_FILE = "folds.json"
"""What cross-validation found, beside the student that was made of all texts."""
POOL_HASHES = "pool_hashes.npy"
"""Hashes of the texts without labels that a student learned."""
WORDS = "word_offsets"
"""Key of stored predictions where words are judged: the words before each text."""
_FOLDER = {"a run": f"a folder with {RUN_FILE}, as liteft.finetune and liteft.distill write it"}
_SPLITS = ("validation", "test")


@dataclass(frozen=True, slots=True, repr=False)
class Run(Result):
    """A finished run: a teacher, a student, or another arm of an experiment."""

    path: Path
    info: RunInfo

    def __repr__(self) -> str:
        validation = self.info.get("metrics", {}).get("validation", {})
        metric = next((name for name in ("f1", "micro_f1", "accuracy", "spearman") if name in validation), None)
        reached = f", {metric} {validation[metric]:.4f} on validation" if metric else ""
        return f"Run({str(self.path)!r}: {self.info.get('kind')}, {len(self.info.get('labels', ()))} labels{reached})"

    @property
    def tuned(self) -> bool:
        """Whether a threshold was tuned after the training, so that scores are no probabilities."""
        return "threshold" in self.info

    def render(self) -> str:
        """Return the run as text: its size, and its main metric with 95% intervals."""
        return runs_table([self])

    def to_dict(self) -> dict[str, Any]:
        """Return the run as plain data: its path and what its run.json says."""
        return {"path": str(self.path), **self.info}

    @property
    def kind(self) -> str:
        """One of teacher, student, control, c0, c2."""
        return self.info["kind"]

    @property
    def start(self) -> str:
        """What an arm started from, in words; "" for a teacher."""
        return self.info.get("start", "")

    @property
    def model_path(self) -> Path:
        """Folder of the trained classifier."""
        return self.path / MODEL_FOLDER

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of the logits."""
        return tuple(self.info["labels"])

    @property
    def task(self) -> Task:
        """What its labels mean: equal to its name, such as "single_label"."""
        task = task_named(self.info["task"]).bound(self.labels)
        return task.activated(self.info.get("activation", task.activation))

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Metrics by split name."""
        return self.info["metrics"]

    def push_to_hub(self, repo: str, **options: Unpack[PushOptions]) -> Pushed:
        """Push the model and a model card to a repository on the hub, and nothing else of the run.

        The weights are compared with run.json before. The repository is a model folder for transformers, with
        liteft.json beside it, which lists the files with their hashes.

        Args:
            repo: OWNER/NAME. It is made, private unless ``private=False``, if it is new.
            **options: ``license``, which is required, and the others of `liteft.hub.PushOptions`.

        Returns:
            What was pushed, with the commit and the model card.

        Raises:
            RunError: the weights were changed, or a file cannot be read.
            ModelError: it is an adapter on a base that is only on this machine.
            ConfigError, HubError, MissingExtraError: as in `liteft.hub.push`.
        """
        check_weights(self.model_path)
        return push(run_upload(self.model_path, self.info, self.task, manifest=MANIFEST), repo, **options)

    def predictions(self, split: str) -> tuple[Rows, Rows]:
        """Return logits (texts, labels) float32 and gold labels of a split, in the data set's order.

        Gold labels are int64 (texts,) with -1 where training lacked the label, bool (texts, labels), or of scores
        float64 (texts,). Where words are judged, both are Ragged: an entry for each word of each text. Of questions
        logits are the packed form of `liteft.answer_spans`, and gold labels AnswerLabels.

        Raises:
            RunError: the run has no predictions for that split.
        """
        stored = self._stored(split, "logits", "labels")
        if not self.tells_answers(split):
            raise RunError(
                f"{self.path} holds the answers of split {split!r} without their contexts: it was made without texts.",
                accepted={"answers to compare": "of a run whose texts were shown"},
                fix="train again without hiding texts, or compare the models on the data",
            )
        if "contexts" in stored:
            return Ragged(stored["logits"], stored[WORDS]), AnswerLabels.restored(stored)
        if WORDS not in stored:
            return stored["logits"], stored["labels"]
        return Ragged(stored["logits"], stored[WORDS]), Ragged(stored["labels"], stored[WORDS])

    def tells_answers(self, split: str) -> bool:
        """Return whether predictions can be compared: not those of questions that were stored without their texts."""
        stored = self._stored(split, "logits")
        return "label_offsets" not in stored or "contexts" in stored

    def unseen_label(self, split: str) -> np.ndarray | None:
        """Return which texts carry a label that training lacked, bool (texts,), or None where none does.

        A multi-label row does not show it otherwise. Raises RunError like `predictions`.
        """
        return self._stored(split, "logits").get("unseen_label")

    def text_hashes(self, split: str) -> np.ndarray:
        """Return a hash of each text of a split, as ``liteft.data.splitting.text_hashes`` makes it: uint64 (texts,).

        Raises RunError like `predictions`.
        """
        return self._stored(split, "text_hash")["text_hash"]

    def pool_hashes(self) -> np.ndarray:
        """Return such a hash of each unlabelled text that a student learned; empty for runs without any.

        Raises:
            RunError: the file cannot be read.
        """
        path = self.path / POOL_HASHES
        try:
            found: np.ndarray = np.load(path, allow_pickle=False) if path.exists() else np.zeros(0, dtype=np.uint64)
        except (OSError, ValueError, EOFError) as error:
            raise RunError(f"{path} cannot be read.", fix="train the student again, into a new folder") from error
        return found

    def _stored(self, split: str, *needed: str) -> dict[str, np.ndarray]:
        path = self.path / "predictions" / f"{split}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in dict.fromkeys((*needed, *stored.files))}
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            known = sorted(file.stem for file in path.parent.glob("*.npz"))
            raise RunError(
                f"{self.path} has no readable predictions for split {split!r}.",
                accepted={"splits": ", ".join(known) or "none"},
                fix="ask for a split that it has, or train again with that split in the data",
            ) from error


def runs_table(runs: Sequence[Run]) -> str:
    """Return a line for each run: its size, and its main metric with a 95% interval."""
    metric = runs[0].task.primary_metric
    shown = metric_words(metric)
    rows: list[tuple[str, ...]] = [
        ("run", "kind", "parameters", "file MB", *(f"{split} {shown} %" for split in _SPLITS))
    ]
    for run in runs:
        size = (f"{run.info['parameters'] / 1e6:.1f} M", f"{run.info['size_bytes'] / 1e6:.1f}")
        rows.append((str(run.path), run.kind, *size, *(_cell(run, split, metric) for split in _SPLITS)))
    lines = [aligned(rows, texts=2), "[ ]: 95% intervals."]
    lines += [f"warning: {run.path}: {line}" for run in runs for line in run.info.get("warnings", ())]
    return "\n".join(lines)


def _cell(run: Run, split: str, metric: str) -> str:
    values = run.metrics.get(split) or {}
    if values.get(metric) is None:
        return "-"
    interval = values.get(f"{metric}_interval")
    return share(values[metric], None if interval is None else (interval[0], interval[1]))


def read_run(path: str | Path) -> Run:
    """Return the finished run in a folder.

    Raises:
        RunError: the folder holds no run, an unfinished one, one of another format, or a pretrained base.
    """
    path = Path(path)
    info = read_info(path)
    if info.get("kind") == BASE_KIND:
        raise RunError(
            f"{path} contains a pretrained base, which is not a classifier.",
            accepted=_FOLDER,
            fix=train_first(path),
        )
    kinds = {"kind": str, "task": str, "labels": list, "metrics": dict, "weights_sha256": str}
    _require_keys(path, info, kinds)
    return Run(path, cast(RunInfo, info))


def ancestors(run: Run) -> list[Run]:
    """Return the runs that taught a run, those that taught these, and so on, as far as they are where they were.

    Arm C0 has none: it has nothing of the teacher beside whose student it was trained.
    """
    found: dict[Path, Run] = {}
    open_runs = [run]
    while open_runs:
        each = open_runs.pop()
        first = None if each.kind == "c0" else each.info.get("teacher")
        for described in () if first is None else (first, *first.get("others", ())):
            path = Path(str(described.get("path", ""))).absolute()
            if path in found:
                continue
            try:
                found[path] = read_run(path)
            except RunError:
                continue
            open_runs.append(found[path])
    return list(found.values())


def base_of_run(path: Path) -> Path | None:
    """Return the model folder of the base that ``liteft.pretrain`` made in a folder; None if there is none.

    Raises:
        RunError: run.json cannot be read.
    """
    if not (path / RUN_FILE).is_file() or read_info(path).get("kind") != BASE_KIND:
        return None
    return path / MODEL_FOLDER


def read_info(path: Path) -> dict[str, Any]:
    """Return what run.json says of a finished run of any kind.

    Raises:
        RunError: the folder holds no run, an unfinished one, or one of another format.
    """
    try:
        info = files.read_json(path / RUN_FILE)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_run(path) from None
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path / RUN_FILE} cannot be read: {first_line(error)}.",
            fix="copy the whole run folder again",
        ) from error
    if not isinstance(info, dict) or info.get("format") != RUN_FORMAT:
        raise _other_format(path, info.get("format") if isinstance(info, dict) else None)
    _require_keys(path, info, {"kind": str, "weights_sha256": str})
    return info


def _require_keys(path: Path, info: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    wrong = [name for name, kind in kinds.items() if not isinstance(info.get(name), kind)]
    if wrong:
        raise RunError(
            f"{path / RUN_FILE} does not say what a run is: {', '.join(wrong)} is missing or has the wrong type.",
            fix="copy the whole run folder again",
        )


def _other_format(path: Path, found: object) -> RunError:
    earlier = type(found) is int and 0 < found < RUN_FORMAT
    return RunError(
        f"{path} has run format {found!r}" + (", which only development versions wrote." if earlier else "."),
        accepted={"formats that this version reads": RUN_FORMAT},
        fix="train again" if earlier else "install a newer liteft, or train again",
    )


def _no_run(path: Path) -> RunError:
    if (path / "recipe.toml").is_file():
        return RunError(
            f"{path} contains an unfinished run: there is no {RUN_FILE}.", fix="run the same command again: it resumes"
        )
    if not path.is_dir():
        return RunError(
            f"{path} is a file, not a folder." if path.exists() else f"there is no folder {path}.",
            accepted=_FOLDER,
            fix=spelling(path),
        )
    if (path / MANIFEST).is_file():
        return RunError(
            f"{path} must be a run folder, got an artifact folder.",
            accepted=_FOLDER,
            fix=["the run that it was made from", Hint(f'liteft.read_artifact("{path}")', f"liteft inspect {path}")],
        )
    if run := run_of(path):
        return RunError(f"{path} is the model of a run, and not the run itself.", fix=f"give {run}")
    inside, kind = finished_runs(path), "runs in it"
    if not inside:
        inside, kind = pipelines_in(path), "folders with runs in it"
    return RunError(
        f"{path} does not contain a run: there is no {RUN_FILE}.",
        accepted={kind: ", ".join(each.name for each in inside)} if inside else None,
        fix=f"give one of them, such as {likely_run(inside)}" if inside else "liteft finetune or liteft distill",
    )


def read_folds(folder: Path, fingerprint: str) -> dict[str, Any]:
    """Return what folds.json in a folder says; {} if it is missing, unreadable, or of other data.

    Args:
        folder: of the pipeline, in which the runs are.
        fingerprint: of the data set that it must be of.
    """
    try:
        content: dict[str, Any] = files.read_json(folder / FOLDS_FILE)
        return content if content["data"]["fingerprint"] == fingerprint else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def model_weights(folder: Path) -> Path:
    """Return the file of a model folder's own weights: an adapter's where it holds one, else the whole model's."""
    adapter = folder / ADAPTER
    return adapter if adapter.is_file() else folder / WEIGHTS


def model_weights_sha256(folder: Path) -> str:
    """Return what identifies the weights that a model folder computes with, 64 hexadecimal digits.

    That is the SHA-256 of the file, or of the list of the parts' hashes; of an adapter, that of its file's hash, its
    base's, and how the base is stored.

    Raises:
        ModelError: there are no weights.
    """
    if not (folder / ADAPTER).is_file():
        return str(weights_sha256(require_weights(folder)))
    own = files.sha256_once(folder / ADAPTER)
    base = read_base(folder)
    parts = (own, base["sha256"], base["quantization"] or "none", base["compute"])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def check_weights(folder: Path) -> None:
    """Refuse the model folder of a run whose weights are not those that run.json names; other folders pass.

    Hashing takes milliseconds a megabyte, once a process.

    Raises:
        RunError: the weights were changed or are missing.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # a run's model may be a link
    if folder.name != MODEL_FOLDER or not (folder.parent / RUN_FILE).is_file():
        return
    told = read_info(folder.parent)["weights_sha256"]
    weights = model_weights(folder)
    whole = "copy the whole run folder again, or train again"
    if not weights.is_file():
        raise RunError(f"{folder.parent} lacks its weights, {MODEL_FOLDER}/{weights.name}.", fix=whole)
    found = model_weights_sha256(folder)
    if found != told:
        raise RunError(
            f"{weights} was changed after the training: its SHA-256 is not the one in {RUN_FILE}.",
            accepted={f"in {RUN_FILE}": told, "found": found},
            fix=whole,
        )


def read_base(folder: Path) -> dict[str, Any]:
    """Return what base.json says of the base that an adapter is on.

    Keys: ``base`` (path or hub name), ``sha256`` and ``bytes`` of its weights, ``quantization`` ("8bit", "4bit" or
    None), ``compute`` ("fp32" or "bf16"), ``parameters`` (of base, adapter and head together).

    Raises:
        ModelError: the file is missing or does not fit.
    """
    try:
        content = files.read_json(folder / BASE)
        kinds = dict.fromkeys(("base", "sha256", "compute"), str) | dict.fromkeys(("bytes", "parameters"), int)
        wrong = [name for name, kind in kinds.items() if not isinstance(content[name], kind)]
        wrong += [] if content["quantization"] in (None, "8bit", "4bit") else ["quantization"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder / BASE} cannot be used: {first_line(error)}.", fix="copy the whole folder again"
        ) from error
    if wrong:
        raise ModelError(
            f"{folder / BASE} cannot be used: {wrong[0]} = {content[wrong[0]]!r}.",
            fix="copy the whole run folder again",
        )
    return cast("dict[str, Any]", content)
