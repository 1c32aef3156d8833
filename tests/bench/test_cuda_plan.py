"""What bench/cuda_engines.py times, on which texts, and what its rows come to."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.bench.conftest import load_script


@pytest.fixture(scope="module")
def cuda_plan() -> ModuleType:
    return load_script("cuda_plan")


@pytest.fixture(scope="module")
def cuda_targets() -> ModuleType:
    return load_script("cuda_targets")


@pytest.fixture(scope="module")
def cuda_lengths() -> ModuleType:
    return load_script("cuda_lengths")


SETS = {"clinc150": [9, 12, 11], "sst2": [30, 4, 61, 25], "imdb": [512, 100, 230]}


def key(task: Any) -> tuple[Any, ...]:
    return task.model, task.texts, task.order, task.batch


def test_what_targets_hang_on_comes_first_and_nothing_twice(cuda_plan: ModuleType, cuda_targets: ModuleType) -> None:
    tasks = cuda_plan.plan(list(SETS))
    assert len({key(task) for task in tasks}) == len(tasks)
    first = [task for task in tasks if task.part != "rest"]
    assert tasks[: len(first)] == first == cuda_plan.tasks_of("decisive", tasks)
    for part in ("decisive", "ratios"):
        wanted = {(each.model, each.texts, each.order, each.batch) for each in cuda_targets.targets_of(part).values()}
        assert {key(task) for task in first if task.part == part} == wanted
        assert wanted <= {key(task) for task in cuda_plan.tasks_of(part, tasks)}


def test_beside_torch_stand_four_mixes_and_dense_texts_to_compile_for(cuda_plan: ModuleType) -> None:
    tasks = cuda_plan.tasks_of("ratios", cuda_plan.plan(list(SETS)))
    mixes = [(name, order) for name in ("sst2", "imdb") for order in ("sorted", "arrival")]
    assert [(task.texts, task.order) for task in tasks] == [*mixes, ("dense 128", "arrival")]
    assert {(task.model, task.batch) for task in tasks} == {("MiniLM-L6", 256)}


def test_the_plan_covers_all_batches_lengths_models_and_sets(cuda_plan: ModuleType) -> None:
    tasks = cuda_plan.plan(list(SETS))
    assert {1, 8, 32, 128, 1024, 4096} <= {task.batch for task in tasks}
    dense = {f"dense {tokens}" for tokens in (16, 32, 64, 128, 256, 512)}
    assert dense | set(SETS) == {task.texts for task in tasks}
    for model in cuda_plan.MODELS:
        assert set(SETS) <= {task.texts for task in tasks if task.model == model}
    assert {task.texts for task in cuda_plan.plan([])} == dense


def test_a_pass_is_whole_batches_of_about_a_quarter_of_a_million_tokens(cuda_plan: ModuleType) -> None:
    for task in cuda_plan.plan(list(SETS)):
        lengths = cuda_plan.lengths_of(task, SETS)
        assert len(lengths) % task.batch == 0
        if task.batch == 1:
            assert len(lengths) == 64
        elif 1 < len(lengths) // task.batch < 16:
            assert 130_000 < sum(lengths) < 400_000
        if task.order == "sorted":
            assert lengths == sorted(lengths)


def test_arrival_order_is_the_sets_own_again_and_again(cuda_plan: ModuleType) -> None:
    task = cuda_plan.Task("MiniLM-L6", "sst2", "arrival", 8)
    assert cuda_plan.lengths_of(task, SETS)[:9] == [30, 4, 61, 25, 30, 4, 61, 25, 30]


def test_ids_have_the_lengths_asked_for_between_special_tokens(cuda_plan: ModuleType) -> None:
    ids = cuda_plan.ids_of([1, 2, 3, 40])
    assert [len(row) for row in ids] == [1, 2, 3, 40]
    assert ids[0] == [101] and ids[1] == [101, 102]
    assert all(1000 <= token < cuda_plan.VOCABULARY for token in ids[3][1:-1])
    assert ids == cuda_plan.ids_of([1, 2, 3, 40])
    task = cuda_plan.Task("student", "dense 3", "arrival", 3)
    assert [len(batch) for batch in cuda_plan.batches_of(task, ids)] == [3, 1]


def test_rectangles_have_few_widths_and_none_is_wider_than_texts_of_one_length(cuda_plan: ModuleType) -> None:
    widths = [cuda_plan.width_of([1, longest]) for longest in (2, 4, 5, 30, 32, 33, 61, 512)]
    assert widths == [4, 4, 8, 32, 32, 40, 64, 512]
    assert [cuda_plan.width_of([longest] * 3) for longest in (1, 7, 33, 509)] == [1, 7, 33, 509]


def test_packed_texts_have_few_sizes_and_little_beyond(cuda_plan: ModuleType) -> None:
    assert [cuda_plan.token_bucket(tokens) for tokens in (1, 128, 129, 1025, 5000)] == [16, 128, 144, 1152, 5120]
    sizes = [cuda_plan.token_bucket(tokens) for tokens in range(128, 8193)]
    assert len(set(sizes)) < 60
    assert all(tokens <= size <= 1.125 * tokens for tokens, size in zip(range(128, 8193), sizes, strict=True))


def test_the_lengths_that_travel_are_those_of_real_texts(cuda_lengths: ModuleType) -> None:
    found = cuda_lengths.read_lengths()
    assert list(found) == ["clinc150", "sst2", "imdb"]
    assert all(len(lengths) > 1000 and min(lengths) >= 3 and max(lengths) <= 512 for lengths in found.values())
    means = {name: float(np.mean(lengths)) for name, lengths in found.items()}
    assert means["clinc150"] < means["sst2"] < means["imdb"]


def test_lengths_are_counted_with_special_tokens_and_cut(cuda_lengths: ModuleType, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({"[CLS]": 0, "[SEP]": 1, "a": 2, "?": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = [("[CLS]", 0), ("[SEP]", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    lines = [json.dumps({"text": "a " * count}) for count in (1, 4, 900)]
    (tmp_path / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = cuda_lengths.lengths_of(tmp_path / "test.jsonl", tmp_path / "tokenizer.json")
    assert sorted(found) == [3, 6, 512]
    cuda_lengths.write(tmp_path / "lengths.json", {"one": found, "two": [1, 2]})
    assert cuda_lengths.read_lengths(tmp_path / "lengths.json") == {"one": found, "two": [1, 2]}


def row(contestant: str, tokens_per_second: float, **changes: Any) -> dict[str, Any]:
    return {
        "contestant": contestant,
        "model": "MiniLM-L6",
        "texts": "dense 128",
        "order": "arrival",
        "batch": 256,
        "tokens": 1000,
        "calls": 1,
        "device_seconds": 1000 / tokens_per_second,
        "host_seconds": 2000 / tokens_per_second,
    } | changes


@pytest.mark.parametrize(("rate", "verdict"), [(19e6, "aim reached"), (13e6, "good"), (11e6, "missed")])
def test_a_rate_is_judged(cuda_targets: ModuleType, rate: float, verdict: str) -> None:
    rows = [row("LiteFT bf16", rate), row("LiteFT fp16", 99e6), row("torch eager fp16", 99e6)]
    found = cuda_targets.judge(rows)["MiniLM-L6, dense 128, bf16"]
    assert (found["measured"], found["verdict"]) == (pytest.approx(rate), verdict)
    assert found["good"] == 12e6 and found["aim"] == 18e6


@pytest.mark.parametrize(("microseconds", "verdict"), [(70, "aim reached"), (140, "good"), (160, "missed")])
def test_the_time_of_one_text_is_that_of_a_call(cuda_targets: ModuleType, microseconds: float, verdict: str) -> None:
    text = {"texts": "dense 32", "batch": 1, "calls": 64, "device_seconds": 64e-6 * microseconds, "tokens": 2048}
    found = cuda_targets.judge([row("LiteFT fp16", 1, **text)])["one text of 32 tokens, MiniLM-L6"]
    assert (found["measured"], found["verdict"]) == (pytest.approx(microseconds), verdict)
    gaps = text | {"device_seconds": 1.0, "replay_seconds": 64e-6 * microseconds, "host_seconds": 64e-6 * 145}
    found = cuda_targets.judge([row("LiteFT fp16", 1, **gaps)])["one text of 32 tokens, MiniLM-L6"]
    assert (found["measured"], found["verdict"]) == (pytest.approx(microseconds), verdict)
    assert (found["host_measured"], found["host_verdict"]) == (pytest.approx(145), "good")


def test_a_ratio_is_against_torch_at_its_fastest(cuda_targets: ModuleType) -> None:
    mix = {"texts": "sst2", "order": "sorted"}
    rows = [
        row("LiteFT bf16", 8e6, **mix),
        row("LiteFT fp16", 9e6, **mix),
        row("torch compile fp16", 2e6, **mix),
        row("torch max-autotune fp16", 3e6, **mix),
        row("torch graphs fp16", 2.5e6, **mix),
        row("torch eager fp16", 8e6, **mix),
        row("torch max-autotune fp16", 9e9, texts="sst2"),
    ]
    found = cuda_targets.judge(rows)["sst2, sorted, batch 256, against torch at its best"]
    assert (found["measured"], found["verdict"]) == (3.0, "aim reached")
    assert (found["contestant"], found["against"]) == ("LiteFT fp16", "torch max-autotune fp16")
    timed = {"torch compile fp16", "torch max-autotune fp16", "torch graphs fp16"}
    assert set(found["not_timed"]) == set(cuda_targets.TORCH) - timed


def test_a_ratio_is_judged_by_a_pass_on_the_device_and_from_host_to_host(cuda_targets: ModuleType) -> None:
    mix = {"texts": "sst2", "order": "sorted", "tokens": 100}
    seconds = {
        "LiteFT bf16": (1.0, 4.0),
        "LiteFT fp16": (1.5, 3.0),
        "torch compile fp16": (2.0, 9.0),
        "torch graphs bf16": (3.5, 6.0),
    }
    rows = [
        row(name, 1, device_seconds=device, host_seconds=host, replay_seconds=0.1, **mix)
        for name, (device, host) in seconds.items()
    ]
    found = cuda_targets.judge(rows)["sst2, sorted, batch 256, against torch at its best"]
    assert (found["measured"], found["contestant"], found["against"]) == (2.0, "LiteFT bf16", "torch compile fp16")
    assert (found["host_measured"], found["host_contestant"]) == (2.0, "LiteFT fp16")
    assert (found["host_against"], found["host_verdict"]) == ("torch graphs bf16", "good")


def test_targets_without_a_number_are_named_and_shown_as_a_table(cuda_targets: ModuleType) -> None:
    judged = cuda_targets.judge([row("LiteFT bf16", 13e6)])
    missing = cuda_targets.not_measured(judged)
    assert len(missing) == len(judged) - 1 and "MiniLM-L6, dense 128, bf16" not in missing
    lines = cuda_targets.table(judged).splitlines()
    assert len(lines) == 1 + len(judged)
    assert "13 M tokens/s" in lines[1] and "good" in lines[1]
    assert all("not measured" in line for line in lines[2:])


@pytest.mark.parametrize("name", ["torch graphs fp16", "torch unpadded bf16", "torch packed compile fp16"])
def test_graphs_by_hand_and_real_tokens_alone_count_as_torch(cuda_targets: ModuleType, name: str) -> None:
    mix = {"texts": "imdb", "order": "arrival"}
    rows = [row("LiteFT fp16", 8e6, **mix), row("torch compile fp16", 2e6, **mix), row(name, 4e6, **mix)]
    found = cuda_targets.judge(rows)["imdb, arrival, batch 256, against torch at its best"]
    assert (found["measured"], found["verdict"], found["against"]) == (2.0, "missed", name)


def test_what_was_not_measured_has_no_number(cuda_targets: ModuleType) -> None:
    broken = {"contestant": "LiteFT bf16", "error": "it fell over"}
    place = {"model": "MiniLM-L6", "texts": "dense 128", "order": "arrival", "batch": 256}
    assert all(each["measured"] is None for each in cuda_targets.judge([]).values())
    assert cuda_targets.judge([broken | place])["MiniLM-L6, dense 128, bf16"]["measured"] is None
    alone = cuda_targets.judge([row("LiteFT bf16", 1e6, texts="imdb")])
    found = alone["imdb, arrival, batch 256, against torch at its best"]
    assert found["measured"] is None and "torch max-autotune fp16" in found["verdict"]


def test_ratios_are_of_both_clocks_and_of_one_task_each(cuda_targets: ModuleType) -> None:
    rows = [
        row("LiteFT bf16", 10e6),
        row("torch eager fp16", 2e6, host_seconds=1000 / 0.5e6),
        row("torch eager fp16", 1e6, texts="imdb"),
    ]
    (found,) = cuda_targets.ratios(rows)
    assert found["texts"] == "dense 128" and found["device_ours"] == found["host_ours"] == "LiteFT bf16"
    assert found["device"] == {"torch eager fp16": 5.0}
    assert found["host"] == {"torch eager fp16": 10.0}
