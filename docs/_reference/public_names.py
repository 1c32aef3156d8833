"""Directives for mkdocstrings: every public name of ``liteft``, grouped by what it is for."""

from __future__ import annotations

import liteft

__all__ = ["grouped", "public_names"]

_GROUPS = {
    "Data": ("data", "advising", "picking", "floors"),
    "Training": ("pipeline", "finetuning", "pretraining", "frontier", "distilled", "run", "recipes", "config"),
    "Artifacts": ("exporting", "form", "artifact", "inspection", "report", "triton.repository", "triton.checking"),
    "Running": ("runtime", "encoded", "torch_module", "bulk", "serving"),
}
_OTHERS = "Everything else"


def grouped() -> dict[str, list[str]]:
    """Return the public names by group, verbs before classes."""
    found: dict[str, list[str]] = {title: [] for title in [*_GROUPS, _OTHERS]}
    homes = {home: title for title, names in _GROUPS.items() for home in names}
    for name, home in liteft._HOMES.items():
        found[homes.get(home, _OTHERS)].append(name)
    return {title: sorted(names, key=lambda name: (not name[0].islower(), name)) for title, names in found.items()}


def public_names() -> str:
    """Return a section for each group, with a directive for each name."""
    return "\n\n".join(
        f"## {title}\n\n" + "\n\n".join(f"::: liteft.{name}" for name in names)
        for title, names in grouped().items()
        if names
    )
