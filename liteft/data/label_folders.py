"""One folder per label, one txt file per text: pos/0.txt, neg/0.txt, with or without train and test folders above."""

from __future__ import annotations

from pathlib import Path

from liteft.data.dataset import MAIN_SPLITS, canonical_split
from liteft.data.folders import is_rows
from liteft.data.tables import MemoryTable, Source, Table
from liteft.data.text_files import text_encoding, text_lines

__all__ = ["label_folders"]

_UNLABELLED = ("unsup", "unlabeled", "unlabelled")


def label_folders(folder: Path, encoding: str | None) -> Source | None:
    """Return the texts of a folder with one subfolder per label; None for any other folder.

    Args:
        folder: contains one folder per label, or folders train, dev and test that do.
        encoding: of the files; None for UTF-8 or as the byte-order mark says.

    Raises:
        DataError: a file is not text.
    """
    if any(is_rows(path) and path.is_file() for place in (folder, folder / "data") for path in _entries(place)):
        return None  # folders of txt files beside them are something else
    inner = _folders(folder)
    splits = {canonical_split(path.name): _labels(path) for path in inner}
    splits = {name: labels for name, labels in splits.items() if name in MAIN_SPLITS and labels}
    notes: list[str] = []
    if "train" not in splits:
        splits = {"train": _labels(folder)}
    if len(splits["train"]) < 2:
        return None
    tables: dict[str, list[Table]] = {}
    for name in (name for name in MAIN_SPLITS if name in splits):
        tables[name] = [_table(path, files, encoding) for path, files in splits[name].items()]
    labels = [path.name for path in splits["train"]]
    notes.append(f"a folder for each label: {', '.join(labels[:6])}{', ...' * (len(labels) > 6)}")
    return Source(folder.resolve().name, tables, tuple(notes))


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir() and not path.name.startswith((".", "_"))]


def _entries(folder: Path) -> list[Path]:
    """Return a folder's entries; none if it cannot be read, such as lost+found."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _labels(folder: Path) -> dict[Path, list[Path]]:
    found = {}
    for path in _folders(folder):
        files = [file for file in _entries(path) if file.suffix.casefold() == ".txt" and file.is_file()]
        if files and path.name.casefold() not in _UNLABELLED:
            found[path] = files
    return found


def _table(folder: Path, files: list[Path], encoding: str | None) -> MemoryTable:
    texts = []
    for file in files:
        lines = text_lines(file, encoding=text_encoding(file, encoding), newline=None)
        texts.append("".join(lines).strip())
    return MemoryTable(str(folder), {"text": texts, "label": [folder.name] * len(texts)}, unit="file")
