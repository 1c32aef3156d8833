"""A trained adapter on disk: peft's own files, and base.json, which names the base and its hash.

Only what was trained is stored: the adapter and the head. A merged copy would be as large as the base, and merging
into 8 or 4 bits would round what was learned. Loading reads the base again and refuses it if its weights differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from liteft import files
from liteft.encoder.modules import HEAD_PATTERN, in_head
from liteft.errors import ModelError, first_line
from liteft.finetuning.adapters import Adapter, adapter_of, parameter_count
from liteft.finetuning.bases import resolve_base, weights_hash
from liteft.finetuning.quantized import BaseQuantization, require
from liteft.foreign.weights import refuse_adapter_alone
from liteft.run import ADAPTER, BASE, read_base

__all__ = ["find_adapter_base", "load_adapter_weights", "read_adapter", "save_adapter", "save_adapter_weights"]

_CONFIG = "adapter_config.json"


def save_adapter(model: nn.Module, folder: Path) -> None:
    """Write the adapter and the head into a model folder as peft does, and base.json.

    Args:
        model: a classifier with an adapter.
        folder: an existing folder, which gets config.json from elsewhere.
    """
    from peft import LoraConfig

    adapter = cast(Adapter, adapter_of(model))
    heads = {name.rsplit(".", 1)[0] for name, _ in model.named_parameters() if in_head(name)}
    config = LoraConfig(
        task_type="SEQ_CLS",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=sorted(adapter.targets or ()),
        exclude_modules=HEAD_PATTERN,
        modules_to_save=sorted(heads),
        base_model_name_or_path=adapter.base,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    save_adapter_weights(model, folder)
    files.write_json(
        folder / BASE,
        {
            "base": adapter.base,
            "sha256": adapter.base_sha256,
            "bytes": adapter.base_bytes,
            "quantization": adapter.quantization and adapter.quantization.bits,
            "compute": "fp32" if adapter.quantization is None else adapter.quantization.compute,
            "parameters": parameter_count(model),
        },
    )


def save_adapter_weights(model: nn.Module, folder: Path) -> None:
    """Write the trained weights of a classifier with an adapter, under peft's names: float32, safetensors."""
    trained = {
        _stored_name(name): parameter.detach().contiguous().cpu()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(trained, folder / ADAPTER, metadata={"format": "pt"})


def load_adapter_weights(model: nn.Module, folder: Path) -> None:
    """Read what `save_adapter_weights` wrote, in place.

    Raises:
        ModelError: the file is broken, or belongs to another adapter.
    """
    own = {_stored_name(name): value for name, value in model.named_parameters() if value.requires_grad}
    try:
        stored = load_file(folder / ADAPTER)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{folder / ADAPTER} cannot be read: {first_line(error)}.", fix="copy the folder again, whole"
        ) from error
    wrong = sorted(
        name
        for name in own.keys() | stored.keys()
        if name not in own or name not in stored or own[name].shape != stored[name].shape
    )
    if wrong:
        raise ModelError(
            f"{folder / ADAPTER} does not fit {_CONFIG}: {len(wrong)} weights differ, {wrong[0]} first.",
            fix="copy the folder again, whole",
        )
    for name, parameter in own.items():
        parameter.data.copy_(stored[name])


def read_adapter(folder: Path) -> Adapter | None:
    """Return the adapter of a model folder, without weights; None if the folder has the full weights.

    Raises:
        ModelError: its files do not fit.
        MissingExtraError: peft or bitsandbytes is not installed.
    """
    if not (folder / ADAPTER).is_file():
        return None
    refuse_adapter_alone(folder)
    base = read_base(folder)
    bits = base["quantization"]
    require("peft", what=f"{folder}, which holds an adapter,")
    if bits is not None:
        require("bitsandbytes", what=f"{folder}, an adapter on a base in {bits},")
    try:
        shape = files.read_json(folder / _CONFIG)
        return Adapter(
            base=base["base"],
            base_sha256=base["sha256"],
            base_bytes=base["bytes"],
            quantization=bits and BaseQuantization(bits, base["compute"]),
            rank=int(shape["r"]),
            alpha=float(shape["lora_alpha"]),
            dropout=float(shape["lora_dropout"]),
            targets=tuple(shape["target_modules"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder / _CONFIG} cannot be used: {error!r}.", fix="copy the folder again, whole"
        ) from error


def find_adapter_base(adapter: Adapter, folder: Path) -> Path:
    """Return the folder of the base that an adapter was trained on.

    Args:
        adapter: read from ``folder``.
        folder: for the error's text.

    Raises:
        ModelError: the base does not exist, or its weights differ.
    """
    where = {"named in": folder / BASE, "sha256 of its weights": adapter.base_sha256}
    try:
        found = resolve_base(adapter.base)
    except ModelError as error:
        raise ModelError(
            f"{folder} is an adapter on the base {adapter.base}, which is not there: {error.message}",
            accepted=where,
            fix=[f"put the base back, or write its new place into {folder / BASE}"],
        ) from None
    seen = weights_hash(found)
    if seen != adapter.base_sha256:
        raise ModelError(
            f"{folder} is an adapter on other weights than {found} holds now.",
            accepted={**where, "sha256 found": seen},
            fix="put the base back that it was trained on",
        )
    return found


def _stored_name(name: str) -> str:
    return "base_model.model." + name.replace(".default.", ".")
