"""From a trained classifier to a verified ONNX artifact.

`weights` reads a model into neutral arrays, `graph` writes them as ONNX in the storage that `precision`
describes, `traced` and `rewriting` do the same for architectures without a built graph, `verify` compares
what was written with the model, `card` describes it, and `exporter` holds the verb.
"""

from liteft.exporting.exporter import export
from liteft.exporting.limits import Limits
from liteft.exporting.precision import Precision

__all__ = ["Limits", "Precision", "export"]
