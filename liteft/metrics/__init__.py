"""Metrics of classifiers, in numpy alone.

`scores` computes metrics from predictions, `intervals` their confidence intervals, and `paired` compares two models on
the same texts. `liteft.tasks` determines which metrics a task has, and computes them from logits and labels.
scikit-learn and scipy are not used, since a machine that only trains or compares artifacts should not need them; the
tests compare the results with scikit-learn's.
"""

from liteft.metrics.answers import AnswerScores, answer_scores, is_chinese_text
from liteft.metrics.intervals import (
    binomial_tail,
    bootstrap_interval,
    f1_intervals,
    mean_interval,
    named_intervals,
    wilson_interval,
)
from liteft.metrics.paired import (
    Estimate,
    PairedTest,
    mcnemar,
    paired_f1_intervals,
    paired_interval_over_seeds,
    paired_interval_over_subsets,
)
from liteft.metrics.scores import (
    binary_log_loss,
    calibration_error,
    f1_scores,
    log_loss,
    micro_f1_contributions,
    sigmoid,
    softmax,
)

__all__ = [
    "AnswerScores",
    "Estimate",
    "PairedTest",
    "answer_scores",
    "binary_log_loss",
    "binomial_tail",
    "bootstrap_interval",
    "calibration_error",
    "f1_intervals",
    "f1_scores",
    "is_chinese_text",
    "log_loss",
    "mcnemar",
    "mean_interval",
    "micro_f1_contributions",
    "named_intervals",
    "paired_f1_intervals",
    "paired_interval_over_seeds",
    "paired_interval_over_subsets",
    "sigmoid",
    "softmax",
    "wilson_interval",
]
