"""Makes the small artifacts that fuzzing starts from: every form, and tokenizers of every model and most components.

Weights are random, since fuzzing looks for files that end a process and not at what they predict.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

import liteft
from liteft.data import Split
from liteft.words import words_of_texts

__all__ = ["WORDS", "charsmap", "make_seeds", "mended", "tokenizers"]

WORDS = 280
_SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
_FORMS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "fp16": {"precision": "fp16"},
    "int8": {"precision": "int8"},
    "static": {"precision": "int8", "scheme": "static"},
    "4-bit": {"precision": "int8", "embedding_bits": 4},
    "flat": {"precision": "fp32", "flat": True},
    "flat int8": {"precision": "int8", "flat": True},
    "edge": {"precision": "int8", "target": "edge"},
}
_TRACED = {"traced": {"precision": "fp32"}, "traced int8": {"precision": "int8"}}
_TAGGERS = {
    "words": {"precision": "fp32"},
    "words int8": {"precision": "int8"},
    "words flat": {"precision": "fp32", "flat": True},
    "words edge": {"precision": "int8", "target": "edge"},
}
_QUICK = ("fp32", "static", "4-bit", "flat int8")
_QUICK_TAGGERS = ("words", "words int8")
_TOKENIZERS = ("bpe", "unigram", "words", "mapped")


def _texts() -> list[str]:
    corpus = Path(liteft.__file__).parent / "data" / "corpus" / "train.jsonl"
    return [json.loads(line)["text"] for line in corpus.read_text(encoding="utf-8").splitlines()[:200]]


def charsmap(mapping: dict[str, str]) -> str:
    """Return a character map compiled as in sentencepiece: a double array with one block per node, then the texts."""
    texts, units, blocks = b"", [0] * 256, {b"": 0}
    for source, target in sorted(mapping.items()):
        key = source.encode()
        for length in range(len(key)):  # the children of a node are in the block after its own
            prefix, child = key[:length], key[: length + 1]
            place = blocks[prefix]
            base = _base(units, place)
            where = base ^ key[length]
            units[where] |= key[length]
            blocks[child] = where
        base = _base(units, blocks[key])
        units[blocks[key]] |= 1 << 8
        units[base] = 1 << 31 | len(texts)
        texts += target.encode() + b"\0"
    trie = struct.pack(f"<{len(units)}I", *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + texts).decode()


def _base(units: list[int], place: int) -> int:
    """Return where the children of a node begin, after adding a block for them if there is none yet."""
    offset = units[place] >> 10
    if not offset:
        base = len(units)
        units += [0] * 256
        units[place] |= (place ^ base) << 10
        return base
    return place ^ offset


def tokenizers() -> dict[str, str]:
    """Return contents of tokenizer.json by the kind of tokenizer; token ids are below ``WORDS``."""
    texts, made = _texts(), {}
    wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wordpiece.normalizer, wordpiece.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    wordpiece.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=WORDS, special_tokens=_SPECIAL))
    made["wordpiece"] = wordpiece
    pairs = Tokenizer(models.BPE(byte_fallback=False))
    pairs.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " ")])
    pairs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    pairs.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=WORDS, special_tokens=_SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    made["bpe"] = pairs
    unigram = Tokenizer(models.Unigram())
    steps = [normalizers.Replace("``", '"'), normalizers.NFKD(), normalizers.Lowercase()]
    unigram.normalizer = normalizers.Sequence(steps)
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=200, special_tokens=_SPECIAL, unk_token="[UNK]")
    )
    made["unigram"] = unigram
    listed = {token: number for number, token in enumerate([*_SPECIAL, *"abcdefgh"])}
    words = Tokenizer(models.WordLevel(listed, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    made["words"] = words
    contents = {}
    for name, tokenizer in made.items():
        ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
        )
        contents[name] = str(tokenizer.to_str())
    mapped = json.loads(contents["unigram"])
    mapped["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap({"ﬁ": "fi", "é": "e", "A": "a"})}
    contents["mapped"] = json.dumps(mapped, ensure_ascii=False)
    return contents


def make_seeds(folder: Path, *, every: bool = True) -> dict[str, Path]:
    """Write the artifacts into a folder, unless they are there already, and return them by name.

    Writing them needs torch.

    Args:
        folder: where to write them.
        every: include traced graphs and other artifacts that take a few seconds more.
    """
    forms = [*_FORMS, *_TRACED, "trimmed", *_TAGGERS] if every else [*_QUICK, *_QUICK_TAGGERS]
    names = [*forms, *(f"tokenizer {name}" for name in _TOKENIZERS)]
    done = folder / "done.json"
    if not done.is_file() or json.loads(done.read_text()) != names:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _write_seeds(folder, every=every)
        done.write_text(json.dumps(names))
    return {name: folder / name for name in names}


def _write_seeds(folder: Path, *, every: bool) -> None:
    from liteft.exporting import Limits, export

    contents, texts = tokenizers(), _texts()[:24]
    split = Split("validation", texts, None, None)
    tagged = Split("validation", texts, words=words_of_texts(texts))
    loose = Limits(agreement=0.0, accuracy_drop=1.0)
    source = _write_model(folder / "model", "bert", contents["wordpiece"])
    for name in _FORMS if every else _QUICK:
        export(source, folder / name, verify=split, limits=loose, **_FORMS[name])
    tagger = _write_model(folder / "tagger", "bert", contents["wordpiece"], tags=True)
    for name in _TAGGERS if every else _QUICK_TAGGERS:
        export(tagger, folder / name, verify=tagged, limits=loose, **_TAGGERS[name])
    if every:
        other = _write_model(folder / "traced model", "gpt2", contents["wordpiece"])
        for name, settings in _TRACED.items():
            export(other, folder / name, verify=split, limits=loose, **settings)
        trimming = {"precision": "int8", "vocabulary": 200, "texts": [split]}
        export(source, folder / "trimmed", verify=split, limits=loose, **trimming)
    for name in _TOKENIZERS:
        target = folder / f"tokenizer {name}"
        shutil.copytree(folder / "fp32", target)
        (target / "tokenizer.json").write_text(contents[name], encoding="utf-8")
        mended(target)


def _write_model(folder: Path, family: str, tokenizer: str, *, tags: bool = False) -> Path:
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        BertConfig,
        GPT2Config,
    )

    from liteft.finetuning.model import save_classifier
    from liteft.finetuning.settings import ModelSettings

    torch.manual_seed(0)
    common = {"vocab_size": WORDS, "num_labels": 3, "pad_token_id": 0}
    if family == "bert":
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        config: Any = BertConfig(**common, **sizes, max_position_embeddings=40)
    else:
        sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 40, "bos_token_id": 1, "eos_token_id": 1}
        config = GPT2Config(**common, **sizes)
    kind = AutoModelForTokenClassification if tags else AutoModelForSequenceClassification
    model = kind.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            norm = "norm" in name.lower() or ".ln_" in name
            weight.copy_(torch.randn(weight.shape) * 0.2 + (1.0 if norm and name.endswith("weight") else 0.0))
    folder.mkdir()
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    if tags:
        settings = ModelSettings(("O", "B-a", "I-a"), "tokens", "none", 32, False)
    else:
        pooling = "cls" if family == "bert" else "last"
        settings = ModelSettings(("a", "b", "c"), "single_label", pooling, 32, False)
    save_classifier(model, settings, folder, folder)
    return folder


def mended(folder: Path, manifest: dict[str, Any] | None = None) -> None:
    """Write a manifest with the sizes and hashes that the files have now."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8")) if manifest is None else manifest
    for name in content["files"]:
        data = (folder / name).read_bytes()
        content["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.unlink()  # it may be a hard link to another artifact's manifest
    path.write_text(json.dumps(content), encoding="utf-8")
