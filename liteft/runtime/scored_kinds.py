"""Which columns a model reads from a table, and what adds its predictions: the choice by the kind of model.

`predict_file` and ``score`` open a model, find its columns and make its scorer here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from liteft.data.columns import choose_columns
from liteft.data.questions import question_columns
from liteft.errors import ConfigError, DataError, leave_out, option
from liteft.privacy import shown_names
from liteft.runtime.answers import AnswerClassifier
from liteft.runtime.classifier import Classifier, load
from liteft.runtime.scored_questions import QuestionScorer
from liteft.runtime.scored_rows import RowScorer
from liteft.runtime.scored_words import WordScorer, word_columns
from liteft.runtime.scorer import Scorer
from liteft.runtime.tokens import TokenClassifier

__all__ = ["Model", "opened_model", "reading_line", "row_scorer", "text_columns"]

Model = Classifier | TokenClassifier | Scorer | AnswerClassifier


def opened_model(
    artifact: str | os.PathLike[str] | Model,
    device: str,
    backend: str,
    threads: int | None,
    engine_precision: str | None,
    trust: bool,
) -> AbstractContextManager[Any]:
    """Return the model of an artifact, or one that is open and stays so; the arguments are those of ``load``.

    Raises:
        ConfigError: an open model is given with settings of loading.
        ArtifactError, DeviceError, MissingExtraError: as in ``load``.
    """
    if not isinstance(artifact, Model):
        choices: dict[str, Any] = {"device": device, "backend": backend, "threads": threads}
        loaded: AbstractContextManager[Any] = load(artifact, **choices, engine_precision=engine_precision, trust=trust)
        return loaded
    if (device, backend, threads, engine_precision) != ("auto", "auto", None, None):
        raise ConfigError(
            "device, backend, threads and engine_precision are set when the classifier is loaded.",
            accepted={
                "device": artifact.device,
                "backend": artifact.backend,
                "threads": artifact.threads,
                "engine_precision": artifact.precision,
            },
            fix="liteft.load(..., device=..., threads=...)",
        )
    return nullcontext(artifact)


def row_scorer(classifier: Model, *, tagged: bool = False, **settings: Any) -> RowScorer:
    """Return what adds the predictions of a model to rows.

    Args:
        classifier: the model.
        tagged: of models of words, add each word with its tag.
        settings: those of `RowScorer`.

    Raises:
        ConfigError: a setting is unknown or does not fit the model.
    """
    if isinstance(classifier, AnswerClassifier):
        return QuestionScorer(classifier, **settings)
    if isinstance(classifier, TokenClassifier):
        return WordScorer(classifier, tagged=tagged, **settings)
    return RowScorer(classifier, **settings)


def text_columns(
    columns: Sequence[str],
    classifier: Model,
    *,
    source: str,
    text: str | None,
    pair: str | None,
    lists: bool,
) -> list[str]:
    """Return the column of the text, or of both texts if the model reads pairs, or of words and predicate.

    Args:
        columns: of the table.
        classifier: the model.
        source: the table's name, for errors.
        text, pair: the columns that were asked for; None to find them by their usual names.
        lists: cells may be lists of words.

    Raises:
        DataError: there is no such column, or several could be meant.
        ConfigError: ``pair`` is given to a model of single texts.
    """
    if isinstance(classifier, AnswerClassifier):
        return list(question_columns(columns, source=source, text=text or None, pair=pair or None))
    if isinstance(classifier, TokenClassifier) and not pair:
        return word_columns(columns, source=source, text=text, marked=classifier.marked, lists=lists)
    if not classifier.manifest.paired:
        if pair:
            raise ConfigError(
                f"a column of second texts was given, {pair!r}, but this model reads single texts.",
                fix=leave_out("pair"),
            )
        return [choose_columns(columns, source=source, text=text, pair="", labelled=False).text]
    chosen = choose_columns(columns, source=source, text=text, pair=pair or None, labelled=False, ranked=True)
    if chosen.pair is None:
        raise DataError(
            f"{source}: this model reads pairs, but the column names do not say which one holds the second text.",
            accepted={"columns": ", ".join(shown_names(columns)), "text": chosen.text},
            fix=option("pair", "NAME"),
        )
    return [chosen.text, chosen.pair]


def reading_line(columns: Sequence[str], source: str) -> str:
    """Return the line that says which columns of a table are read."""
    return f"reads the column{'s' if len(columns) > 1 else ''} {' and '.join(map(repr, columns))} of {source}"
