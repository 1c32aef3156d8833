"""docs/guides/serving.md: its requests get answers of the shape that it shows, and its tables are complete."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from liteft.serving import ServeSettings, create_app
from liteft.serving.metrics import Metrics
from liteft.serving.queueing import JobQueue
from tests.serving.served import Client, listening_server

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "serving.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^POST (/\S+)\n(\{.*\})\n\n(\d{3})\n(.+)$", TEXT, re.M)
KINDS = {"intents": "topics", "slots": "words", "policies": "questions", "ranking": "ranking"}


def shape(value: Any, *, name: str = "") -> Any:
    """Return a value with its numbers and strings replaced by their kinds; lists of numbers and spans by one entry."""
    if isinstance(value, dict):
        return {key: shape(each, name=key) for key, each in value.items()}
    if isinstance(value, list):
        entries = [shape(each) for each in value]
        spans = bool(value) and isinstance(value[0], dict) and "entity_group" in value[0]
        return entries[:1] if spans or name == "probs" else entries
    return type(value).__name__


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_a_documented_request_gets_the_documented_answer(everything: Client, number: int) -> None:
    path, body, status, expected = SHOWN[number]
    for name, kind in KINDS.items():
        path, body = path.replace(f"/{name}", f"/{kind}"), body.replace(f'"model": "{name}"', f'"model": "{kind}"')
    asked = json.loads(body)
    if asked.get("model") == "words":
        asked["inputs"] = "w1 w2 w9"  # in which the tiny model finds spans
    answer = everything.post(path, asked)
    assert answer.status == int(status)
    assert shape(answer.json) == shape(json.loads(expected))
    if answer.status != 200:
        assert answer.json == json.loads(expected)


def test_every_dialect_is_documented_with_a_request() -> None:
    paths = {re.sub(r"/intents\b", "/NAME", path) for path, *_ in SHOWN}
    assert paths == {
        *("/predict", "/rerank", "/classify", "/pipeline", "/invocations"),
        *("/v1/models/NAME:predict", "/v2/models/NAME/infer"),
    }
    assert len(SHOWN) == TEXT.count("\nPOST /") == 10


def test_the_documented_limits_are_the_usual_ones() -> None:
    shown = dict(re.findall(r"^\| `--([a-z-]+)` \| ([\d,]+) \|", TEXT, re.M))
    usual = {each.name: each.default for each in fields(ServeSettings)}
    limits = [name for name in usual if name.startswith("max_")]
    assert {name.replace("-", "_"): float(value.replace(",", "")) for name, value in shown.items()} == {
        name: usual[name] for name in limits
    }
    assert f"--drain-delay` seconds ({usual['drain_delay']:g})" in TEXT
    assert f"--drain-timeout` seconds ({usual['drain_timeout']:g})" in TEXT


def test_every_metric_is_documented() -> None:
    text = Metrics(JobQueue(max_queue_ms=1)).text().decode()
    names = set(re.findall(r"^# TYPE ((?:liteft|http)_\w+) ", text, re.M))
    counted = {name for name in names if not name.endswith("_created")}
    assert len(counted) > 15 and not [name for name in counted if f"`{name}`" not in TEXT]


def test_an_application_may_be_mounted_in_another(library: None, artifacts: Path) -> None:
    app = create_app([str(artifacts / "topics")], threads=1)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app):
            yield

    whole = Starlette(routes=[Mount("/texts", app)], lifespan=lifespan)
    with listening_server(whole) as client:
        assert client.get("/texts/readyz").status == 200 and client.get("/readyz").status == 404
        found = client.ask("/texts/v1/models/topics:predict", {"instances": ["w1"]})
        assert set(found["predictions"][0]) >= {"label", "score"}
