"""Adapters on bases that are not trained: what is trained, what is stored, and what comes back."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from liteft import files
from liteft.data import Dataset
from liteft.encoder.families import FAMILIES
from liteft.errors import ConfigError, LiteftError, MissingExtraError, ModelError
from liteft.finetuning import finetune, quantized
from liteft.finetuning.adapters import Adapter, adapter_of, asked_adapter, attach_adapter, parameter_count
from liteft.finetuning.base import create_classifier
from liteft.finetuning.bases import weights_bytes, weights_hash
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier, merged_classifier
from liteft.finetuning.quantized import BaseQuantization
from liteft.installation import install_hint
from liteft.recipes import TeacherRecipe
from liteft.run import Run, model_weights_sha256
from tests.finetuning.conftest import QUICK

Get = Callable[[str], Path]
SETTINGS: dict[str, Any] = {**QUICK, "learning_rate": 1e-2, "lora_rank": 4}
TEXTS = ["w1 red0 red1", "green2 w5 w7 green1 w9 w2 w3", "blue3"]
COMMON: dict[str, Any] = {
    "labels": ("red", "green", "blue"), "task": "single_label", "pooling": "cls", "max_tokens": 16, "paired": False,
}  # fmt: skip
FORMS = [
    ("gpt2", "cls", "4bit"),
    ("gpt2", "cls", "8bit"),
    ("gpt2", "cls", None),
    ("bert", "mean", "4bit"),
    ("bert", "cls", "8bit"),
    ("distilbert", "cls", "4bit"),
]


def adapter_on(base: Path, bits: Any = None, **changes: Any) -> Adapter:
    shape: dict[str, Any] = {"rank": 4, "alpha": 8.0, "dropout": 0.0, **changes}
    quantization = None if bits is None else BaseQuantization(bits, "fp32")
    return Adapter(str(base), str(weights_hash(base)), weights_bytes(base), quantization, **shape)


@pytest.fixture(scope="module", params=FORMS, ids=lambda form: "-".join(map(str, form)))
def form(
    request: pytest.FixtureRequest, base: Get, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Path]:
    """A finished run of one family, pooling and storage of the base, and that base."""
    family, pooling, bits = request.param
    settings = {**SETTINGS, "epochs": 6, "pooling": pooling, "base_quantization": bits}
    return finetune(base(family), dataset, out=tmp_path_factory.mktemp("form") / "run", **settings), base(family)


def test_an_adapter_learns_and_comes_back_from_its_folder_with_equal_logits(
    form: tuple[Run, Path], dataset: Dataset
) -> None:
    run, _ = form
    assert run.metrics["validation"]["accuracy"] == 1.0
    logits = predict_logits(load_classifier(run.model_path), dataset.test.texts)
    np.testing.assert_array_equal(logits, run.predictions("test")[0])


def test_the_run_folder_holds_what_was_trained_and_names_its_base(form: tuple[Run, Path]) -> None:
    run, base = form
    folder = run.model_path
    assert not (folder / "model.safetensors").exists()
    stored = load_file(folder / "adapter_model.safetensors")
    in_head = ("classifier", "score", "pooler", "pre_classifier")
    assert all("lora_" in name or any(part in name for part in in_head) for name in stored)
    named = files.read_json(folder / "base.json")
    assert (named["base"], named["sha256"]) == (str(base), files.sha256_file(base / "model.safetensors"))
    assert run.info["adapter"]["own_bytes"] == (folder / "adapter_model.safetensors").stat().st_size
    assert run.info["size_bytes"] == run.info["adapter"]["own_bytes"] + named["bytes"]
    assert run.info["weights_sha256"] == model_weights_sha256(folder)
    config = files.read_json(folder / "config.json")
    assert "quantization_config" not in config and config["liteft"]["labels"] == ["red", "green", "blue"]


def test_the_base_is_left_as_it_was(form: tuple[Run, Path]) -> None:
    run, base = form
    assert files.read_json(run.model_path / "base.json")["sha256"] == weights_hash(base)


def test_parameters_are_counted_as_if_nothing_were_packed(form: tuple[Run, Path]) -> None:
    run, _ = form
    loaded = load_classifier(run.model_path)
    whole = merged_classifier(loaded).model
    added = sum(value.numel() for name, value in loaded.model.named_parameters() if ".lora_" in name)
    assert run.info["parameters"] == added + sum(value.numel() for value in whole.parameters())


def test_a_merged_adapter_gives_the_same_logits_but_for_what_8_bits_round(
    form: tuple[Run, Path], dataset: Dataset
) -> None:
    loaded = load_classifier(form[0].model_path)
    adapter = adapter_of(loaded.model)
    merged = merged_classifier(loaded)
    assert adapter_of(merged.model) is None and all(value.dtype == torch.float32 for value in merged.model.parameters())
    bits = adapter.quantization and adapter.quantization.bits  # type: ignore[union-attr]
    expected = predict_logits(loaded, dataset.test.texts)
    found = predict_logits(merged, dataset.test.texts)
    np.testing.assert_allclose(found, expected, atol=0.05 if bits == "8bit" else 1e-5)


def test_what_is_loaded_is_stored_in_so_many_bits_and_the_head_is_not(form: tuple[Run, Path]) -> None:
    loaded = load_classifier(form[0].model_path)
    adapter = adapter_of(loaded.model)
    assert adapter is not None
    kind = {"8bit": "Int8Params", "4bit": "Params4bit"}.get(adapter.quantization.bits if adapter.quantization else "")
    packed = {name for name, value in loaded.model.named_parameters() if type(value).__name__ == kind}
    linear = {name for name, _ in loaded.model.named_parameters() if name.endswith("base_layer.weight")}
    assert packed == (linear if kind else set())
    assert linear and not any(part in name for name in packed for part in ("classifier", "score", "pooler"))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_peft_itself_loads_the_folder_and_gives_the_same_logits(
    family: str, base: Get, dataset: Dataset, tmp_path: Path
) -> None:
    from peft import PeftModel

    run = finetune(base(family), dataset, out=tmp_path / "run", **SETTINGS)
    config = AutoConfig.from_pretrained(run.model_path)
    plain = AutoModelForSequenceClassification.from_pretrained(base(family), config=config)
    theirs = PeftModel.from_pretrained(plain, str(run.model_path)).eval()
    ours = load_classifier(run.model_path)
    expected = predict_logits(ours, TEXTS)
    ours.model = theirs
    np.testing.assert_allclose(predict_logits(ours, TEXTS), expected, atol=1e-5)


def test_only_adapter_and_head_get_gradients(base: Get) -> None:
    made = create_classifier(base("bert"), adapter=adapter_on(base("bert"), "4bit"), **COMMON)
    ids = torch.tensor([[2, 5, 6, 3]])
    made.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.sum().backward()
    for name, value in made.model.named_parameters():
        assert (value.grad is not None) == (".lora_" in name or name.startswith(("classifier", "bert.pooler"))), name


def test_a_fresh_adapter_changes_no_result(base: Get) -> None:
    plain = create_classifier(base("gpt2"), **COMMON)
    adapted = create_classifier(base("gpt2"), adapter=adapter_on(base("gpt2")), **COMMON)
    np.testing.assert_array_equal(predict_logits(adapted, TEXTS), predict_logits(plain, TEXTS))


def test_4_bit_weights_are_the_same_after_an_evaluation(base: Get) -> None:
    made = create_classifier(base("bert"), adapter=adapter_on(base("bert"), "4bit"), **COMMON)
    packed = {name: value.clone() for name, value in made.model.named_parameters() if value.dtype == torch.uint8}
    scales = {name: value.quant_state.absmax.clone() for name, value in made.model.named_parameters() if name in packed}
    predict_logits(made, TEXTS)
    assert packed
    for name, value in made.model.named_parameters():
        if name in packed:
            assert torch.equal(value, packed[name]) and torch.equal(value.quant_state.absmax, scales[name])


def test_weights_in_several_files_are_found_and_hashed(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    folder = shutil.copytree(base("gpt2"), tmp_path / "parts")
    (folder / "model.safetensors").unlink()
    AutoModelForSequenceClassification.from_pretrained(base("gpt2"), num_labels=3).transformer.save_pretrained(
        folder, max_shard_size="40KB"
    )
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    run = finetune(folder, dataset, out=tmp_path / "run", **SETTINGS, base_quantization="4bit")
    assert run.info["adapter"]["sha256"] == weights_hash(folder) != weights_hash(base("gpt2"))
    assert run.info["adapter"]["bytes"] == sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    load_classifier(run.model_path)
    last = sorted(folder.glob("model-*.safetensors"))[-1]
    last.write_bytes(last.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    with pytest.raises(ModelError, match="is an adapter on other weights"):
        load_classifier(run.model_path)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is mapped")
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_nothing_of_the_base_stays_mapped_once_it_is_quantized(base: Get, tmp_path: Path, bits: str) -> None:
    folder = shutil.copytree(base("bert"), tmp_path / "mapped")
    made = create_classifier(folder, adapter=adapter_on(folder, bits), **COMMON)
    assert str(folder) not in Path("/proc/self/maps").read_text()
    assert adapter_of(made.model) is not None


# Where the base went


@pytest.fixture
def moved(base: Get, dataset: Dataset, tmp_path: Path) -> tuple[Run, Path]:
    """A run on a base that may be moved and changed."""
    folder = shutil.copytree(base("bert"), tmp_path / "base")
    return finetune(folder, dataset, out=tmp_path / "run", **SETTINGS, max_steps=1), folder


def test_a_base_that_is_gone_is_an_error_that_names_it(moved: tuple[Run, Path]) -> None:
    run, folder = moved
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(ModelError, match="adapter on the base") as caught:
        load_classifier(run.model_path)
    assert str(folder) in caught.value.message and "base.json" in caught.value.fix[0]


def test_a_base_that_was_moved_is_found_once_base_json_says_where(moved: tuple[Run, Path]) -> None:
    run, folder = moved
    before = predict_logits(load_classifier(run.model_path), TEXTS)
    named = files.read_json(run.model_path / "base.json")
    folder.rename(folder.with_name("elsewhere"))
    files.write_json(run.model_path / "base.json", named | {"base": str(folder.with_name("elsewhere"))})
    np.testing.assert_array_equal(predict_logits(load_classifier(run.model_path), TEXTS), before)
    assert model_weights_sha256(run.model_path) == run.info["weights_sha256"]


def test_a_base_whose_weights_changed_is_refused(moved: tuple[Run, Path]) -> None:
    run, folder = moved
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    with pytest.raises(ModelError, match="on other weights") as caught:
        load_classifier(run.model_path)
    assert caught.value.accepted["sha256 found"] == weights_hash(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("base.json", "{}", "base.json cannot be used"),
        ("base.json", None, "base.json cannot be used"),
        ("adapter_config.json", "{}", "adapter_config.json cannot be used"),
        ("adapter_model.safetensors", "no weights", "was changed after the training"),
    ],
)
def test_a_broken_adapter_folder_is_an_error_that_names_the_file(
    moved: tuple[Run, Path], name: str, content: str | None, message: str
) -> None:
    path = moved[0].model_path / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(LiteftError, match=message):
        load_classifier(moved[0].model_path)


def test_an_adapter_of_another_rank_does_not_fit(moved: tuple[Run, Path]) -> None:
    path = moved[0].model_path / "adapter_config.json"
    files.write_json(path, files.read_json(path) | {"r": 5})
    with pytest.raises(ModelError, match="does not fit"):
        load_classifier(moved[0].model_path)


def test_an_adapter_is_no_base(moved: tuple[Run, Path], dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="contains an adapter"):
        finetune(moved[0].model_path, dataset, out=tmp_path / "second", **QUICK)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_quantization": "4bit", "lora_rank": 0}, "weights in 4bit are not trained"),
        ({"lora_alpha": 8}, "lora_alpha is set, and there is no adapter"),
        ({"lora_dropout": 0.1, "lora_rank": 0}, "lora_dropout is set, and there is no adapter"),
        ({"lora_targets": ["query"]}, "lora_targets is set, and there is no adapter"),
        ({"lora_rank": 4, "lora_targets": ["qury"]}, "'qury', which is not a linear layer"),
        ({"lora_rank": 4, "lora_targets": []}, "names no layer"),
        ({"lora_rank": -1}, "lora_rank"),
        ({"base_quantization": "2bit"}, "base_quantization"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_and_leave_no_folder(
    base: Get, dataset: Dataset, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        finetune(base("bert"), dataset, out=tmp_path / "run", **{**QUICK, **settings})
    assert not (tmp_path / "run").exists()


def test_an_adapter_from_scratch_is_refused(dataset: Dataset, vocabulary: Path, tmp_path: Path) -> None:
    scratch = {"from_scratch": True, "size": "1x32", "vocabulary_file": str(vocabulary)}
    with pytest.raises(ConfigError, match="needs a pretrained base"):
        finetune(None, dataset, out=tmp_path / "run", **scratch, lora_rank=4)


def test_quantization_alone_means_rank_16_and_twice_that_for_alpha() -> None:
    adapter = asked_adapter(TeacherRecipe(base="minilm", base_quantization="8bit"), bf16=True)
    assert adapter is not None
    assert (adapter.rank, adapter.alpha, adapter.dropout) == (16, 32.0, 0.05)
    assert adapter.quantization == BaseQuantization("8bit", "bf16")
    assert asked_adapter(TeacherRecipe(base="minilm"), bf16=False) is None


@pytest.mark.parametrize(
    ("missing", "settings"),
    [
        ("peft", {"lora_rank": 4}),
        ("peft", {"base_quantization": "8bit"}),
        ("bitsandbytes", {"base_quantization": "4bit"}),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    base: Get, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, settings: Any
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(quantized, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(MissingExtraError, match=f"needs {missing}, which is not installed") as caught:
        finetune(base("bert"), dataset, out=tmp_path / "run", **QUICK, **settings)
    assert caught.value.fix == (install_hint("lora"),)


def test_loading_an_adapter_without_peft_says_so(moved: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="holds an adapter, needs peft"):
        load_classifier(moved[0].model_path)


# Families

SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "gpt_neo": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
}
USUAL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SMALL["opt"] = USUAL | {"ffn_dim": 64, "word_embed_proj_dim": 32}
SMALL["electra"] = USUAL | {"embedding_size": 16}


@pytest.mark.parametrize("family", sorted(name for name, family in FAMILIES.items() if family.linear))
def test_every_linear_layer_of_a_known_family_gets_an_adapter_and_the_head_none(family: str) -> None:
    shape = SMALL.get(family, USUAL | {"num_key_value_heads": 2, "head_dim": 16})
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "cls_token_id": 1}
    config = AutoConfig.for_model(family, vocab_size=48, num_labels=3, **special, **shape)
    model = AutoModelForSequenceClassification.from_config(config)
    heads = ("classifier", "pre_classifier", "score", "pooler", "head")
    linear = {
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and not any(part in heads for part in name.split("."))
    }
    assert len(linear) >= 8
    attach_adapter(model, Adapter("base", "", 0, None, rank=2, alpha=4.0, dropout=0.0))
    adapted = {name.removesuffix(".base_layer") for name, _ in model.named_modules() if name.endswith(".base_layer")}
    assert adapted == linear
    assert parameter_count(model) == sum(value.numel() for value in model.parameters())


def test_an_unknown_family_is_refused_with_its_linear_layers_and_trained_once_they_are_named(
    base: Get, dataset: Dataset, tmp_path: Path
) -> None:
    config = AutoConfig.for_model("megatron-bert", vocab_size=64, **USUAL)
    folder = tmp_path / "base"
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    shutil.copy(base("bert") / "tokenizer.json", folder)
    with pytest.raises(ConfigError, match="of a megatron-bert get an adapter is not known") as caught:
        finetune(folder, dataset, out=tmp_path / "run", **SETTINGS)
    assert "query" in caught.value.accepted["its linear layers"] and "classifier" not in str(caught.value)
    offered = json.loads(caught.value.command_hints()[0].split("=", 1)[1].rstrip("'"))
    assert "query" in offered
    finetune(folder, dataset, out=tmp_path / "run", **SETTINGS, max_steps=1, lora_targets=["query", "value"])
