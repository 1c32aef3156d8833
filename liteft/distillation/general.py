"""General distillation: before the task, an encoder of the student's shape imitates the base on unlabelled texts.

No labels and no teacher are involved, so the texts may be of any kind and number. The result is a base in a folder of
its own, as pretraining makes it. The student and all of its arms start from it.

Source: Jiao et al. 2020 (TinyBERT), section 3, arXiv:1909.10351; Wang et al. 2020 (MiniLM), arXiv:2002.10957.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PretrainedConfig, set_seed

from liteft.config import read_recipe
from liteft.data.text_streams import TextStream, open_texts
from liteft.defaults import MAX_TOKENS
from liteft.distillation.imitation import METRIC, Imitation, ImitationTrainer
from liteft.distillation.initial import check_own_encoder, check_student, cut_out
from liteft.distillation.raw_start import raw_base
from liteft.distillation.relations import LastProjections
from liteft.distillation.teachers import Base, Teacher
from liteft.distillation.transfer_set import ids_in
from liteft.errors import ConfigError, Hint, ModelError, leave_out, option
from liteft.finetuning.bases import base_name, resolve_base, weights_hash
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import training_threads
from liteft.finetuning.model import is_classifier, pooler_argument, quiet_transformers, read_config, uses_type_ids
from liteft.finetuning.pretrained import load_filled
from liteft.finetuning.run_folder import RECIPE, open_run_in_all, withdrawn_on_error, writing_run
from liteft.finetuning.settings import position_limit
from liteft.finetuning.tokenizer_files import FolderTokenizer, read_tokenizer, write_tokenizer
from liteft.pretraining import Pretrained, read_pretrained
from liteft.pretraining.batches import CorpusBatches
from liteft.pretraining.corpus import require_embeddings, tokenized
from liteft.pretraining.model import special_id, tokens_around
from liteft.pretraining.packing import require_text
from liteft.pretraining.training import CorpusTraining
from liteft.recipes import PretrainRecipe, Recipe, StudentRecipe
from liteft.run import BASE_KIND
from liteft.tokenization import TextTokenizer

__all__ = ["GeneralDistillation", "open_general", "plan_general"]

_WITHOUT = leave_out("general")
_SHARED = (
    *("batch_size", "gradient_accumulation", "optimizer", "schedule", "warmup", "weight_decay", "max_grad_norm"),
    *("training_precision", "gradient_checkpointing", "group_by_length", "threads", "seed"),
    *("report_to", "trainer"),
)  # settings of the student that count before the task too


@dataclass(frozen=True)
class GeneralDistillation:
    """A general distillation whose settings fit together.

    Attributes:
        base: folder of the base that is imitated.
        own: folder of the encoder that starts; None for layers of the base.
        student: the student's settings: the shape that is cut out of the base.
        recipe: the settings of this training; its table ``pretrain`` counts.
        stream: the texts.
    """

    base: Path
    own: Path | None
    student: StudentRecipe
    recipe: Recipe
    stream: TextStream

    def run(self, context: RunContext) -> Pretrained:
        """Train into a run folder, or return the finished run that it holds.

        Raises:
            DataError: texts that cannot be read, or too few.
            ModelError: the loss became NaN or infinite.
            RunError: the folder holds something else, or cannot be written.
        """
        record = context.checkpoints / "sources.json"
        inputs = {
            "kind": BASE_KIND,
            "imitated": weights_hash(self.base),
            "encoder": weights_hash(self.own),
            "layers": str(self.student.layers) if self.own is None else None,
            "texts": self.stream.fingerprint(record),
        }
        with writing_run(context):
            if not open_run_in_all(context, self.recipe, inputs, table="pretrain"):
                with withdrawn_on_error(context), training_threads(self.recipe.pretrain.threads):
                    if context.state.is_main_process:
                        self.stream.remember(record)
                    self._train(context, inputs)
                context.state.wait_for_everyone()
        return read_pretrained(context.out)

    def _train(self, context: RunContext, inputs: dict[str, Any]) -> None:
        started, recipe = time.monotonic(), self.recipe.pretrain
        quiet_transformers()
        student, found, tokenizer = self._start()
        corpus = tokenized(
            self.stream, inputs["texts"], tokenizer, recipe, context, unknown=special_id(found, tokenizer, "unk")
        )
        require_embeddings(corpus, student, tokenizer)
        prefix, suffix = tokens_around(tokenizer)
        batches = CorpusBatches(corpus.sequences, prefix, suffix, tokenizer.pad_id, types=False)  # all 0, if it has any
        set_seed(recipe.seed)  # of the projections
        device = context.state.device
        imitation = Imitation(_encoder(self.base).to(device), student.to(device))
        before = imitation.score(batches.evaluated(corpus.by_length, recipe.batch_size))
        training = CorpusTraining(context, recipe, student, tokenizer, corpus, batches)
        info = training.train(
            ImitationTrainer, metric=METRIC, name="general", chance=before[METRIC], imitation=imitation
        )
        student.to(device)
        after = imitation.score(batches.evaluated(corpus.by_length, recipe.batch_size))
        imitation.close()
        if not all(math.isfinite(value) for value in (before | after).values()):
            raise ModelError(
                f"the loss on the general texts is {after[METRIC]}.",
                accepted={"a loss": "a finite number"},
                fix=[option("training_precision", "fp32"), option("student.general_learning_rate", 1e-4)],
            )
        if context.state.is_main_process:
            made = {"imitated": inputs["imitated"], "encoder": inputs["encoder"], "layers": inputs["layers"]}
            info |= {"base": base_name(str(recipe.base)), "general": made | {"before": before}}

            def save(folder: Path) -> None:
                student.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
                write_tokenizer(found.settings, tokenizer, folder, types=uses_type_ids(student.config))  # type: ignore[arg-type]

            training.finish(save, {"validation": after}, info, started=started)

    def _start(self) -> tuple[nn.Module, FolderTokenizer, TextTokenizer]:
        """Return the encoder before its first step, its tokenizer as its folder states it, and cutting as it can."""
        folder = self.own or self.base
        model, found = _encoder(folder), read_tokenizer(folder)
        if self.own is None:
            config, weights = cut_out(model.config, model.state_dict().items(), self.student)  # type: ignore[arg-type]
            model = AutoModel.from_config(config, **pooler_argument(config)).float()
            model.load_state_dict(weights)
        config: PretrainedConfig = model.config  # type: ignore[assignment,no-redef]
        most = min(position_limit(config), found.model_max_length or position_limit(config))
        return model, found, found.cutting(most, pad_id=config.pad_token_id)


def plan_general(teacher: Base | Teacher, recipe: Recipe) -> GeneralDistillation:
    """Return the general distillation that a recipe asks for, before anything is trained.

    Args:
        teacher: the first teacher, or the base that is to become it.
        recipe: its table ``student`` has ``general``, and ``size`` or ``student``.

    Raises:
        ConfigError: the base of the teacher is not known, settings do not fit it, or an encoder reads other tokens.
        DataError: the texts do not exist, or there are none.
        ModelError: the base is not what it was when the teacher was fine-tuned, or cannot be used.
    """
    student = recipe.student
    name, base = _base_of(teacher)
    own_length = recipe.teacher.max_tokens or MAX_TOKENS
    max_tokens = own_length if isinstance(teacher, Base) else teacher.loaded.settings.max_tokens
    config = read_config(base)
    check_student(student, config)
    check_own_encoder(student, max_tokens=max_tokens)
    _check_relations(config)
    own = None if student.student is None else resolve_base(student.student)
    if own is not None:
        _check_own(own, base)
        _check_relations(read_config(own))
    shared = {key: getattr(student, key) for key in _SHARED}
    pretrain = PretrainRecipe(
        **shared,
        texts=student.general,
        base=name,
        size=student.size,
        max_tokens=max_tokens,
        epochs=student.general_epochs,
        learning_rate=student.general_learning_rate,
        checkpoint_steps=student.checkpoint_steps or PretrainRecipe.model_fields["checkpoint_steps"].default,
    )
    return GeneralDistillation(base, own, student, Recipe(pretrain=pretrain), open_general(recipe))


def open_general(recipe: Recipe) -> TextStream:
    """Open the general texts that a recipe names, which must not be empty.

    Raises:
        DataError: the texts do not exist, or there are none.
    """
    named = recipe.student.general or []
    stream = open_texts([named] if isinstance(named, str) else named, beside=recipe.data)
    require_text(next(stream.texts(), None) is not None)
    return stream


def _base_of(teacher: Base | Teacher) -> tuple[str, Path]:
    """Return the name and the folder of the base that a teacher was or will be fine-tuned from, before any training."""
    if isinstance(teacher, Base):
        return teacher.name, teacher.folder
    finetuned = teacher.run is not None and teacher.run.kind == "teacher"  # a student's recipe says nothing of a base
    made = read_recipe(teacher.run.path / RECIPE).teacher if teacher.run is not None and finetuned else None
    if teacher.run is None or made is None or made.base is None:
        raise ConfigError(
            f"the general texts teach a student to imitate the teacher's base, and {teacher.name} "
            + ("started from scratch." if made is not None else "does not say what that is."),
            accepted={"teacher": "a base, or the run of a base that liteft fine-tuned"},
            fix=[Hint("a base as the teacher", "--teacher minilm"), _WITHOUT],
        )
    return made.base, raw_base(teacher.run, made.base, fix=_WITHOUT)


def _check_own(own: Path, base: Path) -> None:
    """Refuse an encoder that cannot imitate a base token by token."""
    if is_classifier(own):
        raise ConfigError(
            f"{own} is a classifier, and general distillation makes an encoder before the task.",
            accepted={"student": "an encoder without a head for labels"},
            fix=[option("student", "FOLDER", note=" of an encoder"), _WITHOUT],
        )
    ours, theirs = (read_tokenizer(folder).cutting(4) for folder in (own, base))
    if ours.json_text == theirs.json_text:
        return
    ids = ids_in(theirs, ours)
    if (
        ids is None
        or ids.tolist() != list(range(theirs.vocabulary_size))
        or tokens_around(ours) != tokens_around(theirs)
    ):
        raise ConfigError(
            f"{own} reads texts as other tokens than the base {base}, which it is to imitate token by token.",
            accepted={"student": "an encoder with the base's tokenizer, such as one pretrained with vocabulary_file"},
            fix=[option("size", "3", note=", a part of the base"), _WITHOUT],
        )


def _check_relations(config: PretrainedConfig) -> None:
    """Refuse a family whose queries, keys and values cannot be read."""
    with torch.device("meta"):
        LastProjections(AutoModel.from_config(config), fix=_WITHOUT).close()


def _encoder(folder: Path) -> nn.Module:
    """Return the encoder in a folder, without a pooler, in float32."""
    config = read_config(folder)
    without: dict[str, Any] = pooler_argument(config)
    return load_filled(folder, AutoModel, config, **without)[0]
