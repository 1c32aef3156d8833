"""The model that does everything: texts in, and labels, tags, answers or scores out, by ``liteft.load``."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from liteft.runtime import load
from liteft.runtime.prediction import Prediction, activation_of
from liteft.triton.python_model import PythonModel, column, utf8
from liteft.triton.tensors import inputs_of, outputs_of

__all__ = ["TextModel"]


class TextModel(PythonModel):
    """A whole artifact, in the folder ``artifact`` beside model.py, as a model of the Python backend."""

    def open(self, threads: int | None) -> None:
        """Load the artifact; see ``PythonModel``."""
        self.classifier = load(self.folder / "artifact", device="cpu", threads=threads)
        manifest = self.classifier.manifest
        self.inputs, self.outputs = inputs_of(manifest), outputs_of(manifest)

    def compute(self, values: list[tuple[Any, ...]]) -> Any:
        """Return the results: of texts with labels or scores a dict of arrays, else a list; see ``PythonModel``."""
        manifest = self.classifier.manifest
        if manifest.answers is not None:
            return self.classifier.predict(values)
        if manifest.task.per_word:
            return self.classifier.predict(values if manifest.marked else [text for (text,) in values])
        columns = [list(each) for each in zip(*values, strict=True)]
        encoded = self.classifier.encode(*columns)
        logits = self.classifier.run(encoded)
        found = self.classifier.predictions(logits, truncated=encoded.truncated) if not manifest.task.numeric else None
        scores = activation_of(manifest.activation)(logits)
        arrays = {"logits": logits, "truncated": encoded.truncated.reshape(-1, 1)}
        return arrays | ({"score": scores} if found is None else self._labelled(found, scores))

    def arrays(self, computed: Any, start: int, stop: int) -> dict[str, np.ndarray]:
        """Return the outputs of some texts; see ``PythonModel``."""
        if isinstance(computed, dict):
            return {name: array[start:stop] for name, array in computed.items()}
        some = computed[start:stop]
        found = {"truncated": column([each.truncated for each in some], np.bool_)}
        if self.classifier.manifest.answers is not None:
            return found | {
                "answer": utf8([each.text for each in some]),
                "score": column([each.score for each in some], np.float32),
                "start": column([-1 if each.start is None else each.start for each in some], np.int32),
                "end": column([-1 if each.end is None else each.end for each in some], np.int32),
            }
        plain = [each.to_dict() for each in some]
        return found | {name: utf8([_json(each[name]) for each in plain]) for name in ("spans", "tags")}

    def finalize(self) -> None:
        """Release the engine."""
        self.classifier.close()

    def _labelled(self, found: list[Prediction], scores: np.ndarray) -> dict[str, np.ndarray]:
        """Return what is said of texts with labels; ``scores`` are those of all labels, (texts, labels)."""
        labels = self.classifier.labels
        places = {label: place for place, label in enumerate(labels)}
        chosen = np.zeros(scores.shape, dtype=np.bool_)
        for row, each in enumerate(found):
            chosen[row, [places[label] for label in each.labels]] = True
        return {
            "label": utf8([each.label for each in found]),
            "score": column([each.score for each in found], np.float32),
            "probabilities": scores,
            "chosen": chosen,
        }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
