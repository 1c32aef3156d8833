"""Texts that a teacher has seen and its student must not have: those that are scored, and a pool's labels.

A teacher that was fine-tuned on other data, or on other splits of the same, may know the texts by which its student is
chosen and tested: then the student, which starts from its layers and learns its answers, seems better than it is. If
it knows labels of texts that are the student's pool, it passes labels on that the arms without a teacher, and the
floors, do not get.
"""

from __future__ import annotations

import numpy as np

from liteft.data import Split
from liteft.data.splitting import text_hashes
from liteft.distillation.training import StudentTraining
from liteft.errors import RunError
from liteft.run import ancestors

__all__ = ["texts_seen_before"]

_USES = {"train": "trained on by", "validation": "used to choose"}


def texts_seen_before(training: StudentTraining, pool: Split | None) -> list[str]:
    """Return a sentence for each split with texts that a teacher has seen, and the student has not.

    The teacher's own teachers count as well. Nothing is known of a teacher without a run. What the student's own
    training texts repeat, the data check reports.

    Args:
        training: of the student, or of another arm.
        pool: the texts without labels, before any are picked.
    """
    if training.is_control and (training.kind == "c0" or training.encoder is not None):
        return []  # it has nothing of the teacher
    splits = training.dataset.splits | ({} if pool is None else {"pool": pool})
    hashes = {name: text_hashes(split.texts, split.pairs) for name, split in splits.items()}
    found: list[str] = []
    others = () if training.is_control else training.teacher.others
    for teacher in (training.teacher, *others):
        for run in () if teacher.run is None else (teacher.run, *ancestors(teacher.run)):
            for use in _USES:
                try:
                    more = np.setdiff1d(run.text_hashes(use), np.concatenate([hashes["train"], hashes[use]]))
                except RunError:  # predictions that were removed
                    continue
                for name, texts in hashes.items():
                    count = int(np.isin(texts, more).sum())
                    if count and name != "train" and (name, use) != ("pool", "validation"):
                        found.append(_sentence(name, use, count, len(texts), teacher.name))
    return list(dict.fromkeys(found))  # a teacher and its own teacher often say the same


def _sentence(split: str, use: str, count: int, texts: int, teacher: str) -> str:
    """Return what it means that a teacher was trained on, or chosen by, some texts of a split."""
    of = "unlabelled texts" if split == "pool" else f"texts of {split}"
    harm = (
        "it passes on labels that arms without a teacher and the floors do not get"
        if split == "pool"
        else f"the numbers on {split} flatter what it teaches"
    )
    verb = "was" if count == 1 else "were"
    return f"{count:,} of the {texts:,} {of} {verb} {_USES[use]} the teacher {teacher}: {harm}"
