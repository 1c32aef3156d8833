"""The hard-label loss against its written-out definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liteft.finetuning.loss import balanced_weights, label_loss
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [-2.0, 0.3, 0.1], [1.0, 1.0, 1.0]])
LABELS = torch.tensor([0, 2, 1, 2])
SEVERAL = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]).bool()


def test_cross_entropy_is_the_mean_surprise_of_the_gold_labels() -> None:
    expected = -LOGITS.log_softmax(1)[torch.arange(4), LABELS].mean()
    torch.testing.assert_close(label_loss(LOGITS, LABELS, task=SINGLE_LABEL), expected)


def test_smoothing_spreads_its_share_over_all_labels() -> None:
    targets = torch.full((4, 3), 0.3 / 3)
    targets[torch.arange(4), LABELS] += 0.7
    expected = -(targets * LOGITS.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(label_loss(LOGITS, LABELS, task=SINGLE_LABEL, smoothing=0.3), expected)


def test_probabilities_of_the_labels_are_learned_by_cross_entropy() -> None:
    targets = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    expected = -(targets * LOGITS.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(label_loss(LOGITS, targets, task=SINGLE_LABEL), expected)
    certain = torch.nn.functional.one_hot(LABELS, 3).float()
    torch.testing.assert_close(
        label_loss(LOGITS, certain, task=SINGLE_LABEL), label_loss(LOGITS, LABELS, task=SINGLE_LABEL)
    )


def test_probabilities_of_several_labels_are_learned_by_binary_cross_entropy() -> None:
    targets = torch.linspace(0, 1, LOGITS.numel()).reshape(LOGITS.shape)
    yes = LOGITS.sigmoid()
    expected = -(targets * yes.log() + (1 - targets) * (1 - yes).log()).mean()
    torch.testing.assert_close(label_loss(LOGITS, targets, task=MULTI_LABEL), expected)


def test_class_weights_weigh_texts_by_their_gold_label() -> None:
    weights = torch.tensor([1.0, 0.5, 4.0])
    losses = -LOGITS.log_softmax(1)[torch.arange(4), LABELS]
    expected = (losses * weights[LABELS]).sum() / weights[LABELS].sum()
    torch.testing.assert_close(label_loss(LOGITS, LABELS, task=SINGLE_LABEL, weights=weights), expected)


def test_texts_whose_label_is_unknown_do_not_count() -> None:
    labels = torch.tensor([0, -1, 1, -1])
    expected = label_loss(LOGITS[[0, 2]], torch.tensor([0, 1]), task=SINGLE_LABEL)
    torch.testing.assert_close(label_loss(LOGITS, labels, task=SINGLE_LABEL), expected)


def test_a_batch_without_any_known_label_costs_nothing_and_has_a_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss = label_loss(logits, torch.full((4,), -1), task=SINGLE_LABEL)
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()  # type: ignore[union-attr]


def test_binary_cross_entropy_is_the_mean_over_texts_and_labels() -> None:
    probability = LOGITS.sigmoid()
    expected = -torch.where(SEVERAL, probability.log(), (1 - probability).log()).mean()
    torch.testing.assert_close(label_loss(LOGITS, SEVERAL, task=MULTI_LABEL), expected)


def test_multi_label_smoothing_and_weights_follow_their_definition() -> None:
    weights = torch.tensor([2.0, 1.0, 0.25])
    targets = torch.where(SEVERAL, 0.9, 0.1)
    probability = LOGITS.sigmoid()
    expected = -(weights * targets * probability.log() + (1 - targets) * (1 - probability).log()).mean()
    found = label_loss(LOGITS, SEVERAL, task=MULTI_LABEL, smoothing=0.2, weights=weights)
    torch.testing.assert_close(found, expected)


def test_the_loss_is_computed_in_float32() -> None:
    loss = label_loss(LOGITS.bfloat16(), LABELS, task=SINGLE_LABEL)
    assert loss.dtype == torch.float32


def test_balanced_single_label_weights_average_one_over_the_texts() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [2] + [-1] * 5)
    weights = balanced_weights(labels, 4)
    assert weights.tolist()[:3] == pytest.approx([25 / 90, 25 / 9, 25.0])
    known = labels[labels >= 0]
    assert float(weights[known].mean()) == pytest.approx(3 / 4)  # 1 where every label is in train
    assert float(balanced_weights(known, 3)[known].mean()) == pytest.approx(1.0)


def test_balanced_multi_label_weights_are_negatives_over_positives_within_bounds() -> None:
    labels = np.zeros((1000, 3), dtype=bool)
    labels[:250, 0] = True
    labels[:1, 1] = True
    labels[:, 2] = True
    assert balanced_weights(labels, 3).tolist() == pytest.approx([3.0, 100.0, 0.01])
