"""What a finished artifact scores itself, on each engine that runs it here.

The figures of a run are its model's, in torch. A graph in int8 may answer otherwise on a text in a hundred, and two
engines otherwise than each other, so an artifact carries figures of its own beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liteft.data import Split
from liteft.exporting.verify import check_pairs
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.run_folder import split_metrics
from liteft.runtime import load
from liteft.tasks import Task

__all__ = ["measure_artifact", "measured_text"]


def measure_artifact(
    folder: Path, loaded: TorchClassifier, split: Split, *, backends: Sequence[str], trust: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the metrics of a labelled split for each backend: {split's name: {backend: metrics}}.

    Args:
        folder: the artifact.
        loaded: the model that it came from, for its tokenizer and task.
        split: its labels in the model's order; texts without a single token have no answer, and are left out.
        backends: "native", "onnxruntime", or both.
        trust: as in ``liteft.load``.

    Raises:
        DataError: pairs for a model of single texts, or the reverse.
    """
    check_pairs(split, loaded)
    lengths = loaded.tokenizer.encode(split.texts, split.pairs).lengths
    if not lengths.any():
        return {}
    some = split if lengths.all() else split.take(lengths > 0)
    found = {}
    for backend in backends:
        with load(folder, device="cpu", backend=backend, trust=trust) as classifier:
            found[backend] = split_metrics(classifier.logits(some.texts, some.pairs), some, loaded.settings.task)
    return {split.name: found}


def measured_text(measured: dict[str, dict[str, Any]], task: Task) -> str:
    """Return what was measured as a line."""
    metric = task.primary_metric
    name = metric.replace("_", " ")
    return "; ".join(
        f"{name} {100 * values[metric]:.2f}% on {values['n']:,} texts of {split} ({backend})"
        for split, engines in measured.items()
        for backend, values in engines.items()
    )
