"""Answers as they may be shown: without the words of texts that are hidden."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from liteft.privacy import HIDDEN, Shown, shown_parts
from liteft.runtime.answered import Answer
from liteft.runtime.tagged import TaggedText

__all__ = ["shown_answer", "shown_words"]


def shown_answer(answer: Any, how: Shown) -> Any:
    """Return an answer whose spans, or whose answers to a question, have no words of a text that is not shown.

    Args:
        answer: of any kind of model; one without words is returned as it is.
        how: what is shown, as `privacy.policy` says it.
    """
    if isinstance(answer, TaggedText):
        words = shown_words([span.text for span in answer.spans], answer.text, how)
        spans = zip(answer.spans, words, strict=True)
        return replace(answer, spans=tuple(replace(span, text=word) for span, word in spans))
    if isinstance(answer, Answer):
        own, *others = shown_words([answer.text, *(each.text for each in answer.top)], answer.context, how)
        top = tuple(replace(each, text=text) for each, text in zip(answer.top, others, strict=True))
        return replace(answer, text=own if answer.answered else "", top=top)
    return answer


def shown_words(words: list[str], text: str, how: Shown) -> list[str]:
    """Return parts of a text, or as many placeholders."""
    if how == "shown":
        return words
    return [HIDDEN] * len(words) if how == "hidden" else shown_parts(words, text)
