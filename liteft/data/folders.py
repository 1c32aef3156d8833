"""Which file in a folder is which split.

Files named train, validation (dev, val, valid) and test are those splits, in parts if named like the hub's
(train-00000-of-00003.parquet); any other file with rows is an extra split under its own name. A folder of such a name
is a split too, and all files in it are its parts. A folder with a single file of another name stands for that file.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liteft.data.compressed import inner_name
from liteft.data.conll import looks_like_conll
from liteft.data.dataset import MAIN_SPLITS, canonical_split
from liteft.data.formats import known_suffix
from liteft.errors import DataError, Hint
from liteft.files import os_reason

__all__ = ["NAME_FILES", "data_files", "is_rows", "saved_splits", "split_files", "split_of"]

NAME_FILES = ("label_names", "labels", "classes")
_PART = re.compile(r"[-_.]\d+[-_]of[-_]\d+$")


def split_of(path: Path) -> str:
    """Return the split that a file is named after: "train" for train.csv and train-00000-of-00002.parquet."""
    return canonical_split(_stem(path))


def _stem(path: Path) -> str:
    return _PART.sub("", inner_name(path).stem)


def data_files(folder: Path) -> list[Path]:
    """Return a folder's files with a known suffix, sorted by name; if it has none, those in its ``data/``.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"{folder} cannot be read: {os_reason(error)}.", fix="check that you may list the folder"
        ) from None
    files = [path for path in entries if _is_data(path) and not path.name.startswith((".", "_")) and path.is_file()]
    nested = folder / "data"
    return data_files(nested) if not files and nested.is_dir() else files


def split_files(folder: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the files by split name, train first, and notes on files left out.

    Raises:
        DataError: there is no data file or no training split, or there are two candidates for one split.
    """
    saved = saved_splits(folder)
    if saved is not None:
        return saved, ["saved by datasets' save_to_disk"]
    found: defaultdict[str, list[Path]] = defaultdict(list)
    notes: list[str] = []
    for path in _row_files(folder, notes):
        found[split_of(path)].append(path)
    folders = _split_folders(folder, notes)
    for name, parts in folders.items():
        found[name] += parts
        if len(parts) > 1:
            notes.append(f"{name} is all files in {parts[0].parent.name}/: {', '.join(path.name for path in parts)}")
    if not found:
        raise DataError(
            f"{folder} holds no data file.",
            accepted={
                "files": "train, dev (or validation) and test, each csv, tsv, jsonl, json, parquet or arrow",
                "folders": "one folder of txt files for each label",
            },
            fix=_where_else(folder),
        )
    for name, paths in found.items():
        if len(paths) > 1 and paths != folders.get(name) and not all(_is_part(path) for path in paths):
            raise DataError(
                f"{folder} holds {len(paths)} files for the split {name!r}.",
                accepted={"files": ", ".join(str(path.relative_to(folder)) for path in paths)},
                fix=f"leave one of them there, or put all files of the split into {folder / name}/",
            )
    if len(found) == 1 and "train" not in found and not set(found) & set(MAIN_SPLITS):
        return {"train": next(iter(found.values()))}, notes
    if "train" not in found:
        raise DataError(
            f"{folder} holds no training split.",
            accepted={"files": ", ".join(path.name for paths in found.values() for path in paths)},
            fix=[
                "name the training file train.csv, train.jsonl or similar, or give a single file",
                *_as_splits(found),
            ],
        )
    return _ordered(found), notes


def _as_splits(found: Mapping[str, list[Path]]) -> list[Hint]:
    """Return a hint to train on the validation file, where there are only files to validate and to test on."""
    if set(found) != {"validation", "test"} or any(len(paths) > 1 for paths in found.values()):
        return []
    dev, test = found["validation"][0], found["test"][0]
    return [
        Hint(
            f'{{"train": "{dev}", "test": "{test}"}} instead of the folder, to train on {dev.name}',
            f"rename {dev.name} to train{dev.suffix}, to train on it",
        )
    ]


def _row_files(folder: Path, notes: list[str]) -> list[Path]:
    """Return a folder's files with rows, without lists of label names; note plain texts, which are left out."""
    found = []
    for path in data_files(folder):
        if path.suffix in (".txt", ".json") and path.stem in NAME_FILES:
            continue
        if known_suffix(path) == ".txt" and not looks_like_conll(path):
            notes.append(f"{path.name} left out: plain text has no labels")
        else:
            found.append(path)
    return found


def _split_folders(folder: Path, notes: list[str]) -> dict[str, list[Path]]:
    """Return the files with rows in the subfolders that are named for a split; see `_row_files`."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for inner in sorted(folder.iterdir()):
        name = canonical_split(inner.name)
        if name in MAIN_SPLITS and inner.is_dir():
            with contextlib.suppress(DataError):  # one that cannot be read
                found[name] += _row_files(inner, notes)
    return {name: paths for name, paths in found.items() if paths}


def _is_part(path: Path) -> bool:
    return _PART.search(inner_name(path).stem) is not None


def _ordered(found: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    order = [name for name in MAIN_SPLITS if name in found] + [name for name in found if name not in MAIN_SPLITS]
    return {name: found[name] for name in order}


def is_rows(path: Path) -> bool:
    """Tell from its name whether a file has columns: "train.csv.gz" does, plain text and hidden files do not."""
    return _is_data(path) and known_suffix(path) != ".txt" and not path.name.startswith((".", "_"))


def _is_data(path: Path) -> bool:
    try:
        return known_suffix(path) is not None
    except DataError:  # a zip of several files is not a data file
        return False


def _where_else(folder: Path) -> str:
    """Return a hint with the subfolder that does contain data files, if there is one."""
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    near = None
    for path in inner:
        with contextlib.suppress(OSError):  # a subfolder that cannot be read
            if near is None and any(_is_data(file) for file in path.iterdir()):
                near = path
    return "give a file, or a folder of such files" if near is None else f"give {near}, which holds some"


def saved_splits(folder: Path) -> dict[str, list[Path]] | None:
    """Return the Arrow files by split of a folder written by ``save_to_disk``; None for any other folder.

    Raises:
        DataError: the folder's list of files or splits cannot be read, or there is no training split.
    """
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        return {"train": _saved_files(folder)}
    if not (folder / "dataset_dict.json").is_file():
        return None
    names = _listed(folder / "dataset_dict.json", "splits")
    found = {canonical_split(str(name)): _saved_files(folder / str(name)) for name in names}
    if "train" not in found and len(found) > 1:
        raise DataError(
            f"{folder} holds no training split.",
            accepted={"splits": ", ".join(found)},
            fix="give one of its folders; it is used for training and split",
        )
    return _ordered(found if "train" in found else {"train": next(iter(found.values()))})


def _saved_files(folder: Path) -> list[Path]:
    entries = _listed(folder / "state.json", "_data_files")
    names = [entry.get("filename") if isinstance(entry, dict) else entry for entry in entries]
    return [folder / Path(str(name)).name for name in names]


def _listed(path: Path, key: str) -> list[Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, list) or not found:
        raise DataError(f"{path} does not list {key!r}, as save_to_disk writes it.", fix="save the data set again")
    return found
