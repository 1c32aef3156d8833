"""Flags of the data set: where it lies, and how its files are read."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_data = panel("Data")

Data = Annotated[
    str | None,
    _data(
        "--data", metavar="DATA", help="Labelled texts: a file, a folder of train, dev and test files, or a hub name."
    ),
]
On = Annotated[
    str | None,
    _data(
        "--on",
        metavar="DATA",
        help="Labelled texts to compare on; if left out, those that the first run was trained on.",
    ),
]
Split = Annotated[str, _data("--split", metavar="NAME", help="Split to read: train, validation, test, or all.")]
Unlabeled = Annotated[
    str | None,
    _data(
        "--unlabeled",
        metavar="FILE",
        help="More texts, without labels: to distil with, to verify on, and to choose tokens by.",
    ),
]
Task = Annotated[
    str | None,
    _data(
        "--task",
        metavar="TASK",
        help="single_label, multi_label, tokens for labels of words, answers for questions, or scores for numbers; if "
        "left out, inferred from labels or model, though labels never become scores.",
    ),
]
Text = Annotated[
    str | None,
    _data("--text", metavar="COLUMN", help="Column of the text or words; if left out, found by its usual names."),
]
Pair = Annotated[
    str | None, _data("--pair", metavar="COLUMN", help="Column of the second text, for pairs of texts; '' for none.")
]
Label = Annotated[
    list[str] | None,
    _data(
        "--label",
        metavar="COLUMN",
        help="Column of the label, lists or probabilities of labels, or tags of words; A,B for one column per label.",
    ),
]
Confidence = Annotated[
    str | None, _data("--confidence", metavar="COLUMN", help="Column of the label's probability, from 0 to 1.")
]
LabelNames = Annotated[
    str | None,
    _data("--label-names", metavar="A,B", help="Names of the labels that integers or 0/1 vectors stand for."),
]
LabelSeparator = Annotated[
    str | None, _data("--label-separator", metavar="CHARS", help="What separates several labels in one cell.")
]
Encoding = Annotated[str | None, _data("--encoding", metavar="NAME", help="Encoding of text files; UTF-8 if left out.")]
Delimiter = Annotated[
    str | None,
    _data("--delimiter", metavar="CHAR", help="Delimiter of csv files; if left out, detected in the first line."),
]
MaxChars = Annotated[
    int | None,
    _data("--max-chars", metavar="N", help="Longest text to train on, in characters; a longer one is an error."),
]
DropLong = Annotated[bool | None, _data("--drop-long", help="Drop longer texts instead of stopping at them.")]
DropEmpty = Annotated[
    bool | None, _data("--drop-empty", help="Drop rows without a text or label, or with broken spans.")
]
ValidationFraction = Annotated[
    float | None,
    _data(
        "--validation-fraction",
        metavar="X",
        help="Share of train to use as validation if there is no such split; if left out, 0.1, or 0.01 to pretrain.",
    ),
]
TestFraction = Annotated[
    float | None,
    _data(
        "--test-fraction",
        metavar="X",
        help="Share of train to use as test if there is no such split; 0 makes none; 0.1 if left out.",
    ),
]
LabelsPerClass = Annotated[
    int | None,
    _data(
        "--labels-per-class",
        metavar="N",
        help="Training rows of each label to keep; the other training texts are distilled on without their labels.",
    ),
]
SubsetSeed = Annotated[
    int | None, _data("--subset-seed", metavar="N", help="Seed by which --labels-per-class draws; 0 if left out.")
]
