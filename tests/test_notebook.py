"""Progress in a notebook: bars that move in place, by a fake kernel and in a real one."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from liteft import notebook
from liteft.arguments import checked_progress
from liteft.notebook import NotebookProgress, in_notebook
from tests.building import ROOT


class Line(str):
    training, step, steps = "teacher", 0, 12

    def at(self, step: int, training: str = "teacher") -> Line:
        self.step, self.training = step, training
        return self


class Display:
    """What IPython.display.display shows, in order, with the place of each."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, dict[str, str]]] = []
        self.places = 0

    def __call__(self, what: Any, display_id: bool) -> Any:
        assert display_id
        self.places += 1
        place = self.places
        self.shown.append((place, what._repr_mimebundle_()))
        update = lambda new: self.shown.append((place, new._repr_mimebundle_()))  # noqa: E731
        return types.SimpleNamespace(update=update)


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Display:
    """A kernel that is none, and what it displays."""
    shell = type("ZMQInteractiveShell", (), {})()
    display, module = Display(), types.ModuleType("IPython")
    module.get_ipython = lambda: shell  # type: ignore[attr-defined]
    inner = types.ModuleType("IPython.display")
    inner.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return display


def test_only_a_kernel_is_a_notebook(monkeypatch: pytest.MonkeyPatch, display: Display) -> None:
    assert in_notebook()
    assert isinstance(checked_progress(True), NotebookProgress)
    sys.modules["IPython"].get_ipython = lambda: type("TerminalInteractiveShell", (), {})()  # type: ignore[attr-defined]
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()
    assert not isinstance(checked_progress(True), NotebookProgress)


def test_a_training_has_one_bar_that_moves_and_other_lines_are_printed(display: Display, capsys: Any) -> None:
    progress = NotebookProgress()
    progress("rows: 5")
    for step in (3, 6):
        progress(Line(f"teacher: step {step}/12").at(step))
    progress(Line("student: step 2/12 <b>").at(2, "student"))
    progress(Line("teacher: step 9/12").at(9))
    assert capsys.readouterr().out == "rows: 5\n"
    assert [place for place, _ in display.shown] == [1, 1, 2, 1]
    assert display.shown[1][1]["text/plain"] == "teacher: step 6/12"
    assert 'value="6" max="12"' in display.shown[1][1]["text/html"]
    assert "&lt;b&gt;" in display.shown[2][1]["text/html"]
    progress(Line("teacher: step 1/12").at(1))  # of another learning rate
    assert display.shown[-1][0] == 3


def test_a_real_training_says_how_far_it_is(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from transformers import TrainerState

    from liteft.finetuning.callbacks import StepLine

    line = StepLine("step 3/12  loss 0.5", "teacher", TrainerState(global_step=3, max_steps=12))
    assert line == "teacher: step 3/12  loss 0.5"
    assert (line.training, line.step, line.steps) == ("teacher", 3, 12)


CELL = """
import os, sys
sys.path.insert(0, {root!r})
os.environ["OMP_NUM_THREADS"] = "1"
import pathlib
import liteft
from tests.finetuning.conftest import QUICK, make_dataset, write_base
base = write_base(pathlib.Path({folder!r}) / "base", "bert")
run = liteft.finetune(base, make_dataset(), out=pathlib.Path({folder!r}) / "run", progress=True, **QUICK)
"""


@pytest.mark.slow
def test_a_notebook_shows_a_bar_that_ends_full(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="executes a notebook")
    nbclient = pytest.importorskip("nbclient", reason="executes a notebook")
    pytest.importorskip("ipykernel", reason="executes a notebook")
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(CELL.format(root=str(ROOT), folder=str(tmp_path)))]
    )
    nbclient.NotebookClient(book, timeout=300).execute()
    bars = [each for each in book.cells[0].outputs if each.output_type == "display_data"]
    assert len(bars) == 1
    assert 'value="12" max="12"' in bars[0].data["text/html"]
    printed = "".join(
        each.text for each in book.cells[0].outputs if each.output_type == "stream" and each.name == "stdout"
    )
    assert "teacher:" in printed and "step" not in bars[0].data["text/plain"].splitlines()[1:]


def test_notebooks_are_noticed_without_importing_ipython() -> None:
    assert "import IPython" not in Path(notebook.__file__).read_text()
