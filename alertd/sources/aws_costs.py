"""AWS's bill without an export: Cost Explorer by day, service and usage type. A request costs 0.01 USD.

Source: Cost Explorer API 2017-10-25 (GetCostAndUsage). Amounts are gross: the query leaves credits and refunds out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any, Final, Literal

from pydantic import Field

from alertd.clients.aws import Aws, AwsOptions
from alertd.clients.json_fields import Fields, every_page
from alertd.plugin_options import Secret
from alertd.sources._bill_lines import BillOptions, CloudBillLine, DailyBill

_COSTS: Final = {
    "unblended": "UnblendedCost",
    "blended": "BlendedCost",
    "amortized": "AmortizedCost",
    "net_unblended": "NetUnblendedCost",
    "net_amortized": "NetAmortizedCost",
}
#: Cost Explorer groups by two dimensions at most.
_GROUPED: Final = [{"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "DIMENSION", "Key": "USAGE_TYPE"}]
_NO_CREDITS: Final = {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Credit", "Refund"]}}}
OUTBOUND: Final = "ce.us-east-1.amazonaws.com:443; sts with ASSUME_ROLE"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
AWS's bill, by Cost Explorer

Reads: daily costs by service and model, where no export is set up (an export to S3 read by `focus` also knows tags and
who called). By the extra `aws`. The amounts are gross, without credits and refunds, unless `CREDITS=true`.
Least privilege: `ce:GetCostAndUsage`. Delay: 24 hours; AWS may change two weeks. A request costs 0.01 USD and answers
days of one month. With `INTERVAL=8h` there are three a day, four while the two weeks reach into the last month (to the
15th), six on the first two days: 1.09 USD in a month of 30 days, more where an answer has several pages.
Cannot see: who called, hours.
```sh
ALERTD_SOURCES__AWSBILL__KIND=aws_costs
ALERTD_SOURCES__AWSBILL__SERVICES=*bedrock*
ALERTD_SOURCES__AWSBILL__CREDITS=false
ALERTD_SOURCES__AWSBILL__ASSUME_ROLE=arn:aws:iam::123456789012:role/alertd-reader
ALERTD_SOURCES__AWSBILL__INTERVAL=8h
```
"""


class Options(AwsOptions, BillOptions):
    """Cost Explorer. The role may read costs, nothing else."""

    secret_access_key: Secret | None = Field(None, description="The secret of ACCESS_KEY_ID")
    cost: Literal["unblended", "blended", "amortized", "net_unblended", "net_amortized"] = Field(
        "unblended", description="Which of AWS's costs is taken"
    )
    credits: bool = Field(default=False, description="Whether credits and refunds are subtracted")
    url: str = Field("", description="Another endpoint than AWS's, for all services")


def build(name: str, options: Options) -> AwsCosts:
    """Build the source; it makes no request yet."""
    return AwsCosts(name, options)


class AwsCosts(DailyBill):
    """The bill of one account, or of all accounts that a payer sees."""

    provider = "aws"

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._options = options
        self._aws = Aws(name, options, options, options.secret_access_key, options.url)

    async def lines(self, start: date, end: date) -> AsyncIterator[Sequence[CloudBillLine]]:
        """The lines of the days [start, end), page by page."""
        metric = _COSTS[self._options.cost]
        given: dict[str, Any] = {
            "TimePeriod": {"Start": str(start), "End": str(end)}, "Granularity": "DAILY", "Metrics": [metric],
            "GroupBy": _GROUPED, **({} if self._options.credits else {"Filter": _NO_CREDITS}),
        }  # fmt: skip

        async def ask(token: str) -> Fields:
            more = {"NextPageToken": token} if token else {}
            return await self._aws.call("ce", "GetCostAndUsage", "us-east-1", **given, **more)

        async for page in every_page(ask, lambda page: page.text("NextPageToken"), self.name):
            yield [
                CloudBillLine(
                    day.child("TimePeriod").day("Start"), *_keys(group), _money(group.child("Metrics"), metric)
                )
                for day in page.items("ResultsByTime")
                for group in day.items("Groups", required=False)
            ]

    async def close(self) -> None:
        """Close the connections."""
        await self._aws.close()


def _keys(group: Fields) -> tuple[str, str]:
    service, usage_type, *_ = (*group.texts("Keys"), "", "")
    return service, usage_type


def _money(metrics: Fields, metric: str) -> Any:
    cost = metrics.child(metric)
    return cost.money("Amount", cost.text("Unit") or "USD")
