"""``liteft export ARTIFACT --target triton``: a model repository of a finished artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liteft.cli.settings import data_of_models
from liteft.errors import ConfigError, leave_out

if TYPE_CHECKING:
    from liteft.cli.console import Console
    from liteft.recipes import Recipe

__all__ = ["is_artifact", "refuse_settings", "write_repository"]


def is_artifact(source: str) -> bool:
    """Return whether a path is an artifact, or the folder of a pipeline that left one there."""
    from liteft.artifact import MANIFEST, find_artifact

    return (find_artifact(source) / MANIFEST).is_file()


def refuse_settings(given: Mapping[str, Any]) -> None:
    """Refuse flags that would change a finished artifact.

    Args:
        given: flags by name; None was not given.

    Raises:
        ConfigError: one was given; the message names it.
    """
    for name, value in given.items():
        if value is not None and name != "target":
            raise ConfigError(
                f"{name} was given, and a finished artifact is served as it is.",
                accepted={"for an artifact": "--target triton, --name, --data, --unlabeled, --split, --threads"},
                fix=leave_out(name),
            )


def write_repository(
    source: str,
    out: str,
    recipe: Recipe,
    unlabeled: str | None,
    *,
    split: str,
    threads: int | None,
    name: str | None,
    console: Console,
) -> None:
    """Write the repository of an artifact, verified on texts of the data or on unlabelled ones, and print it.

    Args:
        source: the artifact.
        out: the repository's folder.
        recipe: what the flags say of the data.
        unlabeled: texts to verify on, where there is no data.
        split: of the data.
        threads: of the verification.
        name: of the model; None for its data's or its folder's.
        console: prints.
    """
    import liteft
    from liteft.data.unlabeled import load_beside
    from liteft.report.gold import find_gold
    from liteft.report.subjects import find_subjects

    path = console.artifact_of(source)
    on, how = data_of_models(recipe, [path])
    subjects = find_subjects([path])
    if on is None and unlabeled is not None:
        verify = load_beside(unlabeled, recipe.data, subjects[0].task)
    else:
        verify = find_gold(on, subjects, split=split, settings=how).split
    made = liteft.export_triton(Path(path), out, verify=verify, name=name, threads=threads, progress=console.progress)
    console.result(made.render(), made.to_dict(), following=("liteft", "doctor", "--triton", str(made.path)))
