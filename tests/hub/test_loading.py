"""Loading artifacts from the hub: what is downloaded, what is checked, and what happens without a network."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import liteft
from liteft.artifact import MANIFEST, Artifact, read_artifact
from liteft.errors import ArtifactError, ConfigError, HubError, MissingExtraError
from tests.modules import module_of

stub = module_of("hub", "stub.py")
TEXT = "great service, thank you very much"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it to go offline, as HF_HUB_OFFLINE=1 does."""

    def switch() -> None:
        import huggingface_hub.constants as constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    return switch


def blob_of(file: Path) -> Path:
    """Return the file in the cache that a snapshot's file links to."""
    return file.resolve()


def test_an_artifact_from_the_hub_answers_as_the_one_that_was_pushed(hub: Any, pushed: Artifact) -> None:
    with liteft.load("acme/reviews") as loaded, liteft.load(pushed.path) as original:
        assert loaded.logits([TEXT]).tobytes() == original.logits([TEXT]).tobytes()
        assert loaded.source == f"acme/reviews@{hub.repos['acme/reviews'].branches['main']}"
        assert original.source is None


def test_only_the_files_of_the_manifest_are_downloaded(hub: Any, pushed: Artifact) -> None:
    repo = hub.repos["acme/reviews"]
    repo.commit(repo.files() | {"model.safetensors": b"w" * 1000, "pytorch_model.bin": b"p", "code.py": b"import os"})
    liteft.load("acme/reviews").close()
    downloaded = hub.downloads()
    assert set(downloaded) <= {MANIFEST, *pushed.manifest.files}  # equal files have one name in the cache
    assert {MANIFEST, "model.onnx", "tokenizer.json", "card.md"} <= set(downloaded)


def test_a_second_load_downloads_nothing(hub: Any, pushed: Artifact) -> None:
    liteft.load("acme/reviews").close()
    hub.asked.clear()
    liteft.load("acme/reviews").close()
    assert hub.downloads() == []


def test_a_commit_in_the_cache_is_used_without_asking(hub: Any, pushed: Artifact) -> None:
    commit = hub.repos["acme/reviews"].branches["main"]
    liteft.load("acme/reviews", revision=commit).close()
    hub.asked.clear()
    with liteft.load(f"acme/reviews@{commit}") as loaded:
        assert loaded.path.name == commit
    assert hub.asked == []


def test_a_revision_pins_what_is_loaded(hub: Any, tiny: Any, pushed: Artifact, tmp_path: Path) -> None:
    first = hub.repos["acme/reviews"].branches["main"]
    tiny.write_artifact(tmp_path / "other", labels=("good", "bad")).push_to_hub("acme/reviews", license="mit")
    with liteft.load("acme/reviews") as new, liteft.load("acme/reviews", revision=first) as old:
        assert (new.labels, old.labels) == (("good", "bad"), pushed.manifest.labels)


def test_it_works_offline_afterwards(hub: Any, pushed: Artifact, offline: Any) -> None:
    liteft.load("acme/reviews").close()
    hub.asked.clear()
    offline()
    with liteft.load("acme/reviews") as loaded:
        assert loaded.predict(TEXT).label in loaded.labels
    assert hub.asked == []


def test_offline_without_a_download_before_is_an_error(hub: Any, pushed: Artifact, offline: Any) -> None:
    offline()
    with pytest.raises(HubError, match="it was not downloaded before, or in part") as refused:
        liteft.load("acme/reviews")
    assert "unset HF_HUB_OFFLINE" in str(refused.value)
    assert hub.asked == []


def test_offline_with_a_part_of_the_files_is_an_error(hub: Any, pushed: Artifact, offline: Any) -> None:
    with liteft.load("acme/reviews") as loaded:
        folder = loaded.path
    (folder / "model.onnx").unlink()
    offline()
    with pytest.raises((HubError, ArtifactError), match=r"downloaded before, or in part|lacks model\.onnx"):
        liteft.load("acme/reviews")


def test_a_branch_is_used_as_it_was_with_a_warning_where_nobody_answers(
    hub: Any, pushed: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    liteft.load("acme/reviews").close()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="does not answer, so acme/reviews is what it was"):
        liteft.load("acme/reviews").close()


def test_a_local_folder_wins_over_a_name_on_the_hub(hub: Any, tiny: Any, pushed: Artifact, tmp_path: Path) -> None:
    tiny.write_artifact(tmp_path / "acme" / "reviews", labels=("here", "there"))
    with liteft.load("acme/reviews") as loaded:
        assert loaded.labels == ("here", "there")
    assert hub.asked == []
    with liteft.load("hf://acme/reviews") as loaded:
        assert loaded.labels == pushed.manifest.labels


@pytest.mark.parametrize(
    "path", ["runs/reviws", "reviews", "a/b/c", "./acme/reviews", "acme/reviews/", "/acme/reviews"]
)
def test_what_cannot_be_a_name_on_the_hub_gives_the_error_of_a_path(hub: Any, path: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(ArtifactError, match="is not a folder"):
        liteft.load(path)
    assert hub.asked == []


def test_a_path_object_is_never_looked_for_on_the_hub(hub: Any, pushed: Artifact) -> None:
    with pytest.raises(ArtifactError, match="is not a folder"):
        liteft.load(Path("acme/reviews"))
    assert hub.asked == []


def test_a_revision_of_a_folder_is_refused(hub: Any, artifact: Artifact) -> None:
    with pytest.raises(ConfigError, match="names no repository of the hub"):
        liteft.load(str(artifact.path), revision="main")
    with pytest.raises(ConfigError, match="names a revision, and 'v2' is another one"):
        liteft.load("acme/reviews@v1", revision="v2")


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match="there is no folder 'acme/reviews' here"):
        liteft.load("acme/reviews")


def changed(repo: Any, name: str) -> None:
    """Commit a repository with one byte of a file changed."""
    content = bytearray(repo.files()[name])
    content[len(content) // 2] ^= 1
    repo.commit(repo.files() | {name: bytes(content)})


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "card.md"])
def test_a_file_that_was_changed_on_the_hub_fails(hub: Any, pushed: Artifact, name: str) -> None:
    changed(hub.repos["acme/reviews"], name)
    with pytest.raises(ArtifactError, match=f"{name} was changed after the export") as refused:
        liteft.load("acme/reviews")
    assert "downloaded from: acme/reviews@" in str(refused.value)
    assert "models--acme--reviews and load it again" in str(refused.value)


def test_a_file_that_was_changed_in_the_cache_fails(hub: Any, pushed: Artifact) -> None:
    with liteft.load("acme/reviews") as loaded:
        file = blob_of(loaded.path / "model.onnx")
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="was changed after the export"):
        liteft.load("acme/reviews")


def test_a_cache_that_keeps_the_files_of_all_repositories_in_one_place_is_read(hub: Any, pushed: Artifact) -> None:
    with liteft.load("acme/reviews") as loaded:
        folder = loaded.path
    blob = folder.parents[1] / "blobs" / (folder / "model.onnx").readlink().name
    store = folder.parents[2] / "blobs" / "ab" / ("ab" * 32)
    store.parent.mkdir(parents=True)
    blob.rename(store)
    blob.symlink_to(os.path.relpath(store, blob.parent))
    liteft.load("acme/reviews").close()


def test_a_file_of_a_snapshot_that_links_elsewhere_is_refused(hub: Any, pushed: Artifact, tmp_path: Path) -> None:
    with liteft.load("acme/reviews") as loaded:
        folder = loaded.path
    elsewhere = tmp_path / "card.md"
    elsewhere.write_bytes((folder / "card.md").read_bytes())
    (folder / "card.md").unlink()
    (folder / "card.md").symlink_to(elsewhere)
    with pytest.raises(ArtifactError, match="links to a place outside its folder"):
        liteft.load("acme/reviews")


def test_a_file_of_another_size_is_refused_before_it_is_downloaded(hub: Any, pushed: Artifact) -> None:
    repo = hub.repos["acme/reviews"]
    repo.commit(repo.files() | {"model.onnx": b"\0" * 1_000_000})
    with pytest.raises(HubError, match=r"model\.onnx has 1,000,000 bytes, but manifest\.json lists it with"):
        liteft.load("acme/reviews")
    assert hub.downloads() == [MANIFEST]


def test_a_file_that_is_missing_on_the_hub_is_named(hub: Any, pushed: Artifact) -> None:
    repo = hub.repos["acme/reviews"]
    repo.commit({name: content for name, content in repo.files().items() if name != "tokenizer.json"})
    with pytest.raises(HubError, match=r"tokenizer\.json is missing, but manifest\.json lists it"):
        liteft.load("acme/reviews")


def test_a_manifest_that_names_a_place_outside_of_its_folder_is_refused(hub: Any, pushed: Artifact) -> None:
    repo = hub.repos["acme/reviews"]
    content = json.loads(repo.files()[MANIFEST])
    content["files"]["../../../../evil"] = content["files"]["card.md"]
    repo.commit(repo.files() | {MANIFEST: json.dumps(content).encode()})
    with pytest.raises(ArtifactError, match="is not the name of a file in the folder"):
        liteft.load("acme/reviews")
    assert hub.downloads() == [MANIFEST]


def test_a_repository_without_a_manifest_was_not_made_by_liteft(hub: Any) -> None:
    hub.add("acme/encoder", {"config.json": b"{}"})
    with pytest.raises(HubError, match=r"acme/encoder has no manifest\.json or liteft\.json, so it"):
        liteft.load("acme/encoder")


def test_unpickling_loads_the_same_commit_from_the_cache(hub: Any, tiny: Any, pushed: Artifact, tmp_path: Path) -> None:
    with liteft.load("acme/reviews") as loaded:
        kept = pickle.dumps(loaded)
    tiny.write_artifact(tmp_path / "other", labels=("good", "bad")).push_to_hub("acme/reviews", license="mit")
    hub.asked.clear()
    with pickle.loads(kept) as again:
        assert again.labels == pushed.manifest.labels
    assert hub.asked == []


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub: Any, pushed: Artifact) -> None:
    hub.faults.append(stub.Fault("/model.onnx", share=0.5, method="GET"))
    with liteft.load("acme/reviews") as loaded:
        assert loaded.predict(TEXT).label in loaded.labels
    assert hub.downloads().count("model.onnx") == 2


def test_a_download_that_fails_leaves_nothing_that_is_taken_for_the_file(hub: Any, pushed: Artifact) -> None:
    hub.faults.append(stub.Fault("/model.onnx", status=500, method="GET"))
    with pytest.raises(HubError, match="answers with status 500"):
        liteft.load("acme/reviews")
    liteft.load("acme/reviews").close()


def test_read_artifact_takes_a_name_and_a_revision(hub: Any, pushed: Artifact) -> None:
    found = read_artifact("acme/reviews", revision=hub.repos["acme/reviews"].branches["main"])
    assert found.manifest == pushed.manifest


def test_loading_a_folder_imports_no_client(artifact: Artifact) -> None:
    code = f"import sys, liteft; liteft.load({str(artifact.path)!r}).close(); print('huggingface_hub' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "False"


def test_no_warning_is_given_where_the_hub_answers(hub: Any, pushed: Artifact) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        liteft.load("acme/reviews").close()


def test_a_model_of_optimum_is_loaded_by_the_same_names(pushed: Artifact, hub: Any) -> None:
    module = pytest.importorskip("liteft.integrations.optimum", reason="the extra 'optimum' is not installed")
    from transformers import BertConfig

    kind, config = module.LiteftModelForSequenceClassification, BertConfig(num_labels=4)
    for name, settings in (("acme/reviews", {"revision": "main"}), ("hf://acme/reviews@main", {}), (pushed.path, {})):
        model = kind.from_pretrained(name, config, threads=1, backend="onnxruntime", **settings)
        assert model.model.manifest == pushed.manifest
    with pytest.raises(HubError, match="acme/nothing"):
        kind.from_pretrained("acme/nothing")
    with pytest.raises(ArtifactError, match="is not a folder"):
        kind.from_pretrained("runs/nowhere/at/all")
    with pytest.raises(ConfigError, match="token cannot be given here"):
        kind.from_pretrained("acme/reviews", token="secret")
