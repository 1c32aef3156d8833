"""The layout says what is stored before anything is: names, order and shapes of every family's weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from liteft.encoder.families import BUILT
from liteft.encoder.layout import WORDS, layout, stored_shapes
from liteft.encoder.operator import ATTRIBUTES, VERSION, version_of, with_defaults, without_defaults
from liteft.encoder.spec import POOLINGS
from liteft.exporting.builder import GraphBuilder
from liteft.exporting.graph import emit_classifier
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.weights import read_weights
from liteft.finetuning.model import uses_type_ids
from liteft.form import ExportForm

KEPT = {"layers.0.attention.output": "float", "layers.1.feed_forward.inner": "weight_only"}
REQUIRED = {"inputs": "input_ids attention_mask", "layers": 2, "heads": 4}


@pytest.mark.parametrize("form", ["fp32", "fp16", "int8", "4 bits", "mixed"])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", [*BUILT, "electra-projected"])
def test_a_graph_stores_the_weights_of_the_layout_in_its_order(
    family: str, pooling: str, form: str, workshop: Any
) -> None:
    loaded = workshop.loaded(family, pooling)
    loaded.settings = replace(loaded.settings, paired=uses_type_ids(loaded.config))
    weights = read_weights(loaded)
    four, mixed = Int8Plan(ExportForm(embedding_bits=4)), Int8Plan(fallbacks=KEPT)  # type: ignore[arg-type]
    quantization = {"4 bits": four, "mixed": mixed}.get(form)
    builder = GraphBuilder()
    precision: Any = form if form in ("fp32", "fp16") else "int8"
    tokens = ["input_ids", "attention_mask", *(["token_type_ids"] if weights.spec.has_token_types else [])]
    emit_classifier(builder, weights, *tokens, precision=precision, quantization=quantization)
    found = {
        name: (1 if array.ndim == 1 else len(array), array.shape[-1] * (2 if array.dtype == "uint8" else 1))
        for name, array in builder.weights.items()
    }
    whole = {"layers.0.attention.output"} if form == "mixed" else set()
    wanted = stored_shapes(weights.spec, lambda slot: precision == "int8" and slot.name not in whole)
    assert list(found.items()) == list(wanted.items())


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", [*BUILT, "electra-projected"])
def test_a_layout_names_every_weight_of_the_model_once(family: str, pooling: str, workshop: Any) -> None:
    weights = read_weights(workshop.loaded(family, pooling))
    sources = [item for slot in layout(weights.spec) for item in slot.source_shapes().items()]
    assert len(sources) == len(weights.tensors)
    assert dict(sources) == {name: array.shape for name, array in weights.tensors.items()}


def test_the_head_and_the_norms_stay_in_float(workshop: Any) -> None:
    slots = layout(read_weights(workshop.loaded("bert")).spec)
    assert [slot.name for slot in slots if slot.kind == "linear" and not slot.quantizable] == [
        "head.dense",
        "classifier",
    ]
    assert not any(slot.quantizable for slot in slots if slot.kind == "norm")
    assert slots[0].name == WORDS


def test_what_equals_its_default_is_not_written_and_reads_as_before() -> None:
    defaults = {name: each.default for name, each in ATTRIBUTES.items() if each.default is not None}
    assert without_defaults({**REQUIRED, **defaults}) == REQUIRED
    values = with_defaults(REQUIRED)
    assert {name: value for name, value in values.items() if name not in ("epsilon", *REQUIRED)} == {
        name: value for name, value in defaults.items() if name != "epsilon"
    }
    assert with_defaults(values) == values and without_defaults(values) == REQUIRED


def test_epsilon_is_compared_as_the_file_holds_it() -> None:
    nearly = 1e-12 * (1 + 1e-9)  # the same float32
    assert nearly != 1e-12
    assert "epsilon" not in without_defaults({"epsilon": nearly})
    assert without_defaults({"epsilon": 1e-5}) == {"epsilon": 1e-5}


def test_an_attribute_without_a_default_has_to_be_written() -> None:
    with pytest.raises(KeyError, match="heads"):
        with_defaults({"inputs": "a b", "layers": 2})


def test_a_file_names_the_lowest_version_that_knows_what_is_written() -> None:
    assert version_of(REQUIRED) == 1
    assert max(attribute.since for attribute in ATTRIBUTES.values()) == VERSION
