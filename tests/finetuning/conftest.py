"""Tiny bases of every family, and data that a tiny model learns in a few steps.

A text is filler words around words of its own topic, so one layer of any family tells the labels apart. Bases are
written once a session, with random weights: what is tested is the training around them, not what they know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    PretrainedConfig,
    RobertaConfig,
)

from liteft.data import Dataset, Split
from liteft.finetuning import finetune
from liteft.run import Run, read_run
from tests.cache import Cache

FAMILIES = ("bert", "distilbert", "roberta", "electra", "gpt2")
WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 2, 64, 40
LABELS = ("red", "green", "blue")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOPICS = {label: [f"{label}{number}" for number in range(4)] for label in LABELS}
FILLERS = [f"w{number}" for number in range(30)]
WORDS = [word for words in TOPICS.values() for word in words] + FILLERS
PIECES = [*SPECIAL, *WORDS]

QUICK: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "training_precision": "fp32",
    "max_tokens": 16,
    "seed": 3,
}
"""Settings of a training of 12 steps, on ``dataset``."""


def make_config(family: str, **changes: Any) -> PretrainedConfig:
    """Return the configuration of a tiny base."""
    common: dict[str, Any] = {"vocab_size": len(PIECES), "pad_token_id": 0, "initializer_range": 0.1}
    if family == "distilbert":
        common |= {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER}
        common |= {"max_position_embeddings": POSITIONS}
        return DistilBertConfig(**{**common, **changes})
    if family == "gpt2":
        common |= {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS}
        common |= {"bos_token_id": 3, "eos_token_id": 3, "pad_token_id": None}
        return GPT2Config(**{**common, **changes})
    common |= {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    common |= {"intermediate_size": INNER, "max_position_embeddings": POSITIONS}
    if family == "roberta":
        return RobertaConfig(**{**common, "type_vocab_size": 1, **changes})
    if family == "electra":
        return ElectraConfig(**{**common, "embedding_size": WIDTH // 2, **changes})
    return BertConfig(**{**common, **changes})


def write_tokenizer(folder: Path, *, special: bool = True) -> None:
    """Write a tokenizer.json of whole words, with padding and a cut baked in as sentence-transformers does."""
    tokenizer = Tokenizer(models.WordLevel({piece: row for row, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(name, PIECES.index(name)) for name in ("[CLS]", "[SEP]")],
        )
    tokenizer.enable_padding(length=40, pad_id=0, pad_token="[PAD]")
    tokenizer.enable_truncation(9)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_base(folder: Path, family: str, **changes: Any) -> Path:
    """Write a headless encoder (or decoder), as a hub would hold it.

    Its weights are random, but for the embeddings: the words of a topic lie together.
    """
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = AutoModel.from_config(make_config(family, **changes))
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        for words in TOPICS.values():
            table[[PIECES.index(word) for word in words]] += torch.randn(table.shape[1])
    model.save_pretrained(folder)
    write_tokenizer(folder, special=family != "gpt2")
    return folder


def make_texts(count: int, *, seed: int, labels: tuple[str, ...] = LABELS) -> tuple[list[str], np.ndarray]:
    """Return texts of 3 to 14 words, three of them of the label's topic, and labels in turn."""
    random = np.random.default_rng(seed)
    gold = np.arange(count) % len(labels)
    texts = []
    for label in gold:
        words = [*random.choice(TOPICS[labels[label]], 3), *random.choice(FILLERS, random.integers(0, 10))]
        texts.append(" ".join(random.permutation(words)))
    return texts, gold.astype(np.int64)


def make_dataset(*, train: int = 48, other: int = 18, seed: int = 0) -> Dataset:
    """Return a single-label set with three labels."""
    splits = {}
    for offset, (name, count) in enumerate((("train", train), ("validation", other), ("test", other))):
        texts, gold = make_texts(count, seed=10 * seed + offset)
        splits[name] = Split(name, texts, None, gold)
    return Dataset("topics", "single_label", LABELS, splits)


def make_paired() -> Dataset:
    """Return pairs, labelled by the first text's topic (a tiny model cannot compare, but it can read)."""
    single = make_dataset()
    splits = {name: Split(name, split.texts, split.texts[::-1], split.labels) for name, split in single.splits.items()}
    return Dataset("pairs", "single_label", LABELS, splits)


def make_multi(*, other: int = 18) -> Dataset:
    """Return texts of one or two topics, with a label for each; the last row of test has none."""
    splits = {}
    for offset, (name, count) in enumerate((("train", 48), ("validation", other), ("test", other))):
        first, gold = make_texts(count, seed=offset)
        second, other = make_texts(count, seed=offset + 5)
        order = np.random.default_rng(offset).permutation(count)
        texts = [f"{text} {second[row]}" for text, row in zip(first, order, strict=True)]
        labels = np.zeros((count, 3), dtype=bool)
        labels[np.arange(count), gold] = True
        labels[np.arange(count), other[order]] = True
        splits[name] = Split(name, texts, None, labels)
    splits["test"].texts[-1], splits["test"].labels[-1] = "w1 w2 w3", False  # type: ignore[index]
    return Dataset("several topics", "multi_label", LABELS, splits)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Forty-eight texts to train on, eighteen each to validate and test, three labels."""
    return make_dataset()


@pytest.fixture(scope="session")
def base(cache: Cache) -> Callable[[str], Path]:
    """A function from a family to the folder of its tiny base."""
    return lambda family: cache(f"finetuning/{family}", lambda folder: write_base(folder, family))


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocab.txt, one token per line."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(cache: Cache, base: Callable[[str], Path], dataset: Dataset) -> Run:
    """A run of twelve steps on the BERT base, never interrupted. Read it only."""
    return read_run(cache("finetuning-run", lambda out: finetune(base("bert"), dataset, out=out, **QUICK)))
