"""What the encoder families of transformers call their weights, as data that reads in both directions.

A family is a set of templates: neutral name on the left, transformers' name on the right, ``{layer}`` where a
layer's number stands. The neutral side is what the graph and the native engine are written against,
so that a new family is a table here and no code. What the families compute differs in three places only:
where positions come from, the head's form, and ELECTRA's projection after the embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["ACTIVATIONS", "FAMILIES", "Activation", "Family", "HeadForm", "weight_names"]

HeadForm = Literal["tanh", "relu", "gelu", "none"]
Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]

ACTIVATIONS: Mapping[str, Activation] = {
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
"""transformers' activation names that the graph can write in one or two standard operators."""


@dataclass(frozen=True, slots=True)
class Family:
    """One encoder family of transformers.

    Attributes:
        prefix: what stands before the encoder's names in the family's classifier class.
        encoder: neutral name -> transformers' name, below the prefix; optional ones are skipped where absent.
        head: neutral name -> transformers' name of the classifier class' own head, from the top.
        head_form: the activation after the head's dense layer.
        activation_key: the configuration key that names the feed-forward activation.
        epsilon: of every LayerNorm, where the configuration has no layer_norm_eps.
        counts_tokens: positions count the tokens that are not padding, from pad_token_id + 1, instead of
            columns.
    """

    prefix: str
    encoder: Mapping[str, str]
    head: Mapping[str, str]
    head_form: HeadForm
    activation_key: str = "hidden_act"
    epsilon: float = 1e-12
    counts_tokens: bool = False


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
_DENSE_HEAD = {"head.dense": "classifier.dense", "classifier": "classifier.out_proj"}
_ROBERTA = Family("roberta", _BERT_ENCODER, _DENSE_HEAD, "tanh", counts_tokens=True)

FAMILIES: Mapping[str, Family] = {
    "bert": Family("bert", _BERT_ENCODER, {"head.dense": "bert.pooler.dense", "classifier": "classifier"}, "tanh"),
    "distilbert": Family(
        "distilbert",
        _DISTILBERT_ENCODER,
        {"head.dense": "pre_classifier", "classifier": "classifier"},
        "relu",
        activation_key="activation",
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Family("electra", _BERT_ENCODER, _DENSE_HEAD, "gelu"),
}
"""Model types that are built from their weights. MiniLM is a BERT."""


def weight_names(family: Family, *, layers: int, pooling: str) -> dict[str, str]:
    """Return neutral name -> state_dict name of every weight the family may have.

    Args:
        family: the family.
        layers: number of layers.
        pooling: "cls" for transformers' own classifier class, "mean" for the mean-pooled one, whose encoder
            lies under ``encoder.`` and whose head is one linear layer.

    Returns:
        A one-to-one map: inverted, it names the weights the other way. Optional weights (type embeddings,
        ELECTRA's projection) are in it whether the model has them or not.
    """
    prefix, head = (family.prefix, family.head) if pooling == "cls" else ("encoder", {"classifier": "classifier"})
    names: dict[str, str] = {}
    for neutral, theirs in family.encoder.items():
        for layer in range(layers if "{layer}" in neutral else 1):
            names[neutral.format(layer=layer)] = f"{prefix}.{theirs.format(layer=layer)}"
    names |= head
    whole = {neutral: theirs for neutral, theirs in names.items() if neutral.endswith(".weight")}
    for neutral, theirs in names.items():
        if neutral not in whole:
            whole |= {f"{neutral}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")}
    return whole
