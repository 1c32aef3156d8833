"""``liteft export``: a trained classifier becomes a verified artifact."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from liteft.cli import options as o

Source = Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A finished run, or a classifier's folder.")]
Precision = Annotated[
    str | None, typer.Option("--precision", metavar="KIND", help="int8 (if left out), fp16 or fp32.")
]
Flat = Annotated[
    bool, typer.Option("--flat", help="Many standard nodes instead of one node with its definition in the file.")
]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="TARGET", help="edge: for phones and browsers, flat, for transformers.js."),
]
Split = Annotated[str, typer.Option("--split", metavar="NAME", help="Texts to verify on.")]


@o.flat
def export(
    *,
    source: Source,
    out: o.Out,
    precision: Precision = None,
    flat: Flat = False,
    target: Target = None,
    data: o.Data = None,
    split: Split = "validation",
    reading: o.Reading,
    settings: o.Settings,
    output: o.Output,
) -> None:
    """Export a trained classifier to verified ONNX.

    Without --data, a run is verified on the data that it was trained on.
    """
    from liteft.cli.settings import data_of_models, resolve
    from liteft.cli.summary import artifact_document, artifact_text
    from liteft.report.gold import find_gold
    from liteft.report.subjects import find_subjects

    form = {"precision": precision, "flat": flat or None, "target": target}
    recipe = resolve(settings, data={"source": data, **asdict(reading)}, export=form)
    console = output.console()
    on, how = data_of_models(recipe, [source])
    gold = find_gold(on, find_subjects([source]), split=split, settings=how)
    import liteft

    artifact = liteft.export(
        source,
        out,
        precision=recipe.export.precision,
        flat=recipe.export.flat,
        target=recipe.export.target,
        verify=gold.split,
        progress=console.progress,
    )
    console.result(
        artifact_text(artifact), artifact_document(artifact), following=["liteft", "predict", out, "a text"]
    )
