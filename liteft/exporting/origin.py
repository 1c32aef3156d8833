"""The start of an export: finds the model's folder, and settles what its config.json leaves open."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from liteft.artifact import local_model, refuse_artifact
from liteft.data import Split
from liteft.data.relabeling import meet_labels
from liteft.errors import DataError, ModelError, option
from liteft.foreign import Said, adopted_labels, no_model, read_config_json, read_meaning
from liteft.foreign.meaning import renamed_text
from liteft.run import RUN_FILE, Run, read_run
from liteft.tasks import task_of_labels

__all__ = ["find_model", "meet_model_labels", "settle_meaning"]


def find_model(source: Run | str | os.PathLike[str]) -> tuple[Run | None, Path]:
    """Return the run, or None for a plain model folder, and the model's folder.

    Raises:
        ModelError: the source is not a folder, or is an adapter without its base, or an artifact, which is already
            exported.
        RunError: it is neither a model folder nor a run that can be read.
    """
    if isinstance(source, Run):
        return source, source.model_path
    path = Path(local_model(source))
    refuse_artifact(path)
    if not path.is_dir() or ((path / "adapter_config.json").is_file() and not (path / "config.json").is_file()):
        raise no_model(path)
    if (path / "config.json").is_file() and not (path / RUN_FILE).is_file():
        return None, path
    run = read_run(path)
    return run, run.model_path


def settle_meaning(folder: Path, said: Said, verify: Split, progress: Callable[[str], None] | None) -> None:
    """Report what is assumed from the texts to verify on, if neither the folder nor the caller says it.

    Args:
        folder: the model.
        said: what the caller said: labels, task, whether it reads pairs.
        verify: the texts to verify on.
        progress: called with a line of text if anything is assumed.

    Raises:
        DataError: the texts have several labels each, and the model is not known to be multi-label; or the texts or the
            model have scores, and the other has not.
        ModelError: the texts have more labels than the model, or `read_meaning` refuses the folder.
        ConfigError: raised by `read_meaning`.
    """
    meaning = read_meaning(folder, read_config_json(folder), said)
    labels, assumed = verify.labels, []
    if labels is not None and task_of_labels(labels).numeric != meaning.settled_task.numeric:
        kinds = ("labels with names", "scores")
        raise DataError(
            f"the texts of {verify.name} have {kinds[not meaning.settled_task.numeric]}, and {folder} gives "
            f"{kinds[meaning.settled_task.numeric]}.",
            accepted={"task": str(meaning.settled_task)},
            fix=["texts without labels", option("task", meaning.settled_task, note=", when the texts are read")],
        )
    if meaning.task is None and labels is not None and task_of_labels(labels) != meaning.settled_task:
        raise DataError(
            f"the texts of {verify.name} have several labels, and {folder / 'config.json'} does not say that the "
            "model chooses several.",
            accepted={"task": "single_label, by softmax, or multi_label, by a sigmoid for each label"},
            fix=option("task", "multi_label", note=", if it was trained so"),
        )
    width = 0 if labels is None or not len(verify) else task_of_labels(labels).label_count(labels)
    if verify.label_names is None and width > len(meaning.labels):
        raise ModelError(
            f"the texts of {verify.name} have {width} labels, and {folder} has {len(meaning.labels)}.",
            accepted={"its labels": ", ".join(meaning.labels[:8])},
            fix="texts that are labelled with the model's own labels, or no labels at all",
        )
    if meaning.own or progress is None:
        return
    if meaning.task is None:
        assumed.append("a text has one label, by softmax")
    if said.paired is None:
        assumed.append(
            f"it reads {'pairs of texts' if meaning.paired else 'single texts'}, as those of {verify.name} are"
        )
    if meaning.guessed:
        assumed.append("its score is the logit, without an activation")
    if assumed:
        progress(f"not said by {folder / 'config.json'}, so assumed: {'; '.join(assumed)}")


def meet_model_labels(
    verify: Split,
    test: Split | None,
    labels: Sequence[str],
    *,
    own: bool,
    progress: Callable[[str], None] | None,
) -> tuple[Split, Split | None]:
    """Return the splits with their labels in the model's order.

    Labels are matched by name. A split that does not know the names of its labels is taken to have the model's order.

    Args:
        verify, test: the splits.
        labels: the model's, in the order of its logits.
        own: LiteFT made the model.
        progress: called with a line of text if labels are named differently or missing.

    Raises:
        DataError: none of a split's labels is one of the model's.
    """
    told: list[str] = []

    def met(split: Split) -> Split:
        if split.labels is None or split.label_names is None:
            return split
        taken = adopted_labels(labels, split.label_names) or tuple(labels)
        if taken != tuple(labels):
            told.append(f"labels are named differently in the texts: {renamed_text(labels, taken)}")
        found, notes = meet_labels(split, taken, own=own)
        told.extend(f"{split.name}: {note}" for note in notes)
        return found

    found = met(verify), None if test is None else met(test)
    if progress is not None:
        for line in dict.fromkeys(told):
            progress(line)
    return found
