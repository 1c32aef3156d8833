"""A stub of triton_python_backend_utils, which is only there inside Triton: what the models use of it, as it behaves.

Written after the documentation of Triton's Python backend. A tensor of strings is bytes in an array of objects once it
has been sent; any other type must be one that Triton has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_TYPES = ("?", "b", "h", "i", "l", "B", "H", "I", "L", "e", "f", "d")


class TritonModelException(Exception):
    """What Triton's own module raises."""


class Tensor:
    """A tensor with a name."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        if not isinstance(array, np.ndarray):
            raise TritonModelException(f"a tensor is made of an array, and this is a {type(array).__name__}")
        if array.dtype == object:
            sent = np.empty(array.shape, dtype=object)
            for place, value in np.ndenumerate(array):
                sent[place] = value if isinstance(value, bytes) else str(value).encode()
            array = sent
        elif array.dtype.char not in _TYPES:
            raise TritonModelException(f"Triton has no type for {array.dtype}")
        self._name, self._array = name, array

    def name(self) -> str:
        """Return the name."""
        return self._name

    def as_numpy(self) -> np.ndarray:
        """Return the values."""
        return self._array


class TritonError:
    """Why a request failed."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message, self._code = message, code

    def message(self) -> str:
        """Return the text."""
        return self._message

    def code(self) -> int:
        """Return the kind."""
        return self._code


class InferenceRequest:
    """What a client asked."""

    def __init__(self, inputs: Sequence[Tensor], requested_output_names: Sequence[str]) -> None:
        self._inputs, self._asked = list(inputs), list(requested_output_names)

    def inputs(self) -> list[Tensor]:
        """Return the tensors."""
        return self._inputs

    def requested_output_names(self) -> list[str]:
        """Return the names of the outputs that are wanted."""
        return self._asked


class InferenceResponse:
    """What a client gets: tensors, or an error."""

    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self) -> list[Tensor]:
        """Return the tensors."""
        return self._tensors

    def has_error(self) -> bool:
        """Return whether it is an error."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """Return the error."""
        return self._error


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    """Return the tensor of this name; None if the request has none."""
    return next((each for each in request.inputs() if each.name() == name), None)
