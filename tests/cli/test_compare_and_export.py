"""compare, export and doctor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import liteft
from liteft.artifact import Artifact
from liteft.doctor import Diagnosis, Finding
from liteft.tasks import SINGLE_LABEL


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    """Texts with the artifact's labels, whose columns have unusual names."""
    path = tmp_path / "messages.csv"
    names = ["order", "payment", "app", "praise"]
    rows = [f"the {names[n % 4]} number {n},{names[n % 4]}" for n in range(40)]
    path.write_text("\n".join(["said,about", *rows]) + "\n", encoding="utf-8")
    return path


def test_compare_prints_tables_and_a_next_command(call: Any, artifact: Artifact, messages: Path) -> None:
    words = ["--on", messages, "--text", "said", "--label", "about", "--split", "all", "--rounds", "0"]
    called = call("compare", artifact.path, artifact.path, *words)
    assert called.status == 0, called.err
    assert "40 texts" in called.out
    assert "accuracy %" in called.out
    assert f"next: liteft predict {artifact.path}" in called.err


def test_compare_prints_json(call: Any, artifact: Artifact, messages: Path) -> None:
    words = ["--on", messages, "--text", "said", "--label", "about", "--split", "all", "--rounds", "0", "--json"]
    called = call("compare", artifact.path, *words)
    assert called.status == 0, called.err
    assert called.document["texts"] == 40
    assert len(called.document["models"]) == 1


def test_compare_names_a_misspelt_column(call: Any, artifact: Artifact, messages: Path) -> None:
    called = call("compare", artifact.path, "--on", messages, "--text", "sad", "--label", "about")
    assert called.status == 1
    assert "try: --text said" in called.err


def test_compare_without_data_or_a_run_says_what_is_missing(call: Any, artifact: Artifact) -> None:
    called = call("compare", artifact.path)
    assert called.status == 2
    assert "try: --on DATA (liteft compare)" in called.err


def test_doctor_ends_with_the_diagnosis_status(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Diagnosis((Finding("torch", "problem", "it is broken", ("pip install torch",)),))
    monkeypatch.setattr("liteft.doctor.diagnose", lambda: broken)
    called = call("doctor")
    assert called.status == 1
    assert "try: pip install torch" in called.out
    document = call("doctor", "--json").document
    assert document["problems"] == 1
    assert document["next"] is None


def test_export_names_the_schemes_where_one_is_misspelt(call: Any, messages: Path, tmp_path: Path) -> None:
    words = ["--data", messages, "--text", "said", "--label", "about", "--out", tmp_path / "a"]
    called = call("export", tmp_path, *words, "--scheme", "statik")
    assert called.status == 2
    assert "export.scheme" in called.err
    assert "static" in called.err


@pytest.mark.parametrize(("texts", "beside"), [(20, " (model in torch 95.0%)"), (21, "")])
def test_the_models_figure_stands_beside_the_artifacts_of_the_same_texts_alone(
    artifact: Artifact, texts: int, beside: str
) -> None:
    said = {"split": "validation", "texts": 4, "agreement": 1.0, "accuracy": None}
    measured = {"test": {"native": {"accuracy": 0.9, "n": texts}}}
    metrics = {"test": {"accuracy": 0.95, "n": 20}}
    manifest = artifact.manifest.model_copy(update={"verification": said, "measured": measured, "metrics": metrics})
    line = str(replace(artifact, manifest=manifest)).splitlines()[-1]
    assert line == f"the artifact itself, native: accuracy 90.0% on {texts} texts of test{beside}"


def test_export_verifies_on_the_chosen_split_in_the_models_label_order(
    call: Any, messages: Path, tmp_path: Path, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from liteft.report.subjects import Subject

    order = ("praise", "app", "payment", "order")
    subject = Subject("m", tmp_path, tmp_path, "torch", "torch", SINGLE_LABEL, order, False, 1, 1, 1)
    monkeypatch.setattr("liteft.report.subjects.find_subjects", lambda sources, **said: [subject])
    handed: list[Any] = []

    def export(source: Any, out: Any, **settings: Any) -> Any:
        handed.append({"source": source, "out": out, **settings})
        verification = {"split": "validation", "texts": 4, "agreement": 1.0, "accuracy": None}
        manifest = artifact.manifest.model_copy(update={"verification": verification})
        return replace(artifact, manifest=manifest)

    monkeypatch.setitem(vars(liteft), "export", export)
    words = ["--data", messages, "--text", "said", "--label", "about", "--out", tmp_path / "a"]
    called = call("export", tmp_path, *words)
    assert called.status == 0, called.err
    assert call("export", tmp_path, *words, "--flat", "--precision", "fp16").status == 0
    assert "same answer as the model on 100.00% of 4 texts" in called.out
    assert [each["form"] for each in handed] == [liteft.ExportForm(), liteft.ExportForm("fp16", flat=True)]
    assert handed[0]["calibrate"] is handed[0]["unlabeled"] is None
    assert handed[0]["limits"] == liteft.Limits()
    more = tmp_path / "more.txt"
    more.write_text("a text\nanother\n")
    int8 = ["--scheme", "static", "--calibration", "mse", "--weight-bits", "7", "--mixed", "--tolerance", "1.5"]
    read: list[Any] = []
    load_dataset = liteft.load_dataset
    monkeypatch.setattr(
        "liteft.report.gold.load_dataset", lambda source, **how: (read.append(source), load_dataset(source, **how))[1]
    )
    assert call("export", tmp_path, *words, *int8, "--unlabeled", more, "--trust").status == 0
    assert read == [str(messages)]  # once for all splits
    last = handed[-1]
    assert last["test"].name == "test"
    assert [each["trust"] for each in handed] == [False, False, True]
    assert call("export", tmp_path, *words, "--trust").err.endswith("'a text' --trust\n")
    assert last["form"] == liteft.ExportForm(scheme="static", calibration="mse", weight_bits=7, mixed=True)
    assert last["limits"].accuracy_drop == pytest.approx(0.015)
    assert (last["calibrate"].name, last["unlabeled"].texts) == ("train", ["a text", "another"])
    split = handed[0]["verify"]
    assert split.name == "validation"
    for text, label in zip(split.texts, split.labels, strict=True):
        assert order[label] in text
