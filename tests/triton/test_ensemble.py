"""The ensemble: what is written holds to Triton's rules, and answers as the artifact does, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import liteft
from liteft.artifact import Artifact
from liteft.data import Split
from liteft.errors import ConfigError, DeviceError, MissingExtraError, VerificationError
from liteft.exporting import Limits
from liteft.form import ExportForm
from liteft.triton import gate
from liteft.triton.ragged import ragged_model
from tests.exporting.conftest import random_texts, write_unverified
from tests.triton.server import Ensemble, read_config, strings, texts_of

TEXTS = random_texts(70, longest=40)
PAIRS = random_texts(70, seed=1)
REQUESTS = ((0, 1), (1, 2), (2, 9), (9, 10), (10, 42), (42, 70))

pytestmark = pytest.mark.usefixtures("native")


def artifact_of(workshop: Any, folder: Path, family: str = "bert", pooling: str = "cls", **keywords: Any) -> Artifact:
    """Return a tiny artifact that nothing was compared with; ``precision`` and ``flat`` are of its form."""
    form = ExportForm(keywords.pop("precision", "fp32"), flat=keywords.pop("flat", None))
    return write_unverified(workshop.loaded(family, pooling, **keywords), folder / "artifact", form)


def split_of(artifact: Artifact) -> Split:
    return Split("validation", TEXTS, PAIRS if artifact.manifest.paired else None)


def requests_of(artifact: Artifact) -> list[dict[str, np.ndarray]]:
    """Return requests of several sizes, whose texts differ in length."""
    paired = artifact.manifest.paired
    return [
        {"text": strings(*TEXTS[start:stop]), **({"pair": strings(*PAIRS[start:stop])} if paired else {})}
        for start, stop in REQUESTS
    ]


def joined(found: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(
    ("family", "pooling", "task", "paired"),
    [
        ("bert", "cls", "single_label", False),
        ("bert", "mean", "multi_label", True),
        ("roberta", "cls", "single_label", False),
        ("distilbert", "mean", "single_label", True),
    ],
)
def test_its_logits_are_those_of_the_artifact_bit_for_bit(
    family: str, pooling: str, task: str, paired: bool, precision: str, workshop: Any, native: Path, tmp_path: Path
) -> None:
    artifact = artifact_of(workshop, tmp_path, family, pooling, task=task, paired=paired, precision=precision)
    split = split_of(artifact)
    made = liteft.export_triton(artifact, tmp_path / "out", verify=split, name="tiny", kind="ensemble")
    found = joined(Ensemble(made.path, "tiny", native).run(requests_of(artifact)))
    with liteft.load(artifact, backend="native") as classifier:
        logits = classifier.logits(TEXTS, split.pairs)
        expected = classifier.predict(list(zip(TEXTS, PAIRS, strict=True)) if paired else TEXTS)
        probabilities = classifier.predict_proba(TEXTS, split.pairs)
    assert found["logits"].tobytes() == logits.tobytes()
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=1e-5, atol=1e-7)
    assert texts_of(found["label"]) == [each.label for each in expected]
    np.testing.assert_allclose(found["score"][:, 0], [each.score for each in expected], rtol=1e-5)
    assert found["truncated"][:, 0].tolist() == [each.truncated for each in expected]
    assert found["truncated"].any() and not found["truncated"].all()
    if task == "multi_label":
        names = np.array(artifact.manifest.labels)
        assert [tuple(names[row].tolist()) for row in found["chosen"]] == [each.labels for each in expected]


def test_without_the_library_the_same_file_runs_in_onnxruntime(workshop: Any, native: Path, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path, paired=True)
    made = liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny", kind="ensemble")
    plain = joined(Ensemble(made.path, "tiny", None).run(requests_of(artifact)))
    found = joined(Ensemble(made.path, "tiny", native).run(requests_of(artifact)))
    np.testing.assert_allclose(plain["logits"], found["logits"], atol=1e-4)
    assert plain["logits"].tobytes() != found["logits"].tobytes(), "the library was not used"


def test_a_text_has_the_same_logits_alone_and_among_others(workshop: Any, native: Path, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path, precision="int8")
    made = liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny", kind="ensemble")
    ensemble = Ensemble(made.path, "tiny", native)
    together = joined(ensemble.run(requests_of(artifact)))["logits"]
    alone = [ensemble.run([{"text": strings(text)}])[0]["logits"] for text in TEXTS]
    assert np.concatenate(alone).tobytes() == together.tobytes()


def test_scores_need_no_labels(workshop: Any, native: Path, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path, task="scores", labels=1, paired=True)
    made = liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny")
    assert made.kind == "ensemble"
    found = joined(Ensemble(made.path, "tiny", native).run(requests_of(artifact)))
    with liteft.load(artifact, backend="native") as scorer:
        assert found["score"][:, 0].tobytes() == scorer.scores(TEXTS, PAIRS).tobytes()
    assert not any(name.endswith("labels.txt") for name in made.files)


def test_the_graph_names_its_library_and_joins_requests(workshop: Any, native: Path, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path, paired=True)
    made = liteft.export_triton(
        artifact, tmp_path / "out", verify=split_of(artifact), name="tiny", models_path="/mnt/models/"
    )
    config = read_config(made.path / "tiny_graph")
    (library,) = config.model_operations.op_library_filename
    assert library == made.library == "/mnt/models/tiny_graph/1/libliteft.so"
    assert (made.path / "tiny_graph" / "1" / "libliteft.so").read_bytes() == native.read_bytes()
    assert [each.allow_ragged_batch for each in config.input] == [True, True, False]
    assert config.HasField("dynamic_batching") and not config.batch_input
    assert library in (made.path / "README.md").read_text()
    (warmup,) = config.model_warmup
    for name, given in warmup.inputs.items():
        data = (made.path / "tiny_graph" / "warmup" / given.input_data_file).read_bytes()
        assert len(data) == 8 * int(np.prod(given.dims)), name


def test_the_first_requests_are_ones_that_the_models_answer(workshop: Any, native: Path, tmp_path: Path) -> None:
    artifact = artifact_of(workshop, tmp_path, paired=True)
    made = liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny")
    ensemble = Ensemble(made.path, "tiny", native)
    for name, model in ensemble.models.items():
        feed = {}
        for key, given in model.config.model_warmup[0].inputs.items():
            data = (made.path / name / "warmup" / given.input_data_file).read_bytes()
            shape = (1, *given.dims)
            feed[key] = strings(data[4:]) if key in ("text", "pair") else np.frombuffer(data, "<i8").reshape(shape)
        (found,) = model.run([feed])
        assert isinstance(found, dict), found


def test_lengths_that_do_not_fit_the_ids_are_an_error_with_and_without_the_library(
    workshop: Any, native: Path, tmp_path: Path
) -> None:
    artifact = artifact_of(workshop, tmp_path)
    made = liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny")
    for library in (native, None):
        graph = Ensemble(made.path, "tiny", library).models["tiny_graph"]
        good = {"input_ids": np.array([[5, 6, 7, -1], [5, 6, -1, -1]]), "lengths": np.array([[3], [2]])}
        graph.run([good])
        for wrong in (1, 3):
            with pytest.raises(Exception, match=r"liteft: the last text ends at token|Reshape"):
                graph.run([good | {"lengths": np.array([[3], [wrong]])}])


def test_the_gate_finds_a_graph_with_another_weight(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = artifact_of(workshop, tmp_path)

    def spoilt(given: Artifact) -> onnx.ModelProto:
        model = ragged_model(given)
        (bias,) = (each for each in model.graph.initializer if each.name == "classifier.bias")
        array = onnx.numpy_helper.to_array(bias).copy()
        array.flat[0] += 1e-6
        bias.CopyFrom(onnx.numpy_helper.from_array(array, bias.name))
        return model

    monkeypatch.setattr("liteft.triton.ragged.ragged_model", spoilt)
    with pytest.raises(VerificationError, match="logits with the library are not those of the artifact"):
        liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny")
    assert not (tmp_path / "out").exists()


def test_the_gate_finds_a_graph_whose_definition_computes_otherwise(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = artifact_of(workshop, tmp_path)

    def spoilt(given: Artifact) -> onnx.ModelProto:
        model = ragged_model(given)
        (node,) = (each for each in model.functions[0].node if each.name == "ragged.places")
        node.input[0], node.input[1] = node.input[0], node.input[2]  # every token is the first one
        return model

    monkeypatch.setattr("liteft.triton.ragged.ragged_model", spoilt)
    with pytest.raises(VerificationError, match="without the library, the graph's logits"):
        liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny")


def test_a_library_without_the_operator_is_not_taken_for_one(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = artifact_of(workshop, tmp_path)
    run = gate._run
    monkeypatch.setattr(gate, "_run", lambda graph, batches, _: run(graph, batches, None))
    with pytest.raises(DeviceError, match="does not have the operator RaggedEncoderClassifier"):
        liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny")


@pytest.mark.parametrize(
    ("output", "change", "words"),
    [
        ("score", lambda array: array + 0.01, "the graph's scores"),
        ("label", lambda array: np.roll(array, 1), "the graph's labels"),
        ("chosen", lambda array: ~array, "the labels that the graph chooses"),
    ],
)
def test_the_gate_finds_outputs_that_do_not_follow_from_the_logits(
    output: str, change: Any, words: str, workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = artifact_of(workshop, tmp_path, task="multi_label")
    run = gate._run
    monkeypatch.setattr(gate, "_run", lambda *given: (found := run(*given)) | {output: change(found[output])})
    with pytest.raises(VerificationError, match=words):
        liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), name="tiny")


# Where there can be none


def test_flat_graphs_and_tasks_of_words_become_one_python_model(workshop: Any, tmp_path: Path) -> None:
    said: list[str] = []
    flat = artifact_of(workshop, tmp_path / "flat", flat=True)
    made = liteft.export_triton(flat, tmp_path / "a", verify=split_of(flat), progress=said.append)
    assert made.kind == "python" and "its graph is flat" in said[0]
    with pytest.raises(ConfigError, match=r"cannot be an ensemble in Triton: its graph is flat") as caught:
        liteft.export_triton(flat, tmp_path / "b", verify=split_of(flat), kind="ensemble")
    assert caught.value.accepted == {"kind": "python"}
    words = artifact_of(workshop, tmp_path / "words", pooling="none", task="tokens")
    with pytest.raises(ConfigError, match="made of several rows of logits"):
        liteft.export_triton(words, tmp_path / "b", verify=split_of(words), kind="ensemble")


def test_a_library_of_another_system_makes_no_ensemble(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = artifact_of(workshop, tmp_path)
    monkeypatch.setattr("liteft.triton.ensemble.sys.platform", "darwin")
    assert liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact)).kind == "python"


def test_without_onnx_the_error_names_the_extra(workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    artifact = artifact_of(workshop, tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "liteft.triton.ragged", raising=False)
    with pytest.raises(MissingExtraError, match="written with onnx"):
        liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), kind="ensemble")
    assert liteft.export_triton(artifact, tmp_path / "out", verify=split_of(artifact), kind="python").kind == "python"


def test_an_export_for_triton_makes_the_ensemble_by_default(workshop: Any, native: Path, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert")
    loose = Limits(agreement=0.8, accuracy_drop=0.2)
    artifact = liteft.export(folder, tmp_path / "out", target="triton", verify=split, limits=loose)
    requests = [{"text": strings(*split.texts[:9])}, {"text": strings(*split.texts[9:20])}]
    found = joined(Ensemble(artifact.path / "triton", "out", native).run(requests))
    with liteft.load(artifact, backend="native") as classifier:
        assert found["logits"].tobytes() == classifier.logits(split.texts[:20]).tobytes()
