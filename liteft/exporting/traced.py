"""Traces architectures for which LiteFT cannot build a graph, with torch.onnx.export.

The exporter follows the model's own code, so it handles any architecture but fuses nothing: the graph is correct, and
larger and slower than a built one. What it records about the machine (file paths and source lines in every node) is
removed. The graph is quantized afterwards, in rewriting.py.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn

from liteft.encoder.families import BUILT
from liteft.errors import ModelError, first_line
from liteft.exporting.builder import IR_VERSION, OPSET
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.finetuning.pretrained import output_logits

__all__ = ["trace_model"]

_EXAMPLE_TEXTS, _EXAMPLE_TOKENS = 3, 7


class _LogitsOnly(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Wraps a classifier so that its forward takes positional tensors and returns only the logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return output_logits(self.model(input_ids=input_ids, attention_mask=attention_mask, **types))


def trace_model(loaded: TorchClassifier) -> onnx.ModelProto:
    """Return the ONNX model of any classifier, in float32, with the same inputs and output as a built one.

    Logits of a classifier of tokens are (texts, tokens, labels), as transformers gives them.

    Raises:
        ModelError: torch cannot export the model.
    """
    names = ["input_ids", "attention_mask"]
    if loaded.settings.varied_types and uses_type_ids(loaded.config):
        names.append("token_type_ids")
    vocabulary = int(loaded.config.vocab_size)
    ids = torch.arange(1, 1 + _EXAMPLE_TEXTS * _EXAMPLE_TOKENS).reshape(_EXAMPLE_TEXTS, -1) % vocabulary
    kept = torch.ones_like(ids)
    kept[1, _EXAMPLE_TOKENS - 2 :] = 0
    ids[kept == 0] = loaded.tokenizer.pad_id
    examples = (ids, kept, torch.zeros_like(ids))[: len(names)]
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens", max=loaded.settings.max_tokens)}
    model = _LogitsOnly(loaded.model).eval()
    with _quiet():
        try:
            program = torch.onnx.export(
                model,
                examples,
                dynamo=True,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(names, axes),
                opset_version=OPSET,
                verbose=False,
            )
        except Exception as error:  # the exporter raises its own classes and plain RuntimeError
            raise ModelError(
                f"torch.onnx.export cannot export a {loaded.config.model_type}: {first_line(error)}.",
                accepted={"built from weights, without tracing": ", ".join(BUILT)},
                fix="fine-tune a base of one of these families",
            ) from error
    if program is None:
        raise ModelError(
            f"torch.onnx.export returned nothing for a {loaded.config.model_type}.",
            accepted={"built from weights, without tracing": ", ".join(BUILT)},
            fix="fine-tune a base of one of these families",
        )
    return _portable(program.model_proto)


def _portable(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove what the exporter recorded about this machine, and so the need for a newer version of the format."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    model.doc_string = model.graph.doc_string = ""
    model.producer_name, model.producer_version = "liteft, torch.onnx.export", torch.__version__
    model.ir_version = IR_VERSION
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks about torchvision, pytrees and axis names."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
