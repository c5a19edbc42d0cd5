"""Alibaba's three cuts of one bill: signed, paged, signed again; a CSV with headers in any language."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from alertd.clients.cloud_credentials import Call, Credentials, canonical_request, signed_headers
from alertd.core.money import Money
from alertd.sources.alibaba import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 16, 16, tzinfo=UTC)  # 17 November in China
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SECRET = "ak-very-secret"

#: Published in "V3 request structure and signature", Alibaba Cloud.
PUBLISHED = Call(
    "POST",
    "ecs.cn-shanghai.aliyuncs.com",
    "/",
    "RunInstances",
    "2014-05-26",
    datetime(2023, 10, 26, 10, 22, 32, tzinfo=UTC),
    "3156853299f313e23d1673dc12e1703d",
    (("RegionId", "cn-shanghai"), ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd")),
)


def test_the_signature_is_the_published_one() -> None:
    headers = signed_headers(PUBLISHED, Credentials("YourAccessKeyId", "YourAccessKeySecret"))
    signature = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    assert headers["Authorization"].endswith(f"Signature={signature}")
    canonical = sha256(canonical_request(PUBLISHED, headers).encode()).hexdigest()
    assert canonical == "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259"


def test_a_temporary_credential_signs_its_token_and_shows_none_of_it() -> None:
    credentials = Credentials("id", "hush", "hush-token")
    headers = signed_headers(PUBLISHED, credentials)
    assert ";x-acs-security-token;" in headers["Authorization"]
    assert headers["x-acs-security-token"] == "hush-token"
    assert "hush" not in repr(credentials)


def row(**fields: Any) -> dict[str, Any]:
    return {
        "InstanceID": "text_token;llm-abc123;qwen-max;output_token;app", "ProductCode": "sfm",
        "ProductName": "Alibaba Cloud Model Studio", "ProductDetail": "Model Studio Foundation Model Inference",
        "BillingDate": "2026-11-19", "SubscriptionType": "PayAsYouGo", "Item": "PayAsYouGoBill",
        "BillingItem": "Output tokens", "BillingItemCode": "token", "Usage": "1250.000", "UsageUnit": "1K tokens",
        "ListPrice": "0.0064", "PretaxGrossAmount": 8.0, "PretaxAmount": 8.0, "Currency": "USD",
        "Region": "Singapore", "OwnerID": "185", **fields,
    }  # fmt: skip


class Bss:
    """The BSS interface: it verifies every signature as Alibaba does, and serves days in pages of two."""

    def __init__(self, **days: list[dict[str, Any]]) -> None:
        self.days = {name.removeprefix("d").replace("_", "-"): rows for name, rows in days.items()}
        self.faults: dict[int, Reply] = {}
        self.count = 0
        self.nonces: set[str] = set()
        self.balance = Reply(
            {"Code": "200", "Success": True, "Data": {"AvailableAmount": "1,000.19", "Currency": "USD"}}
        )

    def __call__(self, asked: Asked) -> Reply:
        self.count += 1
        if self.count in self.faults:
            return self.faults[self.count]
        if refused := self._refused(asked):
            return refused
        if asked.headers["x-acs-action"] == "QueryAccountBalance":
            return self.balance
        rows = self.days.get(asked.one("BillingDate"), [])
        start = int(asked.one("NextToken") or 0)
        more = str(start + 2) if start + 2 < len(rows) else ""
        data = {"BillingCycle": asked.one("BillingCycle"), "TotalCount": len(rows), "NextToken": more,
                "MaxResults": 300, "Items": rows[start : start + 2]}  # fmt: skip
        return Reply({"RequestId": "r", "Success": True, "Code": "Success", "Message": "Successful!", "Data": data})

    def _refused(self, asked: Asked) -> Reply | None:
        headers = asked.headers
        names = headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
        lines = "".join(f"{name}:{headers[name]}\n" for name in names.split(";"))
        request = "\n".join((asked.method, asked.path, asked.raw_query, lines, names, sha256(asked.body).hexdigest()))
        to_sign = "ACS3-HMAC-SHA256\n" + sha256(request.encode()).hexdigest()
        wanted = digest(SECRET.encode(), to_sign.encode(), "sha256").hex()
        if not headers["authorization"].endswith(f"Signature={wanted}"):
            return Reply({"Code": "SignatureDoesNotMatch", "Message": request}, 400)
        if headers["x-acs-signature-nonce"] in self.nonces:
            return Reply({"Code": "SignatureNonceUsed", "Message": "again"}, 400)
        self.nonces.add(headers["x-acs-signature-nonce"])
        return None


def held(url: str = "", **options: Any) -> SourceLedger:
    keys = {} if options.get("read") == "file" else {"access_key_id": "LTAI", "access_key_secret": SECRET, "url": url}
    return SourceLedger(build("alibaba", Options.model_validate({**keys, **options})))


def test_a_day_of_several_pages_gives_tokens_and_money_by_model_workspace_and_channel() -> None:
    rows = [
        row(),
        row(InstanceID="text_token;llm-abc123;qwen-max;input_tokens;app", Usage="400", PretaxAmount=0.64),
        row(InstanceID="text_token;llm-xyz;qwen-max;cached_token;bmp", Usage="600000", UsageUnit="tokens",
            PretaxAmount="0.384"),
    ]  # fmt: skip
    with serving(Bss(d2026_11_19=rows)) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert [found.tokens(meter) for meter in ("input", "cached_input", "output")] == [400_000, 600_000, 1_250_000]
    assert found.cost() == Decimal("9.024")
    assert found.labels("workspace") == {"llm-abc123", "llm-xyz"}
    assert found.labels("channel") == {"app", "bmp"}
    assert {asked.headers["x-acs-action"] for asked in server.asked} == {"DescribeInstanceBill"}


def test_what_is_left_of_the_account_is_read_where_that_is_asked_for() -> None:
    with serving(Bss(d2026_11_19=[row()])) as server:
        found = held(server.url, balance=True).round(SINCE, NOW)
        without = held(server.url).round(SINCE, NOW)
    assert found.readings[-1].balance == Money(Decimal("1000.19"), "USD")
    assert without.readings[-1].balance is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply({"Success": False, "Code": "NotAuthorized", "Message": "no right"}), "failed: NotAuthorized"),
        (Reply({"Code": "200", "Success": True, "Data": {"AvailableAmount": "-"}}), "is no number"),
    ],
)
def test_a_balance_that_cannot_be_read_is_said_and_the_bill_is_read_all_the_same(
    reply: Reply, said: str, caplog
) -> None:
    bss = Bss(d2026_11_19=[row()])
    bss.balance = reply
    with serving(bss) as server:
        found = held(server.url, balance=True).round(SINCE, NOW)
    assert found.error is None
    assert found.cost() == 8
    assert said in caplog.text


def test_days_begin_at_midnight_in_china() -> None:
    with serving(Bss(d2026_11_19=[row()])) as server:
        found = held(server.url).round(SINCE, NOW)
    starts = {datetime.fromtimestamp(start, UTC) for _, start, _ in found.buckets}
    assert starts == {datetime(2026, 11, 18, 16, tzinfo=UTC)}
    assert [asked.one("BillingDate") for asked in server.asked] == [f"2026-11-{day}" for day in (17, 18, 19, 20)]


def test_rows_without_a_model_keep_their_money_and_those_of_other_products_are_left_out() -> None:
    old = row(InstanceID="default", PretaxAmount=3)
    server_rent = row(InstanceID="i-123", ProductCode="ecs", ProductName="ECS", ProductDetail="ECS", PretaxAmount=500)
    with serving(Bss(d2026_11_19=[row(), old, server_rent])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.cost() == 11
    assert found.cost(lambda key: not key.line.model) == 3


def test_a_refund_takes_money_back_and_no_tokens() -> None:
    with serving(Bss(d2026_11_19=[row(), row(Item="Refund", PretaxAmount=-3)])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.cost() == 5
    assert found.tokens("output") == 1_250_000


def test_every_day_that_is_not_final_is_read_again_and_corrections_replace() -> None:
    bss = Bss(d2026_11_19=[row()], d2026_11_17=[row(PretaxAmount=1, BillingDate="2026-11-17")])
    with serving(bss) as server:
        found = held(server.url).round(SINCE, NOW)
        bss.days["2026-11-17"] = [row(PretaxAmount=2)]
        bss.days["2026-11-19"] = []
        found.round(SINCE, NOW + timedelta(hours=6))
    assert found.days() == {date(2026, 11, 16): Decimal(2)}


@pytest.mark.parametrize(("at", "read"), [("2026-12-03T03:59:00", 33), ("2026-12-03T04:01:00", 3)])
def test_a_month_is_final_at_noon_on_the_third_of_the_next_in_china(at: str, read: int) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    with serving(Bss()) as server:
        found = held(server.url).round(datetime(2026, 10, 31, 16, tzinfo=UTC), now)
        before = len(server.asked)
        found.round(datetime(2026, 11, 30, 16, tzinfo=UTC), now)
    assert len(server.asked) - before == read


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Reply({"Success": False, "Code": "NotAuthorized", "Message": "no right"}), "failed: NotAuthorized"),
        (Reply({"Code": "Throttling.User", "Message": "slow down", "RequestId": "r"}, 429), "429"),
        (Reply({"Code": "InvalidTimeStamp.Expired", "Message": "clock"}, 400), "set this machine's clock"),
        (Reply({"Code": "InvalidAccessKeyId.NotFound", "Message": "gone"}, 404), "InvalidAccessKeyId"),
        (
            Reply({"Success": True, "Code": "Success", "Data": {"TotalCount": 3, "Items": [], "NextToken": ""}}),
            "2 of 3",
        ),
        (Reply({"Success": True, "Code": "Success"}), "Items is missing"),
    ],
)
def test_a_page_that_is_lost_leaves_a_lower_bound_and_says_why(fault: Reply, said: str) -> None:
    bss = Bss(d2026_11_17=[row(PretaxAmount=1), row(PretaxAmount=2), row(PretaxAmount=4)])
    with serving(bss) as server:
        found = held(server.url).round(SINCE, NOW)
        assert found.cost() == 7
        bss.faults[bss.count + 2] = fault
        found.round(SINCE, NOW + timedelta(hours=1))
        assert said in str(found.error)
        assert SECRET not in repr(found.error)
        assert found.cost() == 7
        assert found.warnings
        fresh = held(server.url)
        bss.faults[bss.count + 2] = fault
        fresh.round(SINCE, NOW)
    assert fresh.cost() == 3
    assert "only a part of 2026-11-16" in fresh.warnings[0]
    assert fresh.until == datetime(2026, 11, 16, 16, tzinfo=UTC)


def test_a_unit_never_seen_is_an_error_and_not_a_thousandth() -> None:
    with serving(Bss(d2026_11_19=[row(UsageUnit="bundles")])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert "usage unit 'bundles' is not known" in str(found.error)


def trend(data: dict[str, Any]) -> Callable[[Asked], Reply]:
    verify = Bss()
    return lambda asked: verify._refused(asked) or Reply({"code": "OK", "success": True, "data": data})


def test_the_trend_gives_money_by_key_and_what_the_groups_leave_is_nobodys() -> None:
    groups = [("101", "ci", "4.10"), ("102", "", "2.00"), ("DIMENSION_GROUP_OTHERS_VALUE", "Others", "3.00")]
    details = [{"key": key, "name": name, "amount": cost, "pretaxAmount": cost} for key, name, cost in groups]
    total = {"amount": "10.00", "currency": "USD", "pretaxAmount": "10.00"}
    data = {"resultByTime": [{"period": "20261119", "total": total, "periodDetails": details}]}
    with serving(trend(data)) as server:
        found = held(server.url, read="trend").round(SINCE, NOW)
    assert found.error is None
    assert found.cost() == 10
    assert found.cost(lambda key: not key.labels) == Decimal("3.90")
    assert found.labels("key") == {"ci", "102", ""}
    assert json.loads(server.asked[0].one("timePeriod")) == {"start": "2026-11-17", "end": "2026-11-20"}
    assert json.loads(server.asked[0].one("groupBy")) == [{"code": "API_KEY_ID"}]


def test_a_trend_of_200_that_says_it_failed_is_a_failure() -> None:
    with serving(lambda _: Reply({"success": False, "code": "NoPermission", "message": "not yours"})) as server:
        found = held(server.url, read="trend").round(SINCE, NOW)
    assert "failed: NoPermission" in str(found.error)


CHINESE = """\ufeff账期,账单日期,实例ID,产品,商品名称,计费项,用量,用量单位,应付金额,币种,地域
202611,2026-11-19,text_token;llm-1;qwen-plus;input_token;app,大模型服务平台百炼,百炼大模型推理,输入,"1,500.0",千tokens,"¥1,234.50",CNY,北京
202611,2026-11-19,i-1,云服务器ECS,ECS,CPU,1,小时,99.00,CNY,北京
""".replace("千tokens", "1K tokens")
ENGLISH = "Instance ID,Billing Cycle,Product Detail,Pretax Amount,Currency\ndefault,2026-10,Model Studio,7.25,USD\n"


def test_a_csv_with_chinese_headers_is_read_by_their_meaning(tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_text(CHINESE, encoding="utf-8")
    found = held(read="file", path=str(tmp_path / "*.csv")).round(SINCE, NOW)
    assert found.error is None
    assert found.tokens("input") == 1_500_000
    assert found.cost(currency="CNY") == Decimal("1234.50")


def test_files_are_read_again_when_they_change_and_rows_in_two_of_them_count_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ENGLISH)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(f"{ENGLISH}default,2026-10,Model Studio,1,USD\n".encode()))
    since = datetime(2026, 9, 30, 16, tzinfo=UTC)
    found = held(read="file", path=str(tmp_path)).round(since, NOW)
    assert found.cost() == Decimal("8.25")
    assert not found.round(since, NOW).readings
    (tmp_path / "b.csv.gz").unlink()
    found.round(since, NOW)
    assert found.cost() == Decimal("7.25")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Montant,InstanceID,BillingDate\n1,default,2026-11-19\n", "no column for PretaxAmount; its headers: Montant"),
        (ENGLISH.replace("7.25", "n/a").encode(), "PretaxAmount is a text of 3 characters, not a number"),
        (gzip.compress(ENGLISH.encode())[:-9], "cut or damaged"),
        (b"\xff\xfa\xff,b\n", "no column for InstanceID"),
        (ENGLISH.replace("2026-10", "").encode(), "has no day and no month"),
    ],
)
def test_a_file_that_cannot_be_read_whole_changes_nothing_and_names_its_place(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "bill.csv").write_bytes(content)
    found = held(read="file", path=str(tmp_path / "bill.csv")).round(SINCE, NOW)
    assert said in str(found.error)
    assert "bill.csv" in str(found.error)
    assert not found.readings


def test_own_header_names_are_taken(tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_text("Montant;InstanceID;BillingDate;ProductCode\n3.5;default;2026-11-19;sfm\n")
    found = held(read="file", path=str(tmp_path / "bill.csv"), headers="Montant=PretaxAmount").round(SINCE, NOW)
    assert found.cost(currency="CNY") == Decimal("3.5")


@pytest.mark.parametrize(
    "given",
    [
        {"read": "file"},
        {"read": "bill"},
        {"access_key_id": "a"},
        {"timezone": "Mars/X", "access_key_id": "a", "access_key_secret": "b"},
    ],
)
def test_options_that_cannot_work_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(given)
