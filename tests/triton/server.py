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


class OnnxBackend:
    """A model of the ONNX Runtime backend: its inputs are joined, and its outputs split, as that backend does it.

    A ragged input of all requests is one axis; any other is joined along the texts. Outputs are split by the texts of
    each request. What the backend checks when it loads a model is checked, too.
    """

    def __init__(self, folder: Path, library: Path | None) -> None:
        import onnxruntime

        from liteft.runtime.onnx_engine import session_options

        self.config = read_config(folder)
        assert self.config.backend == "onnxruntime" and self.config.name == folder.name
        options = session_options()
        options.intra_op_num_threads = 1
        if library is not None:
            options.register_custom_ops_library(str(library))
        file = str(folder / "1" / "model.onnx")
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        ragged = {each.name for each in self.config.input if each.allow_ragged_batch}
        self._check(self.config.input, self.session.get_inputs(), ragged)
        self._check(self.config.output, self.session.get_outputs(), set())

    def run(self, requests: Sequence[Arrays]) -> list[dict[str, np.ndarray]]:
        """Return the outputs of each request."""
        counts = [check_shapes(self.config.input, each, self.config.max_batch_size) for each in requests]
        assert sum(counts) <= self.config.max_batch_size
        feed = {}
        for tensor in self.config.input:
            parts = [each[tensor.name] for each in requests]
            alike = len({part.shape[1:] for part in parts}) == 1
            assert alike or tensor.allow_ragged_batch, "the dynamic batcher would not join these"
            feed[tensor.name] = np.concatenate(
                [part.reshape(-1) for part in parts] if tensor.allow_ragged_batch else parts
            )
        names = [each.name for each in self.config.output]
        found = dict(zip(names, self.session.run(names, feed), strict=True))
        for name, array in found.items():
            if array.dtype == object:  # onnxruntime gives str, and Triton sends bytes
                found[name] = np.vectorize(str.encode, otypes=[object])(array)
        assert check_shapes(self.config.output, found, self.config.max_batch_size) == sum(counts)
        ends = np.cumsum(counts)
        return [
            {name: array[end - count : end] for name, array in found.items()}
            for count, end in zip(counts, ends.tolist(), strict=True)
        ]

    def _check(self, tensors: Sequence[Any], values: Sequence[Any], ragged: set[str]) -> None:
        kinds = {"TYPE_INT64": "int64", "TYPE_FP32": "float", "TYPE_STRING": "string", "TYPE_BOOL": "bool"}
        found = {each.name: each for each in values}
        assert found.keys() == {each.name for each in tensors}
        for tensor in tensors:
            value = found[tensor.name]
            assert value.type == f"tensor({kinds[type_name(tensor.data_type)]})"
            shape = [each if isinstance(each, int) else -1 for each in value.shape]
            assert shape == ([-1] if tensor.name in ragged else [-1, *tensor.dims])


class Ensemble:
    """An ensemble with the models of its steps, which run one after the other on batches of requests."""

    def __init__(self, repository: Path, name: str, library: Path | None) -> None:
        self.config = read_config(repository / name)
        assert self.config.platform == "ensemble" and self.config.name == name and (repository / name / "1").is_dir()
        self.models: dict[str, PythonBackend | OnnxBackend] = {}
        for step in self.config.ensemble_scheduling.step:
            folder = repository / step.model_name
            python = read_config(folder).backend == "python"
            self.models[step.model_name] = PythonBackend(folder) if python else OnnxBackend(folder, library)
        self._check()

    def run(self, requests: Sequence[Arrays]) -> list[dict[str, np.ndarray]]:
        """Return the outputs of each request; an error of a step is an assertion."""
        known = [dict(each) for each in requests]
        for step in self.config.ensemble_scheduling.step:
            asked = [{key: each[value] for key, value in step.input_map.items()} for each in known]
            for each, found in zip(known, self.models[step.model_name].run(asked), strict=True):
                assert isinstance(found, dict), found
                each |= {value: found[key] for key, value in step.output_map.items()}
        names = [each.name for each in self.config.output]
        for each in known:
            check_shapes(self.config.output, each, self.config.max_batch_size)
        return [{name: each[name] for name in names} for each in known]

    def _check(self) -> None:
        """Check what Triton checks of an ensemble: every tensor comes from somewhere, in one type and shape."""
        made = {each.name: (each.data_type, tuple(each.dims)) for each in self.config.input}
        for step in self.config.ensemble_scheduling.step:
            config = self.models[step.model_name].config
            assert config.max_batch_size >= self.config.max_batch_size
            taken = {each.name: (each.data_type, tuple(each.dims)) for each in config.input}
            given = {each.name: (each.data_type, tuple(each.dims)) for each in config.output}
            assert set(step.input_map) == set(taken)
            assert all(made[value] == taken[key] for key, value in step.input_map.items())
            made |= {value: given[key] for key, value in step.output_map.items()}
        assert all(made[each.name] == (each.data_type, tuple(each.dims)) for each in self.config.output)
