"""Which file of a folder is which split.

train, validation (dev, val, valid) and test by their names, in parts where the hub's naming says so
(train-00000-of-00003.parquet); what else holds rows is an extra split under its own name. A folder with a
single file of another name is that file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from liteft.data.dataset import MAIN_SPLITS, canonical_split
from liteft.data.rows import FORMATS
from liteft.errors import DataError
from liteft.files import os_reason

__all__ = ["data_files", "split_files", "split_of"]

_PART = re.compile(r"[-_.]\d+[-_]of[-_]\d+$")


def split_of(path: Path) -> str:
    """Return the split that a file's name says: "train" for train.csv and train-00000-of-00002.parquet."""
    return canonical_split(_PART.sub("", path.stem))


def data_files(folder: Path) -> list[Path]:
    """Return the files of a folder that have a known suffix, by name; of its ``data/`` when it has none
    itself.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {os_reason(error)}.") from None
    files = [
        path
        for path in entries
        if path.suffix.casefold() in FORMATS and not path.name.startswith((".", "_")) and path.is_file()
    ]
    nested = folder / "data"
    return data_files(nested) if not files and nested.is_dir() else files


def split_files(folder: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Return split name -> its files, train first, and notes on files left out.

    Raises:
        DataError: no data file, none that is the training split, or two candidates for one split.
    """
    found: defaultdict[str, list[Path]] = defaultdict(list)
    notes = []
    for path in data_files(folder):
        if path.suffix.casefold() == ".txt":
            notes.append(f"{path.name} left out: plain text has no labels")
        else:
            found[split_of(path)].append(path)
    if not found:
        raise DataError(
            f"{folder} holds no data file.",
            accepted={
                "files": "train, dev (or validation) and test, each csv, tsv, jsonl, json or parquet"
            },
        )
    for name, paths in found.items():
        if len(paths) > 1 and not all(_PART.search(path.stem) for path in paths):
            raise DataError(
                f"{folder} holds {len(paths)} files for the split {name!r}.",
                accepted={"files": ", ".join(path.name for path in paths)},
                fix="leave one of them in the folder",
            )
    if len(found) == 1 and "train" not in found and not set(found) & set(MAIN_SPLITS):
        return {"train": next(iter(found.values()))}, notes
    if "train" not in found:
        raise DataError(
            f"{folder} holds no training split.",
            accepted={"files": ", ".join(path.name for paths in found.values() for path in paths)},
            fix="name the training file train.csv, train.jsonl or the like, or give a single file",
        )
    order = [name for name in MAIN_SPLITS if name in found] + [
        name for name in found if name not in MAIN_SPLITS
    ]
    return {name: found[name] for name in order}, notes
