"""CoNLL files: columns of words and tags, with blank lines between texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft.data import Dataset, load_dataset, open_rows
from liteft.data.conll import ConllFile, column_of, looks_like_conll
from liteft.errors import DataError

Write = Callable[..., Path]
CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""
CONLLU = """# sent_id = 1
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
2.1\tx\tx\tVERB\t_\t_\t_\t_\t_\t_

# sent_id = 2
1\tmar\tmar\tNOUN\t_\t_\t0\troot\t_\tSpaceAfter=No
2\t#\t#\tPUNCT\t_\t_\t0\troot\t_\t_
"""


def _load(source: Any, **settings: Any) -> Dataset:
    return load_dataset(source, **{"validation_fraction": 0, "test_fraction": 0} | settings)


def _tags(dataset: Dataset) -> list[list[str]]:
    labels = dataset.train.labels
    assert labels is not None
    return [[dataset.labels[number] for number in row.tolist()] for row in labels]


@pytest.mark.parametrize("name", ["a.conll", "a.iob", "a.bio", "a.conll03", "a.txt", "a.tsv"])
@pytest.mark.parametrize("change", [str, lambda text: text.replace(" ", "\t"), lambda text: text.replace("\n", "\r\n"),
                                    lambda text: "\ufeff" + text, lambda text: text.replace(" ", "  ")])  # fmt: skip
def test_the_last_column_of_conll_2003(write: Write, name: str, change: Callable[[str], str]) -> None:
    dataset = _load(write(name, change(CONLL)))
    assert dataset.task == "tokens" and dataset.train.texts == ["EU rejects", "Peter Blackburn"]
    assert _tags(dataset) == [["B-ORG", "O"], ["B-PER", "I-PER"]]
    assert dataset.train.where(1).endswith(f"{name}, line 6")


@pytest.mark.parametrize(("label", "tags"), [("2", ["NNP", "VBZ"]), ("-1", ["B-ORG", "O"]), ("4", ["B-ORG", "O"]),
                                             ("ner", ["B-ORG", "O"]), ("3", ["B-NP", "B-VP"])])  # fmt: skip
def test_columns_by_number(write: Write, label: str, tags: list[str]) -> None:
    assert _tags(_load(write("a.conll", CONLL), label=label))[0] == tags


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        (["B-PER Ann", "O left", "B-LOC Rome"], ["B-PER", "O", "B-LOC"]),
        (["Ann NNP B-PER 1", "left VBD O 2", "Rome NNP B-LOC 2"], ["B-PER", "O", "B-LOC"]),
        (["1 B-PER Ann", "2 O left", "3 B-LOC Rome"], ["B-PER", "O", "B-LOC"]),
        (["Ann B-NP PER", "left O O", "Rome B-NP LOC"], ["PER", "O", "LOC"]),  # the last column, as ever
        (["Ann B-NP O", "left O O", "Rome B-NP B-LOC"], ["O", "O", "B-LOC"]),
        (["B-NP B-PER Ann", "O O left", "B-NP B-LOC Rome"], ["B-PER", "O", "B-LOC"]),
        (["B-NP Ann B-PER", "O left O", "B-NP Rome B-LOC"], ["B-PER", "O", "B-LOC"]),
    ],
)
def test_tags_before_words_or_numbers(write: Write, lines: list[str], tags: list[str]) -> None:
    dataset = _load(write("a.conll", "\n".join([*lines, "", *lines])), task="tokens")
    assert dataset.train.texts[0] == "Ann left Rome" and _tags(dataset)[0] == tags


@pytest.mark.parametrize(("file", "told"), [
    ("Ann B-PER 3\nleft O 1\n", "columns guessed: text = 'tokens' (column 1 of 3), label = 'tags' (column 2 of 3)"),
    ("1 B-PER Ann\n2 O left\n", "columns guessed: text = 'tokens' (column 3 of 3), label = 'tags' (column 2 of 3)"),
    ("Ann B-PER\nleft O\n", "columns guessed by name: text = 'tokens', label = 'tags'"),
])  # fmt: skip
def test_the_columns_that_are_read_are_told_by_number(write: Write, file: str, told: str) -> None:
    assert told in _load(write("a.conll", f"{file}\n{file}")).notes


def test_fractions_behind_the_tags_are_no_tags_and_other_tags_are_told(write: Write) -> None:
    sure = _load(write("a.conll", "Ann NNP 0.97\nleft VBD .5\n\nRome NNP 1e-3\n"))
    assert _tags(sure) == [["NNP", "VBD"], ["NNP"]]
    middle = _load(write("b.conll", "Ann B-PER NNP\nleft O VBD\n\nRome B-LOC NNP\n"))
    assert _tags(middle) == [["NNP", "VBD"], ["NNP"]]
    assert any("tags such as B-X in column 2 are not read" in note for note in middle.notes)
    assert not any("are not read" in note for note in _load(write("c.conll", CONLL)).notes)


def test_a_file_without_blank_lines_is_no_training_data(write: Write) -> None:
    path = write("a.conll", CONLL.replace("\n\n", "\n") * 40)
    with pytest.raises(DataError, match="conll is one text of 160 words, as no blank line ends one before") as refused:
        _load(path)
    assert refused.value.fix == ("put a blank line after each text, such as a sentence",)


def test_a_column_that_is_not_there_is_named(write: Write) -> None:
    with pytest.raises(DataError, match="has no column '9'") as caught:
        _load(write("a.conll", CONLL), label="9", task="tokens")
    assert "tokens, 2, 3, tags" in str(caught.value)


def test_ranges_and_empty_nodes_of_conllu_are_no_words(write: Write) -> None:
    dataset = _load(write("a.conllu", CONLLU))
    assert dataset.train.texts == ["vamos nos", "mar #"]
    assert _tags(dataset) == [["VERB", "PRON"], ["NOUN", "PUNCT"]]
    assert _tags(_load(write("a.conllu", CONLLU), label="deprel"))[0] == ["root", "obj"]


def test_columns_named_in_the_file(write: Write) -> None:
    text = "# global.columns = ID FORM NER\n1\tAnn\tB-PER\n2\tleft\tO\n"
    assert open_rows(write("a.conll", text)).columns == ("id", "tokens", "ner")
    assert _tags(_load(write("a.conll", text))) == [["B-PER", "O"]]


def test_a_running_number_before_the_words(write: Write) -> None:
    file = write("a.tsv", "1\tAnn\tB-PER\n2\tleft\tO\n\n1\tRome\tB-LOC\n")
    assert _load(file).train.texts == ["Ann left", "Rome"]


def test_a_hash_that_is_a_word_is_no_comment(write: Write) -> None:
    file = write("a.conll", "# id 7\n#win O\nAnn B-PER\n# O\n\n# O\nRome B-LOC\n")
    assert _load(file).train.texts == ["#win Ann #", "# Rome"]


def test_words_with_odd_spaces(write: Write) -> None:
    file = write("a.conll", "New\u00a0York\tB-LOC\nא\tO\n🙂\tO\n")
    assert _load(file).train.texts == ["New\u00a0York א 🙂"]


def test_a_line_with_another_number_of_columns_is_named(write: Write) -> None:
    with pytest.raises(DataError, match="line 3 has 1 column, and the lines before it have 2") as caught:
        _load(write("a.conll", "Ann B-PER\nleft O\nRome\n"))
    assert "correct that line" in str(caught.value)


def test_an_empty_file(write: Write) -> None:
    with pytest.raises(DataError, match="is empty"):
        _load(write("a.conll", "\n\n"))


def test_other_encodings(write: Write) -> None:
    file = write("a.conll", "Müller B-PER\nging O\n".encode("cp1252"))
    with pytest.raises(DataError, match="is not UTF-8"):
        _load(file)
    assert _load(file, encoding="cp1252").train.texts == ["Müller ging"]


def test_a_folder_of_files(write: Write) -> None:
    for name in ("train", "dev", "test"):
        path = write(f"set/{name}.txt", CONLL)
    dataset = load_dataset(path.parent)
    assert [len(split) for split in dataset.splits.values()] == [2, 2, 2]


@pytest.mark.parametrize(
    "content",
    [
        "a text\nanother text\n",
        "one\ntwo\n\nthree\n",
        "text\tlabel\na b\tpos\n\nc d\tneg\n",
        "A story.\n\nIt goes on.\n",
        "a b\n",
    ],
)
def test_plain_text_and_tables_are_not_taken_for_columns(write: Write, content: str) -> None:
    assert not looks_like_conll(write("a.txt", content))


def test_blocks_have_all_lines_of_a_file(write: Write) -> None:
    file = ConllFile.open(write("a.conllu", CONLLU))
    blocks = list(file.blocks())
    assert "\n".join(line for block in blocks for line in block.lines) + "\n" == CONLLU
    assert [[block.lines[at].split("\t")[1] for at in block.words] for block in blocks] == [
        ["vamos", "nos"],
        ["mar", "#"],
    ]
    assert file.separator == "\t" and [block.line for block in blocks] == [4, 9]


def test_names_of_columns() -> None:
    assert column_of(("tokens", "2", "tags"), "NER") == "tags"
    assert column_of(("id", "tokens", "upos"), "FORM") == "tokens"
    assert column_of(("tokens", "tags"), "7") == "7"


@pytest.mark.parametrize("name", ["a.tsv", "a.conll"])
@pytest.mark.parametrize("header", ["Token\tTag\n", "\nword\tNER\n", "# text\tlabel\n", "Form\tTag\n\n"])
def test_a_line_that_names_the_columns_is_left_out(write: Write, name: str, header: str) -> None:
    file = write(name, header + "Ann\tB-PER\nleft\tO\n\nRome\tB-LOC\n")
    dataset = _load(file)
    assert dataset.train.texts == ["Ann left", "Rome"] and _tags(dataset) == [["B-PER", "O"], ["B-LOC"]]
    place = len(header.rstrip("\n").split("\n"))
    assert any(f"line {place}, which names the columns, is left out" in note for note in dataset.notes)
    with_lines = next(ConllFile.open(file).blocks())
    assert header.split("\n")[0] == with_lines.lines[0]


def test_a_line_of_names_before_numbered_words(write: Write) -> None:
    dataset = _load(write("a.conll", "ID\tWord\tTag\n1\tAnn\tB-PER\n2\tleft\tO\n\n1\tRome\tB-LOC\n"))
    assert dataset.train.texts == ["Ann left", "Rome"]


def test_an_odd_first_line_is_named(write: Write) -> None:
    with pytest.raises(DataError, match=r"line 1: the tag of word 1 is 'Art' \(1 in train\)") as caught:
        _load(write("a.conll", "Wort\tArt\nAnn\tB-PER\nleft\tO\n\nRome\tB-LOC\n"))
    assert "remove that line, if it names the columns" in caught.value.fix and caught.value.accepted
