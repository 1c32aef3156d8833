"""Folders of sentence-transformers: an encoder, and JSON files that state how its token vectors are pooled.

Read from modules.json and 1_Pooling/config.json. The encoder's files are in the folder itself, or, as until 2021, in
0_Transformer/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from liteft import files
from liteft.errors import ModelError, option

__all__ = ["default_prompt", "encoder_folder", "lowers_case", "normalizes", "read_pooling", "stated_length"]

_OLD = "0_Transformer"
_IGNORED = {"Transformer", "Pooling", "Normalize", "Dropout"}  # a new head learns its own scale
_MODES = {"cls_token": "cls", "cls": "cls", "mean_tokens": "mean", "mean": "mean"}


def encoder_folder(folder: Path) -> Path:
    """Return the folder with the encoder's files: ``folder``, or the subfolder that the package made for them."""
    if (folder / "config.json").is_file():
        return folder
    named = [entry.get("path") for entry in _modules(folder) if _kind(entry) == "Transformer"]
    for name in (*named, _OLD):
        inner = folder / str(name)
        if name and inner.parent == folder and (inner / "config.json").is_file():
            return inner
    return folder


def read_pooling(folder: Path) -> Literal["cls", "mean"] | None:
    """Return how a sentence-transformers folder pools; None if it is not one, or does not say.

    Args:
        folder: as `encoder_folder` returns it.

    Raises:
        ModelError: it pools in a way that LiteFT does not have, or has layers after the pooling.
    """
    whole = folder
    if not (folder / "1_Pooling").is_dir() and not (folder / "modules.json").is_file():
        if not (folder.parent / "modules.json").is_file() or encoder_folder(folder.parent) != folder:
            return None
        whole = folder.parent
    more = sorted({_kind(entry) for entry in _modules(whole)} - _IGNORED)
    if more:
        raise _other(whole, f"has layers that LiteFT does not have: {', '.join(more)}")
    places = [str(entry.get("path")) for entry in _modules(whole) if _kind(entry) == "Pooling"]
    path = whole / (places[0] if places else "1_Pooling") / "config.json"
    if not path.is_file():
        return None
    modes = _pooling_modes(path)
    if len(modes) != 1 or modes[0] not in _MODES:
        raise _other(whole, f"pools by {' and '.join(modes) or 'a method that its configuration does not name'}")
    return "cls" if _MODES[modes[0]] == "cls" else "mean"


def stated_length(folder: Path) -> int | None:
    """Return the number of tokens to which sentence-transformers truncates texts; None if the folder does not say."""
    stated = _settings(folder).get("max_seq_length")
    return stated if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0 else None


def lowers_case(folder: Path) -> bool:
    """Return whether sentence-transformers lowercases texts before the tokenizer reads them."""
    return _settings(folder).get("do_lower_case") is True


def normalizes(folder: Path) -> bool:
    """Return whether sentence-transformers divides each embedding by its length after the pooling."""
    return any(_kind(entry) == "Normalize" for entry in _modules(folder))


def default_prompt(folder: Path) -> str:
    """Return what sentence-transformers puts before every text that it is not told otherwise; "" for nothing."""
    path = folder / "config_sentence_transformers.json"
    content = _read(path) if path.is_file() else {}
    prompts = content.get("prompts") if isinstance(content, dict) else None
    found = prompts.get(content.get("default_prompt_name")) if isinstance(prompts, dict) else None
    return found if isinstance(found, str) else ""


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "sentence_bert_config.json"
    content = _read(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _other(folder: Path, what: str) -> ModelError:
    note = ", if a pooling that it was not trained with will do"
    return ModelError(
        f"{folder} {what}.",
        accepted={"pooling": "cls or mean, with a head on top"},
        fix=[option("pooling", "mean", note=note), "another base"],
    )


def _pooling_modes(path: Path) -> list[str]:
    content = _read(path)
    if not isinstance(content, dict):
        return []
    named = content.get("pooling_mode")
    if named is not None:
        return [str(name) for name in (named if isinstance(named, list) else [named])]
    mark = "pooling_mode_"
    return [name.removeprefix(mark) for name, on in content.items() if name.startswith(mark) and on]


def _modules(folder: Path) -> list[dict[str, Any]]:
    path = folder / "modules.json"
    content = _read(path) if path.is_file() else []
    return [entry for entry in content if isinstance(entry, dict)] if isinstance(content, list) else []


def _kind(entry: dict[str, Any]) -> str:
    return str(entry.get("type")).rsplit(".", 1)[-1]


def _read(path: Path) -> Any:
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", fix="copy the whole folder again") from None
