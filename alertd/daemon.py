"""Open this first: the wiring of the daemon and its life.

    settings -> sources, notifiers, store, price book
             -> Collect (one a source) -> Evaluate -> Deliver and Act, run by APScheduler through one Runner
             -> LiveMessageLoop (messages that follow a budget), InteractionLoop (the buttons below them)
             -> the web side, which only looks

A source or a notifier that is down at the start is logged and tried again; SIGTERM ends the daemon with 0 within 10 s;
SIGHUP re-reads the configuration, and a bad one is refused and the old one kept.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Final

from starlette.types import ASGIApp

from alertd import __version__, registry
from alertd.clients.otlp_metrics import encoded
from alertd.components import (
    COLLECT,
    Components,
    action_config,
    budget_statuses_of,
    build_components,
    evaluation_config,
    fallbacks_of,
    loops_of,
    settings_shown,
)
from alertd.core.actions.policy import ActionPolicy
from alertd.core.budgets import Budget
from alertd.core.config_errors import SettingsError
from alertd.core.delivery import Circuit
from alertd.core.evaluation.breakdown import ScopeUsage
from alertd.core.evaluation.health import announce_configuration, announce_damage
from alertd.core.evaluation.state import STORED_BUDGETS, State, StoredBudget
from alertd.core.evaluation.values import BudgetStatus, Decisions, Facts
from alertd.core.messages.format import plural
from alertd.core.pricing.price_file import PriceFileError
from alertd.loops.collect import Collect
from alertd.loops.deliver import LOOK, Deliver
from alertd.loops.evaluate import Evaluate
from alertd.loops.execute import ActionLoop, LastEvaluation
from alertd.loops.interactions import InteractionDeps, InteractionLoop, LiveMessageInputs, LiveMessageLoop
from alertd.loops.maintenance import Maintenance, OtherDaemonCheck, Watch
from alertd.loops.runner import Runner
from alertd.operations.changes import Operations
from alertd.operations.values import ConflictError, InvalidError
from alertd.plugin_options import without_password
from alertd.ports import Clock, SourceError, Store, StoreDamagedError
from alertd.scheduler import Scheduler
from alertd.settings import Settings
from alertd.settings.budgets import read_stored
from alertd.web.allowance import CurrentIndex
from alertd.web.allowance_process import AllowanceProcess, Rules
from alertd.web.answers import record_evaluation
from alertd.web.api import take_snapshot
from alertd.web.metrics import registry_of
from alertd.web.otlp import Receivers, Receiving, pushed_sources
from alertd.web.server import ListenError, View, WebServer, build, is_loopback
from alertd.web.view import AllowanceCounts

if TYPE_CHECKING:
    from alertd.web.mcp_server import McpEndpoint

log = logging.getLogger(__name__)

#: What is under way at SIGTERM may finish within this; a container is killed after 10 s.
_DRAIN_SECONDS: Final = 6.0
#: What was sent is evaluated at once, but no more often than this.
_SOON: Final = timedelta(seconds=15)
_PRUNE_EVERY: Final = timedelta(hours=6)
_FOLLOW: Final = "follow"
#: How often it is looked whether the price list is due.
_PRICES_EVERY: Final = timedelta(minutes=15)
#: An evaluation that is five poll intervals old, and at least this, does not speak for the present.
_LEAST_LASTING: Final = timedelta(minutes=10)
#: By how much the clock may go back unremarked.
_CLOCK_SLACK: Final = timedelta(seconds=2)


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Daemon:
    """The daemon: open, run until stopped, drain, close."""

    #: An approval, a lease that ran out, a changed file or a changed clock waits no longer than this.
    LOOK_EVERY: ClassVar = timedelta(seconds=5)
    #: A message that another replica committed, or that waits for its next try, waits no longer than this.
    DELIVER_EVERY: ClassVar = LOOK
    #: How often live messages are checked; what is shown in them changes less often.
    FOLLOW_EVERY: ClassVar = timedelta(seconds=15)

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        clock: Clock | None = None,
        *,
        progress: Callable[[str, float], None] = lambda _name, _share: None,
        served: Callable[[str], None] = lambda _address: None,
        store: Store | None = None,
    ) -> None:
        """`served` gets the address of the page once it is up. `store` takes the place of the configured database."""
        self.clock: Clock = clock or SystemClock()
        self.store: Store = store or registry.store(settings.database)
        self.runner = Runner(self.clock, damaged=self._damaged)
        self._damage: StoreDamagedError | None = None
        self.components = build_components(settings, self.store, self.clock, progress)
        self.evaluation = Evaluate(
            self.store, self.clock, evaluation_config(self.components), self._wake_deliver, record_evaluation
        )
        self._other_daemon = OtherDaemonCheck(
            self.store, self.evaluation, self.clock, without_password(settings.database)
        )
        self.deliver = self._deliverer()
        self.actor = ActionLoop(
            self.store,
            self.clock,
            action_config(self.components, self.evaluation.terms, self.clock),
            self._seen,
            self._wake_deliver,
        )
        self.follow = LiveMessageLoop(self.store, self.clock, self._live_message_inputs)
        self.maintenance = Maintenance(self.store, self.clock, self._obsolete_before, self._idle_before)
        self.interactions = InteractionLoop(
            self.store, self.clock, self._interaction_deps(), self._refresh_live_messages
        )
        self.operations = Operations(
            self.store,
            self.clock,
            self.actor.write,
            budgets=lambda: self.components.settings.budgets,
            policies=self._policies,
            lost=self.actor.lost,
            notifiers=lambda: self.components.notifiers,
            read_budget=self._read_budget,
            changed=self._show_change,
        )
        self._configured = settings
        self._stored: Mapping[str, StoredBudget] = {}
        self._load = load
        self._progress = progress
        self._served = served
        self._closing: set[asyncio.Task[None]] = set()
        #: Whether the configuration is to be read anew, whether that is under way, and what does it after a SIGHUP.
        self._is_reload_due = self._is_reloading = False
        self._reloads: set[asyncio.Task[None]] = set()
        self._has_begun = False
        self._stop = asyncio.Event()
        self._scheduler = Scheduler(self.clock, self._skipped)
        #: Whether an evaluation waits for the one that runs.
        self._evaluates_next = False
        self._files = Watch(settings.watched)
        self._next_beat = self.clock.now()
        self._beating: set[asyncio.Task[bool]] = set()
        self._faults: tuple[str, ...] = ()
        self._web: WebServer | None = None
        self._has_arrived = False
        self._receivers = Receiving(self.clock, self._take_in)
        self._started = self.clock.now()
        self._allowance = AllowanceCounts()
        self._allowance_process = AllowanceProcess(self._allowance)
        self._application_now: ASGIApp | None = None
        self._mcp = self._mcp_endpoint()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT (or `stop`); what is under way is finished first.

        Raises StoreDamagedError where the database's file turns out to be broken.
        """
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_soon)
        # `alertd run` holds SIGHUP back from its first line on: one that came meanwhile is delivered now.
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        try:
            await self._open_and_run()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    async def _open_and_run(self) -> None:
        await self.store.open()
        if inherited := await self.store.inherit():
            log.warning("%d messages were being sent when alertd ended; they may arrive twice", inherited)
        await self.runner.run("stored budgets", self._take_stored)
        self._listen_to_signals()
        async with AsyncExitStack() as mcp:
            if self._mcp is not None:
                await mcp.enter_async_context(self._mcp.running())
            await self._run()

    async def _run(self) -> None:
        self._web = server = await self._serve()
        await self._serve_allowance()
        await self.runner.run("announce", self._announce_faults)
        await self.runner.run("announce", self._announce_damage)
        self._has_begun = True
        self._reschedule()
        self._scheduler.start()
        if self._is_reload_due:
            self._reload_soon()
        delivering = asyncio.create_task(self.deliver.run(self._stop), name="deliver")
        interacting = asyncio.create_task(self.interactions.run(self._stop), name="interactions")
        await self._receivers.start(self.components.sources)
        minding = asyncio.create_task(self._mind_the_clock(), name="clock")
        try:
            await self._stop.wait()
        finally:
            log.info("stopping: finishing what is under way")
            self._scheduler.pause()
            sending = asyncio.wait([delivering], timeout=_DRAIN_SECONDS)
            await asyncio.gather(self.runner.drain(_DRAIN_SECONDS), sending)
            await self._receivers.stop()
            delivering.cancel()
            interacting.cancel()
            minding.cancel()
            await asyncio.wait([delivering, interacting], timeout=1)
            self._scheduler.end()
            await self._allowance_process.stop()
            if server is not None:
                await server.stop()
            if self._closing:  # the rounds that they waited for have ended
                await asyncio.wait(self._closing, timeout=1)
            await self.components.close()
            await self.store.close()
        if self._damage is not None:
            raise self._damage

    def _damaged(self, error: StoreDamagedError) -> None:
        self._damage = error
        self._stop.set()

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    async def reload(self) -> None:
        """Read the configuration anew; a bad one is refused with its faults, and the old one stays in force."""
        try:
            components = build_components(self._load(), self.store, self.clock, self._progress)
        except (SettingsError, PriceFileError) as error:
            self._faults = tuple(str(error).splitlines())
            log.warning("the new configuration is refused, the old one stays in force:\n%s", error)
            self._files.renew()
            await self._announce_faults()
            return
        self._faults = ()
        old, self.components = self.components, components
        self._configured, self._stored = components.settings, {}
        self.evaluation.terms = evaluation_config(components)
        self.actor.config = action_config(components, self.evaluation.terms, self.clock)
        self.deliver.replace(components.notifiers, fallbacks_of(components.settings))
        self.deliver.held = components.settings.dry_run
        self.deliver.command_options = components.settings.command_options
        if self._web is not None:
            self._web.replace(self._application(self._web.host))
        await self._serve_allowance()
        await self._receivers.start(components.sources)
        self._reschedule()
        self._files.renew(components.settings.watched)
        self._close_later(old)
        await self._take_stored()
        await self._announce_faults()
        if components.settings.database != old.settings.database:
            log.warning("ALERTD_DATABASE has changed: that takes a restart")
        budgets, sources = plural(len(components.settings.budgets), "budget"), plural(len(components.sources), "source")
        log.info("configuration re-read: %s, %s", budgets, sources)

    async def _take_stored(self) -> None:
        """Take the budgets in the database into force beside the configured ones, which win."""
        stored = dict(STORED_BUDGETS.items(State.of(await self.store.memory())))
        if stored == self._stored:
            return
        self._stored, read = stored, {}
        for name, one in stored.items():
            try:
                read[name] = read_stored(name, one.settings, self._configured)
            except SettingsError as error:
                log.warning("the stored budget %s is left out: %s", name, error)
        budgets = {**read, **self._configured.budgets}
        self.components.settings = replace(self._configured, budgets=budgets)
        self.evaluation.terms = replace(self.evaluation.terms, budgets=tuple(budgets.values()))
        self.actor.config = action_config(self.components, self.evaluation.terms, self.clock)
        log.info("%s in the database", plural(len(read), "budget"))

    def _read_budget(self, name: str, written: Mapping[str, str]) -> Budget:
        if name in self._configured.budgets:
            raise ConflictError(f"{name} is in the configuration", "change it there")
        try:
            return read_stored(name, written, self._configured)
        except SettingsError as error:
            raise InvalidError("; ".join(map(str, error.faults))) from error

    def _close_later(self, old: Components) -> None:
        """Close what was replaced once the rounds that may still use it have ended."""

        async def close() -> None:
            await asyncio.gather(self.runner.outlast(), self.deliver.outlast())
            await old.close()

        closing = asyncio.create_task(close(), name="close what was replaced")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _announce_faults(self) -> None:
        """Announce that the configuration was refused, or is sound again: once each."""
        await self.evaluation.announce(lambda state: announce_configuration(self._faults, state, self.clock.now()))

    async def _announce_damage(self) -> None:
        """Announce that the database was damaged and made anew."""
        await self.evaluation.announce(lambda state: announce_damage(state, self.clock.now()))

    def _obsolete_before(self, now: datetime) -> datetime | None:
        """Before when usage is to be deleted; None where it is kept for good."""
        retention = self.components.settings.retention
        return None if retention is None else self.evaluation.obsolete_before(now, retention)

    def _idle_before(self, now: datetime) -> Mapping[str, datetime]:
        """By label, since when a value must be unused to become a pseudonym."""
        lengths = self.components.settings.label_retention
        return {label: self.evaluation.idle_before(now, length) for label, length in lengths.items()}

    def _seen(self) -> LastEvaluation | None:
        facts, latest = self.evaluation.facts, self.evaluation.latest
        return None if facts is None or latest is None else LastEvaluation(facts, latest.statuses)

    def _deliverer(self) -> Deliver:
        fallbacks = fallbacks_of(self.components.settings)
        held = self.components.settings.dry_run
        deliver = Deliver(
            self.store, self.components.notifiers, self.clock, fallbacks, held=held, runner=self.runner,
            look=self.DELIVER_EVERY,
        )  # fmt: skip
        deliver.command_options = self.components.settings.command_options
        return deliver

    async def _serve(self) -> WebServer | None:
        """Serve page, API and probes. If the address cannot be bound, log it and run without the web server."""
        http = self.components.settings.http
        server = WebServer(self._application(http.host), http.host, http.port)
        try:
            address = await server.start()
        except ListenError as error:
            log.error("%s", error)  # noqa: TRY400 - one line says all
            return None
        log.info("page, API and probes at %s", address)
        self._served(address)
        return server

    async def _serve_allowance(self) -> None:
        """Let the process of the allowance answer as the configuration says; none where it has no address."""
        http = self.components.settings.http
        rules = Rules(
            http.allowance[0] if http.allowance else "",
            self.components.settings.public_url,
            http.token.get_secret_value() if http.token is not None else None,
            http.people,
            http.user_header,
            http.trusted_proxies,
        )
        try:
            address = await self._allowance_process.start(http.allowance, rules, CurrentIndex(self._view()))
        except ListenError as error:
            log.error("%s", error)  # noqa: TRY400 - one line says all
        else:
            if address is not None:
                log.info("the allowance alone at %s", address)

    def _application(self, host: str) -> ASGIApp:
        """What is served at `host`, by the token and the addresses that hold now."""
        http = self.components.settings.http
        token = http.token.get_secret_value() if http.token is not None else None
        self._application_now = build(
            self._view(),
            token=token,
            open_metrics=http.open_metrics,
            loopback=is_loopback(host),
            people=http.people,
            user_header=http.user_header,
            trusted_proxies=http.trusted_proxies,
            mcp=() if self._mcp is None else self._mcp.routes,
        )
        pushed = {source.path: source for source in pushed_sources(self.components.sources).values()}
        own = {path: source for path, source in pushed.items() if not source.listen}
        return (
            Receivers(self._application_now, own, self.clock, loopback=is_loopback(host))
            if own
            else self._application_now
        )

    def _view(self) -> View:
        return View(
            clock=self.clock,
            started=self._started,
            version=__version__,
            records=self.store,
            standings=lambda: budget_statuses_of(self.evaluation),
            loops=lambda: loops_of(self.runner, self._scheduler, self.components.collects),
            book=lambda: self.evaluation.terms.book,
            lines=lambda: {row.line for row in self.evaluation.ledger.series if not row.billed},
            faults=lambda: self._faults,
            delivery_stats=lambda: [one for _, one in sorted(self.deliver.queues.items())],
            operations=self.operations,
            usage=self._usage,
            actions=lambda: [action.terms for _, action in sorted(self.actor.config.actions.items())],
            public_url=self.components.settings.public_url,
            zone=self.components.settings.timezone,
            settings=lambda: settings_shown(self.components.settings),
            in_force=lambda: self.components.settings.in_force,
            command_options=lambda: self.components.settings.command_options,
            people=[(person.name, person.role) for person in self.components.settings.http.people],
            dry_run=self.components.settings.dry_run,
            budgets=lambda: self.evaluation.terms.budgets,
            configured=lambda: self._configured.budgets,
            evaluation=self._evaluated,
            allowance=self._allowance,
            evaluation_lasts=max(_LEAST_LASTING, 5 * self.components.settings.poll_interval),
        )

    def _mcp_endpoint(self) -> McpEndpoint | None:
        """/mcp, where the configuration asks for it; it lives as long as the daemon."""
        mode = self.components.settings.http.mcp
        if mode == "off":
            return None

        def application() -> ASGIApp:
            assert self._application_now is not None  # noqa: S101 - it answers what comes through it
            return self._application_now

        # Imported here: the SDK is an extra, and takes half a second.
        made: McpEndpoint = import_module("alertd.web.mcp_server").McpEndpoint(application, proposes=mode == "propose")
        return made

    def _evaluated(self) -> tuple[Facts, Decisions] | None:
        facts, latest = self.evaluation.facts, self.evaluation.latest
        return None if facts is None or latest is None else (facts, latest)

    def _live_message_inputs(self) -> LiveMessageInputs:
        """What live messages show; nothing in dry run."""
        return LiveMessageInputs((), {}) if self.components.settings.dry_run else self._shown()

    def _shown(self) -> LiveMessageInputs:
        """What the evaluation saw last."""
        latest, settings = self.evaluation.latest, self.components.settings
        return LiveMessageInputs(
            () if latest is None else latest.statuses,
            self.components.notifiers,
            settings.public_url,
            settings.command_options,
        )

    def _interaction_deps(self) -> InteractionDeps:
        return InteractionDeps(
            notifiers=lambda: self.components.notifiers,
            terms=self._policies,
            write=self.actor.write,
            lost=self.actor.lost,
            shown=self._shown,
        )

    def _policies(self) -> Mapping[str, ActionPolicy]:
        return {name: action.terms for name, action in self.actor.config.actions.items()}

    def _refresh_live_messages(self) -> None:
        """Show the result of a button at once."""
        self._scheduler.run_now(_FOLLOW)

    def _usage(self, position: BudgetStatus) -> ScopeUsage | None:
        """A scope's usage in the ledger of the last evaluation."""
        facts = self.evaluation.facts
        return None if facts is None else ScopeUsage(facts, position)

    def _show_change(self) -> None:
        """Show at once what a person changed: a raised amount on the page, an answer in the live message."""
        for name in ("watch", "evaluate", _FOLLOW, "act"):
            self._scheduler.run_now(name)

    async def _follow(self) -> None:
        await self.runner.run(_FOLLOW, self.follow.tick)

    def _wake_deliver(self) -> None:
        self.deliver.wake()

    def _schedule(self) -> None:
        """One job a source, then maintenance; an evaluation follows each reading, else it runs every poll interval."""
        every = self._scheduler.every
        for name, collect in self.components.collects.items():
            every(collect.source.interval, f"{COLLECT}{name}", self._collect_and_evaluate(name, collect))
        every(self.components.settings.poll_interval, "evaluate", self._evaluate_unless_read)
        if self.components.settings.actions:
            every(self.LOOK_EVERY, "act", self._act)
        every(self.FOLLOW_EVERY, _FOLLOW, self._follow)
        every(_PRUNE_EVERY, "upkeep", self._maintain)
        every(self.LOOK_EVERY, "watch", self._watch)
        if self.components.metrics is not None:
            every(self.components.metrics.target.interval, "metrics", self._push_metrics)
        if self.components.fetched:
            every(_PRICES_EVERY, "prices", self._refresh_prices)

    def _reschedule(self) -> None:
        """Plan everything anew; what is not on the scheduler any more is forgotten, or it would count as stuck."""
        before = self._scheduler.names
        self._scheduler.clear()
        self._schedule()
        self.runner.forget(before - self._scheduler.names)

    def _collect_and_evaluate(self, name: str, collect: Collect) -> Callable[[], Awaitable[object]]:
        async def round_() -> None:
            await self.runner.run(f"{COLLECT}{name}", collect.tick)
            await self._evaluate()

        return round_

    async def _take_in(self, name: str) -> bool:
        """Store what was sent to a source; evaluate soon, but not after each of many requests."""
        collect = self.components.collects.get(name)
        if collect is None:
            return False
        is_stored = await self.runner.run(f"receive {name}", collect.tick)
        last, now = self.evaluation.evaluated_at, self.clock.now()
        if is_stored:
            self._has_arrived = True
            self._scheduler.run_by("evaluate", now if last is None or last > now else max(now, last + _SOON))
        return is_stored

    def _skipped(self, name: str) -> None:
        """A round took longer than its interval: the next one was left out. The job `watch` is no loop of its own."""
        if (seen := self.runner.rounds.get(name)) is not None:
            seen.skipped += 1

    async def _evaluate_unless_read(self) -> None:
        """Evaluate where no reading does it: every source is read less often, or the one that is read takes long."""
        has_arrived, self._has_arrived = self._has_arrived, False
        interval, last = self.components.settings.poll_interval, self.evaluation.evaluated_at
        often = any(source.interval <= interval for source in self.components.sources.values())
        if has_arrived or not (often and last is not None and last <= self.clock.now() < last + 1.5 * interval):
            await self._evaluate()

    async def _evaluate(self) -> None:
        """Evaluate what is stored by now; what an evaluation that runs may have missed is in one that follows it."""
        if self._evaluates_next:
            return
        self._evaluates_next = True
        try:
            await self.runner.outlast_one("evaluate")
        finally:
            self._evaluates_next = False
        if not await self.runner.run("evaluate", self.evaluation.tick):
            if error := self.runner.rounds["evaluate"].last_error:
                await self.runner.run("announce", lambda: self.evaluation.failed(error))
        elif self.evaluation.has_fresh_data() and self.deliver.heard():
            self._beat()

    def _beat(self) -> None:
        """Say that all is well, once a poll interval, and without keeping anybody waiting."""
        heartbeat, now = self.components.heartbeat, self.clock.now()
        if heartbeat is None or now < self._next_beat:
            return
        self._next_beat = now + self.components.settings.poll_interval
        beating = asyncio.create_task(self.runner.run("heartbeat", heartbeat.beat))
        self._beating.add(beating)
        beating.add_done_callback(self._beating.discard)

    async def _act(self) -> None:
        if self._seen() is not None:  # before the first evaluation nobody knows whether a reason holds
            await self.runner.run("act", self.actor.tick)

    async def _maintain(self) -> None:
        await self.runner.run("upkeep", self.maintenance.tick)

    async def _refresh_prices(self) -> None:
        """Fetch lists where that is asked for and due; a changed file is then read like any other."""

        async def refresh() -> None:
            for setting, file in self.components.fetched.items():
                try:
                    every = self.components.settings.price_lists.update_interval
                    count = await file.refresh(every, self.clock.now())
                except SourceError as error:
                    log.warning("ALERTD_PRICES__%s: %s; the last ones stay in force", setting, error)
                else:
                    if count:
                        log.info("ALERTD_PRICES__%s: fetched, %s", setting, plural(count, "entry", "entries"))

        await self.runner.run("prices", refresh)

    async def _push_metrics(self) -> None:
        """Send what /metrics shows to the collector."""
        exporter = self.components.metrics
        if exporter is None:
            return

        async def push() -> None:
            snapshot = await take_snapshot(self._view())
            families, resource = registry_of(snapshot).collect(), exporter.target.resource
            await exporter.push(await asyncio.to_thread(encoded, families, resource, self._started, snapshot.now))

        await self.runner.run("metrics", push)

    async def _watch(self) -> None:
        """Read the configuration anew when one of its files has changed, and has then been left alone for a round."""
        if self._files.look():
            await self._reload()
        await self.runner.run("stored budgets", self._take_stored)
        await self.runner.run("other daemon", self._other_daemon.tick)

    async def _mind_the_clock(self) -> None:
        """Where the clock was set back, what is planned for a time to come is planned anew: it would wait as long."""
        last = self.clock.now()
        while True:
            await asyncio.sleep(self.LOOK_EVERY.total_seconds())
            now = self.clock.now()
            if last - now > _CLOCK_SLACK:
                log.warning("the clock was set back by %s: everything is looked at anew", last - now)
                self._next_beat = now
                self._reschedule()
                for queue in self.deliver.queues.values():
                    queue.free_at, queue.circuit = None, Circuit()
                self.deliver.wake()
            last = now

    async def _reload(self) -> None:
        """Read the configuration anew. Asked for while that is under way, it is read once more: it may have changed."""
        self._is_reload_due = True
        if self._is_reloading:
            return
        self._is_reloading = True
        try:
            while self._is_reload_due:
                self._is_reload_due = False
                await self.runner.run("reload", self.reload)
        finally:
            self._is_reloading = False

    def _reload_soon(self) -> None:
        """A SIGHUP: before the rounds have begun it is kept until they have."""
        self._is_reload_due = True
        if self._has_begun:
            task = asyncio.create_task(self._reload(), name="reload")
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
