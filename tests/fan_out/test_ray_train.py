"""The program for Ray Train in docs/guides/distributed.md, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")
pytest.importorskip("ray.train", reason="Ray Train needs the extra 'ray'", exc_type=ImportError)

from liteft.run import read_run
from tests.bench.conftest import write_data
from tests.finetuning.conftest import make_dataset, write_base

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_documented_program_trains_in_two_ray_workers(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guides" / "distributed.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "program.py").write_text(program)
    write_data(tmp_path / "topics", make_dataset())
    base = write_base(tmp_path / "bert", "bert", max_position_embeddings=130)
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), str(base), str(tmp_path / "topics"), str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = read_run(out)
    assert run.info["processes"] == 2 and run.info["steps"] == 2 * 2  # 48 texts, 32 a step
