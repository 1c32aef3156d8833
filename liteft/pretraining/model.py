"""What pretraining starts from: a BERT of random weights, or a base, whose head over the vocabulary may be new."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    PretrainedConfig,
    set_seed,
)

from liteft import files
from liteft.errors import ModelError, option
from liteft.finetuning.from_scratch import bert_config, write_vocabulary
from liteft.finetuning.model import quiet_transformers, read_config, uses_type_ids
from liteft.finetuning.pretrained import load_filled
from liteft.finetuning.settings import position_limit
from liteft.finetuning.tokenizer_files import FolderTokenizer, read_tokenizer, write_tokenizer
from liteft.pretraining.masking import Masking
from liteft.pretraining.vocabulary import SPECIAL_TOKENS, VocabularyKind
from liteft.recipes import PretrainRecipe
from liteft.tokenization import TextTokenizer

__all__ = [
    "LanguageModel",
    "from_base",
    "from_random",
    "read_alone",
    "read_vocabulary",
    "special_id",
    "tokens_around",
    "write_trained",
]

_ROLES = {
    name: tuple(dict.fromkeys(kind[name] for kind in SPECIAL_TOKENS.values()))
    for name in ("pad", "unk", "cls", "sep", "mask")
}


@dataclass(frozen=True)
class LanguageModel:
    """A model that guesses masked tokens, with its tokenizer.

    Attributes:
        model: of transformers' class for masked language modelling.
        found: its tokenizer as its folder states it.
        tokenizer: the same, cutting at the number of positions.
        head: whether the layers over the vocabulary are new.
    """

    model: nn.Module
    found: FolderTokenizer
    tokenizer: TextTokenizer
    head: bool

    @property
    def config(self) -> PretrainedConfig:
        """The transformers configuration."""
        return cast(PretrainedConfig, self.model.config)

    def special_id(self, role: str) -> int | None:
        """Return the id of the token for "mask" or "unk", or None."""
        return special_id(self.found, self.tokenizer, role)

    def masking(self, recipe: PretrainRecipe) -> Masking:
        """Return how a recipe masks this model's texts.

        Raises:
            ModelError: its tokenizer has no mask token.
        """
        mask = self.special_id("mask")
        if mask is None:
            raise ModelError(
                "the vocabulary has no mask token, which words to be guessed are replaced by.",
                accepted={
                    "a mask token": "mask_token in tokenizer_config.json, or one of " + ", ".join(_ROLES["mask"])
                },
                fix=["add a line [MASK] to vocab.txt", "a base or a vocabulary that has one"],
            )
        added = json.loads(self.tokenizer.json_text)["added_tokens"]
        special = {token["id"] for token in added if token["special"]} | {self.tokenizer.pad_id}
        special |= {number for role in _ROLES if (number := self.special_id(role)) is not None}
        numbers = np.arange(min(self.tokenizer.vocabulary_size, int(self.config.vocab_size)))
        never = np.array(sorted(special), dtype=np.int64)
        return Masking(recipe.seed, recipe.masked_share, mask, never, np.setdiff1d(numbers, never))

    def save(self, folder: Path) -> None:
        """Write config.json, weights and tokenizer into an existing folder."""
        quiet_transformers()
        self.model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
        write_tokenizer(self.found.settings, self.tokenizer, folder, types=uses_type_ids(self.config))


def tokens_around(tokenizer: TextTokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids of the special tokens before a text, and of those after it.

    Raises:
        ModelError: the tokenizer does not put a text between them.
    """
    plain = Tokenizer.from_str(tokenizer.json_text)
    for text in ("a", "1", "的", "."):
        alone = plain.encode(text, add_special_tokens=False).ids
        whole = plain.encode(text).ids
        for start in range(len(whole) - len(alone) + 1) if alone else ():
            if whole[start : start + len(alone)] == alone:
                return tuple(whole[:start]), tuple(whole[start + len(alone) :])
    raise ModelError(
        "the tokenizer does not put a text between its special tokens.",
        accepted={"a tokenizer": "special tokens before a text and after it"},
        fix="use the tokenizer of another base",
    )


def from_random(found: FolderTokenizer, *, size: str, max_tokens: int, seed: int) -> LanguageModel:
    """Return a BERT of a size with random weights, and as many positions as its texts have tokens at most."""
    tokenizer = found.cutting(max_tokens)
    config = bert_config(size, tokenizer, positions=max_tokens)
    set_seed(seed)
    return LanguageModel(BertForMaskedLM(config).float(), found, tokenizer, head=True)


def from_base(base: Path, *, max_tokens: int, seed: int) -> LanguageModel:
    """Return a base with its head over the vocabulary, or with a new one if it lacks that.

    Raises:
        ModelError: the base cannot be loaded completely, its family has no masked language modelling, or it has fewer
            positions than max_tokens.
        RunError: the base is a run's model, and its weights are not the ones that run.json names.
    """
    config = read_config(base)
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING or config.is_encoder_decoder:
        raise ModelError(
            f"{base} is a {config.model_type}, which transformers does not train by masking.",
            accepted={"a base": "an encoder with a class ...ForMaskedLM, such as BERT, RoBERTa, DistilBERT or ELECTRA"},
            fix=[option("base", "minilm"), option("size", "4x256", note=", to start from random weights")],
        )
    most = position_limit(config)
    if max_tokens > most:
        raise ModelError(
            f"max_tokens={max_tokens} is more than {base} has positions for.",
            accepted={"max_tokens": f"up to {most}"},
            fix=option("max_tokens", most),
        )
    found = read_tokenizer(base)
    prefix = f"{MODEL_FOR_MASKED_LM_MAPPING[type(config)].base_model_prefix}."
    set_seed(seed)
    model, new = load_filled(base, AutoModelForMaskedLM, config, may_lack=lambda name: not name.startswith(prefix))
    limit = min(most, found.model_max_length or most)
    return LanguageModel(model, found, found.cutting(limit, pad_id=config.pad_token_id), head=bool(new))


def read_vocabulary(vocabulary: Path, folder: Path) -> FolderTokenizer:
    """Return the tokenizer of a vocab.txt or tokenizer.json; its files are written into an existing folder."""
    _name_special_tokens(write_vocabulary(vocabulary, folder), folder)
    return read_alone(folder)


def write_trained(tokenizer: Tokenizer, kind: VocabularyKind, folder: Path) -> None:
    """Write a trained tokenizer's files into an existing folder."""
    files.write_text(folder / "tokenizer.json", str(tokenizer.to_str()))
    named = {f"{role}_token": token for role, token in SPECIAL_TOKENS[kind].items()}
    files.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **named})


def read_alone(folder: Path) -> FolderTokenizer:
    """Return the tokenizer in a folder without a model."""
    return read_tokenizer(folder, BertConfig())


def _name_special_tokens(found: FolderTokenizer, folder: Path) -> None:
    """Write into a folder's settings which tokens are special, by their usual names: tokenizer.json does not say it."""
    tokenizer = Tokenizer.from_str(found.json_text)
    named: dict[str, Any] = {}
    for role, usual in _ROLES.items():
        token = next((token for token in usual if tokenizer.token_to_id(token) is not None), None)
        named |= {} if token is None else {f"{role}_token": token}
    files.write_json(folder / "tokenizer_config.json", named | found.settings)


def special_id(found: FolderTokenizer, tokenizer: TextTokenizer, role: str) -> int | None:
    """Return the id of a special token: the one that the settings name, or else one of a usual name; or None."""
    named = found.settings.get(f"{role}_token")
    token = named.get("content") if isinstance(named, dict) else named
    ids = (tokenizer.token_id(each) for each in ([token] if token else _ROLES[role]))
    return next((number for number in ids if number is not None), None)
