"""What models of whole texts share: checked texts in, token ids, logits out, in order, from any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from liteft.encoded import Encoded
from liteft.errors import InputError
from liteft.runtime.backends import Engine
from liteft.runtime.inputs import Text, checked_columns, checked_iterable, checked_text, is_one_text
from liteft.runtime.opened import OpenArtifact
from liteft.runtime.scoring import WINDOW, run_encoded
from liteft.runtime.streaming import OnError, Streaming, check_settings

__all__ = ["TextModel"]

Answer = TypeVar("Answer")


class TextModel(OpenArtifact):
    """A loaded artifact that reads whole texts, or pairs of them; subclasses say what its logits mean.

    A pickle contains the path and the settings; unpickling loads again.

    Attributes:
        backend: the engine: "native" or "onnxruntime".
        device: where it computes: "cpu" or "cuda".
        threads: threads of one run on the CPU.
        precision: of the encoder's matmuls: "fp32", "bf16" or "int8".
    """

    def logits(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Return the raw logits.

        Args:
            texts: the texts, or the first text of each pair.
            pairs: the second texts, one per text; required by a model of pairs, refused by others.

        Returns:
            float32, shape (texts, labels), in order.

        Raises:
            InputError: as in ``predict``, or the lengths differ.
            DeviceError: the classifier was closed, or the backend failed.
        """
        return self._logits(texts, pairs, call="logits")

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Tokenize texts, without running the model: the first half of ``predict``, for callers that batch themselves.

        Args:
            texts: as in ``logits``.
            pairs: as in ``logits``.

        Returns:
            Encoded, unpadded, truncated to the artifact's ``max_tokens``. It can be sliced, joined with others, and
            its tokens counted (``lengths``) before it goes to ``run``.

        Raises:
            InputError, DeviceError: as in ``logits``.
        """
        self._open_engine()
        values = checked_columns(texts, pairs, call="encode")
        return Encoded.join(self._reader.encode_all(values))

    def run(self, encoded: Encoded, *, check: bool = True) -> np.ndarray:
        """Run the model on token ids: the second half of ``predict``. Safe to call from several threads.

        Args:
            encoded: the result of ``encode``, a slice of it, or several joined; or ``Encoded.of`` token ids.
            check: check the token ids; False saves that for what this classifier's own ``encode`` has returned.

        Returns:
            Logits, float32, shape (texts, labels), in order. On the native backend, a text's logits are bit-identical
            however the texts are split into calls; onnxruntime pads, and the last bits may differ.

        Raises:
            InputError: ``encoded`` is not an Encoded, or has a text without tokens or with too many, ids that this
                artifact's tokenizer does not have, or type ids that its model does not have.
            DeviceError: the classifier was closed, or the backend failed.
        """
        engine = self._open_engine()
        if check:
            self._refuse_encoded(encoded)
        parts = (encoded[start : start + WINDOW] for start in range(0, len(encoded), WINDOW))
        return self._joined(self._run(part, engine) for part in parts)

    def _predicted(
        self, inputs: Any, answer: Callable[[np.ndarray, np.ndarray], list[Answer]]
    ) -> Answer | list[Answer]:
        """Return the answer for a text, or those for a collection of texts, in order."""
        engine = self._open_engine()
        paired = self.manifest.paired
        if is_one_text(inputs, paired=paired):
            encoded = self._reader.encode([checked_text(inputs, paired=paired, name="the text")], "the text")
            return answer(self._run(encoded, engine), encoded.truncated)[0]
        return [
            one
            for encoded in self._reader.encode_all(inputs)
            for one in answer(self._run(encoded, engine), encoded.truncated)
        ]

    def _streamed(
        self,
        inputs: Iterable[Any],
        answer: Callable[[np.ndarray, np.ndarray], list[Answer]],
        *,
        on_error: OnError,
        token_budget: int | None,
        window: int,
    ) -> Iterator[Answer | None]:
        """Return an iterator with an answer for each text; settings are checked at once."""
        check_settings(on_error, token_budget, window)
        self._open_engine()
        streaming = Streaming(
            engine=self._open_engine,
            reader=self._reader,
            counters=self._counters,
            answer=answer,
            on_error=on_error,
            token_budget=token_budget,
            window=window,
        )
        return streaming.predictions(checked_iterable(inputs))

    def _logits(self, texts: Sequence[str], pairs: Sequence[str] | None, *, call: str) -> np.ndarray:
        engine = self._open_engine()
        values = checked_columns(texts, pairs, call=call)
        return self._joined(self._run(encoded, engine) for encoded in self._reader.encode_all(values))

    def _run(self, encoded: Encoded, engine: Engine) -> np.ndarray:
        special_tokens = self._reader.special_tokens
        return run_encoded(encoded, engine=engine, counters=self._counters, special_tokens=special_tokens)

    def _joined(self, logits: Iterable[np.ndarray]) -> np.ndarray:
        parts = list(logits)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.zeros((0, len(self.labels)), dtype=np.float32), *parts])

    def refusal(self, text: Text, name: str) -> InputError:
        """Return the error for a text that ``stream`` refused for its tokens; ``name`` is the text's name in it."""
        return self._reader.refusal(name, self._reader.encode_some([text])[1].get(0))
