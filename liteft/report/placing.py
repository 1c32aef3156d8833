"""Placement of labels beside the points of a picture, so that they do not cover each other.

Every label is tried at many places, from directly beside its point outwards, and gets the one of lowest cost: covering
another label costs most, then leaving the frame, covering a point or a bar, being nearer to another point than to its
own, and distance. Labels of crowded points are placed first, since they have the fewest places. Nothing is drawn here:
it is geometry in one unit, with y upwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Box", "Label", "place_labels"]

_OVER_LABEL, _OUTSIDE, _OVER_MARK = 1000.0, 300.0, 40.0
_LINE_OVER_LABEL, _NEARER_TO_OTHER = 20.0, 3.0
_LINE_STEPS = 9
_DIRECTIONS = 16
_GRID = 24


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with sides along the axes."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the area of the intersection."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def distance(self, x: float, y: float) -> float:
        """Return the distance from a point to the rectangle; 0 inside."""
        near = self.nearest(x, y)
        return math.hypot(near[0] - x, near[1] - y)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of the rectangle that is nearest to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)


@dataclass(frozen=True, slots=True)
class Label:
    """A label's width and height, and the circle that it belongs to: its centre (x, y) and radius."""

    x: float
    y: float
    radius: float
    width: float
    height: float


def place_labels(labels: Sequence[Label], marks: Sequence[Box], frame: Box, gap: float) -> list[Box]:
    """Return a rectangle for each label, in the labels' order.

    Args:
        labels: the labels to place.
        marks: circles and bars, which labels should not cover.
        frame: the area that labels should not leave.
        gap: space around a label.
    """
    placed: dict[int, Box] = {}
    marks = [_grown(mark, gap / 2) for mark in marks]
    for index in sorted(range(len(labels)), key=lambda index: _room(labels, index)):
        others = [_grown(box, gap / 2) for box in placed.values()]
        strangers = [label for number, label in enumerate(labels) if number != index]
        own = labels[index]

        def cost(box: Box, own: Label = own, others: list[Box] = others, strangers: list[Label] = strangers) -> float:
            return _space_cost(box, others, marks, frame) + _reading_cost(box, own, others, strangers)

        placed[index] = min(_candidates(own, frame, gap), key=cost)
    return [placed[index] for index in range(len(labels))]


def _room(labels: Sequence[Label], index: int) -> float:
    """Return the distance from a label's point to the nearest other point."""
    own = labels[index]
    return min(
        (math.hypot(own.x - other.x, own.y - other.y) for n, other in enumerate(labels) if n != index),
        default=0.0,
    )


def _candidates(label: Label, frame: Box, gap: float) -> Iterator[Box]:
    """Yield places for a label: rings around its point, from the right side on, then a grid over the whole frame."""
    for ring in range(8):
        reach = label.radius + gap * (1 + 2.5 * ring)
        for step in range(_DIRECTIONS):
            turn = 2 * math.pi * step / _DIRECTIONS
            across, up = math.cos(turn), math.sin(turn)
            # the label's near edge or corner touches the ring, so that it never covers its own circle
            x = label.x + reach * across - label.width * (1 - _sign(across)) / 2
            y = label.y + reach * up - label.height * (1 - _sign(up)) / 2
            yield Box(x, y, x + label.width, y + label.height)
    wide, high = frame.right - frame.left - label.width, frame.top - frame.bottom - label.height
    for column in range(_GRID):
        for row in range(_GRID):
            x = frame.left + wide * column / (_GRID - 1)
            y = frame.bottom + high * row / (_GRID - 1)
            yield Box(x, y, x + label.width, y + label.height)


def _space_cost(box: Box, others: Sequence[Box], marks: Sequence[Box], frame: Box) -> float:
    """Return the cost of what a place covers; even the smallest overlap costs more than some distance."""
    covered = sum(box.overlap(other) for other in others) / box.area
    hidden = sum(box.overlap(mark) for mark in marks) / box.area
    outside = 1 - box.overlap(frame) / box.area
    steps = (covered > 0) * _OVER_LABEL + (outside > 1e-9) * _OUTSIDE + (hidden > 0) * _OVER_MARK / 20
    return steps + _OVER_LABEL * covered + _OUTSIDE * outside + _OVER_MARK * hidden


def _reading_cost(box: Box, own: Label, others: Sequence[Box], strangers: Sequence[Label]) -> float:
    """Return the cost of how hard it is to find the label's point; a distance of the label's height costs 1."""
    distance = _distance(box, own)
    nearer = sum(_distance(box, label) < distance for label in strangers)
    x, y = box.nearest(own.x, own.y)
    shares = [step / (_LINE_STEPS - 1) for step in range(_LINE_STEPS)]
    line = [(own.x + share * (x - own.x), own.y + share * (y - own.y)) for share in shares]
    crossed = sum(any(other.distance(*spot) == 0 for spot in line) for other in others)
    return distance / own.height + _NEARER_TO_OTHER * nearer + _LINE_OVER_LABEL * crossed


def _distance(box: Box, label: Label) -> float:
    """Return the distance from a place to a label's circle."""
    return max(0.0, box.distance(label.x, label.y) - label.radius)


def _sign(value: float) -> int:
    return 0 if abs(value) < 1e-9 else 1 if value > 0 else -1


def _grown(box: Box, by: float) -> Box:
    return Box(box.left - by, box.bottom - by, box.right + by, box.top + by)
