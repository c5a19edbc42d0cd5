"""Amazon Bedrock as it happens: tokens by model from CloudWatch's metrics; who called, from the invocation log.

CloudWatch holds a sum for each period, no counter: windows are read again and replaced, so nothing is added twice.
Source: Bedrock user guide (runtime and mantle metrics, model invocation logging), CloudWatch API 2010-08-01.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from alertd.clients.aws import Aws, AwsOptions
from alertd.clients.billing_api import attributed
from alertd.clients.json_fields import Fields
from alertd.clients.object_store import StoreOptions
from alertd.core.pricing.allocation import allocate
from alertd.core.usage import Line, Usage
from alertd.plugin_options import Secret, SourceOptions, TextList
from alertd.ports import SourceError
from alertd.sources._bedrock import (
    MANTLE,
    RUNTIME,
    Caller,
    Callers,
    MetricSeries,
    Profiles,
    caller,
    is_place_priced,
    list_metrics,
    listed_series,
    query_logs,
    short_id,
    sums,
)
from alertd.sources._bedrock_log import InvocationLog
from alertd.sources._timed_source import AGAIN, Found, MetricSource, MetricSpan

PROVIDER: Final = "aws"
#: Queries of logs are paid by what they scan: less is read again.
_AGAIN_LOGS: Final = timedelta(hours=1)
#: By how much the log may exceed the metric unremarked.
_LOGGED_MORE: Final = Decimal("0.05")
#: A request is in the log in S3 by then.
_LOGGED_BY: Final = timedelta(hours=1)
#: Sums of five minutes are kept for 63 days, of an hour for 455.
_FINE: Final = timedelta(days=62)
_KEPT: Final = timedelta(days=454)
#: Models without a metric yet are reported when they make more than this part of a region's tokens.
_UNLISTED: Final = Decimal("0.01")
#: What AWS answers where a region is not enabled for the account.
_CLOSED: Final = ("UnrecognizedClient", "InvalidClientTokenId", "OptInRequired", "security token included")
_COUNTS: Final = {
    "input": "input.inputTokenCount",
    "output": "output.outputTokenCount",
    "cached_input": "input.cacheReadInputTokenCount",
    "cache_write": "input.cacheWriteInputTokenCount",
}
#: Sums only: no prompt and no answer leaves the log.
_WHO: Final = "stats {} by modelId, identity.arn, bin({}s)"
OUTBOUND: Final = "monitoring.REGION.amazonaws.com:443, bedrock.REGION.amazonaws.com:443; logs, sts with the options"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Amazon Bedrock

Reads: CloudWatch's token metrics by model (input, output, cache read and write) of `bedrock-runtime` and
`bedrock-mantle`, in every region that has any, by the extra `aws`. Application inference profiles are the label
`profile`, priced by their model, and `TAGS` are the profiles' tags. With `LOG_GROUP` or `LOG_PATH` (S3) the model
invocation log says who called (`role`, `user`, `key`, and the request's own `METADATA`); no prompt is kept.
Credentials: AWS's own chain, or an access key. Least privilege: the policy in [clouds](clouds.md). Delay: five minutes;
three hours are read again. A metric costs 0.00001 USD a reading: ten models, read every five minutes, some 3.50 USD a
month. Cannot see: batch jobs apart, cache writes of an hour apart, provisioned throughput, imported models,
guardrails: the bill has them.
```sh
ALERTD_SOURCES__AWS__KIND=bedrock
ALERTD_SOURCES__AWS__REGIONS=us-east-1,eu-central-1
ALERTD_SOURCES__AWS__ASSUME_ROLE=arn:aws:iam::123456789012:role/alertd-reader
ALERTD_SOURCES__AWS__LOG_GROUP=/bedrock/invocations
ALERTD_SOURCES__AWS__TAGS=team
```
"""


def _bucket(path: str) -> str:
    if path and not path.startswith("s3://"):
        raise ValueError("the log is in S3: write it as s3://BUCKET/PREFIX")
    return path.rstrip("/")


class Options(AwsOptions, SourceOptions):
    """Bedrock's metrics. The role may read metrics, profiles and, to name callers, one log group."""

    secret_access_key: Secret | None = Field(None, description="The secret of ACCESS_KEY_ID")
    regions: TextList = Field(["*"], description="Where Bedrock is used; * looks into every region that has it")
    tags: TextList = Field(
        default_factory=list, description="Tags of application inference profiles that become labels"
    )
    log_group: str = Field("", description="The CloudWatch log group of the model invocation log: it says who called")
    log_path: Annotated[str, AfterValidator(_bucket)] = Field(
        "",
        description="The model invocation log in S3, as it was set up, instead of LOG_GROUP; {region} in it is the "
        "region's name",
        examples=["s3://my-bedrock-log-{region}/prefix"],
    )
    metadata: TextList = Field(
        default_factory=list, description="Keys of Converse's requestMetadata that become labels, with LOG_PATH"
    )
    linked_accounts: bool = Field(default=False, description="In a monitoring account: those that are linked, too")
    url: str = Field("", description="Another endpoint than AWS's, for all services")


def build(name: str, options: Options) -> Bedrock:
    """Build the source; it makes no request yet."""
    return Bedrock(name, options)


class Bedrock(MetricSource):
    """Bedrock in the regions of one account, or of all that a monitoring account sees."""

    kept, fine = _KEPT, _FINE

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self.again = _AGAIN_LOGS if options.log_group else AGAIN
        self._options = options
        self._aws = Aws(name, options, options, options.secret_access_key, options.url)
        #: By region, every series that was ever listed: CloudWatch forgets those that are silent for two weeks.
        self._series: dict[str, frozenset[MetricSeries]] = {}
        self._log = self._invocation_log()
        self._profiles = Profiles(self._aws, options.tags, self.noticed)

    async def window(self, span: MetricSpan, now: datetime) -> Found:
        """Every region's metrics; regions that are not enabled are left out where all are looked into."""
        found, refused = Found(), None
        for region in await self._regions():
            try:
                await self._region(region, span, found, now)
            except SourceError as error:
                if "*" in self._options.regions and any(text in str(error) for text in _CLOSED):
                    refused = refused or error
                    continue
                found.failed = found.failed or error
        if refused is not None and not self._series:
            found.failed = found.failed or refused
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._aws.close()
        if self._log is not None:
            await self._log.close()

    def _invocation_log(self) -> InvocationLog | None:
        """The log in S3, where it is read."""
        options = self._options
        if not options.log_path:
            return None
        own = {name: getattr(options, name) for name in AwsOptions.model_fields}
        of_store = StoreOptions(**own, secret_access_key=options.secret_access_key, endpoint=options.url)
        return InvocationLog(options.log_path, self._aws, options, of_store, options.metadata)

    async def _regions(self) -> Sequence[str]:
        if "*" not in self._options.regions:
            return self._options.regions
        return await self._aws.regions_of("cloudwatch")

    async def _region(self, region: str, span: MetricSpan, found: Found, now: datetime) -> None:
        known = self._series.get(region, frozenset())
        for namespace in (RUNTIME, MANTLE):
            named = await list_metrics(self._aws, region, namespace, linked=self._options.linked_accounts)
            known |= listed_series(namespace, named)
        self._series[region] = known
        if not known:
            return
        await self._profiles.learn(region, known)
        totals = {MetricSeries(RUNTIME, one.metric, (), one.account) for one in known if one.namespace == RUNTIME}
        wanted = sorted({*known, *totals})
        values, partial = await sums(self._aws, region, wanted, span)
        found.gaps += partial
        settled = now - self.delay - timedelta(seconds=span.period)
        for total in sorted(totals):
            whole = sum(n for (one, at), n in values.items() if one == total and at <= settled)
            seen = sum(
                n for (one, at), n in values.items()
                if (one.namespace, one.metric, one.account) == (RUNTIME, total.metric, total.account)
                and one.dimensions and at <= settled
            )  # fmt: skip
            if whole - seen > whole * _UNLISTED:
                found.gaps.append(
                    f"{region}: {whole - seen:,} {total.meter} tokens are of models that CloudWatch does not list yet"
                )
        callers = await self._callers(region, span, found)
        counts = {key: n for key, n in values.items() if key[0].dimensions}
        self._compare(region, counts, callers, settled)
        if self._log is not None and not callers and any(at <= now - _LOGGED_BY for _, at in counts):
            found.gaps.append(
                f"{region}: LOG_PATH has no request of a time in which tokens were used: who called is not known"
            )
        found.records += self._records(region, counts, callers, span.period)

    async def _callers(self, region: str, span: MetricSpan, found: Found) -> Callers:
        """Who called, by the log; what cannot be read of it is a gap."""
        try:
            if self._log is not None:
                callers, gaps = await self._log.callers(region, span)
                found.gaps += [f"{region}: {gap}" for gap in gaps]
                return callers
            return await self._asked(region, span) if self._options.log_group else Callers()
        except SourceError as error:
            found.gaps.append(f"{region}: who called is not known: {error}")
            return Callers()

    async def _asked(self, region: str, span: MetricSpan) -> Callers:
        """Who called, by a query of the log group."""
        callers = Callers()
        text = _WHO.format(", ".join(f"sum({path}) as {meter}" for meter, path in _COUNTS.items()), span.period)
        for row in await query_logs(self._aws, region, self._options.log_group, text, span):
            at = Fields({"at": row.get(f"bin({span.period}s)", "")}, f"{self.name}: the log").instant("at")
            arn = row.get("identity.arn", "")
            who = tuple(sorted(caller(arn).items())) if arn else ()
            for meter in _COUNTS:
                n = round(Decimal(row.get(meter) or 0))
                if n > 0:
                    callers[short_id(row.get("modelId", "")), meter, at][who] += n
        return callers

    def _compare(
        self, region: str, counts: Mapping[tuple[MetricSeries, datetime], int], callers: Callers, settled: datetime
    ) -> None:
        """Say it where the log has clearly more tokens than the metric, which is what counts."""
        logged, counted = Counter[str](), Counter[str]()
        for (_, meter, at), who in callers.items():
            logged[meter] += sum(who.values()) if at <= settled else 0
        for (series, at), n in counts.items():
            counted[series.meter] += n if at <= settled and series.namespace == RUNTIME and not series.account else 0
        for meter, n in logged.items():
            if n > counted[meter] * (1 + _LOGGED_MORE):
                self.noticed.once(
                    f"{region}: the invocation log has over {_LOGGED_MORE:.0%} more {meter} tokens than CloudWatch's"
                    " metric; what the metric says is counted"
                )

    def _records(
        self, region: str, counts: Mapping[tuple[MetricSeries, datetime], int], callers: Callers, period: int
    ) -> Iterator[Usage]:
        for (series, at), n in counts.items():
            model, labels = self._profiles.model(region, series)
            end = at + timedelta(seconds=period)
            placed = (("region", region),) if is_place_priced(model, region) else ()
            line = Line(PROVIDER, model, series.meter, placed, series.account or self._options.account)
            known = {**labels, "region": region, "project": series.project, "linked_account": series.account}
            runtime = series.namespace == RUNTIME and not series.account
            by_caller: Mapping[Caller, int] = callers.get((series.model, series.meter, at), {}) if runtime else {}
            for who, part in _shared(n, by_caller):
                if part:
                    given = attributed(self._options, {**known, **dict(who)})
                    yield Usage(line, at, end, part, given, self.name)


def _shared(n: int, who: Mapping[Caller, int]) -> Iterator[tuple[Caller, int]]:
    """A metric's tokens by caller: the metric gives the total, the log the shares; the rest has no caller."""
    logged = sum(who.values())
    if logged > n:
        parts = allocate(Decimal(n), list(who.values()), Decimal(1))
        yield from zip(who, map(int, parts), strict=True)
        return
    yield from who.items()
    yield (), n - logged
