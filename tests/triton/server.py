"""As much of a Triton server as a repository's models need: it reads config.pbtxt and holds them to it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.triton import backend_utils

DTYPES = {
    "TYPE_STRING": np.dtype(object),
    "TYPE_FP32": np.dtype(np.float32),
    "TYPE_BOOL": np.dtype(np.bool_),
    "TYPE_INT32": np.dtype(np.int32),
    "TYPE_INT64": np.dtype(np.int64),
}
Arrays = Mapping[str, np.ndarray]


def model_config_pb2() -> ModuleType:
    """Return Triton's messages, which tritonclient's wheel has; its own import would need grpcio."""
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("Triton's model_config.proto is in the wheel of tritonclient, which is not installed")
    name = "tests_model_config_pb2"
    if name not in sys.modules:
        path = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def read_config(folder: Path) -> Any:
    """Return the ModelConfig of a model's folder, as Triton parses it: an unknown field is an error."""
    from google.protobuf import text_format

    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2().ModelConfig())


def type_name(number: int) -> str:
    """Return Triton's name of a type."""
    return str(model_config_pb2().DataType.Name(number))


def check_shapes(tensors: Sequence[Any], arrays: Arrays, most: int) -> int:
    """Check arrays against the tensors of a configuration and return how many texts they have."""
    counts = set()
    for tensor in tensors:
        array = arrays[tensor.name]
        assert array.dtype == DTYPES[type_name(tensor.data_type)], (tensor.name, array.dtype)
        assert array.ndim == 1 + len(tensor.dims), (tensor.name, array.shape)
        assert all(asked in (-1, given) for asked, given in zip(tensor.dims, array.shape[1:], strict=True)), tensor.name
        counts.add(array.shape[0])
    (count,) = counts
    assert 1 <= count <= most
    return count


class PythonBackend:
    """A model of the Python backend, loaded as Triton loads it and run on batches of requests."""

    def __init__(self, folder: Path) -> None:
        from google.protobuf import json_format

        self.config = read_config(folder)
        assert self.config.backend == "python" and self.config.name == folder.name
        sys.modules["triton_python_backend_utils"] = backend_utils
        try:
            spec = importlib.util.spec_from_file_location(f"model_of_{folder.name}", folder / "1" / "model.py")
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            self.model = module.TritonPythonModel()
            self.model.initialize(
                {
                    "model_name": folder.name,
                    "model_version": "1",
                    "model_repository": str(folder),
                    "model_instance_kind": "CPU",
                    "model_instance_device_id": "0",
                    "model_config": json_format.MessageToJson(self.config, preserving_proto_field_name=True),
                }
            )
        finally:
            del sys.modules["triton_python_backend_utils"]

    def run(self, requests: Sequence[Arrays], asked: Sequence[str] | None = None) -> list[dict[str, np.ndarray] | str]:
        """Return for each request its outputs, checked against the configuration, or the text of its error."""
        names = [each.name for each in self.config.output] if asked is None else list(asked)
        made = []
        for request in requests:
            check_shapes(self.config.input, request, self.config.max_batch_size)
            tensors = [backend_utils.Tensor(name, array) for name, array in request.items()]
            made.append(backend_utils.InferenceRequest(tensors, names))
        responses = self.model.execute(made)
        assert len(responses) == len(made)
        return [self._read(response, request, names) for response, request in zip(responses, requests, strict=True)]

    def _read(self, response: Any, request: Arrays, names: list[str]) -> dict[str, np.ndarray] | str:
        if response.has_error():
            return str(response.error().message())
        arrays = {each.name(): each.as_numpy() for each in response.output_tensors()}
        assert list(arrays) == [each.name for each in self.config.output if each.name in names]
        declared = [each for each in self.config.output if each.name in names]
        assert check_shapes(declared, arrays, self.config.max_batch_size) == len(next(iter(request.values())))
        return arrays


def strings(*texts: str | bytes) -> np.ndarray:
    """Return texts as a client sends them: bytes, object (texts, 1)."""
    column = np.empty((len(texts), 1), dtype=object)
    column[:, 0] = [text.encode() if isinstance(text, str) else text for text in texts]
    return column


def texts_of(array: np.ndarray) -> list[str]:
    """Return a column of bytes as texts."""
    return [value.decode() for value in array[:, 0]]
