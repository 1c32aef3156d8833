"""Models of one's own whose files LiteFT does not know to be harmless: exported by who says that they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from liteft.artifact import read_artifact
from liteft.data import Split
from liteft.errors import ArtifactError, LiteftError, VerificationError
from liteft.exporting import export
from liteft.report import compare
from liteft.runtime import load
from liteft.runtime.rules import RULES
from tests.patterns import add_pattern


@pytest.fixture(scope="module")
def learned(workshop: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Split]:
    """A BERT whose tokenizer splits by a regular expression that may take long on some text."""
    made, split = workshop.learned("bert")
    folder = tmp_path_factory.mktemp("trust") / "model"
    shutil.copytree(made, folder)
    add_pattern(folder)
    return folder, split


def test_a_tokenizer_with_a_pattern_of_its_own_is_exported_and_compared_by_who_trusts_it(
    learned: tuple[Path, Split], tmp_path: Path
) -> None:
    folder, split = learned
    lines: list[str] = []
    artifact = export(
        folder, tmp_path / "out", precision="fp32", verify=split, test=split, trust=True, progress=lines.append
    )
    assert lines[-1] == "it is loaded by who trusts it alone; trust=True"
    assert 'liteft.load("FOLDER", trust=True)' in (artifact.path / "card.md").read_text()
    assert set(artifact.manifest.measured["validation"]) >= {"onnxruntime"}
    with pytest.raises(ArtifactError, match="may take exponential time") as caught:
        load(artifact.path)
    assert caught.value.command_hints()[0].startswith("--trust")
    with load(artifact.path, trust=True) as classifier:
        assert classifier.predict(split.texts[:1])[0].label == f"label {split.labels[0]}"  # type: ignore[index]
    with pytest.raises(LiteftError, match="may take exponential time"):
        compare(artifact.path, on=split, rounds=0)
    assert compare(artifact.path, on=split, rounds=0, trust=True).models[0].scores["accuracy"] == 1.0


def test_without_trust_nothing_is_exported_and_the_hint_is_the_flag(
    learned: tuple[Path, Split], tmp_path: Path
) -> None:
    folder, split = learned
    with pytest.raises(VerificationError, match="would be refused by a service") as caught:
        export(folder, tmp_path / "out", precision="fp32", verify=split)
    (hint,) = caught.value.command_hints()
    assert hint.startswith("--trust")
    assert str(caught.value.fix[0]).startswith("trust=True")
    assert not list(tmp_path.iterdir())


def test_trust_that_was_not_needed_is_not_asked_of_who_loads_the_artifact(workshop: Any, tmp_path: Path) -> None:
    folder, split = workshop.learned("bert")
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split, trust=True)
    assert 'liteft.load("FOLDER")' in (artifact.path / "card.md").read_text()


@pytest.mark.slow
def test_a_traced_graph_of_an_operator_without_a_rule_is_refused_with_families_that_are_built_and_exported_on_trust(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = workshop.learned("gpt2", "last")
    monkeypatch.delitem(RULES, "Softmax")
    with pytest.raises(VerificationError, match="does not run on onnxruntime") as caught:
        export(folder, tmp_path / "refused", verify=split, precision="fp16")
    assert "ai.onnx.Softmax" in caught.value.accepted["what happened"]
    assert caught.value.command_hints()[0].startswith("--trust")
    assert "a base whose graph is built: bert" in caught.value.command_hints()[1]
    artifact = export(folder, tmp_path / "out", verify=split, precision="fp16", trust=True)
    assert read_artifact(artifact.path).manifest.graph == "traced"
