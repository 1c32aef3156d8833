"""A cache of the teacher's logits: a file for each combination of teacher weights and texts.

Every seed, learning rate and resumed run reads the same file. Logits of augmented texts (augmentation.py) are not
cached: the teacher runs on each batch of them.

Source of the limits of a cache: Beyer et al. 2022, section 3, arXiv:2106.05237.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from liteft import files
from liteft.arguments import ProgressFunction
from liteft.data import Split
from liteft.errors import RunError
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier

__all__ = ["teacher_logits"]


def teacher_logits(
    teacher: TorchClassifier,
    weights_sha256: str,
    split: Split,
    *,
    folder: Path,
    bf16: bool,
    tell: ProgressFunction | None = None,
) -> np.ndarray:
    """Return the teacher's logits of a split, float32, shape (texts, labels), from the cache or into it.

    Args:
        teacher: the classifier; it is moved to the GPU, if there is one, when logits have to be computed.
        weights_sha256: of its weights.
        split: the texts.
        folder: where logits are cached; created if missing.
        bf16: compute in bfloat16 if they are not cached yet.
        tell: called with a line of text when they must be computed.

    Raises:
        RunError: logits that are not finite, or a folder that cannot be written.
    """
    shape = (len(split), len(teacher.settings.labels))
    path = folder / f"{_key(teacher, weights_sha256, split, bf16)}.npy"
    try:
        stored: np.ndarray = np.load(path, allow_pickle=False)
        if stored.shape == shape and stored.dtype == np.float32:
            return stored
    except (OSError, ValueError, EOFError):
        pass  # missing or incomplete: computed again
    if tell is not None:
        tell(f"teacher: logits of {len(split):,} texts, once")
    teacher.model.to(PartialState(cpu=not torch.cuda.is_available()).device)
    logits = predict_logits(teacher, split.texts, split.pairs, bf16=bf16)
    if not np.isfinite(logits).all():
        raise RunError("the teacher's logits are not finite numbers.", fix="train the teacher again, in fp32")
    with files.writing_file(path) as temporary, open(temporary, "wb") as file:
        np.save(file, logits, allow_pickle=False)
    return logits


def _key(teacher: TorchClassifier, weights_sha256: str, split: Split, bf16: bool) -> str:
    settings = teacher.settings
    digest = hashlib.sha256(
        f"{weights_sha256} {settings.max_tokens} {settings.truncation_side} {bf16} {len(split)}".encode()
    )
    for values in (split.texts, split.pairs or ()):
        for text in values:
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
        digest.update(b"\xff" * 8)
    return digest.hexdigest()[:32]
