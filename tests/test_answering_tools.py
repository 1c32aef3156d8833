"""What else is done with models of questions: comparing, searching, trimming, cross-validation, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import AlbertConfig, AlbertModel

import liteft
from liteft.answer_labels import AnswerLabels
from liteft.cli.groups import predicting
from liteft.cross_validated import fold_datasets
from liteft.data import Dataset
from liteft.errors import DataError
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.recovery import ExportAttempt
from liteft.finetuning.model import load_classifier
from liteft.form import ExportForm
from liteft.frontier.candidates import Variant
from liteft.frontier.training import tuning_recipe
from liteft.recipes import Recipe, StudentRecipe, TeacherRecipe
from liteft.report.comparison import compare
from liteft.run import Run
from liteft.runtime.splits import split_logits
from liteft.tasks import ANSWERS, SINGLE_LABEL
from tests.answered import QUICK, made_artifact, made_base, made_teacher, question_split, questions
from tests.cache import Cache
from tests.modules import module_of


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return questions()


@pytest.fixture(scope="module")
def teacher(cache: Cache) -> Run:
    return made_teacher(cache)


def test_an_artifact_is_compared_and_timed_from_question_to_answer(dataset: Dataset, cache: Cache) -> None:
    found = compare(made_artifact(cache), on=dataset, rounds=1, seconds=0.001, threads=1)
    (model,) = found.models
    assert model.speed is not None and model.speed.p50_ms > 0 and model.scores["f1"] > 0.75
    shown = found.render()
    assert "exact match %" in shown and "from question and context to answer, tokenization included" in shown


@pytest.mark.slow
def test_a_run_and_its_artifact_are_compared_in_processes_of_their_own(
    dataset: Dataset, teacher: Run, cache: Cache
) -> None:
    found = compare(teacher.path, made_artifact(cache), on=dataset, rounds=1, seconds=0.001, threads=1)
    assert [model.speed is not None for model in found.models] == [True, True]
    assert found.models[1].agreement > 0.9 and found.models[1].paired is not None


def test_the_products_that_cost_most_answers_in_int8_are_found(teacher: Run, dataset: Dataset) -> None:
    loaded = load_classifier(teacher.model_path)
    gate: Any = SimpleNamespace(split=dataset.validation)
    writer: Any = None  # nothing is written
    graphs = Blueprint(loaded)
    attempt = ExportAttempt(graphs, loaded, None, writer, [gate], form=ExportForm(), title="", calibration=None)
    effects = attempt.sensitivity(Int8Plan(), None)
    assert {effect.product for effect in effects} == set(graphs.products)
    assert all(np.isfinite(effect.divergence) and 0 <= effect.changed < 0.5 for effect in effects)


def test_questions_about_one_context_are_in_one_fold() -> None:
    split = question_split("train", 60, seed=0)
    shared = [split.pairs[row // 3] for row in range(60)] if split.pairs else []
    labels = AnswerLabels.found([()] * 60, shared)
    data = Dataset("shared", ANSWERS, ("start", "end"), {"train": replace(split, pairs=shared, labels=labels)})
    data.splits["validation"] = question_split("validation", 10, seed=1)
    folds = fold_datasets(data, 4, seed=0)
    assert sum(len(fold.test) for fold in folds) == 70
    for fold in folds:
        parts = [set(part.pairs or []) for part in fold.splits.values()]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 30
    with pytest.raises(DataError, match="30 different contexts for 31 folds"):
        fold_datasets(data, 31, seed=0)


def test_a_distillation_of_answers_is_cross_validated(dataset: Dataset, cache: Cache, tmp_path: Path) -> None:
    quick = QUICK | {"epochs": 1.0}
    recipe = Recipe(teacher=TeacherRecipe(**quick), student=StudentRecipe(size="1", folds=2, **quick))
    made = liteft.distill(made_base(cache, "bert"), dataset, out=tmp_path, recipe=recipe, until="student")
    assert made.folds is not None and made.folds.texts == 220 and made.folds.floors is None
    assert 0 <= made.folds.scores["student"]["exact_match"] <= made.folds.scores["student"]["f1"]
    assert "points of F1" in made.render()


def test_a_student_is_tuned_with_its_teachers_tokens_and_trimmed_when_it_is_exported() -> None:
    variant = Variant(ExportForm(), vocabulary=800)
    student: Any = SimpleNamespace(task=ANSWERS, model_path=Path("student"))
    made = tuning_recipe(Recipe(), student, variant)
    assert (made.student.vocabulary, made.export.vocabulary) == (None, 800)
    student.task = SINGLE_LABEL
    made = tuning_recipe(Recipe(), student, variant)
    assert (made.student.vocabulary, made.export.vocabulary) == (800, None)


def test_advice_is_refused_before_anything_is_trained(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="advice is given for labels of whole texts") as caught:
        liteft.advise(dataset)
    assert "train_floors" not in str(caught.value)


def test_the_next_command_asks_a_question(cache: Cache) -> None:
    artifact = made_artifact(cache)
    words = ["liteft", "predict", str(artifact), "a question", "--pair-text", "the context that answers it"]
    assert predicting(artifact) == words
    assert predicting(artifact, trust=True) == [*words, "--trust"]


@pytest.mark.parametrize(
    ("family", "settings"),
    [("bert", "return_token_type_ids: true, "), pytest.param("roberta", "", marks=pytest.mark.slow)],
)
def test_the_card_says_what_transformers_js_must_be_told(
    family: str, settings: str, dataset: Dataset, cache: Cache, tmp_path: Path
) -> None:
    run = liteft.finetune(made_base(cache, family), dataset, out=tmp_path / "run", **(QUICK | {"max_steps": 40}))
    made = liteft.export(run, tmp_path / "edge", verify=dataset.validation, precision="fp32", target="edge")
    card = (made.path / "card.md").read_text(encoding="utf-8")
    assert f"Object.assign(answerer.tokenizer, {{ {settings}sep_token_id: 3 }});" in card


def test_an_adapter_is_trained_and_merged_for_an_export(dataset: Dataset, cache: Cache, tmp_path: Path) -> None:
    quick = QUICK | {"max_steps": 40, "lora_rank": 4}
    run = liteft.finetune(made_base(cache, "bert"), dataset, out=tmp_path / "run", **quick)
    assert (run.model_path / "adapter_config.json").is_file() and run.metrics["test"]["f1"] > 0.3
    made = liteft.export(run, tmp_path / "artifact", verify=dataset.validation, precision="fp32")
    with liteft.load(made.path, backend="native") as reader:
        found = split_logits(reader, dataset.test)
    assert ANSWERS.same(ANSWERS.decide(found), ANSWERS.decide(run.predictions("test")[0])).all()


@pytest.mark.slow
def test_a_family_whose_graph_is_traced_answers_as_torch_does(dataset: Dataset, tmp_path: Path) -> None:
    tiny = module_of("finetuning")
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = AlbertConfig(vocab_size=len(tiny.PIECES), embedding_size=16, max_position_embeddings=40, **shape)
    AlbertModel(config).save_pretrained(tmp_path / "base")
    tiny.write_tokenizer(tmp_path / "base")
    run = liteft.finetune(tmp_path / "base", dataset, out=tmp_path / "run", **(QUICK | {"max_steps": 40}))
    made = liteft.export(run, tmp_path / "artifact", verify=dataset.validation, precision="fp32")
    assert made.manifest.graph == "traced"
    with liteft.load(made.path) as reader:
        found = split_logits(reader, dataset.test)
    assert np.allclose(found.values, run.predictions("test")[0].values, atol=1e-4)
