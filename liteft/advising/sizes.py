"""What students of a base would cost: megabytes predicted, milliseconds measured only if there is a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from liteft.data import Split
from liteft.distillation.initial import create_student, encoder_weights, student_config
from liteft.distillation.shrinking import unknown_role
from liteft.finetuning.model import TorchClassifier
from liteft.form import ExportForm
from liteft.frontier.candidates import Variant, narrower_widths
from liteft.frontier.sizes import fitting_variants, sizes_of
from liteft.frontier.timing import untrained_latency_ms
from liteft.recipes import StudentRecipe
from liteft.runtime.cores import default_threads

__all__ = ["ShapeCost", "shape_costs"]

_TRIMMED = 8_000  # tokens
_DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24)


@dataclass(frozen=True, slots=True)
class ShapeCost:
    """What a student of a size would cost as an int8 artifact.

    Attributes:
        layers, width: of the student.
        mb: predicted size of the folder with the whole vocabulary, in 10^6 bytes.
        trimmed_mb: the same with 8,000 tokens.
        vocabulary: tokens that fit into ``max_mb``; None if all do or there is no limit; 0 if it does not fit at all.
        ms: median time of one text on this machine; None if no limit was given or it was not timed.
        interpolated: ``ms`` lies on the line through two timed depths.
        within: whether it is within both limits, as far as they were given; None if that is not known, since it was not
            timed and no smaller depth of its width is too slow.
    """

    layers: int
    width: int
    mb: float
    trimmed_mb: float
    vocabulary: int | None
    ms: float | None
    interpolated: bool
    within: bool | None

    @property
    def name(self) -> str:
        """The size as ``--size`` takes it."""
        return f"{self.layers}x{self.width}"


def shape_costs(
    base: TorchClassifier,
    split: Split,
    *,
    max_mb: float | None,
    max_ms: float | None,
    seconds: float,
    progress: Callable[[str], None],
) -> tuple[ShapeCost, ...]:
    """Return the costs of students of one layer up to all, of the base's width and of half of it, the smallest first.

    Args:
        base: the untrained teacher.
        split: texts to time.
        max_mb: limit of the folder, in 10^6 bytes.
        max_ms: limit of one text; None times nothing.
        seconds: no timing is started after so many.
        progress: called with a line of text.
    """
    depth, width = int(base.config.num_hidden_layers), int(base.config.hidden_size)
    narrow = narrower_widths(base.config) if unknown_role(encoder_weights(base.config)) is None else []
    half = [each for each in narrow if 2 * each <= width][:1]
    depths = sorted({each for each in _DEPTHS if each <= depth} | {depth})
    found = []
    for each in (*half, width):
        times = {} if max_ms is None else _times(base, split, each, depths, seconds=seconds, progress=progress)
        found += [_cost(base, layers, each, times, max_mb=max_mb, max_ms=max_ms) for layers in depths]
    return tuple(found)


def _cost(
    base: TorchClassifier,
    layers: int,
    width: int,
    times: dict[int, tuple[float, bool]],
    *,
    max_mb: float | None,
    max_ms: float | None,
) -> ShapeCost:
    config, _ = student_config(base.config, StudentRecipe(size=f"{layers}x{width}"))
    sizes = sizes_of(config, base.settings, base.tokenizer)
    variants, _ = fitting_variants(sizes, [Variant()], base.tokenizer, max_mb)
    ms, interpolated = times.get(layers, (None, False))
    return ShapeCost(
        layers=layers,
        width=width,
        mb=sizes.predict(Variant()) / 1e6,
        trimmed_mb=sizes.predict(Variant(vocabulary=_TRIMMED)) / 1e6,
        vocabulary=variants[0].vocabulary if variants else 0,
        ms=ms,
        interpolated=interpolated,
        within=_is_fast(layers, times, max_ms) if variants else False,
    )


def _is_fast(layers: int, times: dict[int, tuple[float, bool]], max_ms: float | None) -> bool | None:
    """Return whether a depth is within the limit; None if it was not timed, and no smaller one is too slow."""
    if max_ms is None:
        return True
    if any(ms > max_ms for each, (ms, _) in times.items() if each <= layers):
        return False
    return True if layers in times else None


def _times(
    base: TorchClassifier,
    split: Split,
    width: int,
    depths: list[int],
    *,
    seconds: float,
    progress: Callable[[str], None],
) -> dict[int, tuple[float, bool]]:
    """Return the milliseconds of each depth and whether they are interpolated: one layer and all of them are timed."""
    started, timed = time.monotonic(), {}
    for layers in sorted({depths[0], depths[-1]}):
        if time.monotonic() - started > seconds:
            progress(f"{layers}x{width} is not timed: the time is spent")
            break
        student = create_student(base, StudentRecipe(size=f"{layers}x{width}"))
        timed[layers] = untrained_latency_ms(student, ExportForm(), split, threads=default_threads())
        progress(f"{layers}x{width}: {timed[layers]:.2f} ms")
    if len(timed) < 2:
        return {layers: (ms, False) for layers, ms in timed.items()}
    (low, first), (high, last) = sorted(timed.items())
    return {layers: (first + (last - first) * (layers - low) / (high - low), layers not in timed) for layers in depths}
