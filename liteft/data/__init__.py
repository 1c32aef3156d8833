"""Labelled text: read, checked and split."""

from liteft.data.dataset import Dataset, Provenance, Split
from liteft.data.load import load_dataset
from liteft.data.rows import RowFile, Rows, open_rows, read_rows

__all__ = [
    "Dataset",
    "Provenance",
    "RowFile",
    "Rows",
    "Split",
    "load_dataset",
    "open_rows",
    "read_rows",
]
