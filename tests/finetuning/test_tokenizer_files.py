"""A folder's tokenizer is what transformers makes of all of its files, whatever they say of one another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertTokenizer, RobertaConfig, RobertaTokenizer, XLMRobertaConfig

from liteft.errors import ModelError
from liteft.finetuning.base import create_classifier
from liteft.finetuning.model import save_classifier
from liteft.finetuning.tokenizer_files import read_tokenizer, write_tokenizer
from liteft.tokenization import TextTokenizer
from tests.finetuning.conftest import write_base

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefhlorABCDEHLOR\u00e9\u4ef7\u683c[],<>"
TEXTS = (
    *("Hello", "HELLO hello", "caf\u00e9 Cafe\u0301", "\u4ef7\u683c\u4ef7 ab", "see [SEP] now", "a<new>b", " a  b "),
    *("", "a b c d e " * 9),
)
Made = Callable[..., Path]


def edited(folder: Path, **changes: Any) -> Path:
    """Change tokenizer_config.json alone; None takes a key out."""
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return folder


def write_bert(folder: Path, **changes: Any) -> Path:
    """Write a BERT's config.json and its tokenizer of single characters."""
    BertConfig(vocab_size=60, hidden_size=32, num_attention_heads=2).save_pretrained(folder)
    pieces = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
    BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=20).save_pretrained(folder)
    return edited(folder, **changes)


def write_roberta(folder: Path, **changes: Any) -> Path:
    """Write a RoBERTa's config.json and its byte-level tokenizer."""
    RobertaConfig(vocab_size=300, hidden_size=32, num_attention_heads=2).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet, "\u0120a", "\u0120H"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = [("\u0120", "a"), ("\u0120", "H")]
    RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=20).save_pretrained(folder)
    return edited(folder, **changes)


def write_unigram(folder: Path, **changes: Any) -> Path:
    """Write an XLM-R's config.json and a tokenizer of sentence pieces."""
    XLMRobertaConfig(vocab_size=60, hidden_size=32, num_attention_heads=2).save_pretrained(folder)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(piece, 0.0) for piece in special] + [(f"\u2581{letter}", -2.0) for letter in "abHh"]
    pieces += [(letter, -3.0) for letter in ("\u2581", *LETTERS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 20, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"mask_token": "<mask>"}))
    return edited(folder, **changes)


def has_three_parts(error: ModelError) -> bool:
    """Say whether an error has all of its parts."""
    return bool(error.message and error.accepted and error.fix)


def theirs(folder: Path, texts: Any = TEXTS) -> list[list[int]]:
    """The ids that transformers gives."""
    ids: list[list[int]] = AutoTokenizer.from_pretrained(folder)(list(texts), truncation=True)["input_ids"]
    return ids


def ours(folder: Path, texts: Any = TEXTS) -> list[list[int]]:
    """The ids that LiteFT gives, from what it would write into an artifact."""
    found = read_tokenizer(folder)
    assert found.model_max_length is not None
    return [text.ids.tolist() for text in found.cutting(found.model_max_length).encode(list(texts))]


def from_one_file(folder: Path, texts: Any = TEXTS) -> list[list[int]]:
    """The ids of tokenizer.json alone."""
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json", max_tokens=20)
    return [text.ids.tolist() for text in tokenizer.encode(texts)]


@pytest.mark.parametrize(
    "change",
    [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"split_special_tokens": True},
        {"truncation_side": "left"},
        {"model_max_length": 12},
        {"added_tokens_decoder": {"53": {"content": "<new>", "special": False}}},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("again", [False, True])
def test_a_wordpiece_tokenizer_s_settings_count(tmp_path: Path, change: dict[str, Any], again: bool) -> None:
    folder = write_bert(tmp_path, **change)
    differs = from_one_file(folder) != theirs(folder)
    assert differs
    if again:  # what LiteFT writes is read as what it read
        found = read_tokenizer(folder)
        expected = theirs(folder)
        write_tokenizer(found.settings, found.cutting(found.model_max_length or 20), folder, types=True)
        assert theirs(folder) == expected
        assert not (folder / "added_tokens.json").exists()
    assert ours(folder) == theirs(folder)


@pytest.mark.parametrize(
    "change", [{"add_prefix_space": True}, {"truncation_side": "left"}, {"split_special_tokens": True}]
)
def test_a_byte_level_tokenizer_s_settings_count(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write_roberta(tmp_path, **change)
    texts = [*TEXTS, "see </s> now"]
    assert from_one_file(folder, texts) != theirs(folder, texts)
    assert ours(folder, texts) == theirs(folder, texts)


@pytest.mark.parametrize("change", [{}, {"truncation_side": "left"}, {"additional_special_tokens": ["<new>"]}])
def test_a_tokenizer_of_sentence_pieces_is_read_with_tokens_that_its_settings_add(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = write_unigram(tmp_path, **change)
    texts = [*TEXTS, "a <mask> b"]
    assert ours(folder, texts) == theirs(folder, texts)
    assert read_tokenizer(folder).cutting(20).token_id("<mask>") is not None


def test_tokens_of_added_tokens_json_are_read(tmp_path: Path) -> None:
    folder = write_bert(tmp_path)
    number = len(AutoTokenizer.from_pretrained(folder))
    (folder / "added_tokens.json").write_text(json.dumps({"<new>": number}))
    assert read_tokenizer(folder).cutting(20).token_id("<new>") == number
    assert any(number in ids for ids in ours(folder))
    assert ours(folder) == theirs(folder)


@pytest.mark.parametrize("write", [write_bert, write_roberta])
def test_a_vocabulary_alone_is_enough(tmp_path: Path, write: Made) -> None:
    folder = write(tmp_path)
    if write is write_roberta:
        content = json.loads((folder / "tokenizer.json").read_text())["model"]
        (folder / "vocab.json").write_text(json.dumps(content["vocab"]))
        lines = (" ".join(merge) for merge in content["merges"])
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", "utf-8")
    expected = theirs(folder)
    (folder / "tokenizer.json").unlink()
    assert ours(folder) == theirs(folder) == expected


def test_a_tokenizer_with_code_of_its_own_is_refused_and_not_run(tmp_path: Path) -> None:
    folder = write_bert(tmp_path, auto_map={"AutoTokenizer": ["own.Own", None]}, tokenizer_class="Own")
    (folder / "own.py").write_text("raise SystemExit('was run')\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(ModelError, match="cannot be read") as caught:
        read_tokenizer(folder)
    assert has_three_parts(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": 3}'])
def test_a_broken_tokenizer_json_is_refused_in_three_parts(tmp_path: Path, content: str) -> None:
    folder = write_bert(tmp_path)
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match="cannot be read") as caught:
        read_tokenizer(folder)
    assert has_three_parts(caught.value)


def test_special_tokens_that_are_text_and_no_pieces_are_refused(tmp_path: Path) -> None:
    folder = write_bert(tmp_path, split_special_tokens=True, additional_special_tokens=["<new>"])
    with pytest.raises(ModelError, match="split_special_tokens") as caught:
        read_tokenizer(folder)
    assert "<new>" in str(caught.value) and has_three_parts(caught.value)


def test_type_ids_are_0_where_the_tokenizer_hands_none_to_the_model(tmp_path: Path) -> None:
    typed = read_tokenizer(write_bert(tmp_path))
    assert typed.types and typed.cutting(20).encode(["a"], ["b"]).type_ids.tolist() == [0, 0, 0, 1, 1]
    found = typed.without_types().cutting(20).encode(["a"], ["b"])
    assert found.type_ids.tolist() == [0] * 5
    assert found.ids.tolist() == typed.cutting(20).encode(["a"], ["b"]).ids.tolist()


def test_a_classifier_is_trained_and_stored_with_the_tokenizer_that_transformers_reads(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "bert", vocab_size=60)
    (tmp_path / "tokenizer").mkdir()
    other = write_bert(tmp_path / "tokenizer", do_lower_case=False, truncation_side="left")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(other / name, base / name)
    loaded = create_classifier(base, labels=("a", "b"), task="single_label", pooling="cls", max_tokens=12, paired=False)
    plain = AutoTokenizer.from_pretrained(base)
    assert loaded.settings.truncation_side == "left"
    assert [text.ids.tolist() for text in loaded.tokenizer.encode(TEXTS)] == plain(
        list(TEXTS), truncation=True, max_length=12
    )["input_ids"]
    (tmp_path / "model").mkdir()
    save_classifier(loaded.model, loaded.settings, base, tmp_path / "model")
    assert theirs(tmp_path / "model") == [text.ids.tolist() for text in loaded.tokenizer.encode(TEXTS)]
