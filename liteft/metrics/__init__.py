"""Metrics of classifiers, in numpy alone.

`scores` computes metrics from predictions, `intervals` their confidence intervals, and `paired` compares two models on
the same texts; `spans` does all three for tagged words, `correlation` and `queries` do for scores, and `answers`
compares answers to questions. `liteft.tasks` determines which metrics a task has, and computes them from logits and
labels. scikit-learn and scipy are not used, since a machine that only trains or compares artifacts should not need
them; the tests compare the results with theirs and seqeval's.
"""

from liteft.metrics.answers import AnswerScores, answer_scores, is_chinese_text
from liteft.metrics.correlation import (
    correlation_intervals,
    mean_correlation_intervals,
    mean_ranks,
    paired_correlation_intervals,
    pearson,
    spearman,
)
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
from liteft.metrics.queries import query_metrics
from liteft.metrics.scores import (
    binary_log_loss,
    calibration_error,
    f1_scores,
    log_loss,
    micro_f1_contributions,
    reliability_bins,
    sigmoid,
    softmax,
)
from liteft.metrics.spans import (
    SpanCounts,
    Spans,
    find_spans,
    paired_span_intervals,
    span_intervals,
)

__all__ = [
    "AnswerScores",
    "Estimate",
    "PairedTest",
    "SpanCounts",
    "Spans",
    "answer_scores",
    "binary_log_loss",
    "binomial_tail",
    "bootstrap_interval",
    "calibration_error",
    "correlation_intervals",
    "f1_intervals",
    "f1_scores",
    "find_spans",
    "is_chinese_text",
    "log_loss",
    "mcnemar",
    "mean_correlation_intervals",
    "mean_interval",
    "mean_ranks",
    "micro_f1_contributions",
    "named_intervals",
    "paired_correlation_intervals",
    "paired_f1_intervals",
    "paired_interval_over_seeds",
    "paired_interval_over_subsets",
    "paired_span_intervals",
    "pearson",
    "query_metrics",
    "reliability_bins",
    "sigmoid",
    "softmax",
    "span_intervals",
    "spearman",
    "wilson_interval",
]
