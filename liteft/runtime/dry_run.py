"""A dry run of a graph: that its shapes fit, that it terminates, and how much memory and work it takes.

An engine in C++ is fast because it does not check twice. So a graph from a file is first evaluated by the rules of
`rules`, for two texts of the maximum length: every operator must be one that LiteFT writes, every shape must fit, no
value may be much larger than weights and tokens explain, and the result must be one row of logits per text, or per
token. A graph
that cannot be checked this way is loaded only if the caller trusts the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from liteft.encoder.operator import DOMAIN, ENDS, KINDS, OUTPUT, TOKENS
from liteft.errors import ArtifactError
from liteft.runtime.onnx_content import StoredFunction, StoredModel, StoredNode, has_endless_value
from liteft.runtime.onnx_file import read_model
from liteft.runtime.rules import RULES, Value, value_of
from liteft.untrusted import TRUST

if TYPE_CHECKING:
    from liteft.artifact import Artifact, Manifest

__all__ = ["check_file", "check_graph", "check_known"]

_LONG, _INT, _FLOAT = 7, 6, 1
_OPSETS, _VERSIONS = range(18, 22), range(3, 13)
_LONGEST = 512
_MOST_BYTES = 64 << 20  # of a value, beyond what weights and tokens explain
_MOST_WORK = 1 << 30
_WORK_OF_PAIRS = 50_000  # per pair of tokens of a text, in attention: width times layers times two
_MOST_OUTPUTS = 64


def check_graph(artifact: Artifact, *, trust: bool = False) -> None:
    """Refuse an artifact's graph unless it is safe to give to an engine.

    Args:
        artifact: a checked artifact.
        trust: accept operators that are not known here, and so a graph without a dry run.

    Raises:
        ArtifactError: the graph is refused; the message says why.
    """
    path, manifest = artifact.model_path, artifact.manifest
    model = read_model(path)
    _check_ends(path, model, artifact)
    _check_weights(path, model)
    if not trust:
        check_known(path, model)
        _go_through(path, model, manifest, longest=manifest.max_tokens)


def check_file(path: Path, model: StoredModel) -> None:
    """Refuse an ONNX file outside an artifact unless it is a classifier of tokens that is safe to give to an engine.

    Raises:
        ArtifactError: the graph is refused; the message says why.
    """
    if not model.graph.inputs or not {value.name for value in model.graph.inputs} <= set(TOKENS):
        _refuse(path, "has inputs other than tokens")
    _check_weights(path, model)
    check_known(path, model)
    _go_through(path, model, None, longest=_LONGEST)


def _go_through(path: Path, model: StoredModel, manifest: Manifest | None, *, longest: int) -> None:
    """Refuse a graph whose dry run fails, or that does not give the logits that the manifest says."""
    weights = {tensor.name: value_of(tensor) for tensor in model.graph.tensors}
    stored = sum(value.size * value.dtype.itemsize for value in weights.values())
    kinds = {value.name: value.kind for value in model.graph.inputs}
    for texts, tokens in ((2, min(longest, _LONGEST)), (1, min(longest, 5))):  # with one text, an axis may vanish
        logits = _Run(path, model, weights, texts, tokens, stored).logits(kinds)
        if manifest is None:
            continue
        rows, labels = (texts, tokens) if manifest.per_token else (texts,), len(manifest.labels)
        if logits.shape != (*rows, labels) or logits.dtype != np.float32:
            _refuse(path, f"gives logits {logits.dtype} {logits.shape} for {texts} texts and {labels} labels")


def _check_ends(path: Path, model: StoredModel, artifact: Artifact) -> None:
    """Refuse inputs and outputs other than those of a classifier with these labels."""
    manifest = artifact.manifest
    wanted = list(manifest.inputs)
    stored = {tensor.name for tensor in model.graph.tensors}
    named = [value.name for value in model.graph.inputs]
    fits = sorted(named) == sorted(wanted) and set(wanted) <= set(TOKENS) and not set(named) & stored
    if not fits or any(value.kind not in (_LONG, _INT) or value.shape != (None, None) for value in model.graph.inputs):
        raise ArtifactError(
            f"{path} has other inputs than its manifest says.",
            accepted={
                "the manifest": ", ".join(wanted)[:200],
                "the graph": ", ".join(named)[:200],
                "inputs": f"{', '.join(TOKENS)}, of int64 or int32, for any number of texts and tokens",
            },
            fix="export the model again",
        )
    labels, rows = len(manifest.labels), "texts, tokens" if manifest.per_token else "texts"
    axes = (None,) * (2 if manifest.per_token else 1)
    names = [OUTPUT, *(ENDS if manifest.task.extractive and len(model.graph.outputs) > 1 else ())]
    fits = [(each.name, each.kind) for each in model.graph.outputs] == [(name, _FLOAT) for name in names]
    if not fits or model.graph.outputs[0].shape not in ((*axes, None), (*axes, labels)):
        seen = ", ".join(f"{each.name} {each.shape}" for each in model.graph.outputs)[:200]
        raise ArtifactError(
            f"{path} has no output logits of shape ({rows}, {labels}).",
            accepted={"outputs": seen, "an output": f"logits, float32, ({rows}, {labels})"},
            fix="export the model again",
        )


def _check_weights(path: Path, model: StoredModel) -> None:
    for tensor in model.all_tensors():
        array = tensor.array() if tensor.dtype is not None and tensor.dtype.kind == "f" else None
        if array is not None and has_endless_value(array):
            what = f"the weight {tensor.name[:80]}" if tensor.name else "a constant"
            raise ArtifactError(f"{path} is damaged: {what} is not finite everywhere.", fix="export the model again")


def check_known(path: Path, model: StoredModel) -> None:
    """Refuse what LiteFT does not write: other operators, domains and functions, and shapes stated for inner values."""
    if model.version not in _VERSIONS or model.opsets.get("") not in _OPSETS or set(model.opsets) - {"", DOMAIN}:
        opsets = ", ".join(f"{name or 'ai.onnx'} {version}" for name, version in model.opsets.items())[:200]
        _refuse(path, f"is of IR version {model.version} and opsets {opsets}")
    if set(model.functions) - {(DOMAIN, kind) for kind in KINDS}:
        _refuse(path, "contains other functions")
    for function in model.functions.values():
        if set(function.opsets) != {""} or function.opsets[""] not in _OPSETS or function.described:
            _refuse(path, "has a function that LiteFT does not write")
    if any(tensor.dtype is None for tensor in model.all_tensors()):
        _refuse(path, "has weights of a type that LiteFT does not write")
    if model.graph.described:
        _refuse(path, "declares values inside its graph")
    called = 0
    for node in model.all_nodes():
        if (node.domain, node.operator) in model.functions:
            called += 1
            continue
        name = f"{node.domain or 'ai.onnx'}.{node.operator}"[:80]
        if node.domain or node.operator not in RULES:
            _refuse(path, f"has an operator that LiteFT does not write, {name}")
        known = RULES[node.operator][1]
        if any(known.get(each) != attribute.kind for each, attribute in node.attributes.items()) or node.graphs:
            _refuse(path, f"has a node {name} with an attribute that LiteFT does not write")
    if called != len(model.functions):
        _refuse(path, "does not use its function exactly once")


class _Run:
    """One dry run of a graph, for a given number of texts of a given number of tokens."""

    def __init__(
        self, path: Path, model: StoredModel, weights: dict[str, Value], texts: int, tokens: int, stored: int
    ) -> None:
        self._path, self._model, self._weights = path, model, weights
        self._texts, self._tokens = texts, tokens
        self._most_bytes = _MOST_BYTES + 8 * stored + 8192 * texts * tokens**2
        self._work = _MOST_WORK + 256 * stored * texts * tokens + _WORK_OF_PAIRS * texts * tokens**2

    def logits(self, kinds: dict[str, int]) -> Value:
        """Return the graph's output. Raises ArtifactError if the dry run fails."""
        shape = (self._texts, self._tokens)
        values = dict(self._weights)
        values |= {name: Value(np.dtype("i8" if kind == _LONG else "i4"), shape) for name, kind in kinds.items()}
        for node in self._model.graph.nodes:
            function = self._model.functions.get((node.domain, node.operator))
            results = self._called(function, node, values) if function else self._computed(node, values)
            self._keep(node, results, values)
        names = [value.name for value in self._model.graph.outputs]
        if not names or not set(names) <= set(values):
            _refuse(self._path, "does not compute its outputs")
        return values[names[0]]

    def _called(self, function: StoredFunction, node: StoredNode, values: dict[str, Value]) -> list[Value]:
        if len(node.inputs) != len(function.inputs) or len(node.outputs) != len(function.outputs):
            _refuse(self._path, "calls its function with other inputs or outputs than it declares")
        if len(set(function.inputs)) != len(function.inputs):
            _refuse(self._path, "has a function with a duplicate input")
        inner = {name: self._of(node, given, values) for name, given in zip(function.inputs, node.inputs, strict=True)}
        for each in function.nodes:
            self._keep(each, self._computed(each, inner), inner)
        return [self._of(node, name, inner) for name in function.outputs]

    def _computed(self, node: StoredNode, values: dict[str, Value]) -> list[Value]:
        if node.inputs and not node.inputs[-1]:  # ONNX Runtime counts it, reads an input that is not there, and crashes
            _refuse(self._path, f"has a node {node.operator[:80]} whose last input is empty instead of omitted")
        inputs = [self._of(node, name, values) if name else None for name in node.inputs]
        try:
            results = RULES[node.operator][0](node, inputs)
        except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
            _refuse(self._path, f"has a node {node.operator} that does not fit: {str(error)[:200]}")
        return results

    def _of(self, node: StoredNode, name: str, values: dict[str, Value]) -> Value:
        if name not in values:
            _refuse(
                self._path, f"has a node {node.operator[:80]} that reads {name[:80]!r}, which no earlier node computes"
            )
        return values[name]

    def _keep(self, node: StoredNode, results: list[Value], values: dict[str, Value]) -> None:
        """Keep a node's outputs, and count their memory and work."""
        if not 0 < len(node.outputs) <= min(len(results), _MOST_OUTPUTS):
            _refuse(self._path, f"has a node {node.operator[:80]} with {len(node.outputs)} outputs")
        for name, value in zip(node.outputs, results, strict=False):
            if name in values or not name:
                _refuse(self._path, f"computes the value {name[:80]!r} twice")
            if len(value.shape) > 8 or value.size * value.dtype.itemsize > self._most_bytes:
                _refuse(self._path, f"has a node {node.operator} that gives {value.shape} for {self._tokens} tokens")
            self._work -= value.work + value.size
            if self._work < 0:
                _refuse(self._path, f"takes more work for {self._tokens} tokens than its weights account for")
            values[name] = value


def _refuse(path: Path, what: str) -> NoReturn:
    raise ArtifactError(
        f"{path} {what}.",
        accepted={"loaded": "the node and the operators that liteft export writes"},
        fix=["export the model again", TRUST],
    )
