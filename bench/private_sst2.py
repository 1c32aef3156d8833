"""Measures what differential privacy costs on SST-2: a linear head on a frozen encoder, with an epsilon and without.

    python bench/private_sst2.py --data DATA/sst2 --out bench/results/private_sst2.json

Features of all texts are computed once, as `liteft finetune --set teacher.epsilon=8` computes them. Then the head is
trained by liteft's own training with differential privacy, several times, since noise differs each time; and by the
same steps without noise and without clipping. The rate of each is the one of four that is best on validation, by one
training each: epsilon does not cover that choice. Floors are trained on the same labels, without any epsilon.

Training rows are phrases of about 6,900 sentences, so a sentence stands in several rows: epsilon is of one row.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import commit, machine, versions, write_result

import liteft
from liteft.finetuning.base import create_classifier
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.head import last_layer, layer_inputs
from liteft.finetuning.private_training import train_privately
from liteft.floors import train_floors
from liteft.metrics import wilson_interval
from liteft.recipes import TeacherRecipe

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
EPSILONS = (1.0, 3.0, 8.0)
BATCH, EPOCHS, DRAWS = 1024, 20.0, 5


class Features:
    """Features and labels of each split, and a fresh head."""

    def __init__(self, data: str, base: str) -> None:
        self.dataset = liteft.load_dataset(data)
        self.loaded = create_classifier(
            resolve_base(base),
            labels=self.dataset.labels,
            task=self.dataset.task,
            pooling="mean",
            max_tokens=128,
            paired=False,
        )
        layer = last_layer(self.loaded.model, len(self.dataset.labels))
        started = time.monotonic()
        self.of = {name: layer_inputs(self.loaded, split, layer) for name, split in self.dataset.splits.items()}
        self.seconds = time.monotonic() - started
        self.gold = {name: torch.from_numpy(np.asarray(split.labels)) for name, split in self.dataset.splits.items()}

    def head(self) -> torch.nn.Linear:
        return torch.nn.Linear(self.of["train"].shape[1], len(self.dataset.labels))

    def right(self, head: torch.nn.Linear, split: str) -> np.ndarray:
        with torch.inference_mode():
            return (head(self.of[split]).argmax(dim=1) == self.gold[split]).numpy()


def privately(found: Features, rate: float, epsilon: float) -> tuple[torch.nn.Linear, dict[str, Any]]:
    head = found.head()
    recipe = TeacherRecipe(epsilon=epsilon, learning_rate=rate, batch_size=BATCH, epochs=EPOCHS, weight_decay=0.0)
    train = found.of["train"]
    promised = train_privately(
        head,
        lambda model, rows: model(train[rows]),
        found.gold["train"],
        found.dataset.task,
        recipe,
        delta=1 / len(train),
        at_once=len(train),
        tell=lambda line: print(line, file=sys.stderr),
    )
    return head, dict(promised)


def plainly(found: Features, rate: float, seed: int) -> torch.nn.Linear:
    """Train a head by as many steps of as many texts, without clipping and without noise."""
    torch.manual_seed(seed)
    head, train, gold = found.head(), found.of["train"], found.gold["train"]
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=0.0)
    steps = int(np.ceil(len(train) * EPOCHS / BATCH))
    random = np.random.default_rng(seed)
    for step in range(steps):
        warm = round(0.06 * steps)
        share = (step + 1) / (warm + 1) if step < warm else 1 - (step - warm) / max(1, steps - warm)
        optimizer.param_groups[0]["lr"] = rate * share
        rows = np.flatnonzero(random.random(len(train)) < BATCH / len(train))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(train[rows]), gold[rows]).backward()
        optimizer.step()
    return head


def shares(right: np.ndarray) -> dict[str, Any]:
    return {"accuracy": float(right.mean()), "interval": list(wilson_interval(int(right.sum()), len(right)))}


def of_draws(rights: list[np.ndarray]) -> dict[str, Any]:
    """Return accuracies of several trainings; the interval is that of the texts, of the training in the middle."""
    ordered = sorted(rights, key=lambda right: float(right.mean()))
    return shares(ordered[len(ordered) // 2]) | {"draws": [float(right.mean()) for right in rights]}


def measure(data: str, base: str) -> dict[str, Any]:
    found = Features(data, base)
    print(f"features: {found.seconds:.0f} s", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    for epsilon in (*EPSILONS, None):
        tried = {}
        for rate in RATES:
            head = plainly(found, rate, 0) if epsilon is None else privately(found, rate, epsilon)[0]
            tried[rate] = float(found.right(head, "validation").mean())
        best = max(tried, key=tried.__getitem__)
        started, rights, promised = time.monotonic(), [], {}
        for draw in range(DRAWS):
            if epsilon is None:
                head = plainly(found, best, draw + 1)
            else:
                head, promised = privately(found, best, epsilon)
            rights.append({name: found.right(head, name) for name in ("validation", "test")})
        rows.append(
            {
                "epsilon": epsilon,
                "promised": promised or None,
                "learning_rate": best,
                "validation_by_rate": {f"{rate:g}": value for rate, value in tried.items()},
                "validation": of_draws([each["validation"] for each in rights]),
                "test": of_draws([each["test"] for each in rights]),
                "seconds_of_a_training": (time.monotonic() - started) / DRAWS,
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr)
    floors = train_floors(found.dataset, None)
    majority = found.dataset.task.majority_share(found.dataset.test.labels)
    return {
        "texts": {name: len(split) for name, split in found.dataset.splits.items()},
        "base": base,
        "trains": "a linear layer on the mean of the frozen encoder's last states",
        "batch": BATCH,
        "epochs": EPOCHS,
        "draws": DRAWS,
        "features_seconds": round(found.seconds, 1),
        "majority": majority,
        "heads": rows,
        "floors": {row.name: {"test": row.scores["test"]["accuracy"]} for row in floors.rows},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    document = {
        "command": f"python bench/private_sst2.py --data DATA/{Path(given.data).name}",
        "machine": machine(),
        "commit": commit(),
        "versions": versions(["torch", "transformers", "opacus", "numpy", "scikit-learn"]),
        **measure(given.data, given.base),
    }
    if given.out is not None:
        write_result(given.out, document)
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
