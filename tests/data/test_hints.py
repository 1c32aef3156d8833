"""Hints of the loader: what they name exists on both surfaces, and the first of them works when it is followed."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from liteft.cli import app
from liteft.data import Dataset, Split, load_dataset, load_unlabeled
from liteft.errors import Hint, LiteftError

Write = Callable[..., Path]
Case = tuple[Callable[..., Any], Any, dict[str, Any]]
N = 12


def _rows(**columns: Any) -> list[dict[str, Any]]:
    """Return rows of a text and what each function of the row's number gives."""
    return [{"text": f"text {n}"} | {name: value(n) for name, value in columns.items()} for n in range(N)]


def _followed(write: Write) -> dict[str, Case]:
    """Return cases whose first hint names an option, and which load with it."""
    texts = "".join(f"caf\xe9 {n},{'xy'[n % 2]}\n" for n in range(N))
    return {
        "vectors": (load_dataset, _rows(label=lambda n: [n % 2, 0, 1]), {}),
        "label columns": (load_dataset, _rows(joy=lambda n: n % 2, anger=lambda n: n % 3 // 2), {}),
        "joined labels": (load_dataset, _rows(label=lambda n: ["a;b", "a", "b"][n % 3]), {}),
        "joined without a question": (
            load_dataset,
            _rows(label=lambda n: ["a;b", "a", "b"][n % 3]),
            {"task": "multi_label"},
        ),
        "no label": (load_dataset, _rows(label=lambda n: ["a", "b", None][n % 3]), {}),
        "no text": (load_dataset, [*_rows(label=lambda n: n % 2), {"text": "", "label": 1}], {}),
        "long text": (load_dataset, [*_rows(label=lambda n: n % 2), {"text": "x " * 99, "label": 1}], {"max_chars": 9}),
        "misspelt label": (load_dataset, _rows(label=lambda n: n % 2), {"label": "lable"}),
        "misspelt text": (load_dataset, _rows(label=lambda n: n % 2), {"text": "txet"}),
        "unclear text": (load_dataset, [{"a": f"one two three {n}", "b": n, "label": n % 2} for n in range(N)], {}),
        "unclear label": (load_dataset, _rows(key=lambda n: f"k{n}", kind=lambda n: "xy"[n % 2]), {}),
        "unknown task": (load_dataset, _rows(label=lambda n: n % 2), {"task": "single"}),
        "encoding": (load_dataset, write("latin.csv", f"text,label\n{texts}".encode("latin-1")), {}),
        "utf-16": (load_dataset, write("wide.csv", f"text,label\n{texts}".encode("utf-16-le")), {}),
        "misspelt encoding": (load_dataset, write("b.csv", f"text,label\n{texts}"), {"encoding": "uft-8"}),
        "names of others": (load_dataset, _rows(label=lambda n: "ab"[n % 2]), {"label_names": ["x", "y"]}),
        "fractions": (load_dataset, _rows(label=lambda n: n % 2), {"validation_fraction": 0.9, "test_fraction": 0.5}),
        "pairs in a part": (load_unlabeled, _half_paired(write), {}),
    }


def _half_paired(write: Write) -> Path:
    write("half/a.jsonl", [{"text": "one", "text_b": "two"}])
    return write("half/b.jsonl", [{"text": "three"}]).parent


def _others(write: Write) -> dict[str, Case]:
    """Return cases whose hints cannot be followed by themselves."""
    return {
        "fraction": (load_dataset, _rows(label=lambda n: n / 2), {}),
        "one label": (load_dataset, _rows(label=lambda n: "a"), {}),
        "own labels": (load_dataset, _rows(label=lambda n: f"a{n}"), {}),
        "label column": (load_dataset, _rows(joy=lambda n: n, anger=lambda n: 0), {"label": "joy,anger"}),
        "label 1": (load_dataset, _rows(label=lambda n: n % 2), {"label": 1}),
        "plain text": (load_dataset, write("a.txt", "text\n"), {}),
        "ragged": (load_dataset, write("r.csv", "text,label\na,b,c\n"), {}),
        "names": (load_dataset, _rows(label=lambda n: n % 2), {"label_names": "x"}),
        "few texts": (load_dataset, [("a", 0), ("b", 1), ("a", 0)], {}),
        "NUL": (load_dataset, write("nul.csv", "text,label\na\0b,c\n"), {}),
        "number": (load_dataset, [{"text": 3, "label": n % 2} for n in range(N)], {}),
        "split": (Dataset.split, Dataset("d", "single_label", ("x",), {"test": Split("test", [])}), {"name": "tset"}),
        "bad choice": (load_dataset, write("c.jsonl", [{"text": "a", "cats": {"x": 0.5}}]), {}),
        "tool": (load_dataset, write("t.json", json.dumps([{"data": {"text": "a"}, "annotations": []}])), {}),
    }


def _refused(case: Case) -> LiteftError:
    call, source, settings = case
    with pytest.raises(LiteftError) as error:
        call(source, **settings)
    return error.value


def test_every_option_that_a_hint_names_exists_on_both_surfaces(write: Write) -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    flags = {name for verb in verbs.values() for parameter in verb.params for name in parameter.opts}
    arguments = {*inspect.signature(load_dataset).parameters, "split", "unlabeled"}
    seen: set[str] = set()
    for name, case in (_followed(write) | _others(write)).items():
        for hint in _refused(case).fix:
            python, command = (hint.python, hint.command) if isinstance(hint, Hint) else (hint, hint)
            named = set(re.findall(r"\b([a-z_]+)=", python)) | set(re.findall(r"^leave out (\w+)$", python))
            given = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", command))
            assert named <= arguments and given <= flags, (name, hint)
            assert {f"--{argument.replace('_', '-')}" for argument in named} == given, (name, hint)
            assert "--" not in python, (name, hint)
            seen |= named
    assert {"text", "label", "label_names", "label_separator", "task", "drop_empty", "encoding"} <= seen


def _said(hint: Hint) -> dict[str, Any]:
    """Return the arguments that a hint gives, as Python reads them."""
    left = re.fullmatch(r"leave out (\w+)", hint.python)
    if left is not None:
        return {left[1]: None}
    found = re.findall(r"(\w+)=(\"[^\"]*\"|\[[^\]]*\]|[\w.]+)", hint.python)
    return {name: ast.literal_eval(value) for name, value in found}


def test_the_first_hint_works_when_it_is_followed(write: Write) -> None:
    for name, case in _followed(write).items():
        call, source, settings = case
        hint = _refused(case).fix[0]
        assert isinstance(hint, Hint), name
        assert call(source, **settings | _said(hint)) is not None, name


def test_the_first_hint_works_on_the_command_line(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    from liteft.cli import main

    for name, (_, source, settings) in _followed(write).items():
        if settings or name == "pairs in a part":
            continue
        path = source if isinstance(source, Path) else write("rows.jsonl", source)
        assert main(["check", str(path)]) == 1, name
        hint = re.search(r"try: (.*)", capsys.readouterr().err)
        assert hint is not None
        words = shlex.split(re.sub(r"(, .*| \(.*)$", "", hint[1]))
        assert main(["check", str(path), *words]) == 0, (name, words)
        capsys.readouterr()
