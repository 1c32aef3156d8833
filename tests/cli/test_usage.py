"""Mistakes in a command line: each is told what was seen, what is accepted, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from liteft.cli import app


def told(call: Any, words: str) -> tuple[str, list[str], list[str]]:
    """Return what a mistake's message says: what was seen, what is accepted, what to try."""
    called = call(*words.split())
    assert called.status == 2
    assert called.out == ""
    seen, *lines = called.err.splitlines()
    fix = [line.removeprefix("  try: ") for line in lines if line.startswith("  try: ")]
    return seen, [line.strip() for line in lines if not line.startswith("  try: ")], fix


def test_a_misspelt_flag_is_told_the_nearest_and_what_it_means(call: Any) -> None:
    seen, accepted, fix = told(call, "finetune --out x --epoch 3")
    assert seen == "liteft finetune: there is no flag --epoch."
    assert accepted == ["--epochs N: Passes over the training texts; if left out, as many as their number asks for."]
    assert fix == ["--epochs N", "liteft finetune --help"]


@pytest.mark.parametrize(
    ("words", "homes", "fix"),
    [
        ("search --control", "liteft distill", "liteft distill --control"),
        ("search --vocabulary 8000", "liteft distill, liteft export", "liteft distill --vocabulary N"),
        ("distill --max-mb 9", "liteft search", "liteft search --max-mb MB"),
        ("export run --max-drop 1", "liteft search", "--tolerance POINTS"),
        ("distill --base minilm", "liteft finetune", "--teacher BASE_OR_RUN"),
        ("finetune --teacher minilm", "liteft distill, liteft search", "--base BASE"),
        ("compare --data x.csv", "liteft finetune, ", "--on DATA"),
        ("check --data x.csv", "liteft finetune, ", "liteft check DATA"),
        ("finetune --output x", "liteft predict", "--out FOLDER"),
    ],
)
def test_another_commands_flag_is_told_whose_it_is_and_what_stands_for_it_here(
    call: Any, words: str, homes: str, fix: str
) -> None:
    command, flag = words.split()[0], next(word for word in words.split() if word.startswith("--"))
    seen, accepted, fixes = told(call, words)
    assert seen == f"liteft {command}: there is no flag {flag}."
    assert accepted[0].startswith(f"{flag}: a flag of {homes}")
    assert fixes[0].startswith(fix)
    assert fixes[-1] == f"liteft {command} --help"


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        ("distill --max-steps 3", ["--set teacher.max_steps=VALUE", "--set student.max_steps=VALUE"]),
        ("finetune --max_steps 3", ["--set teacher.max_steps=VALUE"]),
        ("search --warm-up 0.1", ["--set teacher.warmup=VALUE", "--set student.warmup=VALUE"]),
        ("export run --fill-vocabulary", ["--set export.fill_vocabulary=VALUE"]),
    ],
)
def test_a_recipes_key_without_a_flag_is_told_how_it_is_set(call: Any, words: str, fix: list[str]) -> None:
    _, accepted, fixes = told(call, words)
    assert "a key of the recipe" in accepted[0]
    assert fixes[:-1] == fix


@pytest.mark.parametrize("words", ["predict x --max-steps 3", "pretrain --choose-by metric"])
def test_nobody_is_sent_to_keys_that_the_command_does_not_take(call: Any, words: str) -> None:
    assert not any("--set" in line for line in told(call, words)[2])


def test_initials_are_told_the_flag_that_they_stand_for(call: Any) -> None:
    assert told(call, "finetune --lr 1e-4")[2][0] == "--learning-rate RATE"


def test_what_is_near_to_nothing_is_told_all_flags(call: Any) -> None:
    _, accepted, fix = told(call, "doctor --zzz")
    assert accepted == ["flags: --serve, --key, --triton, --json, --quiet, --no-texts, --private"]
    assert fix == ["liteft doctor --help"]


def test_a_number_that_is_none_is_told_what_was_given_and_what_is_accepted(call: Any) -> None:
    seen, accepted, fix = told(call, "predict x --top-k=many")
    assert seen == "liteft predict: --top-k must be a whole number, got 'many'."
    assert accepted == ["--top-k K: Also give the K best labels."]
    assert fix == ["liteft predict --help"]
    assert told(call, "finetune --out x --epochs many")[0].endswith("--epochs must be a number, got 'many'.")


@pytest.mark.parametrize(
    ("words", "seen", "accepted"),
    [
        ("finetune --base minilm", "--out is missing.", "--out FOLDER: "),
        ("predict", "ARTIFACT is missing.", "ARTIFACT: "),
        ("compare", "MODEL is missing.", "MODEL: "),
        ("check a.csv b.csv", "there are more arguments than the command takes: b.csv.", "arguments: DATA"),
        ("doctor now", "there are more arguments than the command takes: now.", "arguments: none"),
    ],
)
def test_missing_and_surplus_words_are_told_what_the_command_takes_and_an_example(
    call: Any, words: str, seen: str, accepted: str
) -> None:
    command = words.split()[0]
    found = told(call, words)
    assert found[0] == f"liteft {command}: {seen}"
    assert found[1][0].startswith(accepted)
    assert found[2][0].startswith(f"liteft {command}")
    assert found[2][-1] == f"liteft {command} --help"


@pytest.mark.parametrize(
    ("words", "seen", "fix"),
    [
        ("finetune --out x --epochs", "liteft finetune: --epochs needs a value.", "--epochs N"),
        ("check x.csv --json=yes", "liteft check: --json takes no value.", "--json"),
    ],
)
def test_a_flag_with_a_value_too_few_or_too_many_is_told_how_it_is_written(
    call: Any, words: str, seen: str, fix: str
) -> None:
    found = told(call, words)
    assert found[0] == seen
    assert found[2] == [fix, f"liteft {words.split()[0]} --help"]


def test_an_unknown_command_is_told_the_nearest_and_all(call: Any) -> None:
    seen, accepted, fix = told(call, "distil --out x")
    assert seen == "liteft: there is no command 'distil'."
    assert accepted[0].startswith("commands: check, finetune, distill")
    assert fix == ["liteft distill"]
    assert told(call, "zzz")[2] == ["liteft --help"]
    assert told(call, "searc demo")[0] == "liteft: there is no command 'searc'."


def test_a_flag_before_the_command_is_no_mistake_of_the_command(call: Any) -> None:
    seen, _, fix = told(call, "--jsn check x.csv")
    assert seen == "liteft: there is no flag --jsn."
    assert fix[-1] == "liteft --help"


@pytest.mark.parametrize("name", ["", *sorted(typer.main.get_command(app).commands)])
def test_help_shows_flags_without_types_and_general_ones_last(call: Any, name: str) -> None:
    shown = call(*([name] if name else []), "--help").out
    assert "<" not in shown
    panels = [line.split("─")[1].strip() for line in shown.splitlines() if line.startswith("╭")]
    assert panels[-1] == ("General" if name else "Commands")
    assert "Options" not in panels


def test_a_wrong_variable_of_the_environment_is_named_with_its_value(call: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("LITEFT_PORT", "tcp://10.0.0.1:8080")
    seen, _, _ = told(call, "serve runs/reviews")
    assert seen.endswith(
        "the environment's LITEFT_PORT, for --port, must be a whole number, got 'tcp://10.0.0.1:8080'."
    )
