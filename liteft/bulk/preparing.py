"""From what a caller asks for to a plan and a job: files are listed and opened, columns and settings are chosen."""

from __future__ import annotations

import base64
import glob
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from liteft.bulk.job import Failure, Job, artifact_hash, failure_of
from liteft.bulk.plan import Unit, units_of
from liteft.bulk.sources import Source, open_source
from liteft.bulk.storage import Found, is_url, plain_path, stored_at
from liteft.data.compressed import COMPRESSED
from liteft.data.formats import FORMATS, exists
from liteft.errors import ConfigError, DataError, LiteftError, closest, leave_out, option, spelling
from liteft.privacy import shown_names, shows_all
from liteft.runtime.answers import AnswerClassifier
from liteft.runtime.row_formats import require_pyarrow
from liteft.runtime.scored_kinds import Model, reading_line, row_scorer, text_columns

__all__ = ["Asked", "Prepared", "listed", "prepare"]

_OPENERS = 8
_ANOTHER_FOLDER = option("out", "FOLDER", note=", beside the inputs")


@dataclass(frozen=True)
class Asked:
    """What a caller asks for, as in ``score``."""

    inputs: Any
    out: str
    text: str | None
    pair: str | None
    keep: Sequence[str] | None
    scoring: dict[str, Any]  # prefix, top_k, threshold and on_error
    encoding: str | None
    delimiter: str | None
    unit_bytes: int
    unit_rows: int


@dataclass(frozen=True)
class Prepared:
    """A job and its plan.

    Attributes:
        job: the job.
        units: its units, in order.
        expected: about how many rows each unit has; None where the file does not say.
        failed: files that cannot be read or have other columns than the first, and why.
    """

    job: Job
    units: tuple[Unit, ...]
    expected: tuple[float | None, ...]
    failed: tuple[Failure, ...]


def listed(inputs: Any, out: str) -> list[Found]:
    """Return the files of a table, sorted by their paths.

    Args:
        inputs: a path or URL, a pattern, a folder, or several.
        out: the output, which must not be among them.

    Raises:
        DataError: nothing is found.
        ConfigError: ``inputs`` is neither, or the output is in a folder of the inputs.
    """
    given = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise ConfigError(
            f"inputs is a value of type {type(inputs).__name__}.",
            accepted={"inputs": "a path, a pattern such as data/*.parquet, a folder, a URL, or a list of these"},
            fix='inputs="data/*.parquet"',
        )
    found: dict[str, Found] = {}
    for one in given:
        source = plain_path(one)
        here = stored_at(source) if is_url(source) or exists(Path(source)) or glob.has_magic(source) else []
        if not glob.has_magic(source) and [each.path for each in here] != [source]:  # what a folder holds
            here = [each for each in here if _is_table(each.path)]
        if not here:
            raise DataError(
                f"there are no tables at {one}.",
                accepted={"formats": ", ".join(FORMATS)},
                fix="check the spelling" if is_url(source) else spelling(Path(source)),
            )
        found |= {each.path: each for each in here}
    inside = next((path for path in found if path.startswith(f"{out}/")), None)
    if inside is not None:
        raise ConfigError(f"the output {out} holds the input {inside}.", fix=_ANOTHER_FOLDER)
    return sorted(found.values())


def _is_table(path: str) -> bool:
    name = PurePosixPath(path.casefold())
    return (PurePosixPath(name.stem).suffix if name.suffix in COMPRESSED else name.suffix) in FORMATS


def prepare(asked: Asked, classifier: Model, tell: Callable[[str], None] | None = None) -> Prepared:
    """List and open the files, and choose columns and settings.

    Args:
        asked: what the caller asks for.
        classifier: the model.
        tell: called with a line that names the columns that are read.

    Raises:
        DataError: no file can be read, or the first has not the columns that are asked for.
        ConfigError: a setting is unknown or does not fit the model.
    """
    questions = isinstance(classifier, AnswerClassifier)
    found = listed(asked.inputs, asked.out)
    with ThreadPoolExecutor(_OPENERS) as pool:
        opened = list(pool.map(lambda each: _opened(each, asked, questions), found))
    first = next((each for each in opened if isinstance(each, Source)), None)
    if first is None:
        raise next(each for each in opened if isinstance(each, LiteftError))
    lists = first.kind not in ("csv", "tsv", "txt")
    named: dict[str, Any] = {"text": asked.text, "pair": asked.pair, "lists": lists}
    columns = text_columns(first.columns, classifier, source=first.found.path, **named)
    if tell is not None and first.kind != "txt":
        tell(reading_line(columns, f"{len(found):,} files" if len(found) > 1 else first.found.path))
    settings = {"columns": columns, **asked.scoring, "token_budget": None}
    if not shows_all():  # workers elsewhere cannot ask a function of this process
        settings["texts"] = "hidden"
        _refuse_texts(asked.keep, columns)
        asked = replace(asked, keep=asked.keep or ())
    scorer = row_scorer(classifier, **settings)
    schema = _kept(first, asked.keep)
    scorer.check_names(schema.names, first.found.path)
    job = Job(
        artifact=str(classifier.path),
        loading={},
        sha256=artifact_hash(classifier),
        settings={**settings, "threshold": scorer.settings["threshold"]},  # an array has become a list
        determining={**scorer.settings, "schema": str(schema)},
        schema=base64.b64encode(schema.serialize()).decode(),
        questions=questions,
        out=asked.out,
    )
    units: list[Unit] = []
    expected: list[float | None] = []
    failed: list[Failure] = []
    for each, source in zip(found, opened, strict=True):
        wrong = source if isinstance(source, LiteftError) else _mismatch(source, first, columns, schema)
        if wrong is not None:
            failed.append(failure_of(_whole(each), wrong, again=False))
        elif isinstance(source, Source):
            new = units_of(source, unit_bytes=asked.unit_bytes, unit_rows=asked.unit_rows)
            units += new
            expected += [unit.size / source.row_bytes if source.row_bytes else unit.rows for unit in new]
    return Prepared(job, tuple(units), tuple(expected), tuple(failed))


def _refuse_texts(keep: Sequence[str] | None, columns: Sequence[str]) -> None:
    """Refuse to keep the texts of a table where texts are hidden.

    Raises:
        ConfigError: ``keep`` names a column of texts.
    """
    texts = [name for name in keep or () if name in columns]
    if texts:
        raise ConfigError(
            f"keep names {texts[0]!r}, which holds the texts, and texts are hidden.",
            accepted={"keep": "columns without texts, such as an id"},
            fix=leave_out("keep"),
        )


def _opened(found: Found, asked: Asked, questions: bool) -> Source | LiteftError:
    try:
        return open_source(found, encoding=asked.encoding, delimiter=asked.delimiter, questions=questions)
    except DataError as error:
        return error


def _whole(found: Found) -> Unit:
    """Return the unit that stands for a file that cannot be planned."""
    return Unit(found.path, found.bytes, found.version, "whole", 0, 0, found.bytes, found.bytes, None)


def _kept(first: Source, keep: Sequence[str] | None) -> Any:
    """Return the pyarrow schema of the columns to keep, as the first file has them.

    Raises:
        DataError: it does not have one.
    """
    arrow = require_pyarrow("scoring tables")
    names = first.columns if keep is None else tuple(dict.fromkeys(keep))
    for name in names:
        if name not in first.columns:
            near = closest(name, first.columns)
            raise DataError(
                f"{first.found.path} has no column {name!r}.",
                accepted={"columns": ", ".join(shown_names(first.columns))},
                fix=option("keep", [near] if near else list(first.columns[:1])),
            )
        if name not in first.schema.names:
            raise DataError(
                f"{first.found.path}: column {name!r} holds values of several types, which one Parquet column cannot.",
                fix=[
                    option("keep", [each for each in names if each in first.schema.names], note=", without it"),
                    "write one type into it",
                ],
            )
    return arrow.schema([first.schema.field(name) for name in names])


def _mismatch(source: Source, first: Source, texts: Sequence[str], schema: Any) -> DataError | None:
    """Return the error for a file whose columns differ from those of the first; None if they agree."""
    missing = next((name for name in [*texts, *schema.names] if name not in source.columns), None)
    if missing is not None and source.kind != "jsonl":
        return DataError(
            f"{source.found.path} has no column {missing!r}.",
            accepted={"columns": ", ".join(shown_names(source.columns)), "first file": first.found.path},
            fix="score it by a call of its own",
        )
    if source.kind == "jsonl":  # its values have to fit, row by row
        return None
    for field in schema:
        kind = source.schema.field(field.name).type
        if kind != field.type:
            return DataError(
                f"{source.found.path}: column {field.name!r} is of type {kind}.",
                accepted={field.name: f"{field.type}, as in {first.found.path}"},
                fix=[option("keep", list(schema.names[:1]), note=", without that column"), "write both with one type"],
            )
    return None
