"""What every result has: text for people, plain data for programs, and a form for notebooks."""

from __future__ import annotations

import html
from typing import Any

__all__ = ["Result"]


class Result:
    """A result of LiteFT: ``print`` and notebooks show its text, ``to_dict`` is what ``--json`` prints."""

    __slots__ = ()

    def render(self) -> str:
        """Return the result as text for a terminal, without a newline at the end."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain dicts, lists, numbers and strings, ready for JSON."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.render()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.render())}</pre>"
