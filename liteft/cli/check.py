"""``liteft check``: report what a data set contains and how it is read, before training on it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from liteft.cli import groups
from liteft.cli.flags.data import Task

Source = Annotated[
    str | None,
    typer.Argument(metavar="DATA", help="A file, a folder of train, dev and test files, or a hub name."),
]

EXAMPLES = (
    "liteft check reviews.csv --text body --label stars",
    "liteft check reviews/ --label joy,anger --json",
)


@groups.flat
def check(
    *,
    source: Source = None,
    reading: groups.Reading,
    task: Task = None,
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Check labelled texts: rows, labels, lengths, duplicates, leaks between splits, and every automatic choice.

    Every training prints the same report first; this command needs neither a model nor torch. Lengths are in words.
    """
    from liteft.cli.settings import data_arguments, load_data, resolve
    from liteft.data import check_dataset

    recipe = resolve(settings, data={"source": source, "task": task, **asdict(reading)})
    found = check_dataset(load_data(recipe, example="liteft check reviews.csv --text COLUMN --label COLUMN"))
    document = found.to_dict()
    for part in ("notes", "warnings"):
        document[part] = [getattr(line, "command", line) for line in document[part]]
    following = ["liteft", "finetune", *data_arguments(recipe.data), "--base", "minilm", "--out", "runs/teacher"]
    output.console().result(found.render(), document, following=following)
