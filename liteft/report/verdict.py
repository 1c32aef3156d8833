"""Whether a model beats the floors: said in the first line wherever it does not, and not at all if it does.

A model beats a floor if both its main metric and its macro F1 are higher: the accuracy of word counts is no gain, and
neither is an accuracy that is paid for by the rare labels.
"""

from __future__ import annotations

import numpy as np

from liteft.floors import Floor, Floors, not_beaten
from liteft.metrics import mcnemar
from liteft.ragged import Rows
from liteft.run import Run
from liteft.text_tables import metric_words

__all__ = ["not_better_than_floors", "run_not_better_than_floors"]


def not_better_than_floors(
    name: str,
    logits: Rows,
    labels: Rows,
    floors: Floors,
    split: str,
    *,
    unseen_label: np.ndarray | None = None,
    tuned: bool = False,
) -> str:
    """Return a sentence that says which floor a model does not beat, with both values and paired intervals.

    Of several such floors the one with the highest main metric is compared, and the others are named.

    Args:
        name: of the model.
        logits: of the model, float (texts, labels), in the floors' order of labels.
        labels: gold labels as ``Task.score`` takes them.
        floors: of the data set.
        split: name of the split that logits and labels are of.
        unseen_label: bool (texts,) or None, as for ``Task.score``.
        tuned: the model's threshold was chosen on validation, as the floors' is; else the sentence says how to.

    Returns:
        The sentence, or "" if the model's main metric and macro F1 are higher than those of every floor.
    """
    task = floors.task
    metrics = task.judged_by
    scores = task.score(logits, labels, unseen_label=unseen_label)
    unbeaten = not_beaten(scores, {row.name: row.scores[split] for row in floors.rows}, task)
    if not unbeaten:
        return ""
    floor = max(
        (row for row in floors.rows if row.name in unbeaten), key=lambda row: row.scores[split][task.primary_metric]
    )
    ranges = _differences(floor, logits, labels, floors, split, unseen_label)
    parts = []
    for each in metrics:
        low, high = (100 * value for value in ranges[each])
        own, other = 100 * scores[each], 100 * floor.scores[split][each]
        gained = f"{own - other:+.1f} [{low:+.1f}, {high:+.1f}]"
        parts.append(f"{metric_words(each)} {own:.1f} and {other:.1f} ({gained})")
    said = f"{name} is not better than {floor.name} on {split}: {', '.join(parts)}."
    if len(unbeaten) > 1:
        said += f" Nor than {' and '.join(each for each in unbeaten if each != floor.name)}."
    if not task.several or tuned:
        return said
    return f"{said} The floor chooses labels at a threshold tuned on validation, {name} at 0.5 (see tune_threshold)."


def run_not_better_than_floors(run: Run, floors: Floors, split: str) -> str:
    """Return the sentence of `not_better_than_floors` for a run, named after its kind, from its stored predictions.

    Raises:
        RunError: the run has no readable predictions for the split.
    """
    logits, labels = run.predictions(split)
    unseen_label = run.unseen_label(split)
    return not_better_than_floors(run.kind, logits, labels, floors, split, unseen_label=unseen_label, tuned=run.tuned)


def _differences(
    floor: Floor,
    logits: Rows,
    labels: Rows,
    floors: Floors,
    split: str,
    unseen_label: np.ndarray | None,
) -> dict[str, tuple[float, float]]:
    """Return the 95% intervals of the model's metrics minus the floor's, on the same texts."""
    task, found = floors.task, floor.logits(split, floors.task, len(floors.labels))
    ranges = task.paired_f1_intervals(found, logits, labels, unseen_label=unseen_label)
    first, second = (task.correct(each, labels, unseen_label=unseen_label) for each in (found, logits))
    tested = mcnemar(first, second)
    return {task.text_metric: (tested.low, tested.high), **ranges}
