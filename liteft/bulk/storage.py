"""Where tables lie: paths on this machine, or URLs that fsspec opens, such as s3://lake/reviews/.

A finished part appears under its name at once: on a disk it is written beside its place and renamed, elsewhere it is
uploaded by one call. fsspec is imported for the first URL; ``file://`` is a path.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from liteft import files
from liteft.errors import DataError, MissingExtraError, RunError
from liteft.installation import install_hint

__all__ = ["Found", "Target", "in_one_process", "is_url", "local_copy", "opened", "plain_path", "stored_at"]

_VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
_WRITING = ".tmp"
_AGAIN = ("check the space and the permissions", "the same call goes on with the parts that are there")


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A file as a listing shows it.

    Attributes:
        path: its absolute path, or its URL.
        bytes: its size.
        version: what changes when its content does: the time of its modification, or the store's ETag.
    """

    path: str
    bytes: int
    version: str


def is_url(path: str) -> bool:
    """Return whether fsspec has to open a path."""
    return "://" in path


def plain_path(path: str | os.PathLike[str]) -> str:
    """Return an absolute path, or a URL without a slash at its end; ``file://`` is left out."""
    text = os.fspath(path)
    text = text.removeprefix("file://") if text.startswith("file:///") else text
    return text.rstrip("/") if is_url(text) else os.path.abspath(text)  # noqa: PTH100  # links stay as they are


def in_one_process(path: str) -> bool:
    """Return whether only this process sees the files of a URL: those in its memory."""
    return path.startswith("memory://")


def stored_at(source: str) -> list[Found]:
    """Return the files at a path or URL: itself, those below a folder, or those that a pattern with * fits.

    Files and folders whose names begin with a dot or an underscore are left out of folders.

    Raises:
        DataError: the storage refuses.
        MissingExtraError: a URL without fsspec.
    """
    if is_url(source):
        return _stored_remotely(source)
    if Path(source).is_dir():
        names = [str(path) for path in Path(source).rglob("*") if path.is_file() and _is_shown(path, Path(source))]
    elif Path(source).exists() or not glob.has_magic(source):
        names = [source]
    else:
        names = [name for name in glob.glob(source, recursive=True) if Path(name).is_file()]  # noqa: PTH207
    try:
        return [_found(name) for name in names]
    except OSError as error:
        raise DataError(
            f"{error.filename or source} cannot be read: {files.os_reason(error)}.",
            fix="check that the file exists and may be read",
        ) from None


def _found(name: str) -> Found:
    status = Path(name).stat()
    return Found(name, status.st_size, str(status.st_mtime_ns))


def _is_shown(path: Path, root: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.relative_to(root).parts)


def _stored_remotely(source: str) -> list[Found]:
    system, inner = _filesystem(source)
    try:
        if glob.has_magic(inner):
            infos = list(system.glob(inner, detail=True).values())
        elif system.isdir(inner):
            infos = [
                info
                for info in system.find(inner, detail=True).values()
                if not any(part.startswith((".", "_")) for part in info["name"].removeprefix(inner).split("/"))
            ]
        else:
            infos = [system.info(inner)]
    except Exception as error:  # each store has classes of its own
        raise DataError(
            f"{source} cannot be listed: {str(error) or type(error).__name__}.",
            fix="check the address, and that this machine may read it",
        ) from None
    kept = [info for info in infos if info.get("type", "file") == "file"]
    return [Found(system.unstrip_protocol(info["name"]), int(info["size"] or 0), _version(info)) for info in kept]


def _version(info: dict[str, Any]) -> str:
    return next((str(info[name]) for name in _VERSIONS if info.get(name) is not None), "")


def _filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingExtraError(
            f"{url} needs fsspec, which is not installed.", fix=[install_hint("score"), "a path on this machine"]
        ) from None
    try:
        system, inner = url_to_fs(url)
    except (ImportError, ValueError) as error:  # the store's own package, such as s3fs, is not there
        raise DataError(
            f"{url} cannot be opened: {error}.", fix=f"install fsspec's package for {url.split(':')[0]}://"
        ) from None
    return system, inner


def opened(path: str) -> IO[bytes]:
    """Open a file to read bytes anywhere in it.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if not is_url(path):
            return open(path, "rb")
        system, inner = _filesystem(path)
        return cast(IO[bytes], system.open(inner, "rb"))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {files.os_reason(error)}.", fix="check that the file exists and may be read"
        ) from None


@contextlib.contextmanager
def local_copy(path: str, most: int | None = None) -> Iterator[Path]:
    """Yield a file on this machine's disk: the path itself, or a copy of a URL that is removed again.

    Args:
        path: the path or URL.
        most: copy only about so many bytes of a URL, from its beginning, and whole lines.
    """
    if not is_url(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="liteft-score-") as folder, opened(path) as source:
        copy = Path(folder) / path.rstrip("/").rsplit("/", 1)[-1]
        with open(copy, "wb") as target:
            _copy(source, target, most)
        yield copy


def _copy(source: IO[bytes], target: IO[bytes], most: int | None) -> None:
    left = most
    while chunk := source.read(1 << 20):
        if left is not None and len(chunk) >= left:
            end = chunk.rfind(b"\n") + 1
            target.write(chunk[: end or None])
            if end:
                return
            left = 1  # a line that is longer
            continue
        target.write(chunk)
        left = None if left is None else left - len(chunk)


@dataclass(frozen=True, slots=True)
class Target:
    """The folder of the output, on this machine or elsewhere.

    Attributes:
        path: its absolute path or URL.
    """

    path: str

    def names(self) -> list[str]:
        """Return the names of the files in the folder, without those that are being written."""
        if not is_url(self.path):
            folder = Path(self.path)
            return sorted(each.name for each in folder.iterdir() if each.is_file()) if folder.is_dir() else []
        system, inner = _filesystem(self.path)
        with contextlib.suppress(FileNotFoundError):
            system.invalidate_cache(inner)
            return sorted(info["name"].rsplit("/", 1)[-1] for info in system.ls(inner, detail=True))
        return []

    def open(self, name: str) -> IO[bytes]:
        """Open one of the files."""
        return opened(f"{self.path}/{name}")

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a path to write; the file has its name once the block has ended without an error.

        Raises:
            RunError: the system refuses to put the file in its place.
        """
        if is_url(self.path):
            with tempfile.TemporaryDirectory(prefix="liteft-score-") as folder:
                aside = Path(folder) / "part"
                yield aside
                with self._refusal_named(name):
                    system, inner = _filesystem(self.path)
                    system.makedirs(inner, exist_ok=True)
                    system.put_file(str(aside), f"{inner}/{name}")
            return
        place = Path(self.path)
        aside = place / f".{name}.{secrets.token_hex(4)}{_WRITING}"
        with self._refusal_named(name):
            place.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            with self._refusal_named(name):
                with open(aside, "rb+") as file:
                    os.fsync(file.fileno())
                aside.replace(place / name)
                files.sync_folder(place)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _refusal_named(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(f"{self.path}/{name} could not be written: {files.os_reason(error)}.", fix=_AGAIN) from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if not is_url(self.path):
            (Path(self.path) / name).unlink(missing_ok=True)
            return
        system, inner = _filesystem(self.path)
        with contextlib.suppress(FileNotFoundError):
            system.rm_file(f"{inner}/{name}")

    def remove_unfinished(self) -> None:
        """Remove what killed processes were writing on this machine's disk."""
        if not is_url(self.path) and Path(self.path).is_dir():
            for path in Path(self.path).glob(f".*{_WRITING}"):
                path.unlink(missing_ok=True)
