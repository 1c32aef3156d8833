"""Flags of the data set: where it lies, and how its files are read."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_data = panel("Data")

Data = Annotated[
    str | None,
    _data(
        "--data", metavar="DATA", help="Labelled text: a file, a folder of train, dev and test files, or a hub name."
    ),
]
On = Annotated[
    str | None,
    _data("--on", metavar="DATA", help="Labelled text to compare on; what the first run was trained on if left out."),
]
Split = Annotated[
    str, _data("--split", metavar="NAME", help="The split whose texts are read: train, validation, test, or all.")
]
Unlabeled = Annotated[
    str | None,
    _data(
        "--unlabeled",
        metavar="FILE",
        help="More texts, without labels: to distil with, to verify on, and whose tokens are kept.",
    ),
]
Task = Annotated[
    str | None,
    _data(
        "--task", metavar="TASK", help="single_label or multi_label; seen in the labels, or in the model, if left out."
    ),
]
Text = Annotated[str | None, _data("--text", metavar="COLUMN", help="Column of the text.")]
Pair = Annotated[str | None, _data("--pair", metavar="COLUMN", help="Column of the second text; '' for none.")]
Label = Annotated[
    list[str] | None,
    _data("--label", metavar="COLUMN", help="Column of the label or of lists; A,B: columns of 0 and 1."),
]
LabelNames = Annotated[
    str | None, _data("--label-names", metavar="A,B", help="What integers and 0/1 vectors stand for.")
]
LabelSeparator = Annotated[
    str | None, _data("--label-separator", metavar="CHARS", help="Splits a cell into several labels.")
]
Encoding = Annotated[str | None, _data("--encoding", metavar="NAME", help="Encoding of text files; UTF-8 if left out.")]
Delimiter = Annotated[
    str | None, _data("--delimiter", metavar="CHAR", help="Delimiter of csv; seen in its first line.")
]
MaxChars = Annotated[
    int | None, _data("--max-chars", metavar="N", help="Longest text to train on; a longer one is an error.")
]
DropLong = Annotated[bool | None, _data("--drop-long", help="Leave longer texts out instead.")]
DropEmpty = Annotated[bool | None, _data("--drop-empty", help="Leave rows out that have no text or no label.")]
ValidationFraction = Annotated[
    float | None,
    _data(
        "--validation-fraction",
        metavar="X",
        help="Share of train that becomes validation, where that is missing; 0.1 if left out.",
    ),
]
TestFraction = Annotated[
    float | None,
    _data(
        "--test-fraction", metavar="X", help="Share of train that becomes test, where that is missing; 0.1 if left out."
    ),
]
