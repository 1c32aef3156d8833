"""``liteft export``: a trained classifier becomes a verified artifact."""

from __future__ import annotations

from typing import Annotated

import typer

from liteft.cli import options as o

Source = Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A finished run, or a classifier's folder.")]
Precision = Annotated[
    str | None, typer.Option("--precision", metavar="KIND", help="int8 (if left out), fp16 or fp32.")
]
Split = Annotated[str, typer.Option("--split", metavar="NAME", help="Texts to verify on.")]


def export(
    source: Source,
    out: o.Out,
    precision: Precision = None,
    data: o.Data = None,
    split: Split = "validation",
    text: o.TextColumn = None,
    pair: o.PairColumn = None,
    label: o.Label = None,
    encoding: o.Encoding = None,
    delimiter: o.Delimiter = None,
    max_chars: o.MaxChars = None,
    recipe: o.RecipeFile = None,
    settings: o.Set = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Export a trained classifier to verified ONNX.

    Without --data, a run is verified on the data that it was trained on.
    """
    from liteft.cli.console import Console
    from liteft.cli.settings import data_of_models, resolve
    from liteft.cli.summary import artifact_document, artifact_text
    from liteft.report.gold import find_gold
    from liteft.report.subjects import find_subjects

    resolved = resolve(
        recipe,
        {
            "data": {
                "source": data,
                "text": text,
                "pair": pair,
                "label": label,
                "encoding": encoding,
                "delimiter": delimiter,
                "max_chars": max_chars,
            },
            "export": {"precision": precision},
        },
        settings,
    )
    console = Console(as_json=as_json, quiet=quiet)
    on, how = data_of_models(resolved, [source])
    gold = find_gold(on, find_subjects([source]), split=split, settings=how)
    import liteft

    artifact = liteft.export(
        source, out, precision=resolved.export.precision, verify=gold.split, progress=console.progress
    )
    console.result(
        artifact_text(artifact), artifact_document(artifact), following=["liteft", "predict", out, "a text"]
    )
