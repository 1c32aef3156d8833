"""Parts of a repository that both kinds have: model.py, names of labels, data of a first request, an artifact."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from liteft.artifact import MANIFEST, Artifact
from liteft.triton.config import WARMUP
from liteft.triton.tensors import LABELS_FILE, Tensor

__all__ = ["FOLDER", "WARMUP_TEXT", "copy_artifact", "write_labels", "write_model", "write_warmup"]

FOLDER = "triton"
"""Where an artifact has its repository, if it was exported with this target."""
WARMUP_TEXT = "a text to begin with"
_WARMUP_VALUES = {"TYPE_STRING": WARMUP_TEXT.encode(), "TYPE_INT32": bytes(4)}
_MODEL = '''"""{what}

Written by liteft {version}, whose runtime has to be installed in the Python that Triton runs.
"""

from pathlib import Path

from liteft.triton.{module} import {base}


class TritonPythonModel({base}):
    """What Triton calls; liteft.triton.{module} has the methods."""

    folder = Path(__file__).resolve().parent
'''


def copy_artifact(artifact: Artifact, folder: Path) -> None:
    """Copy an artifact without the repository that it may hold; its manifest then lists what was copied."""
    folder.mkdir(parents=True)
    kept = {name: entry for name, entry in artifact.manifest.files.items() if not name.startswith(f"{FOLDER}/")}
    for name in kept:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.path / name, folder / name)
    form = artifact.manifest.form
    form = replace(form, target=None) if form.target == "triton" else form
    manifest = artifact.manifest.model_copy(update={"files": kept, "form": form})
    content = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")


def write_model(folder: Path, *, what: str, module: str, base: str) -> None:
    """Write model.py, which names the class that liteft has for it."""
    text = _MODEL.format(what=what, version=metadata.version("liteft"), module=module, base=base)
    (folder / "model.py").write_text(text, encoding="utf-8")


def write_labels(folder: Path, labels: tuple[str, ...]) -> None:
    """Write the label file, one name in a line: line breaks in names become spaces."""
    lines = (" ".join(label.splitlines()) for label in labels)
    (folder / LABELS_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_warmup(folder: Path, tensors: tuple[Tensor, ...]) -> None:
    """Write the data of a first request: strings have their length before them, as Triton stores them."""
    (folder / WARMUP).mkdir()
    for tensor in tensors:
        value = _WARMUP_VALUES[tensor.data_type]
        stored = len(value).to_bytes(4, "little") + value if tensor.data_type == "TYPE_STRING" else value
        (folder / WARMUP / tensor.name).write_bytes(stored)
