"""The texts to label next, as a result: a table, plain data, and rows of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteft import files
from liteft.privacy import HIDDEN, hides_all, shown, shown_parts
from liteft.results import Result
from liteft.text_tables import aligned, shortened

__all__ = ["NextText", "ToLabel"]

_SHOWN, _WIDTH = 10, 60


@dataclass(frozen=True, slots=True)
class NextText:
    """One text to label next.

    Attributes:
        text: the text, or the first text of a pair.
        pair: the second text; None for a single text.
        predicted: the labels that the model predicts: one, or with several labels per text any number; where words are
            judged, the tag of each word.
        probability: of the most probable label; of a sure text, of the label that it was picked for. Of a model with a
            tuned threshold it is the score. Where words are judged, it is that of the least sure word's tag.
        margin: the probability of the most probable label minus that of the second. With several labels per text, the
            smallest difference, over labels, between the probabilities that a label applies and that it does not. Where
            words are judged, it is the smallest of a word.
        source: the file, or the object in memory; None if it is unknown.
        row: line in a text file, row in anything else, counted from 1; None if it is unknown.
        words: where words are judged, the words; else None.
    """

    text: str
    pair: str | None
    predicted: tuple[str, ...]
    probability: float
    margin: float
    source: str | None = None
    row: int | None = None
    words: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        found = {name: getattr(self, name) for name in self.__slots__}
        words = None if self.words is None else shown_parts(list(self.words), self.text)
        found |= {"predicted": list(self.predicted), "words": words, "text": shown(self.text)}
        return found | {"pair": None if self.pair is None else shown(self.pair)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> NextText:
        """Return the text that ``to_dict`` described; other keys, such as labels that were added, are ignored."""
        values = {name: row[name] for name in cls.__slots__}
        words = None if row["words"] is None else tuple(row["words"])
        return cls(**values | {"predicted": tuple(row["predicted"]), "words": words})

    @property
    def place(self) -> str:
        """Where the text is: its file and its line or row; HIDDEN if that is unknown."""
        return HIDDEN if self.source is None or self.row is None else f"{self.source}, {self.row}"

    @property
    def shown(self) -> str:
        """What is predicted, in a few words: the labels, or the words with tags other than "O"."""
        if self.words is None:
            return ", ".join(self.predicted) or "none"
        tagged = zip(shown_parts(list(self.words), self.text), self.predicted, strict=True)
        return shortened(" ".join(f"{word}/{tag}" for word, tag in tagged if tag != "O") or "none", _WIDTH)


@dataclass(frozen=True, repr=False)
class ToLabel(Result):
    """The texts of a pool to label next.

    Attributes:
        doubtful: texts that the model doubts and that differ, the most useful first.
        sure: texts of which the model is surest, spread over labels, to be confirmed at a glance.
        asked: number of texts that the model was asked about.
        pool: number of texts in the pool; more than ``asked`` if it was thinned out.
    """

    doubtful: tuple[NextText, ...]
    sure: tuple[NextText, ...]
    asked: int
    pool: int

    def __repr__(self) -> str:
        return f"ToLabel({len(self.doubtful)} doubtful and {len(self.sure)} sure of {self.pool:,} texts)"

    @property
    def summary(self) -> str:
        """The numbers of texts, in a sentence without a full stop."""
        if not self.doubtful and not self.sure:
            return f"no text to label and none to confirm, of {self.pool:,} texts"
        thinned = "" if self.asked == self.pool else f"{self.asked:,}, evenly spaced, of "
        return (
            f"{len(self.doubtful)} doubtful texts to label and {len(self.sure)} sure ones to confirm, "
            f"of {thinned}{self.pool:,} texts"
        )

    def render(self) -> str:
        """Return the first texts of both lists as tables."""
        return "\n\n".join([self.summary, *(_table(name, texts) for name, texts in self._lists.items() if texts)])

    def to_dict(self) -> dict[str, Any]:
        """Return both lists as plain data."""
        return {
            "pool": self.pool,
            "asked": self.asked,
            **{name: [text.to_dict() for text in texts] for name, texts in self._lists.items()},
        }

    def write(self, path: str | Path, **fields: Any) -> None:
        """Write a jsonl file with one text per line, for annotation: its key ``why`` is "doubtful" or "sure".

        The labels that the model predicts are in ``predicted``, not in ``label``, so that nobody trains on them as if
        a person had given them.

        Args:
            path: the file, which is replaced.
            fields: further keys of each line.

        Raises:
            RunError: the file cannot be written.
        """
        rows = [text.to_dict() | {"why": why} | fields for why, texts in self._lists.items() for text in texts]
        lines = [json.dumps({key: row[key] for key in row if row[key] is not None}, ensure_ascii=False) for row in rows]
        files.write_text(Path(path), "".join(f"{line}\n" for line in lines))

    @property
    def _lists(self) -> dict[str, tuple[NextText, ...]]:
        return {"doubtful": self.doubtful, "sure": self.sure}


def _table(name: str, texts: tuple[NextText, ...]) -> str:
    rows = [(name, "predicted", "probability", "margin")]
    for each in texts[:_SHOWN]:
        whole = shown(each.text if each.pair is None else f"{each.text} | {each.pair}")
        whole = each.place if hides_all() else " ".join(whole.split())
        words = shortened(whole, _WIDTH)
        rows.append((words, each.shown, f"{each.probability:.2f}", f"{each.margin:.2f}"))
    more = len(texts) - _SHOWN
    return aligned(rows, texts=2) + (f"\nand {more} more" if more > 0 else "")
