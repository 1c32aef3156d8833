"""The teacher's layers that a shallower student starts from, and those that its own are matched with."""

from __future__ import annotations

from collections.abc import Sequence

from liteft.errors import ConfigError, option

__all__ = ["choose_layers", "matched_layers"]

_AUTO = "first"


def choose_layers(wanted: Sequence[int] | str, *, teacher: int, student: int) -> list[int]:
    """Return the teacher's layers that are copied into the student, counted from 0.

    Args:
        wanted: the layers themselves; "first" (0, 1, 2 for 3 of 6); "spread" (0, 2, 4), evenly from the first;
            "ends" (0, 2, 5), evenly from the first to the last; or "auto", which is "first", the best measured.
        teacher: number of layers of the teacher.
        student: number of layers of the student.

    Raises:
        ConfigError: the student is deeper than the teacher, or the layers named do not fit.
    """
    if student > teacher:
        raise ConfigError(
            f"a student of {student} layers is deeper than its teacher, which has {teacher}.",
            accepted={"layers": f"1 to {teacher}"},
            fix=option("size", str(max(1, teacher // 2))),
        )
    if wanted == "auto":
        wanted = _AUTO
    if wanted == "first":
        return list(range(student))
    if wanted == "spread":
        return [index * teacher // student for index in range(student)]
    if wanted == "ends":
        return [index * (teacher - 1) // max(1, student - 1) for index in range(student)]
    layers = [] if isinstance(wanted, str) else list(wanted)
    if len(layers) != student or any(not 0 <= layer < teacher for layer in layers) or sorted(set(layers)) != layers:
        raise ConfigError(
            f"layers {wanted} do not fit a student of {student} layers.",
            accepted={
                "layers": f"{student} different ones of 0 to {teacher - 1}, ascending; or auto, first, spread, ends"
            },
            fix=option("layers", choose_layers(_AUTO, teacher=teacher, student=student)),
        )
    return layers


def matched_layers(*, teacher: int, student: int) -> list[int]:
    """Return, for each layer of the student, the layer of the teacher whose output it is matched with.

    Evenly spaced, and the last with the last, whatever layers the student was copied from.

    Source: Jiao et al. 2020 (TinyBERT), section 4.5, the uniform strategy, arXiv:1909.10351.
    """
    return [(index + 1) * teacher // student - 1 for index in range(student)]
