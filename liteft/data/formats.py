"""Which format a file has, by its suffix; and which file was meant where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from liteft.data.compressed import COMPRESSED, inner_name
from liteft.errors import DataError, spelling
from liteft.files import os_reason

__all__ = ["FORMATS", "exists", "format_of", "known_suffix"]

FORMATS: Mapping[str, str] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "txt",
    ".conll": "conll",
    ".conllu": "conll",
    ".conll03": "conll",
    ".conll2003": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
}
_OTHER_WAYS = {
    (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"): "save the sheet as csv (UTF-8)",
    (".pkl", ".pickle", ".pt", ".joblib"): "save it as parquet, csv or jsonl: to read a pickle is to run it",
    (".tar", ".tgz", ".7z", ".rar", ".zst"): "unpack it first",
    (".md", ".text", ".log"): "rename it to end in .txt, if it holds a text a line",
    (".h5", ".hdf5", ".npy", ".npz", ".orc", ".avro", ".sqlite", ".db", ".xml", ".yaml", ".yml"): (
        "save it as parquet, csv or jsonl"
    ),
}


def known_suffix(path: Path) -> str | None:
    """Return the suffix of a file's format (".csv" for "a.csv.gz"); None if it has none."""
    suffix = inner_name(path).suffix.casefold()
    return suffix if suffix in FORMATS else None


def format_of(path: Path) -> str:
    """Return a file's format, by its suffix.

    Raises:
        DataError: there is no such file, or its suffix is of no known format.
    """
    if not exists(path):
        raise DataError(
            f"there is no file {path}.",
            fix=spelling(path),
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder.", accepted={"formats": ", ".join(FORMATS)}, fix="name one of its files")
    refused = inner_name(path).suffix.casefold()
    kind = FORMATS.get(refused)
    if kind is None:
        ways = (way for suffixes, way in _OTHER_WAYS.items() if refused in suffixes)
        raise DataError(
            f"{path} has an unknown format.",
            accepted={"formats": f"{', '.join(FORMATS)}; and with {', '.join(COMPRESSED)} behind"},
            fix=next(ways, "give it the ending of its format, or save it as csv or jsonl"),
        )
    return kind


def exists(path: Path) -> bool:
    """Return whether a path exists; False also for a string that cannot be a path.

    Raises:
        DataError: the system denies access.
    """
    try:
        return path.exists()
    except PermissionError as error:
        raise DataError(
            f"{path} cannot be read: {os_reason(error)}.", fix="check that the file exists and may be read"
        ) from None
    except (OSError, ValueError):
        return False
