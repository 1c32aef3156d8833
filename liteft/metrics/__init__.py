"""Metrics, numpy only.

`scores` says how good predictions are, `intervals` how sure that is, `paired` which of two is better. Which of them
a task has, and what of logits and labels they are computed from, is for `liteft.tasks` to say.
There is no scikit-learn or scipy here: training and the comparison of artifacts on a small machine both
need these numbers, and neither should need those packages. The tests compare with scikit-learn.
"""

from liteft.metrics.intervals import (
    binomial_tail,
    bootstrap_interval,
    f1_intervals,
    wilson_interval,
)
from liteft.metrics.paired import (
    Estimate,
    PairedTest,
    mcnemar,
    paired_f1_intervals,
    paired_interval_over_seeds,
)
from liteft.metrics.scores import (
    calibration_error,
    f1_scores,
    log_loss,
    sigmoid,
    softmax,
)

__all__ = [
    "Estimate",
    "PairedTest",
    "binomial_tail",
    "bootstrap_interval",
    "calibration_error",
    "f1_intervals",
    "f1_scores",
    "log_loss",
    "mcnemar",
    "paired_f1_intervals",
    "paired_interval_over_seeds",
    "sigmoid",
    "softmax",
    "wilson_interval",
]
