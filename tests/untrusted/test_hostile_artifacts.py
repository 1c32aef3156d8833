"""Folders that are no artifacts, however much they look like one, end in an ArtifactError at once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import liteft
from liteft.artifact import FORMAT, Artifact, read_artifact
from liteft.errors import ArtifactError
from tests.bench.conftest import load_script
from tests.modules import module_of

tiny = module_of("runtime", "tiny.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An artifact's folder to be spoiled."""
    return tiny.write_artifact(tmp_path / "artifact").path


@pytest.fixture
def refused() -> Iterator[Callable[[Path], str]]:
    """A function that loads a folder, sees it refused within seconds, and returns the error's text."""

    def load(path: Path, **settings: Any) -> str:
        start = time.monotonic()
        with pytest.raises(ArtifactError) as caught:
            liteft.load(path, backend="onnxruntime", **settings)
        assert time.monotonic() - start < 5
        assert caught.value.fix, "no hint"
        return str(caught.value)

    yield load


def edit(folder: Path, **fields: Any) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(folder: Path, refused: Callable[[Path], str]) -> None:
    for name in ("tokenizer.json", "model.onnx", "manifest.json"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert "it is a pipe, not a file" in refused(folder)


def test_links_in_a_circle_are_refused(folder: Path, refused: Callable[[Path], str]) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("model.onnx")
    assert "model.onnx cannot be read" in refused(folder)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "a/../../b", "/etc/passwd", "", "a//b", "c:\\x", "d/" * 200 + "f"])
def test_names_that_no_file_of_the_folder_can_have_are_refused(
    folder: Path, refused: Callable[[Path], str], name: str
) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert f"manifest.json does not fit format {FORMAT}: files" in refused(
        edit(folder, files=files | {name: files["card.md"]})
    )


def test_paths_that_no_folder_can_have_are_refused(refused: Callable[[Path], str]) -> None:
    for path in ("a\0b", "x" * 5000):
        assert "is not a folder" in refused(Path(path))


def test_a_sparse_file_is_refused_by_its_size(folder: Path, refused: Callable[[Path], str]) -> None:
    with open(folder / "model.onnx", "wb") as file:
        file.truncate(5 << 30)
    assert "was changed after the export" in refused(folder)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files["model.onnx"]["bytes"] = 5 << 30
    assert "files.model.onnx.bytes" in refused(edit(folder, files=files))


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 1 << 64}, {"max_tokens": 10**40}, {"pad_id": 1 << 31}, {"labels": ["a", "a"]}, {"labels": [1]},
        {"metrics": json.loads("[" * 60 + "]" * 60)}, {"family": "\ud800"}, {"max_tokens": "8"}, {"max_tokens": 8.0},
        {"format": True}, {"files": {}}, {"paired": 1},
    ],
)  # fmt: skip
def test_a_manifest_with_values_of_no_sense_is_refused(
    folder: Path, refused: Callable[[Path], str], fields: dict[str, Any]
) -> None:
    assert "manifest.json" in refused(edit(folder, **fields)) or "format" in fields


def test_a_pointer_of_git_lfs_is_said_to_be_one(folder: Path, refused: Callable[[Path], str]) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 17505065\n"
    (folder / "model.onnx").write_text(pointer)
    message = refused(folder)
    assert "is a git-lfs pointer, not the file itself" in message and "git lfs pull" in message


# --- graphs ---


def spoiled(folder: Path, change: Callable[[onnx.ModelProto], Any]) -> Path:
    """Change the graph and mend the manifest."""
    model = onnx.load(folder / "model.onnx")
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    load_script("fuzz_seeds").mended(folder)
    return folder


def add_function(model: onnx.ModelProto, name: str, calls: list[str]) -> None:
    nodes = [helper.make_node(call, ["x"], [f"y{place}"], domain="own") for place, call in enumerate(calls)]
    nodes.append(helper.make_node("Identity", ["x"], ["y"]))
    model.functions.append(helper.make_function("own", name, ["x"], ["y"], nodes, list(model.opset_import)))


def call(model: onnx.ModelProto, name: str) -> None:
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.insert(0, helper.make_node(name, ["input_ids"], ["called"], domain="own"))


def recursive(model: onnx.ModelProto) -> None:
    add_function(model, "f", ["g"])
    add_function(model, "g", ["f"])
    call(model, "f")


def exploding(model: onnx.ModelProto) -> None:
    for place in range(20):
        add_function(model, f"f{place}", [f"f{place + 1}"] * 4)
    add_function(model, "f20", [])
    call(model, "f0")


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.raw_data, tensor.data_location = b"", TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


def nested(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([helper.make_node("Identity", ["input_ids"], ["deep"])], "g", [], [])
    for _ in range(30):
        branch = helper.make_node("If", ["c"], ["deep"], then_branch=graph)
        graph = helper.make_graph([branch], "g", [], [])
    model.graph.node.insert(0, graph.node[0])


def overflowing(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 62, 4]


def cut(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


ALWAYS = {
    recursive: "a function that calls itself",
    exploding: "functions that expand to more than",
    outside: "in another file, which no hash covers",
    nested: "graphs in graphs too deeply",
    overflowing: "of shape",
    cut: "whose values do not match its shape",
}


@pytest.mark.parametrize("change", ALWAYS, ids=lambda change: change.__name__)
def test_graphs_that_engines_may_not_survive_are_refused_even_to_who_trusts_them(
    folder: Path, refused: Callable[..., str], change: Callable[[onnx.ModelProto], Any]
) -> None:
    assert ALWAYS[change] in refused(spoiled(folder, change))
    assert ALWAYS[change] in refused(folder, trust=True)
    start = time.monotonic()
    with pytest.raises(ArtifactError, match=ALWAYS[change]):
        liteft.inspect(folder)
    assert time.monotonic() - start < 5


def node_of(model: onnx.ModelProto, operator: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == operator)


def unseen_label(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.insert(0, helper.make_node("BiasGelu", ["sum", "sum"], ["other"], domain="com.microsoft"))


def random_operator(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("RandomNormal", [], ["r"], shape=[3]))


def circle(model: onnx.ModelProto) -> None:
    node_of(model, "Mul").input[0] = "logits"


def missing(model: onnx.ModelProto) -> None:
    node_of(model, "Mul").input[0] = "nowhere"


def endless(model: onnx.ModelProto) -> None:
    shape = helper.make_tensor("huge", TensorProto.INT64, [2], np.array([1 << 20, 1 << 20]).tobytes(), raw=True)
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("Expand", ["last", "huge"], ["much"]))


def zero_division(model: onnx.ModelProto) -> None:
    zero = helper.make_tensor("zero", TensorProto.INT64, [], [0])
    model.graph.initializer.append(zero)
    model.graph.node.insert(0, helper.make_node("Div", ["input_ids", "zero"], ["never"]))


def narrow_float(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("b", TensorProto.BFLOAT16, [1], b"\0\0", raw=True))


def lone(model: onnx.ModelProto) -> None:
    model.graph.node[-1].output[0] = "rows"
    model.graph.node.append(helper.make_node("Squeeze", ["rows"], ["logits"]))  # of one text, the axis of texts goes


def misfit(model: onnx.ModelProto) -> None:
    model.graph.initializer[1].dims[:] = reversed(model.graph.initializer[1].dims)


def empty_end(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input.append("")


UNKNOWN = {
    unseen_label: "opsets ai.onnx 20, com.microsoft 1",
    random_operator: "an operator that LiteFT does not write, ai.onnx.RandomNormal",
    circle: "which no earlier node computes",
    missing: "which no earlier node computes",
    endless: "gives (1048576, 1048576)",
    zero_division: "it may divide by zero",
    misfit: "does not fit",
    empty_end: "whose last input is empty",
    lone: "gives logits float32 (4,) for 1 texts",
    narrow_float: "weights of a type that LiteFT does not write",
}


@pytest.mark.parametrize("change", UNKNOWN, ids=lambda change: change.__name__)
def test_graphs_that_liteft_does_not_write_are_refused_with_the_way_to_trust_them(
    folder: Path, refused: Callable[..., str], change: Callable[[onnx.ModelProto], Any]
) -> None:
    message = refused(spoiled(folder, change))
    assert UNKNOWN[change] in message
    assert "try: trust=True" in message


def test_who_trusts_a_graph_gets_it_loaded(folder: Path) -> None:
    spoiled(folder, random_operator)
    with liteft.load(folder, backend="onnxruntime", trust=True) as classifier:
        assert classifier.predict("great").label in classifier.labels


def rename_logits(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "scores"


def whole_logits(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64


def flat_logits(model: onnx.ModelProto) -> None:
    del model.graph.output[0].type.tensor_type.shape.dim[:]


def float_ids(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def fixed_ids(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7


ENDS = [rename_logits, whole_logits, flat_logits, float_ids, fixed_ids]


@pytest.mark.parametrize("change", ENDS, ids=lambda change: change.__name__)
@pytest.mark.parametrize("trust", [False, True])
def test_inputs_and_logits_of_another_name_shape_or_type_are_refused_at_load(
    folder: Path, refused: Callable[..., str], change: Callable[[onnx.ModelProto], Any], trust: bool
) -> None:
    message = refused(spoiled(folder, change), trust=trust)
    assert "has other inputs than its manifest" in message or "has no output logits of shape (texts, 4)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, refused: Callable[..., str], value: float) -> None:
    def change(model: onnx.ModelProto) -> None:
        values = np.frombuffer(model.graph.initializer[0].raw_data, np.float32).copy()
        values[1234] = value
        model.graph.initializer[0].raw_data = values.tobytes()

    message = refused(spoiled(folder, change), trust=True)
    assert "the weight table is not finite everywhere" in message


def test_an_inspection_of_a_sparse_file_does_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    for size, part in ((5 << 30, "2 GB or more"), (1 << 30, "is not an ONNX file")):
        with open(path, "wb") as file:
            file.truncate(size)
        with pytest.raises(ArtifactError, match=part):
            liteft.inspect(path)


def test_an_artifact_is_read_the_same_as_before(folder: Path) -> None:
    assert isinstance(read_artifact(folder), Artifact)
