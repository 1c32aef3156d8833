"""The artifact folder: written whole or not at all, and read only when it is what its manifest says."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers

from liteft.artifact import (
    FORMAT,
    Artifact,
    ArtifactWriter,
    find_artifact,
    graph_file,
    read_artifact,
    refuse_artifact,
    required_files,
    writing_artifact,
)
from liteft.errors import ArtifactError, ModelError
from liteft.form import ExportForm

REQUIRED = required_files(ExportForm("fp32"))
FIELDS: dict[str, Any] = {
    "task": "single_label",
    "labels": ("order", "payment"),
    "activation": "softmax",
    "pooling": "cls",
    "paired": False,
    "max_tokens": 4,
    "truncation_side": "left",
    "pad_id": 0,
    "inputs": ("input_ids", "attention_mask"),
    "family": "bert",
    "form": ExportForm("fp32"),
    "graph": "built",
}


def fill(writer: ArtifactWriter, model: bytes = b"a graph") -> None:
    """Write every file that an artifact needs."""
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1, "b": 2, "c": 3}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    contents = dict.fromkeys(REQUIRED, b"{}") | {"model.onnx": model, "tokenizer.json": tokenizer.to_str().encode()}
    for name, content in contents.items():
        (writer.folder / name).write_bytes(content)


def write(path: Path, model: bytes = b"a graph", **fields: Any) -> Artifact:
    with writing_artifact(path) as writer:
        fill(writer, model)
        graph = writer.folder / graph_file((FIELDS | fields)["form"])
        graph.parent.mkdir(exist_ok=True)
        (writer.folder / "model.onnx").rename(graph)
        writer.seal(**(FIELDS | fields))
    return read_artifact(path)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """An artifact that is this test's own; nothing else lies in ``tmp_path``."""
    return write(tmp_path / "artifact")


@pytest.fixture
def edit(artifact: Artifact) -> Callable[..., Path]:
    """A function that changes fields of the manifest and returns the folder."""

    def change(**fields: Any) -> Path:
        path = artifact.path / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        return artifact.path

    return change


def refused(path: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_artifact(path)
    return str(caught.value)


def test_what_was_sealed_is_read_back(artifact: Artifact) -> None:
    manifest = artifact.manifest
    assert {name: getattr(manifest, name) for name in FIELDS} == FIELDS
    assert manifest.format == FORMAT
    assert sorted(manifest.files) == sorted(REQUIRED)
    assert artifact.size_bytes == sum((artifact.path / name).stat().st_size for name in REQUIRED)
    assert artifact.model_path.read_bytes() == b"a graph"


def test_its_text_speaks_of_tags_and_spans_where_words_are_judged(tmp_path: Path) -> None:
    checked = {
        "texts": 185, "split": "validation", "agreement": 0.9912, "accuracy": 0.66, "model_accuracy": 0.665,
        "accuracy_p_value": 1.0, "calibration_error": 0.02, "model_calibration_error": 0.025,
        "primary": {"metric": "f1", "artifact": 0.861, "model": 0.86, "difference_interval": [-0.004, 0.006]},
        "unlabeled": {"agreement": 0.98, "texts": 1000},
    }  # fmt: skip
    words = {"task": "tokens", "labels": ["O", "B-PER", "I-PER"], "pooling": "none", "activation": "softmax"}
    first, *others = write(tmp_path / "words", **words, verification=checked).render().splitlines()
    assert "model.onnx" in first
    assert others == [
        "verified: same tag as the model on 99.12% of the words of 185 texts of validation; every tag right in 66.0% "
        "of the texts (model 66.5%)",
        "F1 86.1% (model 86.0%; difference -0.4 to +0.6 points)",
        "McNemar's p 1; expected calibration error 2.0 points (model 2.5)",
        "unlabelled: same tag as the model on 98.0% of the words of 1,000 texts",
    ]
    del checked["primary"]
    others = write(tmp_path / "texts", verification=checked).render().splitlines()[1:]
    assert (
        others[0]
        == "verified: same answer as the model on 99.12% of 185 texts of validation; 66.0% right (model 66.5%)"
    )
    assert others[-1] == "unlabelled: same answer as the model on 98.0% of 1,000 texts"


@pytest.mark.parametrize(
    "form", [{"precision": "int4"}, {"precision": "fp32", "scheme": "static"}, {"weight_bits": "8"}, {"colour": "red"}]
)
def test_a_manifest_with_a_form_that_cannot_be_is_refused(edit: Callable[..., Path], form: dict[str, Any]) -> None:
    assert f"does not fit format {FORMAT}: form" in refused(edit(form=form))


def test_its_tokenizer_cuts_as_the_manifest_says(artifact: Artifact) -> None:
    tokenizer = artifact.tokenizer()
    assert tokenizer.encode(["a a b b c c"]).ids.tolist() == [2, 2, 3, 3]


def test_a_folder_is_hashed_with_its_subfolders(tmp_path: Path) -> None:
    with writing_artifact(tmp_path / "a") as writer:
        fill(writer)
        (writer.folder / "extra").mkdir()
        (writer.folder / "extra" / "weights.bin").write_bytes(b"1")
        writer.seal(**FIELDS)
    (tmp_path / "a" / "extra" / "weights.bin").write_bytes(b"2")
    assert "weights.bin was changed after the export" in refused(tmp_path / "a")


def test_the_old_artifact_stays_whole_until_the_block_ends(artifact: Artifact) -> None:
    with writing_artifact(artifact.path) as writer:
        fill(writer, b"a better graph")
        writer.seal(**FIELDS)
        assert read_artifact(artifact.path).model_path.read_bytes() == b"a graph"
    assert read_artifact(artifact.path).model_path.read_bytes() == b"a better graph"
    assert names(artifact.path.parent) == ["artifact"]


def test_an_open_file_of_the_old_artifact_stays_readable(artifact: Artifact) -> None:
    with open(artifact.model_path, "rb") as service:
        write(artifact.path, b"a better graph")
        assert service.read() == b"a graph"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_an_error_inside_the_block_leaves_the_old_artifact(artifact: Artifact, error: BaseException) -> None:
    with pytest.raises(type(error)), writing_artifact(artifact.path) as writer:
        fill(writer, b"a better graph")
        writer.seal(**FIELDS)
        raise error
    assert read_artifact(artifact.path) == artifact
    assert names(artifact.path.parent) == ["artifact"]


def test_a_block_that_never_seals_is_an_error_and_writes_nothing(artifact: Artifact, tmp_path: Path) -> None:
    for path in (artifact.path, tmp_path / "new"):
        with pytest.raises(ArtifactError, match="was not sealed: no manifest was written"), writing_artifact(path):
            pass
    assert read_artifact(artifact.path) == artifact
    assert names(tmp_path) == ["artifact"]


@pytest.mark.parametrize("name", REQUIRED)
def test_sealing_without_a_needed_file_names_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=f"the artifact lacks {name}"), writing_artifact(tmp_path / "a") as writer:
        fill(writer)
        (writer.folder / name).unlink()
        writer.seal(**FIELDS)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["README.md", ".git/HEAD", "onnx/notes.txt", "empty/", "link"])
def test_an_artifact_with_files_that_no_export_wrote_is_not_replaced(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a", form=ExportForm("fp32", target="edge")).path
    other = path / name
    if name.endswith("/"):
        other.mkdir()
    elif name == "link":
        other.symlink_to(tmp_path)
    else:
        other.parent.mkdir(exist_ok=True)
        other.write_text("mine")
    before = {each: each.stat().st_mtime_ns for each in path.rglob("*")}
    with pytest.raises(ArtifactError, match="contains files that are not part of the artifact there") as caught:
        write(path, form=ExportForm("fp32", target="edge"))
    shown = ".git" if name == ".git/HEAD" else name.rstrip("/")
    assert caught.value.accepted == {"not in its manifest": shown}
    assert {each: each.stat().st_mtime_ns for each in path.rglob("*")} == before


@pytest.mark.parametrize("content", ["{", "[]", '{"files": 1}'])
def test_where_a_manifest_cannot_be_read_nothing_is_replaced(artifact: Artifact, content: str) -> None:
    (artifact.path / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match="it is unknown which files of"):
        write(artifact.path)
    assert (artifact.path / "manifest.json").read_text() == content


def test_an_artifact_without_other_files_is_replaced_whatever_is_missing_or_changed(artifact: Artifact) -> None:
    artifact.model_path.unlink()
    (artifact.path / "card.md").write_text("changed")
    assert write(artifact.path, b"a better graph").model_path.read_bytes() == b"a better graph"


def test_the_folder_of_a_whole_way_stands_for_its_artifact(artifact: Artifact) -> None:
    whole = artifact.path.parent
    assert find_artifact(whole) == find_artifact(artifact.path) == artifact.path
    assert read_artifact(whole) == artifact
    (whole / "run.json").write_text("{}")
    assert find_artifact(whole) == whole


def test_a_whole_way_without_an_artifact_yet_names_its_runs(tmp_path: Path) -> None:
    for name in ("student", "teacher"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    message = refused(tmp_path)
    assert "contains runs but no artifact yet" in message
    assert f"try: liteft export {tmp_path / 'student'} --out {tmp_path / 'artifact'}" in message


@pytest.mark.parametrize("whole", [True, False])
def test_where_a_model_is_wanted_an_artifact_names_what_to_take(artifact: Artifact, whole: bool) -> None:
    student = artifact.path.parent / "student"
    student.mkdir()
    (student / "run.json").write_text("{}")
    with pytest.raises(ModelError) as caught:
        refuse_artifact(student.parent if whole else artifact.path)
    assert (f"liteft export {student} --out FOLDER" in str(caught.value)) == whole
    refuse_artifact(student)


def test_sealing_again_takes_in_what_changed(tmp_path: Path) -> None:
    with writing_artifact(tmp_path / "a") as writer:
        fill(writer)
        writer.seal(**FIELDS)
        (writer.folder / "card.md").write_text("# now with numbers\n")
        writer.seal(**FIELDS, metrics={"test": {"accuracy": 0.9}})
    assert read_artifact(tmp_path / "a").manifest.metrics == {"test": {"accuracy": 0.9}}


@pytest.mark.parametrize("wrong", [{"labels": ()}, {"max_tokens": 0}, {"pooling": "max"}, {"colour": "red"}])
def test_a_manifest_that_fits_no_reader_is_never_written(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        write(tmp_path / "a", **wrong)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", REQUIRED)
def test_one_changed_byte_in_any_file_names_it(artifact: Artifact, name: str) -> None:
    content = bytearray((artifact.path / name).read_bytes())
    content[-1] ^= 1
    (artifact.path / name).write_bytes(content)
    message = refused(artifact.path)
    assert f"{artifact.path / name} was changed after the export" in message
    assert "try: copy the folder again, or export the model again" in message


def test_a_file_of_another_size_is_found_without_hashing(artifact: Artifact) -> None:
    artifact.model_path.write_bytes(b"half")
    with pytest.raises(ArtifactError, match=r"model\.onnx was changed") as caught:
        read_artifact(artifact.path, check_files=False)
    assert caught.value.accepted == {"bytes in the manifest": "7", "bytes found": "4"}


def test_hashing_can_be_left_out(artifact: Artifact) -> None:
    artifact.model_path.write_bytes(b"A graph")
    assert read_artifact(artifact.path, check_files=False).manifest == artifact.manifest


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_named(artifact: Artifact, name: str) -> None:
    (artifact.path / name).unlink()
    assert f"lacks {name}, which its manifest lists" in refused(artifact.path)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_needed_file_that_the_manifest_does_not_list_is_named(
    artifact: Artifact, edit: Callable[..., Path], name: str
) -> None:
    listed = json.loads((artifact.path / "manifest.json").read_text())["files"]
    del listed[name]
    assert f"manifest.json does not list {name}" in refused(edit(files=listed))


@pytest.mark.parametrize("found", [FORMAT + 1, 0, "1", None, [1]])
def test_another_format_is_refused_with_what_can_be_read(edit: Callable[..., Path], found: Any) -> None:
    message = refused(edit(format=found, something_new=True))
    assert f"has artifact format {found!r}" in message
    assert f"formats that this version reads: {FORMAT}" in message
    assert "try: install a newer liteft" in message


def test_an_earlier_format_is_refused_before_its_keys_are_read(edit: Callable[..., Path]) -> None:
    message = refused(edit(format=1, form=None, mixed={}))
    assert "has artifact format 1, which only development versions wrote." in message
    assert "try: export the model again" in message


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"labels": []}, "labels"),
        ({"labels": "order"}, "labels"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"pad_id": -1}, "pad_id"),
        ({"activation": "relu"}, "activation"),
        ({"colour": "red"}, "colour"),
        ({"token_types": 2}, "its inputs are input_ids, attention_mask, and token_types is 2"),
        ({"files": {"model.onnx": {"bytes": 7}}}, "files.model.onnx.sha256"),
    ],
)
def test_a_manifest_that_does_not_fit_names_the_field(
    edit: Callable[..., Path], fields: dict[str, Any], where: str
) -> None:
    assert f"manifest.json does not fit format {FORMAT}: {where}" in refused(edit(**fields))


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe{}", b"\0\0\0"])
def test_a_manifest_that_is_no_json_is_an_error(artifact: Artifact, content: bytes) -> None:
    (artifact.path / "manifest.json").write_bytes(content)
    assert "manifest.json cannot be read" in refused(artifact.path)


def test_a_manifest_that_is_no_object_is_an_error(artifact: Artifact) -> None:
    (artifact.path / "manifest.json").write_text("[1]")
    assert "artifact format None" in refused(artifact.path)


@pytest.mark.parametrize("name", ["../secret", "inner/../../secret", "{absolute}"])
def test_a_file_outside_the_folder_is_never_opened(artifact: Artifact, edit: Callable[..., Path], name: str) -> None:
    secret = artifact.path.parent / "secret"
    secret.write_bytes(b"a graph")
    name = name.format(absolute=secret)
    listed = json.loads((artifact.path / "manifest.json").read_text())["files"]
    listed[name] = listed["model.onnx"]  # its size and hash fit
    assert f"{name!r} is not the name of a file in the folder" in refused(edit(files=listed))


def test_a_link_out_of_the_folder_is_never_followed(artifact: Artifact) -> None:
    secret = artifact.path.parent / "secret"
    artifact.model_path.rename(secret)
    artifact.model_path.symlink_to(secret)
    assert "names a file that links to a place outside its folder: model.onnx" in refused(artifact.path)


def test_a_snapshot_in_the_hubs_cache_is_read_through_its_links(artifact: Artifact, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--me--it" / "snapshots" / "a1b2", tmp_path / "models--me--it" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(artifact.path.iterdir())):
        (blobs / str(number)).write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert read_artifact(snapshot).manifest == artifact.manifest


def test_a_folder_behind_a_link_is_an_artifact(artifact: Artifact) -> None:
    link = artifact.path.parent / "link"
    link.symlink_to(artifact.path)
    assert read_artifact(link).manifest == artifact.manifest
    write(link, b"a better graph")
    assert link.is_symlink()
    assert read_artifact(artifact.path).model_path.read_bytes() == b"a better graph"


def test_a_file_of_an_artifact_names_its_folder(artifact: Artifact) -> None:
    assert refused(artifact.model_path).endswith(f'try: liteft.load("{artifact.path}")')


def test_an_artifact_is_a_path(artifact: Artifact) -> None:
    assert read_artifact(Path(artifact)).manifest == artifact.manifest


def test_what_is_no_artifact_says_what_it_is(tmp_path: Path) -> None:
    assert "is not a folder" in refused(tmp_path / "nowhere")
    (tmp_path / "reviews").mkdir()
    assert f"did you mean {tmp_path / 'reviews'}?" in refused(tmp_path / "reveiws")
    (tmp_path / "reviews").rmdir()
    assert "is not an artifact: it has no manifest.json, and it contains no model" in refused(tmp_path)
    assert "liteft.export" not in refused(tmp_path)
    (tmp_path / "reviews" / "student").mkdir(parents=True)
    (tmp_path / "reviews" / "student" / "run.json").write_text("{}")
    assert f"try: give one of them, such as {tmp_path / 'reviews'}" in refused(tmp_path)
    model = tmp_path / "reviews" / "student" / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert f'try: liteft.export("{model.parent}", folder)' in refused(model)
    shutil.rmtree(tmp_path / "reviews")
    (tmp_path / "config.json").write_text("{}")
    assert f'try: liteft.export("{tmp_path}", folder)' in refused(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    message = refused(tmp_path)
    assert "is a training run, not an artifact" in message
    assert f'try: liteft.export("{tmp_path}", folder)' in message
    with pytest.raises(ArtifactError) as caught:
        read_artifact(tmp_path)
    assert f"try: liteft export {tmp_path} --out FOLDER" in caught.value.command_text()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_artifact_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "thesis"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.tex").write_text("years of work")
    else:
        target.write_text("years of work")
    with pytest.raises(ArtifactError, match="exists, is not an artifact, and would be overwritten") as caught:
        write(target)
    assert caught.value.fix == ("choose another output folder",)
    assert (target / "thesis.tex" if kind == "folder" else target).read_text() == "years of work"
    assert names(tmp_path) == ["thesis"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    assert write(tmp_path / "artifact").path == tmp_path / "artifact"


@pytest.mark.parametrize("moment", ["a file is written", "the manifest is written", "files are flushed"])
def test_a_full_disk_is_an_error_that_leaves_the_old_artifact(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(ArtifactError, match="could not be written: No space left on device") as caught,
        writing_artifact(artifact.path) as writer,
    ):
        if moment == "a file is written":
            monkeypatch.setattr(Path, "write_bytes", full)
        fill(writer, b"a better graph")
        if moment == "the manifest is written":
            monkeypatch.setattr(Path, "write_text", full)
        writer.seal(**FIELDS)
        monkeypatch.setattr(os, "fsync", full)
    assert str(caught.value).startswith(f"{artifact.path} could not be written")
    assert caught.value.fix == ("free some space, or choose another folder",)
    monkeypatch.undo()
    assert read_artifact(artifact.path) == artifact
    assert names(artifact.path.parent) == ["artifact"]


@pytest.mark.parametrize("parent", ["/proc", "/sys"])
def test_a_place_that_nobody_may_write_to_is_an_error(parent: str) -> None:
    if not Path(parent).is_dir():
        pytest.skip(f"this system has no {parent}")
    with pytest.raises(ArtifactError, match=rf"{parent}/liteft/artifact could not be written: ") as caught:
        write(Path(parent) / "liteft" / "artifact")
    assert caught.value.fix
