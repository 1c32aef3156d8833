"""``liteft advise``: what a data set is like, what is reachable, and what to run, without training a transformer."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import typer

from liteft.cli import groups
from liteft.cli.flags.answers import Minutes
from liteft.cli.flags.data import Task
from liteft.cli.flags.export import MaxMb, MaxMs
from liteft.cli.flags.machine import Threads
from liteft.cli.flags.models import Base, Seed

Source = Annotated[
    str | None,
    typer.Argument(metavar="DATA", help="A file, a folder of train, dev and test files, or a hub name."),
]

EXAMPLES = (
    "liteft advise reviews.csv --text body --label stars",
    "liteft advise reviews/ --base minilm --base models/bert --max-mb 10 --minutes 5",
)


@groups.flat
def advise(
    *,
    source: Source = None,
    base: Base = None,
    max_mb: MaxMb = None,
    max_ms: MaxMs = None,
    minutes: Minutes = 3.0,
    seed: Seed = None,
    threads: Threads = None,
    reading: groups.Reading,
    task: Task = None,
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Say what to expect of labelled texts and what to run, in minutes, without training a transformer.

    Cross-validates classifiers of words and a probe of each layer of each base, extends their learning curves, predicts
    the size of students, and recommends teacher, student and settings with reasons. Of the test split it reads the
    texts, to find those that are in train too, and never the labels.
    """
    from liteft.cli.settings import absolute, data_arguments, load_data, resolve

    recipe = resolve(
        settings,
        data={"source": source, "task": task, **asdict(reading)},
        search={"max_mb": max_mb, "max_ms": max_ms},
    )
    console = output.console()
    dataset = load_data(recipe, example="liteft advise reviews.csv --text COLUMN --label COLUMN")
    import liteft

    found = liteft.advise(
        dataset,
        None if not base else [absolute(each) for each in base],
        max_mb=recipe.search.max_mb,
        max_ms=recipe.search.max_ms,
        minutes=minutes,
        seed=seed or 0,
        threads=threads,
        recipe=recipe,
        progress=console.progress,
    )
    found = replace(found, data_words=tuple(data_arguments(recipe.data)))
    # The text ends with the command already.
    console.result(found.render(), found.to_dict(), following=found.command if console.as_json else ())
