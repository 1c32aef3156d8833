"""``liteft compare``: compare models by quality, size and speed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from liteft.cli import groups
from liteft.cli.flags.answers import Diagnose, NoFloors, Picture, Rounds, Seconds
from liteft.cli.flags.data import On, Split, Task
from liteft.cli.flags.machine import Device, Threads, Trust
from liteft.cli.flags.models import Activation, Labels

Models = Annotated[
    list[str],
    typer.Argument(metavar="MODEL", help="Runs, artifacts and model folders; the others are compared with the first."),
]

EXAMPLES = (
    "liteft compare runs/reviews/teacher runs/reviews/student runs/reviews/artifact",
    "liteft compare runs/teacher runs/artifact --on reviews.csv --split all --rounds 0 --json",
)


@groups.flat
def compare(
    *,
    models: Models,
    on: On = None,
    split: Split = "test",
    rounds: Rounds = 5,
    seconds: Seconds = 1.0,
    threads: Threads = None,
    device: Device = "cpu",
    picture: Picture = None,
    diagnose: Diagnose = None,
    no_floors: NoFloors = False,
    task: Task = None,
    labels: Labels = None,
    activation: Activation = None,
    trust: Trust = False,
    reading: groups.Reading,
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Compare models side by side: quality with confidence intervals, size, latency and throughput.

    Takes runs, artifacts and folders that transformers wrote, in any order. The others are compared with the first.
    Floors, simple models that a student has to beat, are added where the data is what a run was trained on.
    """
    from liteft.cli.settings import data_of_models, resolve, said_of_model
    from liteft.report import compare as compare_models
    from liteft.report.diagnosis_pictures import draw_diagnoses, require_folder
    from liteft.report.picture import draw, require_drawable

    recipe = resolve(settings, data={"source": on, **asdict(reading)})
    if picture is not None:
        require_drawable(Path(picture))  # before minutes of measuring
    if diagnose is not None:
        require_folder(diagnose)
    console = output.console()
    models = [console.artifact_of(model) for model in models]
    source, how = data_of_models(recipe, models)
    said = said_of_model(labels, task, reading.pair, activation)
    comparison = compare_models(
        *models,
        on=source,
        split=split,
        rounds=rounds,
        seconds=seconds,
        threads=threads,
        device=device,
        labels=said.labels,
        task=said.task,
        paired=said.paired,
        activation=said.activation,
        trust=trust,
        floors=False if no_floors else None,
        diagnose=diagnose is not None,
        progress=console.progress,
        **how,
    )
    if picture is not None:
        console.progress(f"drew {draw(comparison, picture)}")
    if diagnose is not None:
        for path in draw_diagnoses(comparison, diagnose):
            console.progress(f"drew {path}")
    artifacts = [model.subject.path for model in comparison.models if model.subject.engine == "onnxruntime"]
    following = (
        groups.predicting(artifacts[-1], trust=trust)
        if artifacts
        else ["liteft", "export", models[-1], "--out", f"{models[-1].rstrip('/')}-artifact", *groups.trusting(trust)]
    )
    console.result(comparison.render(), comparison.to_dict(), following=following)
