"""``liteft push``: an artifact, or the model of a run, to the Hugging Face hub."""

from __future__ import annotations

from typing import Annotated

import typer

from liteft.cli import groups
from liteft.cli.flags.hub import (
    BaseModel,
    CommitMessage,
    DatasetNames,
    DryRun,
    Language,
    License,
    Public,
    PullRequest,
    Revision,
)

Source = Annotated[
    str, typer.Argument(metavar="RUN_OR_ARTIFACT", help="An artifact's folder, a run's, or one of liteft distill.")
]
Repository = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub, made if it is new.")]

EXAMPLES = (
    "liteft push runs/reviews acme/reviews --license apache-2.0 --language en --dry-run",
    "liteft push runs/reviews/teacher acme/reviews-teacher --license mit --public --create-pr",
)


@groups.flat
def push(
    *,
    source: Source,
    repository: Repository,
    license: License = None,
    language: Language = None,
    dataset: DatasetNames = None,
    base_model: BaseModel = None,
    public: Public = False,
    revision: Revision = None,
    commit_message: CommitMessage = None,
    create_pr: PullRequest = False,
    dry_run: DryRun = False,
    settings: groups.Settings,
    output: groups.Output,
) -> None:
    """Push an artifact, or the model of a run, to the Hugging Face hub.

    Pushed are the files that the artifact's manifest lists, or the model of the run, each compared with its hash
    before, and a model card with the measured metrics. No texts, logs, predictions or checkpoints are. New
    repositories are private without --public.

    The login is that of hf auth login, or HF_TOKEN in the environment.
    """
    from liteft.cli.settings import resolve
    from liteft.publishing import push_to_hub

    table = {"license": license, "language": language, "dataset": dataset, "base_model": base_model}
    said = resolve(settings, hub={**table, "private": False if public else None}).hub
    console = output.console()
    pushed = push_to_hub(
        source,
        repository,
        **said.model_dump(),
        revision=revision,
        commit_message=commit_message,
        create_pr=create_pr,
        dry_run=dry_run,
        quiet=output.quiet,
    )
    if dry_run:
        console.progress(pushed.card.rstrip())
    console.result(pushed.render(), pushed.to_dict())
