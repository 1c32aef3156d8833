"""Measures how sensitive a classifier is to quantizing each of its matmuls.

One matmul at a time is quantized while everything else stays in float, embeddings included, and the graph runs on real
texts. The effect of that matmul is the Kullback-Leibler divergence of the probabilities from the float graph's. 4-bit
word embeddings are measured in the same way, as if they were a matmul. The opposite, quantizing all but one, would show
what is gained by moving one back to float; but where two matmuls are harmful that is nothing for either, so neither
would be found.

A matmul is measured with only its weights in int8 too. If that has next to no effect, its activations are what is
sensitive, and the cheaper fallback is enough: int8 weights, multiplied in float.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx

from liteft.artifact import Fallback
from liteft.encoded import Encoded
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.quantization import WORDS, Int8Plan
from liteft.exporting.sessions import run_logits
from liteft.ragged import Rows
from liteft.tasks import Task

__all__ = ["Effect", "rank_products"]

_WEIGHTS_ONLY = 0.1  # share of the divergence that the weights alone may cause where keeping them in int8 is enough


@dataclass(frozen=True, slots=True)
class Effect:
    """What changes when one matmul alone is quantized.

    Attributes:
        product: the matmul's name; WORDS for 4-bit word embeddings.
        divergence: of the probabilities from the float graph's, mean over texts, in nats.
        changed: share of texts that get another label.
        fallback: what would undo the effect: "weight_only" or "float", or "8 bits" for WORDS.
        bytes_added: by how much the fallback enlarges the file.
    """

    product: str
    divergence: float
    changed: float
    fallback: Fallback
    bytes_added: int

    @property
    def words(self) -> str:
        """The effect and its fallback as a line of text."""
        fallbacks = {"weight_only": "int8 weights and a float matmul", "float": "float weights", "8 bits": "8 bits"}
        return (
            f"divergence {self.divergence:.2g}, other labels on {self.changed:.1%}; "
            f"fallback: {fallbacks[self.fallback]}, {self.bytes_added / 1e6:+.2f} MB"
        )


def rank_products(
    blueprint: Blueprint,
    quantization: Int8Plan,
    encoded: Encoded,
    task: Task,
    *,
    judged: Callable[[np.ndarray], Rows] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Effect]:
    """Return the effect of each matmul that the plan has in int8, the worst first.

    Args:
        blueprint: makes the graphs.
        quantization: the plan of the graph to measure.
        encoded: tokenized texts to run; a few hundred are enough.
        task: how logits become labels and probabilities.
        judged: returns the rows that the task judges from the rows that the graph gives, such as those of words from
            those of tokens; None if they are the same.
        progress: called with a line of text now and then.
    """
    names = [name for name in blueprint.products if quantization.storage(name) == "int8"]
    if progress is not None:
        progress(f"quantizing {len(names)} matmuls one at a time, on {len(encoded):,} texts")
    exact = blueprint.flat("fp32")

    def logits_of(graph: onnx.ModelProto) -> Rows:
        found = run_logits(graph, encoded)
        return found if judged is None else judged(found)

    reference, size = logits_of(exact), exact.ByteSize()
    chosen = task.decide(reference)
    effects = []
    for name in [*names, *([WORDS] if quantization.table_bits("word") == 4 else [])]:
        alone = replace(quantization, only=name)
        graph = blueprint.flat("int8", alone)
        logits = logits_of(graph)
        apart = task.divergence(reference, logits)
        changed = float((~task.same(task.decide(logits), chosen)).mean())
        if name == WORDS:
            coarse = blueprint.flat("int8", alone.falling_back(WORDS, "8 bits"))
            effects.append(Effect(name, apart, changed, "8 bits", coarse.ByteSize() - graph.ByteSize()))
            continue
        weights_alone = logits_of(blueprint.flat("int8", alone.falling_back(name, "weight_only")))
        enough = task.divergence(reference, weights_alone) <= _WEIGHTS_ONLY * apart
        effects.append(
            Effect(name, apart, changed, *(("weight_only", 0) if enough else ("float", size - graph.ByteSize())))
        )
    return sorted(effects, key=lambda effect: -effect.divergence)
