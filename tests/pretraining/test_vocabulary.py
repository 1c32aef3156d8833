"""Vocabularies trained on texts: their forms, their special tokens, and that they depend on the texts alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from liteft.errors import ConfigError
from liteft.pretraining.vocabulary import SPECIAL_TOKENS, VocabularyKind, sample_of, train_vocabulary
from tests.pretraining.conftest import make_texts

KINDS: tuple[VocabularyKind, ...] = ("wordpiece", "bpe", "unigram")
SIZES = {"wordpiece": 150, "bpe": 320, "unigram": 60}
ROOT = Path(__file__).resolve().parents[2]
HASH = """
import hashlib, sys
from liteft.pretraining.vocabulary import train_vocabulary
from tests.pretraining.conftest import make_texts
for kind, size in (("wordpiece", 150), ("bpe", 320), ("unigram", 60)):
    print(hashlib.sha256(train_vocabulary(make_texts(200), kind=kind, size=size).to_str().encode()).hexdigest())
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_vocabulary_splits_words_into_parts_and_puts_special_tokens_around(kind: VocabularyKind) -> None:
    tokenizer = train_vocabulary(make_texts(200), kind=kind, size=SIZES[kind])
    named = SPECIAL_TOKENS[kind]
    assert [tokenizer.id_to_token(number) for number in range(5)] == list(named.values())
    assert 0.5 * SIZES[kind] < tokenizer.get_vocab_size() <= SIZES[kind]
    found = tokenizer.encode("anna reads letters")
    assert (found.tokens[0], found.tokens[-1]) == (named["cls"], named["sep"])
    assert len(found.tokens) < 10 and named["unk"] not in found.tokens
    assert tokenizer.decode(found.ids).strip() == "anna reads letters"
    assert tokenizer.encode(f"a {named['mask']}").tokens.count(named["mask"]) == 1
    pair = tokenizer.encode("anna", "bert").tokens
    assert pair.count(named["sep"]) == (2 if kind == "wordpiece" else 3)


def test_wordpiece_makes_each_chinese_character_a_word_and_keeps_the_case_only_if_asked() -> None:
    texts = [*make_texts(100), "北京 Anna", "北海"]
    tokenizer = train_vocabulary(texts, kind="wordpiece", size=160)
    assert tokenizer.encode("北京Anna").tokens[1:3] == ["北", "京"]
    assert tokenizer.token_to_id("##北") is None
    assert tokenizer.encode("ANNA").ids == tokenizer.encode("anna").ids
    cased = train_vocabulary(texts, kind="wordpiece", size=160, lowercase=False)
    assert cased.encode("Anna").ids != cased.encode("anna").ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_depends_on_the_texts_alone(kind: VocabularyKind) -> None:
    found = {train_vocabulary(make_texts(200), kind=kind, size=SIZES[kind]).to_str() for _ in range(3)}
    assert len(found) == 1


@pytest.mark.slow
def test_a_vocabulary_is_the_same_in_each_process_and_with_any_number_of_threads() -> None:
    found = set()
    for threads in ("1", "3"):
        done = subprocess.run(
            [sys.executable, "-c", HASH],
            env=os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1 and len(found.pop().split()) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_without_room_for_more_than_characters_is_refused(kind: VocabularyKind) -> None:
    with pytest.raises(ConfigError, match="a vocabulary of 6 tokens has no room") as caught:
        train_vocabulary(make_texts(20), kind=kind, size=6)
    assert caught.value.accepted and caught.value.fix


def test_a_large_corpus_is_represented_by_texts_from_everywhere() -> None:
    texts = [f"text {number:05d}" for number in range(2000)]
    found = sample_of(texts, most_characters=5000)
    assert 2000 < sum(map(len, found)) <= 5000
    assert found == sorted(found) and found == sample_of(iter(texts), most_characters=5000)
    assert found[0] < "text 00050" and found[-1] > "text 01950"
    assert sample_of(texts) == texts
