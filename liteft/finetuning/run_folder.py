"""The life of a run folder: opened, resumed, finished.

A folder is bound to its settings and to the content of its inputs. Repeating the same command returns the finished
run or resumes an unfinished one; different settings or data are an error that shows the difference, since
a run that mixes two recipes is meaningless. A run that fails before its first checkpoint binds nothing.
``run.json`` is written last: a folder without it is unfinished.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from liteft import files
from liteft.answer_labels import AnswerLabels
from liteft.answer_spans import best_spans, log_totals
from liteft.config import differences, read_recipe, write_recipe
from liteft.data import Dataset, Split
from liteft.data.splitting import text_hashes
from liteft.errors import RunError, option
from liteft.finetuning.adapters import adapter_of, parameter_count
from liteft.finetuning.checkpoints import can_go_on, remove_all_checkpoints
from liteft.finetuning.context import RunContext
from liteft.finetuning.loggers import LOGS
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier, save_classifier
from liteft.finetuning.soundness import warnings_of_metrics
from liteft.locks import LOCK, one_writer
from liteft.machine import package_versions
from liteft.metrics import named_intervals
from liteft.privacy import shows_all
from liteft.ragged import Ragged, Rows, values_of
from liteft.recipes import Recipe, TrainingRecipe
from liteft.run import (
    POOL_HASHES,
    RUN_FILE,
    RUN_FORMAT,
    WORDS,
    Run,
    model_weights,
    model_weights_sha256,
    read_base,
    read_run,
)
from liteft.run_info import DataInfo, RunInfo, TrainingInfo
from liteft.tasks import Task

__all__ = [
    "PACKAGES",
    "RECIPE",
    "filled_from",
    "finish_run",
    "open_run",
    "open_run_in_all",
    "read_inputs",
    "refuse_other_run",
    "withdrawn_on_error",
    "writing_run",
]

INPUTS = "inputs.json"
RECIPE = "recipe.toml"
Settings = TypeVar("Settings", bound=TrainingRecipe)
Table = Literal["pretrain", "teacher", "student"]  # of a recipe
_PROCESSES = "processes.json"  # beside the checkpoints, of more than one process
_STARTED = (RECIPE, INPUTS, "data_check.json", "log.jsonl", POOL_HASHES)
PACKAGES = ("liteft", "torch", "transformers", "accelerate", "tokenizers", "numpy")


def open_run(out: Path, recipe: Recipe, inputs: dict[str, Any], *, table: Table) -> bool:
    """Bind a folder to a recipe and its inputs; return whether its run is already finished.

    Args:
        out: the run folder, created if missing.
        recipe: the resolved settings; the tables ``data`` and ``table`` count.
        inputs: hashes of the inputs, and the run's kind: any difference is an error too.
        table: which of the recipe's tables this run follows.

    Raises:
        RunError: another recipe, other inputs, or a folder that contains something else.
    """
    recipe = Recipe(data=recipe.data, **{table: getattr(recipe, table)})
    if not (out / INPUTS).is_file():
        _bind(out, recipe, inputs)
        return False
    changed = _changed_settings(out, recipe, table) | _changed_inputs(out, inputs)
    if "data" in changed:  # which settings made other texts, splits or labels of the same file
        changed |= differences(read_recipe(out / RECIPE).data, recipe.data, prefix="data.")
    _refuse(out, changed)
    _remove_leftovers(out)
    finished = (out / RUN_FILE).is_file()
    if finished:
        remove_all_checkpoints(out)
    return finished


def refuse_other_run(out: Path, recipe: Recipe, inputs: dict[str, Any], *, table: Table) -> None:
    """Refuse a folder whose run has other settings or inputs than these, as ``open_run`` would later.

    Args:
        out: the run folder; one without a run is not refused.
        recipe: the settings; what they leave open is not compared.
        inputs: some of its inputs.
        table: which of the recipe's tables the run follows.

    Raises:
        RunError: something differs.
    """
    if not (out / INPUTS).is_file():
        return
    asked = filled_from(out, getattr(recipe, table), table=table)
    changed = _changed_settings(out, recipe.model_copy(update={table: asked}), table)
    _refuse(out, changed | _changed_inputs(out, read_inputs(out) | inputs))


def _refuse(out: Path, changed: dict[str, str]) -> None:
    if changed:
        finished = (out / RUN_FILE).is_file()
        raise RunError(
            f"{out} holds {'a finished' if finished else 'an unfinished'} run with other settings or data.",
            accepted=changed,
            fix=[option("out", "NEW_FOLDER", note=" for the new settings"), f"remove {out} to start over"],
        )


def open_run_in_all(context: RunContext, recipe: Recipe, inputs: dict[str, Any], *, table: Table) -> bool:
    """Open a run from every process of a training: the main one writes, all return the same. See ``open_run``."""
    out, state = context.out, context.state
    if state.is_main_process and not open_run(out, recipe, inputs, table=table):
        _bind_processes(context)
    state.wait_for_everyone()
    return (out / RUN_FILE).is_file()


def _bind_processes(context: RunContext) -> None:
    """Bind an unfinished run to its number of processes, once it has a checkpoint: another number rounds otherwise.

    Raises:
        RunError: it has a checkpoint, of another number of processes.
    """
    out, record, now = context.out, context.checkpoints / _PROCESSES, context.state.num_processes
    before = files.read_json(record) if record.is_file() else 1
    if before != now and can_go_on(context.checkpoints):
        raise RunError(
            f"{out} holds an unfinished run of {before} {'process' if before == 1 else 'processes'}.",
            accepted={"processes": f"{before} -> {now}"},
            fix=[option("processes", before), f"remove {out} to start over"],
        )
    if now > 1:
        files.write_json(record, now)
    else:
        record.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_run(context: RunContext) -> Iterator[None]:
    """Be the only training that writes a run folder while the body runs; the main process holds the lock for all.

    Raises:
        RunError: another training is writing it, or the folder contains something else.
    """
    out = context.out
    if not context.state.is_main_process:
        yield
        return
    if not (out / INPUTS).is_file():
        _refuse_others(out)
    with one_writer(out / LOCK, target=out):
        yield


@contextlib.contextmanager
def withdrawn_on_error(context: RunContext) -> Iterator[None]:
    """Remove what a run wrote into its folder when the block raises before the first checkpoint.

    Otherwise texts that are too long or memory that is too small would bind the folder to a recipe that
    never trained. An interrupt removes nothing: the same command resumes. Only the main process removes anything.

    Raises:
        RunError: the disk refused to store a log, a checkpoint or a model, for example because it is full.
    """
    try:
        yield
    except Exception as error:
        out = context.out
        if not context.state.is_main_process:
            raise
        kept = can_go_on(context.checkpoints)
        if not kept:
            for name in _STARTED:
                (out / name).unlink(missing_ok=True)
            remove_all_checkpoints(out)
            shutil.rmtree(out / LOGS, ignore_errors=True)
            with contextlib.suppress(OSError):  # it contains something else, or does not exist
                out.rmdir()
        reason = _disk_reason(error)
        if reason is None:
            raise
        rest = "the last whole checkpoint stays" if kept else "nothing of it stays"
        raise RunError(
            f"{out} could not be written: {reason}; {rest}.",
            fix=[
                "free some space and run the same command again" + (": it goes on from there" if kept else ""),
                option("out", "FOLDER_ELSEWHERE"),
            ],
        ) from error


def finish_run(
    context: RunContext,
    loaded: TorchClassifier,
    dataset: Dataset,
    *,
    kind: str,
    tokenizer_source: Path,
    train_bf16: bool,
    info: TrainingInfo,
    teacher: Run | None = None,
    pool: Split | None = None,
) -> Run:
    """Predict every split, write model, predictions and run.json, and remove the checkpoints.

    Args:
        context: of the run; it is told each warning, which run.json lists as ``warnings``.
        loaded: the trained classifier.
        dataset: all its splits are predicted; the test split for the first and only time.
        kind: "teacher", or that of an arm.
        tokenizer_source: folder whose tokenizer files are copied.
        train_bf16: predict the training split, which serves as teacher signal, in bfloat16; the others are float32.
        info: what the training says of itself, for run.json.
        teacher: the run that a student's metrics are compared with, if it was trained on the same data.
        pool: texts without labels that it learned; their hashes are stored.
    """
    out = context.out
    with files.writing_folder(out / "model") as folder:
        save_classifier(loaded.model, loaded.settings, tokenizer_source, folder)
    metrics: dict[str, dict[str, Any]] = {}
    with files.writing_folder(out / "predictions") as folder:
        for name, split in dataset.splits.items():
            logits = predict_logits(loaded, split, bf16=train_bf16 and name == "train")
            _write_predictions(folder, name, logits, split, dataset)
            if split.labels is not None:
                own = context.own.scores(dataset.task, logits, split.labels)
                metrics[name] = split_metrics(logits, split, dataset.task) | _finite_only(own)
    if pool is not None:
        np.save(out / POOL_HASHES, text_hashes(pool.texts, pool.pairs), allow_pickle=False)
    settings = loaded.settings
    same = teacher is not None and (teacher.info.get("data") or {}).get("fingerprint") == dataset.fingerprint
    above = teacher.metrics if teacher is not None and same else None
    whose = "the first of its teachers" if (info.get("teacher") or {}).get("others") else "its teacher"
    warnings = warnings_of_metrics(
        metrics,
        dataset.task,
        kind=kind,
        teacher=above,
        whose=whose,
        labels=dataset.validation.labels,
        count=len(dataset.labels),
        unlike="threshold" not in info and teacher is not None and teacher.tuned,
    )
    for line in warnings:
        context.tell(f"warning: {line}")
    weights = model_weights(out / "model")
    adapter = adapter_of(loaded.model)
    base = {} if adapter is None else read_base(out / "model")
    content: RunInfo = {
        "format": RUN_FORMAT,
        "kind": kind,
        "task": settings.task,
        "labels": list(settings.labels),
        "pooling": settings.pooling,
        "paired": settings.paired,
        "marked": settings.marked,
        "max_tokens": settings.max_tokens,
        "family": loaded.config.model_type,
        "parameters": parameter_count(loaded.model),
        "size_bytes": weights.stat().st_size + base.get("bytes", 0),
        "weights_sha256": model_weights_sha256(out / "model"),
        "data": _data_info(dataset),
        "metrics": metrics,
        "versions": {"python": platform.python_version(), **package_versions(PACKAGES)},
        **info,
        "warnings": [*info.get("warnings", ()), *warnings],
    }
    if context.own.record:
        content["functions"] = context.own.record
    if settings.activation is not None:
        content["activation"] = settings.activation
    if context.state.num_processes > 1:
        content["processes"] = context.state.num_processes
    if adapter is not None:
        content["adapter"] = {**base, "rank": adapter.rank, "own_bytes": weights.stat().st_size}
    files.write_json(out / RUN_FILE, content)
    remove_all_checkpoints(out)
    return read_run(out)


def _data_info(dataset: Dataset) -> DataInfo:
    """Return what run.json says of the data."""
    rows = {name: len(split) for name, split in dataset.splits.items()}
    info: DataInfo = {"name": dataset.name, "fingerprint": dataset.fingerprint, "rows": rows}
    train = dataset.splits.get("train")
    if train is not None and train.soft_labels is not None:
        info["labels"] = "probabilities"
    return info


def filled_from(out: Path, recipe: Settings, *, table: Table) -> Settings:
    """Return a recipe whose open settings are those of the run that a folder holds, finished or not.

    So a run is resumed as it began, whatever would be chosen today. Without a run nothing changes.
    """
    if not (out / INPUTS).is_file():
        return recipe
    stored = getattr(read_recipe(out / RECIPE), table)
    return recipe.model_copy(update={name: getattr(stored, name) for name in recipe.open_settings})


def read_inputs(out: Path) -> dict[str, Any]:
    """Return the hashes of what a run was made from, and its kind."""
    stored: dict[str, Any] = files.read_json(out / INPUTS)
    return stored


def split_metrics(logits: Rows, split: Split, task: Task) -> dict[str, Any]:
    """Return a split's metrics with 95% intervals, its size and the share of its majority class.

    Those of each label are in "by_label", if the task has any.
    """
    if split.labels is None:
        return {}
    values: dict[str, Any] = {"n": len(split), "majority": task.majority_share(split.labels)}
    values |= task.score(logits, split.labels, unseen_label=split.unseen_label)
    intervals = task.intervals(logits, split.labels, unseen_label=split.unseen_label)
    if split.pairs is not None:
        of_queries, their_intervals = task.score_queries(logits, split.labels, split.texts)
        values, intervals = values | of_queries, intervals | their_intervals
    values |= named_intervals(intervals)
    if found := task.by_label(logits, split.labels, unseen_label=split.unseen_label):
        values["by_label"] = found
    return _finite_only(values)


def _write_predictions(folder: Path, name: str, logits: Rows, split: Split, dataset: Dataset) -> None:
    gold: dict[str, Any] = {} if split.labels is None else {"labels": values_of(split.labels)}
    if isinstance(split.labels, AnswerLabels):
        gold = split.labels.stored() if shows_all() else split.labels.stored_alone()
    if isinstance(logits, Ragged):
        gold[WORDS] = logits.offsets
    if split.unseen_label is not None:
        gold["unseen_label"] = split.unseen_label
    np.savez(folder / f"{name}.npz", logits=values_of(logits), text_hash=text_hashes(split.texts, split.pairs), **gold)
    rows = _answer_rows(logits, split) if dataset.task.extractive else _label_rows(logits, split, dataset)
    with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
        import csv

        writer = csv.writer(file)
        writer.writerow(["row", "gold", "predicted", "score"])
        writer.writerows([row, *cells] for row, cells in enumerate(rows))


def _label_rows(logits: Rows, split: Split, dataset: Dataset) -> Iterator[list[str]]:
    """Yield the gold labels of each text, its predicted ones, and the score of the least sure of them."""
    decided, probabilities = dataset.task.decide(logits), dataset.task.probabilities(logits)
    for row in range(len(logits)):
        names = [
            "" if values is None else " | ".join(dataset.task.names_of(values[row], dataset.labels))
            for values in (split.labels, decided)
        ]
        best = probabilities[row].max(axis=-1)
        yield [*names, f"{best.min() if best.size else 1.0:.6f}"]


def _answer_rows(logits: Rows, split: Split) -> Iterator[list[str]]:
    """Yield the gold answers of each question, the one that is given, "" for none, and its probability.

    Where texts are hidden, an answer is its place in its context.
    """
    found, totals = best_spans(logits), log_totals(logits)
    decided = found.decided(0.0)
    scores = np.exp(np.where(decided[:, 0] >= 0, found.scores, found.nothing) - totals)
    gold = split.labels.strings if isinstance(split.labels, AnswerLabels) else [()] * len(split)
    for row, (begin, end) in enumerate(decided.tolist()):
        answers = [*gold[row], (split.pairs or [])[row][begin:end] if begin >= 0 else ""]
        if not shows_all():
            places = split.labels[row].tolist() if isinstance(split.labels, AnswerLabels) else []
            answers = [f"{first}:{last}" for first, last in places] + [f"{begin}:{end}" if begin >= 0 else ""]
        yield [" | ".join(answers[:-1]), answers[-1], f"{scores[row]:.6f}"]


def _bind(out: Path, recipe: Recipe, inputs: dict[str, Any]) -> None:
    """Write a run's recipe and inputs into a new folder; the inputs last, which complete the binding."""
    _refuse_others(out)
    _make_folder(out)
    _remove_leftovers(out)
    write_recipe(recipe, out / RECIPE)
    files.write_json(out / INPUTS, inputs)


def _changed_settings(out: Path, recipe: Recipe, table: Table) -> dict[str, str]:
    """Return the settings that differ from those of the folder, as "before -> now" by name."""
    return differences(getattr(read_recipe(out / RECIPE), table), getattr(recipe, table))


def _changed_inputs(out: Path, inputs: dict[str, Any]) -> dict[str, str]:
    """Return the inputs that differ from those of the folder, as "before -> now" by name."""
    before = read_inputs(out)
    changed = [name for name in before | inputs if before.get(name) != inputs.get(name)]
    return {name: _change(before.get(name), inputs.get(name)) for name in changed}


def _refuse_others(out: Path) -> None:
    """Refuse a folder that contains anything but a run."""
    if out.exists() and (not out.is_dir() or any(not _from_start(path) for path in out.iterdir())):
        raise RunError(f"{out} exists but is not a run folder; nothing was written.", fix=option("out", "NEW_FOLDER"))


def _from_start(path: Path) -> bool:
    """Say whether a file is left over from a run that was killed while it was opened."""
    return path.name in (LOCK, RECIPE) or path.name.startswith((f".{RECIPE}.", f".{INPUTS}."))


def _remove_leftovers(out: Path) -> None:
    """Remove half-written files and folders that a kill left behind."""
    for path in [*out.glob(".*.tmp"), *out.glob(".*.writing")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        files.own(out)
    except OSError as error:
        raise RunError(
            f"{out} cannot be made: {files.os_reason(error)}.", fix="choose a folder that you may write to"
        ) from None


def _disk_reason(error: Exception) -> str | None:
    """Return why the disk refused a write, or None if the error has another cause.

    Python gives the system's error number, safetensors writes it into its message, and torch.save only notices that
    its file is too short.
    """
    told = re.search(r"\(os error (\d+)\)", str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        return os.strerror(number)
    if re.search(r"inline_container.*unexpected pos|PytorchStreamWriter failed", str(error)):
        return "torch wrote less of a checkpoint than it has, most likely onto a full disk"
    return None


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or bool(np.isfinite(value))


def _finite_only(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value if _finite(value) else None for name, value in values.items()}


def _change(before: Any, now: Any) -> str:
    """Return two values as "before -> now"; of two hashes, that the content differs, and their beginnings."""
    if isinstance(before, str) and isinstance(now, str) and len(before) == len(now) == 64:
        return f"other content (its hash was {before[:12]}…, and is {now[:12]}…)"
    return f"{_short(before)} -> {_short(now)}"


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
