"""Which regular expressions in a tokenizer.json are known to need at most a few steps per character.

The tokenizers library passes them to Oniguruma, which backtracks: ``(a+)+$`` takes practically forever. Known to be
safe
are those of published tokenizers, compared literally, and all that cannot backtrack: alternatives
of single characters and classes, of which only the last may repeat without bound.
"""

from __future__ import annotations

import re

__all__ = ["UnknownPattern", "check_pattern"]

_LONGEST = 1000
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_ENDS = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
)
_KNOWN = {
    _GPT2,
    *(_WORDS + numbers + r" ?[^\s\p{L}\p{N}]+[\r\n]*" + _ENDS for numbers in (r"\p{N}{1,3}|", r"\p{N}|", r"\p{N}+|")),
    _CASED + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _ENDS,
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    _CASED + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _ENDS,
}
_COUNT = r"(?:[?*+]|\{\d{1,4}(?:,\d{0,4})?\})?"
_CLASS = r"\[\^?\]?(?:\\.(?:\{\^?\w+\})?|\(|\)|[^\\\[\]()&])+\]"
_ONE = rf"(?:\\[pP]\{{\^?\w+\}}|\\[sSdDwWnrt.*+?(){{}}\[\]|/\\^$'\"-]|{_CLASS}|[^\\\[\]()|?*+{{}}^$.]|\.)"
_STEP = re.compile(rf"({_ONE})({_COUNT})")
_BOUNDED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOST_STEPS, _MOST_WAYS = 64, 64


class UnknownPattern(ValueError):
    """A regular expression that is accepted only if the caller trusts its file."""


def check_pattern(pattern: str) -> None:
    """Refuse a regular expression that might take more than linear time.

    Raises:
        UnknownPattern: it is not known to be safe.
    """
    if pattern in _KNOWN:
        return
    if not 0 < len(pattern) <= _LONGEST or not _never_goes_back(pattern):
        raise UnknownPattern(f"it has a regular expression that may take exponential time, {pattern[:80]!r}")


def _never_goes_back(pattern: str) -> bool:
    """Return whether every alternative is single characters of which only the last repeats without bound."""
    place, steps = 0, 0
    ways, ended, empty = 1, False, True  # of this alternative: how often its counts can be chosen otherwise
    while place < len(pattern):
        if pattern[place] == "|":
            if empty:
                return False
            place, ways, ended, empty = place + 1, 1, False, True
            continue
        step = _STEP.match(pattern, place)
        if step is None or ended or (steps := steps + 1) > _MOST_STEPS:
            return False
        place, (least, most) = step.end(), _counts(step.group(2))
        ways *= 1 if most is None else max(0, most - least) + 1
        if ways > _MOST_WAYS or max(least, most or 0) > _MOST_WAYS:
            return False
        ended, empty = most is None, empty and least == 0
    return not empty


def _counts(count: str) -> tuple[int, int | None]:
    """Return how often a quantifier repeats, at least and at most; None for no upper bound."""
    if count in ("", "?"):
        return (1, 1) if not count else (0, 1)
    if count in ("*", "+"):
        return (0, None) if count == "*" else (1, None)
    found = _BOUNDED.fullmatch(count)
    assert found is not None
    least, most = int(found[1]), found[2]
    return least, least if most is None else int(most) if most else None
