"""Recipes: every setting of a run, typed, with its default.

A recipe has one table per step: ``[data]``, ``[teacher]``, ``[student]``, ``[export]``, ``[search]``, ``[pretrain]``
and ``[hub]``. Reading and writing them as TOML is in config.py, settings that exclude each other are refused in
recipe_checks.py.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from liteft.arms import ArmName
from liteft.errors import ConfigError, option
from liteft.form import Calibration, EmbeddingBits, ExportForm, Precision, Scheme, Target, WeightBits
from liteft.tasks import TaskName

__all__ = [
    "AUTOMATIC",
    "CHOICES",
    "CLASSIFIERS_ONLY",
    "DataRecipe",
    "ExportRecipe",
    "HubRecipe",
    "Logger",
    "PretrainRecipe",
    "Recipe",
    "SearchRecipe",
    "StudentRecipe",
    "TeacherRecipe",
    "TrainingRecipe",
    "parse_size",
]

AUTOMATIC = ("epochs", "learning_rate", "evaluations_per_epoch", "rate_search", "head", "max_tokens")
"""Settings that `liteft.defaults` decides where they are None."""
CHOICES = ("balanced", "metric", "log_loss")
"""What ``choose_by`` takes, beside the names of a user's own metrics."""
CLASSIFIERS_ONLY = ("label_smoothing", "class_weights", "choose_by", "calibrate", "tune_threshold")  # not [pretrain]
Logger = Literal["tensorboard", "wandb", "mlflow"]
"""Loggers that a training can write to."""
_SIZE = re.compile(r"(\d+)(?:x(\d+))?")


def _size_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Size = Annotated[str, BeforeValidator(_size_text)]


def _path_text(value: Any) -> Any:
    """Return a path as text, also in a list; anything else unchanged."""
    if isinstance(value, list):
        return [_path_text(each) for each in value]
    return str(value) if isinstance(value, Path) else value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _paths_as_text(cls, values: Any) -> Any:
        return {name: _path_text(value) for name, value in values.items()} if isinstance(values, dict) else values

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse True where a number is meant, which would count as 1."""
        kind = cls.model_fields[str(info.field_name)].annotation
        kinds = get_args(kind) or (kind,)
        if isinstance(value, bool) and bool not in kinds and (int in kinds or float in kinds):
            raise ValueError("true and false are not numbers")
        return value


class DataRecipe(_Table):
    """Where labelled text comes from and how it is read; see ``liteft.load_dataset``."""

    source: str | None = None
    text: str | None = None
    pair: str | None = None
    label: str | list[str] | None = Field(default=None, description="several hold 0 or 1, or probabilities")
    confidence: str | None = Field(default=None, description="column of the label's probability")
    label_names: list[str] | None = Field(default=None, description="what integers and vectors stand for")
    task: TaskName | None = None
    encoding: str | None = None
    delimiter: str | None = None
    label_separator: str | None = None
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    test_fraction: float = Field(default=0.1, ge=0, lt=1, description="0 makes no test split")
    seed: int = Field(default=0, ge=0, lt=2**32)
    max_chars: int | None = Field(default=None, gt=0)
    drop_long: bool = False
    drop_empty: bool = False
    labels_per_class: int | None = Field(default=None, gt=0, description="None keeps all; the rest becomes the pool")
    subset_seed: int = Field(default=0, ge=0, lt=2**32, description="of the labels that are kept")

    @field_validator("label", mode="before")
    @classmethod
    def _one_of_one(cls, value: Any) -> Any:
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @field_validator("label_names", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


class TrainingRecipe(_Table):
    """What every training has: steps, optimizer, schedule, precision."""

    epochs: float | None = Field(default=None, gt=0, le=1000, description="None: from the number of rows")
    max_steps: int | None = Field(default=None, gt=0)
    batch_size: int = Field(default=32, gt=0)
    gradient_accumulation: int = Field(default=1, gt=0)
    learning_rate: float | None = Field(default=None, gt=0, description="None: from layers and width")
    optimizer: Literal["adamw", "adamw8bit", "sgd", "adafactor"] = "adamw"
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0.06, ge=0, lt=1, description="share of all steps")
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0, description="0 clips nothing")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"
    early_stopping: int = Field(default=0, ge=0, description="evaluations without a gain; 0 never stops early")
    choose_by: str = Field(
        default="balanced",
        description="which weights are kept, on validation: of the best mean of accuracy (several labels per text: "
        "micro F1) and macro F1 (balanced); of the best accuracy (micro F1) alone (metric); of the lowest log loss "
        "(log_loss); or of the highest metric of your own, by its name",
    )
    calibrate: bool = Field(default=True, description="divide the logits by a temperature fitted on validation")
    tune_threshold: bool = Field(
        default=False,
        description="several labels per text: shift the logits so that 0.5 is the threshold of the best micro F1 on "
        "validation; scores are then no probabilities",
    )
    evaluations_per_epoch: int | None = Field(default=None, gt=0, description="None: one, ten in a training at least")
    checkpoint_steps: int | None = Field(default=None, gt=0, description="None: with every evaluation")
    training_precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = Field(default=False, description="less memory, a second forward pass")
    group_by_length: bool = True
    threads: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**32)
    report_to: list[Logger] = Field(default=[], description="loggers that get losses and metrics, never a text")
    trainer: dict[str, Any] = Field(
        default={}, description="keys of transformers' TrainingArguments that no other key sets, as they are"
    )

    @field_validator("report_to", mode="before")
    @classmethod
    def _one_logger(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value

    @property
    def open_settings(self) -> tuple[str, ...]:
        """Names of those of AUTOMATIC that it has and leaves open."""
        return tuple(name for name in AUTOMATIC if getattr(self, name, False) is None)


class TeacherRecipe(TrainingRecipe):
    """Fine-tuning: the base, its pooling, its length; the rest is TrainingRecipe."""

    base: str | None = None
    pooling: Literal["auto", "cls", "mean"] = "auto"
    max_tokens: int | None = Field(default=None, ge=4, description="None: 128, for a question and its context 384")
    max_answer: int | None = Field(
        default=None, gt=0, description="tokens of an answer; None: 30, or those of 99% of the training answers"
    )
    truncation_side: Literal["right", "left"] | None = Field(default=None, description="None: the base's own")
    dropout: float | None = Field(default=None, ge=0, lt=1, description="None: the base's own")
    head: Literal["random", "lda"] | None = Field(
        default=None, description="its first weights; None: discriminants (lda) where texts have several labels"
    )
    rdrop_weight: float = Field(default=0.0, ge=0, description="R-Drop's alpha / 2; 0 passes each text once")
    from_scratch: bool = False
    size: _Size | None = Field(default=None, description="layers x width, for from_scratch")
    vocabulary_file: str | None = Field(default=None, description="vocab.txt or tokenizer.json, for from_scratch")
    base_quantization: Literal["8bit", "4bit"] | None = Field(default=None, description="of the base, under an adapter")
    lora_rank: int | None = Field(default=None, ge=0, description="None: 16 with base_quantization, else 0, no adapter")
    lora_alpha: float | None = Field(default=None, gt=0, description="None: twice the rank")
    lora_dropout: float | None = Field(default=None, ge=0, lt=1, description="None: 0.05")
    epsilon: float | None = Field(
        default=None, gt=0, le=1000, description="differential privacy of the training texts; None: none"
    )
    delta: float | None = Field(default=None, gt=0, lt=1, description="None: 1 / training texts, with epsilon")
    labels: list[str] | None = Field(default=None, description="of a classifier from elsewhere, in its logits' order")
    lora_targets: list[str] | None = Field(default=None, description="None: every linear layer, in known families")


class PretrainRecipe(TrainingRecipe):
    """Pretraining by masked words: texts, vocabulary, start; the rest is TrainingRecipe."""

    texts: str | list[str] | None = Field(default=None, description="files, folders or hub names of plain texts")
    base: str | None = Field(default=None, description="to go on from; None with a size, for random weights")
    size: _Size | None = Field(default=None, description="layers x width, for random weights")
    vocabulary_file: str | None = Field(default=None, description="vocab.txt or tokenizer.json, for random weights")
    vocabulary: int | None = Field(default=None, gt=0, description="tokens of a vocabulary to train; None: 8000")
    vocabulary_kind: Literal["wordpiece", "bpe", "unigram"] | None = Field(default=None, description="None: wordpiece")
    lowercase: bool | None = Field(default=None, description="of a WordPiece vocabulary to train; None: true")
    max_tokens: int = Field(default=128, ge=8, le=8192)
    masked_share: float = Field(default=0.15, gt=0, lt=1, description="of all words")
    validation_fraction: float = Field(default=0.01, gt=0, lt=1, description="of the texts; at most 2,000")
    epochs: float = Field(default=10.0, gt=0, le=1000)
    batch_size: int = Field(default=64, gt=0)
    learning_rate: float | None = Field(
        default=None, gt=0, description="None: 5e-4 from random weights, 1e-4 from a base"
    )
    warmup: float = Field(default=0.06, ge=0, lt=1, description="share of all steps")
    evaluations_per_epoch: int = Field(default=1, gt=0)
    checkpoint_steps: int | None = Field(default=1000, gt=0, description="None: with every evaluation")


class StudentRecipe(TrainingRecipe):
    """Distilling: the student's size and start, the losses' weights, the arms it is compared with."""

    epochs: float | None = Field(
        default=None, ge=0, le=1000, description="None: from the number of rows; 0 only before quantized epochs"
    )
    size: _Size | None = Field(default=None, description="layers x width, as 3x384; the width may be left out")
    student: str | None = Field(default=None, description="folder of an encoder to start from instead")
    layers: list[int] | Literal["auto", "first", "spread", "ends"] = "auto"
    general: str | list[str] | None = Field(
        default=None, description="files, folders or hub names of plain texts, to imitate the base on before the task"
    )
    general_epochs: float = Field(default=1.0, gt=0, le=1000, description="passes over these texts")
    general_learning_rate: float = Field(default=5e-4, gt=0)
    learning_rates: list[float] | None = Field(default=None, description="searched on validation, in whole trainings")
    rate_search: bool | None = Field(
        default=None,
        description="try half and twice the rate for a quarter of the steps; None: if the width is not near 384",
    )
    logits_loss: Literal["mse", "kl"] = "kl"
    temperature: float = Field(default=2.0, gt=0)
    hard_weight: float = Field(
        default=0.1, ge=0, le=1, description="of the labels; their loss is a mean over the labelled rows of a batch"
    )
    hidden_weight: float = Field(default=0.0, ge=0)
    relation_weight: float = Field(default=0.0, ge=0)
    matching_epochs: float = Field(default=0.0, ge=0, description="a first stage with the matching losses alone")
    matching_learning_rate: float = Field(default=1e-4, gt=0)
    quantized_epochs: float = Field(default=0.0, ge=0, le=1000, description="a last stage that rounds as int8 does")
    quantized_learning_rate: float = Field(default=2e-5, gt=0)
    augmentation: Literal["none", "mask", "ngram"] = "none"
    augment_labelled: bool | None = Field(default=None, description="None: only if no text is unlabelled")
    teacher_folds: int = Field(
        default=0, ge=0, le=10, description="teachers that have each not seen one fold of the training texts; 0 is off"
    )
    vocabulary: int | None = Field(default=None, gt=0, description="tokens to keep at most; None keeps all")
    fill_vocabulary: bool = Field(default=False, description="fill it up to that number with unused tokens")
    vocabulary_min_count: int = Field(
        default=1, ge=1, description="different texts that a kept token occurs in, single characters apart"
    )
    unlabeled: str | None = None
    transfer: Literal["all", "pool"] = Field(
        default="all", description="texts to learn; pool: the unlabelled ones alone, by the teacher's answers"
    )
    pool_select: int | None = Field(
        default=None, gt=0, description="unlabelled texts to keep: the teacher is sure of them, the student is not"
    )
    control: bool = Field(default=False, description="the same as arms c1")
    arms: list[ArmName] = Field(default=[], description="models that the student is compared with: c0, c1, c2")
    seeds: int = Field(default=1, gt=0)
    folds: int = Field(default=0, ge=0, le=100, description="cross-validation; 0 keeps texts to test on instead")


class ExportRecipe(_Table):
    """The artifact: its form (``liteft.ExportForm``), what it may lose, and the vocabulary that it keeps."""

    precision: Precision = ExportForm.precision
    scheme: Scheme | None = Field(default=ExportForm.scheme, description="of int8's activations")
    calibration: Calibration | None = Field(default=ExportForm.calibration, description="of static int8's ranges")
    weight_bits: WeightBits | None = Field(
        default=ExportForm.weight_bits, description="of int8's products; 7 for x86-64 without VNNI"
    )
    embedding_bits: EmbeddingBits | None = Field(
        default=ExportForm.embedding_bits, description="of int8's word embeddings"
    )
    mixed: bool = Field(
        default=ExportForm.mixed, description="keep the most sensitive products in float until int8 is within limits"
    )
    flat: bool | None = Field(
        default=ExportForm.flat, description="standard nodes only, for tools that do not know functions"
    )
    target: Target | None = Field(
        default=ExportForm.target, description="edge: for transformers.js, flat; triton: with a model repository"
    )
    tolerance: float = Field(default=0.5, ge=0, le=100, description="points of accuracy that may be lost")
    vocabulary: int | None = Field(default=None, gt=0, description="tokens to keep at most; None keeps all")
    fill_vocabulary: bool = Field(default=False, description="fill it up to that number with unused tokens")
    vocabulary_min_count: int = Field(
        default=1, ge=1, description="different texts that a kept token occurs in, single characters apart"
    )

    @property
    def form(self) -> ExportForm:
        """The form that is asked for.

        Raises:
            ConfigError: settings that exclude each other.
        """
        return ExportForm(**{field.name: getattr(self, field.name) for field in fields(ExportForm)})

    @property
    def trimming(self) -> tuple[int | None, bool, int]:
        """Pieces of the vocabulary to keep at most, whether unused ones fill it, and the texts that each occurs in.

        (None, False, 1) keeps all.
        """
        if self.vocabulary is None:
            return None, False, 1
        return self.vocabulary, self.fill_vocabulary, self.vocabulary_min_count


class SearchRecipe(_Table):
    """A search of sizes, vocabularies and precisions within a budget; without a limit there is none."""

    max_mb: float | None = Field(default=None, gt=0, description="10^6 bytes of the artifact's folder")
    max_ms: float | None = Field(default=None, gt=0, description="median of one text, measured on this machine")
    max_drop: float | None = Field(default=None, ge=0, le=100, description="points below the teacher on validation")
    layers: list[Annotated[int, Field(gt=0)]] | None = Field(default=None, description="None: up to the teacher's")
    widths: list[Annotated[int, Field(gt=0)]] | None = Field(default=None, description="None: the widest that fits")
    embedding_bits: list[EmbeddingBits] = Field(default=[8, 4], min_length=1, description="of int8's words, to try")
    quantized_epochs: float = Field(default=2.0, ge=0, le=1000, description="where only rounding loses too much; 0 off")
    margin: float = Field(default=3.0, ge=0, description="points that a student may still gain after half its steps")


class HubRecipe(_Table):
    """A model on the hub: what only its owner can say of it, and who may see it; see ``liteft.push_to_hub``."""

    license: str | None = Field(default=None, description="the hub's word for it; needed to push")
    language: str | list[str] | None = Field(default=None, description="of the texts, as a code such as en")
    dataset: str | list[str] | None = Field(default=None, description="on the hub, that it was trained on")
    base_model: str | None = Field(default=None, description="on the hub, that it was made from")
    private: bool = Field(default=True, description="of a new repository; one that is public is refused")


class Recipe(_Table):
    """Every setting of all steps; a command uses the tables of its own steps."""

    data: DataRecipe = DataRecipe()
    teacher: TeacherRecipe = TeacherRecipe()
    student: StudentRecipe = StudentRecipe()
    export: ExportRecipe = ExportRecipe()
    search: SearchRecipe = SearchRecipe()
    pretrain: PretrainRecipe = PretrainRecipe()
    hub: HubRecipe = HubRecipe()


def parse_size(size: str) -> tuple[int, int | None]:
    """Return (layers, width or None) of a size such as "3x384" or "3".

    Raises:
        ConfigError: the text is not of that form, or names no layer.
    """
    match = _SIZE.fullmatch(size.strip().lower())
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise ConfigError(
            f"size {size!r} is not understood.",
            accepted={"size": "LAYERSxWIDTH, as 3x384, or LAYERS alone"},
            fix=option("size", "3x384"),
        )
    return int(match[1]), int(match[2]) if match[2] else None
