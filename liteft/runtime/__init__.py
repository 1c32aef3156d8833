"""Running an artifact with numpy, tokenizers, and the native library or onnxruntime; no training packages.

`classifier` is what callers use; it stands on `texts` and `opened`, which holds the engine, and on `streaming`.
`inputs` checks values, `scoring` tokenizes, `batching` plans batches, `backends` chooses the engine, `native_engine` or
`onnx_engine` computes, and `prediction` turns logits into answers; `scorer` is for models of scores, `tokens`,
`word_texts` and `tagged` are the counterparts for models of words, and `answers` and `answered` for models of
questions. The native engine opens its library with
`native_library` and reads the graph with `encoder_file` and `protobuf`. `bulk` classifies files: it reads them with
`data.rows`, `scored_rows` adds the predictions, `row_formats` and `parts` write. onnxruntime is imported when an
artifact that needs it is loaded, `bulk` on the first use of ``predict_file``, and what is for models of words,
questions or scores with the first of them; none of these is imported here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from liteft.runtime.classifier import Classifier, load
from liteft.runtime.counters import EngineCounters, Stats
from liteft.runtime.native_library import custom_ops_library
from liteft.runtime.prediction import Prediction

if TYPE_CHECKING:
    from liteft.runtime.answered import Alternative, Answer
    from liteft.runtime.answers import AnswerClassifier
    from liteft.runtime.bulk import Classified, Progress, predict_file
    from liteft.runtime.scorer import Ranked, Score, Scorer
    from liteft.runtime.tagged import Span, TaggedText
    from liteft.runtime.tokens import TokenClassifier

__all__ = [
    "Alternative",
    "Answer",
    "AnswerClassifier",
    "Classified",
    "Classifier",
    "EngineCounters",
    "Prediction",
    "Progress",
    "Ranked",
    "Score",
    "Scorer",
    "Span",
    "Stats",
    "TaggedText",
    "TokenClassifier",
    "custom_ops_library",
    "load",
    "predict_file",
]


_LATER = {
    "answered": ("Alternative", "Answer"),
    "answers": ("AnswerClassifier",),
    "bulk": ("Classified", "Progress", "predict_file"),
    "scorer": ("Ranked", "Score", "Scorer"),
    "tagged": ("Span", "TaggedText"),
    "tokens": ("TokenClassifier",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
