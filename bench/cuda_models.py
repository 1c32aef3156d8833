"""Makes the classifiers of bench/cuda_engines.py: random weights, in the form that each contestant reads.

Speed does not depend on the values of the weights. They are large enough that attention is not uniform, and the
classifier is scaled so that logits over random texts have mean 0 and standard deviation 1, which gives logit
differences a scale.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cuda_contestants import Ids, rectangle
from cuda_plan import MODELS, MOST_TOKENS, VOCABULARY, ids_of

LABELS = 2
POSITIONS = 512
CHECKED_LENGTHS = (1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 33, 48, 64, 65, 100, 127, 128, 129, 200, 255, 256, 300, 511, 512)


def checked_ids() -> list[list[int]]:
    """Return the texts on which contestants are compared with torch in float32."""
    return ids_of([length for length in CHECKED_LENGTHS if length <= 2 * MOST_TOKENS], seed=1)


def make_model(name: str, device: str) -> Any:
    """Return a BertForSequenceClassification in float32 on a device, with the same weights each time."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    sizes = MODELS[name]
    torch.manual_seed(0)
    spread = sizes["width"] ** -0.5  # of weights, so that a matmul's outputs are about as large as its inputs
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
    """Return logits in float32, shape (texts, labels), each text run alone so that there is no padding to get wrong."""
    import torch

    device = next(model.parameters()).device
    with torch.no_grad():
        rows = [model(input_ids=torch.tensor([row], device=device)).logits.float().cpu().numpy() for row in ids]
    return np.concatenate(rows)


def write_liteft(model: Any, folder: Path) -> None:
    """Write weights.npz and shape.json, which have what the C API takes (cpp_ext/include/liteft/liteft.h)."""
    state = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    config = model.config
    weights = liteft_weights(state, config.num_hidden_layers)
    sizes = {
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "width": config.hidden_size,
        "inner": config.intermediate_size,
        "embedding": config.hidden_size,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
        "types": config.type_vocab_size,
        "labels": config.num_labels,
    }
    # In order: [CLS] pooling, a tanh head, GELU, positions as given in the batch.
    rest = {"pooling": 0, "head": 1, "activation": 0, "position_padding_id": -1, "epsilon": config.layer_norm_eps}
    np.savez(folder / "weights.npz", **weights)  # type: ignore[arg-type]
    (folder / "shape.json").write_text(json.dumps(sizes | rest), encoding="utf-8")


def liteft_weights(state: Mapping[str, np.ndarray], layers: int) -> dict[str, np.ndarray]:
    """Return the arrays of torch's BERT by LiteFT's names: matrices (inputs, outputs), vectors as one row.

    In the last layer the query is separate from key and value, since it is computed for the first token of a text only.
    """
    found: dict[str, np.ndarray] = {}

    def linear(name: str, *parts: str) -> None:
        found[f"{name}.weight"] = np.concatenate([state[f"{part}.weight"] for part in parts]).T
        found[f"{name}.bias"] = np.concatenate([state[f"{part}.bias"] for part in parts])[None]

    def norm(name: str, part: str) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = state[f"{part}.weight"][None], state[f"{part}.bias"][None]

    own = "bert.embeddings."
    for name, part in (("word", "word"), ("position", "position"), ("type", "token_type")):
        found[f"embeddings.{name}.weight"] = state[f"{own}{part}_embeddings.weight"]
    norm("embeddings.norm", f"{own}LayerNorm")
    for number in range(layers):
        layer, own = f"layers.{number}.", f"bert.encoder.layer.{number}."
        query, key, value = (f"{own}attention.self.{part}" for part in ("query", "key", "value"))
        if number + 1 < layers:
            linear(f"{layer}attention.query_key_value", query, key, value)
        else:
            linear(f"{layer}attention.query", query)
            linear(f"{layer}attention.key_value", key, value)
        linear(f"{layer}attention.output", f"{own}attention.output.dense")
        norm(f"{layer}attention.norm", f"{own}attention.output.LayerNorm")
        linear(f"{layer}feed_forward.inner", f"{own}intermediate.dense")
        linear(f"{layer}feed_forward.outer", f"{own}output.dense")
        norm(f"{layer}feed_forward.norm", f"{own}output.LayerNorm")
    linear("head.dense", "bert.pooler.dense")
    linear("classifier", "classifier")
    return found


def batched_reference(model: Any, batches: Sequence[Ids]) -> np.ndarray:
    """Return the logits of transformers' own module, run on padded batches: float32, shape (texts, labels)."""
    import torch

    device = next(model.parameters()).device
    found = []
    with torch.no_grad():
        for ids in batches:
            padded, mask = (torch.from_numpy(array).to(device) for array in rectangle(ids))
            found.append(model(input_ids=padded, attention_mask=mask.long()).logits.float().cpu().numpy())
    return np.concatenate(found)


def own_error(model: Any, precision: str, expected: np.ndarray) -> float:
    """Return the root mean square error of transformers' own module in a precision: the yardstick for contestants."""
    import copy

    import torch

    rounded = copy.deepcopy(model).to({"fp16": torch.float16, "bf16": torch.bfloat16}[precision])
    ids = checked_ids()
    order = np.concatenate([np.arange(len(ids))[place::3] for place in range(3)])
    found = batched_reference(rounded, [ids[place::3] for place in range(3)])  # short and long texts in each batch
    return float(np.sqrt(np.mean((found - expected[order]) ** 2)))


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
    model.config._attn_implementation = "eager"  # the optimizer recognises this pattern
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
