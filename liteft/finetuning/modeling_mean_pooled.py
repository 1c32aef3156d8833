"""The class with which transformers loads a mean-pooled classifier of LiteFT.

LiteFT copies this file beside the weights, so it imports torch and transformers alone:

    AutoModelForSequenceClassification.from_pretrained(FOLDER, trust_remote_code=True)

With LiteFT installed, `liteft.integrations.transformers` has the class, and no code of the folder is run.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

HEAD = "liteft_mean_pooled_classifier"
_ENCODER = "mean_pooled_encoder"
_PLACE = ("revision", "subfolder", "cache_dir", "token", "force_download", "local_files_only")


class MeanPooledForSequenceClassification(PreTrainedModel):
    """An encoder, the mean of its hidden states over real tokens, and one linear layer, for inference.

    Source of the pooling: Reimers and Gurevych 2019, section 3, arXiv:1908.10084.
    """

    config_class = PretrainedConfig  # that of the encoder's family
    base_model_prefix = _ENCODER
    main_input_name = "input_ids"

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config)
        self.mean_pooled_encoder = AutoModel.from_config(config)
        self.liteft_mean_pooled_classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], *arguments: Any, **settings: Any) -> Any:
        """Return the classifier in a folder; arguments as of transformers' own ``from_pretrained``.

        Raises:
            ValueError: weights are missing, so that the folder has another kind of model.
        """
        if settings.get("config") is None:
            place = {name: settings[name] for name in _PLACE if name in settings}
            settings["config"] = AutoConfig.from_pretrained(folder, **place)
        cls._keys_to_ignore_on_load_unexpected = [rf"^(?!{_ENCODER}|{HEAD})"]  # the tensor that refuses other classes
        reported = settings.pop("output_loading_info", False)
        model, report = super().from_pretrained(folder, *arguments, output_loading_info=True, **settings)
        if report["missing_keys"]:  # transformers draws them at random
            raise ValueError(f"{folder} has no mean-pooled classifier of LiteFT: no {min(report['missing_keys'])}")
        return (model, report) if reported else model

    def save_pretrained(self, *arguments: Any, **settings: Any) -> None:
        """Refuse: under this class's names `AutoModel` would not find the encoder.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("copy the folder that this model was loaded from: LiteFT writes it, for all classes")

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **settings: Any,
    ) -> SequenceClassifierOutput:
        """Return logits (texts, labels).

        Args:
            input_ids: int64, shape (texts, tokens).
            attention_mask: int64, same shape, 1 at real tokens; None if all are.
            token_type_ids: int64, same shape, or None.
            settings: further arguments of the encoder, such as ``output_hidden_states``.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if token_type_ids is not None:
            settings["token_type_ids"] = token_type_ids
        output = self.mean_pooled_encoder(input_ids=input_ids, attention_mask=mask, **settings)
        hidden = output.last_hidden_state
        real = mask.unsqueeze(-1).bool()
        total = torch.where(real, hidden, torch.zeros((), dtype=hidden.dtype, device=hidden.device)).sum(dim=1)
        pooled = total / real.sum(dim=1).clamp(min=1)
        return SequenceClassifierOutput(
            logits=self.liteft_mean_pooled_classifier(pooled),
            hidden_states=output.get("hidden_states"),
            attentions=output.get("attentions"),
        )


# Pipelines know classes by name, and no model has this plain configuration, so no folder is loaded by it.
AutoModelForSequenceClassification.register(PretrainedConfig, MeanPooledForSequenceClassification, exist_ok=True)
