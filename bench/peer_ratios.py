"""What the timings of bench/peers.py say: operations, ratios to the best peer, and the table of the README."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]

OURS = "LiteFT int8"
OURS_FLOAT = "LiteFT fp32"
TABLE_BATCH = 32


def operations(lengths: Iterable[int], *, layers: int, width: int, inner: int) -> float:
    """Return the operations of all products on the real tokens of some texts, one pass.

    A multiplication and an addition are two. Attention counts, embeddings and the head do not. The last layer is cut:
    keys and values for all tokens, everything else for the first token of each text.
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
    """Say whether a row is another engine on its own model."""
    return not row["contestant"].startswith("LiteFT")


def fastest(rows: Iterable[Row]) -> Row | None:
    """Return the row with the most texts a second."""
    return max(rows, key=lambda row: row["texts_per_second"], default=None)


def ratios(rows: Sequence[Row], threads: int) -> list[Row]:
    """Return LiteFT over its best peer for each set of texts, tokenization in the clock.

    Each entry says what was compared with what: ``against`` the peer's contestant, order and batch.
    """
    found = []
    inside = [row for row in rows if not row["tokenized"]]
    for name in dict.fromkeys(row["texts"] for row in inside):
        own = [row for row in inside if row["texts"] == name]
        comparisons: list[tuple[str, Callable[[Row], bool], Callable[[Row], bool], float]] = [
            ("int8, batch 32, arrival order, over the best peer at batch 32 in arrival order", _is(OURS, TABLE_BATCH),
             lambda row: row["batch"] == TABLE_BATCH and row["order"] == "arrival", 2.5),
            ("int8, batch 32, arrival order, over the best peer in any batch and order", _is(OURS, TABLE_BATCH),
             lambda row: row["batch"] > 1, 1.6),
            ("int8, batch 1, over the best peer at batch 1", _is(OURS, 1), lambda row: row["batch"] == 1, 3.0),
            ("fp32, batch 32, arrival order, over the best fp32 peer in any batch and order",
             _is(OURS_FLOAT, TABLE_BATCH), lambda row: row["batch"] > 1 and not row["int8"], 1.3),
        ]  # fmt: skip
        for what, ours, theirs, asked in comparisons:
            us = fastest(row for row in own if ours(row) and row["threads"] == threads)
            them = fastest(row for row in own if theirs(row) and is_peer(row))
            if us is None or them is None:
                continue
            found.append(
                {
                    "texts": name,
                    "what": what,
                    "ratio": round(us["texts_per_second"] / them["texts_per_second"], 2),
                    "asked": asked,
                    "texts_per_second": us["texts_per_second"],
                    "peer_texts_per_second": them["texts_per_second"],
                    "against": {key: them[key] for key in ("contestant", "order", "batch", "threads")},
                }
            )
    return found


def _is(contestant: str, batch: int) -> Callable[[Row], bool]:
    return lambda row: (row["contestant"], row["batch"], row["order"]) == (contestant, batch, "arrival")


def table(rows: Sequence[Row], threads: int) -> str:
    """Return the README's table: texts a second of each contestant, tokenization in the clock."""
    columns = [(1, "arrival"), (TABLE_BATCH, "arrival"), (TABLE_BATCH, "sorted")]
    shown = [row for row in rows if not row["tokenized"] and row["threads"] == threads]
    names = list(dict.fromkeys(row["texts"] for row in shown))
    lines = [
        "| texts/s | " + " | ".join(f"{name}: 1 | 32 | 32 sorted" for name in names) + " |",
        "|---|" + "---|" * (len(columns) * len(names)),
    ]
    for contestant in dict.fromkeys(row["contestant"] for row in shown):
        cells = []
        for name in names:
            for batch, order in columns:
                row = fastest(
                    row
                    for row in shown
                    if (row["contestant"], row["texts"], row["batch"], row["order"]) == (contestant, name, batch, order)
                )
                cells.append("-" if row is None else f"{row['texts_per_second']:,.0f}")
        lines.append(f"| {contestant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
