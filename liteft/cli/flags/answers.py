"""Flags of what a command answers: predictions of files and texts, comparisons, and advice."""

from __future__ import annotations

from typing import Annotated

import typer

from liteft.cli.flags.panels import panel

_answers = panel("Predictions")
_tables = panel("Tables")
_comparison = panel("Comparison")
_advice = panel("Advice")

ArtifactFolder = Annotated[
    str, typer.Argument(metavar="ARTIFACT", help="An artifact's folder, or one that liteft distill wrote.")
]
InputFile = Annotated[
    str | None,
    _answers("--input", metavar="FILE", help="File to classify: csv, tsv, jsonl, json, parquet, txt or conll."),
]
OutputFile = Annotated[
    str | None,
    _answers(
        "--output",
        metavar="FILE",
        help="File for the rows of --input with predictions: csv, tsv, jsonl or parquet; of words jsonl, parquet or "
        "conll.",
    ),
]
PairText = Annotated[
    list[str] | None,
    _answers(
        "--pair-text",
        metavar="TEXT",
        help="For models of pairs and of questions: the second text or the context, once for each TEXT.",
    ),
]
Predicates = Annotated[
    list[int] | None,
    _answers(
        "--predicate",
        metavar="N",
        help="For models of roles: number, from 0, of the word of TEXT whose roles are found; once for each such word.",
    ),
]
TopK = Annotated[int | None, _answers("--top-k", metavar="K", help="Also give the K best labels.")]
Threshold = Annotated[
    float | None,
    _answers(
        "--threshold", metavar="SCORE", help="Multi-label: the score above which a label is given; 0.5 if left out."
    ),
]
OnError = Annotated[
    str,
    _answers(
        "--on-error", metavar="KIND", help="At a row without a usable text: raise (stop), or null (give it no label)."
    ),
]
Prefix = Annotated[str, _answers("--prefix", metavar="NAME", help="Put before the names of added columns.")]
Restart = Annotated[bool, _answers("--restart", help="Start the file again instead of resuming.")]

Tables = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Files, folders, patterns such as 'data/*.parquet', or URLs such as s3://lake/reviews/.",
    ),
]
Keep = Annotated[str | None, _tables("--keep", metavar="A,B", help="Columns of the input to keep; all if left out.")]
Workers = Annotated[
    int | None,
    _tables("--workers", metavar="N", help="Units to score at a time; if left out, what the cores allow."),
]
UnitBytes = Annotated[
    int | None, _tables("--unit-bytes", metavar="N", help="About the most bytes of a unit; 256 MiB if left out.")
]
UnitRows = Annotated[
    int | None, _tables("--unit-rows", metavar="N", help="About the most rows of a unit; 1,000,000 if left out.")
]
Plan = Annotated[bool, _tables("--plan", help="Show units, bytes and estimated hours, and score nothing.")]

Rounds = Annotated[int, _comparison("--rounds", metavar="N", help="How often to time each model; 0 for no timing.")]
Seconds = Annotated[float, _comparison("--seconds", metavar="S", help="How long one timing takes, about.")]
Picture = Annotated[
    str | None,
    _comparison("--picture", metavar="FILE", help="File for a chart of quality against latency: png, svg or pdf."),
]
Diagnose = Annotated[
    str | None,
    _comparison(
        "--diagnose",
        metavar="FOLDER",
        help="Folder for pictures of where each model is wrong: reliability, confusion, errors by length.",
    ),
]
NoFloors = Annotated[bool, _comparison("--no-floors", help="Leave out the simple models that a student has to beat.")]

Minutes = Annotated[
    float,
    _advice("--minutes", metavar="N", help="About how long it may take on one core; decides how many texts are read."),
]
