"""The whole way on AWS's interfaces, by HTTP: usage in, alert out, policy attached, read back, detached again.

moto is the AWS; what it does is set up and looked at by botocore's own client, not by ours.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.servers.webhook import WebhookServer
from tests.system.daemon import Daemon, env_file, wait_for
from tests.system.test_action_daemon import alertd

MODEL = "us.anthropic.claude-sonnet-4-6"
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": ["bedrock:InvokeModel"], "Resource": "*"}]}
TRUST = {"Version": "2012-10-17", "Statement": []}


@contextmanager
def amazon() -> Iterator[tuple[str, Any]]:
    """An AWS on a free port, and what makes botocore's clients for it."""
    server_class = pytest.importorskip(
        "moto.server", reason="moto is not installed (pip install alertd[emulators])"
    ).ThreadedMotoServer
    session = pytest.importorskip("botocore.session").Session()
    session.set_credentials("AKIAIOSFODNN7EXAMPLE", "s" * 40)
    server = server_class(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        yield url, lambda service: session.create_client(service, "us-east-1", endpoint_url=url)
    finally:
        server.stop()


@contextmanager
def calling(cloudwatch: Any) -> Iterator[threading.Event]:
    """Somebody calls the model all the time: 40,000 output tokens a fifth of a second."""
    over = threading.Event()

    def call() -> None:
        while not over.wait(0.2):
            at, model = datetime.now(UTC), [{"Name": "ModelId", "Value": MODEL}]
            data = [
                {"MetricName": name, "Dimensions": model, "Timestamp": at, "Value": float(n)}
                for name, n in (("InputTokenCount", 200_000), ("OutputTokenCount", 40_000))
            ]  # fmt: skip
            cloudwatch.put_metric_data(Namespace="AWS/Bedrock", MetricData=data)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield over
    finally:
        over.set()
        thread.join()


@pytest.mark.timeout(600)
def test_a_role_that_uses_up_a_budget_is_denied_bedrock_and_gets_it_back(tmp_path: Path) -> None:
    with amazon() as (url, client), WebhookServer(secret="s" * 16) as hook:
        iam = client("iam")
        iam.create_role(RoleName="rag-indexer", AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.create_role(RoleName="alertd-reader", AssumeRolePolicyDocument=json.dumps(TRUST))
        arn = iam.create_policy(PolicyName="BudgetStop", PolicyDocument=json.dumps(DENY))["Policy"]["Arn"]
        file = env_file(tmp_path / "alertd.env", {
            "ALERTD_DATABASE": f"sqlite:///{tmp_path}/alertd.db",
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__AWS__KIND": "bedrock",
            "ALERTD_SOURCES__AWS__URL": url,
            "ALERTD_SOURCES__AWS__REGIONS": "us-east-1",
            "ALERTD_SOURCES__AWS__INTERVAL": "1s",
            "ALERTD_SOURCES__AWS__DELAY": "0s",
            "ALERTD_SOURCES__AWS__ACCESS_KEY_ID": "AKIAREADING",
            "ALERTD_SOURCES__AWS__SECRET_ACCESS_KEY": "r" * 40,
            "ALERTD_SOURCES__AWS__ASSUME_ROLE": "arn:aws:iam::123456789012:role/alertd-reader",
            "ALERTD_SOURCES__AWS__LABELS": "key=rag-indexer",
            "ALERTD_BUDGETS__RESEARCH__AMOUNT": "1 USD",
            "ALERTD_BUDGETS__RESEARCH__ACTIONS": "stop",
            "ALERTD_ACTIONS__STOP__KIND": "bedrock",
            "ALERTD_ACTIONS__STOP__URL": url,
            "ALERTD_ACTIONS__STOP__POLICY_ARN": arn,
            "ALERTD_ACTIONS__STOP__ACCESS_KEY_ID": "AKIAACTING",
            "ALERTD_ACTIONS__STOP__TOKEN": "a" * 40,
            "ALERTD_ACTIONS__STOP__MODE": "auto",
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": hook.url,
            "ALERTD_NOTIFIERS__HOOK__SECRET": "s" * 16,
        })  # fmt: skip

        def attached() -> list[str]:
            return [
                p["PolicyName"] for p in iam.list_attached_role_policies(RoleName="rag-indexer")["AttachedPolicies"]
            ]

        with calling(client("cloudwatch")) as over:
            daemon = Daemon(file)
            try:
                wait_for("the alert", lambda: [r for r in hook.requests if r.json["event"] == "threshold"])
                wait_for("the policy", lambda: attached() == ["BudgetStop"])
                wait_for("verified", lambda: "verified" in alertd(file))
                over.set()
                told = wait_for("the word of it", lambda: _said(hook, "read back"))
                (act,) = json.loads(alertd(file, "list", "--json"))
                alertd(file, "restore", act["id"][:6], "--by", "ana")
                wait_for("the policy to be off", lambda: attached() == [])
                wait_for("restored", lambda: "restored" in alertd(file))
                budget = daemon.get("/api/v1/budgets")["budgets"][0]
            finally:
                status, _ = daemon.stop()
    assert (status, act["target"], told[0]["budget"], budget["status"]) == (0, "rag-indexer", "research", "over")
    assert not [line for line in daemon.raw if "a" * 40 in line or "r" * 40 in line]


def _said(hook: WebhookServer, text: str) -> list[dict[str, Any]]:
    return [r.json for r in hook.requests if r.json["event"] == "action" and text in r.json["reason"]]
