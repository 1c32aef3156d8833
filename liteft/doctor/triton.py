"""Findings about a model repository for Triton: are its files those that were written, and where is its library."""

from __future__ import annotations

import os
import re
from pathlib import Path

from liteft.doctor.finding import Finding
from liteft.errors import ArtifactError, DeviceError
from liteft.files import sha256_file
from liteft.runtime.native_library import find_library, open_file
from liteft.triton.checking import TritonRepository, read_repository

__all__ = ["triton_findings"]

_CONFIG = "config.pbtxt"
_LIBRARY = re.compile(r'op_library_filename:\s*\[?\s*"([^"]*)"')
_NAMED = 3  # files in a detail


def triton_findings(folder: str | os.PathLike[str]) -> list[Finding]:
    """Return what a repository is, what was changed in it, and whether its library can be opened and is where it says.

    Args:
        folder: the repository.
    """
    try:
        repository = read_repository(Path(folder))
    except ArtifactError as error:
        return [Finding("Triton", "problem", error.message.rstrip("."), tuple(error.command_hints()))]
    what = f"{repository.path}: {repository.kind}, model {repository.name}; {repository.verified['text']}"
    changed = repository.changed()
    findings = [Finding("Triton", "ok", f"{what}; not run in a Triton server"), _files_finding(repository, changed)]
    return findings if repository.library is None else [*findings, *_library_findings(repository, changed)]


def _files_finding(repository: TritonRepository, changed: list[str]) -> Finding:
    if not changed:
        return Finding("Triton files", "ok", f"{len(repository.files):,} files are as they were written")
    more = f" and {len(changed) - _NAMED:,} more" if len(changed) > _NAMED else ""
    edited = all(each.endswith(f"{_CONFIG} was changed") for each in changed)
    detail = "; ".join(changed[:_NAMED]) + more
    if edited:  # that is what a configuration is for
        return Finding("Triton files", "off", f"{detail}: it is no longer the one that was checked")
    return Finding("Triton files", "problem", detail, ("liteft export ARTIFACT --target triton --out FOLDER",))


def _library_findings(repository: TritonRepository, changed: list[str]) -> list[Finding]:
    """Return whether the copied library can be opened here, and whether the configuration names it."""
    graph = repository.path / f"{repository.name}_graph"
    copied = graph / "1" / Path(repository.library or "").name
    whole = not any(each.startswith(copied.relative_to(repository.path).as_posix()) for each in changed)
    opened = _opened(copied) if whole else []
    found = _LIBRARY.search((graph / _CONFIG).read_text("utf-8")) if (graph / _CONFIG).is_file() else None
    if found is None:
        detail = f"{graph / _CONFIG} names no library: the graph runs in ONNX Runtime's operators, with padding"
        return [*opened, Finding("Triton library path", "off", detail)]
    return [*opened, _path_finding(Path(found[1]), copied)]


def _opened(copied: Path) -> list[Finding]:
    """Return whether the library can be opened here; another one than our own is not, since that would run it."""
    try:
        own = find_library()
        if not copied.is_file() or sha256_file(copied) != sha256_file(own):
            detail = f"{copied} is another file than {own}, of this liteft, and was not opened: that would run it"
            return [Finding("Triton library", "off", detail)]
        library = open_file(copied)
    except DeviceError as error:
        return [Finding("Triton library", "problem", error.message.rstrip("."))]
    return [Finding("Triton library", "ok", f"{copied} can be opened here, version {library.version}")]


def _path_finding(named: Path, copied: Path) -> Finding:
    """Return whether the path in the configuration is the library's; Triton may run elsewhere."""
    if not named.is_absolute():
        return Finding("Triton library path", "problem", f"{named} is relative, and Triton needs a whole path")
    if not named.is_file():
        detail = f"{named} does not exist here; where Triton runs it must be {copied.name} of this repository"
        return Finding("Triton library path", "off", detail)
    if copied.is_file() and sha256_file(named) == sha256_file(copied):
        return Finding("Triton library path", "ok", f"{named} is the library of this repository")
    return Finding(
        "Triton library path", "problem", f"{named} is another file than {copied}", (f"cp {copied} {named}",)
    )
