"""Texts as token ids in files: what is stored, in which memory, and in which order it is read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from liteft.data.text_streams import MOST_CHARACTERS, open_texts
from liteft.errors import DataError
from liteft.pretraining.draws import permuted
from liteft.pretraining.order import CorpusOrder, held_out
from liteft.pretraining.packing import Sequences, pack, read_sequences, word_starts


@pytest.fixture
def tokenizer() -> Tokenizer:
    """A WordPiece tokenizer of BERT's kind."""
    tokens = ["[UNK]", *"abcdefgh", *(f"##{letter}" for letter in "abcdefgh"), "北", "京", "."]
    made = Tokenizer(models.WordPiece({token: row for row, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return made


def packed(texts: list[str], tokenizer: Tokenizer, folder: Path, most: int = 6) -> Sequences:
    pack(texts, tokenizer, folder / "texts", most_tokens=most, unknown=0)
    return read_sequences(folder / "texts")


def test_a_long_text_becomes_sequences_of_almost_equal_length_and_short_ones_are_not_joined(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    found = packed(["abc d", "abcdefg", "h"], tokenizer, tmp_path)
    assert found.lengths(np.arange(len(found))).tolist() == [4, 3, 4, 1]
    ids, begins = found.read(np.array([0, 3]))
    assert [tokenizer.id_to_token(each) for each in ids] == ["a", "##b", "##c", "d", "h"]
    assert begins.tolist() == [True, False, False, True, True]
    assert found.texts == 3 and found.tokens.dtype == np.uint16


def test_unknown_tokens_are_counted_and_texts_without_tokens_are_left_out(tmp_path: Path, tokenizer: Tokenizer) -> None:
    found = packed(["a", "\u200b", "xyz"], tokenizer, tmp_path)
    assert (found.texts, found.unknown) == (2, 0.5)
    with pytest.raises(DataError, match="no text to learn from") as caught:
        pack(["\u200b"], tokenizer, tmp_path / "none", most_tokens=6)
    assert caught.value.accepted and caught.value.fix
    assert not (tmp_path / "none").exists()


def test_in_scripts_without_spaces_each_character_is_a_word(tokenizer: Tokenizer) -> None:
    assert word_starts(tokenizer.encode("北京ab"), "北京ab").tolist() == [True, True, True, False]
    split = Tokenizer(models.BPE({"▁": 0, "北": 1, "京": 2, "a": 3, "b": 4}, []))
    split.pre_tokenizer = pre_tokenizers.Metaspace()
    text = "北京ab ab"
    assert word_starts(split.encode(text), text).tolist() == [True, False, True, True, False, True, False, False]


def test_memory_does_not_grow_with_the_number_of_texts(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "many.txt"
    peaks = []
    for count in (1_500, 9_000):
        path.write_text("abc abc defg hab\n" * count)
        tracemalloc.start()
        pack(open_texts([path]).texts(), tokenizer, tmp_path / str(count), most_tokens=64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]  # of six times as many texts


def test_a_text_of_any_length_is_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("word " * MOST_CHARACTERS)
    parts = list(open_texts([path]).texts())
    assert len(parts) == 6 and max(map(len, parts)) <= MOST_CHARACTERS
    assert " ".join(parts).split() == ["word"] * MOST_CHARACTERS


def test_a_row_that_is_not_a_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": 3}\n')
    with pytest.raises(DataError, match=r"rows.jsonl, line 2: the text is a number"):
        list(open_texts([path]).texts())


def test_a_fingerprint_follows_the_content_and_an_unchanged_file_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, record = tmp_path / "texts.txt", tmp_path / "record.json"
    path.write_text("one\n")
    stream = open_texts([path])
    first = stream.fingerprint(record)
    stream.remember(record)
    with monkeypatch.context() as patch:
        patch.setattr("liteft.files.sha256_once", None)
        assert stream.fingerprint(record) == first
    path.write_text("two\n")
    assert stream.fingerprint(record) != first
    assert open_texts([["one"]]).fingerprint(record) != open_texts([["two"]]).fingerprint(record)


@pytest.mark.parametrize("count", [1, 2, 3, 64, 1000])
def test_a_permutation_has_every_number_once(count: int) -> None:
    found = permuted(np.arange(count), count, 5, 1)
    assert sorted(found.tolist()) == list(range(count))
    if count > 3:
        assert (found != permuted(np.arange(count), count, 5, 2)).any()


@pytest.fixture
def many(tmp_path: Path, tokenizer: Tokenizer) -> Sequences:
    """Sequences of 1 to 9 tokens, 900 texts that are different."""
    letters = "abcdefgh"
    texts = [
        f"{' '.join(letters[(number + each) % 8] for each in range(number % 8))} {number}" for number in range(900)
    ]
    return packed(texts, tokenizer, tmp_path, most=16)


def order_of(many: Sequences, validation: np.ndarray, epoch: int) -> list[tuple[int, int]]:
    order = CorpusOrder(many, validation, batch_size=4, seed=1)
    order.set_epoch(epoch)
    return list(order)


def test_an_epoch_has_every_sequence_once_but_those_held_out(many: Sequences) -> None:
    validation = held_out(many, 0.05, seed=1)
    assert 40 <= len(validation) <= 50
    first, again, second = (order_of(many, validation, epoch) for epoch in (0, 0, 1))
    rows = [row for _, row in first]
    assert sorted([*rows, *validation.tolist()]) == list(range(900))
    assert first == again != second
    assert {epoch for epoch, _ in second} == {1}


def test_batches_have_similar_lengths(many: Sequences) -> None:
    rows = np.array([row for _, row in order_of(many, np.array([3]), 0)])
    lengths = many.lengths(rows[: len(rows) // 4 * 4]).reshape(-1, 4)
    assert np.ptp(lengths, axis=1).mean() < 0.5


def test_equal_texts_are_held_out_together_or_not_at_all(tmp_path: Path, tokenizer: Tokenizer) -> None:
    texts = [text for text in ("a b", "c d", "e f", "g h", "a c", "b d") for _ in range(10)]
    found = packed(texts, tokenizer, tmp_path)
    validation = held_out(found, 0.02, seed=0)
    assert len(validation) == 10
    assert len({texts[row] for row in validation}) == 1


@pytest.mark.parametrize("fraction", [0.01, 0.05])
def test_few_texts_that_are_often_repeated_are_not_all_held_out(
    tmp_path: Path, tokenizer: Tokenizer, fraction: float
) -> None:
    found = packed([f"a {letter}" for letter in "abcdefgh"] * 100, tokenizer, tmp_path)
    for seed in range(5):
        assert len(held_out(found, fraction, seed)) == 100


def test_a_text_that_is_most_of_the_corpus_is_trained_on(tmp_path: Path, tokenizer: Tokenizer) -> None:
    texts = [f"a {number}" for number in range(100)] + ["b"] * 300
    found = packed(texts, tokenizer, tmp_path)
    for seed in range(30):
        assert 1 <= len(held_out(found, 0.1, seed)) <= 80


def test_ids_of_a_vocabulary_with_gaps_are_stored_whole(tmp_path: Path) -> None:
    gaps = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "far": 40_000}, unk_token="[UNK]"))
    gaps.pre_tokenizer = pre_tokenizers.Whitespace()
    ids, _ = packed(["a far"], gaps, tmp_path).read(np.array([0]))
    assert ids.tolist() == [1, 40_000]


def test_texts_that_are_all_equal_leave_nothing_to_train_on(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="none of 3 texts is left to train on"):
        held_out(packed(["a"] * 3, tokenizer, tmp_path), 0.01, seed=0)
