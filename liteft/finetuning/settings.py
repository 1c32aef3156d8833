"""A classifier's settings: labels, task, pooling, length of texts; written into config.json and read from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from transformers import PretrainedConfig

from liteft.answer_spans import AnswerForm
from liteft.encoder.families import family_of
from liteft.errors import ModelError, option
from liteft.finetuning.tokenizer_files import FolderTokenizer
from liteft.foreign import Said, read_config_json, read_meaning, stated_length
from liteft.foreign.weights import refuse_quantized
from liteft.metrics import sigmoid
from liteft.tasks import Task, task_named

__all__ = [
    "ModelSettings",
    "Pooling",
    "apply_settings",
    "pooling_of_task",
    "position_limit",
    "read_settings",
    "require_positions",
    "stated_max_tokens",
    "written_here",
]

Pooling = Literal["cls", "mean", "last", "none"]
_UNSTATED_LIMIT = 512  # tokens, if neither the tokenizer nor the model states its limit


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A classifier's settings, stored in config.json under ``liteft``.

    Attributes:
        labels: in the order of the logits.
        task: what they mean.
        pooling: how a text's hidden states become one; "none" where each word is judged.
        max_tokens: longer texts are truncated to this many tokens.
        paired: whether it reads pairs of texts.
        truncation_side: which end of a longer text is cut.
        threshold_shift: what was subtracted from every logit so that the tuned threshold is a score of 0.5; 0 for a
            classifier whose scores are probabilities.
        marked: whether the labels of a text are about one of its words, which the type ids mark.
        answers: how questions are read and answered; None where there are none.
        activation: of scores: "sigmoid" or "none"; None takes that of the task, and is that of other tasks.
    """

    labels: tuple[str, ...]
    task: Task
    pooling: Pooling
    max_tokens: int
    paired: bool
    truncation_side: Literal["right", "left"] = "right"
    threshold_shift: float = 0.0
    marked: bool = False
    activation: str | None = None
    answers: AnswerForm | None = None

    def __post_init__(self) -> None:
        task = task_named(self.task).bound(self.labels)
        if self.activation is not None:
            task = task.activated(self.activation)
        object.__setattr__(self, "task", task)
        object.__setattr__(self, "activation", task.activation if task.numeric else None)
        if task.extractive:
            object.__setattr__(self, "answers", self.answers or AnswerForm())

    @property
    def varied_types(self) -> bool:
        """Whether tokens have different type ids: those of pairs, or of a marked word."""
        return self.paired or self.marked

    @property
    def threshold(self) -> float:
        """The probability at which a label was chosen before the shift; 0.5 without one."""
        return float(sigmoid(np.array(self.threshold_shift)))


def pooling_of_task(task: Task, config: PretrainedConfig) -> Pooling:
    """Return the pooling of transformers' own classes: none for words, the last token in a decoder, else [CLS]."""
    if not task.of_whole_texts:
        return "none"
    return "last" if family_of(config.model_type).decoder else "cls"


def written_here(config: PretrainedConfig) -> bool:
    """Return whether LiteFT wrote the configuration of a model, so that it states its settings itself."""
    return getattr(config, "liteft", None) is not None


def apply_settings(config: PretrainedConfig, settings: ModelSettings) -> None:
    """Write labels, task and LiteFT's own settings into a transformers configuration."""
    config.id2label = dict(enumerate(settings.labels))
    config.label2id = {label: index for index, label in enumerate(settings.labels)}
    config.problem_type = settings.task.problem_type
    config.liteft = {**asdict(settings), "labels": list(settings.labels), "task": str(settings.task)}
    for name in ("threshold_shift", "marked", "activation", "answers"):
        if not getattr(settings, name):
            del config.liteft[name]


def read_settings(
    folder: Path, config: PretrainedConfig, tokenizer: FolderTokenizer, said: Said | None
) -> tuple[ModelSettings, str]:
    """Return a classifier's settings, and in words where its max_tokens comes from.

    A classifier that LiteFT wrote states them itself; those of another are read from what transformers and
    sentence-transformers store beside it.

    Raises:
        ModelError: the settings do not fit, or it does not say what it means.
        ConfigError: its config.json contradicts ``said``.
    """
    content = read_config_json(folder)
    meaning = read_meaning(folder, content, said)
    stored: dict[str, Any] | None = getattr(config, "liteft", None)
    if stored is not None:
        try:
            answers = None if stored.get("answers") is None else AnswerForm(**stored["answers"])
            own = ModelSettings(**{**stored, "labels": tuple(stored["labels"]), "answers": answers})
            return own, "as it was trained"
        except (TypeError, KeyError, ValueError) as error:
            raise ModelError(
                f"{folder / 'config.json'}: the key 'liteft' does not fit: {error}.",
                fix="copy the whole folder again, or train again",
            ) from error
    refuse_quantized(folder, content)
    max_tokens, cut_by = stated_max_tokens(folder, config, tokenizer)
    settings = ModelSettings(
        labels=meaning.labels,
        task=meaning.settled_task,
        pooling=pooling_of_task(meaning.settled_task, config),
        max_tokens=max_tokens,
        paired=bool(meaning.paired),
        truncation_side=tokenizer.truncation_side,
        activation=meaning.activation,
    )
    return settings, cut_by


def stated_max_tokens(folder: Path, config: PretrainedConfig, tokenizer: FolderTokenizer) -> tuple[int, str]:
    """Return the tokens to which a folder from elsewhere says that texts are cut, and in words what says so."""
    max_tokens, cut_by = _stated_limit(config, tokenizer)
    if (length := stated_length(folder)) is not None and length < max_tokens:
        return length, "max_seq_length of sentence-transformers"
    return max_tokens, cut_by


def _stated_limit(config: PretrainedConfig, tokenizer: FolderTokenizer) -> tuple[int, str]:
    """Return the most tokens that both tokenizer and model accept, and which of them sets the limit."""
    positions, stated = _positions(config), tokenizer.model_max_length
    if positions is None and stated is None:
        return _UNSTATED_LIMIT, "neither the tokenizer nor the model states a limit"
    if stated is None or (positions is not None and positions < stated):
        return cast(int, positions), f"the positions of the {config.model_type}"
    return stated, "the tokenizer's model_max_length"


def require_positions(folder: Path, config: PretrainedConfig, max_tokens: int) -> None:
    """Refuse a max_tokens below 1 or above the number of positions that a model has.

    Raises:
        ModelError: it is.
    """
    most = _positions(config)
    if max_tokens < 1 or (most is not None and max_tokens > most):
        raise ModelError(
            f"{folder} cannot read {max_tokens:,} tokens of a text.",
            accepted={"max_tokens": "a positive integer" if most is None else f"1 to {most:,}, its positions"},
            fix=option("max_tokens", most or _UNSTATED_LIMIT),
        )


def _positions(config: PretrainedConfig) -> int | None:
    """Return the number of tokens that a model has positions for, or None if its configuration does not say."""
    limit = int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 0)
    if limit > 0 and family_of(config.model_type).positions_from_padding:
        limit -= int(config.pad_token_id or 0) + 1
    return limit if limit > 0 else None


def position_limit(config: PretrainedConfig) -> int:
    """Return the number of tokens that the position embeddings allow; 512 if the configuration does not say."""
    return _positions(config) or _UNSTATED_LIMIT
