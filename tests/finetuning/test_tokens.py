"""Training on words, and the whole way from tagged words to an artifact: what torch says of a text, a service says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import liteft
from liteft.config import resolve_recipe
from liteft.data import Dataset, Split
from liteft.distillation.cache import teacher_logits
from liteft.errors import ConfigError, DataError, ModelError
from liteft.finetuning import finetune
from liteft.finetuning.fit import encode_rows
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier, load_classifier
from liteft.finetuning.word_batches import COLUMNS, NO_WORD, flat_words, rows_of_rectangle, word_logits
from liteft.ragged import Ragged
from liteft.recipes import Recipe
from liteft.words import joined_words
from tests.finetuning.conftest import FILLERS, LABELS, QUICK, TOPICS

Get = Callable[[str], Path]
TAGS = ("O", *(f"{kind}-{label}" for label in LABELS for kind in "BI"))
TRAINED: dict[str, Any] = {**QUICK, "epochs": 20, "max_tokens": 12}


def tagged(count: int, seed: int, *, most: int = 9) -> tuple[list[list[str]], list[list[int]]]:
    """Return rows of words, of which runs of one topic's words are spans, and their tags."""
    random = np.random.default_rng(seed)
    rows, tags = [], []
    for _ in range(count):
        words: list[str] = []
        gold: list[int] = []
        while len(words) < random.integers(2, most):
            topic, length = int(random.integers(0, 3)), int(random.integers(1, 3))
            words += [*random.choice(TOPICS[LABELS[topic]], length), str(random.choice(FILLERS))]
            gold += [1 + 2 * topic, *[2 + 2 * topic] * (length - 1), 0]
        rows.append([str(word) for word in words])
        tags.append(gold)
    return rows, tags


def split_of(name: str, rows: list[list[str]], tags: list[list[int]], marked: list[int] | None = None) -> Split:
    texts, words = joined_words(rows)
    marks = None if marked is None else np.array(marked, dtype=np.int64)
    return Split(name, texts, words=words, labels=Ragged.of(tags, np.int64), label_names=TAGS, marked=marks)


def make_tagged(*, most: int = 9) -> Dataset:
    counts = {"train": 48, "validation": 24, "test": 20}
    splits = {name: split_of(name, *tagged(n, seed, most=most)) for seed, (name, n) in enumerate(counts.items())}
    return Dataset("tagged", "tokens", TAGS, splits)  # type: ignore[arg-type]  # a name is accepted


def make_roles() -> Dataset:
    """Return texts in which the word behind the marked one has a tag, and no other word."""
    random = np.random.default_rng(0)
    splits = {}
    for name, count in (("train", 96), ("validation", 24), ("test", 20)):
        rows = [[str(word) for word in random.choice(FILLERS, 6)] for _ in range(count)]
        marked = random.integers(0, 5, count)
        tags = [[1 if place == mark + 1 else 0 for place in range(6)] for mark in marked]
        splits[name] = split_of(name, rows, tags, marked.tolist())
    return Dataset("roles", "tokens", TAGS, splits)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(base: Get, tmp_path_factory: pytest.TempPathFactory) -> liteft.Run:
    return finetune(base("bert"), make_tagged(), out=tmp_path_factory.mktemp("tagger") / "run", **TRAINED)


def test_a_tagger_learns_spans(trained: liteft.Run) -> None:
    assert trained.task == "tokens" and trained.info["pooling"] == "none"
    assert trained.metrics["test"]["f1"] > 0.8
    best = trained.info["best_metric"]
    assert best is not None and set(best) == {"balanced", "f1", "macro_f1"}


def test_a_pooling_of_whole_texts_is_refused_by_its_flag(base: Get, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this task judges every word") as caught:
        finetune(base("bert"), make_tagged(), out=tmp_path / "out", **TRAINED | {"pooling": "mean"})
    assert caught.value.command_hints() == ["leave out --pooling"]


def test_a_run_stores_logits_of_words_that_come_back(trained: liteft.Run) -> None:
    dataset = make_tagged()
    logits, labels = trained.predictions("test")
    assert isinstance(logits, Ragged) and logits.fits(dataset.test.words)  # type: ignore[arg-type]
    assert labels.values.tolist() == dataset.test.labels.values.tolist()  # type: ignore[union-attr]
    assert trained.task.score(logits, labels)["f1"] == trained.metrics["test"]["f1"]


def test_the_model_folder_is_a_token_classifier_of_transformers(trained: liteft.Run) -> None:
    from transformers import AutoModelForTokenClassification

    model = AutoModelForTokenClassification.from_pretrained(trained.model_path)
    assert tuple(model.config.id2label.values()) == TAGS
    dataset = make_tagged()
    loaded = load_classifier(trained.model_path)
    first = dataset.test.take([0])
    ids = torch.tensor([[loaded.tokenizer.token_id(word) for word in ["[CLS]", *first.texts[0].split(), "[SEP]"]]])
    with torch.inference_mode():
        theirs = model(input_ids=ids).logits[0, 1:-1].numpy()
    np.testing.assert_allclose(predict_logits(loaded, first).values, theirs, atol=1e-5)


def test_a_text_has_the_same_logits_alone_and_beside_others(trained: liteft.Run) -> None:
    loaded, test = load_classifier(trained.model_path), make_tagged().test
    together = predict_logits(loaded, test)
    for row in range(0, len(test), 7):
        np.testing.assert_allclose(predict_logits(loaded, test.take([row]))[0], together[row], atol=1e-5)


def test_long_texts_are_trained_and_scored_whole(base: Get, tmp_path: Path) -> None:
    dataset = make_tagged(most=60)
    assert max(dataset.test.words.lengths) > 2 * TRAINED["max_tokens"]  # type: ignore[union-attr]
    run = finetune(base("bert"), dataset, out=tmp_path / "run", **{**TRAINED, "epochs": 20})
    logits, _ = run.predictions("test")
    assert logits.lengths.tolist() == dataset.test.words.lengths.tolist()  # type: ignore[union-attr]
    assert run.metrics["test"]["f1"] > 0.6


def test_evaluations_while_training_score_what_is_scored_afterwards(base: Get, tmp_path: Path) -> None:
    settings = {**TRAINED, "epochs": 3, "calibrate": False}
    run = finetune(base("bert"), make_tagged(most=40), out=tmp_path / "run", **settings)
    best = run.info["best_metric"]
    assert best is not None
    assert best["f1"] == pytest.approx(run.metrics["validation"]["f1"], abs=1e-6)


def test_a_batch_has_a_column_for_each_word(trained: liteft.Run) -> None:
    loaded = load_classifier(trained.model_path)
    split = split_of("train", [["w1", "red0", "w2"], ["w3"]], [[0, 1, 0], [0]])
    extra = Ragged(np.arange(8.0).reshape(4, 2), split.words.offsets)  # type: ignore[union-attr]
    batch = encode_rows(loaded, split, teacher_logits=extra, labelled=np.array([True, False]))([1, 0])
    assert batch[COLUMNS].tolist() == [[1, NO_WORD, NO_WORD], [1, 2, 3]]
    assert batch["labels"].tolist() == [[0, NO_WORD, NO_WORD], [0, 1, 0]]
    flat = flat_words(batch)
    assert flat["labels"].tolist() == [0, 0, 1, 0]
    assert flat["labelled"].tolist() == [0, 1, 1, 1]
    assert flat["teacher_logits"].tolist() == [[6, 7], [0, 1], [2, 3], [4, 5]]
    assert flat["input_ids"] is batch["input_ids"]


def test_logits_of_words_are_those_of_their_first_tokens() -> None:
    logits = torch.arange(24.0).reshape(2, 4, 3)
    columns = torch.tensor([[2, NO_WORD], [1, 3]])
    assert word_logits(logits, columns).tolist() == [[6, 7, 8], [15, 16, 17], [21, 22, 23]]
    twice = word_logits(torch.cat([logits, -logits]), columns)
    assert twice[3:].tolist() == (-twice[:3]).tolist(), "two passes over a batch, one after the other"


def test_rectangles_become_rows_again() -> None:
    known = np.array([[4, NO_WORD], [5, 6]])
    rows = rows_of_rectangle(np.arange(8).reshape(2, 2, 2), known)
    assert [row.tolist() for row in rows] == [[[0, 1]], [[4, 5], [6, 7]]]


def test_logits_of_a_teacher_are_cached_by_words_and_marks(trained: liteft.Run, tmp_path: Path) -> None:
    loaded, split = load_classifier(trained.model_path), make_tagged().validation

    def ask(asked: Split) -> Ragged:
        found: Ragged = teacher_logits(loaded, "a", asked, folder=tmp_path, bf16=False)
        return found

    first = ask(split)
    np.testing.assert_array_equal(first.values, ask(split).values)
    assert len(list(tmp_path.glob("*.npy"))) == 1
    whole = replace(
        split, words=Ragged.of([[[0, len(text)]] for text in split.texts], np.int32, width=(2,)), labels=None
    )
    assert len(ask(whole).values) == len(split)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_a_student_learns_words_without_labels_too(trained: liteft.Run, tmp_path: Path) -> None:
    dataset = make_tagged()
    pool = replace(split_of("pool", *tagged(30, 9)), labels=None, label_names=None)
    made = liteft.distill(
        trained,
        replace(dataset, pool=pool),
        size="1",
        out=tmp_path / "out",
        until="student",
        arms=["c0", "c1"],
        epochs=8,
        batch_size=8,
        learning_rate=5e-3,
        training_precision="fp32",
    )
    assert made.student is not None and made.student.info["training_texts"] == 78
    assert made.student.metrics["test"]["f1"] > 0.6
    assert set(made.arms) >= {"c0", "control"}


def test_r_drop_compares_two_passes_over_words(base: Get, tmp_path: Path) -> None:
    run = finetune(base("bert"), make_tagged(), out=tmp_path / "run", **{**TRAINED, "epochs": 12}, rdrop_weight=1.0)
    assert run.metrics["test"]["f1"] > 0.5


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_roles_are_of_the_marked_word(base: Get, tmp_path: Path, family: str) -> None:
    run = finetune(base(family), make_roles(), out=tmp_path / "run", **{**TRAINED, "epochs": 20})
    assert run.info["marked"] is True
    assert run.metrics["test"]["f1"] > 0.9, "without the mark nothing tells which word has a tag"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_artifact_gives_the_tags_of_its_model(trained: liteft.Run, tmp_path: Path, precision: str) -> None:
    dataset = make_tagged(most=40)
    artifact = liteft.export(
        trained, tmp_path / "artifact", verify=dataset.validation, test=dataset.test, precision=precision
    )
    checked = artifact.manifest.verification
    assert checked["primary"]["metric"] == "f1" and checked["backends"][0] == "onnxruntime"
    assert checked["transformers"]["ids"] == "equal" and checked["transformers"]["logit_difference"] < 1e-4
    expected = predict_logits(load_classifier(trained.model_path), dataset.test)
    for backend in checked["backends"]:
        with liteft.load(tmp_path / "artifact", backend=backend) as classifier:
            found = classifier.logits(dataset.test.texts, words=dataset.test.words)
            np.testing.assert_allclose(found.values, expected.values, atol=1e-4 if precision == "fp32" else 0.5)
            one = classifier.predict(dataset.test.texts[0])
            tags = trained.task.decide(found)[0]
            assert one.tags == trained.task.names_of(tags, TAGS)
            assert all(span.text == dataset.test.texts[0][span.start : span.end] for span in one.spans)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_an_artifact_of_roles_is_told_the_predicate(base: Get, tmp_path: Path, family: str) -> None:
    dataset = make_roles()
    run = finetune(base(family), dataset, out=tmp_path / "run", **{**TRAINED, "epochs": 20})
    liteft.export(run, tmp_path / "artifact", verify=dataset.validation)
    with liteft.load(tmp_path / "artifact") as classifier:
        words = dataset.test.texts[0].split()
        first, last = classifier.predict_roles(words, predicates=[0, 4])
        assert first == classifier.predict(words, predicate=0)
        assert [span.word_start for span in first.spans] == [1]
        assert [span.word_start for span in last.spans] == [5]


def test_settings_that_mean_nothing_for_words_are_refused(base: Get, tmp_path: Path) -> None:
    for settings, said in (
        ({"pooling": "mean"}, "judges every word"),
        ({"head": "lda"}, "discriminants"),
        ({"tune_threshold": True}, "several labels"),
    ):
        with pytest.raises(ConfigError, match=said):
            finetune(base("bert"), make_tagged(), out=tmp_path / "run", **QUICK, **settings)
    with pytest.raises(ConfigError, match="augment"):
        liteft.distill(
            base("bert"), make_tagged(), size="1", out=tmp_path / "out", recipe=augmenting(), until="student"
        )


def augmenting() -> Recipe:
    return resolve_recipe(None, "student", {"augmentation": "mask"})


def test_a_decoder_is_refused_as_the_base_of_a_tagger(base: Get, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="decoder"):
        finetune(base("gpt2"), make_tagged(), out=tmp_path / "run", **QUICK)


def test_pairs_have_no_words_to_judge(trained: liteft.Run) -> None:
    loaded: TorchClassifier = load_classifier(trained.model_path)
    with pytest.raises(DataError, match="pairs of texts"):
        predict_logits(loaded, ["a"], ["b"])
