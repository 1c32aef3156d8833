"""``liteft distill``: from labelled texts and a teacher or base to a small student and its verified artifact."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from liteft.cli import groups
from liteft.cli.flags.data import Data, Task
from liteft.cli.flags.machine import Engine, Out, Overwrite, Processes, Trust
from liteft.cli.flags.models import (
    Arms,
    Control,
    Folds,
    General,
    Labels,
    Seeds,
    Student,
    Teacher,
    Until,
    Vocabulary,
    VocabularyMinCount,
)
from liteft.errors import ConfigError

EXAMPLES = (
    "liteft distill --data reviews.csv --teacher minilm --size 3x384 --out runs/reviews",
    "liteft distill --data 50.csv --unlabeled pool.txt --folds 5 --arms c0 --teacher minilm --size 3 --out runs/few",
)


@groups.flat
def distill(
    *,
    data: Data = None,
    teacher: Teacher = None,
    start: groups.Start,
    out: Out,
    until: Until = "artifact",
    student: Student = None,
    general: General = None,
    vocabulary: Vocabulary = None,
    vocabulary_min_count: VocabularyMinCount = None,
    control: Control = False,
    arms: Arms = None,
    seeds: Seeds = None,
    folds: Folds = None,
    form: groups.Form,
    overwrite: Overwrite = False,
    trust: Trust = False,
    reading: groups.Reading,
    task: Task = None,
    labels: Labels = None,
    training: groups.Training,
    head: groups.Head,
    adapter: groups.Adapter,
    machine: groups.Machine,
    processes: Processes = 1,
    engine: Engine = "local",
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Distil a teacher into a small student and export it: all runs and the verified artifact, in one folder.

    --epochs, --learning-rate and --batch-size are the student's; for the teacher, use --set teacher.epochs=3 and so on.
    --training-precision, --optimizer, --seed and --threads apply to both. Repeating the command resumes where it
    stopped. To find the best size within a budget, use liteft search.
    """
    from liteft.cli.settings import load_data, resolve, said_of_model, teachers_of
    from liteft.recipe_checks import checked_stage, refuse_budget, require_student

    named = said_of_model(labels).labels
    more: dict[str, Any] = {"student": student, "vocabulary": vocabulary, "control": control or None, "seeds": seeds}
    more |= {
        "vocabulary_min_count": vocabulary_min_count,
        "general": general,
        "folds": folds,
        "arms": None if arms is None else [name.strip() for name in arms.split(",")],
    }
    recipe = resolve(
        settings,
        data={"source": data, "task": task, **asdict(reading)},
        teacher={**asdict(head), **asdict(adapter), **asdict(machine), "labels": named and list(named)},
        student={**start.table(), **more, **asdict(training), **asdict(machine)},
        export=asdict(form),
    )
    stage = checked_stage(until)
    sources = teachers_of(recipe, teacher)
    refuse_budget(recipe.search)
    if stage != "teacher":
        require_student(recipe.student)
    console = output.console()
    if stage == "teacher" and (told := _of_the_student(training, planned=bool(recipe.student.size or student))):
        console.progress(told)
    dataset = load_data(recipe)  # before torch is imported, so that a misspelt column is reported at once
    import liteft

    outcome = liteft.distill(
        sources,
        dataset,
        out=out,
        recipe=recipe,
        until=stage,
        overwrite=overwrite,
        trust=trust,
        processes=processes,
        engine=engine,
        progress=console.progress,
    )
    first = sources[0] if outcome.teacher is None else outcome.teacher.path
    models = [first, *(run.path for runs in outcome.arms.values() for run in runs)]
    models += [] if outcome.artifact is None else [outcome.artifact.path]
    following = ["liteft", "compare", *map(str, models), "--on", str(recipe.data.source)]
    if "test" not in dataset.splits:  # folds have tested: no other text is left to compare models on
        made = outcome.artifact
        following = ["liteft", "inspect", str(models[-1])] if made is None else groups.predicting(made.path)
    following += groups.trusting(trust)
    console.result(outcome.render(), outcome.to_dict(), following=following)


def _of_the_student(training: groups.Training, *, planned: bool) -> str:
    """Return what to say of the student's flags where the teacher alone is trained; "" if none is given.

    Raises:
        ConfigError: one is given, and no student is ``planned``.
    """
    given = {name: value for name, value in asdict(training).items() if value is not None}
    if not given:
        return ""
    flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    exact = {name: int(value) if float(value).is_integer() else value for name, value in given.items()}
    those = " ".join(f"--set teacher.{name}={value!r}" for name, value in exact.items())
    if not planned:
        raise ConfigError(
            f"{flags}: of the student's training, and --until teacher trains none.",
            accepted={"of the teacher's": those},
            fix=those,
        )
    return f"{flags}: of the student, which --until teacher does not train; of the teacher it is {those}"
