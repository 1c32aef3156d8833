"""Families of transformers: one record for each model type that LiteFT knows something about.

A family whose weights have names here is built: its graph is written from its weights, and the native engine runs
it. The names are templates, neutral name on the left, transformers' name on the right, ``{layer}`` where a layer's
number stands. The neutral side is what the graph and the native engine are written against, so that a new family of
the same architecture is a record here and no code. What the families compute differs in three places only: where
positions come from, the activation in the head, and ELECTRA's projection after the embeddings.

Every other family is traced. Of those the records say what a configuration does not.
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
"""transformers' activation names that the graph can write in one or two standard operators."""


@dataclass(frozen=True, slots=True)
class EncoderNames:
    """What a family calls its weights.

    Attributes:
        base: what stands before the encoder's names in the family's classifier class.
        encoder: neutral name -> transformers' name, below the base; optional ones are skipped where absent.
        head: neutral name -> transformers' name of the classifier class' own head, from the top.
    """

    base: str
    encoder: Mapping[str, str]
    head: Mapping[str, str]

    @property
    def linear(self) -> tuple[str, ...]:
        """Last parts of the names of the encoder's linear layers, those that not every model has among them."""
        layers = [theirs for ours, theirs in self.encoder.items() if "{layer}" in ours and not ours.endswith(".norm")]
        return tuple(dict.fromkeys(name.rsplit(".", 1)[-1] for name in (*layers, self.encoder["embeddings.project"])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What is known of one family of transformers.

    Attributes:
        names: of its weights, where its graph is built from them; None where it is traced.
        head: the activation after the dense layer of its classifier's own head.
        activation_key: the configuration key that names the feed-forward activation.
        inner_width_key: the configuration key of the feed-forward width.
        epsilon: of every LayerNorm, where the configuration has no layer_norm_eps.
        positions_from_padding: positions count the tokens that are not padding, from pad_token_id + 1, instead of
            columns: the rows of the position table up to the padding's stand for no token.
        decoder: its classifier reads the last token.
        linear: last parts of the names of the linear layers that its encoder or decoder may have: those that get an
            adapter. Empty where they are not known.
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
"""Model type -> what is known of it. MiniLM is a BERT."""

BUILT = tuple(model_type for model_type, family in FAMILIES.items() if family.names is not None)
"""Model types whose graphs are built from their weights."""

_UNKNOWN = Family()


def family_of(model_type: str) -> Family:
    """Return what is known of a model type; of one that is not known, what most families have in common."""
    return FAMILIES.get(model_type, _UNKNOWN)


def weight_names(names: EncoderNames, *, layers: int, pooling: str) -> dict[str, str]:
    """Return neutral name -> state_dict name of every weight the family may have.

    Args:
        names: the family's.
        layers: number of layers.
        pooling: "cls" for transformers' own classifier class, "mean" for the mean-pooled one, whose encoder
            lies under ``encoder.`` and whose head is one linear layer.

    Returns:
        A one-to-one map: inverted, it names the weights the other way. Optional weights (type embeddings,
        ELECTRA's projection) are in it whether the model has them or not.
    """
    base, head = (names.base, names.head) if pooling == "cls" else ("encoder", {"classifier": "classifier"})
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
