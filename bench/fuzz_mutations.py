"""Ways to corrupt an artifact's files: JSON and protobuf messages in their structure, graphs in their meaning, and
bytes.

Every function takes a random generator and the content, and returns the corrupted content. A generator in the same
state gives the same result.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import struct
from typing import Any

import onnx
from onnx import TensorProto, helper

__all__ = ["mutate_bytes", "mutate_graph", "mutate_json", "mutate_message", "mutate_weights"]

# fmt: off
_NUMBERS = [
    0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 65535, 65536, 1 << 20, (1 << 22) - 1, 1 << 24, (1 << 31) - 1, 1 << 31,
    (1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 10**30, -(1 << 31),
    -(1 << 63),
]
_TEXTS = [
    "", " ", "a", "\0", "\ud800", "é", "e\u0301", "\u200d", "\ufeff", "ﬁ", "￿", "\U0010ffff", "##", "Ġ", "▁", "[UNK]",
    "[CLS]", "../x", "/etc/passwd", "a" * 300, "a" * 5000, "(a+)+$", "(?<=a)b", "[", "\\", "(" * 500, ".*.*.*x",
    "a{9999}", "A", "B", "$A", "String", "Regex", "type", "Sequence", "BPE", "Unigram", "WordPiece", "Replace",
    "Precompiled", "NaN", "AAAA", "AAEAAA==", "logits", "input_ids", "model.onnx", "fp16", "int8", "static", "last",
    "none", "cls", "tokens", "single_label", "O", "B-a", "I-a",
]
_PARTS = [
    {"type": "Replace", "pattern": {"Regex": "a*"}, "content": "aa"},
    {"type": "Replace", "pattern": {"String": ""}, "content": "x"},
    {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 60},
    {"type": "Precompiled", "precompiled_charsmap": "AAEAAA=="},
    {"type": "Precompiled", "precompiled_charsmap": ""},
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Strip", "content": "a", "start": 1 << 40, "stop": 1},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "FixedLength", "length": 0},
    {"type": "FixedLength", "length": 3},
    {"type": "Split", "pattern": {"Regex": "(.+)+x"}, "behavior": "Isolated", "invert": False},
    {"type": "Split", "pattern": {"String": "e"}, "behavior": "MergedWithNext", "invert": True},
    {"type": "Sequence", "normalizers": []},
    {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "Digits", "individual_digits": True}]},
    {"type": "RobertaProcessing", "sep": ["a", 3], "cls": ["b", (1 << 32) - 1], "trim_offsets": True,
     "add_prefix_space": True},
    {"type": "BertProcessing", "sep": ["a", 3], "cls": ["b", 2]},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False},
    {"type": "UnicodeScripts"}, {"type": "NFKC"}, {"type": "Nmt"}, {"type": "StripAccents"}, {"type": "Lowercase"},
]
# fmt: on


def odd_value(rng: random.Random) -> Any:
    """Return a value that few parsers expect."""
    kind = rng.randrange(9)
    if kind < 3:
        return rng.choice(_NUMBERS)
    if kind < 6:
        return rng.choice(_TEXTS)
    if kind == 6:
        return rng.choice([None, True, False, 0.5, 1e308, -0.0, 1e-320, [], {}, [[]], {"a": {}}])
    if kind == 7:
        return copy.deepcopy(rng.choice(_PARTS))
    deep: Any = []
    for _ in range(rng.choice([5, 30, 200, 900])):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    return deep


def mutate_json(rng: random.Random, text: str) -> bytes:
    """Return JSON with one to three places changed, or with its text corrupted."""
    if rng.random() < 0.05:
        return _spoiled_json(rng, text)
    content = json.loads(text)
    ascii_only = rng.random() < 0.5
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        try:
            content = _changed(rng, content)
            found = json.dumps(content, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        except (RecursionError, ValueError):  # too deep to serialize, or circular
            return b"[" * 5000
    return found


def _spoiled_json(rng: random.Random, text: str) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return b"[" * rng.choice([100, 2000, 100_000, 2_000_000])
    if kind == 1:
        return b'{"a":' * rng.choice([2000, 300_000])
    if kind == 2:
        return text.encode()[: rng.randrange(len(text))]
    if kind == 3:
        return text.replace(":", ": NaN, " + rng.choice(['"x": ', ""]), 1).encode()
    if kind == 4:
        return text.replace("{", '{"type": "BPE", "type": "Unigram", ', 1).encode()
    return mutate_bytes(rng, text.encode())


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of the values in JSON; of long lists only the ends and a few in between."""
    found, rows = [], [content]
    while rows:
        value = rows.pop()
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if len(keys) > 30:
            keys = keys[:6] + keys[len(keys) // 2 : len(keys) // 2 + 3] + keys[-6:]
        for key in keys:
            found.append((value, key))
            if isinstance(value[key], dict | list):
                rows.append(value[key])
    return found


def _changed(rng: random.Random, content: Any) -> Any:
    places = _places(content) if isinstance(content, dict | list) else []
    if not places or rng.random() < 0.01:
        return odd_value(rng)
    holder, key = rng.choice(places)
    kind = rng.randrange(10)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[str(rng.choice(_TEXTS))] = holder[key]
    elif kind == 1:
        holder += [copy.deepcopy(holder[key])] * rng.choice([1, 3, 100])
    elif kind in (2, 3):
        other, its = rng.choice(places)
        holder[key] = copy.deepcopy(other[its])
    elif kind == 4 and isinstance(holder[key], int | float):
        holder[key] = holder[key] + rng.choice([1, -1, 2, 100, 0.5])
    elif kind == 4 and isinstance(holder[key], str) and holder[key]:
        text = holder[key]
        place = rng.randrange(len(text))
        holder[key] = text[:place] + rng.choice(_TEXTS) + text[place + rng.randrange(2) :]
    else:
        holder[key] = odd_value(rng)
    return content


def mutate_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return bytes with bits flipped, or with a part removed, doubled or cut off."""
    found = bytearray(content)
    kind = rng.randrange(5)
    if kind < 3:
        for _ in range(rng.choice([1, 1, 4, 30])):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif kind == 3:
        return bytes(found[: rng.randrange(len(found))])
    else:
        start = rng.randrange(len(found))
        part = found[start : start + rng.choice([1, 8, 100])]
        found[start:start] = part if rng.random() < 0.5 else b""
        del found[start : start + (0 if rng.random() < 0.5 else len(part))]
    return bytes(found)


def mutate_weights(rng: random.Random, content: bytes) -> bytes:
    """Return a graph with some values of one stored tensor changed."""
    model = onnx.ModelProto.FromString(content)
    tensors = [*model.graph.initializer, *(a.t for n in _all_nodes(model) for a in n.attribute if a.HasField("t"))]
    tensor = rng.choice(tensors)
    raw = bytearray(tensor.raw_data)
    if not raw:
        return content
    odd = [struct.pack("<f", each) for each in (float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-45, 0.0)]
    odd += [b"\x00\x7c", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x00" * 8, struct.pack("<q", rng.choice(_NUMBERS[:17]))]
    for _ in range(rng.choice([1, 3, 20])):
        part = rng.choice(odd)
        place = rng.randrange(max(1, len(raw) // 4)) * 4 % len(raw)
        raw[place : place + len(part)] = part[: len(raw) - place]
    tensor.raw_data = bytes(raw[: len(tensor.raw_data)])
    return model.SerializeToString()


# --- protobuf messages ---


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(content) and shift < 70:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("no integer")


def _written(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _parsed(content: bytes, depth: int = 0) -> list[list[Any]]:
    """Return the fields as [number, kind, value]; a value that looks like a message is itself a list of fields."""
    fields, place = [], 0
    while place < len(content):
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if not 0 < number < 64:
            raise ValueError("no field")
        value: Any
        if kind == 0:
            value, place = _varint(content, place)
        elif kind == 2:
            length, place = _varint(content, place)
            value, place = content[place : place + length], place + length
            if place > len(content):
                raise ValueError("cut")
            if depth < 8 and 1 < len(value) < 200_000:
                with contextlib.suppress(ValueError):
                    value = _parsed(value, depth + 1)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, place = content[place : place + size], place + size
            if place > len(content):
                raise ValueError("cut")
        else:
            raise ValueError("no kind")
        fields.append([number, kind, value])
    return fields


def _serialized(fields: list[list[Any]]) -> bytes:
    found = bytearray()
    for number, kind, value in fields:
        found += _written(number << 3 | kind)
        if kind == 0:
            found += _written(value)
        else:
            part = _serialized(value) if isinstance(value, list) else value
            found += (_written(len(part)) if kind == 2 else b"") + part
    return bytes(found)


def mutate_message(rng: random.Random, content: bytes) -> bytes:
    """Return a message with fields dropped, doubled, moved or changed."""
    fields = _parsed(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        holders = [fields]
        for holder in holders:
            parts = [field[2] for field in holder if isinstance(field[2], list)]
            holders += parts if len(parts) < 60 else rng.sample(parts, 60)
        holder = rng.choice([each for each in holders if each] or [fields])
        place = rng.randrange(len(holder)) if holder else 0
        if not holder:
            continue
        field = holder[place]
        kind = rng.randrange(7)
        if kind == 0:
            del holder[place]
        elif kind == 1:
            holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(field))
        elif kind == 2:
            other = rng.choice(rng.choice([each for each in holders if each]))
            holder[place] = copy.deepcopy(other)
        elif kind == 3:
            field[0] = rng.randrange(1, 30)
        elif kind == 4 and isinstance(field[2], list):
            rng.shuffle(field[2])
        elif isinstance(field[2], int):
            field[2] = rng.choice(_NUMBERS) if rng.random() < 0.7 else field[2] + rng.choice([1, -1])
        elif isinstance(field[2], bytes) and field[2]:
            field[2] = mutate_bytes(rng, field[2])
    return _serialized(fields)


# --- graphs in their meaning ---

# fmt: off
_OPERATORS = [
    "Add", "Mul", "Sub", "Div", "MatMul", "Gemm", "Gather", "GatherElements", "GatherND", "Reshape", "Transpose",
    "Expand", "Concat", "Slice", "Split", "Tile", "Range", "Where", "Cast", "Softmax", "LayerNormalization",
    "ReduceSum", "CumSum", "MatMulInteger", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Conv",
    "Pad", "Squeeze", "Unsqueeze", "Shape", "Identity", "ConstantOfShape", "ScatterND", "Einsum", "Erf", "Gelu",
    "Pow", "Sqrt", "Equal", "Mod", "NonZero", "If", "Loop", "Scan", "SequenceAt", "RandomNormal",
    "StringNormalizer", "Attention", "TopK", "Resize", "GRU", "OneHot", "Trilu", "ScatterElements", "ArgMax",
    "Clip", "Max", "Min", "BitShift", "BitwiseAnd", "ReduceMax", "ReduceMean", "Not", "AveragePool", "MaxPool",
    "Size", "Dropout", "Neg", "Abs", "IsNaN", "Round", "Relu", "Elu", "PRelu", "LogSoftmax",
    "EncoderClassifier", "EncoderTokenClassifier",
]
# fmt: on


def _all_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [*model.graph.node, *(node for function in model.functions for node in function.node)]


def mutate_graph(rng: random.Random, content: bytes) -> bytes:
    """Return a graph with one to three changes to its nodes, tensors, attributes, functions or versions."""
    model = onnx.ModelProto.FromString(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        with contextlib.suppress(IndexError, ValueError):  # there is nothing of this kind to change
            rng.choice(_GRAPH_WAYS)(rng, model)
    return model.SerializeToString()


def _change_operator(rng: random.Random, model: onnx.ModelProto) -> None:
    node = rng.choice(_all_nodes(model))
    if rng.random() < 0.9:
        node.op_type = rng.choice(_OPERATORS)
        if rng.random() < 0.3:
            del node.attribute[:]
    else:
        node.domain = rng.choice(["", "com.microsoft", "ai.onnx.ml", "liteft", "own"])


def _change_input(rng: random.Random, model: onnx.ModelProto) -> None:
    nodes = _all_nodes(model)
    node = rng.choice(nodes)
    names = [name for each in nodes for name in (*each.input, *each.output)] + [""]
    if node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)


def _count_inputs(rng: random.Random, model: onnx.ModelProto) -> None:
    node = rng.choice(_all_nodes(model))
    part = node.input if rng.random() < 0.7 else node.output
    if part and rng.random() < 0.5:
        del part[rng.randrange(len(part))]
    else:
        part.append(rng.choice([*part, "", "new"]))


def _constants(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    found = [a.t for node in _all_nodes(model) for a in node.attribute if a.HasField("t")]
    return found + [tensor for tensor in model.graph.initializer if len(tensor.raw_data) <= 64]


def _change_constant(rng: random.Random, model: onnx.ModelProto) -> None:
    tensors = [tensor for tensor in _constants(model) if tensor.raw_data]
    if not tensors:
        return
    tensor = rng.choice(tensors)
    size = {TensorProto.INT64: 8, TensorProto.FLOAT: 4, TensorProto.INT32: 4}.get(tensor.data_type, 1)
    raw = bytearray(tensor.raw_data)
    place = rng.randrange(len(raw) // size) * size
    value = rng.choice(_NUMBERS) & ((1 << 64) - 1)
    if tensor.data_type == TensorProto.FLOAT:
        raw[place : place + 4] = struct.pack("<f", rng.choice([0.0, -1.0, 1e30, 1e-40, float("nan"), float("inf")]))
    else:
        raw[place : place + size] = struct.pack("<Q", value)[:size]
    tensor.raw_data = bytes(raw)


def _change_tensor(rng: random.Random, model: onnx.ModelProto) -> None:
    tensor = rng.choice([*model.graph.initializer, *_constants(model)] or [onnx.TensorProto()])
    kind = rng.randrange(6)
    if kind == 0:
        tensor.data_type = rng.randrange(0, 24)
    elif kind == 1 and tensor.dims:
        place = rng.randrange(len(tensor.dims))
        number = rng.choice(_NUMBERS)
        tensor.dims[place] = number if -(1 << 63) <= number < 1 << 63 else 0
    elif kind == 2 and tensor.dims:
        dims = list(tensor.dims)
        rng.shuffle(dims)
        tensor.dims[:] = dims
    elif kind == 3:
        tensor.dims[:] = rng.choice([[], [0], [1] * 9, [len(tensor.raw_data)], [1 << 32, 1 << 32], [*tensor.dims, 1]])
    elif kind == 4:
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", rng.choice(["/etc/passwd", "../x", "tokenizer.json", "model.onnx"])
        tensor.raw_data = b""
    else:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)] if tensor.raw_data else b"a"


def _change_attribute(rng: random.Random, model: onnx.ModelProto) -> None:
    attributes = [attribute for node in _all_nodes(model) for attribute in node.attribute]
    if not attributes:
        return
    attribute = rng.choice(attributes)
    number = rng.choice(_NUMBERS)
    number = number if -(1 << 63) <= number < 1 << 63 else -2
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = number if rng.random() < 0.7 else attribute.i + rng.choice([1, -1])
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = rng.choice([0.0, -1.0, 1e30, float("nan"), float("inf"), 1e-45])
    elif attribute.type == onnx.AttributeProto.INTS and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = number
    elif attribute.type == onnx.AttributeProto.STRING:
        attribute.s = rng.choice(_TEXTS).encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        attribute.name = rng.choice(["axis", "to", "perm", "value", "epsilon", "x"])


def _move_nodes(rng: random.Random, model: onnx.ModelProto) -> None:
    holder = rng.choice([model.graph, *model.functions]).node
    nodes = list(holder)
    kind, place = rng.randrange(3), rng.randrange(len(nodes))
    if kind == 0:
        del nodes[place]
    elif kind == 1:
        nodes.insert(rng.randrange(len(nodes)), copy.deepcopy(nodes[place]))
    else:
        nodes.insert(rng.randrange(len(nodes)), nodes.pop(place))
    copies = [copy.deepcopy(node) for node in nodes]
    del holder[:]
    holder.extend(copies)


def _add_functions(rng: random.Random, model: onnx.ModelProto) -> None:
    """Add functions that call themselves, or that each call the next one twice."""
    names = [f"f{number}" for number in range(rng.choice([1, 2, 40]))]
    for place, name in enumerate(names):
        following = names[(place + 1) % len(names)] if rng.random() < 0.3 or place + 1 < len(names) else ""
        calls = range(2 if following else 0)
        nodes = [helper.make_node(following, ["x"], [f"y{each}"], domain="own") for each in calls]
        nodes.append(helper.make_node("Identity", ["y0" if following else "x"], ["y"]))
        model.functions.append(helper.make_function("own", name, ["x"], ["y"], nodes, list(model.opset_import)))
    model.opset_import.append(helper.make_opsetid("own", 1))
    node = rng.choice(list(model.graph.node))
    call = helper.make_node(names[0], [node.input[0] if node.input else "input_ids"], ["called"], domain="own")
    model.graph.node.insert(0, call)


def _change_ends(rng: random.Random, model: onnx.ModelProto) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    kind = rng.randrange(5)
    if kind == 0:
        value.name = rng.choice([*_TEXTS[:30], "token_type_ids"]).encode("utf-8", "replace").decode()
    elif kind == 1:
        value.type.tensor_type.elem_type = rng.randrange(0, 20)
    elif kind == 2:
        value.type.tensor_type.shape.dim.add().dim_value = rng.choice([0, 1, 7])
    elif kind == 3 and value.type.tensor_type.shape.dim:
        value.type.tensor_type.shape.dim[-1].dim_value = rng.choice([0, 1, 5, -1])
    else:
        model.graph.output.add().CopyFrom(value)


def _nest_graphs(rng: random.Random, model: onnx.ModelProto) -> None:
    graph = helper.make_graph([helper.make_node("Identity", ["input_ids"], ["deep"])], "g", [], [])
    for _ in range(rng.choice([1, 5, 50])):
        node = helper.make_node("If", ["condition"], ["deep"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
        if graph.ByteSize() > 1 << 18:
            break
    model.graph.node.insert(0, graph.node[0])


def _change_versions(rng: random.Random, model: onnx.ModelProto) -> None:
    if rng.random() < 0.5:
        model.ir_version = rng.choice([0, 3, 9, 13, 99])
    else:
        rng.choice(list(model.opset_import)).version = rng.choice([0, 1, 7, 13, 19, 20, 21, 24, 99, -1])


def _describe(rng: random.Random, model: onnx.ModelProto) -> None:
    outputs = [name for node in model.graph.node for name in node.output]
    shape = rng.choice([[1, 2], ["a"], [], [1 << 40]])
    model.graph.value_info.append(helper.make_tensor_value_info(rng.choice(outputs), rng.randrange(1, 12), shape))


_GRAPH_WAYS = [
    *[_change_operator] * 4,
    *[_change_input] * 5,
    *[_count_inputs] * 2,
    *[_change_constant] * 5,
    *[_change_tensor] * 3,
    *[_change_attribute] * 4,
    *[_move_nodes] * 2,
    *(_add_functions, _change_ends, _nest_graphs, _change_versions, _describe),
]
