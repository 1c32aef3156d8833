"""Reading questions with contexts: SQuAD's documents, columns, places of answers, and what is noted of a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.answer_labels import AnswerLabels
from liteft.data import Dataset, check_dataset, load_dataset
from liteft.data.unlabeled import load_beside
from liteft.errors import ConfigError, DataError
from liteft.recipes import DataRecipe
from liteft.tasks import ANSWERS

CONTEXT = "Ada Lovelace wrote a program. It was 😀 the first one."
NO_SPLITS: dict[str, Any] = {"validation_fraction": 0, "test_fraction": 0}


def row(question: str = "Who wrote it?", text: Any = "Ada Lovelace", start: Any = 0, **others: Any) -> dict[str, Any]:
    answers = {"text": [text], "answer_start": [start]} if isinstance(text, str) else {"text": [], "answer_start": []}
    return {"id": f"q-{question}", "question": question, "context": CONTEXT, "answers": answers} | others


ROWS = [row(), row("What?", "a program", 19), row("When?", None)]


def squad(rows: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
    """Return rows as a document in SQuAD's form, all in one article."""
    qas = []
    for each in rows:
        pairs = zip(each["answers"]["text"], each["answers"]["answer_start"], strict=True)
        asked = {"id": each["id"], "question": each["question"]}
        qas.append(asked | {"answers": [{"text": text, "answer_start": start} for text, start in pairs]} | others)
    return {"version": "v2.0", "data": [{"title": "Ada", "paragraphs": [{"context": CONTEXT, "qas": qas}]}]}


def read(source: Any, **settings: Any) -> Dataset:
    return load_dataset(source, **NO_SPLITS | settings)


def answers(dataset: Dataset, name: str = "train") -> list[list[str]]:
    labels = dataset.split(name).labels
    assert isinstance(labels, AnswerLabels) and labels.texts == tuple(dataset.split(name).pairs or ())
    return labels.strings


EXPECTED = [["Ada Lovelace"], ["a program"], []]


@pytest.mark.parametrize("form", ["squad", "jsonl", "json", "parquet", "arrow", "csv"])
def test_every_form_of_file_gives_the_same_questions(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"train.{'json' if form == 'squad' else form}"
    if form == "squad":
        path.write_text(json.dumps(squad(ROWS)), encoding="utf-8")
    elif form == "jsonl":
        path.write_text("".join(json.dumps(each) + "\n" for each in ROWS), encoding="utf-8")
    elif form == "json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif form == "csv":
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame([each | {"answers": json.dumps(each["answers"])} for each in ROWS]).to_csv(path, index=False)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.Table.from_pylist(ROWS)
        if form == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, path)
        else:
            with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
    dataset = read(path)
    assert dataset.task is not None and dataset.task == ANSWERS and dataset.labels == ("start", "end")
    assert answers(dataset) == EXPECTED
    assert dataset.train.texts == ["Who wrote it?", "What?", "When?"]
    assert dataset.train.provenance is not None
    assert (dataset.train.provenance.unit == "question") == (form == "squad")


def test_objects_of_the_datasets_package_and_lists_of_answers_are_read() -> None:
    datasets = pytest.importorskip("datasets")
    assert answers(read(datasets.Dataset.from_list(ROWS))) == EXPECTED
    listed = [row() | {"answers": [{"text": "Ada", "answer_start": 0}, {"text": "Ada Lovelace", "answer_start": 0}]}]
    assert answers(read(listed)) == [["Ada", "Ada Lovelace"]]
    single = [row() | {"answers": {"text": "Ada", "answer_start": 0}}]
    assert answers(read(single)) == [["Ada"]]


def test_an_impossible_question_has_no_answer_whatever_is_plausible() -> None:
    document = squad([row(text=None)], is_impossible=True, plausible_answers=[{"text": "x", "answer_start": 99}])
    dataset = read({"train": document["data"]})
    assert answers(dataset) == [[]]
    assert any("1 row of 1 without an answer (100.0%)" in note for note in dataset.notes)


@pytest.mark.parametrize("none", [{"text": [""], "answer_start": [-1]}, None, "", []])
@pytest.mark.parametrize("said", [True, "True", 1])
def test_an_impossible_question_needs_no_list_of_answers(none: Any, said: Any) -> None:
    assert answers(read([*ROWS, row("Why?", is_impossible=said) | {"answers": none}])) == [*EXPECTED, []]


@pytest.mark.parametrize(
    ("text", "said", "message"),
    [
        ("Ada", True, "is_impossible is true, and the answer 'Ada' is given"),
        ("Ada", "true", "is_impossible is true, and the answer 'Ada' is given"),
        (None, False, "is_impossible is false, and no answer is given"),
        (None, "False", "is_impossible is false, and no answer is given"),
    ],
)
def test_answers_that_contradict_is_impossible_are_refused_and_may_be_dropped(
    text: Any, said: Any, message: str
) -> None:
    wrong = [row("Why?", text, is_impossible=said), row("How?", text, is_impossible=said)]
    data = {"train": [*ROWS, *wrong], "test": [row("Which?", is_impossible=False)]}
    with pytest.raises(DataError) as error:
        read(data)
    assert f"row 4: {message}" in str(error.value) and "drop_empty" in str(error.value)
    assert error.value.accepted["found"].startswith("2 rows with such a contradiction: ")
    dataset = read(data, drop_empty=True)
    assert answers(dataset) == EXPECTED and answers(dataset, "test") == [["Ada Lovelace"]]
    assert any("contradicted by is_impossible (2), left out" in note for note in dataset.notes)


def test_a_document_that_contradicts_itself_is_refused() -> None:
    for text, said in (("Ada", True), (None, False)):
        with pytest.raises(DataError, match="question 1: is_impossible is"):
            read({"train": squad([row(text=text)], is_impossible=said)["data"]})


def test_columns_of_other_names_are_read_if_the_task_is_named() -> None:
    rows = [{"q": "Who?", "passage": CONTEXT, "answer": each["answers"]} for each in ROWS]
    assert answers(read(rows, task="answers", text="q")) == EXPECTED
    with pytest.raises(DataError, match="do not say which one holds the question"):
        read(rows, task="answers")
    with pytest.raises(DataError, match="no column 'quest'"):
        read(rows, task="answers", text="quest")


def test_a_column_of_labels_or_a_named_column_keeps_a_classification() -> None:
    rows = [row(label="yes"), row("What?", label="no")] * 3
    assert read(rows, text="question", label="label").task == "single_label"


def test_places_may_count_utf_16_units_or_bytes() -> None:
    before = CONTEXT.index("the first")
    for encoding, size, unit in (("utf-16-le", 2, "UTF-16 units"), ("utf-8", 1, "bytes of UTF-8")):
        moved = len(CONTEXT[:before].encode(encoding)) // size
        dataset = read([*ROWS, row("Which?", "the first one", moved)])
        assert answers(dataset)[-1] == ["the first one"]
        assert any(unit in note for note in dataset.notes)
    assert not any("counts" in note for note in read([*ROWS, row("Which?", "the first one", before)]).notes)


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        (row("Which?", "a program", 20), "the answer 'a program' is not at answer_start 20", "answer_start = 19"),
        (row("Which?", "a program", -50), "answer_start is -50, before the begin of the context", "answer_start = 19"),
        (row("Which?", "one", 900), "answer_start is 900, beyond the context of 53 characters", "answer_start = 49"),
        (row("Which?", "a", 3), "not at answer_start 3", "correct the answer or its place"),
        (row("Which?", "Babbage", 3), "not at answer_start 3", "correct the answer or its place"),
        (row("Which?", " ", 3), "an empty answer", "answers = [] if the context does not answer the question"),
        (row("Which?", context=" "), "a question without a context", "give it a context"),
        (row("Which?") | {"answers": None}, "a question without answers", "answers = []"),
    ],
)
def test_a_row_that_cannot_be_learned_is_named_and_may_be_dropped(wrong: Any, message: str, hint: str) -> None:
    with pytest.raises(DataError) as error:
        read([*ROWS, wrong])
    assert message in str(error.value) and "row 4" in str(error.value) and hint in str(error.value)
    assert "drop_empty" in str(error.value)
    dataset = read([*ROWS, wrong], drop_empty=True)
    assert answers(dataset) == EXPECTED and any("1 row" in note and "left out" in note for note in dataset.notes)


def test_an_error_says_where_the_answer_is() -> None:
    with pytest.raises(DataError) as error:
        read([row(text="a", start=1)])
    assert error.value.accepted["the answer"].startswith("at 2, 9, ")
    with pytest.raises(DataError) as error:
        read([row(text="Babbage", start=1)])
    assert error.value.accepted == {"there": repr(CONTEXT[1:41]), "the answer": "nowhere in the context"}


def test_misplaced_answers_are_counted() -> None:
    wrong = [row("Which?", "Lovelace", 3), row("Whose?", "program", 3)]
    with pytest.raises(DataError, match="row 4: the answer 'Lovelace' is not at answer_start 3") as error:
        read([*ROWS, *wrong])
    assert error.value.accepted["found"] == "2 of 4 answers are not at their places: data, rows 4, 5"
    assert not any("seem" in str(hint) for hint in error.value.fix)


@pytest.mark.parametrize(("by", "said"), [(1, "seem to count from 1: with answer_start - 1"), (-1, "too small by one")])
def test_places_that_are_all_shifted_by_one_are_recognised(by: int, said: str) -> None:
    places = {"a program": 19, "Lovelace": 4, "wrote": 13}
    shifted = [row(f"{text}?", text, start + by) for text, start in places.items()]
    with pytest.raises(DataError) as error:
        read([row("When?", None), *shifted])
    assert said in str(error.value) and "all 3 answers are there" in str(error.value)
    with pytest.raises(DataError, match="3 of 4 answers are there"):
        read([*shifted, row("Who?", "Ada", 0)])


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("{'text': ['Ada'], 'answer_start': [0]}", "text in Python's notation: JSON has double quotes"),
        ('{"text": ["Ada"', "text that begins like JSON but cannot be read as JSON"),
        ("Ada", "a plain text, without its place in the context"),
        ('"Ada"', "a plain text instead of answers with their places"),
        (3, "the number 3 instead of answers with their places"),
        (["Ada"], "a list of which an entry is a plain text, without a place in the context"),
        ({"text": ["Ada"]}, "the key 'answer_start' is missing (keys: 'text')"),
        ([{"answer_start": 3}], "the key 'text' is missing (keys: 'answer_start')"),
        ({"text": ["Ada", "a"], "answer_start": [0]}, "'text' has 2 entries, and 'answer_start' has 1"),
        ({"text": ["Ada"], "answer_start": 0}, "'text' is a list, but 'answer_start' is not"),
        ({"text": "Ada", "answer_start": [0]}, "'answer_start' is a list, but 'text' is not"),
        ([{"text": 3, "answer_start": 0}], "an answer's text is the number 3"),
        ([{"text": None, "answer_start": 0}], "an answer's text is missing"),
        ([{"text": "Ada", "answer_start": None}], "an answer's answer_start is missing"),
        ([{"text": "Ada", "answer_start": 0.5}], "answer_start is 0.5, and not a whole number"),
        ([{"text": "Ada", "answer_start": "first"}], "answer_start is 'first', and not a whole number"),
    ],
)
def test_answers_in_another_form_are_refused_in_plain_words(cell: Any, said: str) -> None:
    with pytest.raises(DataError) as error:
        read([row() | {"answers": cell}])
    assert f"row 1: the answers cannot be read: {said}" in str(error.value)
    assert "in csv the same as JSON, with double quotes" in error.value.accepted["answers"]
    assert "answer_start" in error.value.accepted["places"] and error.value.fix


def test_places_may_be_whole_numbers_of_any_type() -> None:
    for start in (19.0, "19", np.int32(19)):
        assert answers(read([row("What?", "a program", start)])) == [["a program"]]


def test_a_document_of_another_form_is_refused() -> None:
    document = squad(ROWS)
    del document["data"][0]["paragraphs"][0]["context"]
    with pytest.raises(DataError, match="as SQuAD's documents have, but another form"):
        read({"train": document["data"]})


def test_settings_of_classifications_do_not_apply() -> None:
    with pytest.raises(ConfigError, match="labels_per_class does not apply to questions"):
        read(ROWS, labels_per_class=5)


def test_a_test_split_without_answers_is_predicted_and_others_need_them() -> None:
    bare = [{"question": "Who?", "context": CONTEXT}]
    dataset = read({"train": ROWS, "test": bare})
    assert dataset.test.labels is None and "test: no answers: predicted, but not scored" in dataset.notes
    with pytest.raises(DataError, match="has no answers, and validation needs them"):
        read({"train": ROWS, "validation": bare})


@pytest.mark.parametrize("name", ["train", "validation"])
def test_a_split_without_a_single_answer_is_refused(name: str) -> None:
    data = {"train": ROWS, "validation": ROWS, "test": [row("Why?", None)]}
    silent = [row("Why?", None), row("How?", None)]
    assert answers(read(data), "test") == [[]]
    with pytest.raises(DataError, match=f"no question of {name} has an answer") as error:
        read(data | {name: silent})
    assert error.value.accepted["seen"] == "2 rows, 0 with an answer" and error.value.fix
    wrong = [row("Why?", None), row("How?", "Babbage", 3)]
    with pytest.raises(DataError, match=f"no question of {name} has an answer") as error:
        read(data | {name: wrong}, drop_empty=True)
    assert "1 row without a context, or with an answer not in it, left out" in error.value.accepted["seen"]
    with pytest.raises(DataError, match=f"no question of {name} has an answer"):
        read(data | {name: wrong[1:]}, drop_empty=True)


def test_splits_are_not_made_of_rows_without_answers() -> None:
    silent = [row(f"{number}?", None, context=f"Ada and {number}") for number in range(40)]
    with pytest.raises(DataError, match="no question of train has an answer, so there is nothing to learn"):
        load_dataset(silent)
    one = row("Who?", "Ada", 0, context="Ada came")
    with pytest.raises(DataError, match="no question of validation has an answer"):
        load_dataset([*silent, one])
    assert not any(answers(read(silent))), "rows that are only scored may all have none"


def test_what_deserves_attention_is_noted() -> None:
    inside = row("Inside?", "da Love", 1, id="q-What?")
    dataset = read({"train": [*ROWS, row(), inside], "test": [row("Other?")]})
    notes = "\n".join(dataset.notes)
    assert "train: 2 rows with an id that an earlier row has, such as 'q-Who wrote it?'" in notes
    assert "train: 1 row of 5 without an answer (20.0%); answers have 2 words in the median, 2 at most" in notes
    assert "train: 1 answer that begins or ends inside a word" in notes
    assert "test: 1 row (100.0%) with a context that train also asks about" in notes
    check = check_dataset(dataset)
    assert (
        check.splits[0].duplicates == 1
        and "questions in train: answer 4 (80.0%), no answer 1 (20.0%)" in check.render()
    )


def test_splits_that_are_made_have_contexts_of_their_own() -> None:
    rows = [
        row(f"{number}.{turn}", "Ada" if turn else None, 0, context=f"Ada and {number}")
        for number in range(40)
        for turn in range(3)
    ]
    dataset = load_dataset(rows)
    assert dataset.made == ("validation", "test")
    contexts = [set(dataset.split(name).pairs or ()) for name in ("train", "validation", "test")]
    assert all(not one & other for place, one in enumerate(contexts) for other in contexts[:place])
    assert len(set.union(*contexts)) == 40 and len(dataset.validation) == len(dataset.test) == 12
    assert not any("also asks about" in note for note in dataset.notes)


def test_a_split_keeps_the_answers_of_its_rows_and_the_fingerprint_counts_them() -> None:
    dataset = read(ROWS)
    labels = dataset.train.take([2, 0]).labels
    assert isinstance(labels, AnswerLabels) and labels.strings == [[], ["Ada Lovelace"]]
    moved = read([ROWS[0], row("What?", None), row("When?", "a program", 19)])
    assert moved.fingerprint != dataset.fingerprint == read(ROWS).fingerprint


def test_policyqa(data_root: Path) -> None:
    folder = data_root / "policyqa"
    if not folder.is_dir():
        pytest.skip("no policyqa")
    dataset = read({"train": folder / "dev.json", "test": folder / "test.json"})
    assert (len(dataset.train), len(dataset.test)) == (3_809, 4_152)
    labels = dataset.test.labels
    assert isinstance(labels, AnswerLabels) and labels.answered.all() and int(labels.lengths.max()) > 1


def test_subjqa(data_root: Path) -> None:
    if not (data_root / "subjqa").is_dir():
        pytest.skip("no subjqa")
    dataset = load_dataset(data_root / "subjqa")
    assert [len(dataset.split(name)) for name in ("train", "validation", "test")] == [3_255, 642, 1_321]
    without = [np.count_nonzero(~dataset.split(name).labels.answered) for name in ("train", "validation", "test")]
    assert without == [1_323, 360, 447]
    assert any("validation: 583 rows (90.8%) with a context that train also asks about" in n for n in dataset.notes)


def test_unlabelled_questions_are_rows_or_documents(tmp_path: Path) -> None:
    rows, document = tmp_path / "more.jsonl", tmp_path / "more.json"
    rows.write_text('{"Query": "who?", "passage": "Ada came", "text": "other"}\n')
    asked = [{"id": "a", "question": "who?"}, {"id": "b", "question": "when?", "answers": []}]
    document.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "Ada came", "qas": asked}]}]}))
    first = load_beside(str(rows), DataRecipe(), ANSWERS)
    second = load_beside(str(document), DataRecipe(text="Query"), ANSWERS)
    assert (first.texts, first.pairs) == (["who?"], ["Ada came"])
    assert (second.texts, second.pairs) == (["who?", "when?"], ["Ada came", "Ada came"])
    rows.write_text('{"text": "only a text"}\n')
    with pytest.raises(DataError, match="which one holds the question"):
        load_beside(str(rows), DataRecipe(), ANSWERS)
