"""Questions from data to answers: a tiny teacher and its student, the artifact, and what does not apply to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering

import liteft
from liteft.answer_labels import AnswerLabels
from liteft.answer_spans import ALWAYS, AnswerForm
from liteft.data import Dataset
from liteft.distillation.cache import teacher_logits
from liteft.errors import ConfigError, DataError, ModelError
from liteft.finetuning import finetune
from liteft.finetuning.answer_batches import NO_UNIT, UNITS, units_of_rows
from liteft.finetuning.answering import form_for, require_answerable
from liteft.finetuning.batches import Collator
from liteft.finetuning.calibration import without_threshold
from liteft.finetuning.fit import encode_rows
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.loss import label_loss
from liteft.finetuning.model import load_classifier
from liteft.finetuning.reading import read_split
from liteft.floors import train_floors
from liteft.recipes import StudentRecipe, TeacherRecipe
from liteft.run import Run, read_run
from liteft.runtime.onnx_engine import session_options
from liteft.runtime.splits import split_logits
from liteft.tasks import ANSWERS
from tests.answered import QUICK, made_artifact, made_base, made_teacher, make_questions, question_split, questions
from tests.cache import Cache
from tests.modules import module_of


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return questions()


@pytest.fixture(scope="module")
def base(cache: Cache) -> Callable[[str], Path]:
    """A function from a family to the folder of its tiny base."""
    return lambda family: made_base(cache, family)


@pytest.fixture(scope="module")
def teacher(cache: Cache) -> Run:
    """A fine-tuned model of questions. Read it only."""
    return made_teacher(cache)


@pytest.fixture(scope="module")
def artifact(cache: Cache) -> Path:
    """The teacher as an int8 artifact. Read it only."""
    return made_artifact(cache)


def test_a_batch_holds_the_first_and_last_token_of_each_unit(teacher: Run, dataset: Dataset) -> None:
    loaded = load_classifier(teacher.model_path)
    rows = encode_rows(loaded, dataset.validation)
    windows = rows.reading.answers
    assert windows is not None and len(rows.encoded) > len(dataset.validation), "some contexts have several windows"
    chosen = [3, 0, len(rows.encoded) - 1]
    batch = rows(chosen)
    for place, row in enumerate(chosen):
        count = int(windows.row_units[row + 1] - windows.row_units[row])
        assert (batch[UNITS][place, :count] >= 0).all() and (batch[UNITS][place, count:] == -100).all()
        assert batch["labels"][place].max() < count
    values = np.zeros((len(rows.encoded), 80, 2), dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(rows.encoded))
    for place, row in enumerate(order):
        first, last = windows.row_units[row : row + 2].tolist()
        values[place, : last - first] = np.arange(first, last)[:, None]
    assert units_of_rows(values, order, windows)[:, 0].tolist() == list(range(len(windows.unit_first)))


def test_the_loss_is_the_mean_of_two_cross_entropies() -> None:
    logits = torch.tensor([[[1.0, 0.0], [2.0, 1.0], [0.0, 5.0]], [[1.0, 2.0], [3.0, 0.0], [NO_UNIT, NO_UNIT]]])
    labels = torch.tensor([[1, 2], [0, 0]])
    logs = logits.double().log_softmax(dim=1)
    wanted = -(logs[0, 1, 0] + logs[0, 2, 1] + logs[1, 0, 0] + logs[1, 0, 1]) / 4
    assert label_loss(logits, labels, task=ANSWERS).item() == pytest.approx(wanted.item(), rel=1e-5)
    even = -(logs[0].mean() + logs[1, :2].mean()) / 2
    smoothed = label_loss(logits, labels, task=ANSWERS, smoothing=0.2).item()
    assert smoothed == pytest.approx((0.8 * wanted + 0.2 * even).item(), rel=1e-5)


def test_a_teacher_learns_to_answer_and_stores_what_it_predicts(teacher: Run, dataset: Dataset) -> None:
    assert teacher.metrics["test"]["f1"] > 0.75 and teacher.metrics["test"]["no_answer_accuracy"] > 0.5
    assert "no_answer" in teacher.info and teacher.task == "answers"
    logits, gold = teacher.predictions("test")
    assert isinstance(gold, AnswerLabels) and gold.strings == dataset.test.labels.strings
    assert ANSWERS.score(logits, gold)["f1"] == pytest.approx(teacher.metrics["test"]["f1"])
    lines = (teacher.path / "predictions" / "test.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "row,gold,predicted,score" and len(lines) == 61


def test_the_folder_is_one_of_transformers(teacher: Run) -> None:
    model, info = AutoModelForQuestionAnswering.from_pretrained(teacher.model_path, output_loading_info=True)
    assert not info["missing_keys"] and type(model).__name__ == "BertForQuestionAnswering"
    stored = json.loads((teacher.model_path / "config.json").read_text())["liteft"]
    assert stored["answers"]["max_answer"] == 30 and load_classifier(teacher.model_path).settings.answers is not None


@pytest.mark.parametrize("family", ["distilbert", "roberta", "electra"])
def test_every_built_family_answers_and_is_exported(
    family: str, base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    run = finetune(base(family), dataset, out=tmp_path / "run", **(QUICK | {"max_steps": 40}))
    made = liteft.export(run, tmp_path / "artifact", verify=dataset.validation, precision="fp32")
    assert made.manifest.graph == "built" and made.manifest.pooling == "none"
    found, wanted = predict_logits(load_classifier(run.model_path), dataset.test), run.predictions("test")[0]
    assert np.allclose(found.values, wanted.values, atol=1e-4)
    with liteft.load(made.path, backend="native") as classifier:
        logits = split_logits(classifier, dataset.test)
    assert ANSWERS.same(ANSWERS.decide(logits), ANSWERS.decide(wanted)).all()


def test_every_question_is_answered_where_all_have_an_answer(base: Callable[[str], Path], tmp_path: Path) -> None:
    data = make_questions(train=64, other=24, silent=0.0)
    run = finetune(base("bert"), data, out=tmp_path / "run", **(QUICK | {"epochs": 1}))
    assert run.info["no_answer"] is None and run.metrics["test"]["answered"] == 1.0
    loaded = load_classifier(run.model_path)
    assert loaded.settings.answers == AnswerForm(no_answer=None)
    raw = predict_logits(loaded, data.test, undecided=True)
    decided = ANSWERS.decide(predict_logits(loaded, data.test))
    assert (decided == ANSWERS.decide(raw, ALWAYS)).all()
    assert without_threshold(loaded).settings.answers == AnswerForm()


def test_weights_are_chosen_by_what_the_finished_model_does_where_questions_are_few(
    base: Callable[[str], Path], tmp_path: Path
) -> None:
    lines: list[str] = []
    data = make_questions(train=64, other=40, silent=0.5)
    run = finetune(base("bert"), data, out=tmp_path / "run", progress=lines.append, **(QUICK | {"epochs": 2}))
    best = run.info["best_metric"]
    assert run.info["no_answer"] == 0.0 and best is not None
    reached = run.metrics["validation"]
    reached = reached | {"balanced": ANSWERS.balanced(reached)}
    assert {name: reached[name] for name in best} == pytest.approx(best, abs=1e-6)
    (said,) = (line for line in run.info["warnings"] if "too few" in line)
    assert said == (
        "40 validation questions are too few to fit the threshold of no answer on, which takes 50, so it stays at 0"
    )
    assert lines.count(f"warning: {said}") == 1


def test_answers_may_be_as_long_as_those_of_training(teacher: Run) -> None:
    loaded = load_classifier(teacher.model_path)
    split = question_split("train", 4, seed=0, words=(34, 35), silent=1.0)
    long = replace(
        split, labels=AnswerLabels.found([[(0, len(context))] for context in split.pairs or []], split.pairs)
    )
    assert form_for(loaded, split, TeacherRecipe()) == AnswerForm(max_answer=30)
    assert form_for(loaded, long, TeacherRecipe()) == AnswerForm(max_answer=34)
    assert form_for(loaded, long, TeacherRecipe(max_answer=7)) == AnswerForm(max_answer=7)


def test_a_student_learns_from_the_teachers_logits(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    quick = QUICK | {"epochs": 2}
    made = liteft.distill(teacher.path, dataset, out=tmp_path, size="1", arms=["c0", "c1"], **quick)
    assert made.artifact is not None and made.artifact.manifest.answers is not None
    student = made.students[0] if hasattr(made, "students") else read_run(tmp_path / "student")
    assert student.metrics["test"]["f1"] > 0.6
    assert {path.name for path in tmp_path.iterdir()} >= {"student", "student-c0", "student-control", "artifact"}
    assert "floors" not in {path.stem for path in tmp_path.iterdir()}
    assert "questions" in str(made)


def test_cached_logits_are_those_of_the_teacher_without_its_threshold(
    teacher: Run, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_classifier(teacher.model_path)
    loaded.settings = replace(loaded.settings, answers=AnswerForm(no_answer=3.0))
    first = teacher_logits(loaded, "0" * 64, dataset.test, folder=tmp_path, bf16=False)
    wanted = predict_logits(loaded, dataset.test, undecided=True)
    assert np.array_equal(first.values, wanted.values)
    monkeypatch.setattr("liteft.distillation.cache.predict_logits", lambda *_, **__: pytest.fail("asked twice"))
    again = teacher_logits(loaded, "0" * 64, dataset.test, folder=tmp_path, bf16=False)
    assert np.array_equal(first.values, again.values) and first.fits(again)


def test_logits_of_other_tokens_are_refused(teacher: Run, dataset: Dataset) -> None:
    loaded = load_classifier(teacher.model_path)
    logits = predict_logits(loaded, dataset.test, undecided=True)
    assert isinstance(encode_rows(loaded, dataset.test, teacher_logits=logits), Collator)
    shorter = load_classifier(teacher.model_path, max_tokens=24)
    with pytest.raises(ConfigError, match="in other tokens than the student"):
        encode_rows(shorter, dataset.test, teacher_logits=logits)


@pytest.mark.parametrize(
    "recipe",
    [
        TeacherRecipe(class_weights="balanced"),
        TeacherRecipe(head="lda"),
        TeacherRecipe(choose_by="log_loss"),
        StudentRecipe(logits_loss="mse"),
        StudentRecipe(augmentation="mask"),
        StudentRecipe(vocabulary=100),
        StudentRecipe(teacher_folds=5),
    ],
)
def test_settings_that_do_not_apply_are_refused(recipe: TeacherRecipe | StudentRecipe, dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="does not apply where questions are answered"):
        require_answerable(recipe, dataset)


def test_what_answers_alone_have_is_refused_elsewhere(dataset: Dataset, base: Callable[[str], Path]) -> None:
    labelled = module_of("finetuning").make_dataset()
    with pytest.raises(ConfigError, match="max_answer is the length of answers"):
        require_answerable(TeacherRecipe(max_answer=3), labelled)
    with pytest.raises(DataError, match="floors give labels"):
        train_floors(dataset)
    with pytest.raises(ModelError, match="is a decoder"):
        finetune(base("gpt2"), dataset, out=Path("never"), **QUICK)


def test_texts_without_contexts_are_refused(teacher: Run) -> None:
    with pytest.raises(DataError, match="has no contexts"):
        read_split(load_classifier(teacher.model_path), liteft.Split("none", ["a question"]))


def test_an_artifact_gives_the_answers_of_torch(artifact: Path, teacher: Run, dataset: Dataset) -> None:
    manifest = liteft.read_artifact(artifact).manifest
    assert manifest.answers == load_classifier(teacher.model_path).settings.answers
    assert manifest.verification["primary"]["metric"] == "f1" and manifest.verification["agreement"] > 0.9
    assert manifest.verification["calibration_error"] is None
    wanted = ANSWERS.decide(teacher.predictions("test")[0])
    for backend in ("native", "onnxruntime"):
        with liteft.load(artifact, backend=backend) as classifier:
            found = classifier.predict(list(zip(dataset.test.texts, dataset.test.pairs or [], strict=True)))
        places = np.array([(-1, -1) if each.start is None else (each.start, each.end) for each in found])
        assert ANSWERS.same(places, wanted).mean() > 0.9
    card = (artifact / "card.md").read_text(encoding="utf-8")
    assert (
        "answer that overlaps the model's by half or more for" in card
        and "no answer to any question" in card
        and '"a question"' in card
    )


@pytest.mark.parametrize("form", [{}, {"flat": True}, {"target": "edge"}])
def test_starts_and_ends_are_outputs_of_their_own(
    form: dict[str, Any], teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    made = liteft.export(teacher, tmp_path / "artifact", verify=dataset.validation, **form)
    session = onnxruntime.InferenceSession(str(made.model_path), session_options())
    ids = np.array([[2, 5, 6, 3], [2, 7, 3, 0]], dtype=np.int64)
    feed = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64), "token_type_ids": np.zeros_like(ids)}
    logits, start, end = session.run(["logits", "start_logits", "end_logits"], feed)
    assert np.array_equal(logits[..., 0], start) and np.array_equal(logits[..., 1], end)


def test_a_model_of_transformers_is_exported(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    model = AutoModelForQuestionAnswering.from_pretrained(teacher.model_path)
    del model.config.liteft
    model.save_pretrained(tmp_path / "foreign")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "foreign" / name).write_bytes((teacher.model_path / name).read_bytes())
    made = liteft.export(tmp_path / "foreign", tmp_path / "artifact", verify=dataset.validation)
    assert made.manifest.task == "answers" and made.manifest.labels == ("start", "end") and made.manifest.paired
    assert made.manifest.answers == AnswerForm()
    with pytest.raises(ConfigError, match="architecture says so"):
        liteft.export(tmp_path / "foreign", tmp_path / "other", verify=dataset.validation, task="tokens")
