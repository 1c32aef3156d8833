"""Exports a trained classifier as a verified ONNX artifact.

Start with `exporter`, which has `export` itself. The other modules, in the order in which an export uses them:

- `origin` finds the model's folder, and `source` checks that LiteFT reads it as transformers does;
- `weights` reads the model into numpy arrays with names that are the same for every family;
- `graph` builds an ONNX graph from these arrays, with `precision` and `tables` for how matrices and embeddings are
  stored, and `wrapping` turns it into a single node with its definition in the same file;
- `traced` and `rewriting` make the graph of an architecture that cannot be built; `blueprint` covers both ways;
- `quantization` says which matmuls are int8, and `calibration` finds the activation ranges of the static scheme;
- `verify` is the gate: it runs what was written and compares it with the model. Where an int8 graph fails,
  `sensitivity` ranks its matmuls and `recovery` falls back to float for the worst ones;
- `folder` and `card` write the rest of the artifact.
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
