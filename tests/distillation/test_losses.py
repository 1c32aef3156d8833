"""The losses against their definitions, written out in numpy and float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liteft.distillation.losses import hidden_state_loss, kl_loss, mse_loss, relation_loss
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def softmax(values: np.ndarray) -> np.ndarray:
    exponents = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_kl_is_the_divergence_of_softened_distributions_times_t_squared(temperature: float) -> None:
    student, teacher = draw(5, 4, seed=0), draw(5, 4, seed=1)
    p, q = (softmax(logits.double().numpy() / temperature) for logits in (teacher, student))
    expected = (p * np.log(p / q)).sum(axis=1).mean() * temperature**2
    assert float(kl_loss(student, teacher, temperature=temperature)) == pytest.approx(expected, rel=1e-5)


def test_kl_of_several_labels_sums_a_divergence_of_yes_and_no_for_each() -> None:
    student, teacher = draw(6, 3, seed=2), draw(6, 3, seed=3)
    p, q = (1 / (1 + np.exp(-logits.double().numpy() / 2)) for logits in (teacher, student))
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum(axis=1).mean() * 4
    found = kl_loss(student, teacher, temperature=2.0, task=MULTI_LABEL)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_losses_are_zero_where_student_and_teacher_agree(task: str) -> None:
    logits = draw(4, 3, seed=4)
    states, mask = draw(2, 5, 8, seed=5), torch.ones(2, 5)
    assert float(kl_loss(logits, logits, task=task)) == pytest.approx(0, abs=1e-6)  # type: ignore[arg-type]
    assert float(mse_loss(logits, logits)) == 0
    assert float(hidden_state_loss(states, states, mask)) == 0
    assert float(relation_loss(states, states, mask, heads=2)) == pytest.approx(0, abs=1e-6)


def test_the_gradient_of_kl_does_not_shrink_with_the_temperature() -> None:
    gradients = []
    for temperature in (10.0, 100.0):
        student = draw(5, 4, seed=0).requires_grad_()
        kl_loss(student, draw(5, 4, seed=1), temperature=temperature).backward()
        assert student.grad is not None
        gradients.append(float(student.grad.norm()))
    assert gradients[1] == pytest.approx(gradients[0], rel=0.1)


def test_hidden_states_of_padding_do_not_count() -> None:
    student, teacher = draw(2, 4, 8, seed=6), draw(2, 4, 8, seed=7)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]])
    poisoned = torch.where(mask[..., None].bool(), student, torch.full_like(student, float("nan")))
    expected = float(((student - teacher) ** 2)[mask.bool()].mean())
    assert float(hidden_state_loss(poisoned, teacher, mask)) == pytest.approx(expected, rel=1e-5)


def test_relations_are_divergences_of_scaled_self_products() -> None:
    student, teacher = draw(1, 3, 4, seed=8), draw(1, 3, 8, seed=9)
    total = []
    for head in range(2):
        ours = student[0, :, 2 * head : 2 * head + 2].double().numpy()
        theirs = teacher[0, :, 4 * head : 4 * head + 4].double().numpy()
        q, p = softmax(ours @ ours.T / np.sqrt(2)), softmax(theirs @ theirs.T / 2)
        total.append((p * np.log(p / q)).sum(axis=1).mean())
    found = relation_loss(student, teacher, torch.ones(1, 3), heads=2)
    assert float(found) == pytest.approx(np.mean(total), rel=1e-4)


def test_relations_ignore_padding_in_value_and_gradient() -> None:
    student, teacher = draw(2, 4, 8, seed=10), draw(2, 4, 8, seed=11)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]])
    short = relation_loss(student[:, :3], teacher[:, :3], torch.ones(2, 3), heads=2)
    padded = student.clone().requires_grad_()
    loss = relation_loss(padded, teacher, mask, heads=2)
    loss.backward()
    assert float(loss) == pytest.approx(float(short), rel=1e-5)
    assert padded.grad is not None and bool(torch.isfinite(padded.grad).all())
    assert float(padded.grad[:, 3].abs().max()) == 0


def test_shapes_that_differ_and_temperatures_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        kl_loss(draw(2, 3, seed=0), draw(2, 4, seed=0))
    with pytest.raises(ValueError, match="shape"):
        mse_loss(draw(2, 3, seed=0), draw(3, 3, seed=0))
    with pytest.raises(ValueError, match="not positive"):
        kl_loss(draw(2, 3, seed=0), draw(2, 3, seed=0), temperature=0)
    with pytest.raises(ValueError, match="heads"):
        relation_loss(draw(1, 2, 6, seed=0), draw(1, 2, 8, seed=0), torch.ones(1, 2), heads=4)
