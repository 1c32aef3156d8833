"""The tables of a recipe: every key with its type, default, limits and meaning."""

from __future__ import annotations

import re
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel

from _reference.markdown import table
from liteft.cli import app
from liteft.recipes import Recipe, TrainingRecipe

__all__ = ["meanings", "recipe_keys"]

_LIMITS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "length >=", "max_length": "length <="}
_WORDS = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
}
_SAID = {  # what neither a description nor a flag says
    "batch_size": "texts of a step",
    "gradient_accumulation": "batches whose gradients make one step",
    "max_steps": "steps of the whole training; instead of `epochs`",
    "label_smoothing": "share of a label's probability that is spread over all labels",
    "class_weights": "balanced: rare labels weigh as much as frequent ones together",
    "optimizer": "what takes the steps; adamw8bit needs bitsandbytes",
    "schedule": "of the learning rate, after the warm-up",
    "weight_decay": "AdamW's, of matrices alone",
    "training_precision": "auto: bf16 where the processor or the GPU multiplies in it",
    "group_by_length": "batches of texts of similar lengths",
    "threads": "of the training; None: the cores that the process may use",
    "seed": "of everything that is random",
    "evaluations_per_epoch": "on validation, in each pass",
    "logits_loss": "between the logits of student and teacher",
    "hidden_weight": "of the loss between hidden states",
    "relation_weight": "of the loss between attention relations",
    "matching_learning_rate": "of the stage of `matching_epochs`",
    "quantized_learning_rate": "of the stage of `quantized_epochs`",
    "general_learning_rate": "of general distillation",
    "layers": "of the teacher, to start from",
    "augmentation": "more texts that only the teacher labels",
    "temperature": "what both models' logits are divided by while they are compared",
    "seeds": "trainings that differ in their seed alone",
    "from_scratch": "start from random weights, with `size` and `vocabulary_file`",
    "base": "what is fine-tuned: a folder, a hub name or minilm",
    "pooling": "how the vectors of a text's tokens become one",
    "max_tokens": "of a text; longer ones are cut, and counted",
    "validation_fraction": "of the training rows, where there is no validation split",
    "precision": "how weights are stored and multiplied",
    "unlabeled": "file or folder of texts without labels",
    "source": "a file, a folder or a hub name",
}


def recipe_keys() -> str:
    """Return a section for each table."""
    parts = [
        _section(
            "every training", TrainingRecipe, set(), "The keys that `[teacher]`, `[student]` and `[pretrain]` share."
        )
    ]
    for name, field in Recipe.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type) and issubclass(kind, BaseModel)
        shared = _shared(kind)
        said = " ".join((kind.__doc__ or "").replace("TrainingRecipe", "[every training](#every-training)").split())
        parts.append(_section(f"[{name}]", kind, shared, said.replace("``", "`")))
    return "\n\n".join(parts)


def _shared(kind: type[BaseModel]) -> set[str]:
    """Return the keys that a table has unchanged from TrainingRecipe."""
    if not issubclass(kind, TrainingRecipe):
        return set()
    return {key for key in TrainingRecipe.model_fields if key not in kind.__annotations__}


def _section(title: str, kind: type[BaseModel], without: set[str], said: str) -> str:
    rows = [
        (f"`{key}`", _type(field.annotation), _default(field), _limits(field.metadata), meaning)
        for (key, field), meaning in zip(kind.model_fields.items(), meanings(kind).values(), strict=True)
        if key not in without
    ]
    heading = f"## `{title}`" if title.startswith("[") else f"## {title.capitalize()}"
    return f"{heading}\n\n{said}\n\n" + table(("key", "type", "default", "limits", "meaning"), rows)


def meanings(kind: type[BaseModel]) -> dict[str, str]:
    """Return what each key of a table means: its description, else the help of the flag of its name."""
    helps: dict[str, str] = {}
    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        for flag in command.params:
            if flag.param_type_name == "option" and flag.help:
                helps.setdefault(flag.name, flag.help)
    return {
        key: field.description or _SAID.get(key) or _plain(helps.get(key, ""))
        for key, field in kind.model_fields.items()
    }


def _plain(text: str) -> str:
    return re.sub(r"\.$", "", text)


def _type(kind: Any) -> str:
    """Return a type in words."""
    if get_origin(kind) is Annotated:
        return _type(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_type(each) for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(kind))
    if get_origin(kind) in (list, dict, tuple):
        return f"list of {_type(get_args(kind)[0])}" if get_origin(kind) is list else str(kind)
    if hasattr(kind, "__value__"):
        return _type(kind.__value__)
    name = getattr(kind, "__name__", str(kind))
    return _WORDS.get(name, name)


def _default(field: Any) -> str:
    if field.default is None:
        return "None"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default!r}`" if isinstance(field.default, str | list) else f"`{field.default}`"


def _limits(metadata: list[Any]) -> str:
    found = []
    for each in metadata:
        found += [
            f"{sign} {getattr(each, name)}" for name, sign in _LIMITS.items() if getattr(each, name, None) is not None
        ]
    return ", ".join(found)
