"""The gate of a repository: what was written runs on real texts, outside of Triton, and must answer as the artifact.

The models of the Python backend run as Triton runs them, but for Triton's own tensors. A repository whose results are
not those of the artifact, bit for bit, is not written.
"""

from __future__ import annotations

import ctypes
import filecmp
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liteft.artifact import Artifact, Manifest
from liteft.encoder.operator import OUTPUT, RAGGED_KIND
from liteft.errors import REPORT, DeviceError, VerificationError, option
from liteft.installation import install_hint
from liteft.metrics import binomial_tail
from liteft.ragged import equal_rows
from liteft.runtime import custom_ops_library, load
from liteft.runtime.native_library import open_library
from liteft.runtime.onnx_engine import import_onnxruntime, session_options
from liteft.runtime.prediction import activation_of
from liteft.runtime.splits import split_logits
from liteft.triton.config import MOST_TEXTS
from liteft.triton.ensemble import graph_folder, token_folder
from liteft.triton.tensors import DTYPES
from liteft.triton.text_model import TextModel
from liteft.triton.token_model import TokenModel

if TYPE_CHECKING:
    from liteft.data import Split

__all__ = ["check_copy", "check_ensemble", "split_values"]

_REQUESTS = (1, 1, 5, 1, 32, 2)  # texts of requests, one after the other
_NEAR = 1e-6  # scores so near each other are a tie, which two computations of a softmax may break differently
_CHOSEN = 0.5  # a score that exceeds it is chosen, where a text has several labels
_PLAIN = 1e-4  # of float logits in ONNX Runtime, where the order of sums depends on the shapes
_SIGNIFICANCE = 0.05  # as in the gate of an export


def check_copy(artifact: Artifact, folder: Path, split: Split, *, threads: int | None) -> dict[str, Any]:
    """Compare the model that does everything with the artifact that it was copied from.

    Args:
        artifact: the artifact.
        folder: of model.py.
        split: the texts.
        threads: of the engine.

    Returns:
        What the repository's list says of it.

    Raises:
        VerificationError: logits differ, or an output does not have the shape or type of the configuration.
    """
    model = TextModel()
    model.folder = folder
    model.open(threads)
    with load(artifact.path, device="cpu", threads=threads) as classifier:
        if not equal_rows(split_logits(classifier, split), split_logits(model.classifier, split)):
            raise _differs("the copied artifact's logits", split)
    values = split_values(split)[:MOST_TEXTS]
    found = model.arrays(model.compute(values), 0, len(values))
    for tensor in model.outputs:
        array = found[tensor.name]
        if array.shape != (len(values), *tensor.dims) or array.dtype != DTYPES[tensor.data_type]:
            raise _differs(f"the output {tensor.name}, {array.dtype} {array.shape},", split)
    backend = model.classifier.backend
    model.finalize()
    text = f"the same bits as the artifact on {len(split):,} texts of {split.name}, in {backend}"
    return {"split": split.name, "texts": len(split), "backend": backend, "text": text}


def check_ensemble(
    artifact: Artifact, repository: Path, name: str, split: Split, *, threads: int | None
) -> dict[str, Any]:
    """Run the tokenizer and the graph of an ensemble on requests that are joined as Triton joins them.

    With the library, the graph's logits must be those of the artifact bit for bit. Without it, in ONNX Runtime alone,
    they may differ as the artifact's own verification allows: by little, or in int8 with the same labels.

    Args:
        artifact: the artifact.
        repository: the folder with the three models.
        name: of the ensemble.
        split: the texts.
        threads: of the engine.

    Returns:
        What the repository's list says of it.

    Raises:
        VerificationError: logits, scores or labels differ, or padding was computed.
        DeviceError: the native library does not have the operator.
        MissingExtraError: onnxruntime is not installed.
    """
    tokens = TokenModel()
    tokens.folder = repository / token_folder(name) / "1"
    tokens.open(threads)
    values = split_values(split)
    batches = [_joined(tokens, batch) for batch in _batches(values)]
    graph = repository / graph_folder(name) / "1"
    library = Path(custom_ops_library())  # the copy would stay open as long as this process lives
    if not filecmp.cmp(library, graph / library.name, shallow=False):
        raise _differs("the bytes of the copied library", split)
    with load(artifact.path, device="cpu", backend="native", threads=threads) as classifier:
        expected = split_logits(classifier, split)
    before = _rows_computed()
    found = _run(graph / "model.onnx", batches, library)
    _check_rows(_rows_computed() - before, sum(int(batch["lengths"].sum()) for batch in batches), library)
    if not equal_rows(expected, found[OUTPUT]):
        raise _differs("the graph's logits with the library", split)
    _check_outputs(artifact.manifest, found, split)
    with load(artifact.path, device="cpu", backend="onnxruntime", threads=threads) as classifier:
        plain = split_logits(classifier, split)
    _check_plain(artifact.manifest, plain, _run(graph / "model.onnx", batches, None)[OUTPUT], split)
    text = (
        f"the same logits, bit for bit, as the artifact on {len(split):,} texts of {split.name}, in onnxruntime "
        "with the library, in requests joined as Triton joins them; without the library, the artifact's own limits"
    )
    return {"split": split.name, "texts": len(split), "backend": "onnxruntime with libliteft", "text": text}


def _batches(values: list[tuple[Any, ...]]) -> list[list[list[tuple[Any, ...]]]]:
    """Return batches of requests of texts: of different sizes, and of as many texts as a batch in Triton may have."""
    batches: list[list[list[tuple[Any, ...]]]] = []
    batch: list[list[tuple[Any, ...]]] = []
    start = texts = 0
    for size in itertools.cycle(_REQUESTS):
        request = values[start : start + size]
        if not request or texts + len(request) > MOST_TEXTS:
            batches.append(batch)
            batch, texts = [], 0
        if not request:
            return [each for each in batches if each]
        batch.append(request)
        start, texts = start + size, texts + len(request)
    raise AssertionError


def _joined(tokens: TokenModel, requests: list[list[tuple[Any, ...]]]) -> dict[str, np.ndarray]:
    """Return the graph's inputs for a batch: what is ragged in one axis, and the rest one text below the other."""
    answered = [tokens.arrays(tokens.compute(each), 0, len(each)) for each in requests]
    joined = {}
    for each in tokens.outputs:
        parts = [arrays[each.name] for arrays in answered]
        joined[each.name] = np.concatenate([part.reshape(-1) for part in parts] if each.ragged else parts)
    del joined["truncated"]
    return joined


def _run(graph: Path, batches: list[dict[str, np.ndarray]], library: Path | None) -> dict[str, np.ndarray]:
    """Return the graph's outputs for all batches, joined, by name."""
    onnxruntime = import_onnxruntime()
    options = session_options()
    if library is not None:
        options.register_custom_ops_library(str(library))
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    parts = [session.run(names, batch) for batch in batches]
    return {name: np.concatenate(arrays) for name, *arrays in zip(names, *parts, strict=True)}


def _rows_computed() -> int:
    """Return how many token rows libliteft's operators have computed in this process."""
    rows = ctypes.c_uint64()
    open_library().functions.liteft_operator_counters(None, None, ctypes.byref(rows))
    return rows.value


def _check_rows(computed: int, tokens: int, library: Path) -> None:
    """Refuse a library that left the graph to ONNX Runtime, or that computed other rows than those of real tokens."""
    if not computed:
        raise DeviceError(
            f"{library} does not have the operator {RAGGED_KIND}: it was built for an earlier liteft.",
            fix=[install_hint(flags="--force-reinstall"), option("kind", "python")],
        )
    if computed != tokens:
        raise VerificationError(
            f"the graph computed {computed:,} rows for {tokens:,} tokens; nothing was written.", fix=REPORT
        )


def _check_outputs(manifest: Manifest, found: dict[str, np.ndarray], split: Split) -> None:
    """Refuse outputs that do not follow from the logits as the artifact's answers do."""
    scores = activation_of(manifest.activation)(found[OUTPUT])
    best = scores.max(axis=1)
    if not np.allclose(found["score"][:, 0], best, rtol=1e-5, atol=1e-6):
        raise _differs("the graph's scores", split)
    if manifest.task.numeric:
        return
    near = np.take_along_axis(scores, np.array([[manifest.labels.index(label)] for label in found["label"][:, 0]]), 1)
    if (near[:, 0] < best - _NEAR).any():
        raise _differs("the graph's labels", split)
    clear = np.abs(scores - _CHOSEN) > _NEAR
    if "chosen" in found and ((found["chosen"] != (scores > _CHOSEN)) & clear).any():
        raise _differs("the labels that the graph chooses", split)


def _check_plain(manifest: Manifest, expected: np.ndarray, found: np.ndarray, split: Split) -> None:
    """Refuse a graph that answers otherwise where its operator is not there."""
    task = manifest.task
    if manifest.form.precision == "int8":
        agreed, count = task.agreement(expected, found), task.units(expected)
        same = binomial_tail(round((1 - agreed) * count), count, 1 - task.least_agreement) >= _SIGNIFICANCE
    else:
        same = bool(np.allclose(found, expected, rtol=_PLAIN, atol=_PLAIN))
    if not same:
        raise _differs("without the library, the graph's logits", split)


def split_values(split: Split) -> list[tuple[Any, ...]]:
    """Return the values that a client would send for a split's texts: tuples of the inputs, in their order."""
    columns: list[list[Any]] = [split.texts]
    if split.pairs is not None:
        columns.append(split.pairs)
    if split.marked is not None:
        columns.append(np.asarray(split.marked).tolist())
    return list(zip(*columns, strict=True))


def _differs(what: str, split: Split) -> VerificationError:
    return VerificationError(
        f"{what} are not those of the artifact on the texts of {split.name}; nothing was written.", fix=REPORT
    )
