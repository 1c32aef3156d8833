"""Where special tokens stand around one text or two, and how many tokens of each are kept.

The tokenizers library cuts a pair itself, and keeps every combination of the pieces that it cuts off: two texts of
20,000 characters take it gigabytes, larger ones end the process. So each text is tokenized alone, and put between its
special tokens here. What stands where is read off a pair that the library put together, and must be true of other
pairs, too.
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
    """What a pair of texts becomes.

    Attributes:
        parts: in order; each the number of a text (0 or 1) or None for special tokens, the latter's ids, and the
            type id of a text or those of the special tokens.
    """

    parts: tuple[tuple[int | None, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def special_tokens(self) -> int:
        """Number of special tokens."""
        return sum(len(ids) for _, ids, _ in self.parts)

    def join(self, first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return ids and type ids of a pair.

        Args:
            first, second: ids of both texts, without special tokens.
        """
        ids: list[int] = []
        types: list[int] = []
        for text, special, kinds in self.parts:
            part = special if text is None else (first, second)[text]
            ids += part
            types += kinds if text is None else kinds * len(part)
        return ids, types


def find_layout(tokenizer: Tokenizer) -> PairLayout | None:
    """Return the layout of a tokenizer's pairs; None where it is not as simple as that.

    Args:
        tokenizer: without truncation.
    """
    shown = tokenizer.encode(*_SHOWN)
    tokens = zip(shown.sequence_ids, shown.ids, shown.type_ids, strict=True)
    parts: list[tuple[int | None, tuple[int, ...], tuple[int, ...]]] = []
    for text, group in groupby(tokens, key=lambda token: token[0]):
        _, ids, types = zip(*group, strict=True)
        parts.append((None, ids, types) if text is None else (text, (), types[:1]))
    layout = PairLayout(tuple(parts))
    if sorted(text for text, *_ in parts if text is not None) != [0, 1]:
        return None  # a vocabulary without these letters shows no text
    return layout if all(_agrees(tokenizer, layout, *probe) for probe in _PROBES) else None


def kept_tokens(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens are kept of two texts: the longer one loses tokens first, as in the tokenizers library.

    Args:
        first, second: tokens of both texts.
        room: tokens that both may keep together.
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second)
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room // 2 + room % 2
    return (longer, shorter) if first > second else (shorter, longer)


def _agrees(tokenizer: Tokenizer, layout: PairLayout, first: str, second: str) -> bool:
    whole = tokenizer.encode(first, second)
    alone = [tokenizer.encode(text, add_special_tokens=False).ids for text in (first, second)]
    return (list(whole.ids), list(whole.type_ids)) == layout.join(*alone)
