"""The target edge: an artifact that is laid out for transformers.js, with the operators that phones need."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from transformers import AutoConfig, AutoTokenizer

import liteft
from liteft import files
from liteft.artifact import Artifact, read_artifact
from liteft.errors import ArtifactError, ConfigError, ModelError
from liteft.exporting import Limits, edge, export

LOOSE = Limits(agreement=0.8, accuracy_drop=0.2)  # tiny random models decide by hairs
BESIDE = {"card.md", "config.json", "manifest.json", "tokenizer.json", "required_operators.config"}
BESIDE |= {"tokenizer_config.json"}


@pytest.fixture(scope="module")
def learned(workshop: Any) -> Any:
    """A BERT's folder, and texts that it gets right."""
    return workshop.learned("bert")


@pytest.fixture(scope="module")
def artifact(learned: Any, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """It in int8, for the edge. Read it only."""
    folder, split = learned
    out = tmp_path_factory.mktemp("edge") / "out"
    return export(folder, out, precision="int8", target="edge", verify=split, limits=LOOSE)


def stored(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("precision", "graph"),
    [("int8", "onnx/model_quantized.onnx"), ("fp16", "onnx/model_fp16.onnx"), ("fp32", "onnx/model.onnx")],
)
def test_the_graph_lies_where_transformers_js_looks_for_its_precision_and_nothing_twice(
    learned: Any, tmp_path: Path, precision: Any, graph: str
) -> None:
    folder, split = learned
    made = export(folder, tmp_path / "out", precision=precision, target="edge", verify=split, limits=LOOSE)
    assert stored(made.path) == BESIDE | {graph}
    assert made.manifest.graph_file == graph and made.model_path == made.path / graph
    assert set(made.manifest.files) == stored(made.path) - {"manifest.json"}


def test_it_loads_as_any_artifact_and_answers_as_the_flat_one_does(
    artifact: Artifact, learned: Any, tmp_path: Path
) -> None:
    folder, split = learned
    flat = export(folder, tmp_path / "flat", precision="int8", flat=True, verify=split, limits=LOOSE)
    assert not artifact.manifest.one_node
    assert artifact.model_path.read_bytes() == flat.model_path.read_bytes()
    with liteft.load(artifact.path) as classifier, liteft.load(flat.path) as other:
        np.testing.assert_array_equal(classifier.logits(split.texts), other.logits(split.texts))


def test_transformers_reads_its_tokenizer_and_configuration(artifact: Artifact, learned: Any) -> None:
    texts = learned[1].texts[:20]
    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    ours = artifact.tokenizer().encode(texts)
    assert tokenizer(texts, truncation=True)["input_ids"] == [text.ids.tolist() for text in ours]
    assert list(AutoConfig.from_pretrained(artifact.path).id2label.values()) == list(artifact.manifest.labels)


def test_a_changed_graph_and_a_missing_one_are_found(artifact: Artifact, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact.path, tmp_path / "copy")
    graph = copy / artifact.manifest.graph_file
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=r"model_quantized\.onnx was changed"):
        liteft.load(copy)
    graph.unlink()
    with pytest.raises(ArtifactError, match=r"lacks onnx/model_quantized\.onnx"):
        liteft.load(copy)


def test_a_manifest_may_not_name_a_file_as_its_graph(artifact: Artifact, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact.path, tmp_path / "copy")
    files.write_json(copy / "manifest.json", files.read_json(copy / "manifest.json") | {"graph_file": "../model.onnx"})
    with pytest.raises(ArtifactError, match="graph_file"):
        read_artifact(copy)


# The operators


def operators(path: Path) -> dict[tuple[str, str], set[str]]:
    lines = [line.split(";") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {(domain, version): set(names.split(",")) for domain, version, names in lines}


def test_the_operators_are_those_that_the_tool_of_onnxruntime_lists(artifact: Artifact, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "onnxruntime.tools.convert_onnx_models_to_ort", "--optimization_style", "Fixed"]
    command += ["--output_dir", str(tmp_path), str(artifact.model_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (listed,) = tmp_path.glob("*.config")
    assert operators(artifact.path / "required_operators.config") == operators(listed)


def test_the_operators_cover_the_graph_as_it_runs(artifact: Artifact, optimized: Any) -> None:
    listed = set().union(*operators(artifact.path / "required_operators.config").values())
    nodes = {node.op_type for node in optimized(onnx.load(artifact.model_path)).graph.node}
    assert "MatMulInteger" in nodes and nodes <= listed


def test_the_list_names_the_graph_and_nothing_of_this_machine(artifact: Artifact) -> None:
    head = (artifact.path / "required_operators.config").read_text().splitlines()[0]
    assert head == "# Generated from model_quantized.onnx"
    assert "/tmp" not in (artifact.path / "required_operators.config").read_text()


def test_a_graph_that_cannot_be_converted_is_an_error_and_leaves_nothing(
    learned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime.tools import convert_onnx_models_to_ort as tool

    def failing(*_given: Any, **_rest: Any) -> None:
        raise RuntimeError("no such kernel\nand more")

    monkeypatch.setattr(tool, "convert_onnx_models_to_ort", failing)
    with pytest.raises(ModelError, match="cannot convert the graph for phones: no such kernel"):
        export(learned[0], tmp_path / "out", precision="fp32", target="edge", verify=learned[1])
    assert not (tmp_path / "out").exists()


def test_the_tool_says_nothing_on_stdout(artifact: Artifact, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edge.write_operators(artifact.model_path, tmp_path / "list")
    assert capfd.readouterr().out == ""


def test_a_traced_graph_has_its_operators_too(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("gpt2", "last", n_layer=1)
    made = export(folder, tmp_path / "out", precision="fp32", target="edge", verify=split)
    assert made.manifest.graph == "traced" and made.manifest.graph_file == "onnx/model.onnx"
    assert operators(made.path / "required_operators.config")


# Asking for it


def test_an_unknown_target_names_the_known_one(learned: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="target 'edgy' is unknown") as caught:
        export(learned[0], tmp_path / "out", precision="fp32", target="edgy", verify=learned[1])  # type: ignore[arg-type]
    assert [hint.command for hint in caught.value.fix] == ["--target edge"]  # type: ignore[union-attr]


def test_the_card_says_how_to_use_it_in_a_browser(artifact: Artifact, learned: Any, tmp_path: Path) -> None:
    card = (artifact.path / "card.md").read_text()
    assert 'await pipeline("text-classification", "FOLDER", { dtype: "q8" })' in card
    assert "onnx/model_quantized.onnx |" in card and f"more than {artifact.manifest.max_tokens} tokens" in card
    plain = export(learned[0], tmp_path / "plain", precision="fp32", verify=learned[1])
    assert "transformers.js" not in (plain.path / "card.md").read_text()
    assert plain.manifest.graph_file == "model.onnx" and json.loads((plain.path / "manifest.json").read_text())
