"""The verb: what it writes, what it refuses, and what it leaves alone when it refuses."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from liteft import files
from liteft.artifact import read_artifact
from liteft.data import Split
from liteft.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    DeviceError,
    InputError,
    ModelError,
    RunError,
    VerificationError,
)
from liteft.exporting import Limits, blueprint, builder, export, exporter, recovery, sizes
from liteft.finetuning.adapters import parameter_count
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.form import Precision
from liteft.run import RUN_FORMAT
from liteft.runtime import load
from liteft.runtime.native_library import has_library


@pytest.fixture(scope="module")
def learned(workshop: Any) -> tuple[Path, Split]:
    """A BERT that is right about 80 texts."""
    return workshop.learned("bert")


def damage(monkeypatch: pytest.MonkeyPatch, name: str, change: Any) -> None:
    """Let the export write a graph in which one stored weight was changed."""
    build = blueprint.build_model

    def broken(*arguments: Any) -> onnx.ModelProto:
        model = build(*arguments)
        (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
        array = numpy_helper.to_array(tensor).copy()
        change(array)
        tensor.CopyFrom(numpy_helper.from_array(array, name))
        return model

    monkeypatch.setattr(blueprint, "build_model", broken)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 2e-2), ("int8", 0.1)])
def test_an_export_answers_like_the_model(
    precision: Any, tolerance: float, learned: tuple[Path, Split], tmp_path: Path
) -> None:
    folder, split = learned
    lines: list[str] = []
    limits = Limits(agreement=0.8, accuracy_drop=0.2)  # tiny random models decide by hairs
    artifact = export(folder, tmp_path / "out", precision=precision, verify=split, limits=limits, progress=lines.append)
    expected = predict_logits(load_classifier(folder), split.texts)
    with load(artifact.path, device="cpu", threads=1) as classifier:
        np.testing.assert_allclose(classifier.logits(split.texts), expected, atol=tolerance)
        assert classifier.predict("w1 w2 w3").label.startswith("label ")
    manifest = artifact.manifest
    assert (manifest.form.precision, manifest.graph, manifest.family, manifest.pooling) == (
        precision,
        "built",
        "bert",
        "cls",
    )
    assert manifest.one_node
    assert manifest.form.scheme == ("per_row" if precision == "int8" else None)
    assert (manifest.activation, manifest.inputs) == ("softmax", ("input_ids", "attention_mask"))
    assert manifest.verification["texts"] == 80
    assert manifest.verification["agreement"] >= limits.agreement
    assert manifest.verification["weights_sha256"] == files.sha256_file(folder / "model.safetensors")
    assert lines[0] == "texts are cut at 32 tokens, on the right: as it was trained"
    assert "from its weights" in lines[1]
    assert "80 of 80 texts of validation" in lines[2]


def test_a_flat_export_has_standard_nodes_only_and_answers_with_the_same_bits(
    learned: tuple[Path, Split], tmp_path: Path
) -> None:
    folder, split = learned
    wrapped, flat = (
        export(folder, tmp_path / str(form), precision="fp32", flat=form, verify=split) for form in (False, True)
    )
    assert wrapped.manifest.one_node and not flat.manifest.one_node
    assert (flat.manifest.graph, flat.manifest.inputs) == ("built", wrapped.manifest.inputs)
    node, nodes = (onnx.load(artifact.model_path) for artifact in (wrapped, flat))
    assert [each.op_type for each in node.graph.node] == ["EncoderClassifier"]
    assert {each.domain for each in nodes.graph.node} == {""}
    assert not nodes.functions
    assert "as one node" in (wrapped.path / "card.md").read_text()
    assert "as one node" not in (flat.path / "card.md").read_text()
    logits = []
    for artifact in (wrapped, flat):
        with load(artifact.path, device="cpu", backend="onnxruntime", threads=1) as classifier:
            logits.append(classifier.logits(split.texts))
    assert logits[0].tobytes() == logits[1].tobytes()


def test_files_shrink_as_they_must(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    limits = Limits(agreement=0.8, accuracy_drop=0.2)  # decided by hairs
    sizes = {
        precision: export(folder, tmp_path / precision, precision=precision, verify=split, limits=limits)
        .model_path.stat()
        .st_size
        for precision in ("fp32", "fp16", "int8")
    }
    assert sizes["fp16"] < 0.6 * sizes["fp32"]
    assert sizes["int8"] < 0.42 * sizes["fp32"]  # the head and the nodes weigh a quarter of so small a file


def test_the_folder_is_what_transformers_expects(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split)
    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    config = AutoConfig.from_pretrained(artifact.path)
    assert tokenizer.model_max_length == 32
    assert tokenizer.pad_token == "[PAD]"
    assert config.id2label[0] == "label 0"
    assert config.problem_type == "single_label_classification"
    stored = json.loads((artifact.path / "tokenizer.json").read_text())
    assert stored["padding"] is None
    assert stored["truncation"] is None
    long = "w1 " * 100
    assert tokenizer(long, truncation=True)["input_ids"] == artifact.tokenizer().encode([long]).ids.tolist()


def test_the_card_tells_the_manifests_numbers(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split)
    card = (artifact.path / "card.md").read_text()
    assert "80 of 80 texts of validation" in card
    assert "same answer as the model for 100.00% of the texts" in card
    assert f"{artifact.model_path.stat().st_size / 1e6:.1f} MB" in card
    assert str(tmp_path) not in card
    assert str(tmp_path) not in (artifact.path / "manifest.json").read_text()


def test_pairs_keep_their_type_ids(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert", "mean", paired=True)
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split)
    assert artifact.manifest.inputs == ("input_ids", "attention_mask", "token_type_ids")
    assert artifact.manifest.pooling == "mean"
    assert artifact.manifest.verification["logit_difference"] < 1e-4


def test_several_labels_a_text_end_in_a_sigmoid(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("distilbert", task="multi_label")
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split)
    assert (artifact.manifest.task, artifact.manifest.activation) == ("multi_label", "sigmoid")
    assert artifact.manifest.verification["accuracy"] == 1.0


def test_a_decoder_is_traced_and_the_user_is_told(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("gpt2", "last", labels=3, n_layer=1)
    split = replace(split, labels=None)
    lines: list[str] = []
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split, progress=lines.append)
    assert (artifact.manifest.graph, artifact.manifest.pooling) == ("traced", "last")
    assert not artifact.manifest.one_node
    assert not onnx.load(artifact.model_path).functions
    assert "torch.onnx.export" in lines[1]
    assert "gpt2" in lines[1]
    assert artifact.manifest.verification["logit_difference"] < 1e-4


def test_texts_without_labels_verify_agreement_only(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=replace(split, labels=None))
    assert artifact.manifest.verification["accuracy"] is None
    assert artifact.manifest.verification["agreement"] == 1.0
    assert "accuracy" not in (artifact.path / "card.md").read_text().split("## How it was checked")[1]


def test_labels_meet_the_models_by_name_where_the_split_knows_them(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    names = tuple(f"label {number}" for number in (3, 1, 4, 0, 2))
    labels = np.array([names.index(f"label {label}") for label in split.labels])  # type: ignore[union-attr]
    named = replace(split, labels=labels, label_names=names)
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=named, test=replace(named, name="test"))
    assert artifact.manifest.verification["accuracy"] == 1.0
    assert artifact.manifest.measured["test"]["onnxruntime"]["accuracy"] == 1.0
    lines: list[str] = []
    shouted = replace(named, label_names=tuple(name.upper() for name in names))
    artifact = export(folder, tmp_path / "shouted", precision="fp32", verify=shouted, progress=lines.append)
    assert artifact.manifest.verification["accuracy"] == 1.0
    assert any("are named differently in the texts: label 0 is LABEL 0" in line for line in lines)
    with pytest.raises(DataError, match="no label in common"):
        export(folder, tmp_path / "none", precision="fp32", verify=replace(named, label_names=tuple("abcde")))


def test_a_long_split_is_sampled_and_the_manifest_says_so(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split, limits=Limits(texts=30))
    assert (artifact.manifest.verification["texts"], artifact.manifest.verification["of_texts"]) == (30, 80)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_broken_graph_fails_shows_texts_and_leaves_the_old_artifact(
    precision: Any, learned: tuple[Path, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = learned
    out = tmp_path / "out"
    before = export(folder, out, precision="fp32", verify=split)

    def scale_one_channel(array: np.ndarray) -> None:
        array *= 100

    stored = "layers.1.feed_forward.norm.weight" if precision == "int8" else "layers.1.feed_forward.outer.weight"

    def change(array: np.ndarray) -> None:
        scale_one_channel(array[3:4] if array.ndim == 1 else array[:, 3])

    damage(monkeypatch, stored, change)
    with pytest.raises(VerificationError) as caught:
        export(folder, out, precision=precision, verify=split, overwrite=True)
    message = str(caught.value)
    assert "does not agree" in message
    assert "worst text 1" in message
    assert " -> label" in message
    assert sum(text[:20] in message for text in split.texts) >= 1
    assert read_artifact(out).manifest == before.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_graph_of_no_numbers_fails(
    learned: tuple[Path, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = learned
    damage(monkeypatch, "classifier.bias", lambda array: array.fill(np.nan))
    with pytest.raises(VerificationError, match="does not run"):
        export(folder, tmp_path / "out", precision="fp32", verify=split)
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_no_better_than_one_answer_is_not_exported(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert", seed=5)
    generator = np.random.default_rng(0)
    labels = np.where(generator.random(len(split)) < 0.7, 0, split.labels)
    useless = Split("validation", split.texts, None, np.where(split.labels == 0, 1, labels))
    with pytest.raises(VerificationError, match="does no better on validation than answers that do not") as caught:
        export(folder, tmp_path / "out", precision="fp32", verify=useless)
    assert "most frequent answer alone" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_accuracy_within_the_limit_of_agreement_still_fails_on_its_own(
    learned: tuple[Path, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every changed label is a lost one here, since the model is right about all of them."""
    folder, split = learned

    def nudge(array: np.ndarray) -> None:
        array[0] += 0.2

    damage(monkeypatch, "classifier.bias", nudge)
    limits = Limits(logit_difference=10, agreement=0.5)
    with pytest.raises(VerificationError, match=r"accuracy: .*limit 0\.5 points less"):
        export(folder, tmp_path / "out", precision="fp32", verify=split, limits=limits)


def test_nothing_is_exported_unverified(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    with pytest.raises(ConfigError, match="verified on real texts") as caught:
        export(folder, tmp_path / "out", precision="fp32")
    assert "verify=data.validation" in str(caught.value)
    with pytest.raises(DataError, match="no texts to verify on"):
        export(folder, tmp_path / "out", precision="fp32", verify=split.take(slice(0, 0)))
    assert not list(tmp_path.iterdir())


def test_a_split_of_pairs_does_not_verify_a_model_of_texts(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    with pytest.raises(DataError, match="has pairs, and the model reads single texts"):
        export(folder, tmp_path / "out", precision="fp32", verify=replace(split, pairs=split.texts))


def test_unknown_precisions_and_limits_out_of_range_are_refused(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    with pytest.raises(ConfigError, match="'in8' is unknown") as caught:
        export(folder, tmp_path / "out", precision="in8", verify=split)  # type: ignore[arg-type]
    assert "try: --precision int8" in caught.value.command_text()
    with pytest.raises(ConfigError, match="agreement=98"):
        Limits(agreement=98)
    with pytest.raises(ConfigError, match="texts=0"):
        Limits(texts=0)


def test_a_folder_that_is_no_artifact_is_not_overwritten(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="is not an artifact"):
        export(folder, tmp_path, precision="fp32", verify=split)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_another_form_replaces_an_artifact_only_where_that_is_said(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    out = tmp_path / "out"
    settings: Any = {"verify": split, "limits": Limits(agreement=0.8, accuracy_drop=0.2)}
    made = export(folder, out, precision="int8", **settings)
    assert export(folder, out, precision="int8", **settings).manifest.form.precision == "int8"
    before = (out / "manifest.json").read_bytes()
    with pytest.raises(ArtifactError, match="contains another artifact, which would be replaced") as caught:
        export(folder, out, precision="fp32", flat=True, **settings)
    assert caught.value.accepted == {"precision": "int8 -> fp32", "flat": "False -> True"}
    assert caught.value.command_hints() == ["--out ANOTHER_FOLDER", "--overwrite, to replace it"]
    assert (out / "manifest.json").read_bytes() == before
    assert read_artifact(out) == made
    assert export(folder, out, precision="fp32", overwrite=True, **settings).manifest.form.precision == "fp32"


def test_other_weights_replace_an_artifact_only_where_that_is_said(
    learned: tuple[Path, Split], workshop: Any, tmp_path: Path
) -> None:
    export(learned[0], tmp_path / "out", precision="fp32", verify=learned[1])
    other, split = workshop.learned("bert", labels=4, seed=1)
    with pytest.raises(ArtifactError, match="contains another artifact") as caught:
        export(other, tmp_path / "out", precision="fp32", verify=split)
    assert list(caught.value.accepted) == ["weights", "labels"]
    assert export(
        other, tmp_path / "out", precision="fp32", verify=split, overwrite=True
    ).manifest.labels == split_labels(other)


def split_labels(folder: Path) -> tuple[str, ...]:
    return load_classifier(folder).settings.labels


def test_files_that_no_export_wrote_stop_an_export_before_anything_is_loaded(
    learned: tuple[Path, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = export(learned[0], tmp_path / "out", precision="fp32", verify=learned[1])
    (artifact.path / "README.md").write_text("mine")
    monkeypatch.setattr(exporter, "load_classifier", None)
    with pytest.raises(ArtifactError, match="not part of the artifact") as caught:
        export(learned[0], artifact.path, precision="fp32", verify=learned[1], overwrite=True)
    assert caught.value.accepted == {"not in its manifest": "README.md"}
    assert (artifact.path / "README.md").read_text() == "mine"


def test_a_runs_weights_that_were_changed_are_not_exported(learned: tuple[Path, Split], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(learned[0], run / "model")
    weights = run / "model" / "model.safetensors"
    content = {"format": RUN_FORMAT, "kind": "student", "task": "single_label", "labels": []}
    content |= {"metrics": {}, "weights_sha256": files.sha256_file(weights)}
    files.write_json(run / "run.json", content)
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    for source in (run, run / "model"):
        with pytest.raises(RunError, match="was changed after the training"):
            export(source, tmp_path / "out", precision="fp32", verify=learned[1])
    assert not (tmp_path / "out").exists()


def test_a_source_that_cannot_be_exported_is_named_before_texts_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        export(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="is an artifact, which has been exported already"):
        export(tmp_path, tmp_path / "out")


def test_a_graph_beyond_two_gigabytes_is_refused_with_what_would_fit(
    learned: tuple[Path, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = learned
    parameters = parameter_count(load_classifier(folder).model)
    for bytes_each, asked, hints in (
        (4, {"precision": "fp32"}, ["--precision int8", "--precision fp16"]),
        (2, {"precision": "fp16"}, ["--precision int8"]),
        (4, {"precision": "int8", "scheme": "static"}, ["--scheme per_row"]),
        (1, {"precision": "int8"}, []),
    ):
        monkeypatch.setattr(sizes, "MOST_BYTES", bytes_each * parameters - 1)
        with pytest.raises(ModelError, match="parameters") as caught:
            export(folder, tmp_path / "out", verify=split, **asked)
        assert "one ONNX file: 2 GB" in str(caught.value)
        assert caught.value.command_hints() == [*hints, "distil it into a smaller student"]


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_model_too_large_for_float32_is_exported_without_a_float32_graph(
    learned: tuple[Path, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    folder, split = learned
    stored: dict[str, np.dtype[Any]] = {}

    def from_array(array: np.ndarray, name: str) -> onnx.TensorProto:
        stored[name] = array.dtype
        return numpy_helper.from_array(array, name)

    monkeypatch.setattr(sizes, "MOST_BYTES", 2 * parameter_count(load_classifier(folder).model))
    monkeypatch.setattr(builder, "numpy_helper", SimpleNamespace(from_array=from_array))
    loose = Limits(agreement=0.5, accuracy_drop=0.5)  # tiny random models decide by hairs
    artifact = export(folder, tmp_path / "out", verify=split, precision=precision, limits=loose)
    assert artifact.manifest.form.precision == precision
    matrices = {name: kind for name, kind in stored.items() if re.match(r"(layers.*|embeddings\.word)\.weight", name)}
    matrices = {name: kind for name, kind in matrices.items() if "norm" not in name}
    assert len(matrices) > 4
    assert {str(kind) for kind in matrices.values()} == {{"int8": "int8", "fp16": "float16"}[precision]}


def test_sensitivity_is_not_measured_where_no_float32_graph_fits(
    learned: tuple[Path, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = learned
    monkeypatch.setattr(sizes, "MOST_BYTES", 2 * parameter_count(load_classifier(folder).model))
    monkeypatch.setattr(recovery, "rank_products", lambda *_, **__: pytest.fail("it was looked for"))
    with pytest.raises(VerificationError):
        export(folder, tmp_path / "out", verify=split, precision="int8", limits=Limits(logit_difference=1e-9))


def test_a_run_gives_its_metrics_data_and_teacher_to_the_manifest(learned: tuple[Path, Split], tmp_path: Path) -> None:
    folder, split = learned
    run = tmp_path / "run"
    run.mkdir()
    (run / "model").symlink_to(folder)
    metrics = {"validation": {"n": 80, "accuracy": 0.75, "accuracy_interval": [0.7, 0.8], "majority": 0.3}}
    content = {
        "format": RUN_FORMAT,
        "kind": "student",
        "task": "single_label",
        "labels": list(load_classifier(folder).settings.labels),
        "metrics": metrics,
        "data": {"name": "words", "fingerprint": "0" * 64, "rows": {"validation": 80}},
        "weights_sha256": files.sha256_file(folder / "model.safetensors"),
        "teacher": {
            "name": "teacher",
            "path": "/home/somebody/runs/teacher",
            "weights_sha256": "1" * 64,
            "others": [{"name": "second", "path": "/home/somebody/runs/second", "weights_sha256": "2" * 64}],
        },
        "start": "the teacher's layers and head",
        "training_texts": 240,
    }
    files.write_json(run / "run.json", content)
    crossed: dict[str, Any] = {
        "metrics": {"student": {"accuracy": 0.7}, "c0": {"accuracy": 0.6}},
        "intervals": {"student": {"accuracy": (0.6, 0.8)}, "c0": {"accuracy": (0.5, 0.7)}},
        "floors": {
            "floors": [
                {
                    "name": "naive Bayes",
                    "metrics": {"train": {"accuracy": 0.8}},
                    "intervals": {"train": {"accuracy": [0.7, 0.9]}},
                }
            ]
        },
    }
    (run / "recipe.toml").write_text('[student]\nsize = "2"\nhard_weight = 0.1\n', encoding="utf-8")
    of_folds = {"data": content["data"], "student": {"size": "2"}, "folds": 3, "texts": 90, **crossed}
    files.write_json(tmp_path / "folds.json", of_folds)
    held_out = replace(split.take(slice(0, 40)), name="test")
    artifact = export(run, tmp_path / "out", precision="fp32", verify=split, test=held_out)
    assert artifact.manifest.metrics == metrics
    measured = artifact.manifest.measured["test"]
    assert list(measured) == artifact.manifest.verification["backends"]
    assert list(artifact.manifest.recorded) == artifact.manifest.verification["backends"]
    for backend, values in measured.items():
        with load(artifact.path, device="cpu", backend=backend) as classifier:
            right = classifier.logits(held_out.texts).argmax(axis=1) == held_out.labels
        assert (values["n"], values["accuracy"]) == (40, right.mean())
    assert artifact.manifest.data == content["data"]
    second = {"name": "second", "weights_sha256": "2" * 64}
    assert artifact.manifest.teacher == {"name": "teacher", "weights_sha256": "1" * 64, "others": [second]}
    files.write_json(tmp_path / "folds.json", {**of_folds, "floors": None})
    again = export(run, tmp_path / "other", precision="fp32", verify=split, overwrite=True).manifest.folds
    assert again["metrics"] == {"n": 90, "accuracy": 0.7, "accuracy_interval": [0.6, 0.8]} and again["floors"] == {}
    for other in ({"data": {"fingerprint": "1" * 64}}, {"student": {"size": "3"}}):
        files.write_json(tmp_path / "folds.json", of_folds | other)
        assert export(run, tmp_path / "other", precision="fp32", verify=split, overwrite=True).manifest.folds == {}
    metrics_of_folds = {"n": 90, "accuracy": 0.7, "accuracy_interval": [0.6, 0.8]}
    assert artifact.manifest.folds == {
        "count": 3,
        "metrics": metrics_of_folds,
        "beside": {"c0": {"n": 90, "accuracy": 0.6, "accuracy_interval": [0.5, 0.7]}},
        "floors": {"naive Bayes": {"n": 90, "accuracy": 0.8, "accuracy_interval": [0.7, 0.9]}},
    }
    assert artifact.manifest.training == {"start": "the teacher's layers and head", "texts": 240}
    card = (artifact.path / "card.md").read_text()
    assert card.startswith("# Text classifier: words")
    assert "| test | this file, onnxruntime | 40 |" in card
    assert "| validation | the model, torch | 80 | 75.0 (70.0 to 80.0) | - | 30.0 |" in card


def test_a_library_that_was_asked_for_and_is_none_stops_an_export_instead_of_being_left_out(
    learned: tuple[Path, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITEFT_LIBRARY", str(tmp_path / "none.so"))
    with pytest.raises(DeviceError, match=r"none\.so is not a file"):
        export(learned[0], tmp_path / "out", precision="fp32", verify=learned[1])
    assert not (tmp_path / "out").exists()


def test_a_node_that_the_native_backend_cannot_read_stops_an_export_where_the_library_is(
    learned: tuple[Path, Split], built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap = blueprint.wrap_model

    def unreadable(*arguments: Any) -> onnx.ModelProto:
        model = wrap(*arguments)
        model.graph.node[0].attribute.append(onnx.helper.make_attribute("activation", "mish"))
        return model

    monkeypatch.setenv("LITEFT_LIBRARY", str(built / "libliteft.so"))
    monkeypatch.setattr(blueprint, "wrap_model", unreadable)
    with pytest.raises(VerificationError, match="does not run on native") as caught:
        export(learned[0], tmp_path / "out", precision="fp32", verify=learned[1])
    assert "'mish'" in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert export(learned[0], tmp_path / "out", precision="fp32", verify=learned[1], flat=True).manifest.verification[
        "backends"
    ] == ["onnxruntime"]


@pytest.fixture
def with_token(learned: tuple[Path, Split], tmp_path: Path) -> Path:
    """The BERT with a token in its tokenizer that its table has no row for."""
    folder = tmp_path / "added"
    shutil.copytree(learned[0], folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["<url>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_a_token_without_a_row_is_said_and_fails_its_own_text_alone(
    with_token: Path, learned: tuple[Path, Split], tmp_path: Path, backend: str
) -> None:
    if backend == "native" and not has_library():
        pytest.skip("the native library is not built")
    said: list[str] = []
    artifact = export(with_token, tmp_path / "out", precision="fp32", verify=learned[1], progress=said.append)
    assert any("no row for '<url>'" in line for line in said)
    with load(artifact.path, backend=backend) as classifier:
        found = list(classifier.stream(["fine", "see <url> now", "fine too"], on_error="null"))
        assert [each is None for each in found] == [False, True, False]
        with pytest.raises(InputError, match="text 0 holds '<url>'"):
            classifier.logits(["see <url> now"])


def test_a_text_to_verify_on_with_a_token_without_a_row_is_named(
    with_token: Path, learned: tuple[Path, Split], tmp_path: Path
) -> None:
    split = Split("validation", ["fine", "see <url>"])
    with pytest.raises(DataError, match="text 1 of split 'validation' holds '<url>'"):
        export(with_token, tmp_path / "out", precision="fp32", verify=split)
    with pytest.raises(DataError, match="text 1 of those given holds '<url>'"):
        predict_logits(load_classifier(with_token), split.texts)
    assert export(learned[0], tmp_path / "out", precision="fp32", verify=learned[1]).manifest.embedding_rows is None


def test_a_token_of_every_text_without_a_row_is_a_model_error(
    with_token: Path, learned: tuple[Path, Split], tmp_path: Path
) -> None:
    content = json.loads((with_token / "tokenizer.json").read_text("utf-8"))
    number = next(token["id"] for token in content["added_tokens"] if token["content"] == "<url>")
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<url>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<url>": {"id": "<url>", "ids": [number], "tokens": ["<url>"]}},
    }
    (with_token / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(ModelError, match="puts '<url>' into every text"):
        export(with_token, tmp_path / "out", precision="fp32", verify=learned[1])


@pytest.mark.parametrize(("family", "before"), [("bert", 0), ("roberta", 2)])
def test_the_manifest_says_how_many_tokens_there_are_positions_for(
    workshop: Any, tmp_path: Path, family: str, before: int
) -> None:
    folder, split = workshop.learned(family)
    rows = json.loads((folder / "config.json").read_text("utf-8"))["max_position_embeddings"]
    assert export(folder, tmp_path / "out", precision="fp32", verify=split).manifest.positions == rows - before
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["liteft"]["max_tokens"] = rows - before + 1
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ModelError, match="cannot read") as caught:
        export(broken, tmp_path / "other", precision="fp32", verify=split)
    assert f"max_tokens={rows - before}" in caught.value.fix[0].python
