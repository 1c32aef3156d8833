"""Writes graphs until one passes the gate: where int8 fails, it names the sensitive matmuls or moves them to float."""

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
from liteft.finetuning.reading import read_split
from liteft.form import ExportForm
from liteft.run import Run

__all__ = ["ExportAttempt", "recover_precision"]

_SENSITIVITY_TEXTS = 512
_NAMED = 5


class ExportAttempt:
    """Writes graphs of one classifier into the same folder, each replacing the one before, and has them verified.

    Args:
        blueprint: makes the graphs.
        loaded: the classifier.
        run: the run that made it, if there is one.
        writer: the folder, which has every file except the graph, the card and the manifest.
        gates: verify the written artifact, one after the other.
        form: of the artifact.
        title: of the card.
        calibration: what static int8 was calibrated on, for the manifest.
        trimmed: the classifier with a trimmed vocabulary, if it was trimmed for this export.
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
        """Write a graph, verify it, and return what the last gate measured.

        Raises:
            VerificationError: the graph does not pass a gate.
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
        """Write the card and the manifest for the last graph.

        Args:
            verification: what the gate measured.
            measured: metrics of the artifact on a test split.
            trust: the artifact can only be loaded with ``trust=True``.
        """
        recorded = self.gates[-1].recorded if self.gates else {}
        fields = {"verification": verification, "measured": measured or {}, "recorded": recorded}
        seal(self._writer, self._fields | fields, self._title, trust=trust)

    def sensitivity(self, quantization: Int8Plan, progress: Callable[[str], None] | None) -> list[Effect]:
        """Return the effect of quantizing each matmul on up to 512 of the gate's texts, the worst first."""
        split = self.gates[-1].split
        if len(split) > _SENSITIVITY_TEXTS:
            split = split.take(np.linspace(0, len(split) - 1, _SENSITIVITY_TEXTS).round().astype(np.int64))
        reading = read_split(self.loaded, split)
        return rank_products(
            self.blueprint,
            quantization,
            reading.encoded,
            self.loaded.settings.task,
            judged=reading.judged,
            progress=progress,
        )


def recover_precision(
    attempt: ExportAttempt, quantization: Int8Plan, *, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Write graphs until one passes the gate, each with one more matmul in float, and return what the gate measured.

    Args:
        attempt: writes and verifies the graphs.
        quantization: the plan of the first graph.
        progress: called with a line of text now and then.

    Returns:
        As ``Gate.check``. If matmuls had to fall back, ``mixed`` has their fallbacks by name (``products``) and the
        bytes that they add to the graph (``bytes``).

    Raises:
        VerificationError: the graph does not pass and the form is not ``mixed``, or no graph passes. For int8 it names
            the most sensitive matmuls.
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
                progress(f"int8 exceeds its limits; {where} from now on: {worst.product} ({worst.words})")
    if not fallbacks:
        return checked
    more = attempt.model_bytes - first_bytes
    if progress is not None:
        progress(f"{len(fallbacks)} of {len(effects or ())} matmuls fall back, for {more / 1e6:+.2f} MB")
    return checked | {"mixed": {"products": {each.product: each.fallback for each in fallbacks}, "bytes": more}}


def _with_sensitivity(error: Disagreement, effects: list[Effect], form: ExportForm, *, tried: int) -> Disagreement:
    """Return the error with the most sensitive matmuls added, and what to do about them."""
    named = {
        f"most sensitive, {rank}": f"{effect.product}: {effect.words}"
        for rank, effect in enumerate(effects[:_NAMED], start=1)
    }
    note = ", which keeps the worst matmuls in float until the export is within its limits"
    mixed = [] if tried else [option("mixed", note=note)]
    finer = [option(name, value) for name, value in form.coarser.items()]
    trained = [option("student.quantized_epochs", 1, note=", to distil the student again for int8")]
    return Disagreement(error.message, accepted=error.accepted | named, fix=[*mixed, *finer, *trained, *error.fix])
