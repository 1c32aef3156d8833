"""The first model of an ensemble: texts in, token ids out, in Triton's Python backend.

Of the artifact it has the manifest and the tokenizer, whose SHA-256 is checked, and no graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from liteft.artifact import TOKENIZER, Manifest, read_artifact
from liteft.encoded import Encoded
from liteft.runtime.cores import default_threads
from liteft.runtime.scoring import Reader
from liteft.triton.python_model import PythonModel
from liteft.triton.tensors import PADDING, Tensor, inputs_of, token_tensors

__all__ = ["TokenModel", "token_outputs"]


def token_outputs(manifest: Manifest) -> tuple[Tensor, ...]:
    """Return the outputs: what the graph takes, and which texts were truncated."""
    return (*token_tensors(manifest), Tensor("truncated", "TYPE_BOOL"))


class TokenModel(PythonModel):
    """The tokenizer of an artifact, in the folder ``artifact`` beside model.py, as a model of the Python backend."""

    def open(self, threads: int | None) -> None:
        """Read manifest and tokenizer; see ``PythonModel``. With one thread, texts are tokenized on one core."""
        artifact = read_artifact(self.folder / "artifact", only=(TOKENIZER,))
        manifest = artifact.manifest
        self.reader = Reader(
            artifact.tokenizer(),
            paired=manifest.paired,
            one_by_one=(threads or default_threads()) == 1,
            rows=manifest.embedding_rows,
            token_types=manifest.token_types,
        )
        self.inputs, self.outputs = inputs_of(manifest), token_outputs(manifest)

    def compute(self, values: list[tuple[Any, ...]]) -> Encoded:
        """Return the tokens of texts; see ``PythonModel``."""
        return Encoded.join(self.reader.encode_all(values if self.reader.paired else [text for (text,) in values]))

    def arrays(self, computed: Encoded, start: int, stop: int) -> dict[str, np.ndarray]:
        """Return the tokens of some texts as a rectangle, and their lengths; see ``PythonModel``."""
        some = computed[start:stop]
        ids, _, types = some.padded(PADDING)
        lengths, truncated = some.lengths.reshape(-1, 1), some.truncated.reshape(-1, 1)
        return {"input_ids": ids, "token_type_ids": types, "lengths": lengths, "truncated": truncated}
