"""Checks of an exported graph on random tokens: all lengths run, and a text gets the same logits alone and in a batch.

Random token ids cover lengths, type ids and combinations in a batch that a validation split may not have. The batch
mixes lengths, so that most of its rows are padded if the engine pads. If every token has logits, all tokens of a text
are compared, and no padding. Its longest row repeats a single token, which
gives outlying activations: if a scale were shared by the batch, the other rows would change. One length above 512 runs
too, alone, since the memory of attention grows with the square of the length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from liteft.encoded import Encoded
from liteft.errors import ModelError
from liteft.finetuning.logits import pad_batch
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.pretrained import output_logits
from liteft.runtime.backends import Engine

__all__ = ["ProbeResult", "run_probes"]

_SHORT = (1, 2, 3, 5, 8, 13, 21, 34, 64)
_TOGETHER = 512  # tokens of a text that runs in the batch, at most
_SCORES = 2**29  # scores of one layer's attention, at most: 2 GB


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The differences that the probes measured.

    Attributes:
        lengths: the lengths that were run, in tokens.
        reference_difference: largest difference between a logit and the torch model's.
        batch_difference: largest difference of a logit between a text alone and the same text in a batch.
    """

    lengths: tuple[int, ...]
    reference_difference: float
    batch_difference: float


def run_probes(loaded: TorchClassifier, engine: Engine, *, seed: int = 0) -> ProbeResult:
    """Run random texts of lengths from 1 to max_tokens: each alone, and those of up to 512 tokens also in one batch.

    Args:
        loaded: the torch model.
        engine: runs the exported graph.
        seed: for the token ids.

    Raises:
        ModelError: the graph gives a logit that is not finite.
    """
    lengths = _lengths(loaded)
    encoded = _random_ids(loaded, lengths, np.random.default_rng(seed))
    reference = _torch_logits(loaded, encoded)
    short = sum(length <= _TOGETHER for length in lengths)
    together = engine.run(encoded[:short])
    alone = np.concatenate([engine.run(text) for text in encoded])
    if not (np.isfinite(together).all() and np.isfinite(alone).all()):
        raise ModelError(
            "the graph gave logits that are not finite for random tokens.",
            fix="check the model's weights, or train again with a lower learning rate",
        )
    return ProbeResult(
        lengths=lengths,
        reference_difference=float(np.abs(alone - reference).max()),
        batch_difference=float(np.abs(alone[: len(together)] - together).max()),
    )


def _lengths(loaded: TorchClassifier) -> tuple[int, ...]:
    """Return the lengths to run in tokens, ascending; the last is max_tokens, or as many as memory allows."""
    longest = loaded.settings.max_tokens
    width = min(longest, _TOGETHER)
    lengths = {length for length in (*_SHORT, width - 1, width) if 1 <= length <= width}
    if longest > width:
        heads = int(getattr(loaded.config, "num_attention_heads", 0) or 1)
        lengths.add(max(width, min(longest, math.isqrt(_SCORES // heads))))
    return tuple(sorted(lengths))


def _random_ids(loaded: TorchClassifier, lengths: tuple[int, ...], generator: np.random.Generator) -> Encoded:
    vocabulary, padding = int(loaded.config.vocab_size), loaded.tokenizer.pad_id
    real = np.setdiff1d(np.arange(min(vocabulary, loaded.tokenizer.vocabulary_size)), [padding])
    ids = [generator.choice(real, length).astype(np.int32) for length in lengths]
    together = max(row for row, length in enumerate(lengths) if length <= _TOGETHER)
    ids[together][:] = ids[together][0]
    kinds = 2 if loaded.settings.varied_types and uses_type_ids(loaded.config) else 1
    types = [np.sort(generator.integers(0, kinds, length)).astype(np.int32) for length in lengths]
    return Encoded.of(ids, types)


def _torch_logits(loaded: TorchClassifier, encoded: Encoded) -> np.ndarray:
    with torch.inference_mode():
        rows = []
        for row in range(len(encoded)):
            batch = pad_batch(encoded, [row], pad_id=loaded.tokenizer.pad_id, types=uses_type_ids(loaded.config))
            logits = output_logits(loaded.model(**batch)).float().numpy()
            rows.append(logits.reshape(-1, logits.shape[-1]))  # of the text, or of its tokens
    return np.concatenate(rows)
