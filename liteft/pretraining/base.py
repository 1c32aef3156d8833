"""Pretraining: unlabelled texts become a base, by guessing masked words.

The folder is opened first. Then, each once and each replaced only as a whole: a vocabulary is trained if none is given,
the texts are tokenized into files, the model is trained, and the finished run is written. What lies in between is in
``checkpoints/``, which is removed when the run is finished.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from liteft import files
from liteft.arguments import ProgressFunction, checked_callbacks, checked_progress
from liteft.config import resolve_recipe
from liteft.data.formats import exists
from liteft.data.text_streams import TextStream, open_texts
from liteft.errors import ConfigError, ModelError, option
from liteft.finetuning.adapters import parameter_count
from liteft.finetuning.bases import base_name, resolve_base, weights_hash
from liteft.finetuning.checkpoints import remove_all_checkpoints
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import computing_threads, trained_from
from liteft.finetuning.model import quiet_transformers, uses_type_ids
from liteft.finetuning.run_folder import PACKAGES, open_run_in_all, withdrawn_on_error, writing_run
from liteft.finetuning.trainer import training_arguments
from liteft.machine import package_versions
from liteft.pretraining.batches import EVALUATION, CorpusRows, MaskedBatches
from liteft.pretraining.model import (
    LanguageModel,
    from_base,
    from_random,
    read_alone,
    read_vocabulary,
    write_trained,
)
from liteft.pretraining.order import CorpusOrder, held_out
from liteft.pretraining.packing import Sequences, pack, read_sequences
from liteft.pretraining.result import Pretrained, read_pretrained
from liteft.pretraining.trainer import METRIC, MaskedTrainer, SparseHead, score_masked
from liteft.pretraining.vocabulary import described, sample_of, train_vocabulary
from liteft.recipe_checks import require_pretraining
from liteft.recipes import PretrainRecipe, Recipe
from liteft.run import BASE_KIND, MODEL_FOLDER, RUN_FILE, RUN_FORMAT, model_weights, model_weights_sha256

__all__ = ["pretrain"]

_RATES = {"random": 5e-4, "base": 1e-4}
_VOCABULARY = 8000
_MANY_UNKNOWN = 0.05


def pretrain(
    texts: Any = None,
    *,
    out: str | Path,
    recipe: Recipe | None = None,
    progress: ProgressFunction | bool | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **settings: Any,
) -> Pretrained:
    """Pretrain an encoder on unlabelled texts by masked language modelling, and return the base that it becomes.

    It starts from random weights (``size="4x256"``) or goes on from a base (``base="minilm"``). The folder can be given
    wherever a base is taken: to ``liteft.finetune``, ``liteft.distill``, ``liteft.search``, and as a student. Repeating
    the call returns the finished run, or resumes an unfinished one.

    The texts are tokenized once into files below ``out``, and read from there: memory does not grow with their number.

    Args:
        texts: a file (a line of txt, or a row of csv, tsv, jsonl or parquet, is a text), a folder of files, a hub name,
            a list of files and folders, or texts in memory; None for the sources that the recipe names.
        out: the run folder.
        recipe: settings; its table ``pretrain`` is used, and ``text``, ``encoding`` and ``delimiter`` of ``data``.
        progress: called with a line of text now and then; True prints it to stderr.
        callbacks: transformers callbacks, such as your own loggers.
        settings: keys of the recipe's ``[pretrain]`` table, which override the recipe.

    Raises:
        ConfigError: an unknown or unusable setting, or no texts.
        DataError: texts that cannot be read, or too few of them.
        ModelError: a base or a vocabulary that cannot be used.
        RunError: ``out`` holds something else, or cannot be written.

    Source: Devlin et al. 2019, arXiv:1810.04805; without the prediction of next sentences: Liu et al. 2019,
    arXiv:1907.11692.
    """
    context = RunContext(Path(out), checked_progress(progress), checked_callbacks(callbacks, TrainerCallback))
    named = _names(texts)
    if named:
        settings["texts"] = named
    recipe = resolve_recipe(recipe, "pretrain", settings)
    require_pretraining(recipe.pretrain)
    rate = recipe.pretrain.learning_rate or _RATES["random" if recipe.pretrain.base is None else "base"]
    recipe = resolve_recipe(recipe, "pretrain", {"learning_rate": rate})
    asked = recipe.pretrain
    base = None if asked.base is None else resolve_base(asked.base)
    stream = _stream([texts] if texts is not None and named is None else _sources(asked), recipe)
    inputs = {"kind": BASE_KIND, "texts": stream.fingerprint(_record(context)), "base": weights_hash(base)}
    if asked.vocabulary_file is not None and Path(asked.vocabulary_file).is_file():
        inputs["vocabulary"] = files.sha256_file(Path(asked.vocabulary_file))
    with writing_run(context):
        if not open_run_in_all(context, recipe, inputs, table="pretrain"):
            _Pretraining(context, asked, base, stream, str(inputs["texts"])).run()
    return read_pretrained(context.out)


def _names(texts: Any) -> list[str] | None:
    """Return the sources that an argument names, or None if it holds texts: a list that consists of paths names files.

    Strings in a list are paths if there is a file or folder of each name.
    """
    if isinstance(texts, str | os.PathLike):
        return [os.fspath(texts)]
    if not isinstance(texts, list | tuple) or not texts:
        return None
    paths = all(isinstance(each, os.PathLike) or (isinstance(each, str) and exists(Path(each))) for each in texts)
    return [os.fspath(each) for each in texts] if paths else None


def _sources(recipe: PretrainRecipe) -> list[str]:
    if not recipe.texts:
        raise ConfigError(
            "no texts were given.",
            accepted={"texts": "a file, a folder of files, or a hub name; one or several"},
            fix=option("texts", "FILE_OR_FOLDER"),
        )
    return [recipe.texts] if isinstance(recipe.texts, str) else recipe.texts


def _stream(sources: Sequence[Any], recipe: Recipe) -> TextStream:
    data = recipe.data
    return open_texts(sources, text=data.text, encoding=data.encoding, delimiter=data.delimiter)


def _record(context: RunContext) -> Path:
    return context.checkpoints / "sources.json"


@dataclass(frozen=True)
class _Pretraining:
    """One pretraining into an open run folder, in every process of the training."""

    context: RunContext
    recipe: PretrainRecipe
    base: Path | None
    stream: TextStream
    fingerprint: str

    def run(self) -> None:
        """Do what is not done yet, and write the finished run."""
        state, started = self.context.state, time.monotonic()
        quiet_transformers()
        with (
            files.temporary_folder() as spare,
            withdrawn_on_error(self.context),
            computing_threads(self.recipe.threads),
        ):
            if state.is_main_process:
                self.stream.remember(_record(self.context))
            model = self._start(spare)
            sequences = self._sequences(model)
            validation = held_out(sequences, self.recipe.validation_fraction, self.recipe.seed)
            prefix, suffix = model.around()
            masking = model.masking(self.recipe)
            types = uses_type_ids(model.config)
            batches = MaskedBatches(sequences, masking, prefix, suffix, model.tokenizer.pad_id, types)
            info = self._train(model, batches, validation)
            if state.is_main_process:
                self._finish(model, batches, validation, info, started)
        state.wait_for_everyone()

    def _start(self, spare: Path) -> LanguageModel:
        recipe = self.recipe
        if self.base is not None:
            model = from_base(self.base, max_tokens=recipe.max_tokens, seed=recipe.seed)
            if model.head:
                self._tell(f"{recipe.base} has no layers over the vocabulary for masked words: they start new")
            return model
        if recipe.vocabulary_file is not None:
            found = read_vocabulary(Path(recipe.vocabulary_file), spare)
        else:
            found = read_alone(self._trained_vocabulary())
        return from_random(found, size=str(recipe.size), max_tokens=recipe.max_tokens, seed=recipe.seed)

    def _trained_vocabulary(self) -> Path:
        """Return the folder of the vocabulary that is trained on the texts, once."""
        recipe, folder = self.recipe, self.context.checkpoints / "vocabulary"
        if self.context.state.is_main_process and not folder.is_dir():
            kind, size = recipe.vocabulary_kind or "wordpiece", recipe.vocabulary or _VOCABULARY
            self._tell(f"vocabulary: {size:,} tokens, {kind}, trained on the texts, once")
            sample = sample_of(self.stream.texts())
            tokenizer = train_vocabulary(sample, kind=kind, size=size, lowercase=recipe.lowercase is not False)
            with files.writing_folder(folder) as new:
                write_trained(tokenizer, kind, new)
        self.context.state.wait_for_everyone()
        return folder

    def _sequences(self, model: LanguageModel) -> Sequences:
        """Return the texts as token ids, which are written into files, once."""
        most = self.recipe.max_tokens - model.plain.num_special_tokens_to_add(False)
        key = hashlib.sha256(f"{self.fingerprint} {most} {model.tokenizer.json_text}".encode()).hexdigest()[:32]
        folder = self.context.checkpoints / f"texts-{key}"
        if self.context.state.is_main_process and not folder.is_dir():
            self._tell(f"texts: {self.stream.name} is tokenized, once")
            pack(self.stream.texts(), model.plain, folder, most_tokens=most, unknown=model.special_id("unk"))
        self.context.state.wait_for_everyone()
        found = read_sequences(folder)
        self._tell(f"texts: {found.texts:,}, in {len(found):,} sequences, {len(found.tokens):,} tokens")
        return found

    def _train(self, model: LanguageModel, batches: MaskedBatches, validation: np.ndarray) -> dict[str, Any]:
        """Train in place, resuming if the run was stopped, and return what run.json says of it."""
        recipe, checkpoints = self.recipe, self.context.checkpoints
        sequences = batches.sequences
        order = CorpusOrder(
            sequences, validation, batch_size=recipe.batch_size, seed=recipe.seed, group=recipe.group_by_length
        )
        arguments = training_arguments(
            recipe, folder=checkpoints, texts=len(order), processes=self.context.state.num_processes
        )
        arguments.metric_for_best_model, arguments.greater_is_better = METRIC, False
        head = SparseHead(model.model, torch.from_numpy(batches.masking.others[:16].reshape(1, -1)))
        by_length = validation[np.argsort(sequences.lengths(validation), kind="stable")]
        trainer = MaskedTrainer(
            head=head,
            model=model.model,
            args=arguments,
            train_dataset=CorpusRows(None, len(order)),
            eval_dataset=CorpusRows(by_length, len(by_length)),
            data_collator=batches.collate,
            sampler=order,
            recipe=recipe,
            context=self.context,
            name="base",
            chance=float(np.log(model.config.vocab_size)),
            callbacks=list(self.context.callbacks),
        )
        started = time.monotonic()
        trained_from(trainer, checkpoints)
        head.remove()
        best = trainer.state.best_metric
        return {
            "steps": trainer.state.global_step,
            "training_seconds": round(time.monotonic() - started, 1),
            "best_metric": None if best is None else {METRIC: float(best)},
            "best_step": trainer.state.best_global_step,
            "precision": "bf16" if arguments.bf16 else "fp32",
            "learning_rate": recipe.learning_rate,
            "warnings": trainer.divergence.warnings,
        }

    def _finish(
        self,
        model: LanguageModel,
        batches: MaskedBatches,
        validation: np.ndarray,
        info: dict[str, Any],
        started: float,
    ) -> None:
        """Score the kept weights in float32, write model and run.json, and remove the checkpoints."""
        out, recipe, sequences = self.context.out, self.recipe, batches.sequences
        head = SparseHead(model.model.cpu() if not torch.cuda.is_available() else model.model, _probe(model, batches))
        metrics = score_masked(model.model, head, _validation_batches(batches, validation, recipe.batch_size))
        head.remove()
        if not np.isfinite(metrics[METRIC]):
            raise ModelError("the validation loss is not finite.", fix=option("training_precision", "fp32"))
        with files.writing_folder(out / MODEL_FOLDER) as folder:
            model.save(folder)
        warnings = list(info["warnings"])
        if sequences.unknown > _MANY_UNKNOWN:
            warnings.append(f"{100 * sequences.unknown:.1f}% of the tokens are unknown to the vocabulary")
            self._tell(f"warning: {warnings[-1]}")
        weights = model_weights(out / MODEL_FOLDER)
        content = {
            "format": RUN_FORMAT,
            "kind": BASE_KIND,
            "family": model.config.model_type,
            "parameters": parameter_count(model.model),
            "size_bytes": weights.stat().st_size,
            "weights_sha256": model_weights_sha256(out / MODEL_FOLDER),
            "max_tokens": recipe.max_tokens,
            "vocabulary": described(model.plain),
            "data": {
                "name": self.stream.name,
                "fingerprint": self.fingerprint,
                "texts": sequences.texts,
                "sequences": {"train": len(sequences) - len(validation), "validation": len(validation)},
                "tokens": len(sequences.tokens),
                "unknown": sequences.unknown,
            },
            "metrics": {"validation": metrics},
            "versions": {"python": platform.python_version(), **package_versions(PACKAGES)},
            "base": base_name(recipe.base) if recipe.base else f"from scratch, {recipe.size}",
            "seed": recipe.seed,
            "seconds": round(time.monotonic() - started, 1),
            **info,
            "warnings": warnings,
        }
        files.write_json(out / RUN_FILE, content)
        remove_all_checkpoints(out)

    def _tell(self, line: str) -> None:
        if self.context.state.is_main_process:
            self.context.tell(line)


def _probe(model: LanguageModel, batches: MaskedBatches) -> Tensor:
    ids = torch.from_numpy(batches.masking.others[:16].reshape(1, -1))
    return ids.to(next(model.model.parameters()).device)


def _validation_batches(batches: MaskedBatches, validation: np.ndarray, batch_size: int) -> Iterator[dict[str, Tensor]]:
    rows = validation[np.argsort(batches.sequences.lengths(validation), kind="stable")]
    for start in range(0, len(rows), batch_size):
        yield batches(rows[start : start + batch_size].tolist(), EVALUATION)
