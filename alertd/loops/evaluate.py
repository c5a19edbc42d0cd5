"""Evaluate: the ledger's changes in, the whole evaluation, alerts and their messages out in one transaction.

store -> ledger (only what changed) -> evaluate -> route -> store.commit_decisions  (compare-and-set; a loser re-reads)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final

from alertd.core.addresses import page_of
from alertd.core.budgets import Amount, Budget
from alertd.core.evaluation import system_alerts
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.forecast_calibration import widths
from alertd.core.evaluation.keys import parse_status
from alertd.core.evaluation.ledger_costs import HISTORY_DAYS
from alertd.core.evaluation.record import StatusRecord, encode_records
from alertd.core.evaluation.routing import Receiver, quiet_until, route
from alertd.core.evaluation.state import COMMITMENTS, CORRECTION, EPISODES, RAISED, RESTORED, State
from alertd.core.evaluation.system_alerts import caught_up
from alertd.core.evaluation.values import Alert, Decisions, EvaluationContext, Facts, Policy, SourceView
from alertd.core.ledger import compaction
from alertd.core.ledger.columns import Ledger
from alertd.core.money import Money
from alertd.core.pricing.corrected import CorrectedTariff, corrections
from alertd.core.pricing.costing import Exchange, Tariff
from alertd.core.pricing.prices import PriceBook
from alertd.core.pricing.tariffs import LedgerTariff, billing_zones
from alertd.core.usage import Committed
from alertd.ports import IMPORTED, AlertRow, Clock, NewMessage, Source, SourceRow, Store, role_of

log = logging.getLogger(__name__)

#: How many times one round evaluates where another replica was quicker.
_TRIES: Final = 3
#: That the evaluation has stopped is announced after this many failures in a row, over at least this time.
_FAILURES: Final = 3
_FAILED_FOR: Final = timedelta(minutes=5)
#: Notes of episodes are forgotten this long after their period began.
_FORGET: Final = timedelta(days=400)
#: All statuses are recorded again after this time per status: 100,000 of them cost no more than 100.
_RECORD_PACE: Final = timedelta(milliseconds=10)
#: Usage is kept this long before what is read: the midnights of some zone, of a bill's month.
_SPARED: Final = timedelta(days=2)
#: An imported file is never too old: nothing more comes from it.
_NEVER: Final = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says, as the evaluation needs it; replaced as a whole on a reload."""

    budgets: Sequence[Budget]
    book: PriceBook
    exchange: Exchange
    receivers: Mapping[str, Receiver]
    sources: Mapping[str, Source] = field(default_factory=dict)
    dry_run: bool = False
    #: Where people reach the daemon's pages; "" where nobody said.
    public_url: str = ""
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
    """An evaluation was refused by the store though nobody else wrote: the next one will be, too."""


Recorder = Callable[[Facts, Decisions, Collection[str]], Sequence[StatusRecord]]


class Evaluate:
    """Keeps the ledger in memory, evaluates it each tick, and commits what came of it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        terms: Terms,
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
        self._next_record: datetime | None = None
        self._revision = 0
        self._last_series = 0
        self._loaded: date | None = None
        self._folded: Sequence[int] = ()
        #: What folding depends on, as of some terms and a number of kinds of series.
        self._folding: tuple[Terms, int, Sequence[tzinfo], timedelta] | None = None
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
            await self._refresh()
            facts = await self._facts(State.of(await self._store.memory()), behind, failing, committed)
            decisions = await asyncio.to_thread(evaluate, facts)
            self.latest, self.facts = decisions, facts
            if await self._commit(decisions, facts.state, behind):
                self.evaluated_at, self._failing = facts.context.now, None
                for position in decisions.positions:
                    if position.failed:
                        log.error("%s cannot be evaluated: %s", position.name, position.failed)
                if system_alerts.is_stopped(facts.state):
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

    async def _record(self, facts: Facts, decisions: Decisions) -> None:
        """Store what this evaluation came to: at once where something was announced, else at a measured pace."""
        now, count = facts.context.now, len(decisions.positions)
        if self._recorder is None:
            return
        due = self._next_record is None or now >= self._next_record
        announced = {alert.event.budget for alert in decisions.alerts}
        wanted = {budget.name for budget in facts.budgets} if due else announced
        if not wanted:
            return
        records = await asyncio.to_thread(self._recorder, facts, decisions, wanted)
        by_budget: dict[str, list[StatusRecord]] = {}
        for record in records:
            by_budget.setdefault(str(record.answer["budget"]), []).append(record)
        texts = {name: encode_records(found) for name, found in by_budget.items()}
        await self._store.record_evaluation(now, texts, {budget.name for budget in facts.budgets})
        if due:
            self._next_record = now + count * _RECORD_PACE

    def has_fresh_data(self) -> bool:
        """Whether any source has shown something that is young enough to speak for the present."""
        now = self._clock.now()
        return any(view.until is not None and not view.stale(now) for view in self.views.values())

    async def announce(self, say: Callable[[State], Decisions]) -> None:
        """Announce what is no evaluation of the ledger; `say` makes it of the state, anew where a race was lost."""
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
            alerts, changed = system_alerts.stopped(error, state, self._clock.now())
            return Decisions(alerts, changed, ())

        await self.announce(say)

    async def preview(self) -> tuple[Facts, Decisions]:
        """What an evaluation would come to now, and from what; nothing is written."""
        behind, failing, committed = self.terms.catching_up(), self.terms.failing(), self.terms.committed()
        await self._refresh()
        facts = await self._facts(State.of(await self._store.memory()), behind, failing, committed)
        return facts, await asyncio.to_thread(evaluate, facts)

    async def _refresh(self) -> None:
        """Bring the ledger in memory up to the store's. Old buckets are folded there, so that it never grows old."""
        now = self._clock.now()
        if self._loaded != now.date():
            self._loaded, self._announced = now.date(), None
            if len(await self._store.series()) < len(self.ledger.series):
                self._folded = ()  # some were deleted: they are let go here, too
        await self._learn()
        edges = self._edges(now)
        if not (self._folded and self.ledger.folds(edges)):
            await self._read_anew(now)
            return
        if edges != self._folded:
            self._folded = edges
            self.ledger.fold(edges)
        rows, revision = await self._store.usage(self.reach(now), self._revision)
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

    async def _read_anew(self, now: datetime) -> None:
        """The whole ledger, read by intervals so that little is held at once; what is old is folded by the store."""
        self.ledger, self._last_series, self._revision = Ledger(), 0, 0
        await self._learn()
        edges = self._folded = self._edges(now)
        fine = datetime.fromtimestamp(edges[-1], UTC)
        rows, revision = await self._store.usage(self.reach(now), 0, fine)
        await self._learn()
        self.ledger.fold(edges)
        self.ledger.apply(rows)
        for begin, end in pairwise(edges):
            within = await self._store.usage_within(begin, end)
            await self._learn()
            self.ledger.refold(begin, end, within)
        self._revision = revision

    def _edges(self, now: datetime) -> Sequence[int]:
        """Where old buckets are folded: at the midnights of every zone that anything is summed by."""
        terms, kinds = self.terms, self.ledger.kinds
        if self._folding is None or self._folding[0] is not terms or self._folding[1] != len(kinds):
            summed = compaction.zones_of(terms.budgets, billing_zones(terms.book, kinds))
            self._folding = terms, len(kinds), summed, compaction.fine_buckets(terms.budgets)
        *_, zones, fine = self._folding
        return compaction.edges(zones, self.reach(now), now - fine)

    def reach(self, now: datetime) -> datetime:
        """How far back the ledger is needed: for history, and for the period before the longest current one."""
        rules = {budget.period for budget in self.terms.budgets}
        starts = [rule.previous(rule.containing(now)).start for rule in rules]
        return min([now - timedelta(days=HISTORY_DAYS + 1), *starts])

    def obsolete_before(self, now: datetime, retention: timedelta) -> datetime:
        """Before when usage may be deleted: older than `retention`, and than all that an evaluation reads."""
        return min(now - retention, self.reach(now) - _SPARED)

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
        stored = {row.name: row for row in await self._store.sources()}
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
            commitments=[(name, one) for name, known in self._known(state, committed).items() for one in known],
            balances=terms.balances(),
            widths=widths(state),
        )
        return Facts(
            terms.budgets, self.ledger, context, self._announced, state, behind, terms.policy, terms.book, failing
        )

    def _known(self, state: State, committed: Mapping[str, Sequence[Committed]]) -> dict[str, tuple[Committed, ...]]:
        """What every configured source says is certain; until it is read, what it said before the restart."""
        stored = {name: known for name, known in COMMITMENTS.items(state) if name in self.terms.sources}
        return stored | {name: tuple(known) for name, known in committed.items()}

    async def _commit(self, decisions: Decisions, state: State, behind: frozenset[str] | None = None) -> bool:
        """`behind` names the sources that the ledger lacked; None where the ledger was not evaluated.

        What is not an evaluation of the ledger is news: no backup can have announced it.
        """
        now = self._clock.now()
        withheld = self.terms.dry_run or (RESTORED.get(state) is not None and behind is not None)
        alerts = [_with_page(alert, self.terms.public_url) for alert in decisions.alerts]
        rows = [row for alert in alerts for row in _rows(alert, now, dry_run=withheld)]
        budgets = {budget.name: budget for budget in self.terms.budgets}
        policy = self.terms.policy
        quiet = quiet_until(policy.quiet, policy.zone, now)
        messages = route(alerts, budgets, self.terms.receivers, quiet)
        if withheld:
            why = "dry run" if self.terms.dry_run else "restored from a backup, so this may have been told before"
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
    """A source as the evaluation sees it: what it promised, and what the store knows of it."""
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


def _with_page(alert: Alert, public_url: str) -> Alert:
    page = page_of(public_url, alert.event)
    return replace(alert, event=replace(alert.event, details_url=page)) if page else alert


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
    """Episodes and raised amounts of periods long past, to be forgotten."""
    gone: dict[str, None] = {}
    for table in (EPISODES, RAISED):
        for name in state.records:
            if name.startswith(table.prefix):
                status = parse_status(name.removeprefix(table.prefix))
                if status is not None and status.day is not None and now.date() - status.day > _FORGET:
                    gone[name] = None
    return gone
