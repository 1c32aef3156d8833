"""Flags of what is pushed to the hub."""

from __future__ import annotations

from typing import Annotated

from liteft.cli.flags.panels import panel

_hub = panel("Hub")

License = Annotated[
    str | None,
    _hub("--license", metavar="NAME", help="License of the model, as the hub writes it: apache-2.0, mit, other, ..."),
]
Language = Annotated[
    list[str] | None,
    _hub("--language", metavar="CODE", help="Language of the texts, such as en; may be repeated."),
]
DatasetNames = Annotated[
    list[str] | None,
    _hub("--dataset", metavar="NAME", help="Data set on the hub that the model was trained on; may be repeated."),
]
BaseModel = Annotated[
    str | None, _hub("--base-model", metavar="NAME", help="Model on the hub that this one was made from.")
]
Public = Annotated[bool, _hub("--public", help="Make a new repository public, or push to one that is.")]
Revision = Annotated[
    str | None, _hub("--revision", metavar="BRANCH", help="Branch to push to, made if it is new; main if left out.")
]
CommitMessage = Annotated[str | None, _hub("--commit-message", metavar="TEXT", help="Message of the commit.")]
PullRequest = Annotated[bool, _hub("--create-pr", help="Open a pull request instead of changing the branch.")]
DryRun = Annotated[bool, _hub("--dry-run", help="Show files, sizes and the model card, and push nothing.")]
