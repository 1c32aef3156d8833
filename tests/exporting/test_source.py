"""An export is held to transformers alone, and an artifact's ids in transformers are those in LiteFT."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertTokenizer, ModernBertConfig

import liteft
from liteft.data import Split
from liteft.errors import ModelError, VerificationError
from liteft.exporting import export, exporter, folder, probes
from liteft.finetuning import model as loading
from liteft.finetuning.model import load_classifier
from liteft.finetuning.tokenizer_files import FolderTokenizer
from tests.exporting.conftest import randomize

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdehlorABCDEHLOR\u00e9\u4ef7\u683c[],<>"
TEXTS = ["Hello", "cab A", "\u00e9 \u4ef7\u683c", "bad" * 5, "[SEP] a", "<new>", "a b c d e " * 20, "E d c b a " * 20]
Made = Callable[..., Path]


@pytest.fixture
def unseen_label(tmp_path: Path) -> Made:
    """A function that writes a classifier as transformers does, with changes of tokenizer_config.json."""

    def write(*, positions: int = 64, model_max_length: float = 64, kind: Any = BertConfig, **changes: Any) -> Path:
        path = tmp_path / "unseen_label"
        pieces = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
        size = {"vocab_size": len(pieces) + 3, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = kind(**size, intermediate_size=32, max_position_embeddings=positions, num_labels=3, pad_token_id=0)
        model = AutoModelForSequenceClassification.from_config(config)
        randomize(model, deviation=0.3)
        model.save_pretrained(path)
        (path / "vocab.txt").write_text("\n".join(pieces) + "\n", "utf-8")
        BertTokenizer(vocab=str(path / "vocab.txt"), model_max_length=model_max_length).save_pretrained(path)
        file = path / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return path

    return write


def in_transformers(path: Path, texts: list[str]) -> np.ndarray:
    """What transformers alone answers."""
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForSequenceClassification.from_pretrained(path)
    with torch.inference_mode():
        rows = [model.eval()(**tokenizer(text, truncation=True, return_tensors="pt")).logits for text in texts]
    return torch.cat(rows).numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"split_special_tokens": True},
        {"truncation_side": "left", "model_max_length": 40},
        {"added_tokens_decoder": {"51": {"content": "<new>", "special": False}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_artifact_answers_as_transformers_does_and_has_its_ids(
    unseen_label: Made, tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = unseen_label(**changes)
    artifact = export(path, tmp_path / "out", precision="fp32", verify=Split("validation", TEXTS[:4], None, None))
    with liteft.load(artifact.path) as classifier:
        np.testing.assert_allclose(classifier.logits(TEXTS), in_transformers(path, TEXTS), atol=1e-4)
    ids = [text.ids.tolist() for text in artifact.tokenizer().encode(TEXTS)]
    assert AutoTokenizer.from_pretrained(artifact.path)(TEXTS, truncation=True)["input_ids"] == ids
    assert artifact.manifest.truncation_side == changes.get("truncation_side", "right")
    compared = artifact.manifest.verification["transformers"]
    assert compared["ids"] == compared["artifact"]["ids"] == "equal"
    assert compared["logits"] > 30 and compared["logit_difference"] < 1e-3


@pytest.mark.parametrize(
    ("positions", "stated", "expected", "told"),
    [
        (1024, 1e30, 1024, "the positions of the bert"),
        (64, 1e30, 64, "the positions of the bert"),
        (1024, 700, 700, "the tokenizer's model_max_length"),
    ],
)
def test_texts_are_cut_where_tokenizer_and_positions_allow_and_the_user_is_told(
    unseen_label: Made, tmp_path: Path, positions: int, stated: float, expected: int, told: str
) -> None:
    path = unseen_label(positions=positions, model_max_length=stated)
    lines: list[str] = []
    split = Split("validation", TEXTS[:4], None, None)
    artifact = export(path, tmp_path / "out", precision="fp32", verify=split, progress=lines.append)
    assert artifact.manifest.max_tokens == expected
    assert f"texts are cut at {expected:,} tokens, on the right: {told}" in lines
    assert AutoTokenizer.from_pretrained(artifact.path).model_max_length == expected
    text = "a b c d e " * expected
    with liteft.load(artifact.path) as classifier:
        found = classifier.logits([text])
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForSequenceClassification.from_pretrained(path)
    batch = tokenizer(text, truncation=True, max_length=expected, return_tensors="pt")
    with torch.inference_mode():
        np.testing.assert_allclose(found, model.eval()(**batch).logits.numpy(), atol=1e-4)


def test_a_model_of_8192_positions_reads_them_all_and_its_probes_stay_small(unseen_label: Made) -> None:
    loaded = load_classifier(unseen_label(positions=8192, model_max_length=8192, kind=ModernBertConfig))
    assert loaded.settings.max_tokens == 8192
    lengths = probes._lengths(loaded)
    assert lengths[-1] == 8192 and sum(length > 512 for length in lengths) == 1
    loaded.config.num_attention_heads = 16
    assert 512 < probes._lengths(loaded)[-1] < 8192


def test_max_tokens_may_be_asked_for_up_to_the_positions(unseen_label: Made) -> None:
    path = unseen_label(model_max_length=16)
    loaded = load_classifier(path, max_tokens=50)
    assert (loaded.settings.max_tokens, loaded.tokenizer.max_tokens, loaded.cut_by) == (50, 50, "as asked")
    with pytest.raises(ModelError, match="cannot read 65 tokens") as caught:
        load_classifier(path, max_tokens=65)
    assert caught.value.accepted and caught.value.command_hints() == ["--max-tokens 64"]


def test_a_tokenizer_that_differs_is_found_before_a_graph_is_written(
    unseen_label: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> FolderTokenizer:
        found = foreign_reader(path)
        return replace(found, json_text=found.json_text.replace('"lowercase":true', '"lowercase":false'))

    foreign_reader = loading.read_tokenizer
    monkeypatch.setattr(loading, "read_tokenizer", broken)
    with pytest.raises(VerificationError, match="read different ids") as caught:
        export(unseen_label(), tmp_path / "out", precision="fp32", verify=Split("validation", TEXTS[:4], None, None))
    assert {"text", "transformers", "LiteFT"} <= set(caught.value.accepted) and caught.value.fix
    assert "Hello World" in caught.value.accepted["text"]
    assert not (tmp_path / "out").exists()


def test_weights_that_differ_are_found_before_a_graph_is_written(
    unseen_label: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, **options: Any) -> Any:
        loaded = load_classifier(path, **options)
        with torch.no_grad():
            loaded.model.bert.embeddings.token_type_embeddings.weight[0, ::2] += 0.5  # type: ignore[union-attr]
        return loaded

    monkeypatch.setattr(exporter, "load_classifier", broken)
    with pytest.raises(VerificationError, match="logits that transformers gives") as caught:
        export(unseen_label(), tmp_path / "out", precision="fp32", verify=Split("validation", TEXTS[:4], None, None))
    assert "limit" in caught.value.accepted["largest difference"] and caught.value.fix


def test_an_artifact_that_transformers_reads_otherwise_is_found(
    unseen_label: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: dict[str, Any], tokenizer: Any, path: Path, *, types: bool) -> None:
        write(settings, tokenizer, path, types=types)
        file = path / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"truncation_side": "left"}))

    write = folder.write_tokenizer
    monkeypatch.setattr(folder, "write_tokenizer", broken)
    with pytest.raises(VerificationError, match="the artifact's tokenizer"):
        export(unseen_label(), tmp_path / "out", precision="fp32", verify=Split("validation", TEXTS[:4], None, None))
    assert not (tmp_path / "out").exists()


def test_pairs_of_a_family_without_type_ids_are_exported(workshop: Any, tmp_path: Path) -> None:
    path, split = workshop.learned("distilbert", paired=True)
    compared = export(path, tmp_path / "out", precision="fp32", verify=split).manifest.verification["transformers"]
    assert compared["ids"] == compared["artifact"]["ids"] == "equal" and compared["logits"] > 30


def test_what_transformers_cannot_load_is_compared_by_its_ids_and_the_manifest_says_so(
    workshop: Any, tmp_path: Path
) -> None:
    path, split = workshop.learned("bert", "mean", paired=True)
    compared = export(path, tmp_path / "out", precision="fp32", verify=split).manifest.verification["transformers"]
    assert compared["ids"] == compared["artifact"]["ids"] == "equal"
    assert compared["logits"] == "not compared: transformers has no classifier that pools by the mean"


def test_a_token_that_the_model_has_no_row_for_stops_no_export(unseen_label: Made, tmp_path: Path) -> None:
    extra = {"51": "<new>", "52": "<b>", "53": "<c>", "54": "<d>", "55": "<e>", "56": "<f>"}
    decoder = {number: {"content": token, "special": False} for number, token in extra.items()}
    artifact = export(
        unseen_label(added_tokens_decoder=decoder),
        tmp_path / "out",
        precision="fp32",
        verify=Split("validation", TEXTS[:4], None, None),
    )
    compared = artifact.manifest.verification["transformers"]
    assert compared["ids"] == "equal" and compared["logits"] < compared["texts"]
