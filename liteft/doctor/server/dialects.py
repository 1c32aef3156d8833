"""Findings about predictions: all dialects give a text the same, alone and in company, with times and revision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from liteft.doctor.finding import Finding
from liteft.doctor.server.asking import Answer, Server
from liteft.doctor.server.samples import DIALECTS, Dialect, Rows, ServedModel, same_rows, single_rows
from liteft.errors import REPORT

__all__ = ["company_findings", "dialect_findings", "header_findings"]

_TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
_FORM = (KeyError, TypeError, ValueError, AttributeError, IndexError)  # of content that has another form
_PROXY = "let the proxy on the way pass these headers on"


def dialect_findings(server: Server, model: ServedModel, listed: Sequence[str]) -> list[Finding]:
    """Return whether every dialect that a server lists answers, and all of them alike.

    Args:
        server: that is checked.
        model: that is asked.
        listed: paths of /openapi.json that take predictions.
    """
    name = f"dialects of {model.name}"
    first, *others = DIALECTS
    reference, failure = _rows(server, first, model)
    if reference is None:
        return [Finding(name, "problem", f"{first.path} {failure}", (REPORT,))]
    alike, refused, wrong = [first.path], [], []
    for dialect in others:
        if dialect.path not in listed:
            continue
        if not dialect.fits(model):
            answer = _asked(server, dialect, model)
            if answer.status == 422 and answer.error:
                refused.append(dialect.path)
            else:
                wrong.append(f"{dialect.path} answers {answer.status}, 422 was expected: this model cannot be asked so")
            continue
        rows, failure = _rows(server, dialect, model)
        if rows is None:
            wrong.append(f"{dialect.path} {failure}")
        elif not same_rows(_comparable(reference, dialect), _comparable(rows, dialect)):
            wrong.append(f"{dialect.path} gives {_shown(rows)}, and {first.path} {_shown(reference)}")
        else:
            alike.append(dialect.path)
    if wrong:
        return [Finding(name, "problem", "; ".join(wrong), (REPORT,))]
    nothing = " (nothing, in these texts)" if not any(reference) else ""
    detail = f"the same{nothing} from {', '.join(alike)}"
    detail += f"; refused, as this model cannot be asked so: {', '.join(refused)}" if refused else ""
    unknown = sorted(set(listed) - {dialect.path for dialect in DIALECTS} - {"/admin/reload"})
    return [
        Finding(name, "ok", detail),
        *(Finding(f"POST {path}", "off", "not known to this version, so it was not checked") for path in unknown),
    ]


def company_findings(server: Server, model: ServedModel) -> list[Finding]:
    """Return whether a text has the same scores alone and beside another: to the last digit."""
    name = f"company in {model.name}"
    first, second = model.items()
    alone = server.ask("POST", "/predict", {"model": model.name, "inputs": first})
    beside = server.ask("POST", "/predict", {"model": model.name, "inputs": [second, first]})
    try:
        one, other = single_rows(alone.content, model), single_rows(beside.content[1], model)
    except _FORM:
        return [Finding(name, "problem", f"/predict answers {alone.status} and {beside.status}", (REPORT,))]
    if one == other:
        return [Finding(name, "ok", "a text has the same scores, bit for bit, alone and beside another")]
    if same_rows([one], [other]):
        return [Finding(name, "off", "a text's scores differ in the last bits beside another: onnxruntime pads texts")]
    return [Finding(name, "problem", f"alone {_shown([one])}, beside another {_shown([other])}", (REPORT,))]


def header_findings(server: Server, model: ServedModel) -> list[Finding]:
    """Return where the time of one text goes, and whether answers have their headers."""
    body = {"model": model.name, "inputs": model.items()[0]}
    answer = server.ask("POST", "/predict", body, headers={"traceparent": _TRACE})
    times = dict(re.findall(r"(\w+);dur=([0-9.]+)", answer.headers.get("server-timing", "")))
    missing = [name for name in ("queue", "tokenization", "inference") if name not in times]
    lacking = [f"Server-Timing with {', '.join(missing)}"] if missing else []
    lacking += ["traceparent, given back"] if answer.headers.get("traceparent") != _TRACE else []
    lacking += ["X-Compute-Tokens"] if not answer.headers.get("x-compute-tokens", "").isdigit() else []
    found = answer.headers.get("x-model-revision")
    lacking += ["X-Model-Revision"] if found is None else []
    findings = []
    if lacking:
        findings.append(Finding("headers", "off", f"answers lack {'; '.join(lacking)}", (_PROXY,)))
    else:
        parts = ", ".join(f"{name} {float(value):.2f}" for name, value in times.items())
        detail = f"one text takes {1000 * answer.seconds:.2f} ms from here, in the server: {parts}"
        findings.append(Finding("headers", "ok", f"{detail} (Server-Timing)"))
    if found is not None and found != model.revision:
        detail = f"{model.name} is {found} in an answer and {model.revision} in /info: servers differ behind this URL"
        detail += ", or the model has just been loaded again"
        findings.append(Finding("revision", "problem", detail, (f"liteft doctor --serve {server.url}",)))
    return findings


def _rows(server: Server, dialect: Dialect, model: ServedModel) -> tuple[list[Rows] | None, str]:
    """Return the rows of an answer, or None and what is wrong with it."""
    answer = _asked(server, dialect, model)
    if answer.status != 200:
        return None, f"answers {answer.status}: {answer.error or 'without a text'}"
    try:
        return dialect.rows(answer.content, model), ""
    except _FORM:
        return None, f"answers in a form of its own: {answer.body[:100]!r}"


def _asked(server: Server, dialect: Dialect, model: ServedModel) -> Answer:
    path = dialect.path.replace("{model}", model.name).replace("{version}", "1")
    return server.ask("POST", path, dialect.body(model, model.items()))


def _comparable(rows: list[Rows], dialect: Dialect) -> list[Rows]:
    """Return the rows that can be compared: /rerank has one query, so its second pair is not the second value."""
    return rows[:1] if dialect.path.endswith("/rerank") else rows


def _shown(rows: Any) -> str:
    """Return the best of the first value, for people."""
    best = max(rows[0], key=lambda row: row[1], default=None) if rows else None
    return "nothing" if best is None else f"{best[0]} {best[1]:.6f}"
