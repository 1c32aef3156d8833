"""The arithmetic of bench/serve_load.py: when requests are due, what the answers' times say, and when a run is void.

The load is an open loop: requests are due at times that do not depend on the answers, and a latency counts from the
time at which its request was due. A generator that waits for a slow server, or is slow itself, would otherwise leave
out the longest waits (coordinated omission).
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST_LATENESS_MS = 1.0  # of the generator, at its 99th percentile
LOST, EXPIRED, UNSENT = 0, -1, -2  # in place of a status: the connection broke, no answer came in time, none was free
_NAMES = {LOST: "lost", EXPIRED: "expired", UNSENT: "unsent"}


def poisson(rate: float, seconds: float, seed: int) -> array[float]:
    """Return the times at which requests are due, in seconds from the start: a Poisson process, fixed by its seed."""
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"the rate and the seconds must be positive, got {rate} and {seconds}")
    random = np.random.default_rng(seed)
    times = np.empty(0)
    last = 0.0
    while last < seconds:
        gaps = random.exponential(1 / rate, math.ceil(rate * seconds * 0.1) + 100)
        times = np.concatenate([times, last + np.cumsum(gaps)])
        last = times[-1]
    return array("d", times[times < seconds].tobytes())


def percentile(values: np.ndarray, share: float) -> float:
    """Return the least value that at least this share of the values does not exceed (nearest rank); NaN of none."""
    if not len(values):
        return math.nan
    rank = max(math.ceil(round(share * len(values), 9)), 1)
    return float(np.partition(values, rank - 1)[rank - 1])


def latencies(seconds: np.ndarray) -> dict[str, float | None]:
    """Return percentiles of times in ms; None of no times."""
    if not len(seconds):
        return {"p50_ms": None, "p99_ms": None, "p99_9_ms": None, "most_ms": None}
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p99_9_ms": 0.999, "most_ms": 1.0}
    return {name: round(1000 * percentile(seconds, share), 3) for name, share in shares.items()}


@dataclass
class Record:
    """What became of each request, in the order in which they were due. Times are in seconds from the start.

    Attributes:
        due: when it should have been sent.
        sent: when it was sent; NaN if it was not.
        done: when its answer was complete, or its end was known.
        code: the HTTP status, or LOST, EXPIRED or UNSENT.
        late: how much later than it could it was sent: after it was due, and a connection was free.
        texts: texts of the request.
        inside: seconds that an accepted request spent in the server, by its Server-Timing; NaN if that is not known.
        samples: the answers, head and body, of some requests, by the place of the request.
        changed: answers that differ from an earlier one to the same request; None if they were not compared.
        waited: requests that waited because no connection was free.
    """

    due: array[float]
    sent: array[float]
    done: array[float]
    code: array[int]
    late: array[float]
    texts: array[int]
    inside: array[float]
    samples: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    changed: int | None = None
    waited: int = 0

    @classmethod
    def of(cls, due: array[float], texts: Sequence[int]) -> Record:
        """Return the record of requests that are still to be sent; ``texts`` repeats if there are more requests."""
        count = len(due)
        nothing = array("d", [math.nan]) * count
        own = array("i", [texts[number % len(texts)] for number in range(count)])
        return cls(due, nothing, nothing[:], array("h", [UNSENT]) * count, array("d", [0.0]) * count, own, nothing[:])


def summarize(record: Record, seconds: float, *, settle: float = 0.0) -> dict[str, Any]:
    """Return the figures of a run.

    Args:
        record: the requests.
        seconds: length of the schedule; rates are per second of it, without the seconds left out.
        settle: seconds at the start whose requests are left out.

    Returns:
        offered, accepted and texts per second, latencies of accepted requests and of refusals from when they were due,
        how many requests ended how, the generator's lateness, and why the run is void (None if it is not).
    """
    due, done, late = (np.array(each) for each in (record.due, record.done, record.late))
    code, texts, sent = np.array(record.code), np.array(record.texts), np.array(record.sent)
    counted = due >= settle
    accepted, refused = counted & (code == 200), counted & (code == 429)
    within = (done >= settle) & (done < seconds) & (code == 200)  # goodput: answers that came within the time
    time = seconds - settle
    codes = Counter(code[counted].tolist())
    lateness = latencies(late[counted & ~np.isnan(sent)])
    return {
        "seconds": round(time, 3),
        "offered_requests_per_second": round(int(counted.sum()) / time, 2),
        "accepted_requests_per_second": round(int(accepted.sum()) / time, 2),
        "goodput_texts_per_second": round(float(texts[within].sum()) / time, 2),
        "requests": int(counted.sum()),
        "codes": {_NAMES.get(key, str(key)): count for key, count in sorted(codes.items())},
        "latency": latencies((done - due)[accepted]),
        "latency_of_refusals": latencies((done - due)[refused]),
        "waited_for_a_connection": record.waited,
        "changed_answers": record.changed,
        "lateness": lateness,
        "void": void(lateness["p99_ms"]),
    }


def drained_rate(record: Record) -> float:
    """Return the accepted texts per second until the last answer, for a closed loop: the server had work all the time.

    A count of the answers within the time would leave out the batch that was half done at its end.
    """
    done, accepted = np.array(record.done), np.array(record.code) == 200
    return float(np.array(record.texts)[accepted].sum() / done[accepted].max()) if accepted.any() else 0.0


def void(lateness_ms: float | None) -> str | None:
    """Return why a run with this 99th percentile of the generator's lateness is void, or None."""
    if lateness_ms is None:
        return "nothing was sent"
    if lateness_ms > MOST_LATENESS_MS:
        return (
            f"the generator was {lateness_ms:.2f} ms late at its 99th percentile; at most {MOST_LATENESS_MS:g} ms count"
        )
    return None


def true_waits(record: Record, refused: Sequence[int]) -> list[float]:
    """Return for each refusal how long the work that was accepted before it still took, in seconds.

    A request that had been accepted instead of the refused one would have been computed after that time: this is the
    wait that a server projects. A request was accepted when it came into the server, by its Server-Timing, or where
    that is not known, when it was sent. Refusals after which nothing was left to do have 0.
    """
    done, code = np.array(record.done), np.array(record.code)
    inside = np.array(record.inside)
    came = np.where(np.isnan(inside), np.array(record.sent), done - inside)
    taken = np.flatnonzero(code == 200)
    order = taken[np.argsort(came[taken], kind="stable")]
    last = np.maximum.accumulate(done[order]) if len(order) else np.empty(0)
    before = np.searchsorted(came[order], done[list(refused)], side="left")
    ends = [last[place - 1] if place else -math.inf for place in before]
    return [max(float(end - done[number]), 0.0) for end, number in zip(ends, refused, strict=True)]
