"""Runs on the hub: what of them is pushed, and what their model is good for elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import liteft
from liteft.artifact import Artifact
from liteft.errors import ArtifactError, ModelError, RunError
from liteft.run import Run, read_run
from liteft.run_card import MODEL_LIST


@pytest.fixture
def run(trained: Any, tmp_path: Path) -> Run:
    """A copy of a finished run, whose teacher lies in a folder that has no business elsewhere."""
    folder = tmp_path / "secret-folder" / "student"
    shutil.copytree(trained[0].path, folder)
    info = json.loads((folder / "run.json").read_text())
    info["teacher"] = {"name": "teacher", "path": str(tmp_path / "secret-folder"), "base": "minilm", "parameters": 9}
    info["warnings"] = ["a text that was said: hello"]
    (folder / "run.json").write_text(json.dumps(info))
    return read_run(folder)


@pytest.fixture
def there(hub: Any, run: Run) -> Any:
    """The repository that the run was pushed to."""
    run.push_to_hub("acme/student", license="mit")
    return hub.repos["acme/student"]


def test_the_model_is_pushed_and_nothing_else_of_the_run(hub: Any, run: Run) -> None:
    (run.model_path / "notes.txt").write_text("a secret")
    pushed = run.push_to_hub("acme/student", license="mit")
    files = hub.repos["acme/student"].files()
    model = {file.name: file.read_bytes() for file in run.model_path.iterdir() if file.name != "notes.txt"}
    assert set(files) == {*model, MODEL_LIST, "README.md", ".gitattributes"}
    assert {name: files[name] for name in model} == model
    assert pushed.left_out == ("notes.txt",)


def test_the_card_says_what_an_epsilon_promises_and_the_list_names_no_folder(hub: Any, run: Run) -> None:
    said = {"epsilon": 7.99, "delta": 1e-5, "noise_multiplier": 0.9, "max_grad_norm": 1.0, "sampling": "Poisson"}
    said |= {"sample_rate": 0.02, "steps": 1000, "rows": 48, "accountant": "rdp, opacus 1.6.0", "trains": "the head"}
    info = run.info | {"privacy": said, "transfer": "pool", "size": "/secret-folder/encoder"}  # type: ignore[operator]
    pushed = Run(run.path, info).push_to_hub("acme/student", license="mit")  # type: ignore[arg-type]
    assert "epsilon = 7.99, delta = 1e-05, of each row of the training split; 1,000 steps" in pushed.card
    assert "It does not cover whoever wrote several rows" in pushed.card and "no labelled text" in pushed.card
    told = json.loads(hub.repos["acme/student"].files()[MODEL_LIST])["run"]
    assert told["privacy"] == said and told["size"] == "encoder"


def test_code_is_pushed_only_as_it_was_written(hub: Any, run: Run) -> None:
    ours = Path(liteft.__file__).parent / "finetuning" / "modeling_mean_pooled.py"
    placed = run.model_path / ours.name
    placed.write_bytes(ours.read_bytes())
    run.push_to_hub("acme/student", license="mit")
    assert hub.repos["acme/student"].files()[ours.name] == ours.read_bytes()
    placed.write_text("import os")
    pushed = run.push_to_hub("acme/student", license="mit")
    assert ours.name in pushed.left_out
    assert ours.name not in hub.repos["acme/student"].files()


def test_no_path_of_this_machine_and_no_text_is_pushed(there: Any) -> None:
    for name, content in there.files().items():
        assert b"secret-folder" not in content, name
        assert b"hello" not in content, name


def test_the_card_of_a_run_states_its_metrics_with_intervals(there: Any, run: Run) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(there.files()["README.md"].decode())
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "text-classification")
    stated = {(each.dataset_split, each.metric_name): each.metric_value for each in card.data.eval_results}
    test = run.metrics["test"]
    assert stated["test", "accuracy"] == round(test["accuracy"], 4)
    low, high = test["accuracy_interval"]
    assert f"{100 * test['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})" in card.text
    assert 'liteft.export("acme/student"' in card.text


def test_weights_that_were_changed_are_not_pushed(hub: Any, run: Run) -> None:
    weights = run.model_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RunError, match="was changed after the training"):
        run.push_to_hub("acme/student", license="mit")
    assert hub.asked == []


def test_an_adapter_on_a_base_of_this_machine_is_refused(hub: Any, run: Run, tmp_path: Path) -> None:
    from liteft.run_card import run_upload

    (run.model_path / "base.json").write_text(json.dumps({"base": str(tmp_path / "llm")}))
    with pytest.raises(ModelError, match="is an adapter on the base llm, which is not on the hub") as refused:
        run_upload(run.model_path, run.info, run.task, manifest="manifest.json")
    assert str(tmp_path / "llm") not in refused.value.message


def test_transformers_reads_the_repository_with_the_same_logits(hub: Any, there: Any, trained: Any) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    theirs = AutoModelForSequenceClassification.from_pretrained("acme/student")
    ours = AutoModelForSequenceClassification.from_pretrained(trained[0].model_path)
    ids = torch.tensor([[2, 9, 8, 3]])
    with torch.no_grad():
        assert torch.equal(theirs(ids).logits, ours(ids).logits)


@pytest.mark.slow
def test_a_run_from_the_hub_is_exported_and_compared(hub: Any, there: Any, trained: Any, tmp_path: Path) -> None:
    validation = trained[1].splits["validation"]
    made = liteft.export("acme/student", tmp_path / "artifact", precision="fp32", verify=validation)
    texts = validation.texts[:8]
    original = liteft.export(trained[0], tmp_path / "original", precision="fp32", verify=validation)
    with liteft.load(made.path) as one, liteft.load(original.path) as other:
        assert np.array_equal(one.logits(texts), other.logits(texts))
    assert (made.path / "card.md").read_text().startswith("# Text classifier: acme/student\n")
    compared = liteft.compare("acme/student", made, on=trained[1], rounds=0, threads=1)
    assert [model.subject.name for model in compared.models] == ["acme/student", "artifact"]


def test_an_artifact_from_the_hub_is_not_exported_again(
    hub: Any, artifact: Artifact, trained: Any, tmp_path: Path
) -> None:
    artifact.push_to_hub("acme/artifact", license="mit")
    with pytest.raises(ModelError, match="is an artifact, which has been exported already"):
        liteft.export("acme/artifact", tmp_path / "out", verify=trained[1].splits["validation"])


def test_weights_that_were_changed_on_the_hub_are_refused(hub: Any, there: Any, trained: Any, tmp_path: Path) -> None:
    from liteft.finetuning.bases import resolve_base

    content = bytearray(there.files()["model.safetensors"])
    content[-1] ^= 1
    there.commit(there.files() | {"model.safetensors": bytes(content)})
    with pytest.raises(ModelError, match="is not the file that was pushed"):
        liteft.export("acme/student", tmp_path / "out", verify=trained[1].splits["validation"])
    with pytest.raises(ModelError, match="is not the file that was pushed"):
        resolve_base("acme/student")


def test_a_run_is_a_base_by_name_and_commit(hub: Any, there: Any, run: Run) -> None:
    from liteft.finetuning.bases import resolve_base

    first = there.branches["main"]
    there.commit(there.files() | {"README.md": b"---\nlicense: mit\n---\n"})
    folder = resolve_base(f"acme/student@{first}")
    assert folder.name == first
    assert (folder / "model.safetensors").read_bytes() == (run.model_path / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["acme/student", "hf://acme/student"])
def test_a_run_is_a_teacher_by_name(hub: Any, there: Any, trained: Any, name: str) -> None:
    from liteft.distillation.teachers import Teacher, find_teacher

    teacher = find_teacher(name, dataset=trained[1])
    assert isinstance(teacher, Teacher)
    assert teacher.weights_sha256 == trained[0].info["weights_sha256"]
    assert teacher.name == f"acme/student@{there.branches['main']}"


def test_a_run_is_not_loaded_as_an_artifact(hub: Any, there: Any) -> None:
    with pytest.raises(ArtifactError, match="is the model of a run, not an artifact") as refused:
        liteft.load("acme/student")
    commit = there.branches["main"]
    assert f"try: liteft export acme/student@{commit} --out FOLDER" in refused.value.command_text()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 9}, "its format is 9, and this version reads 1"),
        ({"files": {"../x": {"bytes": 1, "sha256": "0"}}}, "'../x', which is not a file of a model"),
        ({"files": {}}, "its format is 1"),
        ({"files": {"config.json": {"bytes": -1, "sha256": "0"}}}, "'config.json', which is not a file of a model"),
        ({"files": {"modeling.py": {"bytes": 1, "sha256": "0"}}}, "'modeling.py', which is not a file of a model"),
    ],
)
def test_a_list_of_files_that_does_not_fit_is_refused(
    hub: Any, there: Any, trained: Any, tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    content = json.loads(there.files()[MODEL_LIST]) | change
    there.commit(there.files() | {MODEL_LIST: json.dumps(content).encode()})
    with pytest.raises(ModelError, match="cannot be used") as refused:
        liteft.compare("acme/student", on=trained[1], rounds=0)
    assert text in str(refused.value)


def test_an_artifact_takes_the_place_of_a_run_in_one_commit(hub: Any, there: Any, artifact: Artifact) -> None:
    pushed = artifact.push_to_hub("acme/student", license="mit")
    assert pushed.removed == (MODEL_LIST, "model.safetensors")
    assert set(there.files()) == {*pushed.files, ".gitattributes"}
