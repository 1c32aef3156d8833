"""Artifacts as models of optimum, for the pipelines of transformers at the speed of LiteFT's engine.

    from transformers import pipeline
    from liteft.integrations.optimum import LiteftModelForSequenceClassification

    model = LiteftModelForSequenceClassification.from_pretrained("runs/reviews/artifact")
    classify = pipeline("text-classification", model=model, tokenizer="runs/reviews/artifact", truncation=True)

A class for each of optimum's tasks takes the padded tensors that a pipeline makes, removes the padding, runs what is
left in the engine, and returns the output class of transformers. So a text's logits are those of ``liteft.load``, bit
for bit on the native engine, whatever batch it is in. A pipeline cuts a long text only if it is told to
(``truncation=True``); one that was not cut is refused rather than cut by another rule.

``model.model`` is what ``liteft.load`` returns, with its counters and settings.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from liteft.artifact import artifact_folder
from liteft.artifact.manifest import MANIFEST
from liteft.encoded import Encoded
from liteft.errors import ConfigError, InputError, MissingExtraError, ModelError, leave_out
from liteft.installation import install_hint
from liteft.publishing import push_to_hub
from liteft.runtime.classifier import load
from liteft.runtime.opened import OpenArtifact
from liteft.tasks import Task

try:
    import torch
    from optimum.modeling_base import OptimizedModel
    from torch import Tensor
    from transformers import (
        AutoConfig,
        AutoModelForQuestionAnswering,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        PretrainedConfig,
    )
    from transformers.modeling_outputs import (
        QuestionAnsweringModelOutput,
        SequenceClassifierOutput,
        TokenClassifierOutput,
    )
except ModuleNotFoundError as missing:
    raise MissingExtraError(
        f"liteft.integrations.optimum needs {missing.name}, which is not installed.", fix=install_hint("optimum")
    ) from None

__all__ = [
    "LiteftModelForQuestionAnswering",
    "LiteftModelForSequenceClassification",
    "LiteftModelForTokenClassification",
]


_OF_THE_HUB = ("cache_dir", "token", "use_auth_token", "force_download", "local_files_only")


class _EngineConfig(PretrainedConfig):
    """Under this class transformers' pipelines find the classes below; a model's own configuration is its family's."""

    model_type = "liteft-engine"


class LiteftModel(OptimizedModel):
    """An artifact in LiteFT's engine, for inference: what the classes of the tasks share.

    Attributes:
        model: what ``liteft.load`` returns.
        config: the artifact's config.json.
        device: where outputs go if no tensor says so: the CPU. The engine computes where ``liteft.load`` put it.
    """

    config_class = _EngineConfig
    auto_model_class: ClassVar[Any]
    input_modalities: ClassVar = ("text",)
    main_input_name: ClassVar = "input_ids"

    def __init__(self, model: OpenArtifact, config: PretrainedConfig, preprocessors: list[Any] | None = None) -> None:
        super().__init__(model, config, preprocessors)
        self.device = torch.device("cpu")
        self.dtype = torch.float32

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | os.PathLike[str],
        config: PretrainedConfig | None = None,
        export: bool = False,
        **settings: Any,
    ) -> Self:
        """Return the model of an artifact.

        Args:
            model_id: the artifact's folder, that of a pipeline which contains it, or its name on the hub, as
                ``liteft.load`` takes them.
            config: instead of the artifact's config.json.
            export: refused.
            settings: ``revision`` and ``subfolder``; and ``threads``, ``device``, ``backend``, ``engine_precision`` and
                ``trust`` as of ``liteft.load``.

        Raises:
            ArtifactError, ConfigError, DeviceError, HubError, MissingExtraError: as for ``liteft.load``.
            ModelError: the artifact is for the task of another class.
        """
        if export:
            raise ConfigError(
                f"{model_id} would be exported without texts to verify on.",
                accepted={"export": "False, for an artifact"},
                fix=f"liteft.export({str(model_id)!r}, OUT, verify=SPLIT), and from_pretrained(OUT)",
            )
        given = [name for name in _OF_THE_HUB if settings.pop(name, None)]
        if given:
            raise ConfigError(
                f"{', '.join(given)} cannot be given here.",
                accepted={"of the hub": "HF_HOME, HF_TOKEN and HF_HUB_OFFLINE in the environment"},
                fix=leave_out(given[0]),
            )
        settings.pop("trust_remote_code", None)  # an artifact has no code
        subfolder = settings.pop("subfolder", "")
        source = Path(model_id) / subfolder if subfolder else model_id
        folder = artifact_folder(source, revision=settings.pop("revision", None))
        return cls._from_pretrained(folder, config, **settings)

    @classmethod
    def _from_pretrained(cls, model_id: str | Path, config: PretrainedConfig | None = None, **settings: Any) -> Self:
        """Load the artifact in a folder, and check every file against its hash."""
        folder = Path(model_id)
        opened: OpenArtifact = load(folder, **settings)
        if config is None:
            config = AutoConfig.from_pretrained(folder)
        manifest = opened.manifest
        if not cls._judges(manifest.task):
            right = next(each for each in _CLASSES if each._judges(manifest.task))
            raise ModelError(
                f"{folder} is for the task {manifest.task}, which {cls.__name__} does not have.",
                accepted={"class": right.__name__},
                fix=f"{right.__name__}.from_pretrained({str(folder)!r})",
            )
        if manifest.task.numeric and manifest.activation == "sigmoid":
            config.problem_type = None  # then the pipeline takes the sigmoid of a single logit
        return cls(opened, config)

    @classmethod
    def _judges(cls, task: Task) -> bool:
        raise NotImplementedError

    def _save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Copy the artifact, every file as its manifest has it; config.json, which optimum has written, included."""
        for name in (*self.model.manifest.files, MANIFEST):
            target = Path(save_directory) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.model.path / name, target)

    def push_to_hub(
        self,
        save_directory: str,
        repository_id: str,
        private: bool | None = None,
        token: bool | str | None = None,
        **options: Any,
    ) -> str:
        """Push a saved artifact as ``liteft.push_to_hub`` does.

        Returns:
            The address of the commit; nothing after a dry run.

        Args:
            save_directory: where `save_pretrained` saved it.
            repository_id: OWNER/NAME.
            private: of a new repository; None for True.
            token: None or True for that of the environment.
            options: ``license``, which is required, and the others of ``liteft.push_to_hub``.

        Raises:
            ArtifactError, ConfigError, HubError, MissingExtraError: as for ``liteft.push_to_hub``.
        """
        options |= {"token": token} if isinstance(token, str) else {}
        return push_to_hub(save_directory, repository_id, private=private is not False, **options).url or ""

    def to(self, device: Any) -> Self:
        """Return the model itself: the engine computes where ``liteft.load`` put it, and outputs go to the inputs."""
        return self

    def eval(self) -> Self:
        """Return the model itself, which only infers."""
        return self

    def can_generate(self) -> bool:
        """Return False; pipelines ask."""
        return False

    def _logits(self, input_ids: Tensor, mask: Tensor | None, types: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits of rows or tokens without padding, and which tokens are real: bool (rows, columns)."""
        ids = _host(input_ids)
        if ids.ndim != 2:
            raise InputError(
                f"input_ids has shape {tuple(input_ids.shape)}.",
                accepted={"shape": "(texts, tokens)"},
                fix="input_ids.unsqueeze(0), for one text",
            )
        real = np.ones(ids.shape, dtype=bool) if mask is None else _host(mask).astype(bool)
        kinds = None if types is None else _host(types)
        if real.shape != ids.shape or (kinds is not None and kinds.shape != ids.shape):
            raise InputError(
                "input_ids, attention_mask and token_type_ids differ in shape.",
                accepted={"shape": "(texts, tokens), of all"},
                fix="tokenizer(texts, padding=True, return_tensors='pt')",
            )
        if mask is not None and not np.isin(_host(mask), (0, 1)).all():
            raise InputError(
                "attention_mask has other values than 0 and 1.",
                accepted={"attention_mask": "1 at tokens, 0 at padding"},
                fix="tokenizer(texts, padding=True, return_tensors='pt')",
            )
        longest, most = int(real.sum(axis=1).max(initial=0)), self.model.manifest.max_tokens
        if longest > most:
            raise InputError(
                f"a text has {longest:,} tokens.",
                accepted={"tokens of a text": f"up to {most:,}"},
                fix="pipeline(..., truncation=True), or tokenizer(texts, truncation=True)",
            )
        return self.model.run_tokens(_packed(ids, real, kinds)), real


class LiteftModelForSequenceClassification(LiteftModel):
    """An artifact that labels texts or pairs of them, or scores them."""

    auto_model_class = AutoModelForSequenceClassification

    @classmethod
    def _judges(cls, task: Task) -> bool:
        return task.of_whole_texts

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Return the logits of texts.

        Args:
            input_ids: integers, shape (texts, tokens).
            attention_mask: same shape, 0 at padding, on whichever side; None without padding.
            token_type_ids: same shape; None if all are 0.

        Returns:
            ``logits``: float32 (texts, labels), on the device of ``input_ids``.

        Raises:
            InputError: shapes differ, or a text has no token, too many, or one that the artifact does not have.
            DeviceError: the engine failed.
        """
        logits, _ = self._logits(input_ids, attention_mask, token_type_ids)
        return SequenceClassifierOutput(logits=torch.from_numpy(logits).to(input_ids.device))


class LiteftModelForTokenClassification(LiteftModel):
    """An artifact that tags words."""

    auto_model_class = AutoModelForTokenClassification

    @classmethod
    def _judges(cls, task: Task) -> bool:
        return task.per_word

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> TokenClassifierOutput:
        """Return the logits of tokens.

        Args, Raises: as of `LiteftModelForSequenceClassification`.

        Returns:
            ``logits``: float32 (texts, tokens, labels), with zeros at padding. A word's tag is that of its first token.
        """
        found, real = self._logits(input_ids, attention_mask, token_type_ids)
        return TokenClassifierOutput(logits=_padded(found, real, 0.0).to(input_ids.device))


class LiteftModelForQuestionAnswering(LiteftModel):
    """An artifact that answers questions."""

    auto_model_class = AutoModelForQuestionAnswering

    @classmethod
    def _judges(cls, task: Task) -> bool:
        return task.extractive

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> QuestionAnsweringModelOutput:
        """Return the logits of starts and ends of answers.

        Args, Raises: as of `LiteftModelForSequenceClassification`.

        Returns:
            ``start_logits`` and ``end_logits``: float32 (texts, tokens), the least float at padding.
        """
        found, real = self._logits(input_ids, attention_mask, token_type_ids)
        ends = _padded(found, real, float(np.finfo(np.float32).min)).to(input_ids.device)
        return QuestionAnsweringModelOutput(start_logits=ends[..., 0], end_logits=ends[..., 1])


_CLASSES: tuple[type[LiteftModel], ...] = (
    LiteftModelForSequenceClassification,
    LiteftModelForTokenClassification,
    LiteftModelForQuestionAnswering,
)
for _class in _CLASSES:  # without this, every pipeline would log that it does not support the class
    _class.auto_model_class.register(_EngineConfig, _class, exist_ok=True)


def _host(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().numpy())


def _packed(ids: np.ndarray, real: np.ndarray, types: np.ndarray | None) -> Encoded:
    """Return the real tokens of padded rows."""
    if real.all():
        return Encoded.of(list(ids), None if types is None else list(types))
    kept = [ids[row][real[row]] for row in range(len(ids))]
    return Encoded.of(kept, None if types is None else [types[row][real[row]] for row in range(len(ids))])


def _padded(found: np.ndarray, real: np.ndarray, filler: float) -> Tensor:
    """Return the logits of tokens as a rectangle: float32 (rows, columns, labels)."""
    whole = np.full((*real.shape, found.shape[1]), filler, dtype=np.float32)
    whole[real] = found
    return torch.from_numpy(whole)
