"""What each CUDA kernel computes in a launch, and the steps of a forward pass; `cuda_model` makes times of it.

A kernel needs one line in WORKS to be predicted, and a way in `forward_steps` to be part of a forward pass. A kernel
without a line is listed with registers and sizes only. Sizes of blocks and shared memory stand in the kernels' sources.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

from cuda_model import (
    CLOCK,
    ISSUED,
    L2,
    MEMORY,
    MULTIPROCESSORS,
    ONE_L2,
    PRODUCT,
    SCHEDULERS,
    SHARED,
    WAIT,
    Call,
    Dims,
    Launch,
    Model,
    Step,
    Work,
    in_cache,
)

PAD = 8  # values between rows in shared memory
FETCH = 190  # instructions with which a warp of the one kernel of short chunks fetches its next weights


def attend(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """16 queries of a head in a warp, 64 keys at a time.

    A block has four warps, or eight from 2,048 rows on. What the code does for a tile with masks, and for infinite
    values, is skipped here. Before there were blocks of eight warps, masks were computed for every tile.
    """
    model = dims.model
    warps = int(parameters[2]) if len(parameters) > 2 else 4
    if int(parameters[1]) != model.head or (len(parameters) > 2 and (warps == 8) != (dims.tokens >= 2048)):
        return None
    rows = 16 * warps
    blocks = math.ceil(dims.tokens / rows) * model.heads
    keys = 64 * math.ceil(dims.length / 64)
    loaded = 2 * 2.0 * blocks * keys * model.head
    return Launch(
        blocks,
        32 * warps,
        shared=2 * (model.head + PAD) * (rows + 4 * 64 if len(parameters) > 2 else 2 * 64),
        stored=2.0 * 4 * dims.tokens * model.width,
        repeated=max(0.0, loaded - 2 * 2.0 * dims.tokens * model.width),
        flops=4.0 * blocks * rows * keys * model.head,
        loop_share=0.73 if len(parameters) > 2 else 1,
        reads=4,
        values=blocks * float(rows) * keys,
    )


def attend_first(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """A warp has a head of a text, and a lane a key."""
    model = dims.model
    if int(parameters[1]) != model.head:
        return None
    return Launch(
        math.ceil(dims.texts / 4) * model.heads,
        128,
        shared=4 * 4 * model.head,
        stored=2.0 * 2 * dims.tokens * model.width,
        trips=math.ceil(dims.length / 32),
        reads=3 + math.ceil(dims.length / 32),
        values=float(dims.tokens * model.heads),
    )


def attend_first_rows(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """A block has a head of a text, a group of lanes a key, and a warp as many keys at once as 4 of them load."""
    model = dims.model
    if int(parameters[1]) != model.head:
        return None
    trips = math.ceil(dims.length / (4 * 4 * 32 / (model.head / 8)))
    return Launch(
        dims.texts * model.heads,
        128,
        shared=4 * (4 * model.head + 8),
        stored=2.0 * 2 * dims.tokens * model.width,
        trips=trips,
        reads=3 + trips,
        values=float(dims.tokens * model.heads),
    )


def _by_rows(parameters: tuple[str, ...], rows: int, width: int, moved: float, reads: int) -> Launch | None:
    # with the number of steps as a parameter the code is that of the width; without, it is unrolled for 1,024 values,
    # and skips what is beyond the width
    if len(parameters) > 1 and int(parameters[1]) != math.ceil(width / 256):
        return None
    return Launch(
        math.ceil(rows / 4),
        128,
        stored=moved * 2 * rows * width,
        code_share=1 if len(parameters) > 1 else width / 1024,
        reads=reads,
        values=float(rows * width),
    )


def layer_norm(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """A warp has a row."""
    return _by_rows(parameters, dims.rows, dims.outputs, 3, 3)


def embed(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """A warp has a row; the tables are in the L2 cache. The ids are copied ahead of it."""
    launch = _by_rows(parameters, dims.rows, dims.model.width, 2, 4)
    return launch and replace(launch, follows_copy=True)


def _is_wanted(parameter: str, dims: Dims) -> bool:
    """Whether an activation is that of a step: GELU (0) of the hidden values, tanh (4) of the head."""
    return parameter[-1] == ("0" if dims.outputs == dims.model.inner else "4")


def activate(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """A thread has eight values."""
    if not _is_wanted(parameters[1], dims):
        return None
    values = dims.rows * dims.outputs
    return Launch(math.ceil(values / 2048), 256, stored=2.0 * 2 * values, values=float(values))


def activate_rows(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """A warp has 256 columns of four rows."""
    if not _is_wanted(parameters[1], dims):
        return None
    values = dims.rows * dims.outputs
    blocks = math.ceil(dims.outputs / 256) * math.ceil(dims.rows / 16)
    return Launch(blocks, 128, stored=2.0 * 2 * values, values=float(values))


def matmul_activate(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """128 rows and 128 outputs in a block; without an activation as parameter, the code has six, of which one runs."""
    if int(parameters[1]) != 128 or dims.outputs % 128 or (len(parameters) > 2 and not _is_wanted(parameters[2], dims)):
        return None
    tall, wide = math.ceil(dims.rows / 128), dims.outputs // 128
    return Launch(
        tall * wide,
        256,
        shared=3 * 2 * (128 * (32 + PAD) + 32 * (128 + PAD)),
        stored=_product_bytes(dims),
        repeated=2.0 * dims.inputs * (dims.rows * (wide - 1) + dims.outputs * (tall - 1)),
        flops=2.0 * tall * 128 * dims.inputs * dims.outputs,
        code_share=1 if len(parameters) > 2 else 1 / 6,
        values=float(dims.rows * dims.outputs),
    )


def matmul_layer_norm(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """64 rows and all outputs in a block."""
    width = dims.outputs
    if int(parameters[1]) != width:
        return None
    blocks = math.ceil(dims.rows / 64)
    return Launch(
        blocks,
        256,
        shared=3 * 2 * (64 * (32 + PAD) + 32 * (width + PAD)) + 64 * 4 * 4,
        stored=_product_bytes(dims) + 2.0 * dims.rows * width,
        repeated=2.0 * dims.inputs * width * (blocks - 1),
        flops=2.0 * blocks * 64 * dims.inputs * width,
        reads=4,
        values=float(dims.rows * width),
    )


def _clusters(dims: Dims, columns: int, wide: int) -> tuple[int, int, float]:
    """Return for clusters of 2 x `wide` blocks how many run, how many tiles a block has, and the bytes that all read.

    Blocks side by side share rows of 128 x inputs, and those one below the other weights of inputs x `columns`. GPUs of
    132 multiprocessors are assumed to run 66 clusters of two blocks, 32 of four, or 16 of eight at once.
    """
    tiles = math.ceil(dims.rows / 256) * math.ceil(dims.outputs / columns) // wide
    clusters = min(tiles, {1: 66, 2: 32, 4: 16}[wide])
    read = 2.0 * dims.inputs * tiles * 2 * wide * (128 / wide + columns / 2)
    return clusters, math.ceil(tiles / clusters), read


def sm90_matmul_activate(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """Two of a block's three warpgroups multiply tiles of 128 rows, and store each while they multiply the next.

    The last tile is stored at the end, which is time of its own: 2.2 microseconds with GELU, 1 without an activation.
    """
    columns, wide = int(parameters[1]), int(parameters[2])
    activates = dims.outputs == dims.model.inner or dims.rows == dims.texts
    if (columns == 192) != (dims.outputs % 384 == 0) or not (
        _is_wanted(parameters[3], dims) if activates else parameters[3][-1] == "5"
    ):
        return None
    clusters, of_one, read = _clusters(dims, columns, wide)
    blocks = 2 * wide * clusters
    return Launch(
        blocks,
        256,
        shared=2 * ((5 if columns == 192 else 6) * 64 * (128 + columns) + 8 * 16 * 64) + 1024,
        stored=_product_bytes(dims),
        repeated=max(0.0, read - 2.0 * dims.inputs * (dims.rows + dims.outputs)),
        flops=2.0 * blocks * of_one * 128 * columns * dims.inputs,
        hot_share=min(1.0, 2 * columns / dims.inputs),
        code_share=0.75,
        waits=2.2e-6 if activates else 1e-6,
        values=float(dims.rows * dims.outputs),
    )


def sm90_matmul_layer_norm(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """The same, but what follows a tile's product is time of its own: 2 us, and a read of other blocks' sums."""
    wide = int(parameters[1])
    if dims.outputs != 192 * wide:
        return None
    clusters, of_one, read = _clusters(dims, 192, wide)
    blocks = 2 * wide * clusters
    return Launch(
        blocks,
        256,
        shared=2 * (4 * 64 * (128 + 192) + 128 * 192) + wide * 128 * 8 + 2048,
        stored=_product_bytes(dims) + 2.0 * dims.rows * dims.outputs,
        repeated=max(0.0, read - 2.0 * dims.inputs * (dims.rows + dims.outputs)),
        flops=2.0 * blocks * of_one * 128 * 192 * dims.inputs,
        code_share=0.55 * of_one,
        waits=of_one * (2e-6 + WAIT),
        values=float(dims.rows * dims.outputs),
    )


def short_forward(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """A whole forward pass, in which blocks hand values to each other five times a layer.

    A word that is handed on takes half a read to the L2 cache, and the reader half a read to look again and one to see
    it. Then every block reads all rows at the rate of the L2 cache, and its warps execute their instructions: numbers
    as counted in the machine code, for up to 32 rows. Weights arrive meanwhile.
    """
    model = dims.model
    if int(parameters[1]) != model.head or dims.tokens > 128 or (int(parameters[2]) == 2) != (dims.tokens <= 32):
        return None
    width, inner, rows = model.width, model.inner, dims.tokens
    blocks = max(_even_blocks(outputs // 16) for outputs in (3 * width, width, inner))
    ends = 2 * WAIT * 2  # words, positions; the head

    def read(of_a_block: float, readers: int) -> float:
        return of_a_block * readers / min(L2, readers * ONE_L2)

    def normed(outputs: int) -> float:  # tiles of 16 outputs; between two of them, weights of a later one are fetched
        tiles = math.ceil(outputs / 16 / blocks)
        return tiles * (160 + 80 * math.ceil(width / 256)) + (tiles - 1) * FETCH

    def handed(inputs: int) -> float:
        parts = math.ceil(inputs / 768)
        return 75 + parts * 300 + (parts - 1) * FETCH

    norm, attention, activation = 100 + 44 * 4 * width / 128, 100 + 12.5 * model.head, 60
    instructions = 2 * norm + normed(3 * width) + attention + handed(width) + normed(inner) + activation + handed(inner)
    owners = min(blocks, width // 16)
    moved = (
        2 * read(2.0 * rows * width, blocks)
        + read(2.0 * rows * (width + inner), owners)
        + read(2 * 2.0 * rows * dims.length * width / blocks, blocks)
    )
    of_a_layer = 5 * 2 * WAIT + moved + math.ceil(rows / 32) * 8 * instructions / (SCHEDULERS * CLOCK * ISSUED)
    chain = model.layers * of_a_layer + math.ceil(rows / 32) * 8 * 2 * norm / (SCHEDULERS * CLOCK * ISSUED) + ends
    stage, fixed = 2 * 768 * 16, 2 * 4 * 8 * 32 * 18 + 8 * width + 2 * rows * (width + PAD) + 152 * model.layers
    weights = float(model.weight_bytes)
    arriving = weights / min(L2, blocks * ONE_L2) if in_cache(model, rows) else weights / MEMORY
    return Launch(
        blocks,
        256,
        shared=fixed + min(6, (SHARED - fixed) // stage) * stage,
        stored=weights,
        code_share=0,
        trips=0,
        reads=0,
        waits=max(0.0, chain - arriving),
    )


def _even_blocks(tiles: int) -> int:
    """Return the fewest blocks that compute tiles in as many rounds as all multiprocessors would."""
    return math.ceil(tiles / math.ceil(tiles / MULTIPROCESSORS))


def feed_forward(parameters: tuple[str, ...], dims: Dims) -> Launch | None:
    """64 rows in a block; half of the products are in the hot loop itself."""
    model = dims.model
    if int(parameters[1]) != model.width:
        return None
    blocks, weights = math.ceil(dims.rows / 64), 2 * 2.0 * model.width * model.inner
    part = max(model.width // 2 * (64 + PAD), 32 * (model.width + PAD))
    return Launch(
        blocks,
        256,
        shared=2 * (64 * (model.width + PAD) + 64 * (64 + PAD) + 3 * part) + 64 * 4 * 4,
        stored=2 * 2.0 * dims.rows * model.width + weights,
        repeated=weights * (blocks - 1),
        flops=4.0 * blocks * 64 * model.width * model.inner,
        hot_share=0.5,
        reads=4,
        values=float(dims.rows * model.inner),
    )


def gather(_: tuple[str, ...], dims: Dims) -> Launch | None:
    """A warp copies a row."""
    return Launch(math.ceil(dims.rows / 4), 128, stored=2.0 * 2 * dims.rows * dims.model.width, reads=3)


def classify(_: tuple[str, ...], dims: Dims) -> Launch | None:
    """A warp has a label of a row."""
    model = dims.model
    blocks = math.ceil(dims.rows * model.labels / 4)
    return Launch(blocks, 128, stored=2.0 * dims.rows * model.width, trips=model.width / 64 / 4, reads=3)


def _product_bytes(dims: Dims) -> float:
    return 2.0 * (dims.rows * dims.inputs + dims.inputs * dims.outputs + dims.rows * dims.outputs)


WORKS: Mapping[str, Work] = {
    "activate_kernel": activate,
    "activate_rows_kernel": activate_rows,
    "attend_first_kernel": attend_first,
    "attend_first_rows_kernel": attend_first_rows,
    "attend_kernel": attend,
    "classify_kernel": classify,
    "embed_kernel": embed,
    "feed_forward_kernel": feed_forward,
    "gather_kernel": gather,
    "layer_norm_kernel": layer_norm,
    "matmul_activate_kernel": matmul_activate,
    "matmul_layer_norm_kernel": matmul_layer_norm,
    "short_forward_kernel": short_forward,
    "sm90_matmul_activate_kernel": sm90_matmul_activate,
    "sm90_matmul_layer_norm_kernel": sm90_matmul_layer_norm,
}


def forward_steps(model: Model, texts: int, length: int) -> list[Step]:
    """Return the steps of a forward pass over texts of the same length; each step with the ways to compute it."""
    width, inner, tokens = model.width, model.inner, texts * length

    def dims(rows: int, inputs: int, outputs: int) -> Dims:
        return Dims(model, texts, length, rows, inputs, outputs)

    def projected(rows: int, outputs: int, *before: Call) -> list[list[Call]]:
        given = dims(rows, width, outputs)
        return [[*before, (name, given)] for name in (PRODUCT, "sm90_matmul_activate_kernel")]

    def activated(rows: int, inputs: int, outputs: int) -> list[list[Call]]:
        given = dims(rows, inputs, outputs)
        apart = [[(PRODUCT, given), (name, given)] for name in ("activate_rows_kernel", "activate_kernel")]
        return [*apart, *([(name, given)] for name in ("matmul_activate_kernel", "sm90_matmul_activate_kernel"))]

    def normed(rows: int, inputs: int) -> list[list[Call]]:
        given = dims(rows, inputs, width)
        fused = ("matmul_layer_norm_kernel", "sm90_matmul_layer_norm_kernel")
        return [[(PRODUCT, given), ("layer_norm_kernel", given)], *([(name, given)] for name in fused)]

    def after_attention(rows: int) -> list[Step]:
        halves = itertools.product(activated(rows, width, inner), normed(rows, inner))
        whole: list[Call] = [("feed_forward_kernel", dims(rows, inner, width))]
        return [
            ("projection", normed(rows, width)),
            ("feed-forward", [*(first + second for first, second in halves), whole]),
        ]

    every = dims(tokens, width, width)
    steps: list[Step] = [("embed", [[("embed_kernel", every)]])]
    for _ in range(model.layers - 1):
        steps += [
            ("query, key, value", projected(tokens, 3 * width)),
            ("attend", [[("attend_kernel", every)]]),
            *after_attention(tokens),
        ]
    first = dims(texts, width, width)
    return [
        *steps,
        ("key, value", projected(tokens, 2 * width)),
        ("query", projected(texts, width, ("gather_kernel", first))),
        ("attend first", [[("attend_first_rows_kernel", first)], [("attend_first_kernel", first)]]),
        *after_attention(texts),
        ("dense", activated(texts, width, width)),
        ("classify", [[("classify_kernel", first)]]),
    ]
