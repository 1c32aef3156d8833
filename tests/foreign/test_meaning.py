"""What a folder that transformers wrote means is read where it is said, asked for where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from liteft.errors import ConfigError, ModelError
from liteft.foreign import Said, adopted_labels, read_labels, read_meaning
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL

BERT = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
FOLDER = Path("folder")


def meaning(said: Said | None = None, **config: Any) -> Any:
    return read_meaning(FOLDER, {**BERT, **config}, said)


def numbered(*labels: str) -> dict[str, Any]:
    return {"id2label": {str(number): label for number, label in enumerate(labels)}}


def test_labels_are_read_by_their_numbers_and_two_unnamed_ones_are_transformers_own() -> None:
    assert meaning(id2label={"2": "c", "0": "a", "1": "b"}).labels == ("a", "b", "c")
    assert meaning().labels == ("LABEL_0", "LABEL_1")
    assert meaning(num_labels=3).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_what_config_json_does_not_say_is_not_said() -> None:
    found = meaning(**numbered("a", "b"))
    assert (found.task, found.paired, found.own) == (None, None, False)
    assert meaning(problem_type="multi_label_classification", **numbered("a", "b")).task == "multi_label"


def test_the_callers_word_counts_where_the_folder_says_nothing() -> None:
    said = Said(("x", "y"), MULTI_LABEL, True)
    found = meaning(said, **numbered("LABEL_0", "LABEL_1"))
    assert (found.labels, found.task, found.paired) == (("x", "y"), "multi_label", True)


@pytest.mark.parametrize("numbers", [["1", "2", "3"], ["0", "1", "5"], ["0", "1", "one"]])
def test_labels_that_are_not_numbered_from_0_are_refused_and_may_be_named(numbers: list[str]) -> None:
    named = dict(zip(numbers, "abc", strict=True))
    with pytest.raises(ModelError, match="logits are numbered from 0") as caught:
        meaning(id2label=named)
    assert "--labels FILE" in caught.value.command_text() and "labels=[" in str(caught.value)
    assert meaning(Said(("c", "a", "b")), id2label=named).labels == ("c", "a", "b")


def test_a_label_that_stands_twice_is_refused() -> None:
    with pytest.raises(ModelError, match="'a' twice"):
        meaning(**numbered("a", "b", "a"))


def test_as_many_labels_as_logits_are_named() -> None:
    with pytest.raises(ConfigError, match="2 labels were given for folder, which has 3 logits"):
        meaning(Said(("a", "b")), **numbered("a", "b", "c"))


@pytest.mark.parametrize(
    ("config", "activation", "guessed"),
    [
        ({}, "none", True),
        ({"problem_type": "regression"}, "none", False),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, "sigmoid", False),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "none", False),
        ({"sentence_transformers": {"version": "4.1.0"}}, "none", True),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "none", False),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}, "sigmoid", False),
    ],
)
def test_one_logit_is_a_score_with_the_activation_that_is_said(
    config: dict[str, Any], activation: str, guessed: bool
) -> None:
    found = meaning(**config, **numbered("LABEL_0"))
    assert (found.task, found.labels, found.own) == ("scores", ("score",), False)
    assert (found.activation, found.guessed, found.settled_task.activation) == (activation, guessed, activation)


def test_the_callers_activation_counts_where_the_folder_says_none() -> None:
    found = meaning(Said(activation="sigmoid", paired=True), **numbered("LABEL_0"))
    assert (found.activation, found.guessed, found.paired) == ("sigmoid", False, True)
    with pytest.raises(ConfigError, match="states the activation none, but sigmoid was requested"):
        meaning(Said(activation="sigmoid"), problem_type="regression", **numbered("LABEL_0"))
    with pytest.raises(ConfigError, match="activation is 'tanh'"):
        meaning(Said(activation="tanh"), **numbered("LABEL_0"))
    with pytest.raises(ConfigError, match="an activation was given"):
        meaning(Said(activation="sigmoid"), **numbered("a", "b"))


def test_scores_that_are_not_supported_are_refused() -> None:
    with pytest.raises(ModelError, match="gives 2 scores for a text"):
        meaning(problem_type="regression", **numbered("a", "b"))
    with pytest.raises(ModelError, match=r"the activation torch.nn.Tanh, which is not supported"):
        meaning(sentence_transformers={"activation_fn": "torch.nn.Tanh"}, **numbered("a"))
    with pytest.raises(ConfigError, match="a single label would always be chosen"):
        meaning(Said(task=SINGLE_LABEL), **numbered("a"))


def test_a_regression_is_not_said_to_become_labels_by_a_task() -> None:
    with pytest.raises(ConfigError, match="problem_type regression, but task multi_label"):
        meaning(Said(task=MULTI_LABEL), problem_type="regression", **numbered("a"))


def test_one_logit_may_be_a_label_that_is_there_or_not() -> None:
    assert meaning(Said(task=MULTI_LABEL), **numbered("toxic")).task == "multi_label"


@pytest.mark.parametrize("labels", [("contradiction", "ENTAILMENT", "neutral"), ("entailment", "not_entailment")])
def test_a_model_of_pairs_is_not_taken_for_one_of_single_texts(labels: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="typical of text pairs") as caught:
        meaning(**numbered(*labels))
    assert "--pair COLUMN" in caught.value.command_text()
    assert meaning(Said(seen_pairs=True), **numbered(*labels)).paired is True
    assert meaning(Said(paired=False), **numbered(*labels)).paired is False


def test_an_encoder_without_a_head_is_no_classifier() -> None:
    with pytest.raises(ModelError, match="is not a classifier: its architecture is BertModel") as caught:
        meaning(architectures=["BertModel"])
    assert "liteft finetune --base folder" in caught.value.command_text()


def test_another_task_than_config_json_says_is_a_contradiction() -> None:
    with pytest.raises(ConfigError, match="problem_type single_label_classification, but task multi_label"):
        meaning(Said(task=MULTI_LABEL), problem_type="single_label_classification", **numbered("a", "b"))


@pytest.mark.parametrize("said", [Said(labels=("x", "y")), Said(task=MULTI_LABEL), Said(paired=True)])
def test_what_liteft_trained_says_all_of_it_itself(said: Said) -> None:
    own = {"liteft": {"labels": ["a", "b"], "task": "single_label", "paired": False, "max_tokens": 16}}
    assert meaning(Said(labels=("a", "b"), task=SINGLE_LABEL, paired=False), **own).own
    with pytest.raises(ConfigError, match="folder was trained with"):
        meaning(said, **own)


@pytest.mark.parametrize(
    ("labels", "others", "adopted"),
    [
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("2", "0", "1"), ("0", "1", "2")),
        (("NEG", "Pos"), ("pos", "neg"), ("neg", "pos")),
        (("LABEL_0", "LABEL_1"), ("1", "2"), None),
        (("LABEL_0", "LABEL_1"), ("negative", "positive"), None),
        (("LABEL_0", "LABEL_1"), ("0", "1", "2"), None),
        (("a", "A"), ("a", "b"), None),
        (("1", "0"), ("LABEL_0", "LABEL_1"), None),
    ],
)
def test_labels_meet_where_one_reading_is_possible(labels: Any, others: Any, adopted: Any) -> None:
    assert adopted_labels(labels, others) == adopted


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "bad\n\n so so \ngood\n"),
        ("labels.json", '["bad", "so so", "good"]'),
        ("id2label.json", '{"2": "good", "0": "bad", "1": "so so"}'),
        ("config.json", '{"id2label": {"0": "bad", "1": "so so", "2": "good"}}'),
    ],
)
def test_a_file_of_labels_is_lines_or_json(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_labels(tmp_path / name) == ("bad", "so so", "good")


@pytest.mark.parametrize("content", ["{", "[1, 2]", "3", '{"1": "a"}'])
def test_a_file_of_something_else_holds_no_labels(tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ConfigError, match="does not contain label names"):
        read_labels(tmp_path / "labels.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_labels(tmp_path / "none.txt")


def test_json_of_the_hub_is_read_as_it_is() -> None:
    config = json.loads('{"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b"}}')
    assert read_meaning(FOLDER, config).labels == ("a", "b")


def test_a_vocabulary_is_not_read_as_labels(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nthe\n")
    with pytest.raises(ConfigError, match=r"vocab.txt looks like a vocabulary: 3 lines, \[UNK\] among them"):
        read_labels(tmp_path / "vocab.txt")


def test_labels_of_special_tokens_are_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("O\nB-PER\nI-PER\n[CLS]\n[SEP]\n")
    assert read_labels(tmp_path / "labels.txt")[-2:] == ("[CLS]", "[SEP]")
