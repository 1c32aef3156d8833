"""Classifiers of bench/cuda_engines.py: random weights, as torch's, as LiteFT's files and as ONNX Runtime likes them.

Speed does not depend on what weights say. They are drawn widely enough that softmax has favourites, and the classifier
is scaled so that logits have a mean of 0 and a spread of 1 over random texts: a difference can then be judged.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from cuda_plan import MODELS, VOCABULARY, ids_of

LABELS = 2
POSITIONS = 512
CHECKED_LENGTHS = (1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 33, 48, 64, 65, 100, 127, 128, 129, 200, 255, 256, 300, 511, 512)


def checked_ids() -> list[list[int]]:
    """Return the texts on which contestants are compared with torch in float32."""
    return ids_of(CHECKED_LENGTHS, seed=1)


def make_model(name: str, device: str) -> Any:
    """Return a BertForSequenceClassification in float32 on a device, the same each time."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    sizes = MODELS[name]
    torch.manual_seed(0)
    spread = sizes["width"] ** -0.5  # of weights: products keep the size of what goes in
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["inner"],
        max_position_embeddings=POSITIONS,
        initializer_range=spread,
        num_labels=LABELS,
    )
    model = BertForSequenceClassification(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for own, parameter in model.named_parameters():
            if own.endswith("bias"):
                parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
        model.classifier.weight.copy_(torch.randn(model.classifier.weight.shape, generator=generator))
        model.classifier.bias.zero_()
    model = model.to(device)
    logits = torch.from_numpy(reference(model, checked_ids())).to(device)
    with torch.no_grad():
        model.classifier.weight /= logits.std(0)[:, None]
        model.classifier.bias -= logits.mean(0) / logits.std(0)
    return model


def reference(model: Any, ids: list[list[int]]) -> np.ndarray:
    """Return logits in float32, one text at a time: nothing is padded, so nothing about padding can be wrong."""
    import torch

    device = next(model.parameters()).device
    with torch.no_grad():
        rows = [model(input_ids=torch.tensor([row], device=device)).logits.float().cpu().numpy() for row in ids]
    return np.concatenate(rows)


def write_liteft(model: Any, path: Path) -> None:
    """Write a model as LiteFT exports it, in float32."""
    from liteft.exporting.graph import build_model
    from liteft.exporting.weights import read_weights
    from liteft.exporting.wrapping import wrap_model

    settings = SimpleNamespace(pooling="cls", paired=False, task="single", labels=("a", "b"), max_tokens=POSITIONS)
    weights = read_weights(SimpleNamespace(model=model, config=model.config, settings=settings))  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_bytes(wrap_model(build_model(weights, "fp32"), weights.spec, "fp32").SerializeToString())
    draft.rename(path)


def write_onnxruntime(model: Any, name: str, folder: Path) -> dict[str, int]:
    """Write torch's ONNX graph, fused by ONNX Runtime's transformer optimizer and converted to float16.

    Returns:
        How often each kind of fusion happened.
    """
    import torch
    from onnxruntime.transformers import optimizer

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.cpu().float()

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.config._attn_implementation = "eager"  # the optimizer knows its pattern
    ids = torch.randint(1000, 2000, (2, 9))
    inputs = ["input_ids", "attention_mask"]
    torch.onnx.export(
        Logits(), (ids, torch.ones_like(ids)), str(folder / "plain.onnx"), dynamo=False, input_names=inputs,
        output_names=["logits"], dynamic_axes={each: {0: "texts", 1: "tokens"} for each in inputs}, opset_version=17,
    )  # fmt: skip
    heads, width = MODELS[name]["heads"], MODELS[name]["width"]
    optimized = optimizer.optimize_model(
        str(folder / "plain.onnx"), model_type="bert", num_heads=heads, hidden_size=width, use_gpu=True
    )
    optimized.convert_float_to_float16(keep_io_types=True)
    optimized.save_model_to_file(str(folder / "model.onnx"))
    return {each: count for each, count in optimized.get_fused_operator_statistics().items() if count}
