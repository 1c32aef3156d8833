"""`liteft.to_label`: asks a model about a pool and picks what to label next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from liteft.artifact import MANIFEST, Artifact, find_artifact
from liteft.data import Dataset, Split, load_unlabeled
from liteft.errors import ConfigError, DataError, MissingExtraError
from liteft.installation import install_hint
from liteft.picking.choice import bare_texts, certainties, doubtful_rows, margins, sure_rows
from liteft.picking.next_texts import NextText, ToLabel
from liteft.ragged import Rows
from liteft.run import Run, read_run
from liteft.runtime import load
from liteft.runtime.splits import split_logits
from liteft.tasks import Task
from liteft.words import words_of_texts

__all__ = ["to_label"]

_MOST = 50_000  # texts of a pool that a model is asked about


def to_label(
    model: Run | Artifact | str | os.PathLike[str],
    pool: Any,
    count: int = 50,
    *,
    sure: int = 20,
    labelled: Dataset | Split | None = None,
    trust: bool = False,
) -> ToLabel:
    """Return the texts of a pool that are worth labelling next.

    These are ``count`` texts that the model doubts and that differ from each other, and ``sure`` texts of which it is
    surest, spread over the labels, for quick confirmation. Equal calls return equal texts. Of a pool of more than
    50,000 texts, 50,000 evenly spaced ones are considered. An artifact needs no torch.

    Args:
        model: a run, an artifact, or the folder of either; of the folder of a whole pipeline, the artifact in it.
        pool: a split, or what ``load_unlabeled`` takes: a file, a folder, a hub name, a list of texts.
        count: the number of doubtful texts, at most.
        sure: the number of sure texts, at most.
        labelled: texts that have labels already (of a data set, those of all its splits); they and near-duplicates of
            them are not picked.
        trust: as in ``liteft.load``, for an artifact.

    Raises:
        ConfigError: a number is not an integer of 0 or more, ``labelled`` is not a data set or a split, or the model
            gives scores.
        DataError: the pool is empty, cannot be read, or has pairs where the model takes single texts, or the reverse.
        RunError, ArtifactError: the model cannot be read.
        MissingExtraError: a run without torch.

    Source: margin sampling and a doubt-weighted farthest-first traversal; see ``liteft.picking.choice``.
    """
    _require_arguments(count, sure, labelled)
    whole = pool if isinstance(pool, Split) else load_unlabeled(pool)
    if not len(whole):
        raise DataError("the pool has no texts.", accepted={"pool": "at least one text"}, fix="give unlabelled texts")
    split = whole if len(whole) <= _MOST else whole.take(np.linspace(0, len(whole) - 1, _MOST).astype(np.int64))
    logits, labels, task = _asked(model, split, trust)
    if task.numeric:
        raise ConfigError(
            "texts to label are those that a model doubts, and a score does not say how sure it is.",
            accepted={"model": "of labels with names"},
            fix="label texts with scores of all sizes",
        )
    known = () if labelled is None else labelled.splits.values() if isinstance(labelled, Dataset) else (labelled,)
    done = [text for each in known for text in bare_texts(each)]
    bare = bare_texts(split)
    doubtful = doubtful_rows(bare, logits, task, count, done)
    confirmed = sure_rows(bare, logits, task, sure, [*done, *(bare[row] for row in doubtful)])
    best = np.argmax(certainties(logits, task), axis=1)
    places = [(row, int(best[row])) for row in doubtful] + confirmed
    texts = _texts(split, logits, labels, task, places)
    return ToLabel(tuple(texts[: len(doubtful)]), tuple(texts[len(doubtful) :]), len(split), len(whole))


def _require_arguments(count: object, sure: object, labelled: object) -> None:
    for name, value in {"count": count, "sure": sure}.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(
                f"{name} must be an integer of 0 or more, got {value!r}.",
                accepted={"count, sure": "0 or more"},
                fix="count=50, sure=20",
            )
    if not isinstance(labelled, Dataset | Split | None):
        raise ConfigError(
            f"labelled must be a data set or a split, got {labelled!r}.",
            accepted={"labelled": "liteft.Dataset or liteft.Split"},
            fix="labelled=liteft.load_dataset(FILE)",
        )


def _texts(
    split: Split, logits: Rows, labels: tuple[str, ...], task: Task, places: list[tuple[int, int]]
) -> list[NextText]:
    """Describe rows, each with the label whose probability is shown."""
    rows = np.array([row for row, _ in places], dtype=np.int64)
    chosen, origin = logits[rows], split.provenance
    decided, words = task.decide(chosen), _words(split, rows) if task.per_word else None
    probabilities, margin = certainties(chosen, task), margins(chosen, task)
    return [
        NextText(
            text=split.texts[row],
            pair=None if split.pairs is None else split.pairs[row],
            predicted=task.names_of(decided[place], labels),
            probability=round(float(probabilities[place, label]), 6),
            margin=round(float(margin[place]), 6),
            source=None if origin is None else origin.sources[int(origin.source[row])],
            row=None if origin is None else int(origin.rows[row]),
            words=None if words is None else words[place],
        )
        for place, (row, label) in enumerate(places)
    ]


def _words(split: Split, rows: np.ndarray) -> list[tuple[str, ...]]:
    """Return the words of some texts, those that are not given as they are found."""
    texts = [split.texts[row] for row in rows.tolist()]
    places = words_of_texts(texts) if split.words is None else split.words[rows]
    return [tuple(text[start:end] for start, end in each.tolist()) for text, each in zip(texts, places, strict=True)]


def _asked(
    model: Run | Artifact | str | os.PathLike[str], split: Split, trust: bool
) -> tuple[Rows, tuple[str, ...], Task]:
    """Return a model's logits of the texts, float32 (texts, labels) or of words, its labels, and what these mean."""
    if not isinstance(model, Run):
        folder = find_artifact(model.path if isinstance(model, Artifact) else Path(model))
        if (folder / MANIFEST).is_file():
            with load(folder, trust=trust) as classifier:
                manifest = classifier.manifest
                _require_kind(split, paired=manifest.paired, marked=manifest.marked)
                return split_logits(classifier, split), manifest.labels, manifest.task.bound(manifest.labels)
        model = read_run(folder)
    _require_kind(split, paired=bool(model.info["paired"]), marked=bool(model.info.get("marked")))
    try:
        from liteft.finetuning.logits import predict_logits
        from liteft.finetuning.model import load_classifier
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"a run needs {error.name}, which is not installed.", fix=[install_hint("train"), "give an artifact"]
        ) from None
    logits = predict_logits(load_classifier(model.model_path), split)
    return logits, model.labels, model.task


def _require_kind(split: Split, *, paired: bool, marked: bool) -> None:
    if marked and split.marked is None:
        raise DataError(
            "the model judges the words of a text for one marked word, and the pool has none marked.",
            accepted={"pool": "liteft.Split with words and marked, the place of that word in each text"},
            fix="give such a split",
        )
    if (split.pairs is not None) != paired:
        found, wanted = ("single texts", "pairs") if paired else ("pairs", "single texts")
        raise DataError(
            f"the pool has {found}, but the model classifies {wanted}.",
            accepted={"pool": wanted},
            fix=f"give a pool of {wanted}",
        )
