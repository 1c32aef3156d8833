"""Pooled features of every layer, and what is close to the best of them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liteft.advising.judges import Scored, as_many_as_fitted, difference
from liteft.advising.probe import LayerProbe, layer_features, probe_base
from liteft.advising.sample import draw
from liteft.data import Dataset, Split
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


@pytest.mark.parametrize(("held", "named"), [(0, 0), (8, 8), (7, 8), (1, 0)])
def test_equal_logits_are_named_together_and_none_or_all_can_be(held: int, named: int) -> None:
    labels = np.arange(8)[:, None] < held
    train = Split("train", [f"text {number}" for number in range(8)], None, labels)
    sample = draw(Dataset("one", "multi_label", ("a",), {"train": train}), most=8, seed=0)
    assert (as_many_as_fitted(np.zeros((8, 1)), np.arange(8), sample) > 0).sum() == named
    if held in (0, 8):
        assert (as_many_as_fitted(np.arange(8.0)[:, None], np.arange(8), sample) > 0).sum() == named


def test_repeated_texts_do_not_make_a_difference_surer() -> None:
    def width(copies: int) -> float:
        labels = np.repeat(np.arange(60) % 2, copies)
        texts = [f"text {number}" for number in np.repeat(np.arange(60), copies)]
        train = Split("train", texts, None, labels)
        sample = draw(Dataset("repeats", "single_label", ("a", "b"), {"train": train}), most=600, seed=0)
        random = np.random.default_rng(0)
        scored = [
            Scored(np.repeat(random.normal(size=(60, 2)), copies, axis=0), {"accuracy": 0.5}, {}) for _ in range(2)
        ]
        low, high = difference(*scored, sample, seed=0)[1]
        return high - low

    assert width(10) == pytest.approx(width(1))


def test_judges_of_several_labels_name_as_many_as_their_texts_have(tiny: ModuleType) -> None:
    sample = draw(tiny.make_multi(), most=1000, seed=0)
    logits = np.random.default_rng(0).normal(-5, 1, size=(48, 3))
    fitted = np.arange(20)
    found = as_many_as_fitted(logits, fitted, sample)
    assert (found > 0).sum() == round(sample.gold[fitted].sum() / 20 * 48)
    assert (np.argsort(found, axis=None) == np.argsort(logits.astype(np.float32), axis=None)).mean() > 0.9
