"""``liteft finetune``: a pretrained base and labelled text become a teacher."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from liteft.cli import options as o

Base = Annotated[
    str | None,
    typer.Option("--base", metavar="BASE", help="A model folder, a hub name, or minilm for the bundled one."),
]
FromScratch = Annotated[
    bool, typer.Option("--from-scratch", help="Random weights, with --size and --vocabulary, instead of a base.")
]
Size = Annotated[str | None, typer.Option("--size", metavar="LAYERSxWIDTH", help="With --from-scratch, as 4x256.")]
Vocabulary = Annotated[
    str | None,
    typer.Option("--vocabulary", metavar="FILE", help="With --from-scratch: vocab.txt or tokenizer.json."),
]


@o.flat
def finetune(
    *,
    data: o.Data = None,
    base: Base = None,
    out: o.Out,
    reading: o.Reading,
    task: o.Task = None,
    training: o.Training,
    head: o.Head,
    adapter: o.Adapter,
    machine: o.Machine,
    from_scratch: FromScratch = False,
    size: Size = None,
    vocabulary: Vocabulary = None,
    settings: o.Settings,
    output: o.Output,
) -> None:
    """Fine-tune a base on labelled text: the teacher."""
    from liteft.cli.settings import data_arguments, load_data, resolve
    from liteft.cli.summary import half_size, run_document, runs_table
    from liteft.config import require_teacher

    start = {"base": base, "from_scratch": from_scratch or None, "size": size, "vocabulary": vocabulary}
    recipe = resolve(
        settings,
        data={"source": data, "task": task, **asdict(reading)},
        teacher={**start, **asdict(training), **asdict(head), **asdict(adapter), **asdict(machine)},
    )
    require_teacher(recipe.teacher)
    console = output.console()
    dataset = load_data(recipe)  # before torch: a misspelt column need not wait for it
    import liteft

    run = liteft.finetune(recipe.teacher.base, dataset, out=out, recipe=recipe, progress=console.progress)
    following = ["liteft", "distill", *data_arguments(recipe.data), "--teacher", out]
    following += ["--size", half_size(run), "--out", f"{out.rstrip('/')}-distilled"]
    console.result(runs_table([run]), run_document(run), following=following)
