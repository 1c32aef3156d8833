"""The gate: runs the written artifact as a user would, and compares it with the model it was exported from.

Every export goes through it. The written folder is loaded with liteft.runtime and run on real texts, and its logits are
compared with torch's. If they differ by more than the limits the export fails, and the error shows the texts that
differ most. ONNX Runtime always runs the artifact; the native backend does too if its library is on this machine and
the graph is one node. Both must pass, and the manifest records the worse of the two. Four things are checked:

- The export is faithful: logits (fp32, fp16), labels and accuracy are within the limits, and labels of unlabelled texts
  too if there are any. An int8 graph, after ONNX Runtime has optimized it, has as many integer matmuls as intended.
- The model is worth shipping: it is better than answers that do not depend on the text. A graph that agrees with a
  model that has learned nothing is not a success.
- The graph works for inputs that the texts may not have: see probes.py.
- LiteFT reads the model folder and the artifact as transformers does: see source.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from liteft.artifact import read_artifact
from liteft.data import Split
from liteft.encoder.families import BUILT
from liteft.errors import (
    REPORT,
    ArtifactError,
    DataError,
    DeviceError,
    Hint,
    InputError,
    ModelError,
    VerificationError,
    leave_out,
    option,
)
from liteft.exporting.disagreement import Comparison, disagreement
from liteft.exporting.limits import Limits, logit_scale
from liteft.exporting.probes import run_probes
from liteft.exporting.sessions import optimized_kinds
from liteft.exporting.source import SourceReading
from liteft.finetuning.foreign_tags import refuse_iob1
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.reading import read_texts
from liteft.form import Precision
from liteft.int8 import INTEGER_MATMULS
from liteft.metrics import (
    binomial_tail,
    mcnemar,
    wilson_interval,
)
from liteft.ragged import Rows, values_of
from liteft.runtime.backends import checked_threads, choose_engine
from liteft.runtime.classifier import opened_classifier
from liteft.runtime.native_library import has_library
from liteft.runtime.recorded import recorded_logits
from liteft.runtime.splits import split_logits
from liteft.text_tables import metric_words
from liteft.untrusted import TRUST

__all__ = ["Gate", "check_pairs"]

_SIGNIFICANCE = 0.05  # one-sided, for labels and accuracy that exceed their limits: a few near ties prove nothing


class Gate:
    """Compares written artifacts with the model that they were exported from, which is run once, on construction.

    Args:
        loaded: the torch model.
        split: texts to compare on; if they have labels, accuracy is judged too.
        precision: of the artifacts.
        limits: how far the artifacts may differ from the model.
        limits_of: the precision whose default limits apply where ``limits`` sets none; None for ``precision``.
        unlabeled: more texts on which labels are compared; their own labels, if any, are ignored.
        source: what transformers alone gives for the model's folder.
        trust, threads: as in ``liteft.load``, for loading the artifacts.
        progress: called with a line of text now and then.

    Attributes:
        recorded: logits of LiteFT's own texts, by backend, of the last artifact that was compared; empty for a model
            that cannot read one of them.

    Raises:
        DataError: no text of a split has tokens, or the split does not fit the task.
        ModelError: the logits of the torch model are not finite.
    """

    def __init__(
        self,
        loaded: TorchClassifier,
        split: Split,
        *,
        precision: Precision,
        limits: Limits | None = None,
        limits_of: Precision | None = None,
        unlabeled: Split | None = None,
        source: SourceReading | None = None,
        trust: bool = False,
        threads: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._loaded, self._precision, self._all, self._source = loaded, precision, split, source
        self.recorded: dict[str, list[Any]] = {}
        self._trust, self._threads = trust, threads
        limits = limits or Limits()
        self.split = _chosen_texts(split, loaded, limits.texts)
        self._splits = [self.split]
        if unlabeled is not None:
            unlabeled = replace(unlabeled, labels=None, unseen_label=None, soft_labels=None)
            self._splits.append(_chosen_texts(unlabeled, loaded, limits.texts))
        if progress is not None:
            more = "" if unlabeled is None else f", and {len(self._splits[1]):,} unlabelled ones"
            progress(
                f"verifying the {precision} graph on {len(self.split):,} of {len(split):,} texts of {split.name}{more}"
            )
        self._references = [_reference(loaded, each) for each in self._splits]
        scale = logit_scale(loaded.settings.task, self._references[0])
        self.limits = limits.resolved(limits_of or precision, scale=scale)

    def check(self, folder: Path, *, int8_products: int = 0) -> dict[str, Any]:
        """Compare an artifact with the model, and return what was measured.

        Args:
            folder: the artifact.
            int8_products: how many integer matmuls the graph is meant to have.

        Returns:
            The manifest's record of the verification: split, texts, of_texts, backends (those that ran the artifact),
            logit_difference (largest), batch_difference, agreement, accuracy of the artifact and of the model,
            accuracy_interval (95%) and accuracy_p_value (McNemar's, two-sided) of the artifact, calibration_error of
            both, majority, unlabeled (texts and agreement), int8_products, transformers (what was compared with it, on
            difficult texts), limits. Values that need labels are None if there are none. For multi-label, accuracy is
            the share of exact matches; scores have none. Tags and scores have ``primary``, their main metric. With
            several backends each value is the worst, and the values of accuracy are those of the least accurate
            backend.

        Raises:
            Disagreement: a limit is exceeded.
            VerificationError: the artifact cannot be run, the number of integer matmuls is wrong, or the model does not
                do better than answers that do not depend on the text.
            DeviceError: LITEFT_LIBRARY names something other than the native library.
        """
        self._check_tokenizer(folder)
        comparisons, answers = self._run_all(folder)
        artifact_reading = None if self._source is None else self._source.check_artifact(folder, trust=self._trust)
        if self._precision == "int8":
            self._count_products(folder, int8_products)
        measured_each = [_measured(comparison) for comparison, *_ in comparisons]
        unlabeled_each = [_unlabeled(others) for _, *others in comparisons]
        measured = _worst(measured_each)
        labels = self._loaded.settings.labels
        for (comparison, *others), each in zip(comparisons, measured_each, strict=True):
            if beyond := _beyond(comparison, each, self.limits):
                raise disagreement(comparison, labels, self._loaded.path, self._precision, beyond)
            for other in others:
                agreed = other.task.agreement(other.model, other.exported)
                if beyond := _labels_beyond(agreed, other, self.limits):
                    raise disagreement(other, labels, self._loaded.path, self._precision, beyond)
        for backend, logits in answers.items():
            self._check_source(logits, backend)
        if self.split.labels is not None:
            self._refuse_blind(measured["majority"])
        return {
            "split": self.split.name,
            "texts": len(self.split),
            "of_texts": len(self._all),
            "backends": [comparison.backend for comparison, *_ in comparisons],
            **measured,
            "unlabeled": min(unlabeled_each, key=lambda each: each["agreement"]) if len(self._splits) > 1 else None,
            "int8_products": int8_products,
            "transformers": self._source and {**self._source.described, "artifact": artifact_reading},
            "limits": asdict(self.limits),
        }

    def _refuse_blind(self, majority: float | None) -> None:
        """Refuse a torch model that is no better than answers that do not depend on the text."""
        split, logits, task = self.split, self._references[0], self._loaded.settings.task
        assert split.labels is not None
        scores = task.score(logits, split.labels, unseen_label=split.unseen_label)
        if not task.is_blind(scores, split.labels, logits.shape[1]):
            return
        both = " and ".join(metric_words(name) for name in task.judged_by)
        right = (
            {}
            if majority is None
            else {
                f"its {metric_words(task.text_metric)}": f"{scores[task.text_metric]:.1%}",
                "the most frequent answer alone": f"{majority:.1%}",
            }
        )
        raise VerificationError(
            f"{self._loaded.path} does no better on {split.name} than answers that do not depend on the text; nothing "
            "was exported.",
            accepted=right
            | {
                f"its mean of {both}": f"{task.balanced(scores):.1%}",
                "that of such answers": f"up to {task.blind(split.labels, logits.shape[1]):.1%}",
                "needed": f"more than {task.least_balanced(split.labels, logits.shape[1]):.1%}",
            },
            fix=["train longer, or with another learning rate", "read the data check"],
        )

    def _check_tokenizer(self, folder: Path) -> None:
        """Refuse a tokenizer that the runtime would refuse."""
        try:
            read_artifact(folder, check_files=False).tokenizer(trust=self._trust)  # hashed where it is run
        except ArtifactError as error:
            raise VerificationError(
                f"the tokenizer of {self._loaded.path} would be refused by a service; nothing was exported.",
                accepted={"what happened": error.message},
                fix=[hint for hint in error.fix if hint == TRUST] or [REPORT],
            ) from error

    def _run_all(self, folder: Path) -> tuple[list[list[Comparison]], dict[str, Rows]]:
        """Run the texts and the probes on every backend that has to pass on this machine.

        Returns:
            The comparisons of each backend, one for each split; and each backend's logits of the difficult texts, if
            the limits judge logits.
        """
        answers: dict[str, Rows] = {}
        self.recorded = {}
        source = None if self.limits.logit_difference is None else self._source
        native = has_library()
        comparisons = []
        backend, traced = "onnxruntime", False
        try:
            artifact = read_artifact(folder)
            traced = artifact.manifest.graph == "traced"
            native = native and artifact.manifest.one_node
            for backend in ("onnxruntime", *(["native"] if native else [])):
                threads = checked_threads(self._threads)
                engine = choose_engine(artifact, device="cpu", backend=backend, threads=threads, trust=self._trust)
                asked = ("cpu", backend, None, None, None, self._trust)
                with opened_classifier(artifact, engine, threads=threads, asked=asked) as classifier:
                    exported = [split_logits(classifier, each) for each in self._splits]
                    with contextlib.suppress(InputError):  # a vocabulary without rows for their characters
                        self.recorded[backend] = recorded_logits(classifier)
                    if source is not None and source.logits is not None:
                        answers[backend] = split_logits(classifier, source.runnable_texts())
                probes = run_probes(self._loaded, engine)  # on the engine: a Classifier would split the padded batch
                task = self._loaded.settings.task
                comparisons.append(
                    [
                        Comparison(backend, split, task, reference, logits, probes)
                        for split, reference, logits in zip(self._splits, self._references, exported, strict=True)
                    ]
                )
        except (ArtifactError, DeviceError, ModelError) as error:
            raise VerificationError(
                f"the {self._precision} graph of {self._loaded.path} does not run on {backend}; nothing was exported.",
                accepted={"what happened": error.message},
                fix=[*(hint for hint in error.fix if hint == TRUST), *self._ways_out(traced)],
            ) from error
        return comparisons, answers

    def _ways_out(self, traced: bool) -> list[str | Hint]:
        """Return what to try if a graph does not run."""
        if traced:  # another precision has the same operators
            return [f"fine-tune a base whose graph is built: {', '.join(BUILT)}", REPORT]
        return [REPORT] if self._precision == "fp32" else [option("precision", "fp32")]

    def _check_source(self, logits: Rows, backend: str) -> None:
        """Check a graph's logits of the difficult texts against transformers' own."""
        assert self._source is not None and self.limits.logit_difference is not None
        graph = f"the {self._precision} graph of {self._loaded.path}"
        self._source.check_logits(logits, self.limits.logit_difference, graph=graph, backend=backend)

    def _count_products(self, folder: Path, asked: int) -> None:
        """Refuse an int8 graph some of whose matmuls ONNX Runtime computes in float after all."""
        kinds = optimized_kinds(read_artifact(folder).model_path)
        found = sum(kinds[operator] for _, operator in INTEGER_MATMULS)
        if found != asked:
            products = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds) if "MatMul" in kind)
            raise VerificationError(
                f"ONNX Runtime computes {found} matmuls of the int8 graph of {self._loaded.path} in integers, "
                f"instead of {asked}; nothing was exported.",
                accepted={"its matmuls": products},
                fix=[option("precision", "fp16"), REPORT],
            )


def check_pairs(split: Split, loaded: TorchClassifier) -> None:
    """Check that a split has pairs of texts exactly if the model reads pairs.

    Raises:
        DataError: the split has pairs and the model reads single texts, or the reverse.
    """
    paired, marked = loaded.settings.paired, loaded.settings.marked
    if (split.marked is not None) != marked:
        raise DataError(
            f"split {split.name!r} has {'marked words' if split.marked is not None else 'no marked words'}, and the "
            f"model {'reads one of each text' if marked else 'reads none'}.",
            accepted={"marked words": "those that labels are about, such as predicates"},
            fix="data with predicates" if marked else "data without predicates",
        )
    if (split.pairs is not None) != paired:
        raise DataError(
            f"split {split.name!r} has {'pairs' if split.pairs is not None else 'no pairs'}, "
            f"and the model reads {'pairs' if paired else 'single texts'}.",
            fix=option("pair", "COLUMN") if paired else leave_out("pair"),
        )


def _chosen_texts(split: Split, loaded: TorchClassifier, most: int) -> Split:
    """Return at most ``most`` texts to compare on; texts without any token are left out, as they get no prediction."""
    check_pairs(split, loaded)
    if len(split) > most:
        split = split.take(np.linspace(0, len(split) - 1, most).round().astype(np.int64))
    read = read_texts(loaded, split)
    if not read.any():
        raise DataError(f"split {split.name!r} has no texts to verify on.", fix="give some texts of the task")
    return split if read.all() else split.take(read)


def _reference(loaded: TorchClassifier, chosen: Split) -> Rows:
    """Return the torch model's logits, float32, shape (texts, labels)."""
    reference = predict_logits(loaded, chosen)
    if not np.isfinite(values_of(reference)).all():
        raise ModelError(f"the logits of {loaded.path} are not finite numbers.", fix="train it again, in fp32")
    refuse_iob1(loaded, reference)
    return reference


def _measured(comparison: Comparison) -> dict[str, Any]:
    """Return the numbers for the manifest; those that need labels are None if the split has none."""
    measured: dict[str, Any] = {
        "logit_difference": float(comparison.differences.max()),
        "logit_difference_mean": float(comparison.differences.mean()),
        "probe_difference": comparison.probes.reference_difference,
        "batch_difference": comparison.probes.batch_difference,
        "probe_lengths": list(comparison.probes.lengths),
        "agreement": comparison.task.agreement(comparison.model, comparison.exported),
        "accuracy": None,
        "accuracy_interval": None,
        "accuracy_p_value": None,
        "model_accuracy": None,
        "calibration_error": None,
        "model_calibration_error": None,
        "majority": None,
        "primary": None,
    }
    split, task = comparison.split, comparison.task
    if split.labels is None:
        return measured
    measured["primary"] = _primary(comparison) if task.judged_by_difference else None
    if task.numeric:
        return measured
    model, exported = (
        task.correct(logits, split.labels, unseen_label=split.unseen_label)
        for logits in (comparison.model, comparison.exported)
    )
    return measured | {
        "accuracy": float(exported.mean()),
        "accuracy_interval": list(wilson_interval(int(exported.sum()), len(exported))),
        "accuracy_p_value": mcnemar(model, exported).p_value,
        "model_accuracy": float(model.mean()),
        **_calibration(comparison),
        "majority": task.majority_share(split.labels),
    }


def _calibration(comparison: Comparison) -> dict[str, float]:
    """Return the calibration errors of the artifact and of the model; {} where answers have no such scores."""
    task, labels = comparison.task, comparison.split.labels
    if task.extractive:
        return {}
    return {
        "calibration_error": task.calibration_error(comparison.exported, labels),
        "model_calibration_error": task.calibration_error(comparison.model, labels),
    }


def _primary(comparison: Comparison) -> dict[str, Any]:
    """Return the main metric of the artifact and of the model, and the 95% interval of their difference."""
    split, task = comparison.split, comparison.task
    scores = [
        task.score(logits, split.labels, unseen_label=split.unseen_label)[task.primary_metric]
        for logits in (comparison.exported, comparison.model)
    ]
    between = task.primary_difference(
        comparison.model, comparison.exported, split.labels, unseen_label=split.unseen_label
    )
    return {
        "metric": task.primary_metric,
        "artifact": scores[0],
        "model": scores[1],
        "difference_interval": None if between is None else list(between),
    }


def _unlabeled(comparisons: list[Comparison]) -> dict[str, Any]:
    """Return the numbers for the unlabelled texts; empty if there are none."""
    return {
        name: value
        for each in comparisons
        for name, value in {
            "texts": len(each.split),
            "agreement": each.task.agreement(each.model, each.exported),
            "logit_difference": float(each.differences.max()),
        }.items()
    }


def _worst(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the worst of each number over the backends; what does not depend on the backend is kept."""
    worst = dict(measured[0])
    for name in ("logit_difference", "logit_difference_mean", "probe_difference", "batch_difference"):
        worst[name] = max(each[name] for each in measured)
    worst["agreement"] = min(each["agreement"] for each in measured)
    if worst["accuracy"] is not None:
        lowest = min(measured, key=lambda each: each["accuracy"])
        names = ("accuracy", "accuracy_interval", "accuracy_p_value", "calibration_error")
        worst |= {name: lowest[name] for name in names}
    if worst["primary"] is not None:
        worst["primary"] = min((each["primary"] for each in measured), key=lambda each: each["artifact"])
    return worst


def _beyond(comparison: Comparison, measured: dict[str, Any], limits: Limits) -> dict[str, str]:
    """Return what exceeds its limit: name -> value and limit, in words."""
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
    beyond |= _labels_beyond(measured["agreement"], comparison, limits)
    if measured["accuracy"] is not None:
        lost = round((measured["model_accuracy"] - measured["accuracy"]) * count)
        chance = measured["accuracy_p_value"] / 2
        if lost > limits.accuracy_drop * count and chance < _SIGNIFICANCE:
            both = f"{measured['accuracy']:.1%}, of the model {measured['model_accuracy']:.1%}"
            beyond["accuracy"] = f"{both}, limit {100 * limits.accuracy_drop:g} points less (p = {chance:.2g})"
    return beyond | _primary_beyond(measured["primary"], limits)


def _primary_beyond(primary: dict[str, Any] | None, limits: Limits) -> dict[str, str]:
    """Return the loss of the main metric, in words, if it exceeds the limit and chance does not explain it."""
    if primary is None or primary["model"] - primary["artifact"] <= limits.accuracy_drop:
        return {}
    interval = primary["difference_interval"]
    if interval is None or interval[1] >= 0:
        return {}
    found = f"{primary['artifact']:.1%}, of the model {primary['model']:.1%}"
    return {metric_words(primary["metric"]): f"{found}, limit {100 * limits.accuracy_drop:g} points less"}


def _labels_beyond(agreed: float, comparison: Comparison, limits: Limits) -> dict[str, str]:
    """Return the agreement of labels, in words, if it is below its limit and chance does not explain it."""
    task = comparison.task
    count = task.units(comparison.model)
    least = task.least_agreement if limits.agreement is None else limits.agreement
    chance = binomial_tail(round((1 - agreed) * count), count, 1 - least)
    if chance >= _SIGNIFICANCE:
        return {}
    return {task.alike: f"{agreed:.1%} of the {task.judged}, limit {least:.1%} (p = {chance:.2g})"}
