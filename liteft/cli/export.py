"""``liteft export``: a trained classifier becomes a verified artifact."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from liteft.cli import options as o

Source = Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A finished run, or a classifier's folder.")]
Precision = Annotated[str | None, typer.Option("--precision", metavar="KIND", help="int8 (if left out), fp16 or fp32.")]
Flat = Annotated[
    bool, typer.Option("--flat", help="Many standard nodes instead of one node with its definition in the file.")
]
Scheme = Annotated[
    str | None,
    typer.Option("--scheme", metavar="KIND", help="Of int8: per_row (if left out), or static, from a calibration."),
]
Calibration = Annotated[
    str | None, typer.Option("--calibration", metavar="KIND", help="Of static: percentile (if left out), or mse.")
]
WeightBits = Annotated[
    int | None,
    typer.Option("--weight-bits", metavar="N", help="Of int8: 8, or 7 for ONNX Runtime on x86-64 without VNNI."),
]
EmbeddingBits = Annotated[
    int | None, typer.Option("--embedding-bits", metavar="N", help="Of int8's word embeddings: 8, or 4: half.")
]
MaxDrop = Annotated[
    float | None, typer.Option("--max-drop", metavar="POINTS", help="Accuracy that may be lost; 0.5 if left out.")
]
Mixed = Annotated[
    bool, typer.Option("--mixed", help="Where int8 loses more, keep the worst products in float until it does not.")
]
Vocabulary = Annotated[
    int | None,
    typer.Option("--vocabulary", metavar="N", help="Keep at most N pieces, those that the training texts use: 8000."),
]
Unlabeled = Annotated[
    str | None,
    typer.Option("--unlabeled", metavar="FILE", help="More texts whose labels must agree, and whose pieces are kept."),
]
Target = Annotated[
    str | None,
    typer.Option("--target", metavar="TARGET", help="edge: for phones and browsers, flat, for transformers.js."),
]
Task = Annotated[
    str | None, typer.Option("--task", metavar="TASK", help="Of a model from elsewhere: single_label or multi_label.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", help="Cut texts here; at what the model states if left out.")
]
Split = Annotated[str, typer.Option("--split", metavar="NAME", help="Texts to verify on.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an artifact of another form or model.")]


@o.flat
def export(
    *,
    source: Source,
    out: o.Out,
    precision: Precision = None,
    scheme: Scheme = None,
    calibration: Calibration = None,
    weight_bits: WeightBits = None,
    embedding_bits: EmbeddingBits = None,
    max_drop: MaxDrop = None,
    mixed: Mixed = False,
    flat: Flat = False,
    vocabulary: Vocabulary = None,
    target: Target = None,
    task: Task = None,
    labels: o.Labels = None,
    max_tokens: MaxTokens = None,
    data: o.Data = None,
    split: Split = "validation",
    unlabeled: Unlabeled = None,
    overwrite: Overwrite = False,
    trust: o.Trust = False,
    reading: o.Reading,
    settings: o.Settings,
    output: o.Output,
) -> None:
    """Export a trained classifier to verified ONNX.

    Without --data, a run is verified on the data that it was trained on. Static int8 is calibrated on training texts.
    Of a model that LiteFT did not train, --task, --pair, --labels and --max-tokens say what its config.json does not.
    """
    from liteft.artifact import refuse_artifact
    from liteft.cli.settings import data_of_models, resolve, said_of_model
    from liteft.cli.summary import artifact_document, artifact_text
    from liteft.data import load_unlabeled
    from liteft.report.gold import find_gold, find_test
    from liteft.report.subjects import find_subjects

    form = {
        "precision": precision,
        "scheme": scheme,
        "calibration": calibration,
        "weight_bits": weight_bits,
        "embedding_bits": embedding_bits,
        "max_drop": max_drop,
        "mixed": mixed or None,
        "flat": flat or None,
        "vocabulary": vocabulary,
        "target": target,
    }
    recipe = resolve(settings, data={"source": data, **asdict(reading)}, export=form)
    refuse_artifact(source)
    console = output.console()
    on, how = data_of_models(recipe, [source])
    said, chosen = said_of_model(labels, task, reading.pair), recipe.export
    subjects = find_subjects([source], said=said)
    gold = find_gold(on, subjects, split=split, settings=how)
    (subject,) = gold.subjects
    for note in gold.named:
        console.progress(note)
    static = chosen.precision == "int8" and chosen.scheme == "static"
    import liteft

    more = None if unlabeled is None else load_unlabeled(unlabeled)
    whole = on if split == "all" else gold.dataset  # whose other splits need not be read anew
    train = find_gold(whole, subjects, split="train", settings=how).split if static or chosen.vocabulary else None
    test = gold.split if split == "test" else find_test(whole, gold.subjects, split=split, settings=how)
    artifact = liteft.export(
        source,
        out,
        task=said.task,
        paired=None if subject.own else said.paired,
        labels=said.labels if subject.own else subject.labels,
        max_tokens=max_tokens,
        precision=chosen.precision,
        scheme=chosen.scheme,
        weight_bits=chosen.weight_bits,
        embedding_bits=chosen.embedding_bits,
        calibrate=train if static else None,
        calibration=chosen.calibration,
        mixed=chosen.mixed,
        flat=chosen.flat,
        vocabulary=chosen.vocabulary,
        fill_vocabulary=chosen.fill_vocabulary,
        texts=[each for each in (train, more) if each is not None],
        target=chosen.target,
        verify=gold.split,
        unlabeled=more,
        test=test,
        limits=liteft.Limits(accuracy_drop=chosen.max_drop / 100),
        overwrite=overwrite,
        trust=trust,
        progress=console.progress,
    )
    following = ["liteft", "predict", out, "a text", *o.trusting(trust)]
    console.result(artifact_text(artifact), artifact_document(artifact), following=following)
