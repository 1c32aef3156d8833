"""Settings that must reach the training, asserted by what they do to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from liteft.data import Dataset, Split
from liteft.errors import ConfigError, MissingExtraError
from liteft.finetuning import finetune
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.finetuning.trainer import resolve_precision, training_arguments
from liteft.recipes import TeacherRecipe
from liteft.run import Run
from tests.finetuning.conftest import LABELS, QUICK, make_dataset

Get = Callable[[str], Path]


class Watching(TrainerCallback):
    """Keeps what a training looks like from inside."""

    def __init__(self) -> None:
        self.optimizer: Any = None
        self.rates: list[float] = []
        self.autocast: list[bool] = []
        self.widths: list[tuple[int, ...]] = []
        self.weights: list[torch.Tensor] = []

    def on_train_begin(self, _args: Any, _state: Any, _control: Any, model: Any = None, **_rest: Any) -> None:
        def before_model(_module: Any, _inputs: Any, keywords: dict[str, Any]) -> None:
            if model.training:
                self.widths.append(tuple(keywords["input_ids"].shape))

        def before_head(_module: Any, _inputs: Any) -> None:
            self.autocast.append(torch.is_autocast_enabled("cpu"))

        model.register_forward_pre_hook(before_model, with_kwargs=True)
        model.classifier.register_forward_pre_hook(before_head)
        self.weights.append(model.classifier.weight.detach().clone())

    def on_step_end(
        self, _args: Any, _state: Any, _control: Any, model: Any = None, optimizer: Any = None, **_rest: Any
    ) -> None:
        self.optimizer = optimizer
        self.weights.append(model.classifier.weight.detach().clone())


@pytest.fixture
def train(base: Get, dataset: Dataset, tmp_path: Path) -> Callable[..., tuple[Run, Watching]]:
    """A function that trains under some settings and returns the run and what was seen."""

    def run(data: Dataset = dataset, **settings: Any) -> tuple[Run, Watching]:
        watching = Watching()
        out = tmp_path / f"run {len(list(tmp_path.iterdir()))}"
        return finetune(base("bert"), data, out=out, callbacks=[watching], **{**QUICK, **settings}), watching

    return run


def log(run: Run, name: str) -> list[float]:
    entries = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    return [entry[name] for entry in entries if name in entry]


@pytest.mark.parametrize(
    ("optimizer", "kind", "rate"),
    [
        ("adamw", "AdamW", 5e-3),
        ("sgd", "SGD", 0.5),
        ("adafactor", "Adafactor", 5e-3),
        ("adamw8bit", "AdamW", 5e-3),
    ],
)
def test_every_optimizer_lowers_the_loss(train: Any, optimizer: str, kind: str, rate: float) -> None:
    if optimizer == "adamw8bit":
        pytest.importorskip("bitsandbytes", reason="the 8-bit optimizer is an extra of Linux")
    run, seen = train(optimizer=optimizer, learning_rate=rate, epochs=4, dropout=0.0)
    losses = log(run, "loss")
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    inner = getattr(seen.optimizer, "optimizer", seen.optimizer)
    assert type(inner).__name__ == kind
    assert type(inner).__module__.startswith("bitsandbytes") == (optimizer == "adamw8bit")


def test_eight_bit_states_are_really_eight_bits(train: Any, base: Get, dataset: Dataset) -> None:
    """Small tensors stay in 32 bits, so it takes a matrix of more than 4096 weights."""
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="the 8-bit optimizer is an extra of Linux")
    optimizer = bitsandbytes.optim.AdamW8bit([torch.nn.Parameter(torch.ones(128, 128))])
    assert optimizer.args.optim_bits == 8
    _, seen = train(optimizer="adamw8bit", max_steps=1)
    inner = getattr(seen.optimizer, "optimizer", seen.optimizer)
    assert inner.args.optim_bits == 8


def test_a_missing_bitsandbytes_is_an_error_that_says_what_to_install(
    base: Get, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match="adamw8bit needs bitsandbytes") as caught:
        finetune(base("bert"), dataset, out=tmp_path / "run", **{**QUICK, "optimizer": "adamw8bit"})
    assert "--optimizer adamw" in caught.value.command_hints()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", lambda done: 1 - done),
        ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
        ("constant", lambda done: 1.0),
    ],
)
def test_the_rate_warms_up_and_then_follows_its_schedule(
    train: Any, schedule: str, expected: Callable[[float], float]
) -> None:
    run, _ = train(schedule=schedule, warmup=0.25, learning_rate=1e-3)
    rates = log(run, "learning_rate")
    assert rates[:3] == pytest.approx([0, 1e-3 / 3, 2e-3 / 3])
    assert rates[3:] == pytest.approx([1e-3 * expected((step - 3) / 9) for step in range(3, 12)])


def test_without_warm_up_the_first_rate_is_the_full_one(train: Any) -> None:
    assert log(train(warmup=0.0, max_steps=2)[0], "learning_rate")[0] == pytest.approx(QUICK["learning_rate"])


def test_weight_decay_spares_biases_and_norms(train: Any) -> None:
    _, seen = train(weight_decay=0.3, max_steps=1)
    groups = {group["weight_decay"]: group["params"] for group in seen.optimizer.param_groups}
    assert set(groups) == {0.3, 0.0}
    assert {parameter.ndim for parameter in groups[0.3]} == {2}
    assert {parameter.ndim for parameter in groups[0.0]} == {1}


def test_accumulated_batches_are_one_large_batch(train: Any) -> None:
    """Without dropout, and with texts of one length, four batches of four give the steps of one of sixteen."""
    same = {"dropout": 0.0, "group_by_length": False, "optimizer": "sgd", "learning_rate": 0.1, "max_steps": 3}
    large, seen_large = train(batch_size=16, **same)
    small, seen_small = train(batch_size=4, gradient_accumulation=4, **same)
    assert [shape[0] for shape in seen_small.widths] == [4] * 12
    assert [shape[0] for shape in seen_large.widths] == [16] * 3
    torch.testing.assert_close(seen_small.weights[-1], seen_large.weights[-1], atol=1e-5, rtol=1e-4)
    assert log(small, "loss") == pytest.approx(log(large, "loss"), rel=1e-4)


def test_clipping_bounds_a_step(train: Any) -> None:
    same = {"optimizer": "sgd", "learning_rate": 1.0, "warmup": 0.0, "weight_decay": 0.0, "max_steps": 1}
    run, clipped = train(max_grad_norm=0.01, **same)
    assert log(run, "grad_norm")[0] > 0.1
    assert (clipped.weights[1] - clipped.weights[0]).norm() <= 0.0101
    _, free = train(max_grad_norm=0.0, **same)
    assert (free.weights[1] - free.weights[0]).norm() > 0.05


def test_batches_hold_texts_of_similar_length_unless_told_otherwise(train: Any) -> None:
    padded = {}
    for group in (True, False):
        _, seen = train(group_by_length=group, max_tokens=40, epochs=1)
        padded[group] = sum(texts * tokens for texts, tokens in seen.widths)
    assert padded[True] < padded[False]


def test_smoothing_keeps_the_model_from_certainty(train: Any) -> None:
    same = {"epochs": 6, "pooling": "mean", "dropout": 0.0}
    surest = [
        float(np.abs(train(label_smoothing=smoothing, **same)[0].predictions("train")[0]).max())
        for smoothing in (0.0, 0.5)
    ]
    assert surest[1] < surest[0]


def test_balanced_weights_help_the_rare_class(train: Any) -> None:
    data = make_dataset(train=96)
    labels = data.train.labels
    assert labels is not None
    rows = [row for row, label in enumerate(labels) if label != 2 or row < 12]
    splits = {**data.splits, "train": data.train.take(rows)}
    rare = Dataset("rare", "single_label", LABELS, splits)
    shares = [
        float(np.mean(train(rare, class_weights=weights, max_steps=6, dropout=0.0)[0].predictions("test")[0][:, 2]))
        for weights in ("none", "balanced")
    ]
    assert shares[1] > shares[0]


def test_training_stops_when_validation_stops_improving(train: Any) -> None:
    run, _ = train(early_stopping=2, epochs=20, learning_rate=1e-9)
    assert run.info["steps"] == 3 * 6
    assert run.info["best_step"] == 6


def test_without_patience_training_goes_to_its_end(train: Any) -> None:
    assert train(early_stopping=0, epochs=4, learning_rate=1e-9)[0].info["steps"] == 24


def test_multi_label_patience_watches_its_own_metric(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    gold = {name: np.eye(3, dtype=bool)[split.labels] for name, split in dataset.splits.items()}
    splits = {name: Split(name, split.texts, None, gold[name]) for name, split in dataset.splits.items()}
    data = Dataset("x", "multi_label", LABELS, splits)
    settings = {**QUICK, "early_stopping": 1, "epochs": 9, "learning_rate": 1e-9}
    assert finetune(base("bert"), data, out=tmp_path / "run", **settings).info["steps"] == 12


def test_the_same_seed_gives_the_same_weights_and_another_does_not(train: Any) -> None:
    hashes = [train(seed=seed, max_steps=3)[0].info["weights_sha256"] for seed in (5, 5, 6)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_bf16_autocasts_while_training_and_keeps_float32_weights(train: Any) -> None:
    run, seen = train(training_precision="bf16")
    *during, validation, test = seen.autocast
    assert len(during) > 12
    assert all(during)
    assert not validation and not test, "what is reported is computed in float32"
    assert run.info["precision"] == "bf16"
    assert {tensor.dtype for tensor in seen.weights} == {torch.float32}
    assert run.metrics["test"]["accuracy"] > 0.6


def test_what_a_bf16_run_reports_is_what_its_saved_model_says_in_float32(train: Any, dataset: Dataset) -> None:
    run, _ = train(training_precision="bf16")
    logits = predict_logits(load_classifier(run.model_path), dataset.test.texts)
    np.testing.assert_allclose(run.predictions("test")[0], logits, atol=1e-5)


def test_fp32_does_not_autocast(train: Any) -> None:
    run, seen = train(training_precision="fp32", max_steps=2)
    assert not any(seen.autocast)
    assert run.info["precision"] == "fp32"


def test_auto_takes_bf16_where_the_processor_multiplies_in_it(train: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("the processor decides only on a machine without a GPU")
    able = torch.cpu._is_avx512_bf16_supported()
    run, seen = train(training_precision="auto", max_steps=2)
    assert run.info["precision"] == ("bf16" if able else "fp32")
    assert seen.autocast[0] is able


@pytest.mark.parametrize(
    ("cuda", "able", "asked", "expected"),
    [
        (True, True, "auto", "bf16"),
        (True, False, "auto", "fp32"),
        (True, True, "fp32", "fp32"),
        (False, True, "auto", "bf16"),
        (False, False, "auto", "fp32"),
        (False, False, "bf16", "bf16"),
    ],
)
def test_precision_is_decided_by_what_the_device_can_do(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, able: bool, asked: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: able)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    assert resolve_precision(asked) == expected


def test_bf16_on_a_gpu_without_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    with pytest.raises(ConfigError, match="does not compute in bfloat16") as caught:
        resolve_precision("bf16")
    assert caught.value.command_hints() == ["--training-precision fp32"]


OPEN: dict[str, Any] = {"learning_rate": 5e-5, "epochs": 3, "evaluations_per_epoch": 1}  # by liteft.defaults


@pytest.mark.parametrize(
    ("settings", "texts", "expected"),
    [
        ({"epochs": 3, "batch_size": 32}, 1000, (96, 32, 32)),
        ({"epochs": 3, "batch_size": 32, "gradient_accumulation": 5}, 1000, (21, 7, 7)),
        ({"epochs": 0.5, "batch_size": 32}, 1000, (16, 16, 16)),
        ({"max_steps": 10, "batch_size": 32}, 1000, (10, 10, 10)),
        ({"epochs": 2, "batch_size": 32, "evaluations_per_epoch": 4}, 1000, (64, 8, 8)),
        ({"epochs": 2, "batch_size": 32, "evaluations_per_epoch": 999}, 1000, (64, 1, 1)),
        ({"epochs": 2, "batch_size": 32, "checkpoint_steps": 5}, 1000, (64, 32, 5)),
        ({"epochs": 2, "batch_size": 32, "checkpoint_steps": 500}, 1000, (64, 32, 32)),
        ({"epochs": 2, "batch_size": 32}, 1, (2, 1, 1)),
    ],
)
def test_steps_between_evaluations_and_checkpoints(
    tmp_path: Path, settings: dict[str, Any], texts: int, expected: tuple[int, int, int]
) -> None:
    arguments = training_arguments(TeacherRecipe(**OPEN | settings), folder=tmp_path, texts=texts)
    assert (arguments.max_steps, arguments.eval_steps, arguments.save_steps) == expected


def test_one_process_takes_one_device(tmp_path: Path) -> None:
    arguments = training_arguments(TeacherRecipe(**OPEN, batch_size=8), folder=tmp_path, texts=10)
    assert arguments.n_gpu <= 1
    assert arguments.train_batch_size == 8


def test_the_number_of_threads_holds_while_a_run_is_made(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []

    class Threads(TrainerCallback):
        def on_step_end(self, _args: Any, _state: Any, _control: Any, **_rest: Any) -> None:
            seen.append(torch.get_num_threads())

    settings = {**QUICK, "threads": before + 1, "max_steps": 1}
    finetune(base("bert"), dataset, out=tmp_path / "run", callbacks=[Threads()], **settings)
    assert seen == [before + 1] and torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("family", "settings"),
    [("bert", {}), ("bert", {"pooling": "mean", "base_quantization": "8bit"}), ("gpt2", {"base_quantization": "4bit"})],
)
def test_gradient_checkpointing_computes_layers_again_and_ends_in_the_same_bits(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    given = {**QUICK, **settings, "dropout": 0.2, "max_steps": 3}
    passes: list[int] = []

    class Counting(TrainerCallback):
        def on_train_begin(self, _args: Any, _state: Any, _control: Any, model: Any = None, **_rest: Any) -> None:
            passes.append(0)
            layer = next(module for name, module in model.named_modules() if name.endswith(("layer.0", "h.0")))
            inner = next(module for module in layer.modules() if isinstance(module, torch.nn.LayerNorm))
            inner.register_forward_hook(lambda module, *_: passes.__setitem__(-1, passes[-1] + module.training))

    runs = [
        finetune(base(family), dataset, out=tmp_path / str(again), callbacks=[Counting()], **given,
                 gradient_checkpointing=again)
        for again in (False, True)
    ]  # fmt: skip
    assert passes[1] == 2 * passes[0] > 0
    np.testing.assert_array_equal(runs[1].predictions("test")[0], runs[0].predictions("test")[0])
