"""The gate of a repository: what was written runs on real texts, outside of Triton, and must answer as the artifact.

The models of the Python backend run as Triton runs them, but for Triton's own tensors. A repository whose results are
not those of the artifact, bit for bit, is not written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liteft.artifact import Artifact
from liteft.errors import REPORT, VerificationError
from liteft.ragged import equal_rows
from liteft.runtime import load
from liteft.runtime.splits import split_logits
from liteft.triton.config import MOST_TEXTS
from liteft.triton.tensors import DTYPES
from liteft.triton.text_model import TextModel

if TYPE_CHECKING:
    from liteft.data import Split

__all__ = ["check_copy", "split_values"]


def check_copy(artifact: Artifact, folder: Path, split: Split, *, threads: int | None) -> dict[str, Any]:
    """Compare the model that does everything with the artifact that it was copied from.

    Args:
        artifact: the artifact.
        folder: of model.py.
        split: the texts.
        threads: of the engine.

    Returns:
        What the repository's list says of it.

    Raises:
        VerificationError: logits differ, or an output does not have the shape or type of the configuration.
    """
    model = TextModel()
    model.folder = folder
    model.open(threads)
    with load(artifact.path, device="cpu", threads=threads) as classifier:
        if not equal_rows(split_logits(classifier, split), split_logits(model.classifier, split)):
            raise _differs("the copied artifact's logits", split)
    values = split_values(split)[:MOST_TEXTS]
    found = model.arrays(model.compute(values), 0, len(values))
    for tensor in model.outputs:
        array = found[tensor.name]
        if array.shape != (len(values), *tensor.dims) or array.dtype != DTYPES[tensor.data_type]:
            raise _differs(f"the output {tensor.name}, {array.dtype} {array.shape},", split)
    backend = model.classifier.backend
    model.finalize()
    text = f"the same bits as the artifact on {len(split):,} texts of {split.name}, in {backend}"
    return {"split": split.name, "texts": len(split), "backend": backend, "text": text}


def split_values(split: Split) -> list[tuple[Any, ...]]:
    """Return the values that a client would send for a split's texts: tuples of the inputs, in their order."""
    columns: list[list[Any]] = [split.texts]
    if split.pairs is not None:
        columns.append(split.pairs)
    if split.marked is not None:
        columns.append(np.asarray(split.marked).tolist())
    return list(zip(*columns, strict=True))


def _differs(what: str, split: Split) -> VerificationError:
    return VerificationError(
        f"{what} are not those of the artifact on the texts of {split.name}; nothing was written.", fix=REPORT
    )
