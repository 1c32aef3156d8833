"""The transfer set: training texts, unlabelled texts, and the teacher's logits for them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np

from liteft.data import Split
from liteft.data.split import joined
from liteft.distillation.ensemble import taught_logits
from liteft.distillation.public_texts import bare_labels, learns_pool_alone
from liteft.distillation.training import StudentTraining
from liteft.errors import ConfigError, DataError, Hint, option
from liteft.finetuning.batches import Collator
from liteft.finetuning.fit import encode_rows, soft_targets
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.reading import read_split
from liteft.ragged import Rows
from liteft.recipes import StudentRecipe
from liteft.tasks import task_of_labels
from liteft.tokenization import TextTokenizer

__all__ = ["TransferSet", "ids_in", "teacher_runs", "transfer_set_of"]

_READING = ("normalizer", "pre_tokenizer")


@dataclass(frozen=True)
class TransferSet:
    """The rows that a student is trained on.

    Attributes:
        train: the rows, with ``teacher_logits`` where they are cached.
        epoch_texts: texts, or windows of long ones, by which the steps of an epoch are counted; a control, with fewer
            texts, has as many steps.
        split: the texts of ``train``.
        same_tokens: teacher and student have one tokenizer.
        teacher_ids: the teacher's id of each of the student's tokens, int64 (student's vocabulary,), where states
            are matched and the student's vocabulary is a part of the teacher's; None otherwise.
        augments_labelled: augmentation changes labelled texts too, not only those without labels. Where it does not,
            or where several teachers are asked, ``train`` has ``live``: rows whose logits the running teacher computes.
    """

    train: Collator
    epoch_texts: int
    split: Split
    same_tokens: bool = True
    teacher_ids: np.ndarray | None = None
    augments_labelled: bool = True


def _augments_labelled(recipe: StudentRecipe, unlabeled: Split | None) -> bool:
    """Say whether labelled texts are augmented too: by default only if there is nothing else to augment."""
    return unlabeled is None if recipe.augment_labelled is None else recipe.augment_labelled or unlabeled is None


def teacher_runs(recipe: StudentRecipe) -> bool:
    """Say whether the teacher must run on every batch, because texts are augmented or states matched."""
    return recipe.augmentation != "none" or bool(recipe.hidden_weight or recipe.relation_weight)


def transfer_set_of(training: StudentTraining, student: TorchClassifier, unlabeled: Split | None) -> TransferSet:
    """Return the rows that a student or a control is trained on.

    Args:
        training: how; its teacher is asked for logits, but never for a control. Logits of a teacher without a run are
            cached beside the checkpoints.
        student: tokenizes the texts.
        unlabeled: texts without labels, or None; a control leaves them out.

    Raises:
        ConfigError: matched states of a student whose tokens are not the teacher's.
    """
    train, teacher, recipe = training.dataset.train, training.teacher, training.recipe
    if learns_pool_alone(training):
        assert unlabeled is not None  # _check_pool
        train = bare_labels(train, unlabeled)
        split, unlabeled = train, None
    else:
        split = train if unlabeled is None else _joined(train, unlabeled)
    same = student.tokenizer.json_text == teacher.loaded.tokenizer.json_text
    teacher_ids = None if same else _teacher_ids(training, student)
    if training.is_control:
        copied = _augments_labelled(recipe, unlabeled)
        rows = encode_rows(student, train, **soft_targets(train))
        more = 0 if unlabeled is None else len(unlabeled)
        if unlabeled is not None and student.settings.task.per_word:
            more = len(read_split(student, unlabeled).encoded)
        return TransferSet(rows, len(rows.encoded) + more, train, same, teacher_ids, copied)
    live, copied = teacher_runs(recipe), _augments_labelled(recipe, unlabeled)
    if live and student.settings.marked and uses_type_ids(student.config) != uses_type_ids(teacher.loaded.config):
        raise ConfigError(
            "teacher and student are told the marked word in different ways, by type ids and by stars, so one cannot "
            "run on the other's tokens.",
            accepted={"for such a student": "logits alone"},
            fix=[option("student.hidden_weight", 0), option("student.relation_weight", 0)],
        )
    extras: dict[str, Rows] = {}
    if unlabeled is not None:
        extras["labelled"] = np.arange(len(split)) < len(train)
    several = teacher.folds is not None or bool(teacher.others)
    if recipe.augmentation != "none" and not copied:
        extras["live"] = ~extras["labelled"]
        extras["teacher_logits"] = np.zeros((len(split), len(training.dataset.labels)), dtype=np.float32)
        extras["teacher_logits"][: len(train)] = taught_logits(training, train)
    elif recipe.augmentation == "none" and (not live or several or recipe.matching_epochs or recipe.quantized_epochs):
        extras["teacher_logits"] = taught_logits(training, split)
        if live and several:
            extras["live"] = np.zeros(len(split), dtype=bool)
    rows = encode_rows(student, split, **extras, **soft_targets(split))
    rows.types |= live and uses_type_ids(teacher.loaded.config)
    return TransferSet(rows, len(rows.encoded), split, same, teacher_ids, copied)


def _teacher_ids(training: StudentTraining, student: TorchClassifier) -> np.ndarray | None:
    """Return the teacher's id of each of the student's tokens where states are matched; None where they are not.

    Raises:
        ConfigError: a student whose tokens are not the teacher's is to match its states.
    """
    if not (training.recipe.hidden_weight or training.recipe.relation_weight):
        return None
    teacher_ids = ids_in(training.teacher.loaded.tokenizer, student.tokenizer)
    if teacher_ids is None and not training.is_control:
        raise ConfigError(
            "matched states need a student that reads the teacher's tokens, or a part of its vocabulary.",
            accepted={"with another tokenizer": "logits, and augmentation of texts"},
            fix=Hint(
                "hidden_weight=0, relation_weight=0, matching_epochs=0",
                "--set student.hidden_weight=0 --set student.relation_weight=0 --set student.matching_epochs=0",
            ),
        )
    return teacher_ids


def ids_in(whole: TextTokenizer, part: TextTokenizer) -> np.ndarray | None:
    """Return the id in ``whole`` of each token of ``part``, or None if it is not a subset.

    A student with a trimmed vocabulary splits some words into smaller tokens than its teacher does, but all of them are
    also the teacher's: given to the teacher, they produce states that correspond token by token.
    """
    ours, theirs = json.loads(part.json_text), json.loads(whole.json_text)
    if ours["model"]["type"] != theirs["model"]["type"] or any(ours.get(key) != theirs.get(key) for key in _READING):
        return None
    ids = [whole.token_id(token) for token in part.tokens()]
    return None if None in ids else np.array(ids, dtype=np.int64)


def _joined(train: Split, unlabeled: Split) -> Split:
    """Return the training split with unlabelled texts appended, whose labels are -1 or, multi-label, all False."""
    if train.labels is None:
        raise DataError("the training split has no labels.", fix="give a training file with a column of labels")
    task = task_of_labels(train.labels)
    empty = task.without_labels(len(unlabeled), task.label_count(train.labels), unlabeled.words)
    empty = empty.astype(train.labels.dtype)
    soft = None if train.soft_labels is None else np.zeros((len(unlabeled), train.soft_labels.shape[1]), np.float32)
    return joined("train", [train, replace(unlabeled, labels=empty, soft_labels=soft)])
