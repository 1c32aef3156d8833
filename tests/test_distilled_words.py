"""Tags of words from a base to a student, its folds and floors, a comparison, and what to label next: tiny models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import liteft
from liteft.data import Dataset, Split
from liteft.errors import DataError, ModelError
from liteft.finetuning.foreign_tags import refuse_iob1
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.floors import read_floors
from liteft.ragged import Ragged
from liteft.recipes import Recipe, StudentRecipe, TeacherRecipe
from liteft.report import seeds_table
from liteft.run import Run, read_run
from liteft.words import joined_words
from tests.cache import Cache
from tests.modules import module_of

TAGS = ("O", "B-red", "I-red", "B-green", "I-green", "B-blue", "I-blue")


@pytest.fixture(scope="module")
def tiny() -> ModuleType:
    return module_of("finetuning")


@pytest.fixture(scope="module")
def base(tiny: ModuleType, cache: Cache) -> Path:
    shape = {"num_hidden_layers": 4, "num_attention_heads": 4}
    return cache("distillation-base", lambda folder: tiny.write_base(folder, "bert", **shape))


def tagged(tiny: ModuleType, name: str, count: int, seed: int) -> Split:
    """Return texts of 4 to 12 words with a span of one word of a topic, seldom of two: a tiny base learns no more."""
    random = np.random.default_rng(seed)
    rows, tags = [], []
    for _ in range(count):
        words = list(random.choice(tiny.FILLERS, random.integers(3, 10)))
        numbers = [0] * len(words)
        topic, at = int(random.integers(3)), int(random.integers(len(words)))
        own = tiny.TOPICS[tiny.LABELS[topic]]
        found = [random.choice(own[:2]), random.choice(own[2:])][: 2 if random.random() < 0.15 else 1]
        words[at:at], numbers[at:at] = found, [2 * topic + 1, 2 * topic + 2][: len(found)]
        rows.append(words)
        tags.append(numbers)
    texts, words = joined_words(rows)
    return Split(name, texts, words=words, labels=Ragged.of(tags, np.int64), label_names=TAGS)


def tagged_data(tiny: ModuleType, names: tuple[str, ...] = ("train", "validation", "test")) -> Dataset:
    counts = {"train": 60, "validation": 20, "test": 24}
    splits = {name: tagged(tiny, name, counts[name], seed) for seed, name in enumerate(names)}
    return Dataset("spans", "tokens", TAGS, splits)  # type: ignore[arg-type]


def recipe_of(tiny: ModuleType, **student: Any) -> Recipe:
    quick: dict[str, Any] = tiny.QUICK | {"epochs": 4}
    same = {name: quick[name] for name in ("epochs", "batch_size", "learning_rate", "training_precision")}
    return Recipe(teacher=TeacherRecipe(**quick), student=StudentRecipe(size="2", **same, **student))


@pytest.fixture(scope="module")
def data(tiny: ModuleType) -> Dataset:
    return tagged_data(tiny)


@pytest.fixture(scope="module")
def made(tiny: ModuleType, base: Path, data: Dataset, cache: Cache) -> Path:
    """The folder of a distillation with its control. Read it only."""

    def write(out: Path) -> None:
        recipe = recipe_of(tiny, arms=["c1"])
        liteft.distill(str(base), data, out=out, recipe=recipe, until="student")

    return cache("distilled-words", write)


@pytest.fixture(scope="module")
def runs(made: Path) -> dict[str, Run]:
    return {name: read_run(made / name) for name in ("teacher", "student", "student-control")}


def test_teacher_and_student_find_spans_and_say_how_many_of_each_label(runs: dict[str, Run], data: Dataset) -> None:
    for name in ("teacher", "student"):
        metrics = runs[name].metrics["test"]
        assert metrics["f1"] > 0.6 and metrics["n"] == 24
        assert set(metrics["by_label"]) == {"red", "green", "blue"}
        assert sum(each["spans"] for each in metrics["by_label"].values()) == 24
        logits, gold = runs[name].predictions("test")
        assert logits.fits(gold) and np.array_equal(gold.values, data.test.labels.values)  # type: ignore[union-attr]


def test_the_floors_beside_them_are_those_of_words(made: Path, data: Dataset) -> None:
    floors = read_floors(made / "floors.json", data)
    assert floors is not None and [row.name for row in floors.rows] == [
        "most frequent tag of each word",
        "linear SVM of words and their neighbours",
    ]
    assert floors.best("test").scores["test"]["f1"] > 0.9


def test_a_head_of_iob1_tags_from_elsewhere_is_refused_by_export_distillation_and_comparison(
    runs: dict[str, Run], data: Dataset, tiny: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "iob1"
    shutil.copytree(runs["teacher"].model_path, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["liteft"]
    (folder / "config.json").write_text(json.dumps(config))
    loaded = load_classifier(folder)
    refuse_iob1(loaded, predict_logits(loaded, data.test))  # its tags are IOB2
    weights = load_file(folder / "model.safetensors")
    swapped = [0, 2, 1, 4, 3, 6, 5]  # B-X for I-X
    save_file({name: each[swapped] if "classifier" in name else each for name, each in weights.items()},
              folder / "model.safetensors", {"format": "pt"})  # fmt: skip
    with pytest.raises(ModelError, match="begins its spans with I-") as refused:
        liteft.export(folder, tmp_path / "out", verify=data.validation, precision="fp32")
    assert "spans that it begins with I-" in refused.value.accepted
    assert not (tmp_path / "out").exists()
    with pytest.raises(ModelError, match="begins its spans with I-"):
        liteft.distill(str(folder), data, out=tmp_path / "student", recipe=recipe_of(tiny))
    with pytest.raises(ModelError, match="begins its spans with I-"):
        liteft.compare(folder, on=data, rounds=0)


def test_models_and_floors_are_compared(runs: dict[str, Run], data: Dataset) -> None:
    found = liteft.compare(runs["teacher"], runs["student"], on=data, rounds=0)
    assert [model.scores["f1"] for model in found.models] == pytest.approx(
        [runs[name].metrics["test"]["f1"] for name in ("teacher", "student")]
    )
    low, high = found.models[1].f1_difference or (1, -1)
    assert low <= found.models[1].scores["f1"] - found.models[0].scores["f1"] <= high
    assert len(found.floors) == 2
    text = found.render()
    assert "macro F1 %" in text and "exact match %" in text and "linear SVM of words" in text
    beaten = all(
        found.models[1].scores[name] > floor.scores[name] for floor in found.floors for name in ("f1", "macro_f1")
    )
    said = [line for line in found.unbeaten if line.startswith("student is not better than")]
    assert bool(said) == (not beaten)
    assert json.loads(json.dumps(found.to_dict()))["models"][1]["metrics"]["conlleval_f1"] <= 1


def test_student_and_control_are_compared_on_the_same_texts(runs: dict[str, Run]) -> None:
    table = seeds_table([runs["student"], runs["student-control"], runs["teacher"]], split="test")
    own = {row.kind: row.mean("f1") for row in table.rows}
    for found in table.differences:
        assert found.metric == "f1" and found.estimate.value == pytest.approx(own["student"] - own[found.against])


def test_the_texts_to_label_next_come_with_their_words_and_tags(runs: dict[str, Run], tiny: ModuleType) -> None:
    pool = tagged(tiny, "pool", 30, 9)
    found = liteft.to_label(runs["student"], Split("pool", pool.texts), 5, sure=3)
    assert len(found.doubtful) == 5 and len(found.sure) == 3
    for each in (*found.doubtful, *found.sure):
        assert each.words is not None and " ".join(each.words) == each.text
        assert len(each.predicted) == len(each.words) and set(each.predicted) <= set(TAGS)
    sure, doubtful = ([each.probability for each in texts] for texts in (found.sure, found.doubtful))
    assert np.mean(sure) > np.mean(doubtful)
    assert "/B-" in found.render()


def test_a_distillation_of_tags_is_cross_validated_and_lists_what_to_label(
    base: Path, tiny: ModuleType, tmp_path: Path
) -> None:
    pool = tmp_path / "pool.txt"
    pool.write_text("\n".join(tagged(tiny, "pool", 12, 7).texts), encoding="utf-8")
    recipe = recipe_of(tiny, folds=2, unlabeled=str(pool))
    whole = tagged_data(tiny, ("train", "validation"))
    made = liteft.distill(str(base), whole, out=tmp_path / "out", recipe=recipe, until="student")
    assert made.folds is not None and made.folds.texts == 80
    scores = made.folds.scores["student"]
    assert 0.3 < scores["f1"] <= 1 and made.folds.intervals["student"]["f1"][0] <= scores["f1"]
    assert made.folds.floors is not None and len(made.folds.floors.rows) == 2
    assert "student minus it, points of F1" in made.render()
    rows = [json.loads(line) for line in (tmp_path / "out" / "to_label.jsonl").read_text("utf-8").splitlines()]
    assert rows and all(len(row["words"]) == len(row["predicted"]) for row in rows)
    again = liteft.distill(str(base), whole, out=tmp_path / "out", recipe=recipe, until="student")
    assert again.to_label == made.to_label and made.to_label is not None


def test_advice_says_what_else_there_is_for_tags(data: Dataset) -> None:
    with pytest.raises(DataError, match="spans has a tag for every word, and advice is given for labels of whole"):
        liteft.advise(data)
