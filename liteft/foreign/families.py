"""Model families that no verb accepts, each with its reason, refused before anything is trained or traced.

A family that is not listed here is tried: its graph is traced, and the export's verification decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liteft.errors import ModelError

__all__ = ["REFUSED", "refuse_family"]

_PADDING = "its result for a text depends on padding, whatever the mask says"
_SEQUENCES = "it is an encoder-decoder, whose classifier reads a decoder"

REFUSED: Mapping[str, str] = {
    "fnet": f"{_PADDING}: Fourier transforms mix all positions",
    "convbert": f"{_PADDING}: its convolutions read the padding",
    "mobilebert": f"{_PADDING}: its embeddings read the tokens on both sides",
    "yoso": f"{_PADDING}: transformers weighs padding there instead of masking it",
    "longformer": "its attention pads every text to whole windows, which a graph for any length cannot express",
    "nystromformer": "its attention fails in transformers itself at lengths that its landmarks do not divide",
    "xlnet": "its classifier reads the last position, which is padding: it expects padding on the left",
    "funnel": "it halves the positions by a length that tracing would fix",
    "canine": "it reads characters and has no tokenizer.json, which an artifact needs",
}
"""Model type -> why it is refused."""

_INSTEAD = "a base of another family: BERT, RoBERTa, XLM-RoBERTa, DistilBERT, ELECTRA, MPNet, DeBERTa or ModernBERT"


def refuse_family(folder: Path, config: Mapping[str, Any]) -> None:
    """Refuse a model whose family cannot be exported, whatever its intended use.

    Args:
        folder: for the error message.
        config: the content of its config.json.

    Raises:
        ModelError: the family is not supported; the message says why and what to use instead.
    """
    family = str(config.get("model_type") or "")
    reason, fix = REFUSED.get(family), [_INSTEAD]
    if reason is None and config.get("is_encoder_decoder") and not config.get("is_decoder"):
        reason = _SEQUENCES
    if family == "big_bird" and config.get("attention_type", "block_sparse") == "block_sparse":
        reason = "its sparse attention works in blocks of a fixed size, which a graph for any length cannot express"
        fix.insert(0, f'set "attention_type": "original_full" in {folder / "config.json"}')
    if reason is not None:
        raise ModelError(
            f"{folder} is a {family}, which cannot become an artifact: {reason}.",
            accepted={"families": "encoders whose results do not depend on padding, and decoders such as GPT-2"},
            fix=fix,
        )
