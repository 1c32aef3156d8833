"""``liteft distill``: the whole way, from labelled text and a base to a verified artifact."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import typer

from liteft.cli import options as o
from liteft.errors import ConfigError, closest, leave_out

if TYPE_CHECKING:
    from liteft.cli.console import Console
    from liteft.config import Recipe
    from liteft.data import Dataset

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
Vocabulary = Annotated[
    int | None,
    typer.Option("--vocabulary", metavar="N", help="Keep at most N pieces for the student, those of its texts: 8000."),
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
MaxMb = Annotated[
    float | None,
    typer.Option("--max-mb", metavar="MB", help="Search sizes for a folder of at most so many 10^6 bytes: 9.5."),
]
MaxMs = Annotated[
    float | None,
    typer.Option("--max-ms", metavar="MS", help="Search sizes that take a text in so many ms, on this machine."),
]
MaxDrop = Annotated[
    float | None,
    typer.Option("--max-drop", metavar="POINTS", help="Search sizes at most so far below the teacher, on validation."),
]
Seeds = Annotated[int | None, typer.Option("--seeds", metavar="N", help="Students to train, a seed each.")]
ExportPrecision = Annotated[
    str | None, typer.Option("--export-precision", metavar="KIND", help="Of the artifact: int8, fp16 or fp32.")
]
ExportFlat = Annotated[
    bool, typer.Option("--export-flat", help="The artifact's graph in standard nodes only; see liteft export.")
]


@o.flat
def distill(
    *,
    data: o.Data = None,
    teacher: Teacher = None,
    size: Size = None,
    out: o.Out,
    until: Until = "artifact",
    student: Student = None,
    layers: Layers = None,
    vocabulary: Vocabulary = None,
    unlabeled: Unlabeled = None,
    control: Control = False,
    seeds: Seeds = None,
    max_mb: MaxMb = None,
    max_ms: MaxMs = None,
    max_drop: MaxDrop = None,
    export_precision: ExportPrecision = None,
    export_flat: ExportFlat = False,
    overwrite: o.OverwriteWhole = False,
    trust: o.Trust = False,
    reading: o.Reading,
    task: o.Task = None,
    labels: o.Labels = None,
    training: o.Training,
    head: o.Head,
    adapter: o.Adapter,
    machine: o.Machine,
    settings: o.Settings,
    output: o.Output,
) -> None:
    """Distil a student and export it: the whole way.

    --epochs, --learning-rate and --batch-size are the student's; the teacher's are --set teacher.epochs=3 and so
    on. --precision, --optimizer, --seed and --threads hold for both; --quantization and --lora-rank are the teacher's.
    With any of --max-mb, --max-ms and --max-drop sizes, vocabularies and precisions are searched, the cheapest first.
    """
    from liteft.cli.settings import absolute, load_data, parse_layers, resolve, said_of_model
    from liteft.cli.summary import outcome_document, outcome_text
    from liteft.config import require_student

    start: dict[str, Any] = {"size": size, "student": student, "layers": parse_layers(layers), "unlabeled": unlabeled}
    start |= {"vocabulary": vocabulary}
    named = said_of_model(labels, None, None).labels
    repeats = {"control": control or None, "seeds": seeds}
    recipe = resolve(
        settings,
        data={"source": data, "task": task, **asdict(reading)},
        teacher={**asdict(head), **asdict(adapter), **asdict(machine), "labels": named and list(named)},
        student={**start, **repeats, **asdict(training), **asdict(machine)},
        export={"precision": export_precision, "flat": export_flat or None},
        search={"max_mb": max_mb, "max_ms": max_ms, "max_drop": max_drop},
    )
    stage = _stage(until)
    source = teacher or recipe.teacher.base
    if source is None:
        raise ConfigError(
            "no teacher was named.",
            accepted={"teacher": "a base to fine-tune (folder or hub name), a finished run, or a classifier"},
            fix=["--teacher minilm", "--teacher RUN"],
        )
    searching = not {recipe.search.max_mb, recipe.search.max_ms, recipe.search.max_drop} <= {None}
    if searching:
        _require_whole(stage, overwrite=overwrite)
    elif stage != "teacher":
        require_student(recipe.student)
    console = output.console()
    dataset = load_data(recipe)  # before torch: a misspelt column need not wait for it
    if searching:
        return _search(recipe, dataset, absolute(source), Path(out), console, trust=trust)
    from liteft.pipeline import run_pipeline

    outcome = run_pipeline(
        recipe,
        out=Path(out),
        teacher=absolute(source),
        data=dataset,
        until=stage,
        overwrite=overwrite,
        trust=trust,
        progress=console.progress,
    )
    first = absolute(source) if outcome.teacher is None else outcome.teacher.path
    models = [first, *(run.path for run in (*outcome.students, *outcome.controls))]
    models += [] if outcome.artifact is None else [outcome.artifact.path]
    following = ["liteft", "compare", *map(str, models), "--on", str(recipe.data.source), *o.trusting(trust)]
    console.result(outcome_text(outcome), outcome_document(outcome), following=following)


def _search(recipe: Recipe, dataset: Dataset, teacher: str, out: Path, console: Console, *, trust: bool) -> None:
    """The whole way for every size that may be within a budget; without any the exit status is 1."""
    import liteft

    found = liteft.search(teacher, dataset, out=out, recipe=recipe, trust=trust, progress=console.progress)
    words = ["liteft", "predict", str(found.artifact), "a text", *o.trusting(trust)]
    following = [] if found.artifact is None else words
    console.result(found.render(), found.to_dict(), following=following)
    if found.winner is None:
        raise typer.Exit(1)


def _require_whole(stage: Stage, *, overwrite: bool) -> None:
    """Refuse flags that say nothing to a search, before anything is read."""
    if stage != "artifact":
        raise ConfigError(f"a search ends with an artifact, and --until is {stage}.", fix=leave_out("until"))
    if overwrite:
        raise ConfigError(
            "a search replaces the artifacts that it wrote, and --overwrite would let it replace others.",
            fix=leave_out("overwrite"),
        )


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
