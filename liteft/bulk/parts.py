"""Parts: what a unit becomes. A part's name and footer say what it was made of, so the parts are the only checkpoint.

The name is the hash of the unit, the artifact and the settings, with the input's name and the unit's number before it,
so that names sort as the rows of a file do. The footer repeats what was hashed, and adds counts of the rows and a
SHA-256 over their texts. A part appears at once and whole; a torn one has no footer. Nothing of a part depends on when,
where and by how many workers it was made.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

from liteft.bulk.plan import Unit
from liteft.bulk.storage import Target
from liteft.errors import LiteftError
from liteft.runtime.row_formats import require_pyarrow
from liteft.runtime.scored_blocks import Counts

__all__ = ["Identity", "PartWriter", "finished_parts", "is_part", "origin"]

_KEY = b"liteft.part"
_NAME = re.compile(r".*-\d{5,}-[0-9a-f]{16}\.parquet")
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 1 << 25
_READERS = 8


@dataclass(frozen=True)
class Identity:
    """What parts are made of, beside the unit.

    Attributes:
        artifact: SHA-256 of the artifact's manifest, which holds those of its files.
        settings: what determines the output, as JSON values.
    """

    artifact: str
    settings: Mapping[str, Any]

    def name(self, unit: Unit) -> str:
        """Return the file name of a unit's part."""
        content = json.dumps(self.about(unit), sort_keys=True, ensure_ascii=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        stem = re.sub(r"[^\w.-]", "_", PurePosixPath(unit.path).stem, flags=re.ASCII).lstrip("._")[:80] or "part"
        return f"{stem}-{unit.number:05d}-{digest}.parquet"

    def about(self, unit: Unit) -> dict[str, Any]:
        """Return what the footer of a unit's part says of its origin."""
        return {"format": 1, "unit": unit.to_dict(), "artifact": self.artifact, "settings": dict(self.settings)}


def is_part(name: str) -> bool:
    """Return whether a file has the name of a part."""
    return _NAME.fullmatch(name) is not None


def finished_parts(target: Target, wanted: Mapping[str, dict[str, Any]]) -> dict[str, Counts]:
    """Return which parts are there and whose footers agree: name -> counts.

    Args:
        target: their folder.
        wanted: name -> what the footer has to say of the part's origin.
    """
    here = [name for name in target.names() if name in wanted]
    with ThreadPoolExecutor(_READERS) as pool:
        read = pool.map(lambda name: _counts(target, name, wanted[name]), here)
        return {name: counts for name, counts in zip(here, read, strict=True) if counts is not None}


def _counts(target: Target, name: str, about: dict[str, Any]) -> Counts | None:
    """Return the counts of a part; None if its footer cannot be read or says something else."""
    said = origin(target, name)
    try:
        counts = Counts(**said.pop("counts"))
        del said["texts"]
    except (KeyError, TypeError):
        return None
    return counts if said == json.loads(json.dumps(about)) else None


class PartWriter:
    """Writes the blocks of a part; row groups depend on the blocks alone.

    Args:
        path: the file to write.
        schema: pyarrow schema of the blocks.
    """

    def __init__(self, path: Path, schema: Any) -> None:
        self._arrow = require_pyarrow("scoring tables")
        self._writer = self._arrow.parquet.ParquetWriter(
            path, schema, compression="zstd", write_page_checksum=True, store_schema=True
        )
        self._schema = schema
        self._waiting: list[Any] = []

    def add(self, block: Any) -> None:
        """Add a block."""
        self._waiting.append(block)
        rows = sum(len(each) for each in self._waiting)
        if rows >= _GROUP_ROWS or sum(each.nbytes for each in self._waiting) >= _GROUP_BYTES:
            self._flush()

    def finish(self, about: Mapping[str, Any], counts: Counts, texts: str) -> None:
        """Write what is left, and into the footer what the part is made of, its counts and the hash of its texts."""
        self._flush()
        footer = {**about, "counts": asdict(counts), "texts": texts}
        self._writer.add_key_value_metadata({_KEY.decode(): json.dumps(footer, sort_keys=True)})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()  # without `finish`, the footer says nothing of a part

    def _flush(self) -> None:
        if self._waiting:
            table = self._arrow.concat_tables(self._waiting).cast(self._schema)
            self._writer.write_table(table, row_group_size=max(1, len(table)))
            self._waiting = []


def origin(target: Target, name: str) -> dict[str, Any]:
    """Return what the footer of a part says of its origin; nothing if it cannot be read."""
    parquet = require_pyarrow("scoring tables").parquet
    try:
        with target.open(name) as file:
            said: dict[str, Any] = json.loads(parquet.read_metadata(file).metadata[_KEY])
    except (OSError, ValueError, KeyError, TypeError, LiteftError):
        return {}
    return said
