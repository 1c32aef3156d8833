"""A simple model of how long the CUDA kernels take on an H200, from their machine code. Nothing here was measured.

    microseconds = gap + waits + the largest of
        bytes:        what must come from memory or the L2 cache / its rate
        tensor cores: operations / the rate that the instruction reaches
        issue:        instructions of all warps of a multiprocessor / what its four schedulers issue
        a warp:       instructions of a warp x clocks between two of them, for each wave of blocks

Whole waves are counted: the last wave of blocks takes as long as the others. A product by cublasLt is counted in the
same way, with the best of some tiles, and a fixed cost at the begin and end of each tile. The constants are those of
published measurements of the same chip, and are uncertain by perhaps a quarter; the same ones serve for every version
of the kernels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cuda_sass import Code, Resources

MULTIPROCESSORS, SCHEDULERS = 132, 4
CLOCK = 1.755e9
PEAK = 790e12  # FLOP/s in bf16 that large products reach
MEMORY, L2 = 4.3e12, 5.5e12  # bytes per second
ONE_L2 = 0.11e12  # of a single multiprocessor
L2_BYTES = 50e6
GAP = 1.3e-6  # between dependent kernels of a graph
EARLY_GAP = 0.8e-6  # the same before a kernel that starts while the one ahead ends
WAIT = 0.35e-6  # of a dependent read of memory
ISSUED = 0.7  # share of the slots of a scheduler that are used, with many warps
BETWEEN = 2.5  # clocks between two instructions of a warp
REACHED = {"mma": 0.55, "wgmma": 0.8}  # share of PEAK
SHARED, REGISTERS, THREADS, BLOCKS = 227 << 10, 65536, 2048, 32  # of a multiprocessor


@dataclass(frozen=True)
class Model:
    """An encoder that classifies by the first row, with a dense layer before the classifier."""

    name: str
    layers: int
    width: int
    inner: int
    heads: int
    labels: int = 2

    @property
    def head(self) -> int:
        return self.width // self.heads

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights of all layers."""
        return 2 * self.layers * self.width * (4 * self.width + 2 * self.inner)


MINILM = Model("MiniLM-L6", 6, 384, 1536, 12)
BERT = Model("BERT-base", 12, 768, 3072, 12)


@dataclass(frozen=True)
class Dims:
    """What a launch computes: rows of texts of `length` tokens, and for a product its inputs and outputs."""

    model: Model
    texts: int
    length: int
    rows: int  # of this launch: all, or one of each text
    inputs: int = 0
    outputs: int = 0

    @property
    def tokens(self) -> int:
        return self.texts * self.length


@dataclass(frozen=True)
class Launch:
    """The work of a launch.

    Attributes:
        blocks: their number.
        threads: of a block.
        shared: dynamic shared memory of a block, in bytes.
        stored: bytes that are read or written once: activations, and weights.
        repeated: bytes that come from the L2 cache beyond those.
        flops: operations of the tensor cores.
        trips: how often a warp goes through the hot loop; None: as often as the operations say.
        hot_share: the part of the operations that is in the hot loop.
        loop_share: the part of the hot loop's code that a warp goes through.
        code_share: the part of the code outside of loops that a warp goes through.
        reads: reads that wait for each other.
        values: what the work is counted in: values, scores.
        waits: further seconds, for example at barriers between blocks.
        follows_copy: the kernel comes after a copy, which it may not overlap.
    """

    blocks: int
    threads: int
    shared: int = 0
    stored: float = 0
    repeated: float = 0
    flops: float = 0
    trips: float | None = None
    hot_share: float = 1
    loop_share: float = 1
    code_share: float = 1
    reads: int = 2
    values: float = 0
    waits: float = 0
    follows_copy: bool = False


@dataclass(frozen=True)
class Prediction:
    """Seconds of a launch, what limits it, and the share of what the machine could do that this is."""

    seconds: float
    bound: str
    share: float


def blocks_per_multiprocessor(needs: Resources, threads: int, shared: int) -> int:
    """Return how many blocks fit on a multiprocessor at once; `shared` is in bytes, without static shared memory."""
    warps = math.ceil(threads / 32)
    of_a_warp = math.ceil(max(needs.registers, 1) * 32 / 256) * 256
    by_registers = REGISTERS // of_a_warp // warps
    by_shared = (SHARED + 1024) // (shared + needs.static_shared + 1024)
    return min(BLOCKS, THREADS // (32 * warps), by_registers, by_shared)


def warp_instructions(code: Code, launch: Launch) -> float:
    """Return how many instructions a warp executes."""
    hot = code.hot
    if hot is None:
        return code.total * launch.code_share
    products = [loop for loop in code.loops if loop.flops and loop is not hot]
    outside = code.total - sum(loop.instructions for loop in [hot, *products])
    of_a_trip = hot.instructions * launch.loop_share
    flops = launch.flops / launch.blocks / (launch.threads / 32)
    if not hot.flops:
        return outside * launch.code_share + (1 if launch.trips is None else launch.trips) * of_a_trip
    trips = flops * launch.hot_share / hot.flops if launch.trips is None else launch.trips
    executed = outside * launch.code_share + trips * of_a_trip
    if launch.hot_share < 1 and products:
        rest = flops * (1 - launch.hot_share)
        executed += rest / sum(loop.flops for loop in products) * sum(loop.instructions for loop in products)
    return executed


def predict(code: Code, needs: Resources, launch: Launch, in_cache: bool) -> Prediction:
    """Predict a launch; `in_cache`: whether what it reads once lies in the L2 cache."""
    at_once = max(1, blocks_per_multiprocessor(needs, launch.threads, launch.shared))
    executed = warp_instructions(code, launch)
    mma = code.hot.mma if code.hot else None
    reached = REACHED["wgmma" if mma and "GMMA" in mma else "mma"]
    on_one = math.ceil(launch.blocks / MULTIPROCESSORS)  # blocks of the busiest multiprocessor
    times = {
        "bytes": _transfer(launch.stored, launch.repeated, launch.blocks, in_cache),
        "tensor cores": on_one * launch.flops / launch.blocks / (PEAK * reached / MULTIPROCESSORS),
        "issue": on_one * launch.threads / 32 * executed / (SCHEDULERS * CLOCK * ISSUED),
        "a warp": math.ceil(on_one / at_once) * executed * BETWEEN / CLOCK,
    }
    bound = max(times, key=lambda name: times[name])
    gap = EARLY_GAP if code.starts_early and not launch.follows_copy else GAP
    seconds = gap + launch.waits + WAIT * launch.reads + times[bound]
    return Prediction(seconds, bound, _ideal(launch.stored, launch.flops, in_cache) / seconds)


TILES = {(128, 256): 0.92, (128, 192): 0.92, (128, 128): 0.78, (64, 128): 0.6, (64, 64): 0.45, (64, 32): 0.3}
AROUND = 160  # inputs that take as long as begin and end of a tile


def predict_product(rows: int, inputs: int, outputs: int, in_cache: bool) -> Prediction:
    """Predict a product by cublasLt, of (rows, inputs) and (inputs, outputs).

    Its time is that of the best tile, with the inputs in one part or in up to eight, whose sums a second kernel adds.
    Blocks that need the same rows or columns share them, so that nothing is read from the L2 cache twice.
    """
    stored = 2.0 * (rows * inputs + inputs * outputs + rows * outputs)
    best = Prediction(math.inf, "", 0)
    for ((tall, wide), reached), parts in itertools.product(TILES.items(), (1, 2, 4, 8)):
        blocks = math.ceil(rows / tall) * math.ceil(outputs / wide) * parts
        tile = 2 * tall * wide * (inputs / parts + AROUND) / (PEAK * reached / MULTIPROCESSORS)
        times = {
            "bytes": _transfer(stored, 4.0 * 2 * parts * rows * outputs if parts > 1 else 0, blocks, in_cache),
            "tensor cores": math.ceil(blocks / MULTIPROCESSORS) * tile,
        }
        bound = max(times, key=lambda name: times[name])
        seconds = (1 if parts == 1 else 2) * (GAP + 2 * WAIT) + times[bound]
        if seconds < best.seconds:
            best = Prediction(seconds, bound, _ideal(stored, 2.0 * rows * inputs * outputs, in_cache) / seconds)
    return best


def _transfer(stored: float, repeated: float, blocks: int, in_cache: bool) -> float:
    from_l2 = (stored + repeated) / min(L2, blocks * ONE_L2)
    return from_l2 if in_cache else max(stored / MEMORY, from_l2)


def _ideal(stored: float, flops: float, in_cache: bool) -> float:
    return max(stored / (L2 if in_cache else MEMORY), flops / PEAK)


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel, such as `attend_kernel<__nv_bfloat16, 32>`."""

    name: str
    parameters: tuple[str, ...]
    code: Code
    needs: Resources


Work = Callable[[tuple[str, ...], Dims], Launch | None]
Call = tuple[str, Dims]  # a kernel's name, or PRODUCT
PRODUCT = "cublasLt"


@dataclass(frozen=True)
class Chosen:
    """A launch of a forward pass."""

    step: str
    kernel: str
    seconds: float
    bound: str


def predict_call(call: Call, kernels: Iterable[Kernel], works: Mapping[str, Work], in_cache: bool) -> Chosen | None:
    """Predict a call with the fastest kernel of its name that fits; None if none does. Kernels are those of bf16."""
    name, dims = call
    if name == PRODUCT:
        found = predict_product(dims.rows, dims.inputs, dims.outputs, in_cache)
        return Chosen("", PRODUCT, found.seconds, found.bound)
    best: Chosen | None = None
    for kernel in kernels:
        if kernel.name != name or "__half" in kernel.parameters or name not in works:
            continue
        launch = works[name](kernel.parameters, dims)
        if launch is None:
            continue
        found = predict(kernel.code, kernel.needs, launch, in_cache)
        if best is None or found.seconds < best.seconds:
            best = Chosen("", f"{name}<{', '.join(kernel.parameters)}>", found.seconds, found.bound)
    return best


Step = tuple[str, Sequence[Sequence[Call]]]  # what it is, and the ways to compute it, as calls one after the other


def predict_steps(
    steps: Iterable[Step], kernels: Sequence[Kernel], works: Mapping[str, Work], in_cache: bool
) -> list[Chosen]:
    """Return the launches of steps, each in the fastest way that there are kernels for.

    Raises:
        ValueError: there are no kernels for a step.
    """
    chosen = []
    for step, ways in steps:
        best: list[Chosen] = []
        for way in ways:
            calls = [predict_call(call, kernels, works, in_cache) for call in way]
            there = [call for call in calls if call is not None]
            if len(there) == len(calls) and (not best or _seconds(there) < _seconds(best)):
                best = there
        if not best:
            raise ValueError(f"there are no kernels for the step {step!r}")
        chosen += [Chosen(step, call.kernel, call.seconds, call.bound) for call in best]
    return chosen


def _seconds(calls: Iterable[Chosen]) -> float:
    return sum(call.seconds for call in calls)


def in_cache(model: Model, tokens: int) -> bool:
    """Whether the weights and a chunk's values stay in the L2 cache."""
    values = 2 * tokens * (6 * model.width + model.inner)
    return model.weight_bytes + values < L2_BYTES
