"""Which products an int8 graph has to thank for what it loses.

Each product is quantized alone, everything else in float, embeddings too (and word embeddings of 4 bits alone, as if
they were a product), and the graph runs on real texts. What its answers then differ by is that product's own effect:
the Kullback-Leibler divergence of their probabilities from the float graph's. The other way round, all but one
quantized, would say what is gained by mending that one, which is nothing as long as a second is broken; so nobody would
be named where several are to blame.

A product is measured with its weights alone in int8, too: where that costs next to nothing, its activations are to
blame, and the cheap cure, int8 weights multiplied in float, is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from liteft.artifact import Fallback
from liteft.encoded import Encoded
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.quantization import WORDS, Quantization
from liteft.exporting.sessions import run_logits
from liteft.tasks import Task

__all__ = ["Effect", "rank_products"]

_CURED = 0.1  # of the divergence may be left for the weights alone to be innocent


@dataclass(frozen=True, slots=True)
class Effect:
    """What quantizing one product alone does.

    Attributes:
        product: its name; WORDS for word embeddings of 4 bits.
        divergence: mean over texts, in nats.
        changed: share of texts that get another label.
        cure: what would take it away: "weight_only" or "float"; of WORDS "8 bits".
        bytes_added: what the file grows by for the cure.
    """

    product: str
    divergence: float
    changed: float
    cure: Fallback
    bytes_added: int

    @property
    def words(self) -> str:
        """The effect in words."""
        cures = {"weight_only": "int8 weights and a float product", "float": "float weights", "8 bits": "8 bits"}
        return (
            f"divergence {self.divergence:.2g}, other labels on {self.changed:.1%}; "
            f"cure: {cures[self.cure]}, {self.bytes_added / 1e6:+.2f} MB"
        )


def rank_products(
    blueprint: Blueprint,
    quantization: Quantization,
    encoded: Encoded,
    task: Task,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[Effect]:
    """Return the effect of each product that is in int8, the worst first.

    Args:
        blueprint: makes the graphs.
        quantization: of the graph to blame.
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
        cured = task.divergence(reference, weights_alone) <= _CURED * apart
        effects.append(
            Effect(name, apart, changed, *(("weight_only", 0) if cured else ("float", size - graph.ByteSize())))
        )
    return sorted(effects, key=lambda effect: -effect.divergence)
