"""A teacher that is an adapter on a quantized base, exported: merged, and verified against what was trained."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import liteft
from liteft.errors import ModelError, VerificationError
from liteft.exporting import Limits, export, exporter, sizes
from liteft.finetuning import finetune
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.run import Run
from tests.modules import module_of


@pytest.fixture(scope="module")
def tiny() -> ModuleType:
    """The module that writes tiny bases and data for training."""
    return module_of("finetuning")


@pytest.fixture(scope="module")
def runs(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """An adapter on each of three bases."""
    root = tmp_path_factory.mktemp("runs")
    made = {}
    for family, settings in (
        ("bert", {"base_quantization": "4bit"}),
        ("electra", {"base_quantization": "8bit", "pooling": "mean"}),
        ("gpt2", {"lora_rank": 4}),
    ):
        changes = {"n_layer": 1} if family == "gpt2" else {}  # each layer takes a second to be traced
        base = tiny.write_base(root / "bases" / family, family, **changes)
        given: Any = {**tiny.QUICK, "learning_rate": 1e-2, **settings}
        made[family] = finetune(base, tiny.make_dataset(), out=root / family, **given)
    return made


@pytest.mark.parametrize(
    ("family", "precision", "graph"),
    [("bert", "fp32", "built"), ("bert", "int8", "built"), ("electra", "fp32", "built"), ("gpt2", "fp32", "traced")],
)
def test_an_adapter_is_exported_merged_and_agrees_with_what_was_trained(
    runs: dict[str, Run], tiny: ModuleType, tmp_path: Path, family: str, precision: Any, graph: str
) -> None:
    run, data = runs[family], tiny.make_dataset()
    artifact = export(run, tmp_path / "out", precision=precision, verify=data.validation)
    assert artifact.manifest.graph == graph
    assert artifact.manifest.verification["weights_sha256"] == run.info["weights_sha256"]
    with liteft.load(artifact.path) as classifier:
        found = classifier.logits(data.test.texts)
    expected = predict_logits(load_classifier(run.model_path), data.test.texts)
    np.testing.assert_allclose(found, expected, atol=0.1 if precision == "int8" or family == "electra" else 1e-4)


def test_the_export_is_held_to_the_adapter_on_its_base_and_not_to_what_was_merged(
    runs: dict[str, Run], tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = exporter.merged_classifier

    def badly(loaded: Any) -> Any:
        whole = merge(loaded)
        whole.model.classifier.weight.data.mul_(-1)
        return whole

    monkeypatch.setattr(exporter, "merged_classifier", badly)
    with pytest.raises(VerificationError):
        export(runs["bert"], tmp_path / "out", precision="fp32", verify=tiny.make_dataset().validation, limits=Limits())
    assert not (tmp_path / "out").exists()


def test_a_teacher_too_large_for_one_file_is_refused_before_it_is_merged(
    runs: dict[str, Run], tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "MOST_BYTES", 4 * runs["bert"].info["parameters"] - 1)
    monkeypatch.setattr(exporter, "merged_classifier", lambda _: pytest.fail("it was merged"))
    with pytest.raises(ModelError, match="parameters") as caught:
        export(runs["bert"], tmp_path / "out", precision="fp32", verify=tiny.make_dataset().validation)
    assert "distil it into a smaller student" in caught.value.fix
