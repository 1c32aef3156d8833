"""Pushing artifacts and runs: what is uploaded, what is refused, and what the model card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import liteft
from liteft.artifact import MANIFEST, Artifact
from liteft.errors import ArtifactError, ConfigError, HubError


def front_of(card: str) -> dict[str, Any]:
    """Return the metadata of a model card."""
    _, front, _ = card.split("---\n", 2)
    return yaml.safe_load(front)


def test_the_files_of_the_manifest_are_pushed_and_nothing_else(hub: Any, artifact: Artifact) -> None:
    (artifact.path / "texts.csv").write_text("a secret\n")
    pushed = artifact.push_to_hub("acme/reviews", license="mit")
    files = hub.repos["acme/reviews"].files()
    assert set(files) == {MANIFEST, *artifact.manifest.files, "README.md", ".gitattributes"}
    assert all(files[name] == (artifact.path / name).read_bytes() for name in [MANIFEST, *artifact.manifest.files])
    assert pushed.left_out == ("texts.csv",)
    assert pushed.commit == hub.repos["acme/reviews"].branches["main"]
    assert "not pushed: texts.csv" in pushed.render()


def test_a_new_repository_is_private_unless_it_is_said_to_be_public(hub: Any, artifact: Artifact) -> None:
    assert artifact.push_to_hub("acme/one", license="mit").private
    assert not artifact.push_to_hub("acme/two", license="mit", private=False).private
    assert [hub.repos[name].private for name in ("acme/one", "acme/two")] == [True, False]


def test_a_public_repository_is_refused_unless_it_is_said_to_be(hub: Any, artifact: Artifact) -> None:
    repo = hub.add("acme/reviews", {".gitattributes": b""})
    with pytest.raises(HubError, match="acme/reviews is public, and this push is private") as refused:
        artifact.push_to_hub("acme/reviews", license="mit")
    assert "try: --public" in refused.value.command_text()
    assert len(repo.commits) == 1
    artifact.push_to_hub("acme/reviews", license="mit", private=False)
    assert MANIFEST in repo.files()


def test_a_changed_file_is_found_before_anything_is_asked(hub: Any, artifact: Artifact) -> None:
    content = bytearray(artifact.model_path.read_bytes())
    content[100] ^= 1
    artifact.model_path.write_bytes(content)
    with pytest.raises(ArtifactError, match="was changed after the export"):
        artifact.push_to_hub("acme/reviews", license="mit")
    assert hub.asked == []


def test_a_manifest_that_changed_after_it_was_read_is_refused(hub: Any, artifact: Artifact) -> None:
    path = artifact.path / MANIFEST
    path.write_text(path.read_text().replace('"praise"', '"blame"'))
    with pytest.raises(ArtifactError, match="was changed after it was read"):
        artifact.push_to_hub("acme/reviews", license="mit")
    assert hub.asked == []


def test_a_dry_run_asks_the_hub_nothing_and_shows_files_and_sizes(hub: Any, artifact: Artifact) -> None:
    would = artifact.push_to_hub("acme/reviews", license="mit", dry_run=True)
    assert hub.asked == [] and hub.repos == {}
    assert would.files["model.onnx"] == artifact.model_path.stat().st_size
    assert would.files["README.md"] == len(would.card.encode())
    assert would.render().startswith("nothing was pushed; 7 files, ")


def test_files_of_an_earlier_push_that_are_gone_are_removed_and_others_stay(
    hub: Any, tiny: Any, artifact: Artifact, tmp_path: Path
) -> None:
    repo = hub.add("acme/reviews", {"logo.png": b"png"}, private=True)
    artifact.push_to_hub("acme/reviews", license="mit")
    again = json.loads((artifact.path / MANIFEST).read_text())
    again["files"]["notes.txt"] = {"bytes": 3, "sha256": "0" * 64}
    repo.commit(repo.files() | {"notes.txt": b"old", MANIFEST: json.dumps(again).encode()})
    pushed = artifact.push_to_hub("acme/reviews", license="mit")
    assert pushed.removed == ("notes.txt",)
    assert {"logo.png", "README.md", MANIFEST} <= set(repo.files())
    assert "notes.txt" not in repo.files()


def test_a_branch_is_made_and_main_stays_as_it_was(hub: Any, artifact: Artifact) -> None:
    artifact.push_to_hub("acme/reviews", license="mit", revision="v1", commit_message="the first")
    repo = hub.repos["acme/reviews"]
    assert set(repo.files("main")) == {".gitattributes"}
    assert MANIFEST in repo.files("v1")
    assert repo.messages[-1] == "the first"


def test_a_pull_request_leaves_the_branch_as_it_was(hub: Any, artifact: Artifact) -> None:
    pushed = artifact.push_to_hub("acme/reviews", license="mit", create_pr=True)
    repo = hub.repos["acme/reviews"]
    assert pushed.url == f"{hub.url}/acme/reviews/discussions/1"
    assert set(repo.files("main")) == {".gitattributes"}
    assert MANIFEST in repo.files("refs/pr/1")


def test_the_card_has_metadata_that_the_client_accepts(hub: Any, artifact: Artifact) -> None:
    from huggingface_hub import ModelCard

    said: dict[str, Any] = {"license": "apache-2.0", "language": ["en", "de"], "dataset": "acme/texts"}
    artifact.push_to_hub("acme/reviews", **said, base_model="acme/encoder")
    content = hub.repos["acme/reviews"].files()["README.md"].decode()
    data = ModelCard(content).data
    assert (data.license, data.language, data.datasets) == ("apache-2.0", ["en", "de"], ["acme/texts"])
    assert (data.base_model, data.library_name, data.pipeline_tag) == ("acme/encoder", "liteft", "text-classification")
    assert data.tags == ["liteft", "onnx", "fp32"]
    found = {(each.metric_name, each.metric_type, each.metric_value) for each in data.eval_results}
    assert found == {("accuracy, native engine", "accuracy", 0.9123), ("macro F1, native engine", "f1", 0.9)}
    assert {(each.dataset_type, each.dataset_name, each.dataset_split) for each in data.eval_results} == {
        ("acme/texts", "reviews.csv", "test")
    }
    assert content.endswith((artifact.path / "card.md").read_text())


def test_what_nobody_says_is_left_out_of_the_card(artifact: Artifact, hub: Any) -> None:
    front = front_of(artifact.push_to_hub("acme/reviews", license="mit", dry_run=True).card)
    assert front.keys() == {"license", "library_name", "pipeline_tag", "tags", "metrics", "model-index"}
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"] == {"name": "reviews.csv", "type": "custom", "split": "test"}


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({}, "a license was not given"),
        ({"license": "Apache-2.0"}, "the license 'Apache-2.0' is not written as the hub writes licenses"),
        ({"license": "mit", "language": "English"}, "the language 'English' is not a code of ISO 639"),
        ({"license": "mit", "dataset": "a/b/c"}, "dataset 'a/b/c' cannot be a name on the hub"),
        ({"license": "mit", "base_model": "./base"}, "base_model './base' cannot be a name on the hub"),
    ],
)
def test_words_that_the_hub_does_not_take_are_refused_before_anything_is_asked(
    hub: Any, artifact: Artifact, said: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text) as refused:
        artifact.push_to_hub("acme/reviews", **said)
    assert refused.value.accepted and refused.value.fix
    assert hub.asked == []


@pytest.mark.parametrize(
    "repo", ["reviews", "acme/a/b", "acme/-x", "acme/x.git", "acme/a--b", "../x", "acme/" + 96 * "x"]
)
def test_a_repository_that_cannot_be_one_is_refused(hub: Any, artifact: Artifact, repo: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a repository of the hub"):
        artifact.push_to_hub(repo, license="mit")
    assert hub.asked == []


def test_a_folder_is_pushed_by_its_path_and_a_pipeline_by_its_artifact(hub: Any, artifact: Artifact) -> None:
    liteft.push_to_hub(artifact.path, "acme/one", license="mit")
    liteft.push_to_hub(str(artifact.path.parent), "acme/two", license="mit")
    assert hub.repos["acme/one"].files().keys() == hub.repos["acme/two"].files().keys()


def test_a_token_that_is_given_is_used(hub: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(HubError, match="may not write acme/reviews"):
        artifact.push_to_hub("acme/reviews", license="mit")
    assert artifact.push_to_hub("acme/reviews", license="mit", token="hf_writer").commit


def test_the_same_push_again_makes_no_second_commit_of_other_content(hub: Any, artifact: Artifact) -> None:
    first = artifact.push_to_hub("acme/reviews", license="mit")
    second = artifact.push_to_hub("acme/reviews", license="mit")
    repo = hub.repos["acme/reviews"]
    assert repo.commits[first.commit] == repo.commits[second.commit]
    assert second.removed == ()


def test_without_the_extra_the_error_names_it(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(liteft.LiteftError, match="needs `huggingface_hub`, which is not installed") as missing:
        artifact.push_to_hub("acme/reviews", license="mit")
    assert type(missing.value).__name__ == "MissingExtraError"
