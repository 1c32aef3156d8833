"""What is fitted on validation and folded into the last layer: a temperature and, if asked for, a threshold.

The weights and the bias of the last layer are divided by the temperature. So every later step reads calibrated logits:
those that teach a student, those of exported graphs and of every engine. No label changes, and no file stores a
temperature.

A threshold of the labels is subtracted from the bias, in logits. So a label is chosen at a score above 0.5 everywhere,
also where other libraries run the graph; the scores are probabilities no more, and a student is taught by the logits
before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from transformers import PretrainedConfig

from liteft.answer_labels import AnswerLabels
from liteft.data import Dataset, Split
from liteft.encoder.families import family_of
from liteft.errors import ConfigError, leave_out
from liteft.finetuning.head import last_layer
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.recipes import StudentRecipe, TeacherRecipe, TrainingRecipe
from liteft.run_info import CalibrationInfo
from liteft.tasks import (
    ANSWERS,
    FEWEST_TO_CALIBRATE,
    TASKS,
    fit_temperature,
    fit_threshold,
    rows_to_calibrate,
    task_of_labels,
)

__all__ = ["calibrate", "require_bias", "require_threshold", "told_untuned", "tunes_threshold", "without_threshold"]


def require_threshold(recipe: TrainingRecipe, dataset: Dataset, config: PretrainedConfig | None = None) -> None:
    """Refuse a threshold for labels that need none, or that the classifier cannot hold, and what scores cannot have.

    Args:
        recipe: only ``tune_threshold`` counts, and for scores what needs labels with names.
        dataset: the data.
        config: of the classifier or of its base, once it is known.

    Raises:
        ConfigError: every text has one label, the last layer has no bias, as in a decoder, or labels are numbers and a
            setting needs names.
    """
    if dataset.task.numeric:
        _refuse_of_names(recipe, dataset)
    if not recipe.tune_threshold:
        return
    if not dataset.task.several:
        raise ConfigError(
            f"tune_threshold applies where a text may have several labels, and every text of {dataset.name} has one.",
            fix=leave_out(_key(recipe)),
        )
    if config is not None and family_of(config.model_type).decoder:
        raise _no_bias(recipe, config)


def _refuse_of_names(recipe: TrainingRecipe, dataset: Dataset) -> None:
    """Refuse settings of a training that mean nothing where labels are numbers."""
    unfit = {
        "label_smoothing": recipe.label_smoothing > 0,
        "class_weights": recipe.class_weights != "none",
        "tune_threshold": recipe.tune_threshold,
        "choose_by": recipe.choose_by == "log_loss",
        "head": isinstance(recipe, TeacherRecipe) and recipe.head == "lda",
        "pool_select": isinstance(recipe, StudentRecipe) and recipe.pool_select is not None,
    }
    for name, given in unfit.items():
        if given:
            value = getattr(recipe, name)
            raise ConfigError(
                f"{name}={value} applies to labels with names, and those of {dataset.name} are scores.",
                accepted={name: f"for the tasks {', '.join(task for task in TASKS if not TASKS[task].numeric)}"},
                fix=leave_out(_key(recipe, name)),
            )


def require_bias(recipe: TrainingRecipe, loaded: TorchClassifier) -> None:
    """Refuse a threshold for a classifier whose last layer has no bias.

    Raises:
        ConfigError: it has none.
    """
    if recipe.tune_threshold and _layer(loaded).bias is None:
        raise _no_bias(recipe, loaded.config)


def _no_bias(recipe: TrainingRecipe, config: PretrainedConfig) -> ConfigError:
    return ConfigError(
        f"the last layer of a {config.model_type} has no bias that could hold a threshold.",
        fix=leave_out(_key(recipe)),
    )


def _key(recipe: TrainingRecipe, name: str = "tune_threshold") -> str:
    return f"{'teacher' if isinstance(recipe, TeacherRecipe) else 'student'}.{name}"


def tunes_threshold(recipe: TrainingRecipe, validation: Split) -> bool:
    """Return whether a threshold is asked for, and validation has enough texts to fit it."""
    if not recipe.tune_threshold or validation.labels is None:
        return False
    task = task_of_labels(validation.labels)
    return bool(len(rows_to_calibrate(validation.labels, task, unseen_label=validation.unseen_label)))


def told_untuned(recipe: TrainingRecipe, validation: Split, tell: Callable[[str], None]) -> list[str]:
    """Tell where a threshold is wanted that cannot be fitted, and return the sentence for run.json; else nothing."""
    if isinstance(validation.labels, AnswerLabels):
        if not ANSWERS.too_few_to_fit(validation.labels):
            return []
        few = f"{len(validation):,} validation questions are too few to fit the threshold of no answer on"
        line = f"{few}, which takes {FEWEST_TO_CALIBRATE}, so it stays at 0"
        tell(f"warning: {line}")
        return [line]
    if not recipe.tune_threshold or tunes_threshold(recipe, validation):
        return []
    known = len(validation) if validation.unseen_label is None else int((~validation.unseen_label).sum())
    few = f"{known:,} validation texts are too few to tune a threshold on, which takes {FEWEST_TO_CALIBRATE}"
    line = f"{few}, so it stays at 0.5"
    tell(f"warning: {line}")
    return [line]


def calibrate(loaded: TorchClassifier, validation: Split, recipe: TrainingRecipe) -> CalibrationInfo:
    """Fit what the recipe asks for on texts with labels that were not trained on, and fold it into the last layer.

    With fewer than 50 texts nothing is fitted. Of a model that answers questions it is by how much an answer must
    exceed no answer, which its settings hold; scores of answers are not calibrated.

    Args:
        loaded: a trained classifier, changed in place.
        validation: the texts.
        recipe: its ``calibrate`` and ``tune_threshold`` count.

    Returns:
        The temperature, 1 if the classifier was left alone; if a threshold was tuned also that, as a probability before
        the shift.
    """
    tuned = recipe.tune_threshold
    done: CalibrationInfo = {"temperature": 1.0}
    if loaded.settings.answers is not None:
        _fit_no_answer(loaded, validation)
        done["no_answer"] = loaded.settings.answers.no_answer
        return done
    if validation.labels is None or not (recipe.calibrate or tuned):
        return done
    task = task_of_labels(validation.labels)
    rows = rows_to_calibrate(validation.labels, task, unseen_label=validation.unseen_label)
    if not len(rows):
        return done
    logits = predict_logits(loaded, validation)
    layer = _layer(loaded)
    if recipe.calibrate:
        done["temperature"] = fit_temperature(logits[rows], validation.labels[rows], task)
        with torch.no_grad():
            for weights in (layer.weight, layer.bias):
                if weights is not None:
                    weights.div_(done["temperature"])
    if tuned:  # on all texts, as the weights were chosen: one with an unknown label counts as wrong
        divided = logits / np.float32(done["temperature"])
        found, _ = fit_threshold(divided, validation.labels, task, unseen_label=validation.unseen_label)
        loaded.settings = replace(loaded.settings, threshold_shift=found)
        _shift(layer, -found)
        done["threshold"] = loaded.settings.threshold
    return done


def without_threshold(loaded: TorchClassifier) -> TorchClassifier:
    """Return a classifier whose scores are probabilities again, changed in place, for students to learn from."""
    if loaded.settings.answers is not None:
        loaded.settings = replace(loaded.settings, answers=loaded.settings.answers.undecided)
    if loaded.settings.threshold_shift:
        _shift(_layer(loaded), loaded.settings.threshold_shift)
        loaded.settings = replace(loaded.settings, threshold_shift=0.0)
    return loaded


def _fit_no_answer(loaded: TorchClassifier, validation: Split) -> None:
    """Fit a threshold of no answer into a model's settings, as it is while weights are chosen."""
    labels, form = validation.labels, loaded.settings.answers
    assert form is not None
    if labels is None or not len(labels) or ANSWERS.too_few_to_fit(labels):
        return
    found, _ = ANSWERS.fit_no_answer(predict_logits(loaded, validation, undecided=True), labels)
    loaded.settings = replace(loaded.settings, answers=form.decided_by(found))


def _layer(loaded: TorchClassifier) -> nn.Linear:
    return last_layer(loaded.model, len(loaded.settings.labels))


def _shift(layer: nn.Linear, logits: float) -> None:
    with torch.no_grad():
        layer.bias.add_(logits)
