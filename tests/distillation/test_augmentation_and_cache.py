"""Augmentation are a function of seed, epoch and row; the cache is keyed by what it depends on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset, Split
from liteft.distillation import cache
from liteft.distillation.augmentation import AugmentingCollator, augmented
from liteft.distillation.cache import teacher_logits
from liteft.distillation.text_augmentation import TextAugmentingCollator, augmented_text
from liteft.errors import ConfigError
from liteft.finetuning.fit import encode_rows
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.locks import one_writer
from liteft.tokenization import TextTokenizer


def view(kind: str, ids: list[int], continues: set[int], seed: int) -> list[int]:
    known = np.zeros(100, dtype=bool)
    known[list(continues)] = True
    array = np.array(ids, dtype=np.int32)
    found, types = augmented(
        array,
        np.zeros_like(array),
        kind=kind,  # type: ignore[arg-type]
        mask_id=4,
        continues=known,
        random=np.random.default_rng(seed),
    )
    assert found.shape == types.shape and found.dtype == np.int32
    return found.tolist()


def test_masking_hides_whole_words_a_tenth_of_them() -> None:
    ids = [2, 10, 11, 12, 20, 21, 30, 3]  # the words 10-11-12, 20-21 and 30 between two special tokens
    seen = [view("mask", ids, {11, 12, 21}, seed) for seed in range(2000)]
    assert all(one[0] == 2 and one[-1] == 3 for one in seen)
    words = {(10, 11, 12), (20, 21), (30,), (4,)}
    for one in seen[:200]:
        rest = one[1:-1]
        while rest:
            word = next(word for word in words if tuple(rest[: len(word)]) == word)
            rest = rest[len(word) :]
    masked = sum(one.count(4) for one in seen) / (3 * len(seen))
    assert 0.08 < masked < 0.12


def test_an_ngram_is_a_run_of_whole_words() -> None:
    ids = [2, 10, 11, 20, 30, 31, 3]
    runs = {(10, 11), (20,), (30, 31), (10, 11, 20), (20, 30, 31), (10, 11, 20, 30, 31)}
    seen = {tuple(view("ngram", ids, {11, 31}, seed)[1:-1]) for seed in range(300)}
    assert seen == runs


@pytest.mark.parametrize("kind", ["mask", "ngram"])
def test_a_text_without_words_is_its_own_view(kind: str) -> None:
    assert view(kind, [2, 3], set(), 0) == [2, 3]


def collator(loaded: TorchClassifier, dataset: Dataset, epoch: int, kind: str = "mask") -> AugmentingCollator:
    plain = encode_rows(loaded, dataset.train)
    return AugmentingCollator(plain, kind=kind, tokenizer=loaded.tokenizer, seed=5, epoch=lambda: epoch)  # type: ignore[arg-type]


def test_views_depend_on_seed_epoch_and_row_alone(loaded: TorchClassifier, dataset: Dataset) -> None:
    rows = list(range(16))
    whole = collator(loaded, dataset, 1)(rows)["input_ids"]
    again = collator(loaded, dataset, 1)(rows)["input_ids"]
    other = collator(loaded, dataset, 2)(rows)["input_ids"]
    alone = collator(loaded, dataset, 1)([7])["input_ids"][0]
    assert whole.tolist() == again.tolist()
    assert whole.tolist() != other.tolist()
    assert whole[7, : len(alone)].tolist() == alone.tolist()


def test_about_half_of_the_rows_stay_as_they_are(loaded: TorchClassifier, dataset: Dataset) -> None:
    plain = encode_rows(loaded, dataset.train)
    same = 0
    for epoch in range(10):
        batch = collator(loaded, dataset, epoch, "ngram")(list(range(48)))
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        same += sum(length == len(plain.encoded[row].ids) for row, length in enumerate(lengths))
    assert 0.5 < same / 480 < 0.75  # an n-gram can be the whole text


def test_ngrams_of_pairs_are_refused(loaded: TorchClassifier, dataset: Dataset) -> None:
    paired = replace(dataset.train, pairs=dataset.train.texts)
    with pytest.raises(ConfigError, match="pairs"):
        AugmentingCollator(
            encode_rows(loaded, paired), kind="ngram", tokenizer=loaded.tokenizer, seed=0, epoch=lambda: 0
        )


def test_ngrams_need_no_mask_and_masks_do(loaded: TorchClassifier, dataset: Dataset) -> None:
    content = loaded.tokenizer.json_text.replace("[MASK]", "<m>").replace("[UNK]", "<u>")
    tokenizer = TextTokenizer(content, max_tokens=16)
    plain = encode_rows(loaded, dataset.train)
    assert AugmentingCollator(plain, kind="ngram", tokenizer=tokenizer, seed=0, epoch=lambda: 0)([0, 1])
    with pytest.raises(ConfigError, match="no token to mask"):
        AugmentingCollator(plain, kind="mask", tokenizer=tokenizer, seed=0, epoch=lambda: 0)


@pytest.mark.parametrize("kind", ["mask", "ngram"])
def test_views_of_texts_without_special_ends_are_refused(
    kind: str, loaded: TorchClassifier, dataset: Dataset, tiny: ModuleType, tmp_path: Path
) -> None:
    tiny.write_tokenizer(tmp_path, special=False)
    tokenizer = TextTokenizer.from_file(tmp_path / "tokenizer.json", max_tokens=16)
    with pytest.raises(ConfigError, match="special token at either end"):
        AugmentingCollator(
            encode_rows(loaded, dataset.train),
            kind=kind,
            tokenizer=tokenizer,
            seed=0,
            epoch=lambda: 0,  # type: ignore[arg-type]
        )


def two_readers(
    loaded: TorchClassifier, dataset: Dataset, epoch: int, kind: str, pairs: bool = False
) -> TextAugmentingCollator:
    """A collator for the teacher, and for a student whose pieces are the same ones in another order."""
    content = json.loads(loaded.tokenizer.json_text)
    content["model"]["vocab"] = {piece: (number + 7) % 47 for piece, number in content["model"]["vocab"].items()}
    content["post_processor"]["special_tokens"] = {
        name: {"id": name, "ids": [content["model"]["vocab"][name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")
    }
    student = replace(loaded, tokenizer=TextTokenizer(json.dumps(content), max_tokens=16))
    split = replace(dataset.train, pairs=dataset.train.texts[::-1]) if pairs else dataset.train
    return TextAugmentingCollator(
        encode_rows(student, split),
        split,
        kind=kind,  # type: ignore[arg-type]
        student=student,
        teacher=loaded,
        seed=5,
        epoch=lambda: epoch,
    )


@pytest.mark.parametrize(("kind", "pairs"), [("mask", False), ("ngram", False), ("mask", True)])
def test_teacher_and_student_see_the_same_view_each_by_its_own_ids(
    kind: str, pairs: bool, loaded: TorchClassifier, dataset: Dataset
) -> None:
    rows = list(range(48))
    made = two_readers(loaded, dataset, 1, kind, pairs)
    batch = made(rows)
    ours, theirs = batch["input_ids"], batch["teacher_input_ids"]
    real = batch["attention_mask"].bool()
    assert ((theirs + 7) % 47)[real].tolist() == ours[real].tolist()
    assert batch["teacher_attention_mask"].tolist() == batch["attention_mask"].tolist()
    plain = [made.encoded[row].ids.tolist() == ours[row][real[row]].tolist() for row in rows]
    assert 15 < sum(plain) < 45
    assert made(rows)["input_ids"].tolist() == ours.tolist()
    assert two_readers(loaded, dataset, 2, kind, pairs)(rows)["input_ids"].tolist() != ours.tolist()


def test_a_text_view_hides_a_tenth_of_the_words_for_every_reader() -> None:
    text = "a great film, 我喜歡"
    hidden = 0
    for seed in range(2000):
        first, second = augmented_text(text, kind="mask", masks=["[MASK]", "<m>"], random=np.random.default_rng(seed))
        assert first.replace("[MASK]", "<m>") == second
        hidden += second.count("<m>")
    assert 0.08 < hidden / (7 * 2000) < 0.12  # three words, a comma, three characters
    assert augmented_text(" ", kind="mask", masks=["[MASK]"], random=np.random.default_rng(0)) == [" "]


def test_a_text_ngram_is_a_run_of_words_or_characters() -> None:
    drawn = (np.random.default_rng(seed) for seed in range(300))
    seen = {augmented_text("ab, 我c", kind="ngram", masks=[""], random=random)[0] for random in drawn}
    assert seen == {"ab", ",", "我", "c", "ab,", ", 我", "我c", "ab, 我", ", 我c", "ab, 我c"}


def test_masked_texts_need_a_mask_in_both_vocabularies(loaded: TorchClassifier, dataset: Dataset) -> None:
    content = loaded.tokenizer.json_text.replace("[MASK]", "<m>").replace("[UNK]", "<u>")
    other = replace(loaded, tokenizer=TextTokenizer(content, max_tokens=16))
    plain = encode_rows(loaded, dataset.train)
    for student, teacher in ((loaded, other), (other, loaded)):
        with pytest.raises(ConfigError, match="no token to mask"):
            TextAugmentingCollator(
                plain, dataset.train, kind="mask", student=student, teacher=teacher, seed=0, epoch=lambda: 0
            )
    paired = replace(dataset.train, pairs=dataset.train.texts)
    with pytest.raises(ConfigError, match="pairs"):
        TextAugmentingCollator(plain, paired, kind="ngram", student=loaded, teacher=other, seed=0, epoch=lambda: 0)


def test_logits_are_computed_once_and_come_back_equal(
    loaded: TorchClassifier, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False)
    np.testing.assert_array_equal(first, predict_logits(loaded, dataset.train.texts))
    monkeypatch.setattr(cache, "predict_logits", lambda *_args, **_rest: pytest.fail("computed again"))
    again = teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False)
    np.testing.assert_array_equal(first, again)


def test_other_weights_or_texts_are_another_key(loaded: TorchClassifier, dataset: Dataset, tmp_path: Path) -> None:
    changed = replace(dataset.train, texts=["w1", *dataset.train.texts[1:]])
    for weights, split in (("a", dataset.train), ("b", dataset.train), ("a", changed), ("a", dataset.validation)):
        teacher_logits(loaded, weights, split, folder=tmp_path, bf16=False)
    assert len(list(tmp_path.glob("*.npy"))) == 4


@pytest.mark.parametrize("left", [0, 200])
def test_a_torn_cache_file_is_computed_again(
    left: int, loaded: TorchClassifier, dataset: Dataset, tmp_path: Path
) -> None:
    first = teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:left])
    np.testing.assert_array_equal(teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False), first)


@pytest.mark.parametrize("large", [40, 10**6])
def test_one_process_at_a_time_writes_the_logits_of_a_pool_and_others_wait(
    loaded: TorchClassifier, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(cache, "LARGE", large)
    monkeypatch.setattr(cache, "_LOOK", 0.01)
    first = teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False)
    (file,) = tmp_path.iterdir()
    expected = np.array(first)
    whole = file.read_bytes()
    file.unlink()
    other, lines = one_writer(tmp_path / f"{file.name}.lock", target=file), []

    def finished(line: str) -> None:  # the other one finishes while this one waits
        lines.append(line)
        file.write_bytes(whole)
        other.__exit__(None, None, None)

    other.__enter__()
    found = teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False, tell=finished)
    np.testing.assert_array_equal(found, expected)
    assert [line.startswith("waiting for the logits that another training computes") for line in lines] == [True]


@pytest.mark.parametrize("most", [10**9, 1])
def test_logits_of_a_large_pool_are_mapped_and_go_on_where_a_kill_ended_them(
    loaded: TorchClassifier, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(cache, "LARGE", 40)
    monkeypatch.setattr(cache, "_CHUNK", 10)
    monkeypatch.setattr(cache, "_MOST_FLOAT32", most)
    asked: list[int] = []

    def killed(model: Any, split: Split, **rest: Any) -> np.ndarray:
        asked.append(len(split))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return predict_logits(model, split, **rest)

    monkeypatch.setattr(cache, "predict_logits", killed)
    with pytest.raises(KeyboardInterrupt):
        teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False)
    (part,) = tmp_path.iterdir()
    with open(part, "ab") as file:
        file.write(b"half a row")
    found = teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False)
    assert asked == [10, 10, 10, 10, 10, 8] and isinstance(found, np.memmap)
    assert found.dtype == (np.float16 if most == 1 else np.float32)
    np.testing.assert_allclose(found, predict_logits(loaded, dataset.train.texts), rtol=2e-3, atol=2e-3)
    again = teacher_logits(loaded, "a", dataset.train, folder=tmp_path, bf16=False)
    assert len(asked) == 6 and len([*tmp_path.iterdir()]) == 1
    np.testing.assert_array_equal(again, found)
