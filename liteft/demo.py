"""The demo: teacher, student, control, artifact and comparison on a small bundled data set, in minutes on two cores.

The data are 1,268 support requests to a fictional electronics shop, with 6 intents and the noise of real texts. The
base is all-MiniLM-L6-v2, from the extra ``demo``. The demo calls ``liteft.distill`` as any user would; only the recipe
below is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from liteft.config import make_recipe
from liteft.distilled import Distillation
from liteft.errors import MissingExtraError
from liteft.pipeline import distill
from liteft.recipes import Recipe
from liteft.report import Comparison, compare, draw
from liteft.results import Result
from liteft.runtime import Prediction, load

__all__ = ["Demo", "demo_recipe", "run_demo"]

_TEXTS = (
    "the courier says delivered but nothing is here, order 4471",
    "why was my card charged twice this month??",
    "does the small vacuum fit under a sofa that is 9 cm off the floor",
    "app crashes every time i pair the lamp",
)
NEXT_COMMAND = "liteft distill --data YOUR_FOLDER --text COLUMN --label COLUMN --teacher minilm --size 3x384 --out RUNS"


def demo_recipe() -> Recipe:
    """Return the demo's recipe: a teacher of 6 layers, a student of 3 and its control, int8."""
    corpus = resources.files("liteft.data") / "corpus"
    return make_recipe(
        {
            "data": {"source": str(corpus)},
            "teacher": {"epochs": 6, "learning_rate": 1e-4, "evaluations_per_epoch": 1},
            "student": {"size": "3x384", "epochs": 10, "learning_rate": 2e-4, "control": True},
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
    """

    outcome: Distillation
    comparison: Comparison
    predictions: tuple[tuple[str, Prediction], ...]
    picture: Path | None

    def render(self) -> str:
        """Return the predictions, the comparison and the next command as text."""
        lines = ["predictions of the int8 artifact:"]
        lines += [f"  {found.label:<16} {found.score:.2f}  {text}" for text, found in self.predictions]
        lines += ["", self.comparison.render()]
        if self.picture is not None:
            lines += ["", f"picture: {self.picture}"]
        lines += ["", f"on your own data: {NEXT_COMMAND}"]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return comparison, predictions, picture and next command as plain data, ready for JSON."""
        return {
            "comparison": self.comparison.to_dict(),
            "predictions": [
                {"text": text, "label": found.label, "score": found.score} for text, found in self.predictions
            ],
            "picture": None if self.picture is None else str(self.picture),
            "next_command": NEXT_COMMAND,
        }


def run_demo(out: Path, *, overwrite: bool = False, progress: Callable[[str], None] | None = None) -> Demo:
    """Train, distil, export, verify, predict and compare; repeating the call resumes where it stopped.

    Args:
        out: folder for all runs and the artifact.
        overwrite: replace an artifact of another form or of another student.
        progress: called with a line of text at each step.

    Raises:
        ModelError: the extra ``demo`` is not installed.
        RunError: the folder contains something else, or cannot be written.
        VerificationError: the export does not agree with the student.
    """
    outcome = distill("minilm", out=out, recipe=demo_recipe(), overwrite=overwrite, progress=progress)
    artifact = out / "artifact"
    with load(artifact) as classifier:
        predictions = tuple(zip(_TEXTS, classifier.predict(_TEXTS), strict=True))
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
    return Demo(outcome, comparison, predictions, _picture(comparison, out / "comparison.png"))


def _picture(comparison: Comparison, path: Path) -> Path | None:
    """Draw the comparison and return the file; None without matplotlib."""
    try:
        return draw(comparison, path)
    except MissingExtraError:
        return None
