"""What is fitted on validation and folded into the last layer: a temperature and, if asked for, a threshold.

The weights and the bias of the last layer are divided by the temperature. So every later step reads calibrated logits:
those that teach a student, those of exported graphs and of every engine. No label changes, and no file stores a
temperature.

A threshold of the labels is subtracted from the bias, in logits. So a label is chosen at a score above 0.5 everywhere,
also where other libraries run the graph; the scores are probabilities no more, and a student is taught by the logits
before.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from liteft.data import Dataset, Split
from liteft.errors import ConfigError, leave_out
from liteft.finetuning.head import last_layer
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.metrics import sigmoid
from liteft.recipes import TeacherRecipe, TrainingRecipe
from liteft.run_info import CalibrationInfo
from liteft.tasks import fit_temperature, fit_threshold, rows_to_calibrate, task_of_labels

__all__ = ["calibrate", "require_threshold", "untuned", "without_threshold"]

_MOST_SHIFT = 30.0  # logits; further out, a probability could not be turned into a logit again


def require_threshold(recipe: TrainingRecipe, dataset: Dataset, loaded: TorchClassifier | None = None) -> None:
    """Refuse a threshold for labels that need none, or that the classifier cannot hold.

    Args:
        recipe: only ``tune_threshold`` counts.
        dataset: the data.
        loaded: the classifier, once it is known.

    Raises:
        ConfigError: every text has one label, or the last layer has no bias, as in a decoder.
    """
    if not recipe.tune_threshold:
        return
    fix = leave_out(f"{'teacher' if isinstance(recipe, TeacherRecipe) else 'student'}.tune_threshold")
    if not dataset.task.several:
        raise ConfigError(
            f"tune_threshold applies where a text may have several labels, and every text of {dataset.name} has one.",
            fix=fix,
        )
    if loaded is not None and _layer(loaded).bias is None:
        raise ConfigError(
            f"the last layer of a {loaded.config.model_type} has no bias that could hold a threshold.",
            fix=fix,
        )


def untuned(recipe: TrainingRecipe, validation: Split) -> list[str]:
    """Return a sentence where a threshold is asked for and validation has too few texts to fit it; else nothing."""
    if not recipe.tune_threshold or validation.labels is None:
        return []
    task = task_of_labels(validation.labels)
    if len(rows_to_calibrate(validation.labels, task, unseen_label=validation.unseen_label)):
        return []
    return [f"{len(validation):,} validation texts are too few to tune a threshold on, so it stays at 0.5"]


def calibrate(loaded: TorchClassifier, validation: Split, recipe: TrainingRecipe) -> CalibrationInfo:
    """Fit what the recipe asks for on texts with labels that were not trained on, and fold it into the last layer.

    With fewer than 50 texts nothing is fitted.

    Args:
        loaded: a trained classifier, changed in place.
        validation: the texts.
        recipe: its ``calibrate`` and ``tune_threshold`` count.

    Returns:
        The temperature, 1 if the classifier was left alone; with ``tune_threshold`` also the threshold that was found,
        as a probability before the shift.
    """
    tuned = recipe.tune_threshold
    done: CalibrationInfo = {"temperature": 1.0, "threshold": 0.5} if tuned else {"temperature": 1.0}
    if validation.labels is None or not (recipe.calibrate or tuned):
        return done
    task = task_of_labels(validation.labels)
    rows = rows_to_calibrate(validation.labels, task, unseen_label=validation.unseen_label)
    if not len(rows):
        return done
    logits, gold = predict_logits(loaded, validation.texts, validation.pairs)[rows], validation.labels[rows]
    layer = _layer(loaded)
    if recipe.calibrate:
        done["temperature"] = fit_temperature(logits, gold, task)
        with torch.no_grad():
            for weights in (layer.weight, layer.bias):
                if weights is not None:
                    weights.div_(done["temperature"])
    if tuned:
        found, _ = fit_threshold(logits / np.float32(done["temperature"]), gold, task)
        found = min(max(found, -_MOST_SHIFT), _MOST_SHIFT)
        _shift(layer, -found)
        done["threshold"] = float(sigmoid(np.array(found)))
    return done


def without_threshold(loaded: TorchClassifier, info: CalibrationInfo) -> TorchClassifier:
    """Return a classifier whose scores are probabilities again, changed in place, for students to learn from.

    Args:
        loaded: the classifier of a finished run.
        info: the run's run.json.
    """
    if "threshold" in info:
        _shift(_layer(loaded), _logit(info["threshold"]))
    return loaded


def _layer(loaded: TorchClassifier) -> nn.Linear:
    return last_layer(loaded.model, len(loaded.settings.labels))


def _shift(layer: nn.Linear, logits: float) -> None:
    with torch.no_grad():
        layer.bias.add_(logits)


def _logit(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)
