"""Flags that several verbs share: one name and one meaning everywhere.

A flag left out is None and leaves the recipe's value alone. What has no flag is reached by --set.
"""

from __future__ import annotations

from typing import Annotated

import typer

# Data
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="DATA", help="A file, a folder of train, dev and test files, or a hub name."),
]
TextColumn = Annotated[str | None, typer.Option("--text", metavar="COLUMN", help="Column of the text.")]
PairColumn = Annotated[
    str | None, typer.Option("--pair", metavar="COLUMN", help="Column of the second text; '' for none.")
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="Column of the label, or of a list of labels.")
]
Task = Annotated[
    str | None, typer.Option("--task", metavar="TASK", help="single_label or multi_label; seen in the labels.")
]
Encoding = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Encoding of text files; UTF-8 if left out.")
]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", metavar="CHAR", help="Delimiter of csv; seen in its first line.")
]
MaxChars = Annotated[
    int | None,
    typer.Option("--max-chars", metavar="N", help="Longest text to train on; a longer one is an error."),
]

# Settings
RecipeFile = Annotated[
    str | None, typer.Option("--recipe", metavar="FILE", help="TOML file of settings; flags override it.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Any other setting of a recipe, as data.seed=1 or teacher.warmup=0.1. May be repeated.",
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of the training.")]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="CPU threads; the physical cores if left out.")
]

# Training
Epochs = Annotated[float | None, typer.Option("--epochs", metavar="N", help="Passes over the texts.")]
LearningRate = Annotated[
    float | None, typer.Option("--learning-rate", metavar="RATE", help="Highest learning rate, as 5e-5.")
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", metavar="N", help="Texts of one step.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", metavar="N", help="Longer texts are cut here.")]
Pooling = Annotated[
    str | None, typer.Option("--pooling", metavar="KIND", help="auto, cls or mean: what the head reads.")
]
TrainingPrecision = Annotated[
    str | None, typer.Option("--precision", metavar="KIND", help="Of the training: auto, fp32 or bf16.")
]
Optimizer = Annotated[
    str | None, typer.Option("--optimizer", metavar="NAME", help="adamw, adamw8bit, sgd or adafactor.")
]

# Running
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda.")]

# Output
Out = Annotated[str, typer.Option("--out", metavar="FOLDER", help="Where the result goes.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
