"""Folders by their files: weights in parts or missing, adapters, sentence-transformers, families that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from liteft.errors import ModelError
from liteft.foreign import (
    encoder_folder,
    lowers_case,
    read_config_json,
    read_pooling,
    refuse_family,
    require_weights,
    stated_length,
)
from liteft.foreign.weights import common_prefix, refuse_quantized, weight_names

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n"


def write_parts(folder: Path, *, parts: int = 2) -> None:
    names = [f"model-{number:05}-of-{parts:05}.safetensors" for number in range(1, parts + 1)]
    for name in names:
        save_file({f"{name}.weight": np.zeros((2, 2), np.float32)}, folder / name)
    index = {"weight_map": {f"{name}.weight": name for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_parts_are_weights_where_all_of_them_are_there(tmp_path: Path) -> None:
    write_parts(tmp_path, parts=3)
    assert [path.name[:11] for path in require_weights(tmp_path)] == ["model-00001", "model-00002", "model-00003"]
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelError, match="lacks 1 of the 3 parts of its weights, model-00002"):
        require_weights(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(ModelError, match=r"not model\.safetensors\.index\.json"):
        require_weights(tmp_path)


def test_a_pointer_of_git_lfs_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text(LFS)
    with pytest.raises(ModelError, match="is a git-lfs pointer") as caught:
        require_weights(tmp_path)
    assert caught.value.fix[0].startswith("git lfs pull")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "tf_model.h5", "model.onnx"])
def test_weights_in_another_format_are_named_with_the_way_to_write_them_anew(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(ModelError, match=f"never loaded, and it contains {name}") as caught:
        require_weights(tmp_path)
    assert f".save_pretrained('{tmp_path}')" in str(caught.value)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    (tmp_path / "training_args.bin").write_bytes(b"arguments")
    with pytest.raises(ModelError, match=r"has no weights: there is no model\.safetensors"):
        require_weights(tmp_path)


@pytest.mark.parametrize("config", [True, False])
def test_an_adapter_of_peft_is_named_with_the_lines_that_merge_it(tmp_path: Path, config: bool) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    head = {"base_model.model.classifier.weight": np.zeros((4, 8), np.float32)}
    save_file(head, tmp_path / "adapter_model.safetensors")
    if config:
        (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="contains a peft adapter") as caught:
        read_config_json(tmp_path)
        require_weights(tmp_path)
    assert caught.value.accepted["its base"] == "some/base"
    assert "from_pretrained('some/base', num_labels=4)" in str(caught.value)
    assert "merge_and_unload()" in str(caught.value)


def test_quantized_weights_are_refused_with_the_lines_that_undo_it() -> None:
    told = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    with pytest.raises(ModelError, match="holds weights in 4-bit form that were quantized with bitsandbytes") as caught:
        refuse_quantized(Path("folder"), told)
    assert "model.dequantize().save_pretrained(NEW, save_original_format=False)" in str(caught.value)
    refuse_quantized(Path("folder"), {})


def test_what_stands_before_every_name_is_found(tmp_path: Path) -> None:
    assert common_prefix(["module.a", "module.b"]) == "module."
    assert common_prefix(["_orig_mod.module.a", "_orig_mod.module.b"]) == "_orig_mod.module."
    assert common_prefix(["module.a", "b"]) == common_prefix([]) == ""
    save_file({"module.a": np.zeros(1, np.float32)}, tmp_path / "x.safetensors")
    assert weight_names(tmp_path / "x.safetensors") == ["module.a"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "fnet"}, "padding"),
        ({"model_type": "convbert"}, "padding"),
        ({"model_type": "mobilebert"}, "padding"),
        ({"model_type": "yoso"}, "padding"),
        ({"model_type": "longformer"}, "windows"),
        ({"model_type": "xlnet"}, "padding on the left"),
        ({"model_type": "funnel"}, "tracing would fix"),
        ({"model_type": "bart", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "big_bird"}, "blocks of a fixed size"),
    ],
)
def test_a_family_that_cannot_be_exported_is_refused_with_its_reason(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        refuse_family(Path("folder"), config)
    assert caught.value.accepted and caught.value.fix


@pytest.mark.parametrize(
    "config",
    [{"model_type": "bert"}, {"model_type": "big_bird", "attention_type": "original_full"}, {"model_type": "new"}, {}],
)
def test_a_family_that_is_not_known_to_fail_is_tried(config: dict[str, Any]) -> None:
    refuse_family(Path("folder"), config)


def write_sentence_folder(folder: Path, pooling: dict[str, Any] | None, *kinds: str, encoder: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    paths = {"Transformer": encoder, "Pooling": "1_Pooling"}
    modules = [
        {"idx": index, "path": paths.get(kind, f"{index}_{kind}"), "type": f"sentence_transformers.models.{kind}"}
        for index, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / encoder).mkdir(exist_ok=True)
    (folder / encoder / "config.json").write_text("{}")
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    ("pooling", "found"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
        (None, None),
    ],
)
def test_pooling_is_read_as_sentence_transformers_wrote_it(tmp_path: Path, pooling: Any, found: Any) -> None:
    folder = write_sentence_folder(tmp_path / "st", pooling, "Transformer", "Pooling", "Normalize")
    assert read_pooling(folder) == found


@pytest.mark.parametrize(
    ("pooling", "words"),
    [
        ({"pooling_mode_max_tokens": True}, "pools by max_tokens"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "pools by mean_sqrt_len_tokens"),
        ({"pooling_mode_lasttoken": True}, "pools by lasttoken"),
        ({"pooling_mode_weightedmean_tokens": True}, "pools by weightedmean_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "pools by cls_token and mean_tokens"),
        ({"pooling_mode": "max"}, "pools by max"),
        ({"pooling_mode_mean_tokens": False}, "pools by a method that its configuration does not name"),
    ],
)
def test_another_pooling_is_refused_and_may_be_replaced_on_purpose(tmp_path: Path, pooling: Any, words: str) -> None:
    folder = write_sentence_folder(tmp_path / "st", pooling, "Transformer", "Pooling")
    with pytest.raises(ModelError, match=words) as caught:
        read_pooling(folder)
    assert "--pooling mean" in caught.value.command_text()


def test_layers_after_the_pooling_are_not_ignored(tmp_path: Path) -> None:
    pooling = {"pooling_mode_mean_tokens": True}
    folder = write_sentence_folder(tmp_path / "st", pooling, "Transformer", "Pooling", "Dense")
    with pytest.raises(ModelError, match="has layers that LiteFT does not have: Dense"):
        read_pooling(folder)


def test_the_old_layout_has_its_encoder_in_a_folder_of_its_own(tmp_path: Path) -> None:
    pooling = {"pooling_mode_mean_tokens": True}
    folder = write_sentence_folder(tmp_path / "st", pooling, "Transformer", "Pooling", encoder="0_Transformer")
    encoder = encoder_folder(folder)
    assert encoder == folder / "0_Transformer"
    assert read_pooling(encoder) == "mean"


def test_a_plain_base_says_nothing_of_pooling(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert encoder_folder(tmp_path) == tmp_path
    assert read_pooling(tmp_path) is None


def test_what_sentence_transformers_does_to_texts_is_read(tmp_path: Path) -> None:
    assert (stated_length(tmp_path), lowers_case(tmp_path)) == (None, False)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 256, "do_lower_case": true}')
    assert (stated_length(tmp_path), lowers_case(tmp_path)) == (256, True)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": null, "do_lower_case": false}')
    assert (stated_length(tmp_path), lowers_case(tmp_path)) == (None, False)
