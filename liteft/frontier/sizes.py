"""Prediction of an artifact's size from the shapes of a student's weights.

values.py counts the stored values. The rest (graph nodes, tokenizer, configuration, card, manifest) is small, and its
constants here were measured.
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
from liteft.trimming import smallest_vocabulary

__all__ = ["Sizes", "fitting_variants", "folder_bytes", "sizes_of", "smallest_variant"]

_BYTES = {"fp32": 4, "fp16": 2}
# Bytes of nodes and names in a graph of one node, fixed and per layer, measured with 1, 2 and 6 layers; a flat graph
# takes slightly less. Bytes of the other files without the tokenizer: fixed and per label.
_GRAPH, _LAYER = {"int8": 7_500, "fp16": 5_000, "fp32": 4_500}, {"int8": 12_250, "fp16": 6_050, "fp32": 5_450}
_BESIDE, _LABEL = 7_500, 110
_ROUNDED_FROM = 2_000  # tokens; above, a vocabulary's size is rounded down to hundreds, so that folder names are stable
_AIM = 0.997  # share of the budget that predictions aim for, since they may be slightly too low


@dataclass(frozen=True, slots=True)
class Sizes:
    """The counts from which the size of a shape's artifacts is predicted.

    Attributes:
        rows: tokens in the vocabulary.
        width: values in a row of the word embeddings.
        tables: number of values and number of rows of the other embedding tables.
        matrices: number of values and number of outputs of the weight matrices that int8 quantizes.
        floats: number of values that stay float32 in an int8 artifact.
        halves: how many of ``floats`` an fp16 artifact stores as float16: the head's matrices.
        layers: number of encoder layers.
        tokenizer_bytes: bytes of tokenizer.json without its vocabulary.
        token_bytes: mean bytes of a token in tokenizer.json.
        label_bytes: bytes of the names of all labels.
        labels: number of labels.
    """

    rows: int
    width: int
    tables: tuple[int, int]
    matrices: tuple[int, int]
    floats: int
    halves: int
    layers: int
    tokenizer_bytes: int
    token_bytes: float
    label_bytes: int
    labels: int

    def predict(self, variant: Variant) -> int:
        """Return the predicted bytes of the artifact's folder, within a few percent; for a trimmed one at most that."""
        vocabulary = self.rows if variant.vocabulary is None else min(variant.vocabulary, self.rows)
        return int(self._fixed(variant) + vocabulary * self._token(variant))

    def tokens_within(self, variant: Variant, most: float) -> int | None:
        """Return how many tokens of the vocabulary fit into ``most`` bytes; None if all do.

        The result is negative if the artifact is too large without any vocabulary.
        """
        if self.predict(variant) <= most * _AIM:
            return None
        found = int((most * _AIM - self._fixed(variant)) / self._token(variant))
        return found // 100 * 100 if found > _ROUNDED_FROM else found

    def _fixed(self, variant: Variant) -> float:
        """Return the bytes of everything but the vocabulary and its embeddings."""
        beside = _BESIDE + 4 * self.label_bytes + _LABEL * self.labels
        precision = variant.form.precision
        graph = _GRAPH[precision] + _LAYER[precision] * self.layers
        if precision == "int8":
            values = sum(self.tables) + 3 * self.tables[1] + sum(self.matrices) + 3 * self.matrices[1] + 4 * self.floats
        else:
            each = _BYTES[precision]
            values = each * (self.tables[0] + self.matrices[0] + self.halves) + 4 * (self.floats - self.halves)
        return self.tokenizer_bytes + beside + graph + values

    def _token(self, variant: Variant) -> float:
        """Return the bytes of one token of the vocabulary, in the tokenizer and in the word embeddings."""
        if variant.form.precision != "int8":
            return self.token_bytes + _BYTES[variant.form.precision] * self.width
        return self.token_bytes + self.width * variant.form.table_bits("word") / 8 + 4


def sizes_of(
    config: PretrainedConfig, settings: ModelSettings, tokenizer: TextTokenizer, *, vocabulary: int | None = None
) -> Sizes:
    """Return the counts from which the size of a student's artifacts is predicted.

    Args:
        config: the student's configuration.
        settings: its labels, pooling and whether it classifies pairs.
        tokenizer: the student's tokenizer.
        vocabulary: number of tokens to which its vocabulary is trimmed before the training; None keeps all.
    """
    with torch.device("meta"):
        model = untrained_classifier(config, settings)
    values = count_values(model, config, settings)
    rows = values.rows
    whole = len(tokenizer.json_text.encode())
    names = min(_vocabulary_bytes(tokenizer), whole)
    return Sizes(
        rows=rows if vocabulary is None else min(rows, vocabulary),
        width=values.width,
        tables=values.tables,
        matrices=values.matrices,
        floats=values.floats,
        halves=values.halves,
        layers=int(config.num_hidden_layers),
        tokenizer_bytes=whole - names,
        token_bytes=names / rows,
        label_bytes=sum(len(json.dumps(label)) for label in settings.labels),
        labels=len(settings.labels),
    )


def _vocabulary_bytes(tokenizer: TextTokenizer) -> int:
    """Return the bytes of the vocabulary in a tokenizer.json, with the file's own separators."""
    vocabulary = json.loads(tokenizer.json_text)["model"]["vocab"]
    spaced = '": ' in tokenizer.json_text[:1000]
    return len(json.dumps(vocabulary, ensure_ascii=False, separators=None if spaced else (",", ":")).encode())


def fitting_variants(
    sizes: Sizes, variants: Sequence[Variant], tokenizer: TextTokenizer, max_mb: float | None
) -> tuple[list[Variant], str]:
    """Return the variants that fit into a budget, each with as many tokens as fit, and why the others do not.

    Args:
        sizes: counts of the shape.
        variants: variants with an untrimmed vocabulary.
        tokenizer: the tokenizer; its tokens for single characters are kept in any case.
        max_mb: the budget in MB; None returns all variants unchanged.
    """
    if max_mb is None:
        return list(variants), ""
    found: list[Variant] = []
    reasons = []
    for variant in variants:
        most = sizes.tokens_within(variant, max_mb * 1e6)
        least = smallest_variant(variant, tokenizer)
        if most is None:
            found.append(variant)
        elif least.vocabulary is not None and most >= least.vocabulary:
            found.append(replace(variant, vocabulary=most))
        else:
            kept = "whose vocabulary cannot be trimmed"
            kept = kept if least.vocabulary is None else f"with the {least.vocabulary:,} tokens that have to stay"
            reasons.append(f"{variant.text}: {sizes.predict(least) / 1e6:.2f} MB, {kept}")
    return found, "; ".join(reasons)


def smallest_variant(variant: Variant, tokenizer: TextTokenizer) -> Variant:
    """Return a variant with the smallest possible vocabulary; unchanged if the vocabulary cannot be trimmed."""
    try:
        return replace(variant, vocabulary=smallest_vocabulary(tokenizer))
    except ModelError:
        return variant


def folder_bytes(folder: Path) -> int:
    """Return the total bytes of all files in an artifact's folder, including its manifest."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
