"""Tiny artifacts for the runtime's tests: real files of every kind, a graph of five nodes.

The graph is the mean of the embeddings of a text's tokens, times a matrix: enough to give every text logits
of its own and to notice padding, order and truncation. Its tokenizer is a WordPiece with BERT's normalizer.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from liteft.artifact import Artifact, read_artifact, writing_artifact
from liteft.form import ExportForm

SENTENCES = [
    "the parcel arrived two days late and the box was open",
    "please refund the second payment, it was taken twice!",
    "how do I change the address of my order?",
    "the app closes whenever I open the invoice (version 4.2)",
    "great service, thank you very much",
    "der Rechnungsbetrag stimmt nicht; naïve café",
    "我 的 包 裹 还 没 有 到",
]


def vocabulary() -> dict[str, int]:
    """Return the pieces: special tokens, every character alone and continuing, and the words of SENTENCES.

    Written down and not trained, because a trainer breaks ties differently in every process.
    """
    text = " ".join(SENTENCES).lower().replace("ï", "i").replace("é", "e")
    words = sorted(set(re.findall(r"[a-z]+", text)))
    characters = sorted(set(string.ascii_lowercase + string.digits + "!?.,;()'\"-/") | set(text) - {" "})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [*characters, *(f"##{c}" for c in characters if c.isalnum()), *(w for w in words if len(w) > 1)]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def tokenizer_json() -> str:
    """Return a lower-casing WordPiece tokenizer.json with [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.WordPiece(vocabulary(), unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return str(tokenizer.to_str())


def graph(labels: int, *, typed: bool = False, seed: int = 0, scale: float = 3.0) -> bytes:
    """Return an ONNX model: the masked mean of embeddings (of ids plus 3 x type ids) times a matrix."""
    rng = np.random.default_rng(seed)
    width = 16
    constants = {
        "table": rng.normal(size=(len(vocabulary()) + 3, width)).astype(np.float32),
        "matrix": (scale * rng.normal(size=(width, labels))).astype(np.float32),
        "last": np.array([-1], dtype=np.int64),
        "tokens": np.array([1], dtype=np.int64),
        "three": np.array(3, dtype=np.int64),
    }
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if typed else [])]
    nodes = [helper.make_node("Identity", ["input_ids"], ["shifted"])]
    if typed:
        nodes = [
            helper.make_node("Mul", ["token_type_ids", "three"], ["segment"]),
            helper.make_node("Add", ["input_ids", "segment"], ["shifted"]),
        ]
    nodes += [
        helper.make_node("Gather", ["table", "shifted"], ["embedded"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        helper.make_node("Mul", ["embedded", "weights"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weights", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "matrix"], ["logits"]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"]) for name in names],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", labels])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_artifact(
    path: Path,
    *,
    labels: Sequence[str] = ("order", "payment", "app", "praise"),
    multi: bool = False,
    paired: bool = False,
    max_tokens: int = 32,
    truncation_side: str = "right",
    model: bytes | None = None,
    **manifest: Any,
) -> Artifact:
    """Write and read back an artifact around ``graph``; ``manifest`` overrides fields of its manifest."""
    typed = paired
    with writing_artifact(path) as writer:
        content = tokenizer_json()
        (writer.folder / "tokenizer.json").write_text(content, encoding="utf-8")
        (writer.folder / "model.onnx").write_bytes(model or graph(len(labels), typed=typed))
        for name in ("config.json", "tokenizer_config.json"):
            (writer.folder / name).write_text(json.dumps({}), encoding="utf-8")
        (writer.folder / "card.md").write_text("# tiny\n", encoding="utf-8")
        fields: dict[str, Any] = {
            "task": "multi_label" if multi else "single_label",
            "labels": tuple(labels),
            "activation": "sigmoid" if multi else "softmax",
            "pooling": "mean",
            "paired": paired,
            "max_tokens": max_tokens,
            "truncation_side": truncation_side,
            "pad_id": 0,
            "inputs": ("input_ids", "attention_mask", *(("token_type_ids",) if typed else ())),
            "family": "tiny",
            "form": ExportForm("fp32"),
            "graph": "built",
        }
        fields |= manifest
        writer.seal(**({"token_types": 2 * ("token_type_ids" in fields["inputs"])} | fields))
    return read_artifact(path)
