"""Training with differential privacy: what a single training text can change in the weights is bounded, and drowned.

Each step draws every text with the same small probability, clips each text's gradient to one length, and adds normal
noise to their sum. Opacus computes the gradients of single texts and what all steps together reveal: with epsilon and
delta, the odds of any weights change by a factor of at most exp(epsilon), except with probability delta, if one row of
the training split is added or left out. The encoder is frozen. What is trained is the last layer, on features that are
computed once, or an adapter with the head.

Nothing is chosen or fitted on validation, since those texts are somebody's, too: the last weights are kept as they are.
Noise and draws come from the system's randomness, never from the recipe's seed, with which anybody could take them away
again. So two trainings differ. There are no checkpoints: a training that was killed left nothing that anybody could
read, and the next one begins anew with its whole budget.

Sources: Abadi et al. 2016, arXiv:1607.00133, algorithm 1; Mironov et al. 2019, arXiv:1908.10530, for the sum over
steps. Large batches and high rates: De et al. 2022, arXiv:2204.13650, and Li et al. 2022, arXiv:2110.05679.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from liteft.data import Dataset, Split
from liteft.errors import ConfigError, option
from liteft.finetuning.adapters import adapter_of
from liteft.finetuning.batches import Collator, model_inputs
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import encode_rows
from liteft.finetuning.head import last_layer, layer_inputs
from liteft.finetuning.loss import label_loss
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.pretrained import output_logits
from liteft.finetuning.private_guards import require_apart, secret_generator, without_warnings
from liteft.finetuning.private_settings import require_opacus
from liteft.recipes import TeacherRecipe
from liteft.run_info import FitInfo, PrivacyInfo
from liteft.tasks import Task, task_of_labels

__all__ = ["fit_privately", "train_privately"]

_AT_ONCE = 64  # texts of a step whose gradients are in memory at the same time, with an adapter
_ACCOUNTANT = "rdp"  # an upper bound in closed form
_SECONDS = 5.0  # between two lines of progress


def fit_privately(loaded: TorchClassifier, dataset: Dataset, recipe: TeacherRecipe, context: RunContext) -> FitInfo:
    """Train the last layer of a classifier, or its adapter and head, in place.

    Args:
        loaded: the classifier, untrained.
        dataset: its training split is learned; no other split is read.
        recipe: with an epsilon.
        context: of the run, which is told progress, but no losses: these are of texts.

    Returns:
        What is said of the training; its "privacy" is what is promised.

    Raises:
        MissingExtraError: opacus is not installed.
        ConfigError: as in `train_privately`.
    """
    started = time.monotonic()
    split = _known(dataset.train)
    gold = torch.from_numpy(np.asarray(split.labels if split.soft_labels is None else split.soft_labels))
    adapted = adapter_of(loaded.model) is not None
    loaded.model.to(context.state.device)
    assert recipe.learning_rate is not None and recipe.epochs is not None
    if adapted:
        module, logits_of, at_once = loaded.model, _of_texts(loaded, encode_rows(loaded, split)), _AT_ONCE
    else:
        context.tell(f"teacher: features of {len(split):,} texts, once")
        layer = last_layer(loaded.model, len(dataset.labels))
        features = layer_inputs(loaded, split, layer)
        module, at_once = layer, len(split)

        def logits_of(model: nn.Module, rows: np.ndarray) -> Tensor:
            return cast(Tensor, model(features[rows].to(layer.weight.device)))

    privacy = train_privately(
        module,
        logits_of,
        gold,
        dataset.task,
        recipe,
        delta=recipe.delta or 1 / len(split),
        at_once=at_once,
        tell=context.tell,
    )
    privacy["trains"] = "an adapter and the head" if adapted else "the last layer"
    return {
        "steps": privacy["steps"],
        "training_seconds": round(time.monotonic() - started, 1),
        "best_metric": None,
        "best_step": None,
        "best_epoch": None,
        "precision": "fp32",
        "learning_rate": recipe.learning_rate,
        "warnings": [],
        "privacy": dict(privacy),
    }


def train_privately(
    module: nn.Module,
    logits_of: Callable[[nn.Module, np.ndarray], Tensor],
    gold: Tensor,
    task: Task,
    recipe: TeacherRecipe,
    *,
    delta: float,
    at_once: int,
    tell: Callable[[str], None],
) -> PrivacyInfo:
    """Train the parameters of a module that require a gradient, in place, and return what is promised.

    Args:
        module: what is trained.
        logits_of: returns the logits of rows, (rows, labels), computed by the module, or by it in a wrapper.
        gold: the labels of all rows.
        task: of the labels.
        recipe: its epsilon, epochs, batch_size (rows that a step draws on average), rate, schedule and optimizer count.
        delta: the probability with which the promise may fail.
        at_once: the most rows whose gradients are in memory at the same time.
        tell: called with a line now and then.

    Raises:
        MissingExtraError: opacus is not installed.
        ConfigError: the noise is too strong to be computed, or gradients of single texts cannot be told apart.
    """
    opacus = _opacus()
    count, drawn = len(gold), min(recipe.batch_size, len(gold))
    rate, steps = drawn / count, recipe.max_steps or math.ceil(count * (recipe.epochs or 1) / drawn)
    noise = _noise(recipe, rate=rate, steps=steps, delta=delta)
    wrapped = opacus.GradSampleModule(module, loss_reduction="mean")
    weights = [each for each in module.parameters() if each.requires_grad]
    optimizer = opacus.optimizers.DPOptimizer(
        _optimizer(recipe, weights),
        noise_multiplier=noise,
        max_grad_norm=recipe.max_grad_norm,
        expected_batch_size=drawn,
        generator=secret_generator(weights[0].device),
        secure_mode=True,
    )
    random = np.random.default_rng(secrets.randbits(128))
    module.train()
    require_apart(wrapped, logits_of, count)
    told = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = (recipe.learning_rate or 0) * _share_of_rate(recipe, step, steps)
        optimizer.zero_grad()
        rows = np.flatnonzero(random.random(count) < rate)
        for part, last in _parts(rows, at_once):
            if len(part):
                loss = label_loss(
                    logits_of(wrapped, part).float(),
                    gold[part].to(weights[0].device),
                    task=task,
                    smoothing=recipe.label_smoothing,
                )
                with without_warnings():
                    loss.backward()  # type: ignore[no-untyped-call]
            else:  # no row was drawn: the noise is added all the same
                for weight in weights:
                    weight.grad_sample = weight.new_zeros((0, *weight.shape))  # type: ignore[attr-defined]
            optimizer.signal_skip_step(do_skip=not last)
            optimizer.step()
            optimizer.zero_grad()
        if time.monotonic() - told > _SECONDS:
            told = time.monotonic()
            tell(f"teacher: step {step + 1}/{steps}")
    _unwrap(wrapped, weights)
    module.eval()
    accountant = opacus.accountants.create_accountant(mechanism=_ACCOUNTANT)
    accountant.history = [(noise, rate, steps)]
    return {
        "epsilon": float(accountant.get_epsilon(delta)),
        "delta": delta,
        "noise_multiplier": float(noise),
        "max_grad_norm": recipe.max_grad_norm,
        "sampling": "Poisson",
        "sample_rate": rate,
        "steps": steps,
        "rows": count,
        "accountant": f"{_ACCOUNTANT}, opacus {opacus.__version__}",
        "trains": "",
    }


def _known(split: Split) -> Split:
    """Return the rows of a training split that have a label."""
    assert split.labels is not None  # require_trainable
    return split.take(np.flatnonzero(task_of_labels(split.labels).known(split.labels)))


def _of_texts(loaded: TorchClassifier, rows: Collator) -> Callable[[nn.Module, np.ndarray], Tensor]:
    device = next(loaded.model.parameters()).device

    def logits_of(model: nn.Module, chosen: np.ndarray) -> Tensor:
        batch = {name: tensor.to(device) for name, tensor in model_inputs(rows(chosen.tolist())).items()}
        return output_logits(model(**batch))

    return logits_of


def _parts(rows: np.ndarray, at_once: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the rows of a step in parts, one at least, and whether a part is the last one."""
    starts = range(0, max(1, len(rows)), at_once)
    for start in starts:
        yield rows[start : start + at_once], start == starts[-1]


def _noise(recipe: TeacherRecipe, *, rate: float, steps: int, delta: float) -> float:
    from opacus.accountants.utils import get_noise_multiplier

    assert recipe.epsilon is not None
    try:
        return float(
            get_noise_multiplier(
                target_epsilon=recipe.epsilon,
                target_delta=delta,
                sample_rate=rate,
                steps=steps,
                accountant=_ACCOUNTANT,
            )
        )
    except ValueError as error:
        raise ConfigError(
            f"no noise keeps {steps:,} steps of {rate:.2%} of the texts within epsilon = {recipe.epsilon:g} at delta = "
            f"{delta:.2g}: {error}.",
            accepted={"an epsilon": "usually 1 to 10", "fewer steps": "fewer epochs, or larger batches"},
            fix=[option("teacher.epsilon", 8), option("epochs", 10)],
        ) from None


def _optimizer(recipe: TeacherRecipe, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate = recipe.learning_rate or 0.0
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=0.9, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(weights, lr=rate, weight_decay=recipe.weight_decay)


def _share_of_rate(recipe: TeacherRecipe, step: int, steps: int) -> float:
    """Return the share of the highest rate that a step has, as the recipe's schedule says."""
    warm = round(recipe.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(1, steps - warm)
    return {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[recipe.schedule]


def _unwrap(wrapped: Any, weights: list[nn.Parameter]) -> None:
    """Take Opacus' hooks off a module, and the gradients of single texts off its weights."""
    wrapped.to_standard_module()
    for weight in weights:
        weight.grad = None
        for name in ("grad_sample", "summed_grad"):
            vars(weight).pop(name, None)


def _opacus() -> Any:
    require_opacus()
    import opacus
    import opacus.accountants
    import opacus.optimizers

    return opacus
