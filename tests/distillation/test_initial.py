"""What a student starts from: layers, widths, an encoder of its own, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from liteft.data import Dataset
from liteft.distillation.initial import check_student, create_student
from liteft.distillation.layers import choose_layers, matched_layers
from liteft.errors import ConfigError, ModelError
from liteft.finetuning import finetune
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier, load_classifier
from liteft.recipes import StudentRecipe
from tests.distillation.students import distill


@pytest.mark.parametrize(("name", "expected"), [("first", [0, 1, 2]), ("spread", [0, 2, 4]), ("ends", [0, 2, 5])])
def test_layers_by_name_are_those_of_the_design(name: str, expected: list[int]) -> None:
    assert choose_layers(name, teacher=6, student=3) == expected


@pytest.mark.parametrize("name", ["auto", "first", "spread", "ends"])
def test_every_choice_names_different_layers_in_order(name: str) -> None:
    for teacher in range(1, 13):
        for student in range(1, teacher + 1):
            layers = choose_layers(name, teacher=teacher, student=student)
            assert layers == sorted(set(layers)) and len(layers) == student
            assert layers[0] >= 0 and layers[-1] < teacher
            assert name != "ends" or student == 1 or (layers[0], layers[-1]) == (0, teacher - 1)


def test_the_last_layers_are_matched_with_each_other() -> None:
    assert matched_layers(teacher=6, student=3) == [1, 3, 5]
    assert all(matched_layers(teacher=12, student=count)[-1] == 11 for count in range(1, 13))


def test_a_student_deeper_than_its_teacher_is_refused_with_a_size_that_fits(loaded: TorchClassifier) -> None:
    with pytest.raises(ConfigError, match="deeper than its teacher") as caught:
        create_student(loaded, StudentRecipe(size="8x32"))
    assert "1 to 4" in str(caught.value) and 'size="2"' in str(caught.value)


@pytest.mark.parametrize("layers", [[0, 1, 2], [0, 9], [1, 0], [1, 1]])
def test_layers_that_do_not_fit_are_refused(loaded: TorchClassifier, layers: list[int]) -> None:
    with pytest.raises(ConfigError, match="do not fit"):
        create_student(loaded, StudentRecipe(size="2", layers=layers))


def test_a_student_copies_embeddings_chosen_layers_and_head(loaded: TorchClassifier) -> None:
    student = create_student(loaded, StudentRecipe(size="2", layers=[1, 3]))
    theirs, ours = loaded.model.state_dict(), student.model.state_dict()
    for name, tensor in ours.items():
        source = name.replace("layer.1.", "layer.3.").replace("layer.0.", "layer.1.")
        torch.testing.assert_close(tensor, theirs[source], rtol=0, atol=0)
    assert student.config.num_hidden_layers == 2 and loaded.config.num_hidden_layers == 4


def test_a_student_of_all_layers_answers_like_its_teacher(loaded: TorchClassifier, dataset: Dataset) -> None:
    student = create_student(loaded, StudentRecipe(size="4x32"))
    np.testing.assert_array_equal(
        predict_logits(student, dataset.test.texts), predict_logits(loaded, dataset.test.texts)
    )


@pytest.mark.parametrize("family", ["distilbert", "roberta", "gpt2"])
def test_every_family_gives_shallower_students(family: str, tiny: ModuleType, dataset: Dataset, tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base", family)
    run = finetune(base, dataset, out=tmp_path / "run", **(tiny.QUICK | {"max_steps": 1}))
    loaded = load_classifier(run.model_path)
    same = create_student(loaded, StudentRecipe(size="2"))
    np.testing.assert_array_equal(predict_logits(same, dataset.test.texts), predict_logits(loaded, dataset.test.texts))
    shallow = create_student(loaded, StudentRecipe(size="1"))
    assert np.isfinite(predict_logits(shallow, dataset.test.texts)).all()


def test_a_narrow_student_keeps_the_embeddings_directions(loaded: TorchClassifier) -> None:
    student = create_student(loaded, StudentRecipe(size="2x16"))
    theirs = loaded.model.state_dict()
    name = next(name for name in theirs if name.endswith("word_embeddings.weight"))
    words, small = theirs[name], student.model.state_dict()[name]
    assert small.shape == (len(words), 16)
    # The best rank-16 approximation has this error, and no projection to 16 columns has a smaller one.
    lost = float((torch.linalg.svdvals(words)[16:] ** 2).sum())
    assert float((words**2).sum() - (small**2).sum()) == pytest.approx(lost, rel=1e-3)
    assert student.config.num_attention_heads == 2 and student.config.intermediate_size == 32


def test_a_student_as_wide_as_its_teacher_loses_nothing_by_shrinking(loaded: TorchClassifier, dataset: Dataset) -> None:
    """Shrinking to the full width is a rotation of the stream: everything but LayerNorm must fit together."""
    from liteft.distillation.shrinking import shrink

    weights = dict(loaded.model.state_dict())
    turned = shrink(weights, width=32, heads=4, inner=64)
    for name, tensor in weights.items():
        assert turned[name].shape == tensor.shape, name
        norm = name.endswith("LayerNorm.weight")
        assert norm or float(turned[name].norm()) == pytest.approx(float(tensor.norm()), rel=1e-4), name


def test_a_family_that_cannot_be_shrunk_is_refused(tiny: ModuleType, dataset: Dataset, tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base", "gpt2")
    run = finetune(base, dataset, out=tmp_path / "run", **(tiny.QUICK | {"max_steps": 1}))
    with pytest.raises(ModelError, match="has no known role"):
        create_student(load_classifier(run.model_path), StudentRecipe(size="1x16"))


@pytest.mark.parametrize("size", ["2x64", "2x12"])
def test_widths_that_cannot_be_cut_are_refused(loaded: TorchClassifier, size: str) -> None:
    with pytest.raises(ConfigError, match="cannot be cut"):
        create_student(loaded, StudentRecipe(size=size))


def test_a_size_or_an_encoder_but_not_both_nor_neither(loaded: TorchClassifier, base: Path) -> None:
    for recipe in (StudentRecipe(), StudentRecipe(size="2", student=str(base))):
        with pytest.raises(ConfigError, match="either a size or an encoder"):
            create_student(loaded, recipe)


def test_an_encoder_of_ones_own_takes_the_teachers_labels(loaded: TorchClassifier, base: Path) -> None:
    student = create_student(loaded, StudentRecipe(student=str(base)))
    assert student.settings.labels == loaded.settings.labels
    assert student.settings.max_tokens == loaded.settings.max_tokens


def test_a_folder_that_is_no_model_is_no_student(loaded: TorchClassifier, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        create_student(loaded, StudentRecipe(student=str(tmp_path)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"matching_epochs": 1.0}, "has nothing to match"),
        ({"learning_rates": [1e-4, -1.0]}, "cannot be searched"),
        ({"learning_rates": []}, "cannot be searched"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(
    settings: dict[str, Any], words: str, loaded: TorchClassifier
) -> None:
    with pytest.raises(ConfigError, match=words):
        create_student(loaded, StudentRecipe(size="2", **settings))


@pytest.mark.parametrize(("size", "words"), [("9", "deeper than its teacher"), ("2x12", "cannot be cut out")])
def test_a_student_that_does_not_fit_its_base_is_refused_before_the_base_is_trained(
    size: str, words: str, base: Path, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        distill(str(base), dataset, out=tmp_path / "student", size=size)
    assert list(tmp_path.iterdir()) == []


def test_embeddings_of_a_width_of_their_own_are_named_as_what_cannot_be_shrunk(tiny: ModuleType) -> None:
    config = tiny.make_config("electra", embedding_size=16)
    with pytest.raises(ConfigError, match="embeddings have a width of their own"):
        check_student(StudentRecipe(size="1x16"), config)


def test_a_base_that_cannot_be_shrunk_is_refused_before_it_is_trained(
    tiny: ModuleType, dataset: Dataset, tmp_path: Path
) -> None:
    base = tiny.write_base(tmp_path / "base", "gpt2")
    with pytest.raises(ModelError, match="has no known role"):
        distill(str(base), dataset, out=tmp_path / "student", size="1x16")
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
