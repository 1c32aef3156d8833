"""Pooled features of every layer, and what is close to the best of them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liteft.advising.judges import as_many_as_fitted
from liteft.advising.probe import LayerProbe, layer_features, probe_base
from liteft.advising.sample import draw
from liteft.data import Dataset
from liteft.finetuning.base import create_classifier
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.settings import Pooling
from tests.cache import Cache


@pytest.fixture(scope="session")
def opened(tiny: ModuleType, cache: Cache) -> Callable[..., TorchClassifier]:
    """A function from a family and a pooling to an untrained classifier."""

    def make(family: str, pooling: Pooling) -> TorchClassifier:
        folder = cache(f"advising-{family}", lambda place: tiny.write_base(place, family))
        common: dict[str, Any] = {"labels": tiny.LABELS, "task": "single_label", "max_tokens": 16, "paired": False}
        return create_classifier(folder, pooling=pooling, **common)

    return make


def test_the_last_layers_features_are_what_a_mean_pooled_head_reads(
    opened: Callable[..., TorchClassifier], dataset: Dataset
) -> None:
    loaded = opened("bert", "mean")
    features = layer_features(loaded, dataset.train, bf16=False)
    assert features.shape == (3, 90, 32) and features.dtype == np.float32
    head: Any = loaded.model.classifier
    logits = features[-1] @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    assert logits == pytest.approx(predict_logits(loaded, dataset.train.texts), abs=1e-4)


@pytest.mark.parametrize(("family", "pooling"), [("bert", "cls"), ("distilbert", "mean"), ("gpt2", "last")])
def test_features_of_a_text_do_not_depend_on_its_company(
    family: str, pooling: Pooling, opened: Callable[..., TorchClassifier], dataset: Dataset
) -> None:
    loaded = opened(family, pooling)
    alone = layer_features(loaded, dataset.train.take([7]), bf16=False)
    among = layer_features(loaded, dataset.train, bf16=False)[:, [7]]
    assert alone == pytest.approx(among, abs=1e-4)


def test_layers_of_a_base_that_knows_the_topics_separate_them(
    opened: Callable[..., TorchClassifier], dataset: Dataset
) -> None:
    sample = draw(dataset, most=90, seed=0)
    found = probe_base("tiny", opened("bert", "mean"), sample, bf16=False, seed=0, progress=lambda line: None)
    assert found.depth == 2 and found.width == 32 and found.pooling == "mean"
    assert found.scored.metrics["accuracy"] > 0.9
    assert found.layers[found.best].behind == 0 and found.layers[found.best].close
    assert 1 <= found.first_close <= 2


def test_a_layer_is_close_within_noise_or_within_a_point() -> None:
    def layer(behind: float, low: float, high: float) -> LayerProbe:
        return LayerProbe(1, {}, {}, behind, (low, high))

    assert layer(0.02, -0.001, 0.041).close
    assert layer(0.008, 0.004, 0.012).close
    assert not layer(0.03, 0.002, 0.058).close
    assert not layer(0.03, -0.02, 0.08).close  # few texts: it may be far behind


def test_judges_of_several_labels_name_as_many_as_their_texts_have(tiny: ModuleType) -> None:
    sample = draw(tiny.make_multi(), most=1000, seed=0)
    logits = np.random.default_rng(0).normal(-5, 1, size=(48, 3))
    fitted = np.arange(20)
    found = as_many_as_fitted(logits, fitted, sample)
    assert (found > 0).sum() == round(sample.gold[fitted].sum() / 20 * 48)
    assert (np.argsort(found, axis=None) == np.argsort(logits.astype(np.float32), axis=None)).mean() > 0.9
