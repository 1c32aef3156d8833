"""Results show themselves: as text, as data, in one line and in notebooks."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import liteft
from liteft.results import Result
from liteft.run import Run

INFO = {
    "kind": "student",
    "task": "single_label",
    "labels": ["<b>", "other"],
    "metrics": {"validation": {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95]}},
    "parameters": 1_000_000,
    "size_bytes": 4_000_000,
    "warnings": ["the label <b> has few texts"],
}

NOT_RESULTS = {
    "Any": "what an artifact is loaded as depends on its task",
    "Classifier": "it answers questions, and is closed",
    "NativeModule": "torch shows modules its own way",
    "Recipe": "settings: pydantic shows and dumps them",
}
"""Classes that public functions return and that are not results, and why."""


def returned() -> Iterator[tuple[str, str]]:
    """Yield each class that a public function, or a method of the classifier, says it returns."""
    calls = {name: getattr(liteft, name) for name in liteft.__all__}
    calls |= {f"Classifier.{name}": getattr(liteft.Classifier, name) for name in ("predict", "stream", "predictions")}
    for name, call in calls.items():
        if inspect.isfunction(call):
            yield from ((name, word) for word in re.findall(r"[A-Z]\w+", call.__annotations__["return"]))


def results() -> dict[str, type[Result]]:
    """Return the results in all modules of the package, by name."""
    for module in pkgutil.walk_packages(liteft.__path__, "liteft."):
        if not module.name.endswith("__main__") and not module.name.startswith("liteft.lib"):
            importlib.import_module(module.name)
    return {kind.__name__: kind for kind in Result.__subclasses__() if kind.__module__.startswith("liteft.")}


def test_what_a_public_function_returns_is_a_result() -> None:
    known = {*results(), *NOT_RESULTS, "None", "Iterator"}
    assert [(call, kind) for call, kind in returned() if kind not in known] == []


def test_every_result_has_a_text_plain_data_and_a_line_of_its_own() -> None:
    found = results()
    assert {"Dataset", "Prediction", "Demo", "Distillation", "Run"} <= found.keys()
    for kind in found.values():
        assert kind.render is not Result.render and kind.to_dict is not Result.to_dict, kind
        assert kind.__repr__ is not object.__repr__ and kind.__str__ is Result.__str__, kind
        assert kind._repr_html_ is Result._repr_html_, kind


def test_a_prediction_is_a_line_and_plain_data() -> None:
    prediction = liteft.Prediction("late", 0.75, ("late",), (("late", 0.75), ("app", 0.25)), True, "native")
    assert str(prediction) == "late 0.7500 (late 0.7500, app 0.2500)"
    assert json.loads(json.dumps(prediction.to_dict())) == {
        "label": "late",
        "score": 0.75,
        "labels": ["late"],
        "top": [{"label": "late", "score": 0.75}, {"label": "app", "score": 0.25}],
        "truncated": True,
        "backend": "native",
    }


def test_a_data_set_counts_labels_and_holds_no_texts() -> None:
    rows = [("the parcel", "late"), ("the film", "good"), ("the box", "late")]
    dataset = liteft.load_dataset({"train": rows, "test": [*rows[:1], ("else", "new")]}, validation_fraction=0)
    found = json.loads(json.dumps(dataset.to_dict()))
    assert found["splits"] == {
        "train": {"rows": 3, "labels": {"good": 1, "late": 2}, "unseen": {}},
        "test": {"rows": 2, "labels": {"good": 0, "late": 1}, "unseen": {"new": 1}},
    }
    assert "parcel" not in str(dataset) + json.dumps(found)
    assert "late            2     1" in str(dataset) and len(repr(dataset).splitlines()) == 1


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
