"""Words of texts, and texts of words as windows of tokens."""

from __future__ import annotations

import json
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from liteft import words as words_module
from liteft.errors import ModelError
from liteft.ragged import Ragged
from liteft.tokenization import TextTokenizer
from liteft.windows import WordTokenizer, window_spans
from liteft.words import find_words, is_chinese, joined_places, joined_words, misplaced, words_of_texts

TEXTS = [
    "Don't stop, U.S.A.! 北京 naïve cafe\u0301\r\n\U0001f600 a\u200db \u0627\u0644\u0639 \x00 end_",
    "",
    " \t ",
    "İstanbul ẞ ŉ ﬁne",
]


def reference_words(text: str) -> list[tuple[int, int]]:
    """Cut a text character by character: whitespace ends a word, punctuation and Chinese characters are words."""
    words, start = [], None
    for place, character in enumerate(text):
        category = unicodedata.category(character)
        alone = category[0] == "P" or ("!" <= character <= "~" and not character.isalnum()) or is_chinese(character)
        if (character.isspace() or alone) and start is not None:
            words.append((start, place))
            start = None
        if alone:
            words.append((place, place + 1))
        elif not character.isspace() and start is None:
            start = place
    return words + ([] if start is None else [(start, len(text))])


@pytest.mark.parametrize("text", TEXTS)
def test_words_are_cut_at_spaces_punctuation_and_chinese_characters(text: str) -> None:
    assert find_words(text) == reference_words(text)


@given(some.text(max_size=40))
def test_every_text_is_cut_as_a_slow_loop_cuts_it(text: str) -> None:
    assert find_words(text) == reference_words(text)


@given(some.lists(some.text(max_size=12), max_size=6), some.integers(1, 30))
def test_many_texts_are_cut_as_each_alone(texts: list[str], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words_module, "_AT_ONCE", at_once)
        found = words_of_texts(texts)
    assert [[tuple(place) for place in row.tolist()] for row in found] == [find_words(text) for text in texts]


def test_every_code_point_is_of_one_kind() -> None:
    texts = [f"a{chr(code)}b" for code in range(sys.maxunicode + 1)]
    found = words_of_texts(texts)
    wrong = [text for text, row in zip(texts, found, strict=True) if list(map(tuple, row.tolist())) != find_words(text)]
    assert not wrong


def test_words_of_texts_are_where_they_are_in_each_text() -> None:
    words = words_of_texts(["a bc", "", "d."])
    assert [row.tolist() for row in words] == [[[0, 1], [2, 4]], [], [[0, 1], [1, 2]]]
    assert words.dtype == np.int32


@given(some.lists(some.lists(some.text(max_size=4), max_size=4), max_size=4))
def test_given_words_are_found_in_the_text_that_they_are_joined_to(rows: list[list[str]]) -> None:
    texts, words = joined_words(rows)
    assert texts == [" ".join(row) for row in rows]
    assert [[text[a:b] for a, b in places.tolist()] for text, places in zip(texts, words, strict=True)] == rows
    assert [[list(place) for place in joined_places(row)] for row in rows] == [places.tolist() for places in words]


def wordpiece(max_tokens: int = 12) -> TextTokenizer:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij", *(f"##{each}" for each in "abcdefghij"), ".", ","]
    tokenizer = Tokenizer(models.WordPiece({piece: row for row, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return TextTokenizer(tokenizer.to_str(), max_tokens=max_tokens)


def byte_level(max_tokens: int = 40) -> TextTokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: row for row, piece in enumerate(["<s>", "</s>", *alphabet, "Ġa", "Ġab"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "a"), ("Ġa", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), add_prefix_space=False)
    return TextTokenizer(tokenizer.to_str(), max_tokens=max_tokens)


def first_tokens(tokenizer: TextTokenizer, texts: list[str]) -> list[list[str | None]]:
    windows = WordTokenizer(tokenizer).encode(texts, words_of_texts(texts))
    ids = Ragged(windows.encoded.ids[windows.places], windows.text_words)
    return [[tokenizer.token(int(number)) for number in row] for row in ids]


def test_the_place_of_a_word_is_its_first_token() -> None:
    assert first_tokens(wordpiece(), ["Ab, cde f", "", "j"]) == [["a", ",", "c", "f"], [], ["j"]]


def test_a_text_of_words_has_the_tokens_of_the_text() -> None:
    texts = ["ab cde.", "J, f", "a"]
    windows = WordTokenizer(wordpiece()).encode(texts, words_of_texts(texts))
    whole = wordpiece().encode(texts)
    assert [row.ids.tolist() for row in windows.encoded] == [row.ids.tolist() for row in whole]


def test_a_space_before_a_word_is_a_part_of_its_first_token_where_the_tokenizer_has_it_so() -> None:
    assert first_tokens(byte_level(), ["ab ab.ab"]) == [["a", "Ġab", ".", "a"]]
    text = "ab ab.ab  \U0001f600"
    words = WordTokenizer(byte_level()).encode([text.rstrip()], words_of_texts([text]))
    assert words.encoded.ids.tolist() == byte_level().encode(["ab ab.ab \U0001f600"]).ids.tolist()


def test_a_word_without_tokens_is_read_as_unknown() -> None:
    windows = WordTokenizer(wordpiece()).encode(["a \u200b b"], words_of_texts(["a \u200b b"]))
    assert [wordpiece().token(int(number)) for number in windows.encoded.ids] == ["[CLS]", "a", "[UNK]", "b", "[SEP]"]


def test_type_ids_mark_all_tokens_of_one_word() -> None:
    texts = ["ab cd", "a"]
    windows = WordTokenizer(wordpiece()).encode(texts, words_of_texts(texts), marked=np.array([1, -1]))
    assert [row.type_ids.tolist() for row in windows.encoded] == [[0, 0, 0, 1, 1, 0], [0, 0, 0]]


def test_windows_without_the_marked_word_are_told() -> None:
    texts = ["a b c d e f g h i j a b c d e f", "a b", "a b c d e f g h i j a b c d e f"]
    marked = np.array([1, 0, -1])
    windows = WordTokenizer(wordpiece()).encode(texts, words_of_texts(texts), marked=marked)
    seen = [1 in row.type_ids.tolist() for row in windows.encoded]
    assert seen == [True, False, True, False, False], "two texts are long, and one of them has a marked word"
    assert windows.encoded.truncated.tolist() == [False, True, False, False, False]
    assert windows.truncated.tolist() == [True, False, False]


def test_a_model_without_types_reads_stars_around_the_marked_word() -> None:
    content = json.loads(wordpiece().json_text)
    content["model"]["vocab"]["*"] = len(content["model"]["vocab"])
    tokenizer = TextTokenizer(json.dumps(content), max_tokens=12)
    texts = ["ab cd", "a"]
    reader = WordTokenizer(tokenizer, types=False)
    windows = reader.encode(texts, words_of_texts(texts), marked=np.array([0, -1]))
    read = [[tokenizer.token(number) for number in row.ids.tolist()] for row in windows.encoded]
    assert read == [["[CLS]", "*", "a", "##b", "*", "c", "##d", "[SEP]"], ["[CLS]", "a", "[SEP]"]]
    assert windows.places.tolist() == [2, 5, 9]
    assert not windows.encoded.type_ids.any()


@given(some.lists(some.integers(1, 5), min_size=1, max_size=60), some.integers(20, 40))
def test_cores_tile_a_text_and_have_context_on_both_sides(counts: list[int], room: int) -> None:
    spans, at = window_spans(counts, room), 0
    for first, last, core, end in spans:
        assert core == at < end and first <= core and end <= last <= len(counts)
        assert sum(counts[first:last]) <= room
        assert first == 0 or sum(counts[first:core]) > room // 4 - max(counts)
        assert last == len(counts) or sum(counts[end:last]) >= room // 4 or end == core + 1
        at = end
    assert at == len(counts)


@settings(max_examples=50)
@given(some.lists(some.text("abj. ", max_size=60), min_size=1, max_size=5))
def test_each_word_is_judged_once_and_alone_as_in_company(texts: list[str]) -> None:
    reader = WordTokenizer(wordpiece())
    together = reader.encode(texts, words_of_texts(texts))
    assert len(together.places) == len(words_of_texts(texts).values)
    assert len(np.unique(together.places)) == len(together.places)
    assert (together.encoded.lengths <= 12).all()
    for text, rows in enumerate(zip(together.text_rows, together.text_rows[1:], strict=False)):
        alone = reader.encode(texts[text : text + 1], words_of_texts(texts[text : text + 1]))
        own = together.encoded[int(rows[0]) : int(rows[1])]
        np.testing.assert_array_equal(alone.encoded.ids, own.ids)
        first, last = together.text_words[text : text + 2]
        start = together.encoded.offsets[rows[0]]
        np.testing.assert_array_equal(alone.places, together.places[first:last] - start)


def test_a_word_of_more_tokens_than_a_quarter_of_a_window_is_cut_where_the_text_does_not_fit() -> None:
    texts = ["a" * 9 + " b c", "a" * 9 + " b", "a b"]
    windows = WordTokenizer(wordpiece()).encode(texts, words_of_texts(texts))
    assert windows.truncated.tolist() == [True, False, False]
    assert windows.encoded.lengths.tolist() == [6, 12, 4]
    assert len(windows.places) == 7


def test_a_word_of_more_characters_than_are_read_is_marked_and_not_kept() -> None:
    texts = ["a" * 2000, "a b"]
    reader = WordTokenizer(wordpiece())
    assert reader.encode(texts, words_of_texts(texts)).truncated.tolist() == [True, False]
    assert set(reader._pieces._kept) == {"a", "b"}


def test_places_beyond_a_text_and_marks_beyond_its_words_are_told() -> None:
    words = words_of_texts(["a b", "c"])
    assert misplaced(["a b", "c"], words, np.array([1, -1])) == ""
    assert misplaced(["a b", ""], words) == "words of text 1 that are not in it, or not in order"
    assert misplaced(["a b", "c"], words, np.array([2, 0])) == "the marked word 2 of text 0, which has 2"


def test_rows_of_a_batch_say_where_their_words_are() -> None:
    texts = ["ab cd", "", "e"]
    windows = WordTokenizer(wordpiece()).encode(texts, words_of_texts(texts))
    words, places, columns = windows.in_rows(np.array([1, 0]))
    assert (words.tolist(), places.tolist(), columns.tolist()) == ([2, 0, 1], [0, 1, 1], [1, 1, 3])
    assert windows.text_of_row.tolist() == [0, 2]


def test_a_tokenizer_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ModelError, match="leaves room for 2 tokens"):
        WordTokenizer(wordpiece(4))


def test_a_tokenizer_without_special_tokens_around_a_text_works_too() -> None:
    content = json.loads(wordpiece().json_text) | {"post_processor": None}
    windows = WordTokenizer(TextTokenizer(json.dumps(content), max_tokens=12)).encode(["a b"], words_of_texts(["a b"]))
    assert windows.places.tolist() == [0, 1]
