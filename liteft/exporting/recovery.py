"""Attempts at an export: write a graph, put it before the gate; where int8 fails say why, or recover the precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from liteft.artifact import ArtifactWriter, graph_file
from liteft.errors import option
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.disagreement import Disagreement
from liteft.exporting.edge import OPERATORS, write_operators
from liteft.exporting.folder import manifest_fields, save_model, seal
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.sensitivity import Effect, rank_products
from liteft.exporting.trimmed import Trimmed
from liteft.exporting.verify import Gate
from liteft.finetuning.model import TorchClassifier
from liteft.form import ExportForm
from liteft.run import Run

__all__ = ["ExportAttempt", "recover_precision"]

_SENSITIVITY_TEXTS = 512
_NAMED = 5


class ExportAttempt:
    """Writes graphs of one classifier into a folder, one after the other, each in the place of the last.

    Args:
        blueprint: makes the graphs.
        loaded, run: the classifier, and the run that made it.
        writer: the folder, with every file but the graph.
        gates: judge what was written, one after the other.
        form: of the artifact.
        title: of the card.
        calibration: what the manifest says of it.
        trimmed: the classifier with a smaller vocabulary than the run's, where it was trimmed for this export.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        loaded: TorchClassifier,
        run: Run | None,
        writer: ArtifactWriter,
        gates: Sequence[Gate],
        *,
        form: ExportForm,
        title: str,
        calibration: dict[str, Any] | None,
        trimmed: Trimmed | None = None,
    ) -> None:
        self.blueprint, self.loaded, self.gates, self.form = blueprint, loaded, tuple(gates), form
        self._run, self._writer, self._title, self._calibration = run, writer, title, calibration
        self._trimmed = trimmed
        self._fields: dict[str, Any] = {}
        self.model_bytes = 0

    def check(self, quantization: Int8Plan) -> dict[str, Any]:
        """Write a graph and return what the gate measured.

        Raises:
            VerificationError: it does not pass.
        """
        model = self.blueprint.model(self.form.precision, quantization, flat=bool(self.form.flat))
        path = self._writer.folder / graph_file(self.form)
        save_model(model, path)
        if self.form.target == "edge":
            write_operators(path, self._writer.folder / OPERATORS)
        self.model_bytes = path.stat().st_size
        self._fields = manifest_fields(
            self.loaded,
            self._run,
            self.form,
            model,
            traced=self.blueprint.traced,
            fallbacks=quantization.fallbacks,
            calibration=self._calibration,
        )
        self._fields["positions"] = self.blueprint.positions
        if self._trimmed is not None:
            self._fields |= {"metrics": self._trimmed.metrics, "vocabulary": self._trimmed.described}
        self.seal({})
        integers = [name for name in self.blueprint.products if quantization.storage(name) == "int8"]
        count = len(integers) if self.form.precision == "int8" else 0
        return [gate.check(self._writer.folder, int8_products=count) for gate in self.gates][-1]

    def seal(
        self, verification: dict[str, Any], measured: dict[str, Any] | None = None, *, trust: bool = False
    ) -> None:
        """Write card and manifest of the last graph; ``trust``: it is loaded with trust alone."""
        fields = {"verification": verification, "measured": measured or {}}
        seal(self._writer, self._fields | fields, self._title, trust=trust)

    def sensitivity(self, quantization: Int8Plan, progress: Callable[[str], None] | None) -> list[Effect]:
        """Return the effect of each product of the last graph, the worst first, on some of the gate's texts."""
        split = self.gates[-1].split
        if len(split) > _SENSITIVITY_TEXTS:
            split = split.take(np.linspace(0, len(split) - 1, _SENSITIVITY_TEXTS).round().astype(np.int64))
        encoded = self.loaded.tokenizer.encode(split.texts, split.pairs)
        return rank_products(self.blueprint, quantization, encoded, self.loaded.settings.task, progress=progress)


def recover_precision(
    attempt: ExportAttempt, quantization: Int8Plan, *, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Return what the gate measured of the first graph that passes.

    Args:
        attempt: writes the graphs.
        quantization: of the first of them.
        progress: called with a line of text now and then.

    Returns:
        As ``Gate.check``; where the first graph failed and the form is ``mixed``: products and what they cost in bytes.

    Raises:
        VerificationError: no graph passes. Of int8 it names the products with the worst effects.
    """
    effects: list[Effect] | None = None
    fallbacks: list[Effect] = []
    first_bytes = 0
    while True:
        try:
            checked = attempt.check(quantization)
            break
        except Disagreement as error:
            if attempt.form.precision != "int8" or not attempt.blueprint.fits_as_float:
                raise
            if effects is None:
                effects, first_bytes = attempt.sensitivity(quantization, progress), attempt.model_bytes
            if not attempt.form.mixed or len(fallbacks) == len(effects):
                raise _with_sensitivity(error, effects, attempt.form, tried=len(fallbacks)) from None
            worst = effects[len(fallbacks)]
            fallbacks.append(worst)
            quantization = quantization.falling_back(worst.product, worst.fallback)
            if progress is not None:
                where = "in 8 bits" if worst.fallback == "8 bits" else "in float"
                progress(f"int8 is beyond its limits; {where} from now on: {worst.product} ({worst.words})")
    if not fallbacks:
        return checked
    more = attempt.model_bytes - first_bytes
    if progress is not None:
        progress(f"{len(fallbacks)} of {len(effects or ())} products fall back, for {more / 1e6:+.2f} MB")
    return checked | {"mixed": {"products": {each.product: each.fallback for each in fallbacks}, "bytes": more}}


def _with_sensitivity(error: Disagreement, effects: list[Effect], form: ExportForm, *, tried: int) -> Disagreement:
    """Return the error with the products of the worst effects, and what to do about them."""
    named = {
        f"most sensitive, {rank}": f"{effect.product}: {effect.words}"
        for rank, effect in enumerate(effects[:_NAMED], start=1)
    }
    note = ", which keeps the worst products in float until the export is within its limits"
    mixed = [] if tried else [option("mixed", note=note)]
    finer = [option(name, value) for name, value in form.coarser.items()]
    trained = [option("student.quantized_epochs", 1, note=", for a student that is distilled anew")]
    return Disagreement(error.message, accepted=error.accepted | named, fix=[*mixed, *finer, *trained, *error.fix])
