"""What an inspection says of real artifacts and of small graphs made for one question each."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import liteft
from liteft.artifact import Artifact
from liteft.cli import main
from liteft.errors import ArtifactError, ConfigError
from liteft.exporting import export
from liteft.inspection import places
from liteft.inspection.tensors import kind_of
from liteft.runtime.onnx_file import read_model
from tests.patterns import add_pattern


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny classifiers of the exporting tests, which lie in no package."""
    name = "liteft_tests_exporting"
    path = Path(__file__).parent.parent / "exporting" / "conftest.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.Workshop(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def artifacts(workshop: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """One model in five forms; none of them is near a tie."""
    folder, split = workshop.learned("bert", "mean")
    root = tmp_path_factory.mktemp("artifacts")
    return {
        name: export(folder, root / name, verify=split, **settings)
        for name, settings in {
            "int8": {"precision": "int8"},
            "flat": {"precision": "int8", "flat": True},
            "edge": {"precision": "int8", "target": "edge"},
            "fp16": {"precision": "fp16"},
            "fp32": {"precision": "fp32"},
        }.items()
    }


def save(path: Path, nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray], **more: Any) -> Path:
    """Write a model with input x (1, 4) float32 and output y."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9, **more), path)
    return path


WEIGHT = np.ones((4, 4), dtype=np.float32)
CODES = np.ones((4, 4), dtype=np.int8)
SCALE, ZERO, BYTE_ZERO = np.float32(0.1), np.int8(0), np.uint8(128)


@pytest.mark.parametrize("form", ["int8", "flat"])
def test_integer_matmuls_are_counted_inside_of_the_function_too(form: str, artifacts: dict[str, Artifact]) -> None:
    found = liteft.inspect(artifacts[form].path)
    assert found.graph_form == ("flat" if form == "flat" else "function")
    names = [matmul.weight for matmul in found.integer_matmuls]
    parts = ("attention.query_key_value", "attention.output", "feed_forward.inner", "feed_forward.outer")
    assert names == [f"layers.{layer}.{part}.weight" for layer in range(3) for part in parts]
    assert {matmul.dtype for matmul in found.integer_matmuls} == {"int8"}
    rest = {matmul.weight: matmul.form for matmul in found.matmuls if matmul.form != "integer"}
    assert rest == {"classifier.weight": "float", None: "activations"}
    assert "liteft" not in {operator.domain for operator in found.operators}


def test_float_artifacts_have_no_integer_matmuls_and_say_how_they_are_stored(artifacts: dict[str, Artifact]) -> None:
    for form, dtype in (("fp16", "float16"), ("fp32", "float")):
        found = liteft.inspect(artifacts[form].path)
        assert found.integer_matmuls == ()
        assert {matmul.dtype for matmul in found.matmuls if matmul.form == "float"} >= {dtype}


@pytest.mark.parametrize("form", ["int8", "flat", "fp16", "fp32", "edge"])
def test_bytes_by_kind_add_up_to_the_folder(form: str, artifacts: dict[str, Artifact]) -> None:
    artifact = artifacts[form]
    found = liteft.inspect(artifact.path)
    folder = artifact.path
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    assert found.files == sizes
    assert sum(found.kinds.values()) == sum(sizes.values())
    assert found.kinds["tokenizer"] == sizes["tokenizer.json"]
    model = onnx.load(artifact.model_path)
    raw = {tensor.name: len(tensor.raw_data) for tensor in model.graph.initializer}
    assert {tensor.name: tensor.bytes for tensor in found.tensors if tensor.name in raw} == raw
    words = sum(size for name, size in raw.items() if name.startswith("embeddings") and ".norm." not in name)
    assert found.kinds["embeddings"] == words
    assert {"embeddings", "attention", "feed-forward", "norms", "head", "graph"} <= set(found.kinds)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("layers.0.attention.norm.weight", "norms"),
        ("bert.encoder.layer.0.attention.output.LayerNorm.bias", "norms"),
        ("transformer.h.0.ln_1.weight", "norms"),
        ("distilbert.transformer.layer.0.sa_layer_norm.weight", "norms"),
        ("bert.embeddings.word_embeddings.weight", "embeddings"),
        ("transformer.wte.weight", "embeddings"),
        ("bert.encoder.layer.0.attention.self.query.bias", "attention"),
        ("distilbert.transformer.layer.0.attention.q_lin.weight", "attention"),
        ("transformer.h.0.attn.c_attn.weight", "attention"),
        ("bert.encoder.layer.0.intermediate.dense.weight", "feed-forward"),
        ("bert.encoder.layer.0.output.dense.weight", "feed-forward"),
        ("distilbert.transformer.layer.0.ffn.lin1.weight", "feed-forward"),
        ("transformer.h.0.mlp.c_fc.weight", "feed-forward"),
        ("bert.pooler.dense.weight", "head"),
        ("classifier.out_proj.weight", "head"),
        ("score.weight", "head"),
        ("val_12", "rest"),
    ],
)
def test_names_say_what_a_tensor_is_part_of(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_quantized_weights_alone_make_no_integer_matmul(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul"),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"codes": CODES, "scale": SCALE, "zero": ZERO})
    (matmul,) = liteft.inspect(path).matmuls
    assert (matmul.form, matmul.weight, matmul.dtype) == ("integer weights", "codes", "int8")


def test_a_matmul_between_quantizers_is_told_from_an_integer_one(tmp_path: Path) -> None:
    """And onnxruntime, which is asked, makes an integer matmul of it."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "middle"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "middle"], ["d"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["d", "w"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "scale", "middle"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "scale", "middle"], ["y"]),
    ]
    tensors = {"codes": CODES, "scale": SCALE, "zero": ZERO, "middle": BYTE_ZERO}
    found = liteft.inspect(save(tmp_path / "m.onnx", nodes, tensors), trust=True)
    assert [(matmul.form, matmul.weight) for matmul in found.matmuls] == [("quantize-dequantize", "codes")]
    assert found.integer_matmuls == ()
    assert "QLinearMatMul 1" in found.places[0].detail and found.places[0].status == "runs"


def test_matmuls_in_repeated_functions_and_branches_are_found(tmp_path: Path) -> None:
    body = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    function = helper.make_function("own", "Twice", ["a", "b"], ["c"], body, [helper.make_opsetid("", 20)])
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["h", "first"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Twice", ["x", "first"], ["g"], domain="own", name="one"),
        helper.make_node("Twice", ["g", "second"], ["h"], domain="own", name="two"),
        helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch),
    ]
    tensors = {"first": WEIGHT, "second": WEIGHT * 2, "yes": np.array(True)}
    found = liteft.inspect(save(tmp_path / "m.onnx", nodes, tensors, functions=[function]))
    assert [matmul.weight for matmul in found.matmuls] == ["first", "second", "first", "first"]
    assert [matmul.name for matmul in found.matmuls[:2]] == ["one/c", "two/c"]
    assert {operator.name for operator in found.operators} == {"MatMul", "If"}


def test_operators_come_with_the_opsets_that_have_them(artifacts: dict[str, Artifact]) -> None:
    found = liteft.inspect(artifacts["int8"].path)
    by_name = {operator.name: operator for operator in found.operators}
    assert (by_name["MatMulInteger"].first_opset, by_name["MatMulInteger"].opset) == (10, 10)
    assert (by_name["Softmax"].first_opset, by_name["Softmax"].opset) == (1, 13)
    assert (by_name["Gelu"].first_opset, by_name["Gelu"].opset) == (20, 20)
    assert found.opset == found.least_opset == 20
    flat = onnx.load(artifacts["flat"].model_path)
    assert sum(operator.nodes for operator in found.operators) == len(flat.graph.node)


def test_engines_that_are_installed_are_asked(artifacts: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    found = {place.name: place for place in liteft.inspect(artifacts["int8"].path).places}
    assert found["onnxruntime"].status == "runs" and "MatMulInteger 12" in found["onnxruntime"].detail
    flat = {place.name: place for place in liteft.inspect(artifacts["flat"].path).places}
    native = flat["LiteFT's native engine"]
    assert native.status == "does not run" and "not the one node" in native.detail
    monkeypatch.setattr(places, "has_library", lambda: False)
    without = {place.name: place for place in liteft.inspect(artifacts["int8"].path).places}
    assert without["LiteFT's native engine"].status == "not checked"


def test_the_native_engine_runs_an_artifact_where_it_is_built(artifacts: dict[str, Artifact]) -> None:
    if not places.has_library():
        pytest.skip("the native library is not built here")
    found = liteft.inspect(artifacts["fp32"].path).places[1]
    assert (found.name, found.status) == ("LiteFT's native engine", "runs")
    alone = liteft.inspect(artifacts["fp32"].model_path).places[1]
    assert alone.status == "not checked" and "in an artifact" in alone.detail


def test_a_graph_that_onnxruntime_refuses_does_not_run(tmp_path: Path) -> None:
    nodes = [helper.make_node("Strange", ["x"], ["y"], domain="own")]
    found = liteft.inspect(save(tmp_path / "m.onnx", nodes, {}), trust=True)
    statuses = {place.name: place.status for place in found.places if place.name != "OpenVINO"}
    assert set(statuses.values()) == {"does not run"}
    (operator,) = found.operators
    assert (operator.domain, operator.first_opset, operator.opset) == ("own", None, None)
    assert "own.Strange" in found.places[3].detail and found.least_opset is None


def test_an_engine_is_asked_about_a_file_that_liteft_does_not_write_only_by_who_trusts_it(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Strange", ["x"], ["y"], domain="own")], {})
    found = liteft.inspect(path)
    assert {place.status for place in found.places[:3]} == {"not checked"}
    assert "--trust tests it anyway" in found.places[0].detail


@pytest.mark.skipif(not places.has_library(), reason="the native library is not built")
def test_a_tokenizer_that_is_not_known_to_be_harmless_runs_for_who_trusts_it(workshop: Any, tmp_path: Path) -> None:
    made, split = workshop.learned("bert")
    shutil.copytree(made, tmp_path / "model")
    add_pattern(tmp_path / "model")
    artifact = export(tmp_path / "model", tmp_path / "artifact", precision="fp32", verify=split, trust=True)
    native = {trust: liteft.inspect(artifact.path, trust=trust).places[1] for trust in (False, True)}
    assert native[False].status == "does not run" and "may take exponential time" in native[False].detail
    assert native[True].status == "runs"


class FakeCore:
    """OpenVINO, as much of it as is asked, that knows standard nodes only."""

    def read_model(self, path: Path) -> onnx.ModelProto:
        model = onnx.load(path)
        if model.functions:
            raise RuntimeError("Exception from core.cpp\nSummary:\n-- No conversion rule: liteft.EncoderClassifier\n\n")
        return model

    def compile_model(self, model: onnx.ModelProto, device: str) -> Any:
        assert device == "CPU"

        class Compiled:
            def __init__(self) -> None:
                self.inputs = [
                    SimpleNamespace(get_any_name=lambda value=value: value.name, get_element_type=lambda: "i64")
                    for value in model.graph.input
                ]

            def __call__(self, feeds: dict[str, np.ndarray]) -> None:
                assert set(feeds) == {value.name for value in model.graph.input}
                assert all(array.dtype == np.int64 and array.shape == (1, 2) for array in feeds.values())

        return Compiled()


def test_openvino_is_asked_where_it_is_installed(
    artifacts: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("openvino") is None:
        place = liteft.inspect(artifacts["flat"].path).places[2]
        assert (place.status, place.how) == ("not checked", "not installed")
    module = ModuleType("openvino")
    module.Core, module.__version__ = FakeCore, "2026.4.1-1"  # type: ignore[attr-defined]
    module.__spec__ = importlib.util.spec_from_loader("openvino", None)
    monkeypatch.setitem(sys.modules, "openvino", module)
    place = liteft.inspect(artifacts["flat"].path).places[2]
    assert (place.status, place.how) == ("runs", "checked here, 2026.4.1 on the CPU")
    place = liteft.inspect(artifacts["int8"].path).places[2]
    assert place.status == "does not run" and place.detail.startswith("No conversion rule: ")
    assert "--flat" in place.detail


def test_documented_engines_name_their_source_and_the_nodes_without_a_gpu_kernel(
    artifacts: dict[str, Artifact],
) -> None:
    mobile, web, gpu = liteft.inspect(artifacts["int8"].path).places[3:]
    assert mobile.status == web.status == gpu.status == "runs"
    assert "opset 20" in mobile.detail and mobile.how.startswith("https://") and web.how.startswith("https://")
    assert "37 nodes" in gpu.detail and gpu.detail.endswith("MatMulInteger, Max, Round") and "webgpu" in gpu.how
    assert liteft.inspect(artifacts["fp32"].path).places[5].detail != gpu.detail


def test_an_onnx_file_alone_is_inspected_and_its_outside_data_count(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    weight = np.ones((4, 400), dtype=np.float32)
    name = "layers.0.feed_forward.w"
    save(path, [helper.make_node("MatMul", ["x", name], ["y"])], {name: weight})
    inside = liteft.inspect(path, trust=True)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.bin", size_threshold=0)
    outside = liteft.inspect(path)
    assert inside.kinds["feed-forward"] == outside.kinds["feed-forward"] == 6400
    assert sum(inside.kinds.values()) == inside.files["m.onnx"]
    assert outside.kinds["graph"] == outside.files["m.onnx"] < 1000
    assert "loaded, but not run" in inside.places[0].detail


def test_packed_and_constant_tensors_are_counted_by_their_bits(tmp_path: Path) -> None:
    packed = helper.make_tensor("packed", TensorProto.INT4, [5, 3], list(range(-7, 8)))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(WEIGHT), name="classifier.constant"),
        helper.make_node("MatMul", ["x", "c"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, {})
    model = onnx.load(path)
    model.graph.initializer.append(packed)
    onnx.save(model, path)
    found = {tensor.name: tensor for tensor in liteft.inspect(path).tensors}
    assert (found["packed"].dtype, found["packed"].bytes) == ("int4", 8)
    assert (found["classifier.constant"].kind, found["classifier.constant"].bytes) == ("head", 64)


def test_weights_that_other_programs_store_as_numbers_are_inspected(tmp_path: Path) -> None:
    large = np.linspace(0, 1, 70_000, dtype=np.float32)
    path = save(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], {"raw": large})
    model = onnx.load(path)
    model.graph.initializer.append(helper.make_tensor("floats", TensorProto.FLOAT, [70_000], large.tolist()))
    model.graph.initializer.append(helper.make_tensor("doubles", TensorProto.DOUBLE, [2], [0.25, 1e300]))
    model.opset_import.append(helper.make_opsetid("ai.onnx", model.opset_import[0].version))
    onnx.save(model, path)
    stored = {tensor.name: tensor.array() for tensor in read_model(path).graph.tensors}
    assert np.array_equal(stored["floats"], stored["raw"]) and stored["doubles"].tolist() == [0.25, 1e300]
    assert {tensor.name for tensor in liteft.inspect(path).tensors} == {"raw", "floats", "doubles"}


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09"])
def test_a_file_that_is_no_model_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is not an ONNX file"):
        liteft.inspect(path)


def test_wrong_folders_are_the_usual_errors(tmp_path: Path, artifacts: dict[str, Artifact]) -> None:
    with pytest.raises(ConfigError, match="path is None"):
        liteft.inspect(None)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="is not a folder"):
        liteft.inspect(tmp_path / "nothing")
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match="a training run, not an artifact"):
        liteft.inspect(tmp_path)


def test_the_verb_prints_a_table_and_plain_data(
    artifacts: dict[str, Artifact], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(artifacts["int8"].path)
    assert main(["inspect", path]) == 0
    short = capsys.readouterr().out
    assert "bytes by kind" in short and "integer matmuls" in short and "smaller tensors not shown" in short
    assert main(["inspect", path, "--all"]) == 0
    whole = capsys.readouterr().out
    assert "layers.2.feed_forward.norm.bias" in whole and "layers.2.feed_forward.norm.bias" not in short
    assert main(["inspect", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["integer_matmuls"] == 12 and document["opset"] == 20
    assert document["bytes"] == sum(document["kinds"].values()) == sum(document["files"].values())
    assert {"name", "status", "detail", "how"} == set(document["places"][0])
    assert main(["inspect", str(tmp_path)]) == 1
    assert "has no manifest.json" in capsys.readouterr().err
