"""Tables of a comparison: the same cells for a terminal and in Markdown, and the numbers in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from liteft.metrics import PairedTest
from liteft.report.result import Comparison
from liteft.tasks import MULTI_LABEL, TOKENS
from liteft.text_tables import aligned, markdown, share

Make = Callable[..., Comparison]


def cells_of(text: str) -> list[list[str]]:
    """Return the cells of the Markdown tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_columns_are_aligned_texts_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("model", "n"), ("a", "1"), ("longer", "1,000")]
    assert aligned(rows, texts=1).splitlines() == [
        "model       n",
        "------  -----",
        "a           1",
        "longer  1,000",
    ]


def test_a_bar_in_a_name_does_not_break_a_markdown_table() -> None:
    table = markdown([("a|b", "n"), ("c", "1")], texts=1)
    assert table.splitlines() == ["| a\\|b | n |", "| --- | ---: |", "| c | 1 |"]


def test_a_share_is_written_in_percent_with_its_interval() -> None:
    assert share(0.9) == "90.0"
    assert share(0.9, (0.881, 0.9149)) == "90.0 [88.1, 91.5]"


def test_both_forms_hold_the_same_cells(invented: Make) -> None:
    comparison = invented(("teacher torch", 0.9, 12.0, 400.0), ("int8", 0.89, 0.8, 20.0))
    rendered, shown = comparison.render(), cells_of(comparison.to_markdown())
    assert len(shown) == 6
    for row in shown:
        assert re.search(r"\s+".join(map(re.escape, row)), rendered), row
    assert str(comparison) == rendered


def test_quality_and_costs_are_the_comparisons_numbers(invented: Make) -> None:
    comparison = invented(("one", 0.9, 123.4, 44.0), ("two", 0.85, 1.234, 4.4))
    _, first, _, costs_head, first_costs, second_costs = cells_of(comparison.to_markdown())
    low, high = comparison.models[0].intervals["accuracy"]
    assert first[:3] == ["one", "fp32, onnx", f"90.0 [{100 * low:.1f}, {100 * high:.1f}]"]
    assert first[4:] == ["-", "-", "100.0"]
    assert costs_head[2:] == ["parameters", "file MB", "folder MB", "p50 ms", "p99 ms", "texts/s", "peak MB"]
    assert first_costs[2:] == ["11.0 M", "44.0", "44.0", "123", "247", "100", "123"]
    assert second_costs[5] == "1.23"


def test_the_difference_to_the_first_has_a_sign_an_interval_and_a_p_value(invented: Make) -> None:
    comparison = invented(("one", 0.9, 1.0, 1.0), ("two", 0.85, 1.0, 1.0), ("three", 0.91, 1.0, 1.0))
    tests = (None, PairedTest(100, 9, 1e-9, -0.05, -0.062, -0.039), PairedTest(3, 21, 0.0123, 0.01, 0.002, 0.018))
    models = tuple(replace(model, paired=test) for model, test in zip(comparison.models, tests, strict=True))
    head, _, second, third = cells_of(replace(comparison, models=models).to_markdown())[:4]
    assert head[4:] == ["vs one", "p", "agree %"]
    assert second[4:6] == ["-5.0 [-6.2, -3.9]", "<0.001"]
    assert third[4:6] == ["+1.0 [+0.2, +1.8]", "0.012"]


def test_several_labels_a_text_show_f1_and_its_difference(invented: Make) -> None:
    comparison = invented(("one", 0.9, 1.0, 1.0), ("two", 0.9, 1.0, 1.0))
    scores = {"micro_f1": 0.8, "macro_f1": 0.7, "exact_match": 0.5}
    test = PairedTest(1, 2, 1.0, 0.0, -0.1, 0.1)
    models = [replace(model, scores=scores, intervals={}) for model in comparison.models]
    models[1] = replace(models[1], paired=test, f1_difference=(-0.012, 0.034))
    several = replace(comparison, task=MULTI_LABEL, models=tuple(models))
    head, _, second = cells_of(several.to_markdown())[:3]
    assert head[2:5] == ["micro F1 %", "macro F1 %", "exact match %"]
    assert second[2:6] == ["80.0", "70.0", "50.0", "+0.0 [-1.2, +3.4]"]
    assert "texts with every label right" in several.render()


def test_where_words_are_judged_it_speaks_of_words_and_spans(invented: Make) -> None:
    comparison = invented(("one", 0.9, 1.0, 1.0), ("two", 0.9, 1.0, 1.0))
    scores = {"f1": 0.8, "macro_f1": 0.7, "accuracy": 0.95, "exact_match": 0.5}
    models = tuple(replace(model, scores=scores, intervals={}) for model in comparison.models)
    words = replace(comparison, task=TOKENS, models=models, majority=0.1)
    head, first = cells_of(words.to_markdown())[:2]
    assert head[2:6] == ["F1 %", "macro F1 %", "accuracy %", "exact match %"]
    assert first[2:6] == ["80.0", "70.0", "95.0", "50.0"]
    text = words.render()
    assert "1,821 texts; one tag for all words is right in 10.0% of them" in text
    assert "F1: of spans with the right words and type" in text and "agree: words with the same tag as one's." in text
    assert "from text to spans, tokenization included" in text and "points of F1 gained" in text
    assert "of spans" not in comparison.render() and "agree:" not in comparison.render()


def test_one_model_alone_is_compared_with_nothing(invented: Make) -> None:
    text = invented(("one", 0.9, 1.0, 1.0)).render()
    assert "vs one" not in text and "agree" not in text


def test_what_was_not_measured_is_a_dash(invented: Make) -> None:
    comparison = invented(("one", 0.9, 1.0, 1.0))
    model = replace(comparison.models[0], speed=None, peak_memory_bytes=None)
    untimed = replace(comparison, models=(model,))
    assert cells_of(untimed.to_markdown())[-1][5:] == ["-", "-", "-", "-"]
    assert "Speed:" not in untimed.render()


def test_the_conditions_stand_below_the_tables(invented: Make) -> None:
    text = invented(("one", 0.9, 1.0, 1.0), notes=("something to know",), device="cuda", threads=1).render()
    assert "mail test: 1,821 texts; the most frequent answer alone: 50.0%" in text
    whole = invented(("one", 0.9, 1.0, 1.0), split="all").render()
    assert whole.startswith("mail: all 1,821 texts; the most frequent answer alone: 50.0%")
    assert "Speed: cuda, a processor, 1 thread; from text to label, tokenization included" in text
    assert "medians of 3 rounds in turns, 100 single texts and 3 calls of 32 each" in text
    assert "Note: something to know." in text


def test_arms_say_what_they_start_from_and_see(invented: Make) -> None:
    comparison = invented(("one", 0.9, 1.0, 1.0), ("two", 0.85, 1.0, 1.0))
    assert "starts from" not in comparison.render()
    forms = ("student, torch", "control, torch")
    models = tuple(
        replace(model, subject=replace(model.subject, form=form))
        for model, form in zip(comparison.models, forms, strict=True)
    )
    text = replace(comparison, models=models).render()
    assert "control (C1): starts from the teacher's layers and head; sees labels." in text
    assert text.count("starts from") == 2
