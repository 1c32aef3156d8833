"""What the commands of docs/quickstart.md printed and how long they took, from bench/results/quickstart.json."""

from __future__ import annotations

from typing import Any

from readme_quality import result

from liteft.text_tables import markdown

__all__ = ["advise", "check", "compare", "predict", "serve", "times"]

# How the steps are named in the table of times, and a phrase of their blocks.
STEPS = {
    "install into a new environment": "pip install",
    "check": "liteft check",
    "advise": "liteft advise",
    "distill: teacher, student, artifact": "liteft distill",
    "compare": "liteft compare",
    "predict: one text and a file": "liteft predict",
    "predict in Python": "liteft.load",
    "serve: until it is ready": "liteft serve",
    "one request": "curl",
}


def check() -> str:
    """Return the data check."""
    return _fenced(_output("liteft check"))


def advise() -> str:
    """Return the advice, without the tables above it."""
    output = _output("liteft advise")
    return _fenced(output[output.index("advice:") :])


def compare() -> str:
    """Return the comparison."""
    return _fenced(_output("liteft compare"))


def predict() -> str:
    """Return what was predicted for the text."""
    return _fenced(_output("liteft predict"))


def serve() -> str:
    """Return the server's answer."""
    return _fenced(_output("curl"), language="json")


def times() -> str:
    """Return the seconds of each step and the minutes of all."""
    content = result("quickstart")
    rows = [("step", "seconds")]
    rows += [(name, _seconds(_step(phrase)["seconds"])) for name, phrase in STEPS.items()]
    machine = content["machine"]
    return (
        f"{markdown(rows, texts=1)}\n\nAll blocks of this page together: {content['minutes']:.1f} minutes on "
        f"{machine['cores']} cores of an {machine['processor']}, with the support requests as data, torch's CPU build "
        f"and what pip had downloaded before (`{content['command']}`). {_busy(machine)}"
    ).rstrip()


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _busy(machine: dict[str, Any]) -> str:
    """Return a sentence if other processes ran beside."""
    return "The machine was busy with other work meanwhile." if round(machine["load"]) > 1 else ""


def _output(phrase: str) -> str:
    return str(_step(phrase)["output"]).strip()


def _step(phrase: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in result("quickstart")["steps"] if phrase in step["block"])
    return found


def _fenced(output: str, language: str = "text") -> str:
    return f"```{language}\n{output}\n```"
