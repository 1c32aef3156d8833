"""Checkpoints that are either complete or ignored.

Trainer writes a checkpoint file by file, so a kill can leave half of one, and its own search would resume from it.
Here a checkpoint counts only once it contains a marker, which is written last; checkpoints without one are removed
before a run resumes.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from liteft import files

__all__ = [
    "DONE",
    "STATE",
    "can_go_on",
    "checkpoints_folder",
    "discard",
    "mark_complete",
    "prepare_resume",
    "remove_all_checkpoints",
    "remove_checkpoints",
    "remove_superseded",
]

MARKER = "complete"
DONE = "done.json"
STATE = "trainer_state.json"


def checkpoints_folder(out: Path) -> Path:
    """Return where an unfinished run keeps its checkpoints."""
    return out / "checkpoints"


def remove_all_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a run, and all that lies beside them."""
    shutil.rmtree(checkpoints_folder(out), ignore_errors=True)


def mark_complete(checkpoint: Path) -> None:
    """Flush a checkpoint's files to the disk, then write the marker."""
    files.settle(checkpoint)
    files.write_text(checkpoint / MARKER, "every file of this checkpoint is written\n")


def can_go_on(folder: Path) -> bool:
    """Say whether a run can resume from this folder.

    It can with a complete checkpoint in the folder or a subfolder (a stage, a learning rate), or with the final result
    of such a subfolder, whose checkpoints are gone by then.
    """
    return any(folder.rglob(f"checkpoint-*/{MARKER}")) or any(folder.rglob(DONE))


def discard(checkpoint: Path) -> None:
    """Remove a checkpoint unless it is complete."""
    if not (checkpoint / MARKER).is_file():
        shutil.rmtree(checkpoint, ignore_errors=True)


def remove_superseded(checkpoint: Path, *, best: int | None) -> None:
    """Remove all checkpoints except a complete one and the best.

    Called after the marker is written, so that there is always a complete checkpoint.

    Args:
        checkpoint: the newest one.
        best: step of the checkpoint whose weights are the best so far, or None.
    """
    remove_checkpoints(checkpoint.parent, keep=(checkpoint.name, f"checkpoint-{best}"))


def remove_checkpoints(folder: Path, *, keep: Collection[str] = ()) -> None:
    """Remove the checkpoints in a folder, except those named."""
    for path in folder.glob("checkpoint-*"):
        if path.name not in keep:
            # The marker goes first: a kill in between leaves nothing that looks complete.
            (path / MARKER).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)


def prepare_resume(folder: Path) -> Path | None:
    """Remove checkpoints that a kill left incomplete; return the newest complete one, or None.

    The path of the best checkpoint inside its state is rewritten, so a run folder may be moved between runs.
    """
    if not folder.is_dir():
        return None
    complete: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        if step.isdigit() and (path / MARKER).is_file():
            complete.append((int(step), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    if not complete:
        return None
    newest = max(complete)[1]
    state = files.read_json(newest / STATE)
    if state.get("best_global_step"):
        best = folder / f"checkpoint-{state['best_global_step']}"
        if state.get("best_model_checkpoint") != str(best):
            state["best_model_checkpoint"] = str(best)
            files.write_json(newest / STATE, state)
    return newest
