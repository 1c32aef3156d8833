"""A trimmed classifier is the one before on every text whose pieces were kept, bit for bit; the proof can fail."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from liteft.data import Dataset, Split
from liteft.errors import ModelError, VerificationError
from liteft.finetuning.base import create_classifier
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier, load_classifier, save_classifier
from liteft.finetuning.settings import ModelSettings
from liteft.tasks import task_named
from liteft.tokenization import TextTokenizer
from liteft.trimming import prove_trimming, trim_classifier, write_tokenizer_files
from liteft.trimming.proof import trimming_text


def test_texts_of_kept_pieces_have_the_same_logits(loaded: TorchClassifier, dataset: Dataset, tmp_path: Path) -> None:
    """Those that lost a piece have other ones; and the saved folder is the same classifier."""
    before = predict_logits(loaded, dataset.validation.texts)
    trimmed, vocabulary = trim_classifier(loaded, [dataset.train], most=100)
    after = predict_logits(trimmed, dataset.validation.texts)
    lost = np.array(["unused" in text for text in dataset.validation.texts])
    assert 0 < lost.sum() < len(lost)
    # Alone and in a batch a text may differ in its last bits, so each half is computed in equal batches.
    kept = [text for text, one in zip(dataset.validation.texts, lost, strict=True) if not one]
    np.testing.assert_array_equal(predict_logits(loaded, kept), predict_logits(trimmed, kept))
    assert (before[lost] != after[lost]).any(axis=1).all()
    write_tokenizer_files(vocabulary, loaded.path, tmp_path)
    save_classifier(trimmed.model, trimmed.settings, tmp_path, tmp_path)
    np.testing.assert_array_equal(predict_logits(load_classifier(tmp_path), dataset.validation.texts), after)


def test_the_configuration_says_the_new_size_and_ids_and_the_old_classifier_stays(
    loaded: TorchClassifier, dataset: Dataset
) -> None:
    size = loaded.config.vocab_size
    loaded.config.eos_token_id, loaded.config.bos_token_id = 3, size - 1
    try:
        trimmed, vocabulary = trim_classifier(loaded, [dataset.train], most=100)
    finally:
        loaded.config.eos_token_id = loaded.config.bos_token_id = None
    config = trimmed.config
    assert config.vocab_size == len(vocabulary.tokens) == trimmed.tokenizer.vocabulary_size < size
    assert (config.pad_token_id, config.eos_token_id) == (0, 3)
    assert config.bos_token_id == np.flatnonzero(vocabulary.old_ids == size - 1)[0]
    assert loaded.config.vocab_size == size == loaded.model.get_input_embeddings().num_embeddings
    (table,) = (tensor for name, tensor in trimmed.model.state_dict().items() if "word_embeddings" in name)
    assert table.shape[0] == config.vocab_size


def test_a_piece_that_is_new_starts_as_the_mean_of_those_that_hold_it(
    loaded: TorchClassifier, dataset: Dataset
) -> None:
    content = json.loads(loaded.tokenizer.json_text)
    del content["model"]["vocab"]["##w"]
    content["model"]["vocab"] = {piece: number for number, piece in enumerate(content["model"]["vocab"])}
    content["model"]["vocab"]["ewe"] = content["model"]["vocab"].pop("w0")
    edited = replace(loaded, tokenizer=TextTokenizer(json.dumps(content), max_tokens=16))
    trimmed, vocabulary = trim_classifier(edited, [dataset.train], most=100)
    number = vocabulary.tokens.index("##w")
    table = trimmed.model.get_input_embeddings().weight
    old = loaded.model.get_input_embeddings().weight
    assert vocabulary.old_ids[number] == -1
    torch.testing.assert_close(table[number], old[content["model"]["vocab"]["ewe"]])


def test_the_proof_counts_what_is_read_as_before(loaded: TorchClassifier, dataset: Dataset) -> None:
    trimmed, vocabulary = trim_classifier(loaded, [dataset.train], most=100)
    split = Split("some", ["w1 w2 unused1 red0", "red0", "", "??"], None, None)
    proof = prove_trimming(loaded, trimmed, vocabulary, split)
    assert proof["unchanged_texts"] == 3 / 4 and proof["logits_compared"] == 3
    assert proof["unchanged_tokens"] == 6 / 7  # "unused1" is one of seven tokens, and became seven
    assert proof["more_tokens"] == pytest.approx(6 / 7)
    assert proof["unknown_texts"] == [0.25, 0.25]
    assert "85.7% of the tokens and 75.0% of 4 texts" in trimming_text(proof)
    empty = prove_trimming(loaded, trimmed, vocabulary, Split("none", [], None, None))
    assert empty["unchanged_texts"] is None and "tokenized as before" not in trimming_text(empty)


@pytest.mark.parametrize("broken", ["rows", "ids", "unknown", "pieces"])
def test_the_proof_fails_for_a_wrong_classifier(broken: str, loaded: TorchClassifier, dataset: Dataset) -> None:
    trimmed, vocabulary = trim_classifier(loaded, [dataset.train], most=100)
    content = json.loads(vocabulary.json_text)
    pieces = content["model"]["vocab"]
    if broken == "rows":
        with torch.no_grad():
            trimmed.model.get_input_embeddings().weight[pieces["green0"]] += 1
    elif broken == "ids":
        pieces["green0"], pieces["green1"] = pieces["green1"], pieces["green0"]
    elif broken == "unknown":  # "unused1" has no way down to its characters
        pieces["##zz"] = pieces.pop("##u")
        pieces["##zzz"] = pieces.pop("##n")
    else:
        pieces["zz"] = pieces.pop("green0")
    if broken != "rows":
        trimmed = replace(trimmed, tokenizer=TextTokenizer(json.dumps(content), max_tokens=16))
    with pytest.raises(VerificationError, match="is not equivalent to the whole one") as caught:
        prove_trimming(loaded, trimmed, vocabulary, dataset.validation)
    assert {"rows": "logits", "unknown": "unknown word"}.get(broken, "tokenized differently") in caught.value.message


def test_pairs_are_proved_with_their_types(loaded: TorchClassifier, dataset: Dataset) -> None:
    validation = dataset.validation
    paired = replace(validation, pairs=validation.texts[::-1])
    trimmed, vocabulary = trim_classifier(loaded, [dataset.train], most=100)
    proof = prove_trimming(loaded, trimmed, vocabulary, paired)
    assert 0 < proof["logits_compared"] < len(paired)


@pytest.mark.parametrize("family", ["distilbert", "electra"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_other_families_are_trimmed_too(
    family: str, pooling: str, base: Path, dataset: Dataset, tiny: object, tmp_path: Path
) -> None:
    folder = tiny.write_base(
        tmp_path / family, family, vocab_size=len(json.loads((base / "tokenizer.json").read_text())["model"]["vocab"])
    )  # type: ignore[attr-defined]
    shutil.copyfile(base / "tokenizer.json", folder / "tokenizer.json")
    full = create_classifier(
        folder,
        labels=dataset.labels,
        task=dataset.task,
        pooling=pooling,
        max_tokens=16,
        paired=False,  # type: ignore[arg-type]
    )
    full.model.eval()
    trimmed, vocabulary = trim_classifier(full, [dataset.train], most=100)
    assert prove_trimming(full, trimmed, vocabulary, dataset.validation)["logits_compared"] == 12


def test_positions_that_count_from_a_padding_that_would_move_are_refused(
    loaded: TorchClassifier, dataset: Dataset, tiny: object, base: Path, tmp_path: Path
) -> None:
    content = json.loads((base / "tokenizer.json").read_text("utf-8"))
    pieces = content["model"]["vocab"]
    last = max(pieces, key=pieces.__getitem__)
    pieces["[PAD]"], pieces[last] = pieces[last], pieces["[PAD]"]
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "[PAD]"]
    folder = tiny.write_base(
        tmp_path / "roberta",
        "roberta",
        vocab_size=len(pieces),
        pad_token_id=pieces["[PAD]"],
        max_position_embeddings=200,
    )  # type: ignore[attr-defined]
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    full = create_classifier(
        folder, labels=dataset.labels, task=dataset.task, pooling="cls", max_tokens=16, paired=False
    )
    with pytest.raises(ModelError, match="its positions count from the id of the padding token"):
        trim_classifier(full, [dataset.train], most=100)


def test_an_embedding_with_too_few_rows_is_refused(loaded: TorchClassifier, dataset: Dataset) -> None:
    content = json.loads(loaded.tokenizer.json_text)
    content["added_tokens"].append({**content["added_tokens"][-1], "content": "<new>", "id": loaded.config.vocab_size})
    wider = replace(loaded, tokenizer=TextTokenizer(json.dumps(content), max_tokens=16))
    with pytest.raises(ModelError, match="rows of word embeddings"):
        trim_classifier(wider, [dataset.train], most=100)


def test_a_vocabulary_without_an_unknown_token_is_proved_too(loaded: TorchClassifier, dataset: Dataset) -> None:
    content = json.loads(loaded.tokenizer.json_text)
    pieces = content["model"]["vocab"]
    pieces["unknown"] = pieces.pop("[UNK]")
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "[UNK]"]
    without = replace(loaded, tokenizer=TextTokenizer(json.dumps(content), max_tokens=16))
    trimmed, vocabulary = trim_classifier(without, [dataset.train], most=100)
    assert vocabulary.unknown == -2
    assert prove_trimming(without, trimmed, vocabulary, dataset.validation)["unknown_texts"] == [0.0, 0.0]


@pytest.mark.parametrize(("task", "labels"), [("answers", ("start", "end")), ("tokens", ("O", "B-x", "I-x"))])
def test_words_of_later_windows_count_where_long_texts_are_read_as_a_whole(
    task: str, labels: tuple[str, ...], loaded: TorchClassifier
) -> None:
    paired = task == "answers"
    text = "w1 " * loaded.tokenizer.max_tokens + "unused3"
    texts = Split("train", ["w2" if paired else text], [text] if paired else None)
    first, _ = trim_classifier(loaded, [texts], most=100)
    windowed = replace(loaded, settings=ModelSettings(labels, task_named(task), "none", 16, paired))
    whole, _ = trim_classifier(windowed, [texts], most=100)
    assert "unused3" not in first.tokenizer.tokens() and "unused3" in whole.tokenizer.tokens()
