"""What is recommended, from measurements that are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from liteft.advising.curve import Curve
from liteft.advising.evidence import Evidence, Floor, TextLengths, doubtful_texts
from liteft.advising.judges import Scored, difference
from liteft.advising.probe import BaseProbe, LayerProbe
from liteft.advising.recommend import chosen_depth, next_command, no_transformer_needed, recommend
from liteft.advising.sample import draw
from liteft.advising.sizes import ShapeCost
from liteft.data import Dataset, Split, check_dataset

TEXTS = 400


def never(*_rows: np.ndarray) -> np.ndarray:
    raise AssertionError("recommendations fit nothing")


def answers(gold: np.ndarray, right: float, *, seed: int) -> Scored:
    """Return answers of which a share is right, and their accuracy."""
    wrong = np.random.default_rng(seed).permutation(len(gold)) >= right * len(gold)
    logits = np.full((len(gold), 3), -2.0, dtype=np.float32)
    logits[np.arange(len(gold)), np.where(wrong, (gold + 1) % 3, gold)] = 2.0
    share = float((~wrong).mean())
    return Scored(logits, {"accuracy": share, "macro_f1": share}, {"accuracy": (share - 0.02, share + 0.02)})


@pytest.fixture
def evidence() -> Callable[..., Evidence]:
    """A function from shares of right answers to evidence: of a floor, and of the layers of a base."""

    def make(
        *,
        floor: float = 0.7,
        layers: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 0.9),
        counts: tuple[int, ...] = (134, 133, 133),
        twins: int = 0,
        **changes: Any,
    ) -> Evidence:
        gold = np.repeat(np.arange(3), counts)
        texts = [f"text {number}" for number in range(len(gold))]
        test = Split("test", [*texts[:twins], *(f"else {number}" for number in range(100 - twins))])
        data = Dataset(
            "made up", "single_label", ("a", "b", "c"), {"train": Split("train", texts, None, gold), "test": test}
        )
        sample = draw(data, most=TEXTS, seed=0)
        scored = [answers(sample.gold, share, seed=0) for share in layers]
        best = int(np.argmax(layers))
        probes = tuple(
            LayerProbe(number, each.metrics, each.intervals, *difference(each, scored[best], sample, seed=0))
            for number, each in enumerate(scored)
        )
        words = answers(sample.gold, floor, seed=0)
        return replace(
            Evidence(
                check=check_dataset(data),
                sample=sample,
                lengths=TextLengths(12, 40, 40, 0.0, 40),
                floors=(Floor("naive Bayes", words, never),),
                bases=(BaseProbe("minilm", "mean", 384, probes, best, scored[best], never),),
                advantage=difference(words, scored[best], sample, seed=0),
                curves=(Curve("probe", (40, 80, 160, 320), (0.6, 0.7, 0.8, 0.9), TEXTS, 0.9, 0.002, (0.0, 0.004)),),
                costs={},
                doubtful=(),
                doubtful_count=0,
                max_mb=None,
                max_ms=None,
            ),
            **changes,
        )

    return make


def of(found: Evidence) -> dict[str, Any]:
    return {each.topic: each for each in recommend(found)}


def test_the_first_layer_that_is_as_good_as_the_best_is_the_students_depth(
    evidence: Callable[..., Evidence],
) -> None:
    found = evidence()
    assert chosen_depth(found) == 3
    assert of(found)["student"].choice == "3x384"
    options = {"teacher": "minilm", "max_tokens": 40, "size": "3x384", "out": "runs/advised"}
    assert next_command(found) == ("distill", options)


def test_embeddings_that_are_enough_still_make_a_student_of_one_layer(evidence: Callable[..., Evidence]) -> None:
    assert chosen_depth(evidence(layers=(0.9, 0.9, 0.9, 0.9, 0.9))) == 1


def test_a_floor_near_the_ceiling_that_the_probe_does_not_beat_needs_no_transformer(
    evidence: Callable[..., Evidence],
) -> None:
    enough = evidence(floor=0.98, layers=(0.9, 0.98, 0.98))
    assert no_transformer_needed(enough)
    assert of(enough)["transformer"].choice == "not needed: naive Bayes is enough"
    assert not no_transformer_needed(evidence(floor=0.9, layers=(0.9, 0.9, 0.9)))
    assert not no_transformer_needed(evidence(floor=0.97, layers=(0.9, 1.0, 1.0)))
    assert of(evidence(floor=0.96, layers=(0.6, 0.8, 0.8)))["transformer"].choice.startswith("worth it only if")


def test_texts_too_few_for_a_ceiling_do_not_promise_more_from_fine_tuning(evidence: Callable[..., Evidence]) -> None:
    found = evidence(floor=1.0, layers=(1.0, 1.0), counts=(14, 13, 13))
    scored = replace(found.floors[0].scored, intervals={"accuracy": (0.91, 1.0)})
    few = of(replace(found, floors=(replace(found.floors[0], scored=scored),)))["transformer"]
    assert few.choice == "none so far: naive Bayes may be enough" and "40 texts are too few" in few.reason


def test_few_labels_without_a_learning_curve_ask_for_more_text(evidence: Callable[..., Evidence]) -> None:
    assert of(evidence(counts=(8, 8, 8), curves=()))["more text"].choice.startswith("label more")
    assert "more text" not in of(evidence(curves=()))


def test_no_difference_has_no_sign_of_a_loss(evidence: Callable[..., Evidence]) -> None:
    found = evidence(layers=(0.9, 0.9, 0.9))
    same = replace(found.bases[0], best=1)
    assert "-0.0" not in " ".join(each.reason for each in recommend(replace(found, bases=(same,))))


def test_features_at_chance_say_nothing_about_the_depth(evidence: Callable[..., Evidence]) -> None:
    found = evidence(floor=0.34, layers=(0.34, 0.34, 0.35, 0.34, 0.34))
    assert chosen_depth(found) == 4
    assert of(found)["transformer"].choice.startswith("not known before fine-tuning")
    assert of(evidence(floor=1.0, layers=(0.3, 0.3, 0.3)))["transformer"].choice.startswith("not needed")
    assert "nothing says that fewer layers are enough" in of(found)["student"].reason


def test_a_rare_label_that_all_judges_find_is_not_at_chance(evidence: Callable[..., Evidence]) -> None:
    def sure(found: Scored) -> Scored:
        return replace(found, intervals={"accuracy": (0.995, 1.0)})

    found = evidence(floor=1.0, layers=(0.99, 1.0, 1.0), counts=(396, 2, 2))
    assert found.majority == 0.99
    floor, base = found.floors[0], found.bases[0]
    layers = tuple(replace(each, intervals={"accuracy": (0.995, 1.0)}) for each in base.layers)
    found = replace(found, floors=(replace(floor, scored=sure(floor.scored)),), bases=(replace(base, layers=layers),))
    assert of(found)["transformer"].choice == "not needed: naive Bayes is enough"
    assert chosen_depth(found) == 1


def test_limits_hold_for_a_student_of_features_at_chance_too(evidence: Callable[..., Evidence]) -> None:
    costs = tuple(ShapeCost(n, 384, 10.0 + n, 5.0 + n, None, None, False, n < 3) for n in (1, 2, 3, 4))
    found = evidence(floor=0.34, layers=(0.34, 0.34, 0.35, 0.34, 0.34), costs={"minilm": costs}, max_mb=12.5)
    assert of(found)["student"].choice == "2x384"
    assert "the deepest that is within the limits; no layer surely" in of(found)["student"].reason


def test_no_layer_near_the_embeddings_is_said(evidence: Callable[..., Evidence]) -> None:
    student = of(evidence(layers=(0.9, 0.7, 0.6)))["student"]
    assert student.choice == "1x384" and "the embeddings alone" in student.reason and "-20.0" in student.reason


def test_a_flat_curve_at_the_level_of_a_blind_answer_does_not_advise_against_labels(
    evidence: Callable[..., Evidence],
) -> None:
    flat = Curve("probe", (40, 80), (0.33, 0.33), TEXTS, 0.33, 0.0, (0.0, 0.0))
    assert of(evidence(counts=(2, 2, 2), curves=(flat,)))["more text"].choice.startswith("label more")
    assert of(evidence(curves=(flat,)))["more text"].choice == "not known before fine-tuning"


def test_a_size_that_was_not_timed_is_neither_recommended_nor_said_not_to_fit(
    evidence: Callable[..., Evidence],
) -> None:
    timed = {1: True, 2: None, 3: None, 4: None}
    costs = tuple(ShapeCost(n, 384, 10.0, 5.0, None, 1.0, False, within) for n, within in timed.items())
    found = evidence(costs={"minilm": costs}, max_ms=2.0)
    assert of(found)["student"].choice == "1x384"
    unknown = tuple(replace(each, within=None) for each in costs)
    assert "no size is within" not in of(evidence(costs={"minilm": unknown}, max_ms=2.0))["student"].choice


def test_few_test_texts_ask_for_folds(evidence: Callable[..., Evidence]) -> None:
    found = evidence()
    assert "test" not in of(found) and "folds" not in next_command(found)[1]
    few = replace(found, check=replace(found.check, splits=found.check.splits[:1]))
    assert of(few)["test"].choice.startswith("folds = 5") and "0 test texts" in of(few)["test"].reason
    verb, options = next_command(few)
    assert (verb, options["folds"]) == ("distill", 5)
    assert "folds" not in next_command(replace(few, max_mb=9.0))[1], "a search takes none"


def test_limits_make_the_student_shallower_and_the_command_a_search(evidence: Callable[..., Evidence]) -> None:
    costs = tuple(ShapeCost(n, 384, 10.0 + n, 5.0 + n, None, None, False, n < 3) for n in (1, 2, 3, 4))
    found = evidence(costs={"minilm": costs}, max_mb=12.5)
    assert of(found)["student"].choice == "2x384"
    assert "the probe asks for 3 layers" in of(found)["student"].reason
    verb, options = next_command(found)
    assert verb == "search" and options["max_mb"] == 12.5 and "size" not in options


def test_a_depth_that_was_not_tried_is_within_the_limits_if_a_deeper_one_is(evidence: Callable[..., Evidence]) -> None:
    costs = tuple(ShapeCost(n, 384, 10.0 + n, 5.0 + n, None, None, False, True) for n in (1, 2, 4))
    found = evidence(costs={"minilm": costs})
    assert of(found)["student"].choice == "3x384"
    assert "limits" not in of(found)["student"].reason


def test_a_width_that_fits_is_recommended_where_the_bases_own_does_not(evidence: Callable[..., Evidence]) -> None:
    costs = tuple(
        ShapeCost(n, w, 10.0, 5.0, None, None, False, w == 192 and n < 3) for n in (1, 2, 4) for w in (192, 384)
    )
    found = evidence(costs={"minilm": costs}, max_mb=2.0)
    assert of(found)["student"].choice == "2x192"
    assert of(found)["student"].reason == "no size of the base's own width, 384, is within the limits"
    assert next_command(found)[0] == "search"


def test_a_budget_that_nothing_meets_is_said_and_not_searched(evidence: Callable[..., Evidence]) -> None:
    costs = tuple(ShapeCost(n, w, 10.0 + n, 5.0 + n, 0, 0.5, False, False) for n in (1, 2, 4) for w in (192, 384))
    found = evidence(costs={"minilm": costs}, max_mb=1.0, max_ms=2.0)
    student = of(found)["student"]
    assert student.choice == "3x384, since no size is within the limits"
    assert student.reason == "the smallest, 1x192, takes 6.0 MB with few tokens and 0.50 ms"
    verb, options = next_command(found)
    assert verb == "distill" and options["size"] == "3x384" and not {"max_mb", "max_ms"} & set(options)


def test_texts_that_are_in_two_splits_come_first(evidence: Callable[..., Evidence]) -> None:
    first = recommend(evidence(twins=20))[0]
    assert first.topic == "data" and "20 texts of test (20.0%) are also in train" in first.reason
    assert recommend(evidence())[0].topic == "transformer"


def test_few_or_quickly_improving_labels_ask_for_more_text(evidence: Callable[..., Evidence]) -> None:
    assert of(evidence())["more text"].choice.startswith("little to gain")
    slow = Curve("probe", (40, 80), (0.6, 0.7), TEXTS, 0.9, 0.004, (0.0, 0.008))
    steep = Curve("probe", (40, 80), (0.6, 0.7), TEXTS, 0.9, 0.03, (0.02, 0.04))
    assert of(evidence(curves=(steep,)))["more text"].choice.startswith("label more")
    assert of(evidence(curves=(slow,)))["more text"].choice.startswith("little to gain")
    assert of(evidence(counts=(20, 20, 20), curves=(slow,)))["more text"].choice.startswith("label more")


def test_uneven_labels_are_weighed_only_if_macro_f1_suffers(evidence: Callable[..., Evidence]) -> None:
    found = evidence(counts=(380, 15, 5))
    assert of(found)["class weights"].choice == "none"
    low = replace(found.floors[0].scored, metrics={"accuracy": 0.95, "macro_f1": 0.6})
    suffering = replace(found, floors=(replace(found.floors[0], scored=low),))
    assert of(suffering)["class weights"].choice.startswith("balanced")
    options = next_command(suffering)[1]  # the arms learn from weighed labels, as the student's teacher does
    assert options["teacher.class_weights"] == options["student.class_weights"] == "balanced"


def test_without_a_base_nothing_is_said_of_teachers_and_students(evidence: Callable[..., Evidence]) -> None:
    found = evidence(bases=(), advantage=None, lengths=None)
    assert not {"teacher", "student", "length"} & of(found).keys()
    assert next_command(found)[1]["teacher"] == "BASE"


def test_labels_are_doubtful_where_both_judges_agree_against_them(evidence: Callable[..., Evidence]) -> None:
    found = evidence()
    scored, gold = answers(found.sample.gold, 0.95, seed=3), found.sample.gold
    texts, count = doubtful_texts(scored, scored, found.sample)
    assert count == 20 and len(texts) == 10 and texts[0].score == pytest.approx(0.95, abs=0.02)
    row = found.sample.split.texts.index(texts[0].text)
    assert texts[0].label == found.sample.labels[gold[row]]
    assert texts[0].found == found.sample.labels[(gold[row] + 1) % 3]
    other = answers(gold, 1.0, seed=0)
    assert doubtful_texts(scored, other, found.sample) == ((), 0)


def test_a_judge_that_is_often_wrong_is_sure_of_no_other_label(evidence: Callable[..., Evidence]) -> None:
    found = evidence()
    scored = answers(found.sample.gold, 0.7, seed=3)
    texts, count = doubtful_texts(scored, scored, found.sample)
    assert count == 0 and len(texts) == 10
