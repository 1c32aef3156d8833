"""Training a masked language model: the vocabulary's scores are computed only where a token is to be guessed.

For a small model that product is most of the work: 15% of the places are masked, and no other score is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from liteft.finetuning.batches import model_inputs
from liteft.finetuning.resumable import ResumableTrainer

__all__ = ["METRIC", "MaskedTrainer", "SparseHead", "masked_metrics", "score_masked"]

METRIC = "masked_loss"
"""The metric that chooses the checkpoint: the mean loss of a masked validation token, in nats."""


class SparseHead:
    """Lets a model compute its scores at masked places alone.

    A hook on the encoder hands only the hidden states of these places to the layers behind it. Families whose layers
    there need more than that are noticed at once, and compute all scores.

    Args:
        model: a ...ForMaskedLM of transformers; the hook stays until `remove`.
        ids: int64 (texts, tokens), token ids to try it with.
    """

    def __init__(self, model: nn.Module, ids: Tensor) -> None:
        self._places: Tensor | None = None
        self._handle = model.base_model.register_forward_hook(self._gather)  # type: ignore[operator,union-attr]
        self.sparse = True
        places = torch.arange(0, ids.numel(), 3)
        training = model.training
        model.eval()
        with torch.no_grad():
            try:
                found = self(model, {"input_ids": ids}, places)
                self.sparse = torch.allclose(found, _all_scores(model, {"input_ids": ids})[places], atol=1e-4)
            except (RuntimeError, IndexError, TypeError, ValueError):
                self.sparse = False
        model.train(training)

    def __call__(self, model: nn.Module, inputs: dict[str, Tensor], places: Tensor) -> Tensor:
        """Return the scores of all tokens at some places, shape (places, vocabulary).

        Args:
            model: the model, or what a trainer wraps around it.
            inputs: its inputs, with ``input_ids`` of shape (texts, tokens).
            places: int64 (places,), numbers in the flattened input_ids.
        """
        if not self.sparse:
            return _all_scores(model, inputs)[places]
        self._places = places
        try:
            scores: Tensor = model(**inputs).logits
        finally:
            self._places = None
        return scores.reshape(-1, scores.shape[-1])

    def remove(self) -> None:
        """Take the hook off the model."""
        self._handle.remove()

    def _gather(self, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        if self._places is None:
            return output
        hidden = output[0]
        chosen = hidden.reshape(-1, hidden.shape[-1])[self._places][None]
        if isinstance(output, tuple):
            return (chosen, *output[1:])
        return type(output)(**{**output, "last_hidden_state": chosen})


def _all_scores(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    scores: Tensor = model(**inputs).logits
    return scores.reshape(-1, scores.shape[-1])


class MaskedTrainer(ResumableTrainer):
    """Trainer of a masked language model.

    Args:
        head: computes the scores at masked places.
        arguments: as for ResumableTrainer.
    """

    def __init__(self, *, head: SparseHead, **arguments: Any) -> None:
        self.head = head
        super().__init__(metric=METRIC, compute_metrics=_metrics, **arguments)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Trainer's hook: the mean loss of the masked tokens; while evaluating, also what adds up to the metrics."""
        places, labels = inputs["places"], inputs["labels"]
        scores = self.head(model, model_inputs(inputs), places).float()
        if not return_outputs:
            # a batch in which all tokens are special has nothing to guess
            return cross_entropy(scores, labels) if len(labels) else scores.sum()
        sums = _sums(scores, labels, places // inputs["input_ids"].shape[1], len(inputs["input_ids"]))
        return sums[:, 0].sum() / max(1, len(labels)), {"logits": sums}


def _sums(scores: Tensor, labels: Tensor, texts: Tensor, count: int) -> Tensor:
    """Return the loss, the number of right guesses and that of masked tokens of each text: float32 (texts, 3)."""
    losses = cross_entropy(scores, labels, reduction="none")
    values = torch.stack([losses, (scores.argmax(-1) == labels).float(), torch.ones_like(losses)], dim=1)
    return torch.zeros(count, 3, device=values.device).index_add_(0, texts, values)


def masked_metrics(sums: np.ndarray) -> dict[str, float]:
    """Return the metrics of a validation split.

    Args:
        sums: loss, right guesses and masked tokens of each text: (texts, 3).

    Returns:
        masked_loss, the mean loss of a masked token in nats; perplexity, its exponential; masked_accuracy, the share
        that is guessed right.
    """
    loss, right, count = (float(total) for total in np.asarray(sums, dtype=np.float64).sum(axis=0))
    mean = loss / max(1.0, count)
    return {METRIC: mean, "perplexity": math.exp(min(mean, 700.0)), "masked_accuracy": right / max(1.0, count)}


def _metrics(prediction: Any) -> dict[str, float]:
    return masked_metrics(np.asarray(prediction.predictions))


def score_masked(model: nn.Module, head: SparseHead, batches: Iterator[dict[str, Tensor]]) -> dict[str, float]:
    """Return the metrics of a model in float32 on batches; see `masked_metrics`."""
    device = next(model.parameters()).device
    model.eval()
    found = []
    with torch.inference_mode():
        for batch in batches:
            moved = {name: values.to(device) for name, values in batch.items()}
            ids = moved["input_ids"]
            scores = head(model, model_inputs(moved), moved["places"]).float()
            found.append(_sums(scores, moved["labels"], moved["places"] // ids.shape[1], len(ids)).cpu().numpy())
    return masked_metrics(np.concatenate(found))
