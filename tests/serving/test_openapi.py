"""The document of a server: it is valid, it has every route, and what it shows is what is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft.serving import create_app
from liteft.serving.openapi import openapi_document
from tests.serving.served import Client

validator = pytest.importorskip("openapi_spec_validator", reason="documents are checked by openapi-spec-validator")
schemas = pytest.importorskip("jsonschema", reason="examples are checked by jsonschema")

PAIRED = ("/rerank", "/models/{model}/rerank")


@pytest.fixture(scope="module")
def document(everything: Client) -> dict[str, Any]:
    found: dict[str, Any] = everything.get("/openapi.json").json
    return found


def check(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    schemas.Draft202012Validator(schema | {"components": document["components"]}).validate(value)


def filled(path: str) -> str:
    return path.replace("{model}", "ranking" if path in PAIRED else "topics").replace("{version}", "1")


def content(found: dict[str, Any]) -> dict[str, Any]:
    media: dict[str, Any] = found["content"]["application/json"]
    return media


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validator.validate(document)
    assert document["openapi"].startswith("3.1") and document["info"]["title"] == "liteft serve"


def test_every_route_is_in_the_document_and_nothing_else(artifacts: Path, document: dict[str, Any]) -> None:
    routes = create_app([str(artifacts / "topics")]).routes
    found = {(route.path, method.lower()) for route in routes for method in route.methods - {"HEAD"}}
    named = {(path.replace("{name_and_verb}", "{model}:predict"), method) for path, method in found}
    assert named == {(path, method) for path, methods in document["paths"].items() for method in methods}


def test_every_path_that_is_got_answers(everything: Client, document: dict[str, Any]) -> None:
    got = [path for path, methods in document["paths"].items() if "get" in methods]
    assert len(got) > 15
    for path in got:
        assert everything.get(filled(path)).status == 200, path


def test_every_example_fits_its_schema_and_so_does_its_answer(
    served: Callable[..., Client], document: dict[str, Any]
) -> None:
    posted = [path for path in document["paths"] if "requestBody" in document["paths"][path].get("post", {})]
    shown = [path for path in posted if path != "/admin/reload"]
    assert len(shown) == 15
    for path in shown:
        operation = document["paths"][path]["post"]
        body = content(operation["requestBody"])
        check(body["example"], body["schema"], document)
        answer = served("ranking" if path in PAIRED else "topics").post(filled(path), body["example"])
        assert answer.status == 200, (path, answer.body)
        check(answer.json, content(operation["responses"]["200"])["schema"], document)
        unknown = body["example"] | {"surprise": 1}
        with pytest.raises(schemas.ValidationError):
            check(unknown, body["schema"], document)
        refused = served("topics").post(filled(path), unknown)
        check(refused.json, content(operation["responses"][str(refused.status)])["schema"], document)


def test_keys_are_in_the_document_of_a_server_that_asks_for_them() -> None:
    open_to_all, guarded = (json.loads(openapi_document(guarded=each))["paths"] for each in (False, True))
    assert "security" not in open_to_all["/predict"]["post"] and "security" not in guarded["/readyz"]["get"]
    assert {"security" in guarded[path]["post"] for path in guarded if "post" in guarded[path]} == {True}
    assert "security" in guarded["/info"]["get"] and "security" in guarded["/metrics"]["get"]
