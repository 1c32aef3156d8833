"""Which folder is meant: an artifact, a run, or the folder of a whole pipeline, which contains both."""

from __future__ import annotations

from pathlib import Path

from liteft.artifact.manifest import MANIFEST
from liteft.errors import ModelError, RunError, option
from liteft.foreign.folders import RUN_FILE, finished_runs

__all__ = ["find_artifact", "refuse_artifact", "require_pipeline_folder"]


def find_artifact(path: str | Path) -> Path:
    """Return the folder of the artifact that a path means.

    That is the path itself; or ``artifact`` in it, if a pipeline left one there and the path is neither an artifact
    nor a run.
    """
    path = Path(path)
    inner = path / "artifact"
    try:
        whole = not (path / MANIFEST).is_file() and not (path / RUN_FILE).is_file() and (inner / MANIFEST).is_file()
    except OSError:  # a name that is too long
        return path
    return inner if whole else path


def refuse_artifact(path: str | Path) -> None:
    """Refuse an artifact, or the folder of a whole pipeline, where a model is wanted.

    Raises:
        ModelError: the path is one of these; the message names the runs in it.
    """
    path = Path(path)
    if not (find_artifact(path) / MANIFEST).is_file():
        return
    runs = [run.name for run in finished_runs(path)]
    if (path / MANIFEST).is_file():
        raise ModelError(
            f"{path} is an artifact, which has been exported already.",
            fix=["give the run or model folder that it was made from", f"liteft predict {path} 'a text'"],
        )
    raise ModelError(
        f"{path} contains an artifact and the runs that it was made from, but is not a model itself.",
        accepted={"runs in it": ", ".join(runs) or "none"},
        fix=[f"liteft export {path / run} --out FOLDER" for run in runs if run == "student"] or "name a run's folder",
    )


def require_pipeline_folder(out: Path) -> None:
    """Refuse a file, a run or an artifact as the folder of a whole pipeline, which makes runs and artifacts in it.

    Raises:
        RunError: it is one of these.
    """
    kinds = {out.is_file(): "a file", (out / RUN_FILE).is_file(): "a run", (out / MANIFEST).is_file(): "an artifact"}
    if True in kinds:
        raise RunError(
            f"{out} is {kinds[True]}, but runs and artifacts are to be made in it.",
            accepted={"out": "a new folder, or that of an earlier call"},
            fix=option("out", "NEW_FOLDER"),
        )
