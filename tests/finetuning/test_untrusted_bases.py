"""Model folders from strangers: no code of theirs is run, and none is fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

from liteft.errors import ModelError
from liteft.finetuning.base import create_classifier
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import is_classifier, load_classifier
from liteft.run import Run

Get = Callable[[str], Path]
COMMON: dict[str, Any] = {"labels": ("a", "b"), "task": "single_label", "max_tokens": 16, "paired": False}
CODE = """
from pathlib import Path
Path({mark!r}).write_text("the stranger was here")
from transformers import BertConfig, BertModel, BertForSequenceClassification
class Config(BertConfig):
    model_type = {kind!r}
class Model(BertForSequenceClassification):
    config_class = Config
"""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that appears as soon as the stranger's code is run."""
    return tmp_path / "mark"


def poison(folder: Path, mark: Path, *, kind: str) -> Path:
    """Put code beside a model, and name it in its configuration as the hub's custom models do."""
    config = json.loads((folder / "config.json").read_text())
    names = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")
    config |= {"model_type": kind, "auto_map": dict.fromkeys(names, "stranger.Model")}
    config["auto_map"]["AutoConfig"] = "stranger.Config"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "stranger.py").write_text(CODE.format(mark=str(mark), kind=kind))
    return folder


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_known_family_is_loaded_without_the_code_beside_it(
    base: Get, tmp_path: Path, mark: Path, pooling: Any
) -> None:
    folder = poison(shutil.copytree(base("bert"), tmp_path / "base"), mark, kind="bert")
    made = create_classifier(folder, pooling=pooling, **COMMON)
    clean = create_classifier(base("bert"), pooling=pooling, **COMMON)
    np.testing.assert_array_equal(predict_logits(made, ["w1 red0"]), predict_logits(clean, ["w1 red0"]))
    assert not mark.exists()


def test_a_family_that_only_the_code_knows_is_refused(base: Get, tmp_path: Path, mark: Path) -> None:
    folder = poison(shutil.copytree(base("bert"), tmp_path / "base"), mark, kind="stranger")
    with pytest.raises(ModelError, match=r"config\.json cannot be used"):
        create_classifier(folder, pooling="cls", **COMMON)
    with pytest.raises(ModelError, match=r"config\.json cannot be used"):
        is_classifier(folder)
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["bert", "stranger"])
def test_a_trained_classifiers_code_is_not_run_either(finished: Run, tmp_path: Path, mark: Path, kind: str) -> None:
    folder = poison(shutil.copytree(finished.model_path, tmp_path / "model"), mark, kind=kind)
    if kind == "bert":
        assert predict_logits(load_classifier(folder), ["w1 red0"]).shape == (1, 3)
    else:
        with pytest.raises(ModelError, match=r"config\.json cannot be used"):
            load_classifier(folder)
    assert not mark.exists()


def test_neither_code_nor_pickles_are_fetched_from_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def download(name: str, **settings: Any) -> str:
        asked.append(settings)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve_base("somebody/some-base") == tmp_path
    patterns = asked[0]["allow_patterns"]

    def fetched(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in patterns)

    assert all(map(fetched, ["config.json", "tokenizer.json", "model.safetensors", "vocab.txt"]))
    assert not any(map(fetched, ["modeling.py", "pytorch_model.bin", "model.pt", "weights.pkl", "model.h5", "x.sh"]))
