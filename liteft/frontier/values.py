"""How many values of a classifier are stored in which way.

What is stored of a graph that is built stands in its layout. Of one that is traced it follows from the names of its
weights: int8 and a scale for each row of the tables and of the matrices in the layers, floats of everything else.
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
    """Values of a classifier's weights, by how they are stored.

    Attributes:
        rows, width: of the table of words, which no other number counts.
        tables: values of the other tables, and their rows.
        matrices: values of the matrices that int8 takes, and their outputs.
        floats: values that stay float32 in int8.
        halves: of them, those that float16 takes: the head's matrices.
    """

    rows: int
    width: int
    tables: tuple[int, int] = (0, 0)
    matrices: tuple[int, int] = (0, 0)
    floats: int = 0
    halves: int = 0

    def add_table(self, rows: int, width: int) -> None:
        """Count a table."""
        self.tables = (self.tables[0] + rows * width, self.tables[1] + rows)

    def add_matrix(self, inputs: int, outputs: int, *, quantizable: bool) -> None:
        """Count the matrix of a linear layer."""
        if quantizable:
            self.matrices = (self.matrices[0] + inputs * outputs, self.matrices[1] + outputs)
        else:
            self.floats += inputs * outputs
            self.halves += inputs * outputs


def count_values(model: nn.Module, config: PretrainedConfig, settings: ModelSettings) -> StoredValues:
    """Return how many values an artifact of a classifier stores; its weights may be on torch's meta device."""
    shapes = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    spec = spec_of(config, settings, shapes)
    return named_values(model, settings) if isinstance(spec, str) else laid_out_values(spec)


def laid_out_values(spec: EncoderSpec) -> StoredValues:
    """Return the values of a graph that is built."""
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
    """Return the values of a graph that is traced."""
    encoder = getattr(model, "encoder", model) if settings.pooling == "mean" else model
    words = encoder.get_input_embeddings().weight  # type: ignore[operator]
    found = StoredValues(*words.shape)
    for name, weight in model.named_parameters():
        table = "embedding" in name or ".wpe." in name
        if weight is words or (table and "token_type" in name and not settings.paired):
            continue  # the types of single texts are added to the positions
        if weight.ndim == 2 and table and "project" not in name:
            found.add_table(*weight.shape)
        elif weight.ndim == 2:
            found.add_matrix(weight.shape[1], weight.shape[0], quantizable=is_quantized(name) or table)
        else:
            found.floats += weight.numel()
    return found
