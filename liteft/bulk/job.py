"""A job: what is scored, how, and where to; and how one unit becomes one part. Engines differ in where they call it.

A Job is plain data, so that it reaches other processes and machines as JSON.
"""

from __future__ import annotations

import base64
import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from liteft.bulk.parts import Identity, PartWriter
from liteft.bulk.plan import Unit
from liteft.bulk.reading import blocks_of, read_ahead
from liteft.bulk.storage import Target
from liteft.data.notes import Words
from liteft.errors import DataError, LiteftError
from liteft.privacy import hide_texts, reason_of, shows_all
from liteft.runtime.repeats import Repeats
from liteft.runtime.row_formats import require_pyarrow
from liteft.runtime.scored_blocks import BlockScorer, Counts
from liteft.runtime.scored_kinds import Model, row_scorer

__all__ = ["Failure", "Job", "artifact_hash", "failure_of", "score_unit", "scored_blocks"]


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Job:
    """What is scored, how, and where to.

    Attributes:
        artifact: the artifact's folder.
        loading: arguments of ``load``, beside the threads.
        sha256: as of `Identity`.
        settings: those of `RowScorer`.
        determining: settings that determine the output, as JSON values.
        schema: the kept columns' pyarrow schema, serialized, in base 64.
        questions: documents as SQuAD's are read as a row for each question.
        out: path or URL of the output's folder.
    """

    artifact: str
    loading: Mapping[str, Any]
    sha256: str
    settings: Mapping[str, Any]
    determining: Mapping[str, Any]
    schema: str
    questions: bool
    out: str

    @property
    def identity(self) -> Identity:
        """What the parts are made of, beside their units."""
        return Identity(self.sha256, self.determining)

    def to_dict(self) -> dict[str, Any]:
        """Return the job as plain data for JSON."""
        return asdict(self)

    def kept(self) -> Any:
        """Return the pyarrow schema of the kept columns."""
        arrow = require_pyarrow("scoring tables")
        return arrow.ipc.read_schema(arrow.py_buffer(base64.b64decode(self.schema)))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a unit has no part.

    Attributes:
        unit: the unit.
        error: the error's text.
        command: the same, its hints worded for the command line.
        row: the row that the error is about, or the rows that were being scored; "" if none was.
        again: whether another try may help: a row that cannot be read or scored fails each time.
        full: the output cannot be written, nor will that of any other unit.
    """

    unit: Unit
    error: str
    command: str
    row: str
    again: bool
    full: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the failure as plain data for JSON."""
        return {
            "unit": self.unit.to_dict(),
            "error": self.error,
            "command": self.command,
            "row": self.row,
            "again": self.again,
            "full": self.full,
        }

    def told(self, what: str) -> Words:
        """Return a line that says that ``what`` failed, and why."""
        return Words(f"failed: {what}: {self.error}", f"failed: {what}: {self.command}")

    @classmethod
    def of(cls, content: dict[str, Any]) -> Failure:
        """Return the failure that `to_dict` made this of."""
        return cls(**{**content, "unit": Unit.of(content["unit"])})


class _Places:
    """The rows that are being scored, and the one that was asked for last."""

    def __init__(self) -> None:
        self.rows = ""
        self.row = ""

    def of(self, place: Callable[[int], str], rows: int) -> Callable[[int], str]:
        """Return ``place`` for a block of so many rows; what it returns is noted."""
        self.rows = f"{place(0)} and {rows - 1:,} more" if rows else ""

        def noted(row: int) -> str:
            self.row = place(row)
            return self.row

        return noted


def artifact_hash(classifier: Model) -> str:
    """Return the SHA-256 of the manifest of a model's artifact, which holds the hashes of its files."""
    return sha256(classifier.manifest.model_dump_json().encode()).hexdigest()


def score_unit(job: Job, unit: Unit, classifier: Model) -> Counts | Failure:
    """Score a unit into its part. See `scored_blocks`, which this runs to its end."""
    for result in scored_blocks(job, unit, classifier):
        if not isinstance(result, int):
            return result
    raise AssertionError("a unit ends in counts or a failure")


def scored_blocks(job: Job, unit: Unit, classifier: Model) -> Iterator[int | Counts | Failure]:
    """Score a unit into its part, a block per step.

    Args:
        job: the job.
        unit: the unit.
        classifier: the model, loaded as the job says.

    Yields:
        The rows of each block that was scored; in the end the counts of the part, or why there is none. A part that is
        there already is replaced by the same bytes.
    """
    with _hiding(job):
        yield from _tried(job, unit, classifier)


@contextlib.contextmanager
def _hiding(job: Job) -> Iterator[None]:
    """Hide texts as the process did that made the job, on whatever machine."""
    with contextlib.nullcontext() if job.settings.get("texts") is None or not shows_all() else hide_texts():
        yield


def _tried(job: Job, unit: Unit, classifier: Model) -> Iterator[int | Counts | Failure]:
    places = _Places()
    try:
        yield from _scored(job, unit, classifier, places)
    except Exception as error:  # of the file, the disk or the machine: the other units go on
        certain = isinstance(error, DataError) and not isinstance(error.__context__, OSError)
        row = places.row if isinstance(error, DataError) else places.rows
        yield failure_of(unit, error, row, again=not certain)


def _scored(job: Job, unit: Unit, classifier: Model, places: _Places) -> Iterator[int | Counts]:
    kept = job.kept()
    scorer = BlockScorer(row_scorer(classifier, **job.settings), keep=kept.names, repeats=Repeats())
    with (
        Target(job.out).writing(job.identity.name(unit)) as path,
        PartWriter(path, scorer.schema(kept)) as writer,
        contextlib.closing(read_ahead(blocks_of(unit, kept, scorer.reads, questions=job.questions))) as blocks,
    ):
        for block in blocks:
            writer.add(scorer.score(block.table, places.of(block.place, block.rows), block.texts))
            yield block.rows
        writer.finish(job.identity.about(unit), scorer.counts, scorer.texts.hexdigest())
    yield scorer.counts


def failure_of(unit: Unit, error: BaseException, row: str = "", *, again: bool = True) -> Failure:
    """Return the failure of a unit by an error."""
    if isinstance(error, LiteftError):
        text, command = str(error), error.command_text()
    else:
        text = command = f"{type(error).__name__}: {reason_of(error)}"
    cause = error.__cause__ if isinstance(error, LiteftError) else error
    return Failure(unit, text, command, row, again, full=isinstance(cause, OSError) and cause.errno in _FULL)
