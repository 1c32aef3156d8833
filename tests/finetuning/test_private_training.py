"""Differential privacy: gradients of single texts, clipping, noise, the epsilon that is said, and what is refused."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

pytest.importorskip("opacus", reason="training with an epsilon needs the extra 'dp'")

from opacus.accountants import RDPAccountant

import liteft
from liteft.data import Dataset
from liteft.errors import ConfigError
from liteft.finetuning import private_training
from liteft.finetuning.context import RunContext
from liteft.finetuning.own_functions import OwnFunctions
from liteft.finetuning.private_guards import secret_generator
from liteft.finetuning.private_settings import refuse_for_privacy
from liteft.finetuning.private_training import train_privately
from liteft.recipes import TeacherRecipe
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL
from tests.modules import module_of

PRIVATE: dict[str, Any] = {"epsilon": 20.0, "delta": 1e-2, "epochs": 4, "batch_size": 24, "max_tokens": 16}


def recipe_of(**settings: Any) -> TeacherRecipe:
    given = {"base": "b", "epsilon": 5.0, "epochs": 1.0, "learning_rate": 0.1, "optimizer": "sgd", "weight_decay": 0.0}
    return TeacherRecipe(**(given | {"batch_size": 8, "warmup": 0.0, "schedule": "constant"} | settings))


def trained(
    monkeypatch: pytest.MonkeyPatch, recipe: TeacherRecipe, features: torch.Tensor, gold: torch.Tensor, *, noise: float
) -> tuple[torch.nn.Linear, torch.nn.Linear, dict[str, Any]]:
    """Return a layer before and after a training on all rows at each step, without the noise that epsilon asks for."""
    monkeypatch.setattr(private_training, "_noise", lambda *_, **__: noise)
    torch.manual_seed(0)
    layer = torch.nn.Linear(features.shape[1], int(gold.max()) + 1 if gold.ndim == 1 else gold.shape[1])
    before = torch.nn.Linear(layer.in_features, layer.out_features)
    before.load_state_dict(layer.state_dict())
    said = train_privately(
        layer,
        lambda model, rows: model(features[rows]),
        gold,
        SINGLE_LABEL if gold.ndim == 1 else MULTI_LABEL,
        recipe,
        delta=1e-2,
        at_once=3,
        tell=lambda _: None,
    )
    return before, layer, dict(said)


@pytest.mark.parametrize("several", [False, True])
def test_without_noise_a_step_is_the_mean_of_the_clipped_gradients(
    several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = torch.randn(8, 5, generator=torch.Generator().manual_seed(1)) * 4
    gold = torch.arange(8) % 3 if not several else torch.rand(8, 3, generator=torch.Generator().manual_seed(2)) > 0.5
    recipe = recipe_of(max_steps=1, max_grad_norm=0.5)
    before, after, _ = trained(monkeypatch, recipe, features, gold, noise=0.0)
    wanted = torch.zeros_like(before.weight)
    lengths = []
    for row in range(8):
        before.zero_grad()
        logits = before(features[row : row + 1])
        if several:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, gold[row : row + 1].float())
        else:
            loss = torch.nn.functional.cross_entropy(logits, gold[row : row + 1])
        loss.backward()
        assert before.weight.grad is not None and before.bias.grad is not None
        length = math.sqrt(float(before.weight.grad.pow(2).sum() + before.bias.grad.pow(2).sum()))
        lengths.append(length)
        wanted += before.weight.grad * min(1.0, 0.5 / (length + 1e-6)) / 8
    assert max(lengths) > 0.5
    torch.testing.assert_close(before.weight - after.weight, 0.1 * wanted, rtol=1e-4, atol=1e-6)


def test_noise_has_the_deviation_that_is_said_and_is_drawn_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    features, gold = torch.zeros(8, 2000), torch.arange(8) % 2  # no gradient of the weights but noise
    recipe = recipe_of(max_steps=1, max_grad_norm=0.5)
    moved = []
    for _ in range(2):
        before, after, said = trained(monkeypatch, recipe, features, gold, noise=3.0)
        moved.append((before.weight - after.weight).detach() / 0.1)
        assert said["noise_multiplier"] == 3.0
    assert float(moved[0].std()) == pytest.approx(3.0 * 0.5 / 8, rel=0.1)
    assert not torch.equal(*moved)


def test_the_noise_is_not_that_of_a_seed_which_can_be_tried() -> None:
    generator = secret_generator(torch.device("cpu"))
    seeded = torch.Generator().manual_seed(generator.initial_seed())
    drawn = torch.randn(100_000, generator=generator)
    assert not torch.isclose(drawn, torch.randn(100_000, generator=seeded)).all()
    words = generator.get_state()[24 : 24 + 8 * 624].view(torch.int64)
    assert len(words.unique()) > 600 and int(words.min()) >= 0 and int(words.max()) < 2**32
    assert abs(float(drawn.mean())) < 0.02 and float(drawn.std()) == pytest.approx(1, abs=0.02)


def test_a_model_in_which_texts_share_a_computation_is_refused() -> None:
    class Shared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read = torch.nn.Linear(3, 2)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.read(features) + self.read(torch.ones(1, 3))  # type: ignore[no-any-return]

    features, gold = torch.randn(8, 3), torch.arange(8) % 2
    with pytest.raises(ConfigError, match=r"cannot be told apart in this model: read\.weight"):
        train_privately(
            Shared(), lambda model, rows: model(features[rows]), gold, SINGLE_LABEL, recipe_of(max_steps=1),
            delta=1e-2, at_once=8, tell=lambda _: None,
        )  # fmt: skip


def test_an_adapter_of_relative_positions_that_texts_share_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from transformers import AutoModel, DebertaV2Config

    common = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    shared = {"relative_attention": True, "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
    AutoModel.from_config(DebertaV2Config(**common, **shared, intermediate_size=64)).save_pretrained(tmp_path / "base")
    module_of("finetuning").write_tokenizer(tmp_path / "base")
    with pytest.raises(ConfigError, match="cannot be told apart"):
        liteft.finetune(tmp_path / "base", dataset, out=tmp_path / "run", **PRIVATE, lora_rank=2)
    apart = {"lora_rank": 2, "lora_targets": ["value_proj", "dense"]}
    run = liteft.finetune(tmp_path / "base", dataset, out=tmp_path / "apart", **PRIVATE, **apart)
    assert run.info["privacy"]["epsilon"] <= 20


def test_a_step_that_draws_no_row_adds_noise_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def random(self, count: int) -> np.ndarray:
            return np.ones(count)

    monkeypatch.setattr(private_training.np.random, "default_rng", lambda _: Nothing())
    before, after, _ = trained(monkeypatch, recipe_of(max_steps=1), torch.ones(8, 4), torch.arange(8) % 2, noise=1.0)
    assert not torch.equal(before.weight, after.weight)


def test_each_row_is_drawn_by_itself_with_the_probability_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    features, gold = torch.randn(400, 3), torch.arange(400) % 2
    monkeypatch.setattr(private_training, "_noise", lambda *_, **__: 1.0)

    def noted(model: Any, rows: np.ndarray) -> torch.Tensor:
        drawn.append(len(rows))
        return model(features[rows])  # type: ignore[no-any-return]

    said = train_privately(
        torch.nn.Linear(3, 2), noted, gold, SINGLE_LABEL, recipe_of(max_steps=200, batch_size=40),
        delta=1e-2, at_once=400, tell=lambda _: None,
    )  # fmt: skip
    assert said["sample_rate"] == 0.1 and said["sampling"] == "Poisson"
    assert np.mean(drawn[2:]) == pytest.approx(40, rel=0.05) and np.var(drawn[2:]) == pytest.approx(36, rel=0.4)


@pytest.mark.parametrize("adapter", [{}, {"lora_rank": 2}], ids=["head", "adapter"])
def test_what_is_spent_is_within_the_epsilon_and_stands_in_run_json(
    adapter: dict[str, Any], base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    if adapter:
        pytest.importorskip("peft")
    run = liteft.finetune(base("bert"), dataset, out=tmp_path / "run", **PRIVATE, **adapter)
    said = run.info["privacy"]
    accountant = RDPAccountant()
    accountant.history = [(said["noise_multiplier"], said["sample_rate"], said["steps"])]
    assert said["epsilon"] == pytest.approx(accountant.get_epsilon(said["delta"])) and 19 < said["epsilon"] <= 20
    assert said["steps"] == 8 and said["rows"] == 48 and run.info["temperature"] == 1.0
    assert run.info["best_metric"] is None
    log = (run.path / "log.jsonl").read_text("utf-8") if (run.path / "log.jsonl").exists() else ""
    assert "loss" not in log


def test_only_the_last_layer_or_the_adapter_and_the_head_change(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    weights = [
        load_file(
            liteft.finetune(base("bert"), dataset, out=tmp_path / str(each), **PRIVATE).model_path / "model.safetensors"
        )
        for each in range(2)
    ]
    assert {name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])} == {
        "classifier.weight",
        "classifier.bias",
    }


def test_a_finished_run_is_returned_and_one_that_was_killed_begins_anew(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(private_training, "train_privately", killed)
        with pytest.raises(KeyboardInterrupt):
            liteft.finetune(base("bert"), dataset, out=tmp_path / "run", **PRIVATE)
    left = [path.name for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert sorted(left) == ["data_check.json", "inputs.json", "recipe.toml"]
    run = liteft.finetune(base("bert"), dataset, out=tmp_path / "run", **PRIVATE)
    monkeypatch.setattr(private_training, "train_privately", killed)
    assert liteft.finetune(base("bert"), dataset, out=tmp_path / "run", **PRIVATE).info == run.info


@pytest.mark.parametrize(
    "setting",
    [
        {"class_weights": "balanced"},
        {"early_stopping": 2},
        {"rdrop_weight": 1.0},
        {"gradient_accumulation": 2},
        {"gradient_checkpointing": True},
        {"checkpoint_steps": 5},
        {"base_quantization": "8bit"},
        {"choose_by": "metric"},
        {"head": "lda"},
        {"max_grad_norm": 0.0},
        {"optimizer": "adafactor"},
        {"training_precision": "bf16"},
        {"tune_threshold": True},
        {"report_to": ["tensorboard"]},
        {"trainer": {"max_grad_norm": 2.0}},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_what_breaks_the_promise_is_refused(setting: dict[str, Any], dataset: Dataset) -> None:
    with pytest.raises(ConfigError) as raised:
        refuse_for_privacy(TeacherRecipe(base="b", epsilon=8.0, **setting), dataset, RunContext(Path("run")))
    assert next(iter(setting)) in str(raised.value)


def test_several_processes_other_tasks_an_own_loss_and_a_delta_alone_are_refused(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, context = TeacherRecipe(base="b", epsilon=8.0), RunContext(Path("run"))
    with monkeypatch.context() as patched:
        patched.setattr(RunContext, "state", SimpleNamespace(num_processes=2))
        with pytest.raises(ConfigError, match="one process"):
            refuse_for_privacy(recipe, dataset, context)
    with pytest.raises(ConfigError, match="delta belongs to an epsilon"):
        refuse_for_privacy(TeacherRecipe(base="b", delta=1e-5), dataset, context)
    with pytest.raises(ConfigError, match="a loss of your own"):
        refuse_for_privacy(
            recipe, dataset, RunContext(Path("run"), own=OwnFunctions({}, lambda logits, _: logits.sum()))
        )
    words = Dataset("tags", "tokens", ("O", "B-x", "I-x"), dict(dataset.splits))
    with pytest.raises(ConfigError, match="the task of tags is tokens"):
        refuse_for_privacy(recipe, words, context)


def test_a_loss_reaches_the_refusal_and_callbacks_are_said_not_to_be_called(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="does not go with an epsilon"):
        liteft.finetune(base("bert"), dataset, out=tmp_path / "no", loss=torch.nn.CrossEntropyLoss(), **PRIVATE)
    told: list[str] = []
    liteft.finetune(
        base("bert"), dataset, out=tmp_path / "run", callbacks=[TrainerCallback()], progress=told.append, **PRIVATE
    )
    assert any("callbacks are not called" in line for line in told)


def test_no_noise_for_an_epsilon_that_cannot_be_kept_is_said(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no noise keeps"):
        liteft.finetune(base("bert"), dataset, out=tmp_path / "run", **(PRIVATE | {"epsilon": 1e-4, "delta": 1e-12}))
    assert not (tmp_path / "run").exists()


def test_without_opacus_the_extra_is_named(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(liteft.LiteftError, match="needs opacus") as raised:
        liteft.finetune(base("bert"), dataset, out=tmp_path / "run", **PRIVATE)
    assert "opacus" in str(raised.value.fix) or "[dp]" in str(raised.value.fix)
