"""A model folder's tokenizer, read as transformers reads it and written so that it reads the same again.

A tokenizer's behaviour is spread over several files: tokenizer.json, tokenizer_config.json (casing, accents, prefix
space, the side and length of truncation), added tokens besides, or only a vocabulary. transformers' AutoTokenizer
combines them; the result is one tokenizer.json, which the tokenizers library reads on its own. Code in the folder is
never run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, models, processors
from transformers import AutoTokenizer, PretrainedConfig
from transformers.utils import logging as transformers_logging

from liteft import files
from liteft.errors import REPORT, ModelError
from liteft.tokenization import TextTokenizer, portable_tokenizer_json

__all__ = ["FolderTokenizer", "Side", "load_auto_tokenizer", "read_tokenizer", "write_tokenizer"]

Side = Literal["right", "left"]

_GENERIC = "PreTrainedTokenizerFast"  # the class that takes tokenizer.json as it is
_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "tekken.json")
_NO_LIMIT = 1e20  # transformers writes 1e30 if a tokenizer states no length
# Paths, and what tokenizer.json already contains.
_LEFT_OUT = frozenset(
    {
        *("name_or_path", "special_tokens_map_file", "tokenizer_file", "vocab_file", "merges_file"),
        *("local_files_only", "is_local", "auto_map", "init_inputs", "added_tokens_decoder"),
    }
)


@dataclass(frozen=True, slots=True)
class FolderTokenizer:
    """What a model folder's tokenizer does.

    Attributes:
        json_text: an equivalent tokenizer.json, without padding and truncation.
        settings: the tokenizer_config.json that belongs to it.
        model_max_length: tokens that it truncates to, or None if it states no length.
        truncation_side: the side that is truncated.
        pad_id: the id that pads batches, or None.
        types: it passes token_type_ids to the model; otherwise the model takes 0 for all of them.
    """

    json_text: str
    settings: dict[str, Any]
    model_max_length: int | None
    truncation_side: Side
    pad_id: int | None
    types: bool

    def without_types(self) -> FolderTokenizer:
        """Return it with all type ids 0, which is what a model assumes when the tokenizer passes none."""
        content = json.loads(self.json_text)
        content["post_processor"] = _untyped(content["post_processor"])
        return replace(self, json_text=str(Tokenizer.from_str(json.dumps(content, ensure_ascii=False)).to_str()))

    def cutting(
        self, max_tokens: int, *, truncation_side: Side | None = None, pad_id: int | None = None
    ) -> TextTokenizer:
        """Return it with truncation; its own side and padding where they are None. Raises ModelError."""
        return TextTokenizer(
            self.json_text,
            max_tokens=max_tokens,
            truncation_side=truncation_side or self.truncation_side,
            pad_id=self.pad_id if pad_id is None else pad_id,
        )


def read_tokenizer(folder: Path, config: PretrainedConfig | None = None) -> FolderTokenizer:
    """Return the tokenizer of a local folder, as AutoTokenizer reads it.

    Args:
        folder: a model folder.
        config: used as config.json if the folder has none.

    Raises:
        ModelError: no tokenizer, one that transformers cannot read without the folder's own code, one that runs in
            Python alone, or special tokens that cannot be distinguished from text.
    """
    if not any(next(folder.glob(pattern), None) for pattern in _VOCABULARIES):
        raise ModelError(
            f"{folder} has no tokenizer: neither tokenizer.json nor a vocabulary.",
            accepted={"a tokenizer": "tokenizer.json, or vocab.txt, or vocab.json and merges.txt"},
            fix="copy the tokenizer's files there: AutoTokenizer.from_pretrained(BASE).save_pretrained(FOLDER)",
        )
    theirs = load_auto_tokenizer(folder, config)
    backend: Tokenizer | None = getattr(theirs, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"the tokenizer of {folder} is a {type(theirs).__name__}, which runs in Python alone.",
            accepted={"a tokenizer": "one of the tokenizers library, which a tokenizer.json can hold"},
            fix="use a base of another family",
        )
    json_text = str(Tokenizer.from_str(portable_tokenizer_json(backend.to_str())).to_str())
    if theirs.split_special_tokens:
        json_text = _without_special_tokens(json_text, folder)
    return FolderTokenizer(
        json_text=json_text,
        settings=_settings(folder, theirs),
        model_max_length=_stated_length(theirs.model_max_length),
        truncation_side="left" if theirs.truncation_side == "left" else "right",
        pad_id=None if theirs.pad_token is None else int(theirs.pad_token_id),
        types="token_type_ids" in theirs.model_input_names,
    )


def write_tokenizer(settings: dict[str, Any], tokenizer: TextTokenizer, folder: Path, *, types: bool) -> None:
    """Write tokenizer.json and tokenizer_config.json so that transformers produces the same ids as LiteFT.

    The file names transformers' class for the family if that reads the file the same way; otherwise, or without a
    config.json beside it, the class that takes the file as it is.

    Args:
        settings: a tokenizer_config.json, as in FolderTokenizer.
        tokenizer: the tokenizer; transformers will truncate as it does.
        folder: where to write; usually contains the model's config.json.
        types: the model reads token_type_ids.

    Raises:
        ModelError: transformers produces different ids from the written files.
    """
    content = settings | {
        "model_max_length": tokenizer.max_tokens,
        "truncation_side": tokenizer.truncation_side,
        "model_input_names": ["input_ids", *(["token_type_ids"] if types else []), "attention_mask"],
    }
    if "pad_token" not in content and (padding := tokenizer.token(tokenizer.pad_id)) is not None:
        content["pad_token"] = padding
    files.write_text(folder / "tokenizer.json", tokenizer.json_text)
    named = content.get("tokenizer_class", _GENERIC)
    configured = (folder / "config.json").is_file()
    for name in dict.fromkeys((named, _GENERIC) if configured else (_GENERIC,)):
        files.write_json(folder / "tokenizer_config.json", content | {"tokenizer_class": name})
        if not configured or read_tokenizer(folder).json_text == tokenizer.json_text:
            return
    raise ModelError(
        f"transformers reads another tokenizer from {folder} than the one that was written there.",
        fix=REPORT,
    )


def load_auto_tokenizer(folder: Path, config: PretrainedConfig | None = None) -> Any:
    """Return transformers' own tokenizer of a local folder.

    Raises:
        ModelError: transformers cannot read it.
    """
    transformers_logging.set_verbosity_error()
    given = {} if config is None or (folder / "config.json").is_file() else {"config": config}
    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True, **given)
    except Exception as error:  # the folder is untrusted: the library may raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"the tokenizer of {folder} cannot be read: {reason}",
            accepted={"a tokenizer": "what AutoTokenizer reads; its own code is never run"},
            fix="where it loads, write it anew: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        ) from error


def _settings(folder: Path, theirs: Any) -> dict[str, Any]:
    """Return a tokenizer_config.json for what transformers read: the folder's own settings and those from elsewhere."""
    stored = folder / "tokenizer_config.json"
    content: dict[str, Any] = files.read_json(stored) if stored.is_file() else {}
    content = {name: value for name, value in content.items() if name not in _LEFT_OUT}
    content |= {name: str(token) for name, token in theirs.special_tokens_map.items() if isinstance(token, str)}
    name = type(theirs).__name__
    content["tokenizer_class"] = _GENERIC if name == "TokenizersBackend" else name
    return content


def _stated_length(stated: object) -> int | None:
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not 1 <= stated < _NO_LIMIT:
        return None
    return int(stated)


def _untyped(processor: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a post-processor whose type ids are all 0."""
    kind = None if processor is None else processor["type"]
    if processor is None or kind not in ("Sequence", "BertProcessing", "TemplateProcessing"):
        return processor
    if kind == "Sequence":
        return processor | {"processors": [_untyped(part) for part in processor["processors"]]}
    if kind == "BertProcessing":
        ids = dict(processor[name] for name in ("cls", "sep"))
        first, last = (processor[name][0] for name in ("cls", "sep"))
        template = processors.TemplateProcessing(
            single=f"{first} $A {last}", pair=f"{first} $A {last} $B {last}", special_tokens=list(ids.items())
        )
        tokenizer = Tokenizer(models.WordLevel({}, unk_token=""))
        tokenizer.post_processor = template
        processor = json.loads(tokenizer.to_str())["post_processor"]
    untyped = {
        name: [{kind: inner | {"type_id": 0} for kind, inner in part.items()} for part in processor[name]]
        for name in ("single", "pair")
    }
    return processor | untyped


def _without_special_tokens(json_text: str, folder: Path) -> str:
    """Return a tokenizer.json that treats special tokens spelled out in a text as text (split_special_tokens).

    No setting of the file does that; but only added tokens are searched for, and the post-processor refers to its
    tokens by id. So they are removed from the added tokens, and must be in the model's own vocabulary.
    """
    content = json.loads(json_text)
    entries = content["model"]["vocab"]
    known = set(entries) if isinstance(entries, dict) else {token for token, _ in entries}
    special = [token["content"] for token in content["added_tokens"] if token["special"]]
    if outside := [token for token in special if token not in known]:
        raise ModelError(
            f"the tokenizer of {folder} has split_special_tokens, and {outside[0]!r} outside of its vocabulary, "
            "which tokenizer.json cannot express.",
            accepted={"split_special_tokens": "false; or special tokens that the vocabulary contains"},
            fix="set split_special_tokens to false in tokenizer_config.json, where texts never contain special tokens",
        )
    content["added_tokens"] = [token for token in content["added_tokens"] if not token["special"]]
    return str(Tokenizer.from_str(json.dumps(content, ensure_ascii=False)).to_str())
