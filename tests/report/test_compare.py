"""The verb: any mix of runs, model folders and artifacts, and what its numbers are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import liteft
from liteft import metrics
from liteft.artifact import Artifact
from liteft.data import Dataset, Split
from liteft.errors import ArtifactError, ConfigError, DataError, DeviceError, MissingExtraError, ModelError
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.finetuning.run_folder import split_metrics
from liteft.installation import install_hint
from liteft.report import measure
from liteft.report.comparison import compare
from liteft.report.result import Comparison
from liteft.report.subjects import find_subjects
from liteft.report.workers import Worker, open_workers, write_texts
from liteft.runtime import load
from liteft.tasks import SINGLE_LABEL


def quiet(_line: str) -> None:
    """Take a line of progress and drop it."""


def logits_of(artifact: Artifact, texts: list[str]) -> np.ndarray:
    with load(artifact.path, threads=1) as classifier:
        return classifier.logits(texts)


def test_runs_model_folders_and_artifacts_stand_side_by_side(mixed: Comparison, forms: Any) -> None:
    assert [model.subject.form for model in mixed.models] == ["student, torch", "torch", "fp32, onnx"]
    assert [model.subject.engine for model in mixed.models] == ["torch", "torch", "onnxruntime"]
    assert [model.subject.name for model in mixed.models] == ["run", forms.folder.name, "artifact"]
    assert (mixed.data, mixed.split, mixed.texts) == ("words", "test", 80)
    assert "torch" in mixed.models[0].versions
    assert set(mixed.models[2].versions) <= {"onnxruntime", "onnxruntime-gpu", "liteft"}


def test_quality_is_that_of_the_models_own_logits(mixed: Comparison, forms: Any) -> None:
    test = forms.dataset.test
    logits = predict_logits(load_classifier(forms.folder), test.texts)
    expected = SINGLE_LABEL.score(logits, test.labels)
    intervals = SINGLE_LABEL.intervals(logits, test.labels)
    for model in mixed.models:
        assert model.scores == pytest.approx(expected, abs=1e-5)
        assert model.scores["accuracy"] == expected["accuracy"]
        assert model.intervals == intervals
        low, high = model.intervals["macro_f1"]
        assert low < model.scores["macro_f1"] < high
    assert mixed.majority == SINGLE_LABEL.majority_share(test.labels)


def test_a_run_and_its_artifacts_card_show_the_comparisons_numbers(mixed: Comparison, forms: Any) -> None:
    recorded = forms.artifact.manifest.metrics["test"]
    model = mixed.models[0]
    for name in ("accuracy", "macro_f1"):
        assert recorded[name] == model.scores[name]
        assert tuple(recorded[f"{name}_interval"]) == model.intervals[name]
    low, high = model.intervals["accuracy"]
    card = (forms.artifact.path / "card.md").read_text(encoding="utf-8")
    assert f"{100 * model.scores['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})" in card


def test_a_runs_intervals_are_those_of_a_comparison_for_a_large_split_too() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 20_001)
    logits = np.eye(2, dtype=np.float32)[gold] + rng.normal(size=(20_001, 2)).astype(np.float32)
    split = Split("test", [""] * 20_001, None, gold)
    recorded = split_metrics(logits, split, SINGLE_LABEL)
    for name, interval in SINGLE_LABEL.intervals(logits, gold).items():
        assert tuple(recorded[f"{name}_interval"]) == interval


def test_models_are_tested_against_the_first_on_the_same_texts(
    pair: Comparison, first: Artifact, second: Artifact, dataset: Dataset
) -> None:
    texts, gold = dataset.test.texts, dataset.test.labels
    right = [logits_of(artifact, texts).argmax(axis=1) == gold for artifact in (first, second)]
    assert pair.models[0].paired is None
    assert pair.models[1].paired == metrics.mcnemar(*right)
    assert pair.models[1].paired.difference == pytest.approx(right[1].mean() - right[0].mean())
    assert 0 < pair.models[1].paired.b + pair.models[1].paired.c < len(texts)


def test_agreement_is_the_share_of_equal_decisions(
    pair: Comparison, first: Artifact, second: Artifact, dataset: Dataset
) -> None:
    decisions = [logits_of(artifact, dataset.test.texts).argmax(axis=1) for artifact in (first, second)]
    assert pair.models[0].agreement == 1.0
    assert pair.models[1].agreement == np.mean(decisions[0] == decisions[1]) < 1


def test_the_same_weights_count_the_same_in_every_form(mixed: Comparison, forms: Any) -> None:
    model = load_classifier(forms.folder).model
    expected = sum(parameter.numel() for parameter in model.parameters())
    # a graph of single texts adds the one type that it needs to the positions
    types = model.get_submodule("bert.embeddings.token_type_embeddings").weight.numel()
    counted = [model.subject.parameters for model in mixed.models]
    assert counted == [expected, expected, expected - types]


def test_sizes_are_those_of_the_files(mixed: Comparison, forms: Any) -> None:
    weights = [forms.run.model_path / "model.safetensors", forms.folder / "model.safetensors"]
    for model, file in zip(mixed.models, [*weights, forms.artifact.model_path], strict=True):
        assert model.subject.model_bytes == file.stat().st_size
        assert model.subject.folder_bytes == sum(path.stat().st_size for path in file.parent.iterdir())
        assert model.to_dict()["model_mb"] == file.stat().st_size / 1e6


def test_speed_is_the_median_over_rounds_at_one_and_at_32_texts(mixed: Comparison) -> None:
    for model in mixed.models:
        speed = model.speed
        assert speed is not None and len(speed.rounds) == 2
        assert (speed.p50_ms, speed.p99_ms, speed.texts_per_second) == pytest.approx(
            tuple(np.median(speed.rounds, axis=0))
        )
        assert 0 < speed.p50_ms <= speed.p99_ms
        assert speed.calls >= 100 and speed.batches >= 3
        assert speed.texts_per_second > 0
    assert mixed.batch_size == 32
    assert len({(model.speed.calls, model.speed.batches) for model in mixed.models if model.speed}) == 1


def test_memory_is_that_of_each_models_own_process(mixed: Comparison) -> None:
    run, _, artifact = (model.peak_memory_bytes for model in mixed.models)
    if run is None or artifact is None:
        pytest.skip("this system does not tell a process's peak memory")
    assert 10e6 < artifact < run


def test_the_dictionary_is_valid_json_without_nan(mixed: Comparison, pair: Comparison) -> None:
    for comparison in (mixed, pair):
        content = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
        assert content["models"][1]["metrics"] == comparison.models[1].scores
        assert [set(model) for model in content["models"]] == [set(content["models"][0])] * len(content["models"])


def test_without_rounds_nothing_is_timed(pair: Comparison) -> None:
    for model in pair.to_dict()["models"]:
        assert model["latency_p50_ms"] is model["texts_per_second"] is model["peak_memory_mb"] is None
    assert pair.models[0].speed is None


def test_labels_in_another_order_meet_by_name(
    write_artifact: Callable[..., Artifact], first: Artifact, dataset: Dataset
) -> None:
    turned = write_artifact("turned", order=[2, 0, 3, 1])
    assert turned.manifest.labels != first.manifest.labels
    both = compare(first, turned, on=dataset, rounds=0)
    assert both.models[1].agreement == 1.0
    assert both.models[1].scores == pytest.approx(both.models[0].scores)
    alone = compare(turned, on=dataset, rounds=0)
    assert alone.models[0].scores == pytest.approx(both.models[0].scores)


def test_several_labels_a_text_are_compared_by_micro_f1(
    write_artifact: Callable[..., Artifact], texts_of: Callable[..., list[str]]
) -> None:
    models = [write_artifact(f"multi{seed}", multi=True, seed=seed) for seed in (0, 1)]
    texts = texts_of(120)
    gold = logits_of(models[0], texts) > 0
    split = Split("test", texts, None, gold)
    found = compare(*models, on=split, rounds=0)
    assert found.task == "multi_label"
    assert set(found.models[0].intervals) == {"micro_f1", "macro_f1", "exact_match"}
    assert found.models[0].scores["micro_f1"] == 1.0
    assert found.models[0].f1_difference is None
    low, high = found.models[1].f1_difference or (0, 0)
    assert low <= high < 0
    json.dumps(found.to_dict(), allow_nan=False)


def test_pairs_are_scored_and_timed_as_pairs(
    write_artifact: Callable[..., Artifact], texts_of: Callable[..., list[str]]
) -> None:
    artifact = write_artifact("pairs", labels=("same", "different"), paired=True)
    texts, seconds = texts_of(40), texts_of(40, seed=1)
    with load(artifact.path, threads=1) as classifier:
        gold = classifier.logits(texts, seconds).argmax(axis=1)
    split = Split("test", texts, seconds, gold)
    found = compare(artifact, on=split, rounds=1, seconds=0.001, threads=1)
    assert found.models[0].scores["accuracy"] == 1.0
    assert found.models[0].speed is not None
    with pytest.raises(ConfigError, match="do not fit") as caught:
        compare(artifact, on=split, texts_for_speed=texts)
    assert caught.value.accepted["texts_for_speed"] == "pairs of texts"


def test_progress_names_every_step(first: Artifact, dataset: Dataset) -> None:
    lines: list[str] = []
    compare(first, on=dataset, rounds=1, seconds=0.001, threads=1, progress=lines.append)
    assert lines[0] == "loading first"
    assert any(line.startswith("timing, round 1 of 1: ") for line in lines)
    assert lines[-1] == "scoring first on 200 texts of test"


def test_a_split_that_models_were_chosen_on_is_noted(first: Artifact, dataset: Dataset) -> None:
    found = compare(first, on=dataset, split="dev", rounds=0)
    assert found.split == "validation" and found.texts == 40
    assert "chosen on validation" in found.notes[0]
    assert "Note: models may have been chosen on validation" in found.render()


def test_the_process_that_measures_an_artifact_imports_no_torch(
    first: Artifact, dataset: Dataset, tmp_path: Path
) -> None:
    texts = str(write_texts(tmp_path / "texts.json", dataset.test))
    how = {"threads": 1, "device": "cpu", "trust": False}
    load_it = {"do": "load", "engine": "onnxruntime", "folder": str(first.path), **how}
    commands = [
        load_it,
        {"do": "texts", "path": texts},
        {"do": "single", "count": 3},
        {"do": "batches", "count": 1, "size": 32},
        {"do": "logits", "texts": texts, "out": str(tmp_path / "logits.npy")},
        {"do": "memory"},
    ]
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "liteft.report.measure"],
        input="".join(json.dumps(command) + "\n" for command in commands),
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(finished.stdout.splitlines()) == len(commands)
    imported = {line.rsplit("|", 1)[-1].strip() for line in finished.stderr.splitlines()}
    assert "onnxruntime" in imported
    assert not {name for name in imported if name.split(".")[0] in ("torch", "transformers", "matplotlib")}
    assert np.load(tmp_path / "logits.npy").shape == (200, 4)


def test_a_process_that_dies_is_an_error_that_names_its_model(first: Artifact, second: Artifact) -> None:
    subjects = find_subjects([first, second])
    with open_workers(subjects, threads=1, device="cpu", progress=quiet) as workers:
        os.kill(workers[1]._process.pid, signal.SIGKILL)
        with pytest.raises(ModelError, match=r"second was killed by signal 9") as caught:
            workers[1].ask("memory")
        assert caught.value.fix == ("free some memory",)
        assert workers[0].peak_memory_bytes() != 0


def test_a_process_that_fails_shows_its_last_line(first: Artifact) -> None:
    (subject,) = find_subjects([first])
    with open_workers([subject], threads=1, device="cpu", progress=quiet) as (worker,):
        with pytest.raises(ModelError, match="first exited with status 1") as caught:
            worker.ask("texts", path="no/such/file.json")
        assert "FileNotFoundError" in caught.value.accepted["its last line"]


def test_an_error_inside_the_process_keeps_its_class_and_names_the_model(first: Artifact, tmp_path: Path) -> None:
    (subject,) = find_subjects([first])
    with pytest.raises(ArtifactError, match=r"^first: .*is not a folder"):
        Worker(replace(subject, folder=tmp_path / "gone"), threads=1, device="cpu")


def test_no_process_outlives_a_comparison(first: Artifact, second: Artifact) -> None:
    with open_workers(find_subjects([first, second]), threads=1, device="cpu", progress=quiet) as workers:
        processes = [worker._process for worker in workers]
        assert [process.poll() for process in processes] == [None, None]
    assert [process.poll() for process in processes] == [0, 0]


def test_logits_that_are_not_finite_are_an_error_that_names_the_model(
    write_artifact: Callable[..., Artifact], first: Artifact, dataset: Dataset
) -> None:
    broken = write_artifact("broken", change=lambda weights: np.full_like(weights, np.finfo(np.float32).max))
    with pytest.raises(ModelError, match=r"broken: .*not finite"):
        compare(first, broken, on=dataset, rounds=0)


def test_models_of_different_labels_are_refused(
    write_artifact: Callable[..., Artifact], first: Artifact, dataset: Dataset
) -> None:
    other = write_artifact("other", labels=("order", "payment", "app", "blame"))
    with pytest.raises(ModelError, match="other and first have different labels") as caught:
        compare(first, other, on=dataset)
    assert caught.value.accepted == {"only first has": "praise", "only other has": "blame"}


@pytest.mark.parametrize(
    ("settings", "kind", "seen"),
    [
        ({"rounds": -1}, ConfigError, "rounds must be 0 or more, got -1"),
        ({"seconds": 0}, ConfigError, "seconds must be a positive number, got 0"),
        ({"threads": 0}, ConfigError, "threads must be an integer from 1 to 1024, got 0"),
        ({"device": "auto"}, ConfigError, "'auto'"),
        ({"texts_for_speed": []}, ConfigError, "do not fit"),
        ({"texts_for_speed": [("a", "pair")]}, ConfigError, "do not fit"),
        ({"split": "tset"}, DataError, "no split 'tset'"),
        ({"names": ["one", "two"]}, ConfigError, "one, two"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    settings: dict[str, Any], kind: type[Exception], seen: str, first: Artifact, dataset: Dataset
) -> None:
    with pytest.raises(kind, match=seen):
        compare(first, on=dataset, **{"threads": 1, **settings})


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare()


def test_data_or_a_list_in_the_place_of_a_model_is_refused_with_the_call_that_is_meant(dataset: Dataset) -> None:
    for model, fix in ((dataset, "compare(MODEL, ..., on=DATA)"), (["a", "b"], "compare(*MODELS, on=DATA)")):
        with pytest.raises(ConfigError, match="a model is a ") as caught:
            compare(model)  # type: ignore[arg-type]
        assert str(caught.value).endswith(f"try: {fix}")


def test_a_run_without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="torch") as caught:
        measure.load_model("anywhere", 1, "cpu")
    assert install_hint("train") in caught.value.fix


def test_a_gpu_that_torch_does_not_find_is_a_device_error(forms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)
    with pytest.raises(DeviceError, match="no CUDA device"):
        measure.load_model(str(forms.folder), 1, "cuda")


def test_compare_is_a_public_name() -> None:
    assert liteft.compare is compare
