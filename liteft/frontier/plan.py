"""The shapes of a search and the variants of each that fit into the budget's megabytes, before anything is trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

from transformers import PretrainedConfig

from liteft.distillation.initial import check_narrower, check_student, encoder_weights, student_config
from liteft.distillation.shrinking import unknown_role
from liteft.errors import ConfigError, ModelError, leave_out, option
from liteft.finetuning.settings import ModelSettings, apply_settings
from liteft.frontier.candidates import Shape, Variant, asked_shapes, narrower_widths, whole_variants
from liteft.frontier.sizes import Sizes, fitting_variants, sizes_of, smallest_variant
from liteft.frontier.training import shape_recipe
from liteft.recipes import Recipe
from liteft.tokenization import TextTokenizer

__all__ = ["Planned", "check_recipe", "plan_shapes", "require_fit"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A shape, and the variants of it that fit into the budget's megabytes.

    Attributes:
        shape: the student's size.
        sizes: predicts the size of its artifacts.
        variants: those that fit, the most exact first; empty if none does.
        least: predicted bytes of the smallest variant with the smallest possible vocabulary.
        reason: why the other variants do not fit; "" if all do.
    """

    shape: Shape
    sizes: Sizes
    variants: tuple[Variant, ...]
    least: int
    reason: str


def plan_shapes(
    recipe: Recipe, config: PretrainedConfig, settings: ModelSettings, tokenizer: TextTokenizer
) -> Iterator[list[Planned]]:
    """Yield groups of shapes, each group from the cheapest up.

    The first group has the widths that the recipe asks for. If it asks for no width and no size, the first group has
    the teacher's width, and one group for each narrower width follows.

    Args:
        recipe: its search, student and export tables are read.
        config: the configuration of the teacher, or of the base that becomes the teacher; it is not changed.
        settings: the teacher's labels, pooling and other settings.
        tokenizer: the teacher's tokenizer.

    Raises:
        ConfigError: sizes that contradict each other or do not fit the teacher.
        ModelError: narrower widths were requested, and the teacher's family cannot be shrunk.
    """
    config = copy.deepcopy(config)
    apply_settings(config, settings)

    def planned(shape: Shape) -> Planned:
        student = shape_recipe(recipe, shape).student
        check_student(student, config)
        sizes = sizes_of(student_config(config, student)[0], settings, tokenizer, vocabulary=student.vocabulary)
        variants = whole_variants(recipe, width=sizes.width)
        fitting, reason = fitting_variants(sizes, variants, tokenizer, recipe.search.max_mb)
        least = min(sizes.predict(smallest_variant(variant, tokenizer)) for variant in variants)
        return Planned(shape, sizes, tuple(fitting), least, reason)

    depth, width = int(config.num_hidden_layers), int(config.hidden_size)
    shapes = asked_shapes(recipe, layers=depth, width=width)
    if any(shape.width != width for shape in shapes):
        hint = leave_out("search.widths") if recipe.search.widths else option("size", "LAYERS")
        check_narrower(config, fix=[hint])
    yield [planned(shape) for shape in shapes]
    asked = recipe.search.widths is not None or recipe.student.size is not None
    if not asked and unknown_role(encoder_weights(config)) is None:
        for narrower in narrower_widths(config):
            yield [planned(Shape(shape.layers, narrower)) for shape in shapes]


def require_fit(recipe: Recipe, config: PretrainedConfig, settings: ModelSettings, tokenizer: TextTokenizer) -> None:
    """Check that at least one student of a teacher fits into the budget's megabytes.

    Raises:
        ModelError: even the smallest student is too large.
        ConfigError: as for ``plan_shapes``.
    """
    tried = []
    for group in plan_shapes(recipe, config, settings, tokenizer):
        if any(planned.variants for planned in group):
            return
        tried += group
    smallest = min(tried, key=lambda each: each.least)
    raise ModelError(
        f"no student of this teacher fits into {recipe.search.max_mb:g} MB.",
        accepted={"the smallest": f"{smallest.shape.name}, {smallest.reason}"},
        fix=[
            option("max_mb", math.ceil(110 * smallest.least / 1e6) / 100, note=", or more"),
            "a smaller teacher, or one with a smaller vocabulary",
        ],
    )


def check_recipe(recipe: Recipe) -> None:
    """Check that a recipe has no settings that a search decides by itself or does not support.

    Raises:
        ConfigError: names the first such setting.
    """
    student, export = recipe.student, recipe.export
    later = " where the winner's size is distilled afterwards"
    unfit = {
        "a student encoder (student)": (student.student is not None, leave_out("student")),
        "a task-free stage (general)": (student.general is not None, leave_out("student.general")),
        f"{student.seeds} seeds": (student.seeds > 1, option("seeds", student.seeds, note=later)),
        "a control": (student.control, option("control", note=later)),
        "arms": (bool(student.arms), option("arms", ",".join(student.arms), note=later)),
        "folds": (student.folds > 0, option("folds", student.folds, note=later)),
        "a vocabulary for the export": (export.vocabulary is not None, leave_out("export.vocabulary")),
        "a model repository, which would be weighed with each artifact (target)": (
            export.target == "triton",
            option("target", "triton", note=" where the winner is exported afterwards"),
        ),
    }
    for setting, (given, fix) in unfit.items():
        if given:
            raise ConfigError(
                f"a search cannot be combined with {setting}.",
                accepted={"a search": "one student per size, with as large a vocabulary as the budget allows"},
                fix=fix,
            )
