"""The rule that names a winner, what is said without one, the frontier, and how a search looks."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.config import make_recipe
from liteft.data import Split
from liteft.errors import ConfigError, MissingExtraError
from liteft.floors import as_logits
from liteft.frontier import Budget, Candidate, Frontier
from liteft.frontier.choosing import choose_winner, compromises, nearest
from liteft.frontier.picture import draw, figure_of
from liteft.frontier.state import SearchState
from liteft.ragged import Ragged
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, TOKENS

TEXTS = 200
SPLIT = Split("validation", ["a text"] * TEXTS, None, np.arange(TEXTS) % 2)
BUDGET = Budget(max_mb=9.5, max_ms=2.0, max_drop=1.0)


def right(count: int, *, first: int = 0) -> np.ndarray:
    """Return logits that get ``count`` texts right, from one on, and the others wrong."""
    assert SPLIT.labels is not None
    rows = (np.arange(TEXTS) - first) % TEXTS < count
    return np.eye(2, dtype=np.float32)[np.where(rows, SPLIT.labels, 1 - SPLIT.labels)]


def measured(form: str, *, mb: float, ms: float = 1.0, quality: float, teacher: float = 0.95) -> Candidate:
    drop = 100 * (teacher - quality)
    return Candidate(
        "3x384",
        form,
        "measured",
        path=Path("out") / form,
        size_bytes=int(mb * 1e6),
        latency_ms=ms,
        quality=quality,
        drop=drop,
        interval=(quality - 0.02, quality + 0.02),
        excess=BUDGET.excess(mb=mb, ms=ms, drop=drop),
    )


def test_a_budget_is_exceeded_by_what_is_above_it_and_by_nothing_unknown() -> None:
    assert BUDGET.excess(mb=9.5, ms=2.0, drop=1.0) == {}
    assert BUDGET.excess(mb=10.0, ms=2.5, drop=1.5) == {"max_mb": 0.5, "max_ms": 0.5, "max_drop": 0.5}
    assert BUDGET.excess(ms=3.0) == {"max_ms": 1.0}
    assert Budget(max_drop=0).excess(mb=1e6, drop=100 * (0.3 - 0.1 - 0.2)) == {}
    assert BUDGET.text("accuracy") == "9.5 MB, 2 ms per text, 1 point of accuracy below the teacher"


def test_the_most_accurate_wins_where_a_paired_test_tells_it_from_smaller_ones() -> None:
    small, large = measured("small", mb=5, quality=0.945), measured("large", mb=9, quality=0.95)
    logits = {small.name: right(160), large.name: right(190)}  # 30 texts that only the larger gets right
    winner, rule = choose_winner([small, large], logits, SPLIT, SINGLE_LABEL)
    assert winner is large and rule.startswith("the most accurate of 2 within the budget")


def test_the_smallest_wins_of_those_that_a_paired_test_cannot_tell_apart() -> None:
    small, medium = measured("small", mb=5, quality=0.945), measured("medium", mb=7, quality=0.945)
    large = measured("large", mb=9, quality=0.95)
    logits = {small.name: right(188), medium.name: right(188), large.name: right(190)}
    winner, rule = choose_winner([large, small, medium], logits, SPLIT, SINGLE_LABEL)
    assert winner is small
    assert rule == "the smallest of 3 that a paired test cannot tell from the most accurate, 3x384/large"


def test_what_exceeds_any_limit_does_not_win_however_accurate() -> None:
    slow, large = measured("slow", mb=5, ms=2.1, quality=0.99), measured("large", mb=9.6, quality=0.99)
    bad = measured("bad", mb=5, quality=0.93)
    fitting = measured("fitting", mb=9, quality=0.941)
    winner, rule = choose_winner([slow, large, bad, fitting], {fitting.name: right(1)}, SPLIT, SINGLE_LABEL)
    assert winner is fitting and rule == "the only one within the budget"
    assert choose_winner([slow, large, bad], {}, SPLIT, SINGLE_LABEL) == (None, "")


def test_with_several_labels_a_text_micro_f1_decides() -> None:
    gold = np.zeros((TEXTS, 3), dtype=bool)
    gold[np.arange(TEXTS), np.arange(TEXTS) % 3] = True
    split = Split("validation", ["a text"] * TEXTS, None, gold)
    exact = np.where(gold, 5.0, -5.0).astype(np.float32)
    poor, near = exact.copy(), exact.copy()
    poor[:60] *= -1
    near[:1] *= -1
    small, large = measured("small", mb=5, quality=0.945), measured("large", mb=9, quality=0.95)
    assert choose_winner([small, large], {small.name: poor, large.name: exact}, split, MULTI_LABEL)[0] is large
    assert choose_winner([small, large], {small.name: near, large.name: exact}, split, MULTI_LABEL)[0] is small


def test_where_words_are_judged_the_f1_of_spans_decides() -> None:
    task = TOKENS.bound(("O", "B-a", "B-b"))
    gold = Ragged.of([[1, 0], [0, 2], [1, 2]] * 40, np.int64)
    split = Split("validation", ["x y"] * len(gold), labels=gold)

    def logits(wrong: int) -> Ragged:
        decided = gold.like(gold.values.copy())
        decided.values[: 2 * wrong] = 0
        return as_logits(decided, task, 3)

    large, small = measured("large", mb=4, quality=0.95), measured("small", mb=2, quality=0.945)
    near = {large.name: logits(0), small.name: logits(1)}
    assert choose_winner([large, small], near, split, task)[0] == small
    assert choose_winner([large, small], {**near, small.name: logits(50)}, split, task)[0] == large


def test_without_a_winner_the_nearest_are_named_and_what_would_have_to_give() -> None:
    far = measured("far", mb=30, ms=5, quality=0.95)
    slow, slower = measured("slow", mb=9, ms=2.204, quality=0.95), measured("slower", mb=9, ms=2.6, quality=0.95)
    bad = measured("bad", mb=5, quality=0.92)
    left = Candidate("6x384", "", "hopeless", "too slow")
    assert nearest([far, left, slower, bad, slow], BUDGET) == [slow, slower, bad]
    assert compromises([far, left, slower, bad, slow]) == [
        "--max-ms 2.21: 3x384/slow",
        "--max-drop 3: 3x384/bad",
    ]


def frontier(*candidates: Candidate, **changes: Any) -> Frontier:
    winner = next((each for each in candidates if each.within), None)
    content: dict[str, Any] = {
        "budget": BUDGET,
        "task": SINGLE_LABEL,
        "data": "reviews",
        "texts": TEXTS,
        "teacher": 0.95,
        "candidates": candidates,
        "winner": winner,
        "rule": "" if winner is None else "the only one within the budget",
        "artifact": None if winner is None else Path("out/artifact"),
        "nearest": tuple(each.name for each in nearest(candidates, BUDGET)) if winner is None else (),
        "compromises": tuple(compromises(candidates)) if winner is None else (),
        "test": None,
        "machine": {"processor": "a processor", "threads": 2},
    }
    return Frontier(**(content | changes))


SMALL = measured("int8-4bit", mb=5, ms=0.9, quality=0.94)
LARGE = measured("int8", mb=9, ms=1.1, quality=0.93)
BEST = measured("fp16", mb=40, ms=3, quality=0.955)
LEFT = Candidate("6x384", "", "hopeless", "2.9 ms per text before its training", latency_ms=2.9)


def test_the_frontier_is_what_nothing_as_small_or_as_fast_beats() -> None:
    found = frontier(LARGE, BEST, SMALL)
    assert found.best_for_size() == (SMALL, BEST) == found.best_for_latency()


def test_a_search_is_shown_as_a_table_with_reasons_and_the_winner() -> None:
    test = {"texts": 300, "winner": 0.93, "winner_interval": [0.9, 0.95], "teacher": 0.94}
    lines = frontier(LARGE, BEST, SMALL, LEFT, test=test).render().splitlines()
    assert lines[0] == "budget: 9.5 MB, 2 ms per text, 1 point of accuracy below the teacher"
    assert lines[1] == "teacher: 95.0% accuracy on 200 texts of reviews validation"
    rows = {line.split()[1]: line for line in lines if line.startswith("3x384")}
    assert rows["int8"].split()[2:] == ["9.00", "1.10", "93.0", "[91.0,", "95.0]", "-2.0", "+1", "points"]
    assert rows["fp16"].endswith("+30 MB, +1 ms") and " * " in rows["fp16"] and " * " not in rows["int8"]
    assert rows["int8-4bit"].endswith("winner")
    assert "  6x384: 2.9 ms per text before its training" in lines
    assert "winner: 3x384/int8-4bit, the only one within the budget" in lines
    assert any("accuracy 93.0 [90.0, 95.0]%, teacher 94.0%" in line for line in lines)


def test_a_search_without_a_winner_says_what_it_would_take() -> None:
    lines = frontier(LARGE, BEST).render().splitlines()
    assert "nothing is within the budget." in lines
    assert "  nearest: 3x384/int8, +1 points" in lines
    assert "  it would take --max-drop 2: 3x384/int8" in lines


def test_a_search_is_plain_data() -> None:
    document = json.loads(json.dumps(frontier(LARGE, SMALL, LEFT).to_dict()))
    assert document["winner"]["name"] == "3x384/int8-4bit" and document["winner"]["mb"] == 5.0
    assert document["candidates"][0]["excess"] == {"max_drop": pytest.approx(1.0)}
    assert document["frontier"] == {"mb": ["3x384/int8-4bit"], "ms": ["3x384/int8-4bit"]}


def test_the_picture_has_a_point_for_each_measured_one_the_budget_and_the_winner_in_both_panels(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = frontier(LARGE, BEST, SMALL, LEFT)
    for axes, limit, cost in zip(figure_of(found).axes, ("max_mb", "max_ms"), ("max_mb", "max_ms"), strict=True):
        drawn = {each.get_gid(): each for each in axes.get_children() if each.get_gid()}
        assert {limit, "max_drop", "teacher", "frontier", "winner"} < set(drawn)
        for each in (LARGE, BEST, SMALL):
            ((x, y),) = drawn[each.name].get_offsets().tolist()
            assert (x, y) == pytest.approx((each.costs[cost], 100 * (each.quality or 0)))
        ((x, _),) = drawn["winner"].get_offsets().tolist()
        assert x == pytest.approx(SMALL.costs[cost])
        assert "6x384" not in drawn
    assert draw(found, tmp_path / "frontier.png").read_bytes()[:4] == b"\x89PNG"


def test_a_limit_far_beyond_everything_is_written_and_not_drawn() -> None:
    pytest.importorskip("matplotlib")
    left, right_panel = figure_of(frontier(SMALL, budget=Budget(max_mb=9.5, max_ms=50))).axes
    assert "max_mb" in {each.get_gid() for each in left.get_children()}
    assert "max_ms" not in {each.get_gid() for each in right_panel.get_children()}
    assert right_panel.get_xlabel().endswith("(the budget, 50, is far to the right)")


def test_without_matplotlib_the_picture_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError("no matplotlib", name="matplotlib")
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match="a picture needs matplotlib"):
        draw(frontier(SMALL), tmp_path / "frontier.png")


def test_a_fact_that_depends_on_something_else_is_not_known(tmp_path: Path) -> None:
    SearchState(tmp_path).put("measured", "3x384/int8", {"graph": "1", "threads": 2}, {"quality": 0.9})
    again = SearchState(tmp_path)
    assert again.known and again.get("measured", "3x384/int8", {"graph": "1", "threads": 2}) == {"quality": 0.9}
    assert again.get("measured", "3x384/int8", {"graph": "1", "threads": 4}) is None
    assert again.get("probed", "3x384/int8", {"graph": "1", "threads": 2}) is None


@pytest.mark.parametrize(
    "settings", [{"max_mb": 0}, {"max_ms": -1}, {"max_drop": 101}, {"layers": [0]}, {"embedding_bits": []}]
)
def test_limits_out_of_range_are_refused(settings: Any) -> None:
    with pytest.raises(ConfigError, match=f"search.{next(iter(settings))}"):
        make_recipe({"search": settings})
