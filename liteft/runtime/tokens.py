"""The classifier of words: texts in, spans out, in order, from any thread.

It has the life of a `Classifier`. Long texts are read in windows, each word in the middle of one, so no word is left
out, and only these rows of tokens are batched: a text's answer does not depend on the texts beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from liteft.errors import ConfigError, InputError, leave_out
from liteft.ragged import Ragged
from liteft.runtime.backends import Engine
from liteft.runtime.inputs import checked_columns, checked_iterable, kind_of
from liteft.runtime.opened import Asked, OpenArtifact
from liteft.runtime.scoring import WINDOW, require_finite
from liteft.runtime.streaming import OnError, check_settings, in_order
from liteft.runtime.tagged import TaggedText, Tagging
from liteft.runtime.token_ids import check_encoded
from liteft.runtime.word_texts import (
    WordReader,
    WordText,
    as_words,
    checked_words,
    in_windows,
    is_one,
    predicate_error,
    words_error,
)
from liteft.tasks.tokens import Tokens
from liteft.windows import WordWindows

if TYPE_CHECKING:
    from liteft.artifact import Artifact

__all__ = ["TokenClassifier"]


class TokenClassifier(OpenArtifact):
    """A loaded artifact that tags words. Safe to use from several threads, and in child processes of fork or spawn.

    Made by ``load``. A pickle contains the path and the settings; unpickling loads again. A text is a string, whose
    words are found in it, or words: a tuple of strings, or inside of a list a list.

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
        self._words = WordReader(self._reader, marked=self.marked)
        self._answer = Tagging(
            task=cast(Tokens, self.manifest.task.bound(self.labels)),
            activation=self.manifest.activation,
            backend=self.backend,
        )

    @property
    def marked(self) -> bool:
        """True if the model finds the roles of one word of a text, its predicate, which it must be told."""
        return bool(getattr(self.manifest, "marked", False))

    @overload
    def predict(self, inputs: str | tuple[str, ...], *, predicate: int | None = None) -> TaggedText: ...

    @overload
    def predict(self, inputs: list[str], *, predicate: int) -> TaggedText: ...

    @overload
    def predict(self, inputs: Collection[Any]) -> list[TaggedText]: ...

    def predict(self, inputs: Any, *, predicate: int | None = None) -> TaggedText | list[TaggedText]:
        """Tag the words of one text or of a collection of texts.

        Args:
            inputs: a string; a tuple of words; or a list of texts, each a string or a list or tuple of words. With a
                predicate a list, too, is one text in words. For a model of roles without one: a list of (text or
                words, predicate).
            predicate: of a model of roles: the number of the word whose roles are found, counted from 0.

        Returns:
            A TaggedText for one text; a list of them, in order, for a collection.

        Raises:
            InputError: a value is not a text, or the predicate is not a word of it.
            ConfigError: a predicate was given to a model that has none.
            DeviceError: the classifier was closed, or the backend failed.
        """
        if predicate is not None:
            return self.predict_roles(inputs, predicates=[predicate])[0]
        one = is_one(inputs)
        engine = self._open_engine()
        if one:
            text = as_words(inputs, marked=self.marked)
            if text is None:
                raise words_error(inputs, marked=self.marked, name="the text")
            return self._tagged([text], engine, 0)[0]
        return self._all_tagged(checked_words(inputs, marked=self.marked), engine)

    def predict_roles(self, words: Any, *, predicates: Collection[int]) -> list[TaggedText]:
        """Find the roles of several predicates of one text. Of models of roles only.

        Args:
            words: a string, or a list or tuple of words.
            predicates: numbers of words, counted from 0.

        Returns:
            A TaggedText for each predicate, in order.

        Raises:
            InputError, ConfigError, DeviceError: as in ``predict``.
        """
        if not self.marked:
            raise ConfigError(
                "a predicate was given, but this model tags texts as they are.",
                accepted={"a predicate": "models of semantic roles only"},
                fix=leave_out("predicate"),
            )
        engine = self._open_engine()
        if isinstance(predicates, str) or not isinstance(predicates, Collection):
            raise InputError(
                f"predict_roles got {kind_of(predicates)} as predicates.",
                accepted={"predicates": "a list of numbers of words, counted from 0"},
                fix="predict_roles(words, predicates=[2, 5]), or predict(words, predicate=2)",
            )
        text = as_words(words, marked=False)
        if text is None:
            raise words_error(words, marked=False, name="the text")
        asked = [as_words((text, predicate), marked=True) for predicate in predicates]
        for predicate, one in zip(predicates, asked, strict=True):
            if one is None:
                raise predicate_error(predicate, text, "the text")
        return self._all_tagged([one for one in asked if one is not None], engine)

    def stream(
        self,
        inputs: Iterable[Any],
        *,
        on_error: OnError = "raise",
        token_budget: int | None = None,
        window: int = WINDOW,
    ) -> Iterator[TaggedText | None]:
        """Tag an iterable of any length, lazily and in order.

        Args:
            inputs: texts, each as in a list for ``predict``. At most ``window`` of them (fewer if they are long) are
                read ahead of the result that is yielded.
            on_error: what to do with a value that is not a text: "raise" an InputError after the results before it, or
                yield None in its place ("null").
            token_budget: maximum tokens of one batch, padding included (a longer row runs alone); None for the
                backend's measured default.
            window: number of texts that are batched together. 1 answers each text before reading the next.

        Returns:
            An iterator with one TaggedText per input, None for an invalid one.

        Raises:
            InputError, ConfigError, DeviceError: as in ``predict``; settings are checked at once.
        """
        check_settings(on_error, token_budget, window)
        self._open_engine()

        def answered(texts: list[WordText]) -> tuple[dict[int, int | None], Iterator[TaggedText]]:
            engine = self._open_engine()
            windows = self._words.encode(texts)
            refused = self._words.refused(windows)
            if refused:
                texts = [text for place, text in enumerate(texts) if place not in refused]
                windows = self._words.encode(texts)
            logits = self._logits(windows, engine, token_budget)
            return refused, iter(self._answer(logits, texts, windows.truncated))

        return in_order(
            in_windows(self._judged(checked_iterable(inputs)), window),
            answered,
            refusal=self._words.refusal,
            counters=self._counters,
            on_error=on_error,
        )

    def logits(self, texts: Sequence[Any], *, words: Ragged | None = None, marked: np.ndarray | None = None) -> Ragged:
        """Return the raw logits of all words.

        Args:
            texts, words, marked: as for ``encode``.

        Returns:
            float32, (words, tags) for each text, in order.

        Raises:
            InputError, DeviceError: as in ``predict``.
        """
        return self.run(self.encode(texts, words=words, marked=marked))

    def encode(
        self, texts: Sequence[Any], *, words: Ragged | None = None, marked: np.ndarray | None = None
    ) -> WordWindows:
        """Tokenize texts, without running the model: the first half of ``predict``, for callers that batch themselves.

        Args:
            texts: texts, each as in a list for ``predict``; with ``words`` strings.
            words: begin and end of the words of each text in code points, as ``Split.words`` has them.
            marked: with ``words``, of a model of roles: the predicate's word of each text, int64 (texts,).

        Returns:
            WordWindows: rows of tokens, ``encoded``, and where the words are in them.

        Raises:
            InputError: as in ``predict``, or there are not words for each text.
            DeviceError: the classifier was closed.
        """
        self._open_engine()
        values = checked_columns(texts, None, call="encode")
        if words is None:
            return self._words.encode(checked_words(values, marked=self.marked))
        return self._words.encode_split(list(values), words, marked)

    def run(self, windows: WordWindows, *, check: bool = True) -> Ragged:
        """Run the model on rows of tokens: the second half of ``predict``. Safe to call from several threads.

        Args:
            windows: the result of ``encode``.
            check: check the token ids; False saves what the tokenizer has settled: only whether the model has them
                is looked at.

        Returns:
            Logits, float32, (words, tags) for each text, in order.

        Raises:
            InputError: ``windows`` is something else, or has ids that this artifact's tokenizer or model does not have.
            DeviceError: the classifier was closed, or the backend failed.
        """
        engine = self._open_engine()
        if not isinstance(windows, WordWindows):
            raise InputError(
                f"run got {kind_of(windows)}.",
                accepted={"windows": "what encode(texts) returns"},
                fix="run(encode(texts)), or predict(texts)",
            )
        if check:
            check_encoded(windows.encoded, self._reader.tokenizer, self.manifest.token_types)
        self._words.refuse(windows)
        return self._logits(windows, engine)

    def predictions(
        self, logits: Ragged, texts: Sequence[Any], *, truncated: np.ndarray | None = None
    ) -> list[TaggedText]:
        """Turn the logits of ``run`` into what ``predict`` returns.

        Args:
            logits: float32, (words, tags) for each text.
            texts: the texts that were encoded.
            truncated: bool, shape (texts,), as ``WordWindows.truncated`` has it; None says that no text was truncated.

        Returns:
            One TaggedText per text, in order.

        Raises:
            InputError: the logits do not fit the words of the texts, or the tags.
            ModelError: the logits contain NaN or infinite values.
        """
        values = checked_words(checked_columns(texts, None, call="predictions"), marked=self.marked)
        cut = np.zeros(len(values), dtype=bool) if truncated is None else np.asarray(truncated, dtype=bool)
        words = [len(text.words) for text in values]
        fits = isinstance(logits, Ragged) and logits.shape[1:] == (len(self.labels),)
        if not fits or logits.lengths.tolist() != words or cut.shape != (len(values),):
            found = kind_of(logits)
            if isinstance(logits, Ragged):
                found = f"logits of {len(logits.values):,} words in {len(logits):,} texts"
            raise InputError(
                f"predictions got {found} that do not fit {len(values):,} texts with {sum(words):,} words.",
                accepted={"logits": f"(words, {len(self.labels)}) for each text", "truncated": "(texts,), or None"},
                fix="the logits that run(encode(texts)) returns, and the same texts",
            )
        require_finite(logits.values)
        return self._answer(logits, values, cut)

    def __repr__(self) -> str:
        return self._shown(f"{len(self.labels)} tags, ")

    def refusal(self, value: Any, name: str) -> InputError:
        """Return the error for a value that ``stream`` refused for its tokens; ``name`` is the value's name in it."""
        text = as_words(value, marked=self.marked)
        refused = {} if text is None else self._words.refused(self._words.encode([text]))
        return self._words.refusal(name, refused.get(0))

    def _judged(self, values: Iterable[Any]) -> Iterator[WordText | InputError]:
        for number, value in enumerate(values):
            text = as_words(value, marked=self.marked)
            yield words_error(value, marked=self.marked, name=f"text {number}") if text is None else text

    def _all_tagged(self, texts: list[WordText], engine: Engine) -> list[TaggedText]:
        tagged: list[TaggedText] = []
        for window in in_windows(iter(texts), WINDOW):
            tagged += self._tagged(window, engine, len(tagged))
        return tagged

    def _tagged(self, texts: list[WordText], engine: Engine, first: int) -> list[TaggedText]:
        """Return the answers for texts; the first is number ``first``, for errors."""
        windows = self._words.encode(texts)
        self._words.refuse(windows, first)
        return self._answer(self._logits(windows, engine), texts, windows.truncated)

    def _logits(self, windows: WordWindows, engine: Engine, token_budget: int | None = None) -> Ragged:
        empty = windows.text_words[1:] == windows.text_words[:-1]
        cut, rows = windows.truncated, windows.encoded
        return windows.of_texts(self._run_windows(rows, engine, truncated=cut, empty=empty, token_budget=token_budget))
