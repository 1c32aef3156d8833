"""Training for int8: the model computes what its int8 graph computes, learns from it, and is itself again after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from liteft.config import make_recipe
from liteft.data import Dataset
from liteft.distillation.fake_quantization import (
    FakeQuantization,
    rounded_channels,
    rounded_nibbles,
)
from liteft.errors import ConfigError, RunError
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.precision import quantize_channels
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.tables import quantize_nibbles, unpack_nibbles
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier, load_classifier
from liteft.form import ExportForm
from liteft.run import Run
from liteft.schemes import SCHEMES, Range
from tests.distillation.students import distill
from tests.distillation.test_distill import QUICK, Stop, same
from tests.exporting.conftest import Workshop, random_texts, run_graph, workshop

__all__ = ["run_graph", "workshop"]

COARSE = ExportForm(weight_bits=7, embedding_bits=4)
FORMS = [ExportForm(), COARSE, ExportForm(scheme="static", embedding_bits=4)]
ROUGH = {"export": {"embedding_bits": 4, "weight_bits": 7}}


def matrix(seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(30, 64)).astype(np.float32))


@pytest.mark.parametrize("largest", [127, 64])
def test_weights_are_rounded_as_the_export_rounds_them(largest: int) -> None:
    steps, scales = quantize_channels(matrix().numpy(), largest)
    assert np.allclose(rounded_channels(matrix(), largest).numpy(), steps * scales[:, None], atol=1e-6)


def test_words_are_rounded_as_the_export_rounds_them() -> None:
    wanted = unpack_nibbles(*quantize_nibbles(matrix().numpy()))
    assert np.allclose(rounded_nibbles(matrix()).numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("rounding", [rounded_channels, SCHEMES["per_row"].rounded, rounded_nibbles])
def test_gradients_pass_the_rounding(rounding: Any) -> None:
    x = matrix().requires_grad_()
    rounded = rounding(x)
    assert not torch.equal(rounded, x)
    rounded.backward(matrix(1))
    assert torch.equal(x.grad, matrix(1))
    assert not rounding(torch.zeros(3, 8)).any()


PARTS = {
    "attention.self.query": "attention.query_key_value",
    "attention.output.dense": "attention.output",
    "intermediate.dense": "feed_forward.inner",
    "output.dense": "feed_forward.outer",
}


def ranges_of(rounding: FakeQuantization) -> dict[str, Range]:
    """The ranges of the inputs by the names of the graph's products."""
    found = {}
    for name, values in rounding.ranges.items():
        layer, part = name.partition(".layer.")[2].split(".", 1)
        if part in PARTS:
            found[f"layers.{layer}.{PARTS[part]}"] = values
    return found


def int8_logits(
    loaded: TorchClassifier, form: ExportForm, ranges: dict[str, Range], texts: list[str], run_graph: Any
) -> np.ndarray:
    """Logits of the int8 graph, a text at a time."""
    quantization = Int8Plan(form, ranges)
    model = Blueprint(loaded).flat("int8", quantization)
    logits = []
    for text in texts:
        ids = np.asarray(loaded.tokenizer.encode([text]).ids, dtype=np.int64)[None]
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        logits.append(run_graph(model, {value.name: feed[value.name] for value in model.graph.input}))
    return np.concatenate(logits)


@pytest.mark.parametrize("form", FORMS, ids=ExportForm.describe)
def test_the_model_computes_what_its_int8_graph_computes(form: ExportForm, workshop: Workshop, run_graph: Any) -> None:
    loaded, texts = workshop.loaded("bert", "mean"), random_texts(40)
    exact = predict_logits(loaded, texts)
    rounding = FakeQuantization(loaded, form, texts)
    try:
        rounded = np.concatenate([predict_logits(loaded, [text]) for text in texts])
        ranges = ranges_of(rounding)
    finally:
        rounding.close()
    graph = int8_logits(loaded, form, ranges, texts, run_graph)
    # A last bit moves a value to the next step here and there.
    assert np.abs(rounded - graph).mean() < 0.1 * np.abs(exact - graph).mean()
    assert np.array_equal(predict_logits(loaded, texts), exact)


def test_a_last_stage_learns_what_rounding_took(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    settings = QUICK | {"epochs": 6}
    plain = distill(teacher, dataset, out=tmp_path / "plain", **settings)
    aware = distill(
        teacher,
        dataset,
        out=tmp_path / "aware",
        recipe=make_recipe(ROUGH),
        **settings,
        quantized_epochs=6,
        quantized_learning_rate=1e-3,
    )
    target = predict_logits(load_classifier(teacher.model_path), dataset.train.texts)
    losses = [rounded_loss(run, dataset, target) for run in (plain, aware)]
    assert losses[1] < 0.8 * losses[0]
    assert aware.info["quantized"] == {"scheme": "per_row", "weight_bits": 7, "embedding_bits": 4}
    assert aware.info["float"]["best_metric"] and "quantized" not in plain.info


def rounded_loss(run: Run, dataset: Dataset, target: np.ndarray) -> float:
    loaded = load_classifier(run.model_path)
    rounding = FakeQuantization(loaded, COARSE, dataset.train.texts)
    found = predict_logits(loaded, dataset.train.texts)
    rounding.close()
    return float(np.square(found - target).mean())


def test_a_killed_last_stage_resumes_in_the_same_bits(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    settings: dict[str, Any] = QUICK | {"quantized_epochs": 2, "recipe": make_recipe(ROUGH)}
    whole = distill(teacher, dataset, out=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        distill(teacher, dataset, out=tmp_path / "killed", callbacks=[Stop(18)], **settings)
    assert same(distill(teacher, dataset, out=tmp_path / "killed", **settings), whole)


def test_a_finished_student_goes_on_with_its_head(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    first = distill(teacher, dataset, out=tmp_path / "first", **QUICK)
    settings = QUICK | {"size": None, "student": str(first.model_path), "epochs": 0, "quantized_epochs": 1}
    second = distill(teacher, dataset, out=tmp_path / "second", **settings, quantized_learning_rate=1e-6)
    ours, theirs = (predict_logits(load_classifier(run.model_path), dataset.train.texts) for run in (first, second))
    assert 0 < np.abs(ours - theirs).max() < 0.1


def test_another_form_is_another_run(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    settings = QUICK | {"epochs": 1, "quantized_epochs": 1}
    distill(teacher, dataset, out=tmp_path / "run", **settings)
    with pytest.raises(RunError):
        distill(teacher, dataset, out=tmp_path / "run", recipe=make_recipe(ROUGH), **settings)


def test_no_epochs_at_all_is_an_error(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no epochs learns nothing"):
        distill(teacher, dataset, out=tmp_path / "run", **(QUICK | {"epochs": 0}))
