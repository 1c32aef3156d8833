"""The model of scores for use in services: texts or pairs in, scores out, in order, from any thread.

It has the life of a `Classifier`. A model of pairs also ranks: texts by their scores beside one query.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

import numpy as np

from liteft.arguments import checked_top_k
from liteft.errors import ConfigError, InputError, leave_out
from liteft.results import Result
from liteft.runtime.inputs import checked_columns, kind_of
from liteft.runtime.prediction import activation_of
from liteft.runtime.scoring import WINDOW, require_finite
from liteft.runtime.streaming import OnError
from liteft.runtime.texts import TextModel

__all__ = ["Ranked", "Score", "Scorer"]


@dataclass(frozen=True, slots=True)
class Score(Result):
    """The score of one text or pair.

    Attributes:
        score: as the model learned it: the logit, or its sigmoid if the manifest names that.
        logit: the model's logit.
        truncated: True if the text was truncated.
        backend: what computed it: "native" or "onnxruntime". On native, a text's logits are bit-identical whatever
            texts are beside it; onnxruntime pads, and they may differ in the last bits.
    """

    score: float
    logit: float
    truncated: bool
    backend: str

    def render(self) -> str:
        """Return one line: the score."""
        return f"{self.score:.4f}"

    def to_dict(self) -> dict[str, Any]:
        """Return the score as plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Ranked(Result):
    """A text in a ranking.

    Attributes:
        index: its place among the texts that were given, from 0.
        score: its score.
        text: the text.
    """

    index: int
    score: float
    text: str

    def render(self) -> str:
        """Return one line: score, place and text."""
        return f"{self.score:.4f} [{self.index}] {self.text}"

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain data for JSON."""
        return asdict(self)


class Scorer(TextModel):
    """A loaded artifact that gives scores. Safe to use from several threads, and in child processes of fork or spawn.

    Made by ``load``. A pickle contains the path and the settings; unpickling loads again.

    Attributes:
        backend: the engine: "native" or "onnxruntime".
        device: where it computes: "cpu" or "cuda".
        threads: threads of one run on the CPU.
        precision: of the encoder's matmuls: "fp32", "bf16" or "int8".
    """

    @overload
    def predict(self, inputs: str | tuple[str, str]) -> Score: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, inputs: Collection[Any]) -> list[Score]: ...

    def predict(self, inputs: Any) -> Score | list[Score]:
        """Score one text or a collection of texts.

        Args:
            inputs: a text, or a list (array, Series) of texts; for a model of pairs: (text, pair), or a list of such
                pairs. An empty text is scored like any other.

        Returns:
            A Score for one text; a list of them, in order, for a collection.

        Raises:
            InputError: a value is not a text, or not a pair for a model of pairs.
            DeviceError: the model was closed, or the backend failed.
        """
        return self._predicted(inputs, self._answer)

    def stream(
        self,
        inputs: Iterable[Any],
        *,
        on_error: OnError = "raise",
        token_budget: int | None = None,
        window: int = WINDOW,
        top_k: None = None,
        threshold: None = None,
    ) -> Iterator[Score | None]:
        """Score an iterable of any length, lazily and in order.

        Args:
            inputs, on_error, token_budget, window: as in ``Classifier.stream``.
            top_k, threshold: refused, as they are for labels.

        Returns:
            An iterator with one Score per input, None for an invalid one.

        Raises:
            InputError, ConfigError, DeviceError: as in ``predict``; settings are checked at once.
        """
        for name, value in {"top_k": top_k, "threshold": threshold}.items():
            if value is not None:
                raise ConfigError(
                    f"{name} was given, and this model gives scores.",
                    accepted={name: "of models of labels"},
                    fix=leave_out(name),
                )
        return self._streamed(inputs, self._answer, on_error=on_error, token_budget=token_budget, window=window)

    def scores(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Return the scores of texts.

        Args:
            texts: the texts, or the first text of each pair.
            pairs: the second texts, one per text; required by a model of pairs, refused by others.

        Returns:
            float32, shape (texts,), in order.

        Raises:
            InputError: as in ``predict``, or the lengths differ.
            DeviceError: the model was closed, or the backend failed.
        """
        return np.asarray(self._values(self._logits(texts, pairs, call="scores")))

    def predictions(self, logits: np.ndarray, *, truncated: np.ndarray | None = None) -> list[Score]:
        """Turn the logits of ``run`` into what ``predict`` returns.

        Args:
            logits: float32, shape (texts, 1).
            truncated: bool, shape (texts,), as ``Encoded.truncated`` has it; None says that no text was truncated.

        Returns:
            One Score per row, in order.

        Raises:
            InputError: the shapes do not fit.
            ModelError: the logits contain NaN or infinite values.
        """
        whole = isinstance(logits, np.ndarray) and logits.ndim == 2 and logits.shape[1] == 1
        cut = np.zeros(len(logits) if whole else 0, dtype=bool) if truncated is None else np.asarray(truncated, bool)
        if not whole or cut.shape != logits.shape[:1]:
            found = f"logits of shape {logits.shape}" if isinstance(logits, np.ndarray) else kind_of(logits)
            raise InputError(
                f"predictions got {found} and {cut.size:,} marks of truncated texts.",
                accepted={"logits": "(texts, 1)", "truncated": "(texts,)"},
                fix="logits of this model's run, and the truncated of the same texts",
            )
        require_finite(logits)
        return self._answer(logits, cut)

    def rank(self, query: str, texts: Sequence[str], *, top_k: int | None = None) -> list[Ranked]:
        """Rank texts by their scores beside a query. Of models of pairs only.

        Args:
            query: the first text of each pair.
            texts: the candidates, the second texts.
            top_k: return at most this many.

        Returns:
            The best first; of equal scores the first in ``texts``.

        Raises:
            InputError: a value is not a text.
            ConfigError: the model reads single texts, or ``top_k`` is not a positive integer.
            DeviceError: the model was closed, or the backend failed.
        """
        if not self.manifest.paired:
            raise ConfigError(
                f"{self.path} reads single texts, so it cannot compare texts with a query.",
                accepted={"rank": "of models of pairs"},
                fix="scores(texts)",
            )
        checked_top_k(top_k)
        if not isinstance(query, str):
            raise InputError(f"the query is {kind_of(query)}.", accepted={"query": "a text"}, fix="rank(query, texts)")
        values = list(checked_columns(texts, None, call="rank"))
        found = self.scores([query] * len(values), values) if values else np.zeros(0, dtype=np.float32)
        order = np.argsort(-found, kind="stable")[:top_k].tolist()
        return [Ranked(row, float(found[row]), str(values[row])) for row in order]

    def __repr__(self) -> str:
        return self._shown("pairs, " if self.manifest.paired else "texts, ")

    def _values(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(activation_of(self.manifest.activation)(logits)[:, 0])

    def _answer(self, logits: np.ndarray, truncated: np.ndarray) -> list[Score]:
        rows = zip(self._values(logits).tolist(), logits[:, 0].tolist(), truncated.tolist(), strict=True)
        return [Score(score, logit, cut, self.backend) for score, logit, cut in rows]
