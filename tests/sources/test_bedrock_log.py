"""Who called Bedrock by its log in S3: each request once, however files come, and nothing of what was asked is kept.

CloudWatch, S3 and STS are moto's, by HTTP; what is in them is put there by botocore's own client.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

pytest.importorskip("obstore", reason="obstore is not installed (pip install alertd[aws])")

from alertd.sources.bedrock import Options, build
from tests.servers.source_ledger import SourceLedger

NOW = datetime.now(UTC).replace(minute=2, second=0, microsecond=0)
AT = NOW - timedelta(minutes=90)
ACCOUNT = "123456789012"
SONNET = "us.anthropic.claude-sonnet-4-6"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/gateway/ana"
USER = f"arn:aws:iam::{ACCOUNT}:user/BedrockAPIKey-x1"
PROMPT = "the secret plans of the prompt"


@pytest.fixture(scope="module")
def amazon() -> Iterator[tuple[str, Any]]:
    """The address of an AWS, and what makes botocore's clients for it."""
    server_class = pytest.importorskip(
        "moto.server", reason="moto is not installed (pip install alertd[emulators])"
    ).ThreadedMotoServer
    session = pytest.importorskip("botocore.session").Session()
    session.set_credentials("AKIA", "s" * 20)
    server = server_class(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        yield url, lambda service: session.create_client(service, "us-east-1", endpoint_url=url)
    finally:
        server.stop()


def request(name: str, arn: str = ROLE, at: datetime = AT, **more: Any) -> dict[str, Any]:
    """A line of the log as AWS writes it, with bodies."""
    return {
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "accountId": ACCOUNT, "identity": {"arn": arn}, "region": "us-east-1", "requestId": name,
        "operation": "Converse", "modelId": SONNET,
        "input": {"inputContentType": "application/json", "inputTokenCount": 100, "cacheReadInputTokenCount": 1000,
                  "cacheWriteInputTokenCount": 10, "inputBodyJson": {"messages": [{"content": PROMPT}]}},
        "output": {"outputContentType": "application/json", "outputTokenCount": 20,
                   "outputBodyJson": {"output": {"message": {"content": [{"text": PROMPT}]}}}},
        **more,
    }  # fmt: skip


@dataclass
class Bedrock:
    """An account that logs to a bucket of its own; `ledger` is what alertd read of it."""

    url: str
    client: Any
    bucket: str
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client("s3").create_bucket(Bucket=self.bucket)
        given = {"access_key_id": "AKIA", "secret_access_key": "s" * 20, "regions": "us-east-1", "url": self.url}
        path = f"s3://{self.bucket}/logs"
        self.ledger = SourceLedger(build("aws", Options.model_validate({**given, "log_path": path, **self.options})))

    def use(self, requests: int, at: datetime = AT) -> None:
        """The metrics of so many requests."""
        counts = {"InputTokenCount": 100, "OutputTokenCount": 20,
                  "CacheReadInputTokenCount": 1000, "CacheWriteInputTokenCount": 10}  # fmt: skip
        data = [
            {"MetricName": name, "Dimensions": [{"Name": "ModelId", "Value": SONNET}], "Timestamp": at, "Unit": "Count",
             "Value": float(count * requests)}
            for name, count in counts.items()
        ]  # fmt: skip
        self.client("cloudwatch").put_metric_data(Namespace="AWS/Bedrock", MetricData=data)

    def put(self, name: str, body: bytes, hour: datetime = AT) -> None:
        folder = f"logs/AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/us-east-1/{hour:%Y/%m/%d/%H}"
        self.client("s3").put_object(Bucket=self.bucket, Key=f"{folder}/{name}", Body=body)

    def log(self, name: str, *lines: dict[str, Any] | str, hour: datetime = AT) -> None:
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        self.put(f"{name}.json.gz", gzip.compress(text.encode()), hour)

    def read(self, now: datetime = NOW) -> None:
        self.ledger.round(NOW - timedelta(days=1), now)

    def by(self, label: str, meter: str = "output") -> dict[str, int]:
        found: dict[str, int] = {}
        for (key, _, _), n in self.ledger.buckets.items():
            if key.line.meter == meter:
                value = dict(key.labels).get(label, "")
                found[value] = found.get(value, 0) + n
        return {value: n for value, n in found.items() if n}


@pytest.fixture
def bedrock(amazon: tuple[str, Any], request: pytest.FixtureRequest) -> Iterator[Bedrock]:
    url, client = amazon
    yield Bedrock(url, client, "log", getattr(request, "param", {}))
    httpx.post(f"{url}/moto-api/reset", trust_env=False)


def test_the_metric_says_how_much_and_the_log_who_by_every_class_of_tokens(bedrock: Bedrock):
    bedrock.use(4)
    bedrock.log("a", *(request(f"r{n}") for n in range(2)), request("r2", USER))
    bedrock.read()
    assert (bedrock.ledger.error, bedrock.ledger.warnings) == (None, ())
    for meter, each in (("input", 100), ("output", 20), ("cached_input", 1000), ("cache_write", 10)):
        assert bedrock.by("key", meter) == {"gateway": 2 * each, "BedrockAPIKey-x1": each, "": each}
    assert bedrock.by("session") == {"ana": 40, "": 40}


def test_what_comes_late_is_added_and_what_comes_again_is_not(bedrock: Bedrock):
    bedrock.use(4)
    bedrock.log("a", request("r0"))
    bedrock.read()
    assert bedrock.by("key") == {"gateway": 20, "": 60}
    bedrock.log("a-again", request("r0"), request("r1"), hour=AT + timedelta(hours=1))
    bedrock.log("b", request("r2", USER), request("r2", USER))
    bedrock.read(NOW + timedelta(minutes=5))
    assert bedrock.by("key") == {"gateway": 40, "BedrockAPIKey-x1": 20, "": 20}
    bedrock.log("b", request("r2", USER), request("r3", USER))
    bedrock.read(NOW + timedelta(minutes=10))
    assert bedrock.by("key") == {"gateway": 40, "BedrockAPIKey-x1": 40}, "a file that was written again"


@pytest.mark.parametrize("bedrock", [{"metadata": "team,case"}], indirect=True)
def test_metadata_of_a_request_are_labels_where_they_are_named(bedrock: Bedrock):
    bedrock.use(3)
    bedrock.log(
        "a",
        request("r0", requestMetadata={"team": "search", "customer": "acme"}),
        request("r1", requestMetadata={"team": 7, "case": ""}),
        request("r2", requestMetadata=None),
    )
    bedrock.read()
    assert bedrock.by("team") == {"search": 20, "": 40}
    assert bedrock.ledger.labels("customer") == {""}


def test_bodies_and_what_is_beside_the_log_are_not_read(bedrock: Bedrock):
    bedrock.use(1)
    huge = request("r0")
    huge["input"]["inputBodyJson"] = {"prompt": PROMPT * 50_000}
    bedrock.log("a", huge)
    bedrock.put("data/r0_input.json.gz", gzip.compress(json.dumps(request("r9")).encode()))
    bedrock.put("amazon-bedrock-logs-permission-check", b"")
    bedrock.read()
    assert (bedrock.by("key"), bedrock.ledger.warnings) == ({"gateway": 20}, ())
    assert PROMPT not in repr(vars(bedrock.ledger.source))


@pytest.mark.parametrize(
    ("body", "callers"),
    [
        (gzip.compress(json.dumps(request("r1")).encode() + b"\n{" + PROMPT.encode()), {"gateway": 20, "": 20}),
        (gzip.compress(json.dumps(request("r1")).encode() + b"\n")[:-9], {"gateway": 20, "": 20}),
        (b"no gzip " + PROMPT.encode(), {"": 40}),
        (gzip.compress(b'{"timestamp": "yesterday", "modelId": "m", "input": {"inputTokenCount": "all"}}'), {"": 40}),
        (gzip.compress(b"[" * 100_000), {"": 40}),
    ],
    ids=["half a line", "a cut file", "not packed", "other types", "too deep"],
)
def test_what_cannot_be_read_is_said_without_a_word_of_it_and_lowers_nothing(
    bedrock: Bedrock, body: bytes, callers: dict[str, int]
):
    bedrock.use(2)
    bedrock.put("bad.json.gz", body)
    bedrock.read()
    assert bedrock.by("key") == callers
    assert "cannot be read: who called is not known" in bedrock.ledger.warnings[0]
    assert "bad.json.gz" in bedrock.ledger.warnings[0]
    assert PROMPT not in str(bedrock.ledger.warnings)


def test_a_place_without_the_log_and_one_that_is_not_there_are_said(bedrock: Bedrock):
    bedrock.use(1)
    bedrock.read()
    assert "LOG_PATH has no request of a time in which tokens were used" in bedrock.ledger.warnings[0]
    other = Bedrock(bedrock.url, bedrock.client, "other", {"log_path": "s3://nowhere/logs"})
    other.read()
    assert other.by("key") == {"": 20}
    assert "who called is not known: s3://nowhere/logs cannot be read" in other.ledger.warnings[0]


def test_a_log_with_more_than_the_metric_is_said_once_and_the_metric_counts(
    bedrock: Bedrock, caplog: pytest.LogCaptureFixture
):
    bedrock.use(1)
    bedrock.log("a", *(request(f"r{n}", output={"outputTokenCount": 100}) for n in range(1)))
    with caplog.at_level("WARNING", "alertd"):
        bedrock.read()
        bedrock.read(NOW + timedelta(minutes=5))
    said = [one.getMessage() for one in caplog.records if "the invocation log has over 5% more" in one.getMessage()]
    assert len(said) == 1
    assert "more output tokens than CloudWatch's metric" in said[0]
    assert bedrock.by("key") == {"gateway": 20}
