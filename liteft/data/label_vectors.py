"""Labels written as vectors of zeros and ones, one number for each label, whose names stand somewhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liteft.data.cells import bit, is_empty, is_list, is_missing
from liteft.data.dataset import Provenance
from liteft.data.folders import NAME_FILES
from liteft.errors import DataError, Hint, option
from liteft.privacy import quoted

__all__ = ["Labels", "from_vectors"]

Labels = dict[str, list[Any]]  # by split


def from_vectors(
    raw: Labels,
    names: tuple[str, ...] | None,
    places: Mapping[str, Provenance],
    column: str,
    notes: list[str],
) -> Labels:
    """If the training split's labels are 0/1 vectors, return them as lists of names.

    They are vectors if all are lists of the same length that contain only zeros and ones, and some list repeats a
    value, which ids never do. Lists that all contain 0 and 1 once would, as ids, give every text the same labels:
    they are vectors too.

    Args:
        raw: labels by split.
        names: what the positions stand for; None if unknown.
        places: of the rows.
        column: for messages.
        notes: receives a sentence if vectors were converted.

    Raises:
        DataError: the vectors differ in length, their length is not the number of names, or there are no names.
    """
    width = _width(raw["train"], places["train"], column)
    if width is None:
        return raw
    where = places["train"].sources[0]
    if names is None or len(names) != width:
        beside = None if names is not None else _names_beside(where, width)
        if beside is None:
            raise _unnamed(raw["train"], names, width, places["train"], column)
        names, file = beside
        notes.append(f"the names of the {width} label positions are read from {file}")
    changed = {split: [_named(value, names, places[split], row) for row, value in enumerate(labels)]
               for split, labels in raw.items()}  # fmt: skip
    notes.append(f"labels are vectors of {width} zeros and ones: {', '.join(names[:6])}{', ...' * (width > 6)}")
    carried = {name for value in changed["train"] if value is not None for name in value}
    idle = [name for name in names if name not in carried]
    if idle:
        notes.append(f"train has no text with {_some(idle)}; the model will not have it as a label")
    return changed


def _names_beside(source: str, width: int) -> tuple[tuple[str, ...], str] | None:
    """Return the names in labels.txt (one per line), labels.json or the like beside a file, if there are ``width``."""
    folder = Path(source).parent
    if not Path(source).is_file():
        return None
    for path in (folder / f"{stem}{suffix}" for stem in NAME_FILES for suffix in (".txt", ".json")):
        try:
            text = path.read_text(encoding="utf-8")
            content = json.loads(text) if path.suffix == ".json" else text.split("\n")
        except (OSError, ValueError):
            continue
        if isinstance(content, list) and all(isinstance(name, str) for name in content):
            names = tuple(name.strip() for name in content if name.strip())
            if len(names) == width == len(set(names)):
                return names, path.name
    return None


def _width(labels: Sequence[Any], place: Provenance, column: str) -> int | None:
    """Return the vectors' length; None if the labels are something else. Raises DataError as from_vectors does."""
    widths: dict[int, int] = {}
    repeated = False
    for row, value in enumerate(labels):
        if is_missing(value):
            continue
        if not is_list(value):
            return None
        seen = set()
        for entry in value:
            one = bit(entry)
            if one is None:
                return None
            seen.add(one)
        repeated |= len(seen) < len(value)
        widths.setdefault(len(value), row)
    if len(widths) == 1:
        width = next(iter(widths))
        return width if width >= 2 else None
    if len(widths) < 2 or not repeated:
        return None
    (one, first), (two, second) = list(widths.items())[:2]
    raise DataError(
        f"{place.where(second)}: the column {column!r} holds {two} in a list of zeros and ones, and {one} at "
        f"{place.where(first)}.",
        accepted={"vectors": "of one length: a 0 or a 1 for each label", "ids": "each once, as [0, 1]"},
        fix='write names: ["joy", "anger"]',
    )


def _unnamed(
    labels: Sequence[Any], names: tuple[str, ...] | None, width: int, place: Provenance, column: str
) -> DataError:
    row = next(row for row, value in enumerate(labels) if not is_missing(value))
    if width <= 8:
        fix = option("label_names", [f"name{position}" for position in range(1, width + 1)])
    else:
        fix = Hint(f'label_names=["name1", ..., "name{width}"]', f"--label-names name1,...,name{width}")
    what = "but nothing says what each position means" if names is None else f"and there are {len(names)} names"
    shown = ", ".join(str(bit(entry)) for entry in list(labels[row])[:12]) + (", ..." if width > 12 else "")
    return DataError(
        f"{place.where(row)}: the column {column!r} holds vectors of {width} zeros and ones, {what}.",
        accepted={"first": f"[{shown}]", "names": f"{width}, in the order of the positions"},
        fix=fix,
    )


def _named(value: Any, names: tuple[str, ...], place: Provenance, row: int) -> list[str] | None:
    if is_empty(value):
        return None
    bits = [bit(entry) for entry in value] if is_list(value) else []
    if len(bits) != len(names) or None in bits:
        if bits and all(entry == -1 for entry in value):  # withheld, as in the hub's test sets
            return None
        raise DataError(
            f"{place.where(row)}: the label is not a vector of {len(names)} zeros and ones, but those before it are.",
            accepted={"seen": quoted(value, 80)},
            fix=f"write {len(names)} zeros and ones in this row, one per label",
        )
    return [name for name, one in zip(names, bits, strict=True) if one]


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:6])) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
