"""Evaluate: the ledger's changes in, the whole evaluation, alerts and their messages out in one transaction.

store -> ledger (only what changed) -> evaluate -> route -> store.commit_decisions  (compare-and-set; a loser re-reads)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from heapq import nsmallest
from itertools import pairwise
from typing import Final

from alertd.core.addresses import answer_page, page_of, picture_url
from alertd.core.budgets import Amount, Budget
from alertd.core.evaluation import health
from alertd.core.evaluation.amounts import carried_amounts, credit_start, opened_windows, top_ups
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.health import caught_up
from alertd.core.evaluation.keys import parse_status
from alertd.core.evaluation.renewal import KeptEvaluation
from alertd.core.evaluation.routing import Receiver, quiet_until, route
from alertd.core.evaluation.scope_columns import HISTORY_DAYS
from alertd.core.evaluation.state import (
    CARRIED,
    COMMITMENTS,
    CORRECTION,
    EPISODES,
    ERASED,
    RAISED,
    RESTORED,
    State,
    StatusRecord,
    encode_record,
)
from alertd.core.evaluation.values import Alert, Decisions, EvaluationContext, Facts, Policy, SourceView
from alertd.core.ledger import compaction
from alertd.core.ledger.columns import Ledger
from alertd.core.money import Money
from alertd.core.pricing.costing import Exchange, Tariff
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import CorrectedTariff, LedgerTariff, billing_zones, corrections
from alertd.core.usage import Committed
from alertd.ports import IMPORTED, AlertRow, Clock, NewMessage, Source, SourceRow, Store, UsageBehindError, role_of

log = logging.getLogger(__name__)

#: How many times one round evaluates where another replica was quicker.
_TRIES: Final = 3
#: That the evaluation has stopped is announced after this many failures in a row, over at least this time.
_FAILURES: Final = 3
_FAILED_FOR: Final = timedelta(minutes=5)
#: Notes of episodes are forgotten this long after their period began.
_FORGET: Final = timedelta(days=400)
#: The most statuses recorded at one evaluation; of more, unchanged ones take turns, the oldest record first.
_RECORDED_AT_ONCE: Final = 100
#: No record is older, but for the time between two evaluations.
_RECORDED_WITHIN: Final = timedelta(minutes=10)
#: Usage is kept this long before what is read: the midnights of some zone, of a bill's month.
_SPARED: Final = timedelta(days=2)
#: An imported file is never too old: nothing more comes from it.
_NEVER: Final = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """What the configuration says, as the evaluation needs it; replaced as a whole on a reload."""

    budgets: Sequence[Budget]
    book: PriceBook
    exchange: Exchange
    receivers: Mapping[str, Receiver]
    sources: Mapping[str, Source] = field(default_factory=dict)
    dry_run: bool = False
    #: Where people reach the daemon's pages; "" where nobody said.
    public_url: str = ""
    #: Signs the addresses of pictures in messages; b"" without pictures.
    picture_key: bytes = field(default=b"", repr=False)
    #: Whether what the bill came to corrects the prices of the days that are not billed yet.
    correct: bool = False
    policy: Policy = field(default_factory=Policy)
    catching_up: Callable[[], frozenset[str]] = frozenset
    #: The sources whose last try failed.
    failing: Callable[[], frozenset[str]] = frozenset
    #: What each source that was read since the start says is certain to be charged.
    committed: Callable[[], Mapping[str, Sequence[Committed]]] = dict
    #: What is left of the prepaid credit of each source that shows it.
    balances: Callable[[], Mapping[str, Money]] = dict


class NotStoredError(Exception):
    """The store refused an evaluation although no other replica wrote: the next one will fail, too."""


Recorder = Callable[[Facts, Decisions, Collection[str]], Sequence[StatusRecord]]


class Evaluate:
    """Keeps the ledger in memory, evaluates it each tick, and commits the result."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        terms: EvaluationConfig,
        wake_deliver: Callable[[], None],
        recorder: Recorder | None = None,
    ) -> None:
        """`recorder` makes the record that `alertd explain` and `alertd status` read; nothing is recorded without."""
        self.terms = terms
        self.latest: Decisions | None = None
        self.facts: Facts | None = None
        self.ledger = Ledger()
        self.views: dict[str, SourceView] = {}
        self.evaluated_at: datetime | None = None
        self._store = store
        self._clock = clock
        self._wake_deliver = wake_deliver
        self._recorder = recorder
        #: The pseudonyms of names that had been erased when the ledger was read.
        self._erased: frozenset[str] | None = None
        #: By status name: when it was recorded last, and with which status and flags.
        self._recorded: dict[str, tuple[datetime, str, tuple[str, ...]]] = {}
        #: What the last evaluation leaves to the next.
        self._kept = KeptEvaluation(clock.now(), ())
        self._stored: Mapping[str, SourceRow] = {}
        self._revision = 0
        self._last_series = 0
        self._loaded: date | None = None
        self._folded: Sequence[int] = ()
        #: What folding depends on, as of some terms and a number of kinds of series.
        self._folding: tuple[EvaluationConfig, int, Sequence[tzinfo], timedelta] | None = None
        self._announced: dict[str, datetime] | None = None
        #: Since when every evaluation failed, and how many did.
        self._failing: tuple[datetime, int] | None = None

    async def tick(self) -> int:
        """One evaluation of what the ledger holds now; the number of alerts announced.

        Raises NotStoredError where what it came to is not stored though nobody else writes.
        """
        for _ in range(_TRIES):
            # Asked before the ledger is read: what is up to the present then is in the ledger.
            behind, failing, committed = self.terms.catching_up(), self.terms.failing(), self.terms.committed()
            await self._refresh(keep=True)
            state = State.of(await self._store.memory())
            if self._is_out_of_date(state):
                continue
            facts = await self._facts(state, behind, failing, committed)
            decisions = await asyncio.to_thread(evaluate, facts)
            self.latest, self.facts = decisions, facts
            if await self._commit(decisions, facts.state, behind):
                self._kept = decisions.kept or KeptEvaluation(facts.context.now, ())
                self.evaluated_at, self._failing = facts.context.now, None
                for position in decisions.statuses:
                    if position.failed:
                        log.error("%s cannot be evaluated: %s", position.name, position.failed)
                if health.is_stopped(facts.state):
                    await self._announce_stopped("")
                await self._record(facts, decisions)
                return len(decisions.alerts)
            known, self._announced = self._announced, None
            if known == await self._store.announced_keys() and facts.state == State.of(await self._store.memory()):
                keys = [key for alert in decisions.alerts for key in alert.keys]
                twice = sorted({key for key in keys if keys.count(key) > 1})
                raise NotStoredError(
                    f"an evaluation is not stored though nobody else writes; keys given twice: {twice}"
                )
        log.warning("another replica was quicker with its evaluation; this one is left to the next round")
        return 0

    def _is_out_of_date(self, state: State) -> bool:
        """Whether a name was erased since the ledger was read: then what is in memory is dropped."""
        erased = frozenset(pseudonym for pseudonym, _ in ERASED.items(state))
        known, self._erased = self._erased, erased
        if known is None or erased <= known:
            return False
        self._folded, self._announced, self._recorded = (), None, {}
        self._kept = KeptEvaluation(self._clock.now(), ())
        return True

    async def _record(self, facts: Facts, decisions: Decisions) -> None:
        """Store the result of this evaluation: new, changed and announced statuses at once, the others in turn."""
        if self._recorder is None:
            return
        now, known = facts.context.now, self._recorded
        announced = {(alert.event.budget, alert.event.scope) for alert in decisions.alerts}
        statuses = {one.name: one for one in decisions.statuses}
        wanted = {
            name
            for name, one in statuses.items()
            if name not in known or known[name][1:] != (one.status, one.flags)
            or (one.budget.name, one.scope) in announced
        }  # fmt: skip
        last = max((at for at, *_ in known.values()), default=now)
        few = len(statuses) <= _RECORDED_AT_ONCE
        count = len(statuses) if few else -int(-len(statuses) * (now - last) // _RECORDED_WITHIN)
        wanted.update(nsmallest(count, statuses.keys() - wanted, key=lambda name: (known[name][0], name)))
        if not wanted:
            return
        recorder = self._recorder

        def recorded() -> dict[str, tuple[str, str]]:
            records = recorder(facts, decisions, wanted)
            return {one.name: (statuses[one.name].budget.name, encode_record(one)) for one in records}

        texts = await asyncio.to_thread(recorded)
        await self._store.record_evaluation(now, texts, statuses.keys())
        fresh = {name: (now, statuses[name].status, statuses[name].flags) for name in texts}
        self._recorded = {name: fresh.get(name) or known[name] for name in statuses}

    def has_fresh_data(self) -> bool:
        """Whether any source has shown something that is young enough to speak for the present."""
        now = self._clock.now()
        return any(view.until is not None and not view.stale(now) for view in self.views.values())

    async def announce(self, say: Callable[[State], Decisions]) -> None:
        """Announce something besides the evaluation. `say` builds it from the state, again after a lost race."""
        for _ in range(_TRIES):
            state = State.of(await self._store.memory())
            if await self._commit(say(state), state):
                return

    async def failed(self, error: str) -> None:
        """Count a failed evaluation, and announce that none works any more; never raises."""
        now = self._clock.now()
        since, count = self._failing or (now, 0)
        self._failing = since, count + 1
        if count + 1 >= _FAILURES and now - since >= _FAILED_FOR:
            await self._announce_stopped(error)

    async def _announce_stopped(self, error: str) -> None:
        def say(state: State) -> Decisions:
            alerts, changed = health.stopped(error, state, self._clock.now())
            return Decisions(alerts, changed, ())

        await self.announce(say)

    async def preview(self) -> tuple[Facts, Decisions]:
        """The result of an evaluation now, and its facts; writes nothing."""
        behind, failing, committed = self.terms.catching_up(), self.terms.failing(), self.terms.committed()
        await self._refresh()
        facts = await self._facts(State.of(await self._store.memory()), behind, failing, committed)
        return facts, await asyncio.to_thread(evaluate, facts)

    async def _refresh(self, *, keep: bool = False) -> None:
        """Bring the ledger in memory up to the store's. Old buckets are folded there, so that it never grows old.

        With `keep`, the store keeps what they fold to: the next start reads that.
        """
        now = self._clock.now()
        # Asked before the ledger is read: what a source was read up to then is in the ledger.
        self._stored = {row.name: row for row in await self._store.sources()}
        if self._loaded != now.date():
            self._loaded, self._announced = now.date(), None
            if self.ledger.series and len(await self._store.series()) < len(self.ledger.series):
                self._folded = ()  # some were deleted: they are let go here, too
        if not self._folded:
            await self._read_anew(now, keep=keep)
            return
        await self._learn()
        edges = self._edges(now)
        if not self.ledger.folds(edges):
            await self._read_anew(now, keep=keep)
            return
        if edges != self._folded:
            known = set(pairwise(self._folded))
            self._folded = edges
            self.ledger.fold(edges)
            for begin, end in pairwise(edges) if keep else ():
                if (begin, end) not in known:
                    await self._store.usage_within(begin, end, keep=True)
        try:
            rows, revision = await self._store.usage(self.reach(now), self._revision)
        except UsageBehindError:
            await self._read_anew(now, keep=keep)
            return
        await self._learn()
        self.ledger.apply(rows)
        self._revision = revision  # not before they are applied: what fails in between is read again
        for begin, end in sorted(self.ledger.torn):
            self.ledger.refold(begin, end, await self._store.usage_within(begin, end))

    async def _learn(self) -> None:
        """The series that came since."""
        series = await self._store.series(self._last_series)
        if series:
            self.ledger.add_series(series)
            self._last_series = max(row.id for row in series)

    async def _read_anew(self, now: datetime, *, keep: bool) -> None:
        """Read the whole ledger, in intervals to save memory; the store compacts what is old."""
        self.ledger, self._last_series, self._revision = Ledger(), 0, 0
        await self._learn()
        edges = self._folded = self._edges(now)
        fine = datetime.fromtimestamp(edges[-1], UTC)
        rows, revision = await self._store.usage(self.reach(now), 0, fine)
        await self._learn()
        self.ledger.fold(edges)
        self.ledger.apply(rows)
        for begin, end in pairwise(edges):
            within = await self._store.usage_within(begin, end, keep=keep)
            await self._learn()
            self.ledger.refold(begin, end, within)
        self._revision = revision

    def _edges(self, now: datetime) -> Sequence[int]:
        """Where old buckets are folded: at the midnights of every zone that anything is summed by, and by the hour."""
        terms, kinds = self.terms, self.ledger.kinds
        if self._folding is None or self._folding[0] is not terms or self._folding[1] != len(kinds):
            summed = compaction.zones_of(terms.budgets, billing_zones(terms.book, kinds))
            lags = (source.stale_after + source.delay for source in terms.sources.values())
            fine = compaction.fine_buckets(terms.budgets, max(lags, default=timedelta(0)))
            self._folding = terms, len(kinds), summed, fine
        *_, zones, fine = self._folding
        return compaction.edges(zones, self.reach(now), now, fine)

    def reach(self, now: datetime) -> datetime:
        """How far back the ledger is needed: for history, and for the period before the longest current one."""
        rules = {budget.period for budget in self.terms.budgets}
        starts = [rule.previous(rule.containing(now)).start for rule in rules]
        starts += filter(None, (credit_start(budget, now) for budget in self.terms.budgets))
        return min([now - timedelta(days=HISTORY_DAYS + 1), *starts])

    def obsolete_before(self, now: datetime, retention: timedelta) -> datetime:
        """Before when usage may be deleted: older than `retention`, and than all that an evaluation reads."""
        return min(now - retention, self.reach(now) - _SPARED)

    def idle_before(self, now: datetime, retention: timedelta) -> datetime:
        """Since when a label's value must be unused to lose its name: never since a current period began.

        Somebody who comes back within it would have a second scope that lacks what they spent before.
        """
        starts = [budget.period.containing(now).start for budget in self.terms.budgets]
        return min([now - retention, *starts])

    async def _facts(
        self,
        state: State,
        behind: frozenset[str],
        failing: frozenset[str],
        committed: Mapping[str, Sequence[Committed]],
    ) -> Facts:
        now = self._clock.now()
        terms = self.terms
        if self._announced is None:
            self._announced = await self._store.announced_keys()
        stored = self._stored
        self.views = {name: view_of(source, stored.get(name)) for name, source in terms.sources.items()}
        roles = {name: role_of(source) for name, source in terms.sources.items()}
        tariff: Tariff = LedgerTariff(terms.book, self.ledger, roles)
        if terms.correct and (known := corrections(CORRECTION.get(state))):
            tariff = CorrectedTariff(tariff, known)
        context = EvaluationContext(
            now=now,
            tariff=tariff,
            standings=roles,
            exchange=terms.exchange,
            sources={**imported_views(stored, self.views, now), **self.views},
            raised=raised_amounts(state),
            carried=carried_amounts(state),
            windows=opened_windows(state),
            top_ups=top_ups(state),
            commitments=[(name, one) for name, known in self._known(state, committed).items() for one in known],
            balances=terms.balances(),
        )
        return Facts(
            terms.budgets, self.ledger, context, self._announced, state, behind, terms.policy, terms.book, failing,
            self._kept,
        )  # fmt: skip

    def _known(self, state: State, committed: Mapping[str, Sequence[Committed]]) -> dict[str, tuple[Committed, ...]]:
        """The commitments of every configured source; until it is read, those from before the restart."""
        stored = {name: known for name, known in COMMITMENTS.items(state) if name in self.terms.sources}
        return stored | {name: tuple(known) for name, known in committed.items()}

    async def _commit(self, decisions: Decisions, state: State, behind: frozenset[str] | None = None) -> bool:
        """`behind` names the sources that the ledger lacked; None where the ledger was not evaluated.

        What is not an evaluation of the ledger is news: no backup can have announced it.
        """
        now = self._clock.now()
        withheld = self.terms.dry_run or (RESTORED.get(state) is not None and behind is not None)
        alerts = [_with_page(alert, self.terms) for alert in decisions.alerts]
        rows = [row for alert in alerts for row in _rows(alert, now, dry_run=withheld)]
        budgets = {budget.name: budget for budget in self.terms.budgets}
        policy = self.terms.policy
        quiet = quiet_until(policy.quiet, policy.zone, now)
        messages = route(alerts, budgets, self.terms.receivers, quiet)
        if withheld:
            why = "dry run" if self.terms.dry_run else "restored from a backup, so this may have been announced before"
            for message in messages:
                log.info("%s: %s would get %s", why, message.notifier, [event.reason for event in message.events])
            messages = ()
        changed = {**decisions.changes, **forget(state, now)}
        if behind is not None:
            changed |= _commitment_changes(state, self._known(state, self.terms.committed()))
        if behind is not None and caught_up(state, behind, self.views):
            changed |= RESTORED.put(None)
        if not (rows or changed):
            return True
        outgoing = [NewMessage(m.key, m.notifier, m.conversation, m.events, m.not_before) for m in messages]
        if not await self._store.commit_decisions(rows, outgoing, state.revised(changed)):
            return False
        if self._announced is not None:
            self._announced.update((row.key, row.at) for row in rows)
        for alert in decisions.alerts:
            log.info("alert: %s", alert.event.reason, extra={"alert": alert.keys[0], "severity": alert.event.severity})
        if outgoing:
            self._wake_deliver()
        return True


def view_of(source: Source, row: SourceRow | None) -> SourceView:
    """A source as the evaluation sees it: its declared delay and age limit, and what the store knows of it."""
    known = row or SourceRow(source.name)
    return SourceView(
        name=source.name,
        until=known.until,
        stale_after=source.stale_after,
        delay=source.delay,
        interval=source.interval,
        complete_from=known.complete_from,
        failing_since=known.failing_since,
        last_ok=known.last_ok,
        error=known.error,
        degraded=known.degraded,
        assumed=known.assumed,
    )


def imported_views(
    stored: Mapping[str, SourceRow], views: Mapping[str, SourceView], now: datetime
) -> dict[str, SourceView]:
    """Files that `alertd import` put into the ledger, as sources that are never stale.

    What comes after them is for the configured sources to say; where none was ever read, they end where they end.
    """
    is_read_on = any(view.until is not None for view in views.values())
    return {
        name: SourceView(name, now if is_read_on else row.until, stale_after=_NEVER)
        for name, row in stored.items()
        if name.startswith(IMPORTED) and row.cursor
    }


def raised_amounts(state: State) -> dict[str, Amount]:
    """The amounts raised by hand (`alertd raise`), by the position's name."""
    return {name: Amount(raised.amount, raised.unit) for name, raised in RAISED.items(state)}


def _with_page(alert: Alert, terms: EvaluationConfig) -> Alert:
    url, event = terms.public_url, alert.event
    if not url:
        return alert
    page, answer, picture = page_of(url, event), answer_page(url, event), picture_url(url, terms.picture_key, event)
    return replace(alert, event=replace(event, details_url=page, answer_url=answer, picture_url=picture))


def _rows(alert: Alert, now: datetime, *, dry_run: bool) -> list[AlertRow]:
    state = "dry_run" if dry_run else "firing"
    return [AlertRow(key, now, alert.event, state) for key in alert.keys]


def _commitment_changes(state: State, known: Mapping[str, tuple[Committed, ...]]) -> dict[str, object]:
    """The commitments that are not stored as they are now."""
    stored = dict(COMMITMENTS.items(state))
    changed: dict[str, object] = {}
    for name in stored.keys() | known.keys():
        if (stored.get(name) or ()) != (now := known.get(name, ())):
            changed |= COMMITMENTS.put(now or None, name)
    return changed


def forget(state: State, now: datetime) -> dict[str, None]:
    """Episodes, raised and carried amounts of periods long past, to be forgotten."""
    gone: dict[str, None] = {}
    for table in (EPISODES, RAISED, CARRIED):
        for name in state.records:
            if name.startswith(table.prefix):
                status = parse_status(name.removeprefix(table.prefix))
                if status is not None and status.day is not None and now.date() - status.day > _FORGET:
                    gone[name] = None
                elif status is not None and status.day is None and table is EPISODES:
                    episode = EPISODES.get(state, name.removeprefix(EPISODES.prefix))  # of a window that rolls
                    if episode and not episode.open and episode.since and now - episode.since > _FORGET:
                        gone[name] = None
    return gone
