"""Metrics, numpy only.

`scores` says how good predictions are, `intervals` how sure that is, `paired` which of two is better.
There is no scikit-learn or scipy here: training and the comparison of artifacts on a small machine both
need these numbers, and neither should need those packages. The tests compare with scikit-learn.
"""

from liteft.metrics.intervals import (
    binomial_tail,
    bootstrap_interval,
    f1_intervals,
    macro_f1_interval,
    score_intervals,
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
    Task,
    agreement,
    calibration_error,
    correct,
    decide,
    f1_scores,
    log_loss,
    majority_share,
    primary_metric,
    score,
    sigmoid,
    softmax,
)

__all__ = [
    "Estimate",
    "PairedTest",
    "Task",
    "agreement",
    "binomial_tail",
    "bootstrap_interval",
    "calibration_error",
    "correct",
    "decide",
    "f1_intervals",
    "f1_scores",
    "log_loss",
    "macro_f1_interval",
    "majority_share",
    "mcnemar",
    "paired_f1_intervals",
    "paired_interval_over_seeds",
    "primary_metric",
    "score",
    "score_intervals",
    "sigmoid",
    "softmax",
    "wilson_interval",
]
