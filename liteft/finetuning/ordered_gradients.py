"""Mean gradients of three or more processes, whose bits do not depend on how they are laid out in buckets.

DistributedDataParallel lays its buckets out again after the first step, in the order in which gradients come, unless it
looks for unused weights. A ring adds the processes' gradients in an order that depends on the place in the bucket, so a
resumed training, whose first step has the first layout, would round otherwise than an uninterrupted one. Of two
processes either order gives the same sum.
"""

# Without __future__.annotations: DistributedDataParallel reads its hook's annotations, which must not be strings.

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

__all__ = ["OrderedGradients"]


class OrderedGradients(TrainerCallback):  # type: ignore[misc]
    """Has gradients added in the order of the processes, where buckets are laid out again.

    Args:
        trainer: whose model is trained.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Register the sum, before the first step."""
        wrapped = self.trainer.model_wrapped
        parallel = isinstance(wrapped, DistributedDataParallel)
        if parallel and not wrapped.find_unused_parameters and dist.get_world_size() > 2:
            wrapped.register_comm_hook(None, _mean_in_order)


def _mean_in_order(_group: None, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """Return the mean of a bucket's gradients over all processes, added in their order, shape as the bucket's."""
    own = bucket.buffer()
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    gathered = dist.all_gather(parts, own, async_op=True).get_future()

    def mean(_done: Any) -> Tensor:
        total = parts[0]
        for part in parts[1:]:
            total.add_(part)
        return own.copy_(total.div_(len(parts)))

    found: torch.futures.Future[Tensor] = gathered.then(mean)
    return found
