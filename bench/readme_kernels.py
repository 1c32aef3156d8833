"""Tables about the machine code of the CUDA kernels for docs/, from stored results alone: see bench/readme.py."""

from __future__ import annotations

import re
from typing import Any

from readme_quality import result

from liteft.text_tables import markdown

__all__ = ["cuda_forward", "cuda_kernels"]

BEFORE, NOW = "cuda_kernels_before", "cuda_kernels"


def cuda_forward() -> str:
    """Return the predicted speed of a forward pass, of the kernels before and now."""
    before, now = (_passes(result(name)["forward"]) for name in (BEFORE, NOW))
    rows = [("predicted, on an H200, in bf16", "before", "now")]
    for key in now:
        rows.append((_size(key), *(_speed(side[key]) for side in (before, now))))
        rows.append((f"{_size(key)}: kernels", *(str(side[key]["launches"]) for side in (before, now))))
    return markdown(rows, texts=1)


def cuda_kernels() -> str:
    """Return what each predicted kernel needs, and what is predicted of its largest launch and of one text.

    Beside it stands the kernel that did the same before.
    """
    before, now = ({_name(row): row for row in _listed(result(name)["kernels"])} for name in (BEFORE, NOW))
    title = (
        "kernel",
        "registers",
        "shared KB",
        "instructions",
        "a value",
        "us",
        "share of the limit",
        "us for a text of 32",
    )
    rows: list[tuple[str, ...]] = [(*title, *(f"before: {name}" for name in ("registers", "a value", "us")))]
    for name, row in sorted(now.items()):
        if not row.get("launches"):
            continue
        largest, single, old = _largest(row), _single(row), before.get(_former(name))
        old_largest = _largest(old) if old else {}
        rows.append(
            (
                f"`{name}`",
                str(row["registers"]),
                f"{largest['shared_bytes'] / 1024:.0f}",
                str(row["instructions"]),
                _shown(largest["instructions_per_value"]),
                _shown(largest["microseconds"]),
                f"{100 * largest['share_of_limit']:.0f}%",
                _shown(single.get("microseconds")),
                str(old["registers"]) if old else "-",
                _shown(old_largest.get("instructions_per_value")),
                _shown(old_largest.get("microseconds")),
            )
        )
    return markdown(rows, texts=1)


def _former(name: str) -> str:
    """Return the name of the kernel that did the same before steps, blocks and activations became parameters."""
    name = name.replace("activate_rows<", "activate<").replace("attend_first_rows<", "attend_first<")
    name = re.sub(r"^(attend|matmul_activate)<(\d+), .*>$", r"\1<\2>", name)
    return re.sub(r"^(embed|layer_norm)<\d+>$", r"\1", name)


def _passes(passes: list[dict[str, Any]]) -> dict[tuple[str, int, int], dict[str, Any]]:
    return {(each["model"], each["texts"], each["tokens_of_a_text"]): each for each in passes}


def _size(key: tuple[str, int, int]) -> str:
    model, texts, length = key
    return f"{model}, {'one text' if texts == 1 else f'{texts} texts'} of {length} tokens"


def _speed(row: dict[str, Any]) -> str:
    if row["texts"] == 1:
        return f"{row['microseconds']:.0f} us"
    return f"{row['tokens_per_second'] / 1e6:.1f} million tokens/s"


def _listed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["architecture"] == "90a" and "__half" not in row["parameters"]]


def _name(row: dict[str, Any]) -> str:
    others = [each for each in row["parameters"] if each != "__nv_bfloat16"]
    return row["kernel"].removesuffix("_kernel") + (f"<{', '.join(others)}>" if others else "")


def _largest(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = max(row.get("launches", []), key=lambda launch: launch["rows"], default={})
    return found


def _single(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = min(row["launches"], key=lambda launch: launch["rows"])
    return found if found["rows"] <= 32 else {}


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
