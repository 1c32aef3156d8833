"""Running an artifact: numpy, tokenizers and onnxruntime, nothing of what trained it.

`classifier` is what callers hold; below it `inputs` judges values, `clipping` tokenizes, `batching` plans,
`backends` chooses what computes, `onnx_engine` computes and `prediction` answers. `bulk` classifies files.
onnxruntime is imported when an artifact is loaded, not here.
"""

from liteft.runtime.classifier import Classifier, load
from liteft.runtime.counters import Stats
from liteft.runtime.prediction import Prediction

__all__ = ["Classifier", "Prediction", "Stats", "load"]
