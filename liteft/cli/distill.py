"""``liteft distill``: the whole way, from labelled text and a base to a verified artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast, get_args

import typer

from liteft.cli import options as o
from liteft.errors import ConfigError, closest

Stage = Literal["teacher", "student", "artifact"]

Teacher = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="BASE_OR_RUN",
        help="A base to fine-tune first (folder, hub name, minilm), or a finished run or classifier.",
    ),
]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="LAYERSxWIDTH", help="The student's, as 3x384; or 3, with the teacher's width."),
]
Student = Annotated[
    str | None,
    typer.Option("--student", metavar="FOLDER", help="Start the student from this encoder instead of the teacher."),
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", metavar="LAYERS", help="Teacher layers to copy: auto, first, spread, ends or 0,2,5."),
]
Until = Annotated[
    str, typer.Option("--until", metavar="STAGE", help="Stop after the teacher or the student; or artifact.")
]
Unlabeled = Annotated[
    str | None, typer.Option("--unlabeled", metavar="FILE", help="More texts to distil with, without labels.")
]
Control = Annotated[
    bool, typer.Option("--control", help="Also train the same student without a teacher, to see what it brings.")
]
Seeds = Annotated[int | None, typer.Option("--seeds", metavar="N", help="Students to train, a seed each.")]
ExportPrecision = Annotated[
    str | None, typer.Option("--export-precision", metavar="KIND", help="Of the artifact: int8, fp16 or fp32.")
]


def distill(
    *,
    out: o.Out,
    data: o.Data = None,
    teacher: Teacher = None,
    size: Size = None,
    student: Student = None,
    layers: Layers = None,
    until: Until = "artifact",
    unlabeled: Unlabeled = None,
    control: Control = False,
    seeds: Seeds = None,
    export_precision: ExportPrecision = None,
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
    seed: o.Seed = None,
    threads: o.Threads = None,
    recipe: o.RecipeFile = None,
    settings: o.Set = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Distil a student and export it: the whole way.

    --epochs, --learning-rate and --batch-size are the student's; the teacher's are --set teacher.epochs=3 and so
    on. --precision, --optimizer, --seed and --threads hold for both.
    """
    from liteft.cli.console import Console
    from liteft.cli.settings import absolute, load_data, parse_layers, resolve
    from liteft.cli.summary import outcome_document, outcome_text

    both = {"precision": precision, "optimizer": optimizer, "seed": seed, "threads": threads}
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
            "teacher": {"max_tokens": max_tokens, "pooling": pooling, **both},
            "student": {
                "size": size,
                "student": student,
                "layers": parse_layers(layers),
                "epochs": epochs,
                "learning_rate": learning_rate,
                "batch_size": batch_size,
                "unlabeled": unlabeled,
                "control": control or None,
                "seeds": seeds,
                **both,
            },
            "export": {"precision": export_precision},
        },
        settings,
    )
    stage = _stage(until)
    source = teacher or resolved.teacher.base
    if source is None:
        raise ConfigError(
            "no teacher was named.",
            accepted={"teacher": "a base to fine-tune (folder or hub name), a finished run, or a classifier"},
            fix=["--teacher minilm", "--teacher RUN"],
        )
    console = Console(as_json=as_json, quiet=quiet)
    dataset = load_data(resolved)
    from liteft.pipeline import run_pipeline

    outcome = run_pipeline(
        resolved,
        out=Path(out),
        teacher=absolute(source),
        data=dataset,
        until=stage,
        progress=console.progress,
    )
    first = absolute(source) if outcome.teacher is None else outcome.teacher.path
    models = [first, *(run.path for run in (*outcome.students, *outcome.controls))]
    models += [] if outcome.artifact is None else [outcome.artifact.path]
    following = ["liteft", "compare", *map(str, models), "--on", str(resolved.data.source)]
    console.result(outcome_text(outcome), outcome_document(outcome), following=following)


def _stage(name: str) -> Stage:
    stages = get_args(Stage)
    if name not in stages:
        near = closest(name, stages)
        raise ConfigError(
            f"there is no stage {name!r} to stop after.",
            accepted={"--until": ", ".join(stages)},
            fix=f"--until {near}" if near else (),
        )
    return cast(Stage, name)
