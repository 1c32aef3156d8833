"""Measures a finished artifact on a labelled split, with each backend that runs on this machine.

The metrics of a run are those of its torch model. An int8 graph may give another label to one text in a hundred, and
two backends may differ from each other, so the artifact has metrics of its own too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liteft.data import Split
from liteft.exporting.verify import check_pairs
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.reading import read_texts
from liteft.finetuning.run_folder import split_metrics
from liteft.runtime import load
from liteft.runtime.splits import split_logits
from liteft.tasks import Task
from liteft.text_tables import metric_words

__all__ = ["measure_artifact", "measured_text"]


def measure_artifact(
    folder: Path,
    loaded: TorchClassifier,
    split: Split,
    *,
    backends: Sequence[str],
    threads: int | None = None,
    trust: bool = False,
) -> dict[str, dict[str, Any]]:
    """Return the metrics of the artifact on a labelled split.

    Args:
        folder: the artifact.
        loaded: the model that was exported, for its tokenizer and task.
        split: texts with labels in the model's order. Texts without any token are left out, as they get no prediction.
        backends: "native", "onnxruntime", or both.
        threads, trust: as in ``liteft.load``.

    Returns:
        {name of the split: {backend: metrics}}; empty if no text has a token.

    Raises:
        DataError: the split has pairs and the model reads single texts, or the reverse.
    """
    check_pairs(split, loaded)
    read = read_texts(loaded, split)
    if not read.any():
        return {}
    some = split if read.all() or loaded.settings.task.per_word else split.take(read)
    found = {}
    for backend in backends:
        with load(folder, device="cpu", backend=backend, threads=threads, trust=trust) as classifier:
            found[backend] = split_metrics(split_logits(classifier, some), some, loaded.settings.task)
    return {split.name: found}


def measured_text(measured: dict[str, dict[str, Any]], task: Task) -> str:
    """Return the result of `measure_artifact` as a line of text."""
    metric = task.primary_metric
    name = metric_words(metric)
    return "; ".join(
        f"{name} {100 * values[metric]:.2f}% on {values['n']:,} texts of {split} ({backend})"
        for split, engines in measured.items()
        for backend, values in engines.items()
    )
