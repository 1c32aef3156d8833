"""Where texts lie on the disk and what is printed of them: as docs/guides/privacy.md says; nowhere if hidden."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="a whole run needs the extra 'train'")

import liteft
from tests.modules import module_of
from tests.privacy.marked import MARKER, TASKS, Marked, all_verbs, holding, made

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "privacy.md"
SLOW = [task if task == "labels" else pytest.param(task, marks=pytest.mark.slow) for task in TASKS]


def listed() -> dict[str, set[str]]:
    """Return the patterns of files that the page lists: task -> those that hold texts."""
    table = PAGE.read_text(encoding="utf-8").split("<!-- files with texts -->")[1].split("<!-- end -->")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    found: dict[str, set[str]] = {task: set() for task in TASKS}
    for row in rows:
        for task in TASKS:
            if task in row[2] or "all" in row[2]:
                found[task] |= set(re.findall(r"`([^`]+)`", row[1]))
    return found


@pytest.mark.parametrize("task", SLOW)
def test_the_files_that_hold_texts_are_those_that_the_page_lists(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = made(task, tmp_path)
    all_verbs(data, capsys)
    patterns, found = listed()[task], holding(data.out)
    assert {path for path in found if not any(fnmatch(path, pattern) for pattern in patterns)} == set()
    assert {pattern for pattern in patterns if not any(fnmatch(path, pattern) for path in found)} == set()


@pytest.mark.parametrize("task", SLOW)
def test_without_texts_no_file_and_no_line_holds_one(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = made(task, tmp_path)
    all_verbs(data, capsys, "--no-texts", "--private")
    assert holding(data.out) == set()
    assert [command for command, printed in data.printed.items() if MARKER in printed] == []
    rows = [json.loads(line) for line in (data.out / "some.jsonl").read_text("utf-8").splitlines()]
    assert [row["row"] for row in rows] == list(range(1, 41))
    assert {path for path in data.out.rglob("*") if path.lstat().st_mode & 0o077} == set()


def test_texts_are_hidden_by_the_environment_as_by_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = errors(tmp_path)
    monkeypatch.setenv("LITEFT_NO_TEXTS", "1")
    for name, words in WRONG.items():
        said = data.run(
            capsys, *(str(tmp_path / word) if word.startswith("wrong") else word for word in words), status=1
        )
        assert MARKER not in said, name


def test_errors_that_quote_a_cell_name_its_row_where_texts_are_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = errors(tmp_path)
    for name, words in WRONG.items():
        given = in_folder(words, tmp_path)
        shown = data.run(capsys, *given, status=1)
        hidden = data.run(capsys, *given, "--no-texts", status=1)
        assert MARKER in shown and MARKER not in hidden, name
        assert hidden.startswith("DataError: "), name
        assert re.search(r"(line|row) \d", hidden) or name.startswith(OF_ALL_ROWS), name


def test_a_hint_names_no_other_column_in_the_place_of_a_hidden_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = errors(tmp_path)
    said = data.run(capsys, "check", tmp_path / "wrong_head.csv", "--no-texts", status=1)
    assert "--text NAME" in said and "--text b0" not in said


WRONG = {
    "a number that is a text": ["check", "wrong_score.jsonl", "--label", "score", "--task", "scores"],
    "labels that look like lists": ["check", "wrong_lists.csv"],
    "a column of texts as labels": ["check", "wrong_labels.csv", "--text", "id", "--label", "body"],
    "labels that look joined": ["check", "wrong_joined.csv", "--task", "multi_label"],
    "an answer that is elsewhere": ["check", "wrong_answers.jsonl"],
    "words that are no list": ["check", "wrong_words.jsonl", "--text", "words", "--label", "tags", "--task", "tokens"],
    "a span that overlaps": ["check", "wrong_spans.jsonl", "--task", "tokens"],
    "a line of another width": ["check", "wrong_line.conll"],
    "a line that is no JSON": ["check", "wrong_json.jsonl"],
    "a key that occurs twice": ["check", "wrong_keys.jsonl"],
    "a label that has no name": ["check", "wrong_names.csv", "--label-names", "a,b"],
    "a column of zeros and ones that holds a text": ["check", "wrong_bits.csv", "--label", "a", "--label", "b"],
    "a row in the place of names of columns": ["check", "wrong_header.csv"],
    "a page of the web": ["check", "wrong_page.csv"],
    "no names of columns": ["check", "wrong_head.csv"],
    "no names of columns, one is named": ["check", "wrong_head.csv", "--text", "named"],
    "no names of columns, and rows of another width": [
        "check",
        "wrong_width.csv",
        "--text",
        f"{MARKER} 0",
        "--label",
        "b0",
    ],
    "no names of columns of words": ["check", "wrong_head_of_words.csv"],
    "no names of columns of answers": ["check", "wrong_head.csv", "--task", "answers"],
    "no names of columns to predict": [
        "predict",
        "wrong_artifact",
        "--input",
        "wrong_head.csv",
        "--output",
        "wrong_out.csv",
    ],
}

OF_ALL_ROWS = (
    *("a column of texts as labels", "labels that look joined"),
    *("a row in the place of names of columns", "a page of the web", "no names of columns"),
)


def in_folder(words: list[str], folder: Path) -> list[str]:
    return [str(folder / word) if word.startswith("wrong") else word for word in words]


def errors(folder: Path) -> Marked:
    """Write files with a wrong row each, whose errors quote it."""
    tags = ["O", "B-x"]
    spans = [{"start": 0, "end": 12, "label": "x"}, {"start": 0, "end": 7, "label": "y"}]
    rows: dict[str, list[dict[str, Any]]] = {
        "wrong_score": [{"text": "a", "score": 1}, {"text": "b", "score": f"{MARKER} c"}] * 9,
        "wrong_answers": [
            {"question": "q", "context": f"{MARKER} is here", "answers": {"text": [MARKER], "answer_start": [3]}}
        ]
        * 9,
        "wrong_words": [{"words": ["a", "b"], "tags": tags}] * 9 + [{"words": f"{MARKER} b", "tags": tags}],
        "wrong_spans": [{"text": f"{MARKER} is here", "spans": spans}] * 9,
    }
    for name, content in rows.items():
        lines = [json.dumps(row) for row in content]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lists = ["text,label", *(f"t{row},\"['a{row % 4}']\"" for row in range(12)), f"t,{MARKER}"]
    (folder / "wrong_lists.csv").write_text("\n".join(lists) + "\n", encoding="utf-8")
    labels = ["id,body", *(f"t{row},{MARKER} is {row}" for row in range(60))]
    (folder / "wrong_labels.csv").write_text("\n".join(labels) + "\n", encoding="utf-8")
    joined = ["text,label", *(f"t{row},{MARKER};b{row % 2}" for row in range(9))]
    (folder / "wrong_joined.csv").write_text("\n".join(joined) + "\n", encoding="utf-8")
    (folder / "wrong_line.conll").write_text(f"a B-x\nb O\n\n{MARKER} c B-x\n", encoding="utf-8")
    (folder / "wrong_json.jsonl").write_text(f'{{"text": "a", "label": "x"}}\n{{"text": "{MARKER}", "label":\n')
    (folder / "wrong_keys.jsonl").write_text(f'{{"text": "a", "{MARKER} b": 1, "{MARKER} b": 2}}\n')
    names = ["text,label", *(f"t{row},{MARKER} {row % 2}" for row in range(9))]
    (folder / "wrong_names.csv").write_text("\n".join(names) + "\n", encoding="utf-8")
    (folder / "wrong_bits.csv").write_text(f"text,a,b\nt1,0,1\nt2,1,0\nt3,{MARKER} c,0\n", encoding="utf-8")
    (folder / "wrong_header.csv").write_text(f"{MARKER} is here,pos\nt2,neg\nt3,pos\n", encoding="utf-8")
    (folder / "wrong_twice.jsonl").write_text(f'{{"text": "{MARKER}", "text": "b"}}\n', encoding="utf-8")
    (folder / "wrong_page.csv").write_text(f"<html><body>{MARKER}</body></html>\n", encoding="utf-8")
    (folder / "wrong_head.csv").write_text("".join(f"{MARKER} {row},b{row % 2}\n" for row in range(20)), "utf-8")
    (folder / "wrong_width.csv").write_text(f"{MARKER} 0,b0\na,b,c\n", encoding="utf-8")
    (folder / "wrong_head_of_words.csv").write_text(f"{MARKER} is here,O O B-x\n" * 20, encoding="utf-8")
    module_of("runtime", "tiny.py").write_artifact(folder / "wrong_artifact")
    return Marked("labels", folder)


def test_a_function_says_what_is_shown_of_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = errors(tmp_path)
    with liteft.hide_texts(redact=lambda text: text.replace(MARKER, "NAME")):
        said = data.run(
            capsys, "check", tmp_path / "wrong_score.jsonl", "--label", "score", "--task", "scores", status=1
        )
    assert "'NAME c'" in said and MARKER not in said
