"""``liteft.search``: find the best model within a budget.

    OUT/teacher                     the fine-tuned base
    OUT/3x384/student               the student of a shape, a run like those of liteft.distill
    OUT/3x384/int8-4bit-12000       an artifact of it: int8, 4-bit word embeddings, 12,000 tokens
    OUT/3x384/student-int8-4bit     the student after more epochs in a form, if only the export lost too much
    OUT/search.json                 what was measured, written after every step
    OUT/frontier.png                quality against size and latency
    OUT/artifact                    a copy of the winner

Repeating the call resumes a stopped search or returns the finished result. With another budget, whatever was trained,
exported and measured is reused.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from liteft import files
from liteft.arguments import ProgressFunction, checked_callbacks, checked_progress, require_path
from liteft.arms import threshold_notes
from liteft.artifact import MANIFEST, require_pipeline_folder, require_replaceable
from liteft.config import resolve_recipe
from liteft.data import Dataset
from liteft.data.trainable import require_trainable, resolve_data
from liteft.defaults import read_length
from liteft.distillation.ready import ready_teachers
from liteft.distillation.teachers import Base, Teacher, with_labels
from liteft.errors import ArtifactError, ConfigError, MissingExtraError, RunError, option
from liteft.fan_out import checked_engine
from liteft.finetuning.calibration import require_threshold, tunes_threshold
from liteft.finetuning.context import RunContext, training_processes
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import read_config
from liteft.finetuning.own_functions import LossFunction, MetricFunction, checked_functions
from liteft.finetuning.settings import ModelSettings, position_limit
from liteft.finetuning.teacher import pooling_of
from liteft.finetuning.tokenizer_files import read_tokenizer
from liteft.finetuning.trainer_keys import checked_trainer
from liteft.frontier.budget import Budget
from liteft.frontier.choosing import choose_winner, compromises, nearest
from liteft.frontier.loop import Search
from liteft.frontier.picture import draw
from liteft.frontier.plan import check_recipe, require_fit
from liteft.frontier.result import Candidate, Frontier
from liteft.frontier.state import STATE_FILE, SearchState
from liteft.locks import LOCK, one_writer
from liteft.ragged import applied
from liteft.recipe_checks import require_choice
from liteft.recipes import Recipe
from liteft.report.comparison import describe_machine
from liteft.run import Run
from liteft.runtime.cores import default_threads

__all__ = ["search"]


def search(
    teacher: Run | str | Path,
    data: Dataset | str | Path,
    *,
    out: str | Path,
    recipe: Recipe | None = None,
    trust: bool = False,
    progress: ProgressFunction | bool | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    metrics: Mapping[str, MetricFunction] | None = None,
    loss: LossFunction | None = None,
    engine: str = "local",
    **settings: Any,
) -> Frontier:
    """Search for the best artifact within a budget: layers, width, vocabulary and precision.

    Shapes are evaluated from the cheapest up. Each is trained once and exported in several forms; every export is
    verified and measured: bytes of its folder, median latency of one text on this machine, main metric on the
    validation split. Time is saved in three ways:

    - A shape is not trained if no form of it fits, or if it is clearly too slow with its untrained weights.
    - A training is given up if, from half of its steps on, its metric lies further below the teacher's than
      ``max_drop`` plus ``margin``. With several ``learning_rates`` no training is given up.
    - Larger shapes are skipped once a candidate is within the budget and as good as the teacher.

    If a student is good enough but none of its exports is, float16 is tried if it fits, then ``quantized_epochs`` more
    epochs with the rounding of the form.

    Args:
        teacher: a run, a classifier's folder, or a base that is fine-tuned first, into OUT/teacher.
        data: a data set, or what ``load_dataset`` takes, with the options of the recipe's ``[data]`` table.
        out: the folder for all results.
        recipe: settings. Its ``student`` table sets how shapes are trained (``size`` narrows the search to one shape),
            ``export`` how they are exported: any precision other than int8 is then the only one tried.
        trust: as in ``liteft.load``, for every artifact.
        progress: called with lines of text; True prints them to stderr.
        callbacks: transformers callbacks, such as your own loggers.
        metrics: name -> function(labels, predictions), computed on validation and logged; ``choose_by`` may name one.
        loss: function(logits, labels), the loss of labels for teachers, students and arms; see docs/guides/training.md.
        engine: "local", or "ray", which trains all shapes first, each in a Ray task, also those that turn out to be
            unneeded; exports and timings stay on this machine, after them. See docs/guides/distributed.md.
        settings: keys of the recipe's ``[search]`` table, which override the recipe. At least one of ``max_mb``,
            ``max_ms`` and ``max_drop`` must be set.

    Returns:
        All candidates and the winner, which is None if no candidate is within the budget.

    Raises:
        ConfigError: there is no budget, or a setting cannot be combined with a search.
        ModelError: no student of the teacher fits into the megabytes, or the teacher cannot be used.
        RunError: the folder has results of other data or settings, or an artifact that no search wrote.
        DataError: the data cannot be trained on.
    """
    report_progress, callbacks = checked_progress(progress), checked_callbacks(callbacks, TrainerCallback)
    require_path("out", out, accepted="a folder")
    require_path("teacher", teacher, kinds=(Run,), accepted="a run, a classifier's folder, or a base by folder or name")
    recipe = resolve_recipe(recipe, "search", settings)
    out = Path(out)
    require_pipeline_folder(out)
    budget = Budget.of(recipe.search)
    check_recipe(recipe)
    checked_trainer(recipe.teacher, table="teacher")
    checked_trainer(recipe.student, table="student")
    own = checked_functions(metrics, loss)
    require_choice(recipe.teacher, own.metrics, table="teacher")
    require_choice(recipe.student, own.metrics, table="student")
    checked_engine(engine)
    if training_processes().num_processes > 1:
        raise ConfigError(
            "a search measures latency, so it runs in one process.",
            fix="run it without torchrun; then train a student of the winner's size",
        )
    dataset = resolve_data(data, recipe)
    require_trainable(dataset)
    require_threshold(recipe.student, dataset)
    with one_writer(out / LOCK, target=out):
        context = RunContext(out, report_progress, callbacks, own)
        return _searched(teacher, dataset, context, recipe, budget, trust=trust, engine=engine)


def _searched(
    teacher: Run | str | Path,
    dataset: Dataset,
    context: RunContext,
    recipe: Recipe,
    budget: Budget,
    *,
    trust: bool,
    engine: str,
) -> Frontier:
    """Search in a folder that this process has locked."""
    out = context.out
    state = _open_state(out)
    opened, trained = _open(teacher, dataset, recipe, context)
    classifier = opened.loaded
    require_fit(recipe, classifier.config, classifier.settings, classifier.tokenizer)
    tunes = tunes_threshold(recipe.student, dataset.validation)
    notes = threshold_notes({"the teacher": bool(opened.shift), "students": tunes})
    for line in notes:
        context.tell(f"warning: {line} (student.tune_threshold)")
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
        engine=engine,
    )
    searching.run()
    found = replace(_concluded(searching, budget, same_data), notes=notes)
    require_replaceable(out / "artifact")
    if found.winner is None:
        _remove_earlier_winner(out / "artifact", context)
    else:
        _copy_winner(found.winner, out / "artifact", state)
    found = _drawn(found, out / "frontier.png", context)
    state.write(found.to_dict())
    return found


def _open_state(out: Path) -> SearchState:
    """Return the folder's state; refuse a folder whose artifact no search wrote or that has other files in it."""
    for unfinished in out.glob(f".{STATE_FILE}.*.tmp"):
        unfinished.unlink()
    state = SearchState(out)
    artifact = out / "artifact"
    if artifact.exists():
        stored = artifact / MANIFEST
        if not stored.is_file() or files.sha256_file(stored) not in state.winners:
            raise RunError(
                f"{artifact} exists, and no search in {out} wrote it.",
                fix=[option("out", "NEW_FOLDER"), f"move {artifact} elsewhere; the rest of the folder is reused"],
            )
        require_replaceable(artifact)
    return state


def _open(teacher: Run | str | Path, dataset: Dataset, recipe: Recipe, context: RunContext) -> tuple[Teacher, bool]:
    """Return the teacher and whether it was trained in this call.

    A base is fine-tuned only if a student of it fits into the budget.
    """
    own = recipe.teacher

    def check(base: Base) -> None:
        pooling = pooling_of(own, base.folder, dataset.task)
        most = position_limit(read_config(base.folder))
        length = own.max_tokens or read_length(extractive=dataset.task.extractive, most=most)
        settings = ModelSettings(dataset.labels, dataset.task, pooling, length, dataset.paired, marked=dataset.marked)
        require_threshold(recipe.student, dataset, read_config(base.folder))
        tokenizer = read_tokenizer(base.folder).cutting(length)
        require_fit(recipe, read_config(base.folder), settings, tokenizer)

    return ready_teachers(teacher, dataset, recipe, context.at(context.out / "teacher"), check=check)


def _quality(teacher: Teacher, dataset: Dataset, fingerprint: str, name: str) -> float:
    """Return the teacher's main metric on a split, a share; taken from its run if that has the same data."""
    metric, run = dataset.task.primary_metric, teacher.run
    if run is not None and (run.info.get("data") or {}).get("fingerprint") == fingerprint:
        stored = run.metrics.get(name, {}).get(metric)
        if stored is not None:
            return float(stored)
    split = dataset.split(name)
    assert split.labels is not None
    logits = applied(lambda values: values - teacher.shift, predict_logits(teacher.loaded, split))
    scores = dataset.task.score(logits, split.labels, unseen_label=split.unseen_label)
    return scores[metric]


def _concluded(searching: Search, budget: Budget, fingerprint: str) -> Frontier:
    """Return the result of a search: the winner, or the candidates that come nearest."""
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
    """Return the winner's and the teacher's metric on the test split; None without a labelled test split."""
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
    """Remove the winner of an earlier budget, if there is one."""
    if target.exists():
        shutil.rmtree(target)
        context.tell(f"{target} removed: it was the winner of an earlier budget")


def _copy_winner(winner: Candidate, target: Path, state: SearchState) -> None:
    """Copy the winner to OUT/artifact unless it is there already."""
    assert winner.path is not None
    manifest = (winner.path / MANIFEST).read_bytes()
    if (target / MANIFEST).is_file() and (target / MANIFEST).read_bytes() == manifest:
        return
    state.note_winner(hashlib.sha256(manifest).hexdigest())
    with files.writing_folder(target, kind=ArtifactError) as folder:
        shutil.copytree(winner.path, folder, dirs_exist_ok=True)


def _drawn(found: Frontier, path: Path, context: RunContext) -> Frontier:
    """Draw the frontier; without matplotlib, report that there is no picture."""
    if not found.measured:
        return found
    try:
        return replace(found, picture=draw(found, path))
    except (MissingExtraError, RunError) as error:
        context.tell(f"no picture: {error.message} Try: {error.fix[0]}")
        return found
