"""Trims the vocabulary of a finished classifier for an export, and compares it with the untrimmed classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.data import Split
from liteft.errors import ConfigError, Hint
from liteft.exporting.limits import Limits
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.run_folder import split_metrics
from liteft.metrics import mcnemar
from liteft.trimming import TrimmedVocabulary, prove_trimming, trim_classifier

__all__ = ["Trimmed", "trim"]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A classifier with a trimmed vocabulary.

    Attributes:
        loaded: the classifier.
        vocabulary: its vocabulary.
        described: what the manifest says: the result of ``prove_trimming``, and ``agreement`` with the whole
            vocabulary. With labels also ``accuracy`` and ``whole_accuracy`` (multi-label: exact matches), and McNemar's
            ``p_value``.
        metrics: of the split, by its name, in the form that a run has; empty without labels. They replace the run's
            own metrics, which are of the model with the whole vocabulary.
    """

    loaded: TorchClassifier
    vocabulary: TrimmedVocabulary
    described: dict[str, Any]
    metrics: dict[str, dict[str, Any]]


def trim(
    loaded: TorchClassifier,
    most: int,
    texts: Split | Sequence[Split] | None,
    verify: Split,
    limits: Limits,
    *,
    fill: bool = False,
    min_count: int = 1,
) -> Trimmed:
    """Trim the vocabulary of a finished classifier to the tokens that texts use.

    Args:
        loaded: the classifier.
        most: keep at most this many tokens.
        texts: the texts by whose tokens the vocabulary is chosen.
        verify: real texts on which the two are compared, at most ``limits.texts`` of them.
        limits: of the export.
        fill: keep exactly ``most`` tokens, even if the texts use fewer.
        min_count: keep only tokens that occur in so many different texts.

    Raises:
        ConfigError: there are no texts, or ``most`` does not cover the single characters.
        ModelError: the vocabulary cannot be trimmed.
        VerificationError: a text whose tokens were all kept is tokenized differently than before.
    """
    splits = [texts] if isinstance(texts, Split) else list(texts or ())
    if not any(len(split) for split in splits):
        raise ConfigError(
            "a vocabulary is trimmed to the tokens that texts use, and no texts were given.",
            accepted={"texts": "a Split or several: the training split, and unlabelled texts"},
            fix=Hint("texts=data.train", "liteft export RUN --data DATA --vocabulary N"),
        )
    if len(verify) > limits.texts:
        verify = verify.take(np.linspace(0, len(verify) - 1, limits.texts).round().astype(np.int64))
    trimmed, vocabulary = trim_classifier(loaded, splits, most=most, fill=fill, min_count=min_count)
    described = prove_trimming(loaded, trimmed, vocabulary, verify) | {"trimmed": "at export"}
    described |= {"filled": True} if fill else {}
    if not len(verify):
        return Trimmed(trimmed, vocabulary, described, {})
    task = loaded.settings.task
    whole, part = (predict_logits(model, verify) for model in (loaded, trimmed))
    described["agreement"] = task.agreement(whole, part)
    if verify.labels is None:
        return Trimmed(trimmed, vocabulary, described, {})
    if task.numeric:
        scores = [task.score(logits, verify.labels)[task.primary_metric] for logits in (whole, part)]
        described |= {f"whole_{task.primary_metric}": scores[0], task.primary_metric: scores[1]}
        return Trimmed(trimmed, vocabulary, described, {verify.name: split_metrics(part, verify, task)})
    right = [task.correct(logits, verify.labels, unseen_label=verify.unseen_label) for logits in (whole, part)]
    described |= {
        "whole_accuracy": float(right[0].mean()),
        "accuracy": float(right[1].mean()),
        "p_value": mcnemar(right[0], right[1]).p_value,
    }
    return Trimmed(trimmed, vocabulary, described, {verify.name: split_metrics(part, verify, task)})
