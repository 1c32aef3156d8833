"""torch's contestants of bench/cuda_engines.py.

"eager" is transformers' own module. The others have every advantage that takes only a few lines: one matmul for query,
key and value; batches padded to the longest text, rounded up to a multiple of 8 (of 4 up to 32); no padding and no
mask, which flash attention requires, if all texts of a batch have the same length; or packed texts without padding. On
the CPU, which rehearsals and tests use, CUDA graphs are not captured and torch.compile only traces.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cuda_contestants import Contestant, Ids, NotHere, rectangle
from cuda_plan import token_bucket, width_of
from torch import Tensor, nn
from torch.nn import functional

TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
_WARM_UPS = 3
_RECTANGLES = "padded to the longest text, rounded up to a multiple of 8, or of 4 up to 32; equal lengths: no mask"


def load_model(folder: Path, device: str, precision: str) -> Any:
    """Return transformers' module, which `cuda_worker` has stored in the model's folder, in a precision."""
    model = torch.load(folder / "torch.pt", map_location=device, weights_only=False)
    return model.to(TYPES[precision]).eval()


class Plain(nn.Module):
    """The same classifier written in a few lines of torch, for padded texts (`forward`) and for packed ones."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        bert, config = model.bert, model.config
        self.heads, self.epsilon = config.num_attention_heads, config.layer_norm_eps
        own = bert.embeddings
        self.words = nn.Parameter(own.word_embeddings.weight, requires_grad=False)
        places = own.position_embeddings.weight + own.token_type_embeddings.weight[0]
        self.places = nn.Parameter(places, requires_grad=False)
        self.norm = own.LayerNorm
        self.layers = nn.ModuleList()
        for layer in bert.encoder.layer:
            attention = layer.attention.self
            parts = (attention.query, attention.key, attention.value)
            joined = nn.Linear(*parts[0].weight.shape[::-1]).to(self.words)
            joined.weight = nn.Parameter(torch.cat([part.weight for part in parts]), requires_grad=False)
            joined.bias = nn.Parameter(torch.cat([part.bias for part in parts]), requires_grad=False)
            attended, inner, output = layer.attention.output, layer.intermediate.dense, layer.output
            steps = [joined, attended.dense, attended.LayerNorm, inner, output.dense, output.LayerNorm]
            self.layers.append(nn.ModuleList(steps))
        self.pooler, self.classifier = bert.pooler.dense, model.classifier

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Return the logits of ids (texts, tokens); mask is bool, (texts, 1, 1, tokens), or None without padding."""
        x = functional.embedding(ids, self.words) + self.places[: ids.shape[1]]
        return self._rest(x, lambda query, key, value: self._padded(query, key, value, mask))[:, 0]

    def packed(self, ids: Tensor, places: Tensor, offsets: Tensor, longest: int) -> Tensor:
        """Return the logits of packed texts: ids and positions ``places`` (tokens,), offsets of texts (texts + 1,)."""
        x = functional.embedding(ids, self.words) + functional.embedding(places, self.places)
        firsts = offsets[:-1].long()
        return self._rest(x, lambda query, key, value: varlen_attention(query, key, value, offsets, longest), firsts)

    def _rest(self, x: Tensor, attend: Any, firsts: Tensor | None = None) -> Tensor:
        width = x.shape[-1]
        x = self.norm(x)
        for joined, projection, first_norm, inner, outer, second_norm in self.layers:
            parts = joined(x).unflatten(-1, (3, self.heads, width // self.heads)).unbind(-3)
            x = first_norm(x + projection(attend(*parts).flatten(-2)))
            x = second_norm(x + outer(functional.gelu(inner(x))))
        x = x[:, :1] if firsts is None else x[firsts]
        return self.classifier(torch.tanh(self.pooler(x)))

    @staticmethod
    def _padded(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)


def varlen_attention(query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, longest: int) -> Tensor:
    """Return attention within each text of (tokens, heads, size), by torch's varlen_attn or by nested tensors.

    Results for tokens beyond the last offset are undefined.
    """
    if not query.is_cuda:  # for tests without a GPU
        ends = [*offsets.tolist(), *([len(query)] if int(offsets[-1]) < len(query) else [])]
        rows = [
            functional.scaled_dot_product_attention(*(part[begin:end].transpose(0, 1) for part in (query, key, value)))
            for begin, end in itertools.pairwise(ends)
        ]
        return torch.cat([row.transpose(0, 1) for row in rows])
    if _varlen() == "varlen_attn":
        from torch.nn.attention.varlen import varlen_attn

        return varlen_attn(query, key, value, offsets, offsets, longest, longest)
    nested = [
        torch.nested.nested_tensor_from_jagged(part.contiguous(), offsets.long(), max_seqlen=longest).transpose(1, 2)
        for part in (query, key, value)
    ]
    return functional.scaled_dot_product_attention(*nested).transpose(1, 2).values()


def _varlen() -> str:
    try:
        import torch.nn.attention.varlen  # noqa: F401
    except ImportError:
        return "nested tensors"
    return "varlen_attn"


class TorchContestant(Contestant):
    """What torch's contestants share: inputs on the device, and timing by CUDA events."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self._feeds: list[tuple[Any, ...]] = []

    def feed(self, ids: Ids) -> tuple[Any, ...]:
        """Return the arguments of `forward` for some texts, on the device."""
        raise NotImplementedError

    def forward(self, *feed: Any) -> Tensor:
        """Return logits on the device."""
        raise NotImplementedError

    def prepare(self, batches: Sequence[Ids]) -> None:
        self._feeds = [self.feed(ids) for ids in batches]
        for _ in range(_WARM_UPS):
            self.device_pass()

    @torch.no_grad()
    def device_pass(self) -> float:
        if self.device.type != "cuda":
            begin = time.perf_counter()
            for feed in self._feeds:
                self.forward(*feed)
            return time.perf_counter() - begin
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        for feed in self._feeds:
            self.forward(*feed)
        last.record()
        last.synchronize()
        return first.elapsed_time(last) / 1e3

    @torch.no_grad()
    def device_calls(self) -> list[float]:
        if self.device.type != "cuda":
            return []
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2 * len(self._feeds))]
        for number, feed in enumerate(self._feeds):
            events[2 * number].record()
            self.forward(*feed)
            events[2 * number + 1].record()
        torch.cuda.synchronize()
        pairs = zip(events[::2], events[1::2], strict=True)
        return [first.elapsed_time(last) / 1e3 for first, last in pairs]

    @torch.no_grad()
    def run(self, ids: Ids) -> np.ndarray:
        return self.forward(*self.feed(ids)).float().cpu().numpy()

    def notes(self) -> dict[str, Any]:
        return {"device_clock": "events around a pass, gaps between launches included"}

    def up(self, array: np.ndarray) -> Tensor:
        """Copy an array to the device through pinned memory."""
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def padded(self, ids: Ids, *, few_shapes: bool) -> tuple[Tensor, Tensor | None]:
        """Return padded ids and the mask, (texts, tokens), which is None if nothing is padded."""
        padded, mask = rectangle(ids, width_of(list(map(len, ids))) if few_shapes else None)
        return self.up(padded), None if mask.all() else self.up(mask)

    def packed(self, ids: Ids, *, few_shapes: bool) -> tuple[Any, ...]:
        """Return packed ids, their positions, the offsets of texts, and an upper bound of their lengths.

        With ``few_shapes`` tokens are added after the last offset, up to a bucket's size, and the bound is a multiple
        of 64.
        """
        lengths = [len(row) for row in ids]
        flat = np.concatenate([np.asarray(row, dtype=np.int64) for row in ids])
        places = np.concatenate([np.arange(length, dtype=np.int64) for length in lengths])
        offsets = np.cumsum([0, *lengths], dtype=np.int32)
        longest = max(lengths)
        if few_shapes:
            beyond = token_bucket(len(flat)) - len(flat)
            flat, places = np.pad(flat, (0, beyond)), np.pad(places, (0, beyond))
            longest = -(-longest // 64) * 64
        return self.up(flat), self.up(places), self.up(offsets), longest


class Eager(TorchContestant):
    """transformers' module, unchanged."""

    def __init__(self, folder: Path, device: str, *, precision: str = "fp16") -> None:
        super().__init__(device)
        self._model = load_model(folder, device, precision)

    def feed(self, ids: Ids) -> tuple[Any, ...]:
        return self.padded(ids, few_shapes=False)

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        return self._model(input_ids=ids, attention_mask=None if mask is None else mask.long()).logits


class Unpadded(TorchContestant):
    """Packed texts, without padding and without compiling."""

    def __init__(self, folder: Path, device: str, *, precision: str = "fp16") -> None:
        super().__init__(device)
        self._model = Plain(load_model(folder, device, precision))

    def feed(self, ids: Ids) -> tuple[Any, ...]:
        return self.packed(ids, few_shapes=False)

    def forward(self, *feed: Any) -> Tensor:
        return self._model.packed(*feed)

    def notes(self) -> dict[str, Any]:
        return super().notes() | {"attention": _varlen()}


def compiled(function: Any, device: str, mode: str) -> Any:
    """Compile a function, separately for each shape; on the CPU it is only traced."""
    for name in ("cache_size_limit", "recompile_limit"):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, 128)
    if device != "cuda":
        return torch.compile(function, backend="eager", dynamic=False)
    return torch.compile(function, mode=mode, dynamic=False)


class Compiled(TorchContestant):
    """torch.compile with CUDA graphs, on padded texts."""

    def __init__(self, folder: Path, device: str, *, mode: str, precision: str = "fp16") -> None:
        super().__init__(device)
        self._model = compiled(Plain(load_model(folder, device, precision)), device, mode)

    def feed(self, ids: Ids) -> tuple[Any, ...]:
        padded, mask = self.padded(ids, few_shapes=True)
        return padded, None if mask is None else mask[:, None, None]

    def forward(self, *feed: Any) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return self._model(*feed)

    def close(self) -> None:
        """Free all compiled code of the process, which at this point is only this model's."""
        torch._dynamo.reset()

    def notes(self) -> dict[str, Any]:
        return super().notes() | {"shapes": _RECTANGLES}


class Packed(Compiled):
    """torch.compile with CUDA graphs, on packed texts: what LiteFT does, by the means of torch."""

    def __init__(self, folder: Path, device: str, *, mode: str, precision: str = "fp16") -> None:
        if device == "cuda" and _varlen() != "varlen_attn":
            raise NotHere(f"torch {torch.__version__} has no varlen_attn")
        TorchContestant.__init__(self, device)
        self._model = compiled(Plain(load_model(folder, device, precision)).packed, device, mode)

    def feed(self, ids: Ids) -> tuple[Any, ...]:
        return self.packed(ids, few_shapes=True)

    def notes(self) -> dict[str, Any]:
        return TorchContestant.notes(self) | {"shapes": "tokens rounded up to an eighth of a power of two"}


class Graphs(TorchContestant):
    """CUDA graphs captured by hand, one for each shape of padded texts."""

    def __init__(self, folder: Path, device: str, *, precision: str = "fp16") -> None:
        super().__init__(device)
        self._model = Plain(load_model(folder, device, precision))
        self._graphs: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def feed(self, ids: Ids) -> tuple[Any, ...]:
        padded, mask = self.padded(ids, few_shapes=True)
        return padded, None if mask is None else mask[:, None, None]

    @torch.no_grad()
    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        if self.device.type != "cuda":
            return self._model(ids, mask)
        shape = (*ids.shape, mask is not None)
        if shape not in self._graphs:
            self._graphs[shape] = self._captured(ids, mask)
        graph, own_ids, own_mask, logits = self._graphs[shape]
        own_ids.copy_(ids)
        if mask is not None:
            own_mask.copy_(mask)
        graph.replay()
        return logits

    def _captured(self, ids: Tensor, mask: Tensor | None) -> tuple[Any, ...]:
        own = (ids.clone(), None if mask is None else mask.clone())
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._model(*own)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._model(*own)
        return graph, *own, logits

    def notes(self) -> dict[str, Any]:
        return super().notes() | {"shapes": _RECTANGLES, "copies": "of ids into the graph's input, included"}
