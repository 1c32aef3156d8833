"""How large an artifact will be, from shapes alone.

What is stored of a student's weights is counted in values.py. The rest (nodes, tokenizer, configuration, card,
manifest) is small and was measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PretrainedConfig

from liteft.errors import ModelError
from liteft.finetuning.model import untrained_classifier
from liteft.finetuning.settings import ModelSettings
from liteft.frontier.candidates import Variant
from liteft.frontier.values import count_values
from liteft.tokenization import TextTokenizer
from liteft.trimming import least_pieces

__all__ = ["Sizes", "fitting_variants", "folder_bytes", "sizes_of", "smallest_variant"]

_BYTES = {"fp32": 4, "fp16": 2}
# Nodes and names of a graph of one node, which a flat one stays a little below, measured for 1, 2 and 6 layers; and the
# files beside it but for tokenizer and labels.
_GRAPH, _LAYER = {"int8": 7_500, "fp16": 5_000, "fp32": 4_500}, {"int8": 12_250, "fp16": 6_050, "fp32": 5_450}
_BESIDE, _LABEL = 7_500, 110
_ROUNDED_FROM = 2_000  # pieces; above, budgets are whole hundreds, so that a folder's name stays what it is
_AIM = 0.997  # of a budget: what a prediction may be off


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a shape's artifacts weigh.

    Attributes:
        rows: pieces of the vocabulary.
        width: of a row of the table of words.
        tables: values of the other tables, and their rows.
        matrices: values of the matrices that int8 takes, and their outputs.
        floats: values that stay float32 in int8.
        halves: of them, those that float16 takes: the head's matrices.
        layers: of the encoder.
        tokenizer_bytes: of tokenizer.json without its pieces.
        piece_bytes: of a piece in it, the mean over all.
        label_bytes: of the names of all labels.
        labels: how many.
    """

    rows: int
    width: int
    tables: tuple[int, int]
    matrices: tuple[int, int]
    floats: int
    halves: int
    layers: int
    tokenizer_bytes: int
    piece_bytes: float
    label_bytes: int
    labels: int

    def predict(self, variant: Variant) -> int:
        """Return the bytes of the artifact's folder, within a few percent; of a trimmed one at most that."""
        pieces = self.rows if variant.pieces is None else min(variant.pieces, self.rows)
        return int(self._fixed(variant) + pieces * self._piece(variant))

    def pieces_within(self, variant: Variant, most: float) -> int | None:
        """Return how many tokens of the vocabulary fit into a number of bytes; None if all do. May be negative."""
        if self.predict(variant) <= most * _AIM:
            return None
        found = int((most * _AIM - self._fixed(variant)) / self._piece(variant))
        return found // 100 * 100 if found > _ROUNDED_FROM else found

    def _fixed(self, variant: Variant) -> float:
        beside = _BESIDE + 4 * self.label_bytes + _LABEL * self.labels
        precision = variant.form.precision
        graph = _GRAPH[precision] + _LAYER[precision] * self.layers
        if precision == "int8":
            values = sum(self.tables) + 3 * self.tables[1] + sum(self.matrices) + 3 * self.matrices[1] + 4 * self.floats
        else:
            each = _BYTES[precision]
            values = each * (self.tables[0] + self.matrices[0] + self.halves) + 4 * (self.floats - self.halves)
        return self.tokenizer_bytes + beside + graph + values

    def _piece(self, variant: Variant) -> float:
        if variant.form.precision != "int8":
            return self.piece_bytes + _BYTES[variant.form.precision] * self.width
        return self.piece_bytes + self.width * variant.form.table_bits("word") / 8 + 4


def sizes_of(
    config: PretrainedConfig, settings: ModelSettings, tokenizer: TextTokenizer, *, pieces: int | None = None
) -> Sizes:
    """Return what a student's artifacts will weigh.

    Args:
        config: of the student.
        settings: its labels, pooling and pairs.
        tokenizer: of the student.
        pieces: what its vocabulary is trimmed to before it is trained.
    """
    with torch.device("meta"):
        model = untrained_classifier(config, settings)
    values = count_values(model, config, settings)
    rows = values.rows
    whole = len(tokenizer.json_text.encode())
    names = min(_pieces_bytes(tokenizer), whole)
    return Sizes(
        rows=rows if pieces is None else min(rows, pieces),
        width=values.width,
        tables=values.tables,
        matrices=values.matrices,
        floats=values.floats,
        halves=values.halves,
        layers=int(config.num_hidden_layers),
        tokenizer_bytes=whole - names,
        piece_bytes=names / rows,
        label_bytes=sum(len(json.dumps(label)) for label in settings.labels),
        labels=len(settings.labels),
    )


def _pieces_bytes(tokenizer: TextTokenizer) -> int:
    """Return the bytes of a tokenizer.json that are its pieces, written as the file is."""
    pieces = json.loads(tokenizer.json_text)["model"]["vocab"]
    spaced = '": ' in tokenizer.json_text[:1000]
    return len(json.dumps(pieces, ensure_ascii=False, separators=None if spaced else (",", ":")).encode())


def fitting_variants(
    sizes: Sizes, variants: Sequence[Variant], tokenizer: TextTokenizer, max_mb: float | None
) -> tuple[list[Variant], str]:
    """Return the variants that fit into a budget, each with as many pieces as fit; and why the others do not.

    Args:
        sizes: of the shape.
        variants: with the whole vocabulary.
        tokenizer: whose single characters stay, whatever the budget.
        max_mb: the budget; None lets all of them pass as they are.
    """
    if max_mb is None:
        return list(variants), ""
    found: list[Variant] = []
    reasons = []
    for variant in variants:
        most = sizes.pieces_within(variant, max_mb * 1e6)
        least = smallest_variant(variant, tokenizer)
        if most is None:
            found.append(variant)
        elif least.pieces is not None and most >= least.pieces:
            found.append(replace(variant, pieces=most))
        else:
            kept = "whose vocabulary cannot be trimmed"
            kept = kept if least.pieces is None else f"with the {least.pieces:,} pieces that have to stay"
            reasons.append(f"{variant.text}: {sizes.predict(least) / 1e6:.2f} MB, {kept}")
    return found, "; ".join(reasons)


def smallest_variant(variant: Variant, tokenizer: TextTokenizer) -> Variant:
    """Return a variant with as few pieces as a vocabulary can be trimmed to; itself where it cannot be trimmed."""
    try:
        return replace(variant, pieces=least_pieces(tokenizer))
    except ModelError:
        return variant


def folder_bytes(folder: Path) -> int:
    """Return the total bytes of all files in an artifact's folder, including its manifest."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
