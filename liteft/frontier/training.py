"""Recipes of a shape's training and of its last epochs in an export form, and the callback that gives up a training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from liteft.frontier.candidates import Shape, Variant
from liteft.recipes import Recipe
from liteft.run import Run

__all__ = ["GiveUp", "Pruned", "shape_recipe", "tuning_recipe"]


class Pruned(Exception):
    """Raised when a training is given up because it cannot reach the budget.

    Its last checkpoint is kept, so that a search with a larger budget can continue from it.

    Attributes:
        step, steps: the step at which it was given up, and the number of steps of the whole training.
        best: the best validation metric so far, a share.
    """

    def __init__(self, step: int, steps: int, best: float) -> None:
        super().__init__(f"given up at step {step} of {steps}")
        self.step, self.steps, self.best = step, steps, best

    def to_dict(self) -> dict[str, Any]:
        """Return where the training was given up as plain data."""
        return {"step": self.step, "steps": self.steps, "best": self.best}


class GiveUp(TrainerCallback):  # type: ignore[misc]
    """Raises `Pruned` if the best evaluation so far is below a bar once half of a training's steps are done.

    It raises after the checkpoint of that evaluation is written, so that nothing is lost. A stage that only matches
    hidden states is never given up: it has learned no labels yet.

    Args:
        bar: the value that the metric must have reached, a share.
        metric: name of the metric, without "eval_".
    """

    def __init__(self, bar: float, metric: str) -> None:
        self.bar, self.metric = bar, f"eval_{metric}"
        self.found: Pruned | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Reset the decision of a previous training."""
        self.found = None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Decide whether to give up: only in the second half, with an evaluation below the bar."""
        values = [entry[self.metric] for entry in state.log_history if self.metric in entry]
        half = state.max_steps <= 2 * state.global_step < 2 * state.max_steps
        if args.load_best_model_at_end and half and values and max(values) < self.bar:
            self.found = Pruned(state.global_step, state.max_steps, max(values))

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Raise `Pruned` if this checkpoint's evaluation decided so."""
        if self.found is not None and self.found.step == state.global_step:
            raise self.found


def shape_recipe(recipe: Recipe, shape: Shape) -> Recipe:
    """Return a recipe whose student has the size of a shape."""
    searching = bool(recipe.student.rate_search)  # a student whose rate is searched cannot be given up halfway
    update = {"size": shape.name, "rate_search": searching}
    return recipe.model_copy(update={"student": recipe.student.model_copy(update=update)})


def tuning_recipe(recipe: Recipe, student: Run, variant: Variant) -> Recipe:
    """Return the recipe that trains a finished student further, with the rounding and the vocabulary of a variant.

    Of one that answers questions, whose windows must stay those of its teacher, the export trims the vocabulary.
    """
    changes: dict[str, Any] = {
        "size": None,
        "student": str(student.model_path),
        "layers": "auto",
        "epochs": 0.0,
        "quantized_epochs": recipe.search.quantized_epochs,
        "matching_epochs": 0.0,
        "vocabulary": None if student.task.extractive else variant.vocabulary,
        "fill_vocabulary": True,
        "vocabulary_min_count": recipe.export.vocabulary_min_count,
    }
    if changes["vocabulary"] is None:
        changes["vocabulary_min_count"] = 1  # nothing is trimmed here
    if recipe.student.matching_epochs:
        changes |= {"hidden_weight": 0.0, "relation_weight": 0.0}  # used by the first stage only
    tuned = recipe.model_copy(update={"student": recipe.student.model_copy(update=changes)})
    return replace(variant, tuned=True).laid_over(tuned, trimmed=not student.task.extractive)
