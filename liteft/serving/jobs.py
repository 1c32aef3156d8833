"""A request for one model on its way through the lane, and what comes out of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from liteft.ragged import Rows

if TYPE_CHECKING:
    from liteft.serving.models import Loaded, ServedModel

__all__ = ["Job", "Outcome", "Times"]


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """The logits of a job.

    Attributes:
        loaded: the model that computed them.
        logits: a row for each value; of models of words and questions, rows for each.
        truncated: bool, shape (values,).
        tokens: of all values, special tokens included.
        times: where the time went.
    """

    loaded: Loaded
    logits: Rows
    truncated: np.ndarray
    tokens: int
    times: Times


@dataclass(slots=True, eq=False)
class Job:
    """Values for one model; a request is one job, admitted whole or not at all.

    Attributes:
        model: that it is for.
        values: as the model's ``encode`` takes them.
        characters, tokens: of all values; the tokens are estimated.
        cost: estimated seconds in the engine.
        arrived, started: when it came, and when its batch was taken, by time.perf_counter as all points in time here.
        deadline: after which its answer is of no use; None for never.
        future: gets the Outcome, or a Refused or another error, in the event loop.
        state: "queued", "running", or "left": it was taken back, and is not to be computed.
    """

    model: ServedModel
    values: list[Any]
    characters: int
    tokens: int
    cost: float
    arrived: float
    deadline: float | None
    future: asyncio.Future[Outcome] = field(repr=False)
    state: str = "queued"
    started: float = 0.0
