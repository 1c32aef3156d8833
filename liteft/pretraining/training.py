"""Training on a corpus, and the finished run that it becomes: a base in a folder of its own."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from liteft import files
from liteft.finetuning.adapters import parameter_count
from liteft.finetuning.checkpoints import remove_all_checkpoints
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import trained_from
from liteft.finetuning.loggers import logger_callbacks
from liteft.finetuning.resumable import ResumableTrainer
from liteft.finetuning.run_folder import PACKAGES
from liteft.finetuning.trainer import training_arguments
from liteft.machine import package_versions
from liteft.pretraining.batches import CorpusBatches, CorpusRows
from liteft.pretraining.corpus import Corpus
from liteft.pretraining.order import CorpusOrder
from liteft.pretraining.vocabulary import described
from liteft.recipes import PretrainRecipe
from liteft.run import BASE_KIND, MODEL_FOLDER, RUN_FILE, RUN_FORMAT, model_weights, model_weights_sha256
from liteft.tokenization import TextTokenizer

__all__ = ["CorpusTraining"]


@dataclass(frozen=True)
class CorpusTraining:
    """A model that is trained on a corpus, into an open run folder, from every process of the training.

    Attributes:
        context: of the run.
        recipe: steps, optimizer, schedule, precision.
        model: the model that is trained in place.
        tokenizer: of the model.
        corpus: the texts.
        batches: the texts as the model reads them.
    """

    context: RunContext
    recipe: PretrainRecipe
    model: nn.Module
    tokenizer: TextTokenizer
    corpus: Corpus
    batches: CorpusBatches

    def train(
        self, trainer_class: Callable[..., ResumableTrainer], *, metric: str, name: str, chance: float, **arguments: Any
    ) -> dict[str, Any]:
        """Train, resuming if the run was stopped, and return what run.json says of it.

        Args:
            trainer_class: of the trainer.
            metric: of validation, which chooses the weights that are kept; the lowest is the best.
            name: prefix of each line of progress.
            chance: validation loss of a model that knows nothing.
            arguments: further arguments of the trainer.

        Raises:
            ModelError: the loss became NaN or infinite.
        """
        recipe, corpus, checkpoints = self.recipe, self.corpus, self.context.checkpoints
        order = CorpusOrder(
            corpus.sequences,
            corpus.validation,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            group=recipe.group_by_length,
        )
        processes = self.context.state.num_processes
        settings = training_arguments(recipe, folder=checkpoints, texts=len(order), processes=processes)
        settings.metric_for_best_model, settings.greater_is_better = metric, False
        trainer = trainer_class(
            model=self.model,
            args=settings,
            train_dataset=CorpusRows(None, len(order)),
            eval_dataset=CorpusRows(corpus.by_length, len(corpus.by_length)),
            data_collator=self.batches.collate,
            sampler=order,
            recipe=recipe,
            context=self.context,
            name=name,
            chance=chance,
            callbacks=[*self.context.callbacks, *logger_callbacks(recipe, self.context, checkpoints)],
            **arguments,
        )
        started = time.monotonic()
        trained_from(trainer, checkpoints)
        best = trainer.state.best_metric
        return {
            "steps": trainer.state.global_step,
            "training_seconds": round(time.monotonic() - started, 1),
            "best_metric": None if best is None else {metric: float(best)},
            "best_step": trainer.state.best_global_step,
            "precision": "bf16" if settings.bf16 else "fp32",
            "learning_rate": recipe.learning_rate,
            "warnings": trainer.divergence.warnings,
        }

    def finish(
        self, save: Callable[[Path], None], metrics: dict[str, dict[str, Any]], info: dict[str, Any], *, started: float
    ) -> None:
        """Write the model and run.json, and remove the checkpoints.

        Args:
            save: writes the model and its tokenizer into an existing folder.
            metrics: of the weights that are kept, by split.
            info: what else run.json says.
            started: when the run began, by ``time.monotonic``.
        """
        out, config = self.context.out, self.model.config
        with files.writing_folder(out / MODEL_FOLDER) as folder:
            save(folder)
        for line in self.corpus.warnings:
            self.context.tell(f"warning: {line}")
        content = {
            "format": RUN_FORMAT,
            "kind": BASE_KIND,
            "family": config.model_type,  # type: ignore[union-attr]
            "parameters": parameter_count(self.model),
            "size_bytes": model_weights(out / MODEL_FOLDER).stat().st_size,
            "weights_sha256": model_weights_sha256(out / MODEL_FOLDER),
            "max_tokens": self.recipe.max_tokens,
            "vocabulary": described(Tokenizer.from_str(self.tokenizer.json_text)),
            "data": self.corpus.to_dict(),
            "metrics": metrics,
            "versions": {"python": platform.python_version(), **package_versions(PACKAGES)},
            "seed": self.recipe.seed,
            "seconds": round(time.monotonic() - started, 1),
            **info,
            "warnings": [*info["warnings"], *self.corpus.warnings],
        }
        if self.context.state.num_processes > 1:
            content["processes"] = self.context.state.num_processes
        files.write_json(out / RUN_FILE, content)
        remove_all_checkpoints(out)
