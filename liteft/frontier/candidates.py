"""What can be made of a teacher: shapes, one training each, and the forms that each is exported in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from liteft.config import Recipe, parse_size
from liteft.errors import ConfigError, leave_out
from liteft.form import EmbeddingBits, ExportForm

__all__ = ["Shape", "Variant", "asked_shapes", "narrower_widths", "whole_variants"]

_DEPTHS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32)
_SHARES = (3 / 4, 2 / 3, 1 / 2, 1 / 3, 1 / 4)


@dataclass(frozen=True, slots=True)
class Shape:
    """A student's size. Shapes are ordered by the weights of their layers, which is what training and running cost."""

    layers: int
    width: int

    @property
    def name(self) -> str:
        """As ``--size`` takes it."""
        return f"{self.layers}x{self.width}"

    @property
    def cost(self) -> tuple[int, int]:
        """What shapes are ordered by, the cheapest first."""
        return self.layers * self.width**2, self.layers


@dataclass(frozen=True, slots=True)
class Variant:
    """How a student is exported.

    Attributes:
        form: of the artifact. Variants of a search differ in its precision and its 4-bit words.
        pieces: the most tokens in a trimmed vocabulary; None keeps the student's.
        tuned: after a short training in this very form, its rounding and its vocabulary.
    """

    form: ExportForm = field(default_factory=ExportForm)
    pieces: int | None = None
    tuned: bool = False

    @property
    def name(self) -> str:
        """A folder's name: int8, int8-4bit, int8-4bit-12000, int8-4bit-12000-tuned."""
        parts = [self.form.precision, *(["4bit"] if self.form.table_bits("word") == 4 else [])]
        parts += [] if self.pieces is None else [str(self.pieces)]
        return "-".join([*parts, *(["tuned"] if self.tuned else [])])

    @property
    def text(self) -> str:
        """In words, for tables."""
        parts = [self.form.precision, *(["4-bit words"] if self.form.table_bits("word") == 4 else [])]
        parts += [] if self.pieces is None else [f"{self.pieces:,} pieces"]
        return ", ".join([*parts, *(["tuned"] if self.tuned else [])])

    def laid_over(self, recipe: Recipe) -> Recipe:
        """Return a recipe whose export is this variant; what was tuned has its vocabulary already."""
        vocabulary = {"vocabulary": None if self.tuned else self.pieces, "fill_vocabulary": True}
        return recipe.model_copy(update={"export": recipe.export.model_copy(update=asdict(self.form) | vocabulary)})


def asked_shapes(recipe: Recipe, *, layers: int, width: int) -> list[Shape]:
    """Return the shapes of a search, the cheapest first; those of the teacher's width where no widths are named.

    Args:
        recipe: its ``[search]`` table and the student's ``size``, which narrows a search down to one shape.
        layers: of the teacher.
        width: of the teacher.

    Raises:
        ConfigError: size, layers or widths exclude each other or are beyond the teacher's.
    """
    search, size = recipe.search, recipe.student.size
    if size is not None and (search.layers is not None or search.widths is not None):
        raise ConfigError(f"size = {size} is one shape, and [search] names layers or widths.", fix=leave_out("size"))
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
            )
    return shapes


def narrower_widths(config: Any) -> list[int]:
    """Return widths below a teacher's that whole heads go into, the widest first."""
    width, heads = int(config.hidden_size), int(config.num_attention_heads)
    if int(getattr(config, "embedding_size", width)) != width or width % heads:
        return []
    head = width // heads
    return sorted({int(width * share) // head * head for share in _SHARES} - {0, width}, reverse=True)


def whole_variants(recipe: Recipe, *, width: int) -> list[Variant]:
    """Return the variants with the whole vocabulary, the most exact first.

    Raises:
        ConfigError: only 4-bit was asked for, and the width is odd.
    """
    form = recipe.export.form
    if form.precision != "int8":
        return [Variant(form)]
    asked = [4] if form.embedding_bits == 4 else recipe.search.embedding_bits
    known: tuple[EmbeddingBits, ...] = (8, 4)
    possible = [each for each in known if each in asked and (each == 8 or width % 2 == 0)]
    if not possible:
        raise ConfigError(f"words of {width} values cannot be stored in 4 bits: the width is odd.", fix="8 bits, too")
    return [Variant(replace(form, embedding_bits=each)) for each in possible]
