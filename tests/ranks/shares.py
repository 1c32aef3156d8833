"""What test_shares.py calls in two processes: the logits of a teacher, as a training asks for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np


def logits(
    model: Path, split: Any, folder: Path, *, large: int, fails: int | None = None, progress: Any, callbacks: Any = ()
) -> None:
    """Compute logits in shares; each rank stores them, and how often it ran the model, beside their folder.

    Args:
        model: the teacher.
        split: the texts.
        folder: of the cache.
        large: more texts have their logits in a mapped file.
        fails: the second rank raises when it runs the model so often.
    """
    from liteft.distillation import cache
    from liteft.finetuning.model import load_classifier

    rank, calls, plain = os.environ["RANK"], [], cache.predict_logits

    def counted(loaded: Any, texts: Any, **rest: Any) -> Any:
        calls.append(len(texts))
        if rank == "1" and len(calls) == fails:
            raise RuntimeError("the second rank fails")
        return plain(loaded, texts, **rest)

    cache.LARGE, cache._CHUNK, cache._FEW = large, 10, 4
    cache.predict_logits = counted
    found = cache.teacher_logits(load_classifier(model), "a", split, folder=folder, bf16=False, tell=progress)
    values = found if isinstance(found, np.ndarray) else found.values
    np.save(folder.with_name(f"{folder.name}-{rank}.npy"), values)
    folder.with_name(f"{folder.name}-{rank}.txt").write_text(" ".join(map(str, calls)))
