"""Results show themselves: as text, as data, in one line and in notebooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liteft.artifact import Artifact
from liteft.data import DataCheck
from liteft.demo import Demo
from liteft.distilled import Distillation
from liteft.doctor.finding import Diagnosis
from liteft.frontier import Frontier
from liteft.inspection import Inspection
from liteft.report import Comparison
from liteft.report.seeds import SeedsTable
from liteft.results import Result
from liteft.run import Run
from liteft.runtime.bulk import Classified

INFO = {
    "kind": "student",
    "task": "single_label",
    "labels": ["<b>", "other"],
    "metrics": {"validation": {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95]}},
    "parameters": 1_000_000,
    "size_bytes": 4_000_000,
    "warnings": ["the label <b> has few texts"],
}

RESULTS = [
    Artifact,
    Classified,
    Comparison,
    DataCheck,
    Demo,
    Diagnosis,
    Distillation,
    Frontier,
    Inspection,
    Run,
    SeedsTable,
]


@pytest.mark.parametrize("kind", RESULTS)
def test_every_result_has_a_text_plain_data_and_a_line_of_its_own(kind: type) -> None:
    assert issubclass(kind, Result)
    assert kind.render is not Result.render and kind.to_dict is not Result.to_dict
    assert kind.__repr__ is not object.__repr__ and kind.__str__ is Result.__str__


def test_a_label_that_looks_like_markup_is_shown_and_not_obeyed_in_a_notebook() -> None:
    run = Run(Path("runs/student"), INFO)
    shown = run._repr_html_()
    assert shown.startswith("<pre>") and shown.endswith("</pre>")
    assert "the label &lt;b&gt; has few texts" in shown and "<b>" not in shown


def test_a_run_prints_its_table_and_its_data_are_ready_for_json() -> None:
    run = Run(Path("runs/student"), INFO)
    assert "90.0 [80.0, 95.0]" in str(run) and "{" not in str(run)
    assert json.loads(json.dumps(run.to_dict()))["path"] == "runs/student"
    assert len(repr(run).splitlines()) == 1
