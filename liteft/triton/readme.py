"""The README of a model repository: how to start it, how to ask it, and what was and was not checked."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from liteft.triton.tensors import Tensor, inputs_of, outputs_of

if TYPE_CHECKING:
    from liteft.artifact import Manifest

__all__ = ["readme_text"]

_HEAD = """# {name}: a model repository for Triton Inference Server

Written by liteft {version}. **It has not been run in a Triton server**: none was available where it was written.

Checked instead, when it was written: {verified}.
Checked in LiteFT's tests: every config.pbtxt against Triton's published model_config.proto, the Python models under a
stub of Triton's Python API, and the graph in onnxruntime, fed as Triton's ONNX Runtime backend is documented to do it.
Not checked: that your Triton loads it, how fast it is there, and anything of GPUs. `liteft doctor --triton FOLDER`
compares all files with liteft.json, their list.

## Start it

Triton's image needs liteft's runtime in its Python, that is numpy, tokenizers, pydantic and liteft's own wheel:

    FROM nvcr.io/nvidia/tritonserver:YY.MM-py3
    COPY liteft-*.whl /tmp/
    RUN pip install /tmp/liteft-*.whl{extra}

    docker run -v FOLDER:{models_path} -p 8000:8000 IMAGE tritonserver --model-repository={models_path}

Threads: `LITEFT_THREADS` in the environment, or the parameter `threads` in config.pbtxt; without either, the physical
cores that the container may use. One instance uses all of them, so a second one only helps while texts are tokenized.

## Ask it

| | name | type | shape |
|---|---|---|---|
{rows}

"""
_PYTHON = """    curl -s localhost:8000/v2/models/{name}/infer -d '{{"inputs": [
      {inputs}]}}'

A request has up to {most} texts; Triton adds others that are waiting. A text's result does not depend on the texts
beside it. A text that is refused fails its own request alone. Queues hold 2,048 requests, and a request that has waited
for 2 seconds is refused; both numbers are in config.pbtxt.
"""
_ENSEMBLE = """
## What is in it

`{name}` is an ensemble: `{name}_tokens` turns texts into ids in Python, and `{name}_graph` turns ids into labels in
Triton's ONNX Runtime backend with libliteft as its operator. No padding is computed, whatever lengths are joined.
Only `{name}_tokens` needs liteft in Triton's Python. `LITEFT_THREADS` sets the threads of the graph.

{name}_graph/config.pbtxt names the library by its path where Triton runs, {library}. With another
`--model-repository`, or other names of folders, change that line: Triton does not load the model if the file is not
there. The library was built for {platform}; on another system take that of a liteft installed there. Without the line
the same model.onnx runs in ONNX Runtime's own operators, padded and slower.

Only {name} is for clients. {name}_graph takes lengths as they come, and its requests are joined with those of others:
who can ask it directly can change a stranger's answer. Keep it from clients whom you do not trust.
"""
_LABELS = """
`"parameters": {{"classification": 3}}` of the output {output} returns the three best as "value:place:label", with the
names in labels.txt.
"""


def readme_text(
    manifest: Manifest, name: str, *, models_path: str, verified: dict[str, Any], library: str | None
) -> str:
    """Return the README as Markdown.

    Args:
        manifest: of the artifact.
        name: of the model that clients ask.
        models_path: the repository's path where Triton runs.
        verified: what was compared.
        library: path of libliteft there; None for a repository without it.
    """
    from liteft.triton.config import MOST_TEXTS

    inputs, outputs = inputs_of(manifest), outputs_of(manifest)
    rows = [*(_row("input", each) for each in inputs), *(_row("output", each) for each in outputs)]
    extra = "" if manifest.one_node else " onnxruntime"
    head = _HEAD.format(
        name=name,
        version=metadata.version("liteft"),
        verified=verified["text"],
        extra=extra,
        models_path=models_path,
        rows="\n".join(rows),
    )
    asked = ",\n      ".join(_example(each) for each in inputs)
    text = head + _PYTHON.format(name=name, inputs=asked, most=MOST_TEXTS)
    labelled = next((each.name for each in outputs if each.labelled), None)
    text += _LABELS.format(output=labelled) if labelled else ""
    if library is None:
        return text
    return text + _ENSEMBLE.format(name=name, library=library, platform=f"{platform.system()} {platform.machine()}")


def _row(kind: str, tensor: Tensor) -> str:
    shape = ", ".join(["texts", *map(str, tensor.dims)])
    return f"| {kind} | {tensor.name} | {tensor.data_type.removeprefix('TYPE_')} | ({shape}) |"


def _example(tensor: Tensor) -> str:
    kinds = {"TYPE_STRING": ("BYTES", '"a text"'), "TYPE_INT32": ("INT32", "0")}
    datatype, value = kinds[tensor.data_type]
    return f'{{"name": "{tensor.name}", "datatype": "{datatype}", "shape": [1, 1], "data": [{value}]}}'
