"""A vocabulary trimmed before distillation, and at export: what is made, what is said of it, what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

import liteft
from liteft.artifact import read_artifact
from liteft.cli import main
from liteft.config import make_recipe
from liteft.data import Dataset
from liteft.distillation import stages
from liteft.errors import ConfigError, ModelError
from liteft.exporting import export
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.run import Run
from liteft.runtime import load
from tests.distillation.students import distill

QUICK: dict[str, Any] = {"size": "1", "epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "training_precision": "fp32"}


def pieces_of(folder: Path) -> dict[str, int]:
    content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    return content["model"]["vocab"]  # type: ignore[no-any-return]


def test_a_student_trains_with_its_own_pieces_and_its_control_too(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = tmp_path / "more.txt"
    more.write_text("unused7 w1\nunused8 w2\n", encoding="utf-8")
    settings = QUICK | {"vocabulary": 100, "control": True, "unlabeled": str(more)}
    lines: list[str] = []
    run = distill(teacher, dataset, out=tmp_path / "student", progress=lines.append, **settings)
    found = pieces_of(run.model_path)
    assert {"unused7", "unused8", "w1"} <= set(found) and "unused9" not in found
    said = run.info["vocabulary"]
    assert said["tokens"] == len(found) < said["of"] and said["trimmed"] == "before distillation"
    assert 0.5 < said["unchanged_tokens"] < 1 and said["split"] == "validation"
    assert any(line.startswith("vocabulary: ") for line in lines)
    loaded = load_classifier(run.model_path)
    assert loaded.config.vocab_size == len(found)
    np.testing.assert_allclose(
        predict_logits(loaded, dataset.test.texts), run.predictions("test")[0], rtol=0, atol=1e-6
    )
    assert run.metrics["test"]["accuracy"] > 0.6
    assert pieces_of(tmp_path / "student-control" / "model") == found
    assert not (run.path / "checkpoints").exists()
    monkeypatch.setattr(stages, "fit", lambda *_args, **_rest: pytest.fail("trained again"))
    assert distill(teacher, dataset, out=tmp_path / "student", **settings).info == run.info
    artifact = export(run, tmp_path / "artifact", precision="fp32", verify=dataset.validation)
    assert artifact.manifest.vocabulary == said and artifact.manifest.metrics == run.metrics
    assert "trimmed before distillation" in (artifact.path / "card.md").read_text("utf-8")


@pytest.mark.parametrize(
    "more",
    [
        {"augmentation": "mask"},
        {"augmentation": "ngram"},
        {"hidden_weight": 1.0, "relation_weight": 1.0, "matching_epochs": 1.0},
        {"hidden_weight": 1.0, "augmentation": "mask"},
    ],
)
def test_views_and_matched_states_work_with_trimmed_pieces(
    more: dict[str, Any], teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    run = distill(teacher, dataset, out=tmp_path / "student", **(QUICK | more), vocabulary=80)
    assert run.info["vocabulary"]["tokens"] <= 80
    assert run.metrics["test"]["accuracy"] > 0.5


def test_a_budget_that_is_too_small_is_refused_before_a_teacher_is_trained(
    base: Path, tiny: Any, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="too small for this tokenizer"):
        distill(str(base), dataset, out=tmp_path / "student", vocabulary=20, **QUICK)
    other = tiny.write_base(tmp_path / "words", "bert")
    with pytest.raises(ModelError, match="whole words"):
        distill(str(other), dataset, out=tmp_path / "student", vocabulary=100, **QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words"]


def test_a_budget_that_is_too_small_leaves_nothing_of_a_student(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too small for this tokenizer"):
        distill(teacher, dataset, out=tmp_path / "student", vocabulary=20, **QUICK)
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_finished_run_is_trimmed_at_export(precision: Any, teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    lines: list[str] = []
    artifact = export(
        teacher,
        tmp_path / "artifact",
        precision=precision,
        vocabulary=100,
        texts=dataset.train,
        verify=dataset.validation,
        progress=lines.append,
    )
    said = artifact.manifest.vocabulary
    assert said is not None and said["trimmed"] == "at export" and said["tokens"] < said["of"]
    assert len(pieces_of(artifact.path)) == said["tokens"]
    assert json.loads((artifact.path / "config.json").read_text("utf-8"))["vocab_size"] == said["tokens"]
    whole = predict_logits(load_classifier(teacher.model_path), dataset.validation.texts).argmax(axis=1)
    assert said["whole_accuracy"] == float((whole == dataset.validation.labels).mean())
    # The run's metrics are those of the whole vocabulary.
    assert set(artifact.manifest.metrics) == {"validation"}
    assert artifact.manifest.metrics["validation"]["accuracy"] == said["accuracy"]
    assert artifact.manifest.verification["model_accuracy"] == said["accuracy"]
    card = (artifact.path / "card.md").read_text("utf-8")
    assert "trimmed at export" in card and "with the whole vocabulary" in card
    assert any(line.startswith("vocabulary: ") for line in lines)
    theirs = AutoTokenizer.from_pretrained(artifact.path)
    ours = artifact.tokenizer().encode(["red0 w1 [MASK] unused3"]).ids
    assert theirs("red0 w1 [MASK] unused3")["input_ids"] == ours.tolist() and theirs.pad_token_id == 0
    with load(artifact.path) as classifier:
        assert classifier.predict("red0 red1 w3").label == "red"
    assert load_classifier(teacher.model_path).config.vocab_size == said["of"]


def test_texts_without_labels_prove_the_vocabulary_and_no_accuracy(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    unlabelled = replace(dataset.validation, labels=None)
    artifact = export(
        teacher,
        tmp_path / "artifact",
        precision="fp32",
        vocabulary=100,
        texts=[dataset.train, dataset.test],
        verify=unlabelled,
    )
    said = artifact.manifest.vocabulary
    assert said is not None and "whole_accuracy" not in said and 0 < said["agreement"] <= 1


def test_tokens_need_texts_to_be_chosen_by(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    for texts in (None, [], replace(dataset.train, texts=[], labels=None)):
        with pytest.raises(ConfigError, match="no texts were given"):
            export(
                teacher, tmp_path / "artifact", precision="fp32", vocabulary=100, texts=texts, verify=dataset.validation
            )
    assert not (tmp_path / "artifact").exists()


def test_the_whole_way_exports_again_when_the_budget_of_the_export_changes(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    def made(vocabulary: int | None) -> tuple[int, int]:
        recipe = make_recipe({"student": QUICK, "export": {"precision": "fp32", "vocabulary": vocabulary}})
        outcome = liteft.distill(teacher.path, dataset, out=tmp_path, recipe=recipe, overwrite=True)
        assert outcome.artifact is not None
        return len(pieces_of(outcome.artifact.path)), outcome.artifact.model_path.stat().st_mtime_ns

    whole, first, again, smaller = made(None), made(100), made(100), made(70)
    assert whole[0] > first[0] > smaller[0] and first == again


def test_the_command_line_trims_at_both_places(
    teacher: Run, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, split in dataset.splits.items():
        rows = zip(split.texts, split.labels, strict=True)  # type: ignore[arg-type]
        lines = (json.dumps({"text": text, "label": dataset.labels[label]}) + "\n" for text, label in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    copied = tmp_path / "teacher"
    shutil.copytree(teacher.path, copied)
    more = tmp_path / "more.txt"
    more.write_text("unused7\n", encoding="utf-8")
    command = ["export", str(copied), "--data", str(folder), "--out", str(tmp_path / "exported")]
    assert main([*command, "--vocabulary", "100", "--unlabeled", str(more)]) == 0
    assert "vocabulary: " in capsys.readouterr().out
    assert "unused7" in pieces_of(tmp_path / "exported") and "unused8" not in pieces_of(tmp_path / "exported")
    assert main([*command[:-1], str(tmp_path / "smaller"), "--vocabulary", "3"]) == 2
    assert "too small" in capsys.readouterr().err
    command = ["distill", "--data", str(folder), "--teacher", str(copied), "--size", "1", "--vocabulary", "100"]
    command += ["--out", str(tmp_path / "runs"), "--epochs", "2", "--batch-size", "8", "--learning-rate", "3e-3"]
    assert main([*command, "--precision", "fp32"]) == 0
    manifest = read_artifact(tmp_path / "runs" / "artifact").manifest
    assert manifest.vocabulary is not None and manifest.vocabulary["trimmed"] == "before distillation"
