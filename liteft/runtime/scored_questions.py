"""Rows of a file and the answers that are added to them: the counterpart of `scored_rows` for models of questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from liteft.data.questions import questions_of_documents
from liteft.data.rows import JsonDocument, RowFile
from liteft.runtime.inputs import Text
from liteft.runtime.scored_rows import RowScorer, plain_text

__all__ = ["QuestionScorer", "flat_questions"]


class QuestionScorer(RowScorer):
    """Reads the questions and contexts of rows, and adds their answers."""

    _kind_of_top = "answers"

    def _answers(self, texts: Sequence[Text | None]) -> Iterator[Any]:
        answers: Iterator[Any] = self._classifier.stream(
            map(plain_text, texts), top_k=self._top_k, on_error="null", token_budget=self._token_budget
        )
        return answers

    def _best(self, answer: Any) -> list[dict[str, Any]]:
        return [each.to_dict() for each in answer.top]


def flat_questions(file: RowFile) -> RowFile:
    """Return a file of documents as SQuAD's are as one of questions, a row for each; any other file as it is.

    The rows have id, question and context, and what the documents say of answers.

    Raises:
        DataError: a document has not the form of SQuAD's.
    """
    asked = questions_of_documents(file)
    if asked is None:
        return file
    kept = [
        name
        for name, values in asked.values.items()
        if name in ("question", "context") or any(value not in (None, False) for value in values)
    ]
    rows = [dict(zip(kept, row, strict=True)) for row in zip(*(asked.values[name] for name in kept), strict=True)]
    document = JsonDocument(file.path, rows)
    return replace(file, columns=tuple(kept), reader=document, unit="question", total=len(rows), schema=None)
