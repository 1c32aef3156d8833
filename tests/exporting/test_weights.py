"""Weights are read whole, under names that go both ways, and a model that does not fit says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from liteft.encoder.families import BUILT, family_of, weight_names
from liteft.encoder.spec import POOLINGS
from liteft.exporting.weights import find_spec, read_weights


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", BUILT)
def test_names_go_both_ways(family: str, pooling: str) -> None:
    names = weight_names(family_of(family).names, layers=3, pooling=pooling)
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "camembert", "electra-projected"])
def test_neutral_weights_give_the_state_dict_back(family: str, pooling: str, workshop: Any) -> None:
    loaded = workshop.loaded(family, pooling, paired=True)
    weights = read_weights(loaded)
    names = weight_names(family_of(loaded.config.model_type).names, layers=weights.spec.layers, pooling=pooling)
    state = loaded.model.state_dict()
    again = {names[ours]: array for ours, array in weights.tensors.items()}
    assert set(again) == set(state)
    for name, array in again.items():
        np.testing.assert_array_equal(array, state[name].numpy())


def test_the_type_embedding_is_folded_into_positions_where_there_are_no_pairs(workshop: Any) -> None:
    loaded = workshop.loaded("bert")
    weights = read_weights(loaded)
    embeddings = loaded.model.bert.embeddings
    expected = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
    assert "embeddings.type.weight" not in weights.tensors
    np.testing.assert_array_equal(weights.tensors["embeddings.position.weight"], expected.detach().numpy())


def test_reading_leaves_the_model_alone_and_copies_no_table(workshop: Any) -> None:
    loaded = workshop.loaded("bert")
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    words = read_weights(loaded).tensors["embeddings.word.weight"]
    assert all(torch.equal(before[name], tensor) for name, tensor in loaded.model.state_dict().items())
    assert np.shares_memory(words, loaded.model.bert.embeddings.word_embeddings.weight.detach().numpy())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "mish"}, "activation mish"),
        ({"is_decoder": True}, "decoder"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
    ],
)
def test_an_encoder_that_does_not_fit_says_why(changes: dict[str, Any], words: str, workshop: Any) -> None:
    loaded = workshop.loaded("bert")
    for name, value in changes.items():
        setattr(loaded.config, name, value)
    reason = find_spec(loaded)
    assert isinstance(reason, str) and words in reason
    with pytest.raises(ValueError, match=words):
        read_weights(loaded)


def test_a_weight_that_no_family_member_has_is_a_reason(workshop: Any) -> None:
    loaded = workshop.loaded("bert")
    loaded.model.bert.adapter = torch.nn.Linear(2, 2)
    assert "bert.adapter.bias" in str(find_spec(loaded))


def test_pruned_heads_are_a_reason(workshop: Any) -> None:
    loaded = workshop.loaded("bert")
    loaded.model.bert.encoder.layer[1].attention.self.query = torch.nn.Linear(64, 32)
    assert "has shape (32" in str(find_spec(loaded))


def test_another_family_is_a_reason(workshop: Any) -> None:
    assert "family gpt2" in str(find_spec(workshop.loaded("gpt2", "last")))
