"""What the models in Triton's Python backend share: requests in, one computation for all of them, responses out.

Triton hands over what it batched, as a list of requests, and takes a list of as many responses. A text's result does
not depend on the texts beside it, so all texts of all requests are computed together. Where one text is refused, each
request is computed alone, and only those with a refused text fail.

``triton_python_backend_utils`` is only there inside Triton, so it is imported when the model starts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liteft.errors import ConfigError, InputError, LiteftError
from liteft.triton.tensors import DTYPES, Tensor

__all__ = ["PythonModel", "column", "utf8"]


class PythonModel:
    """A model of the Python backend; a subclass says how values are computed, and model.py where its folder is.

    Attributes:
        folder: where model.py is, and ``artifact`` beside it.
        inputs, outputs: the tensors.
    """

    folder: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def initialize(self, args: dict[str, str]) -> None:
        """Open the artifact beside model.py, once, before the first request.

        Args:
            args: from Triton; ``model_config`` is the configuration as JSON, whose parameter "threads" is read.

        Raises:
            LiteftError: the artifact cannot be used, or was changed; Triton then says so and does not load the model.
        """
        import triton_python_backend_utils

        self._utils = triton_python_backend_utils
        parameters = json.loads(args["model_config"]).get("parameters") or {}
        self.open(_threads(parameters.get("threads", {}).get("string_value", "")))

    def open(self, threads: int | None) -> None:
        """Open the artifact, and say what the tensors are."""
        raise NotImplementedError

    def compute(self, values: list[tuple[Any, ...]]) -> Any:
        """Return the results of texts.

        Args:
            values: of each text the values of the inputs, in their order: strings and integers.

        Raises:
            LiteftError: a text is refused, or the engine failed.
        """
        raise NotImplementedError

    def arrays(self, computed: Any, start: int, stop: int) -> dict[str, np.ndarray]:
        """Return the outputs of some texts by name, with a leading axis of texts.

        Args:
            computed: from ``compute``.
            start, stop: the first of the texts, and the one behind the last.
        """
        raise NotImplementedError

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return a response for each of Triton's requests, in order; one with an error where a text is refused."""
        values = [self._values(request) for request in requests]
        sound = [value for each in values if not isinstance(each, LiteftError) for value in each]
        try:
            computed = self.compute(sound) if sound else None
        except LiteftError:
            return [self._alone(request, each) for request, each in zip(requests, values, strict=True)]
        responses, start = [], 0
        for request, each in zip(requests, values, strict=True):
            if isinstance(each, LiteftError):
                responses.append(self._refused(each))
                continue
            responses.append(self._response(request, self.arrays(computed, start, start + len(each))))
            start += len(each)
        return responses

    def finalize(self) -> None:
        """Release what ``open`` opened, when Triton unloads the model."""

    def _alone(self, request: Any, values: list[tuple[Any, ...]] | LiteftError) -> Any:
        if isinstance(values, LiteftError):
            return self._refused(values)
        try:
            return self._response(request, self.arrays(self.compute(values), 0, len(values)))
        except LiteftError as error:
            return self._refused(error)

    def _values(self, request: Any) -> list[tuple[Any, ...]] | LiteftError:
        """Return the values of a request's texts, or why they cannot be read."""
        try:
            columns = [self._column(request, tensor) for tensor in self.inputs]
        except InputError as error:
            return error
        return list(zip(*columns, strict=True))

    def _column(self, request: Any, tensor: Tensor) -> list[Any]:
        found = self._utils.get_input_tensor_by_name(request, tensor.name)
        if found is None:
            raise InputError(
                f"the request has no input {tensor.name!r}.",
                accepted={"inputs": ", ".join(each.name for each in self.inputs)},
                fix=f"send {tensor.name} as {tensor.data_type}, (texts, 1)",
            )
        values = found.as_numpy().reshape(-1).tolist()
        return [_text(value, tensor.name) for value in values] if tensor.data_type == "TYPE_STRING" else values

    def _response(self, request: Any, arrays: dict[str, np.ndarray]) -> Any:
        asked = set(request.requested_output_names())
        tensors = [
            self._utils.Tensor(each.name, arrays[each.name].astype(DTYPES[each.data_type], copy=False))
            for each in self.outputs
            if each.name in asked
        ]
        return self._utils.InferenceResponse(output_tensors=tensors)

    def _refused(self, error: LiteftError) -> Any:
        codes = self._utils.TritonError
        code = codes.INVALID_ARG if isinstance(error, InputError) else codes.INTERNAL
        return self._utils.InferenceResponse(output_tensors=[], error=codes(str(error), code))


def utf8(texts: Sequence[str]) -> np.ndarray:
    """Return texts as a column of bytes: object (texts, 1)."""
    column = np.empty((len(texts), 1), dtype=object)
    column[:, 0] = [text.encode() for text in texts]
    return column


def _text(value: Any, name: str) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise InputError(
            f"a text of {name!r} is not UTF-8: {error.reason}, at byte {error.start:,}.", fix="encode it as UTF-8"
        ) from None


def _threads(value: str) -> int | None:
    if not value:
        return None
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ConfigError(
            f"the model's parameter threads is {value!r}.",
            accepted={"threads": "a positive integer, or nothing for those of the environment"},
            fix='parameters { key: "threads" value { string_value: "4" } }',
        )
    return int(value)


def column(values: Sequence[Any], dtype: Any) -> np.ndarray:
    """Return values as a column: (texts, 1)."""
    return np.array(values, dtype=dtype).reshape(-1, 1)
