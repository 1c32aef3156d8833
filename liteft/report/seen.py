"""Which of the texts that models are scored on they have seen: were trained on, or chosen by.

A run stores a hash of each of its texts, and of those without labels that it learned. A student has seen its
teacher's texts too, and those of its teacher's teacher, if these runs are still where they were. An artifact stores no
hashes: it is looked up in the run beside it that it was made from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from liteft.artifact import Manifest, read_artifact
from liteft.data import Dataset, Split
from liteft.data.splitting import text_hashes
from liteft.errors import DataError, Hint, RunError, option
from liteft.foreign.folders import finished_runs
from liteft.report.subjects import Subject
from liteft.run import MODEL_FOLDER, Run, ancestors, read_run

__all__ = ["check_unseen"]

_USES = {
    "train": "trained on by",
    "validation": "used to choose",
    "pool": "learned without their labels by",
    "teacher": "trained on by the teacher of",
    "teacher's validation": "used to choose the teacher of",
}


def check_unseen(split: Split, dataset: Dataset | None, subjects: Sequence[Subject]) -> tuple[str, ...]:
    """Return notes on texts that models have seen; refuse a test split that was drawn from their training texts.

    Args:
        split: the texts to score on; "all" for every row of a file.
        dataset: their data set; None for a split alone.
        subjects: the models.

    Raises:
        DataError: the loader drew the test split, and some of its texts were trained on or chosen by.
    """
    hashes = text_hashes(split.texts, split.pairs)
    seen = {subject.name: _seen(subject, hashes) for subject in subjects}
    drawn = dataset is not None and split.name == "test" and split.name in dataset.made
    if drawn:
        assert dataset is not None
        for name, found in seen.items():
            if found and any(found.values()):
                raise _drawn_from_seen(split, dataset, name, found)
    notes = _notes(split, seen)
    if drawn or split.name == "all":
        unknown = [each.name for each in subjects if seen[each.name] is None and not _same_data(each, dataset)]
        notes += [f"it is not known whether {name} was trained on these texts" for name in unknown]
    return tuple(notes)


def _seen(subject: Subject, hashes: np.ndarray) -> dict[str, int] | None:
    """Return how many of the texts are in each split that a model learned from; None if its run is not known."""
    run = _run_of(subject)
    if run is None:
        return None
    try:
        texts = {name: run.text_hashes(name) for name in ("train", "validation")} | {"pool": run.pool_hashes()}
    except RunError:
        return None
    for teacher in ancestors(run):
        for name, use in (("train", "teacher"), ("validation", "teacher's validation")):
            with contextlib.suppress(RunError):
                more = np.setdiff1d(teacher.text_hashes(name), np.concatenate([texts["train"], texts[name]]))
                texts[use] = np.union1d(texts.get(use, more), more)
    return {use: int(np.isin(hashes, texts[use]).sum()) for use in _USES if use in texts}


def _run_of(subject: Subject) -> Run | None:
    """Return the run that a model is, is the folder of, or was exported from if that run lies beside it."""
    manifest = _manifest(subject)
    if manifest is not None:
        weights = manifest.verification.get("weights_sha256")
        return next(
            (run for run in _runs(finished_runs(subject.path.parent)) if run.info["weights_sha256"] == weights), None
        )
    inside = subject.folder.resolve()
    places = [subject.path] if subject.info else [inside.parent] if inside.name == MODEL_FOLDER else []
    return next(_runs(places), None)


def _runs(places: Sequence[Path]) -> Iterator[Run]:
    """Yield the runs in these folders, without bases and what cannot be read."""
    for path in places:
        with contextlib.suppress(RunError):
            yield read_run(path)


def _manifest(subject: Subject) -> Manifest | None:
    """Return the manifest of an artifact; None for other models."""
    return read_artifact(subject.path, check_files=False).manifest if subject.engine == "onnxruntime" else None


def _same_data(subject: Subject, dataset: Dataset | None) -> bool:
    """Return True if a model's files say that it was trained on this data set with these splits."""
    manifest = _manifest(subject)
    data = (subject.info or {}).get("data") if manifest is None else manifest.data
    return dataset is not None and (data or {}).get("fingerprint") == dataset.fingerprint


def _notes(split: Split, seen: Mapping[str, Mapping[str, int] | None]) -> list[str]:
    """Return a sentence for each number of texts that models have seen, but what the split's own name says."""
    names: dict[tuple[str, int], list[str]] = {}
    for name, found in seen.items():
        for use, count in (found or {}).items():
            if count and use != split.name:
                names.setdefault((use, count), []).append(name)
    return [
        f"{_part(count, len(split))} {_USES[use]} {', '.join(models)}: the numbers flatter such a model"
        for (use, count), models in names.items()
    ]


def _part(count: int, texts: int) -> str:
    """Return some of the texts as the beginning of a sentence."""
    if count == texts:
        return f"all {texts:,} texts were" if texts > 1 else "the only text was"
    return f"{count:,} of the {texts:,} texts {'was' if count == 1 else 'were'}"


def _drawn_from_seen(split: Split, dataset: Dataset, name: str, seen: Mapping[str, int]) -> DataError:
    parts = [f"{_part(count, len(split))} {_USES[use]} {name}" for use, count in seen.items() if count]
    return DataError(
        f"the {split.name} split was drawn from {dataset.name} now: {', and '.join(parts)}.",
        accepted={"to test on": "texts that no model was trained on or chosen by"},
        fix=[
            Hint('on="OTHER_TEXTS", split="all"', "--on OTHER_TEXTS --split all"),
            "leave out the settings of the data that the run was not trained with, if it has a test split",
            option("split", "all", note=", for numbers that flatter the models"),
        ],
    )
