"""Questions and contexts as rows of tokens: every word in a row, places exact, targets where the answer is whole."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from liteft.answer_labels import AnswerLabels
from liteft.answer_spans import BEGIN, STOP, AnswerForm, best_spans
from liteft.answer_windows import AnswerTokenizer, AnswerWindows, overlapping_spans
from liteft.errors import ModelError
from liteft.ragged import offsets_of
from liteft.tokenization import TextTokenizer
from liteft.words import find_words

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefgh")]
CONTEXT = "The café’s 😀 is open.\r\nשלום עולם! 中文字 e\u0301t\u0301 \t end"
LETTERS = st.sampled_from([*"abcdef .,'\t\r\n", "\xe9", "😀", "中", "文", "ש", "\u200d", "\u0301", "\x07"])


def bert(max_tokens: int) -> TextTokenizer:
    """Return a WordPiece tokenizer of letters: a word has as many tokens as it has letters, or is unknown."""
    vocabulary = {piece: row for row, piece in enumerate(PIECES)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return TextTokenizer(tokenizer.to_str(), max_tokens=max_tokens)


def roberta(max_tokens: int) -> TextTokenizer:
    """Return a byte-level tokenizer whose pairs are <s> A </s></s> B </s>, all of type 0."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {piece: row for row, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *sorted(alphabet)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return TextTokenizer(tokenizer.to_str(), max_tokens=max_tokens)


def shown(windows: AnswerWindows, row: int, tokenizer: TextTokenizer) -> str:
    return " ".join(str(tokenizer.token(number)) for number in windows.encoded[row].ids.tolist())


def check_places(windows: AnswerWindows, contexts: list[str]) -> None:
    """Check that every word of each context is in a row, and that rows begin with their first token."""
    texts = windows.text_of_row
    seen: list[set[tuple[int, int]]] = [set() for _ in contexts]
    for row, text in enumerate(texts.tolist()):
        units = slice(int(windows.row_units[row]), int(windows.row_units[row + 1]))
        spans = list(zip(windows.begin[units].tolist(), windows.stop[units].tolist(), strict=True))
        assert spans[0] == (-1, -1) and windows.unit_first[units][0] == windows.encoded.offsets[row]
        words = find_words(contexts[text])
        first = int(windows.row_words[row])
        assert spans[1:] == words[first : first + len(spans) - 1]
        seen[text] |= set(spans[1:])
        tokens = windows.tokens[units]
        assert (tokens == windows.unit_last[units] - windows.unit_first[units] + 1).all() and (tokens > 0).all()
        assert (windows.unit_first[units][2:] == windows.unit_last[units][1:-1] + 1).all()
    assert seen == [set(find_words(context)) for context in contexts]


@pytest.mark.parametrize("kind", [bert, roberta])
def test_a_row_is_what_the_library_makes_of_a_pair(kind: type) -> None:
    tokenizer = kind(64)
    pairs = [("a b c", "d ea b"), ("", "a"), ("c", ""), ("a", "b, c d!")]
    windows = AnswerTokenizer(tokenizer).encode(*map(list, zip(*pairs, strict=True)))
    own = tokenizer.encode(*map(list, zip(*pairs, strict=True)))
    assert windows.encoded.ids.tolist() == own.ids.tolist()
    assert windows.encoded.type_ids.tolist() == own.type_ids.tolist()
    assert windows.text_rows.tolist() == [0, 1, 2, 3, 4] and not windows.truncated.any()


@pytest.mark.parametrize("kind", [bert, roberta])
def test_places_are_exact_among_emoji_marks_line_ends_and_scripts(kind: type) -> None:
    windows = AnswerTokenizer(kind(40), AnswerForm(stride=8)).encode(["a b"], [CONTEXT])
    assert len(windows.encoded) > 1 or kind is bert
    check_places(windows, [CONTEXT])
    assert int(windows.encoded.lengths.max()) <= 40


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.text(LETTERS, max_size=12), st.text(LETTERS, max_size=80)), max_size=5),
    st.integers(12, 40),
    st.integers(0, 30),
)
def test_every_word_of_a_context_is_in_a_row(pairs: list[tuple[str, str]], max_tokens: int, stride: int) -> None:
    questions, contexts = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    windows = AnswerTokenizer(bert(max_tokens), AnswerForm(stride=stride, max_question=6)).encode(questions, contexts)
    check_places(windows, contexts)
    assert (windows.encoded.lengths <= max_tokens).all()
    assert len(windows.text_rows) == len(pairs) + 1 and (np.diff(windows.text_rows) >= 1).all()


@given(st.lists(st.integers(1, 8), min_size=1, max_size=60), st.integers(0, 16))
def test_windows_end_one_after_the_other_and_share_the_stride(counts: list[int], stride: int) -> None:
    before = offsets_of(counts)
    spans = overlapping_spans(before, 32, stride)
    assert spans[0][0] == 0 and spans[-1][1] == len(counts)
    for (first, last), (start, end) in itertools.pairwise(spans):
        assert first < start <= last < end and before[last] - before[start] >= stride
    assert all(before[last] - before[first] <= 32 for first, last in spans)


def test_a_long_question_is_cut_and_marked() -> None:
    windows = AnswerTokenizer(bert(40), AnswerForm(max_question=5)).encode(["a b c d e f g", "a b"], ["c", "c"])
    assert windows.encoded.lengths.tolist() == [9, 6] and windows.truncated.tolist() == [True, False]
    assert AnswerTokenizer(bert(40)).encode(["a" + " " * 5000], ["c"]).truncated.tolist() == [True]


def test_an_answer_is_the_target_of_the_rows_that_have_it_whole() -> None:
    context = " ".join("abcdefghij" * 3)
    labels = AnswerLabels.found([[(20, 23)], [], [(1, 3)]], [context, context, "abcd e"])
    windows = AnswerTokenizer(bert(20), AnswerForm(stride=4)).encode(["x y"] * 3, [context, context, "abcd e"])
    targets = windows.targets(labels)
    texts = windows.text_of_row
    assert (targets[texts == 1] == 0).all()
    found = 0
    for row in np.flatnonzero(texts == 0).tolist():
        units = np.arange(windows.row_units[row], windows.row_units[row + 1])
        first, last = targets[row].tolist()
        whole = {20, 22} <= set(windows.begin[units].tolist())
        assert whole == (first > 0)
        if whole:
            found += 1
            assert context[windows.begin[units[first]] : windows.stop[units[last]]] == "a b"
    assert found >= 1
    assert targets[texts == 2].tolist() == [[1, 1]]  # widened to a whole word
    assert windows.answer_words(labels)[2].tolist() == [False, True]
    assert set(windows.target_tokens(targets).tolist()) == {2}  # "a b", and what is read of "abcd"


def test_an_answer_without_a_word_is_no_target() -> None:
    labels = AnswerLabels.found([[(1, 2)]], ["a b"])
    windows = AnswerTokenizer(bert(20)).encode(["c"], ["a b"])
    assert windows.targets(labels).tolist() == [[0, 0]]


def test_logits_of_tokens_become_those_of_words_by_first_and_last_token() -> None:
    tokenizer = bert(40)
    windows = AnswerTokenizer(tokenizer).encode(["c"], ["abc d"])
    assert shown(windows, 0, tokenizer) == "[CLS] c [SEP] a ##b ##c d [SEP]"
    tokens = np.arange(16, dtype=np.float32).reshape(8, 2)
    logits = windows.of_texts(tokens)
    assert logits[0].tolist() == [[0, 1, -1, -1, 30], [6, 11, 0, 3, 3], [12, 13, 4, 5, 1]]
    units, places, first, last = windows.in_rows(np.array([0]))
    assert (first.tolist(), last.tolist()) == ([0, 3, 6], [0, 5, 6]) and units.tolist() == [0, 1, 2]
    assert not places.any()


def test_a_span_that_is_found_is_a_part_of_the_context() -> None:
    generator = np.random.default_rng(0)
    windows = AnswerTokenizer(roberta(48), AnswerForm(stride=8)).encode(["a b", "c"], [CONTEXT, CONTEXT[::-1]])
    logits = windows.of_texts(generator.normal(size=(len(windows.encoded.ids), 2)).astype(np.float32))
    begins, stops = (set(logits.values[:, column].astype(int)) for column in (BEGIN, STOP))
    for begin, stop in best_spans(logits).places.tolist():
        assert begin in begins and stop in stops and begin < stop


def test_a_tokenizer_without_special_tokens_in_pairs_is_refused() -> None:
    content = json.loads(bert(40).json_text)
    content["post_processor"] = None
    with pytest.raises(ModelError, match="does not write a pair"):
        AnswerTokenizer(TextTokenizer(json.dumps(content), max_tokens=40))
    with pytest.raises(ModelError, match="leaves room for 7 tokens"):
        AnswerTokenizer(bert(10))


def test_rows_of_other_tokens_are_taught_nothing() -> None:
    read = (["c", "d e"], ["abc d e f", "a b"])
    windows = AnswerTokenizer(bert(40)).encode(*read)
    logits = windows.of_texts(np.arange(2 * len(windows.encoded.ids), dtype=np.float32).reshape(-1, 2))
    longer = AnswerTokenizer(bert(40), AnswerForm(max_answer=50)).encode(*read)
    taught = longer.taught(logits)
    assert taught is not None and taught.tolist() == logits.values[:, :BEGIN].tolist()
    assert AnswerTokenizer(bert(12), AnswerForm(stride=1)).encode(*read).taught(logits) is None
    assert AnswerTokenizer(roberta(40)).encode(*read).taught(logits) is None
