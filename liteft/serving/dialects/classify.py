"""The route /classify of vLLM and SGLang: {"model", "input"} -> {"data": [{"index", "label", "probs", ...}]}."""

from __future__ import annotations

import secrets
import time

import msgspec

from liteft.serving.dialects.asked import outcome_of
from liteft.serving.dialects.bodies import body_of, decoded
from liteft.serving.http import Reply, Request, encode_json
from liteft.serving.reading import Options
from liteft.serving.refusals import refused_input
from liteft.serving.rendering import scores_of
from liteft.serving.service import Service

__all__ = ["Classification", "ClassifyAnswer", "ClassifyRequest", "Usage", "classify"]


class ClassifyRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of /classify.

    Attributes:
        input: a text, or a list of texts.
        model: its name; may be left out if one is served.
        user: accepted, and not looked at.
    """

    input: str | list[str]
    model: str | None = None
    user: str | None = None


class Classification(msgspec.Struct):
    """The answer for one text.

    Attributes:
        index: its place among the texts.
        label: the best one.
        probs: of all labels, in the model's order.
        num_classes: number of labels.
    """

    index: int
    label: str
    probs: list[float]
    num_classes: int


class Usage(msgspec.Struct):
    """What the request has used.

    Attributes:
        prompt_tokens, total_tokens: its tokens, special ones included.
        completion_tokens: 0.
    """

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0


class ClassifyAnswer(msgspec.Struct):
    """The answer of /classify.

    Attributes:
        id, created: of this answer; seconds since 1970.
        model: the name of the model.
        data: an entry for each text.
        usage: of tokens.
        object: "list".
    """

    id: str
    created: int
    model: str
    data: list[Classification]
    usage: Usage
    object: str = "list"


_decoder = msgspec.json.Decoder(ClassifyRequest)


async def classify(service: Service, request: Request) -> Reply:
    """Answer POST /classify."""
    asked = decoded(_decoder, await body_of(request))
    model = service.model(request.named(asked.model))
    manifest = model.loaded.manifest
    if manifest.task.per_word or manifest.task.extractive or manifest.task.numeric or manifest.paired:
        raise refused_input(f"{model.name} does not label single texts; ask /v1/models/{model.name}:predict")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    outcome, _ = await outcome_of(service, request, model.name, list(texts), Options())
    scores, labels = scores_of(outcome, raw=False), outcome.loaded.classifier.labels
    data = [
        Classification(index, labels[best], probs, len(labels))
        for index, (best, probs) in enumerate(zip(scores.argmax(axis=1).tolist(), scores.tolist(), strict=True))
    ]
    usage = Usage(outcome.tokens, outcome.tokens)
    answer = ClassifyAnswer(f"classify-{secrets.token_hex(12)}", int(time.time()), model.name, data, usage)
    return Reply(encode_json(answer), outcome=outcome)
