"""The classifier for use in services: texts in, predictions out, in order, from any thread.

Lists and streams are processed alike, one window of texts at a time: a stream never reads further ahead than its
window, so an endless one needs bounded memory. Nothing here depends on the backend.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from liteft.arguments import require_path
from liteft.errors import ConfigError, InputError
from liteft.runtime.backends import Engine, checked_threads, choose_engine
from liteft.runtime.inputs import kind_of
from liteft.runtime.opened import Asked, OpenArtifact
from liteft.runtime.prediction import Answering, Prediction, activation_of
from liteft.runtime.scoring import WINDOW, require_finite
from liteft.runtime.streaming import OnError
from liteft.runtime.texts import TextModel

if TYPE_CHECKING:
    from liteft.artifact import Artifact
    from liteft.tasks import Task

__all__ = ["Classifier", "OnError", "load", "opened_classifier"]


def load(
    path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    engine_precision: str | None = None,
    slots: int | None = None,
    trust: bool = False,
) -> Any:
    """Load an artifact and check its files against their SHA-256. Neither torch nor transformers is imported.

    Args:
        path: the artifact's folder, or the folder of a whole pipeline, which contains it as ``artifact``; or, as a
            string, its repository on the hub, OWNER/NAME or OWNER/NAME@REVISION, if nothing here has that name. It is
            downloaded once, into the hub's cache, and a commit in the cache is used without a network.
        revision: branch, tag or commit of the repository; None for its main branch.
        device: "cpu", "cuda", or "auto": CUDA if onnxruntime has it and the artifact is not int8. "cuda" is CUDA or
            a DeviceError: onnxruntime's if it has CUDA and the artifact is not int8, else the native backend's,
            which has not run on a GPU yet.
        backend: "native", "onnxruntime", or "auto": native on the CPU if this liteft has its library, the
            processor has AVX2 or NEON, and the graph is one node, neither flat nor traced; else onnxruntime.
            On the native backend, a text's logits are bit-identical whatever texts are beside it; on onnxruntime, which
            pads, they are close.
        threads: threads of one run on the CPU; None for the environment's LITEFT_THREADS, else OMP_NUM_THREADS, else
            the number of physical cores that this process may use. With 1, texts are tokenized on one core too.
        engine_precision: None computes as the artifact is stored, float16 in float32; with device="cuda" and the native
            backend in bf16, or in fp16 for float16 artifacts and on GPUs without bf16. "bf16" computes the matmuls of a
            float artifact in bfloat16: faster and less accurate, on the native backend, if the processor supports it.
            With device="cuda", "bf16" or "fp16" selects the native backend on the GPU, for any artifact, and "int8"
            does so for an int8 artifact, whose weights then stay int8 there: None computes it in bf16 or fp16. No GPU
            has run this yet. On the CPU an int8 artifact is always computed in int8.
        slots: with device="cuda", how many runs of the native backend compute at once, from 1 to 64; other threads
            wait. Each slot takes 90 to 125 MB of the GPU's memory, when the artifact is loaded. None for the
            environment's LITEFT_CUDA_SLOTS, else two, or one if there is no memory for two.
        trust: also load graphs with operators that LiteFT does not write, and tokenizers with regular expressions that
            are not known to finish quickly. Such a file may take unbounded time or memory, or crash the process: trust
            only files from someone whose programs you would run.

    Returns:
        A Classifier, a TokenClassifier if the artifact tags words, a Scorer if it gives scores, or an AnswerClassifier
        if it answers questions: the manifest decides. Close it, or use it as a context manager.

    Raises:
        ArtifactError: the folder is not an artifact, a byte was changed, its format is too new, or its graph cannot be
            loaded.
        ConfigError: a device, backend, precision or number of threads or slots that is not one of the accepted.
        DeviceError: the device, backend or precision is not available on this machine.
        HubError: the hub does not have the repository, refuses, or cannot be reached and it was not downloaded before.
        MissingExtraError: onnxruntime is needed but not installed, or `huggingface_hub` for a repository.
    """
    from liteft.artifact import artifact_folder, read_artifact  # pydantic: a third of this module's import time

    require_path("path", path, accepted="the folder of an artifact, or its repository on the hub")
    count = checked_threads(threads)
    artifact = read_artifact(artifact_folder(path, revision=revision).absolute())
    engine = choose_engine(
        artifact,
        device=device,
        backend=backend,
        threads=count,
        engine_precision=engine_precision,
        slots=slots,
        trust=trust,
    )
    asked = (device, backend, threads, engine_precision, slots, trust)
    return opened_classifier(artifact, engine, threads=count, asked=asked)


def opened_classifier(artifact: Artifact, engine: Engine, *, threads: int, asked: Asked) -> Any:
    """Return the classifier of an artifact whose engine is there; ``asked`` is what was given to `load`."""
    kind = _kind_of(artifact.manifest.task)
    return kind(artifact, engine, threads=threads, asked=asked, again=_load_again)


def _kind_of(task: Task) -> type[OpenArtifact]:
    """Return the class for models of a task; those of other tasks than labels of texts are imported when needed."""
    if task.per_word:
        from liteft.runtime.tokens import TokenClassifier

        return TokenClassifier
    if task.extractive:
        from liteft.runtime.answers import AnswerClassifier

        return AnswerClassifier
    if task.numeric:
        from liteft.runtime.scorer import Scorer

        return Scorer
    return Classifier


class Classifier(TextModel):
    """A loaded artifact. Safe to use from several threads, and in child processes made by fork or spawn.

    Made by ``load``. A pickle contains the path and the settings; unpickling loads again.

    Attributes:
        backend: the engine: "native" or "onnxruntime".
        device: where it computes: "cpu" or "cuda".
        threads: threads of one run on the CPU.
        precision: of the encoder's matmuls: "fp32", "bf16" or "int8".
    """

    @overload
    def predict(  # type: ignore[overload-overlap]  # a string is a collection of strings, too
        self,
        inputs: str | tuple[str, str],
        *,
        top_k: int | None = None,
        threshold: float | Sequence[float] | None = None,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        inputs: Collection[Any],
        *,
        top_k: int | None = None,
        threshold: float | Sequence[float] | None = None,
    ) -> list[Prediction]: ...

    def predict(
        self, inputs: Any, *, top_k: int | None = None, threshold: float | Sequence[float] | None = None
    ) -> Prediction | list[Prediction]:
        """Classify one text or a collection of texts.

        Args:
            inputs: a text, or a list (array, Series) of texts; for a model of pairs: (text, pair), or a list of such
                pairs. An empty text is classified like any other.
            top_k: fill ``Prediction.top`` with at most this many labels.
            threshold: multi-label: the score that a label must exceed, or one per label; None for 0.5.

        Returns:
            A Prediction for one text; a list of them, in order, for a collection.

        Raises:
            InputError: a value is not a text, or not a pair for a model of pairs.
            ConfigError: ``top_k`` or ``threshold`` does not fit.
            DeviceError: the classifier was closed, or the backend failed.
        """
        return self._predicted(inputs, self._answering(top_k, threshold))

    def stream(
        self,
        inputs: Iterable[Any],
        *,
        top_k: int | None = None,
        threshold: float | Sequence[float] | None = None,
        on_error: OnError = "raise",
        token_budget: int | None = None,
        window: int = WINDOW,
    ) -> Iterator[Prediction | None]:
        """Classify an iterable of any length, lazily and in order.

        Args:
            inputs: texts, or pairs for a model of pairs. At most ``window`` of them (fewer if they are long)
                are read ahead of the result that is yielded.
            top_k: as in ``predict``.
            threshold: as in ``predict``.
            on_error: what to do with a value that is not a text: "raise" an InputError after the results before it, or
                yield None in its place ("null").
            token_budget: maximum tokens of one batch, padding included (a longer text runs alone); None for the
                backend's measured default.
            window: number of texts that are batched together. 1 answers each text before reading the next.

        Returns:
            An iterator with one Prediction per input, None for an invalid one.

        Raises:
            InputError, ConfigError, DeviceError: as in ``predict``; settings are checked at once.
        """
        answer = self._answering(top_k, threshold)
        return self._streamed(inputs, answer, on_error=on_error, token_budget=token_budget, window=window)

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> np.ndarray:
        """Return the probability of every label, as scikit-learn's method of this name does.

        Args:
            texts: as in ``logits``.
            pairs: as in ``logits``.

        Returns:
            float32, shape (texts, labels), columns in the order of ``labels``: the softmax of the logits, whose rows
            sum to 1; for a multi-label model the sigmoid of each logit. Of a model whose threshold was tuned
            (``manifest.training["threshold"]``) these are the scores, shifted so that the threshold is 0.5.

        Raises:
            InputError, DeviceError: as in ``logits``.
            ConfigError: the manifest names no activation, so the logits are not to be turned into probabilities.
        """
        if self.manifest.activation == "none":
            raise ConfigError(
                f"{self.path} has logits without an activation, so they are not probabilities.",
                accepted={"activation in the manifest": "softmax, sigmoid"},
                fix="logits(texts)",
            )
        return activation_of(self.manifest.activation)(self._logits(texts, pairs, call="predict_proba"))

    def predictions(
        self,
        logits: np.ndarray,
        *,
        truncated: np.ndarray | None = None,
        top_k: int | None = None,
        threshold: float | Sequence[float] | None = None,
    ) -> list[Prediction]:
        """Turn the logits of ``run`` into what ``predict`` returns.

        Args:
            logits: float32, shape (texts, labels).
            truncated: bool, shape (texts,), as ``Encoded.truncated`` has it; None says that no text was truncated.
            top_k: as in ``predict``.
            threshold: as in ``predict``.

        Returns:
            One Prediction per row, in order.

        Raises:
            InputError: the shapes do not fit the labels or each other.
            ConfigError: ``top_k`` or ``threshold`` does not fit.
            ModelError: the logits contain NaN or infinite values.
        """
        answer = self._answering(top_k, threshold)
        whole = isinstance(logits, np.ndarray) and logits.ndim == 2 and logits.shape[1] == len(self.labels)
        cut = (
            np.zeros(len(logits) if whole else 0, dtype=bool)
            if truncated is None
            else np.asarray(truncated, dtype=bool)
        )
        if not whole or cut.shape != logits.shape[:1]:
            found = f"logits of shape {logits.shape}" if isinstance(logits, np.ndarray) else kind_of(logits)
            raise InputError(
                f"predictions got {found} and {cut.size:,} marks of truncated texts.",
                accepted={"logits": f"(texts, {len(self.labels)})", "truncated": "(texts,)"},
                fix="logits of this classifier's run, and the truncated of the same texts",
            )
        require_finite(logits)
        return answer(logits, cut)

    def __repr__(self) -> str:
        return self._shown(f"{len(self.labels)} labels, ")

    def _answering(self, top_k: int | None, threshold: float | Sequence[float] | None) -> Answering:
        return Answering(
            task=self.manifest.task,
            labels=self.labels,
            activation=self.manifest.activation,
            backend=self.backend,
            top_k=top_k,
            threshold=threshold,
        )


def _load_again(
    path: Path,
    device: str,
    backend: str,
    threads: int | None,
    engine_precision: str | None,
    slots: int | None,
    trust: bool,
) -> Any:
    choices: dict[str, Any] = {"device": device, "backend": backend, "threads": threads, "slots": slots}
    return load(path, **choices, engine_precision=engine_precision, trust=trust)
