"""Questions in training batches: the logits of the units that a model judges, of each row.

A model gives a start and an end logit for every token. Judged are the start logit of a unit's first token and the end
logit of its last one (`liteft.answer_windows`): a row is a choice among its units, of which the first says that the
answer is not in this window. So a loss compares distributions over the units of a row.

Source: Devlin et al. 2019, section 4.2, arXiv:1810.04805.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from liteft.answer_windows import AnswerWindows
from liteft.finetuning.word_batches import NO_WORD, rectangle
from liteft.ragged import Ragged, offsets_of

__all__ = ["NO_UNIT", "UNITS", "known_units", "unit_columns", "unit_logits", "units_of_rows", "whole_batch"]

UNITS = "unit_columns"
"""Key of a batch: the columns of each unit's first and last token, int64 (rows, units, 2), -100 where there is none."""
NO_UNIT = -1e4
"""The logit where a row has no more units: finite, so that a share of 0 times its logarithm is 0."""


def unit_columns(windows: AnswerWindows, rows: np.ndarray) -> Tensor:
    """Return the columns of each unit's first and last token, `UNITS`."""
    _, places, first, last = windows.in_rows(rows)
    counts = np.bincount(places, minlength=len(rows))
    return rectangle(Ragged(np.stack([first, last], axis=1), offsets_of(counts)))


def unit_logits(logits: Tensor, columns: Tensor) -> Tensor:
    """Return the logits of units, (rows, units, 2), `NO_UNIT` where there is none.

    Args:
        logits: of tokens, (rows, tokens, 2); several times the rows of the batch for several passes over it.
        columns: of the batch, `UNITS`.
    """
    columns = columns.repeat(len(logits) // len(columns), 1, 1)
    found = logits.gather(1, columns.clamp(min=0))
    return found.masked_fill(columns < 0, NO_UNIT)


def whole_batch(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch whose cached logits of units have `NO_UNIT` where there is none."""
    empty = batch[UNITS] == NO_WORD
    filled = {name: value.masked_fill(empty, NO_UNIT) for name, value in batch.items() if value.shape == empty.shape}
    return batch | {name: value for name, value in filled.items() if value.is_floating_point()}


def known_units(logits: Tensor) -> Tensor:
    """Return where logits of units are those of a unit: bool, of the same shape."""
    return logits > NO_UNIT / 2


def units_of_rows(values: np.ndarray, rows: np.ndarray, windows: AnswerWindows) -> np.ndarray:
    """Return the logits of all units in their order, float (units, 2), from those of rows in another order.

    Args:
        values: (rows, units, 2), of any width that holds the units.
        rows: the number of each row, int64 (rows,); every row of the windows is there.
        windows: the rows.
    """
    counts = windows.row_units[1:] - windows.row_units[:-1]
    back = values[np.argsort(rows)]
    return np.asarray(back[np.arange(values.shape[1]) < counts[:, None]])
