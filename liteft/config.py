"""Recipes: every setting of a run, typed, read from TOML and written back.

A recipe has one table a step: ``[data]``, ``[teacher]``, ``[student]``, ``[export]`` and ``[search]``. Flags
override it. A key that does not exist is an error that names the closest one: a typo never passes in silence. The run
folder keeps the recipe as it was resolved, and a finished run is compared with the one asked for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from liteft import files
from liteft.errors import ConfigError, Hint, closest, leave_out, option
from liteft.field_words import field_words
from liteft.form import Calibration, EmbeddingBits, ExportForm, Precision, Scheme, Target, WeightBits, overridden
from liteft.tasks import TaskName

__all__ = [
    "DataRecipe",
    "ExportRecipe",
    "Recipe",
    "SearchRecipe",
    "StudentRecipe",
    "TeacherRecipe",
    "TrainingRecipe",
    "Until",
    "checked_stage",
    "differences",
    "make_recipe",
    "parse_size",
    "read_recipe",
    "refuse_budget",
    "require_budget",
    "require_student",
    "require_teacher",
    "resolve_recipe",
    "toml_value",
    "write_recipe",
]


_FROM_SCRATCH = Hint(
    'from_scratch=True, size="4x256", vocabulary_file="vocab.txt"',
    "--from-scratch --size 4x256 --vocabulary-file vocab.txt",
)
Until = Literal["teacher", "student", "artifact"]
_SIZE = re.compile(r"(\d+)(?:x(\d+))?")
_READ = Hint('liteft.read_recipe("FILE.toml")', "--recipe FILE.toml")


def _size_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Size = Annotated[str, BeforeValidator(_size_text)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, protected_namespaces=(), allow_inf_nan=False)


class DataRecipe(_Table):
    """Where labelled text comes from and how it is read; see ``liteft.load_dataset``."""

    source: str | None = None
    text: str | None = None
    pair: str | None = None
    label: str | list[str] | None = Field(default=None, description="several columns hold 0 or 1 each")
    label_names: list[str] | None = Field(default=None, description="what integers and vectors stand for")
    task: TaskName | None = None
    encoding: str | None = None
    delimiter: str | None = None
    label_separator: str | None = None
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    max_chars: int | None = Field(default=None, gt=0)
    drop_long: bool = False
    drop_empty: bool = False

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

    epochs: float = Field(default=3.0, gt=0, le=1000)
    max_steps: int | None = Field(default=None, gt=0)
    batch_size: int = Field(default=32, gt=0)
    gradient_accumulation: int = Field(default=1, gt=0)
    learning_rate: float = Field(default=5e-5, gt=0)
    optimizer: Literal["adamw", "adamw8bit", "sgd", "adafactor"] = "adamw"
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0.06, ge=0, lt=1, description="share of all steps")
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0, description="0 clips nothing")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"
    early_stopping: int = Field(default=0, ge=0, description="evaluations without a gain; 0 never stops early")
    evaluations_per_epoch: int = Field(default=1, gt=0)
    checkpoint_steps: int | None = Field(default=None, gt=0, description="None: with every evaluation")
    training_precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = Field(default=False, description="less memory, a second forward pass")
    group_by_length: bool = True
    threads: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**32)


class TeacherRecipe(TrainingRecipe):
    """Fine-tuning: the base, its pooling, its length; the rest is TrainingRecipe."""

    base: str | None = None
    pooling: Literal["auto", "cls", "mean"] = "auto"
    max_tokens: int = Field(default=128, ge=4)
    truncation_side: Literal["right", "left"] | None = Field(default=None, description="None: the base's own")
    dropout: float | None = Field(default=None, ge=0, lt=1, description="None: the base's own")
    head: Literal["random", "lda"] = Field(default="random", description="the head's first weights")
    rdrop_weight: float = Field(default=0.0, ge=0, description="R-Drop's alpha / 2; 0 passes each text once")
    from_scratch: bool = False
    size: _Size | None = Field(default=None, description="layers x width, for from_scratch")
    vocabulary_file: str | None = Field(default=None, description="vocab.txt or tokenizer.json, for from_scratch")
    base_quantization: Literal["8bit", "4bit"] | None = Field(default=None, description="of the base, under an adapter")
    lora_rank: int | None = Field(default=None, ge=0, description="None: 16 with base_quantization, else 0, no adapter")
    lora_alpha: float | None = Field(default=None, gt=0, description="None: twice the rank")
    lora_dropout: float | None = Field(default=None, ge=0, lt=1, description="None: 0.05")
    labels: list[str] | None = Field(default=None, description="of a classifier from elsewhere, in its logits' order")
    lora_targets: list[str] | None = Field(default=None, description="None: every linear layer, in known families")


class StudentRecipe(TrainingRecipe):
    """Distilling: the student's size and start, the losses' weights, the control."""

    epochs: float = Field(default=6.0, ge=0, le=1000, description="0 only before quantized epochs")
    size: _Size | None = Field(default=None, description="layers x width, as 3x384; the width may be left out")
    student: str | None = Field(default=None, description="folder of an encoder to start from instead")
    layers: list[int] | Literal["auto", "first", "spread", "ends"] = "auto"
    learning_rates: list[float] | None = Field(default=None, description="searched on validation")
    logits_loss: Literal["mse", "kl"] = "kl"
    temperature: float = Field(default=2.0, gt=0)
    hard_weight: float = Field(default=0.0, ge=0, le=1)
    hidden_weight: float = Field(default=0.0, ge=0)
    relation_weight: float = Field(default=0.0, ge=0)
    matching_epochs: float = Field(default=0.0, ge=0, description="a first stage with the matching losses alone")
    matching_learning_rate: float = Field(default=1e-4, gt=0)
    quantized_epochs: float = Field(default=0.0, ge=0, le=1000, description="a last stage that rounds as int8 does")
    quantized_learning_rate: float = Field(default=2e-5, gt=0)
    augmentation: Literal["none", "mask", "ngram"] = "none"
    vocabulary: int | None = Field(default=None, gt=0, description="tokens to keep at most; None keeps all")
    fill_vocabulary: bool = Field(default=False, description="fill it up to that number with unused tokens")
    unlabeled: str | None = None
    control: bool = False
    seeds: int = Field(default=1, gt=0)


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
    target: Target | None = Field(default=ExportForm.target, description="edge: flat, laid out for transformers.js")
    tolerance: float = Field(default=0.5, ge=0, le=100, description="points of accuracy that may be lost")
    vocabulary: int | None = Field(default=None, gt=0, description="tokens to keep at most; None keeps all")
    fill_vocabulary: bool = Field(default=False, description="fill it up to that number with unused tokens")

    @property
    def form(self) -> ExportForm:
        """The form that is asked for.

        Raises:
            ConfigError: settings that exclude each other.
        """
        return ExportForm(**{field.name: getattr(self, field.name) for field in fields(ExportForm)})

    @property
    def trimming(self) -> tuple[int | None, bool]:
        """Pieces of the vocabulary to keep at most, and whether unused ones fill it; (None, False) keeps all."""
        return self.vocabulary, self.vocabulary is not None and self.fill_vocabulary


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


class Recipe(_Table):
    """Every setting of ``liteft distill`` and ``liteft search``; a single step uses its own tables."""

    data: DataRecipe = DataRecipe()
    teacher: TeacherRecipe = TeacherRecipe()
    student: StudentRecipe = StudentRecipe()
    export: ExportRecipe = ExportRecipe()
    search: SearchRecipe = SearchRecipe()


def make_recipe(settings: Mapping[str, Any], *, origin: str = "the recipe") -> Recipe:
    """Return a recipe from nested mappings.

    Raises:
        ConfigError: an unknown key (with the closest one), a wrong type or a value out of range.
    """
    try:
        return Recipe.model_validate(dict(settings))
    except ValidationError as error:
        raise _explain(error, origin) from None


def read_recipe(path: str | Path, *, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """Return the recipe in a TOML file, with overrides (table -> key -> value) on top.

    Raises:
        ConfigError: no such file, no TOML, or settings that do not fit.
    """
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {files.os_reason(error)}.", fix=_READ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}.",
            accepted={"syntax": "https://toml.io"},
            fix="correct that line; the recipe.toml of any run shows how settings are written",
        ) from None
    for table, values in (overrides or {}).items():
        merged = settings.setdefault(table, {})
        if not isinstance(merged, dict):
            raise ConfigError(
                f"{path}: {table} must be a table, got {merged!r}.",
                accepted={"tables": _tables()},
                fix=f"write [{table}] on a line of its own, and its keys below it",
            )
        settings[table] = overridden(merged, values) if table == "export" else merged | dict(values)
    return make_recipe(settings, origin=str(path))


def require_teacher(recipe: TeacherRecipe) -> None:
    """Refuse settings of a teacher that no data and no base could mend, before either is read.

    Raises:
        ConfigError: neither or both of ``base`` and ``from_scratch``, the latter without size or vocabulary, the
            former with either, or R-Drop without dropout.
    """
    if recipe.from_scratch == (recipe.base is not None):
        raise ConfigError(
            "a teacher starts either from a base or from scratch.",
            accepted={"base": "a folder or hub name", "from_scratch": "with size and vocabulary_file, without a base"},
            fix=[option("base", "minilm"), _FROM_SCRATCH],
        )
    if recipe.from_scratch and (recipe.size is None or recipe.vocabulary_file is None):
        raise ConfigError("from_scratch needs a size and a vocabulary_file.", fix=_FROM_SCRATCH)
    if not recipe.from_scratch:
        for name in ("size", "vocabulary_file"):
            if getattr(recipe, name) is not None:
                raise ConfigError(
                    f"{name} applies to a teacher from scratch only, and this one has a base.",
                    accepted={name: "with from_scratch, and without a base"},
                    fix=leave_out(name),
                )
    elif recipe.size is not None:
        parse_size(recipe.size)
    if recipe.rdrop_weight and recipe.dropout == 0:
        raise ConfigError(
            "rdrop_weight compares two draws of dropout, and dropout = 0 draws nothing.",
            fix=option("teacher.rdrop_weight", 0),
        )


def require_student(recipe: StudentRecipe) -> None:
    """Refuse settings of a student that no data and no teacher could mend, before either is read.

    Raises:
        ConfigError: neither or both of ``size`` and ``student``, a first stage without anything to match, no epochs, or
            a learning rate that is none.
    """
    if (recipe.size is None) == (recipe.student is None):
        raise ConfigError(
            "a student has either a size or an encoder of its own.",
            accepted={"size": "LAYERSxWIDTH, cut out of the teacher", "student": "folder of an encoder"},
            fix=option("size", "3x384"),
        )
    if recipe.size is not None:
        parse_size(recipe.size)
    if recipe.matching_epochs and not (recipe.hidden_weight or recipe.relation_weight):
        raise ConfigError(
            f"matching_epochs={recipe.matching_epochs:g} has nothing to match.",
            accepted={"hidden_weight, relation_weight": "one of them above 0"},
            fix=[option("student.hidden_weight", 1), option("student.matching_epochs", 0)],
        )
    if not recipe.epochs and not recipe.quantized_epochs:
        raise ConfigError(
            "a student of no epochs learns nothing.",
            accepted={"epochs": "above 0, or 0 before quantized_epochs"},
            fix=option("epochs", 6),
        )
    if recipe.learning_rates and not recipe.epochs:
        raise ConfigError(
            "learning_rates are searched over epochs in float, and epochs is 0.",
            fix=[option("student.learning_rates", []), option("epochs", 6)],
        )
    wrong = [rate for rate in recipe.learning_rates or () if rate <= 0]
    if wrong or recipe.learning_rates == []:
        raise ConfigError(
            f"learning_rates={recipe.learning_rates} cannot be searched.",
            accepted={"learning_rates": "above 0, one or more"},
            fix=option("student.learning_rates", [1e-4, 2e-4]),
        )


def checked_stage(until: str) -> Until:
    """Return the stage to stop after.

    Raises:
        ConfigError: there is no such stage.
    """
    stages = get_args(Until)
    if until not in stages:
        near = closest(until, stages) if isinstance(until, str) else None
        raise ConfigError(
            f"there is no stage {until!r} to stop after.",
            accepted={"until": ", ".join(stages)},
            fix=option("until", near or stages[-1]),
        )
    return cast(Until, until)


def require_budget(recipe: SearchRecipe) -> None:
    """Refuse a search without a limit.

    Raises:
        ConfigError: so it is.
    """
    if not _limits(recipe):
        raise ConfigError(
            "a search needs a budget.",
            accepted={"budget": "max_mb, max_ms, max_drop: one of them at least"},
            fix=Hint("max_mb=9.5, max_ms=2, max_drop=1", "--max-mb 9.5 --max-ms 2 --max-drop 1"),
        )


def refuse_budget(recipe: SearchRecipe) -> None:
    """Refuse the limits of a search where one size is distilled: it would not keep to them.

    Raises:
        ConfigError: the recipe has such limits.
    """
    if limits := _limits(recipe):
        raise ConfigError(
            f"the recipe has a budget ([search] {', '.join(limits)}), and distill makes a student of one size.",
            fix=[
                Hint("liteft.search(...), for the best size within it", "liteft search, for the best size within it"),
                "leave out these keys of [search]",
            ],
        )


def _limits(recipe: SearchRecipe) -> list[str]:
    return [name for name in ("max_mb", "max_ms", "max_drop") if getattr(recipe, name) is not None]


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


def toml_value(text: str) -> Any:
    """Return a TOML value, or the text itself where it is none."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = parsed.get("value")
    return value if len(parsed) == 1 and isinstance(value, str | int | float | list) else text


def resolve_recipe(
    recipe: Recipe | None, table: Literal["teacher", "student", "export", "search"], settings: Mapping[str, Any]
) -> Recipe:
    """Return a recipe with ``settings`` laid over one of its tables. Raises ConfigError."""
    if recipe is not None and not isinstance(recipe, Recipe):
        raise ConfigError(
            f"recipe must be a Recipe, got a {type(recipe).__name__}.",
            accepted={"recipe": "what liteft.read_recipe(FILE) returns"},
            fix=f"recipe=liteft.read_recipe({str(recipe) if isinstance(recipe, str | Path) else 'FILE.toml'!r})",
        )
    tables = (recipe or Recipe()).model_dump()
    tables[table] = overridden(tables[table], settings) if table == "export" else tables[table] | dict(settings)
    return make_recipe(tables, origin="settings")


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as TOML, atomically; settings that are None are left out."""
    import tomli_w

    files.write_text(path, tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)))


def differences(old: BaseModel, new: BaseModel, *, prefix: str = "") -> dict[str, str]:
    """Return the settings that differ, as dotted name -> "old -> new"."""
    found: dict[str, str] = {}
    before, after = old.model_dump(), new.model_dump()
    for name in before | after:
        left, right = getattr(old, name, None), getattr(new, name, None)
        if isinstance(left, BaseModel) and isinstance(right, BaseModel):
            found |= differences(left, right, prefix=f"{prefix}{name}.")
        elif left != right:
            found[f"{prefix}{name}"] = f"{left!r} -> {right!r}"
    return found


def _tables() -> str:
    return ", ".join(Recipe.model_fields)


def _explain(error: ValidationError, origin: str) -> ConfigError:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    where = ".".join(location)
    if first["type"] != "extra_forbidden":
        given = repr(first.get("input"))[:80]
        expected = str(first.get("ctx", {}).get("expected", ""))
        near = closest(str(first.get("input")).casefold(), re.findall("'([^']+)'", expected))
        accepted = _accepted(location)
        words = accepted.get("accepted", "a table")
        if first["type"] == "literal_error" and "," in words and " or " not in words:
            words = f"one of {words}"
        if first["type"] == "finite_number":
            words = words.replace("a number", "a finite number")
        return ConfigError(
            f"{origin}: {'.'.join(location[:2])} must be {words}, got {given}.",
            accepted=accepted,
            fix=f"did you mean {near!r}?" if near else _default(location),
        )
    known = _known_keys(location[:-1])
    homes = [table for table, model in _models().items() if location[-1] in model.model_fields]
    later = "student" in homes and location[0] in ("export", "search")  # steps of a student, not of its teacher
    home = "student" if later else next(iter(homes), None)
    alike = next((key for key in known if key.endswith(f"_{location[-1]}")), None)
    near = closest(location[-1], known) if home is None else alike or f"{home}.{location[-1]}"
    return ConfigError(
        f"{origin}: unknown key {where!r}.",
        accepted={"keys": ", ".join(sorted(known))},
        fix=f"did you mean {near!r}?" if near else _taking(first.get("input"), where),
    )


def _default(location: list[str]) -> str | Hint:
    """Return a hint to give a setting its default, or to leave it out."""
    model = _models().get(location[0])
    field = model.model_fields.get(location[1]) if model and len(location) > 1 else None
    if field is None or field.default is None:
        return f"leave out {'.'.join(location[:2])}"
    return option(".".join(location[:2]), field.default)


def _taking(value: Any, unknown: str) -> str | Hint:
    """Return a hint to give a value to the key that takes it: "edge" to ``target``; else to leave out the key."""
    for table, model in _models().items():
        for key, field in model.model_fields.items():
            if isinstance(value, str) and value in field_words(field).split(", "):
                return option(f"{table}.{key}", value)
    return f"leave out {unknown}"


def _models() -> dict[str, type[BaseModel]]:
    return {name: type(table) for name, table in Recipe()}


def _known_keys(parents: list[str]) -> list[str]:
    model = Recipe if not parents else _models().get(parents[0], Recipe)
    return list(model.model_fields)


def _accepted(location: list[str]) -> dict[str, str]:
    model = _models().get(location[0])
    field = model.model_fields.get(location[1]) if model and len(location) > 1 else None
    if field is None:
        return {"tables": _tables()}
    return {"accepted": field_words(field)}
