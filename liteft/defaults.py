"""What a training takes where its recipe leaves settings open: learning rate and epochs from the data and the model.

    learning rate   2e-4 for 6 layers of width 384; lower for wider and deeper models, higher for smaller ones
    epochs          as many passes as give enough steps: small data need more passes than large data
    evaluations     one per pass over the texts, more where there would be fewer than ten in the whole training
    head            random weights; discriminants of the base's features where a text may have several labels

These were measured at width 384 only, on validation splits of parts of CLINC150, TREC, SST-2, SNIPS, CoLA and (teachers
alone) GoEmotions (bench/defaults.py, bench/results/defaults.json; tables in CONTRIBUTING.md), with one seed: teachers
of 6 layers and students of 3 and 1. Neither half nor twice the rate is better by more than 1.1 points of the
main metric, nor, of 350 and 1,000 texts, half or twice the passes or the batch by more than 1.2; nor, on TREC with fine
labels and on ten labels of each intent of CLINC150, another temperature, weight of the labels or loss by more than 1.1.
In macro F1 over TREC's 47 uneven labels half the rate is 3.0 points better for 3 layers, and mean squared error 2.8 for
one. Teachers of 70 to 150 texts gain up to 5.3 points from 80 passes instead of 40 on four of five sets (on CoLA, macro
F1 for accuracy), and no more from 160, so 80 is the most of any training; no rule is visible for their students.
The powers of width and depth are judgement: they give what is usual for wider models, 5e-5 for BERT-base and 2.3e-5 for
BERT-large. The rate of a student whose width is not near 384 is therefore searched among three for a fraction of the
steps.

All arms of a comparison are judged as often as the student; with ``matching_epochs`` C0 and C1, which have these steps
too, also during them. Of 1,500 labels and a pool of 13,356 texts, a student's four passes are 40 passes over the labels
to a control, which was best at the first of four evaluations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

from liteft.recipes import StudentRecipe, TeacherRecipe, TrainingRecipe

__all__ = [
    "MAX_TOKENS",
    "SEARCH_SHARE",
    "Shape",
    "read_length",
    "searched_rates",
    "searches_rate",
    "settled_student",
    "settled_teacher",
]

MAX_TOKENS = 128
_LONGEST_WITH_CONTEXT = 384  # of a question and a window of its context, as in the scripts for SQuAD
SEARCH_SHARE = 0.25  # of the steps, for each rate that is tried
_Recipe = TypeVar("_Recipe", bound=TrainingRecipe)
_RATE, _LAYERS, _WIDTH = 2e-4, 6, 384
_HIGHEST_RATE, _ADAPTER_RATE = 1e-3, 2e-4
_MEASURED_WIDTHS = range(256, 385)  # 384, and what is near enough
_FEWEST_TO_CHOOSE_BY = 200  # validation texts: the difference between two rates is lost in the noise of fewer
_MOST_EPOCHS = 80.0
_MOST_STEPS = 12_000  # beyond which a further pass is not worth its time
_EVALUATIONS, _STEPS_BETWEEN = 10, 10  # in a training; between two of them, if they are not a pass apart


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
    recipe: TeacherRecipe,
    shape: Shape,
    *,
    texts: int,
    several: bool = False,
    pretrained: bool = True,
    max_tokens: int = MAX_TOKENS,
) -> TeacherRecipe:
    """Return a teacher's recipe with the settings that it leaves open.

    Args:
        recipe: what is set stays.
        shape: of the base.
        texts: number of training texts.
        several: whether a text may have several labels. Few of many are right for any text, so a random head learns
            for hundreds of steps to say no to all; discriminants are a fair classifier at step 0.
        pretrained: whether the base is an encoder with features to separate labels by.
        max_tokens: where texts are cut.
    """
    adapted = bool(recipe.lora_rank) or recipe.base_quantization is not None
    rate = _ADAPTER_RATE if adapted else _rate(shape)
    recipe = _with_epochs(recipe, texts, passes=3, steps=800)
    head = "lda" if several and pretrained else "random"
    return recipe.model_copy(update=_open(recipe, learning_rate=rate, head=head, max_tokens=max_tokens))


def read_length(*, extractive: bool, most: int) -> int:
    """Return how many tokens are read where the recipe does not say, at most as many as there are positions."""
    return min(_LONGEST_WITH_CONTEXT, most) if extractive else MAX_TOKENS


def settled_student(recipe: StudentRecipe, shape: Shape, *, texts: int, validation: int) -> StudentRecipe:
    """Return a student's recipe with the settings that it leaves open; the same for all arms.

    Args:
        recipe: what is set stays.
        shape: of the student.
        texts: number of texts that it is trained on, labelled or not.
        validation: number of validation texts.
    """
    search = searches_rate(recipe, shape, validation=validation)
    recipe = _with_epochs(recipe, texts, passes=4, steps=1_600)
    return recipe.model_copy(update=_open(recipe, learning_rate=_rate(shape), rate_search=search))


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


def _with_epochs(recipe: _Recipe, texts: int, *, passes: float, steps: int) -> _Recipe:
    """Return a recipe with the number of passes, enough for a number of steps, and of evaluations in each."""
    in_pass = max(1, math.ceil(texts / (recipe.batch_size * recipe.gradient_accumulation)))
    epochs = recipe.epochs
    if epochs is None:
        wanted = min(max(passes, steps / in_pass), _MOST_EPOCHS)
        epochs = max(1.0, round(min(wanted, _MOST_STEPS / in_pass), 1))
    trained = epochs if recipe.max_steps is None else recipe.max_steps / in_pass
    evaluations = min(math.ceil(_EVALUATIONS / trained) if trained else 1, in_pass // _STEPS_BETWEEN)
    return recipe.model_copy(update=_open(recipe, epochs=epochs, evaluations_per_epoch=max(1, evaluations)))


def _open(recipe: TrainingRecipe, **values: object) -> dict[str, object]:
    """Return those of the values whose setting the recipe leaves open."""
    return {name: value for name, value in values.items() if getattr(recipe, name) is None}
