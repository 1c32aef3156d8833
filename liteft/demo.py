"""The demo: teacher, student, control, artifact and comparison on a small bundled data set, in minutes on two cores.

There are two sets: 1,268 support requests to a fictional electronics shop, with 6 intents (``single_label``), and 1,208
messages to a service that books and delivers, with spans of 9 types (``tokens``). The base is all-MiniLM-L6-v2, from
the extra ``demo``. The demo calls ``liteft.distill`` as any user would; only the recipes below are its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from liteft.config import make_recipe
from liteft.distilled import Distillation
from liteft.errors import ConfigError, MissingExtraError, option
from liteft.pipeline import distill
from liteft.recipes import Recipe
from liteft.report import Comparison, compare, draw
from liteft.results import Result
from liteft.runtime import Prediction, TaggedText, load
from liteft.tasks import SINGLE_LABEL, TOKENS, Task, task_named

__all__ = ["Demo", "demo_recipe", "run_demo"]


@dataclass(frozen=True)
class _Bundled:
    """A bundled data set, and what the demo does with it.

    Attributes:
        folder: of the data set, in ``liteft/data``.
        shown: texts that are predicted at the end, which no split contains.
        data: keys of the recipe's data table.
        teacher, student: keys of the recipe's tables.
        next_command: how to do the same with other data.
        in_python: lines that predict in Python, with the artifact's folder as {artifact}.
    """

    folder: str
    shown: tuple[str, ...]
    data: dict[str, Any]
    teacher: dict[str, Any]
    student: dict[str, Any]
    next_command: str
    in_python: tuple[str, ...] = ()


_BUNDLED: dict[Task, _Bundled] = {
    SINGLE_LABEL: _Bundled(
        folder="corpus",
        shown=(
            "the courier says delivered but nothing is here, order 4471",
            "why was my card charged twice this month??",
            "does the small vacuum fit under a sofa that is 9 cm off the floor",
            "app crashes every time i pair the lamp",
        ),
        data={},
        teacher={"epochs": 6, "learning_rate": 1e-4, "evaluations_per_epoch": 1},
        student={"size": "3x384", "epochs": 10, "learning_rate": 2e-4, "control": True},
        next_command="liteft distill --data YOUR_FOLDER --text COLUMN --label COLUMN --teacher minilm --size 3x384 "
        "--out RUNS",
    ),
    TOKENS: _Bundled(
        folder="tagged",
        shown=(
            "Olga Brandt from Blue Harbour Hotel expects a parcel in Antwerp on Monday, 5 pm",
            "charge me $18.40 for order KX-2210 and send it to 8 Garden Street",
            "may i move my booking to may 3? mr. may said yes",
            "nobody answers the phone",
        ),
        data={"task": TOKENS.name},
        teacher={"epochs": 8, "learning_rate": 2e-4, "evaluations_per_epoch": 1},
        student={"size": "3x384", "epochs": 10, "learning_rate": 3e-4, "control": True},
        next_command="liteft distill --data YOUR_FOLDER --task tokens --teacher minilm --size 3x384 --out RUNS",
        in_python=(
            "with liteft.load({artifact!r}) as tagger:",
            '    for span in tagger.predict("a parcel for Olga in Antwerp").spans:',
            "        print(span.label, span.text, span.start, span.end)      # in code points: text[start:end]",
        ),
    ),
}


def _bundled(task: str) -> _Bundled:
    """Return the data set of a task. Raises ConfigError if none is bundled."""
    named = task_named(task)
    if named not in _BUNDLED:
        raise ConfigError(
            f"no texts are bundled for the task {named.name}.",
            accepted={"task": ", ".join(_BUNDLED)},
            fix=[option("task", other) for other in _BUNDLED],
        )
    return _BUNDLED[named]


def demo_recipe(task: str = SINGLE_LABEL) -> Recipe:
    """Return the demo's recipe: a teacher of 6 layers, a student of 3 and its control, int8.

    Raises:
        ConfigError: no texts are bundled for the task.
    """
    bundled = _bundled(task)
    return make_recipe(
        {
            "data": {"source": str(resources.files("liteft.data") / bundled.folder), **bundled.data},
            "teacher": bundled.teacher,
            "student": bundled.student,
            "export": {"precision": "int8"},
        },
        origin="the demo",
    )


@dataclass(frozen=True)
class Demo(Result):
    """The result of the demo.

    Attributes:
        outcome: the runs and the artifact.
        comparison: the four models on the test split.
        predictions: some texts, and what the artifact predicts for them.
        picture: PNG file of quality against latency; None without matplotlib.
        next_command: how to do the same with other data.
        in_python: lines that predict in Python; none if there is nothing to say about it.
    """

    outcome: Distillation
    comparison: Comparison
    predictions: tuple[tuple[str, Prediction | TaggedText], ...]
    picture: Path | None
    next_command: str
    in_python: tuple[str, ...] = ()

    def render(self) -> str:
        """Return the predictions, the comparison and the next command as text."""
        lines = ["predictions of the int8 artifact:"]
        for text, found in self.predictions:
            if isinstance(found, TaggedText):
                lines += [f"  {line}" for line in found.render().splitlines()]
            else:
                lines.append(f"  {found.label:<16} {found.score:.2f}  {text}")
        lines += ["", self.comparison.render()]
        if self.picture is not None:
            lines += ["", f"picture: {self.picture}"]
        if self.in_python:
            lines += ["", "in Python:", *(f"  {line}" for line in self.in_python)]
        lines += ["", f"on your own data: {self.next_command}"]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return comparison, predictions, picture and next command as plain data, ready for JSON."""
        return {
            "comparison": self.comparison.to_dict(),
            "predictions": [{"text": text, **_plain(found)} for text, found in self.predictions],
            "picture": None if self.picture is None else str(self.picture),
            "next_command": self.next_command,
        }


def _plain(found: Prediction | TaggedText) -> dict[str, Any]:
    """Return a prediction as plain data, as far as the demo shows it."""
    if isinstance(found, TaggedText):
        return {"spans": found.to_dict()["spans"]}
    return {"label": found.label, "score": found.score}


def run_demo(
    out: Path,
    *,
    task: str = SINGLE_LABEL,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Demo:
    """Train, distil, export, verify, predict and compare; repeating the call resumes where it stopped.

    Args:
        out: folder for all runs and the artifact.
        task: "single_label" or "tokens", which chooses the texts.
        overwrite: replace an artifact of another form or of another student.
        progress: called with a line of text at each step.

    Raises:
        ConfigError: no texts are bundled for the task.
        ModelError: the extra ``demo`` is not installed.
        RunError: the folder contains something else, or cannot be written.
        VerificationError: the export does not agree with the student.
    """
    bundled = _bundled(task)
    outcome = distill("minilm", out=out, recipe=demo_recipe(task), overwrite=overwrite, progress=progress)
    artifact = out / "artifact"
    with load(artifact) as classifier:
        predictions = tuple(zip(bundled.shown, classifier.predict(list(bundled.shown)), strict=True))
    comparison = compare(
        out / "teacher",
        out / "student",
        out / "student-control",
        artifact,
        names=("teacher", "student", "control", "artifact"),
        on=outcome.dataset,
        rounds=2,
        progress=progress,
    )
    return Demo(
        outcome,
        comparison,
        predictions,
        _picture(comparison, out / "comparison.png"),
        next_command=bundled.next_command,
        in_python=tuple(line.format(artifact=str(artifact)) for line in bundled.in_python),
    )


def _picture(comparison: Comparison, path: Path) -> Path | None:
    """Draw the comparison and return the file; None without matplotlib."""
    try:
        return draw(comparison, path)
    except MissingExtraError:
        return None
