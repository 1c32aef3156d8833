"""Keys of transformers' TrainingArguments that a recipe may set in its tables ``trainer``, and why others are refused.

A key is taken where a training with it, killed and resumed, still ends in the same bits, and where nothing that LiteFT
decides reads it. All keys of the installed version are in one of the lists below; a test sees to that. What is taken is
tried on a single weight, so that a misspelt schedule or a missing package is found before any data is read.
"""

from __future__ import annotations

import math
from enum import Enum
from types import NoneType
from typing import Any, get_args

import torch
from pydantic import TypeAdapter, ValidationError
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.trainer_utils import SchedulerType

from liteft import files
from liteft.errors import ConfigError, Hint, MissingExtraError, closest, first_line, leave_out, option
from liteft.finetuning.loggers import require_loggers
from liteft.recipes import TrainingRecipe

__all__ = ["OPTIMIZERS", "OWN", "REASONS", "TAKEN", "checked_trainer"]

TAKEN = (
    *("lr_scheduler_type", "lr_scheduler_kwargs", "optim", "optim_args", "weight_decay", "max_grad_norm"),
    *("adam_beta1", "adam_beta2", "adam_epsilon", "neftune_noise_alpha", "torch_empty_cache_steps"),
    *("logging_steps", "logging_first_step", "include_num_input_tokens_seen", "run_name", "project"),
    *("per_device_eval_batch_size", "eval_accumulation_steps"),
)
"""Keys that are handed on to Trainer."""

OPTIMIZERS = (
    *("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop", "adamw_bnb_8bit", "adamw_8bit"),
    *("ademamix", "ademamix_8bit", "lion_32bit", "lion_8bit", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"),
    *("paged_adamw_8bit", "paged_adamw_32bit", "paged_ademamix_8bit", "paged_ademamix_32bit"),
    *("paged_lion_8bit", "paged_lion_32bit"),
)
"""Optimizers that were killed and resumed in the tests, and ended in the same bits."""

SCHEDULES = tuple(each.value for each in SchedulerType if each.value not in ("reduce_lr_on_plateau", "greedy"))
"""Schedules that are a function of the step, so that a resumed training goes on with the same rate."""

_LEAST = {
    **dict.fromkeys(("per_device_eval_batch_size", "eval_accumulation_steps", "logging_steps"), "above 0"),
    **dict.fromkeys(("neftune_noise_alpha", "adam_epsilon"), "above 0"),
    **dict.fromkeys(("weight_decay", "max_grad_norm"), "0 or more"),
}
"""Bounds that Trainer itself would notice in the middle of a training, or never."""
_TOKENS_SEEN = ("all", "non_padding", "no")

_INSTEAD = {  # the recipe's key that is read by more than Trainer, or sets another key of Trainer -> Trainer's keys
    "batch_size": ("per_device_train_batch_size",),
    "gradient_accumulation": ("gradient_accumulation_steps",),
    "epochs": ("num_train_epochs",),
    "max_steps": ("max_steps",),
    "learning_rate": ("learning_rate",),
    "warmup": ("warmup_steps", "warmup_ratio"),
    "label_smoothing": ("label_smoothing_factor",),
    "training_precision": ("bf16", "fp16", "bf16_full_eval", "fp16_full_eval"),
    "gradient_checkpointing": (
        *("gradient_checkpointing", "gradient_checkpointing_kwargs"),
        *("activation_checkpointing", "activation_checkpointing_kwargs"),
    ),
    "evaluations_per_epoch": ("eval_strategy", "eval_steps", "eval_delay"),
    "checkpoint_steps": ("save_strategy", "save_steps"),
    "choose_by": ("load_best_model_at_end", "metric_for_best_model", "greater_is_better"),
    "seed": ("seed", "data_seed"),
    "group_by_length": ("group_by_length", "train_sampling_strategy", "length_column_name"),
    "report_to": ("report_to",),
}
OWN = {theirs: ours for ours, keys in _INSTEAD.items() for theirs in keys}
"""Key of TrainingArguments -> the recipe's own key for it."""

_WHY = {
    "a run keeps its checkpoints in its own folder, and resumes from them by itself": (
        *("output_dir", "resume_from_checkpoint", "save_only_model", "save_total_limit", "save_on_each_node"),
        *("enable_jit_checkpoint", "restore_callback_states_from_checkpoint"),
    ),
    "the order of the rows is a function of seed and epoch, which is what a resumed run repeats": (
        *("ignore_data_skip", "dataloader_drop_last", "dataloader_num_workers", "dataloader_persistent_workers"),
        *("dataloader_prefetch_factor", "dataloader_multiprocessing_context", "dataloader_in_order"),
        *("dataloader_pin_memory", "auto_find_batch_size"),
    ),
    "batches are tokenized rows that LiteFT makes, with the columns that its losses read": (
        *("remove_unused_columns", "label_names"),
    ),
    "the weights that are kept are chosen by metrics of the whole validation split": (
        *("prediction_loss_only", "eval_on_start", "eval_do_concat_batches", "eval_use_gather_object"),
        *("batch_eval_metrics", "include_for_metrics"),
    ),
    "a compiled or replaced module may compute in another order after a resume, and cannot be exported": (
        *("torch_compile", "torch_compile_backend", "torch_compile_mode", "use_liger_kernel", "liger_kernel_config"),
        *("use_cache",),
    ),
    "LiteFT adds up the gradients of several processes itself, in one order, and stores whole weights": (
        *("ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"),
        *("ddp_backend", "ddp_timeout", "fsdp", "fsdp_config", "deepspeed", "accelerator_config"),
        *("parallelism_config", "average_tokens_across_devices", "local_rank"),
    ),
    "a diverging loss is noticed in the log, and progress goes to the function that is given as progress": (
        *("logging_strategy", "logging_nan_inf_filter", "log_level", "log_level_replica", "log_on_each_node"),
        *("disable_tqdm", "debug", "skip_memory_metrics"),
    ),
    "a training sends nothing to a hub": (
        *("push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push"),
        *("hub_revision", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
    ),
    "it is a switch of the whole process, or a step of Trainer's own scripts": (
        *("full_determinism", "tf32", "use_cpu", "do_train", "do_eval", "do_predict"),
    ),
    "it belongs to optimizers that were not seen to resume in the same bits": ("optim_target_modules",),
}
REASONS = {key: reason for reason, keys in _WHY.items() for key in keys}
"""Key of TrainingArguments -> why it cannot be set."""
_SAME = {"optim": "optimizer", "lr_scheduler_type": "schedule"} | {
    name: name for name in ("weight_decay", "max_grad_norm")
}  # taken, and the recipe has a key that only Trainer reads


def checked_trainer(recipe: TrainingRecipe, *, table: str) -> None:
    """Refuse keys of the table ``trainer`` that cannot be set, and missing loggers, before data and models are read.

    Args:
        recipe: of one training.
        table: that the recipe is, for the errors: "teacher", "student" or "pretrain".

    Raises:
        ConfigError: an unknown key, a value of the wrong type, a key that LiteFT sets itself (with the reason), or one
            that is set by the recipe's own key too.
        MissingExtraError: the optimizer or a logger needs a package that is not installed.
    """
    require_loggers(recipe.report_to)
    for key, value in recipe.trainer.items():
        name = f"{table}.trainer.{key}"
        _require_known(key, name, table)
        _require_type(key, value, name)
        own = _SAME.get(key)
        if own is not None and getattr(recipe, own) != type(recipe).model_fields[own].default:
            raise ConfigError(
                f"{name} and {table}.{own} set the same thing: {value!r} and {getattr(recipe, own)!r}.",
                fix=[leave_out(f"{table}.{own}"), leave_out(name)],
            )
    if recipe.trainer:
        _try(recipe.trainer, table)


def _require_known(key: str, name: str, table: str) -> None:
    if key in TAKEN and key in TrainingArguments.__dataclass_fields__:
        return
    if key in OWN:
        ours = OWN[key]
        raise ConfigError(
            f"{name} cannot be set: LiteFT has a key of its own for it, {table}.{ours}.",
            accepted={f"{table}.{ours}": TrainingRecipe.model_fields[ours].description or "in place of it"},
            fix=Hint(f"{ours}=VALUE", f"--set {table}.{ours}=VALUE"),
        )
    if key in TrainingArguments.__dataclass_fields__:
        reason = REASONS.get(key, "it was not seen to resume in the same bits")
        raise ConfigError(f"{name} cannot be set: {reason}.", accepted={"keys": ", ".join(TAKEN)}, fix=leave_out(name))
    near = closest(key, (*TAKEN, *OWN))
    raise ConfigError(
        f"{name}: TrainingArguments has no field {key!r}.",
        accepted={"keys": ", ".join(TAKEN)},
        fix=f"did you mean {near!r}?" if near else leave_out(name),
    )


def _require_type(key: str, value: Any, name: str) -> None:
    """Refuse a value that the field's type or the lists of this module do not have."""
    known: tuple[str, ...] | None = {"optim": OPTIMIZERS, "lr_scheduler_type": SCHEDULES}.get(key)
    if known is not None and value not in known:
        near = closest(str(value), known)
        raise ConfigError(
            f"{name} is {value!r}, which is not among those that resume in the same bits.",
            accepted={name: ", ".join(known)},
            fix=f"did you mean {near!r}?" if near else leave_out(name),
        )
    field = TrainingArguments.__dataclass_fields__[key]
    plain: Any = dict if key == "lr_scheduler_kwargs" else field.type
    try:
        TypeAdapter(plain).validate_python(value, strict=known is None)
    except ValidationError:
        raise ConfigError(
            f"{name} must be {_words(plain)}, got {value!r}.", accepted={name: _words(plain)}, fix=leave_out(name)
        ) from None
    bound = _LEAST.get(key)
    low = bound is not None and value is not None and (value < 0 or (value == 0 and bound == "above 0"))
    if low or not _is_stored(value) or (key == "include_num_input_tokens_seen" and _unknown_count(value)):
        words = ", ".join(_TOKENS_SEEN) if key == "include_num_input_tokens_seen" else f"finite, {bound or 'not None'}"
        raise ConfigError(f"{name} is {value!r}.", accepted={name: words}, fix=leave_out(name))


def _unknown_count(value: Any) -> bool:
    return isinstance(value, str) and value not in _TOKENS_SEEN


def _is_stored(value: Any) -> bool:
    """Return whether a recipe's file can hold a value: TOML has no null, and nothing goes on from an infinite one."""
    if isinstance(value, dict | list):
        return all(_is_stored(each) for each in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def _words(kind: Any) -> str:
    """Return the accepted types in words."""
    names = {float: "a number", int: "a whole number", str: "a string", bool: "true or false", dict: "a table"}
    kinds = [each for each in get_args(kind) or (kind,) if each is not NoneType]
    return " or ".join(names.get(each, "a string" if issubclass(each, Enum) else each.__name__) for each in kinds)


def _try(keys: dict[str, Any], table: str) -> None:
    """Make the optimizer and the schedule for a single weight."""
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    with files.temporary_folder() as folder:
        try:
            arguments = TrainingArguments(output_dir=str(folder), report_to=[], **keys)
            made, settings = Trainer.get_optimizer_cls_and_kwargs(arguments)
            if arguments.optim_args is not None:
                arguments.optim_args = None
                _require_read(settings, Trainer.get_optimizer_cls_and_kwargs(arguments)[1], keys["optim_args"], table)
            optimizer = made([weight], **settings)
            kind, own = arguments.lr_scheduler_type, arguments.lr_scheduler_kwargs or {}
            get_scheduler(kind, optimizer, num_warmup_steps=1, num_training_steps=10, scheduler_specific_kwargs=own)
        except ImportError as error:
            raise MissingExtraError(
                f"the optimizer {keys.get('optim')} needs a package that is not installed: {first_line(error)}.",
                fix=["pip install bitsandbytes", option(f"{table}.trainer.optim", "adamw_torch")],
            ) from None
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ConfigError(
                f"{table}.trainer cannot be used: {first_line(error)}.",
                accepted={"what was set": ", ".join(f"{key}={value!r}" for key, value in keys.items())},
                fix=leave_out(f"{table}.trainer.{next(iter(keys))}"),
            ) from None


def _require_read(settings: dict[str, Any], without: dict[str, Any], given: str, table: str) -> None:
    if settings == without:
        raise ConfigError(
            f"{table}.trainer.optim_args is {given!r}, and the optimizer reads none of that.",
            accepted={"optim_args": "name=value, of the optimizer that trainer.optim names"},
            fix=leave_out(f"{table}.trainer.optim_args"),
        )
