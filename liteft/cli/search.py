"""``liteft search``: find the best student within a budget of megabytes, milliseconds and points of accuracy."""

from __future__ import annotations

from dataclasses import asdict

import typer

from liteft.cli import groups
from liteft.cli.flags.data import Data, Task
from liteft.cli.flags.machine import Engine, Out, Trust
from liteft.cli.flags.models import Labels, Teacher, VocabularyMinCount

EXAMPLES = (
    "liteft search --data reviews.csv --teacher minilm --max-mb 9.5 --out runs/small",
    "liteft search --data reviews/ --teacher runs/teacher --max-ms 2 --max-drop 1 --out runs/fast",
)


@groups.flat
def search(
    *,
    data: Data = None,
    teacher: Teacher = None,
    budget: groups.Budget,
    out: Out,
    start: groups.Start,
    form: groups.Form,
    vocabulary_min_count: VocabularyMinCount = None,
    trust: Trust = False,
    reading: groups.Reading,
    task: Task = None,
    labels: Labels = None,
    training: groups.Training,
    head: groups.Head,
    adapter: groups.Adapter,
    machine: groups.Machine,
    engine: Engine = "local",
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Search for the best student within a budget: layers, width, vocabulary and precision, the cheapest first.

    Needs at least one of --max-mb, --max-ms and --max-drop; --size restricts the search to one shape. The other flags
    are those of liteft distill. Repeating the command resumes where it stopped; with another budget, it reuses what was
    trained and measured. The exit status is 1 if nothing is within the budget.
    """
    from liteft.cli.settings import load_data, resolve, said_of_model, teacher_of
    from liteft.recipe_checks import require_budget

    named = said_of_model(labels).labels
    bits = None if form.embedding_bits is None else [form.embedding_bits]
    recipe = resolve(
        settings,
        data={"source": data, "task": task, **asdict(reading)},
        teacher={**asdict(head), **asdict(adapter), **asdict(machine), "labels": named and list(named)},
        student={**start.table(), **asdict(training), **asdict(machine)},
        export={**asdict(form), "vocabulary_min_count": vocabulary_min_count},
        search={**asdict(budget), "embedding_bits": bits},
    )
    source = teacher_of(recipe, teacher)
    require_budget(recipe.search)
    console = output.console()
    dataset = load_data(recipe)  # before torch is imported, so that a misspelt column is reported at once
    import liteft

    found = liteft.search(
        source, dataset, out=out, recipe=recipe, trust=trust, engine=engine, progress=console.progress
    )
    following = [] if found.artifact is None else groups.predicting(found.artifact, trust=trust)
    console.result(found.render(), found.to_dict(), following=following)
    if found.winner is None:
        raise typer.Exit(1)
