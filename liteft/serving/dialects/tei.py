"""The routes of Hugging Face's text-embeddings-inference for classifiers and rerankers.

    {"inputs": "a text"}                     one text    -> [{"score", "label"}, ...], all labels, best first
    {"inputs": ["a", "b"]}                   one pair, of models of pairs alone
    {"inputs": [["a"], ["b", "c"], "d"]}     a batch     -> a list of such lists

SageMaker sends the same bodies to /invocations.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from liteft.serving.dialects.asked import outcome_of
from liteft.serving.dialects.bodies import body_of, decoded
from liteft.serving.dialects.instances import InstancesRequest, answered_instances
from liteft.serving.http import Reply, Request, encode_json
from liteft.serving.jobs import Outcome
from liteft.serving.reading import Instance, Item, Options
from liteft.serving.refusals import refused_input
from liteft.serving.rendering import rendered, scores_of
from liteft.serving.service import Service

__all__ = ["PredictRequest", "RankedText", "RerankRequest", "invoke", "predict", "rerank"]


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of /predict; ``model``, ``top_k`` and ``threshold`` are LiteFT's own.

    Attributes:
        inputs: a text, a pair, or a batch of texts and pairs.
        raw_scores: give logits in place of scores.
        truncate: False refuses texts that would be cut; None is True.
        truncation_direction: at which end texts are cut; the model's own, or an error.
        model: its name, if several are served.
        top_k, threshold: as in ``Options``.
    """

    inputs: str | Instance | list[str | Instance | list[str]]
    raw_scores: bool = False
    truncate: bool | None = True
    truncation_direction: str | None = None
    model: str | None = None
    top_k: int | None = None
    threshold: float | list[float] | None = None


class RerankRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of /rerank.

    Attributes:
        query: the first text of each pair.
        texts: the candidates.
        raw_scores: give logits in place of scores.
        return_text: give the texts back.
        truncate, truncation_direction, model: as in ``PredictRequest``.
    """

    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = True
    truncation_direction: str | None = None
    model: str | None = None


class RankedText(msgspec.Struct, omit_defaults=True):
    """An entry of the answer to /rerank.

    Attributes:
        index: place among the texts that were sent.
        score: its score.
        text: the text, if it was asked for.
    """

    index: int
    score: float
    text: str | None = None


_predict = msgspec.json.Decoder(PredictRequest)
_rerank = msgspec.json.Decoder(RerankRequest)
_invoke = msgspec.json.Decoder(dict[str, msgspec.Raw])
_instances = msgspec.json.Decoder(InstancesRequest)


async def predict(service: Service, request: Request) -> Reply:
    """Answer POST /predict."""
    return await _predicted(service, request, await body_of(request))


async def invoke(service: Service, request: Request) -> Reply:
    """Answer POST /invocations, of SageMaker: {"inputs": ...}, or {"instances": [...]}."""
    body = await body_of(request)
    if "instances" in decoded(_invoke, body):
        return await answered_instances(service, request, decoded(_instances, body), None)
    return await _predicted(service, request, body)


async def rerank(service: Service, request: Request) -> Reply:
    """Answer POST /rerank, by a model of scores that reads pairs."""
    asked = decoded(_rerank, await body_of(request))
    model = service.model(request.named(asked.model))
    manifest = model.loaded.manifest
    if not (manifest.task.numeric and manifest.paired):
        raise refused_input(f"{model.name} does not rank texts: that takes a model of scores that reads pairs")
    _check_side(asked.truncation_direction, manifest)
    items: list[Item] = [[asked.query, text] for text in asked.texts]
    options = Options(raw_scores=asked.raw_scores)
    cut = asked.truncate is not False
    outcome, _ = await outcome_of(service, request, model.name, items, options, truncate=cut)
    scores = scores_of(outcome, raw=asked.raw_scores)[:, 0]
    order = np.argsort(-scores, kind="stable").tolist()
    ranked = [RankedText(i, float(scores[i]), asked.texts[i] if asked.return_text else None) for i in order]
    return Reply(encode_json(ranked), outcome=outcome, headers=_times(outcome))


async def _predicted(service: Service, request: Request, body: bytes) -> Reply:
    asked = decoded(_predict, body)
    model = service.model(request.named(asked.model))
    _check_side(asked.truncation_direction, model.loaded.manifest)
    items, single = _items(asked.inputs, model.loaded.manifest)
    options = Options(top_k=asked.top_k, threshold=asked.threshold, raw_scores=asked.raw_scores)
    cut = asked.truncate is not False
    outcome, values = await outcome_of(service, request, model.name, items, options, truncate=cut)
    answers: Any = rendered(outcome, values, options)
    return Reply(encode_json(answers[0] if single else answers), outcome=outcome, headers=_times(outcome))


def _items(inputs: str | Instance | list[str | Instance | list[str]], manifest: Any) -> tuple[list[Item], bool]:
    """Return the items of ``inputs``, and whether it is a single one.

    Raises:
        Refused: it is a flat list of strings, which is one pair in this dialect, and the model reads single texts.
    """
    if not isinstance(inputs, list):
        return [inputs], True
    flat = [each for each in inputs if isinstance(each, str)]
    if len(flat) < len(inputs) or not inputs:
        return list(inputs), False
    if len(flat) == 2 and manifest.paired:
        return [flat], True
    if manifest.paired:
        raise refused_input(f'inputs is a flat list of {len(flat)} strings; a batch of pairs is [["a", "b"], ...]')
    one = '[["a", "few", "words"]]' if manifest.task.per_word else '[["a"], ["b"]]'
    raise refused_input(
        f"inputs is a flat list of strings, which is one pair here, and this model reads single texts; a batch is {one}"
    )


def _check_side(asked: str | None, manifest: Any) -> None:
    if asked is not None and asked.lower() != manifest.truncation_side:
        raise refused_input(
            f"truncation_direction must be {manifest.truncation_side!r}, as the model was verified, got {asked!r}"
        )


def _times(outcome: Outcome) -> list[tuple[bytes, bytes]]:
    """Return the headers with times that TEI's clients read, in milliseconds, here with three digits after the point.

    The total is without the way to the client and back.
    """
    times = outcome.times
    total = times.queue + times.tokenization + times.inference
    named = {
        b"x-total-time": total,
        b"x-tokenization-time": times.tokenization,
        b"x-queue-time": times.queue,
        b"x-inference-time": times.inference,
    }
    return [(name, b"%.3f" % (1000 * seconds)) for name, seconds in named.items()]
