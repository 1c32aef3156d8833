"""The form of an artifact: one frozen value from the recipe's ``[export]`` table to the manifest.

The names, the values that they take and their defaults stand here and nowhere else. The recipe, the manifest, the
search and the command line read them; training in the form of the artifact does, too. Two forms are equal where they
ask for the same artifact: what does not apply is None, such as the scheme of float32, whatever was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, fields
from typing import Any, ClassVar, Literal, TypedDict, Unpack, get_args

from liteft.errors import ConfigError, closest, leave_out, option
from liteft.schemes import CALIBRATED, SCHEMES, Scheme

__all__ = [
    "Calibration",
    "EmbeddingBits",
    "ExportForm",
    "FormOptions",
    "Precision",
    "Scheme",
    "Target",
    "WeightBits",
    "form_with",
    "overridden",
]

Precision = Literal["fp32", "fp16", "int8"]
WeightBits = Literal[7, 8]
EmbeddingBits = Literal[4, 8]
Calibration = Literal["percentile", "mse"]
Target = Literal["edge", "triton"]

_KNOWN: Mapping[str, tuple[Any, ...]] = {
    "precision": get_args(Precision),
    "scheme": get_args(Scheme),
    "weight_bits": get_args(WeightBits),
    "embedding_bits": get_args(EmbeddingBits),
    "calibration": get_args(Calibration),
    "mixed": (False, True),
    "flat": (False, True),
    "target": get_args(Target),
}
_INT8 = ("precision", ("int8",))
_APPLIES: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {  # field -> fields and values that it applies to
    "scheme": (_INT8,),
    "weight_bits": (_INT8,),
    "embedding_bits": (_INT8,),
    "calibration": (_INT8, ("scheme", CALIBRATED)),
    "mixed": (_INT8,),
}
_ROUNDING = ("scheme", "weight_bits", "embedding_bits")


@dataclass(frozen=True)
class ExportForm:
    """How a classifier is stored and computed, and how its file is laid out.

    A setting that does not apply is None (``mixed`` is False). One that applies and was given as None has its default.

    Attributes:
        precision: "fp32"; "fp16", half the file, computed in float32; or "int8", a quarter of the file and faster.
        scheme: of int8's activations: "per_row", a scale for each token, or "static", a scale for each tensor from a
            calibration, the form that other engines know. libliteft computes both with a scale for each token.
        weight_bits: of int8's matrices: 8; or 7, for ONNX Runtime on x86-64 without VNNI, which saturates with 8 in
            programs other than LiteFT.
        embedding_bits: of int8's word embeddings: 8; or 4, half the bytes of what is most of a small student, which
            the gate passes where the model bears it. Traced graphs and odd widths cannot have it.
        calibration: how the ranges of "static" are chosen from texts: "percentile" or "mse".
        mixed: where int8 is beyond the limits, keep the matrices that lose most in float until it is within them.
        flat: a built graph is many standard nodes, for tools that do not know functions of a model, instead of one
            node with its definition beside it. ONNX Runtime makes the same of both; libliteft runs the node only.
            Traced graphs are flat in any case. None is what the target asks for: True for "edge", else False.
        target: "edge", for phones and browsers: flat, laid out as transformers.js reads it, with the list of operators
            that a reduced onnxruntime needs. "triton", for Triton Inference Server: the usual folder with a model
            repository in it. None for the usual folder.

    Raises:
        ConfigError: an unknown value, a setting of int8 or of "static" where the form is another, or ``flat=False``
            for the edge.
    """

    precision: Precision = "int8"
    _: KW_ONLY
    scheme: Scheme | None = "per_row"
    weight_bits: WeightBits | None = 8
    embedding_bits: EmbeddingBits | None = 8
    calibration: Calibration | None = "percentile"
    mixed: bool = False
    flat: bool | None = None
    target: Target | None = None

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # of a manifest

    def __post_init__(self) -> None:
        for name, known in _KNOWN.items():
            self._require_known(name, known)
        for name, conditions in _APPLIES.items():
            given, default = getattr(self, name), getattr(ExportForm, name)
            missing = next((each for each in conditions if getattr(self, each[0]) not in each[1]), None)
            if missing is None:
                object.__setattr__(self, name, default if given is None else given)
            elif given is None or given == default:
                object.__setattr__(self, name, False if name == "mixed" else None)
            else:
                raise self._inapplicable(name, *missing)
        if self.target == "edge" and self.flat is False:
            raise self._nested_edge()
        object.__setattr__(self, "flat", bool(self.flat or self.target == "edge"))

    def table_bits(self, table: str) -> int:
        """Return the bits of a value in an int8 embedding table: "word" may have 4, the others have 8."""
        return self.embedding_bits or 8 if table == "word" else 8

    @property
    def rounding(self) -> dict[str, Any]:
        """What int8 rounds to, by name: all that a training in this form has to know."""
        return {name: getattr(self, name) for name in _ROUNDING}

    @property
    def coarser(self) -> dict[str, Any]:
        """Settings of int8 that round more coarsely than the default, and that default: what may be tried instead."""
        defaults = {name: getattr(ExportForm, name) for name in reversed(_ROUNDING)}
        return {name: value for name, value in defaults.items() if getattr(self, name) not in (None, value)}

    @property
    def calibrated(self) -> bool:
        """Whether ranges of activations are found from texts before the graph is written."""
        return self.scheme is not None and SCHEMES[self.scheme].calibrated

    def in_precision(self, precision: Precision) -> ExportForm:
        """Return the form with the same layout in another precision, its settings at their defaults."""
        return ExportForm(precision, flat=self.flat, target=self.target)

    def describe(self) -> str:
        """Return it in words: "fp16", or "int8 per_row, 7-bit weights, 4-bit word embeddings"."""
        return ", ".join([self.precision if self.scheme is None else f"{self.precision} {self.scheme}", *self.details])

    @property
    def details(self) -> list[str]:
        """Where int8 has fewer bits than 8, in words."""
        parts = ["7-bit weights"] if self.weight_bits == 7 else []
        return [*parts, "4-bit word embeddings"] if self.embedding_bits == 4 else parts

    def differences(self, other: ExportForm) -> dict[str, str]:
        """Return in what another form differs, as name -> "this -> that"; of another precision, not its settings."""
        same = self.precision == other.precision
        names = [field.name for field in fields(self) if same or field.name not in _APPLIES]
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in names}
        return {name: f"{here} -> {there}" for name, (here, there) in pairs.items() if here != there}

    def _require_known(self, name: str, known: tuple[Any, ...]) -> None:
        given = getattr(self, name)
        if given is None and getattr(ExportForm, name) is not False and name != "precision":
            return
        if any(given == each and type(given) is type(each) for each in known):
            return
        near = closest(given, map(str, known)) if isinstance(given, str) else None
        raise ConfigError(
            f"{name} {given!r} is unknown.",
            accepted={name: ", ".join(map(str, known))},
            fix=option(name, near or known[0]),
        )

    def _nested_edge(self) -> ConfigError:
        return ConfigError(
            f"target {self.target!r} is laid out as standard nodes, and flat is False.",
            accepted={"flat": f"True, or left out, for target {self.target!r}"},
            fix=[leave_out("flat"), leave_out("target")],
        )

    def _inapplicable(self, name: str, condition: str, needed: tuple[str, ...]) -> ConfigError:
        values = " or ".join(map(repr, needed))
        return ConfigError(
            f"{name}={getattr(self, name)!r} applies to {condition} {values} only, and the {condition} is "
            f"{getattr(self, condition)!r}.",
            accepted={name: f"{getattr(ExportForm, name)}, where the {condition} is not {values}"},
            fix=[option(condition, needed[0]), leave_out(name)],
        )


class FormOptions(TypedDict, total=False):
    """The fields of a form as keyword arguments; None leaves one as it is."""

    precision: Precision | None
    scheme: Scheme | None
    weight_bits: WeightBits | None
    embedding_bits: EmbeddingBits | None
    calibration: Calibration | None
    mixed: bool | None
    flat: bool | None
    target: Target | None


def form_with(form: ExportForm | None, **options: Unpack[FormOptions]) -> ExportForm:
    """Return a form (None: the default) with some of its fields replaced.

    A replaced field goes before those that depend on it: ``precision="fp32"`` over a form of static int8 is float32,
    without the settings of int8.

    Raises:
        ConfigError: as of ``ExportForm``.
    """
    known = [field.name for field in fields(ExportForm)]
    if strange := sorted(set(options) - set(known)):
        near = closest(strange[0], known)
        raise ConfigError(
            f"an export has no setting {strange[0]!r}.",
            accepted={"settings of the form": ", ".join(known)},
            fix=f"did you mean {near!r}?" if near else leave_out(strange[0]),
        )
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if form is not None and not isinstance(form, ExportForm):
        raise ConfigError(
            f"form is {form!r}, of type {type(form).__name__}.",
            accepted={"form": "a liteft.ExportForm, or None"},
            fix='form=liteft.ExportForm(precision="int8")',
        )
    return ExportForm(**overridden(asdict(form or ExportForm()), given))


def overridden(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an export with others over them, without those that the others make meaningless.

    Args:
        settings: fields of a form, and any other keys, by name.
        given: what takes their place. A field of the form is dropped from ``settings`` where a precision, a scheme or
            a target that is given rules it out, and kept where it is given itself, to be refused.
    """
    given = dict(given)
    ruled_out = {
        name
        for name, conditions in _APPLIES.items()
        for condition, needed in conditions
        if condition in given and given[condition] not in needed
    }
    if given.get("target") == "edge":
        ruled_out.add("flat")
    return {name: value for name, value in settings.items() if name not in ruled_out} | given
