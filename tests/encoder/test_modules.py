"""What a name means is read off the families, and holds for every one of them."""

from __future__ import annotations

import pytest

from liteft.encoder.families import BUILT, FAMILIES, family_of, weight_names
from liteft.encoder.modules import HEAD_MODULES, in_head, is_quantized, read_layer, role_of

ROLES = {
    "attention.query": "attention.input",
    "attention.key": "attention.input",
    "attention.value": "attention.input",
    "attention.output": "attention.output",
    "attention.norm": "norm",
    "feed_forward.inner": "feed_forward.inner",
    "feed_forward.outer": "feed_forward.outer",
    "feed_forward.norm": "norm",
    "embeddings.norm": "norm",
    "embeddings.word": "embeddings",
    "embeddings.position": "embeddings",
    "embeddings.type": "embeddings",
    "embeddings.project": None,
    "head.dense": "head.dense",
    "classifier": "classifier",
}


def named(family: str, pooling: str) -> dict[str, str]:
    """Return neutral name -> transformers' name of every weight of a classifier of three layers."""
    names = family_of(family).names
    assert names is not None
    return weight_names(names, layers=3, pooling=pooling)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", BUILT)
def test_every_weight_of_a_built_family_has_its_role_and_its_layer(family: str, pooling: str) -> None:
    for ours, theirs in named(family, pooling).items():
        part = ours.rsplit(".", 1)[0]
        layer = read_layer(theirs)
        if part.startswith("layers."):
            _, number, part = part.split(".", 2)
            assert layer is not None and layer.number == int(number)
            assert theirs == f"{layer.layer}.{layer.rest}"
        else:
            assert layer is None
        assert role_of(theirs) == ROLES[part]


@pytest.mark.parametrize("family", BUILT)
def test_the_head_is_what_stands_outside_the_encoder(family: str) -> None:
    for ours, theirs in named(family, "cls").items():
        assert in_head(theirs) == ours.startswith(("head.", "classifier."))


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        *((module, True) for module in HEAD_MODULES),
        ("bert.pooler.dense.weight", True),
        ("transformer.score", True),
        ("bert.encoder.layer.0.classifier_norm.weight", False),
        ("scores.weight", False),
    ],
)
def test_a_head_is_known_by_whole_parts_of_a_name(name: str, inside: bool) -> None:
    assert in_head(name) == inside


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("transformer.h.11.attn.c_attn", 11),
        ("layers.2.mlp.Wi", 2),
        ("model.layers.0.attn.Wo", 0),
        ("bert.pooler", None),
    ],
)
def test_layers_of_families_that_are_traced_are_found_as_well(name: str, number: int | None) -> None:
    found = read_layer(name)
    assert (found and found.number) == number


@pytest.mark.parametrize("family", BUILT)
def test_int8_takes_the_products_of_the_layers_and_the_projection(family: str) -> None:
    for ours, theirs in named(family, "cls").items():
        linear = ours.endswith(".bias") and ".norm" not in ours
        if linear:
            inside = ours.startswith(("layers.", "embeddings.project"))
            assert is_quantized(theirs.removesuffix(".bias")) == inside


def test_an_adapter_goes_on_every_linear_layer_of_a_built_encoder() -> None:
    bert = ("query", "key", "value", "dense", "embeddings_project")
    assert {FAMILIES[name].linear for name in BUILT if name != "distilbert"} == {bert}
    assert FAMILIES["distilbert"].linear[:6] == ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2")


def test_of_a_family_that_is_not_known_nothing_is_claimed() -> None:
    found = family_of("made-up")
    assert found.names is None and not found.linear and not found.decoder and not found.positions_from_padding
