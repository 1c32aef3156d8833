"""Texts that a student is scored on, and that its teacher was trained on.

A teacher that was fine-tuned on other data, or on other splits of the same, may know the texts by which its student is
chosen and tested: then the student, which starts from its layers and learns its answers, seems better than it is.
"""

from __future__ import annotations

import numpy as np

from liteft.data.splitting import text_hashes
from liteft.distillation.training import StudentTraining
from liteft.errors import RunError

__all__ = ["texts_seen_before"]


def texts_seen_before(training: StudentTraining) -> list[str]:
    """Return a sentence for each scored split with texts that a teacher was trained on, and the student is not.

    Nothing is known of a teacher without a run. What the student's own training texts repeat, the data check reports.
    """
    if training.is_control and (training.kind == "c0" or training.encoder is not None):
        return []  # it has nothing of the teacher
    dataset, found = training.dataset, []
    hashes = {name: text_hashes(split.texts, split.pairs) for name, split in dataset.splits.items()}
    others = () if training.is_control else training.teacher.others
    for teacher in (training.teacher, *others):
        if teacher.run is None:
            continue
        try:
            more = np.setdiff1d(teacher.run.text_hashes("train"), hashes["train"])
        except RunError:  # predictions that were removed
            continue
        for name, own in hashes.items():
            count = int(np.isin(own, more).sum())
            if count:
                found.append(
                    f"{count:,} of the {len(own):,} texts of {name} {'was' if count == 1 else 'were'} trained on by "
                    f"the teacher {teacher.name}: the numbers on {name} flatter what it teaches"
                )
    return found
