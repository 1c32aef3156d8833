"""What a manifest holds: every key with its type and its limits, and the names of the files beside it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from liteft.answer_spans import AnswerForm
from liteft.errors import ConfigError
from liteft.foreign.folders import MANIFEST
from liteft.form import ExportForm, Precision
from liteft.tasks import Task, TaskName, task_named

__all__ = [
    "FORMAT",
    "MANIFEST",
    "MODEL",
    "MOST_GRAPH",
    "TOKENIZER",
    "Fallback",
    "FileEntry",
    "Manifest",
    "graph_file",
    "required_files",
]

FORMAT: Final = 2  # 1 was a development version's, with other keys for the form
MODEL: Final = "model.onnx"
TOKENIZER = "tokenizer.json"

# Where transformers.js looks for the graph by its precision: under dtype "fp32", "fp16" and "q8".
_EDGE_GRAPHS: dict[Precision, str] = {
    "fp32": "onnx/model.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_quantized.onnx",
}

MOST_GRAPH = (1 << 31) - 1  # bytes: protobuf reads no more
_MOST_FILES = 1000
_MOST_TOKENS = 1 << 20
_MOST_SCORE = 1e6

Fallback = Literal["weight_only", "float", "8 bits"]
"""Of a matmul of an int8 graph: int8 weights multiplied in float, or float weights; of 4-bit words: 8 bits."""


def graph_file(form: ExportForm) -> str:
    """Return the path of the graph in the folder of an artifact of this form."""
    return _EDGE_GRAPHS[form.precision] if form.target == "edge" else MODEL


def required_files(form: ExportForm) -> tuple[str, ...]:
    """Return the files that an artifact of this form has beside its manifest, the graph first."""
    return (graph_file(form), TOKENIZER, "config.json", "tokenizer_config.json", "card.md")


def _file_name(name: str) -> str:
    """Return the name of a file in the folder if it is valid on every system. Raises ValueError if it is not."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts) or len(parts) > 8:
        raise ValueError(f"{name[:80]!r} is not the name of a file in the folder")
    if any(character in name for character in ("\0", "\\", ":")):
        raise ValueError(f"{name[:80]!r} is not a file name that every system accepts")
    return name


def _different(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("one of them occurs twice")
    return values


def _checked_form(value: Any, read: ValidatorFunctionWrapHandler) -> ExportForm:
    """Return the form that a manifest contains. Raises ValueError if its settings exclude each other."""
    try:
        return cast("ExportForm", read(value))
    except ConfigError as error:
        raise ValueError(error.message) from None


StoredForm = Annotated[ExportForm, WrapValidator(_checked_form)]
FileName = Annotated[str, Field(max_length=1024), AfterValidator(_file_name)]
Label = Annotated[str, Field(max_length=10_000)]
Names = Annotated[tuple[str, ...], AfterValidator(_different)]


class FileEntry(BaseModel):
    """Size in bytes and SHA-256 (hexadecimal) of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    bytes: int = Field(ge=0, le=MOST_GRAPH)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


def _stored_task(_: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Read a task from its name, and write it as its name."""
    return core_schema.no_info_after_validator_function(
        task_named, handler(TaskName), serialization=core_schema.to_string_ser_schema()
    )


StoredTask = Annotated[Task, GetPydanticSchema(_stored_task)]


def _checked_answers(form: AnswerForm) -> AnswerForm:
    """Return how questions are answered. Raises ValueError if a number is out of range."""
    counts = {"max_answer": form.max_answer, "stride": form.stride, "max_question": form.max_question}
    for name, count in counts.items():
        if not (name != "stride") <= count <= _MOST_TOKENS:
            raise ValueError(f"{name} is {count}")
    if form.no_answer is not None and not abs(form.no_answer) < _MOST_SCORE:
        raise ValueError(f"no_answer is {form.no_answer}")
    return form


StoredAnswers = Annotated[AnswerForm, AfterValidator(_checked_answers)]


class Manifest(BaseModel):
    """What an artifact is: enough to turn text into labelled scores, and to say where it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = Field(default=FORMAT, ge=FORMAT, le=FORMAT)
    task: StoredTask
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=100_000), AfterValidator(_different)]
    activation: Literal["softmax", "sigmoid", "none"]
    pooling: Literal["cls", "mean", "last", "none"]  # none: every token has logits of its own
    paired: bool
    marked: bool = False  # labels are about one word of each text, which the type ids mark
    answers: StoredAnswers | None = None  # of models that answer questions from contexts: how they read and decide
    max_tokens: int = Field(gt=0, le=1 << 20)
    truncation_side: Literal["right", "left"]
    pad_id: int = Field(ge=0, lt=1 << 31)
    positions: int | None = Field(
        default=None, gt=0
    )  # rows of the position table: the most tokens of a text; None without a table
    embedding_rows: int | None = Field(
        default=None, gt=0
    )  # rows of the word embeddings; only if the tokenizer has ids beyond them
    inputs: Names
    token_types: int = Field(default=0, ge=0, lt=1 << 31)  # 0 if the graph takes no token types
    family: str
    form: StoredForm  # as it was requested
    fallbacks: dict[str, Fallback] = {}  # what ``form.mixed`` stored or computed otherwise, by the name of the weights
    calibration: dict[str, Any] | None = None  # of static int8: texts, split, percentile
    graph: Literal["built", "traced"]
    files: dict[FileName, FileEntry] = Field(max_length=_MOST_FILES)
    metrics: dict[str, Any] = {}  # of the model in torch, by split
    measured: dict[str, dict[str, Any]] = {}  # of this artifact, by split and backend
    floors: dict[str, dict[str, Any]] = {}  # of simple models with the same labels, by split and name
    folds: dict[
        str, Any
    ] = {}  # number of folds; metrics over all texts: of students, of what is beside them, of floors
    verification: dict[str, Any] = {}
    recorded: dict[str, list[Any]] = {}  # logits of LiteFT's own texts, by backend: a server compares its own with them
    vocabulary: dict[str, Any] | None = (
        None  # if it was trimmed: its size, and the share of tokens that are read as before
    )
    teacher: dict[str, Any] | None = None
    training: dict[str, Any] = {}  # what a student started from, the number of texts, and a threshold that became 0.5
    privacy: dict[str, Any] | None = None  # what is promised of each training text, where the model has an epsilon
    data: dict[str, Any] | None = None
    versions: dict[str, str] = {}

    @property
    def graph_file(self) -> str:
        """The graph's path in the folder."""
        return graph_file(self.form)

    @property
    def per_token(self) -> bool:
        """True if the graph gives a row of logits for every token, not for every text."""
        return self.pooling == "none"

    @property
    def one_node(self) -> bool:
        """True if the graph is a single node whose definition is a function in the file."""
        return self.graph == "built" and not self.form.flat

    @model_validator(mode="after")
    def _check_labels(self) -> Manifest:
        if len(self.labels) < self.task.fewest_labels:
            raise ValueError(f"a {self.task} task needs two or more labels; one alone would always be chosen")
        self.__dict__["task"] = self.task.bound(self.labels).activated(
            self.activation
        )  # the model is frozen for others
        if self.task.extractive != (self.answers is not None):
            raise ValueError(f"a {self.task} task {'needs' if self.task.extractive else 'has no'} answers")
        if self.task.extractive and not (self.paired and self.per_token and len(self.labels) == 2):
            raise ValueError("answers take pairs of texts, logits of tokens and two labels")
        return self

    @model_validator(mode="after")
    def _check_token_types(self) -> Manifest:
        if ("token_type_ids" in self.inputs) != (self.token_types > 0):
            raise ValueError(f"its inputs are {', '.join(self.inputs)}, and token_types is {self.token_types}")
        return self
