"""liteft predict: texts, lines of stdin, pairs, and what does not go together."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from liteft.artifact import Artifact
from liteft.cli.groups import predicting
from liteft.runtime import load
from tests.modules import module_of


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False))


def test_each_text_gives_a_line_with_label_score_and_text(call: Any, artifact: Artifact) -> None:
    called = call("predict", artifact.path, "great service", "the app closes")
    assert called.status == 0, called.err
    with load(artifact.path) as classifier:
        expected = classifier.predict(["great service", "the app closes"])
    lines = [line.split("\t") for line in called.out.splitlines()]
    assert [line[0] for line in lines] == [prediction.label for prediction in expected]
    assert [float(line[1]) for line in lines] == pytest.approx([p.score for p in expected], abs=1e-4)
    assert [line[2] for line in lines] == ["great service", "the app closes"]
    assert "next: liteft predict" in called.err


def test_a_model_of_scores_gives_lines_without_labels(call: Any, make_artifact: Any, tmp_path: Path) -> None:
    made = make_artifact(tmp_path / "scores", labels=("score",), task="scores", activation="none")
    with load(made.path) as scorer:
        expected = scorer.predict("great service")
    called = call("predict", made.path, "great service")
    assert called.out == f"{expected.score:.4f}\tgreat service\n"
    assert call("predict", made.path, "great service", "--json").document["predictions"] == [expected.to_dict()]
    refused = call("predict", made.path, "great service", "--top-k", "3")
    assert refused.status == 2 and "this model gives scores" in refused.err and "leave out --top-k" in refused.err
    source = tmp_path / "in.csv"
    source.write_text("text\ngreat service\nthe app\n")
    assert call("predict", made.path, "--input", source, "--output", tmp_path / "out.csv").status == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "text,prediction"


def test_the_folder_of_a_whole_way_stands_for_the_artifact_in_it(
    call: Any, make_artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_artifact(tmp_path / "runs" / "artifact")
    line = f"{tmp_path / 'runs'} holds an artifact: {made.path}"
    called = call("predict", tmp_path / "runs", "great service")
    assert called.status == 0, called.err
    assert line in called.err
    assert f"next: liteft predict {made.path}" in called.err
    assert line in call("inspect", tmp_path / "runs").err
    exported = call("export", tmp_path / "runs", "--out", tmp_path / "b")
    assert exported.status == 1
    assert exported.err.startswith(f"ModelError: {tmp_path / 'runs'} contains an artifact")
    assert "runs in it: none" in exported.err


def test_lines_of_stdin_are_classified_in_order(call: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "great service\r\n\nder Café\n".encode())
    for words in ([], ["-"]):
        called = call("predict", artifact.path, *words)
        if not words:
            assert [line.split("\t")[2] for line in called.out.splitlines()] == ["great service", "", "der Café"]
        assert called.status == 0, called.err


def test_bytes_that_are_no_text_follow_on_error(call: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b"great\n\xff\xfe\nservice\n")
    called = call("predict", artifact.path)
    assert called.status == 1
    assert called.err.startswith("InputError: text 1")
    feed(monkeypatch, b"great\n\xff\xfe\nservice\n")
    called = call("predict", artifact.path, "--on-error", "null", "--json")
    assert called.status == 0, called.err
    assert [entry is None for entry in called.document["predictions"]] == [False, True, False]


def test_json_holds_every_prediction(call: Any, artifact: Artifact) -> None:
    called = call("predict", artifact.path, "great service", "--json", "--top-k", "2")
    (prediction,) = called.document["predictions"]
    assert prediction["label"] == prediction["top"][0]["label"]
    assert len(prediction["top"]) == 2
    assert called.document["artifact"] == str(artifact.path)


def test_top_k_adds_a_column(call: Any, artifact: Artifact) -> None:
    label, score, top, _text = call("predict", artifact.path, "great", "--top-k", "2").out.split("\t")
    assert top.startswith(f"{label} {score}, ")


def test_a_multi_label_answer_names_the_labels_over_the_threshold(
    call: Any, make_artifact: Any, tmp_path: Path
) -> None:
    artifact = make_artifact(tmp_path / "multi", multi=True)
    assert call("predict", artifact.path, "great", "--threshold", "1").out.startswith("(none)\t")
    every = call("predict", artifact.path, "great", "--threshold", "0").out.split("\t")[0]
    assert every == "order, payment, app, praise"


def test_pairs_come_with_pair_or_parted_by_a_tab(
    call: Any, make_artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = make_artifact(tmp_path / "pairs", paired=True)
    direct = call("predict", artifact.path, "great service", "--pair-text", "the app closes")
    assert direct.status == 0, direct.err
    feed(monkeypatch, b"great service\tthe app closes\n")
    assert call("predict", artifact.path).out == direct.out
    lacking = call("predict", artifact.path, "great service")
    assert lacking.status == 2
    assert "reads pairs" in lacking.err


def test_a_line_of_three_columns_is_no_pair(
    call: Any, make_artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = make_artifact(tmp_path / "pairs", paired=True)
    lines = b"great service\tthe app closes\ngreat service\tthe app closes\t1\n"
    feed(monkeypatch, lines)
    called = call("predict", artifact.path)
    assert called.status != 0 and "text 1 holds 3 texts, and this model reads pairs" in called.err
    assert "one tab in a line" in called.err
    feed(monkeypatch, lines)
    nulled = call("predict", artifact.path, "--on-error", "null").out.splitlines()
    assert len(nulled) == 2 and nulled[1].startswith("-\t-\t") and not nulled[0].startswith("-")


@pytest.mark.parametrize("paired", [False, True])
def test_the_columns_of_a_file_that_are_read_are_told(
    call: Any, make_artifact: Any, tmp_path: Path, paired: bool
) -> None:
    artifact = make_artifact(tmp_path / "model", paired=paired)
    (tmp_path / "in.csv").write_text("id,query,document\n1,great service,the app\n")
    words = ["predict", artifact.path, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv"]
    called = call(*words, *([] if paired else ["--text", "query"]))
    assert called.status == 0, called.err
    assert ("reads the columns 'query' and 'document' of in.csv" in called.err) == paired
    assert ("reads the column 'query' of in.csv" in called.err) != paired
    assert "reads the" not in call(*words, *([] if paired else ["--text", "query"]), "--overwrite", "--quiet").err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--input", "a.csv"],
        ["--output", "b.csv"],
        ["a text", "--input", "a.csv", "--output", "b.csv"],
        ["a text", "--text", "body"],
        ["a text", "--pair-text", "another"],
        ["a text", "--on-error", "ignore"],
        ["a text", "--top-k", "0"],
    ],
)
def test_words_that_do_not_go_together_end_with_status_2(call: Any, artifact: Artifact, words: list[str]) -> None:
    called = call("predict", artifact.path, *words)
    assert called.status == 2, called.err
    assert called.err.startswith("ConfigError: ")
    assert called.out == ""


def test_a_folder_that_is_no_artifact_ends_with_status_1(call: Any, tmp_path: Path) -> None:
    called = call("predict", tmp_path, "a text")
    assert called.status == 1
    assert called.err.startswith("ArtifactError: ")


def test_a_file_is_classified_into_another_with_its_columns(call: Any, artifact: Artifact, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text("number,said\n1,great service\n2,the app closes\n", encoding="utf-8")
    words = ["predict", artifact.path, "--input", source, "--output", target, "--text", "said"]
    called = call(*words)
    assert called.status == 0, called.err
    assert f"{target}: 2 rows" in called.out
    assert "2 rows" in called.err
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [row["said"] for row in rows] == ["great service", "the app closes"]
    assert all(row["prediction"] in artifact.manifest.labels for row in rows)


def test_a_file_that_is_there_already_is_replaced_only_with_overwrite(
    call: Any, artifact: Artifact, tmp_path: Path
) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text\ngreat service\n", encoding="utf-8")
    target.write_text("mine\n", encoding="utf-8")
    words = ["predict", artifact.path, "--input", source, "--output", target]
    refused = call(*words)
    assert refused.status == 1
    assert "try: --overwrite" in refused.err
    assert target.read_text(encoding="utf-8") == "mine\n"
    called = call(*words, "--overwrite", "--prefix", "model_", "--json")
    assert called.status == 0, called.err
    assert called.document["rows"] == 1
    assert target.read_text(encoding="utf-8").startswith("text,model_prediction,model_score\n")


def test_a_misspelt_column_of_a_file_names_the_closest(call: Any, artifact: Artifact, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("said\ngreat service\n", encoding="utf-8")
    words = ["--input", source, "--output", tmp_path / "out.csv", "--text", "sad"]
    called = call("predict", artifact.path, *words)
    assert called.status == 1
    assert "try: --text said" in called.err


def test_a_model_of_words_shows_its_spans(
    call: Any, make_artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = module_of("runtime", "tagging_engine.py")
    artifact = make_artifact(tmp_path / "words", **fake.fields())
    monkeypatch.setattr("liteft.runtime.classifier.choose_engine", lambda *_, **__: fake.FakeEngine())
    expected = fake.tagger_of(artifact).predict("the app closes")
    called = call("predict", artifact.path, "the app closes")
    assert called.out == f"{expected.render()}\n"
    assert called.out.startswith("the app closes\n  ")
    called = call("predict", artifact.path, "the app closes", "--json")
    assert called.document["predictions"][0] == json.loads(json.dumps(expected.to_dict()))
    refused = call("predict", artifact.path, "the app closes", "--top-k", "2")
    assert refused.status == 2 and "top_k was given, but this model tags words" in refused.err
    (tmp_path / "in.jsonl").write_text('{"text": "the app closes"}\n')
    written = call("predict", artifact.path, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.conll")
    assert written.status == 0, written.err
    lines = [f"{word} {tag}\n" for word, tag in zip(["the", "app", "closes"], expected.tags, strict=True)]
    assert (tmp_path / "out.conll").read_text() == "".join([*lines, "\n"])


def test_a_predicate_asks_a_model_of_roles_about_a_word(
    call: Any, make_artifact: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = module_of("runtime", "tagging_engine.py")
    artifact = make_artifact(tmp_path / "roles", **fake.fields(), marked=True)
    monkeypatch.setattr("liteft.runtime.classifier.choose_engine", lambda *_, **__: fake.FakeEngine())
    expected = fake.tagger_of(artifact).predict_roles("the app closes", predicates=[2, 0])
    called = call("predict", artifact.path, "the app closes", "--predicate", "2", "--predicate", "0")
    assert called.status == 0, called.err
    assert called.out == "".join(f"{found.render()}\n" for found in expected)
    document = call("predict", artifact.path, "the app closes", "--predicate", "0", "--json").document
    assert document["predictions"] == [json.loads(json.dumps(expected[1].to_dict()))]
    without = call("predict", artifact.path, "the app closes")
    assert without.status == 1 and "--predicate 2" in without.err
    beyond = call("predict", artifact.path, "the app closes", "--predicate", "3")
    assert beyond.status == 1 and "has 3 words, and the predicate's number is 3" in beyond.err
    far = call("predict", artifact.path, "the app closes " * 200, "--predicate", "0")
    assert far.status == 0 and "1 texts have a word of so many tokens" in far.err
    assert "or a window without the predicate" in far.err
    several = call("predict", artifact.path, "the app", "closes", "--predicate", "0")
    assert several.status == 2 and "--predicate is a word of one text" in several.err
    of_file = call("predict", artifact.path, "--input", "a.csv", "--output", "b.csv", "--predicate", "0")
    assert of_file.status == 2 and "the column predicate of --input is read" in of_file.err


def test_a_predicate_of_another_model_is_refused(call: Any, artifact: Artifact) -> None:
    called = call("predict", artifact.path, "the app closes", "--predicate", "2")
    assert called.status == 2
    assert "this model has no predicates" in called.err and "leave out --predicate" in called.err


@pytest.mark.parametrize(("fields", "more"), [({}, []), ({"paired": True}, ["--pair-text", "the other text"])])
def test_the_command_that_tries_an_artifact_can_be_run(
    call: Any, make_artifact: Callable[..., Artifact], tmp_path: Path, fields: dict[str, Any], more: list[str]
) -> None:
    made = make_artifact(tmp_path / "artifact", **fields)
    words = predicting(made.path)
    assert words == ["liteft", "predict", str(made.path), "a text", *more]
    assert call(*words[1:]).status == 0


def test_one_text_for_a_model_of_pairs_is_told_the_flag_that_there_is(
    call: Any, make_artifact: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_artifact(tmp_path / "artifact", paired=True)
    feed(monkeypatch, b"a text alone\n")
    called = call("predict", made.path, "-")
    assert called.status == 1 and "--pair-text TEXT" in called.err
