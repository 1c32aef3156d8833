"""What a build of the package holds: with a compiler the native library, without one a working pure package.

The backend's hooks are called as pip calls them, in the source distribution, so that nothing is fetched and every
wheel here is also one that the source distribution can build.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TAKEN = ("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml", "cpp_ext", "liteft")
LEFT = (".gitignore", "CONTRIBUTING.md", "Makefile", "docs", "deploy")
LIBRARY = "liteft/lib/libliteft.so"
CORPUS = {f"liteft/data/corpus/{split}.jsonl" for split in ("train", "validation", "test")}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

pytest.importorskip("scikit_build_core", reason="the build backend is part of the extra 'dev'")


@dataclass(frozen=True)
class Build:
    """A build that has ended.

    Attributes:
        path: the archive; None where the build failed.
        said: the log.
    """

    path: Path | None
    said: str

    @property
    def name(self) -> str:
        return "" if self.path is None else self.path.name

    @property
    def files(self) -> set[str]:
        assert self.path is not None, self.said
        return set(zipfile.ZipFile(self.path).namelist())


def build(hook: str, source: Path, out: Path, **environment: str) -> Build:
    """Call a hook of the backend in a process of its own, as pip does."""
    out.mkdir()
    script = f"""
import sys
sys.path.insert(0, "cpp_ext")
import build_backend
print("required:", *build_backend.get_requires_for_build_wheel())
build_backend.{hook}({str(out)!r})
"""
    inherited = {name: value for name, value in os.environ.items() if name not in ("LITEFT_NATIVE", "CC", "CXX")}
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        cwd=source,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    made = list(out.iterdir())
    assert len(made) == (done.returncode == 0), said
    return Build(made[0] if made else None, said)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a checkout in which somebody has worked, unpacked."""
    folder = tmp_path_factory.mktemp("build")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in (*TAKEN, *LEFT):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, checkout / name)
    for name in ("runs", "demo-run", "out", "build/native", ".venv", "models", "tests", "liteft/__pycache__"):
        (checkout / name).mkdir(parents=True)
        (checkout / name / "file.json").write_text("{}")
    archive = build("build_sdist", checkout, folder / "archive")
    assert archive.path is not None, archive.said
    with tarfile.open(archive.path) as tar:
        tar.extractall(folder, filter="data")
    return folder / f"liteft-{VERSION}"


def test_a_source_distribution_holds_what_a_build_needs_and_no_runs(sdist: Path) -> None:
    assert {path.name for path in sdist.iterdir()} == {*TAKEN, "PKG-INFO"}
    assert not list(sdist.rglob("__pycache__"))
    assert {path.name for path in (ROOT / "cpp_ext" / "engine").iterdir()} == {
        path.name for path in (sdist / "cpp_ext" / "engine").iterdir()
    }


@pytest.mark.slow  # compiles the library
def test_with_a_compiler_a_wheel_holds_the_library_and_serves_every_python(sdist: Path, tmp_path: Path) -> None:
    missing = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    if missing or sys.platform != "linux":
        pytest.skip(f"the library is built on Linux, with cmake and c++; missing: {', '.join(missing) or 'Linux'}")
    wheel = build("build_wheel", sdist, tmp_path / "wheel", LITEFT_NATIVE="required")
    assert wheel.name.startswith(f"liteft-{VERSION}-py3-none-linux_"), wheel.said
    assert {LIBRARY, "liteft/py.typed", f"liteft-{VERSION}.dist-info/licenses/LICENSE"} | CORPUS <= wheel.files
    assert {name.partition("/")[0] for name in wheel.files} == {"liteft", f"liteft-{VERSION}.dist-info"}
    libraries = {LIBRARY} if shutil.which("nvcc") is None else {LIBRARY, "liteft/lib/libliteft_cuda.so"}
    assert {name for name in wheel.files if name.startswith("liteft/lib/")} == libraries
    library = ctypes.CDLL(zipfile.ZipFile(wheel.path or "").extract(LIBRARY, tmp_path))
    library.liteft_version.restype = ctypes.c_char_p
    assert library.liteft_version().decode() == VERSION


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"CXX": "/bin/false"}, id="a broken compiler"),
        pytest.param({"PATH": "/nowhere"}, id="no tools at all"),
        pytest.param({"LITEFT_NATIVE": "off"}, id="left out"),
    ],
)
def test_without_the_library_the_wheel_is_pure_says_so_and_works(
    sdist: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    if "PATH" in environment and find_spec("cmake"):
        pytest.skip("CMake is installed as a Python package here, and needs no PATH")
    wheel = build("build_wheel", sdist, tmp_path / "wheel", **environment)
    assert wheel.name == f"liteft-{VERSION}-py3-none-any.whl", wheel.said
    assert {"liteft/py.typed"} | CORPUS <= wheel.files and LIBRARY not in wheel.files
    assert "WITHOUT THE NATIVE LIBRARY" in wheel.said
    assert "required:\n" in wheel.said or "CXX" in environment  # nothing is fetched that cannot be used
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel.path or "").extractall(installed)
    script = f"import sys; sys.path.insert(0, {str(installed)!r}); import liteft; print(liteft.__version__)"
    shown = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == VERSION


@pytest.mark.parametrize("environment", [{"CXX": "/bin/false"}, {"PATH": "/nowhere"}], ids=["broken", "no tools"])
def test_a_required_library_that_cannot_be_built_is_an_error(
    sdist: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    if "PATH" in environment and find_spec("cmake"):
        pytest.skip("CMake is installed as a Python package here, and needs no PATH")
    wheel = build("build_wheel", sdist, tmp_path / "wheel", LITEFT_NATIVE="required", **environment)
    assert wheel.path is None and "LITEFT_NATIVE=required, but it cannot be built" in wheel.said


def test_a_mistyped_wish_is_an_error(sdist: Path, tmp_path: Path) -> None:
    wheel = build("build_wheel", sdist, tmp_path / "wheel", LITEFT_NATIVE="of")
    assert wheel.path is None and "'required', 'off' or unset are accepted" in wheel.said


@pytest.mark.slow  # compiles the library
def test_a_library_for_other_machines_asks_for_none_but_the_c_librarys_files(tmp_path: Path) -> None:
    missing = [name for name in ("cmake", "c++", "readelf") if shutil.which(name) is None]
    if missing or sys.platform != "linux":
        pytest.skip(f"the library is built on Linux, with cmake and c++; missing: {', '.join(missing) or 'Linux'}")
    settings = ["-DLITEFT_STATIC_RUNTIME=ON", "-DLITEFT_TESTS=OFF", "-DLITEFT_CUDA=OFF"]
    for command in (["-S", str(ROOT / "cpp_ext"), "-B", str(tmp_path), *settings], ["--build", str(tmp_path), "-j2"]):
        done = subprocess.run(["cmake", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said = subprocess.run(
        ["readelf", "--dynamic", "--wide", str(tmp_path / "libliteft.so")], capture_output=True, text=True, check=True
    ).stdout
    needed = {line.partition("[")[2].rstrip("]") for line in said.splitlines() if "(NEEDED)" in line}
    assert needed and {name.partition(".so")[0] for name in needed} <= {"libc", "libm", "libgcc_s", "ld-linux-x86-64"}
    library = ctypes.CDLL(str(tmp_path / "libliteft.so"))
    library.liteft_version.restype = ctypes.c_char_p
    assert library.liteft_version().decode() == VERSION
