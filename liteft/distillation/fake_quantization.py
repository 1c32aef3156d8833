"""Training for int8: the model computes as its int8 graph will, while its weights stay float.

Every linear layer of the encoder rounds its weights, with one scale for each output, and its inputs, as the exported
graph will: with one scale per token ("per_row"), or within ranges calibrated before the first step ("static").
Embedding tables round the rows that a batch reads. Gradients pass through the rounding unchanged, except where
"static" clips a value. Evaluation rounds too, so the best checkpoint is the best one in int8.

The ``forward`` of each layer is replaced, and restored by ``close``. Names and shapes of the weights do not change, so
checkpoints are like those of any other stage.

Source: Jacob et al. 2018, section 3, arXiv:1712.05877; straight-through gradients: Bengio et al. 2013, arXiv:1308.3432.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liteft.data import Split
from liteft.encoder.modules import is_quantized
from liteft.errors import ConfigError, option
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.form import ExportForm
from liteft.int8 import LARGEST, NIBBLE_SHARES, NIBBLES
from liteft.schemes import SCHEMES, ActivationScheme, Range, straight_through

__all__ = [
    "FakeQuantization",
    "quantizable_layers",
    "require_quantizable",
    "rounded_channels",
    "rounded_nibbles",
]

_OUTSIDE = 1e-4  # share of the values on each side that a calibrated range may leave out
_SAMPLED = 65536  # values that a range is calibrated on, of each batch


def rounded_channels(weight: Tensor, largest: int = LARGEST[8]) -> Tensor:
    """Return a matrix rounded to int8, with one symmetric scale per row; gradients pass.

    Args:
        weight: float, shape (outputs, inputs).
        largest: the largest absolute step; 64 for 7-bit weights.
    """
    scale = weight.detach().abs().amax(dim=-1, keepdim=True) / largest
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return straight_through(weight, (weight / scale).round().clamp(-largest, largest) * scale)


def rounded_nibbles(rows: Tensor) -> Tensor:
    """Return rows (rows, width) rounded to 4-bit, with each row's best of 26 scales; gradients pass."""
    whole = rows.detach()
    largest = whole.abs().amax(dim=-1, keepdim=True) / NIBBLES[1]
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    best, least = whole, torch.full_like(largest, torch.inf)
    for share in torch.linspace(*NIBBLE_SHARES).tolist():
        scale = largest * share
        tried = (whole / scale).round().clamp(*NIBBLES) * scale
        error = (tried - whole).square().sum(dim=-1, keepdim=True)
        best, least = torch.where(error < least, tried, best), torch.minimum(error, least)
    return straight_through(rows, best)


def quantizable_layers(loaded: TorchClassifier) -> dict[str, nn.Linear]:
    """Return the linear layers that int8 quantizes, by their names in the model."""
    modules = loaded.model.named_modules()
    return {name: module for name, module in modules if isinstance(module, nn.Linear) and is_quantized(name)}


def require_quantizable(loaded: TorchClassifier) -> None:
    """Refuse a model without linear layers that int8 quantizes.

    Raises:
        ConfigError: it has none.
    """
    if not quantizable_layers(loaded):
        raise ConfigError(
            f"a {loaded.config.model_type} has no linear layers that int8 could take in training.",
            fix=option("student.quantized_epochs", 0),
        )


class FakeQuantization:
    """A model that computes as its int8 graph will, until it is closed.

    Args:
        loaded: the classifier; its weights are not changed.
        form: of the artifact: int8.
        texts: real ones, to calibrate the ranges of "static" on: a split, or single texts.

    Attributes:
        ranges: of the layers' inputs by their names in the model, where they are "static".

    Raises:
        ConfigError: the model has no linear layers that int8 could quantize.
    """

    def __init__(
        self,
        loaded: TorchClassifier,
        form: ExportForm,
        texts: Split | Sequence[str],
    ) -> None:
        require_quantizable(loaded)
        modules = dict(loaded.model.named_modules())
        self._layers = quantizable_layers(loaded)
        tables = {
            name.rsplit(".", 1)[-1]: module for name, module in modules.items() if isinstance(module, nn.Embedding)
        }
        # Without pairs and marked words every token has type 0, and the graph adds its row to the positions before it
        # rounds them.
        typed = loaded.settings.varied_types and uses_type_ids(loaded.config)
        types = None if typed else tables.pop("token_type_embeddings", None)
        self.ranges = self._calibrated(loaded, texts) if form.calibrated else {}
        scheme = SCHEMES[form.scheme or "per_row"]
        for name, layer in self._layers.items():
            rounding = _linear(layer, LARGEST[form.weight_bits or 8], scheme, self.ranges.get(name))
            layer.forward = rounding  # type: ignore[method-assign]
        for name, table in tables.items():
            bits = form.table_bits("word" if "word" in name else "")
            added = types if "position" in name else None
            table.forward = _lookup(table, bits, added)  # type: ignore[method-assign]
        self._replaced: list[nn.Module] = [*self._layers.values(), *tables.values()]

    def close(self) -> None:
        """Let the model compute in float again."""
        for module in self._replaced:
            module.__dict__.pop("forward", None)
        self._replaced = []

    def _calibrated(self, loaded: TorchClassifier, texts: Split | Sequence[str]) -> dict[str, Range]:
        """Return the range of every layer's input, all but its outermost values, over texts without padding."""
        seen: dict[str, list[Tensor]] = {name: [] for name in self._layers}

        def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                values = inputs[0].detach().float().flatten()
                seen[name].append(values[:: max(1, len(values) // _SAMPLED)])

            return hook

        hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in self._layers.items()]
        try:
            for place in range(len(texts)):
                one = slice(place, place + 1)
                predict_logits(loaded, texts.take(one) if isinstance(texts, Split) else texts[one])
        finally:
            for hook in hooks:
                hook.remove()
        return {name: _range(torch.cat(values)) for name, values in seen.items()}


def _range(values: Tensor) -> Range:
    ordered = values.sort().values
    left_out = int(len(ordered) * _OUTSIDE)
    return Range(min(float(ordered[left_out]), 0.0), max(float(ordered[-1 - left_out]), 0.0))


def _linear(
    layer: nn.Linear, largest: int, scheme: ActivationScheme, values: Range | None
) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        return F.linear(scheme.rounded(x, values), rounded_channels(layer.weight, largest), layer.bias)

    return forward


def _lookup(table: nn.Embedding, bits: int, added: nn.Embedding | None) -> Callable[[Tensor], Tensor]:
    """Return a lookup of rounded rows; with ``added`` its row 0 is rounded with them, and taken off again."""

    def forward(ids: Tensor) -> Tensor:
        used, places = ids.unique(return_inverse=True)
        rows = F.embedding(used, table.weight, table.padding_idx)
        if added is not None:
            return F.embedding(places, rounded_channels(rows + added.weight[0])) - added.weight[0]
        return F.embedding(places, rounded_nibbles(rows) if bits == 4 else rounded_channels(rows))

    return forward
