"""The dashboard, the alerts and the autoscaler ask for metrics and labels that a real server has."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.conftest import DEPLOY, Started, document

FROM_SCRAPING = {"job", "instance", "namespace", "pod", "service", "le"}  # le: of buckets
FAMILY = re.compile(r"\b(?:liteft|http|process|python)_[a-z0-9_]+")


def board() -> dict[str, Any]:
    return json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))


def queries() -> Iterator[tuple[str, str]]:
    """Yield where each query stands, and the query, with what Grafana and the adapter fill in filled in."""
    for panel in board()["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"].replace("$__rate_interval", "1m")
    for annotation in board()["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"]
    for variable in board()["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert found is not None
            yield f"variable {variable['name']}", f"count by ({found[2]}) ({found[1]})"
    for group in document("prometheus/alerts.yaml")["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]
    (rule,) = document("kubernetes/monitoring/prometheus-adapter.yaml")["rules"]
    yield "the adapter's series", rule["seriesQuery"]
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'pod="x"')
    yield "the adapter's query", query


QUERIES = dict(queries())


def names_of(query: str) -> set[str]:
    """Return the metrics of a query: what is left without texts and labels."""
    plain = re.sub(r'"[^"]*"', "", query)
    plain = re.sub(r"\{[^}]*\}|\b(?:by|ignoring|on|group_left) \([^)]*\)", "", plain)
    return set(FAMILY.findall(plain))


def labels_of(query: str) -> set[str]:
    """Return the labels that a query names."""
    plain = re.sub(r'"[^"]*"', '""', query)
    matched = {label for part in re.findall(r"\{([^}]*)\}", plain) for label in re.findall(r"(\w+)\s*[=!]", part)}
    grouped = re.findall(r"\b(?:by|ignoring|on|group_left) \(([^)]*)\)", plain)
    return matched | {label.strip() for part in grouped for label in part.split(",") if label.strip()}


@pytest.fixture(scope="module")
def samples(started: Started) -> dict[str, set[str]]:
    """The labels of each sample of a server that has answered and loaded again, by its name."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(started.metrics()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("place", QUERIES)
def test_a_query_names_metrics_and_labels_of_a_real_server(samples: dict[str, set[str]], place: str) -> None:
    query = QUERIES[place]
    names = names_of(query)
    assert names and names <= samples.keys()
    assert labels_of(query) <= FROM_SCRAPING.union(*(samples[name] for name in names))


@pytest.mark.parametrize("place", QUERIES)
def test_a_query_is_promql(place: str) -> None:
    parser = pytest.importorskip("promql_parser", reason="pip install promql-parser")
    parser.parse(QUERIES[place])


def test_what_a_query_names_is_found() -> None:
    query = 'sum by (le, code) (rate(liteft_x_bucket{model=~"liteft_y", code!="5.."}[1m])) / ignoring (a) liteft_z'
    assert names_of(query) == {"liteft_x_bucket", "liteft_z"}
    assert labels_of(query) == {"le", "code", "model", "a"}


def test_the_dashboard_shows_what_an_operator_asks_for() -> None:
    shown = set().union(*(names_of(query) for place, query in QUERIES.items() if place.startswith("panel")))
    for name in ("queue_seconds_bucket", "tokenization_seconds_bucket", "inference_seconds_bucket", "tokens_total"):
        assert f"liteft_{name}" in shown
    for name in ("refused_total", "predictions_total", "model_info", "ready", "batch_tokens_bucket", "requests_total"):
        assert f"liteft_{name}" in shown
    assert {"process_resident_memory_bytes", "http_server_request_duration_seconds_bucket"} <= shown


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels = board()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_the_operator_gets_the_alerts_of_prometheus() -> None:
    assert document("kubernetes/monitoring/prometheusrule.yaml")["spec"] == document("prometheus/alerts.yaml")


def test_every_alert_says_how_grave_it_is_and_what_to_do() -> None:
    for group in document("prometheus/alerts.yaml")["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert rule["annotations"].keys() == {"summary", "description"}


def test_the_compose_file_fits_its_schema() -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema, which has the schema, is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(DEPLOY / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_compose_file_mounts_files_that_are_there() -> None:
    services = document("compose.yaml")["services"]
    mounted = [each for name in ("prometheus", "grafana") for each in services[name]["volumes"]]
    files = [each.split(":")[0] for each in mounted if each.startswith(".")]
    assert len(files) == 3 and all((DEPLOY / each).exists() for each in files)
    (scraped,) = document("prometheus/prometheus.yaml")["scrape_configs"]
    (target,) = scraped["static_configs"][0]["targets"]
    assert target == f"liteft:{services['liteft']['environment']['LITEFT_METRICS_PORT']}"
    assert (DEPLOY / "prometheus" / document("prometheus/prometheus.yaml")["rule_files"][0]).is_file()


def test_compose_waits_for_all_that_the_servers_end_takes() -> None:
    service = document("compose.yaml")["services"]["liteft"]
    given = service["environment"]
    needed = float(given["LITEFT_DRAIN_DELAY"]) + float(given["LITEFT_DRAIN_TIMEOUT"])
    assert needed + 5 <= int(service["stop_grace_period"].removesuffix("s"))
    assert service["healthcheck"]["test"][0] == "CMD"
    assert Path(service["build"]["dockerfile"]).parts[0] == "deploy"
