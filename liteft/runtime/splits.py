"""A split's texts, run by an artifact: what an export is verified by, and what is measured."""

from __future__ import annotations

from typing import Any

from liteft.data.split import Split
from liteft.ragged import Rows
from liteft.runtime.answers import AnswerClassifier
from liteft.runtime.texts import TextModel
from liteft.runtime.tokens import TokenClassifier

__all__ = ["predict_split", "split_logits"]


def split_logits(classifier: TextModel | TokenClassifier | AnswerClassifier, split: Split) -> Rows:
    """Return the logits of a split's texts: float32 (texts, labels), a Ragged of words, or of questions.

    Raises:
        InputError, DeviceError: as for the classifier's own methods.
    """
    if isinstance(classifier, TextModel):
        return classifier.logits(split.texts, split.pairs)
    if isinstance(classifier, AnswerClassifier):
        return classifier.logits(split.texts, split.pairs or [])
    return classifier.run(classifier.encode(split.texts, words=split.words, marked=split.marked))


def predict_split(classifier: Any, split: Split) -> Any:
    """Return the predictions of a split's texts, as ``predict`` gives them: of one text alone, or a list.

    Raises:
        InputError, DeviceError: as for the classifier's own methods.
    """
    inputs: list[Any] = split.texts
    if split.pairs is not None:
        inputs = list(zip(split.texts, split.pairs, strict=True))
    elif split.words is not None:
        cut = zip(split.texts, split.words, strict=True)
        inputs = [tuple(text[start:end] for start, end in words.tolist()) for text, words in cut]
        if split.marked is not None:
            inputs = list(zip(inputs, split.marked.tolist(), strict=True))
            if len(inputs) == 1:
                return classifier.predict(inputs[0][0], predicate=inputs[0][1])
    return classifier.predict(inputs[0] if len(inputs) == 1 else inputs)
