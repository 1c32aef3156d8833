"""``liteft doctor --serve URL``: whether a running server is well, asked from outside, as its clients ask.

Nothing but Python is needed: neither the extra ``serve`` nor the artifact. Some fifty short requests are sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from liteft.doctor.finding import Diagnosis, Finding
from liteft.doctor.server.asking import Server, UnreachableError
from liteft.doctor.server.dialects import company_findings, dialect_findings, header_findings
from liteft.doctor.server.refusals import key_findings, refusal_findings
from liteft.doctor.server.samples import ServedModel
from liteft.errors import REPORT
from liteft.tasks import task_named

__all__ = ["diagnose_server"]

_PROBES = ("/livez", "/readyz", "/health", "/ping", "/v2/health/live", "/v2/health/ready")
_METRICS = (
    *("liteft_ready", "liteft_model_info", "liteft_requests_total", "liteft_queue_seconds_bucket"),
    *("liteft_tokenization_seconds_bucket", "liteft_inference_seconds_bucket", "liteft_texts_total"),
    *("liteft_tokens_total", "liteft_batch_texts_bucket", "liteft_refused_total", "liteft_queued_requests"),
    *("http_server_request_duration_seconds_bucket", "process_resident_memory_bytes"),
)
_ELSEWHERE = "not here (404): --metrics-port has them on a port of their own, or a proxy hides them"


def diagnose_server(url: str, *, key: str | None = None) -> Diagnosis:
    """Check probes, models, limits, dialects, headers, refusals, keys and metrics of a running server.

    Args:
        url: http://HOST:PORT, or what stands before all routes.
        key: that the server accepts; None for none.

    Returns:
        The findings. If the server cannot be asked, those that say why, and no further ones.

    Raises:
        ConfigError: the URL is of another form.
    """
    server = Server(url, key)
    try:
        return Diagnosis(tuple(_findings(server)))
    except UnreachableError as error:
        fix = (f"curl -i {server.url}/livez", "liteft serve ARTIFACT --host 0.0.0.0")
        return Diagnosis((Finding("server", "problem", f"{server.url} cannot be reached: {error}", fix),))


def _findings(server: Server) -> list[Finding]:
    findings = _probe_findings(server)
    if any(finding.status == "problem" for finding in findings):
        return findings
    info = server.ask("GET", "/info")
    if info.status in (401, 403):
        detail = "the key is not accepted" if server.key else "a key is needed, and none was given"
        return [*findings, Finding("keys", "problem", detail, (f"liteft doctor --serve {server.url} --key KEY",))]
    models = _models(server, info.content)
    if not models:
        detail = f"/info answers {info.status} without models: another program may be behind this URL"
        return [*findings, Finding("models", "problem", detail, (f"curl -i {server.url}/info",))]
    limits = info.content.get("limits", {})
    findings += [*_model_findings(info.content), _limit_finding(info.content)]
    document = server.ask("GET", "/openapi.json").content
    paths: Mapping[str, Any] = document.get("paths", {}) if isinstance(document, dict) else {}
    findings.append(_route_finding(server, models[0], [path for path, methods in paths.items() if "get" in methods]))
    posted = [path for path, methods in paths.items() if "post" in methods]
    for model in models:
        findings += [*dialect_findings(server, model, posted), *company_findings(server, model)]
    findings += header_findings(server, models[0])
    findings += refusal_findings(server, models[0], limits)
    findings += key_findings(server, models[0])
    return [*findings, *_metric_findings(server)]


def _probe_findings(server: Server) -> list[Finding]:
    answers = {path: server.ask("GET", path, key=None) for path in _PROBES}
    live, ready = answers["/livez"], answers["/readyz"]
    if not isinstance(live.content, dict) or "live" not in live.content:
        detail = f"/livez answers {live.status}, and not as liteft serve does: another program is behind this URL"
        return [Finding("server", "problem", detail, (f"curl -i {server.url}/livez",))]
    if live.status != 200:
        return [Finding("probes", "problem", "the engine hangs (/livez)", ("restart the server",))]
    if ready.status != 200:
        state = ready.content.get("state", "unknown") if isinstance(ready.content, dict) else "unknown"
        reasons = {"loading": "the models are being loaded", "draining": "the server is ending"}
        detail = f"/readyz answers {ready.status}: {reasons.get(state, 'the engine fails; the log says why')}"
        return [Finding("probes", "problem", detail, (f"liteft doctor --serve {server.url}",))]
    wrong = [f"{path} {answer.status}" for path, answer in answers.items() if answer.status != 200]
    if wrong:
        return [Finding("probes", "off", f"not answered with 200: {', '.join(wrong)}; the others are")]
    return [Finding("probes", "ok", f"live and ready without a key: {', '.join(_PROBES)}")]


def _models(server: Server, info: Any) -> list[ServedModel]:
    """Return the models of /info; those that it does not describe as `liteft serve` does are left out."""
    described = info.get("models") if isinstance(info, dict) else None
    if not isinstance(described, dict):
        return []
    found = []
    for name, each in described.items():
        metadata = server.ask("GET", f"/v2/models/{name}").content
        inputs = metadata.get("inputs", []) if isinstance(metadata, dict) else []
        if isinstance(each, dict) and {"task", "labels", "revision"} <= each.keys() and inputs:
            names = tuple(tensor["name"] for tensor in inputs)
            task, labels = task_named(each["task"]), tuple(each["labels"])
            found.append(ServedModel(name, task, labels, names, each["revision"]))
    return found


def _model_findings(info: Mapping[str, Any]) -> list[Finding]:
    findings = [Finding("version", "ok", f"liteft {info.get('version', 'unknown')} there, {_own_version()} here")]
    for name, each in info["models"].items():
        parts = [
            f"revision {each['revision']}",
            f"{each['task']}, {len(each['labels'])} label{'' if len(each['labels']) == 1 else 's'}",
            f"{each.get('precision')} on {each.get('backend')}, {each.get('device')}, threads: {each.get('threads')}",
            f"texts of up to {each.get('max_tokens')} tokens",
        ]
        difference = each.get("recorded_difference")
        parts += [] if difference is None else [f"{difference:.2g} from the recorded answers"]
        findings.append(Finding(f"model {name}", "ok", "; ".join(parts)))
    return findings


def _limit_finding(info: Mapping[str, Any]) -> Finding:
    limits, queue = info.get("limits", {}), info.get("queue", {})
    shown = ", ".join(f"{name} {value:,}" for name, value in limits.items() if isinstance(value, int | float))
    if not shown:
        return Finding("limits", "problem", "/info tells no limits", (REPORT,))
    return Finding("limits", "ok", f"{shown}; now {queue.get('requests', 0)} requests and {queue.get('ms', 0)} ms wait")


def _route_finding(server: Server, model: ServedModel, listed: list[str]) -> Finding:
    """Return whether every page that a server lists is there; /metrics is looked at apart."""
    wrong = []
    paths = [path for path in listed if path != "/metrics"]
    for path in paths:
        asked = path.replace("{model}", model.name).replace("{version}", "1")
        status = server.ask("GET", asked).status
        if status != 200:
            wrong.append(f"{path} {status}")
    if not paths:
        return Finding("routes", "problem", "/openapi.json lists no routes", (REPORT,))
    if wrong:
        return Finding("routes", "problem", f"/openapi.json lists pages that are not there: {', '.join(wrong)}")
    return Finding("routes", "ok", f"{len(paths)} pages of /openapi.json are there")


def _metric_findings(server: Server) -> list[Finding]:
    answer = server.ask("GET", "/metrics")
    if answer.status == 404:
        return [Finding("metrics", "off", _ELSEWHERE)]
    if answer.status != 200:
        return [Finding("metrics", "problem", f"/metrics answers {answer.status}", (f"curl -i {server.url}/metrics",))]
    text = answer.body.decode("utf-8", "replace")
    names = set(re.findall(r"^([a-z_]+)[ {]", text, re.MULTILINE))
    missing = [name for name in _METRICS if name not in names]
    if missing:
        return [Finding("metrics", "problem", f"/metrics lacks {', '.join(missing)}", (REPORT,))]
    ready = re.search(r"^liteft_ready ([0-9.]+)", text, re.MULTILINE)
    if ready is None or float(ready[1]) != 1:
        return [Finding("metrics", "problem", "liteft_ready is not 1, and /readyz says 200", (REPORT,))]
    return [Finding("metrics", "ok", f"{len(names)} names, the requests of this check among what they count")]


def _own_version() -> str:
    try:
        return version("liteft")
    except PackageNotFoundError:
        return "unknown"
