"""What requests say, as the values that a model reads: texts, pairs, questions with contexts, texts of words.

The manifest decides what a value must be. What could mean two things is refused, with the form that means one: a list
of two strings is a pair for a model of pairs, and an error for others, never two texts here and a pair there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from liteft.errors import ConfigError, InputError
from liteft.runtime.prediction import Answering
from liteft.runtime.word_texts import as_words, words_error
from liteft.serving.models import ServedModel
from liteft.serving.refusals import refused_input

__all__ = ["Instance", "Item", "Options", "require_plain", "values_of"]


class Instance(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A value by the names of its parts.

    Attributes:
        text: a text, or the first text of a pair.
        pair: the second text of a pair.
        words: of a model of words, the words of a text, in place of ``text``.
        predicate: of a model of roles, the number of the word that it is asked about, from 0.
        question, context: of a model of questions.
    """

    text: str | None = None
    pair: str | None = None
    words: list[str] | None = None
    predicate: int | None = None
    question: str | None = None
    context: str | None = None


class Options(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How answers are wanted.

    Attributes:
        top_k: at most so many labels or answers, best first.
        threshold: of a model of several labels: give the labels with a score above it.
        raw_scores: give logits in place of scores.
    """

    top_k: int | None = None
    threshold: float | list[float] | None = None
    raw_scores: bool = False


Item = str | list[str] | Instance


def values_of(items: list[Item], model: ServedModel) -> list[Any]:
    """Return the values of items, as the model's ``encode`` takes them.

    Raises:
        Refused: an item is not what the model reads; the text says which, and what it reads.
    """
    manifest = model.loaded.manifest
    if manifest.task.per_word:
        return [_words(item, number, manifest.marked) for number, item in enumerate(items)]
    if manifest.task.extractive:
        return [_two(item, number, ("question", "context"), manifest) for number, item in enumerate(items)]
    if manifest.paired:
        return [_two(item, number, ("text", "pair"), manifest) for number, item in enumerate(items)]
    return [item if isinstance(item, str) else _text(item, number) for number, item in enumerate(items)]


def _text(item: Item, number: int) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, list) and len(item) == 1:
        return item[0]
    if isinstance(item, Instance) and item.text is not None and _has_only(item, "text"):
        return item.text
    found = f"a list of {len(item)} strings" if isinstance(item, list) else _shown(item)
    raise refused_input(f'text {number} is {found}, but this model reads single texts: "..." or {{"text": "..."}}')


def _two(item: Item, number: int, names: tuple[str, str], manifest: Any) -> tuple[str, str]:
    """Return a pair, or a question and its context."""
    if isinstance(item, list) and len(item) == 2:
        return item[0], item[1]
    if isinstance(item, Instance):
        first, second = getattr(item, names[0]), getattr(item, names[1])
        if first is not None and second is not None and _has_only(item, *names):
            return first, second
    reads = "questions with contexts" if manifest.task.extractive else "pairs"
    found = _shown(item) if isinstance(item, Instance) else f"{'a string' if isinstance(item, str) else 'a list'}"
    raise refused_input(
        f'text {number} is {found}, but this model reads {reads}: ["...", "..."] or '
        f'{{"{names[0]}": "...", "{names[1]}": "..."}}'
    )


def _words(item: Item, number: int, marked: bool) -> Any:
    """Return a text of words; a list of several strings are the words of one text."""
    value: Any = item
    predicate = None
    if isinstance(item, Instance):
        given = item.words if item.text is None else item.text
        if given is None or not _has_only(item, "text" if item.words is None else "words", "predicate"):
            raise refused_input(
                f'text {number} is {_shown(item)}, but this model reads words: {{"text": "..."}} or '
                '{"words": ["...", ...]}'
            )
        value, predicate = given, item.predicate
    if marked:
        if predicate is None:
            raise refused_input(
                f"text {number} names no predicate, and this model finds the roles of one: "
                '{"words": ["...", ...], "predicate": 0}'
            )
        value = (value, predicate)
    elif predicate is not None:
        raise refused_input(f"text {number} names a predicate, but this model tags texts as they are")
    found = as_words(value, marked=marked)
    if found is None:
        error: InputError = words_error(value, marked=marked, name=f"text {number}")
        raise refused_input(error)
    return found


def _shown(item: Instance) -> str:
    """Return which parts an item names, for errors."""
    names = [name for name in item.__struct_fields__ if getattr(item, name) is not None]
    return f"an object with {' and '.join(names)}" if names else "an empty object"


def _has_only(item: Instance, *names: str) -> bool:
    return all(getattr(item, name) is None for name in item.__struct_fields__ if name not in names)


def require_plain(options: Options, model: ServedModel) -> None:
    """Raise Refused for options that the model's kind does not have, or that are out of range."""
    manifest = model.loaded.manifest
    task = manifest.task
    if options.threshold is not None and not task.several:
        raise refused_input("threshold was given, but it is for models of several labels, and this is another kind")
    if options.raw_scores and (task.per_word or task.extractive):
        raise refused_input("raw_scores was given, but it is for models of whole texts, and this is another kind")
    if options.top_k is not None and (task.per_word or task.numeric):
        raise refused_input("top_k was given, but it is for labels of whole texts and for answers, not for this model")
    if options.top_k is not None and options.top_k < 1:
        raise refused_input(f"top_k must be a positive integer, got {options.top_k}")
    if options.threshold is not None:
        try:
            Answering(
                task=task,
                labels=manifest.labels,
                activation=manifest.activation,
                backend="",
                threshold=options.threshold,
            )
        except ConfigError as error:
            raise refused_input(error) from None
