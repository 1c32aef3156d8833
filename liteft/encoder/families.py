"""Families of transformers: one record for each model type that needs more than its configuration tells.

A family with names for its weights is built: its graph is written from its weights, and the native engine runs it. The
names are templates from neutral name to transformers' name, with ``{layer}`` for the number of a layer. The graph and
the native engine use neutral names, so that a new family of the same architecture is a record here and no code. What
the built families compute differs in three places only: where positions come from, the activation in the head, and
ELECTRA's projection after the embeddings.

All other families are traced. Their records have the facts that are not in a configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from liteft.encoder.spec import Activation, Head

__all__ = ["ACTIVATION_NAMES", "BUILT", "FAMILIES", "EncoderNames", "Family", "family_of", "weight_names"]

ACTIVATION_NAMES: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""transformers' name of an activation -> its name here, for those that LiteFT's graph can express."""


@dataclass(frozen=True, slots=True)
class EncoderNames:
    """The names of a family's weights.

    Attributes:
        base: prefix of the encoder's names in the family's classifier class.
        encoder: neutral name -> transformers' name without the prefix; optional ones are skipped if a model lacks them.
        head: neutral name -> transformers' full name, for the head of the family's classifier class.
    """

    base: str
    encoder: Mapping[str, str]
    head: Mapping[str, str]

    @property
    def linear(self) -> tuple[str, ...]:
        """Last parts of the names of the encoder's linear layers, including those that only some models have."""
        layers = [theirs for ours, theirs in self.encoder.items() if "{layer}" in ours and not ours.endswith(".norm")]
        return tuple(dict.fromkeys(name.rsplit(".", 1)[-1] for name in (*layers, self.encoder["embeddings.project"])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Facts about one family of transformers.

    Attributes:
        names: names of its weights if its graph is built from them; None if it is traced.
        head: activation after the dense layer in the head of its classifier class.
        activation_key: configuration key of the feed-forward's activation.
        inner_width_key: configuration key of the feed-forward's inner width.
        epsilon: epsilon of every LayerNorm if the configuration has no layer_norm_eps.
        positions_from_padding: positions number the tokens that are not padding, starting at pad_token_id + 1, instead
            of the columns; the rows of the position embeddings up to the padding's are not used for tokens.
        decoder: whether its classifier reads the last token.
        linear: last parts of the names of its linear layers that get an adapter; empty if they are unknown.
    """

    names: EncoderNames | None = None
    head: Head = "none"
    activation_key: str = "hidden_act"
    inner_width_key: str = "intermediate_size"
    epsilon: float = 1e-12
    positions_from_padding: bool = False
    decoder: bool = False
    linear: tuple[str, ...] = ()


_EMBEDDINGS = {
    "embeddings.word.weight": "embeddings.word_embeddings.weight",
    "embeddings.position.weight": "embeddings.position_embeddings.weight",
    "embeddings.type.weight": "embeddings.token_type_embeddings.weight",
    "embeddings.norm": "embeddings.LayerNorm",
    "embeddings.project": "embeddings_project",
}
_BERT_ENCODER = _EMBEDDINGS | {
    "layers.{layer}.attention.query": "encoder.layer.{layer}.attention.self.query",
    "layers.{layer}.attention.key": "encoder.layer.{layer}.attention.self.key",
    "layers.{layer}.attention.value": "encoder.layer.{layer}.attention.self.value",
    "layers.{layer}.attention.output": "encoder.layer.{layer}.attention.output.dense",
    "layers.{layer}.attention.norm": "encoder.layer.{layer}.attention.output.LayerNorm",
    "layers.{layer}.feed_forward.inner": "encoder.layer.{layer}.intermediate.dense",
    "layers.{layer}.feed_forward.outer": "encoder.layer.{layer}.output.dense",
    "layers.{layer}.feed_forward.norm": "encoder.layer.{layer}.output.LayerNorm",
}
_DISTILBERT_ENCODER = _EMBEDDINGS | {
    "layers.{layer}.attention.query": "transformer.layer.{layer}.attention.q_lin",
    "layers.{layer}.attention.key": "transformer.layer.{layer}.attention.k_lin",
    "layers.{layer}.attention.value": "transformer.layer.{layer}.attention.v_lin",
    "layers.{layer}.attention.output": "transformer.layer.{layer}.attention.out_lin",
    "layers.{layer}.attention.norm": "transformer.layer.{layer}.sa_layer_norm",
    "layers.{layer}.feed_forward.inner": "transformer.layer.{layer}.ffn.lin1",
    "layers.{layer}.feed_forward.outer": "transformer.layer.{layer}.ffn.lin2",
    "layers.{layer}.feed_forward.norm": "transformer.layer.{layer}.output_layer_norm",
}
_BERT_HEAD = {"head.dense": "bert.pooler.dense", "classifier": "classifier"}
_DISTILBERT_HEAD = {"head.dense": "pre_classifier", "classifier": "classifier"}
_DENSE_HEAD = {"head.dense": "classifier.dense", "classifier": "classifier.out_proj"}


def _built(base: str, encoder: Mapping[str, str], classifier: Mapping[str, str], head: Head, **more: object) -> Family:
    names = EncoderNames(base, encoder, classifier)
    return Family(names=names, head=head, linear=names.linear, **more)  # type: ignore[arg-type]


_ROBERTA = _built("roberta", _BERT_ENCODER, _DENSE_HEAD, "tanh", positions_from_padding=True)
_FROM_PADDING = Family(positions_from_padding=True)
_LLAMA = Family(
    decoder=True, linear=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {
    "bert": _built("bert", _BERT_ENCODER, _BERT_HEAD, "tanh"),
    "distilbert": _built(
        "distilbert",
        _DISTILBERT_ENCODER,
        _DISTILBERT_HEAD,
        "relu",
        activation_key="activation",
        inner_width_key="hidden_dim",
    ),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert"), _ROBERTA),
    "electra": _built("electra", _BERT_ENCODER, _DENSE_HEAD, "gelu"),
    "deberta-v2": Family(linear=("query_proj", "key_proj", "value_proj", "dense")),
    "mpnet": Family(positions_from_padding=True, linear=("q", "k", "v", "o", "dense")),
    "modernbert": Family(linear=("Wqkv", "Wo", "Wi")),
    **dict.fromkeys(("roberta-prelayernorm", "xlm-roberta-xl", "data2vec-text", "xmod"), _FROM_PADDING),
    **dict.fromkeys(("longformer", "ibert", "luke", "mluke", "esm"), _FROM_PADDING),
    "gpt2": Family(decoder=True, linear=("c_attn", "c_proj", "c_fc")),
    "gpt_neo": Family(decoder=True, linear=("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj")),
    "gpt_neox": Family(decoder=True, linear=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")),
    "opt": Family(decoder=True, linear=("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _LLAMA),
}
"""Model type -> facts about its family. MiniLM has the model type "bert"."""

BUILT = tuple(model_type for model_type, family in FAMILIES.items() if family.names is not None)
"""Model types whose graphs are built from their weights."""

_UNKNOWN = Family()


def family_of(model_type: str) -> Family:
    """Return the facts about a model type; for an unknown one, those that most families have in common."""
    return FAMILIES.get(model_type, _UNKNOWN)


def weight_names(names: EncoderNames, *, layers: int, pooling: str, extractive: bool = False) -> dict[str, str]:
    """Return neutral name -> state_dict name of every weight that a model of the family may have.

    Args:
        names: the family's names.
        layers: number of layers.
        pooling: "cls" for transformers' own classifier class, "mean" for LiteFT's mean-pooled one, whose encoder is
            ``encoder`` and whose head is one linear layer, "none" for transformers' own token classifier class, which
            has such a head in every family.
        extractive: without pooling, take transformers' own class that finds answers; its head has another name.

    Returns:
        A one-to-one map, which may be inverted. Optional weights (token type embeddings, ELECTRA's projection) are in
        it whether the model has them or not.
    """
    base = "encoder" if pooling == "mean" else names.base
    head = names.head if pooling == "cls" else {"classifier": "qa_outputs" if extractive else "classifier"}
    modules: dict[str, str] = {}
    for neutral, theirs in names.encoder.items():
        for layer in range(layers if "{layer}" in neutral else 1):
            modules[neutral.format(layer=layer)] = f"{base}.{theirs.format(layer=layer)}"
    modules |= head
    whole = {neutral: theirs for neutral, theirs in modules.items() if neutral.endswith(".weight")}
    for neutral, theirs in modules.items():
        if neutral not in whole:
            whole |= {f"{neutral}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")}
    return whole
