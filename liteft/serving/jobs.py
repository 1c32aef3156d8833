"""A request for one model on its way through the lane, and what comes out of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from liteft.ragged import Rows
from liteft.runtime.prediction import activation_of

if TYPE_CHECKING:
    from liteft.serving.models import Loaded, ServedModel

__all__ = ["Batch", "Job", "Outcome", "Times"]


@dataclass(frozen=True, slots=True)
class Times:
    """Where the time of a job went, in seconds.

    Attributes:
        queue: from its arrival to the start of its batch.
        tokenization, inference: of its batch.
    """

    queue: float
    tokenization: float
    inference: float


class Batch:
    """The logits of jobs that ran together. What most of them want of them is computed once, for all.

    Args:
        loaded: the model that computed them.
        logits: a row for each value; of models of words and questions, rows for each.

    Attributes:
        loaded, logits: as given.
    """

    def __init__(self, loaded: Loaded, logits: Rows) -> None:
        self.loaded, self.logits = loaded, logits

    @cached_property
    def scores(self) -> np.ndarray:
        """The scores of labels: float32 (values, labels). Of models that label whole texts."""
        return activation_of(self.loaded.manifest.activation)(np.asarray(self.logits))

    @cached_property
    def order(self) -> np.ndarray:
        """The numbers of labels, those with the best scores first: int64 (values, labels)."""
        return np.argsort(-self.scores, axis=1, kind="stable")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The logits of a job.

    Attributes:
        batch: in which they were computed.
        place: its values in the batch.
        truncated: bool, shape (values,).
        tokens: of all values, special tokens included.
        times: where the time went.
    """

    batch: Batch
    place: slice
    truncated: np.ndarray
    tokens: int
    times: Times

    @property
    def loaded(self) -> Loaded:
        """The model that computed it."""
        return self.batch.loaded

    @property
    def logits(self) -> Rows:
        """A row for each value; of models of words and questions, rows for each."""
        return self.batch.logits[self.place]


@dataclass(slots=True, eq=False)
class Job:
    """Values for one model; a request is one job, admitted whole or not at all.

    Attributes:
        model: that it is for.
        loaded: what the model was when its values were read, which computes it: the next one may read others.
        values: as the model's ``encode`` takes them.
        characters, tokens: of all values; the tokens are estimated.
        cost: estimated seconds in the engine.
        arrived: when it came, by time.perf_counter as all points in time here.
        deadline: after which its answer is of no use; None for never.
        future: gets the Outcome, or a Refused or another error, in the event loop.
        state: "queued", "running", or "left": it was taken back, and is not to be computed.
        times: once it was computed, where its time went.
    """

    model: ServedModel
    loaded: Loaded
    values: list[Any]
    characters: int
    tokens: int
    cost: float
    arrived: float
    deadline: float | None
    future: asyncio.Future[Outcome] = field(repr=False)
    state: str = "queued"
    times: Times | None = None
