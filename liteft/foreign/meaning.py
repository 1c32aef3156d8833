"""What a classifier's folder means: its labels, its task, and whether it reads pairs.

LiteFT's own folders state all of it. A folder written by transformers names its logits, often only LABEL_0 and LABEL_1,
and rarely states more; the caller has to provide the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteft import files
from liteft.errors import ConfigError, Hint, ModelError, leave_out, option
from liteft.tasks import ANSWERS, SCORES, SINGLE_LABEL, TASKS, TOKENS, Task, task_named

__all__ = [
    "CLASSIFIERS",
    "LABELS_HINT",
    "Meaning",
    "Said",
    "adopted_labels",
    "read_labels",
    "read_meaning",
    "renamed_text",
    "train_first",
]

LABELS_HINT = Hint(
    'labels=["...", ...], the names in the order of the logits',
    "--labels FILE, one name per line in the order of the logits",
)
_OF_TOKENS = {"ForTokenClassification": TOKENS, "ForQuestionAnswering": ANSWERS}
CLASSIFIERS = ("ForSequenceClassification", *_OF_TOKENS)
"""Ends of the names of transformers' classes that are classifiers here."""
_ENDS = ("start", "end")  # what the two logits of a token are for, in the data too
_CLOSED = re.compile(r"[ESLUM]-.")  # tags of BIOES, BILOU and BMES that IOB2 has not
_ENTAILMENT = ("entail", "not_entail", "non_entail")
_RENAMED = 6  # labels per line


@dataclass(frozen=True, slots=True)
class Said:
    """What the caller states about a classifier whose config.json may not.

    Attributes:
        labels: names in the order of the logits.
        task: what a label means.
        paired: True if it reads pairs of texts.
        seen_pairs: True if the given texts are pairs; used if ``paired`` is not stated.
        activation: of a model of scores: "sigmoid" or "none".
    """

    labels: tuple[str, ...] | None = None
    task: Task | None = None
    paired: bool | None = None
    seen_pairs: bool | None = None
    activation: str | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a classifier's folder means.

    Attributes:
        labels: names in the order of the logits.
        task: how labels are chosen; None if not stated.
        paired: True if it reads pairs of texts; None if not stated.
        own: True if the folder states that LiteFT wrote it.
        activation: of a model of scores: "sigmoid" or "none"; None for others.
        guessed: True if nothing states the activation.
    """

    labels: tuple[str, ...]
    task: Task | None
    paired: bool | None
    own: bool
    activation: str | None = None
    guessed: bool = False

    @property
    def settled_task(self) -> Task:
        """The task; if not stated, single-label, as in transformers."""
        task = self.task or SINGLE_LABEL
        return task if self.activation is None else task.activated(self.activation)


def read_meaning(folder: Path, config: Mapping[str, Any], said: Said | None = None) -> Meaning:
    """Return what config.json states; where it states nothing, what the caller states.

    Args:
        folder: for error messages.
        config: the content of its config.json.
        said: what the caller states.

    Raises:
        ModelError: the model is not a classifier, its labels are not numbered from 0, it has several scores or an
            unknown activation, or it is a model of pairs but this is not stated.
        ConfigError: the caller contradicts the folder, or gives an activation to a model of labels.
    """
    said = said or Said()
    own = config.get("liteft")
    if own is not None:
        return _own_meaning(folder, own, said)
    architecture = str((config.get("architectures") or [""])[0])
    if not architecture.endswith(CLASSIFIERS):
        raise ModelError(
            f"{folder} is not a classifier: its architecture is {architecture or 'not named'}.",
            accepted={"architectures": ", ".join(f"...{name}" for name in CLASSIFIERS) + ", or a model of liteft"},
            fix=train_first(folder),
        )
    stated = next((task for name, task in _OF_TOKENS.items() if architecture.endswith(name)), None)
    if stated is not None and stated.extractive:
        return Meaning(_ENDS, _stated_task(folder, said, stated), True, own=False)
    labels = _labels(folder, config, said)
    if stated is not None:
        _refuse_closed_tags(folder, labels)
        return Meaning(labels, _stated_task(folder, said, stated), False, own=False)
    task = _task(folder, config, said)
    paired = said.paired if said.paired is not None else said.seen_pairs
    if (task is None and len(labels) == 1) or (task is not None and task.numeric):
        return _of_scores(folder, config, said, labels, paired)
    _refuse_activation(folder, said)
    if len(labels) < (task or SINGLE_LABEL).fewest_labels:
        raise ConfigError(
            f"{folder} has one logit, and a single label would always be chosen.",
            accepted={"task": "scores; multi_label, for a label that a text has or has not"},
            fix=[option("task", SCORES.name), leave_out("task")],
        )
    if said.paired is None and not said.seen_pairs and _reads_pairs(labels):
        raise ModelError(
            f"the labels of {folder} ({', '.join(labels)}) are typical of text pairs, but nothing says that it reads "
            "pairs.",
            accepted={"a model of pairs": "verified on pairs, the premise first"},
            fix=[
                Hint("paired=True, with texts that have a pair", "--pair COLUMN, the column of the second text"),
                Hint("paired=False, if it reads single texts", "--pair '', if it reads single texts"),
            ],
        )
    return Meaning(labels, task, paired, own=False)


def train_first(folder: Path) -> Hint:
    """Return the hint to fine-tune a model before it is used as a classifier."""
    return Hint(
        f"liteft.finetune({str(folder)!r}, DATA, out=RUN) first",
        f"liteft finetune --base {folder} --data DATA --out RUN first",
    )


def adopted_labels(labels: Sequence[str], others: Iterable[str]) -> tuple[str, ...] | None:
    """Return a model's labels under a data set's names if the match is unambiguous; else None.

    It is if the names differ only in case, or if LABEL_0, LABEL_1, ... correspond to the integers 0, 1, ... without a
    gap.

    Args:
        labels: the model's, in the order of its logits.
        others: the data's, in any order.
    """
    known = list(dict.fromkeys(others))
    if len(known) != len(labels):
        return None
    numbers = tuple(str(number) for number in range(len(labels)))
    if set(known) == set(numbers) and tuple(labels) == _generic(len(labels)):
        return numbers
    folded = {name.casefold(): name for name in known}
    if len(folded) == len(known) and {name.casefold() for name in labels} == set(folded):
        return tuple(folded[name.casefold()] for name in labels)
    return None


def renamed_text(labels: Sequence[str], names: Sequence[str]) -> str:
    """Return a sentence on which of a model's labels were renamed: "LABEL_0 is joy, LABEL_1 is anger"."""
    pairs = [f"{old} is {new}" for old, new in zip(labels, names, strict=True) if old != new]
    return ", ".join([*pairs[:_RENAMED], *(["..."] if len(pairs) > _RENAMED else [])])


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the label names in a file, in the order of the logits.

    Args:
        path: one name per line; or, ending in .json, a list of names, or an object like id2label in config.json.

    Raises:
        ConfigError: the file cannot be parsed, or contains none of these.
    """
    try:
        if path.suffix.lower() != ".json":
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            names = tuple(line.strip() for line in lines if line.strip())
            if unknown := [name for name in names if name in _UNKNOWN]:
                raise ConfigError(
                    f"{path} looks like a vocabulary: {len(names):,} lines, {unknown[0]} among them.",
                    accepted=_LABEL_FILES,
                    fix=option("labels", "labels.txt"),
                )
            return names
        content = files.read_json(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {files.os_reason(error)}.", fix=option("labels", "FILE")) from None
    except ValueError as error:
        raise ConfigError(
            f"{path} does not contain label names: {error}.", accepted=_LABEL_FILES, fix=option("labels", "labels.txt")
        ) from None
    if isinstance(content, Mapping):
        content = content.get("id2label", content)
        ordered = _numbered(content)
        if ordered is not None:
            return ordered
    elif isinstance(content, list) and all(isinstance(name, str) for name in content):
        return tuple(content)
    raise ConfigError(
        f"{path} does not contain label names.", accepted=_LABEL_FILES, fix=option("labels", "labels.txt")
    )


_UNKNOWN = ("[UNK]", "<unk>")  # in every vocabulary, while heads for words may have labels [CLS] and [SEP]
_LABEL_FILES = {
    "labels": 'one name per line; or .json: ["a", "b"], or {"0": "a", "1": "b"}, in the order of the logits'
}


def _own_meaning(folder: Path, own: Any, said: Said) -> Meaning:
    try:
        labels, task, paired = tuple(own["labels"]), task_named(own["task"]), bool(own["paired"])
        activation = own.get("activation")
    except (TypeError, KeyError) as error:
        raise ModelError(
            f"{folder / 'config.json'}: the key 'liteft' does not fit: {error!r}.", fix="copy the whole folder again"
        ) from None
    given = {"labels": said.labels, "task": said.task, "paired": said.paired, "activation": said.activation}
    stated = {"labels": labels, "task": task, "paired": paired, "activation": activation or task.activation}
    for name, value in given.items():
        if value is not None and value != stated[name]:
            hint = Hint("leave out paired", "leave out --pair") if name == "paired" else leave_out(name)
            raise ConfigError(
                f"{folder} was trained with {name} = {_shown(stated[name])}, but {_shown(value)} was requested.",
                fix=hint,
            )
    return Meaning(labels, task, paired, own=True, activation=activation)


def _labels(folder: Path, config: Mapping[str, Any], said: Said) -> tuple[str, ...]:
    named = config.get("id2label")
    # transformers omits its default of two labels from the file
    names = _numbered(named) if named else _generic(int(config.get("num_labels") or 2))
    count = len(named) if named else len(names or ())
    if said.labels is not None:
        if len(said.labels) != count or len(set(said.labels)) != count:
            raise ConfigError(
                f"{len(said.labels)} labels were given for {folder}, which has {count} logits.",
                accepted={"labels": f"{count} names, each once, in the order of the logits"},
                fix=f"give {count} names",
            )
        return said.labels
    if names is None:
        raise ModelError(
            f"{folder / 'config.json'} numbers its labels {_listed(named)}, but logits are numbered from 0.",
            accepted={"id2label": f"the numbers 0 to {count - 1}, each once"},
            fix=[f"correct id2label in {folder / 'config.json'}", LABELS_HINT],
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ModelError(
            f"{folder / 'config.json'} contains the label {twice!r} twice.",
            accepted={"id2label": "a different name for each logit"},
            fix=[f"correct id2label in {folder / 'config.json'}", LABELS_HINT],
        )
    return names


def _task(folder: Path, config: Mapping[str, Any], said: Said) -> Task | None:
    kind = config.get("problem_type")
    stated = next((task for task in TASKS.values() if kind is not None and task.problem_type == kind), None)
    if stated is not None and said.task not in (None, stated):
        raise ConfigError(
            f"{folder / 'config.json'} says problem_type {kind}, but task {said.task} was requested.",
            fix=[leave_out("task"), f"correct problem_type in {folder / 'config.json'}"],
        )
    return said.task or stated


def _refuse_closed_tags(folder: Path, labels: Sequence[str]) -> None:
    """Refuse a model whose tags say where a span ends, as BIOES does: its spans would be read as single words."""
    closed = [label for label in labels if _CLOSED.match(label)]
    if closed and any(label.startswith(("B-", "I-")) for label in labels):
        raise ModelError(
            f"the tags of {folder} say where spans end ({', '.join(closed[:4])}), as BIOES and BILOU do.",
            accepted={"tags": "IOB2 (B-X, I-X, O), or tags without such prefixes"},
            fix=train_first(folder),
        )


def _stated_task(folder: Path, said: Said, stated: Task) -> Task:
    """Return the task that an architecture has. Raises ConfigError if another was asked for."""
    if said.task is not None and said.task != stated:
        raise ConfigError(
            f"{folder} gives {stated.description} (its architecture says so), but task {said.task} was requested.",
            fix=[leave_out("task"), option("task", stated.name)],
        )
    return stated


def _of_scores(
    folder: Path, config: Mapping[str, Any], said: Said, labels: tuple[str, ...], paired: bool | None
) -> Meaning:
    """Return the meaning of a model with one logit, a reranker or a regression."""
    if len(labels) > 1:
        raise ModelError(
            f"{folder} gives {len(labels)} scores for a text, and a model of scores has one.",
            accepted={"logits": "1"},
            fix=[f"correct problem_type in {folder / 'config.json'}, if the logits are of labels", train_first(folder)],
        )
    stated = _stated_activation(folder, config)
    if said.activation not in (None, "sigmoid", "none"):
        raise ConfigError(
            f"activation is {said.activation!r}.",
            accepted={"activation": "sigmoid, for scores from 0 to 1; none, for logits as they are"},
            fix=option("activation", "sigmoid"),
        )
    if stated is not None and said.activation not in (None, stated):
        raise ConfigError(
            f"{folder / 'config.json'} states the activation {stated}, but {said.activation} was requested.",
            fix=leave_out("activation"),
        )
    found = stated or said.activation
    name = said.labels or (SCORES.name.removesuffix("s"),)
    return Meaning(name, SCORES, paired, own=False, activation=found or "none", guessed=found is None)


def _stated_activation(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Return the activation that sentence-transformers stored, or "none" for a regression; None if nothing is said."""
    newer = config.get("sentence_transformers")
    stated = newer.get("activation_fn") if isinstance(newer, Mapping) else None
    stated = stated or config.get("sbert_ce_default_activation_function")
    if stated is None:
        return "none" if config.get("problem_type") == SCORES.problem_type else None
    found = {"Sigmoid": "sigmoid", "Identity": "none"}.get(str(stated).rpartition(".")[2])
    if found is None:
        raise ModelError(
            f"{folder / 'config.json'} names the activation {stated}, which is not supported.",
            accepted={"activations": "torch.nn.modules.activation.Sigmoid, torch.nn.modules.linear.Identity"},
            fix=f"write one of these into {folder / 'config.json'}, if scores may be those",
        )
    return found


def _refuse_activation(folder: Path, said: Said) -> None:
    if said.activation is not None:
        raise ConfigError(
            f"an activation was given, and {folder} has labels, whose task decides it.",
            accepted={"activation": "for models of scores, with one logit"},
            fix=leave_out("activation"),
        )


def _reads_pairs(labels: Sequence[str]) -> bool:
    """Return whether these are the labels of natural language inference."""
    return any(label.casefold().replace("-", "_").startswith(_ENTAILMENT) for label in labels)


def _numbered(named: Any) -> tuple[str, ...] | None:
    """Return the names of an id2label in the order of the logits; None if the numbers are not 0 to n - 1."""
    try:
        listed = {int(index): str(label) for index, label in named.items()}
    except (AttributeError, TypeError, ValueError):
        return None
    return tuple(listed[index] for index in sorted(listed)) if sorted(listed) == [*range(len(named))] else None


def _generic(count: int) -> tuple[str, ...]:
    return tuple(f"LABEL_{number}" for number in range(count))


def _listed(named: Any) -> str:
    shown = [str(index) for index in named][:8] if isinstance(named, Mapping) else [type(named).__name__]
    return ", ".join(shown)


def _shown(value: object) -> str:
    return ", ".join(map(str, value[:8])) if isinstance(value, tuple) else str(value)
