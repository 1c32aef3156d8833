"""A tiny WordPiece vocabulary, and classifiers and data that use it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from liteft.data import Dataset, Split
from liteft.finetuning import finetune
from liteft.finetuning.model import TorchClassifier, load_classifier
from liteft.run import Run, read_run
from tests.cache import Cache
from tests.modules import module_of

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def wordpiece_json(pieces: Sequence[str]) -> str:
    """Return a tokenizer.json as BERT's is, with these pieces after the special ones."""
    vocabulary = {piece: number for number, piece in enumerate((*SPECIAL, *pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return tokenizer.to_str()


@pytest.fixture(scope="session")
def wordpiece() -> Callable[[Sequence[str]], str]:
    """The function from pieces to a tokenizer.json."""
    return wordpiece_json


def letters(words: Sequence[str]) -> list[str]:
    """Return every character of the words, as a piece and as a continuation."""
    found = sorted(set("".join(words)))
    return [*found, *(f"##{letter}" for letter in found)]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The fixtures of the fine-tuning tests, which lie in no package."""
    return module_of("finetuning")


@pytest.fixture(scope="session")
def pieces(tiny: ModuleType) -> list[str]:
    """Whole words, words that no text uses, and characters: 5 special tokens come before them."""
    return [*tiny.WORDS, *(f"unused{number}" for number in range(20)), *letters([*tiny.WORDS, "unused"])]


@pytest.fixture(scope="session")
def dataset(tiny: ModuleType) -> Dataset:
    """Forty-eight texts to train on; validation has some words that training has not."""
    made = tiny.make_dataset()
    validation = made.validation
    texts = [f"{text} unused{row}" if row % 3 == 0 else text for row, text in enumerate(validation.texts)]
    made.splits["validation"] = Split("validation", texts, None, validation.labels)
    return made


@pytest.fixture(scope="session")
def base(tiny: ModuleType, pieces: list[str], cache: Cache) -> Path:
    """A BERT of two layers with the WordPiece vocabulary."""

    def write(folder: Path) -> None:
        tiny.write_base(folder, "bert", vocab_size=len(SPECIAL) + len(pieces))
        (folder / "tokenizer.json").write_text(wordpiece_json(pieces), encoding="utf-8")
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "[PAD]",
            "added_tokens_decoder": {
                str(number): {"content": token, "special": True} for number, token in enumerate(SPECIAL)
            },
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in (*SPECIAL, *pieces)), encoding="utf-8")

    return cache("trimming-base", write)


@pytest.fixture(scope="session")
def teacher(tiny: ModuleType, base: Path, dataset: Dataset, cache: Cache) -> Run:
    """A fine-tuned classifier. Read it only."""
    return read_run(cache("trimming-teacher", lambda out: finetune(base, dataset, out=out, **tiny.QUICK)))


@pytest.fixture(scope="session")
def loaded(teacher: Run) -> TorchClassifier:
    """The teacher's classifier. Read it only."""
    return load_classifier(teacher.model_path)
