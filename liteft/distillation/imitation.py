"""An encoder imitates another one on unlabelled texts: their last attention relations and their hidden states.

Attention relations alone would leave what follows the last layer's attention as it was, so hidden states are matched
too, through learned projections where the widths differ.

Source: relations of queries, keys and values: Wang et al. 2021 (MiniLMv2), section 3, arXiv:2012.15828; hidden states:
Jiao et al. 2020 (TinyBERT), equation 8, arXiv:1909.10351.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from liteft.distillation.relations import LastProjections, relations_loss
from liteft.distillation.trainer import Matching
from liteft.finetuning.batches import model_inputs
from liteft.finetuning.resumable import ResumableTrainer

__all__ = ["METRIC", "Imitation", "ImitationTrainer"]

METRIC = "imitation_loss"
"""The metric that chooses the checkpoint: the sum of both losses, per validation token."""


class Imitation:
    """How far an encoder is from the one that it imitates, on the same tokens.

    Args:
        base: the encoder that is imitated.
        student: the encoder that is trained; it gets a submodule with the projections of its hidden states, and both
            get hooks, until `close`.
    """

    def __init__(self, base: Any, student: Any) -> None:
        self.base, self.student = base.eval(), student
        self.relations = LastProjections(student), LastProjections(base)
        self.matching = Matching(base.config, student.config).to(next(student.parameters()).device)
        student.add_module("matching", self.matching)

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], *, bf16: bool = False) -> Tensor:
        """Return the losses of relations, in nats, and of hidden states: means over real tokens, float32 (2,).

        Args:
            model: the student, or what a trainer wraps around it.
            batch: input_ids and attention_mask, int64 (texts, tokens).
            bf16: run the base in bfloat16.
        """
        inputs, mask = model_inputs(batch), batch["attention_mask"]
        with torch.no_grad(), torch.autocast(mask.device.type, torch.bfloat16, enabled=bf16):
            theirs = self.base(**inputs, output_hidden_states=True).hidden_states
        ours = model(**inputs, output_hidden_states=True).hidden_states
        relations = relations_loss(*self.relations, mask, heads=int(self.student.config.num_attention_heads))
        return torch.stack([relations, self.matching(ours, theirs, mask)])

    def score(self, batches: Iterable[dict[str, Tensor]]) -> dict[str, float]:
        """Return the losses of the student as it is, in float32, by name; see `_metrics`."""
        device = next(self.student.parameters()).device
        self.student.eval()
        found = []
        with torch.inference_mode():
            for batch in batches:
                moved = {name: values.to(device) for name, values in batch.items()}
                found.append(_sums(self(self.student, moved), moved["attention_mask"]).cpu().numpy())
        return _metrics(np.concatenate(found))

    def close(self) -> None:
        """Take hooks and projections off the encoders."""
        for each in self.relations:
            each.close()
        del self.student.matching


class ImitationTrainer(ResumableTrainer):
    """Trainer of an encoder that imitates another one.

    Args:
        imitation: computes the losses.
        arguments: as for ResumableTrainer.
    """

    def __init__(self, *, imitation: Imitation, **arguments: Any) -> None:
        self.imitation = imitation
        # The projections are used outside the model's forward, where a search for unused weights misses them.
        arguments["args"].ddp_find_unused_parameters = False
        super().__init__(metric=METRIC, compute_metrics=lambda found: _metrics(found.predictions), **arguments)
        self.divergence.rate = "student.general_learning_rate"

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Trainer's hook: the sum of both losses; while evaluating, also what adds up to the metrics."""
        losses = self.imitation(model, inputs, bf16=self.args.bf16)
        loss = losses.sum()
        return (loss, {"logits": _sums(losses, inputs["attention_mask"])}) if return_outputs else loss


def _sums(losses: Tensor, mask: Tensor) -> Tensor:
    """Return what adds up to means over tokens: both losses of each text, and its tokens; float32 (texts, 3)."""
    tokens = mask.sum(dim=1, keepdim=True).float()
    return torch.cat([losses.float() * tokens, tokens], dim=1)


def _metrics(sums: Any) -> dict[str, float]:
    """Return imitation_loss, the sum, and its parts: relation_loss in nats, and hidden_loss, a squared difference."""
    relations, hidden, tokens = (float(total) for total in np.asarray(sums, dtype=np.float64).sum(axis=0))
    relations, hidden = relations / max(1.0, tokens), hidden / max(1.0, tokens)
    return {METRIC: relations + hidden, "relation_loss": relations, "hidden_loss": hidden}
