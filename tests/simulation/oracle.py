"""What is promised, and whether it is kept: at every message, act and look, and when all is well again."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any, Final

from alertd.core.actions.state_machine import AT_WORK, acts
from alertd.core.counting import falls
from alertd.core.evaluation.state import LIFECYCLES, State, decode_record
from alertd.loops.execute import LastEvaluation
from alertd.operations.changes import AUDITED
from alertd.stores.sql import SqlStore
from tests.simulation.machines import Database, Process
from tests.simulation.world import OWN, PROMPT, SECOND, TOKEN, Act, Told

if TYPE_CHECKING:
    from tests.simulation.story import Daemon, Replica, Story

#: What may be read from nothing that leaves the daemon.
SECRETS: Final = (TOKEN, "a-secret-path", PROMPT)
#: The price of a token in the currency of the budgets.
PRICE: Final = Decimal("0.000001")
#: The levels of each budget in percent, and which label it is split by.
LEVELS: Final = {"all": (10, 25, 50, 80, 100, 150, 200), "keys": (50, 100), "cloud": (50, 100), "today": (25, 100)}
#: A reading that spans the border of a period may be counted on either side of it.
_BORDER: Final = timedelta(hours=3)
#: By how much a daemon's clock may be wrong.
CLOCKS_DIFFER: Final = timedelta(seconds=420)
#: What was decided on the state of before may still happen for so long: where nothing hinders it, and where daemons
#: or the provider are disturbed.
_UNDER_WAY: Final = timedelta(seconds=90)
_UNDER_WAY_DISTURBED: Final = timedelta(minutes=5)
#: The ledger's buckets.
_BUCKET: Final = timedelta(minutes=5)
#: By how much longer than its interval a reading may take and still be a usual one.
_AWAY: Final = timedelta(seconds=30)
#: What each gateway is called as a source.
NAMES: Final = {OWN: "gateway", SECOND: "kept"}
#: What a source says of a counter whose restart it could not take for one: what is not counted then.
_SAID: Final = (falls.WENT_BACK, falls.DIPPED, falls.CLOCK_SET, falls.MAY_BE_BACK, falls.SEVERAL)
#: Daemons read a changed configuration within this.
_RELOADED: Final = timedelta(minutes=4)


class Oracle:
    """Knows what was spent by the second, and holds every word and act against it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.failures: list[str] = []
        #: How often each promise was looked at.
        self.checks: Counter[str] = Counter()
        #: What sources said of their figures: which one, up to when it had been read, and the sentences.
        self._said: dict[str, dict[datetime, str]] = {}

    def fail(self, promise: str, what: str) -> None:
        """A promise that was not kept."""
        self.failures.append(f"{self.story.loop.now:%d %H:%M:%S} {promise}: {what}")

    def hold(self, promise: str, kept: bool, what: str) -> None:  # noqa: FBT001 - what is held
        """Look at one promise."""
        self.checks[promise] += 1
        if not kept:
            self.fail(promise, what)

    def raise_failures(self) -> None:
        """End the story at the first promise that was not kept."""
        if self.failures:
            raise AssertionError(self.failures[0])

    # --- what was truly spent -------------------------------------------------------------------------------------

    def truth(self, budget: str, alias: str, start: datetime, end: datetime, *, wide: bool) -> Decimal:
        """What a budget's scope spent in a period until now; `wide`: with what its borders may add."""
        story, now = self.story, self.story.loop.now
        begun = story.plan.start
        border = _BORDER if wide else timedelta()
        since, until = max(start - (border if start > begun else timedelta()), begun), min(end + border, now)
        if budget == "keys":
            return Decimal(story.traffic.truth(alias, since, until))
        tokens = Decimal(story.traffic.everything(since, until))
        bill = story.bill.most(start, end) if wide else story.bill.last(start, end)
        return {"all": tokens * PRICE + bill, "cloud": bill, "today": tokens}[budget]

    def most(self, budget: str, alias: str, start: datetime, end: datetime) -> Decimal:
        """The most that anybody can know of what a scope spent: what pages and the bill ever showed.

        Of a period that began within the story, what was used: a reading may count it on either side of its border.
        """
        story = self.story
        if start > story.plan.start:
            return self.truth(budget, alias, start, end, wide=True)
        bill = story.bill.most(start, end)
        tokens = Decimal(story.traffic.visible([alias] if budget == "keys" else story.traffic.aliases))
        return {"all": tokens * PRICE + bill, "cloud": bill}.get(budget, tokens)

    def amounts(self, budget: str, alias: str, since: datetime, period: datetime) -> set[Decimal]:
        """Every amount that a scope may have had in its period at some time since an instant."""
        fixed = {"cloud": Decimal(20), "today": Decimal(2_000_000)}
        if budget in fixed:
            return {fixed[budget]}
        raised = [one for one in self.story.people.raised if one.of == (budget, alias) and one.begun >= period]
        surely = max((one.amount for one in raised if one.done is not None and one.done <= since), default=None)
        found = {one.amount for one in raised if surely is None or one.amount >= surely}
        if surely is not None:
            return found
        known = self.story.amounts[budget]
        return found | {amount for (_, amount), (after, _) in pairwise([*known, (datetime.max.replace(tzinfo=UTC),
                        Decimal(0))]) if after >= since - _RELOADED}  # fmt: skip

    # --- messages -------------------------------------------------------------------------------------------------

    def hear(self, told: Told) -> None:
        """A message that arrived is true when it is read."""
        event = told.event
        self.hold("no secret leaves", not _holds_secret(str(event)), str(event.get("event")))
        self.hold("no budget is said to match nothing", event.get("event") != "unmatched", str(event.get("budget")))
        self._cue(event)
        spent, budget = event.get("spent"), event.get("budget")
        if spent is None or budget not in LEVELS or event.get("event") not in {"threshold", "summary", "recovered"}:
            return
        alias = _alias(event)
        start, end = (datetime.fromisoformat(event["period"][name]) for name in ("start", "end"))
        if budget == "keys" and alias not in self.story.traffic.aliases:
            self.fail("no message names what is not there", alias)
            return
        most = self.most(budget, alias, start, end)
        said = Decimal(str(spent))
        self.hold("no figure is too high", said <= most, f"{budget} {alias} {said}, truly {most:.6f}")
        amount = Decimal(str(event["amount"]))
        waited = any(kind.startswith(("receiver", "daemon", "disk", "both")) for kind in self.story.happened)
        since = self.story.plan.start if waited else told.at - _UNDER_WAY_DISTURBED - CLOCKS_DIFFER
        known = self.amounts(budget, alias, since, start - CLOCKS_DIFFER)
        self.hold("no message has an amount that nobody set", amount in known,
                  f"{budget} {alias} {amount}, not {known}")  # fmt: skip
        if event.get("basis") == "actual" and event["event"] == "threshold":
            share = Decimal(str(event["level"]))
            self.hold("no threshold is announced before it is passed", most * 100 >= amount * share,
                      f"{budget} {alias} {share}% of {amount}: {most:.6f}")  # fmt: skip

    def _cue(self, event: dict[str, Any]) -> None:
        if event["event"] in {"threshold", "action"}:
            self.story.cue("announced", _alias(event))

    def _under_way(self) -> timedelta:
        """How long what was decided on the state of before may still happen."""
        happened = self.story.happened
        if "daemon is frozen" in happened or "disk is slow" in happened:
            return _UNDER_WAY_DISTURBED + timedelta(minutes=20)
        now = self.story.loop.now
        near = (kind for kind, begin, end in self.story.visits.faults if begin <= now <= end)
        disturbed = any(kind.startswith(("daemon", "both", "clock", "provider")) for kind in near)
        return _UNDER_WAY_DISTURBED if disturbed else _UNDER_WAY

    # --- acts -----------------------------------------------------------------------------------------------------

    def see_act(self, act: Act) -> None:
        """A key is turned off only for a reason that holds now, and on only where alertd turned it off."""
        if act.by == "a person":
            return
        story = self.story
        story.cue("turned off" if act.what == "block" else "turned on", act.alias)
        earlier = [one for one in story.provider.acts[:-1] if one.key is act.key]
        approved = any(name in _names(act) for name, _ in story.people.approved)
        self.hold("nothing acts that nobody approved", story.plan.mode == "auto" or (
            story.plan.mode == "approve" and approved), f"{act.what} {act.alias}")  # fmt: skip
        if act.what == "block":
            self._see_block(act, earlier)
        else:
            self._see_unblock(act, earlier)

    def _see_block(self, act: Act, earlier: list[Act]) -> None:
        story, key, now = self.story, act.key, self.story.loop.now
        before = now - self._under_way()
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        start = max(story.plan.start, month)
        over = any(
            self.truth("keys", name, start, now + _BORDER, wide=start < now - _BORDER) >= amount
            for name in _names(act)
            for amount in self.amounts("keys", name, before, month)
        )
        burns = story.plan.acts_on_burns and any(self._burns(name, now) for name in _names(act))
        self.hold("nothing is turned off without a reason", over or burns, f"{act.alias}, rate {key.rate:.1f}")
        later = now + (CLOCKS_DIFFER if any(kind.startswith("clock") for kind in story.happened) else timedelta())
        silenced = all(any(one.since <= before and one.covers("keys", name, now) and one.until > later
                           for one in story.people.silences) for name in _names(act))  # fmt: skip
        self.hold("nothing is turned off that is silenced", not silenced, act.alias)
        paused = any(one.since <= before and (one.until is None or one.until > now) for one in story.people.pauses)
        self.hold("nothing is turned off while actions are paused", not paused, act.alias)
        twice = bool(earlier) and earlier[-1].what == "block"
        disturbed = any(kind.startswith("provider") for kind in story.network.injected) or any(
            kind in story.happened for kind in ("daemon is frozen", "disk is full", "disk is slow")
        )
        self.hold("nothing is turned off twice", not twice or earlier[-1].by == "a person" or disturbed, act.alias)

    def _see_unblock(self, act: Act, earlier: list[Act]) -> None:
        story, now = self.story, self.story.loop.now
        self.hold("only what alertd turned off is turned on", bool(earlier) and earlier[-1].by != "a person", act.alias)
        off = earlier[-1].at if earlier else now
        names = _names(act)
        more = any(
            one.of[0] == "keys" and one.of[1] in names and one.begun >= off - CLOCKS_DIFFER
            for one in story.people.raised
        ) or any(at >= off - CLOCKS_DIFFER for at, _ in story.amounts["keys"])
        ended = now.month != (off - CLOCKS_DIFFER).month or (now + CLOCKS_DIFFER).month != off.month
        self.hold("nothing is turned on without a reason", bool(names & story.people.restored) or (
            story.plan.undo == "auto" and (more or ended)), act.alias)  # fmt: skip
        left = any(name in names and off < at <= now - self._under_way() for name, at in story.people.disowned)
        self.hold("what alertd was told to leave is left", not left, act.alias)

    def _burns(self, alias: str, now: datetime) -> bool:
        """Whether a key spent ten times what its amount allows, for an hour and for five minutes, lately.

        Its hour is the one before a reading, to the token; its five minutes may be longer by a bucket and a reading,
        which their mean is of.
        """
        traffic, plan = self.story.traffic, self.story.plan
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        allowed = 10 * float(min(self.amounts("keys", alias, now - self._under_way(), month))) / (24 * 30)
        spent = lambda at, ago: traffic.truth(alias, at - ago, at)  # noqa: E731
        wrong = CLOCKS_DIFFER if any(kind.startswith("clock") for kind in self.story.happened) else timedelta()
        ago = timedelta(minutes=5) + wrong
        short = [ago + part * (_BUCKET + plan.round) / 20 for part in range(21)]
        since = now - 2 * plan.round - timedelta(minutes=20) - wrong
        return any(
            spent(at, timedelta(hours=1) + self._unread(at - timedelta(hours=1)) + wrong) >= allowed
            and any(spent(at, ago) >= allowed * (ago / timedelta(hours=1)) for ago in short)
            for at in {*(of for _, of in traffic.shown), *self.story.prometheus.scrapes}
            if since <= at <= now
        )

    def _unread(self, at: datetime) -> timedelta:
        """How long before an instant a reading began that it lies in, where that took longer than usual."""
        found = timedelta()
        shown = sorted(of for _, of in self.story.traffic.shown)
        read = [sorted(self._said.get(place, {})) for place in (OWN, SECOND)]
        for instants in (shown, self.story.prometheus.scrapes, *read):
            after = bisect_right(instants, at)
            if 0 < after < len(instants):
                begin, end = instants[after - 1], instants[after]
                found = max(found, at - begin if end - begin > self.story.plan.round + _AWAY else timedelta())
        return found

    # --- what sources say ------------------------------------------------------------------------------------------

    def listen(self, app: Daemon) -> None:
        """Remember what a daemon says of each gateway's figures, and up to when it had read it then."""
        for place, name in NAMES.items():
            view = app.evaluation.views.get(name)
            if view is not None and view.until is not None:
                self._said.setdefault(place, {})[view.until] = view.degraded

    def _excused(self, place: str) -> list[tuple[datetime, datetime]]:
        """When what was used at a gateway may not be counted, as it says itself: it restarted under a wrong clock.

        The readings that took the restart up must have said so: those within clocks' error of it and the first one
        after. It excuses what was used while every reading goes on to say so; and where it only said that a clock was
        set, what was there until then.
        """
        story, said = self.story, sorted(self._said.get(place, {}).items())
        wrong = [(begin, end) for kind, begin, end in story.visits.faults if kind.startswith("clock")]
        found = []
        for at, of in story.traffic.restarts:
            if of != place or not any(begin <= at <= end for begin, end in wrong):
                continue
            near = [(until, text) for until, text in said if until >= at - CLOCKS_DIFFER]
            first = next((until for until, _ in near if until > at + CLOCKS_DIFFER), story.loop.now)
            if not any(words in text for until, text in near if until <= first for words in _SAID):
                continue
            lasting = list(takewhile(lambda one: one[0] <= first or any(words in one[1] for words in _SAID), near))  # noqa: B023
            only_set = not any(words in text for _, text in lasting for words in _SAID if words != falls.CLOCK_SET)
            found.append((at - CLOCKS_DIFFER, first if only_set else lasting[-1][0] + CLOCKS_DIFFER))
        return found

    # --- pages ----------------------------------------------------------------------------------------------------

    async def look_at_pages(self, app: Daemon) -> None:
        """API, page and what `alertd explain` reads say the same of one evaluation, and no secret."""
        latest, facts = app.evaluation.latest, app.evaluation.facts
        if latest is None or facts is None:
            return
        api = (await app.ask("/api/v1/budgets")).json()
        page = (await app.ask("/")).text
        others = [(await app.ask(path)).text for path in ("/metrics", "/api/v1/alerts", "/api/v1/actions",
                                                         "/api/v1/sources")]  # fmt: skip
        records = await app.store.evaluation()
        for text in (page, str(api), *others):
            self.hold("no secret leaves", not _holds_secret(text), "a page of the daemon")
        if app.evaluation.latest is not latest:
            return  # another evaluation came meanwhile
        rows = {_row(one): one for one in api["budgets"]}
        for position in latest.statuses:
            row = rows.get((position.budget.name, tuple(dict(position.scope).values()),
                            position.period.start.astimezone(UTC)))  # fmt: skip
            self.hold("page, API, messages and explain agree", row is not None and (
                row["spent_at_least"] is None or Decimal(row["spent_at_least"]) == position.spent
            ), f"API: {position.name}: {position.spent}, {row and row['spent_at_least']}")  # fmt: skip
            self.hold("page, API, messages and explain agree", position.budget.name in page, f"page: {position.name}")
        for text, at in records.values():
            if at != facts.context.now:
                continue
            record = decode_record(text)
            row = rows.get(_row(record.answer))
            same = row is None or all(
                row[name] == record.answer[name] for name in ("spent_at_least", "amount", "status", "data_until")
            )
            self.hold("page, API, messages and explain agree", same, f"explain: {record.name}")

    # --- the end --------------------------------------------------------------------------------------------------

    async def look_at_the_end(self) -> None:
        """After a time of peace ledger, messages, pages and replicas agree; nothing waits, nothing is lost."""
        story = self.story
        for app in (replica.app for replica in story.replicas if replica.app is not None):
            self.listen(app)
        alive = [replica for replica in story.replicas if replica.app is not None]
        self.hold("a daemon runs", len(alive) == len(story.replicas), f"{len(alive)} of {len(story.replicas)}")
        store = SqlStore(Database(story.disk, Process("oracle")))
        notes = {name: value for name, (value, _) in (await store.memory()).items()}
        state = State(notes, {})
        for step in [step for step in await store.audit() if not step.act.startswith(AUDITED)]:
            story.visits.change(f"act: {step.what}", step.at)
        for _, life in LIFECYCLES.items(state):
            story.visits.change("alert: announce", life.announced_at)
            for step in life.history[1:]:
                story.visits.change(f"alert: {step.what}", step.at)
        just_now = story.loop.now - _UNDER_WAY
        for act in acts(notes).values():
            # What a guard holds back has begun nothing at the provider; what began just now is under way.
            half = act.state in AT_WORK and not act.is_waiting(story.loop.now)
            self.hold("no action is left half done", not half or (act.since or just_now) > just_now,
                      f"{act.handle} is {act.state} since {act.since}")  # fmt: skip
        for notifier, (count, oldest) in (await store.outbox_depth()).items():
            self.hold("every message arrives", oldest is not None and oldest > just_now,
                      f"{notifier}: {count} wait, the oldest since {oldest}")  # fmt: skip
        for replica in alive:
            await self._look_at(replica)
        if alive:
            self._look_at_announcements(alive[0])
            await self._look_at_keys(alive[0])

    async def _look_at(self, replica: Replica) -> None:
        app = replica.app
        assert app is not None
        await self.look_at_pages(app)
        self.hold("memory is bounded", len(app.runner.rounds) < 40 and len(app.deliver.queues) == 2,
                  f"{len(app.runner.rounds)} loops, {len(app.deliver.queues)} queues")  # fmt: skip
        latest = app.evaluation.latest
        if latest is None:
            self.fail("a daemon evaluates", replica.name)
            return
        story, now = self.story, self.story.loop.now
        known = self._known_until(app)
        for source, until in known.items():
            bound = 2 * story.plan.round + timedelta(minutes=6)
            self.hold("a source is read again", until >= now - bound, f"{source}: {until:%H:%M:%S}")
        for position in latest.statuses:
            name, alias = position.budget.name, str(dict(position.scope).get("key") or "")
            start, end = position.period.start.astimezone(UTC), position.period.end.astimezone(UTC)
            most = self.most(name, alias, start, end)
            self.hold("no figure is too high", position.spent <= most, f"at the end: {position.name} {position.spent}"
                      f", truly {most:.6f}")  # fmt: skip
            if name in story.amounts and all(one.of != (name, alias) for one in story.people.raised):
                amount = story.amounts[name][-1][1]
                self.hold("the configuration in force is the last one", position.amount.value == amount,
                          f"{position.name}: {position.amount}, not {amount}")  # fmt: skip
            if name == "cloud":
                bill = story.bill.before(now - timedelta(minutes=35), start, end)
                bills = {bill, story.bill.last(start, end)}
                self.hold("a bill is taken to the cent", position.spent in bills, f"{position.spent}, truly {bill}")
            elif start <= story.plan.start:
                least = self._least(name, alias, known, start, end)
                self.hold("nothing is lost unless it is said", position.spent >= least,
                          f"{position.name} {position.spent}, truly {least} at least")  # fmt: skip
            told = [Decimal(str(one.event["spent"])) for one in story.receivers.told
                    if one.event.get("budget") == name and one.event.get("spent") is not None
                    and _alias(one.event) == alias
                    and datetime.fromisoformat(one.event["period"]["start"]) == start
                    and one.at < now - 2 * story.plan.round]  # fmt: skip
            if name in {"keys", "today"}:
                self.hold("page, API, messages and explain agree", all(said <= position.spent for said in told),
                          f"{position.name}: told {max(told, default=0)}, on the page {position.spent}")  # fmt: skip

    def _known_until(self, app: Daemon) -> dict[str, datetime]:
        """Up to when a daemon says that it has read each gateway, less what a reading may take."""
        views = app.evaluation.facts.context.sources if app.evaluation.facts is not None else {}
        never = self.story.plan.start
        own, kept = (views[name].until or never if name in views else never for name in NAMES.values())
        return {OWN: own - timedelta(seconds=30), SECOND: kept - timedelta(seconds=90)}

    def _least(self, budget: str, alias: str, known: dict[str, datetime], start: datetime, end: datetime) -> Decimal:
        """What a scope has spent at least by what alertd says that it has read."""
        traffic = self.story.traffic
        used = sum(traffic.used((place,), name, None, until) for place, until in known.items()
                   for name in ([alias] if budget == "keys" else sorted(traffic.aliases)))  # fmt: skip
        unseen = sum(one.tokens for one in traffic.unseen if one.since < known[one.place]
                     and (budget != "keys" or one.alias == alias))  # fmt: skip
        excused = sum(traffic.used((place,), name, since, min(until, known[place])) for place in known
                      for since, until in _merged(self._excused(place)) if since < known[place]
                      for name in ([alias] if budget == "keys" else sorted(traffic.aliases)))  # fmt: skip
        tokens = Decimal(used - unseen - excused) - (len(traffic.restarts) + 1) * (
            1 if budget == "keys" else len(traffic.aliases)
        )
        if budget != "all":
            return tokens
        bills = (self.story.bill.before(self.story.loop.now - timedelta(minutes=35), start, end),
                 self.story.bill.last(start, end))  # fmt: skip
        return tokens * PRICE + min(bills)

    def _look_at_announcements(self, replica: Replica) -> None:
        """What is due is announced to each receiver, in time where nothing was in the way, and under one id."""
        assert replica.app is not None
        assert replica.app.evaluation.latest is not None
        story = self.story
        told: dict[tuple[Any, ...], list[Told]] = {}
        summed_up: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for one in story.receivers.told:
            event = one.event
            if event["event"] == "summary":
                summed_up.setdefault((one.receiver, event["budget"], _alias(event)), []).append(event)
            reminds = str(event["reason"]).endswith("still fires")
            if event["event"] == "threshold" and event.get("basis") == "actual" and not reminds:
                alias = _alias(event)
                start = datetime.fromisoformat(event["period"]["start"])
                for level in event["levels"]:
                    key = event["budget"], alias, start, int(level), Decimal(str(event["amount"]))
                    told.setdefault((one.receiver, *key), []).append(one)
        for group, each in told.items():
            ids = {one.event["id"] for one in each}
            self.hold("nothing is announced under two ids", len(ids) == 1, f"{group[1:]}: {ids}")
        for position in replica.app.evaluation.latest.statuses:
            name, alias = position.budget.name, str(dict(position.scope).get("key") or "")
            start = position.period.start.astimezone(UTC)
            for level in LEVELS.get(name, ()):
                if position.spent * 100 < position.amount.value * level:
                    continue
                for receiver in ("hook", "second"):
                    if any(Decimal(str(event["amount"])) == position.amount.value
                           and Decimal(str(event["spent"] or 0)) * 100 >= Decimal(str(event["amount"])) * level
                           for event in summed_up.get((receiver, name, alias), ())):  # fmt: skip
                        continue  # the first summary said that it was passed before alertd first looked
                    found = told.get((receiver, name, alias, start, level, position.amount.value))
                    self.hold("what is due is announced", bool(found), f"{receiver}: {position.name} {level}%")
                    if found:
                        self._look_at_time(name, alias, position.amount.value * level / 100, found[0])

    def _look_at_time(self, budget: str, alias: str, amount: Decimal, told: Told) -> None:
        """Where nothing was in the way, a message is there two rounds after the spend, and a few minutes."""
        story = self.story
        if budget not in {"keys", "today"} or any(
            begin - timedelta(minutes=30) <= told.at <= end + timedelta(minutes=90)
            for begin, end in story.visits.spans()
        ):
            return
        aliases = [alias] if alias else sorted(story.traffic.aliases)
        start = datetime.fromisoformat(told.event["period"]["start"])
        crossed = story.traffic.reached(aliases, float(amount), max(start, story.plan.start))
        if crossed is not None:
            late = told.at - crossed
            bound = 2 * story.plan.round + timedelta(minutes=5)
            self.hold("what is due is announced in time", late <= bound, f"{budget} {alias} {amount}: after {late}")

    async def _look_at_keys(self, replica: Replica) -> None:
        """What alertd turned off for an amount that is not reached any more is on again, where undoing is automatic.

        What is over is off, or `alertd actions plan` shows why not.
        """
        assert replica.app is not None
        evaluation = replica.app.evaluation
        assert evaluation.latest is not None
        assert evaluation.facts is not None
        story, seen = self.story, LastEvaluation(evaluation.facts, evaluation.latest.statuses)
        shown = {(one.position, one.target) for one in (await replica.app.actor.preview(seen)).withheld}
        positions = {str(dict(one.scope).get("key") or ""): one for one in evaluation.latest.statuses
                     if one.budget.name == "keys" and one.period.end > story.loop.now}  # fmt: skip
        for key in story.traffic.keys:
            done = [act for act in story.provider.acts if act.key is key]
            position = positions.get(key.alias)
            if not done or position is None or done[-1].by == "a person" or len(key.names) > 1:
                continue
            raised = [one for one in story.people.raised if one.of == ("keys", key.alias) and one.begun > done[-1].at
                      and one.done is not None]  # fmt: skip
            left = any(name == key.alias for name, _ in story.people.disowned)
            if story.plan.undo == "auto" and done[-1].what == "block" and raised and not left:
                self.hold("what was turned off is turned on when it should be",
                          position.spent >= position.amount.value,
                          f"{key.alias}: {position.spent} of {position.amount.value}")  # fmt: skip
            if story.plan.mode == "auto" and position.spent >= position.amount.value and not key.blocked:
                why = key.alias in story.people.restored or shown & {(position.name, ""), (position.name, key.alias)}
                self.hold("what is over is turned off, or it is shown why not", bool(why),
                          f"{key.alias}: {position.spent} of {position.amount.value}")  # fmt: skip

    def look_at_log(self, lines: list[str]) -> None:
        """No secret and no surprise in the log, nor in what commands showed people."""
        for line in (*lines, *self.story.people.shown):
            if _holds_secret(line):
                self.fail("no secret is logged", line[:300])
            if "failed unexpectedly" in line or "Traceback" in line or "broke over a message" in line:
                self.fail("nothing unexpected is logged", line[-2500:])
        self.checks["no secret is logged"] += len(lines)


def _merged(spans: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """The same instants in spans that do not overlap."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def _holds_secret(text: str) -> bool:
    return any(secret in text for secret in SECRETS)


def _alias(event: dict[str, Any]) -> str:
    return str((event.get("scope") or {}).get("key") or "")


def _names(act: Act) -> set[str]:
    """Every name of a key: an act may have been decided under an earlier one."""
    return {name for _, name in act.key.names}


def _row(answer: dict[str, Any]) -> tuple[str, tuple[Any, ...], datetime]:
    return (str(answer["budget"]), tuple(answer["scope"].values()), datetime.fromisoformat(answer["period"]["start"]))
