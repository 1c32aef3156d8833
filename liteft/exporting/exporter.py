"""Exports a trained classifier as an artifact folder, and verifies it before it replaces anything.

Everything is written into a temporary folder beside the output. That folder takes the output's place only when the
written graph, loaded as a user would load it, agrees with the torch model; until then an older artifact is not touched.
If an int8 graph does not agree, the most sensitive matmuls are named, and can be kept in float.
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
from liteft.exporting.served import add_repository
from liteft.exporting.sizes import check_size
from liteft.exporting.source import SourceReading, read_source
from liteft.exporting.trimmed import trim
from liteft.exporting.verify import Gate, check_pairs
from liteft.finetuning.adapters import adapter_of, parameter_count
from liteft.finetuning.fit import computing_threads
from liteft.finetuning.known_ids import unknown_tokens
from liteft.finetuning.model import TorchClassifier, load_classifier, merged_classifier
from liteft.finetuning.reading import read_split
from liteft.foreign import Said
from liteft.form import ExportForm, FormOptions, Precision, form_with
from liteft.run import Run, model_weights_sha256
from liteft.runtime.backends import checked_threads
from liteft.schemes import Range
from liteft.tasks import Task, task_asked
from liteft.text_tables import metric_words
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
    activation: str | None = None,
    form: ExportForm | None = None,
    calibrate: Split | None = None,
    vocabulary: int | None = None,
    fill_vocabulary: bool = False,
    vocabulary_min_count: int = 1,
    texts: Split | Sequence[Split] | None = None,
    verify: Split | None = None,
    unlabeled: Split | None = None,
    test: Split | None = None,
    limits: Limits | None = None,
    overwrite: bool = False,
    trust: bool = False,
    threads: int | None = None,
    progress: Callable[[str], None] | bool | None = None,
    **options: Unpack[FormOptions],
) -> Artifact:
    """Export a trained classifier as a verified artifact and return it.

    Args:
        source: a run, its folder, or a model folder as LiteFT or transformers writes it. An adapter is merged into its
            base in float32, and the export is verified against the adapter on its base as it was trained; with
            ``vocabulary``, against the merged weights with that vocabulary.
        out: the artifact's folder. An artifact of the same form and weights there is replaced once the new one is
            verified; any other artifact only with ``overwrite``.
        task: "single_label", "multi_label" or "scores", for a folder of transformers whose config.json does not say it;
            one logit is a score.
        paired: whether the model reads pairs of texts, for such a folder; None takes it from ``verify``.
        labels: names of the labels in the order of the logits, for such a folder.
        max_tokens: truncate texts to this many tokens; None for what the model states.
        activation: for such a folder with one logit, a reranker or a regression: "sigmoid" for scores from 0 to 1, or
            "none"; None for what sentence-transformers stored in it, and otherwise none.
        form: precision, int8 scheme and layout; None for the default, int8 with one scale per token.
        calibrate: texts for calibrating static int8, usually training texts; at most 1,000 of them are used, evenly
            spaced. None uses the texts of ``verify``, and the manifest says so.
        vocabulary: keep at most this many tokens of the vocabulary, those that ``texts`` use, and their word
            embeddings. The export is then verified against the model with the trimmed vocabulary. The manifest's
            ``vocabulary`` says how that compares with the whole one, which the limits do not judge.
        fill_vocabulary: keep exactly that many tokens, even if the texts use fewer.
        vocabulary_min_count: keep only tokens that occur in so many different texts, single characters apart: a rare
            one may be a name.
        texts: the texts by which tokens are chosen, usually the training split and unlabelled texts.
        verify: texts to verify on, usually the validation split. Their labels are matched with the model's by name if
            the split has names, and are otherwise in the model's order. Without labels, the export is compared with the
            model, but the model itself is not judged. Required: the default only exists so that an error can explain
            it.
        unlabeled: more texts, on which the labels of the export and of the model must agree.
        test: texts with labels on which the finished artifact is measured, usually the test split. The metrics are in
            the manifest (``measured``, by split and backend) and the card, beside the model's; no limit applies to
            them.
        limits: how far the export may differ from the model.
        overwrite: also replace an artifact of another form or of other weights.
        trust: as in ``liteft.load``, which then needs it for this artifact too: allows a traced graph with operators,
            or a tokenizer with regular expressions, that LiteFT does not know.
        threads: CPU threads of the verification and of measuring; None for those of ``liteft.load``.
        progress: called with a line of text now and then; True prints the lines to stderr.
        **options: fields that replace those of ``form``: ``precision="fp32"``, ``scheme="static"``, ``weight_bits=7``,
            ``embedding_bits=4``, ``calibration="mse"``, ``mixed=True``, ``flat=True``, ``target="edge"``. With
            ``target="triton"``, the folder ``triton`` in the artifact is a model repository, as from
            ``liteft.export_triton``, which is verified on the same texts.

    Returns:
        The artifact. Its manifest has the form, and says whether the graph was built from the weights or traced
        (``graph``), and which matmuls ``mixed`` left in float (``fallbacks``).

    Raises:
        VerificationError: the export does not agree with the model, LiteFT does not read the folder as transformers
            does, or the model is no better than one answer to all texts. For int8 it names the most sensitive matmuls.
        ConfigError: settings of the form are unknown or exclude each other, there are no texts to verify on or to
            choose tokens by, or the vocabulary is too small for the single characters of the tokenizer.
        DataError: texts do not fit the task, or are too few to calibrate on.
        ModelError: the source is not a classifier, or cannot be exported or trimmed.
        RunError: the run cannot be read.
        ArtifactError: the output cannot be written, or there is another artifact.
        DeviceError: LITEFT_LIBRARY names something other than the native library, which is used for verifying.
    """
    progress = checked_progress(progress)
    if threads is not None:
        checked_threads(threads)
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
    if vocabulary is None and vocabulary_min_count != 1:
        raise ConfigError(
            f"vocabulary_min_count={vocabulary_min_count} changes nothing here: no vocabulary is trimmed.",
            fix=[option("vocabulary", 8000), leave_out("vocabulary_min_count")],
        )
    _require_splits(verify=verify, calibrate=calibrate, unlabeled=unlabeled, test=test)
    require_replaceable(Path(out))
    said = Said(
        None if labels is None else tuple(labels),
        task_asked(task),
        paired,
        seen_pairs=verify.pairs is not None,
        activation=activation,
    )
    settle_meaning(folder, said, verify, progress)
    loaded = load_classifier(folder, said=said, max_tokens=max_tokens)
    weights_sha256 = model_weights_sha256(folder)
    if not overwrite:
        trimming = (vocabulary, vocabulary is not None and fill_vocabulary, vocabulary_min_count)
        refuse_another(Path(out), form, weights_sha256, loaded.settings, trimming=trimming)
    if loaded.config.pad_token_id is None:
        loaded.config.pad_token_id = loaded.tokenizer.pad_id
    _tell(progress, _cut_line(loaded))
    if vocabulary is None:
        check_size(loaded.path, parameter_count(loaded.model), form)
    for each in (verify, *([] if test is None else [test])):
        check_pairs(each, loaded)
    verify, test = meet_model_labels(verify, test, loaded.settings.labels, own=loaded.own, progress=progress)
    if unknown := unknown_tokens(loaded):
        _tell(progress, f"the model has no row for {_listed(unknown)}: texts that hold one are refused, each alone")
    with computing_threads(threads):
        source_reading = read_source(loaded, verify)
    whole, reference = merged_classifier(loaded), loaded
    trimmed = None
    if vocabulary is not None:
        with computing_threads(threads):
            trimmed = trim(
                whole,
                vocabulary,
                texts,
                verify,
                limits or Limits(),
                fill=fill_vocabulary,
                min_count=vocabulary_min_count,
            )
        whole = reference = trimmed.loaded
        source_reading = replace(source_reading, logits=None)  # of the model with the whole vocabulary
        _tell(progress, trimming_text(trimmed.described))
    blueprint = Blueprint(whole)
    if form.table_bits("word") == 4:
        _check_nibbles(whole, blueprint.trace_reason)
    check_size(whole.path, parameter_count(whole.model), form, traced=blueprint.traced)
    with computing_threads(threads), writing_artifact(Path(out)) as writer:
        _tell(progress, _graph_line(whole, blueprint.trace_reason))
        _check_positions(whole, blueprint.positions)
        quantization, calibrated = Int8Plan(form), None
        if form.calibrated:
            given = verify if calibrate is None else calibrate
            _tell(progress, f"calibrating on up to {MOST_TEXTS:,} of {len(given):,} texts of {given.name}")
            ranges, calibrated = _ranges(blueprint, whole, given, form)
            quantization = replace(quantization, ranges=ranges)
        write_companions(whole, writer.folder)
        where: dict[str, Any] = {"trust": trust, "threads": threads}
        gates = _gates(reference, whole, verify, unlabeled, form.precision, limits, source_reading, progress, **where)
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
            measured = measure_artifact(writer.folder, loaded, test, backends=checked["backends"], **where)
        guarded = trust and needs_trust(writer.folder)
        checked["weights_sha256"] = weights_sha256
        attempt.seal(checked, measured, trust=guarded)
        if form.target == "triton":
            serving: dict[str, Any] = {"guarded": guarded, "threads": threads, "progress": progress}
            add_repository(writer.folder, Path(out), gates[-1].split, **serving)
            attempt.seal(checked, measured, trust=guarded)
    artifact = read_artifact(Path(out))
    size = f"{artifact.size_bytes / 1e6:.1f} MB"
    _tell(progress, f"exported {artifact.path}: {form.precision}, {size}, {_summary(checked, loaded.settings.task)}")
    if measured:
        _tell(progress, f"the artifact itself: {measured_text(measured, loaded.settings.task)}")
    if guarded:
        _tell(progress, worded("it is loaded by who trusts it alone", option("trust")))
    return artifact


def _require_splits(**given: Split | None) -> None:
    """Check that every argument that should be a Split is one, or None."""
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
    """Calibrate static int8: return the ranges of the matmuls' inputs, and what the manifest says of them."""
    check_pairs(given, loaded)
    if len(given) > MOST_TEXTS:
        given = given.take(np.linspace(0, len(given) - 1, MOST_TEXTS).round().astype(np.int64))
    encoded = read_split(loaded, given).encoded
    ranges = calibrate_ranges(
        blueprint.flat("fp32"), blueprint.products, encoded, method=form.calibration or "percentile"
    )
    calibration = {"split": given.name, "texts": len(given)}
    return ranges, calibration | ({"percentile": PERCENTILE} if form.calibration == "percentile" else {})


def _gates(
    loaded: TorchClassifier,
    whole: TorchClassifier,
    verify: Split,
    unlabeled: Split | None,
    precision: Precision,
    limits: Limits | None,
    source: SourceReading,
    progress: Callable[[str], None] | None,
    *,
    trust: bool,
    threads: int | None,
) -> list[Gate]:
    """Return the gates that a graph has to pass; what the last one measures goes into the manifest.

    The layers of an 8-bit base round their inputs, which no float graph does. So with an adapter on such a base there
    are two gates: the graph must agree with the merged weights as usual, and with what was trained by its labels, as an
    int8 graph must.
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
            threads=threads,
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
    if settings.task.extractive:
        return f"contexts are read in windows of {settings.max_tokens:,} tokens, the question included: {loaded.cut_by}"
    if settings.task.per_word:
        return f"texts of more than {settings.max_tokens:,} tokens are read in windows: {loaded.cut_by}"
    return f"texts are cut at {settings.max_tokens:,} tokens, on the {settings.truncation_side}: {loaded.cut_by}"


def _check_positions(loaded: TorchClassifier, positions: int | None) -> None:
    """Refuse to truncate texts at more tokens than there are position embeddings."""
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


def _summary(checked: dict[str, Any], task: Task) -> str:
    agreed = f"{task.alike} on {100 * checked['agreement']:.2f}% of "
    agreed += f"{'the words of ' if task.per_word else ''}{checked['texts']:,} texts"
    if checked["accuracy"] is None or checked.get("primary") is not None:
        return agreed + _primary_text(checked.get("primary"))
    return f"{agreed}, accuracy {100 * checked['accuracy']:.2f}% (model {100 * checked['model_accuracy']:.2f}%)"


def _primary_text(primary: dict[str, Any] | None) -> str:
    if primary is None:
        return ""
    return f", {metric_words(primary['metric'])} {100 * primary['artifact']:.2f}% (model {100 * primary['model']:.2f}%)"
