"""Pretraining: unlabelled texts become a base, by guessing masked words.

The folder is opened first. Then, each once and each replaced only as a whole: a vocabulary is trained if none is given,
the texts are tokenized into files, the model is trained, and the finished run is written. What lies in between is in
``checkpoints/``, which is removed when the run is finished.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
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
from liteft.data.formats import exists, known_suffix
from liteft.data.text_streams import TextStream, open_texts
from liteft.errors import ConfigError, ModelError, option
from liteft.finetuning.bases import base_name, resolve_base, weights_hash
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import training_threads
from liteft.finetuning.model import quiet_transformers, uses_type_ids
from liteft.finetuning.run_folder import open_run_in_all, withdrawn_on_error, writing_run
from liteft.finetuning.trainer_keys import checked_trainer
from liteft.pretraining.batches import MaskedBatches
from liteft.pretraining.corpus import require_embeddings, tokenized, told_once
from liteft.pretraining.masking import Masking
from liteft.pretraining.model import (
    LanguageModel,
    from_base,
    from_random,
    read_alone,
    read_vocabulary,
    tokens_around,
    write_trained,
)
from liteft.pretraining.packing import require_text
from liteft.pretraining.result import Pretrained, read_pretrained
from liteft.pretraining.trainer import METRIC, MaskedTrainer, SparseHead, score_masked
from liteft.pretraining.training import CorpusTraining
from liteft.pretraining.vocabulary import sample_of, train_vocabulary
from liteft.ranks import checked_processes, launch
from liteft.recipe_checks import require_pretraining, require_shares
from liteft.recipes import PretrainRecipe, Recipe
from liteft.run import BASE_KIND, RUN_FILE

__all__ = ["pretrain"]

_RATES = {"random": 5e-4, "base": 1e-4}
_VOCABULARY = 8000


def pretrain(
    texts: Any = None,
    *,
    out: str | Path,
    recipe: Recipe | None = None,
    progress: ProgressFunction | bool | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    processes: int = 1,
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
        processes: train in so many processes of this machine, one per GPU if it has any (docs/guides/distributed.md).
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
    checked_trainer(recipe.pretrain, table="pretrain")
    if checked_processes(processes) > 1 and not (context.out / RUN_FILE).is_file():
        require_shares(recipe.pretrain, processes)
        launch(
            pretrain,
            texts,
            out=out,
            recipe=recipe,
            processes=processes,
            threads=recipe.pretrain.threads,
            progress=context.progress,
            callbacks=context.callbacks,
        )
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

    Strings in a list are paths if there is a file or folder of each name, or if it ends like that of a data file: a
    misspelt name must not become a text.
    """
    if isinstance(texts, str | os.PathLike):
        return [os.fspath(texts)]
    if not isinstance(texts, list | tuple) or not texts:
        return None
    paths = all(isinstance(each, os.PathLike) or (isinstance(each, str) and _is_name(each)) for each in texts)
    return [os.fspath(each) for each in texts] if paths else None


def _is_name(text: str) -> bool:
    return exists(Path(text)) or known_suffix(Path(text)) is not None


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
            training_threads(self.recipe.threads),
        ):
            if state.is_main_process:
                self.stream.remember(_record(self.context))
            model = self._start(spare)
            corpus = tokenized(
                self.stream,
                self.fingerprint,
                model.tokenizer,
                self.recipe,
                self.context,
                unknown=model.special_id("unk"),
            )
            require_embeddings(corpus, model.model, model.tokenizer)
            masking = model.masking(self.recipe)
            prefix, suffix = tokens_around(model.tokenizer)
            batches = MaskedBatches(
                sequences=corpus.sequences,
                prefix=prefix,
                suffix=suffix,
                pad_id=model.tokenizer.pad_id,
                types=uses_type_ids(model.config),
                masking=masking,
            )
            training = CorpusTraining(self.context, self.recipe, model.model, model.tokenizer, corpus, batches)
            head = SparseHead(model.model, _probe(model, masking))
            chance = float(np.log(model.config.vocab_size))
            info = training.train(MaskedTrainer, metric=METRIC, name="base", chance=chance, head=head)
            head.remove()
            if state.is_main_process:
                self._finish(training, model, masking, info, started)
        state.wait_for_everyone()

    def _start(self, spare: Path) -> LanguageModel:
        recipe = self.recipe
        if self.base is not None:
            model = from_base(self.base, max_tokens=recipe.max_tokens, seed=recipe.seed)
            if model.head:
                told_once(
                    self.context, f"{recipe.base} has no layers over the vocabulary for masked words: they start new"
                )
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
            sample = sample_of(self.stream.texts())
            require_text(any(text.strip() for text in sample))
            told_once(self.context, f"vocabulary: {size:,} tokens, {kind}, trained on the texts, once")
            tokenizer = train_vocabulary(sample, kind=kind, size=size, lowercase=recipe.lowercase is not False)
            with files.writing_folder(folder) as new:
                write_trained(tokenizer, kind, new)
        self.context.state.wait_for_everyone()
        return folder

    def _finish(
        self, training: CorpusTraining, model: LanguageModel, masking: Masking, info: dict[str, Any], started: float
    ) -> None:
        """Score the kept weights in float32, and write the finished run."""
        recipe = self.recipe
        head = SparseHead(model.model.cpu() if not torch.cuda.is_available() else model.model, _probe(model, masking))
        batches = training.batches.evaluated(training.corpus.by_length, recipe.batch_size)
        metrics = score_masked(model.model, head, batches)
        head.remove()
        if not np.isfinite(metrics[METRIC]):
            raise ModelError("the validation loss is not finite.", fix=option("training_precision", "fp32"))
        info = {"base": base_name(recipe.base) if recipe.base else f"from scratch, {recipe.size}", **info}
        training.finish(model.save, {"validation": metrics}, info, started=started)


def _probe(model: LanguageModel, masking: Masking) -> Tensor:
    """Return ids to try a head with: int64 (1, 16)."""
    return torch.from_numpy(masking.others[:16].reshape(1, -1)).to(next(model.model.parameters()).device)
