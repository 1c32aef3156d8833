"""``liteft export``: turn a trained classifier into a verified artifact."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from liteft.cli import groups
from liteft.cli.flags.data import Data, Split, Task, Unlabeled
from liteft.cli.flags.export import ModelName
from liteft.cli.flags.machine import Out, Overwrite, Threads, Trust
from liteft.cli.flags.models import Activation, Labels, MaxTokens, Vocabulary, VocabularyMinCount
from liteft.errors import ConfigError, leave_out

Source = Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A finished run, or a model folder.")]

EXAMPLES = (
    "liteft export runs/student --out runs/artifact",
    "liteft export FOLDER --data reviews.csv --labels labels.txt --precision fp16 --out artifact",
)


@groups.flat
def export(
    *,
    source: Source,
    out: Out,
    form: groups.Form,
    vocabulary: Vocabulary = None,
    vocabulary_min_count: VocabularyMinCount = None,
    task: Task = None,
    labels: Labels = None,
    max_tokens: MaxTokens = None,
    activation: Activation = None,
    data: Data = None,
    split: Split = "validation",
    unlabeled: Unlabeled = None,
    name: ModelName = None,
    overwrite: Overwrite = False,
    trust: Trust = False,
    threads: Threads = None,
    reading: groups.Reading,
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Export a trained classifier to ONNX, verified against the model on real texts.

    Without --data, a run is verified on the data that it was trained on, and another model on the texts of --unlabeled,
    which show whether the export agrees with it. Static int8 is calibrated on training texts.
    With --target triton, a finished artifact becomes a model repository as well, in a folder of its own.
    For a model that LiteFT did not train, --task, --pair, --labels, --activation and --max-tokens say what its
    config.json does not.
    """
    from liteft.artifact import local_model, refuse_artifact
    from liteft.cli.serving import is_artifact, refuse_settings, write_repository
    from liteft.cli.settings import data_of_models, resolve, said_of_model
    from liteft.data.unlabeled import load_beside
    from liteft.report.gold import find_gold, find_test
    from liteft.report.subjects import find_subjects

    table = {**asdict(form), "vocabulary": vocabulary, "vocabulary_min_count": vocabulary_min_count}
    recipe = resolve(settings, data={"source": data, **asdict(reading)}, export=table)
    console = output.console()
    source = str(local_model(source))
    if recipe.export.target == "triton" and is_artifact(source):
        stated = {"task": task, "labels": labels, "max_tokens": max_tokens, "activation": activation}
        refuse_settings(table | stated | {"trust": trust or None, "overwrite": overwrite or None})
        write_repository(source, out, recipe, unlabeled, split=split, threads=threads, name=name, console=console)
        return
    if name is not None:
        raise ConfigError(
            "--name was given, and it names the model of a finished artifact in Triton.",
            accepted={"--name": "with ARTIFACT and --target triton"},
            fix=leave_out("name"),
        )
    refuse_artifact(source)
    on, how = data_of_models(recipe, [source])
    said, chosen, asked = said_of_model(labels, task, reading.pair, activation), recipe.export, recipe.export.form
    subjects = find_subjects([source], said=said)
    (subject,) = subjects
    more = None if unlabeled is None else load_beside(unlabeled, recipe.data, subject.task)
    train = test = None
    if more is not None and on is None and not (subject.path / "recipe.toml").is_file():
        console.progress("no labels: the export is compared with the model, and the model itself is not judged")
        verify, more = more, None
    else:
        gold = find_gold(on, subjects, split=split, settings=how)
        (subject,) = gold.subjects
        for note in (*gold.named, *gold.seen):
            console.progress(note)
        verify = gold.split
        whole = on if split == "all" else gold.dataset  # whose other splits need not be read again
        if asked.calibrated or chosen.vocabulary:
            train = find_gold(whole, subjects, split="train", settings=how).split
        test = gold.split if split == "test" else find_test(whole, gold.subjects, split=split, settings=how)
        if test is None and split != "all":
            console.progress("no test split of texts that the model has not seen: the artifact is not measured on one")
    import liteft

    artifact = liteft.export(
        source,
        out,
        task=said.task,
        paired=None if subject.own else said.paired,
        labels=said.labels if subject.own else subject.labels,
        max_tokens=max_tokens,
        activation=said.activation,
        form=asked,
        calibrate=train if asked.calibrated else None,
        vocabulary=chosen.vocabulary,
        fill_vocabulary=chosen.fill_vocabulary,
        vocabulary_min_count=chosen.vocabulary_min_count,
        texts=[each for each in (train, more) if each is not None] or [verify],
        verify=verify,
        unlabeled=more,
        test=test,
        limits=liteft.Limits(accuracy_drop=chosen.tolerance / 100),
        overwrite=overwrite,
        trust=trust,
        threads=threads,
        progress=console.progress,
    )
    following = groups.predicting(artifact.path, trust=trust)
    console.result(artifact.render(), artifact.to_dict(), following=following)
