"""A SetFit folder as a classifier in torch: its encoder, the mean, and its head as one linear layer.

It is a teacher alone. Where SetFit normalizes embeddings, so does the layer here, which students do not have: they
start with the layer's weights divided by a typical length, so that their first logits are about as large.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from liteft.errors import ConfigError, ModelError, leave_out
from liteft.finetuning.base import create_classifier
from liteft.finetuning.mean_pooled import MeanPooledClassifier
from liteft.finetuning.model import TorchClassifier, read_config
from liteft.finetuning.settings import stated_max_tokens
from liteft.finetuning.tokenizer_files import read_tokenizer
from liteft.foreign import Said
from liteft.foreign.setfit import LinearHead, linear_head, pickled_head, read_setfit
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL
from liteft.untrusted.pickles import Pickled

__all__ = ["NormalizedLinear", "load_setfit"]

_OWN_HEAD = "setfit.modeling.SetFitHead"
_TYPICAL = (
    "The parcel never arrived, and nobody answers.",
    "How do I change my password?",
    "Great film, loved every minute of it!",
    "Shares fell by three percent after the company had reported its results for the last quarter.",
)


class NormalizedLinear(nn.Linear):
    """A linear layer on vectors that are divided by their length first.

    Attributes:
        typical_length: the mean length of vectors that it reads.
    """

    typical_length: float = 1.0

    def forward(self, input: Tensor) -> Tensor:
        """Return logits (texts, labels) of vectors (texts, width)."""
        return linear(normalize(input, dim=-1), self.weight, self.bias)


def load_setfit(folder: Path, *, said: Said | None = None) -> TorchClassifier:
    """Return the classifier in a SetFit folder, in float32 and evaluation mode; nothing in its pickle is run.

    Args:
        folder: the folder.
        said: what the caller states; labels and task are in the folder.

    Raises:
        ModelError: its pooling, its prompt or its head is not one that LiteFT has, or a file is broken.
        ConfigError: the caller contradicts the folder.
    """
    stated = read_setfit(folder)
    pickled = pickled_head(folder)
    if pickled.name == _OWN_HEAD:
        head = _own_head(folder, pickled, stated.labels)
    else:
        head = linear_head(folder, pickled, stated.labels)
    _meet(folder, head, said or Said())
    max_tokens, cut_by = stated_max_tokens(folder, read_config(folder), read_tokenizer(folder))
    loaded = create_classifier(
        folder, labels=head.labels, task=head.task, pooling="mean", max_tokens=max_tokens, paired=False
    )
    del loaded.config.liteft  # what LiteFT writes into the configuration of its own models
    loaded.cut_by = cut_by
    model = cast(MeanPooledClassifier, loaded.model.eval())
    model.classifier = _layer(folder, head, model, normalized=stated.normalized)
    if stated.normalized:
        model.classifier.typical_length = _typical_length(loaded, model)
    return loaded


def _layer(folder: Path, head: LinearHead, model: MeanPooledClassifier, *, normalized: bool) -> Any:
    width = model.classifier.in_features
    if head.weight.shape[1] != width:
        raise ModelError(
            f"the head of {folder} reads vectors of {head.weight.shape[1]} numbers, and its encoder makes {width}.",
            fix="copy the whole folder again",
        )
    layer = (NormalizedLinear if normalized else nn.Linear)(width, len(head.labels))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))
    return layer


def _typical_length(loaded: TorchClassifier, model: MeanPooledClassifier) -> float:
    """Return the mean length of the vectors of a few texts; the same for the same folder, so that runs repeat."""
    lengths: list[float] = []
    hook = model.classifier.register_forward_pre_hook(lambda _, given: lengths.append(float(given[0].norm())))
    with torch.no_grad():
        for text in loaded.tokenizer.encode(list(_TYPICAL)):
            ids = torch.from_numpy(np.asarray(text.ids, dtype=np.int64))[None]
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    hook.remove()
    return sum(lengths) / len(lengths)


def _own_head(folder: Path, head: Pickled, labels: tuple[str, ...] | None) -> LinearHead:
    """Return SetFit's own head, a linear layer whose logits are divided by a temperature."""
    modules = head.attribute("_modules")
    layer = modules.items.get("linear") if isinstance(modules, Pickled) else _in(modules, "linear")
    found = layer.attribute("_parameters") if isinstance(layer, Pickled) else None
    weight, bias = (_tensor(folder, _in(found, name)) for name in ("weight", "bias"))
    scales = [head.attribute("temperature"), head.attribute("eps") or 0.0]
    scale = sum(scales) if all(isinstance(each, int | float) for each in scales) else 0.0
    if scale <= 0 or weight is None or weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise _unreadable(folder, "its weights do not fit together")
    names = labels or tuple(str(number) for number in range(len(weight)))
    if len(names) != len(weight):
        raise _unreadable(folder, f"{len(names)} labels for {len(weight)} logits")
    task = MULTI_LABEL if head.attribute("multitarget") is True else SINGLE_LABEL
    bias = np.zeros(len(weight)) if bias is None else bias
    return LinearHead(names, task, weight / scale, bias / scale)


def _in(found: Any, name: str) -> Any:
    items = found.items if isinstance(found, Pickled) else found
    return items.get(name) if isinstance(items, dict) else None


def _tensor(folder: Path, described: Any) -> np.ndarray | None:
    """Return a pickled parameter as float64, its bytes read by torch's own reader, which runs nothing either."""
    if not isinstance(described, Pickled):
        return None
    try:
        inner = described.arguments[0] if described.name == "torch._utils._rebuild_parameter" else described
        storage, offset, shape, strides = inner.arguments[:4]
        if (inner.name, storage.name) != ("torch._utils._rebuild_tensor_v2", "torch.storage._load_from_bytes"):
            raise ValueError(f"{inner.name} of {storage.name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # such storages are on their way out of torch
            values = torch.load(io.BytesIO(storage.arguments[0]), weights_only=True, map_location="cpu")
            flat = torch.tensor([], dtype=values.dtype).set_(values.untyped())
        return cast(np.ndarray, flat.as_strided(shape, strides, offset).double().numpy().copy())
    except Exception as error:  # torch raises anything on a broken file
        raise _unreadable(folder, f"{type(error).__name__} in its tensors") from None


def _unreadable(folder: Path, reason: str) -> ModelError:
    return ModelError(f"the head of {folder} cannot be used: {reason}.", fix="copy the whole folder again")


def _meet(folder: Path, head: LinearHead, said: Said) -> None:
    for name, value, own in (("labels", said.labels, head.labels), ("task", said.task, head.task)):
        if value is not None and value != own:
            raise ConfigError(
                f"{folder} has {name} of its own, and others were given.",
                accepted={name: ", ".join(own) if isinstance(own, tuple) else str(own)},
                fix=leave_out(name),
            )
