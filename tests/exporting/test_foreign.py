"""Folders that transformers wrote are exported as what they are: pairs, tasks, labels, parts, prefixes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import liteft
from liteft.artifact import read_artifact
from liteft.cli import main
from liteft.data import Split
from liteft.errors import ConfigError, DataError, ModelError
from liteft.exporting.exporter import export

Learned = tuple[Path, Split]


def from_elsewhere(folder: Path, out: Path, **changes: Any) -> Path:
    """Copy a model folder without what LiteFT says in it."""
    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text()) | {"liteft": None, "problem_type": None} | changes
    kept = {name: value for name, value in config.items() if value is not None}
    (out / "config.json").write_text(json.dumps(kept))
    return out


@pytest.fixture(scope="module")
def learned(workshop: Any) -> Learned:
    """A classifier of three labels, and texts that it gets right."""
    return workshop.learned("bert", labels=3, count=40)


@pytest.fixture(scope="module")
def learned_pairs(workshop: Any) -> Learned:
    """The same of pairs."""
    return workshop.learned("bert", labels=3, paired=True, count=40)


def test_a_folder_is_exported_with_what_is_said_of_it(learned: Learned, tmp_path: Path) -> None:
    folder = from_elsewhere(learned[0], tmp_path / "model", id2label={"1": "a", "2": "b", "3": "c"})
    told: list[str] = []
    artifact = export(
        folder,
        tmp_path / "out",
        precision="fp32",
        labels=["x", "y", "z"],
        max_tokens=16,
        verify=learned[1],
        progress=told.append,
    )
    manifest = artifact.manifest
    assert (manifest.labels, manifest.task, manifest.paired) == (("x", "y", "z"), "single_label", False)
    assert manifest.max_tokens == 16
    assert json.loads((artifact.path / "config.json").read_text())["id2label"] == {"0": "x", "1": "y", "2": "z"}
    assert any("not said by" in line and "softmax" in line for line in told)


def test_texts_without_labels_are_enough_for_a_folder_that_names_no_data(
    learned: Learned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = from_elsewhere(learned[0], tmp_path / "model")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(learned[1].texts))
    words = ["export", str(folder), "--unlabeled", str(texts), "--out", str(tmp_path / "out"), "--precision", "fp32"]
    assert main(words) == 0
    assert "the model itself is not judged" in capsys.readouterr().err
    verified = read_artifact(tmp_path / "out").manifest.verification
    assert verified["texts"] == 40 and verified["agreement"] == 1.0 and verified["accuracy"] is None


def test_a_model_of_pairs_is_exported_as_one(learned_pairs: Learned, tmp_path: Path) -> None:
    labels = {"0": "contradiction", "1": "entailment", "2": "neutral"}
    folder = from_elsewhere(learned_pairs[0], tmp_path / "model", id2label=labels)
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=learned_pairs[1])
    assert artifact.manifest.paired and "token_type_ids" in artifact.manifest.inputs
    with liteft.load(artifact.path) as classifier:
        assert classifier.predict(("w1 w2", "w3")).label in labels.values()
    single = replace(learned_pairs[1], pairs=None)
    with pytest.raises(ModelError, match="typical of text pairs"):
        export(folder, tmp_path / "single", precision="fp32", verify=single)
    assert not (tmp_path / "single").exists()


def test_several_labels_a_text_are_asked_for(learned: Learned, tmp_path: Path) -> None:
    folder, split = from_elsewhere(learned[0], tmp_path / "model"), learned[1]
    assert split.labels is not None
    several = replace(split, labels=np.eye(3, dtype=bool)[split.labels])
    with pytest.raises(DataError, match="have several labels") as caught:
        export(folder, tmp_path / "out", precision="fp32", verify=several)
    assert caught.value.command_hints() == ["--task multi_label, if it was trained so"]
    unlabelled = replace(split, labels=None)
    assert (
        export(folder, tmp_path / "out", precision="fp32", task="multi_label", verify=unlabelled).manifest.activation
        == "sigmoid"
    )


@pytest.mark.parametrize("form", ["parts", "module.", "_orig_mod.module."])
def test_weights_in_parts_or_under_longer_names_are_read(learned: Learned, tmp_path: Path, form: str) -> None:
    folder = from_elsewhere(learned[0], tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if form == "parts":
        names = sorted(weights)
        parts = {"model-00001-of-00002.safetensors": names[:7], "model-00002-of-00002.safetensors": names[7:]}
        for file, part in parts.items():
            save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
        index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        save_file({f"{form}{name}": tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=learned[1])
    assert artifact.manifest.verification["accuracy"] == 1.0
    assert len(artifact.manifest.verification["weights_sha256"]) == 64


def test_what_liteft_trained_is_not_renamed(learned: Learned, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was trained with labels"):
        export(learned[0], tmp_path / "out", precision="fp32", labels=["x", "y", "z"], verify=learned[1])


def test_more_labels_than_logits_are_refused(learned: Learned, tmp_path: Path) -> None:
    split = replace(learned[1], labels=np.full(len(learned[1]), 4))
    with pytest.raises(ModelError, match="have 5 labels, and"):
        export(from_elsewhere(learned[0], tmp_path / "model"), tmp_path / "out", precision="fp32", verify=split)
