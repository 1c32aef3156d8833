"""Evaluates the timings of bench/peers.py: operations, ratios to the best peer, and the table of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]

OURS = "LiteFT int8"
OURS_FLOAT = "LiteFT fp32"
TABLE_BATCH = 32
ASKED_SHARE = 0.7  # the target, as a share of the machine's rate of int8 operations

# name of the comparison; our contestant; which peers' rows count; the target, if there is one
_Comparison = tuple[str, tuple[str, int], Callable[[Row], bool], float | None]
COMPARISONS: tuple[_Comparison, ...] = (
    (
        "int8, batch 32, arrival order, over the best peer in arrival order",
        (OURS, TABLE_BATCH),
        lambda row: row["order"] == "arrival",
        2.5,
    ),
    (
        "int8, batch 32, arrival order, over the best peer in its best order and batch",
        (OURS, TABLE_BATCH),
        lambda _: True,
        1.6,
    ),
    (
        "int8, batch 1, over the best peer at batch 1",
        (OURS, 1),
        lambda row: row["batch"] == 1,
        3.0,
    ),
    (
        "fp32, batch 32, arrival order, over the best fp32 peer in its best order and batch",
        (OURS_FLOAT, TABLE_BATCH),
        lambda row: row["precision"] == "fp32",
        1.3,
    ),
)
WORD_COMPARISONS: tuple[_Comparison, ...] = (
    (*COMPARISONS[0][:3], 1.8),
    (*COMPARISONS[2][:3], None),
    (
        "fp32, batch 32, arrival order, over the best fp32 peer in arrival order",
        (OURS_FLOAT, TABLE_BATCH),
        lambda row: row["precision"] == "fp32",
        None,
    ),
)


def operations(lengths: Iterable[int], *, layers: int, width: int, inner: int) -> float:
    """Return the operations of all matmuls on the real tokens of some texts, for one pass.

    A multiplication and an addition count as two operations. Attention is included; embeddings and the head are not.
    The last layer computes keys and values for all tokens, and everything else for the first token of each text.
    """
    layer_row = 2 * (4 * width * width + 2 * width * inner)
    key_value_row = 2 * 2 * width * width
    total = 0.0
    for tokens in lengths:
        attention_row = 4 * tokens * width
        total += (layers - 1) * tokens * (layer_row + attention_row)
        total += tokens * key_value_row + layer_row - key_value_row + attention_row
    return total


def is_peer(row: Row) -> bool:
    """Return whether a row is of another engine on its own converted model."""
    return not row["contestant"].startswith("LiteFT")


def fastest(rows: Iterable[Row]) -> Row | None:
    """Return the row with the most texts per second, or None."""
    return max(rows, key=lambda row: row["texts_per_second"], default=None)


def ratios(rows: Sequence[Row], cores: str, comparisons: Sequence[_Comparison] = COMPARISONS) -> list[Row]:
    """Return the ratios of LiteFT's speed to its best peer's for each set of texts, tokenization included.

    Small matmuls gain little from a second thread, so one call at a time on two threads and two calls at a time on one
    thread each are compared separately. Each comparison has two entries: with ``calls`` "one", LiteFT runs on
    ``cores``, and peers on whichever cores are best for one call at a time; with "any", both are at their best.

    Returns:
        Entries that say what was compared: ``against`` has the peer's contestant, order, batch and cores. For int8,
        ``asked_share_of_int8_rate`` is the share of the machine's rate of int8 operations that the target ratio would
        need if tokenization took no time; above 1, no engine could reach the target on these cores.
    """
    found = []
    inside = [row for row in rows if not row["tokenized"]]
    for name in dict.fromkeys(row["texts"] for row in inside):
        for calls in ("one", "any"):
            own = [row for row in inside if row["texts"] == name and (calls == "any" or "x" not in row["cores"])]
            if calls == "any" and not any("x" in row["cores"] for row in own):
                continue
            for what, (contestant, batch), allowed, asked in comparisons:
                us = fastest(
                    row
                    for row in own
                    if _place(row)[:3] == (contestant, batch, "arrival") and (calls == "any" or row["cores"] == cores)
                )
                them = fastest(row for row in own if is_peer(row) and allowed(row))
                if us is not None and them is not None and (calls == "one" or batch > 1):
                    peak = _best_peak(rows, us["cores"])
                    found.append({"texts": name, "what": what, "calls": calls} | _ratio(us, them, asked, peak))
    return found


def _ratio(us: Row, them: Row, asked: float | None, peak: float | None) -> Row:
    ratio = us["texts_per_second"] / them["texts_per_second"]
    takes: Row = {}
    if peak and asked and us["precision"] == "int8":
        takes = {"asked_share_of_int8_rate": round(us["operations_per_second"] / peak * asked / ratio, 3)}
    return takes | {
        "ratio": round(ratio, 2),
        **({} if asked is None else {"asked": asked}),
        "texts_per_second": us["texts_per_second"],
        "cores": us["cores"],
        "peer_texts_per_second": them["texts_per_second"],
        "against": {key: them[key] for key in ("contestant", "order", "batch", "cores")},
    }


def shares(rows: Sequence[Row], cores: str) -> list[Row]:
    """Return the share of the machine's rate of int8 operations that the engine reaches, without tokenization.

    The machine's rate is the best of all measured on these cores; ``beside_it`` uses those measured at the same time.
    """
    best = _best_peak(rows, cores)
    wanted = (OURS, TABLE_BATCH, "arrival", cores)
    return [
        {
            "texts": row["texts"],
            "share_of_int8_rate": round(row["operations_per_second"] / best, 3),
            "beside_it": row["share_of_peak_beside_it"],
            "asked": ASKED_SHARE,
        }
        for row in rows
        if best and _place(row) == wanted and row["tokenized"]
    ]


def _best_peak(rows: Sequence[Row], cores: str) -> float | None:
    return max((row["int8_peak"] for row in rows if row["cores"] == cores and "int8_peak" in row), default=None)


def table(rows: Sequence[Row], cores: str) -> str:
    """Return the table of docs/benchmarks.md: texts per second of each contestant, tokenization included.

    Each set of texts has three columns: one text per call, 32 in arrival order, and the best of all measurements on any
    cores, which for peers is mostly with texts sorted by length.
    """
    inside = [row for row in rows if not row["tokenized"]]
    names = list(dict.fromkeys(row["texts"] for row in inside))
    lines = [
        "| texts/s | " + " | ".join(f"{name}: 1 | {TABLE_BATCH} | best" for name in names) + " |",
        "|---|" + "---:|" * (3 * len(names)),
    ]
    for contestant in dict.fromkeys(row["contestant"] for row in inside):
        cells = []
        for name in names:
            own = [row for row in inside if (row["contestant"], row["texts"]) == (contestant, name)]
            for batch in (1, TABLE_BATCH):
                wanted = (contestant, batch, "arrival", cores)
                cells.append(_rate(next((row for row in own if _place(row) == wanted), None)))
            cells.append(_rate(fastest(own)))
        lines.append(f"| {contestant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _place(row: Row) -> tuple[Any, ...]:
    return row["contestant"], row["batch"], row["order"], row["cores"]


def _rate(row: Row | None) -> str:
    return "-" if row is None else f"{row['texts_per_second']:,.0f}"
