"""Spans and their metrics against seqeval, and intervals against samples that are drawn one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from seqeval import metrics as reference
from seqeval.scheme import IOB2

from liteft.metrics import bootstrap_interval, paired_interval_over_seeds, paired_span_intervals, span_intervals
from liteft.metrics.spans import SpanCounts, _samples
from liteft.ragged import Ragged
from liteft.tasks import TOKENS
from liteft.tasks.tagging import scheme_of

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-X-Y", "I-X-Y")
SCHEME = scheme_of(LABELS)


def random_tags(texts: int, seed: int, most: int = 12) -> Ragged:
    generator = np.random.default_rng(seed)
    return Ragged.of([generator.integers(0, len(LABELS), generator.integers(0, most)) for _ in range(texts)], np.int64)


def similar(tags: Ragged, seed: int, share: float = 0.3) -> Ragged:
    """Return tags of which a share is drawn anew."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(LABELS), len(tags.values))
    return tags.like(np.where(generator.random(len(drawn)) < share, drawn, tags.values))


def names(tags: Ragged) -> list[list[str]]:
    return [[LABELS[tag] for tag in row] for row in tags]


def counted(found: Ragged, gold: Ragged, *, strict: bool = True) -> SpanCounts:
    return TOKENS.bound(LABELS)._count(found, gold, None, strict=strict)


def listed(tags: Sequence[str], *, strict: bool) -> list[tuple[str, int, int]]:
    """Return the spans of one text."""
    found = SCHEME.spans(Ragged.of([[LABELS.index(tag) for tag in tags]], np.int64), strict=strict)
    types = [SCHEME.type_names[number] for number in found.types]
    return list(zip(types, found.starts.tolist(), found.ends.tolist(), strict=True))


def test_spans_by_hand() -> None:
    tags = ["B-PER", "I-PER", "I-LOC", "I-LOC", "O", "I-PER", "B-PER", "B-PER", "I-PER"]
    assert listed(tags, strict=True) == [("PER", 0, 2), ("PER", 6, 7), ("PER", 7, 9)]
    assert listed(tags, strict=False) == [
        ("PER", 0, 2), ("LOC", 2, 4), ("PER", 5, 6), ("PER", 6, 7), ("PER", 7, 9)
    ]  # fmt: skip
    assert listed([], strict=True) == []


def test_spans_know_their_texts_and_end_with_them() -> None:
    tags = Ragged.of([[], [1], [], [2, 1, 2], []], np.int64)
    found = SCHEME.spans(tags)
    assert (found.texts.tolist(), found.starts.tolist(), found.ends.tolist()) == ([1, 3], [0, 2], [1, 4])
    loose = SCHEME.spans(tags, strict=False)
    assert loose.texts.tolist() == [1, 3, 3]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("strict", [True, False])
def test_scores_equal_seqevals(seed: int, strict: bool) -> None:
    gold = random_tags(60, seed)
    found = similar(gold, seed + 100, share=seed / 20)
    mode = {"mode": "strict", "scheme": IOB2} if strict else {}
    scores = counted(found, gold, strict=strict).scores()
    pair = names(gold), names(found)
    for name in ("f1", "precision", "recall"):
        function = getattr(reference, f"{name}_score")
        assert scores[name] == pytest.approx(function(*pair, average="micro", **mode)), name
    assert scores["macro_f1"] == pytest.approx(reference.f1_score(*pair, average="macro", zero_division=0, **mode))
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(*pair))


def test_scores_of_each_type_equal_seqevals() -> None:
    gold = random_tags(200, 1)
    found = similar(gold, 2)
    each = counted(found, gold).by_type()
    expected = reference.classification_report(
        names(gold), names(found), output_dict=True, mode="strict", scheme=IOB2, zero_division=0
    )
    for number, name in enumerate(SCHEME.type_names):
        values = [each[key][number] for key in ("precision", "recall", "f1", "spans")]
        assert values == pytest.approx([expected[name][key] for key in ("precision", "recall", "f1-score", "support")])


def test_a_run_of_unknown_tags_is_a_span_that_was_missed() -> None:
    gold = Ragged.of([[-1, -1, 0, -1], [1, 2], [-1], [0]], np.int64)
    found = Ragged.of([[1, 2, 0, 0], [1, 2], [0], [0]], np.int64)
    counts = counted(found, gold)
    assert counts.missed.tolist() == [2, 0, 1, 0] and counts.all_right.tolist() == [False, True, False, True]
    scores = counts.scores()
    assert (scores["precision"], scores["recall"]) == (1 / 2, 1 / 4) and scores["f1"] == pytest.approx(2 / 6)
    assert scores["accuracy"] == 4 / 8


def test_texts_without_spans_or_words_have_scores_of_zero() -> None:
    empty = Ragged.of([[], [0]], np.int64)
    scores = counted(empty, empty).scores()
    assert scores == {"f1": 0.0, "macro_f1": 0.0, "accuracy": 1.0, "precision": 0.0, "recall": 0.0}
    assert counted(empty[:1], empty[:1]).scores()["accuracy"] == 0.0


def test_the_contributions_of_texts_have_f1_as_their_mean() -> None:
    gold = random_tags(80, 3)
    counts = counted(similar(gold, 4), gold)
    assert counts.contributions().mean() == pytest.approx(counts.scores()["f1"])


def test_intervals_equal_those_of_samples_drawn_one_by_one() -> None:
    gold = random_tags(150, 5, most=6)
    found = similar(gold, 6, share=0.2)
    fast = span_intervals(counted(found, gold), resamples=4000)

    def f1(rows: np.ndarray) -> float:
        return counted(found[rows], gold[rows]).scores()["f1"]

    slow = bootstrap_interval(f1, np.arange(150), resamples=1000, seed=1)
    assert fast["f1"] == pytest.approx(slow, abs=0.01)
    assert set(fast) == {"f1", "macro_f1", "accuracy"}


def test_samples_are_the_same_however_many_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gold = random_tags(50, 7)
    counts = counted(similar(gold, 8), gold)
    whole = _samples([counts], 100, 0)[0]
    monkeypatch.setattr("liteft.metrics.spans.CHUNK_CELLS", 700)
    parts = _samples([counts], 100, 0)[0]
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_a_flawless_model_has_an_interval_with_a_width() -> None:
    gold = random_tags(50, 9)
    low, high = span_intervals(counted(gold, gold))["f1"]
    assert 0.9 < low < 0.95 and high == 1.0
    with pytest.raises(ValueError, match="no texts"):
        span_intervals(counted(gold[:0], gold[:0]))


def test_a_paired_interval_is_that_of_contributions_and_narrower_than_two_alone() -> None:
    gold = random_tags(3000, 10)
    first = counted(similar(gold, 11), gold)
    second = counted(similar(gold, 11, share=0.28), gold)
    found = paired_span_intervals(first, second)
    expected = paired_interval_over_seeds(first.contributions()[None], second.contributions()[None])
    assert found["f1"] == pytest.approx((expected.low, expected.high), abs=0.1 * (expected.high - expected.low))
    alone = span_intervals(first)["f1"]
    assert found["f1"][0] > 0 and found["f1"][1] - found["f1"][0] < alone[1] - alone[0]
    same = paired_span_intervals(first, first)["f1"]
    assert same[0] < 0 < same[1]
