"""What run.json says of a run: each key once, for those that write it and those that read it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

__all__ = ["CalibrationInfo", "DataInfo", "FitInfo", "RunInfo", "TrainingInfo"]


_OptionalInfo = TypedDict(  # noqa: UP013  # a class with a key named float would hide the type
    "_OptionalInfo",
    {
        # of a student
        "search": dict[str, float],  # learning rate -> the validation metric that chooses
        "float": dict[str, Any],  # FitInfo of the stages before a last one that rounds as int8 does
        "quantized": dict[str, Any],  # what that stage rounded to
        "size": str | None,  # or the encoder that it started from
        "start": str,  # what it started from, in words
        "training_texts": int,  # that it was trained on
        "vocabulary": dict[str, Any],  # what trimming made of it
        "transfer": str,  # "pool" where it learned the unlabelled texts alone
        # with metrics or a loss of the user's own
        "functions": dict[str, str],  # "loss" or "metrics.NAME" -> the function's module, name and hash
        # of a classifier of scores
        "activation": str,  # "sigmoid" or "none"
        # where it was trained with an epsilon
        "privacy": dict[str, Any],  # PrivacyInfo
        # where it was trained by more than one
        "processes": int,
        # of a classifier with an adapter
        "adapter": dict[str, Any],  # its rank and own bytes, and what base.json says of its base
    },
    total=False,
)


class FitInfo(_OptionalInfo):
    """What came out of a training; of a student, of its last stage.

    Attributes:
        steps: optimizer steps.
        training_seconds: of this process; after a resume, since then.
        best_metric: the metric on validation that chose the weights that were kept, by its name ("balanced": the mean
            of the two that follow it); None where the last weights are kept.
        best_step, best_epoch: when it was reached.
        precision: "fp32" or "bf16".
        learning_rate: the largest of the schedule.
        warnings: about the training, and later about the metrics.
    """

    steps: int
    training_seconds: float
    best_metric: dict[str, float] | None
    best_step: int | None
    best_epoch: float | None
    precision: str
    learning_rate: float
    warnings: list[str]


class PrivacyInfo(TypedDict):
    """What is promised of each row of the training split: differential privacy of the weights.

    Attributes:
        epsilon, delta: if one row is added or left out, the odds of any weights change by a factor of at most
            exp(epsilon), except with probability delta. Epsilon is what the steps have spent.
        noise_multiplier: deviation of the noise, in lengths to which gradients are clipped.
        max_grad_norm: that length.
        sampling, sample_rate: "Poisson": each step draws each row with that probability.
        steps, rows: of the training.
        accountant: that added the steps up.
        trains: what was trained: the rest is the base's.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    max_grad_norm: float
    sampling: str
    sample_rate: float
    steps: int
    rows: int
    accountant: str
    trains: str


class CalibrationInfo(TypedDict):
    """What was fitted on validation after training.

    Attributes:
        temperature: by which the last layer was divided; 1 if it was not.
        threshold: where one was tuned: the probability at which labels are chosen, before the shift to 0.5.
        no_answer: of questions: by how much an answer must exceed no answer; None if all are answered.
    """

    temperature: float
    threshold: NotRequired[float]
    no_answer: NotRequired[float | None]


class TrainingInfo(FitInfo, CalibrationInfo):
    """What a training says of itself.

    Attributes:
        base: name of the base that a teacher started from, or None.
        teacher: of a student: name, path, weights_sha256, of a run base and parameters, and the temperature that the
            logits of a classifier from elsewhere were divided by.
        seed: of the recipe.
        seconds: of everything, predictions apart.
    """

    base: str | None
    teacher: dict[str, Any] | None
    seed: int
    seconds: float


class DataInfo(TypedDict):
    """The data of a run: name, fingerprint, rows by split, and what the training labels are if they are not certain."""

    name: str
    fingerprint: str
    rows: dict[str, int]
    labels: NotRequired[Literal["probabilities"]]


class RunInfo(TrainingInfo):
    """Everything in run.json.

    Attributes:
        format: version of the file.
        kind: "teacher", "student", or another arm of `liteft.arms`: "control", "c0", "c2".
        task, labels, pooling, paired, marked, max_tokens: settings of the classifier.
        family: the encoder's model type in transformers.
        parameters: of the whole classifier, an adapter's base included.
        size_bytes: of the weights, an adapter's base included.
        weights_sha256: what identifies the weights, see ``model_weights_sha256``.
        data: what it was trained on.
        metrics: by split; see ``split_metrics``.
        versions: of Python and of the packages that determine the result.
    """

    format: int
    kind: str
    task: str
    labels: list[str]
    pooling: str
    paired: bool
    marked: bool
    max_tokens: int
    family: str
    parameters: int
    size_bytes: int
    weights_sha256: str
    data: DataInfo
    metrics: dict[str, dict[str, Any]]
    versions: dict[str, str]
