"""The weight files of a model folder: safetensors in one file or in parts, or what is there instead.

Weights in other formats are never loaded: a pickle can run code.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from liteft import files
from liteft.errors import ModelError

__all__ = [
    "ADAPTER",
    "BASE",
    "INDEX",
    "UNUSED_WEIGHTS",
    "WEIGHTS",
    "adapter_alone",
    "common_prefix",
    "refuse_adapter_alone",
    "refuse_quantized",
    "require_weights",
    "weight_names",
    "weights_files",
    "weights_sha256",
]

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
ADAPTER = "adapter_model.safetensors"
BASE = "base.json"
UNUSED_WEIGHTS = "liteft_unused"
"""Key in the metadata of a file of weights: a JSON list of the tensors that no classifier computes with."""

_PARTS = "model-*-of-*.safetensors"
_OTHERS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack", "*.onnx", "*.gguf")
_PREFIXES = ("module.", "_orig_mod.")
_MOST_HEADER = 2**27


def weights_files(folder: Path) -> list[Path]:
    """Return the weight files of a model folder: one, or the parts in order, or none."""
    whole = folder / WEIGHTS
    return [whole] if whole.is_file() else sorted(folder.glob(_PARTS))


def weights_sha256(paths: list[Path]) -> str | None:
    """Return the SHA-256 of the weights; for several files, of the list of their hashes; None without files."""
    hashes = [files.sha256_once(path) for path in paths]
    if len(hashes) > 1:
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return hashes[0] if hashes else None


def require_weights(folder: Path) -> list[Path]:
    """Return the weight files, after checking that each exists and begins like a safetensors file.

    Raises:
        ModelError: there are none, or something else is there instead: only an adapter, pickled weights, an incomplete
            set of parts, a git-lfs pointer.
    """
    found = weights_files(folder)
    if not found:
        raise _no_weights(folder)
    if found[0].name != WEIGHTS:
        _check_parts(folder, found)
    for path in found:
        if _is_lfs_pointer(path):
            raise ModelError(
                f"{path} is a git-lfs pointer, not the weights themselves.",
                accepted={WEIGHTS: "the file behind the pointer"},
                fix=["git lfs pull, in the repository that it came from", "download the file itself"],
            )
    return found


def _is_lfs_pointer(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return files.is_lfs_pointer(file.read(64))
    except OSError:
        return False


def refuse_quantized(folder: Path, config: dict[str, Any]) -> None:
    """Refuse weights that were stored quantized, which are unusable without the library that made them.

    Raises:
        ModelError: config.json has a quantization_config.
    """
    told = config.get("quantization_config")
    if not told:
        return
    method = told.get("quant_method", "unknown") if isinstance(told, dict) else "unknown"
    bits = "" if not isinstance(told, dict) else " in 4-bit form" if told.get("load_in_4bit") else ""
    bits = " in 8-bit form" if not bits and isinstance(told, dict) and told.get("load_in_8bit") else bits
    raise ModelError(
        f"{folder} holds weights{bits} that were quantized with {method}.",
        accepted={"weights": "float32, float16 or bfloat16; int8 comes with the export"},
        fix=[
            "the original folder, before quantization",
            f"in Python: model = {_loaded(folder)}; model.dequantize().save_pretrained(NEW, "
            "save_original_format=False); "
            f"AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained(NEW)",
        ],
    )


def weight_names(path: Path) -> list[str]:
    """Return the names of the tensors in a safetensors file, from its header only; [] if it cannot be parsed."""
    return list(_header(path))


def _header(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            head = json.loads(file.read(size)) if size < _MOST_HEADER else {}
        return {name: entry for name, entry in head.items() if name != "__metadata__"}
    except (OSError, ValueError, AttributeError, struct.error):
        return {}


def common_prefix(names: list[str]) -> str:
    """Return the prefix of DistributedDataParallel and torch.compile: "module.", "_orig_mod." or both."""
    prefix = ""
    while names:
        more = next((each for each in _PREFIXES if all(name.startswith(prefix + each) for name in names)), None)
        if more is None:
            break
        prefix += more
    return prefix


def _loaded(folder: Path | str) -> str:
    return f"AutoModelForSequenceClassification.from_pretrained({str(folder)!r})"


def _no_weights(folder: Path) -> ModelError:
    if (folder / ADAPTER).is_file() or (folder / "adapter_config.json").is_file():
        return adapter_alone(folder)
    others = sorted({path.name for pattern in _OTHERS for path in folder.glob(pattern)} - {"training_args.bin"})
    if (folder / "manifest.json").is_file():
        return ModelError(
            f"{folder} is an artifact: it contains a graph, not weights that can be trained.",
            accepted={"weights": f"{WEIGHTS}, or its parts with {INDEX}"},
            fix="give the run or model folder that it was made from",
        )
    if others:
        return ModelError(
            f"{folder} has no {WEIGHTS}; weights in other formats are never loaded, and it contains {others[0]}.",
            accepted={"weights": f"{WEIGHTS}, or its parts with {INDEX}"},
            fix=f"convert them if you trust them: in Python, {_loaded(folder)}.save_pretrained({str(folder)!r})",
        )
    return ModelError(
        f"{folder} has no weights: there is no {WEIGHTS}.",
        accepted={"weights": f"{WEIGHTS}, or its parts with {INDEX}"},
        fix="copy the whole folder again",
    )


def refuse_adapter_alone(folder: Path) -> None:
    """Refuse an adapter that peft wrote without LiteFT: for LiteFT's own, config.json and base.json say more.

    Raises:
        ModelError: the folder contains only an adapter; the message shows the code that merges it into its base.
    """
    try:
        own = "liteft" in files.read_json(folder / "config.json")
    except (OSError, ValueError, TypeError):
        own = False
    if not own and not (folder / BASE).is_file():
        raise adapter_alone(folder)


def adapter_alone(folder: Path) -> ModelError:
    """Return the error for an adapter that peft wrote."""
    base, labels = "BASE", _head_rows(folder)
    try:
        told = files.read_json(folder / "adapter_config.json")
        base = str(told.get("base_model_name_or_path") or base)
    except (OSError, ValueError, AttributeError):
        pass
    return ModelError(
        f"{folder} contains a peft adapter, not the model that it belongs to.",
        accepted={"its base": base, "weights": f"{WEIGHTS}, of the model with the adapter merged into it"},
        fix=[
            f"merge it, in Python: model = AutoModelForSequenceClassification.from_pretrained({base!r}, "
            f"num_labels={labels}); PeftModel.from_pretrained(model, {str(folder)!r}).merge_and_unload()"
            ".save_pretrained(NEW)",
            f"and its tokenizer: AutoTokenizer.from_pretrained({base!r}).save_pretrained(NEW)",
        ],
    )


def _head_rows(folder: Path) -> str:
    """Return the number of labels of the head that peft saved beside an adapter, or "N" if there is none."""
    for name, entry in _header(folder / ADAPTER).items():
        if name.endswith(("classifier.weight", "score.weight", "out_proj.weight")) and ".lora_" not in name:
            return str(entry["shape"][0])
    return "N"


def _check_parts(folder: Path, found: list[Path]) -> None:
    try:
        named = set(files.read_json(folder / INDEX)["weight_map"].values())
    except FileNotFoundError:
        named = None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{folder / INDEX} cannot be used: {error!r}.", fix="copy the whole folder again") from None
    if named is None:
        raise ModelError(
            f"{folder} has weights in several files, but not {INDEX}, which says where each weight is.",
            fix="copy the whole folder again",
        )
    missing = sorted(str(name) for name in named if name not in {path.name for path in found})
    if missing:
        raise ModelError(
            f"{folder} lacks {len(missing)} of the {len(named)} parts of its weights, {missing[0]} first.",
            fix="copy the whole folder again",
        )
