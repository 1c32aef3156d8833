"""``liteft finetune``: a pretrained base and labelled text become a teacher."""

from __future__ import annotations

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
Size = Annotated[
    str | None, typer.Option("--size", metavar="LAYERSxWIDTH", help="With --from-scratch, as 4x256.")
]
Vocabulary = Annotated[
    str | None,
    typer.Option("--vocabulary", metavar="FILE", help="With --from-scratch: vocab.txt or tokenizer.json."),
]


def finetune(
    *,
    out: o.Out,
    data: o.Data = None,
    base: Base = None,
    text: o.TextColumn = None,
    pair: o.PairColumn = None,
    label: o.Label = None,
    task: o.Task = None,
    encoding: o.Encoding = None,
    delimiter: o.Delimiter = None,
    max_chars: o.MaxChars = None,
    epochs: o.Epochs = None,
    learning_rate: o.LearningRate = None,
    batch_size: o.BatchSize = None,
    max_tokens: o.MaxTokens = None,
    pooling: o.Pooling = None,
    precision: o.TrainingPrecision = None,
    optimizer: o.Optimizer = None,
    from_scratch: FromScratch = False,
    size: Size = None,
    vocabulary: Vocabulary = None,
    seed: o.Seed = None,
    threads: o.Threads = None,
    recipe: o.RecipeFile = None,
    settings: o.Set = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Fine-tune a base on labelled text: the teacher."""
    from liteft.cli.console import Console
    from liteft.cli.settings import data_arguments, load_data, resolve
    from liteft.cli.summary import half_size, run_document, runs_table

    resolved = resolve(
        recipe,
        {
            "data": {
                "source": data,
                "text": text,
                "pair": pair,
                "label": label,
                "task": task,
                "encoding": encoding,
                "delimiter": delimiter,
                "max_chars": max_chars,
            },
            "teacher": {
                "base": base,
                "epochs": epochs,
                "learning_rate": learning_rate,
                "batch_size": batch_size,
                "max_tokens": max_tokens,
                "pooling": pooling,
                "precision": precision,
                "optimizer": optimizer,
                "from_scratch": from_scratch or None,
                "size": size,
                "vocabulary": vocabulary,
                "seed": seed,
                "threads": threads,
            },
        },
        settings,
    )
    console = Console(as_json=as_json, quiet=quiet)
    dataset = load_data(resolved)
    import liteft

    run = liteft.finetune(
        resolved.teacher.base, dataset, out=out, recipe=resolved, progress=console.progress
    )
    following = ["liteft", "distill", *data_arguments(resolved.data), "--teacher", out]
    console.result(
        runs_table([run]),
        run_document(run),
        following=[*following, "--size", half_size(run), "--out", f"{out.rstrip('/')}-distilled"],
    )
