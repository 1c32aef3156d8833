"""Flags of what a command answers: predictions of files and texts, and comparisons."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_answers = panel("Predictions")
_comparison = panel("Comparison")

InputFile = Annotated[
    str | None, _answers("--input", metavar="FILE", help="A csv, tsv, jsonl, parquet or txt file to classify.")
]
OutputFile = Annotated[str | None, _answers("--output", metavar="FILE", help="Where its rows go, with labels.")]
PairText = Annotated[
    list[str] | None,
    _answers("--pair-text", metavar="TEXT", help="For models of pairs: the second text, once for each TEXT."),
]
TopK = Annotated[int | None, _answers("--top-k", metavar="K", help="Also give the K best labels.")]
Threshold = Annotated[
    float | None,
    _answers("--threshold", metavar="SCORE", help="Multi-label: what a label's score must pass; 0.5 if left out."),
]
OnError = Annotated[
    str, _answers("--on-error", metavar="KIND", help="A row without a usable text: raise, or null for a null label.")
]
Prefix = Annotated[str, _answers("--prefix", metavar="NAME", help="Goes before the names of added columns.")]
Restart = Annotated[bool, _answers("--restart", help="Begin anew instead of going on.")]

Rounds = Annotated[int, _comparison("--rounds", metavar="N", help="Timings of each model; 0 for none.")]
Seconds = Annotated[float, _comparison("--seconds", metavar="S", help="About how long one timing takes.")]
Picture = Annotated[
    str | None, _comparison("--picture", metavar="FILE", help="Draw quality against latency: png, svg or pdf.")
]
