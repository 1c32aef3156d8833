"""``liteft push``, and the other commands with the name of a repository in the place of a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import liteft
from liteft.artifact import MANIFEST, Artifact
from liteft.cli import main
from liteft.serving.app import create_service
from liteft.serving.settings import ServeSettings

TEXT = "great service thank you very much"


def test_push_prints_where_it_went_as_text_and_as_json(
    hub: Any, artifact: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(artifact.path), "acme/reviews", "--license", "mit", "--language", "en"]) == 0
    commit = hub.repos["acme/reviews"].branches["main"]
    assert f"to acme/reviews (private): {hub.url}/acme/reviews/commit/{commit}" in capsys.readouterr().out
    assert main(["push", str(artifact.path), "acme/two", "--license", "mit", "--public", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["repo"], document["private"], err) == ("acme/two", False, "")
    assert document["files"]["model.onnx"] == artifact.model_path.stat().st_size


def test_a_dry_run_shows_the_card_and_the_files(
    hub: Any, artifact: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(artifact.path), "acme/reviews", "--license", "mit", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("nothing was pushed; 7 files")
    assert "license: mit" in err
    assert hub.asked == []


def test_a_recipe_says_what_flags_do_not(hub: Any, artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('[hub]\nlicense = "mit"\nlanguage = "en"\nprivate = false\n')
    words = ["push", str(artifact.path), "acme/reviews", "--recipe", str(tmp_path / "recipe.toml"), "--language", "de"]
    assert main(words) == 0
    repo = hub.repos["acme/reviews"]
    card = repo.files()["README.md"].decode()
    assert "license: mit" in card and "- de" in card and "- en" not in card
    assert not repo.private


def test_without_a_license_the_flag_is_named(hub: Any, artifact: Artifact, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(artifact.path), "acme/reviews"]) == 2
    assert "try: --license apache-2.0" in capsys.readouterr().err


def test_predict_takes_a_repository_with_a_revision(
    hub: Any, pushed: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = hub.repos["acme/reviews"].branches["main"]
    assert main(["predict", f"acme/reviews@{commit}", TEXT]) == 0
    out, err = capsys.readouterr()
    assert out.endswith(f"\t{TEXT}\n")
    assert f"acme/reviews@{commit} is in " in err


def test_a_hub_that_does_not_answer_is_told_in_a_line(
    hub: Any, pushed: Artifact, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    assert main(["predict", "acme/reviews", TEXT]) == 0
    capsys.readouterr()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert main(["predict", "acme/reviews", TEXT]) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("warning: http://127.0.0.1:9 does not answer, so acme/reviews is what it was when")


@pytest.mark.slow
def test_inspect_and_compare_take_a_repository(
    hub: Any, pushed: Artifact, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    rows = "".join(f"{TEXT} {number},{label}\n" for number in range(6) for label in pushed.manifest.labels)
    (tmp_path / "test.csv").write_text(f"text,label\n{rows}")
    assert main(["inspect", "acme/reviews"]) == 0
    words = ["--on", str(tmp_path / "test.csv"), "--split", "all", "--rounds", "0"]
    assert main(["compare", "acme/reviews", str(pushed.path), *words]) == 0
    assert "acme/reviews" in capsys.readouterr().out


def test_score_takes_a_repository(hub: Any, pushed: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "in.csv").write_text(f"text\n{TEXT}\nplease refund\n")
    scored = liteft.score("acme/reviews", str(tmp_path / "in.csv"), tmp_path / "out", workers=1)
    assert (scored.rows, scored.failed) == (2, ())


def test_a_served_repository_is_named_for_itself(hub: Any, pushed: Artifact) -> None:
    service = create_service(["acme/reviews", "again=acme/reviews@main"], ServeSettings(), {})
    assert list(service.models) == ["reviews", "again"]
    assert (service.models["reviews"].path / MANIFEST).is_file()


def test_the_real_client_in_processes_of_their_own(hub: Any, artifact: Artifact, tmp_path: Path) -> None:
    own = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    liteft_command = [sys.executable, "-m", "liteft.cli"]

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*liteft_command, *words], capture_output=True, text=True, check=False, env=own | more, cwd=tmp_path
        )

    done = run("push", str(artifact.path), "acme/reviews", "--license", "mit")
    assert done.returncode == 0, done.stderr
    done = run("predict", "acme/reviews", TEXT)
    assert done.returncode == 0, done.stderr
    hub.asked.clear()
    again = run("predict", "acme/reviews", TEXT, HF_HUB_OFFLINE="1")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert hub.asked == []
    refused = run("predict", "acme/reviws", TEXT)
    assert refused.returncode == 1
    assert refused.stderr.startswith("HubError: acme/reviws: there is no such folder here, and the hub has no such")


@pytest.mark.slow
def test_export_takes_the_model_of_a_run(hub: Any, trained: Any, tmp_path: Path) -> None:
    run, data = trained
    run.push_to_hub("acme/student", license="mit")
    validation = data.splits["validation"]
    rows = (f"{text},{data.labels[label]}\n" for text, label in zip(validation.texts, validation.labels, strict=True))
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(rows))
    words = [
        "--data",
        str(tmp_path / "data.csv"),
        "--split",
        "all",
        "--precision",
        "fp32",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["export", "acme/student", *words]) == 0
    assert (tmp_path / "out" / MANIFEST).is_file()
