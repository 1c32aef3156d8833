"""What an encoder classifier computes, in sizes and words, apart from its weights.

The words stand in the order in which the C library numbers them (``cpp_ext/include/liteft/liteft.h``): a word's number
is its place here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from liteft.schemes import SCHEMES

__all__ = ["ACTIVATIONS", "HEADS", "INT8_SCHEMES", "POOLINGS", "Activation", "EncoderSpec", "Head", "Pooling"]

Activation = Literal["gelu", "relu", "gelu_tanh", "silu"]
Pooling = Literal["cls", "mean"]
Head = Literal["none", "tanh", "relu", "gelu"]

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
"""Of the feed-forward; "gelu" is the exact one."""
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
"""Column 0, or the mean over the columns that the mask keeps."""
HEADS: tuple[Head, ...] = get_args(Head)
"""The activation after the dense layer of the head; "none" where there is no dense layer."""
INT8_SCHEMES = ("none", *SCHEMES)
"""How activations are quantized: not at all, with a scale for each token, or with a range for each tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """What an encoder classifier computes, apart from its weights.

    Attributes:
        layers, heads, width, inner_width, labels: sizes; width is the hidden width, inner_width that of the
            feed-forward.
        embedding_width: of the embeddings; where it is not ``width``, a projection follows them.
        vocabulary, positions: rows of the tables of tokens and of positions.
        token_types: rows of the table of token types; 0 where every token has type 0, and the graph takes none.
        epsilon: of every LayerNorm.
        activation: of the feed-forward.
        pooling: "cls" reads column 0, "mean" the mean over the columns that the mask keeps.
        head: activation after the dense layer of the head; "none" where there is no dense layer.
        position_padding_id: -1 where a token's position is its column; else the padding id p: the position of a
            token that is not p is p plus the number of such tokens up to it, that of a padding token is p.
    """

    layers: int
    heads: int
    width: int
    inner_width: int
    embedding_width: int
    vocabulary: int
    positions: int
    token_types: int
    labels: int
    epsilon: float
    activation: Activation
    pooling: Pooling
    head: Head
    position_padding_id: int

    @property
    def has_token_types(self) -> bool:
        """Whether the graph takes token_type_ids."""
        return self.token_types > 0

    @property
    def max_tokens(self) -> int:
        """The most tokens that there are positions for: those up to the padding's are no token's."""
        return self.positions - (self.position_padding_id + 1)

    def cls_only(self, layer: int) -> bool:
        """Say whether a layer computes its result for column 0 alone, since nothing else of it is read."""
        return self.pooling == "cls" and layer == self.layers - 1
