"""What a model of bench/peers.py judges, texts, words or answers, and how its texts become rows of tokens.

The kind of a model is read from its config.json. Models of words and of answers read long texts in the same windows as
LiteFT, and all engines are asked for the logits of the same tokens: the first one of each word; and for answers the
start logit of the first and the end logit of the last token of each word.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peer_texts import (
    MAX_TOKENS,
    QUESTION_SETS,
    SETS,
    WORD_SETS,
    open_tokenizer,
    read_questions,
    read_texts,
    read_words,
)

Text = str | tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Texts as an engine reads them.

    Attributes:
        ids: token ids of each row, without padding.
        places: the row and the token of each judgement, and for answers its label, as an index into (rows, tokens,
            labels); None if each row is judged as a whole.
        types: type ids of each row; None if all of them are 0.
    """

    ids: list[list[int]]
    places: tuple[np.ndarray, ...] | None = None
    types: list[list[int]] | None = None


Read = Callable[[Sequence[Text]], Rows]


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
        auto: transformers' class of such models.
        layer: its name of the last layer, which CTranslate2 does not compute.
        pooled: whether a row has one answer; otherwise each token has one.
        outputs: names of the outputs of transformers' class; several are stacked as labels.
        reader: makes the function from texts to rows from the model's folder.
        sets: file and number of texts of each set that such models are given.
        sample: returns the texts of a set: folder of the data, name, most texts.
        split: makes a split of LiteFT from texts.
        classes: whether the largest logit of a judgement is its label.
    """

    auto: str
    layer: str
    pooled: bool
    outputs: tuple[str, ...]
    reader: Callable[[Path], Read]
    sets: Mapping[str, tuple[str, int]]
    sample: Callable[..., list[Any]]
    split: Callable[[Sequence[Any]], Any]
    classes: bool = True


def kind_of(folder: Path) -> Kind:
    """Return the kind of the model in a folder that transformers has written."""
    (name,) = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    return next(kind for ending, kind in KINDS.items() if name.endswith(ending))


def _whole(folder: Path) -> Read:
    tokenizer = open_tokenizer(folder / "tokenizer.json")
    return lambda texts: Rows([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])


class _InWords:
    """Reads texts of words: a row for each text, or a row for each window of a long one."""

    def __init__(self, folder: Path) -> None:
        from liteft.windows import window_spans

        self._tokenizer = open_tokenizer(folder / "tokenizer.json")
        self._tokenizer.no_truncation()
        self._first, self._last = self._tokenizer.encode("").ids
        self._room = most_tokens(folder) - 2
        self._window_spans = window_spans

    def __call__(self, texts: Sequence[Text]) -> Rows:
        ids: list[list[int]] = []
        rows: list[int] = []
        columns: list[int] = []
        words = [list(text) for text in texts]
        for encoding in self._tokenizer.encode_batch(words, is_pretokenized=True, add_special_tokens=False):
            tokens, owners = encoding.ids, encoding.word_ids
            bounds = [place for place, owner in enumerate(owners) if not place or owner != owners[place - 1]]
            spans = [(0, len(bounds), 0, len(bounds))]
            bounds.append(len(tokens))
            if len(tokens) > self._room:
                counts = [end - start for start, end in itertools.pairwise(bounds)]
                spans = self._window_spans(counts, self._room)
            for start, end, core, core_end in spans:
                rows += [len(ids)] * (core_end - core)
                columns += [place - bounds[start] + 1 for place in bounds[core:core_end]]
                ids.append([self._first, *tokens[bounds[start] : bounds[end]], self._last])
        return Rows(ids, (np.array(rows), np.array(columns)))


class _InQuestions:
    """Reads questions with their contexts: a row for each, or a row for each window of a long context."""

    def __init__(self, folder: Path) -> None:
        from liteft.answer_windows import AnswerTokenizer
        from liteft.tokenization import TextTokenizer

        tokenizer = TextTokenizer.from_file(folder / "tokenizer.json", max_tokens=most_tokens(folder))
        self._tokenizer = AnswerTokenizer(tokenizer)

    def __call__(self, texts: Sequence[Text]) -> Rows:
        rows = self._tokenizer.encode([question for question, _ in texts], [context for _, context in texts])
        encoded = rows.encoded
        bounds = list(itertools.pairwise(encoded.offsets.tolist()))
        words = rows.begin >= 0  # a row's first token says "no answer", with a model's threshold added in LiteFT
        row = np.repeat(np.arange(len(bounds)), np.diff(rows.row_units))[words]
        tokens = np.stack([rows.unit_first, rows.unit_last], axis=1)[words] - encoded.offsets[row][:, None]
        ids, types = encoded.ids.tolist(), encoded.type_ids.tolist()
        places = (row[:, None], tokens, np.array([[0, 1]]))
        return Rows([ids[start:end] for start, end in bounds], places, [types[start:end] for start, end in bounds])


def most_tokens(folder: Path) -> int:
    """Return how many tokens of a text the model in a folder reads."""
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("liteft", {})
    return int(settings.get("max_tokens", MAX_TOKENS))


def _split(texts: Sequence[str]) -> Any:
    from liteft import Split

    return Split("texts", list(texts))


def _split_of_words(texts: Sequence[Sequence[str]]) -> Any:
    from liteft import Split
    from liteft.words import joined_words

    joined, words = joined_words(texts)
    return Split("texts", joined, words=words)


def _split_of_questions(texts: Sequence[tuple[str, str]]) -> Any:
    from liteft import Split

    return Split("questions", [question for question, _ in texts], [context for _, context in texts])


OF_A_TEXT = Kind(
    "AutoModelForSequenceClassification", "classifier", pooled=True, outputs=("logits",), reader=_whole,
    sets=SETS, sample=read_texts, split=_split,
)  # fmt: skip
KINDS = {
    "ForSequenceClassification": OF_A_TEXT,
    "ForTokenClassification": Kind(
        "AutoModelForTokenClassification", "classifier", pooled=False, outputs=("logits",), reader=_InWords,
        sets=WORD_SETS, sample=read_words, split=_split_of_words,
    ),
    "ForQuestionAnswering": Kind(
        "AutoModelForQuestionAnswering", "qa_outputs", pooled=False, outputs=("start_logits", "end_logits"),
        reader=_InQuestions, sets=QUESTION_SETS, sample=read_questions, split=_split_of_questions, classes=False,
    ),
}  # fmt: skip
