"""The Helm chart, rendered and linted by Helm's own library, each object against Kubernetes' own schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alertd import __version__
from alertd.settings import load_settings

yaml: Any = pytest.importorskip("yaml", reason="the chart is rendered by `make deploy`, which installs what it needs")
helm: Any = pytest.importorskip("helm_python.chart", reason="the chart is rendered by `make deploy`")
kubernetes: Any = pytest.importorskip("kubernetes_validate", reason="the chart is rendered by `make deploy`")

CHART = Path(__file__).parents[2] / "config" / "helm" / "alertd"
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
    },
}


def rendered(values: dict[str, Any], name: str = "alertd") -> dict[tuple[str, str], dict[str, Any]]:
    """Every object, by kind and name."""
    pages = helm.Chart.load(str(CHART)).render(values, name=name, namespace="llm")
    texts = [text for path, text in pages.items() if path.endswith(".yaml")]
    found = [one for text in texts for one in yaml.safe_load_all(text) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_every_object_is_one_that_kubernetes_takes(values: dict[str, Any]) -> None:
    for one in rendered(values).values():
        for version in ("1.27", "1.34"):
            kubernetes.validate(one, version, strict=True)


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
    for name, text in (found["Secret", "alertd-secrets"]["stringData"] or {}).items():
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
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        rendered(values)


def test_the_release_s_name_is_that_of_its_objects() -> None:
    assert ("StatefulSet", "prod-alertd") in rendered({}, "prod")
    assert ("StatefulSet", "alertd-eu") in rendered({}, "alertd-eu")


def test_the_chart_s_version_is_the_program_s() -> None:
    assert helm.Chart.load(str(CHART)).metadata["appVersion"] == __version__
