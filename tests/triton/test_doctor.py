"""What liteft doctor says of a model repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import liteft
from liteft.data import Split
from liteft.doctor.finding import Finding
from liteft.doctor.triton import triton_findings
from liteft.files import sha256_file
from liteft.triton.checking import TritonRepository
from tests.exporting.conftest import random_texts, write_unverified


@pytest.fixture
def repository(workshop: Any, native: Path, tmp_path: Path) -> TritonRepository:
    """An ensemble, as if Triton ran on this machine and saw it where it is."""
    artifact = write_unverified(workshop.loaded("bert"), tmp_path / "artifact")
    out = tmp_path / "out"
    verify = Split("texts", random_texts(9))
    return liteft.export_triton(artifact, out, verify=verify, name="tiny", models_path=str(out))


def found(repository: TritonRepository) -> dict[str, Finding]:
    return {each.name: each for each in triton_findings(repository.path)}


def replace(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_repository_that_is_as_it_was_written_has_no_problem(repository: TritonRepository) -> None:
    findings = found(repository)
    assert {each.status for each in findings.values()} == {"ok"}
    assert list(findings) == ["Triton", "Triton files", "Triton library", "Triton library path"]
    assert "not run in a Triton server" in findings["Triton"].detail
    diagnosis = liteft.diagnose(triton=repository.path)
    assert "Triton library path" in diagnosis.render()


def test_a_configuration_that_was_edited_is_no_problem_and_its_path_is_read(repository: TritonRepository) -> None:
    config = repository.path / "tiny_graph" / "config.pbtxt"
    replace(config, str(repository.path), "/elsewhere")
    findings = found(repository)
    assert findings["Triton files"].status == "off"
    assert findings["Triton library path"].status == "off"
    assert "/elsewhere/tiny_graph/1/libliteft.so does not exist here" in findings["Triton library path"].detail
    replace(config, "/elsewhere/", "")
    assert found(repository)["Triton library path"].status == "problem"
    replace(config, "op_library_filename", "# op_library_filename")
    replace(config, "# op_library_filename", "# none")
    assert "names no library" in found(repository)["Triton library path"].detail


def test_a_path_to_another_file_is_a_problem(repository: TritonRepository, tmp_path: Path) -> None:
    other = tmp_path / "libliteft.so"
    other.write_bytes(b"another")
    replace(repository.path / "tiny_graph" / "config.pbtxt", str(repository.library), str(other))
    assert found(repository)["Triton library path"].status == "problem"


def test_a_library_that_was_changed_is_a_problem_and_is_not_opened(
    repository: TritonRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_path: Path) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr("liteft.doctor.triton.open_file", opened)
    copied = repository.path / "tiny_graph" / "1" / "libliteft.so"
    copied.write_bytes(copied.read_bytes() + b"\0")
    findings = found(repository)
    assert (
        findings["Triton files"].status == "problem" and "libliteft.so was changed" in findings["Triton files"].detail
    )
    assert "Triton library" not in findings


def test_a_library_of_others_is_not_opened_though_its_list_names_it(
    repository: TritonRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_path: Path) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr("liteft.doctor.triton.open_file", opened)
    copied = repository.path / "tiny_graph" / "1" / "libliteft.so"
    before = sha256_file(copied)
    copied.write_bytes(copied.read_bytes() + b"\0")
    replace(repository.path / "liteft.json", before, sha256_file(copied))
    findings = found(repository)
    assert findings["Triton files"].status == "ok"
    assert findings["Triton library"].status == "off" and "was not opened" in findings["Triton library"].detail


def test_a_folder_that_is_no_repository_is_a_problem_with_a_way_out(tmp_path: Path) -> None:
    (finding,) = triton_findings(tmp_path)
    assert finding.status == "problem" and "liteft.json" in finding.detail and finding.fix
    (tmp_path / "liteft.json").write_text("{}")
    (finding,) = triton_findings(tmp_path)
    assert finding.status == "problem" and "cannot be read" in finding.detail
