"""The gate: what was written is run as a user would run it, and compared with the model it came from.

Nothing leaves `export` unverified. The written folder is loaded with liteft.runtime and run on real texts,
and its logits are compared with torch's. Beyond the limits the export fails, and says on which texts. ONNX
Runtime runs it always, and the native backend too where this machine has its library and the graph is one node:
each must pass, and the worse of the two is what the manifest says. Three things are judged:

- the export is faithful: logits (fp32, fp16), chosen labels and accuracy within stated limits;
- the model is worth shipping: it beats the answer that always names the most frequent label. A graph that
  agrees with a model that learned nothing is no success;
- the graph is sound where the data may not look: see probes.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liteft.artifact import read_artifact
from liteft.data import Split
from liteft.errors import ArtifactError, DataError, DeviceError, ModelError, VerificationError
from liteft.exporting.limits import Limits
from liteft.exporting.precision import Precision
from liteft.exporting.probes import ProbeResult, run_probes
from liteft.finetuning.model import LoadedClassifier, predict_logits
from liteft.metrics import (
    Task,
    agreement,
    binomial_tail,
    correct,
    decide,
    majority_share,
    mcnemar,
    wilson_interval,
)
from liteft.runtime import load
from liteft.runtime.backends import choose_engine
from liteft.runtime.native_library import has_library

__all__ = ["verify_artifact"]

_WORST = 5
_SIGNIFICANCE = 0.05  # one-sided, of labels and accuracy beyond their limits: a few near ties prove nothing
_SHOWN = 70


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Both models on the same texts: logits, float32 (texts, labels), and what the probes saw."""

    backend: str
    split: Split
    task: Task
    model: np.ndarray
    exported: np.ndarray
    probes: ProbeResult

    @property
    def differences(self) -> np.ndarray:
        """Largest logit difference of each text, float32 (texts,)."""
        return np.asarray(np.abs(self.model - self.exported).max(axis=1))


def verify_artifact(
    folder: Path,
    loaded: LoadedClassifier,
    split: Split,
    *,
    precision: Precision,
    limits: Limits | None = None,
    limits_of: Precision | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Compare a written artifact with the model it came from, and return what was measured.

    Args:
        folder: the artifact.
        loaded: the torch model.
        split: texts to compare on; labels, where there are any, judge accuracy too.
        precision: of the artifact.
        limits: how far it may be off.
        limits_of: the precision whose own limits hold where ``limits`` sets none; None for the artifact's.
        progress: called with a line of text now and then.

    Returns:
        A dictionary for the manifest: split, texts, of_texts, backends (those that ran it), logit_difference
        (largest), batch_difference, agreement, accuracy of both, accuracy_interval (95%) and accuracy_p_value
        (McNemar's, two-sided) of the exported model, majority, limits. The accuracy values are None without labels;
        for multi-label they are shares of exact matches. Of several backends, each value is the worst, and those of
        accuracy are the least accurate backend's.

    Raises:
        VerificationError: beyond a limit, or the model does not beat the majority class.
        DataError: the split has no texts with tokens, or does not fit the task.
        DeviceError: LITEFT_LIBRARY names something else than the native library.
    """
    limits = (limits or Limits()).resolved(limits_of or precision)
    chosen = _chosen_texts(split, loaded, limits.texts)
    if progress is not None:
        progress(
            f"verifying the {precision} graph on {len(chosen):,} of {len(split):,} texts of {split.name}"
        )
    comparisons = _run_all(folder, loaded, chosen, precision)
    measured_each = [_measured(comparison) for comparison in comparisons]
    measured = _worst(measured_each)
    useless = measured["majority"] is not None and measured["model_accuracy"] <= measured["majority"]
    for comparison, each in zip(comparisons, measured_each, strict=True):
        if beyond := _beyond(comparison, each, limits):
            raise _disagreement(comparison, loaded, precision, beyond)
    if useless:
        raise VerificationError(
            f"{loaded.path} does not beat the majority class on {split.name}; nothing was exported.",
            accepted={
                "its accuracy": f"{measured['model_accuracy']:.1%}",
                "the most frequent label alone": f"{measured['majority']:.1%}",
            },
            fix=["train longer, or with another learning rate", "read the data check"],
        )
    return {
        "split": split.name,
        "texts": len(chosen),
        "of_texts": len(split),
        "backends": [comparison.backend for comparison in comparisons],
        **measured,
        "limits": asdict(limits),
    }


def _chosen_texts(split: Split, loaded: LoadedClassifier, most: int) -> Split:
    """Return the texts to compare on; those without a single token have no answer, and are left out."""
    paired = loaded.settings.paired
    if (split.pairs is not None) != paired:
        raise DataError(
            f"split {split.name!r} has {'pairs' if split.pairs is not None else 'no pairs'}, "
            f"and the model reads {'pairs' if paired else 'single texts'}.",
            fix="--pair COLUMN" if paired else "leave out --pair",
        )
    if len(split) > most:
        split = split.take(np.linspace(0, len(split) - 1, most).round().astype(np.int64))
    lengths = loaded.tokenizer.encode(split.texts, split.pairs).lengths if len(split) else np.zeros(0)
    if not lengths.any():
        raise DataError(f"split {split.name!r} has no texts to verify on.", fix="give some texts of the task")
    return split if lengths.all() else split.take(lengths > 0)


def _run_all(folder: Path, loaded: LoadedClassifier, chosen: Split, precision: Precision) -> list[_Comparison]:
    """Run the model once, and the artifact and the probes on every backend that has to run it here.

    Raises:
        DeviceError: LITEFT_LIBRARY names something else than the native library.
        VerificationError: the artifact cannot be run, or its logits are not numbers.
        ModelError: the logits of the model itself are not numbers.
    """
    native = has_library()
    reference = predict_logits(loaded, chosen.texts, chosen.pairs)
    if not np.isfinite(reference).all():
        raise ModelError(
            f"the logits of {loaded.path} are not finite numbers.", fix="train it again, in fp32"
        )
    comparisons = []
    backend = "onnxruntime"
    try:
        artifact = read_artifact(folder)
        native = native and artifact.manifest.graph_form == "function"
        for backend in ("onnxruntime", *(["native"] if native else [])):
            with load(folder, device="cpu", backend=backend) as classifier:
                exported = classifier.logits(chosen.texts, chosen.pairs)
                threads = classifier.threads
            engine = choose_engine(artifact, device="cpu", backend=backend, threads=threads)
            probes = run_probes(loaded, engine)
            comparisons.append(
                _Comparison(backend, chosen, loaded.settings.task, reference, exported, probes)
            )
    except (ArtifactError, DeviceError, ModelError) as error:
        raise VerificationError(
            f"the {precision} graph of {loaded.path} does not run on {backend}; nothing was exported.",
            accepted={"what happened": error.message},
            fix="--precision fp32" if precision != "fp32" else "report it: it is a mistake of LiteFT's",
        ) from error
    return comparisons


def _measured(comparison: _Comparison) -> dict[str, Any]:
    """Return the numbers for the manifest; those that need labels are None without them."""
    measured: dict[str, Any] = {
        "logit_difference": float(comparison.differences.max()),
        "logit_difference_mean": float(comparison.differences.mean()),
        "probe_difference": comparison.probes.reference_difference,
        "batch_difference": comparison.probes.batch_difference,
        "probe_lengths": list(comparison.probes.lengths),
        "agreement": agreement(comparison.model, comparison.exported, comparison.task),
        "accuracy": None,
        "accuracy_interval": None,
        "accuracy_p_value": None,
        "model_accuracy": None,
        "majority": None,
    }
    split, task = comparison.split, comparison.task
    if split.labels is None:
        return measured
    model, exported = (
        correct(logits, split.labels, task=task, foreign=split.foreign)
        for logits in (comparison.model, comparison.exported)
    )
    return measured | {
        "accuracy": float(exported.mean()),
        "accuracy_interval": list(wilson_interval(int(exported.sum()), len(exported))),
        "accuracy_p_value": mcnemar(model, exported).p_value,
        "model_accuracy": float(model.mean()),
        "majority": majority_share(split.labels, task=task),
    }


def _worst(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Return of every number the worst one; what the backends have in common stays."""
    worst = dict(measured[0])
    for name in ("logit_difference", "logit_difference_mean", "probe_difference", "batch_difference"):
        worst[name] = max(each[name] for each in measured)
    worst["agreement"] = min(each["agreement"] for each in measured)
    if worst["accuracy"] is not None:
        lowest = min(measured, key=lambda each: each["accuracy"])
        worst |= {name: lowest[name] for name in ("accuracy", "accuracy_interval", "accuracy_p_value")}
    return worst


def _beyond(comparison: _Comparison, measured: dict[str, Any], limits: Limits) -> dict[str, str]:
    """Return what is beyond its limit: name -> value and limit, in words."""
    beyond: dict[str, str] = {}
    numbers = (
        ("largest logit difference", measured["logit_difference"], limits.logit_difference),
        ("on random tokens", measured["probe_difference"], limits.logit_difference),
        ("a text alone and in a batch", measured["batch_difference"], limits.batch_difference),
    )
    for words, value, limit in numbers:
        if limit is not None and not value <= limit:
            beyond[words] = f"{value:.2g}, limit {limit:g}"
    count = len(comparison.split)
    differing = round((1 - measured["agreement"]) * count)
    chance = binomial_tail(differing, count, 1 - limits.agreement)
    if chance < _SIGNIFICANCE:
        share = f"{measured['agreement']:.1%} of the texts, limit {limits.agreement:.1%}"
        beyond["same label"] = f"{share} (p = {chance:.2g})"
    if measured["accuracy"] is not None:
        lost = round((measured["model_accuracy"] - measured["accuracy"]) * count)
        chance = measured["accuracy_p_value"] / 2
        if lost > limits.accuracy_drop * count and chance < _SIGNIFICANCE:
            both = f"{measured['accuracy']:.1%}, of the model {measured['model_accuracy']:.1%}"
            beyond["accuracy"] = f"{both}, limit {100 * limits.accuracy_drop:g} points less (p = {chance:.2g})"
    return beyond


def _disagreement(
    comparison: _Comparison, loaded: LoadedClassifier, precision: Precision, beyond: dict[str, str]
) -> VerificationError:
    finer = {"int8": "--precision fp16, or fp32", "fp16": "--precision fp32"}
    return VerificationError(
        f"the {precision} graph does not agree with {loaded.path} on {comparison.split.name}; "
        "nothing was exported.",
        accepted={"run by": comparison.backend} | beyond | _worst_texts(comparison, loaded.settings.labels),
        fix=finer.get(precision, "report it: a float32 graph that disagrees is a mistake of LiteFT's"),
    )


def _worst_texts(comparison: _Comparison, labels: tuple[str, ...]) -> dict[str, str]:
    """Return the texts that are furthest apart, those with another label first, in words."""
    model, exported = (decide(each, comparison.task) for each in (comparison.model, comparison.exported))
    changed = model != exported if model.ndim == 1 else (model != exported).any(axis=1)
    differences = comparison.differences
    shown: dict[str, str] = {}
    for row in np.lexsort((-differences, ~changed)):
        pairs = comparison.split.pairs
        text = comparison.split.texts[row] + ("" if pairs is None else f" | {pairs[row]}")
        text = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
        names = " -> ".join(_names(each[row], labels) for each in (model, exported))
        shown.setdefault(text, f"{names}, logits {differences[row]:.3g} apart: {text!r}")
        if len(shown) == _WORST:
            break
    return {f"worst text {rank}": line for rank, line in enumerate(shown.values(), start=1)}


def _names(decision: Any, labels: tuple[str, ...]) -> str:
    if np.ndim(decision) == 0:
        return labels[int(decision)]
    return " + ".join(label for label, chosen in zip(labels, decision, strict=True) if chosen) or "no label"
