"""How well the layers of an encoder separate the labels, before any training.

One forward pass gives the pooled features of every layer; linear discriminants of each layer are cross-validated on
them. A layer that separates the classes about as well as the best one is a depth from which a student can start.

Source: probes of each layer, Alain and Bengio 2016, arXiv:1610.01644.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from liteft.advising.judges import Judge, Scored, cross_validate, difference, probing
from liteft.advising.sample import Sample
from liteft.data import Split
from liteft.finetuning.known_ids import check_ids
from liteft.finetuning.logits import by_length, pad_batch
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.settings import Pooling
from liteft.text_tables import points

__all__ = ["BaseProbe", "LayerProbe", "layer_features", "probe_base"]

_POINT, _FARTHEST = 0.01, 0.05


@dataclass(frozen=True, slots=True)
class LayerProbe:
    """What one layer separates.

    Attributes:
        layer: 0 for the embeddings, then the layers from 1.
        metrics, intervals: the headline metrics of cross-validated discriminants, shares.
        behind: the best layer's primary metric minus this layer's.
        behind_interval: its 95% interval.
    """

    layer: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    behind: float
    behind_interval: tuple[float, float]

    @property
    def gained(self) -> str:
        """The points gained over the best layer, with their interval; "+0.0" for that layer itself."""
        low, high = self.behind_interval
        return points(0 - self.behind, (0 - high, 0 - low))  # a minus sign would make -0.0 of 0

    @property
    def close(self) -> bool:
        """Whether it is less than a point behind the best layer, or cannot be told from it and is surely near it."""
        low, high = self.behind_interval
        return self.behind < _POINT or (low <= 0 and high <= _FARTHEST)


@dataclass(frozen=True, slots=True, eq=False)
class BaseProbe:
    """The probes of one base's layers.

    Attributes:
        base: as the user named it.
        pooling: how a text's token vectors become one.
        width: values of a token's vector.
        layers: the embeddings, then every layer.
        best: number of the best layer.
        scored: the best layer's answers.
        judge: fits the best layer's discriminants.
    """

    base: str
    pooling: Pooling
    width: int
    layers: tuple[LayerProbe, ...]
    best: int
    scored: Scored
    judge: Judge

    @property
    def depth(self) -> int:
        """Number of the encoder's layers."""
        return len(self.layers) - 1

    @property
    def first_close(self) -> int:
        """The first layer, from 1, that is close to the best one."""
        return next((each.layer for each in self.layers[1:] if each.close), self.best)


def probe_base(
    name: str, loaded: TorchClassifier, sample: Sample, *, bf16: bool, seed: int, progress: Callable[[str], None]
) -> BaseProbe:
    """Return the probes of every layer of a base.

    Args:
        name: as the user named the base.
        loaded: a classifier on the base, whose head is not used.
        sample: the texts.
        bf16: run matrix products in bfloat16.
        seed: of the bootstrap.
        progress: called with a line of text.
    """
    progress(f"{name}: reading {len(sample):,} texts")
    features = layer_features(loaded, sample.split, bf16=bf16)
    judges = [probing(each, sample) for each in features]
    scored = []
    for layer, judge in enumerate(judges):
        scored.append(cross_validate(judge, sample, seed=seed))
        progress(f"{name}: layer {layer} of {len(features) - 1}, {sample.task.primary_metric} "
                 f"{100 * scored[-1].metrics[sample.task.primary_metric]:.1f}%")  # fmt: skip
    best = max(range(len(scored)), key=lambda one: scored[one].metrics[sample.task.primary_metric])
    behind = [difference(each, scored[best], sample, seed=seed) for each in scored]
    layers = tuple(
        LayerProbe(number, each.metrics, each.intervals, *behind[number]) for number, each in enumerate(scored)
    )
    pooling = loaded.settings.pooling
    return BaseProbe(name, pooling, features.shape[2], layers, best, scored[best], judges[best])


def layer_features(loaded: TorchClassifier, split: Split, *, bf16: bool) -> np.ndarray:
    """Return the pooled hidden states of every layer: float32 (layers + 1, texts, width), the embeddings first.

    Texts are sorted by length, so that little padding is computed.

    Args:
        loaded: a classifier; its head is not used.
        split: the texts.
        bf16: run matrix products in bfloat16.

    Raises:
        DataError: a text has a token that the encoder has no embedding for.
    """
    encoded = loaded.tokenizer.encode(split.texts, split.pairs)
    check_ids(loaded, encoded, "those given")
    order = np.argsort(encoded.lengths, kind="stable")
    found: np.ndarray | None = None
    model = loaded.model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for rows in by_length(order, encoded.lengths):
            batch = pad_batch(encoded, rows, pad_id=loaded.tokenizer.pad_id, types=uses_type_ids(loaded.config))
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            states = model(**batch, output_hidden_states=True).hidden_states
            pooled = [_pool(each.float(), batch["attention_mask"], loaded.settings.pooling) for each in states]
            if found is None:
                found = np.zeros((len(states), len(split), pooled[0].shape[1]), dtype=np.float32)
            found[:, rows] = torch.stack(pooled).cpu().numpy()
    assert found is not None  # a data set without texts is refused
    return found


def _pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Return the vector of each text, (texts, width), from token vectors (texts, tokens, width)."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1]
    real = mask.unsqueeze(-1).bool()
    total = torch.where(real, hidden, torch.zeros((), dtype=hidden.dtype)).sum(dim=1)
    return total / real.sum(dim=1)
