"""The result of ``liteft doctor``: findings, each with a status and the commands that repair it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from liteft.results import Result

__all__ = ["Diagnosis", "Finding", "Status"]

Status = Literal["ok", "off", "problem"]
_MARKS: dict[Status, str] = {"ok": "ok", "off": "off", "problem": "PROBLEM"}


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        name: what was checked, in two or three words.
        status: "ok"; "off": cannot be used here, though nothing is broken; "problem": broken.
        detail: what was found, and for "off" and "problem" what follows from it.
        fix: the commands that repair it, in order; empty if nothing needs repair or no command can.
    """

    name: str
    status: Status
    detail: str
    fix: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis(Result):
    """All findings about this machine."""

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings whose status is "problem"."""
        return tuple(finding for finding in self.findings if finding.status == "problem")

    @property
    def exit_status(self) -> int:
        """1 if there is a problem, else 0."""
        return 1 if self.problems else 0

    def render(self, width: int = 100) -> str:
        """Return the findings as text wrapped to ``width`` columns, with the number of problems in the last line."""
        names = max((len(finding.name) for finding in self.findings), default=0)
        lines = [line for finding in self.findings for line in _lines(finding, names, width)]
        off = sum(finding.status == "off" for finding in self.findings)
        problems = len(self.problems)
        counted = f"{problems} problem{'' if problems == 1 else 's'}"
        return "\n".join([*lines, "", f"{counted}, {off} off"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: {"problems": count, "findings": [{name, status, detail, fix}, ...]}."""
        return {
            "problems": len(self.problems),
            "findings": [{**asdict(finding), "fix": list(finding.fix)} for finding in self.findings],
        }

    def __repr__(self) -> str:
        return f"Diagnosis({len(self.findings)} findings, {len(self.problems)} problems)"


def _lines(finding: Finding, names: int, width: int) -> Sequence[str]:
    head = f"{_MARKS[finding.status]:<8}{finding.name:<{names}}  "
    room = max(width - len(head), 30)
    wrapped = textwrap.wrap(finding.detail, room, break_on_hyphens=False, break_long_words=False) or [""]
    lines = [head + wrapped[0], *(" " * len(head) + more for more in wrapped[1:])]
    return [*lines, *(" " * len(head) + f"try: {command}" for command in finding.fix)]
