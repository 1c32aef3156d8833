"""``liteft.compare``: compute the numbers of a comparison.

Metrics are computed on every text of a split, and each model is tested against the first on the same texts. Speed and
memory are measured on a sample of these texts, each model in its own process (see `measure`, `workers`).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from liteft import files, metrics
from liteft.arguments import checked_progress, require_known, require_list, require_path
from liteft.arms import threshold_notes
from liteft.artifact import Artifact
from liteft.data import Dataset, Split, load_dataset
from liteft.errors import ConfigError, Hint, ModelError, leave_out, option
from liteft.foreign import Said
from liteft.machine import read_processor
from liteft.ragged import Rows, values_of
from liteft.report.diagnosis import diagnose as diagnosis_of
from liteft.report.floor_rows import find_floors, measured_floors, verdicts, why_no_floors
from liteft.report.gold import Gold, find_gold, in_order
from liteft.report.load import Watch, watching
from liteft.report.result import Comparison, Measured
from liteft.report.subjects import Source, Subject, find_subjects
from liteft.report.workers import BATCH, Speed, Worker, open_workers, time_workers, write_texts
from liteft.run import Run
from liteft.runtime.backends import checked_threads
from liteft.runtime.cores import default_threads, usable_cores
from liteft.tasks import Task, task_asked
from liteft.words import words_of_texts

__all__ = ["compare", "describe_machine"]

_A_MODEL = "a run, an artifact, or the folder of a model"

_MOST_SPEED_TEXTS = 2048


def compare(
    *models: Source,
    on: Split | Dataset | str | os.PathLike[str] | None = None,
    split: str = "test",
    names: Sequence[str] | None = None,
    texts_for_speed: Split | Sequence[str] | Sequence[tuple[str, str]] | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    threads: int | None = None,
    device: str = "cpu",
    labels: Sequence[str] | None = None,
    task: Task | str | None = None,
    paired: bool | None = None,
    activation: str | None = None,
    trust: bool = False,
    floors: bool | None = None,
    diagnose: bool = False,
    progress: Callable[[str], None] | bool | None = None,
    **data_settings: Any,
) -> Comparison:
    """Compare trained runs, model folders and artifacts, in any mix.

    Runs and model folders run in torch, in float32 and eager mode; artifacts run through ``liteft.load``.

    Args:
        models: runs, artifacts, or paths of them; the first is the reference that the others are compared with.
        on: a Dataset; a path or other source for ``load_dataset``; a Split of a data set, or one made by hand (labels
            in the first model's order); or None for the data that the first run was trained on.
        split: name of the split; "all" scores every row of a single file.
        names: one name per model; None takes the names of the folders.
        texts_for_speed: texts to time with; None takes up to 2,048 of the scored texts, evenly spaced.
        rounds: how often each model is timed, in turns; 0 measures no speed.
        seconds: approximate duration of one timing of the slowest model; a round has two.
        threads: threads of each model; None for the number of physical cores that this process may use.
        device: "cpu" or "cuda", for all models. There is no "auto": a comparison is of one device, and the best one for
            a float model is not that of an int8 artifact.
        labels: for folders that transformers wrote: label names in the order of the logits. Without it, LABEL_0,
            LABEL_1, ... and names that differ in case are matched with the data's labels if that is unambiguous, and a
            note says so.
        task: for such folders whose config.json does not name their task.
        paired: whether such folders classify pairs; None for whatever the data has.
        activation: as in ``liteft.export``, for such folders with one logit.
        trust: as in ``liteft.load``, for artifacts.
        floors: add the floors of ``liteft.train_floors`` as rows if the data is what one of the runs was trained on,
            and say in the first line which models do not beat them; None does so if scikit-learn is installed, or if
            the floors are stored beside the run.
        diagnose: also find where each model is wrong: how sure it is when it is, what it takes for what, and at which
            lengths; see `Diagnosis`, which ``draw_diagnoses`` draws.
        progress: called with lines of text; True prints them to stderr.
        data_settings: arguments of ``load_dataset``, if ``on`` is neither a Dataset nor a Split.

    Returns:
        Comparison; printed, it is two tables.

    Raises:
        ModelError: a folder without a model, models of different tasks or labels, or a process that died.
        DataError: data that cannot be read or that does not fit the models.
        ConfigError: a setting out of range, or no data.
        RunError, ArtifactError: a run or an artifact cannot be read.
        DeviceError: the device is not available.
        MissingExtraError: a package is not installed.
    """
    _check_settings(rounds, seconds, threads, device)
    require_known(data_settings, _names_of(compare) | _names_of(load_dataset), call="compare")
    for name, value in {"names": names, "labels": labels, "texts_for_speed": texts_for_speed}.items():
        require_list(name, value)
    for model in models:
        _refuse_others(model)
        require_path("a model", model, kinds=(Run, Artifact), accepted=_A_MODEL)
    said = Said(None if labels is None else tuple(labels), task_asked(task), paired, activation=activation)
    gold = find_gold(on, find_subjects(models, names, said=said), split=split, settings=data_settings)
    subjects = gold.subjects
    report_progress = checked_progress(progress) or (lambda _line: None)
    trained = find_floors(gold, floors, report_progress)
    count = default_threads() if threads is None else threads
    with (
        files.temporary_folder() as folder,
        open_workers(subjects, threads=count, device=device, trust=trust, progress=report_progress) as workers,
    ):
        speeds: list[Speed | None] = [None] * len(workers)
        watch = Watch()
        if rounds:
            sample = _speed_texts(texts_for_speed, gold.split, paired=bool(subjects[0].paired))
            path = write_texts(folder / "speed.json", sample)
            with watching([worker.process for worker in workers]) as watch:
                speeds = [*time_workers(workers, path, rounds=rounds, seconds=seconds, progress=report_progress)]
        peaks = [worker.peak_memory_bytes() if rounds else None for worker in workers]
        texts = write_texts(folder / "texts.json", gold.split)
        logits = [_scored(worker, texts, gold, report_progress) for worker in workers]
        rows = [_measured(worker, gold, logits[0], values) for worker, values in zip(workers, logits, strict=True)]
        if diagnose:
            rows = [_diagnosed(row, gold, values) for row, values in zip(rows, logits, strict=True)]
    timed = zip(rows, speeds, peaks, strict=True)
    return Comparison(
        models=tuple(replace(row, speed=speed, peak_memory_bytes=peak) for row, speed, peak in timed),
        task=gold.task,
        data=gold.data,
        split=gold.split.name,
        texts=len(gold.split),
        majority=gold.task.majority_share(gold.targets),
        threads=count,
        device=device,
        batch_size=BATCH,
        machine=describe_machine(),
        notes=gold.notes
        + threshold_notes({each.name: each.tuned for each in subjects})
        + _activation_notes(subjects)
        + (() if floors is False or trained is not None else (why_no_floors(gold),)),
        load=watch.load,
        floors=() if trained is None else measured_floors(trained, gold, logits[0]),
        unbeaten=() if trained is None else verdicts(trained, gold, logits),
    )


def _names_of(call: Callable[..., Any]) -> set[str]:
    """Return the names of the arguments that a function takes by keyword."""
    return {name for name, each in signature(call).parameters.items() if each.kind is each.KEYWORD_ONLY}


def _refuse_others(model: object) -> None:
    """Refuse data in the place of a model, and a list of models."""
    if isinstance(model, Dataset | Split):
        raise ConfigError(
            f"a model is a {type(model).__name__}, which is data.",
            accepted={"a model": _A_MODEL},
            fix=Hint("compare(MODEL, ..., on=DATA)", "liteft compare MODEL ... --on DATA"),
        )
    if isinstance(model, list | tuple):
        raise ConfigError(
            f"a model is a {type(model).__name__}.",
            accepted={"a model": _A_MODEL},
            fix=Hint("compare(*MODELS, on=DATA)", "liteft compare MODEL MODEL --on DATA"),
        )


def _check_settings(rounds: int, seconds: float, threads: int | None, device: str) -> None:
    """Raise ConfigError for a setting out of range."""
    checked_threads(threads)
    if rounds < 0:
        raise ConfigError(
            f"rounds must be 0 or more, got {rounds}.",
            accepted={"rounds": "0 measures no speed"},
            fix=option("rounds", 5),
        )
    if seconds <= 0:
        raise ConfigError(
            f"seconds must be a positive number, got {seconds:g}.",
            accepted={"seconds": "above 0"},
            fix=option("seconds", 1),
        )
    if device not in ("cpu", "cuda"):
        raise ConfigError(
            f"models are compared on one device, not on {device!r}.",
            accepted={"device": "cpu, cuda"},
            fix=option("device", "cpu"),
        )


def _speed_texts(
    given: Split | Sequence[str] | Sequence[tuple[str, str]] | None, split: Split, *, paired: bool
) -> Split:
    """Return the texts to time with."""
    if given is None:
        count = min(len(split), _MOST_SPEED_TEXTS)
        given = split.take(np.linspace(0, len(split), count, endpoint=False).astype(np.int64))
    if not isinstance(given, Split):
        listed = list(given)
        kinds = {isinstance(entry, str) for entry in listed}
        if kinds == {True}:
            texts, pairs = [str(entry) for entry in listed], None
        else:
            texts, pairs = [entry[0] for entry in listed], [entry[1] for entry in listed]
        given = Split("speed", texts, pairs, words=None if split.words is None else words_of_texts(texts))
    if not len(given) or (given.pairs is not None) != paired:
        raise ConfigError(
            "the texts for timing do not fit the models.",
            accepted={
                "texts_for_speed": "pairs of texts" if paired else "single texts",
                "number": "1 or more",
            },
            fix=leave_out("texts_for_speed"),
        )
    return given


def _scored(worker: Worker, texts: Path, gold: Gold, progress: Callable[[str], None]) -> Rows:
    """Return a model's logits on the split in the first model's order of labels: (texts, labels), or of words."""
    subject = worker.subject
    progress(f"scoring {subject.name} on {len(gold.split):,} texts of {gold.split.name}")
    logits = worker.logits(texts, gold.split)
    broken = int((~np.isfinite(values_of(logits))).any(axis=1).sum())
    if broken:
        of = f"{gold.task.units(logits):,} {gold.task.judged}"
        raise ModelError(
            f"{subject.name}: the logits are not finite for {broken:,} of {of}.",
            fix="liteft doctor" if subject.engine == "onnxruntime" else "train again, with a lower learning rate",
        )
    return in_order(logits, subject.labels, gold.labels)


def _measured(worker: Worker, gold: Gold, first: Rows, logits: Rows) -> Measured:
    """Return a model's metrics and tests from its logits and those of the first model; speed and memory stay empty."""
    task, targets, unseen_label = gold.task, gold.targets, gold.split.unseen_label
    paired, difference = None, None
    if logits is not first:
        if not task.numeric:
            paired = metrics.mcnemar(
                task.correct(first, targets, unseen_label=unseen_label),
                task.correct(logits, targets, unseen_label=unseen_label),
            )
        difference = task.primary_difference(first, logits, targets, unseen_label=unseen_label)
    own = task.activated(worker.subject.task.activation)
    ranked: tuple[dict[str, float], dict[str, tuple[float, float]]] = ({}, {})
    if gold.split.pairs is not None:
        ranked = own.score_queries(logits, targets, gold.split.texts)
    return Measured(
        subject=worker.subject,
        scores=own.score(logits, targets, unseen_label=unseen_label) | ranked[0],
        intervals=own.intervals(logits, targets, unseen_label=unseen_label) | ranked[1],
        paired=paired,
        f1_difference=difference,
        agreement=_agreement(task, own, first, logits),
        speed=None,
        peak_memory_bytes=None,
        versions=worker.versions,
    )


def _diagnosed(row: Measured, gold: Gold, logits: Rows) -> Measured:
    """Return the same numbers with where the model is wrong."""
    own = gold.task.activated(row.subject.task.activation)
    return replace(row, diagnosis=diagnosis_of(own, logits, gold.split, gold.labels))


def _agreement(task: Task, own: Task, first: Rows, logits: Rows) -> float:
    """Return the share of texts with the first model's answer; scores are compared as each model gives them."""
    if task.activation == own.activation:
        return task.agreement(first, logits)
    return float(task.same(task.decide(first), own.decide(logits)).mean())


def _activation_notes(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """Return a note if nothing says whether some models' scores are their logits or sigmoids of them."""
    names = ", ".join(subject.name for subject in subjects if subject.guessed)
    if not names:
        return ()
    return (f"nothing states an activation for {names}: scores are taken to be the logits",)


def describe_machine() -> dict[str, Any]:
    """Return "processor" (name), "cores" (number of usable ones) and "system" (name and version)."""
    return {
        "processor": read_processor().name,
        "cores": usable_cores(),
        "system": platform.platform(terse=True),
    }
