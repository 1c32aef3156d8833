"""Classifying a file of any size into another: streamed, in parts, resumable after kill -9.

Rows are read, classified and written one part at a time; nothing else is in memory. The boundaries of parts depend
only on the rows, and no batch crosses them, so a run that was killed and resumed writes the same bytes as one
that was not.

Every column of the input is kept, including a gold `label`; the added columns have their own names and overwrite
nothing. Where texts are hidden (privacy.py), any column may hold one, so a number for each row is all that is kept.

A run resumes only if the finished parts were made from the same input, artifact and settings. The input is identified
by its size, time and beginning: hashing a hundred gigabytes would take as long as reading them.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from liteft import files
from liteft.arguments import require_count
from liteft.data.rows import RowFile, Rows, open_rows
from liteft.errors import ConfigError, DataError, RunError, option
from liteft.privacy import hides_all, shown_value, shows_all
from liteft.results import Result
from liteft.runtime.answers import AnswerClassifier
from liteft.runtime.classifier import OnError
from liteft.runtime.parts import ANOTHER_OUTPUT, RESTART, Parts, open_parts
from liteft.runtime.progress import Pace, Progress
from liteft.runtime.row_formats import RowFormat, row_format
from liteft.runtime.scored_kinds import Model, opened_model, reading_line, row_scorer, text_columns
from liteft.runtime.scored_questions import flat_questions
from liteft.runtime.scored_rows import RowScorer, ScoredRow, in_parts

__all__ = ["Classified", "Progress", "predict_file"]

_PART_ROWS = 4096
_HEAD_BYTES = 1 << 20
_ROW = "row"  # the only column of the input that is written where texts are hidden


@dataclass(frozen=True, slots=True)
class Classified(Result):
    """What ``predict_file`` wrote.

    Attributes:
        path: the output.
        rows: number of rows in the output.
        resumed: how many of these an earlier run had finished.
        refused: rows without a usable text, which have a null label.
        truncated: rows whose prediction says ``truncated``.
        empty: rows whose text was empty or only white space.
        seconds: wall time of this run.
    """

    path: Path
    rows: int
    resumed: int
    refused: int
    truncated: int
    empty: int
    seconds: float

    def render(self) -> str:
        """Return one line: the output, its rows, and how many of them are special."""
        notes = {"from an earlier run": self.resumed, "without a text": self.refused, "cut": self.truncated}
        notes["empty"] = self.empty
        counted = "".join(f", {count:,} {name}" for name, count in notes.items() if count)
        return f"{self.path}: {self.rows:,} rows{counted}, {self.seconds:.1f} s"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {**asdict(self), "path": str(self.path)}


def predict_file(
    artifact: str | os.PathLike[str] | Model,
    input: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    text: str | None = None,
    pair: str | None = None,
    prefix: str = "",
    top_k: int | None = None,
    threshold: float | Sequence[float] | None = None,
    on_error: OnError = "raise",
    encoding: str | None = None,
    delimiter: str | None = None,
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    engine_precision: str | None = None,
    trust: bool = False,
    token_budget: int | None = None,
    overwrite: bool = False,
    restart: bool = False,
    part_rows: int = _PART_ROWS,
    progress: Callable[[Progress], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Classified:
    """Classify every row of a file into another file, in order, all columns kept.

    The output gets, after the input's columns:

    - single-label: ``prediction`` (the best label) and ``score`` (its score);
    - multi-label: ``predictions`` (the labels over their thresholds, possibly none) and ``scores`` (their scores);
    - scores: ``prediction`` (the score);
    - with ``top_k``: ``top``, a list of {label, score}, best first;
    - of models of words: ``predicted_spans``, a list of spans with the keys of ``TaggedText.to_dict``. A .conll file
      has a word and its tag in each line instead, and an empty line after each text;
    - of models of questions: ``answer`` (its text, "" for none), ``score``, ``start`` and ``end`` (in the context, in
      code points; null without an answer).

    Scores are rounded to 6 digits. Lists are JSON in csv and tsv. A row without a usable text (missing, not a string, a
    lone surrogate) has null in all of these; an empty text is classified like any other. Repeating the same call
    resumes a killed run; ``threads``, ``token_budget`` and ``on_error`` may change in between. While the parts are
    joined, the output needs its space on the disk twice.

    Args:
        artifact: the artifact's folder, or a classifier, which stays open.
        input: a csv, tsv, jsonl, json, parquet or txt file, by its suffix. Only json is read as a whole.
        output: a csv, tsv, jsonl or parquet file, by its suffix; of models of words jsonl, parquet or conll. Parquet
            columns keep their types in parquet.
        text: column of the text; None to find it by its usual names. Models of words also read lists of words, in a
            column ``words`` or ``tokens`` if it is not named, and models of roles the column ``predicate``.
        pair: for a model of pairs, column of the second text; None to find it by its usual names. Models of questions
            read ``question`` and ``context``, if no columns are named, and SQuAD's documents, a row for each question.
        prefix: prefix of the names of the added columns.
        top_k: as in ``Classifier.predict``.
        threshold: as in ``Classifier.predict``.
        on_error: what to do with a row without a usable text: "raise" an error or write nulls ("null").
        encoding: of a text file; None for UTF-8 or as the byte-order mark says.
        delimiter: of csv and tsv; None to detect it in the first line.
        device: as in ``load``; only with an artifact's folder, as are the next four.
        backend: as in ``load``.
        threads: as in ``load``.
        engine_precision: as in ``load``.
        trust: as in ``load``.
        token_budget: as in ``Classifier.stream``.
        overwrite: replace an output that exists.
        restart: discard the finished parts of an earlier run.
        part_rows: maximum rows of a part; a part of long texts is shorter. A kill loses at most one part's work.
        progress: called with a Progress, at most every half second and at the end.
        tell: called with a line of text that names the columns that are read, before the first row is.

    Raises:
        DataError: the input cannot be read or changes during the run, a column is missing or an added one already
            exists, a row has no usable text (the message names the line; the finished parts stay), or values fit no
            column.
        ConfigError: a setting is unknown or does not fit the model.
        RunError: the output exists or cannot be written, or was started with other settings or by another process.
        ArtifactError, DeviceError, MissingExtraError: as in ``load``.
    """
    started = time.perf_counter()
    source, target = Path(input), Path(output)
    target = target.resolve() if target.is_symlink() else target
    require_count("part_rows", part_rows)
    file = open_rows(source, encoding=encoding, delimiter=delimiter)
    if _is_same(source, target):
        raise ConfigError(f"{target} is the input; it would be overwritten.", fix=ANOTHER_OUTPUT)
    row_format(target.suffix, columns=(), schema=None, added={})  # checks the suffix before a model is loaded
    with opened_model(artifact, device, backend, threads, engine_precision, trust) as classifier:
        file = flat_questions(file) if isinstance(classifier, AnswerClassifier) else file
        lists = file.format not in ("csv", "tsv", "txt")
        settings: dict[str, Any] = {
            "columns": text_columns(file.columns, classifier, source=str(file.path), text=text, pair=pair, lists=lists),
            "prefix": prefix,
            "top_k": top_k,
            "threshold": threshold,
            "on_error": on_error,
            "token_budget": token_budget,
        }
        scorer = row_scorer(classifier, tagged=target.suffix.casefold() == ".conll", **settings)
        scorer.check_names(file.columns, str(source))
        if hides_all():
            scorer.check_names((_ROW,), "an output without texts")
        if tell is not None and file.format != "txt":  # which has lines
            tell(reading_line(settings["columns"], source.name))
        kept = file if shows_all() else _as_shown(file)
        format = row_format(target.suffix, columns=kept.columns, schema=kept.schema, added=scorer.added)
        looks = _identity(source)
        state = {
            "input": looks | {"format": file.format, "encoding": encoding, "delimiter": delimiter},
            "artifact": {"manifest": sha256(classifier.manifest.model_dump_json().encode()).hexdigest()},
            "settings": scorer.settings | {"part_rows": part_rows},
        }
        with open_parts(target, state, overwrite=overwrite, restart=restart) as parts:
            _check_refused(parts, target, on_error)
            resumed = parts.rows
            if not parts.moved:
                _write_parts(parts, file, format, scorer, part_rows, Pace(progress, resumed, file.total))
                if _identity(source) != looks:
                    raise DataError(f"{source} changed while it was read.", fix=option("restart"))
            parts.join(format.join)
    return Classified(
        path=target,
        rows=parts.rows,
        resumed=resumed,
        refused=sum(part.refused for part in parts.done),
        truncated=sum(part.truncated for part in parts.done),
        empty=sum(part.empty for part in parts.done),
        seconds=time.perf_counter() - started,
    )


def _write_parts(parts: Parts, file: RowFile, format: RowFormat, scorer: RowScorer, part_rows: int, pace: Pace) -> None:
    """Classify the rows that are not in a finished part."""
    format.begin(parts.paths)
    for part in in_parts(_read(Rows(file, parts.rows, None), format, scorer), part_rows):
        for _ in scorer.score(part):
            pace.row()
        parts.add(
            functools.partial(format.write, [row.values for row in part]),
            rows=len(part),
            refused=sum(row.text is None for row in part),
            truncated=sum(row.truncated for row in part),
            empty=sum(row.text is not None and row.text.empty for row in part),
        )
    pace.tell()


def _read(rows: Rows, format: RowFormat, scorer: RowScorer) -> Iterator[ScoredRow]:
    for number, values in rows:
        row = scorer.read(values, rows.where)
        if scorer.texts != "shown":
            row.values = {_ROW: number + 1} if scorer.texts == "hidden" else shown_value(values)
        format.check(row.values, rows.where)
        yield row


def _as_shown(file: RowFile) -> RowFile:
    """Return a file with the columns that are written of it where texts are hidden or redacted."""
    return replace(file, columns=(_ROW,), schema=None) if hides_all() else replace(file, schema=None)


def _identity(path: Path) -> dict[str, Any]:
    """Return what distinguishes an input from another one, and from itself after a change."""
    try:
        found = path.stat()
        with open(path, "rb") as file:
            head = sha256(file.read(_HEAD_BYTES)).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {files.os_reason(error)}.", fix="check that the file exists and may be read"
        ) from None
    return {"bytes": found.st_size, "modified_ns": found.st_mtime_ns, "first MiB": head}


def _is_same(source: Path, target: Path) -> bool:
    try:
        return target.samefile(source)
    except OSError:  # no such file
        return False


def _check_refused(parts: Parts, output: Path, on_error: OnError) -> None:
    """Allow resuming with nulls a run that raised, but not the other way round."""
    refused = sum(part.refused for part in parts.done)
    if on_error == "raise" and refused:
        raise RunError(
            f"{output} was begun with on_error='null', and {refused:,} of its finished rows have no prediction.",
            fix=[option("on_error", "null", note=", to go on"), RESTART],
        )
