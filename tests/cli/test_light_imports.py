"""Verbs of a machine without torch: they start and run without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from liteft.artifact import Artifact

HEAVY = ("torch", "transformers", "accelerate", "onnx", "datasets", "pandas", "matplotlib", "pyarrow")


def run_in_a_process(words: list[str], heavy: tuple[str, ...] = HEAVY) -> subprocess.CompletedProcess[str]:
    """Run a command and let it fail with status 99 if it has imported a heavy package."""
    code = (
        f"import sys; from liteft.cli import main; status = main({words!r}); "
        f"found = sorted(set({heavy!r}) & set(sys.modules)); print(*found, file=sys.stderr); "
        "sys.exit(99 if found else status)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["finetune", "--help"], ["distil"]])
def test_help_imports_neither_torch_nor_numpy(words: list[str]) -> None:
    done = run_in_a_process(words, (*HEAVY, "numpy", "tokenizers", "onnxruntime", "liteft.config"))
    assert done.returncode in (0, 2), done.stderr


def test_predict_imports_no_torch(artifact: Artifact) -> None:
    done = run_in_a_process(["predict", str(artifact.path), "great service"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\tgreat service\n")


def test_doctor_imports_no_torch() -> None:
    done = run_in_a_process(["doctor"])
    assert done.returncode in (0, 1), done.stderr


def test_bad_data_is_refused_before_torch_is_imported(reviews: Path) -> None:
    done = run_in_a_process(["finetune", "--out", "x", "--base", "minilm", "--data", str(reviews), "--text", "x"])
    assert done.returncode == 1, done.stderr
    assert "no column 'x'" in done.stderr
