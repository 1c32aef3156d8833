"""The shape of Hugging Face's hosted pipelines, which ``huggingface_hub.InferenceClient`` reads.

For labels this is a nested list, also for one text: the client takes its first element. Words give a flat list of
spans for one text, questions one answer.
"""

from __future__ import annotations

from typing import Any

import msgspec

from liteft.serving.dialects.asked import outcome_of
from liteft.serving.dialects.bodies import body_of, decoded
from liteft.serving.http import Reply, Request, encode_json
from liteft.serving.reading import Instance, Item, Options
from liteft.serving.refusals import refused_input
from liteft.serving.rendering import rendered
from liteft.serving.service import Service

__all__ = ["PipelineParameters", "PipelineRequest", "pipeline"]


class PipelineParameters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of transformers' pipelines, as far as they mean something here.

    Attributes:
        top_k: as in ``Options``.
        function_to_apply: "none" for logits, or the model's own activation.
        aggregation_strategy: of models of words; "first" or "simple", which are the same here:
            a word has one tag.
    """

    top_k: int | None = None
    function_to_apply: str | None = None
    aggregation_strategy: str | None = None


class PipelineRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A body for a pipeline.

    Attributes:
        inputs: a text or an object, or a list of texts or objects.
        parameters: of the pipeline; a null is as if it were left out.
        model: its name, if several are served.
    """

    inputs: str | Instance | list[str | Instance | list[str]]
    parameters: PipelineParameters | None = None
    model: str | None = None


_decoder = msgspec.json.Decoder(PipelineRequest)


async def pipeline(service: Service, request: Request) -> Reply:
    """Answer POST /pipeline."""
    asked = decoded(_decoder, await body_of(request))
    model = service.model(request.named(asked.model))
    manifest = model.loaded.manifest
    given = asked.parameters or PipelineParameters()
    if given.function_to_apply not in (None, "none", manifest.activation):
        raise refused_input(
            f'function_to_apply must be {manifest.activation}, the own one, or "none", got {given.function_to_apply!r}'
        )
    if given.aggregation_strategy not in (None, "first", "simple"):
        raise refused_input(f"aggregation_strategy must be first or simple, got {given.aggregation_strategy!r}")
    single = not isinstance(asked.inputs, list)
    items: list[Item] = list(asked.inputs) if isinstance(asked.inputs, list) else [asked.inputs]
    raw = given.function_to_apply == "none" and manifest.activation != "none"
    options = Options(top_k=given.top_k, raw_scores=raw)
    outcome, values = await outcome_of(service, request, model.name, items, options)
    answers: Any = rendered(outcome, values, options)
    flat = single and (manifest.task.per_word or manifest.task.extractive)
    return Reply(encode_json(answers[0] if flat else answers), outcome=outcome)
