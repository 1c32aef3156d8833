"""Logits as what clients read: labels with scores, spans, answers, scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from liteft.errors import ConfigError
from liteft.serving.jobs import Outcome
from liteft.serving.reading import Options
from liteft.serving.refusals import refused_input

__all__ = ["label_scores", "predictions_of", "rendered", "scores_of"]


def rendered(outcome: Outcome, values: list[Any], options: Options) -> list[Any]:
    """Return what pipelines of transformers return, one entry for each value.

    Labels: a list of {label, score}, best first, all of them unless ``top_k`` or ``threshold`` says otherwise. Scores:
    such a list of one. Words: a list of spans. Questions: {answer, score, start, end}, or a list of them with
    ``top_k``.
    """
    task = outcome.loaded.manifest.task
    if task.per_word:
        return [[_span(span.to_dict()) for span in tagged.spans] for tagged in predictions_of(outcome, values, options)]
    if task.extractive:
        answers = predictions_of(outcome, values, options)
        if options.top_k is None:
            return [_answer(answer.to_dict()) for answer in answers]
        return [[each.to_dict() for each in answer.top] for answer in answers]
    return label_scores(outcome, options)


def label_scores(outcome: Outcome, options: Options) -> list[list[dict[str, Any]]]:
    """Return the labels of each text with their scores, best first."""
    scores = scores_of(outcome, raw=options.raw_scores)
    labels = outcome.loaded.classifier.labels
    # logits tell apart what scores, which are rounded near 0 and 1, may not
    order = _best_first(scores) if options.raw_scores else outcome.batch.order[outcome.place]
    if options.top_k is not None:
        order = order[:, : options.top_k]
    best = np.take_along_axis(scores, order, axis=1)
    found = [
        [{"label": labels[column], "score": score} for column, score in zip(*row, strict=True)]
        for row in zip(order.tolist(), best.tolist(), strict=True)
    ]
    if options.threshold is None:
        return found
    chosen = [set(each.labels) for each in predictions_of(outcome, [], Options(threshold=options.threshold))]
    return [[each for each in row if each["label"] in own] for row, own in zip(found, chosen, strict=True)]


def scores_of(outcome: Outcome, *, raw: bool) -> np.ndarray:
    """Return the scores of a model of whole texts, or its logits: float32 (texts, labels)."""
    return np.asarray(outcome.logits) if raw else outcome.batch.scores[outcome.place]


def _best_first(values: np.ndarray) -> np.ndarray:
    return np.argsort(-values, axis=1, kind="stable")


def predictions_of(outcome: Outcome, values: list[Any], options: Options) -> list[Any]:
    """Return what the classifier's ``predict`` returns for these values.

    Raises:
        Refused: an option does not fit the model.
    """
    classifier, task = outcome.loaded.classifier, outcome.loaded.manifest.task
    try:
        if task.per_word:
            return list(classifier.predictions(outcome.logits, values, truncated=outcome.truncated))
        if task.extractive:
            return list(
                classifier.predictions(outcome.logits, values, top_k=options.top_k, truncated=outcome.truncated)
            )
        if task.numeric:
            return list(classifier.predictions(outcome.logits, truncated=outcome.truncated))
        return list(
            classifier.predictions(
                outcome.logits, truncated=outcome.truncated, top_k=options.top_k, threshold=options.threshold
            )
        )
    except ConfigError as error:
        raise refused_input(error) from None


def _span(found: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that transformers' pipeline gives with an aggregation."""
    return {name: found[name] for name in ("entity_group", "score", "word", "start", "end")}


def _answer(found: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of transformers' pipeline; without an answer, an empty one at 0, as there."""
    return {
        "answer": found["answer"],
        "score": found["score"],
        "start": found["start"] or 0,
        "end": found["end"] or 0,
    }
