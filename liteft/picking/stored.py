"""to_label.jsonl in the folder of a distillation: written once for a student and a pool, and read again.

People write labels into such a file. So one of another student or pool is never replaced: it gets another name.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

from liteft.artifact import Artifact
from liteft.data import Dataset, Split
from liteft.picking.next_texts import NextText, ToLabel
from liteft.picking.picked import to_label
from liteft.privacy import policy, shows_all
from liteft.run import Run

__all__ = ["TO_LABEL_FILE", "stored_to_label"]

TO_LABEL_FILE = "to_label.jsonl"


def stored_to_label(
    path: Path,
    student: Run,
    artifact: Artifact | None,
    pool: Split,
    data: Dataset,
    *,
    trust: bool = False,
    tell: Callable[[str], None],
) -> ToLabel:
    """Return the list in a file, or pick one and write it if the file is missing or is of another student or pool.

    Args:
        path: the file, usually ``to_label.jsonl``.
        student: whose list it is.
        artifact: of the student, which is asked instead of it; None to ask the student.
        pool: texts without labels.
        data: what the student was trained on, whose texts are not picked.
        trust: as in ``liteft.load``, for the artifact.
        tell: called with a line before texts are picked.

    Raises:
        RunError: the file cannot be written.
    """
    key = _fingerprint(student, pool)
    found = _read(path, key)
    if found is None:
        aside = _put_aside(path)
        if aside is not None:
            tell(
                f"{path} is of another student or pool, shows other texts, or lacks keys that were written into it; "
                f"it is {aside.name} now"
            )
        tell(f"picking the texts to label next of {len(pool):,}")
        found = to_label(student if artifact is None else artifact, pool, labelled=data, trust=trust)
        how = {} if shows_all() else {"texts": policy()}
        found.write(path, list=key, asked=found.asked, pool=found.pool, **how)
    return found


def _fingerprint(student: Run, pool: Split) -> str:
    digest = hashlib.sha256(str(student.info["weights_sha256"]).encode())
    for text in (*pool.texts, *(pool.pairs or ())):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:12]


def _read(path: Path, key: str) -> ToLabel | None:
    """Return the list in a file, without texts that were deleted; None if it is missing, unreadable, or another."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        if not rows or any(row["list"] != key or row.get("texts", "shown") != policy() for row in rows):
            return None
        lists: dict[str, list[NextText]] = {"doubtful": [], "sure": []}
        for row in rows:
            lists[row["why"]].append(
                NextText.from_dict({"pair": None, "source": None, "row": None, "words": None} | row)
            )
        return ToLabel(tuple(lists["doubtful"]), tuple(lists["sure"]), int(rows[0]["asked"]), int(rows[0]["pool"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _put_aside(path: Path) -> Path | None:
    """Rename a file to the first free name of to_label-1.jsonl and so on, and return that; None if there is nothing."""
    if not path.is_file() or not path.read_bytes().strip():
        return None  # an empty list holds no work of anyone
    free = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(1))
    aside = next(each for each in free if not each.exists())
    path.rename(aside)
    return aside
