"""The model card: every number in it is one of manifest.json's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from liteft.artifact import FileEntry, Manifest
from liteft.exporting.card import card_text
from liteft.form import ExportForm

METRICS: dict[str, dict[str, Any]] = {
    "validation": {
        "n": 1234,
        "majority": 0.312,
        "accuracy": 0.9012,
        "accuracy_interval": [0.8834, 0.9178],
        "macro_f1": 0.8956,
        "macro_f1_interval": [0.8745, 0.9123],
        "log_loss": 0.31,
        "calibration_error": 0.02,
    },
    "test": {"n": 567, "majority": None, "accuracy": 0.8765, "accuracy_interval": [0.8521, 0.8987]},
}
VERIFICATION = {
    "texts": 500,
    "of_texts": 1234,
    "split": "validation",
    "logit_difference": 0.00123,
    "agreement": 0.9968,
    "batch_difference": 2.5e-06,
    "accuracy": 0.9005,
    "accuracy_interval": [0.8711, 0.9239],
    "model_accuracy": 0.9021,
    "majority": 0.3333,
}


def manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "task": "single_label",
        "labels": ("order", "payment", "app"),
        "activation": "softmax",
        "pooling": "cls",
        "paired": False,
        "max_tokens": 128,
        "truncation_side": "right",
        "pad_id": 0,
        "inputs": ("input_ids", "attention_mask"),
        "family": "bert",
        "form": ExportForm(flat=True),
        "graph": "built",
        "files": {"model.onnx": FileEntry(bytes=17_345_678, sha256="0" * 64)},
    }
    return Manifest(**(fields | changes))


def section(card: str, title: str) -> str:
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def rows_of(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_metrics_are_the_manifests() -> None:
    head, *rows = rows_of(section(card_text(manifest(metrics=METRICS), title="t"), "How good it is"))
    assert head == ["Split", "Of", "Texts", "accuracy", "macro F1", "majority"]
    assert [row[0] for row in rows] == list(METRICS)
    for row, values in zip(rows, METRICS.values(), strict=True):
        assert row[1:3] == ["the model, torch", f"{values['n']:,}"]
        for cell, name in zip(row[3:5], ("accuracy", "macro_f1"), strict=True):
            if name not in values:
                assert cell == "-"
                continue
            low, high = values[f"{name}_interval"]
            assert cell == f"{100 * values[name]:.1f} ({100 * low:.1f} to {100 * high:.1f})"
    assert [row[5] for row in rows] == ["31.2", "-"]


def test_the_file_has_figures_of_its_own_by_engine() -> None:
    shares = {"native": 0.9, "onnxruntime": 0.8}
    own = {"test": {engine: {**METRICS["test"], "accuracy": share} for engine, share in shares.items()}}
    _, *rows = rows_of(section(card_text(manifest(metrics=METRICS, measured=own), title="t"), "How good it is"))
    assert [(row[0], row[1], row[3].split(" ")[0]) for row in rows[len(METRICS) :]] == [
        ("test", "this file, native", "90.0"),
        ("test", "this file, onnxruntime", "80.0"),
    ]
    unmeasured = section(card_text(manifest(metrics=METRICS), title="t"), "How good it is")
    assert "This file itself was not measured" in unmeasured


def test_no_number_stands_in_the_metrics_that_the_manifest_lacks() -> None:
    _, *rows = rows_of(section(card_text(manifest(metrics=METRICS), title="t"), "How good it is"))
    shown = re.findall(r"\d+\.\d+", " ".join(cell for row in rows for cell in row))
    assert len(shown) == 10
    known = set()
    for values in METRICS.values():
        for value in values.values():
            numbers = value if isinstance(value, list) else [value]
            known |= {f"{100 * number:.1f}" for number in numbers if number is not None}
    assert set(shown) <= known


def test_the_verification_is_the_manifests() -> None:
    text = section(card_text(manifest(verification=VERIFICATION), title="t"), "How it was checked")
    assert "on 500 of 1,234 texts of validation" in text
    assert "same answer as the model for 99.68% of the texts" in text
    assert "0.0012" in text and "2.5e-06" in text
    assert "accuracy 90.05% (87.11 to 92.39); the torch model 90.21%" in text
    assert "33.33%" in text


def test_sizes_labels_and_lengths_are_the_manifests() -> None:
    rows = dict(rows_of(card_text(manifest(), title="Mail").split("## How good")[0])[1:])
    assert rows["model.onnx"] == "17.3 MB"
    assert rows["Labels"] == "order, payment, app"
    assert rows["Longest text"] == "128 tokens, cut on the right"
    assert rows["Task"] == "one label per text, 3 labels"
    assert rows["Precision"].startswith("int8")


def test_the_graphs_origin_and_form_are_the_manifests() -> None:
    def graph(**changes: Any) -> str:
        return dict(rows_of(card_text(manifest(**changes), title="t").split("## How good")[0])[1:])["Graph"]

    assert graph(form=ExportForm()).startswith("ONNX, written from the weights as one node, with its definition")
    assert graph().startswith("ONNX, written from the weights; ")
    assert graph(graph="traced").startswith("ONNX, traced by torch.onnx.export; ")


def test_of_many_labels_twenty_are_shown() -> None:
    labels = tuple(f"label {number}" for number in range(150))
    card = card_text(manifest(labels=labels), title="t")
    assert "150 labels" in card and "label 19, …" in card and "label 20" not in card


def test_a_bar_in_a_label_does_not_break_the_table() -> None:
    rows = dict(rows_of(card_text(manifest(labels=("a|b", "c")), title="t").split("## How good")[0])[1:])
    assert rows["Labels"] == "a\\|b, c"


@pytest.mark.parametrize(("field", "said"), [("metrics", "No metrics came"), ("verification", "Not yet.")])
def test_what_is_missing_is_said(field: str, said: str) -> None:
    assert said in card_text(manifest(**{field: {}}), title="t")


def test_several_labels_a_text_show_their_own_metrics() -> None:
    values = {"n": 10, "majority": 0.2, "exact_match": 0.5, "micro_f1": 0.61, "macro_f1": 0.4}
    card = card_text(manifest(task="multi_label", activation="sigmoid", metrics={"test": values}), title="t")
    head, row = rows_of(section(card, "How good it is"))
    assert head[3:] == ["exact match", "micro F1", "macro F1", "majority"]
    assert row[3:] == ["50.0", "61.0", "40.0", "20.0"]


def test_the_teacher_is_told_without_a_path_or_a_hash() -> None:
    teacher = {"name": "teacher", "base": "bert-base", "weights_sha256": "c" * 64, "parameters": 109_500_000}
    card = card_text(manifest(teacher=teacher), title="t")
    assert "- Teacher: bert-base fine-tuned, 109.5 M parameters\n" in card
    assert "- Teacher: elsewhere\n" in card_text(manifest(teacher={"name": "elsewhere"}), title="t")


def test_every_teacher_of_an_ensemble_has_a_line() -> None:
    other = {"name": "teacher-2", "base": "roberta-large", "parameters": 355_000_000}
    card = card_text(manifest(teacher={"base": "bert-base", "others": [other]}), title="t")
    assert "- Teacher: bert-base fine-tuned\n- Teacher: roberta-large fine-tuned, 355.0 M parameters\n" in card


def test_fold_teachers_are_counted() -> None:
    card = card_text(manifest(teacher={"base": "bert-base", "folds": ["a" * 64, "b" * 64, "c" * 64]}), title="t")
    assert "- Fold teachers: 3, each of which answers for the training texts that it has not seen\n" in card


@pytest.mark.parametrize(
    ("texts", "said"), [(90, "90 texts, of which 50 have no labels"), (40, "40 texts"), (38, "38 texts")]
)
def test_a_students_start_and_texts_are_told(texts: int, said: str) -> None:
    training = {"start": "the teacher's layers and head", "texts": texts}
    card = card_text(manifest(training=training, data={"name": "d", "rows": {"train": 40}}), title="t")
    assert f"- Start: the teacher's layers and head\n- Trained on: {said}\n" in card


def test_scores_that_are_not_probabilities_are_told() -> None:
    card = card_text(manifest(training={"threshold": 0.31234}), title="t")
    assert "which was the probability 0.312 before" in card and "not probabilities" in card
    assert "Threshold" not in card_text(manifest(training={"start": "s"}), title="t")


def test_labels_that_are_probabilities_are_called_so() -> None:
    data = {"name": "d", "rows": {"train": 40}, "labels": "probabilities"}
    assert "- Data: d (train 40); the labels of train are probabilities\n" in card_text(manifest(data=data), title="t")


def test_cross_validation_is_a_row_of_its_own() -> None:
    folds = {"count": 3, "metrics": {"n": 50, "accuracy": 0.8, "accuracy_interval": [0.67, 0.89], "majority": 0.2}}
    found = section(card_text(manifest(folds=folds), title="t"), "How good it is")
    assert "| 3 folds | models made in the same way | 50 | 80.0 (67.0 to 89.0) |" in found
    odd = manifest(
        floors={"test{x}": {"naive Bayes": {"accuracy": 0.9}}}, metrics={"test{x}": {"n": 9, "accuracy": 0.8}}
    )
    assert "**The model does not beat naive Bayes on test{x}**" in card_text(odd, title="t")
    better = {"n": 50, "accuracy": 0.9, "macro_f1": 0.9, "majority": 0.2}
    folds |= {"beside": {"teacher": better, "c0": better}, "floors": {"naive Bayes": better}}
    found = section(card_text(manifest(folds=folds), title="t"), "How good it is")
    assert "| 3 folds | their teachers | 50 | 90.0" in found and "| 3 folds | C0 | 50 | 90.0" in found
    assert "**In 3 folds, models made in the same way do not beat naive Bayes**: their accuracy must be higher" in found
    assert "Folds: each text was tested once, by models that were trained without it." in found


def test_a_split_of_labels_that_the_model_lacks_is_named() -> None:
    oos = {"n": 100, "majority": 0.0, "accuracy": 0.0, "accuracy_interval": [0.0, 0.04]}
    card = card_text(manifest(metrics={**METRICS, "oos_test": oos}), title="t")
    assert "Labels of oos_test are unknown to the model: their texts count as wrong." in card
    assert "unknown to the model" not in card_text(manifest(metrics=METRICS), title="t")


FLOORS = {"test": {"naive Bayes": {"n": 567, "accuracy": 0.8123, "accuracy_interval": [0.78, 0.84], "macro_f1": 0.79}}}


def test_floors_of_the_same_labels_are_rows_beside_the_model() -> None:
    found = section(card_text(manifest(metrics=METRICS, floors=FLOORS), title="m"), "How good it is")
    assert "| test | floor: naive Bayes | 567 | 81.2" in found
    assert "does not beat" not in found


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_floor_that_is_not_beaten_in_one_metric_is_named_first(metric: str) -> None:
    metrics = {"test": METRICS["test"] | {"macro_f1": 0.85}}
    floors = {"test": {"naive Bayes": FLOORS["test"]["naive Bayes"] | {metric: metrics["test"][metric]}}}
    found = section(card_text(manifest(metrics=metrics, floors=floors), title="m"), "How good it is")
    assert found.strip().startswith("**The model does not beat naive Bayes on test**")


def test_spans_have_their_own_metrics_and_a_table_by_label() -> None:
    by_label = {
        "PER": {"precision": 0.9, "recall": 0.8, "f1": 0.847, "spans": 20},
        "LOC": {"precision": 0.5, "recall": 0.25, "f1": 0.333, "spans": 1234},
    }
    shares = {"f1": 0.8123, "f1_interval": [0.79, 0.83], "macro_f1": 0.59, "precision": 0.83, "recall": 0.79}
    test = {"n": 567, "majority": 0.3, **shares, "accuracy": 0.97, "exact_match": 0.6, "by_label": by_label}
    words: dict[str, Any] = {"task": "tokens", "labels": ("O", "B-PER", "B-LOC"), "pooling": "none"}
    card = card_text(manifest(metrics={"train": test, "test": test}, **words), title="t")
    part = section(card, "How good it is")
    head, row = rows_of(part)[0], rows_of(part)[2]
    assert head[3:-1] == ["F1", "precision", "recall", "accuracy", "exact match", "macro F1"]
    assert row[0] == "test" and row[3] == "81.2 (79.0 to 83.0)" and row[4:6] == ["83.0", "79.0"]
    assert part.count("### F1 by label") == 1, "nobody asks about the training split"
    table = rows_of(part.split("### F1 by label: test")[1])
    assert table[1:] == [["LOC", "1,234", "33.3", "50.0", "25.0"], ["PER", "20", "84.7", "90.0", "80.0"]]


def test_of_many_labels_the_frequent_ones_are_shown() -> None:
    of = {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    by_label = {f"T{number}": {**of, "spans": number} for number in range(60)}
    words: dict[str, Any] = {"task": "tokens", "labels": ("O", "B-T1"), "pooling": "none"}
    card = card_text(manifest(metrics={"test": {"n": 5, "f1": 0.5, "by_label": by_label}}, **words), title="t")
    assert "| T59 |" in card and "| T19 |" not in card and "20 rarer ones are not shown" in card
