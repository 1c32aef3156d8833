"""An artifact that was read: its path, its manifest, its tokenizer, and its text for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from liteft import untrusted
from liteft.artifact.manifest import TOKENIZER, Manifest
from liteft.artifact.uploading import artifact_upload
from liteft.errors import ArtifactError, Hint, ModelError
from liteft.hub import Pushed, PushOptions, push
from liteft.results import Result
from liteft.tasks import Task
from liteft.text_tables import metric_words, share
from liteft.tokenization import TextTokenizer
from liteft.untrusted.patterns import UnknownPattern
from liteft.untrusted.tokenizer import checked_tokenizer

__all__ = ["Artifact"]


@dataclass(frozen=True, slots=True, repr=False)
class Artifact(Result):
    """A checked artifact folder."""

    path: Path
    manifest: Manifest

    def __repr__(self) -> str:
        size = f"{self.size_bytes / 1e6:.1f} MB"
        return (
            f"Artifact({str(self.path)!r}: {self.manifest.form.precision}, {len(self.manifest.labels)} labels, {size})"
        )

    def render(self) -> str:
        """Return lines: what the artifact is, and how its verification came out."""
        return _text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the artifact as plain data: its path, sizes in MB of 10^6 bytes, and its manifest."""
        return {
            "path": str(self.path),
            "model_mb": self.model_path.stat().st_size / 1e6,
            "folder_mb": self.size_bytes / 1e6,
            "manifest": self.manifest.model_dump(mode="json"),
        }

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.path / self.manifest.graph_file

    @property
    def size_bytes(self) -> int:
        """Total size of all files except the manifest, in bytes."""
        return sum(entry.bytes for entry in self.manifest.files.values())

    def check_model(self) -> None:
        """Hash the ONNX file again, before another process of the same program reads it.

        Raises:
            ArtifactError: it is no longer the file that was checked.
        """
        entry = self.manifest.files[self.manifest.graph_file]
        try:
            same = untrusted.sha256_of(self.model_path, entry.bytes) == entry.sha256
        except (OSError, ValueError):
            same = False
        if not same:
            raise ArtifactError(
                f"{self.model_path} was replaced or removed after the parent process loaded it.",
                fix="load the artifact again in this process",
            )

    def tokenizer(self, *, trust: bool = False) -> TextTokenizer:
        """Return the tokenizer, which truncates texts as the manifest says.

        Args:
            trust: accept regular expressions that are not known to finish quickly.

        Raises:
            ArtifactError: the file is not a tokenizer, or it might crash the tokenizers library.
        """
        path = self.path / TOKENIZER
        try:
            return TextTokenizer(
                checked_tokenizer(untrusted.read_bytes(path), trust=trust),
                max_tokens=self.manifest.max_tokens,
                truncation_side=self.manifest.truncation_side,
                pad_id=self.manifest.pad_id,
                portable=True,
            )
        except (OSError, ValueError, ModelError) as error:
            reason = error.message if isinstance(error, ModelError) else f"{path} cannot be used: {error}."
            accepted = error.accepted if isinstance(error, ModelError) else {}
            fix: list[str | Hint] = [untrusted.TRUST] if isinstance(error, UnknownPattern) else []
            raise ArtifactError(reason, accepted=accepted, fix=[*fix, "export the model again"]) from error

    def push_to_hub(self, repo: str, **options: Unpack[PushOptions]) -> Pushed:
        """Push the files of the manifest, the manifest and a model card to a repository on the hub.

        Every file is hashed and compared with the manifest before. Nothing else of the folder is pushed.

        Args:
            repo: OWNER/NAME. It is made, private unless ``private=False``, if it is new.
            **options: ``license``, which is required, and the others of `liteft.hub.PushOptions`.

        Returns:
            What was pushed, with the commit and the model card.

        Raises:
            ArtifactError: a file is missing or was changed.
            ConfigError, HubError, MissingExtraError: as in `liteft.hub.push`.
        """
        return push(artifact_upload(self.path, self.manifest), repo, **options)


def _text(artifact: Artifact) -> str:
    """Return lines: what the artifact is, and how its verification came out."""
    checked = artifact.manifest.verification
    model_mb, folder_mb = artifact.model_path.stat().st_size / 1e6, artifact.size_bytes / 1e6
    graph = artifact.manifest.graph_file
    lines = [
        f"{artifact.path}: {artifact.manifest.form.describe()}, {graph} {model_mb:.1f} MB, folder {folder_mb:.1f} MB",
    ]
    if "agreement" not in checked:  # of a manifest that no export wrote
        return lines[0]
    lines += _verified_lines(checked, artifact.manifest.task)
    if mixed := checked.get("mixed"):
        lines.append(f"in float, for {mixed['bytes'] / 1e6:+.2f} MB: {', '.join(mixed['products'])}")
    lines += _measured_lines(artifact.manifest)
    if artifact.manifest.vocabulary is not None:
        lines.append(_vocabulary_line(artifact.manifest.vocabulary))
    return "\n".join(lines)


def _verified_lines(checked: dict[str, Any], task: Task) -> Iterator[str]:
    """Yield the lines on the verification; where words have labels, the shares of right ones are of whole texts."""
    per_word = task.per_word
    of = "the words of " if per_word else ""
    line = f"verified: {task.alike} on {100 * checked['agreement']:.2f}% of {of}{checked['texts']:,} texts"
    line += f" of {checked['split']}"
    if checked["accuracy"] is not None:
        right, of_model = share(checked["accuracy"]), share(checked["model_accuracy"])
        line += f"; every tag right in {right}% of the texts" if per_word else f"; {right}% right"
        line += f" (model {of_model}%)"
    yield line
    if primary := checked.get("primary"):
        between = primary["difference_interval"]
        line = f"{metric_words(primary['metric'])} {share(primary['artifact'])}% (model {share(primary['model'])}%"
        line += "" if between is None else f"; difference {100 * between[0]:+.1f} to {100 * between[1]:+.1f} points"
        yield f"{line})"
    if checked.get("calibration_error") is not None:
        yield (
            f"McNemar's p {checked['accuracy_p_value']:.2g}; expected calibration error "
            f"{share(checked['calibration_error'])} points (model {share(checked['model_calibration_error'])})"
        )
    if unlabeled := checked.get("unlabeled"):
        yield f"unlabelled: {task.alike} on {share(unlabeled['agreement'])}% of {of}{unlabeled['texts']:,} texts"


def _measured_lines(manifest: Manifest) -> Iterator[str]:
    """Yield one line per split and backend: the score of the artifact itself, and of the model it was exported from."""
    metric = manifest.task.primary_metric
    for split, engines in manifest.measured.items():
        before = manifest.metrics.get(split) or {}
        for backend, values in engines.items():
            same = before.get("n") == values["n"]  # of other texts, a figure beside this one would mislead
            of_model = f" (model in torch {share(before[metric])}%)" if same else ""
            score = f"{metric_words(metric)} {share(values[metric])}% on {values['n']:,} texts of {split}"
            yield f"the artifact itself, {backend}: {score}{of_model}"


def _vocabulary_line(found: dict[str, Any]) -> str:
    """Return a line that compares a trimmed vocabulary with the whole one."""
    line = f"vocabulary: {found['tokens']:,} of {found['of']:,} tokens"
    if found["unchanged_tokens"] is not None:
        line += f"; {share(found['unchanged_tokens'])}% of the tokens of {found['split']} are read as before"
    if "whole_accuracy" in found:
        line += f"; {share(found['accuracy'])}% right (with the whole vocabulary {share(found['whole_accuracy'])}%)"
    return line
