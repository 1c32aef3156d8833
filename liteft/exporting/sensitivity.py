"""How sensitive an int8 graph is to each of its products.

Each product is quantized alone, everything else in float, embeddings too (and 4-bit word embeddings alone, as if
they were a product), and the graph runs on real texts. How far its answers then differ is that product's own effect:
the Kullback-Leibler divergence of their probabilities from the float graph's. The other way round, all but one
quantized, would say what is gained by taking that one back to float, which is nothing as long as a second is broken; so
none would be named where several are at fault.

A product is also measured with its weights alone in int8: where that costs next to nothing, its activations are what is
sensitive, and the cheap fallback, int8 weights multiplied in float, is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from liteft.artifact import Fallback
from liteft.encoded import Encoded
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.quantization import WORDS, Int8Plan
from liteft.exporting.sessions import run_logits
from liteft.tasks import Task

__all__ = ["Effect", "rank_products"]

_WEIGHTS_ONLY = 0.1  # share of the divergence that the weights alone may cause where keeping them in int8 is enough


@dataclass(frozen=True, slots=True)
class Effect:
    """What quantizing one product alone does.

    Attributes:
        product: its name; WORDS for 4-bit word embeddings.
        divergence: mean over texts, in nats.
        changed: share of texts that get another label.
        fallback: what would take it away: "weight_only" or "float"; of WORDS "8 bits".
        bytes_added: what the file grows by for the fallback.
    """

    product: str
    divergence: float
    changed: float
    fallback: Fallback
    bytes_added: int

    @property
    def words(self) -> str:
        """The effect in words."""
        fallbacks = {"weight_only": "int8 weights and a float product", "float": "float weights", "8 bits": "8 bits"}
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
    progress: Callable[[str], None] | None = None,
) -> list[Effect]:
    """Return the effect of each product that is in int8, the worst first.

    Args:
        blueprint: makes the graphs.
        quantization: of the graph to measure.
        encoded: texts to run; some hundred are enough.
        task: how labels are chosen.
        progress: called with a line of text now and then.
    """
    names = [name for name in blueprint.products if quantization.storage(name) == "int8"]
    if progress is not None:
        progress(f"quantizing {len(names)} products one at a time, on {len(encoded):,} texts")
    exact = blueprint.flat("fp32")
    reference, size = run_logits(exact, encoded), exact.ByteSize()
    chosen = task.decide(reference)
    effects = []
    for name in [*names, *([WORDS] if quantization.table_bits("word") == 4 else [])]:
        alone = replace(quantization, only=name)
        graph = blueprint.flat("int8", alone)
        logits = run_logits(graph, encoded)
        apart = task.divergence(reference, logits)
        changed = float((~task.same(task.decide(logits), chosen)).mean())
        if name == WORDS:
            coarse = blueprint.flat("int8", alone.falling_back(WORDS, "8 bits"))
            effects.append(Effect(name, apart, changed, "8 bits", coarse.ByteSize() - graph.ByteSize()))
            continue
        weights_alone = run_logits(blueprint.flat("int8", alone.falling_back(name, "weight_only")), encoded)
        enough = task.divergence(reference, weights_alone) <= _WEIGHTS_ONLY * apart
        effects.append(
            Effect(name, apart, changed, *(("weight_only", 0) if enough else ("float", size - graph.ByteSize())))
        )
    return sorted(effects, key=lambda effect: -effect.divergence)
