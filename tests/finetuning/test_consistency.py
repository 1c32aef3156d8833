"""R-Drop against its written-out definition, and what it changes in a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from liteft.data import Dataset
from liteft.errors import ConfigError
from liteft.finetuning import finetune
from liteft.finetuning.consistency import ConsistencyTrainer, consistency_loss
from liteft.finetuning.loss import label_loss
from liteft.run import Run
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task
from tests.finetuning.conftest import LABELS, QUICK, make_multi

FIRST = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [-2.0, 0.3, 0.1]])
SECOND = torch.tensor([[1.0, -1.5, 0.9], [0.2, 3.0, 1.0], [1.0, 0.3, -4.0]])


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Kullback-Leibler divergence of probabilities along the last axis."""
    return (first * (first.log() - second.log())).sum(-1)


def test_it_is_the_mean_of_both_divergences() -> None:
    first, second = FIRST.softmax(1), SECOND.softmax(1)
    expected = (divergence(first, second) + divergence(second, first)).mean() / 2
    torch.testing.assert_close(consistency_loss(FIRST, SECOND, task=SINGLE_LABEL), expected)


def test_several_labels_are_each_a_yes_or_no() -> None:
    first = torch.stack([FIRST.sigmoid(), 1 - FIRST.sigmoid()], -1)
    second = torch.stack([SECOND.sigmoid(), 1 - SECOND.sigmoid()], -1)
    expected = (divergence(first, second) + divergence(second, first)).mean() / 2
    torch.testing.assert_close(consistency_loss(FIRST, SECOND, task=MULTI_LABEL), expected)


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_equal_answers_cost_nothing_and_both_passes_have_a_gradient(task: Task) -> None:
    assert consistency_loss(FIRST, FIRST, task=task) == 0
    first, second = FIRST.clone().requires_grad_(), SECOND.clone().requires_grad_()
    consistency_loss(first, second, task=task).backward()
    for logits in (first, second):
        assert logits.grad is not None
        assert logits.grad.abs().sum() > 0


def test_half_precision_logits_are_compared_in_single() -> None:
    found = consistency_loss(FIRST.bfloat16(), SECOND.bfloat16(), task=SINGLE_LABEL)
    torch.testing.assert_close(
        found, consistency_loss(FIRST.bfloat16().float(), SECOND.bfloat16().float(), task=SINGLE_LABEL)
    )


def test_every_text_passes_twice_in_one_batch_and_both_parts_are_added(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Tensor, Tensor, float]] = []
    original = ConsistencyTrainer.text_loss

    def text_loss(self: ConsistencyTrainer, logits: Tensor, batch: dict[str, Tensor], outputs: Any) -> Tensor:
        loss = original(self, logits, batch, outputs)
        calls.append((logits.detach().float(), batch["labels"], float(loss.detach())))
        return loss

    monkeypatch.setattr(ConsistencyTrainer, "text_loss", text_loss)
    settings = {**QUICK, "epochs": 1, "dropout": 0.3, "training_precision": "fp32"}
    finetune(base("bert"), dataset, out=tmp_path / "run", rdrop_weight=0.5, **settings)
    assert len(calls) == 6
    for logits, labels, loss in calls:
        first, second = logits.chunk(2)
        assert len(first) == len(labels)
        assert not torch.equal(first, second)
        gold = [label_loss(one, labels, task=SINGLE_LABEL) for one in (first, second)]
        apart = consistency_loss(first, second, task=SINGLE_LABEL)
        assert loss == pytest.approx(float(sum(gold) / 2 + 0.5 * apart), rel=1e-5)


def test_a_heavy_weight_draws_the_passes_together(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    apart = []
    for weight in (0.001, 20.0):
        run = finetune(
            base("bert"), dataset, out=tmp_path / str(weight), **{**QUICK, "dropout": 0.3, "rdrop_weight": weight}
        )
        logits = torch.from_numpy(run.predictions("train")[0])
        apart.append(float(logits.softmax(1).amax(1).mean()))
    assert apart[1] < apart[0]  # a model that must not change its mind is less sure


def test_multi_label_texts_are_trained_on(base: Callable[[str], Path], tmp_path: Path) -> None:
    run: Run = finetune(base("bert"), make_multi(), out=tmp_path / "run", **{**QUICK, "rdrop_weight": 0.5})
    assert run.task == "multi_label"
    assert set(run.labels) == set(LABELS)


def test_without_dropout_there_is_nothing_to_compare(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="rdrop_weight compares two draws of dropout") as caught:
        finetune(base("bert"), dataset, out=tmp_path / "run", **{**QUICK, "dropout": 0.0, "rdrop_weight": 1.0})
    assert caught.value.fix
    assert not (tmp_path / "run").exists()
