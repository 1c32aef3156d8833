"""What bench/cuda_spills.py reads in the log of a build of the CUDA library."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.bench.conftest import load_script

LOG = """
[ 10%] Building CUDA object cuda/rows.cu.o
ptxas info    : Compiling entry function '_Z4rowsv' for 'sm_80'
ptxas info    : Function properties for _Z4rowsv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 400 bytes cmem[0]
ptxas info    : Compiling entry function '_Z4rowsv' for 'sm_90a'
ptxas info    : Function properties for _Z4rowsv
    8 bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 400 bytes cmem[0]
"""


@pytest.fixture(scope="module")
def cuda_spills() -> ModuleType:
    return load_script("cuda_spills")


def judged(cuda_spills: ModuleType, tmp_path: Path, log: str) -> int:
    (tmp_path / "log.txt").write_text(log)
    return cuda_spills.main([str(tmp_path / "log.txt")])


def test_a_build_without_spills_passes(
    cuda_spills: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(cuda_spills, tmp_path, LOG.format(stores=0, loads=0)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sm_80: 1 kernels, at most 40 registers, 0 bytes spilled",
        "sm_90a: 1 kernels, at most 128 registers, 0 bytes spilled",
    ]


def test_a_spill_fails_and_is_named(
    cuda_spills: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(cuda_spills, tmp_path, LOG.format(stores=8, loads=4)) == 1
    assert capsys.readouterr().err == "sm_90a: _Z4rowsv spills 12 bytes\n"


def test_a_log_that_says_nothing_fails(cuda_spills: ModuleType, tmp_path: Path) -> None:
    assert judged(cuda_spills, tmp_path, "[100%] Built target liteft_cuda\n") == 1
    with pytest.raises(ValueError, match="does not say what _Z4rowsv needs for sm_90a"):
        judged(cuda_spills, tmp_path, LOG.split("    8 bytes")[0])
