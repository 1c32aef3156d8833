"""What a folder that was named as a model contains: a configuration, runs, or nothing usable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liteft import files
from liteft.errors import ModelError, spelling
from liteft.foreign.weights import adapter_alone

__all__ = [
    "MANIFEST",
    "RUN_FILE",
    "finished_runs",
    "likely_run",
    "no_model",
    "pipelines_in",
    "read_config_json",
    "run_of",
]

RUN_FILE = "run.json"
"""In the folder of every finished run."""
MANIFEST = "manifest.json"
"""In the folder of every artifact."""
_FOLDERS = {
    "a run": f"holds {RUN_FILE}, and the model in model/",
    "an artifact": f"holds {MANIFEST}",
    "a model folder": "holds config.json, model.safetensors and tokenizer.json",
}


def finished_runs(folder: Path) -> list[Path]:
    """Return the finished runs directly below a folder."""
    return sorted(found.parent for found in folder.glob(f"*/{RUN_FILE}"))


def pipelines_in(folder: Path) -> list[Path]:
    """Return the folders directly below a folder that hold finished runs, such as those that a pipeline wrote."""
    return sorted({found.parent.parent for found in folder.glob(f"*/*/{RUN_FILE}")})


def run_of(model: Path) -> Path | None:
    """Return the run that a model folder lies in, or None if it lies in none."""
    above = model.parent
    return above if model.name == "model" and (above / RUN_FILE).is_file() else None


def likely_run(runs: Sequence[Path]) -> Path:
    """Return the run that is most likely meant: for a whole pipeline, its student."""
    return next((run for run in runs if run.name == "student"), runs[-1])


def no_model(folder: Path) -> ModelError:
    """Return the error for a folder that contains neither a run nor a model nor an artifact."""
    if (folder / "adapter_config.json").is_file():
        return adapter_alone(folder)
    if not folder.is_dir():
        whole = folder.is_file() and any((folder.parent / name).is_file() for name in ("config.json", MANIFEST))
        return ModelError(
            f"{folder} is {'a file' if folder.exists() else 'not a folder'}.",
            accepted=_FOLDERS,
            fix=f"give the folder: {folder.parent}" if whole else spelling(folder),
        )
    if runs := finished_runs(folder):
        return ModelError(
            f"{folder} contains runs, but is not a model itself.",
            accepted={"runs in it": ", ".join(run.name for run in runs)},
            fix=f"name the model of one of them, as {likely_run(runs) / 'model'}",
        )
    if below := pipelines_in(folder):
        return ModelError(
            f"{folder} is not a model folder, but contains folders with runs.",
            accepted={"folders in it": ", ".join(each.name for each in below)},
            fix=f"give one of them, such as {below[-1]}",
        )
    return ModelError(
        f"{folder} is not a model folder: it has no config.json.",
        accepted=_FOLDERS,
        fix="give a folder written by save_pretrained, liteft finetune or liteft distill",
    )


def read_config_json(folder: Path) -> dict[str, Any]:
    """Return the content of a model folder's config.json.

    Raises:
        ModelError: there is none (the message says what the folder seems to contain instead), or it is not a JSON
            object.
    """
    try:
        content = files.read_json(folder / "config.json")
    except FileNotFoundError:
        raise no_model(folder) from None
    except (OSError, ValueError) as error:
        raise _unusable_config(folder, f"it cannot be parsed: {error}") from None
    if not isinstance(content, dict):
        raise _unusable_config(folder, "it is not a JSON object")
    return content


def _unusable_config(folder: Path, reason: str) -> ModelError:
    return ModelError(f"{folder / 'config.json'} cannot be used: {reason}.", fix="copy the whole folder again")
