"""The layout of a tokenized pair: where special tokens are, and how many tokens of each text are kept.

When the tokenizers library truncates a pair, it stores every combination of the parts that it cuts off: two texts of
20,000 characters take gigabytes, longer ones crash the process. So each text of a pair is tokenized alone, and special
tokens are added here. Their places are read from a pair that the library tokenized, and checked with other pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tokenizers import Tokenizer

__all__ = ["PairLayout", "find_layout", "kept_tokens"]

_SHOWN = ("a", "b c d")
_PROBES = (_SHOWN, ("x y z", "k"), ("", "b"), ("a", ""), ("", ""), ("a b", "a b"))


@dataclass(frozen=True, slots=True)
class PairLayout:
    """The order of texts and special tokens in a tokenized pair.

    Attributes:
        parts: the parts in order, each with three values: the number of a text (0 or 1), or None for special tokens;
            the ids of the special tokens; and the type id of the text, or the type ids of the special tokens.
    """

    parts: tuple[tuple[int | None, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def special_tokens(self) -> int:
        """Number of special tokens in a pair."""
        return sum(len(ids) for _, ids, _ in self.parts)

    def join(self, first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the token ids and type ids of a pair.

        Args:
            first, second: token ids of both texts, without special tokens.
        """
        ids: list[int] = []
        types: list[int] = []
        for text, special, kinds in self.parts:
            part = special if text is None else (first, second)[text]
            ids += part
            types += kinds if text is None else kinds * len(part)
        return ids, types


def find_layout(tokenizer: Tokenizer) -> PairLayout | None:
    """Return the layout of a tokenizer's pairs; None if pairs do not follow such a layout.

    Args:
        tokenizer: a tokenizer without truncation.
    """
    shown = tokenizer.encode(*_SHOWN)
    tokens = zip(shown.sequence_ids, shown.ids, shown.type_ids, strict=True)
    parts: list[tuple[int | None, tuple[int, ...], tuple[int, ...]]] = []
    for text, group in groupby(tokens, key=lambda token: token[0]):
        _, ids, types = zip(*group, strict=True)
        parts.append((None, ids, types) if text is None else (text, (), types[:1]))
    layout = PairLayout(tuple(parts))
    if sorted(text for text, *_ in parts if text is not None) != [0, 1]:
        return None  # a vocabulary without these letters gives no tokens for a text
    return layout if all(_agrees(tokenizer, layout, *probe) for probe in _PROBES) else None


def kept_tokens(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of each text are kept; the longer one is cut first, as in the tokenizers library.

    Args:
        first, second: numbers of tokens of both texts.
        room: number of tokens that both may keep together.
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second)
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room // 2 + room % 2
    return (longer, shorter) if first > second else (shorter, longer)


def _agrees(tokenizer: Tokenizer, layout: PairLayout, first: str, second: str) -> bool:
    """Return whether a layout gives the tokenizer's own ids for a pair."""
    whole = tokenizer.encode(first, second)
    alone = [tokenizer.encode(text, add_special_tokens=False).ids for text in (first, second)]
    return (list(whole.ids), list(whole.type_ids)) == layout.join(*alone)
