"""A finished training run on disk: what it was, how good it is, and where its model lies.

A run folder holds

    recipe.toml             every setting, resolved
    run.json                what came out: metrics of every split, sizes, versions
    data_check.json         what the data check found
    log.jsonl               loss, rate and validation metric over the steps
    model/                  the classifier as transformers writes it
    predictions/SPLIT.npz   logits (texts, labels) float32 and the gold labels
    checkpoints/            only while the run is unfinished

This module reads it. Training writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np

from liteft import files
from liteft.errors import RunError
from liteft.metrics import Task

__all__ = ["RUN_FORMAT", "Run", "read_run"]

RUN_FORMAT = 1
RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: a teacher, a student or a control."""

    path: Path
    info: dict[str, Any]

    @property
    def kind(self) -> str:
        """One of teacher, student, control."""
        return str(self.info["kind"])

    @property
    def model_path(self) -> Path:
        """Folder of the trained classifier."""
        return self.path / "model"

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of the logits."""
        return tuple(self.info["labels"])

    @property
    def task(self) -> Task:
        """Either single_label or multi_label."""
        return cast(Task, self.info["task"])

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Metrics by split name."""
        return cast("dict[str, dict[str, Any]]", self.info["metrics"])

    def predictions(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (texts, labels) float32 and gold labels of a split, in the data set's order.

        Gold labels are int64 (texts,) with -1 where training lacked the label, or bool (texts, labels).

        Raises:
            RunError: the run has no predictions for that split.
        """
        stored = self._stored(split, "logits", "labels")
        return stored["logits"], stored["labels"]

    def foreign(self, split: str) -> np.ndarray | None:
        """Return which texts carry a label that training lacked, bool (texts,), or None where none does.

        A multi-label row does not show it otherwise. Raises RunError like `predictions`.
        """
        return self._stored(split, "logits").get("foreign")

    def _stored(self, split: str, *needed: str) -> dict[str, np.ndarray]:
        path = self.path / "predictions" / f"{split}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in dict.fromkeys((*needed, *stored.files))}
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            known = sorted(file.stem for file in path.parent.glob("*.npz"))
            raise RunError(
                f"{self.path} has no readable predictions for split {split!r}.",
                accepted={"splits": ", ".join(known) or "none"},
            ) from error


def read_run(path: str | Path) -> Run:
    """Return the finished run in a folder.

    Raises:
        RunError: the folder holds no run, an unfinished one, or one of a later format.
    """
    path = Path(path)
    try:
        info = files.read_json(path / RUN_FILE)
    except FileNotFoundError:
        unfinished = (path / "recipe.toml").is_file()
        raise RunError(
            f"{path} holds {'an unfinished run' if unfinished else 'no run'}: there is no {RUN_FILE}.",
            fix="run the same command again: it goes on" if unfinished else "liteft finetune or liteft distill",
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path / RUN_FILE} cannot be read: {error}.") from error
    if not isinstance(info, dict) or info.get("format") != RUN_FORMAT:
        found = info.get("format") if isinstance(info, dict) else None
        raise RunError(
            f"{path} has run format {found!r}.",
            accepted={"formats that this version reads": RUN_FORMAT},
            fix="install a newer liteft, or train again",
        )
    return Run(path, info)
