"""The specification of an encoder classifier: its sizes and the variants of what it computes, without the weights.

The words of each tuple are in the order of the C library's enumeration (``cpp_ext/include/liteft/liteft.h``): a word's
index here is its number there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from liteft.schemes import SCHEMES

__all__ = ["ACTIVATIONS", "HEADS", "INT8_SCHEMES", "POOLINGS", "Activation", "EncoderSpec", "Head", "Pooling"]

Activation = Literal["gelu", "relu", "gelu_tanh", "silu"]
Pooling = Literal["cls", "mean", "none"]
Head = Literal["none", "tanh", "relu", "gelu"]

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
"""Activations of the feed-forward; "gelu" is the exact one, computed with erf."""
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
"""How a text's vectors become one: the first token's ("cls"), the mean over the tokens that the mask keeps, or not at
all ("none"): then every token has logits of its own."""
HEADS: tuple[Head, ...] = get_args(Head)
"""Activations after the dense layer of the head; "none" means that there is no dense layer."""
INT8_SCHEMES = ("none", *SCHEMES)
"""How activations are quantized: not at all, with one scale per token, or with one calibrated range per tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """What an encoder classifier computes, without its weights.

    Attributes:
        layers, heads, labels: numbers of layers, attention heads and labels.
        width, inner_width: hidden width, and inner width of the feed-forward.
        embedding_width: width of the embeddings; if it is not ``width``, a projection follows them.
        vocabulary, positions: rows of the word and position embeddings.
        token_types: rows of the token type embeddings; 0 if every token has type 0 and the graph has no such input.
        epsilon: epsilon of every LayerNorm.
        activation: activation of the feed-forward.
        pooling: "cls" takes the first token's vector, "mean" the mean over the tokens that the mask keeps; with "none"
            the classifier reads every token's vector, and there is no head.
        head: activation after the dense layer of the head; "none" if there is no dense layer.
        position_padding_id: -1 if a token's position is its column. Otherwise the id p of the padding token: the
            position of another token is p plus the number of such tokens up to and including it, that of padding is p.
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
    def per_token(self) -> bool:
        """Whether every token has a row of logits, rather than every text."""
        return self.pooling == "none"

    @property
    def has_token_types(self) -> bool:
        """Whether the graph takes token_type_ids."""
        return self.token_types > 0

    @property
    def max_tokens(self) -> int:
        """The maximum number of tokens: positions up to the padding's are not used for tokens."""
        return self.positions - (self.position_padding_id + 1)

    def cls_only(self, layer: int) -> bool:
        """Return whether a layer computes token 0 only, because nothing reads its other outputs."""
        return self.pooling == "cls" and layer == self.layers - 1
