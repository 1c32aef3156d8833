"""From a path, a folder, a hub name or objects in memory to tables by split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liteft.data.conll import looks_like_conll
from liteft.data.dataset import MAIN_SPLITS, canonical_split
from liteft.data.folders import split_files
from liteft.data.formats import FORMATS, exists, known_suffix
from liteft.data.hub import hub_dataset, is_hub_name
from liteft.data.in_memory import memory_table
from liteft.data.jsonlines import read_json_document
from liteft.data.label_folders import label_folders
from liteft.data.rows import RowFile, open_conll, open_rows
from liteft.data.tables import Source, Table
from liteft.errors import DataError, Hint, spelling

__all__ = ["existing_path", "open_source"]

_PLACES = {
    "data": "a file, a folder of train, dev and test files, or a hub name (owner/name)",
    "texts without labels": "a file, a folder of files, or a hub name (owner/name)",
}


def open_source(source: Any, *, encoding: str | None = None, delimiter: str | None = None) -> Source:
    """Open any source that ``load_dataset`` accepts.

    Raises:
        DataError: there is no file, folder or hub data set of that name, or nothing in it can be read.
        MissingExtraError: reading it needs a package that is not installed.
    """
    if isinstance(source, str | Path):
        path = existing_path(source)
        if path is None:
            return _from_splits(hub_dataset(str(source)), str(source), encoding, delimiter)
        if path.is_dir():
            labelled = label_folders(path, encoding)
            return _from_folder(path, encoding, delimiter) if labelled is None else labelled
        return _from_file(path, encoding, delimiter)
    if isinstance(source, Mapping) and any(canonical_split(str(name)) == "train" for name in source):
        return _from_splits(source, "data", encoding, delimiter)
    return Source("data", {"train": [memory_table(source, "data")]})


def existing_path(source: str | Path, *, what: str = "data") -> Path | None:
    """Return the path if it exists; None if the string may be the name of a hub data set.

    Args:
        source: a path or a name.
        what: it is to be, for the message.

    Raises:
        DataError: it is neither; the message suggests the closest existing name.
    """
    path = Path(source).expanduser()
    if str(source).strip() and exists(path):
        return path
    if isinstance(source, str) and known_suffix(path) is None and is_hub_name(source):
        return None
    raise DataError(
        f"there is no file or folder {str(source)[:200]}.",
        accepted={what: _PLACES[what]},
        fix=spelling(path),
    )


def _from_file(path: Path, encoding: str | None, delimiter: str | None) -> Source:
    if known_suffix(path) == ".json":
        document = read_json_document(path, encoding=encoding)
        if isinstance(document, dict) and any(canonical_split(name) == "train" for name in document):
            source = _from_splits(document, str(path), encoding, delimiter)
            return Source(path.stem, source.splits, source.notes)
    conll = _is_conll(path, encoding)
    if known_suffix(path) == ".txt" and not conll:
        raise DataError(
            f"{path} is plain text, without labels.",
            accepted={
                "labelled": ", ".join(suffix for suffix in FORMATS if suffix != ".txt") + ", one folder per label"
            },
            fix=Hint(f'unlabeled="{path}" in distill(), to distil with it', f"--unlabeled {path}, to distil with it"),
        )
    file = open_conll(path, encoding=encoding) if conll else open_rows(path, encoding=encoding, delimiter=delimiter)
    return Source(path.stem, {"train": [file]}, _notes(file))


def _from_folder(folder: Path, encoding: str | None, delimiter: str | None) -> Source:
    paths, notes = split_files(folder)
    splits: dict[str, list[Table]] = {}
    for name, parts in paths.items():
        try:
            files = [_opened(path, encoding, delimiter) for path in parts]
        except DataError as error:
            # labels.json beside the data is neither data nor an error; a malformed csv or jsonl file is an error.
            if name in MAIN_SPLITS or parts[0].suffix.casefold() != ".json":
                raise
            notes.append(f"{parts[0].name} left out: {error.message}")
            continue
        splits[name] = list(files)
        notes += [note for file in files for note in _notes(file)]
    return Source(folder.resolve().name, splits, tuple(notes))


def _from_splits(content: Mapping[Any, Any], name: str, encoding: str | None, delimiter: str | None) -> Source:
    splits: dict[str, list[Table]] = {}
    notes: list[str] = []
    for key, value in content.items():
        split = canonical_split(str(key))
        if split in splits:
            raise DataError(
                f"{name} has two splits {split!r}.",
                accepted={"splits": ", ".join(map(str, content))},
                fix="give each split once; val and dev are other names of validation",
            )
        if isinstance(value, str | Path):
            file = _opened(Path(value), encoding, delimiter)
            notes += _notes(file)
            splits[split] = [file]
        else:
            splits[split] = [memory_table(value, f"{name}[{str(key)!r}]")]
    if "train" not in splits:
        raise DataError(
            f"{name} has no training split.",
            accepted={"splits": ", ".join(splits) or "none"},
            fix="name one of the splits train",
        )
    order = sorted(splits, key=lambda split: MAIN_SPLITS.index(split) if split in MAIN_SPLITS else 3)
    return Source(name, {split: splits[split] for split in order}, tuple(notes))


def _opened(path: Path, encoding: str | None, delimiter: str | None) -> RowFile:
    if _is_conll(path, encoding):
        return open_conll(path, encoding=encoding)
    return open_rows(path, encoding=encoding, delimiter=delimiter)


def _is_conll(path: Path, encoding: str | None) -> bool:
    """Return whether a file has a word with tags per line, though its suffix does not say so."""
    return exists(path) and known_suffix(path) in (".txt", ".tsv", ".tab") and looks_like_conll(path, encoding=encoding)


def _notes(file: RowFile) -> tuple[str, ...]:
    return tuple(f"{file.path.name}: {remark}" for remark in file.remarks)
