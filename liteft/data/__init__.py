"""Labelled text: read, checked and split."""

from liteft.data.check import check_dataset
from liteft.data.columns import choose_columns
from liteft.data.dataset import Dataset, Provenance, Split
from liteft.data.findings import DataCheck
from liteft.data.formats import FORMATS
from liteft.data.load import load_dataset
from liteft.data.rows import RowFile, Rows, open_rows, read_rows
from liteft.data.splitting import carve, normalised
from liteft.data.unlabeled import load_texts, load_unlabeled

__all__ = [
    "FORMATS",
    "DataCheck",
    "Dataset",
    "Provenance",
    "RowFile",
    "Rows",
    "Split",
    "carve",
    "check_dataset",
    "choose_columns",
    "load_dataset",
    "load_texts",
    "load_unlabeled",
    "normalised",
    "open_rows",
    "read_rows",
]
