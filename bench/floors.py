"""Measures the floors of data sets: simple models that a distilled student has to beat.

    python bench/floors.py --data DATA sst2:minilm trec:minilm goemotions:minilm thucnews_headlines

A data set is given as NAME or NAME:BASE, a folder of DATA and the base whose word vectors the third floor averages.
Floors are trained on the training split; their settings are chosen on validation. Each set is written as soon as it is
measured, beside those that the file has already. Times are of the processor; run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result

import liteft
from liteft.finetuning.bases import resolve_base

PACKAGES = ("liteft", "scikit-learn", "scipy", "numpy", "tokenizers")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME:BASE")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/floors.json")
    arguments = parser.parse_args()
    for each in arguments.sets:
        found = measure(arguments.data, *each.partition(":")[::2])
        stored = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {"sets": {}}
        found |= {"command": f"python bench/floors.py --data DATA {each}", "commit": commit()}
        described = {"machine": machine(), "versions": versions(PACKAGES)}
        write_result(arguments.out, described | {"sets": stored["sets"] | {found.pop("name"): found}})
    return 0


def measure(data: Path, name: str, base: str) -> dict[str, Any]:
    """Return the floors of one data set, with the numbers of texts and the processor time."""
    dataset = liteft.load_dataset(data / name)
    started = time.process_time()
    floors = liteft.train_floors(dataset, resolve_base(base) if base else None)
    spent = time.process_time() - started
    tell(f"{name}: {spent:.0f} s\n{floors.render()}")
    texts = {split: len(rows) for split, rows in dataset.splits.items()}
    return {
        "name": name,
        "base": base or None,
        "texts": texts,
        "processor_seconds": round(spent, 1),
        **floors.to_dict(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
