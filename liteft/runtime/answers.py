"""The classifier of questions: a question and its context in, a part of the context out, in order, from any thread.

It has the life of a `Classifier`. A long context is read in overlapping windows, and only these rows of tokens are
batched: an answer does not depend on the questions beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from liteft.answer_spans import STOP, TOKENS
from liteft.answer_windows import AnswerTokenizer, AnswerWindows
from liteft.errors import InputError
from liteft.ragged import Ragged, concatenated
from liteft.runtime.answered import Answer, Deciding
from liteft.runtime.backends import Engine
from liteft.runtime.inputs import (
    Text,
    as_text,
    checked_columns,
    checked_iterable,
    checked_text,
    checked_texts,
    is_one_text,
    kind_of,
    text_error,
)
from liteft.runtime.opened import Asked, OpenArtifact
from liteft.runtime.scoring import WINDOW, require_finite, windows
from liteft.runtime.streaming import OnError, check_settings, in_order
from liteft.runtime.token_ids import check_encoded

if TYPE_CHECKING:
    from liteft.artifact import Artifact

__all__ = ["AnswerClassifier"]


class AnswerClassifier(OpenArtifact):
    """A loaded artifact that answers questions. Safe to use from several threads, and in child processes.

    Made by ``load``. A pickle contains the path and the settings; unpickling loads again.

    Attributes:
        backend: the engine: "native" or "onnxruntime".
        device: where it computes: "cpu" or "cuda".
        threads: threads of one run on the CPU.
        precision: of the encoder's matmuls: "fp32", "bf16" or "int8".
    """

    def __init__(
        self, artifact: Artifact, engine: Engine, *, threads: int, asked: Asked, again: Callable[..., Any]
    ) -> None:
        super().__init__(artifact, engine, threads=threads, asked=asked, again=again)
        assert artifact.manifest.answers is not None  # the manifest's own check
        self._questions = AnswerTokenizer(self._reader.tokenizer, artifact.manifest.answers)

    @overload
    def predict(self, inputs: str, context: str, *, top_k: int | None = None, threshold: None = None) -> Answer: ...

    @overload
    def predict(
        self, inputs: tuple[str, str], context: None = None, *, top_k: int | None = None, threshold: None = None
    ) -> Answer: ...

    @overload
    def predict(
        self, inputs: Collection[Any], context: None = None, *, top_k: int | None = None, threshold: None = None
    ) -> list[Answer]: ...

    def predict(
        self, inputs: Any, context: str | None = None, *, top_k: int | None = None, threshold: None = None
    ) -> Answer | list[Answer]:
        """Answer one question or a collection of them.

        Args:
            inputs: a question; or (question, context), or a list of such pairs.
            context: the text that answers the question, where ``inputs`` is the question alone.
            top_k: fill ``Answer.top`` with at most this many answers.
            threshold: refused, as labels alone have one.

        Returns:
            An Answer for one question; a list of them, in order, for a collection.

        Raises:
            InputError: a value is not a question with its context.
            ConfigError: ``top_k`` does not fit, or there is a threshold.
            DeviceError: the classifier was closed, or the backend failed.
        """
        decide = Deciding(backend=self.backend, top_k=top_k, threshold=threshold)
        engine = self._open_engine()
        if context is not None:
            if not isinstance(inputs, str) or not isinstance(context, str):
                raise InputError(
                    f"predict got {kind_of(inputs)} as the question, and {kind_of(context)} as its context.",
                    accepted={"question, context": "two strings"},
                    fix="predict(list(zip(questions, contexts))) for several",
                )
            inputs = (inputs, context)
        if is_one_text(inputs, paired=True):
            return self._answered([checked_text(inputs, paired=True, name="the question")], engine, decide, None)[0]
        found: list[Answer] = []
        for some in windows(iter(checked_texts(inputs, paired=True)), WINDOW):
            found += self._answered(some, engine, decide, len(found))
        return found

    def stream(
        self,
        inputs: Iterable[Any],
        *,
        top_k: int | None = None,
        threshold: None = None,
        on_error: OnError = "raise",
        token_budget: int | None = None,
        window: int = WINDOW,
    ) -> Iterator[Answer | None]:
        """Answer an iterable of questions of any length, lazily and in order.

        Args:
            inputs: pairs (question, context). At most ``window`` of them (fewer if they are long) are read ahead of the
                result that is yielded.
            top_k, threshold: as in ``predict``.
            on_error: what to do with a value that is no such pair: "raise" an InputError after the results before it,
                or yield None in its place ("null").
            token_budget: maximum tokens of one batch, padding included (a longer row runs alone); None for the
                backend's measured default.
            window: number of questions that are batched together. 1 answers each before reading the next.

        Returns:
            An iterator with one Answer per input, None for an invalid one.

        Raises:
            InputError, ConfigError, DeviceError: as in ``predict``; settings are checked at once.
        """
        decide = Deciding(backend=self.backend, top_k=top_k, threshold=threshold)
        check_settings(on_error, token_budget, window)
        self._open_engine()

        def answered(texts: list[Text]) -> tuple[dict[int, int | None], Iterator[Answer]]:
            engine = self._open_engine()
            rows = self._encoded(texts)
            refused = self._refused(rows)
            if refused:
                texts = [text for place, text in enumerate(texts) if place not in refused]
                rows = self._encoded(texts)
            return refused, iter(decide(self._logits(rows, engine, token_budget), texts, rows.truncated))

        return in_order(
            windows(self._judged(checked_iterable(inputs)), window),
            answered,
            refusal=self._reader.refusal,
            counters=self._counters,
            on_error=on_error,
        )

    def logits(self, questions: Sequence[Any], contexts: Sequence[str] | None = None) -> Ragged:
        """Return the raw logits of all words, with their places in the contexts.

        Args:
            questions: the questions; without ``contexts`` pairs (question, context).
            contexts: the text that answers each.

        Returns:
            float32, (units, 5) for each question, in order: of each window first a unit for no answer and then one for
            each of its words. A unit has the logit that an answer starts with it, the logit that one ends with it, its
            begin and end in the context, -1 for no answer, and its tokens.

        Raises:
            InputError, DeviceError: as in ``predict``, or the lengths differ.
        """
        engine = self._open_engine()
        texts = checked_texts(checked_columns(questions, contexts, call="logits"), paired=True)
        parts: list[Ragged] = []
        for some in windows(iter(texts), WINDOW):
            rows = self._encoded(some)
            self._refuse(rows, sum(len(part) for part in parts))
            parts.append(self._logits(rows, engine))
        return concatenated(parts) if parts else self._logits(self._encoded([]), engine)

    def encode(self, questions: Sequence[Any], contexts: Sequence[str] | None = None) -> AnswerWindows:
        """Tokenize questions, without running the model: the first half of ``predict``, for callers that batch.

        Args:
            questions, contexts: as in ``logits``.

        Returns:
            AnswerWindows: rows of tokens, ``encoded``, and where the words of the contexts are in them.

        Raises:
            InputError: as in ``logits``.
            DeviceError: the classifier was closed.
        """
        self._open_engine()
        return self._encoded(checked_texts(checked_columns(questions, contexts, call="encode"), paired=True))

    def run(self, rows: AnswerWindows, *, check: bool = True) -> Ragged:
        """Run the model on rows of tokens: the second half of ``predict``. Safe to call from several threads.

        Args:
            rows: the result of ``encode``.
            check: check the token ids; False saves what the tokenizer has settled: only whether the model has them
                is looked at.

        Returns:
            What ``logits`` returns.

        Raises:
            InputError: ``rows`` is something else, or has ids that this artifact's tokenizer or model does not have.
            DeviceError: the classifier was closed, or the backend failed.
        """
        engine = self._open_engine()
        if not isinstance(rows, AnswerWindows):
            raise InputError(
                f"run got {kind_of(rows)}.",
                accepted={"rows": "what encode(questions, contexts) returns"},
                fix="run(encode(questions, contexts)), or predict(question, context)",
            )
        if check:
            check_encoded(rows.encoded, self._reader.tokenizer, self.manifest.token_types)
        self._refuse(rows, 0)
        return self._logits(rows, engine)

    def predictions(
        self,
        logits: Ragged,
        questions: Sequence[Any],
        contexts: Sequence[str] | None = None,
        *,
        top_k: int | None = None,
        truncated: np.ndarray | None = None,
    ) -> list[Answer]:
        """Turn the logits of ``run`` into what ``predict`` returns.

        Args:
            logits: as ``logits`` returns them.
            questions, contexts: those that were encoded, as in ``logits``.
            top_k: as in ``predict``.
            truncated: bool, shape (questions,), as ``AnswerWindows.truncated`` has it; None says that nothing was cut.

        Returns:
            One Answer per question, in order.

        Raises:
            InputError: the logits do not fit the contexts.
            ConfigError: ``top_k`` does not fit.
            ModelError: the logits contain NaN or infinite values.
        """
        decide = Deciding(backend=self.backend, top_k=top_k)
        texts = checked_texts(checked_columns(questions, contexts, call="predictions"), paired=True)
        cut = np.zeros(len(texts), dtype=bool) if truncated is None else np.asarray(truncated, dtype=bool)
        fits = isinstance(logits, Ragged) and logits.shape[1:] == (TOKENS + 1,) and len(logits) == len(texts)
        if fits:
            lengths = np.array([len(text.second or "") for text in texts], dtype=np.int64)
            fits = not (logits.values[:, STOP] > lengths[logits.row_numbers]).any()
        if not fits or cut.shape != (len(texts),):
            found = f"logits of {len(logits):,} questions" if isinstance(logits, Ragged) else kind_of(logits)
            raise InputError(
                f"predictions got {found} that do not fit the contexts of {len(texts):,} questions.",
                accepted={"logits": "what run(encode(questions, contexts)) returns", "truncated": "(questions,)"},
                fix="the same questions and contexts as for encode",
            )
        require_finite(logits.values)
        return decide(logits, texts, cut)

    def __repr__(self) -> str:
        return self._shown("")

    def refusal(self, value: Any, name: str) -> InputError:
        """Return the error for a value that ``stream`` refused for its tokens; ``name`` is the value's name in it."""
        text = value if isinstance(value, Text) else as_text(value, paired=True)
        refused = {} if text is None else self._refused(self._encoded([text]))
        return self._reader.refusal(name, refused.get(0))

    def _judged(self, values: Iterable[Any]) -> Iterator[Text | InputError]:
        for number, value in enumerate(values):
            text = as_text(value, paired=True)
            yield text_error(value, paired=True, name=f"text {number}") if text is None else text

    def _answered(self, texts: list[Text], engine: Engine, decide: Deciding, first: int | None) -> list[Answer]:
        """Return the answers to questions; the first is number ``first``, for errors, None for a single one."""
        rows = self._encoded(texts)
        self._refuse(rows, first)
        return decide(self._logits(rows, engine), texts, rows.truncated)

    def _encoded(self, texts: Sequence[Text]) -> AnswerWindows:
        rows = self._questions.encode([text.first for text in texts], [text.second or "" for text in texts])
        if self._reader.token_types or not rows.encoded.type_ids.any():
            return rows
        plain = np.zeros_like(rows.encoded.type_ids)
        return replace(rows, encoded=replace(rows.encoded, type_ids=plain))

    def _refused(self, rows: AnswerWindows) -> dict[int, int | None]:
        """Return the questions that cannot be run, as ``Reader.refused``."""
        found = self._reader.refused(rows.encoded)
        texts = rows.text_of_row
        return {int(texts[row]): found[row] for row in sorted(found, reverse=True)}  # a question's first row wins

    def _refuse(self, rows: AnswerWindows, first: int | None) -> None:
        """Raise InputError for the first question that cannot be run; None if there is only one."""
        refused = self._refused(rows)
        if refused:
            place = min(refused)
            name = "the question" if first is None else f"text {first + place}"
            raise self._reader.refusal(name, refused[place])

    def _logits(self, rows: AnswerWindows, engine: Engine, token_budget: int | None = None) -> Ragged:
        """Run the model; what is counted are questions, not their rows."""
        cut, empty = rows.truncated, rows.words.lengths[rows.contexts] == 0
        return rows.of_texts(
            self._run_windows(rows.encoded, engine, truncated=cut, empty=empty, token_budget=token_budget)
        )
