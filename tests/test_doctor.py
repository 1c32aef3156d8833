"""Every branch of the doctor, on made-up machines."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest

from liteft import doctor
from liteft.doctor import Diagnosis, Finding, backends, machine, packages, processor, providers
from liteft.errors import DeviceError, MissingExtraError
from liteft.installation import install_hint
from liteft.machine import read_processor
from liteft.runtime import native_library as native

NO_GPU = machine.Gpus((), "no NVIDIA driver (libcuda) is installed; everything runs on the CPU")
H100 = machine.Gpus(("NVIDIA H100, 81559 MiB, driver 570.1",))


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def install(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Let the doctor see exactly these packages; underscores stand for hyphens."""
    known = {name.replace("_", "-"): version for name, version in versions.items()}
    for module in (packages, providers):
        monkeypatch.setattr(module, "installed_version", known.get)


def onnxruntime_with(monkeypatch: pytest.MonkeyPatch, *names: str, file: str = "/x/onnxruntime/__init__.py") -> None:
    module = types.SimpleNamespace(__file__=file, get_available_providers=lambda: list(names))
    monkeypatch.setattr(providers, "import_onnxruntime", lambda: module)


# The diagnosis as a whole


def test_diagnose_runs_here_without_importing_torch() -> None:
    code = (
        "import sys, json; from liteft.doctor import diagnose; found = diagnose();"
        "json.dumps(found.to_dict()); found.render();"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_diagnose_works_where_no_package_of_any_extra_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, liteft="0.1.0", numpy="2.4.6")
    found = by_name(list(doctor.diagnose().findings))
    assert found["onnxruntime"].status == "off"
    assert "exports cannot be verified" in found["onnxruntime"].detail


def test_exit_status_is_1_only_with_a_problem() -> None:
    off = Finding("a", "off", "x")
    assert Diagnosis((off,)).exit_status == 0
    assert Diagnosis((off, Finding("b", "problem", "y"))).exit_status == 1


def test_render_shows_status_reason_and_fix_and_counts() -> None:
    found = Diagnosis(
        (
            Finding("cores", "ok", "2 usable"),
            Finding("runtime", "problem", "it is broken " * 20, ("mend it",)),
        )
    )
    text = found.render(width=60)
    assert text.splitlines()[0] == "ok      cores    2 usable"
    assert "PROBLEM runtime  it is broken" in text
    assert "try: mend it" in text
    assert text.splitlines()[-1] == "1 problem, 0 off"
    assert max(len(line) for line in text.splitlines()) <= 60
    assert json.loads(json.dumps(found.to_dict()))["findings"][1]["fix"] == ["mend it"]


# Processor


def cpuinfo(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(text, encoding="utf-8")
    return path


def test_processor_of_a_server_with_everything(tmp_path: Path) -> None:
    flags = "fpu avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8"
    path = cpuinfo(tmp_path, f"processor\t: 0\nmodel name\t: Xeon\nflags\t\t: {flags}\n")
    found = read_processor(system="Linux", machine="x86_64", cpuinfo=path)
    assert found.name == "Xeon" and found.features is not None and all(found.features.values())
    findings = by_name(processor.processor_findings(found))
    assert findings["int8"].status == "ok" and "AMX" in findings["int8"].detail
    assert findings["bf16"].status == "ok" and "vectors" not in findings


def test_old_processor_says_what_it_lacks(tmp_path: Path) -> None:
    path = cpuinfo(tmp_path, "model name : Old\nflags : fpu sse2\n")
    found = read_processor(system="Linux", machine="x86_64", cpuinfo=path)
    findings = by_name(processor.processor_findings(found))
    assert "session.x64quantprecision=1" in findings["int8 elsewhere"].detail
    assert {name: findings[name].status for name in ("vectors", "int8", "bf16")} == {
        "vectors": "off",
        "int8": "off",
        "bf16": "off",
    }
    assert findings["int8"].fix


def test_avx2_does_not_pass_for_avx512(tmp_path: Path) -> None:
    path = cpuinfo(tmp_path, "flags : avx2 avx_vnni\n")
    found = read_processor(system="Linux", machine="x86_64", cpuinfo=path)
    assert found.features == {"AVX2": True, "AVX512F": False, "VNNI": True, "BF16": False, "AMX": False}


def test_arm_server(tmp_path: Path) -> None:
    path = cpuinfo(tmp_path, "processor : 0\nFeatures : fp asimd asimddp i8mm bf16 sve\n")
    found = read_processor(system="Linux", machine="aarch64", cpuinfo=path)
    assert found.architecture == "arm" and found.name == "aarch64"
    assert by_name(processor.processor_findings(found))["int8"].status == "ok"


def test_mac_is_asked_through_sysctl(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "machdep.cpu.brand_string": "Apple M3",
        "hw.optional.arm": "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 1\n"
        "hw.optional.arm.FEAT_BF16: 0",
    }
    monkeypatch.setattr("liteft.machine._sysctl", answers.get)
    found = read_processor(system="Darwin", machine="arm64")
    assert found.name == "Apple M3"
    assert found.features == {"dot product": True, "I8MM": True, "BF16": False, "SVE": False}
    monkeypatch.setattr(
        "liteft.machine._sysctl", {"machdep.cpu.features": "SSE4.2", "machdep.cpu.leaf7_features": "AVX2"}.get
    )
    intel = read_processor(system="Darwin", machine="x86_64")
    assert intel.features is not None and intel.features["AVX2"] and not intel.features["VNNI"]


@pytest.mark.parametrize(("system", "machine_name"), [("Windows", "AMD64"), ("Linux", "riscv64"), ("Linux", "x86_64")])
def test_unknown_features_are_called_unknown(system: str, machine_name: str, tmp_path: Path) -> None:
    found = read_processor(system=system, machine=machine_name, cpuinfo=tmp_path / "none")
    (finding,) = processor.processor_findings(found)
    assert finding.status == "ok" and "unknown" in finding.detail


# Cores and memory


def test_cores_and_a_variable_that_holds_torch_back() -> None:
    findings = by_name(machine.core_findings(environment={"OMP_NUM_THREADS": "1"}, logical=64, usable=8))
    assert "8 physical cores usable of 64 logical" in findings["cores"].detail
    assert findings["OMP_NUM_THREADS"].status == "off"
    assert findings["OMP_NUM_THREADS"].fix == ("unset OMP_NUM_THREADS",)


@pytest.mark.parametrize("value", ["8", "16", "", "many"])
def test_variable_that_holds_nothing_back_is_not_named(value: str) -> None:
    assert len(machine.core_findings(environment={"OMP_NUM_THREADS": value}, logical=8, usable=8)) == 1


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_memory_names_the_containers_limit(tmp_path: Path, name: str) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n", encoding="ascii")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("2000000000\n", encoding="ascii")
    (finding,) = machine.memory_findings(cgroup=tmp_path, meminfo=meminfo, system="linux")
    assert finding.detail == "16.4 GB, 8.2 GB available, the container may use 2.0 GB"
    (tmp_path / name).write_text("max\n", encoding="ascii")
    (finding,) = machine.memory_findings(cgroup=tmp_path, meminfo=meminfo, system="linux")
    assert "container" not in finding.detail


def test_memory_that_nobody_tells_is_unknown(tmp_path: Path) -> None:
    (finding,) = machine.memory_findings(cgroup=tmp_path, meminfo=tmp_path / "none", system="linux")
    assert "unknown" in finding.detail


# GPU


class Driver:
    """A libcuda with a result of cuInit and a number of GPUs."""

    def __init__(self, code: int, count: int = 0) -> None:
        self.code, self.count = code, count

    def cuInit(self, _flags: int) -> int:
        return self.code

    def cuDeviceGetCount(self, pointer: object) -> int:
        pointer._obj.value = self.count  # type: ignore[attr-defined]
        return 0

    def cuDeviceGetName(self, text: object, _size: int, _index: int) -> int:
        text.value = b"NVIDIA L4"  # type: ignore[attr-defined]
        return 0


def nvidia_card(tmp_path: Path) -> Path:
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text("0x10de\n", encoding="ascii")
    (device / "class").write_text("0x030200\n", encoding="ascii")
    return tmp_path


@pytest.mark.parametrize("value", ["", "-1"])
def test_hidden_gpus_are_said_to_be_hidden(value: str) -> None:
    gpus = machine.read_gpus(environment={"CUDA_VISIBLE_DEVICES": value})
    (finding,) = machine.gpu_findings(gpus)
    assert finding.status == "off" and finding.fix == ("unset CUDA_VISIBLE_DEVICES",)


def test_no_driver_and_no_card_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "_open_driver", lambda: None)
    (finding,) = machine.gpu_findings(machine.read_gpus(environment={}, pci=tmp_path))
    assert finding.status == "off" and "no NVIDIA driver" in finding.detail


def test_card_without_a_driver_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "_open_driver", lambda: None)
    (finding,) = machine.gpu_findings(machine.read_gpus(environment={}, pci=nvidia_card(tmp_path)))
    assert finding.status == "problem" and "in the machine" in finding.detail and finding.fix


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [(100, "off", "finds no GPU"), (803, "problem", "differ in version"), (999, "problem", "error 999")],
)
def test_driver_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, status: str, words: str
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "_open_driver", lambda: Driver(code))
    (finding,) = machine.gpu_findings(machine.read_gpus(environment={}, pci=tmp_path))
    assert finding.status == status and words in finding.detail


def test_gpu_is_named_by_the_driver_where_there_is_no_nvidia_smi(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "_open_driver", lambda: Driver(0, 1))
    monkeypatch.setattr(machine, "_smi_names", list)
    (finding,) = machine.gpu_findings(machine.read_gpus(environment={}, pci=tmp_path))
    assert (finding.status, finding.detail) == ("ok", "NVIDIA L4")


def test_a_gpu_comes_with_the_word_that_none_has_run_this_release() -> None:
    (finding,) = machine.untested_findings(machine.Gpus(("NVIDIA L4",), ""))
    assert finding.status == "off" and "has not been tested on a GPU" in finding.detail
    assert machine.untested_findings(machine.Gpus((), "no driver")) == []


def test_nvidia_smi_names_memory_and_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    done = types.SimpleNamespace(stdout="NVIDIA H100 80GB HBM3, 81559 MiB, 570.124.06\n")
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **settings: done)
    assert machine._smi_names() == ["NVIDIA H100 80GB HBM3, 81559 MiB, driver 570.124.06"]


def test_macos_has_no_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    gpus = machine.read_gpus(environment={}, pci=tmp_path)
    assert not gpus.broken and "macOS" in gpus.reason


# Packages


@pytest.mark.parametrize(
    ("version", "specifier", "expected"),
    [
        ("5.23.0", ">=5.17,<6", True),
        ("5.9", ">=5.17,<6", False),
        ("6.0.0", ">=5.17,<6", False),
        ("2.13.0+cpu", "==2.13.0", True),
        ("2.13", "==2.13.0", True),
        ("1.4.2", "~=1.4.1", True),
        ("1.5.0", "~=1.4.1", False),
        ("1.4.9", "==1.4.*", True),
        ("1.4", "!=1.4", False),
        ("3.0", "", True),
    ],
)
def test_versions_fit_specifiers(version: str, specifier: str, expected: bool) -> None:
    assert packages.fits(version, specifier) is expected


def test_requirements_are_read_from_metadata_lines() -> None:
    lines = [
        "numpy>=1.26",
        'transformers<6,>=5.17; extra == "train"',
        'bitsandbytes>=0.50; platform_system == "Plan9" and extra == "train"',
        "uvicorn[standard] >=0.30 ; extra == 'serve'",
    ]
    assert packages.read_requirements(lines) == [
        packages.Requirement("numpy", ">=1.26", ""),
        packages.Requirement("transformers", "<6,>=5.17", "train"),
        packages.Requirement("uvicorn", ">=0.30", "serve"),
    ]


REQUIREMENTS = [
    packages.Requirement("numpy", ">=1.26", ""),
    packages.Requirement("torch", ">=2.11", "train"),
    packages.Requirement("transformers", ">=5.17,<6", "train"),
    packages.Requirement("matplotlib", ">=3.9", "report"),
]


def test_missing_extra_is_off_and_names_packages_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, torch="2.13.0", matplotlib="3.11.2")
    found = by_name(packages.extra_findings(REQUIREMENTS))
    assert found["extra train"].status == "off"
    assert "missing: transformers" in found["extra train"].detail
    assert found["extra train"].fix == (install_hint("train"),)
    assert found["extra report"].status == "ok"


def test_package_outside_its_range_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, torch="2.13.0", transformers="4.57.1", numpy="1.24.0", liteft="0.1.0")
    found = by_name(packages.extra_findings(REQUIREMENTS))
    assert found["extra train"].status == "problem"
    assert "transformers 4.57.1 is installed, >=5.17,<6 is needed" in found["extra train"].detail
    base = by_name(packages.version_findings(REQUIREMENTS))["base packages"]
    assert base.status == "problem" and "numpy 1.24.0" in base.detail


def test_source_on_the_path_is_said_to_be_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    found = by_name(packages.version_findings(None))
    assert found["liteft"].status == "off" and "not installed" in found["liteft"].detail
    assert packages.extra_findings(None) == []


# ONNX Runtime and torch


def test_two_onnxruntimes_are_a_problem_with_both_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, onnxruntime="1.32.0", onnxruntime_gpu="1.31.0")
    (with_gpu,) = providers.onnxruntime_findings(H100)
    assert with_gpu.status == "problem" and "overwrite each other" in with_gpu.detail
    assert with_gpu.fix == ("pip uninstall -y onnxruntime onnxruntime-gpu", "pip install onnxruntime-gpu")
    (without,) = providers.onnxruntime_findings(NO_GPU)
    assert without.fix[1] == "pip install onnxruntime"


@pytest.mark.parametrize(("gpus", "extra"), [(NO_GPU, "cpu"), (H100, "gpu")])
def test_no_onnxruntime_is_off(monkeypatch: pytest.MonkeyPatch, gpus: machine.Gpus, extra: str) -> None:
    install(monkeypatch)
    (finding,) = providers.onnxruntime_findings(gpus)
    assert finding.status == "off" and finding.fix == (install_hint(extra),)


def test_onnxruntime_that_cannot_be_imported_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, onnxruntime="1.32.0")

    def broken() -> None:
        raise MissingExtraError("no") from ImportError("libonnxruntime.so.1: cannot open shared object file")

    monkeypatch.setattr(providers, "import_onnxruntime", broken)
    (finding,) = providers.onnxruntime_findings(NO_GPU)
    assert finding.status == "problem" and "cannot open shared object" in finding.detail
    assert finding.fix == ("pip install --force-reinstall --no-deps onnxruntime==1.32.0",)


def test_onnxruntime_folder_left_empty_by_an_uninstall_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, onnxruntime="1.32.0")
    monkeypatch.setattr(providers, "import_onnxruntime", lambda: types.SimpleNamespace())
    (finding,) = providers.onnxruntime_findings(NO_GPU)
    assert finding.status == "problem" and "get_available_providers" in finding.detail


def test_cpu_build_beside_a_gpu_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, onnxruntime="1.32.0")
    onnxruntime_with(monkeypatch, "CPUExecutionProvider")
    found = by_name(providers.onnxruntime_findings(H100))
    assert found["onnxruntime"].detail == "onnxruntime 1.32.0; providers: CPU"
    assert found["onnxruntime CUDA"].status == "off"
    assert found["onnxruntime CUDA"].fix == ("pip uninstall -y onnxruntime", install_hint("gpu"))


def test_gpu_build_that_lost_its_provider_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, onnxruntime_gpu="1.32.0")
    onnxruntime_with(monkeypatch, "CPUExecutionProvider")
    assert by_name(providers.onnxruntime_findings(H100))["onnxruntime CUDA"].status == "problem"


def test_cuda_provider_without_its_libraries_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, onnxruntime_gpu="1.32.0")
    onnxruntime_with(monkeypatch, "CUDAExecutionProvider", "CPUExecutionProvider", file=str(tmp_path / "__init__.py"))
    found = by_name(providers.onnxruntime_findings(H100))["onnxruntime CUDA"]
    assert found.status == "problem" and "cannot open shared object file" in found.detail


def test_cuda_provider_that_loads_is_ok_and_without_a_gpu_off(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, onnxruntime_gpu="1.32.0")
    onnxruntime_with(monkeypatch, "CUDAExecutionProvider", "CPUExecutionProvider")
    monkeypatch.setattr(providers, "_load_provider", lambda folder: None)
    assert by_name(providers.onnxruntime_findings(H100))["onnxruntime CUDA"].status == "ok"
    without = by_name(providers.onnxruntime_findings(NO_GPU))["onnxruntime CUDA"]
    assert without.status == "off" and "no NVIDIA driver" in without.detail


def test_torch_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    assert providers.torch_findings(H100) == []
    install(monkeypatch, torch="2.13.0+cpu")
    assert providers.torch_findings(NO_GPU)[0].status == "ok"
    (idle,) = providers.torch_findings(H100)
    assert idle.status == "off" and idle.fix[1] == "pip install torch==2.13.0"
    install(monkeypatch, torch="2.13.0+cu128")
    assert "trains on the GPU" in providers.torch_findings(H100)[0].detail


def native_library(monkeypatch: pytest.MonkeyPatch, instructions: str | None) -> None:
    """Let the doctor find a library of these instructions, or none."""

    def found() -> native.NativeLibrary:
        if instructions is None:
            raise DeviceError("there is no libliteft.so.", fix="build it")
        functions = SimpleNamespace(liteft_cuda_device=lambda *_: 1, liteft_last_error=lambda: b"no GPU")
        return native.NativeLibrary(Path("/x/libliteft.so"), "0.1.0", instructions, functions)  # type: ignore[arg-type]

    monkeypatch.delenv("LITEFT_LIBRARY", raising=False)
    monkeypatch.setattr(backends, "open_library", found)
    monkeypatch.setattr(backends, "find_library", lambda: found().path)


def test_a_native_library_is_named_with_its_instructions_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    native_library(monkeypatch, "avx2")
    finding, cuda = backends.native_findings()
    assert finding.status == "ok"
    assert cuda.status == "off" and cuda.detail == "no GPU; it has not been tested on a GPU yet"
    for part in ("/x/libliteft.so", "version 0.1.0", f"ABI {native.ABI}", "avx2", "AVX2 and FMA"):
        assert part in finding.detail


def test_without_a_native_library_the_doctor_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    native_library(monkeypatch, None)
    (finding,) = backends.native_findings()
    assert finding.status == "off" and finding.fix == ("build it",)
    assert "ONNX Runtime runs every artifact" in finding.detail


def test_a_library_that_cannot_be_opened_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libliteft.so").write_text("no library")
    monkeypatch.setenv("LITEFT_LIBRARY", str(tmp_path / "libliteft.so"))
    (finding,) = backends.native_findings()
    assert finding.status == "problem" and "cannot be opened" in finding.detail
    (choice,) = backends.backend_findings(NO_GPU)
    assert choice.status == "off" and "LITEFT_LIBRARY" in choice.detail


@pytest.mark.parametrize(
    ("instructions", "packages", "part"),
    [
        ("avx512", {"onnxruntime": "1.32"}, "native for graphs of one node, and onnxruntime for flat"),
        ("avx2", {}, "flat and traced ones need onnxruntime"),
        ("portable", {"onnxruntime": "1.32"}, "selects onnxruntime for every artifact"),
        (None, {"onnxruntime_gpu": "1.32"}, "selects onnxruntime for every artifact"),
        (None, {"onnxruntime_openvino": "1.32"}, "selects onnxruntime for every artifact"),
        (None, {}, "no backend can run an artifact"),
    ],
)
def test_what_auto_takes_follows_from_what_is_there(
    monkeypatch: pytest.MonkeyPatch, instructions: str | None, packages: dict[str, str], part: str
) -> None:
    install(monkeypatch, **packages)
    native_library(monkeypatch, instructions)
    (finding,) = backends.backend_findings(NO_GPU)
    assert part in finding.detail
    assert (finding.status == "off") == (part.startswith("no backend"))


def test_every_extra_that_users_install_has_a_purpose() -> None:
    extras = {requirement.extra for requirement in packages.read_requirements() or []}
    assert extras - {"", "cpu", "gpu", "bench", "dev", "docs", "release"} <= packages._EXTRAS.keys()
