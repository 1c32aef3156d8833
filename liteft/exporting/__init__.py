"""From a trained classifier to a verified ONNX artifact.

`weights` reads a model into neutral arrays, `graph` writes them as ONNX in the storage that `precision`
describes, `wrapping` makes one node of that with its definition beside it, `traced` and `rewriting` write
graphs of architectures that cannot be built; `blueprint` is all of these as one. `quantization` says what of int8 a
graph has, and `calibration` finds the ranges of the static kind. `verify` compares what was written with the model;
where int8 fails, `sensitivity` ranks its products and `recovery` falls back to float. `card` describes the artifact,
`tables` stores embeddings, and `exporter` has the verb.
"""

from liteft.exporting.exporter import export
from liteft.exporting.limits import Limits
from liteft.exporting.replacing import refuse_another, trimming_of

__all__ = [
    "Limits",
    "export",
    "refuse_another",
    "trimming_of",
]
