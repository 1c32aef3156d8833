"""Errors: three parts as text, whole after pickling, and the closest name."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from liteft import errors
from liteft.errors import (
    ConfigError,
    DataError,
    Hint,
    InputError,
    LiteftError,
    MissingExtraError,
    closest,
    first_line,
    leave_out,
    option,
)

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LiteftError)]


def missing_column() -> DataError:
    return DataError("reviews.csv has no column 'lable'.", accepted={"columns": "id, text, label"}, fix="--label label")


def test_an_error_reads_as_what_was_seen_what_is_accepted_and_what_to_do() -> None:
    assert str(missing_column()) == (
        "reviews.csv has no column 'lable'.\n  columns: id, text, label\n  try: --label label"
    )


def test_a_traceback_puts_the_class_in_front() -> None:
    code = "from liteft.errors import DataError; raise DataError('a.csv is empty.', fix='another file')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("liteft.errors.DataError: a.csv is empty.\n  try: another file\n")


def test_every_accepted_value_and_every_fix_has_a_line_of_its_own() -> None:
    error = LiteftError("a.", accepted={"bytes": 3, "found": None}, fix=["--one", "--two"])
    assert str(error).splitlines() == ["a.", "  bytes: 3", "  found: None", "  try: --one", "  try: --two"]
    assert error.fix == ("--one", "--two")


def test_parts_that_are_left_out_leave_no_line() -> None:
    assert str(LiteftError("a.")) == "a."
    assert LiteftError("a.").fix == ()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_pickling_keeps_all_three_parts_and_the_class(kind: type[LiteftError]) -> None:
    error = kind("a.", accepted={"columns": "x, y"}, fix=("--one", "--two"))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.message, again.accepted, again.fix) == (error.message, error.accepted, error.fix)
    assert str(again) == str(error)


def test_every_error_is_named_in_all_and_caught_as_one() -> None:
    assert len(KINDS) > 8
    for kind in KINDS:
        assert kind.__name__ in errors.__all__
        with pytest.raises(LiteftError):
            raise kind("a.")


def test_errors_that_python_has_a_word_for_are_caught_by_it() -> None:
    assert issubclass(InputError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
    assert not issubclass(ConfigError, ValueError)  # or pydantic would swallow it inside a validator


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("lable", ["id", "text", "label"], "label"),
        ("LABEL", ["id", "Label"], "Label"),
        ("learning_rat", ["learning_rate", "learning_rates"], "learning_rate"),
        ("straße", ["STRASSE"], "STRASSE"),
        ("zzz", ["id", "text", "label"], None),
        ("label", [], None),
        ("", ["id"], None),
    ],
)
def test_closest_ignores_case_and_keeps_it_in_the_answer(name: str, known: list[str], found: str | None) -> None:
    assert closest(name, known) == found


@pytest.mark.parametrize(
    ("hint", "python", "command"),
    [
        (option("max_tokens", 512), "max_tokens=512", "--max-tokens 512"),
        (option("size", "3x384"), 'size="3x384"', "--size 3x384"),
        (option("label", "the label"), 'label="the label"', "--label 'the label'"),
        (option("drop_empty", note=", to leave such rows out"), "drop_empty=True, to leave such rows out",
         "--drop-empty, to leave such rows out"),
        (option("layers", [0, 2]), "layers=[0, 2]", "--layers 0,2"),
        (option("student.augmentation", "none"), 'augmentation="none"', "--set student.augmentation=none"),
        (option("teacher.gradient_checkpointing"), "gradient_checkpointing=True",
         "--set teacher.gradient_checkpointing=true"),
        (leave_out("pair"), "leave out pair", "leave out --pair"),
        (leave_out("student.augmentation"), "leave out augmentation", "leave out --set student.augmentation"),
    ],
)  # fmt: skip
def test_a_hint_names_an_argument_in_python_and_a_flag_on_the_command_line(
    hint: Hint, python: str, command: str
) -> None:
    error = LiteftError("a.", fix=hint)
    assert str(error) == f"a.\n  try: {python}"
    assert error.command_text() == f"a.\n  try: {command}"


def test_hints_of_both_kinds_survive_pickling() -> None:
    error = LiteftError("a.", fix=["look", option("size", "3x384")])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.command_text()) == (str(error), error.command_text())


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no such operator.\nand a page of details", "no such operator"),
        ("\x1b[96mThis is step 1/3\x1b[0m of it", "This is step 1/3 of it"),
        ("\n   \n=======\n  at   last\x00 ", "at last"),
        ("", "ValueError"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_another_librarys_error_is_quoted_in_one_plain_line(said: str, kept: str) -> None:
    assert first_line(ValueError(said)) == kept
