"""Counting parameters from headers, against what wrote the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from liteft.artifact import Artifact
from liteft.errors import ArtifactError, ModelError
from liteft.exporting import Limits, export
from liteft.report.parameters import onnx_parameters, safetensors_parameters


def test_safetensors_count_every_element_and_no_metadata(tmp_path: Path) -> None:
    tensors = {"a": np.zeros((3, 4), np.float32), "b": np.zeros((5,), np.float16), "c": np.array(1, np.float32)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert safetensors_parameters(tmp_path / "model.safetensors") == 12 + 5 + 1


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, (2).to_bytes(8, "little") + b"[]"])
def test_what_is_no_safetensors_file_is_a_model_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not a readable safetensors"):
        safetensors_parameters(path)


def test_a_missing_file_is_an_error_of_its_kind(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        safetensors_parameters(tmp_path / "none.safetensors")
    with pytest.raises(ArtifactError):
        onnx_parameters(tmp_path / "none.onnx")


def test_onnx_counts_weights_and_neither_indices_nor_scales(tmp_path: Path) -> None:
    tensors = [
        numpy_helper.from_array(np.zeros((3, 4), np.float32), "weight"),
        numpy_helper.from_array(np.zeros((7,), np.int8), "rows"),
        numpy_helper.from_array(np.zeros((7,), np.float32), "rows.scale"),
        numpy_helper.from_array(np.float32(1).reshape(()), "scalar"),
        numpy_helper.from_array(np.zeros((9,), np.int64), "shape"),
        helper.make_tensor("plain", TensorProto.FLOAT, [5], [0.0] * 5),
    ]
    output = helper.make_tensor_value_info("weight", TensorProto.FLOAT, [3, 4])
    model = helper.make_model(helper.make_graph([], "graph", [], [output], tensors))
    onnx.save(model, tmp_path / "model.onnx")
    assert onnx_parameters(tmp_path / "model.onnx") == 12 + 7 + 5


def test_a_truncated_onnx_file_is_an_artifact_error(first: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(first.model_path.read_bytes()[:-50])
    with pytest.raises(ArtifactError, match="is not a readable ONNX file"):
        onnx_parameters(path)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precision_changes_bytes_and_not_the_count(precision: Any, forms: Any, tmp_path: Path) -> None:
    limits = Limits(agreement=0.5, accuracy_drop=0.5)  # tiny random models decide by hairs
    smaller = export(
        forms.folder, tmp_path / "out", precision=precision, verify=forms.dataset.validation, limits=limits
    )
    assert onnx_parameters(smaller.model_path) == onnx_parameters(forms.artifact.model_path)
    assert smaller.model_path.stat().st_size < forms.artifact.model_path.stat().st_size
