"""The bodies of Vertex AI, of KServe's and TensorFlow Serving's first protocol: {"instances": [...]}.

An instance is a text, a pair as a list of two texts, or an object with the names of its parts. A prediction is what
``to_dict`` of LiteFT's own predictions gives, so this is the dialect that tells everything.
"""

from __future__ import annotations

import msgspec

from liteft.serving.dialects.asked import outcome_of
from liteft.serving.dialects.bodies import body_of, decoded
from liteft.serving.http import Reply, Request, encode_json
from liteft.serving.reading import Instance, Options
from liteft.serving.refusals import Refused, refused_input
from liteft.serving.rendering import predictions_of
from liteft.serving.service import Service

__all__ = ["InstancesRequest", "Parameters", "answered_instances", "predict_instances", "predict_only"]


class Parameters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Options of a request with instances.

    Attributes:
        top_k, threshold: as in ``Options``.
    """

    top_k: int | None = None
    threshold: float | list[float] | None = None


class InstancesRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A body with instances.

    Attributes:
        instances: a text, a list of two texts, or an object each.
        parameters: options.
        model: its name, if several are served and the path names none.
        signature_name: of TensorFlow Serving; only its usual one is accepted.
    """

    instances: list[str | list[str] | Instance]
    parameters: Parameters | None = None
    model: str | None = None
    signature_name: str | None = None


_decoder = msgspec.json.Decoder(InstancesRequest)


async def predict_instances(service: Service, request: Request) -> Reply:
    """Answer POST /v1/models/NAME:predict."""
    name, _, verb = request.path["name_and_verb"].rpartition(":")
    if verb != "predict":
        raise Refused(404, "input", f"the path must end in NAME:predict, got {request.path['name_and_verb']!r}")
    service.model(name)
    return await answered_instances(service, request, decoded(_decoder, await body_of(request)), name)


async def predict_only(service: Service, request: Request) -> Reply:
    """Answer POST /vertex, by the only model or the body's."""
    return await answered_instances(service, request, decoded(_decoder, await body_of(request)), None)


async def answered_instances(service: Service, request: Request, asked: InstancesRequest, name: str | None) -> Reply:
    """Return the predictions of instances, {"predictions": [...]}."""
    if asked.signature_name not in (None, "serving_default"):
        raise refused_input(f"signature_name must be serving_default, got {asked.signature_name!r}")
    if None not in (name, asked.model) and name != asked.model:
        raise refused_input(f"the path names the model {name!r}, and the body {asked.model!r}")
    given = asked.parameters or Parameters()
    options = Options(top_k=given.top_k, threshold=given.threshold)
    outcome, values = await outcome_of(service, request, name or asked.model, list(asked.instances), options)
    predictions = [each.to_dict() for each in predictions_of(outcome, values, options)]
    return Reply(encode_json({"predictions": predictions}), outcome=outcome)
