"""The manifests: valid, of one piece with each other, and true of a real server."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from liteft.errors import ConfigError
from liteft.serving.keys import Keys
from tests.deploy.conftest import DEPLOY, KEY, Started, document

BASE = sorted((DEPLOY / "kubernetes" / "base").glob("*.yaml"))
MANIFESTS = [path.relative_to(DEPLOY).as_posix() for path in BASE if path.name != "kustomization.yaml"]
MANIFESTS.append("kubernetes/monitoring/hpa.yaml")
OTHERS = {
    "kubernetes/monitoring/servicemonitor.yaml": ("monitoring.coreos.com/v1", "ServiceMonitor"),
    "kubernetes/monitoring/prometheusrule.yaml": ("monitoring.coreos.com/v1", "PrometheusRule"),
    "kserve/clusterservingruntime.yaml": ("serving.kserve.io/v1alpha1", "ClusterServingRuntime"),
    "kserve/inferenceservice.yaml": ("serving.kserve.io/v1beta1", "InferenceService"),
}


def deployment() -> dict[str, Any]:
    return document("kubernetes/base/deployment.yaml")


def pod() -> dict[str, Any]:
    return deployment()["spec"]["template"]["spec"]


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return only


def validated(manifest: dict[str, Any]) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    validate.validate(manifest, "1.35", strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_fits_the_schema_of_kubernetes(name: str) -> None:
    validated(document(name))


def test_a_field_that_kubernetes_does_not_know_would_be_noticed() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    wrong = copy.deepcopy(deployment())
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(validate.ValidationError):
        validate.validate(wrong, "1.35", strict=True)


@pytest.mark.parametrize("name", OTHERS)
def test_the_container_of_a_kserve_runtime_and_the_kinds_of_others_are_right(name: str) -> None:
    found = document(name)
    assert (found["apiVersion"], found["kind"]) == OTHERS[name]
    if found["kind"] == "ClusterServingRuntime":
        spec = {"containers": found["spec"]["containers"]}
        validated({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec})


@pytest.mark.parametrize("name", ["base", "monitoring"])
def test_a_kustomization_names_every_file_beside_it(name: str) -> None:
    folder = DEPLOY / "kubernetes" / name
    content = document(f"kubernetes/{name}/kustomization.yaml")
    named = {*content["resources"], *(each["path"] for each in content.get("patches", []))}
    assert all((folder / each).exists() for each in named)
    beside = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", "prometheus-adapter.yaml"}
    assert beside == {each for each in named if "/" not in each}


def rendered(name: str) -> list[dict[str, Any]]:
    """Return the manifests that kustomize makes of a folder."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl, which has kustomize, is not installed")
    command = [program, "kustomize", str(DEPLOY / "kubernetes" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("name", ["base", "monitoring"])
def test_kustomize_makes_manifests_that_fit_their_schemas(name: str) -> None:
    found = {each["kind"]: each for each in rendered(name)}
    own = {each["kind"] for each in map(document, MANIFESTS)}
    assert found.keys() == own | ({"ServiceMonitor", "PrometheusRule"} if name == "monitoring" else set())
    for kind in own:
        validated(found[kind])
    (one,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert one["image"] == "registry.example.com/liteft:0.1.0"
    metrics = [each["type"] for each in found["HorizontalPodAutoscaler"]["spec"]["metrics"]]
    assert metrics == (["Pods", "Resource"] if name == "monitoring" else ["Resource"])


def test_a_pod_has_time_for_all_that_its_end_takes() -> None:
    given = {each["name"]: each.get("value") for each in container()["env"]}
    sleep = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = sleep + float(given["LITEFT_DRAIN_DELAY"]) + float(given["LITEFT_DRAIN_TIMEOUT"])
    assert needed + 5 <= pod()["terminationGracePeriodSeconds"]
    probe = container()["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] <= float(given["LITEFT_DRAIN_DELAY"])


def test_kserve_gives_a_pod_time_for_the_usual_end() -> None:
    from liteft.serving import ServeSettings

    usual = ServeSettings()
    given = document("kserve/inferenceservice.yaml")["spec"]["predictor"]["terminationGracePeriodSeconds"]
    assert usual.drain_delay + usual.drain_timeout + 5 <= given


def test_labels_and_ports_fit_each_other() -> None:
    labels = deployment()["spec"]["template"]["metadata"]["labels"]
    service = document("kubernetes/base/service.yaml")
    policy = document("kubernetes/base/networkpolicy.yaml")
    budget = document("kubernetes/base/pdb.yaml")
    assert service["spec"]["selector"].items() <= labels.items()
    for spec in (deployment()["spec"]["selector"], policy["spec"]["podSelector"], budget["spec"]["selector"]):
        assert spec["matchLabels"].items() <= labels.items()
    ports = {each["name"]: each["containerPort"] for each in container()["ports"]}
    named = {each["targetPort"] for each in service["spec"]["ports"]}
    named |= {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    named |= {container()[kind]["httpGet"]["port"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert named == ports.keys()
    monitor = document("kubernetes/monitoring/servicemonitor.yaml")["spec"]
    assert {each["port"] for each in monitor["endpoints"]} <= {each["name"] for each in service["spec"]["ports"]}
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    given = {each["name"]: each.get("value") for each in container()["env"]}
    assert ports == {"http": 8080, "metrics": int(given["LITEFT_METRICS_PORT"])}


def test_the_model_is_where_the_arguments_look_for_it() -> None:
    (argument,) = container()["args"][1:]
    (mount,) = [each["mountPath"] for each in container()["volumeMounts"] if each["name"] == "model"]
    assert argument.partition("=")[2] == f"{mount}/models"
    assert "COPY --chmod=755 . /models" in (DEPLOY / "model.Dockerfile").read_text(encoding="utf-8")


def test_a_service_of_the_same_name_cannot_set_the_port() -> None:
    name = document("kubernetes/base/service.yaml")["metadata"]["name"]
    assert f"{name.upper()}_PORT" == "LITEFT_PORT"  # which Kubernetes sets to tcp://... in every pod that wants links
    assert pod()["enableServiceLinks"] is False
    (runtime,) = document("kserve/clusterservingruntime.yaml")["spec"]["containers"]
    assert {"name": "LITEFT_PORT", "value": "8080"} in runtime["env"]


def test_the_secret_of_the_example_is_refused_by_the_server(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(document("kubernetes/base/secret.yaml")["stringData"]["keys"], encoding="utf-8")
    with pytest.raises(ConfigError, match="too short"):
        Keys(keys)


def test_the_autoscaler_asks_for_the_metric_of_the_adapters_rule() -> None:
    asked = document("kubernetes/monitoring/hpa.yaml")["spec"]
    (metric,) = [each["pods"]["metric"]["name"] for each in asked["metrics"] if each["type"] == "Pods"]
    (rule,) = document("kubernetes/monitoring/prometheus-adapter.yaml")["rules"]
    assert metric == rule["name"]["as"]
    assert asked["scaleTargetRef"] == document("kubernetes/base/hpa.yaml")["spec"]["scaleTargetRef"]
    assert asked["scaleTargetRef"]["name"] == deployment()["metadata"]["name"]


def probes() -> list[str]:
    (runtime,) = document("kserve/clusterservingruntime.yaml")["spec"]["containers"]
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    return sorted({each[kind]["httpGet"]["path"] for each in (container(), runtime) for kind in kinds})


@pytest.mark.parametrize("path", probes())
def test_a_probe_is_answered_without_a_key(started: Started, path: str) -> None:
    assert started.server.ask("GET", path)[0] == 200


def test_kserve_finds_the_model_by_the_name_of_the_service(started: Started) -> None:
    name = document("kserve/inferenceservice.yaml")["metadata"]["name"]
    (runtime,) = document("kserve/clusterservingruntime.yaml")["spec"]["containers"]
    assert runtime["args"] == ["serve", "{{.Name}}=/mnt/models"]  # the server of this test was started so
    key = {"X-API-Key": KEY}
    assert started.server.ask("GET", f"/v2/models/{name}/ready")[0] == 200
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["late"]}
    status, answer, _ = started.server.ask("POST", f"/v2/models/{name}/infer", {"inputs": [tensor]}, key)
    assert (status, answer["model_name"]) == (200, name)
    assert started.server.ask("POST", f"/v1/models/{name}:predict", {"instances": ["late"]}, key)[0] == 200


def test_requests_need_a_key_and_the_port_of_metrics_does_not(started: Started) -> None:
    assert started.server.ask("POST", "/predict", {"inputs": "late"})[0] == 401
    assert started.server.ask("GET", "/metrics", None, {"X-API-Key": KEY})[0] == 404
    assert "liteft_ready 1.0" in started.metrics()


def test_no_file_of_deploy_has_a_tab_or_a_line_that_is_too_long() -> None:
    for path in DEPLOY.rglob("*.*"):
        if path.suffix in (".yaml", ".Dockerfile"):
            lines = path.read_text(encoding="utf-8").splitlines()
            assert all("\t" not in line and len(line) <= 140 for line in lines), path
    json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
