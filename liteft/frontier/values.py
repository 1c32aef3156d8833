"""Counts of a classifier's weight values by how an artifact stores them.

For a built graph the counts follow from the encoder's layout. For a traced graph they follow from the names of the
weights: int8 with one scale per row for embedding tables and the matrices of the layers, float for everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PretrainedConfig

from liteft.encoder.layout import WORDS, layout
from liteft.encoder.modules import is_quantized
from liteft.encoder.spec import EncoderSpec
from liteft.exporting.weights import spec_of
from liteft.finetuning.settings import ModelSettings

__all__ = ["StoredValues", "count_values", "laid_out_values", "named_values"]


@dataclass(slots=True)
class StoredValues:
    """Numbers of a classifier's weight values, by how they are stored.

    Attributes:
        rows, width: shape of the word embeddings, which no other count includes.
        tables: number of values and number of rows of the other embedding tables.
        matrices: number of values and number of outputs of the weight matrices that int8 quantizes.
        floats: number of values that stay float32 in an int8 artifact.
        halves: how many of ``floats`` an fp16 artifact stores as float16: the head's matrices.
    """

    rows: int
    width: int
    tables: tuple[int, int] = (0, 0)
    matrices: tuple[int, int] = (0, 0)
    floats: int = 0
    halves: int = 0

    def add_table(self, rows: int, width: int) -> None:
        """Count an embedding table."""
        self.tables = (self.tables[0] + rows * width, self.tables[1] + rows)

    def add_matrix(self, inputs: int, outputs: int, *, quantizable: bool) -> None:
        """Count the weight matrix of a linear layer; one that int8 does not quantize stays in float."""
        if quantizable:
            self.matrices = (self.matrices[0] + inputs * outputs, self.matrices[1] + outputs)
        else:
            self.floats += inputs * outputs
            self.halves += inputs * outputs


def count_values(model: nn.Module, config: PretrainedConfig, settings: ModelSettings) -> StoredValues:
    """Return how many values a classifier's artifact stores; the weights may be on torch's meta device."""
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    spec = spec_of(config, settings, shapes)
    return named_values(model, settings) if isinstance(spec, str) else laid_out_values(spec)


def laid_out_values(spec: EncoderSpec) -> StoredValues:
    """Return the counts of a built graph."""
    found = StoredValues(spec.vocabulary, spec.embedding_width)
    for slot in layout(spec):
        if slot.kind == "table" and slot.name != WORDS:
            found.add_table(slot.rows, slot.columns)
        elif slot.kind == "linear":
            found.add_matrix(slot.rows, slot.columns, quantizable=slot.quantizable)
            found.floats += slot.columns
        elif slot.kind == "norm":
            found.floats += 2 * slot.columns
    return found


def named_values(model: nn.Module, settings: ModelSettings) -> StoredValues:
    """Return the counts of a traced graph, from the names and shapes of its weights."""
    encoder = getattr(model, "encoder", model) if settings.pooling == "mean" else model
    words = encoder.get_input_embeddings().weight  # type: ignore[operator]
    found = StoredValues(*words.shape)
    for name, weight in model.named_parameters():
        table = "embedding" in name or ".wpe." in name
        if weight is words or (table and "token_type" in name and not settings.varied_types):
            continue  # for single texts the token type embedding is added to the positions
        if weight.ndim == 2 and table and "project" not in name:
            found.add_table(*weight.shape)
        elif weight.ndim == 2:
            found.add_matrix(weight.shape[1], weight.shape[0], quantizable=is_quantized(name) or table)
        else:
            found.floats += weight.numel()
    return found
