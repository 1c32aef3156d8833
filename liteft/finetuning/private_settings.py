"""Which settings and data a training with differential privacy takes: what would break its promise is refused.

This is apart from the training, so that recipes are refused before torch's gradients or Opacus are needed.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

from liteft.data import Dataset
from liteft.errors import ConfigError, MissingExtraError, leave_out, option
from liteft.finetuning.context import RunContext
from liteft.installation import install_hint
from liteft.recipes import TeacherRecipe

__all__ = ["refuse_for_privacy", "settled_privately"]

_HEAD_RATE, _ADAPTER_RATE, _EPOCHS = 1e-2, 1e-3, 20.0
_WHY = {
    "class_weights": "they would be counted over the texts, without noise",
    "early_stopping": "the texts of validation would say when to stop",
    "tune_threshold": "it would be fitted to the texts of validation",
    "rdrop_weight": "each text would pass twice, and its gradient is clipped once",
    "gradient_accumulation": "a step draws all of its texts at once; the memory holds some of them at a time anyway",
    "gradient_checkpointing": "the gradients of single texts are read on the way back",
    "checkpoint_steps": "a checkpoint would show weights before all of the noise is in them",
    "from_scratch": "what is not trained has to come from a base",
    "base_quantization": "gradients of single texts are those of layers in float",
    "choose_by": "nothing is chosen on the texts of validation",
    "report_to": "losses are those of texts, and none is logged",
    "trainer": "it is not transformers' Trainer that trains",
}


def refuse_for_privacy(recipe: TeacherRecipe, dataset: Dataset, context: RunContext) -> None:
    """Refuse what differential privacy cannot promise anything of, and what such a training would not use.

    Args:
        recipe: of the teacher; without an epsilon only its delta counts.
        dataset: the data.
        context: of the training, with its processes and its loss.

    Raises:
        ConfigError: a setting or the task breaks the promise, or delta is given without an epsilon.
        MissingExtraError: opacus is not installed.
    """
    if recipe.epsilon is None:
        if recipe.delta is not None:
            raise ConfigError(
                "delta belongs to an epsilon, and none is given.",
                fix=[option("teacher.epsilon", 8), leave_out("teacher.delta")],
            )
        return
    for name, why in _WHY.items():
        _refuse_unless(recipe, name, TeacherRecipe.model_fields[name].default, why)
    if recipe.head == "lda":
        _refuse_unless(recipe, "head", "random", "discriminants are means of the texts, without noise")
    if recipe.max_grad_norm == 0:
        raise ConfigError(
            "max_grad_norm = 0 clips nothing, and a promise needs gradients of bounded length.",
            fix=option("teacher.max_grad_norm", 1.0),
        )
    if recipe.optimizer not in ("adamw", "sgd"):
        _refuse_unless(recipe, "optimizer", "adamw", "it has not been tried with noise")
    if recipe.training_precision == "bf16":
        _refuse_unless(recipe, "training_precision", "fp32", "clipping in 8 bits of a number is not exact")
    if context.own.loss is not None:
        raise ConfigError(
            "a loss of your own does not go with an epsilon: nothing says that it has one gradient for each row.",
            fix=[leave_out("loss"), leave_out("teacher.epsilon")],
        )
    if context.state.num_processes > 1:
        raise ConfigError("a training with an epsilon runs in one process.", fix=option("processes", 1))
    if not dataset.task.of_whole_texts or dataset.task.numeric:
        raise ConfigError(
            f"epsilon is promised for one row with one gradient, and the task of {dataset.name} is {dataset.task}.",
            accepted={"task": "single_label, multi_label"},
            fix=leave_out("teacher.epsilon"),
        )
    require_opacus()


def require_opacus() -> None:
    """Refuse a training with an epsilon where opacus is missing.

    Raises:
        MissingExtraError: opacus is not installed.
    """
    if find_spec("opacus") is None:
        raise MissingExtraError(
            "training with an epsilon needs opacus, which is not installed.", fix=install_hint("dp")
        )


def settled_privately(recipe: TeacherRecipe, texts: int) -> TeacherRecipe:
    """Return a recipe with an epsilon and what it leaves open: many passes at a high rate, from a random head.

    Args:
        recipe: what is set stays.
        texts: rows of the training split.
    """
    usual: dict[str, Any] = {
        "learning_rate": _ADAPTER_RATE if recipe.lora_rank else _HEAD_RATE,
        "epochs": _EPOCHS,
        "head": "random",
        "delta": float(f"{1 / texts:.6g}") if texts else None,
        "evaluations_per_epoch": 1,
    }
    return recipe.model_copy(update={name: value for name, value in usual.items() if getattr(recipe, name) is None})


def _refuse_unless(recipe: TeacherRecipe, name: str, usual: object, why: str) -> None:
    value = getattr(recipe, name)
    if value != usual and not (isinstance(value, float) and isinstance(usual, float) and math.isclose(value, usual)):
        raise ConfigError(
            f"{name} = {value} does not go with an epsilon: {why}.",
            accepted={name: "nothing" if usual in ([], {}) else str(usual)},
            fix=leave_out(f"teacher.{name}"),
        )
