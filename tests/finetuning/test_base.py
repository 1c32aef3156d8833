"""From a base, or from a vocabulary, to an untrained classifier."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from liteft.errors import ConfigError, LiteftError, ModelError
from liteft.finetuning.base import create_classifier
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.from_scratch import create_from_scratch
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import MeanPooledClassifier, TorchClassifier, load_classifier, save_classifier
from liteft.recipes import parse_size
from tests.finetuning.conftest import FAMILIES, LABELS, PIECES, make_dataset, write_base

Get = Callable[[str], Path]
TEXTS = make_dataset().test.texts
COMMON: dict[str, Any] = {
    "labels": LABELS,
    "task": "single_label",
    "pooling": "cls",
    "max_tokens": 16,
    "paired": False,
}


def create(folder: Path, **changes: Any) -> TorchClassifier:
    return create_classifier(folder, **{**COMMON, **changes})


def has_three_parts(error: LiteftError) -> bool:
    return bool(error.message and (error.accepted or error.fix))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_head_depends_on_the_seed(base: Get, family: str, pooling: str) -> None:
    first, same, other = (create(base(family), pooling=pooling, seed=seed).model.state_dict() for seed in (1, 1, 2))
    changed = {name for name in first if not torch.equal(first[name], other[name])}
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert changed
    assert all(name.startswith(("classifier", "pre_classifier", "score")) for name in changed)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_no_dropout_means_none_anywhere(base: Get, family: str, pooling: str) -> None:
    without = create(base(family), pooling=pooling, dropout=0.0)
    batch = torch.arange(5, 15)[None]
    logits = []
    for training in (True, False):
        without.model.train(training)
        with torch.no_grad():
            logits.append(without.model(input_ids=batch, attention_mask=torch.ones_like(batch)).logits)
    torch.testing.assert_close(logits[0], logits[1])


def test_dropout_follows_the_base_unless_given(base: Get) -> None:
    own = create(base("bert"), pooling="mean").model
    given = create(base("bert"), pooling="mean", dropout=0.4).model
    assert isinstance(own, MeanPooledClassifier) and isinstance(given, MeanPooledClassifier)
    assert own.dropout.p == pytest.approx(0.1)
    assert given.dropout.p == pytest.approx(0.4)
    assert given.encoder.config.attention_probs_dropout_prob == pytest.approx(0.4)


@pytest.mark.parametrize(("family", "limit"), [("bert", 40), ("roberta", 39), ("gpt2", 40), ("distilbert", 40)])
def test_a_length_beyond_the_positions_is_an_error_that_says_how_many(base: Get, family: str, limit: int) -> None:
    assert np.isfinite(predict_logits(create(base(family), max_tokens=limit), ["w1 " * 100])).all()
    with pytest.raises(ModelError, match=r"more than .* has positions for") as caught:
        create(base(family), max_tokens=limit + 1)
    assert caught.value.accepted == {"max_tokens": f"up to {limit}"}
    assert caught.value.command_hints() == [f"--max-tokens {limit}"]


def test_a_length_without_room_for_a_text_is_an_error(base: Get) -> None:
    with pytest.raises(ModelError, match="leaves no room for text"):
        create(base("bert"), max_tokens=3)


def test_texts_are_cut_on_the_chosen_side(base: Get) -> None:
    text = " ".join(f"w{number}" for number in range(10))
    for side, kept in (("right", ["w0", "w1", "w2"]), ("left", ["w7", "w8", "w9"])):
        tokenizer = create(base("bert"), max_tokens=5, truncation_side=side).tokenizer
        assert [PIECES[token] for token in tokenizer.encode([text]).ids] == ["[CLS]", *kept, "[SEP]"]


def test_padding_baked_into_the_tokenizer_is_taken_out(base: Get) -> None:
    assert create(base("bert")).tokenizer.encode(["w1"]).lengths.tolist() == [3]


def test_a_base_with_a_head_of_other_labels_gets_a_new_head(base: Get, tmp_path: Path) -> None:
    made = create(base("bert"))
    made.model.save_pretrained(tmp_path)
    shutil.copy(base("bert") / "tokenizer.json", tmp_path)
    again = create(tmp_path, labels=("a", "b"))
    assert predict_logits(again, TEXTS).shape == (len(TEXTS), 2)
    encoder = {name: tensor for name, tensor in made.model.state_dict().items() if name.startswith("bert.")}
    assert all(torch.equal(tensor, again.model.state_dict()[name]) for name, tensor in encoder.items())


def test_a_base_that_does_not_fill_the_encoder_is_refused(base: Get, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base("bert"), folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "layer.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    for pooling in ("cls", "mean"):
        with pytest.raises(ModelError, match=r"does not fill the encoder: 16 weights are missing") as caught:
            create(folder, pooling=pooling)
        assert has_three_parts(caught.value)


def test_pickled_weights_are_refused(base: Get, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base("bert"), folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    for pooling in ("cls", "mean"):
        with pytest.raises(ModelError, match=r"safetensors") as caught:
            create(folder, pooling=pooling)
        assert has_three_parts(caught.value)


def test_damaged_weights_are_refused(base: Get, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base("bert"), folder)
    (folder / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        create(folder)
    assert caught.value.accepted and caught.value.fix


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(ModelError, match="is not a model folder") as caught:
        create(tmp_path)
    assert has_three_parts(caught.value)


def test_a_base_without_a_tokenizer_is_refused(base: Get, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base("bert"), folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="has no tokenizer") as caught:
        create(folder)
    assert has_three_parts(caught.value)


def test_a_hub_name_without_a_network_fails_at_once_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")
    started = time.monotonic()
    with pytest.raises(ModelError, match="base' is not a folder here and could not be fetched") as caught:
        resolve_base("nobody/no-such-base")
    assert time.monotonic() - started < 15
    assert "the path of a model that lies on this machine" in caught.value.fix


def test_a_misspelt_minilm_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")
    with pytest.raises(ModelError) as caught:
        resolve_base("minlm")
    assert caught.value.fix[0] == "minilm"


@pytest.mark.parametrize("name", ["./missing", "/missing/base", "two words", "a/b/c", "~/missing"])
def test_what_is_neither_folder_nor_hub_name_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a hub name"):
        resolve_base(name)


def test_a_name_behind_a_folder_that_is_here_is_a_misspelt_path_and_asks_no_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", asked)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "teacher").mkdir(parents=True)
    with pytest.raises(ModelError, match="runs/teachr is neither a folder nor a hub name") as caught:
        resolve_base("runs/teachr")
    assert caught.value.fix[0] == "did you mean runs/teacher?"


def test_a_folder_resolves_to_itself(base: Get) -> None:
    assert resolve_base(str(base("bert"))) == base("bert")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_from_scratch_has_the_size_and_the_vocabulary(vocabulary: Path, tmp_path: Path, pooling: str) -> None:
    made = create_from_scratch(vocabulary, tmp_path, size="3x64", **{**COMMON, "pooling": pooling, "max_tokens": 600})
    assert made.config.num_hidden_layers == 3
    assert made.config.hidden_size == 64
    assert made.config.vocab_size == len(PIECES)
    assert made.config.max_position_embeddings == 600
    assert made.tokenizer.pad_id == PIECES.index("[PAD]")
    assert [PIECES[token] for token in made.tokenizer.encode(["w1 red0"]).ids] == ["[CLS]", "w1", "red0", "[SEP]"]
    assert predict_logits(made, TEXTS).shape == (len(TEXTS), 3)


def test_from_scratch_takes_a_tokenizer_json_and_keeps_it(base: Get, tmp_path: Path) -> None:
    made = create_from_scratch(base("bert") / "tokenizer.json", tmp_path, size="1x32", **COMMON)
    assert made.tokenizer.encode(["w1"]).lengths.tolist() == [3]
    model = tmp_path / "model"
    model.mkdir()
    save_classifier(made.model, made.settings, made.path, model)
    assert load_classifier(model).tokenizer.json_text == made.tokenizer.json_text


def test_from_scratch_cuts_on_the_side_that_was_asked_for(vocabulary: Path, tmp_path: Path) -> None:
    settings = {**COMMON, "max_tokens": 4, "truncation_side": "left"}
    made = create_from_scratch(vocabulary, tmp_path, size="1x32", **settings)
    assert [PIECES[token] for token in made.tokenizer.encode(["w1 w2 w3"]).ids[1:-1]] == ["w2", "w3"]


def test_from_scratch_draws_weights_from_the_seed(vocabulary: Path, tmp_path: Path) -> None:
    logits = [
        predict_logits(create_from_scratch(vocabulary, tmp_path, size="1x32", seed=seed, **COMMON), TEXTS)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert np.abs(logits[0] - logits[2]).max() > 1e-3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("red\ngreen\n", r"lacks the tokens \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
        (b"\xff\xfe\x00", "is not UTF-8"),
    ],
)
def test_a_vocabulary_that_cannot_be_used_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    with pytest.raises(ModelError, match=message):
        create_from_scratch(path, folder, size="1x32", **COMMON)
    assert not list(folder.iterdir())


def test_a_vocabulary_with_a_repeated_line_has_a_row_for_every_id(vocabulary: Path, tmp_path: Path) -> None:
    tokens = vocabulary.read_text(encoding="utf-8").splitlines()
    twice = tmp_path / "vocab.txt"
    twice.write_text("\n".join([*tokens[:6], tokens[5], *tokens[6:]]) + "\n", encoding="utf-8")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    loaded = create_from_scratch(twice, folder, size="1x32", **COMMON)
    assert loaded.config.vocab_size == len(tokens) + 1
    assert np.isfinite(predict_logits(loaded, [tokens[-1]])).all()


@pytest.mark.parametrize(("size", "expected"), [("3x384", (3, 384)), (" 12X768 ", (12, 768)), ("2", (2, None))])
def test_a_size_is_layers_and_width(size: str, expected: tuple[int, int | None]) -> None:
    assert parse_size(size) == expected


@pytest.mark.parametrize("size", ["", "x", "0x32", "3x0", "3*384", "-1x32", "three", "3x384x2"])
def test_a_size_of_another_form_is_refused(size: str) -> None:
    with pytest.raises(ConfigError, match="is not understood") as caught:
        parse_size(size)
    assert caught.value.command_hints() == ["--size 3x384"]


def test_a_width_that_heads_do_not_divide_is_refused(vocabulary: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be split into heads"):
        create_from_scratch(vocabulary, tmp_path, size="2x50", **COMMON)


def test_the_tokenizers_pad_id_is_the_configurations(tmp_path: Path) -> None:
    folder = write_base(tmp_path / "base", "bert", pad_token_id=7)
    assert create(folder).tokenizer.pad_id == 7


def test_a_base_that_sentence_transformers_lowers_the_case_for_is_refused(base: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base("bert"), tmp_path / "base"))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": true}')
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {"Ab": len(PIECES), "CD": len(PIECES) + 1}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="lowers the case of texts") as caught:
        create(folder)
    assert any("sentence_bert_config.json" in str(hint) for hint in caught.value.fix)
