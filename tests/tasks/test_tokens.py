"""The tokens task: tags of words, by the names that it is bound to."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn import metrics as reference

from liteft.errors import ModelError
from liteft.metrics import softmax
from liteft.ragged import Ragged
from liteft.tasks import SINGLE_LABEL, TOKENS, fit_temperature, fit_threshold, rows_to_calibrate, task_named

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TASK = TOKENS.bound(LABELS)


def random_logits(texts: int, seed: int, labels: int = len(LABELS), noise: float = 1.0) -> Ragged:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, 9, texts)
    rows = [noise * generator.normal(size=(count, labels)) for count in lengths]
    return Ragged.of(rows, np.float32, width=(labels,))


def test_a_task_keeps_its_tags_and_stays_the_name() -> None:
    for task in (TASK, copy.deepcopy(TASK), pickle.loads(pickle.dumps(TASK)), task_named(TASK)):
        assert task == "tokens" == TOKENS and hash(task) == hash("tokens") and task.tags == LABELS
    assert TOKENS.tags == () and task_named("tokens").tags == ()
    assert TASK.bound(("X", "Y")).tags == ("X", "Y") and TASK.tags == LABELS


def test_methods_that_need_names_say_so_where_there_are_none() -> None:
    logits = random_logits(3, 0)
    for call in (TOKENS.decide, lambda each: TOKENS.score(each, TASK.decide(each)), lambda each: TOKENS.blind(each, 5)):
        with pytest.raises(ValueError, match=r"needs the names of its tags: TOKENS\.bound\(labels\)"):
            call(logits)
    with pytest.raises(ValueError, match="logits of 4 tags for a task of 5"):
        TASK.decide(random_logits(3, 0, labels=4))


def test_texts_without_tags_need_their_words() -> None:
    with pytest.raises(ValueError, match="2 texts without tags need the words of each"):
        TASK.without_labels(2, 5)


def test_decisions_are_legal_and_by_logits_or_probabilities_the_same() -> None:
    logits = random_logits(200, 1)
    decided = TASK.decide(logits)
    assert TASK.scheme.legal(decided).all() and not TASK.scheme.legal(logits.like(logits.values.argmax(axis=1))).all()
    assert TASK.same(decided, TASK.choose(TASK.probabilities(logits), 0.5)).all()
    first = TOKENS.bound(("I-A", "O", "B-A"))
    never = Ragged.of([[[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]], np.float32, width=(3,))  # what float32 leaves of e^-200
    assert first.scheme.legal(first.choose(never, 0.5)).all()
    plain = TOKENS.bound(("A", "B", "C", "D", "E"))
    assert (plain.decide(logits).values == logits.values.argmax(axis=1)).all()


def test_only_the_same_words_are_compared() -> None:
    with pytest.raises(ValueError, match="other numbers of words"):
        TASK.same(Ragged.of([[1], [1, 2]], int), Ragged.of([[1, 2], [1]], int))
    assert TASK.same(Ragged.of([[1], [], [1, 2]], int), Ragged.of([[2], [], [1, 2]], int)).tolist() == [
        False,
        True,
        True,
    ]
    assert TASK.agreement(*(random_logits(40, 2),) * 2) == 1.0


def test_word_by_word_numbers_are_those_of_one_label_per_word() -> None:
    logits, other, gold = random_logits(100, 3), random_logits(100, 3, noise=0.5), TASK.decide(random_logits(100, 3))
    gold.values[::7] = -1
    scores, words = TASK.score(logits, gold), gold.values
    known = words >= 0
    assert scores["log_loss"] == pytest.approx(
        reference.log_loss(words[known], softmax(logits.values)[known], labels=range(5))
    )
    assert scores["accuracy"] == pytest.approx((TASK.decide(logits).values == words).mean())
    assert scores["calibration_error"] == SINGLE_LABEL.calibration_error(logits.values, words)
    assert TASK.divergence(logits, other) == SINGLE_LABEL.divergence(logits.values, other.values)
    means = TASK.mean_logits([logits, other])
    assert means.fits(logits) and means.dtype == np.float32
    assert (means.values == SINGLE_LABEL.mean_logits([logits.values, other.values])).all()
    entropy = TASK.entropy(logits)
    assert entropy == pytest.approx([SINGLE_LABEL.entropy(row).mean() if len(row) else 0.0 for row in logits])
    broken = logits.like(np.full_like(logits.values, np.nan))
    assert TASK.divergence(logits, broken) == float("inf")
    with pytest.raises(ModelError, match=f"not finite for {len(words)} of {len(words)} words"):
        TASK.score(broken, gold)


def test_labels_must_fit_the_words() -> None:
    logits = random_logits(5, 4)
    gold = TASK.decide(logits)
    for wrong in (gold[:4], gold.values, Ragged.of([[0]] * 5, int)):
        with pytest.raises(ValueError):
            TASK.score(logits, wrong)
    with pytest.raises(ValueError, match="label 5 is beyond the model's 5 labels"):
        TASK.score(logits, gold.like(np.full_like(gold.values, 5)))
    with pytest.raises(ValueError, match="no texts"):
        TASK.score(logits[:0], gold[:0])


def test_texts_without_words_are_right_and_have_no_loss() -> None:
    logits = Ragged.of([[], []], np.float32, width=(5,))
    scores = TASK.score(logits, TASK.decide(logits))
    assert scores["exact_match"] == 1.0 and scores["f1"] == scores["accuracy"] == scores["calibration_error"] == 0.0
    assert "log_loss" not in scores
    assert TASK.majority_share(TASK.decide(logits)) == 1.0 and TASK.entropy(logits).tolist() == [0.0, 0.0]


def test_unseen_labels_are_never_right() -> None:
    logits = random_logits(50, 5)
    gold = TASK.decide(logits)
    unseen = np.arange(50) < 10
    scores = TASK.score(logits, gold, unseen_label=unseen)
    assert scores["exact_match"] == 0.8 == TASK.correct(logits, gold, unseen_label=unseen).mean()
    assert scores["precision"] == 1.0 > scores["recall"]


def test_each_type_has_its_scores() -> None:
    logits = random_logits(50, 6)
    gold = TASK.decide(logits)
    gold.values[gold.values == 3] = 0
    found = TASK.by_label(logits, gold)
    assert list(found) == ["PER", "LOC"]
    assert found["PER"]["f1"] == 1.0 and found["PER"]["spans"] > 10
    assert found["LOC"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "spans": 0}


def test_the_best_constant_tag_is_a_majority() -> None:
    gold = Ragged.of([[0, 0], [], [1, 2], [0], [0, 1], [1], [-1, -1]], int)
    assert TASK.majority_share(gold) == pytest.approx(3 / 7)
    assert TASK.majority_share(gold[:0]) == 0.0


@pytest.mark.parametrize("labels", [LABELS, ("NOUN", "VERB", "X", "DET", "ADJ")])
def test_tags_that_do_not_depend_on_the_text_are_blind(labels: tuple[str, ...]) -> None:
    generator = np.random.default_rng(7)
    task = TOKENS.bound(labels)
    rows = [generator.normal(size=(6, 5)) + 2 * np.eye(5)[0] for _ in range(3000)]
    gold = task.decide(Ragged.of(rows, float, width=(5,)))
    blind, reached = task.blind(gold, 5), []
    shares = np.bincount(gold.values, minlength=5) / len(gold.values)
    for guessed in (shares, *np.eye(5)):
        logits = gold.like(np.eye(5)[generator.choice(5, p=guessed, size=len(gold.values))])
        scores = task.score(logits, gold)
        reached.append(task.balanced(scores))
        assert task.is_blind(scores, gold, 5)
    assert max(reached) == pytest.approx(blind, abs=0.03)
    right = gold.like(np.eye(5)[gold.values])
    assert not task.is_blind(task.score(right, gold), gold, 5)


def test_a_temperature_is_fitted_over_the_words_that_are_known() -> None:
    generator = np.random.default_rng(8)
    logits = random_logits(900, 8, noise=2.0)
    drawn = (generator.random((len(logits.values), 1)) < softmax(logits.values).cumsum(axis=1)).argmax(axis=1)
    gold = logits.like(drawn)
    assert fit_temperature(logits.like(3 * logits.values), gold, TASK) == pytest.approx(3, rel=0.1)
    half = gold.like(np.where(np.arange(len(drawn)) % 2, drawn, -1))
    assert fit_temperature(logits.like(3 * logits.values), half, TASK) == pytest.approx(3, rel=0.15)
    assert fit_temperature(logits, gold.like(np.full_like(drawn, -1)), TASK) == 1.0
    assert fit_threshold(logits, gold, TASK) == (0.0, TASK.score(logits, gold)["f1"])


def test_texts_to_calibrate_have_a_known_word() -> None:
    gold = Ragged.of([[0, -1]] * 50 + [[-1], []], int)
    assert rows_to_calibrate(gold, TASK).tolist() == list(range(50))
    assert len(rows_to_calibrate(gold[1:], TASK)) == 0
