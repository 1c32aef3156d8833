"""The candidates of a search: student shapes, each trained once, and the variants that each is exported in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from liteft.errors import ConfigError, leave_out, option
from liteft.form import EmbeddingBits, ExportForm
from liteft.recipes import Recipe, parse_size

__all__ = ["Shape", "Variant", "asked_shapes", "narrower_widths", "whole_variants"]

_DEPTHS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32)
_SHARES = (3 / 4, 2 / 3, 1 / 2, 1 / 3, 1 / 4)  # of the teacher's width


@dataclass(frozen=True, slots=True)
class Shape:
    """A student's size: its number of layers and its hidden width."""

    layers: int
    width: int

    @property
    def name(self) -> str:
        """The shape as ``--size`` takes it, such as "3x384"."""
        return f"{self.layers}x{self.width}"

    @property
    def cost(self) -> tuple[int, int]:
        """Sort key, the cheapest shape first: proportional to the number of weights in the layers, then the depth."""
        return self.layers * self.width**2, self.layers


@dataclass(frozen=True, slots=True)
class Variant:
    """How a student is exported.

    Attributes:
        form: the export form. Variants of one search differ in its precision and in 4-bit word embeddings.
        vocabulary: maximum number of tokens in a trimmed vocabulary; None keeps the student's vocabulary.
        tuned: the student is trained for a few more epochs with this variant's rounding and vocabulary first; one that
            answers questions with the rounding alone, as a teacher's logits are of the same tokens.
    """

    form: ExportForm = field(default_factory=ExportForm)
    vocabulary: int | None = None
    tuned: bool = False

    @property
    def name(self) -> str:
        """Name of the artifact's folder: int8, int8-4bit, int8-4bit-12000, int8-4bit-12000-tuned."""
        parts = [self.form.precision, *(["4bit"] if self.form.table_bits("word") == 4 else [])]
        parts += [] if self.vocabulary is None else [str(self.vocabulary)]
        return "-".join([*parts, *(["tuned"] if self.tuned else [])])

    @property
    def text(self) -> str:
        """The variant in words, for messages."""
        parts = [self.form.precision, *(["4-bit words"] if self.form.table_bits("word") == 4 else [])]
        parts += [] if self.vocabulary is None else [f"{self.vocabulary:,} tokens"]
        return ", ".join([*parts, *(["tuned"] if self.tuned else [])])

    def laid_over(self, recipe: Recipe, *, trimmed: bool = False) -> Recipe:
        """Return a recipe with this variant's export settings; ``trimmed`` if the student's vocabulary is already."""
        trimming = {"vocabulary": None if trimmed else self.vocabulary, "fill_vocabulary": True}
        return recipe.model_copy(update={"export": recipe.export.model_copy(update=asdict(self.form) | trimming)})


def asked_shapes(recipe: Recipe, *, layers: int, width: int) -> list[Shape]:
    """Return the shapes that a recipe asks for, the cheapest first; without ``widths`` they have the teacher's width.

    Args:
        recipe: its ``[search]`` table is read, and the student's ``size``, which narrows a search down to one shape.
        layers: number of the teacher's layers.
        width: the teacher's hidden width.

    Raises:
        ConfigError: the recipe has both a size and layers or widths, or a shape is larger than the teacher.
    """
    search, size = recipe.search, recipe.student.size
    if size is not None and (search.layers is not None or search.widths is not None):
        raise ConfigError(f"size = {size} is one shape, but [search] has layers or widths, too.", fix=leave_out("size"))
    if size is not None:
        depth, own = parse_size(size)
        shapes = [Shape(depth, own or width)]
    else:
        chosen = search.layers or sorted({*(depth for depth in _DEPTHS if depth <= layers), layers})
        found = {Shape(depth, each) for depth in chosen for each in search.widths or [width]}
        shapes = sorted(found, key=lambda shape: shape.cost)
    for shape in shapes:
        if shape.layers > layers or shape.width > width:
            raise ConfigError(
                f"a student of {shape.name} is larger than its teacher.",
                accepted={"layers": f"1 to {layers}", "width": f"up to {width}"},
                fix=option("size", f"{min(shape.layers, layers)}x{min(shape.width, width)}"),
            )
    return shapes


def narrower_widths(config: Any) -> list[int]:
    """Return the widths below the teacher's that are whole numbers of attention heads, the widest first.

    Empty for an encoder whose embeddings have a width of their own or whose heads do not divide its width.
    """
    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    if int(getattr(config, "embedding_size", width)) != width or width % heads:
        return []
    head = width // heads
    return sorted({int(width * share) // head * head for share in _SHARES} - {0, width}, reverse=True)


def whole_variants(recipe: Recipe, *, width: int) -> list[Variant]:
    """Return the export variants with an untrimmed vocabulary, the most exact first.

    Raises:
        ConfigError: only 4-bit word embeddings were requested, and the width is odd.
    """
    form = recipe.export.form
    if form.precision != "int8":
        return [Variant(form)]
    asked = [4] if form.embedding_bits == 4 else recipe.search.embedding_bits
    known: tuple[EmbeddingBits, ...] = (8, 4)
    possible = [each for each in known if each in asked and (each == 8 or width % 2 == 0)]
    if not possible:
        raise ConfigError(
            f"word embeddings of width {width} cannot be stored in 4 bits: the width is odd.",
            fix="allow 8 bits, too",
        )
    return [Variant(replace(form, embedding_bits=each)) for each in possible]
