"""Exact match and F1 of answers to questions: how much of a text two answers have in common, as words or characters.

**By words**, as SQuAD's scripts count. Both answers are lower-cased, lose the punctuation of ASCII and the articles a,
an and the, and are split at white space. They match if the rest is the same; F1 is that of the two bags of words. A
question counts with the best of its gold answers. No answer is an empty answer: it is right where there is no gold
answer, or none of which anything is left, and two answers of which one is empty have an F1 of 1 if both are, else of 0.
Version 1.1 of the script differs in two cases without anything left: there a gold answer counts whatever is left
of it, and two empty answers have an F1 of 0.

**By characters**, as CMRC 2018's script counts. Chinese characters are units, runs of anything else are cut into words,
and some punctuation is left out. F1 is that of the longest run of units that both answers contain. The script calls
this run a longest common subsequence, but it has no gaps. Its words of other scripts are NLTK's; ours differ in what
is done with contractions ("don't"). It has no questions without answer; two empty answers have an F1 of 1 here.

Source: evaluate-v1.1.py and evaluate-v2.0.py of SQuAD, Rajpurkar et al. 2018, arXiv:1806.03822; cmrc2018_evaluate.py,
Cui et al. 2019, arXiv:1810.07366.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from liteft.words import count_chinese

__all__ = ["AnswerScores", "answer_scores", "chinese_share", "is_chinese_text", "normalised_answer"]

_LEFT_OUT = str.maketrans("", "", string.punctuation)
_ARTICLE = r"\b(a|an|the)\b"
_CHINESE_SHARE = 1 / 3  # of a context's characters from which its answers are compared by characters
_UNIT = r"[\u4e00-\u9fa5]|(?:(?![\u4e00-\u9fa5])\w)+(?:\.(?:(?![\u4e00-\u9fa5])\w)+|,\d+)*|[^\w\s]"
_CHINESE_LEFT_OUT = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")


@dataclass(frozen=True, slots=True, eq=False)
class AnswerScores:
    """How good each question's answer is.

    Attributes:
        exact: whether it equals a gold answer: bool (texts,).
        f1: its best F1 with a gold answer: float64 (texts,), 0 to 1.
    """

    exact: np.ndarray
    f1: np.ndarray


def answer_scores(
    answers: Sequence[str],
    gold: Sequence[Sequence[str]],
    *,
    characters: bool | Sequence[bool] = False,
    squad: Literal[1, 2] = 2,
) -> AnswerScores:
    """Return the scores of answers.

    Args:
        answers: one for each question, "" for no answer.
        gold: the answers of each question that are right; none where its context does not answer it.
        characters: whether answers are compared by characters: one value, or one for each question.
        squad: the version of SQuAD's script that answers are compared by words with.

    Raises:
        ValueError: the numbers of answers, gold answers and ``characters`` differ.
    """
    each = [characters] * len(answers) if isinstance(characters, bool) else list(characters)
    exact = np.zeros(len(answers), dtype=bool)
    f1 = np.zeros(len(answers))
    for text, (answer, right, by_characters) in enumerate(zip(answers, gold, each, strict=True)):
        best = _by_characters(answer, right) if by_characters else _by_words(answer, right, squad)
        exact[text], f1[text] = best
    return AnswerScores(exact, f1)


def normalised_answer(answer: str) -> str:
    """Return an answer as SQuAD compares it: lower case, no ASCII punctuation, no articles, single spaces."""
    return " ".join(re.sub(_ARTICLE, " ", answer.lower().translate(_LEFT_OUT)).split())


def chinese_share(text: str) -> float:
    """Return the share of Chinese characters among a text's characters without white space, 0 to 1."""
    found = count_chinese(text)
    return found / len("".join(text.split())) if found else 0.0


def is_chinese_text(text: str) -> bool:
    """Return whether answers out of a text are compared by characters: a third of it or more are Chinese ones."""
    return chinese_share(text) >= _CHINESE_SHARE


def _by_words(answer: str, gold: Sequence[str], squad: int) -> tuple[bool, float]:
    found = normalised_answer(answer)
    right = [normalised_answer(each) for each in gold]
    if squad == 2:
        right = [each for each in right if each] or [""]
    words = found.split()
    return found in right, max((_bag_f1(words, each.split(), squad) for each in right), default=0.0)


def _bag_f1(first: list[str], second: list[str], squad: int) -> float:
    if not first or not second:
        return float(first == second and squad == 2)
    common = sum((Counter(first) & Counter(second)).values())
    return _f1(common, len(first), len(second))


def _by_characters(answer: str, gold: Sequence[str]) -> tuple[bool, float]:
    right = list(gold) or [""]
    bare = [each.lower().strip().translate(_CHINESE_LEFT_OUT) for each in (answer, *right)]
    units = [re.findall(_UNIT, each) for each in bare]
    best = max(_f1(_longest_run(units[0], each), len(units[0]), len(each)) for each in units[1:])
    empty = not units[0] and not all(units[1:])
    return bare[0] in bare[1:], 1.0 if empty else best


def _longest_run(first: list[str], second: list[str]) -> int:
    """Return the length of the longest run of units that both lists contain."""
    best, row = 0, [0] * (len(second) + 1)
    for unit in first:
        above = row
        row = [0] * (len(second) + 1)
        for place, other in enumerate(second):
            if unit == other:
                row[place + 1] = above[place] + 1
        best = max(best, max(row))
    return best


def _f1(common: int, first: int, second: int) -> float:
    """Return F1 from numbers of units: those in common, and those of both answers."""
    if not common:
        return 0.0
    precision, recall = common / first, common / second
    return 2 * precision * recall / (precision + recall)
