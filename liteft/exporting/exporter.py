"""The verb: a trained classifier becomes an artifact folder, verified before it replaces anything.

Everything is written into a temporary sibling of the output. Only when the written graph, loaded as a user
would load it, agrees with the torch model does the folder take its place; until then an older artifact stays
untouched. Of an int8 graph that does not agree the most sensitive products are named, and may be kept in float.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from liteft.arguments import checked_progress, require_path
from liteft.artifact import Artifact, read_artifact, require_replaceable, writing_artifact
from liteft.data import Split
from liteft.data.notes import worded
from liteft.errors import ConfigError, Hint, ModelError, leave_out, option
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.calibration import MOST_TEXTS, PERCENTILE, calibrate_ranges
from liteft.exporting.folder import needs_trust, title_of, write_companions
from liteft.exporting.limits import Limits
from liteft.exporting.measured import measure_artifact, measured_text
from liteft.exporting.origin import find_model, meet_model_labels, settle_meaning
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.recovery import ExportAttempt, recover_precision
from liteft.exporting.replacing import refuse_another
from liteft.exporting.sizes import check_size
from liteft.exporting.source import SourceReading, read_source
from liteft.exporting.trimmed import trim
from liteft.exporting.verify import Gate, check_pairs
from liteft.finetuning.adapters import adapter_of, parameter_count
from liteft.finetuning.known_ids import check_ids, unknown_tokens
from liteft.finetuning.model import TorchClassifier, load_classifier, merged_classifier
from liteft.foreign import Said
from liteft.form import ExportForm, FormOptions, Precision, form_with
from liteft.run import Run, model_weights_sha256
from liteft.schemes import Range
from liteft.tasks import Task, task_asked
from liteft.trimming import trimming_text

__all__ = ["export"]

_NAMED = 3  # tokens in a line of progress


def export(
    source: Run | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    task: Task | str | None = None,
    paired: bool | None = None,
    labels: Sequence[str] | None = None,
    max_tokens: int | None = None,
    form: ExportForm | None = None,
    calibrate: Split | None = None,
    vocabulary: int | None = None,
    fill_vocabulary: bool = False,
    texts: Split | Sequence[Split] | None = None,
    verify: Split | None = None,
    unlabeled: Split | None = None,
    test: Split | None = None,
    limits: Limits | None = None,
    overwrite: bool = False,
    trust: bool = False,
    progress: Callable[[str], None] | bool | None = None,
    **options: Unpack[FormOptions],
) -> Artifact:
    """Export a trained classifier as a verified artifact and return it.

    Args:
        source: a run, its folder, or a model folder as LiteFT or transformers writes it. An adapter is merged into its
            base in float32, and what comes out is verified against the adapter on its base as that was trained; with
            ``vocabulary`` against the merged weights with that vocabulary.
        task, paired, labels: of a folder that transformers wrote, where its config.json does not say it: "single_label"
            or "multi_label", whether it reads pairs of texts, and the names of its labels in the order of its logits.
            Pairs or not is seen in ``verify`` otherwise.
        max_tokens: cut texts to so many tokens; None for what the model states.
        out: the artifact's folder. An artifact of the same form and weights there is replaced, once the new one is
            verified; another one only with ``overwrite``.
        form: precision, scheme of int8 and layout; None for the default, int8 with a scale for each token.
        calibrate: texts for "static" and for nothing else, training texts as a rule; at most 1,000 of them are used,
            evenly spaced. None takes those of ``verify``, and the manifest says so.
        vocabulary: keep at most this many pieces of the tokenizer's vocabulary, those that ``texts`` use, and the rows
            of the word embedding that go with them. The export is then verified against the model with that
            vocabulary; the manifest's ``vocabulary`` says how it compares with the whole one, which the limits do not
            judge.
        fill_vocabulary: keep as many pieces, whether the texts use them or not.
        texts: what the pieces are chosen by: the training split as a rule, and unlabelled texts.
        verify: texts to verify on, the validation split as a rule; labels meet the model's by name where the split
            knows their names, and are in its order otherwise. There is no export without: it is an
            argument with a default only so that leaving it out can be explained. Texts without labels verify
            that the export agrees with the model, and nothing about the model.
        unlabeled: more texts on which the labels must agree with the model's.
        test: texts with labels to measure the finished artifact on, the test split as a rule. Its figures stand in
            the manifest (``measured``, by split and backend) and the card, beside the model's; they judge nothing.
        limits: how far the export may be from the model.
        overwrite: replace an artifact of another form or of other weights too.
        trust: as in ``liteft.load``, which then needs it for this artifact too: for a traced graph with operators, or a
            tokenizer with regular expressions, that LiteFT does not know.
        progress: called with a line of text now and then; True prints it to stderr.
        **options: fields of ``form``, each in the place of the form's own: ``precision="fp32"``, ``scheme="static"``,
            ``weight_bits=7``, ``embedding_bits=4``, ``calibration="mse"``, ``mixed=True``, ``flat=True``,
            ``target="edge"``.

    Returns:
        The artifact. Its manifest holds the form, and says whether the graph was built from the weights or traced
        (``graph``) and which products ``mixed`` left in float (``fallbacks``).

    Raises:
        VerificationError: the export does not agree with the model, LiteFT does not read the folder as transformers
            does, or the model does not beat the majority class. Of int8 it names the most sensitive products.
        ConfigError: a form whose settings are unknown or exclude each other, no texts to verify on or to choose pieces
            by, or a vocabulary below the single characters of its tokenizer.
        DataError: texts that do not fit the task, or too few to calibrate on.
        ModelError: no classifier, or one that cannot be exported or trimmed.
        RunError, ArtifactError: the source cannot be read, or the output cannot be written.
        DeviceError: LITEFT_LIBRARY names something else than the native library, which verifies too.
    """
    progress = checked_progress(progress)
    require_path("out", out, accepted="a folder")
    require_path("source", source, kinds=(Run,), accepted="a run, its folder, or a model folder")
    run, folder = find_model(source)  # first of all: what is exported already needs no texts
    form = form_with(form, **options)
    if verify is None:
        raise ConfigError(
            "an export is verified on real texts, and none were given.",
            accepted={"verify": "a Split, with labels or without"},
            fix=Hint("verify=data.validation", "--data DATA"),
        )
    _require_splits(verify=verify, calibrate=calibrate, unlabeled=unlabeled, test=test)
    require_replaceable(Path(out))
    said = Said(
        None if labels is None else tuple(labels), task_asked(task), paired, seen_pairs=verify.pairs is not None
    )
    settle_meaning(folder, said, verify, progress)
    loaded = load_classifier(folder, said=said, max_tokens=max_tokens)
    weights_sha256 = model_weights_sha256(folder)
    if not overwrite:
        trimming = (vocabulary, vocabulary is not None and fill_vocabulary)
        refuse_another(Path(out), form, weights_sha256, loaded.settings, trimming=trimming)
    if loaded.config.pad_token_id is None:
        loaded.config.pad_token_id = loaded.tokenizer.pad_id
    _tell(progress, _cut_line(loaded))
    if vocabulary is None:
        check_size(loaded.path, parameter_count(loaded.model), form)
    for each in (verify, *([] if test is None else [test])):
        check_pairs(each, loaded)
    own = getattr(loaded.config, "liteft", None) is not None
    verify, test = meet_model_labels(verify, test, loaded.settings.labels, own=own, progress=progress)
    if unknown := unknown_tokens(loaded):
        _tell(progress, f"the model has no row for {_listed(unknown)}: texts that hold one are refused, each alone")
    source_reading = read_source(loaded, verify)
    whole, reference = merged_classifier(loaded), loaded
    trimmed = None
    if vocabulary is not None:
        trimmed = trim(whole, vocabulary, texts, verify, limits or Limits(), fill=fill_vocabulary)
        whole = reference = trimmed.loaded
        source_reading = replace(source_reading, logits=None)  # of the model with the whole vocabulary
        _tell(progress, trimming_text(trimmed.described))
    blueprint = Blueprint(whole)
    if form.table_bits("word") == 4:
        _check_nibbles(whole, blueprint.trace_reason)
    check_size(whole.path, parameter_count(whole.model), form, traced=blueprint.traced)
    with writing_artifact(Path(out)) as writer:
        _tell(progress, _graph_line(whole, blueprint.trace_reason))
        _check_positions(whole, blueprint.positions)
        quantization, calibrated = Int8Plan(form), None
        if form.calibrated:
            given = verify if calibrate is None else calibrate
            _tell(progress, f"calibrating on up to {MOST_TEXTS:,} of {len(given):,} texts of {given.name}")
            ranges, calibrated = _ranges(blueprint, whole, given, form)
            quantization = replace(quantization, ranges=ranges)
        write_companions(whole, writer.folder)
        gates = _gates(reference, whole, verify, unlabeled, form.precision, limits, source_reading, trust, progress)
        attempt = ExportAttempt(
            blueprint,
            reference,
            run,
            writer,
            gates,
            form=form,
            title=title_of(run, folder),
            calibration=calibrated,
            trimmed=trimmed,
        )
        checked = recover_precision(attempt, quantization, progress=progress)
        measured = {}
        if test is not None and test.labels is not None:
            _tell(progress, f"measuring the artifact on {len(test):,} texts of {test.name}")
            measured = measure_artifact(writer.folder, loaded, test, backends=checked["backends"], trust=trust)
        guarded = trust and needs_trust(writer.folder)
        attempt.seal(checked | {"weights_sha256": weights_sha256}, measured, trust=guarded)
    artifact = read_artifact(Path(out))
    size = f"{artifact.size_bytes / 1e6:.1f} MB"
    _tell(progress, f"exported {artifact.path}: {form.precision}, {size}, {_summary(checked)}")
    if measured:
        _tell(progress, f"the artifact itself: {measured_text(measured, loaded.settings.task)}")
    if guarded:
        _tell(progress, worded("it is loaded by who trusts it alone", option("trust")))
    return artifact


def _require_splits(**given: Split | None) -> None:
    """Refuse what is no Split where one is taken."""
    for name, value in given.items():
        if value is not None and not isinstance(value, Split):
            raise ConfigError(
                f"{name} is a {type(value).__name__}.",
                accepted={name: "a Split: some of a data set's texts, with labels or without"},
                fix=[f"{name}=data.validation", f'{name}=liteft.Split("validation", texts)'],
            )


def _ranges(
    blueprint: Blueprint, loaded: TorchClassifier, given: Split, form: ExportForm
) -> tuple[dict[str, Range], dict[str, Any]]:
    """Return the ranges of the products' inputs, and what the manifest says of them."""
    check_pairs(given, loaded)
    if len(given) > MOST_TEXTS:
        given = given.take(np.linspace(0, len(given) - 1, MOST_TEXTS).round().astype(np.int64))
    encoded = loaded.tokenizer.encode(given.texts, given.pairs)
    check_ids(loaded, encoded, f"split {given.name!r}")
    ranges = calibrate_ranges(
        blueprint.flat("fp32"), blueprint.products, encoded, method=form.calibration or "percentile"
    )
    told = {"split": given.name, "texts": len(given)}
    return ranges, told | ({"percentile": PERCENTILE} if form.calibration == "percentile" else {})


def _gates(
    loaded: TorchClassifier,
    whole: TorchClassifier,
    verify: Split,
    unlabeled: Split | None,
    precision: Precision,
    limits: Limits | None,
    source: SourceReading,
    trust: bool,
    progress: Callable[[str], None] | None,
) -> list[Gate]:
    """Return what holds a graph to the model as it was trained; what the last one measures is told.

    An adapter whose base is in 8 bits rounds what its layers read, which no float graph does: the graph is held to the
    merged weights as closely as any, and to what was trained as an int8 graph is, by its labels.
    """
    adapter = adapter_of(loaded.model)
    rounds = adapter is not None and adapter.quantization is not None and adapter.quantization.bits == "8bit"
    judged: list[tuple[TorchClassifier, Precision]] = [(loaded, "int8" if rounds else precision)]
    if rounds:
        judged.insert(0, (whole, precision))
    return [
        Gate(
            model,
            verify,
            precision=precision,
            limits=limits,
            limits_of=limits_of,
            unlabeled=unlabeled,
            source=source,
            trust=trust,
            progress=progress,
        )
        for model, limits_of in judged
    ]


def _listed(tokens: list[str]) -> str:
    more = f" and {len(tokens) - _NAMED:,} more tokens" if len(tokens) > _NAMED else ""
    return ", ".join(map(repr, tokens[:_NAMED])) + more


def _tell(progress: Callable[[str], None] | None, line: str) -> None:
    if progress is not None:
        progress(line)


def _graph_line(loaded: TorchClassifier, reason: str | None) -> str:
    if reason is None:
        return f"building the graph of a {loaded.config.model_type} from its weights"
    return f"tracing with torch.onnx.export, for a larger and slower graph than a built one: {reason}"


def _cut_line(loaded: TorchClassifier) -> str:
    settings = loaded.settings
    return f"texts are cut at {settings.max_tokens:,} tokens, on the {settings.truncation_side}: {loaded.cut_by}"


def _check_positions(loaded: TorchClassifier, positions: int | None) -> None:
    """Refuse a cut beyond the table of positions, where a long text would have none."""
    if positions is not None and loaded.settings.max_tokens > positions:
        raise ModelError(
            f"{loaded.path} cuts texts at {loaded.settings.max_tokens:,} tokens, and has positions for fewer.",
            accepted={"max_tokens": f"up to {positions:,}"},
            fix=option("max_tokens", positions),
        )


def _check_nibbles(loaded: TorchClassifier, reason: str | None) -> None:
    """Refuse 4-bit embeddings if they cannot be stored."""
    width = getattr(loaded.config, "embedding_size", loaded.config.hidden_size)
    why = f"the graph is traced: {reason}" if reason is not None else f"their width {width} is odd" if width % 2 else ""
    if why:
        raise ModelError(f"embedding_bits=4 was requested, but {why}.", fix=leave_out("embedding_bits"))


def _summary(checked: dict[str, Any]) -> str:
    agreed = f"same label as the model on {100 * checked['agreement']:.2f}% of {checked['texts']:,} texts"
    if checked["accuracy"] is None:
        return agreed
    return f"{agreed}, accuracy {100 * checked['accuracy']:.2f}% (model {100 * checked['model_accuracy']:.2f}%)"
