"""Weights for a student that is narrower than its teacher.

Hidden states of width H are projected to width h by the h leading right singular vectors of the teacher's word
embeddings: the directions in which words differ most. A matrix whose input is the hidden state is multiplied by that
projection, and a matrix whose output is added to the hidden state by its transpose. Attention keeps whole heads and the
feed-forward layer whole neurons, those with the largest output weights. LayerNorm does not commute with a projection,
so the result is a start for training and not a smaller equivalent of the teacher.

Source of factorising embeddings: Lan et al. 2020 (ALBERT), section 3.1, arXiv:1909.11942; of ranking heads and
neurons by their weights: the magnitude criterion of Han et al. 2015, arXiv:1506.02626.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from liteft.encoder.families import BUILT
from liteft.encoder.modules import read_layer, role_of
from liteft.errors import Hint, ModelError, option

__all__ = ["check_roles", "shrink", "unknown_role"]


def shrink(weights: Mapping[str, Tensor], *, width: int, heads: int, inner: int) -> dict[str, Tensor]:
    """Return weights of a narrower model of the same family and depth.

    Args:
        weights: name -> tensor of the teacher, float32.
        width: h, the student's hidden width.
        heads: attention heads of the teacher.
        inner: feed-forward width of the student.

    Returns:
        Name -> tensor, with the same names.

    Raises:
        ModelError: the role of a weight is unknown, so the family cannot be shrunk.
    """
    check_roles(weights)
    words = next(tensor for name, tensor in weights.items() if name.endswith("word_embeddings.weight"))
    projection = _leading_directions(words, width)
    head_size = words.shape[1] // heads
    kept_rows = {name: _kept(name, weights, width // head_size, head_size, inner) for name in _layers(weights)}
    shrunk = {}
    for name, tensor in weights.items():
        layer = read_layer(name)
        rows = kept_rows[layer.layer] if layer else (torch.arange(0), torch.arange(0))
        shrunk[name] = _projected(name, tensor, projection, *rows).contiguous()
    return shrunk


def unknown_role(names: Iterable[str]) -> str | None:
    """Return the first of a model's weights whose role in a narrower model is unknown; None if all are known.

    Args:
        names: of a classifier's weights, or of its encoder's.
    """
    return next((name for name in names if role_of(name) is None), None)


def check_roles(names: Iterable[str], *, fix: Sequence[Hint] = ()) -> None:
    """Refuse a model that cannot be shrunk.

    Args:
        names: of a classifier's weights, or of its encoder's.
        fix: what to try; by default the alternatives for a student.

    Raises:
        ModelError: a weight has no known role; the error names the first.
    """
    name = unknown_role(names)
    if name is None:
        return
    raise ModelError(
        f"the weight {name} has no known role, so a narrower student cannot start from this teacher.",
        accepted={"families that can be shrunk": ", ".join(BUILT)},
        fix=fix
        or [
            option("size", "LAYERS", note=", at the teacher's width"),
            option("student", "FOLDER", note=", an encoder of its own"),
        ],
    )


def _leading_directions(words: Tensor, width: int) -> Tensor:
    """The leading right singular vectors: (H, h), orthonormal columns."""
    _, vectors = torch.linalg.eigh(words.double().T @ words.double())
    return vectors[:, -width:].flip(1).float()


def _layers(weights: Mapping[str, Tensor]) -> list[str]:
    found = map(read_layer, weights)
    return list(dict.fromkeys(each.layer for each in found if each))


def _kept(layer: str, weights: Mapping[str, Tensor], heads: int, head_size: int, inner: int) -> tuple[Tensor, Tensor]:
    """Indices of the kept attention columns and of the kept feed-forward neurons of one layer."""
    named = {name.removeprefix(layer + "."): tensor for name, tensor in weights.items() if name.startswith(layer + ".")}
    matrices = {role_of(name): tensor for name, tensor in named.items() if name.endswith("weight")}
    join, outer = matrices["attention.output"], matrices["feed_forward.outer"]
    strength = join.view(join.shape[0], -1, head_size).pow(2).sum(dim=(0, 2))
    chosen = strength.topk(heads).indices.sort().values
    columns = (chosen[:, None] * head_size + torch.arange(head_size)).flatten()
    neurons = outer.pow(2).sum(dim=0).topk(inner).indices.sort().values
    return columns, neurons


def _projected(name: str, tensor: Tensor, projection: Tensor, columns: Tensor, neurons: Tensor) -> Tensor:
    matrix, role = tensor.dim() == 2, role_of(name)
    if role == "embeddings":
        return tensor @ projection
    if role == "norm":
        if name.endswith("weight"):
            return torch.full((projection.shape[1],), float(tensor.mean()))
        return tensor @ projection
    if role == "attention.input":
        return tensor[columns] @ projection if matrix else tensor[columns]
    if role == "attention.output":
        return projection.T @ tensor[:, columns] if matrix else tensor @ projection
    if role == "feed_forward.inner":
        return tensor[neurons] @ projection if matrix else tensor[neurons]
    if role == "head.dense":
        return projection.T @ tensor @ projection if matrix else tensor @ projection
    if role == "feed_forward.outer":
        return projection.T @ tensor[:, neurons] if matrix else tensor @ projection
    if role == "classifier":
        return tensor @ projection if matrix else tensor
    raise AssertionError(f"{name} has no role, which check_roles sees first")
