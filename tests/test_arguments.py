"""What callers hand over: wrong kinds are refused in three parts, and results show themselves in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import liteft
from liteft.arguments import checked_callbacks, checked_progress, require_path
from liteft.data import Dataset, Split
from liteft.doctor.finding import Diagnosis
from liteft.errors import ConfigError
from liteft.run import Run
from tests.test_artifact import write


class Callback:
    """What a training takes."""


class Model:
    """A model object, as transformers has them."""

    def save_pretrained(self, folder: str) -> None:
        """Write it."""


def refused(call: Any, *arguments: Any, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **settings)
    return str(caught.value)


def test_progress_true_prints_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    told = checked_progress(True)
    assert told is not None
    told("step 1")
    assert capsys.readouterr() == ("", "step 1\n")


def test_progress_is_a_function_or_nothing() -> None:
    assert checked_progress(print) is print
    assert checked_progress(None) is checked_progress(False) is None
    message = refused(checked_progress, "print")
    assert message.startswith("progress must be a function, got a str.")
    assert "try: progress=print" in message


def test_callbacks_are_callbacks() -> None:
    assert checked_callbacks([Callback], Callback) == (Callback,)
    one = Callback()
    assert checked_callbacks(one, Callback) == (one,)  # one alone
    message = refused(checked_callbacks, [print], Callback)
    assert message.startswith("callbacks contains a builtin_function_or_method (print).")
    assert "try: progress=print, to follow the training" in message
    assert "callbacks contains an int" in refused(checked_callbacks, 5, Callback)


def test_a_model_object_where_a_folder_is_wanted_says_how_to_save_it() -> None:
    require_path("base", Path("x"), accepted="a folder")
    require_path("base", 5, kinds=(int,), accepted="a folder or five")
    message = refused(require_path, "base", Model(), accepted="a folder or hub name")
    assert message.splitlines() == [
        "base is a Model.",
        "  base: a folder or hub name",
        "  try: save it and its tokenizer with save_pretrained(FOLDER), then base=FOLDER",
    ]
    assert refused(require_path, "out", "", accepted="a folder").startswith("out is empty.")
    assert refused(require_path, "out", None, accepted="a folder").startswith("out is None.")


def test_results_show_themselves_in_one_line(tmp_path: Path) -> None:
    split = Split("train", ["a"] * 1000, None, np.zeros(1000, dtype=np.int64))
    info = {"kind": "student", "labels": ["a", "b"], "metrics": {"validation": {"accuracy": 0.91}}, "log": "x" * 999}
    shown = {
        repr(split): "Split('train': 1,000 texts, labels)",
        repr(Dataset("mail", "single_label", ("a", "b"), {"train": split})): (
            "Dataset('mail': single_label, 2 labels, train 1,000)"
        ),
        repr(Run(Path("runs/a"), info)): "Run('runs/a': student, 2 labels, accuracy 0.9100 on validation)",
        repr(Run(Path("runs/a"), {})): "Run('runs/a': None, 0 labels)",
        repr(write(tmp_path / "a")): f"Artifact({str(tmp_path / 'a')!r}: fp32, 2 labels, 0.0 MB)",
        repr(Diagnosis(())): "Diagnosis(0 findings, 0 problems)",
    }
    assert list(shown) == list(shown.values())


@pytest.mark.parametrize("name", ["names", "labels", "texts_for_speed"])
def test_a_string_where_a_comparison_takes_several_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} is a str\.") as caught:
        liteft.compare("a", "b", **{name: "ab"})
    assert str(caught.value).endswith(f"try: {name}=['ab']")


@pytest.mark.parametrize(("name", "near"), [("devise", "device"), ("delimitr", "delimiter")])
def test_an_unknown_argument_of_a_comparison_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"^compare has no argument '{name}'") as caught:
        liteft.compare("a", "b", **{name: ","})
    assert caught.value.fix == (f"did you mean {near!r}?",)


def test_a_check_of_what_is_not_a_data_set_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^dataset is a value of type str\.") as caught:
        liteft.check_dataset("reviews.csv")  # type: ignore[arg-type]
    assert caught.value.fix == ("check_dataset(load_dataset(...))",)
