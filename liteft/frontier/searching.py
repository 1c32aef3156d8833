"""``liteft.search``: a budget in, the best model within it out.

    OUT/teacher                     the fine-tuned base
    OUT/3x384/student               a shape's student, as liteft.distill leaves it
    OUT/3x384/int8-4bit-12000       an artifact of it: int8, 4-bit words, 12,000 tokens
    OUT/3x384/student-int8-4bit     a student's last epochs in a form, where only its export lost too much
    OUT/search.json                 what was measured, after every step
    OUT/frontier.png                quality against size and time
    OUT/artifact                    a copy of the winner

Repeating the call resumes a stopped search or returns the finished result. With another budget, whatever was trained,
exported and measured is reused.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback

from liteft import files
from liteft.arguments import checked_callbacks, checked_progress, require_path
from liteft.artifact import MANIFEST, require_replaceable
from liteft.config import Recipe, resolve_recipe
from liteft.data import Dataset
from liteft.data.trainable import require_trainable, resolve_data
from liteft.distillation.teachers import Teacher, find_teacher, with_labels
from liteft.errors import ArtifactError, ConfigError, MissingExtraError, RunError, option
from liteft.finetuning import finetune
from liteft.finetuning.context import RunContext
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import read_config
from liteft.finetuning.settings import ModelSettings
from liteft.finetuning.teacher import pooling_of
from liteft.finetuning.tokenizer_files import read_tokenizer
from liteft.finetuning.trainer import Progress
from liteft.frontier.budget import Budget
from liteft.frontier.choosing import choose_winner, compromises, nearest
from liteft.frontier.loop import Search
from liteft.frontier.picture import draw
from liteft.frontier.plan import check_recipe, require_fit
from liteft.frontier.result import Candidate, Frontier
from liteft.frontier.state import JOURNAL, SearchState
from liteft.locks import LOCK, one_writer
from liteft.report.comparison import describe_machine
from liteft.run import RUN_FILE, Run
from liteft.runtime.cores import default_threads

__all__ = ["search"]


def search(
    teacher: Run | str | Path,
    data: Dataset | str | Path,
    *,
    out: str | Path,
    recipe: Recipe | None = None,
    trust: bool = False,
    progress: Progress | bool | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **settings: Any,
) -> Frontier:
    """Search for the best artifact within a budget: layers, width, vocabulary and precision.

    Shapes are looked at from the cheapest to the dearest. One is trained once and exported in several forms, each
    verified, each measured: bytes of its folder, median milliseconds of one text on this machine, quality on the
    validation split. Not trained are shapes of which no form fits, or that are clearly too slow as they start; given up
    at half of its steps or later is a student further below the teacher than the budget and ``margin``; left out are
    shapes dearer than one that is within the budget and as good as the teacher. Where a student is good enough and its
    exports are not, float16 is tried where it fits, then ``quantized_epochs`` more in the form itself.

    Args:
        teacher: a run, a classifier's folder, or a base that is fine-tuned first, into OUT/teacher.
        data: a data set, or what ``load_dataset`` takes (the recipe's ``[data]`` table then says how).
        out: the folder of everything.
        recipe: settings; its ``student`` table says how shapes are trained, where ``size`` narrows the search to one,
            and ``export`` how they are exported: another precision than int8 is the only one then.
        trust: as in ``liteft.load``, of every artifact.
        progress: called with a line of text now and then; True prints it to stderr.
        callbacks: transformers callbacks, such as your own loggers.
        settings: keys of the recipe's ``[search]`` table, over the recipe: ``max_mb``, ``max_ms``, ``max_drop``, one of
            them at least.

    Returns:
        Everything that was looked at, and the winner, None where nothing is within the budget. With several
        ``learning_rates`` no student is given up halfway.

    Raises:
        ConfigError: no budget, or settings that do not go with a search.
        ModelError: no student of the teacher fits into the megabytes; or a teacher that cannot be used.
        RunError: the folder holds something else: other data or settings, an artifact of no search.
        DataError: data that cannot be trained on.
    """
    told, callbacks = checked_progress(progress), checked_callbacks(callbacks, TrainerCallback)
    require_path("out", out, accepted="a folder")
    require_path("teacher", teacher, kinds=(Run,), accepted="a run, a classifier's folder, or a base by folder or name")
    recipe = resolve_recipe(recipe, "search", settings)
    out = Path(out)
    budget = Budget.of(recipe.search)
    check_recipe(recipe)
    if PartialState(cpu=not torch.cuda.is_available()).num_processes > 1:
        raise ConfigError(
            "a search times models, so it runs in one process.",
            fix="without torchrun; then train a student of the winner's size",
        )
    dataset = resolve_data(data, recipe)
    require_trainable(dataset)
    with one_writer(out / LOCK, target=out):
        return _searched(teacher, dataset, RunContext(out, told, callbacks), recipe, budget, trust)


def _searched(
    teacher: Run | str | Path, dataset: Dataset, context: RunContext, recipe: Recipe, budget: Budget, trust: bool
) -> Frontier:
    """Search in a folder that no other process writes."""
    out = context.out
    state = _open_state(out)
    opened, trained = _open(teacher, dataset, recipe, context)
    loaded = opened.loaded
    require_fit(recipe, loaded.config, loaded.settings, loaded.tokenizer)
    dataset, same_data = with_labels(dataset, opened), dataset.fingerprint
    machine = {**describe_machine(), "threads": recipe.student.threads or default_threads()}
    searching = Search(
        teacher=opened,
        quality=_quality(opened, dataset, same_data, "validation"),
        dataset=dataset,
        recipe=recipe,
        context=context,
        state=state,
        machine=machine,
        show_check=not trained,
        trust=trust,
    )
    searching.run()
    found = _concluded(searching, budget, same_data)
    require_replaceable(out / "artifact")
    if found.winner is None:
        _remove_earlier_winner(out / "artifact", context)
    else:
        _copy_winner(found.winner, out / "artifact", state)
    found = _drawn(found, out / "frontier.png", context)
    state.write(found.to_dict())
    return found


def _open_state(out: Path) -> SearchState:
    """Return the folder's state; refuse a folder whose artifact is not a search's, or holds more than that."""
    for half in out.glob(f".{JOURNAL}.*.tmp"):
        half.unlink()
    state = SearchState(out)
    artifact = out / "artifact"
    if artifact.exists():
        stored = artifact / MANIFEST
        if not stored.is_file() or files.sha256_file(stored) not in state.winners:
            raise RunError(
                f"{artifact} exists, and no search in {out} wrote it.",
                fix=[option("out", "NEW_FOLDER"), f"move {artifact} elsewhere; what lies beside it is used again"],
            )
        require_replaceable(artifact)
    return state


def _open(teacher: Run | str | Path, dataset: Dataset, recipe: Recipe, context: RunContext) -> tuple[Teacher, bool]:
    """Return the teacher, and whether it was trained here; a base none of whose students fits is not."""
    out, progress = context.out / "teacher", context.progress
    found = find_teacher(teacher, dataset=dataset, recipe=recipe, progress=progress)
    if isinstance(found, Teacher):
        return found, False
    folder, own = found.folder, recipe.teacher
    settings = ModelSettings(dataset.labels, dataset.task, pooling_of(own, folder), own.max_tokens, dataset.paired)
    tokenizer = read_tokenizer(folder).cutting(own.max_tokens)
    require_fit(recipe, read_config(folder), settings, tokenizer)
    trained = not (out / RUN_FILE).is_file()
    run = finetune(found.name, dataset, out=out, recipe=recipe, progress=progress, callbacks=context.callbacks)
    return Teacher.of(run), trained


def _quality(teacher: Teacher, dataset: Dataset, fingerprint: str, name: str) -> float:
    """Return the teacher's main metric on a split, from its run where that was made of the same data."""
    metric, run = dataset.task.primary_metric, teacher.run
    if run is not None and (run.info.get("data") or {}).get("fingerprint") == fingerprint:
        stored = run.metrics.get(name, {}).get(metric)
        if stored is not None:
            return float(stored)
    split = dataset.split(name)
    assert split.labels is not None
    logits = predict_logits(teacher.loaded, split.texts, split.pairs)
    return dataset.task.score(logits, split.labels, unseen_label=split.unseen_label)[metric]


def _concluded(searching: Search, budget: Budget, fingerprint: str) -> Frontier:
    """Choose the winner, or say what comes nearest."""
    dataset, candidates = searching.dataset, searching.candidates
    logits = {each.name: searching.measured_logits(each) for each in candidates if each.within}
    winner, rule = choose_winner(candidates, logits, dataset.validation, dataset.task)
    return Frontier(
        budget=budget,
        task=dataset.task,
        data=dataset.name,
        texts=len(dataset.validation),
        teacher=searching.quality,
        candidates=tuple(candidates),
        winner=winner,
        rule=rule,
        artifact=None if winner is None else searching.context.out / "artifact",
        nearest=() if winner is not None else tuple(each.name for each in nearest(candidates, budget)),
        compromises=() if winner is not None else tuple(compromises(candidates)),
        test=None if winner is None else _tested(searching, winner, fingerprint),
        machine=searching.machine,
    )


def _tested(searching: Search, winner: Candidate, fingerprint: str) -> dict[str, Any] | None:
    """Return the winner's and the teacher's metric on the test split, where there is one with labels."""
    dataset, metric = searching.dataset, searching.metric
    split = dataset.splits.get("test")
    if split is None or split.labels is None or not len(split):
        return None
    logits = searching.tested(winner)
    task, unseen_label = dataset.task, split.unseen_label
    return {
        "texts": len(split),
        "winner": task.score(logits, split.labels, unseen_label=unseen_label)[metric],
        "winner_interval": list(task.intervals(logits, split.labels, unseen_label=unseen_label)[metric]),
        "teacher": _quality(searching.teacher, dataset, fingerprint, "test"),
    }


def _remove_earlier_winner(target: Path, context: RunContext) -> None:
    """Take away what an earlier budget left in OUT/artifact, where nothing is within this one."""
    if target.exists():
        shutil.rmtree(target)
        context.tell(f"{target} removed: it was the winner of an earlier budget")


def _copy_winner(winner: Candidate, target: Path, state: SearchState) -> None:
    """Copy the winner to OUT/artifact, where it does not lie there already."""
    assert winner.path is not None
    manifest = (winner.path / MANIFEST).read_bytes()
    if (target / MANIFEST).is_file() and (target / MANIFEST).read_bytes() == manifest:
        return
    state.note_winner(hashlib.sha256(manifest).hexdigest())
    with files.writing_folder(target, kind=ArtifactError) as folder:
        shutil.copytree(winner.path, folder, dirs_exist_ok=True)


def _drawn(found: Frontier, path: Path, context: RunContext) -> Frontier:
    """Draw the frontier; without matplotlib there is only the table."""
    if not found.measured:
        return found
    try:
        return replace(found, picture=draw(found, path))
    except (MissingExtraError, RunError) as error:
        context.tell(f"no picture: {error.message} Try: {error.fix[0]}")
        return found
