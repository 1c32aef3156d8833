"""Findings about what a server refuses: wrong requests, requests over a limit, and those without a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liteft.doctor.finding import Finding
from liteft.doctor.server.asking import Server
from liteft.doctor.server.samples import ServedModel
from liteft.errors import REPORT

__all__ = ["key_findings", "refusal_findings"]

_MOST_TEXTS = 10_000  # more are not sent to see that they are too many
_WRONG_KEY = "a-key-that-nobody-has-written-down"


def refusal_findings(server: Server, model: ServedModel, limits: Mapping[str, Any]) -> list[Finding]:
    """Return whether wrong requests get the right status and a text.

    Args:
        server: that is checked.
        model: that is asked.
        limits: of /info.
    """
    asked = {"model": model.name, "inputs": model.items()[0]}
    cases: list[tuple[str, int, str, Any, dict[str, str]]] = [
        ("a number as a text", 422, "/predict", {**asked, "inputs": 1}, {}),
        ("half a body", 422, "/predict", b'{"inputs": ', {}),
        ("an unknown key", 422, "/predict", {**asked, "inptus": "x"}, {}),
        ("an unknown model", 404, "/predict", {**asked, "model": "no-such-model"}, {}),
        ("an unknown path", 404, "/no-such-path", asked, {}),
        ("a deadline of 'soon'", 422, "/predict", asked, {"X-Request-Timeout-Ms": "soon"}),
    ]
    most = limits.get("max_texts")
    if isinstance(most, int) and most <= _MOST_TEXTS:
        many = {**asked, "inputs": [model.items()[0]] * (most + 1)}
        cases.append((f"{most + 1:,} texts", 413, "/predict", many, {}))
    wrong = []
    for what, status, path, body, headers in cases:
        answer = server.ask("POST", path, body, headers=headers)
        if answer.status != status:
            wrong.append(f"{what} is answered with {answer.status}, {status} was expected")
        elif not answer.error:
            wrong.append(f"{what} is answered with {status} and without a text")
    if wrong:
        return [Finding("refusals", "problem", "; ".join(wrong), (REPORT,))]
    detail = f"{len(cases)} wrong requests get their status and a text: {', '.join(case[0] for case in cases)}"
    return [Finding("refusals", "ok", detail)]


def key_findings(server: Server, model: ServedModel) -> list[Finding]:
    """Return whether a key is needed, and that nobody can reload models without one."""
    body = {"model": model.name, "inputs": model.items()[0]}
    findings = [_reloading(server)]
    if server.key is None:
        detail = "whoever reaches this URL may ask; a gateway before it can ask for keys, or the server itself"
        return [Finding("keys", "off", detail, ("liteft serve ARTIFACT --api-keys FILE",)), *findings]
    statuses = {
        "without a key": server.ask("POST", "/predict", body, key=None).status,
        "with a wrong one": server.ask("POST", "/predict", body, key=_WRONG_KEY).status,
    }
    open_to = [f"{how} it answers {status}" for how, status in statuses.items() if status != 401]
    if open_to:
        detail = f"{' and '.join(open_to)}, 401 was expected: the key is not looked at"
        return [Finding("keys", "problem", detail, ("liteft serve ARTIFACT --api-keys FILE",)), *findings]
    return [Finding("keys", "ok", "without a key, or with a wrong one, predictions are refused (401)"), *findings]


def _reloading(server: Server) -> Finding:
    """Return whether a reload needs a key; what is named does not exist, so nothing is loaded."""
    status = server.ask("POST", "/admin/reload", {"model": "no-such-model"}, key=None).status
    if status in (401, 403):
        how = "needs a key of its own" if status == 401 else "is off over HTTP"
        return Finding("reload", "ok", f"{how} ({status})")
    if status == 404:  # of the model: so the key was not looked at
        return Finding("reload", "problem", "POST /admin/reload is open to everybody", (REPORT,))
    return Finding("reload", "off", f"POST /admin/reload answers {status}: a proxy does not pass it on")
