from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import pytest

from liteft.artifact import FORMAT, Artifact
from liteft.errors import ArtifactError, ConfigError, DeviceError, MissingExtraError
from liteft.installation import install_hint
from liteft.runtime import load, onnx_engine
from liteft.runtime.cores import default_threads, usable_cores


def test_a_loaded_artifact_says_what_it_is(artifact: Artifact) -> None:
    with load(artifact.path) as classifier:
        assert classifier.labels == artifact.manifest.labels
        assert classifier.manifest == artifact.manifest
        assert (classifier.backend, classifier.device) == ("onnxruntime", "cpu")
        assert classifier.threads == default_threads()
        assert classifier.stats.texts == 0


def test_a_relative_path_survives_a_change_of_folder(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(artifact.path.parent)
    with load(artifact.path.name) as classifier:
        monkeypatch.chdir(tmp_path)
        assert classifier.path == artifact.path


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "card.md"])
def test_one_changed_byte_is_an_error_that_names_the_file(new_artifact: Callable[..., Artifact], name: str) -> None:
    path = new_artifact().path
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{name} was changed after the export"):
        load(path)


def test_a_later_format_is_an_error(new_artifact: Callable[..., Artifact]) -> None:
    path = new_artifact().path
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": FORMAT + 1}))
    with pytest.raises(ArtifactError, match=f"format {FORMAT + 1}"):
        load(path)


def test_what_is_no_artifact_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        load(tmp_path)
    with pytest.raises(ArtifactError, match="is not a folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="path is None"):
        load(None)  # type: ignore[arg-type]


def test_a_file_that_is_no_graph_is_an_error(new_artifact: Callable[..., Artifact]) -> None:
    with pytest.raises(ArtifactError, match="is not an ONNX file, or is damaged"):
        load(new_artifact(model=b"no graph").path)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"inputs": ("input_ids", "attention_mask", "token_type_ids")}, "other inputs"),
        ({"labels": ("a", "b"), "model": None}, "no output logits of shape"),
    ],
)
def test_a_graph_that_does_not_fit_its_manifest_is_an_error(
    tiny: ModuleType, new_artifact: Callable[..., Artifact], fields: dict[str, Any], part: str
) -> None:
    if "model" in fields:
        fields = fields | {"model": tiny.graph(3)}
    with pytest.raises(ArtifactError, match=part):
        load(new_artifact(**fields).path)


def test_a_graph_without_logits_is_an_error(tiny: ModuleType, new_artifact: Callable[..., Artifact]) -> None:
    model = onnx.load_from_string(tiny.graph(4))
    model.graph.node[-1].output[0] = model.graph.output[0].name = "scores"
    with pytest.raises(ArtifactError, match="no output logits"):
        load(new_artifact(model=model.SerializeToString()).path)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"device": "cpuu"}, 'device="cpu"'),
        ({"device": None}, "no device None"),
        ({"backend": "onnx"}, "no backend 'onnx'"),
        ({"threads": 0}, "got 0"),
        ({"threads": 1025}, "1 to 1024"),
        ({"threads": 2**32 + 1}, "got 4294967297"),
        ({"threads": "two"}, "got 'two'"),
    ],
)
def test_a_value_that_is_not_accepted_is_a_config_error(artifact: Artifact, asked: dict[str, Any], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(artifact.path, **asked)
    assert part in str(caught.value)


def test_what_is_not_available_here_is_a_device_error(artifact: Artifact) -> None:
    with pytest.raises(DeviceError, match='the backend "native" was requested and is not available'):
        load(artifact.path, backend="native")


@pytest.mark.skipif(onnx_engine.has_cuda(), reason="this onnxruntime has CUDA")
def test_cuda_without_cuda_is_a_device_error_that_says_why(artifact: Artifact) -> None:
    with pytest.raises(DeviceError) as caught:
        load(artifact.path, device="cuda")
    assert 'the device "cuda" was requested and is not available' in str(caught.value)
    assert install_hint("gpu") in str(caught.value)
    with pytest.raises(DeviceError, match="has no CUDAExecutionProvider"):
        load(artifact.path, device="cuda", backend="onnxruntime")


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.skipif(onnx_engine.has_cuda(), reason="this onnxruntime has CUDA")
def test_a_silent_fallback_to_the_cpu_is_a_device_error(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_engine, "may_have_cuda", lambda: True)
    monkeypatch.setattr(onnx_engine, "has_cuda", lambda: True)  # as where CUDA's libraries do not load
    with pytest.raises(DeviceError, match="could not start it, so it would have run on the CPU"):
        load(artifact.path, device="cuda")
    with load(artifact.path, device="auto") as classifier:
        assert classifier.device == "cpu"


def test_without_onnxruntime_the_extra_is_named(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="cannot be imported") as caught:
        load(artifact.path)
    assert "[cpu]" in str(caught.value)


def test_telemetry_of_onnxruntime_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr("builtins.__import__", _refusing_onnxruntime(__import__))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    for wanted in ("0", "1"):
        with pytest.raises(MissingExtraError):
            onnx_engine.import_onnxruntime()
        assert os.environ["ORT_DISABLE_TELEMETRY"] == wanted
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY")


def _refusing_onnxruntime(original: Callable[..., Any]) -> Callable[..., Any]:
    def refusing(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return original(name, *arguments, **named)

    return refusing


def test_cores_that_share_a_socket_with_their_twin_count_once(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    for cpu in allowed:
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{cpu // 2 * 2},{cpu // 2 * 2 + 1}\n")
    assert usable_cores(cgroup=tmp_path, cpus=tmp_path) == len({cpu // 2 for cpu in allowed})


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", None), ("150000 100000", 2), ("10000 100000", 1), ("broken", None)]
)
def test_the_quota_of_a_container_cuts_the_cores(tmp_path: Path, quota: str, cores: int | None) -> None:
    free = usable_cores(cgroup=tmp_path)
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(cgroup=tmp_path) == (free if cores is None else min(free, cores))


def test_the_quota_of_an_old_control_group_counts_too(tmp_path: Path) -> None:
    free = usable_cores(cgroup=tmp_path)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    assert usable_cores(cgroup=tmp_path) == 1
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cores(cgroup=tmp_path) == free


def test_the_smallest_quota_from_the_own_group_to_the_root_counts(tmp_path: Path) -> None:
    own, group = tmp_path / "own", tmp_path / "app.slice" / "web.service"
    group.mkdir(parents=True)
    own.write_text("0::/app.slice/web.service\n")
    free = usable_cores(cgroup=tmp_path, own=own)
    (tmp_path / "other.slice").mkdir()
    (tmp_path / "other.slice" / "cpu.max").write_text("1000 100000\n")
    (group / "cpu.max").write_text("max 100000\n")
    assert usable_cores(cgroup=tmp_path, own=own) == free
    (group.parent / "cpu.max").write_text("100000 100000\n")
    assert usable_cores(cgroup=tmp_path, own=own) == 1
    own.write_text("0::/docker/0123\n")  # as the host sees it: here it is the root
    assert usable_cores(cgroup=tmp_path, own=own) == free
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(cgroup=tmp_path, own=own) == 1


@pytest.mark.parametrize(
    ("line", "cores"), [("1:cpu,cpuacct:/docker/a", 1), ("1:cpuacct:/docker/a", None), ("1:cpu:/../docker/a", None)]
)
def test_the_quota_of_an_own_old_control_group_counts(tmp_path: Path, line: str, cores: int | None) -> None:
    own, group = tmp_path / "own", tmp_path / "cpu" / "docker" / "a"
    group.mkdir(parents=True)
    own.write_text(f"4:memory:/\n{line}\n0::/\n")
    free = usable_cores(cgroup=tmp_path, own=own)
    (group / "cpu.cfs_quota_us").write_text("90000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(cgroup=tmp_path, own=own) == (cores or free)


def test_a_number_of_threads_comes_from_the_environment(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_threads({}) == usable_cores()
    assert default_threads({"OMP_NUM_THREADS": "5,2"}) == 5
    assert default_threads({"OMP_NUM_THREADS": "5", "LITEFT_THREADS": "3"}) == 3
    assert default_threads({"OMP_NUM_THREADS": "5", "LITEFT_THREADS": ""}) == 5
    monkeypatch.setenv("LITEFT_THREADS", "3")
    with load(artifact.path) as classifier:
        assert classifier.threads == 3
    with load(artifact.path, threads=1) as classifier:
        assert classifier.threads == 1


@pytest.mark.parametrize("name", ["LITEFT_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "2.5", "1025", "9" * 5000, "²"])
def test_a_number_of_threads_in_the_environment_that_is_none_is_said(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be an integer from 1 to") as caught:
        default_threads({name: value})
    assert f"unset {name}" in caught.value.fix


def test_texts_longer_than_the_table_of_positions_are_refused_at_once(tiny: ModuleType, tmp_path: Path) -> None:
    tiny.write_artifact(tmp_path / "fits", max_tokens=32, positions=32)
    load(tmp_path / "fits").close()
    tiny.write_artifact(tmp_path / "beyond", max_tokens=32, positions=31)
    with pytest.raises(ArtifactError, match="cuts texts at 32 tokens, but its model has only 31 positions"):
        load(tmp_path / "beyond")
