"""Progress in a notebook: a bar for each training, which moves in place, and plain lines for everything else.

It is drawn as HTML by the display of IPython, which every notebook has; ipywidgets is not needed, and a front end
without HTML shows the line of text. IPython is never imported where it is not loaded already.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import Any

__all__ = ["NotebookProgress", "in_notebook"]

_KERNEL_SHELL = "ZMQInteractiveShell"  # of ipykernel; a terminal's is another


def in_notebook() -> bool:
    """Return whether this code runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and any(kind.__name__ == _KERNEL_SHELL for kind in type(shell).__mro__)


@dataclass(frozen=True, slots=True)
class _Bar:
    """A line of progress with a bar, as IPython displays it."""

    text: str
    step: int
    steps: int

    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, str]:
        bar = f'<progress value="{self.step}" max="{self.steps}" style="width: 14em"></progress>'
        return {"text/plain": self.text, "text/html": f"<div>{bar} <code>{escape(self.text)}</code></div>"}


class NotebookProgress:
    """Shows lines of progress below the cell that runs.

    A line that has the attributes ``training``, ``step`` and ``steps`` moves the bar of that training; others are
    printed.
    """

    def __init__(self) -> None:
        self._shown: dict[str, Any] = {}
        self._last: dict[str, int] = {}

    def __call__(self, line: str) -> None:
        """Show one line."""
        name, step = getattr(line, "training", None), int(getattr(line, "step", 0))
        if name is None:
            print(line, flush=True)
            return
        display: Any = import_module("IPython.display").display
        bar = _Bar(str(line), step, max(1, int(getattr(line, "steps", 1))))
        if step < self._last.get(name, 0):  # another training of the same kind
            del self._shown[name]
        self._last[name] = step
        if name in self._shown:
            self._shown[name].update(bar)
        else:
            self._shown[name] = display(bar, display_id=True)
