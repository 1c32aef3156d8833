"""``liteft finetune``: train a teacher from a pretrained base and labelled texts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from liteft.cli import groups
from liteft.cli.flags.data import Data, Task
from liteft.cli.flags.machine import Out, Processes
from liteft.cli.flags.models import Base, FromScratch, Size, VocabularyFile

if TYPE_CHECKING:
    from liteft.run import Run

EXAMPLES = (
    "liteft finetune --data reviews.csv --base minilm --out runs/teacher",
    "liteft finetune --data reviews/ --base google-bert/bert-base-uncased --epochs 4 --out runs/teacher",
)

_LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer")


@groups.flat
def finetune(
    *,
    data: Data = None,
    base: Base = None,
    out: Out,
    reading: groups.Reading,
    task: Task = None,
    training: groups.Training,
    head: groups.Head,
    adapter: groups.Adapter,
    machine: groups.Machine,
    processes: Processes = 1,
    from_scratch: FromScratch = False,
    size: Size = None,
    vocabulary_file: VocabularyFile = None,
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Fine-tune a base on labelled texts, which makes a teacher.

    Repeating the command resumes where it stopped.
    """
    from liteft.cli.settings import data_arguments, load_data, only_base, resolve
    from liteft.recipe_checks import require_teacher

    start = {
        "base": only_base(base),
        "from_scratch": from_scratch or None,
        "size": size,
        "vocabulary_file": vocabulary_file,
    }
    recipe = resolve(
        settings,
        data={"source": data, "task": task, **asdict(reading)},
        teacher={**start, **asdict(training), **asdict(head), **asdict(adapter), **asdict(machine)},
    )
    require_teacher(recipe.teacher)
    console = output.console()
    dataset = load_data(recipe)  # before torch is imported, so that a misspelt column is reported at once
    import liteft

    run = liteft.finetune(
        recipe.teacher.base, dataset, out=out, recipe=recipe, processes=processes, progress=console.progress
    )
    following = ["liteft", "distill", *data_arguments(recipe.data), "--teacher", out]
    following += ["--size", _half_size(run), "--out", f"{out.rstrip('/')}-distilled"]
    console.result(run.render(), run.to_dict(), following=following)


def _half_size(run: Run) -> str:
    """Return half of a run's layers, rounded down: a size for a first student."""
    from liteft import files

    config = files.read_json(run.model_path / "config.json")
    layers = next((config[key] for key in _LAYER_KEYS if key in config), 2)
    return str(max(1, int(layers) // 2))
