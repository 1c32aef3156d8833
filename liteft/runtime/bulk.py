"""Classifying a file of any size into another: streamed, in parts, resumed after kill -9.

Rows are read, classified and written a part at a time; nothing else is in memory. The cut between parts depends
on the rows alone, and texts are never batched across it, so a run that was killed and resumed writes the same
bytes as one that was not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from liteft import files
from liteft.errors import ConfigError, DataError, closest
from liteft.runtime.classifier import Classifier, OnError, load
from liteft.runtime.inputs import checked_text, no_tokens
from liteft.runtime.parts import Parts, open_parts
from liteft.runtime.prediction import Prediction
from liteft.runtime.row_formats import RowFormat, row_format

__all__ = ["Classified", "Progress", "predict_file"]

_PART_ROWS = 4096
_PART_CHARACTERS = 1 << 24
_HEAD_BYTES = 1 << 20
_DIGITS = 6  # of a score: what float32 can say, and the same after another order of additions


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is; as a string, a line to show.

    Attributes:
        rows: rows done, those of an earlier run included.
        total: rows of the input where its format says (parquet), else None.
        rows_per_second: of this run.
    """

    rows: int
    total: int | None
    rows_per_second: float

    def __str__(self) -> str:
        line = f"{self.rows:,}"
        if self.total is not None:
            line += f" of {self.total:,}"
        line += f" rows, {self.rows_per_second:,.0f} rows/s"
        if self.total and self.rows_per_second > 0:
            line += f", {(self.total - self.rows) / self.rows_per_second:,.0f} s to go"
        return line


@dataclass(frozen=True, slots=True)
class Classified:
    """What ``predict_file`` wrote.

    Attributes:
        path: the output.
        rows: rows in it.
        resumed: of these, rows that an earlier run had finished.
        refused: rows without a usable text, with a null label.
        truncated: rows whose text lost tokens.
        empty: rows whose text was nothing but white space.
        seconds: wall time of this run.
    """

    path: Path
    rows: int
    resumed: int
    refused: int
    truncated: int
    empty: int
    seconds: float
