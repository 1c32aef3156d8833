"""Tables about speed, memory and int8 for README.md and docs/, from stored results alone: see bench/readme.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from peer_ratios import table
from readme_quality import Results, result

from liteft.text_tables import markdown

__all__ = [
    "adapter_memory", "fairness", "int8_agreement", "peers", "peers_of_answers", "peers_of_words", "peers_ratios",
    "peers_shares", "pipelines", "service", "service_peers", "static_int8", "training",
]  # fmt: skip

_ARRIVAL = "int8, batch 32, arrival order, over the best peer in arrival order"
_BEST = "int8, batch 32, arrival order, over the best peer in its best order and batch"
_SINGLE = "int8, batch 1, over the best peer at batch 1"

# The models of pipelines.json, in its order.
PIPED = ("6 layers, SNIPS", "3 layers, SNIPS", "6 layers, SST-2, one pass over all labels")


def peers() -> str:
    """Return texts per second of every engine, for one text and for batches."""
    content = result("peers")
    return table(content["rows"], content["cores"][0])


def peers_of_words() -> str:
    """Return the same of models that tag words."""
    content = result("peers_tokens")
    return table(content["rows"], content["cores"][0])


def peers_of_answers() -> str:
    """Return the same of models that answer questions."""
    content = result("peers_answers")
    return table(content["rows"], content["cores"][0])


def peers_shares() -> str:
    """Return the ratios of LiteFT's int8 to the best peer, for each set of texts."""
    content = result("peers")
    names = list(content["texts"])
    rows = [("LiteFT over the best other engine", *(_described(name, content) for name in names))]
    for what in dict.fromkeys(ratio["what"] for ratio in content["ratios"]):
        found = {each["texts"]: each["ratio"] for each in content["ratios"] if each["what"] == what}
        rows.append((what, *(f"{found[name]:.2f}" for name in names)))
    reached = {share["texts"]: share for share in content["shares"]}
    rows.append(
        (
            "share of the cores' rate of int8 products",
            *(f"{100 * reached[n]['share_of_int8_rate']:.0f}%" for n in names),
        )
    )
    return markdown(rows, texts=1)


def peers_ratios() -> str:
    """Return one sentence: how many times as fast as the best other engine the int8 artifact is."""
    content = result("peers")
    batch, single = (_range(content["ratios"], what) for what in (_BEST, _SINGLE))
    return (
        f"On two cores of an {content['machine']['processor']}, LiteFT's int8 engine classifies {batch} times as many "
        f"texts per second as the fastest other engine in its best setting, and {single} times as many one by one. The "
        f"others are torch, ONNX Runtime, OpenVINO and CTranslate2."
    )


def _described(name: str, content: Results) -> str:
    return f"{name}, {content['texts'][name]['mean_tokens']:.0f} tokens"


def _range(ratios: Sequence[Results], what: str) -> str:
    found = [ratio["ratio"] for ratio in ratios if ratio["what"] == what]
    return f"{min(found):.1f} to {max(found):.1f}"


def pipelines() -> str:
    """Return how fast transformers' pipeline is over LiteFT's engine, as times torch's texts per second."""
    content = result("pipelines")
    engines = {
        "liteft int8": "int8",
        "liteft bf16": 'fp32, `engine_precision="bf16"`',
        "liteft fp32": "fp32",
    }
    sizes = sorted({row["batch_size"] for row in content["models"][0]["rows"]})
    rows = [("model, texts", "artifact", *(f"batches of {size}" for size in sizes), "labels")]
    for words, model in zip(PIPED, content["models"], strict=True):
        for name, shown in engines.items():
            ratios = {row["batch_size"]: row["ratio_to_torch"] for row in model["rows"] if row["engine"] == name}
            equal = min(row["labels_as_torch"] for row in model["agreement"] if row["engine"] == name)
            first = words if name == next(iter(engines)) else ""
            rows.append((first, shown, *(f"{ratios[size]:.1f}" for size in sizes), f"{100 * equal:.2f}%"))
    return markdown(rows, texts=2)


def training() -> str:
    """Return how fast training is beside transformers' Trainer."""
    content = result("training_speed")
    names = {
        "plain": "plain Trainer: fp32, random order, padded to the longest of a batch",
        "tuned": "Trainer tuned by hand: bf16, batches by length, fused AdamW",
        "liteft": "LiteFT's defaults",
    }
    rows = [("SST-2, batches of 32, two cores", "texts/s", "one epoch, estimated")]
    for name, words in names.items():
        median = content["median"][name]
        rows.append((words, f"{median['texts_per_s']:.0f}", f"{median['epoch_s'] / 60:.1f} min"))
    speedup = content["training_speedup"]
    ratios = {
        name: f"{each['median']:.2f} ({each['lowest']:.2f} to {each['highest']:.2f})" for name, each in speedup.items()
    }
    said = f"LiteFT over plain Trainer: {ratios['plain']} times; over the tuned one: {ratios['tuned']} times"
    return f"{markdown(rows, texts=1)}\n\n{said}: median, and range over rounds. `{content['command']}`."


def service() -> str:
    """Return what HTTP costs, and how a server starts, ends and behaves under overload."""
    start, rollouts, overload = result("serve_start"), result("serve_rollouts"), result("serve_overload")
    rows = [("", "measured")]
    for row in result("serve_tax")["rows"]:
        http, own = row["http"]["texts_per_second"], row["predict"]["texts_per_second"]
        words = f"texts/s over HTTP, and of `predict`: {row['mix']} texts, {row['texts_per_request']} a request"
        rows.append((words, f"{http:,.0f} and {own:,.0f}: HTTP costs {100 * row['tax']:.1f}%"))
    ready, rolled, killed = start["ready_s"], rollouts["rollouts"], rollouts["kills"]
    rows += [
        ("from start to ready", f"{ready['median']:.2f} s, median of {start['starts']}"),
        (
            f"{rolled['requests']:,} requests during rollouts and reloads, behind a proxy",
            f"{rolled['failed']} failed, {rolled['changed_answers']} answers changed",
        ),
        (
            f"kill -9 of a server, {len(killed['kills'])} times",
            f"{killed['failed']} of {killed['requests']:,} requests lost",
        ),
    ]
    shown = ((32, overload), (1, result("serve_overload_one_text")))
    rows += [_overloaded(texts, content) for texts, content in shown]
    return markdown(rows, texts=2)


def _overloaded(texts: int, content: Results) -> tuple[str, str]:
    row = content["rows"][0]
    latency, refused = row["latency"], row["latency_of_refusals"]
    return (
        f"ten times its capacity for {content['minutes']:g} minutes, {texts} a request, "
        f"`--max-queue-ms {content['max_queue_ms']}`",
        f"goodput {100 * row['goodput_share']:.1f}% of capacity; accepted: p50 {latency['p50_ms']:.0f} ms, p99 "
        f"{latency['p99_ms']:.0f} ms; refused: p50 {refused['p50_ms']:.0f} ms; other errors: "
        f"{row['neither_200_nor_429']}",
    )


def service_peers() -> str:
    """Return texts per second of other servers with the same classifier on the same core."""
    content = result("serve_peers")
    sizes = sorted({row["texts_per_request"] for row in content["rows"]})
    header = [column for size in sizes for column in (f"{size} a request", f"{size}, closed loop")]
    rows = [("texts/s", *header, "memory, MB")]
    for server in dict.fromkeys(row["server"] for row in content["rows"]):
        found = {row["texts_per_request"]: row for row in content["rows"] if row["server"] == server}
        kinds = ("texts_per_second", "closed_loop_texts_per_second")
        rates = [f"{found[size][kind]:,.0f}" for size in sizes for kind in kinds]
        rows.append((server, *rates, f"{found[sizes[-1]]['memory_mb']:.0f}"))
    return markdown(rows, texts=1)


def static_int8() -> str:
    """Return accuracy and agreement of int8 schemes in ONNX Runtime, against float32."""
    found = {(row["model"], row["variant"], row["backend"]): row for row in result("static_int8")["union"]}
    variants = {
        "per_row": "`per_row`",
        "static, percentile 99.99": "`static`",
        "static, percentile 99.99, 7 bits": "`static`, 7 bits",
    }
    rows = [("in ONNX Runtime", "6 layers, points gained", "labels equal", "3 layers, points gained", "labels equal")]
    for variant, words in variants.items():
        cells = [_gain(found[model, variant, "onnxruntime"]) for model in ("teacher", "student")]
        rows.append((words, *(cell for pair in cells for cell in pair)))
    return markdown(rows, texts=1)


def _gain(row: Results) -> tuple[str, str]:
    low, high = row["interval"]
    return f"{row['points_gained']:+.2f} [{low:+.2f}, {high:+.2f}]", f"{100 * row['agreement']:.2f}%"


def int8_agreement() -> str:
    """Return on how many texts int8 gives the label of float32, in a sentence."""
    content = result("int8_agreement")
    texts = sum(row["texts"] for row in content["rows"] if row["model"] == "teacher")
    least, most = (100 * pick(content["agreement_with_fp32"].values()) for pick in (min, max))
    return (
        f"On {texts:,} texts of SST-2 and TREC, int8 without calibration gives the label of float32 to {least:.1f} to "
        f"{most:.1f}% of them, in both engines (`{content['command']}`)."
    )


def fairness() -> str:
    """Return how long a short text waits while other threads send batches."""
    content = result("fairness")
    rows = [("engine", "alone, p99 ms", "beside 8 threads of batches, p99 ms", "throughput kept")]
    rows += [
        (
            row["backend"],
            f"{row['short_alone_p99_ms']:.1f}",
            f"{row['short_beside_p99_ms']:.1f}",
            f"{100 * row['throughput_kept']:.1f}%",
        )
        for row in content["rows"]
    ]
    return f"{markdown(rows, texts=1)}\n\nOne short text; batches of 100 texts (`{content['command']}`)."


def adapter_memory() -> str:
    """Return the memory that training all weights, an adapter, and an adapter on a quantized base take."""
    content = result("adapter_memory")
    names = {"whole": "all weights", "adapter": "adapter", "adapter, 8 bit": "adapter, base in 8 bits"}
    names |= {"adapter, 4 bit": "adapter, base in 4 bits"}
    names |= {"adapter, 4 bit, layers computed again": "the same with `teacher.gradient_checkpointing=true`"}
    columns: dict[str, Callable[[Any], str]] = {
        "peak, GB": lambda row: f"{row['peak_mb'] / 1e3:.1f}",
        "a checkpoint, GB": lambda row: f"{row['checkpoint_mb'] / 1e3:.2f}",
    }
    rows = [("what is trained", *columns)]
    rows += [(names[row["way"]], *(shown(row) for shown in columns.values())) for row in content["rows"]]
    millions = content["base_parameters"] / 1e6
    return (
        f"{markdown(rows, texts=1)}\n\nTwo steps of 8 texts of 64 tokens on a GPT-2 of {millions:.0f} M weights, in "
        f"float32 on a CPU; peak memory of the process, file pages included (`{content['command']}`)."
    )
