"""What a build of the package holds: with a compiler the native library, without one a working pure package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("cpp_ext", "liteft", "pyproject.toml", "README.md", "LICENSE")
LIBRARY = "liteft/lib/libliteft.so"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the native library is built on Linux"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of what a build needs, without what an earlier one left behind."""
    for name in NEEDED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, tmp_path / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, tmp_path / "source" / name)
    return tmp_path / "source"


def build(source: Path, *, succeeds: bool = True, **environment: str) -> tuple[Path | None, str]:
    """Build a wheel; return it, and what was said."""
    out = source.parent / "wheels"
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--wheel-dir", str(out), str(source)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    if "No matching distribution found for scikit-build-core" in said:
        pytest.skip("the build backend scikit-build-core cannot be fetched here")
    assert (done.returncode == 0) == succeeds, said[-4000:]
    return next(out.glob("*.whl"), None), said


def names(wheel: Path | None) -> set[str]:
    assert wheel is not None
    return set(zipfile.ZipFile(wheel).namelist())


def test_a_wheel_holds_the_library_and_the_data(source: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    wheel, said = build(source)
    held = names(wheel)
    assert {LIBRARY, "liteft/py.typed", "liteft/data/corpus/train.jsonl"} <= held
    assert wheel is not None and "-py3-none-linux_" in wheel.name
    assert not [name for name in held if "test" in Path(name).name and not name.startswith("liteft/data/corpus")]
    assert "the native library is part of this build" in said


def test_without_a_working_compiler_the_wheel_is_pure_and_the_build_says_so(source: Path) -> None:
    wheel, said = build(source, CC="/bin/false", CXX="/bin/false")
    assert wheel is not None and wheel.name.endswith("-py3-none-any.whl")
    assert LIBRARY not in names(wheel) and "liteft/py.typed" in names(wheel)
    assert "THE NATIVE LIBRARY COULD NOT BE BUILT" in said


def test_who_requires_the_library_gets_an_error_instead(source: Path) -> None:
    wheel, said = build(source, succeeds=False, LITEFT_NATIVE="required", CC="/bin/false", CXX="/bin/false")
    assert wheel is None and "LITEFT_NATIVE=required forbids" in said


def test_the_library_can_be_left_out(source: Path) -> None:
    wheel, _ = build(source, LITEFT_NATIVE="off")
    assert wheel is not None and wheel.name.endswith("-py3-none-any.whl")
    assert LIBRARY not in names(wheel)
