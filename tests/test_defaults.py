"""What a training takes where its recipe leaves settings open."""

from __future__ import annotations

import pytest

from liteft.defaults import Shape, searched_rates, settled_student, settled_teacher
from liteft.recipes import StudentRecipe, TeacherRecipe

MINILM = Shape(6, 384)


def student(shape: Shape, *, texts: int = 5_000, validation: int = 500, **settings: object) -> StudentRecipe:
    return settled_student(StudentRecipe.model_validate(settings), shape, texts=texts, validation=validation)


@pytest.mark.parametrize(
    ("shape", "rate"),
    [
        (MINILM, 2e-4),
        (Shape(3, 384), 2.8e-4),
        (Shape(1, 384), 4.9e-4),
        (Shape(12, 768), 5e-5),
        (Shape(24, 1024), 2.3e-5),
        (Shape(1, 64), 1e-3),
    ],
)
def test_the_learning_rate_falls_with_width_and_depth(shape: Shape, rate: float) -> None:
    assert settled_teacher(TeacherRecipe(), shape, texts=1_000).learning_rate == rate
    assert student(shape).learning_rate == rate


@pytest.mark.parametrize(
    ("texts", "epochs", "steps"),
    [
        (50, 80.0, 160),  # no more passes than 80
        (350, 72.7, 800),
        (1_500, 17.0, 799),
        (15_000, 3.0, 1_407),
        (67_349, 3.0, 6_315),
        (1_000_000, 1.0, 31_250),  # one pass at least
    ],
)
def test_small_data_get_more_passes(texts: int, epochs: float, steps: int) -> None:
    recipe = settled_teacher(TeacherRecipe(), MINILM, texts=texts)
    assert recipe.epochs == epochs
    assert round(epochs * -(-texts // recipe.batch_size)) == steps


def test_a_student_takes_at_least_four_passes() -> None:
    assert student(MINILM, texts=15_000).epochs == 4.0
    assert student(MINILM, texts=1_600).epochs == 32.0


@pytest.mark.parametrize(
    ("texts", "settings", "in_pass", "in_all"),
    [
        (1_500, {}, 1, 34),  # many passes
        (14_856, {}, 3, 12),  # a large pool: 40 passes over 1,500 labels to a control
        (1_000_000, {}, 10, 10),
        (100, {"epochs": 2}, 1, 2),  # evaluations are ten steps apart, or a pass
        (14_856, {"max_steps": 100}, 46, 10),
        (14_856, {"evaluations_per_epoch": 1}, 1, 4),
        (14_856, {"epochs": 0, "quantized_epochs": 1}, 1, 0),
    ],
)
def test_long_passes_are_judged_within(texts: int, settings: dict[str, object], in_pass: int, in_all: int) -> None:
    recipe = student(MINILM, texts=texts, **settings)
    assert recipe.epochs is not None and recipe.evaluations_per_epoch == in_pass
    passes = recipe.epochs if recipe.max_steps is None else recipe.max_steps / -(-texts // recipe.batch_size)
    assert round(passes * in_pass) == in_all


def test_larger_batches_mean_more_passes() -> None:
    assert settled_teacher(TeacherRecipe(batch_size=64), MINILM, texts=15_000).epochs == pytest.approx(3.4)
    assert settled_teacher(TeacherRecipe(gradient_accumulation=2), MINILM, texts=15_000).epochs == pytest.approx(3.4)


def test_what_is_set_stays() -> None:
    recipe = settled_teacher(TeacherRecipe(learning_rate=1e-5, epochs=2), MINILM, texts=100)
    assert (recipe.learning_rate, recipe.epochs) == (1e-5, 2)
    assert student(Shape(3, 768), rate_search=False).rate_search is False


def test_an_adapter_has_a_rate_of_its_own() -> None:
    large = Shape(36, 2560)
    assert settled_teacher(TeacherRecipe(lora_rank=16), large, texts=1_000).learning_rate == 2e-4
    assert settled_teacher(TeacherRecipe(base_quantization="4bit"), large, texts=1_000).learning_rate == 2e-4
    assert settled_teacher(TeacherRecipe(lora_rank=0), large, texts=1_000).learning_rate < 2e-5


def test_the_rate_is_searched_where_the_width_was_not_measured_and_can_be_chosen() -> None:
    assert student(Shape(3, 768)).rate_search is True
    assert student(Shape(3, 384)).rate_search is False
    assert student(Shape(3, 768), validation=100).rate_search is False
    assert student(Shape(3, 768), learning_rate=1e-4).rate_search is False
    assert student(Shape(3, 768), learning_rates=[1e-4, 2e-4]).rate_search is False
    assert searched_rates(2e-4) == [1e-4, 2e-4, 4e-4]


def test_the_head_starts_from_discriminants_where_texts_have_several_labels() -> None:
    def head(**known: bool) -> str | None:
        return settled_teacher(TeacherRecipe(), MINILM, texts=1_000, **known).head

    assert head() == "random" and head(several=True) == "lda"
    assert head(several=True, pretrained=False) == "random"
    assert settled_teacher(TeacherRecipe(head="random"), MINILM, texts=1_000, several=True).head == "random"
