"""The Helm chart, rendered and linted by Helm's own library, each object against Kubernetes' own schemas."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alertd import __version__
from alertd.settings import load_settings

yaml: Any = pytest.importorskip("yaml", reason="the chart is rendered by `make deploy`, which installs what it needs")
helm: Any = pytest.importorskip("helm_python.chart", reason="the chart is rendered by `make deploy`")
kubernetes: Any = pytest.importorskip("kubernetes_validate", reason="the chart is rendered by `make deploy`")

ROOT = Path(__file__).parents[2]
CHART = ROOT / "config" / "helm" / "alertd"
BASE = ROOT / "config" / "kustomize"
#: The oldest that the chart takes, and those that get fixes or are widely run.
KUBERNETES = ("1.27", "1.29", "1.31", "1.33", "1.35", "1.37")
#: Of the Prometheus Operator and the Gateway API: validators made of their CRDs, by `make deploy` from npm.
MODELS = Path(sys.prefix) / "node"
VALIDATE = """
import { readFileSync } from "node:fs";
let wrong = 0;
for (const one of JSON.parse(readFileSync(0))) {
  const from = one.apiVersion.startsWith("gateway") ? "gateway-api" : "prometheus-operator";
  const models = await import(`@kubernetes-models/${from}/${one.apiVersion}`);
  try { new models[one.kind](one).validate(); } catch (error) { wrong += 1; console.log(one.kind, error.message); }
}
process.exit(wrong);
"""
POSTGRES = {"secretEnv": {"ALERTD_DATABASE": "postgresql://alertd@db/alertd"}, "persistence": {"enabled": False}}
VALUES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "two replicas on PostgreSQL": {"replicas": 2, **POSTGRES},
    "everything": {
        "image": {"repository": "registry.example.com/alertd", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "persistence": {"enabled": True, "size": "5Gi", "storageClass": "fast"},
        "secretEnv": {"ALERTD_HTTP__TOKEN": 'q"uote: yes', "ALERTD_NOTIFIERS__OPS__WEBHOOK_URL": "https://x/y"},
        "files": {"teams.csv": "team,amount\nresearch,500 USD\n"},
        "serviceAccount": {"annotations": {"a/b": "c"}},
        "podAnnotations": {"prometheus.io/scrape": "true"},
        "podLabels": {"team": "platform"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "networkPolicy": {"enabled": True, "fromNamespaces": ["monitoring"], "toPorts": [443]},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "priorityClassName": "high",
        "extraEnv": [{"name": "TZ", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "extraVolumes": [{"name": "authorities", "configMap": {"name": "authorities"}}],
        "extraVolumeMounts": [{"name": "authorities", "mountPath": "/etc/ssl/certs"}],
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "a.example.com",
            "tlsSecret": "tls",
            "annotations": {"a": "b"},
        },
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]},
        "serviceMonitor": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "interval": "15s",
            "relabelings": [{"targetLabel": "cluster", "replacement": "one"}],
        },
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "LLM"}},
        "service": {"allowancePort": 9481},
    },
    "an account and a Secret that are there": {
        "replicas": 3,
        "image": {"repository": "alertd", "digest": "sha256:" + "0" * 64},
        "existingSecret": "mine",
        "persistence": {"enabled": False},
        "serviceAccount": {"create": False, "name": "robot"},
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "ingress": {"enabled": True},
        "serviceMonitor": {"enabled": True, "tokenKey": ""},
    },
}


def rendered(values: dict[str, Any], name: str = "alertd") -> dict[tuple[str, str], dict[str, Any]]:
    """Every object, by kind and name."""
    pages = helm.Chart.load(str(CHART)).render(values, name=name, namespace="llm")
    texts = [text for path, text in pages.items() if path.endswith(".yaml")]
    found = [one for text in texts for one in yaml.safe_load_all(text) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def is_custom(one: dict[str, Any]) -> bool:
    return one["apiVersion"].startswith(("monitoring.coreos.com", "gateway.networking"))


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_every_object_is_one_that_kubernetes_takes(values: dict[str, Any], version: str) -> None:
    for one in rendered(values).values():
        if not is_custom(one):
            kubernetes.validate(one, version, strict=True)


def validated(objects: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """What the validators of the custom resources say of objects; status 0 where nothing."""
    if not (MODELS / "node_modules").is_dir() or shutil.which("node") is None:
        pytest.skip("no validators of custom resources; `make deploy` installs them, with node and npm")
    command = ["node", "--input-type=module", "--eval", VALIDATE]
    return subprocess.run(command, cwd=MODELS, input=json.dumps(objects), capture_output=True, text=True, check=False)


def test_every_custom_resource_is_one_that_its_operator_takes() -> None:
    objects = [one for values in VALUES.values() for one in rendered(values).values() if is_custom(one)]
    assert {one["kind"] for one in objects} == {"ServiceMonitor", "PrometheusRule", "HTTPRoute"}
    done = validated(objects)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    for one in objects:
        one["spec"] |= {"endpoints": 7, "parentRefs": 7, "groups": 7}
    assert validated(objects).returncode == len(objects), "the validators find what is wrong"


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_helm_s_own_lint_finds_nothing(values: dict[str, Any]) -> None:
    report = helm.lint(str(CHART), values, strict=True)
    assert report["errors"] == []
    assert [m for m in report["messages"] if m["severity"] > 1] == []


def test_the_pod_is_as_narrow_as_it_can_be() -> None:
    pod = rendered({})["StatefulSet", "alertd"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness", "startup")}
    assert probes == {"liveness": "/healthz", "readiness": "/readyz", "startup": "/readyz"}
    assert pod["terminationGracePeriodSeconds"] > 10, "SIGTERM is answered within 10 s"
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {"/var/lib/alertd", "/run/secrets/alertd", "/tmp"} <= mounted.keys()
    volumes = {volume["name"] for volume in pod["volumes"]} | {"state"}
    assert set(mounted.values()) == volumes


def test_secrets_are_mounted_as_files_and_stand_in_no_environment() -> None:
    found = rendered(VALUES["everything"])
    assert found["Secret", "alertd-secrets"]["stringData"] == VALUES["everything"]["secretEnv"]
    others = str({key: one for key, one in found.items() if key[0] != "Secret"})
    assert "https://x/y" not in others
    assert rendered({"existingSecret": "mine"}).get(("Secret", "mine")) is None


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_alertd_takes_what_the_chart_gives_it(values: dict[str, Any], tmp_path: Path) -> None:
    found = rendered(values)
    for name, text in found.get(("Secret", "alertd-secrets"), {}).get("stringData", {}).items():
        (tmp_path / name).write_text(text)
    environment = {**found["ConfigMap", "alertd-env"]["data"], "ALERTD_SECRETS_DIR": str(tmp_path)}
    more = (
        {"ALERTD_NOTIFIERS__OPS__KIND": "slack"} if (tmp_path / "ALERTD_NOTIFIERS__OPS__WEBHOOK_URL").exists() else {}
    )
    assert load_settings({**environment, **more}, need=("sources", "budgets", "notifiers"))


def test_a_changed_environment_rolls_the_pods_and_a_changed_secret_does_not() -> None:
    def annotations(values: dict[str, Any]) -> Any:
        return rendered(values)["StatefulSet", "alertd"]["spec"]["template"]["metadata"]["annotations"]

    assert annotations({"env": {"ALERTD_DIGEST": "daily"}}) != annotations({})
    assert annotations({"secretEnv": {"ALERTD_HTTP__TOKEN": "x"}}) == annotations({})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "more than one replica needs a PostgreSQL"),
        ({"replicas": 0}, "replicas"),
        ({"env": {"SOMETHING": "x"}}, "SOMETHING"),
        ({"env": {"ALERTD_DRY_RUN": True}}, "ALERTD_DRY_RUN"),
        ({"imagee": {}}, "imagee"),
        ({"persistence": {"size": "much"}}, "size"),
        ({"networkPolicy": {"toPorts": [0]}}, "toPorts"),
        ({"httpRoute": {"enabled": True}}, "parentRefs"),
        ({"image": {"repository": "alertd", "digest": "latest"}}, "digest"),
        ({"serviceMonitor": {"interval": "often"}}, "interval"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        rendered(values)


def test_the_release_s_name_is_that_of_its_objects() -> None:
    assert ("StatefulSet", "prod-alertd") in rendered({}, "prod")
    assert ("StatefulSet", "alertd-eu") in rendered({}, "alertd-eu")


def test_the_version_is_the_program_s_everywhere() -> None:
    about = helm.Chart.load(str(CHART)).metadata
    assert (about["version"], about["appVersion"]) == (__version__, __version__)
    (image,) = yaml.safe_load((BASE / "kustomization.yaml").read_text())["images"]
    assert image["newTag"] == __version__


# --- what watches alertd ---


def test_rules_and_dashboard_are_those_of_the_checkout() -> None:
    found = rendered(VALUES["everything"])
    for name in ("alerts.yml", "finance.json", "operations.json"):
        assert (CHART / "files" / name).read_text() == (ROOT / "config" / "grafana" / name).read_text(), "make docs"
    rules = yaml.safe_load((CHART / "files" / "alerts.yml").read_text())
    assert found["PrometheusRule", "alertd"]["spec"] == rules
    for name in ("finance", "operations"):
        board = json.loads((CHART / "files" / f"{name}.json").read_text())
        assert json.loads(found["ConfigMap", "alertd-dashboard"]["data"][f"alertd-{name}.json"]) == board
    assert found["ConfigMap", "alertd-dashboard"]["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_what_is_scraped_has_the_job_that_the_rules_ask_for_and_shows_the_token() -> None:
    found = rendered(VALUES["everything"], "prod")
    spec = found["ServiceMonitor", "prod-alertd"]["spec"]
    service = found["Service", "prod-alertd"]
    assert service["metadata"]["labels"][spec["jobLabel"]] == "alertd"
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    token = endpoint["authorization"]["credentials"]
    assert token["key"] in found["Secret", token["name"]]["stringData"]


# --- routes, replicas, what is there already ---


def test_browsers_come_by_an_ingress_or_a_gateway_to_the_service_s_own_port() -> None:
    found = rendered(VALUES["everything"])
    ports = {port["name"]: port["port"] for port in found["Service", "alertd"]["spec"]["ports"]}
    (rule,) = found["Ingress", "alertd"]["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert (rule["host"], backend["name"], backend["port"]["name"] in ports) == ("a.example.com", "alertd", True)
    assert found["Ingress", "alertd"]["spec"]["tls"] == [{"hosts": ["a.example.com"], "secretName": "tls"}]
    (way,) = found["HTTPRoute", "alertd"]["spec"]["rules"]
    assert way["backendRefs"] == [{"name": "alertd", "port": ports["http"]}]


def test_the_allowance_has_a_port_of_its_own_where_it_is_asked_for() -> None:
    def ports(values: dict[str, Any]) -> tuple[list[str], list[str], list[str], dict[str, str]]:
        found = rendered({**values, "networkPolicy": {"enabled": True}})
        (pod,) = [one["spec"]["template"]["spec"] for (kind, _), one in found.items() if kind == "StatefulSet"]
        (container,) = pod["containers"]
        (ingress,) = found["NetworkPolicy", "alertd"]["spec"]["ingress"]
        return (
            [one["targetPort"] for one in found["Service", "alertd"]["spec"]["ports"]],
            [one["name"] for one in container["ports"]],
            [one["port"] for one in ingress["ports"]],
            {one["name"]: one["value"] for one in container["env"]},
        )

    assert ports({}) == (["http"], ["http"], ["http"], {"ALERTD_SECRETS_DIR": "/run/secrets/alertd"})
    *named, environment = ports({"service": {"allowancePort": 9481}})
    assert named == [["http", "allowance"]] * 3
    assert environment["ALERTD_HTTP__ALLOWANCE_LISTEN"] == "0.0.0.0:9481"


def test_what_is_there_already_is_used_and_not_made() -> None:
    found = rendered(VALUES["an account and a Secret that are there"])
    assert {"ServiceAccount", "Secret"}.isdisjoint(kind for kind, _ in found)
    pod = found["StatefulSet", "alertd"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "robot"
    assert pod["containers"][0]["image"] == "alertd@sha256:" + "0" * 64
    assert found["PodDisruptionBudget", "alertd"]["spec"]["maxUnavailable"] == "50%"
    assert "authorization" not in found["ServiceMonitor", "alertd"]["spec"]["endpoints"][0]
    off = {"replicas": 2, **POSTGRES, "podDisruptionBudget": {"enabled": False}}
    assert ("PodDisruptionBudget", "alertd") not in rendered(off)


def test_what_is_added_to_the_pod_stands_in_it() -> None:
    values = VALUES["everything"]
    pod = rendered(values)["StatefulSet", "alertd"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert values["extraEnv"][0] in container["env"]
    assert values["extraVolumeMounts"][0] in container["volumeMounts"]
    assert values["extraVolumes"][0] in pod["volumes"]
    (spread,) = pod["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/name"] == "alertd"


def test_the_test_s_pod_is_none_of_those_that_the_service_leads_to() -> None:
    """And a network policy lets it in."""
    found = rendered(VALUES["everything"])
    labels = found["Pod", "alertd-test"]["metadata"]["labels"]
    assert not found["Service", "alertd"]["spec"]["selector"].items() <= labels.items()
    let_in = [one.get("podSelector") for one in found["NetworkPolicy", "alertd"]["spec"]["ingress"][0]["from"]]
    assert any(one and one["matchLabels"].items() <= labels.items() for one in let_in)


def test_the_readme_has_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    text = (CHART / "README.md").read_text()
    assert [name for name in values if f"`{name}" not in text] == []
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    assert rendered(shown)


# --- without Helm ---


def kustomized(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What `kubectl apply -k` would apply."""
    program = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    if shutil.which(program[0]) is None:
        pytest.skip("no kustomize and no kubectl (Debian: kubernetes-client)")
    done = subprocess.run([*program, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}


def test_the_kustomize_base_is_what_the_chart_makes_of_its_defaults() -> None:
    base, chart = kustomized(BASE), rendered({})
    for one in base.values():
        for version in KUBERNETES:
            kubernetes.validate(one, version, strict=True)
    mine, theirs = (found["StatefulSet", "alertd"]["spec"] for found in (base, chart))
    pod, other = (one["template"]["spec"] for one in (mine, theirs))
    (container,) = pod["containers"]
    (name,) = [name for kind, name in base if kind == "ConfigMap"]
    assert container["envFrom"] == [{"configMapRef": {"name": name}}]
    assert name.startswith("alertd-env-"), "a changed environment rolls the pods"
    assert base["ConfigMap", name]["data"] == chart["ConfigMap", "alertd-env"]["data"]
    container["envFrom"] = other["containers"][0]["envFrom"]
    for volume in pod["volumes"]:  # nobody has made them yet
        assert volume.get("secret", volume.get("configMap", {})).pop("optional", True)
    mine["template"]["metadata"], theirs["template"]["metadata"] = {}, {}
    assert mine == theirs
    assert base["Service", "alertd"]["spec"] == chart["Service", "alertd"]["spec"]
