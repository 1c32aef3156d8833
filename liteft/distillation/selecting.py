"""The texts of a pool that are worth learning from: those of which the teacher is sure and the student is not.

A text that both know teaches nothing, and of a text that the teacher does not know it teaches noise. So texts are
ranked by the teacher's sureness times the untrained student's doubt, each a share of the largest entropy, and the first
``student.pool_select`` are kept, in their order in the pool. Of equal texts only the first counts. Of several teachers
the first is asked.

Source: LLKD, Li et al. 2024, section 3, arXiv:2411.08028, whose thresholds are replaced by a rank, so that the number
of texts is known before.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from liteft.data import Split
from liteft.data.splitting import normalised
from liteft.distillation.ensemble import cached_logits
from liteft.distillation.training import StudentTraining
from liteft.finetuning.model import TorchClassifier
from liteft.ragged import Ragged, Rows
from liteft.tasks import Task

__all__ = ["different_texts", "select_pool", "worth"]

_TEXTS = 1 << 16


def select_pool(training: StudentTraining, student: TorchClassifier, pool: Split) -> Split:
    """Return the texts of a pool that a student is trained on; all of them, if there are not too many.

    Args:
        training: its teacher is asked. A control learns none of the texts, but is trained for as many steps as if it
            did, so it gets the first ones, and nobody is asked.
        student: untrained.
        pool: texts without labels.
    """
    count = training.recipe.pool_select
    if count is None or len(pool) <= count:
        return pool
    different = pool.take(different_texts(pool))
    if len(different) <= count:
        return different
    if training.is_control:
        return different.take(np.arange(count))
    teacher, task = training.teacher, training.dataset.task
    # Without a run its logits are cached beside the checkpoints, and go with them.
    asked = replace(teacher, run=None, loaded=student, weights_sha256=_hash(student))
    sure, doubtful = (
        cached_logits(training, teacher, different),
        cached_logits(training, asked, different, name="student"),
    )
    best = np.argsort(-worth(sure, doubtful, task), kind="stable")[:count]
    training.context.tell(
        f"pool: {count:,} of {len(pool):,} texts, of which the teacher is sure and the student is not"
    )
    return different.take(np.sort(best))


def different_texts(split: Split) -> np.ndarray:
    """Return the rows of the first text of each kind, ascending: int64."""
    seen: set[bytes] = set()
    rows = []
    for row, text in enumerate(split.texts):
        key = normalised(text, None if split.pairs is None else split.pairs[row])
        if split.marked is not None:
            key = f"{split.marked[row]} {key}"
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            rows.append(row)
    return np.array(rows, dtype=np.int64)


def worth(teacher: Rows, student: Rows, task: Task) -> np.ndarray:
    """Return the teacher's sureness times the student's doubt, between 0 and 1: float64 (texts,).

    Args:
        teacher, student: logits, float (texts, labels), or a Ragged of words.
        task: what the labels mean.
    """
    even: Rows = np.zeros((1, teacher.shape[1]))
    most = task.entropy(Ragged(even, np.array([0, 1])) if task.per_word else even)[0]
    found = np.empty(len(teacher))
    for first in range(0, len(found), _TEXTS):
        rows = slice(first, first + _TEXTS)
        found[rows] = (1 - task.entropy(teacher[rows]) / most) * task.entropy(student[rows]) / most
    return found


def _hash(student: TorchClassifier) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(student.model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
