"""``liteft compare``: models side by side, by quality, size and speed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from liteft.cli import options as o

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Runs, classifiers and artifacts; the first is the measure.")
]
On = Annotated[
    str | None,
    typer.Option("--on", "--data", metavar="DATA", help="Labelled texts; a run's own data if left out."),
]
Split = Annotated[
    str, typer.Option("--split", metavar="NAME", help="test, validation, train, or all rows of one file.")
]
Rounds = Annotated[int, typer.Option("--rounds", metavar="N", help="Timings of each model; 0 for none.")]
Seconds = Annotated[float, typer.Option("--seconds", metavar="S", help="About how long one timing takes.")]
Picture = Annotated[
    str | None, typer.Option("--picture", metavar="FILE", help="Draw quality against latency: png, svg or pdf.")
]
Task = Annotated[
    str | None, typer.Option("--task", metavar="TASK", help="Of a model from elsewhere: single_label or multi_label.")
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu or cuda, for all of them.")]


@o.flat
def compare(
    *,
    models: Models,
    on: On = None,
    split: Split = "test",
    rounds: Rounds = 5,
    seconds: Seconds = 1.0,
    threads: o.Threads = None,
    device: Device = "cpu",
    picture: Picture = None,
    task: Task = None,
    labels: o.Labels = None,
    trust: o.Trust = False,
    reading: o.Reading,
    settings: o.Settings,
    output: o.Output,
) -> None:
    """Compare models: quality, size, latency, throughput."""
    from liteft.cli.settings import data_of_models, resolve, said_of_model
    from liteft.report import compare as compare_models
    from liteft.report.picture import draw, require_drawable

    recipe = resolve(settings, data={"source": on, **asdict(reading)})
    if picture is not None:
        require_drawable(Path(picture))  # before minutes of measuring
    console = output.console()
    models = [console.artifact_of(model) for model in models]
    source, how = data_of_models(recipe, models)
    said = said_of_model(labels, task, reading.pair)
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
        trust=trust,
        progress=console.progress,
        **how,
    )
    if picture is not None:
        console.progress(f"drew {draw(comparison, picture)}")
    artifacts = [model.subject.path for model in comparison.models if model.subject.engine == "onnxruntime"]
    following = (
        ["liteft", "predict", str(artifacts[-1]), "a text", *o.trusting(trust)]
        if artifacts
        else ["liteft", "export", models[-1], "--out", f"{models[-1].rstrip('/')}-artifact", *o.trusting(trust)]
    )
    console.result(comparison.render(), comparison.to_dict(), following=following)
