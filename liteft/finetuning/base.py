"""Make a trainable classifier from a pretrained base.

The weights of a base must be safetensors and must fill the whole encoder; only the head may be new. Either all weights
are trained, or the base is frozen and gets an adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transformers import PretrainedConfig, set_seed

from liteft.answer_spans import AnswerForm
from liteft.encoder.families import family_of
from liteft.encoder.modules import in_head
from liteft.errors import ModelError, option
from liteft.finetuning.adapters import Adapter, attach_adapter
from liteft.finetuning.calibration import without_threshold
from liteft.finetuning.model import TorchClassifier, read_config
from liteft.finetuning.pretrained import load_pretrained
from liteft.finetuning.settings import ModelSettings, Pooling, apply_settings, position_limit
from liteft.finetuning.tokenizer_files import Side, read_tokenizer
from liteft.finetuning.units import start_in_units
from liteft.foreign import lowers_case, read_config_json
from liteft.tasks import Task, task_named
from liteft.tokenization import TextTokenizer

__all__ = ["create_classifier", "set_dropout"]

_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "summary_last_dropout"),
    *("dropout", "attention_dropout", "seq_classif_dropout"),
    *("embd_pdrop", "attn_pdrop", "resid_pdrop"),
)


def create_classifier(
    base: Path,
    *,
    labels: Sequence[str],
    task: Task,
    pooling: Pooling,
    max_tokens: int,
    paired: bool,
    marked: bool = False,
    answers: AnswerForm | None = None,
    truncation_side: Side | None = None,
    dropout: float | None = None,
    seed: int = 0,
    adapter: Adapter | None = None,
) -> TorchClassifier:
    """Return an untrained classifier on a pretrained base; only its head and its adapter, if any, are new.

    Args:
        base: folder of the base.
        labels: label names, at least two (one is enough for a multi-label task).
        task: what the labels mean.
        pooling: "cls" or "mean", or "none" where words are judged; decoders always pool their last token.
        max_tokens: texts are cut to this length; more than the base has positions for is an error.
        paired: the task classifies pairs of texts.
        marked: labels are about one word of each text, which the type ids mark.
        answers: how questions are read and answered.
        truncation_side: "right" or "left"; None for the side of the base's tokenizer.
        dropout: replaces the base's own dropout when given.
        seed: of the head's random weights, and the adapter's.
        adapter: train only this and the head, on the base stored as its ``quantization`` says.

    Raises:
        ModelError: the base cannot be loaded completely, or has fewer positions than max_tokens.
        ConfigError: the adapter does not fit the base's family.
        MissingExtraError: what the adapter needs is not installed.
        RunError: the base is a run's model, and its weights are not the ones that run.json names.
    """
    config = read_config(base)
    if family_of(config.model_type).decoder:
        if not task_named(task).of_whole_texts:
            raise ModelError(
                f"{base} is a decoder, which judges a word before it has read the words after it.",
                accepted={"a base for words and answers": "an encoder"},
                fix="an encoder as the base",
            )
        pooling = "last"
    if max_tokens > position_limit(config):
        raise ModelError(
            f"max_tokens={max_tokens} is more than {base} has positions for.",
            accepted={"max_tokens": f"up to {position_limit(config)}"},
            fix=option("max_tokens", position_limit(config)),
        )
    found = read_tokenizer(base)
    side = truncation_side or found.truncation_side
    settings = ModelSettings(tuple(labels), task, pooling, max_tokens, paired, side, marked=marked, answers=answers)
    apply_settings(config, settings)
    if dropout is not None:
        set_dropout(config, dropout)
    tokenizer = found.cutting(max_tokens, truncation_side=side, pad_id=config.pad_token_id)
    config.pad_token_id = tokenizer.pad_id
    _check_case(base, tokenizer)
    set_seed(seed)
    quantization = None if adapter is None else adapter.quantization
    model, new = load_pretrained(
        base,
        config,
        labels=len(labels),
        pooling=settings.pooling,
        extractive=settings.task.extractive,
        quantization=quantization,
    )
    own_shift = (read_config_json(base).get("liteft") or {}).get("threshold_shift", 0.0)
    if own_shift and not new:  # the head is that of a base whose threshold was tuned
        without_threshold(TorchClassifier(model, tokenizer, replace(settings, threshold_shift=own_shift), base))
    if any(map(in_head, new)):
        start_in_units(TorchClassifier(model, tokenizer, settings, base))
    if adapter is not None:
        attach_adapter(model, adapter)
    return TorchClassifier(model, tokenizer, settings, base)


def _check_case(base: Path, tokenizer: TextTokenizer) -> None:
    """Refuse a base whose texts sentence-transformers lowercases itself while its tokenizer does not."""
    if lowers_case(base) and len({text.ids.tobytes() for text in tokenizer.encode(["Ab CD", "ab cd"])}) > 1:
        raise ModelError(
            f"sentence-transformers lowers the case of texts before {base} reads them, and its tokenizer keeps it.",
            accepted={"a base": "one whose tokenizer lowers the case itself, where that is wanted"},
            fix=[
                f'"do_lower_case": true in {base / "tokenizer_config.json"}, where its tokenizer is of BERT\'s kind',
                f'"do_lower_case": false in {base / "sentence_bert_config.json"}, to keep the case',
            ],
        )


def set_dropout(config: PretrainedConfig, dropout: float) -> None:
    """Set every dropout probability that a configuration has."""
    for name in _DROPOUTS:
        if getattr(config, name, None) is not None:
            setattr(config, name, dropout)
