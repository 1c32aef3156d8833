"""``liteft export``: a trained classifier becomes a verified artifact."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from liteft.cli import options as o
from liteft.errors import ConfigError

Source = Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A finished run, or a classifier's folder.")]
Precision = Annotated[
    str | None, typer.Option("--precision", metavar="KIND", help="int8 (if left out), fp16 or fp32.")
]
Flat = Annotated[
    bool, typer.Option("--flat", help="Many standard nodes instead of one node with its definition in the file.")
]
Vocabulary = Annotated[
    int | None,
    typer.Option("--vocabulary", metavar="N", help="Keep at most N pieces, those that the training texts use: 8000."),
]
Unlabeled = Annotated[
    str | None, typer.Option("--unlabeled", metavar="FILE", help="More texts, whose pieces --vocabulary keeps too.")
]
Split = Annotated[str, typer.Option("--split", metavar="NAME", help="Texts to verify on.")]


@o.flat
def export(
    *,
    source: Source,
    out: o.Out,
    precision: Precision = None,
    flat: Flat = False,
    vocabulary: Vocabulary = None,
    unlabeled: Unlabeled = None,
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
    from liteft.data import load_unlabeled
    from liteft.report.gold import find_gold
    from liteft.report.subjects import find_subjects

    form = {"precision": precision, "flat": flat or None, "vocabulary": vocabulary}
    recipe = resolve(settings, data={"source": data, **asdict(reading)}, export=form)
    console = output.console()
    on, how = data_of_models(recipe, [source])
    subjects = find_subjects([source])
    gold = find_gold(on, subjects, split=split, settings=how)
    import liteft

    texts = []
    if recipe.export.vocabulary is not None:
        texts.append(find_gold(on, subjects, split="train", settings=how).split)
        texts += [] if unlabeled is None else [load_unlabeled(unlabeled)]
    elif unlabeled is not None:
        raise ConfigError("--unlabeled is for choosing the pieces of a vocabulary.", fix="--vocabulary 8000")

    artifact = liteft.export(
        source,
        out,
        precision=recipe.export.precision,
        flat=recipe.export.flat,
        vocabulary=recipe.export.vocabulary,
        texts=texts,
        verify=gold.split,
        progress=console.progress,
    )
    console.result(
        artifact_text(artifact), artifact_document(artifact), following=["liteft", "predict", out, "a text"]
    )
