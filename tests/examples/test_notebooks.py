"""examples/notebooks: valid, small and without outputs; and run whole, with the settings of a test."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("nbformat", reason="nbformat is not installed")

import nbformat

from tests.cache import Cache
from tests.examples.conftest import EXAMPLES, ROOT
from tests.modules import module_of

FOLDER = EXAMPLES / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
_MOST_BYTES = 30_000

QUICK = {
    "teacher": {"epochs": 6, "learning_rate": 5e-3, "batch_size": 8, "max_tokens": 16},
    "student": {"epochs": 2, "learning_rate": 5e-3, "batch_size": 8},
    "export": {"precision": "fp32"},
}


def read(name: str) -> Any:
    return nbformat.read(FOLDER / name, as_version=4)


def test_the_two_notebooks_are_there() -> None:
    assert NOTEBOOKS == ["csv_to_service.ipynb", "hundred_labels.ipynb"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_valid_small_and_stored_without_outputs(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    assert (FOLDER / name).stat().st_size < _MOST_BYTES
    assert len([cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]) == 1


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_code_of_a_notebook_compiles_and_words_stand_before_it(name: str) -> None:
    notebook = read(name)
    assert notebook.cells[0].cell_type == notebook.cells[-1].cell_type == "markdown"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert "cccc" not in kinds  # a reader is told what comes


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_links_of_a_notebook_lead_to_files(name: str) -> None:
    words = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    linked = re.findall(r"\]\(([^):#]+)\)", words)
    assert linked and all((FOLDER / path).is_file() for path in linked)


def write_world(tiny: ModuleType) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tiny.write_base(folder / "base", "bert")
        texts, gold = tiny.make_texts(200, seed=1)
        rows = [f"{text},{tiny.LABELS[label]}" for text, label in zip(texts, gold, strict=True)]
        (folder / "topics.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")

    return write


def run(name: str, folder: Path, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a notebook in a folder, with other parameters than its own; return it with its outputs."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    pytest.importorskip("matplotlib", reason="the pictures need the extra 'report'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = read(name)
    (cell,) = [each for each in notebook.cells if "parameters" in each.metadata.get("tags", [])]
    own = {node.targets[0].id for node in ast.parse(cell.source).body}  # type: ignore[attr-defined]
    assert parameters.keys() <= own
    cell.source += "\n" + "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def outputs(notebook: Any, kind: str) -> list[str]:
    found = [each for cell in notebook.cells if cell.cell_type == "code" for each in cell.outputs]
    return [each["data"][kind] for each in found if kind in each.get("data", {})]


@pytest.fixture
def world(cache: Cache) -> Path:
    pytest.importorskip("torch", reason="training needs the extra 'train'")
    return cache("examples-notebooks", write_world(module_of("finetuning")))


@pytest.mark.slow
def test_a_csv_becomes_a_service(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"TABLE": str(world / "topics.csv"), "TEACHER": str(world / "base"), "SIZE": "1", "SETTINGS": QUICK}
    notebook = run("csv_to_service.ipynb", tmp_path, given, monkeypatch)
    assert len(outputs(notebook, "image/png")) == 3
    texts = outputs(notebook, "text/plain")
    assert "'label': " in texts[-2]  # what the service answered
    assert texts[-1] == "0"  # and it ended as it should
    assert (tmp_path / "runs" / "requests" / "artifact" / "manifest.json").is_file()


@pytest.mark.slow
def test_a_hundred_labels_become_a_student_beside_its_control(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"TABLE": str(world / "topics.csv"), "TEACHER": str(world / "base"), "SIZE": "1", "SETTINGS": QUICK}
    notebook = run("hundred_labels.ipynb", tmp_path, given | {"LABELS": 30}, monkeypatch)
    assert len(outputs(notebook, "image/png")) == 2
    assert any("control: labels alone" in text for text in outputs(notebook, "text/plain"))
    assert (tmp_path / "runs" / "hundred" / "to_label.jsonl").is_file()
