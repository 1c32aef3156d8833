"""What bench/peers.py makes of its timings."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.bench.conftest import load_script


@pytest.fixture(scope="module")
def peer_ratios() -> ModuleType:
    return load_script("peer_ratios")


def row(contestant: str, rate: float, *, batch: int = 32, order: str = "arrival", **changes: Any) -> dict[str, Any]:
    return {
        "contestant": contestant,
        "int8": "int8" in contestant,
        "texts": "sst2",
        "order": order,
        "batch": batch,
        "tokenized": False,
        "threads": 2,
        "texts_per_second": rate,
    } | changes


def test_the_last_layer_computes_one_row_of_each_text_but_keys_and_values(peer_ratios: ModuleType) -> None:
    width, inner, tokens = 8, 32, 5
    whole = 2 * (4 * width**2 + 2 * width * inner) + 4 * tokens * width
    key_value = 2 * 2 * width**2
    expected = 2 * tokens * whole + tokens * key_value + (whole - key_value)
    assert peer_ratios.operations([tokens], layers=3, width=width, inner=inner) == expected
    twice = peer_ratios.operations([tokens, tokens], layers=3, width=width, inner=inner)
    assert twice == 2 * expected


def test_ratios_take_the_best_peer_and_leave_ours_out(peer_ratios: ModuleType) -> None:
    rows = [
        row("LiteFT int8", 600.0),
        row("LiteFT int8", 900.0, order="sorted"),
        row("LiteFT int8", 800.0, tokenized=True),
        row("LiteFT fp32", 200.0),
        row("LiteFT file in ONNX Runtime int8", 500.0),
        row("CTranslate2 int8", 100.0),
        row("OpenVINO int8", 150.0),
        row("OpenVINO int8", 160.0, threads=1),
        row("OpenVINO int8", 300.0, order="sorted", batch=128),
        row("torch eager fp32", 50.0, batch=8),
        row("LiteFT int8", 90.0, batch=1),
        row("torch eager fp32", 30.0, batch=1),
    ]
    found = {each["what"]: each for each in peer_ratios.ratios(rows, 2)}
    assert [each["ratio"] for each in found.values()] == [3.75, 2.0, 3.0, 4.0]
    best = found["int8, batch 32, arrival order, over the best peer in any batch and order"]["against"]
    assert best == {"contestant": "OpenVINO int8", "order": "sorted", "batch": 128, "threads": 2}


def test_the_table_has_a_line_for_each_contestant_and_a_dash_where_nothing_was_timed(peer_ratios: ModuleType) -> None:
    lines = peer_ratios.table([row("LiteFT int8", 1234.5), row("OpenVINO int8", 10.0, batch=1)], 2).splitlines()
    assert lines[2:] == ["| LiteFT int8 | - | 1,234 | - |", "| OpenVINO int8 | 10 | - | - |"]
