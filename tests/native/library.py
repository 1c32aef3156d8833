"""libliteft through its C API, for the tests: ctypes structures, and a classifier made from neutral weights."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liteft.encoder.operator import token_inputs
from liteft.encoder.spec import ACTIVATIONS, HEADS, POOLINGS
from liteft.exporting.builder import GraphBuilder
from liteft.exporting.graph import emit_classifier
from liteft.exporting.weights import EncoderWeights

PRECISIONS = {"fp32": 0, "bf16": 1, "int8": 2}
TYPES = {"<f4": 0, "<f2": 1, "|i1": 2}
_SIZES = ("layers", "heads", "width", "inner", "embedding", "vocabulary", "positions", "types", "labels")


class Shape(ctypes.Structure):
    """liteft_shape."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in (*_SIZES, "pooling", "head", "activation", "position_padding_id")),
        ("epsilon", ctypes.c_float),
    ]


class Weight(ctypes.Structure):
    """liteft_weight."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("values", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("type", "rows", "columns")),
    ]


class Batch(ctypes.Structure):
    """liteft_batch."""

    _fields_ = [
        ("texts", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("ids", "types", "positions", "offsets", "key_mask")),
    ]


def stored_tensors(weights: EncoderWeights, *, int8: bool) -> dict[str, np.ndarray]:
    """Return two-dimensional arrays as an ONNX file holds them: products stacked, matrices (inputs, outputs)."""
    builder = GraphBuilder()
    emit_classifier(builder, weights, *token_inputs(weights.spec), precision="int8" if int8 else "fp32")
    return {name: np.ascontiguousarray(np.atleast_2d(array)) for name, array in builder.weights.items()}


def open_library(path: Path) -> ctypes.CDLL:
    """Load the library and declare what its functions return."""
    library = ctypes.CDLL(str(path))
    library.liteft_last_error.restype = ctypes.c_char_p
    library.liteft_instructions.restype = ctypes.c_char_p
    library.liteft_destroy.argtypes = [ctypes.c_void_p]
    library.liteft_counters.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    return library


class NativeClassifier:
    """A classifier in the library.

    Args:
        library: from ``open_library``.
        weights: as the exporter reads them; they are handed over as it would store them.
        precision: "fp32", "bf16" or "int8".
        threads: of the classifier.
        instructions: "avx512", "avx2", "portable", or "" for the best.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        weights: EncoderWeights,
        *,
        precision: str = "fp32",
        threads: int = 1,
        instructions: str = "",
    ) -> None:
        self.library, self.spec = library, weights.spec
        spec = weights.spec
        shape = Shape(
            spec.layers,
            spec.heads,
            spec.width,
            spec.inner_width,
            spec.embedding_width,
            spec.vocabulary,
            spec.positions,
            spec.token_types,
            spec.labels,
            POOLINGS.index(spec.pooling),
            HEADS.index(spec.head),
            ACTIVATIONS.index(spec.activation),
            spec.position_padding_id,
            spec.epsilon,
        )
        stored = stored_tensors(weights, int8=precision == "int8")
        described = (Weight * len(stored))()
        for place, (name, array) in enumerate(stored.items()):
            described[place] = Weight(name.encode(), array.ctypes.data, TYPES[array.dtype.str], *array.shape)
        self.handle = ctypes.c_void_p()
        self.check(
            library.liteft_create(
                ctypes.byref(shape),
                described,
                len(described),
                PRECISIONS[precision],
                threads,
                instructions.encode(),
                ctypes.byref(self.handle),
            )
        )

    def run(
        self,
        ids: Sequence[Sequence[int]],
        *,
        types: Sequence[Sequence[int]] | None = None,
        positions: Sequence[Sequence[int]] | None = None,
        key_mask: Sequence[Sequence[int]] | None = None,
    ) -> np.ndarray:
        """Return logits of texts without padding: float32 (texts, labels) or, without pooling, (tokens, labels)."""
        offsets = np.cumsum([0, *(len(text) for text in ids)], dtype=np.int32)
        flat = [
            None if values is None else np.concatenate([np.asarray(text, dtype=kind) for text in values])
            for values, kind in ((ids, np.int32), (types, np.int32), (positions, np.int32), (key_mask, np.uint8))
        ]
        places = [None if array is None else array.ctypes.data for array in flat]
        batch = Batch(len(ids), *places[:3], offsets.ctypes.data, places[3])
        rows = int(offsets[-1]) if self.spec.per_token else len(ids)
        logits = np.full((rows, self.spec.labels), np.nan, dtype=np.float32)
        self.check(self.library.liteft_run(self.handle, ctypes.byref(batch), logits.ctypes.data_as(ctypes.c_void_p)))
        return logits

    def rows(self) -> int:
        """Return how many rows went through the layers so far."""
        calls, rows = ctypes.c_uint64(), ctypes.c_uint64()
        self.library.liteft_counters(self.handle, ctypes.byref(calls), ctypes.byref(rows))
        return rows.value

    def close(self) -> None:
        """Free the classifier."""
        self.library.liteft_destroy(self.handle)

    def check(self, status: int) -> None:
        """Raise ValueError with the library's words where a call failed."""
        if status:
            raise ValueError(self.library.liteft_last_error().decode())
