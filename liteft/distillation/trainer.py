"""The trainer of a student: ClassifierTrainer with a loss against the teacher.

For unchanged texts, the teacher's logits are in the batch, from the cache. The teacher itself runs on batches with
augmented texts, and where hidden states or relations are matched. A teacher with another tokenizer reads the same texts
in its own ids, which are in the batch (text_augmentation.py) or, where states are matched, looked up for each of the
student's tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from liteft.distillation.layers import matched_layers
from liteft.distillation.losses import hidden_state_loss, kl_loss, mse_loss
from liteft.distillation.relations import LastProjections, relations_loss
from liteft.distillation.text_augmentation import TEACHER_PREFIX
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.pretrained import output_logits
from liteft.finetuning.task_training import training_of
from liteft.finetuning.trainer import ClassifierTrainer, gold_of
from liteft.recipes import StudentRecipe

__all__ = ["DistillingTrainer", "Matching"]


class Matching(nn.Module):
    """The loss of matched hidden states, with learned projections from the student's width to the teacher's.

    It is a submodule of the student during training, so that optimizer and checkpoints include it.

    Args:
        teacher: configuration of the model whose states are matched.
        student: configuration of the model that is trained.
    """

    def __init__(self, teacher: PretrainedConfig, student: PretrainedConfig) -> None:
        super().__init__()
        wide, narrow = int(teacher.hidden_size), int(student.hidden_size)
        self.layers = matched_layers(teacher=int(teacher.num_hidden_layers), student=int(student.num_hidden_layers))
        states = len(self.layers) + 1 if wide != narrow else 0
        self.projections = nn.ModuleList(nn.Linear(narrow, wide, bias=False) for _ in range(states))

    def forward(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], mask: Tensor) -> Tensor:
        """Return the mean loss over the embeddings' and every layer's output, shape ()."""
        chosen = [teacher[0], *(teacher[layer + 1] for layer in self.layers)]
        total = torch.zeros((), device=mask.device)
        for index, (ours, theirs) in enumerate(zip(student, chosen, strict=True)):
            projected = self.projections[index](ours.float()) if len(self.projections) else ours
            total = total + hidden_state_loss(projected, theirs, mask)
        return total / len(chosen)


class DistillingTrainer(ClassifierTrainer):
    """Trainer for a student.

    Args:
        teacher: the classifier that is imitated; None if its logits are in every batch.
        matching: the loss of hidden states; None if they are not matched.
        relations: last projections of student and teacher; None if attention relations are not matched. The caller
            closes them.
        logits: compare logits; False in a first stage that matches states only.
        teacher_ids: the teacher's id of each of the student's tokens, int64 (student's vocabulary,); None if the
            ids are equal, or if those of the teacher are in each batch.
        arguments: as for ClassifierTrainer, whose recipe must be a StudentRecipe.
    """

    recipe: StudentRecipe

    def __init__(
        self,
        *,
        teacher: TorchClassifier | None,
        matching: Matching | None,
        logits: bool,
        relations: tuple[LastProjections, LastProjections] | None = None,
        teacher_ids: np.ndarray | None = None,
        **arguments: Any,
    ) -> None:
        if matching is not None:
            # The projections are used outside the student's forward, where a search for unused weights misses them.
            arguments["args"].ddp_find_unused_parameters = False
        super().__init__(**arguments)
        self.teacher = teacher
        self.matching = matching
        self.logits = logits
        self.teacher_ids = None if teacher_ids is None else torch.from_numpy(teacher_ids).to(self.args.device)
        self.relations = relations
        if teacher is not None:
            teacher.model.to(self.args.device).eval()

    def model_inputs(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """Return the student's inputs, and ask for hidden states where they are matched."""
        asked = {"output_hidden_states": True} if self.matching is not None and self.model.training else {}
        return self._read_by(self.model, batch) | asked

    def text_loss(self, logits: Tensor, batch: dict[str, Tensor], outputs: Any) -> Tensor:
        """Return the weighted sum of the losses that the recipe names, shape ()."""
        recipe = self.recipe
        taught = self._taught(batch)
        total = torch.zeros((), device=logits.device)
        if self.logits:
            soft = 1 - recipe.hard_weight
            if soft:
                target = self._target(batch, taught)
                if self.task.numeric:  # a divergence needs probabilities
                    total = total + soft * training_of(self.task).distance(logits, target)
                elif recipe.logits_loss == "mse":
                    total = total + soft * mse_loss(logits, target)
                else:
                    total = total + soft * kl_loss(logits, target, temperature=recipe.temperature, task=self.task)
            if recipe.hard_weight:
                total = total + recipe.hard_weight * self._labelled_loss(logits, batch)
        else:
            total = logits.sum() * 0.0  # several processes wait for a gradient of every weight, the head's too
        if taught is None:
            return total
        mask = batch["attention_mask"]
        if self.matching is not None:
            total = total + recipe.hidden_weight * self.matching(outputs.hidden_states, taught.hidden_states, mask)
        if self.relations is not None:
            heads = int(self.model.config.num_attention_heads)
            total = total + recipe.relation_weight * relations_loss(*self.relations, mask, heads=heads)
        return total

    def _labelled_loss(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the hard-label loss of the rows that have labels, on the scale of the soft loss; 0 if none has."""
        labels = gold_of(batch)
        if "labelled" in batch:
            real = batch["labelled"] > 0
            if not bool(real.any()):
                return logits.sum() * 0.0
            logits, labels = logits[real], labels[real]
        loss = self.gold_loss(logits, labels)
        if self.own.loss is not None:  # on a scale of its own
            return loss
        return loss * training_of(self.task).distributions(logits) if self.recipe.logits_loss == "kl" else loss

    def _taught(self, batch: dict[str, Tensor]) -> Any:
        """Return the teacher's outputs for a batch, or None if cached logits are enough."""
        states = self.matching is not None
        needed = states or self.relations is not None or "live" not in batch or bool(batch["live"].any())
        if self.teacher is None or not needed:
            return None
        inputs = self._read_by(self.teacher.model, self._teachers_own(batch))
        device = batch["input_ids"].device.type
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=self.args.bf16):
            return self.teacher.model(**inputs, output_hidden_states=states)

    def _teachers_own(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch in the teacher's token ids."""
        if TEACHER_PREFIX + "input_ids" in batch:
            names = (name for name in batch if name.startswith(TEACHER_PREFIX))
            return {name.removeprefix(TEACHER_PREFIX): batch[name] for name in names}
        if self.teacher_ids is not None:
            return batch | {"input_ids": self.teacher_ids[batch["input_ids"]]}
        return batch

    def _read_by(self, model: Any, batch: dict[str, Tensor]) -> dict[str, Any]:
        """Return the part of a batch that a model takes; type ids may be for the other model only."""
        inputs = super().model_inputs(batch)
        if not uses_type_ids(model.config):
            inputs.pop("token_type_ids", None)
        return inputs

    def _target(self, batch: dict[str, Tensor], taught: Any) -> Tensor:
        """Return the logits to learn: the running teacher's where rows are live, cached ones elsewhere."""
        if taught is None:
            return batch["teacher_logits"]
        computed = self.judged(output_logits(taught).float(), batch)
        if "live" not in batch:
            return computed
        live = batch["live"].reshape(-1, *(1 for _ in computed.shape[1:])) > 0
        return torch.where(live, computed, batch["teacher_logits"])
