"""Pushing a model: its own files, each as its list of files has it, and a model card, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from liteft.errors import Hint, HubError
from liteft.hub.cards import CardWords, Described, front_matter
from liteft.hub.client import LIBRARY, hub_client, progress_bars
from liteft.hub.names import HubName, repository
from liteft.hub.refusals import explained
from liteft.results import Result
from liteft.text_tables import aligned
from liteft.untrusted import parse_json, read_bytes

__all__ = ["PushOptions", "Pushed", "Upload", "UploadFile", "push"]

_CARD = "README.md"
_MAIN = "main"
_PLACE = '"FOLDER"'  # in the examples of a card
_PUBLIC = Hint("private=False, if everybody may read it", "--public, if everybody may read it")
_MOST_LIST = 8 << 20  # bytes of an earlier list of files


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file to push.

    Attributes:
        name: its path in the repository.
        source: the file, or its content.
        bytes: its size.
    """

    name: str
    source: Path | bytes
    bytes: int


@dataclass(frozen=True, slots=True)
class Upload:
    """What a model consists of on the hub.

    Attributes:
        files: all files but the model card; their hashes have been checked.
        lists: names of the files that may list a repository's files: the model's own, and those of other kinds.
        card: the model card in Markdown, without metadata.
        described: what the metadata say.
        left_out: files beside them that are not pushed.
    """

    files: tuple[UploadFile, ...]
    lists: tuple[str, ...]
    card: str
    described: Described
    left_out: tuple[str, ...] = ()


class PushOptions(TypedDict, total=False):
    """What ``push_to_hub`` takes beside the repository.

    Attributes:
        license: the hub's word for the license, such as "apache-2.0" or "other". Required.
        language: language of the texts as a code such as "en", or several; left out if nobody says it.
        dataset: data set on the hub that the model was trained on, or several.
        base_model: model on the hub that it was made from.
        private: make a new repository private, and refuse an old one that is public; the default. False makes a new one
            public.
        revision: branch to push to, made from main if it is new; None for main.
        commit_message: of the commit; None names what was pushed.
        create_pr: open a pull request instead of changing the branch.
        token: of the hub; None for HF_TOKEN in the environment, or the login that ``hf auth login`` stored.
        dry_run: check everything on this machine, ask the hub nothing, and return what would be pushed.
        quiet: draw no progress bars.
    """

    license: str | None
    language: str | Sequence[str] | None
    dataset: str | Sequence[str] | None
    base_model: str | None
    private: bool
    revision: str | None
    commit_message: str | None
    create_pr: bool
    token: str | None
    dry_run: bool
    quiet: bool


@dataclass(frozen=True, slots=True)
class Pushed(Result):
    """What was pushed, or would be.

    Attributes:
        repo: OWNER/NAME.
        private: whether the repository is; after a dry run, whether a new one would be.
        files: bytes of each file that it has now by its name, the model card among them.
        removed: files of an earlier model there that this one does not have.
        left_out: files in the folder that were not pushed.
        card: the model card, with its metadata.
        commit: its hash; None after a dry run.
        url: of the commit, or of its pull request; None after a dry run.
        dry_run: whether nothing was pushed.
    """

    repo: str
    private: bool
    files: dict[str, int]
    removed: tuple[str, ...]
    left_out: tuple[str, ...]
    card: str
    commit: str | None = None
    url: str | None = None
    dry_run: bool = False

    def render(self) -> str:
        """Return a line on what was pushed where, and the files with their sizes."""
        what = f"{len(self.files)} files, {sum(self.files.values()) / 1e6:.1f} MB"
        seen = "private" if self.private else "public"
        first = f"nothing was pushed; {what} would go to {self.repo} ({seen})"
        if not self.dry_run:
            first = f"pushed {what} to {self.repo} ({seen}): {self.url}"
        rows = [("file", "bytes"), *((name, f"{size:,}") for name, size in self.files.items())]
        lines = [first, aligned(rows, texts=1)]
        lines += [f"removed: {', '.join(self.removed)}"] if self.removed else []
        lines += [f"not pushed: {', '.join(self.left_out)}"] if self.left_out else []
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        names = ("repo", "private", "files", "commit", "url", "dry_run", "card")
        plain = {name: getattr(self, name) for name in names}
        return {**plain, "removed": list(self.removed), "left_out": list(self.left_out)}


def push(
    upload: Upload,
    repo: str,
    *,
    license: str | None = None,
    language: str | Sequence[str] | None = None,
    dataset: str | Sequence[str] | None = None,
    base_model: str | None = None,
    private: bool = True,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    token: str | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> Pushed:
    """Push files and a model card to a repository in one commit; the arguments are those of `PushOptions`.

    Files that an earlier push listed there and this one does not have are removed in the same commit; others stay.

    Raises:
        ConfigError: a name is not one that the hub takes, or there is no license.
        HubError: the hub refuses or cannot be reached, or the repository is public and ``private`` was asked for.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    name = HubName(repository(repo), revision)
    hub = hub_client(f"pushing to {name.repo}")
    words = CardWords(license, language, dataset, base_model)
    card = front_matter(hub, name.title, upload.described, words) + upload.card.replace(_PLACE, f'"{name.repo}"')
    files = (*upload.files, UploadFile(_CARD, card.encode(), len(card.encode())))
    sizes = {file.name: file.bytes for file in files}
    if dry_run:
        return Pushed(name.repo, private, sizes, (), upload.left_out, card, dry_run=True)
    with progress_bars(hub, quiet=quiet), explained(hub, name, "write"):
        api = hub.HfApi(token=token, library_name=LIBRARY)
        is_private, stale = _prepared(hub, api, name, upload, private=private)
        operations = [hub.CommitOperationAdd(file.name, file.source) for file in files]
        operations += [hub.CommitOperationDelete(file) for file in stale]
        done = api.create_commit(
            name.repo,
            operations,
            commit_message=commit_message or f"Push {upload.described.tags[0]} {name.title}",
            revision=revision or _MAIN,
            create_pr=create_pr,
        )
    url = done.pr_url if create_pr else done.commit_url
    return Pushed(name.repo, is_private, sizes, tuple(stale), upload.left_out, card, done.oid, url)


def _prepared(hub: Any, api: Any, name: HubName, upload: Upload, *, private: bool) -> tuple[bool, list[str]]:
    """Make the repository and the branch if they are new; return whether it is private, and files to remove."""
    try:
        found = api.model_info(name.repo)
    except hub.errors.RepositoryNotFoundError:
        api.create_repo(name.repo, private=private, exist_ok=True)
        found = None
    if found is not None and found.id != name.repo:
        raise HubError(
            f"{name.repo} was renamed to {found.id}.",
            accepted={"a repository": "by its present name, as anybody may take the old one"},
            fix=f"push to {found.id}",
        )
    if found is not None and private and not found.private:
        raise HubError(
            f"{name.repo} is public, and this push is private.",
            fix=[_PUBLIC, "another repository"],
        )
    if name.revision not in (None, _MAIN):
        api.create_branch(name.repo, branch=name.revision, exist_ok=True)
    stale = [] if found is None else _stale(api, name, upload)
    return (private if found is None else bool(found.private)), stale


def _stale(api: Any, name: HubName, upload: Upload) -> list[str]:
    """Return the files there that an earlier push listed and this one does not have."""
    there = set(api.list_repo_files(name.repo, revision=name.revision))
    earlier = set(upload.lists)
    for index in there & earlier:
        path = Path(api.hf_hub_download(name.repo, index, revision=name.revision))
        try:
            earlier |= set(parse_json(read_bytes(path, _MOST_LIST))["files"])
        except (ValueError, KeyError, TypeError):  # somebody else's file of that name
            earlier.discard(index)
    return sorted((earlier & there) - {file.name for file in upload.files} - {_CARD})
