"""What a training takes where its recipe leaves settings open: learning rate and epochs from the data and the model.

    learning rate   2e-4 for 6 layers of width 384; lower for wider and deeper models, higher for smaller ones
    epochs          as many passes as give enough steps: small data need more passes than large data
    head            random weights; discriminants of the base's features where a text may have several labels

The rates were measured at width 384 only, on validation splits of parts of CLINC150, TREC with fine labels, SST-2,
SNIPS, CoLA and (teachers alone) GoEmotions (bench/defaults.py, bench/results/defaults.json; the table is in
CONTRIBUTING.md): neither half nor twice the rate is better by more than chance, for teachers of 6 layers and students
of 3 and 1. Nor, on TREC alone, is another temperature, weight of the labels or loss. The numbers of passes and the
powers of width and depth are judgement: they give what is usual for wider models, 5e-5 for BERT-base and 2.3e-5 for
BERT-large. The rate of a student whose width is not near 384 is therefore searched among three for a fraction of the
steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from liteft.recipes import StudentRecipe, TeacherRecipe, TrainingRecipe

__all__ = ["SEARCH_SHARE", "Shape", "searched_rates", "searches_rate", "settled_student", "settled_teacher"]

SEARCH_SHARE = 0.25  # of the steps, for each rate that is tried
_RATE, _LAYERS, _WIDTH = 2e-4, 6, 384
_HIGHEST_RATE, _ADAPTER_RATE = 1e-3, 2e-4
_MEASURED_WIDTHS = range(256, 385)  # 384, and what is near enough
_FEWEST_TO_CHOOSE_BY = 200  # validation texts: the difference between two rates is lost in the noise of fewer
_MOST_EPOCHS = 40.0
_MOST_STEPS = 12_000  # beyond which a further pass is not worth its time


@dataclass(frozen=True)
class Shape:
    """The size of an encoder, as far as the learning rate depends on it."""

    layers: int
    width: int

    @classmethod
    def of(cls, config: Any) -> Shape:
        """Return the size that a transformers configuration states."""
        return cls(int(config.num_hidden_layers), int(config.hidden_size))


def settled_teacher(
    recipe: TeacherRecipe, shape: Shape, *, texts: int, several: bool = False, pretrained: bool = True
) -> TeacherRecipe:
    """Return a teacher's recipe with the settings that it leaves open.

    Args:
        recipe: what is set stays.
        shape: of the base.
        texts: number of training texts.
        several: whether a text may have several labels. Few of many are right for any text, so a random head learns
            for hundreds of steps to say no to all; discriminants are a fair classifier at step 0.
        pretrained: whether the base is an encoder with features to separate labels by.
    """
    adapted = bool(recipe.lora_rank) or recipe.base_quantization is not None
    rate = _ADAPTER_RATE if adapted else _rate(shape)
    epochs = _epochs(recipe, texts, passes=3, steps=800)
    head = "lda" if several and pretrained else "random"
    return recipe.model_copy(update=_open(recipe, learning_rate=rate, epochs=epochs, head=head))


def settled_student(recipe: StudentRecipe, shape: Shape, *, texts: int, validation: int) -> StudentRecipe:
    """Return a student's recipe with the settings that it leaves open; the same for all arms.

    Args:
        recipe: what is set stays.
        shape: of the student.
        texts: number of texts that it is trained on, labelled or not.
        validation: number of validation texts.
    """
    search = searches_rate(recipe, shape, validation=validation)
    epochs = _epochs(recipe, texts, passes=4, steps=1_600)
    return recipe.model_copy(update=_open(recipe, learning_rate=_rate(shape), epochs=epochs, rate_search=search))


def searches_rate(recipe: StudentRecipe, shape: Shape, *, validation: int) -> bool:
    """Return whether a student's rate is searched where the recipe does not say: if its width was not measured.

    A rate that is given is not searched, nor is one that too few validation texts would choose.
    """
    given = recipe.learning_rate is not None or recipe.learning_rates is not None
    return not given and shape.width not in _MEASURED_WIDTHS and validation >= _FEWEST_TO_CHOOSE_BY


def searched_rates(rate: float) -> list[float]:
    """Return the rates that a short search tries: half of a rate, itself and twice it."""
    return [_rounded(rate / 2), rate, _rounded(2 * rate)]


def _rate(shape: Shape) -> float:
    """Return the learning rate of a shape, with two digits."""
    rate = _RATE * (_WIDTH / shape.width) ** 1.5 * math.sqrt(_LAYERS / shape.layers)
    return _rounded(min(rate, _HIGHEST_RATE))


def _rounded(rate: float) -> float:
    return float(f"{rate:.1e}")


def _epochs(recipe: TrainingRecipe, texts: int, *, passes: float, steps: int) -> float:
    """Return the number of passes: enough for a number of steps, within bounds, with one digit."""
    in_pass = max(1, math.ceil(texts / (recipe.batch_size * recipe.gradient_accumulation)))
    wanted = min(max(passes, steps / in_pass), _MOST_EPOCHS)
    return max(1.0, round(min(wanted, _MOST_STEPS / in_pass), 1))


def _open(recipe: TrainingRecipe, **values: object) -> dict[str, object]:
    """Return those of the values whose setting the recipe leaves open."""
    return {name: value for name, value in values.items() if getattr(recipe, name) is None}
