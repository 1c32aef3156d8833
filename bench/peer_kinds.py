"""What a model of bench/peers.py judges, texts or words, and how its texts become rows of tokens.

The kind of a model is read from its config.json. Models of words read long texts in the same windows as LiteFT, and
all engines are asked for the logits of the same tokens: the first one of each word.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peer_texts import MAX_TOKENS, open_tokenizer

Text = str | tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Texts as an engine reads them.

    Attributes:
        ids: token ids of each row, without padding.
        places: the row and the token of each judgement, as an index into (rows, tokens, labels); None if each row is
            judged as a whole.
        types: type ids of each row; None if all of them are 0.
    """

    ids: list[list[int]]
    places: tuple[np.ndarray, np.ndarray] | None = None
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
    """

    auto: str
    layer: str
    pooled: bool
    outputs: tuple[str, ...]
    reader: Callable[[Path], Read]


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


def most_tokens(folder: Path) -> int:
    """Return how many tokens of a text the model in a folder reads."""
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("liteft", {})
    return int(settings.get("max_tokens", MAX_TOKENS))


# Another kind is a record here: questions would have ForQuestionAnswering, with the layer qa_outputs, the outputs
# start_logits and end_logits, and a reader of pairs in windows that gives type ids too.
OF_A_TEXT = Kind("AutoModelForSequenceClassification", "classifier", pooled=True, outputs=("logits",), reader=_whole)
KINDS = {
    "ForSequenceClassification": OF_A_TEXT,
    "ForTokenClassification": Kind(
        "AutoModelForTokenClassification", "classifier", pooled=False, outputs=("logits",), reader=_InWords
    ),
}
