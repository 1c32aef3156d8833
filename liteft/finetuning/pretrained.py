"""Loading a pretrained encoder or decoder under a new head, in float32 or with its linear layers quantized."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
)
from transformers.utils import logging as transformers_logging

from liteft.encoder.modules import in_head
from liteft.errors import ModelError, first_line
from liteft.finetuning.allocation import large_buffers_returned
from liteft.finetuning.mean_pooled import MeanPooledClassifier, pooler_argument
from liteft.finetuning.quantized import BaseQuantization, loading_arguments, settle
from liteft.foreign import read_config_json
from liteft.foreign.weights import (
    ADAPTER,
    WEIGHTS,
    common_prefix,
    refuse_adapter_alone,
    refuse_quantized,
    require_weights,
    weight_names,
)
from liteft.run import check_weights

__all__ = ["load_filled", "load_pretrained", "model_class", "output_logits", "plain_names", "quiet_transformers"]


def load_pretrained(
    base: Path,
    config: PretrainedConfig,
    *,
    labels: int,
    pooling: str,
    extractive: bool = False,
    quantization: BaseQuantization | None = None,
) -> tuple[nn.Module, list[str]]:
    """Return a classifier whose encoder has the weights of a base, and the names of its weights that are random.

    Those are of its head, unless the base is a classifier with as many labels.

    Args:
        base: folder of the base.
        config: its configuration, with the labels in it.
        labels: number of labels.
        pooling: "mean" takes LiteFT's class for it, "none" transformers' class that judges every token.
        extractive: take transformers' class that finds answers to questions.
        quantization: quantize all linear layers outside the head while they are read.

    Raises:
        ModelError: the base cannot be loaded completely.
        MissingExtraError: bitsandbytes is not installed, and quantization needs it.
        RunError: the base is a run's model, and its weights are not those that run.json names.
    """
    mean = pooling == "mean"
    if mean:
        pooler: dict[str, Any] = pooler_argument(config)
        model, new = load_filled(base, AutoModel, config, quantization=quantization, **pooler)
    else:
        model, new = load_filled(
            base,
            model_class(pooling, extractive=extractive),
            config,
            quantization=quantization,
            ignore_mismatched_sizes=True,
        )
    if quantization is not None:
        settle(model)
    if not mean:
        return model, new
    classifier = MeanPooledClassifier(model, labels)
    return classifier, [name for name, _ in classifier.named_parameters() if in_head(name)]


def model_class(pooling: str, *, extractive: bool) -> Any:
    """Return transformers' class of classifiers with a pooling: of tokens for "none", or answers, else of texts."""
    if extractive:
        return AutoModelForQuestionAnswering
    return AutoModelForTokenClassification if pooling == "none" else AutoModelForSequenceClassification


def output_logits(output: Any) -> torch.Tensor:
    """Return the logits of a model's output; those of starts and ends of answers are one tensor, (..., 2)."""
    if "logits" in output:
        return cast(torch.Tensor, output.logits)
    return torch.stack([output.start_logits, output.end_logits], dim=-1)


def load_filled(
    base: Path,
    kind: Any,
    config: PretrainedConfig,
    *,
    may_lack: Callable[[str], bool] = in_head,
    quantization: BaseQuantization | None = None,
    **more: Any,
) -> tuple[nn.Module, list[str]]:
    """Return a model whose encoder has the weights of a base, and the names of its weights that are new.

    Args:
        base: folder of the base.
        kind: one of transformers' AutoModel classes.
        config: the configuration of the model.
        may_lack: says of a weight's name whether it may be new, as those of heads.
        quantization: quantize all linear layers outside the head while they are read.
        more: further arguments of from_pretrained.

    Raises:
        ModelError, MissingExtraError, RunError: as for load_pretrained.
    """
    if (base / ADAPTER).is_file():
        refuse_adapter_alone(base)
        raise ModelError(
            f"{base} contains an adapter, not all weights, so it cannot be a base.",
            fix="name the base that base.json in that folder names",
        )
    check_weights(base)
    require_weights(base)
    refuse_quantized(base, read_config_json(base))
    arguments: dict[str, Any] = {
        "config": config,
        "use_safetensors": True,
        "trust_remote_code": False,
        "dtype": torch.float32,
        "output_loading_info": True,
        **({} if quantization is None else loading_arguments(quantization)),
        **more,
    }
    quiet_transformers()
    try:
        returned = contextlib.nullcontext() if quantization is None else large_buffers_returned()
        with plain_names(base) as folder, returned:
            model, info = kind.from_pretrained(folder, **arguments)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{base} could not be loaded: {first_line(error)}.",
            accepted={"a base": "config.json, model.safetensors and tokenizer files of an encoder or GPT-2"},
            fix="load the model in transformers once and write it anew with save_pretrained",
        ) from None
    mismatched = [entry[0] if isinstance(entry, tuple) else entry for entry in info["mismatched_keys"]]
    new = sorted({*info["missing_keys"], *mismatched})
    lost = [name for name in new if not may_lack(name)]
    if lost:
        raise ModelError(
            f"{base} does not fill the encoder: {len(lost)} weights are missing, {lost[0]} first.",
            fix="use a folder written by save_pretrained",
        )
    return cast(nn.Module, model), new


@contextlib.contextmanager
def plain_names(folder: Path) -> Iterator[Path]:
    """Yield a model folder whose weights have the names that transformers gives them.

    That is the folder itself or, if DistributedDataParallel or torch.compile added a prefix to every name, a copy
    without the prefix, which is removed when the block ends.
    """
    found = require_weights(folder)
    prefix = common_prefix([name for path in found for name in weight_names(path)])
    if not prefix:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="liteft-") as spare:
        shutil.copyfile(folder / "config.json", Path(spare) / "config.json")
        weights = {name.removeprefix(prefix): tensor for path in found for name, tensor in load_file(path).items()}
        save_file(weights, Path(spare) / WEIGHTS, metadata={"format": "pt"})
        yield Path(spare)


def quiet_transformers() -> None:
    """Keep transformers' progress bars and remarks off stderr, which LiteFT uses for its own progress."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
