"""``liteft compare``: models side by side, by quality, size and speed."""

from __future__ import annotations

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
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu or cuda, for all of them.")]


def compare(
    models: Models,
    on: On = None,
    split: Split = "test",
    rounds: Rounds = 5,
    seconds: Seconds = 1.0,
    picture: Picture = None,
    text: o.TextColumn = None,
    pair: o.PairColumn = None,
    label: o.Label = None,
    encoding: o.Encoding = None,
    delimiter: o.Delimiter = None,
    max_chars: o.MaxChars = None,
    threads: o.Threads = None,
    device: Device = "cpu",
    recipe: o.RecipeFile = None,
    settings: o.Set = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare models: quality, size, latency, throughput."""
    from liteft.cli.console import Console
    from liteft.cli.settings import data_of_models, resolve
    from liteft.report import compare as compare_models

    resolved = resolve(
        recipe,
        {
            "data": {
                "source": on,
                "text": text,
                "pair": pair,
                "label": label,
                "encoding": encoding,
                "delimiter": delimiter,
                "max_chars": max_chars,
            }
        },
        settings,
    )
    console = Console(as_json=as_json, quiet=quiet)
    source, how = data_of_models(resolved, models)
    comparison = compare_models(
        *models,
        on=source,
        split=split,
        rounds=rounds,
        seconds=seconds,
        threads=threads,
        device=device,
        progress=console.progress,
        **how,
    )
    if picture is not None:
        console.progress(f"drew {comparison.picture(picture)}")
    artifacts = [model.subject.path for model in comparison.models if model.subject.engine == "onnxruntime"]
    following = (
        ["liteft", "predict", str(artifacts[-1]), "a text"]
        if artifacts
        else ["liteft", "export", models[-1], "--out", f"{models[-1].rstrip('/')}-artifact"]
    )
    console.result(comparison.render(), comparison.to_dict(), following=following)
