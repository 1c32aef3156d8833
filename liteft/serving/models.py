"""The models of a server: each has a name, and a loaded artifact that can be replaced while it answers.

A new artifact is read, its files are hashed, it computes its recorded answers, and only then one reference is
replaced. Whatever was started with the old one ends with it; the old one is freed with its last answer. If anything
fails, the old one stays.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liteft.encoded import Encoded
from liteft.errors import ConfigError, Hint, InputError
from liteft.hub import origin_of
from liteft.runtime.classifier import load
from liteft.runtime.recorded import RECORDED_TEXTS, check_recorded, recorded_values

__all__ = ["Loaded", "ServedModel", "load_artifact", "named_paths"]

_CHARACTERS_PER_SECOND = 20_000.0  # until the first run has shown a model's own
_TOKENS_PER_CHARACTER = 0.3
_SPECIAL = 10  # characters that special tokens and the place of a text in a request count for
_KEPT = 0.9  # of what earlier runs have shown, after a run as long as _PERIOD
_PERIOD = 0.1  # seconds
_WARM_TEXTS = 8
_NAME = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded artifact, ready to answer.

    Attributes:
        classifier: what ``liteft.load`` returned.
        revision: 16 hexadecimal digits of its manifest, which has the hashes of all files.
        difference: between its answers and the recorded ones, in logits; None if its manifest has none.
        seconds: that loading, hashing and warming took.
    """

    classifier: Any
    revision: str
    difference: float | None
    seconds: float

    @property
    def manifest(self) -> Any:
        """The artifact's manifest."""
        return self.classifier.manifest

    @property
    def labels_texts(self) -> bool:
        """True if every text has labels; False for words, answers and scores."""
        task = self.manifest.task
        return not (task.per_word or task.extractive or task.numeric)

    def tokens_of(self, encoded: Any) -> np.ndarray:
        """Return how many tokens each text of what ``encode`` returned has, all its windows together: int (texts,)."""
        if isinstance(encoded, Encoded):
            return encoded.lengths
        rows = encoded.encoded.lengths
        return np.bincount(encoded.text_of_row, weights=rows, minlength=len(encoded.text_rows) - 1).astype(np.int64)


def load_artifact(path: Path, loading: dict[str, Any]) -> Loaded:
    """Load an artifact, warm it up, and compare its answers with the recorded ones.

    Args:
        path: its folder.
        loading: arguments of ``liteft.load``.

    Raises:
        ArtifactError, ConfigError, DeviceError, MissingExtraError: as in ``liteft.load``.
        ModelError: it does not give its recorded answers here.
    """
    started = time.perf_counter()
    classifier = load(path, **loading)
    difference = check_recorded(classifier)
    revision = hashlib.sha256(classifier.manifest.model_dump_json().encode()).hexdigest()[:16]
    return Loaded(classifier, revision, difference, time.perf_counter() - started)


class ServedModel:
    """A model by its name.

    Args:
        name: in paths and bodies of requests.
        path: the artifact's folder.
        loading: arguments of ``liteft.load``, for it and for all that will replace it.

    Attributes:
        name, path: as given.
    """

    def __init__(self, name: str, path: Path, loading: dict[str, Any]) -> None:
        self.name, self.path = name, path
        self._loading = loading
        self._loaded: Loaded | None = None
        self._replacing = threading.Lock()
        self._characters = self._tokens = self._seconds = 0.0

    @property
    def loaded(self) -> Loaded:
        """The artifact that answers now. Only once the server is ready."""
        assert self._loaded is not None
        return self._loaded

    def load(self) -> Loaded:
        """Load the artifact from its folder, again if it is loaded, and let it answer from now on.

        Raises:
            LiteftError: as in `load_artifact`; what was loaded before goes on to answer.
        """
        with self._replacing:
            loaded = load_artifact(self.path, self._loading)
            speed = _measured(loaded)
            self._loaded = loaded
            if speed is not None:
                self._characters = self._tokens = self._seconds = 0.0
                self.learn(*speed)
        return loaded

    def seconds_of(self, values: int, characters: int) -> float:
        """Return how long the engine will take for some values, by what it took for others."""
        rate = self._characters / self._seconds if self._seconds else _CHARACTERS_PER_SECOND
        return (characters + _SPECIAL * values) / rate

    def tokens_of(self, values: int, characters: int) -> int:
        """Return how many tokens some values will have, by how many others had."""
        rate = self._tokens / self._characters if self._characters else _TOKENS_PER_CHARACTER
        return round((characters + _SPECIAL * values) * rate)

    def learn(self, values: int, characters: int, tokens: int, seconds: float) -> None:
        """Take a run into account: the more, the longer it was."""
        kept = _KEPT ** (seconds / _PERIOD)
        self._characters = kept * self._characters + characters + _SPECIAL * values
        self._tokens = kept * self._tokens + tokens
        self._seconds = kept * self._seconds + seconds


def _measured(loaded: Loaded) -> tuple[int, int, int, float] | None:
    """Return the values, characters, tokens and seconds of a run; None if the model cannot read the texts for it.

    It is the second run, as the first may take longer. An engine that fails does so before requests depend on it.
    """
    values = [recorded_values(loaded.manifest)[1]] * _WARM_TEXTS
    for _ in range(2):
        started = time.perf_counter()
        try:
            encoded = loaded.classifier.encode(values)
            loaded.classifier.run(encoded)
        except InputError:  # a vocabulary without their characters
            return None
        seconds = time.perf_counter() - started
    return len(values), len(RECORDED_TEXTS[1]) * len(values), int(loaded.tokens_of(encoded).sum()), seconds


def named_paths(artifacts: Sequence[str | os.PathLike[str]], find: Callable[[str], Path]) -> dict[str, Path]:
    """Return the folders of artifacts by their names.

    Args:
        artifacts: each PATH, named for its folder or its repository on the hub, or NAME=PATH.
        find: returns the artifact of a folder, which may be that of a whole pipeline, or of a repository.

    Raises:
        ConfigError: there are none, two have the same name, or a name does not fit into a path.
    """
    found: dict[str, Path] = {}
    for given in [os.fspath(each) for each in artifacts]:
        name, equals, path = given.partition("=")
        if not equals or "/" in name:
            name, path = "", given
        if not path:
            raise ConfigError(
                f"{given!r} names no folder.",
                accepted={"artifacts": "PATH, or NAME=PATH"},
                fix=Hint(f'["{name}=runs/{name}"]', f"{name}=runs/{name}"),
            )
        folder = find(path)
        if not name:
            own, origin = folder.absolute(), origin_of(folder)
            name = own.parent.name if own.name == "artifact" else own.name
            name = name if origin is None else origin.title
        if not name or not set(name) <= _NAME:
            raise ConfigError(
                f"the name {name!r} of a model does not fit into a path.",
                accepted={"a name": "letters, digits, and - _ ."},
                fix=Hint(f'["model={path}"]', f"model={path}"),
            )
        if name in found:
            raise ConfigError(
                f"two models have the name {name!r}.",
                accepted={name: f"{found[name]} and {folder}"},
                fix=Hint(f'["{name}-2={path}"]', f"{name}-2={path}"),
            )
        found[name] = folder
    if not found:
        raise ConfigError(
            "there are no artifacts to serve.",
            accepted={"artifacts": "PATH, or NAME=PATH, one or more"},
            fix=Hint('serve(["runs/reviews"])', "liteft serve runs/reviews"),
        )
    return found
