"""Open this first: the wiring of the daemon and its life.

    settings -> sources, notifiers, store, price book
             -> Collect (one a source) -> Evaluate -> Deliver and Act, run by APScheduler through one Runner
             -> LiveMessageLoop (messages that follow a budget), InteractionLoop (the buttons below them)
             -> the web side, which only looks

A source or a notifier that is down at the start is said and tried again; SIGTERM ends the daemon with 0 within 10 s;
SIGHUP re-reads the configuration, and a bad one is refused and the old one kept.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.types import ASGIApp

from alertd import __version__, registry
from alertd.core.delivery import Circuit
from alertd.core.evaluation.system_alerts import announce_configuration, announce_damage
from alertd.core.faults import SettingsError
from alertd.core.messages.figures import plural
from alertd.core.pricing.pricefile import PriceFileError
from alertd.loops.collect import Collect
from alertd.loops.config_watch import Watch
from alertd.loops.deliver import Deliver
from alertd.loops.evaluate import Evaluate
from alertd.loops.execute import Actor, Seen
from alertd.loops.interactions import InteractionDeps, InteractionLoop
from alertd.loops.live_messages import LiveMessageInputs, LiveMessageLoop
from alertd.loops.maintenance import Maintenance, OtherDaemonCheck
from alertd.loops.runner import Rounds, Runner
from alertd.options import without_password
from alertd.parts import Parts, action_config, assembled, fallbacks_of, terms_of
from alertd.ports import Clock, SourceError, Store, StoreDamagedError
from alertd.settings import Settings
from alertd.shown import COLLECT, budget_statuses_of, lanes_of, loops_of
from alertd.timetable import Timetable
from alertd.web.application import ListenError, View, WebServer, build, is_loopback
from alertd.web.recorded import record_evaluation

log = logging.getLogger(__name__)

#: What is under way at SIGTERM may finish within this; a container is killed after 10 s.
_DRAIN_SECONDS: Final = 6.0
#: An approval, or a lease that ran out, waits no longer than this.
_ACT_EVERY: Final = timedelta(seconds=5)
_PRUNE_EVERY: Final = timedelta(hours=6)
#: How often live messages are looked at; what is shown in them changes less often.
_FOLLOW_EVERY: Final = timedelta(seconds=15)
_FOLLOW: Final = "follow"
#: How often it is looked whether the price list is due.
_PRICES_EVERY: Final = timedelta(minutes=15)
_WATCH_EVERY: Final = timedelta(seconds=5)
#: How often the clock is looked at, and by how much it may go back unremarked.
_CLOCK_EVERY: Final = timedelta(seconds=1)
_CLOCK_SLACK: Final = timedelta(seconds=2)


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class App:
    """The daemon: open, run until stopped, drain, close."""

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
        self.parts = assembled(settings, self.store, self.clock, progress)
        self.evaluation = Evaluate(self.store, self.clock, terms_of(self.parts), self._wake_deliver, record_evaluation)
        self._other_daemon = OtherDaemonCheck(
            self.store, self.evaluation, self.clock, without_password(settings.database)
        )
        self.deliver = self._deliverer()
        self.actor = Actor(
            self.store,
            self.clock,
            action_config(self.parts, self.evaluation.terms, self.clock),
            self._seen,
            self._wake_deliver,
        )
        self.follow = LiveMessageLoop(self.store, self.clock, self._live_message_inputs)
        self.maintenance = Maintenance(self.store, self.clock, self._obsolete_before)
        self.interactions = InteractionLoop(
            self.store, self.clock, self._interaction_deps(), self._refresh_live_messages
        )
        self._load = load
        self._progress = progress
        self._served = served
        self._closing: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._timetable = Timetable(self.clock, self._skipped)
        self._files = Watch(settings.watched)
        self._next_beat = self.clock.now()
        self._beating: set[asyncio.Task[bool]] = set()
        self._faults: tuple[str, ...] = ()
        self._web: WebServer | None = None
        self._started = self.clock.now()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT (or `stop`); what is under way is finished first.

        Raises StoreDamagedError where the database's file turns out to be broken.
        """
        await self.store.open()
        if inherited := await self.store.inherit():
            log.warning("%d messages were being sent when alertd ended; they may arrive twice", inherited)
        self._listen_to_signals()
        self._web = server = await self._serve()
        await self.runner.run("reload", self._announce_faults)
        await self.runner.run("reload", self._announce_damage)
        self._schedule()
        self._timetable.start()
        delivering = asyncio.create_task(self.deliver.run(self._stop), name="deliver")
        interacting = asyncio.create_task(self.interactions.run(self._stop), name="interactions")
        minding = asyncio.create_task(self._mind_the_clock(), name="clock")
        try:
            await self._stop.wait()
        finally:
            log.info("stopping: finishing what is under way")
            self._timetable.pause()
            sending = asyncio.wait([delivering], timeout=_DRAIN_SECONDS)
            await asyncio.gather(self.runner.drain(_DRAIN_SECONDS), sending)
            delivering.cancel()
            interacting.cancel()
            minding.cancel()
            await asyncio.wait([delivering, interacting], timeout=1)
            self._timetable.end()
            if server is not None:
                await server.stop()
            if self._closing:  # the rounds that they waited for have ended
                await asyncio.wait(self._closing, timeout=1)
            await self.parts.close()
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
            parts = assembled(self._load(), self.store, self.clock, self._progress)
        except (SettingsError, PriceFileError) as error:
            self._faults = tuple(str(error).splitlines())
            log.warning("the new configuration is refused, the old one stays in force:\n%s", error)
            self._files.renew()
            await self._announce_faults()
            return
        self._faults = ()
        old, self.parts = self.parts, parts
        self.evaluation.terms = terms_of(parts)
        self.actor.orders = action_config(parts, self.evaluation.terms, self.clock)
        self.deliver.replace(parts.notifiers, fallbacks_of(parts.settings))
        self.deliver.held = parts.settings.dry_run
        self.deliver.command_options = parts.settings.command_options
        if self._web is not None:
            self._web.replace(self._application(self._web.host))
        self._reschedule()
        self._files.renew(parts.settings.watched)
        self._close_later(old)
        await self._announce_faults()
        if parts.settings.database != old.settings.database:
            log.warning("ALERTD_DATABASE has changed: that takes a restart")
        budgets, sources = plural(len(parts.settings.budgets), "budget"), plural(len(parts.sources), "source")
        log.info("configuration re-read: %s, %s", budgets, sources)

    def _close_later(self, old: Parts) -> None:
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
        retention = self.parts.settings.retention
        return None if retention is None else self.evaluation.obsolete_before(now, retention)

    def _seen(self) -> Seen | None:
        facts, latest = self.evaluation.facts, self.evaluation.latest
        return None if facts is None or latest is None else Seen(facts, latest.positions)

    def _deliverer(self) -> Deliver:
        fallbacks = fallbacks_of(self.parts.settings)
        held = self.parts.settings.dry_run
        deliver = Deliver(self.store, self.parts.notifiers, self.clock, fallbacks, held=held, runner=self.runner)
        deliver.command_options = self.parts.settings.command_options
        return deliver

    async def _serve(self) -> WebServer | None:
        """The page, the API and the probes; an address that cannot be had is said, and all else goes on."""
        http = self.parts.settings.http
        server = WebServer(self._application(http.host), http.host, http.port)
        try:
            address = await server.start()
        except ListenError as error:
            log.error("%s", error)  # noqa: TRY400 - one line says all
            return None
        log.info("page, API and probes at %s", address)
        self._served(address)
        return server

    def _application(self, host: str) -> ASGIApp:
        """What is served at `host`, by the token and the addresses that hold now."""
        http = self.parts.settings.http
        token = http.token.get_secret_value() if http.token is not None else None
        return build(
            self._view(),
            token=token,
            open_metrics=http.open_metrics,
            loopback=is_loopback(host),
            people=http.people,
            user_header=http.user_header,
            trusted_proxies=http.trusted_proxies,
        )

    def _view(self) -> View:
        return View(
            clock=self.clock,
            started=self._started,
            version=__version__,
            records=self.store,
            standings=lambda: budget_statuses_of(self.evaluation),
            loops=lambda: loops_of(self.runner, self._timetable, self.parts.collects),
            book=lambda: self.evaluation.terms.book,
            lines=lambda: {row.line for row in self.evaluation.ledger.series if not row.billed},
            faults=lambda: self._faults,
            lanes=lambda: lanes_of(self.deliver),
            actions=lambda: [action.terms for _, action in sorted(self.actor.orders.actions.items())],
            public_url=self.parts.settings.public_url,
            dry_run=self.parts.settings.dry_run,
        )

    def _live_message_inputs(self) -> LiveMessageInputs:
        """What live messages show; nothing in dry run."""
        latest, settings = self.evaluation.latest, self.parts.settings
        if latest is None or settings.dry_run:
            return LiveMessageInputs((), {})
        return LiveMessageInputs(latest.positions, self.parts.notifiers, settings.public_url, settings.command_options)

    def _interaction_deps(self) -> InteractionDeps:
        return InteractionDeps(
            notifiers=lambda: self.parts.notifiers,
            terms=lambda: {name: action.terms for name, action in self.actor.orders.actions.items()},
            write=self.actor.write,
            lost=self.actor.lost,
        )

    def _refresh_live_messages(self) -> None:
        """Somebody pressed a button: what it changed is shown at once."""
        self._timetable.hasten(_FOLLOW)

    async def _follow(self) -> None:
        await self.runner.run(_FOLLOW, self.follow.tick)

    def _wake_deliver(self) -> None:
        self.deliver.wake()

    def _schedule(self) -> None:
        """One job a source, then maintenance; an evaluation follows each reading and runs every poll interval."""
        every = self._timetable.every
        for name, collect in self.parts.collects.items():
            every(collect.source.interval, f"{COLLECT}{name}", self._collect_and_evaluate(name, collect))
        every(self.parts.settings.poll_interval, "evaluate", self._evaluate)
        if self.parts.settings.actions:
            every(_ACT_EVERY, "act", self._act)
        every(_FOLLOW_EVERY, _FOLLOW, self._follow)
        every(_PRUNE_EVERY, "upkeep", self._maintain)
        every(_WATCH_EVERY, "watch", self._watch)
        if self.parts.price_list is not None:
            every(_PRICES_EVERY, "prices", self._refresh_prices)

    def _reschedule(self) -> None:
        """Plan everything anew; what is not on the timetable any more is forgotten, or it would count as stuck."""
        before = self._timetable.names
        self._timetable.clear()
        self._schedule()
        self.runner.forget(before - self._timetable.names)

    def _collect_and_evaluate(self, name: str, collect: Collect) -> Callable[[], Awaitable[object]]:
        async def round_() -> None:
            await self.runner.run(f"{COLLECT}{name}", collect.tick)
            await self._evaluate()

        return round_

    def _skipped(self, name: str) -> None:
        """A round took longer than its interval: the next one was left out."""
        self.runner.rounds.setdefault(name, Rounds()).skipped += 1

    async def _evaluate(self) -> None:
        if not await self.runner.run("evaluate", self.evaluation.tick):
            if error := self.runner.rounds["evaluate"].last_error:
                await self.runner.run("announce", lambda: self.evaluation.failed(error))
        elif self.evaluation.has_fresh_data() and self.deliver.heard():
            self._beat()

    def _beat(self) -> None:
        """Say that all is well, once a poll interval, and without keeping anybody waiting."""
        heartbeat, now = self.parts.heartbeat, self.clock.now()
        if heartbeat is None or now < self._next_beat:
            return
        self._next_beat = now + self.parts.settings.poll_interval
        beating = asyncio.create_task(self.runner.run("heartbeat", heartbeat.beat))
        self._beating.add(beating)
        beating.add_done_callback(self._beating.discard)

    async def _act(self) -> None:
        await self.runner.run("act", self.actor.tick)

    async def _maintain(self) -> None:
        await self.runner.run("upkeep", self.maintenance.tick)

    async def _refresh_prices(self) -> None:
        """Fetch the price list where that is asked for and due; the changed file is then read like any other."""

        async def refresh() -> None:
            if self.parts.price_list is None:
                return
            try:
                count = await self.parts.price_list.refresh(
                    self.parts.settings.price_lists.update_interval, self.clock.now()
                )
            except SourceError as error:
                log.warning("ALERTD_PRICES__UPDATE_URL: %s; the prices stay as they are", error)
            else:
                if count:
                    log.info("price list fetched: %s", plural(count, "provider"))

        await self.runner.run("prices", refresh)

    async def _watch(self) -> None:
        """Read the configuration anew when one of its files has changed, and has then been left alone for a round."""
        if self._files.look():
            await self._reload()
        await self.runner.run("other daemon", self._other_daemon.tick)

    async def _mind_the_clock(self) -> None:
        """Where the clock was set back, what is planned for a time to come is planned anew: it would wait as long."""
        last = self.clock.now()
        while True:
            await asyncio.sleep(_CLOCK_EVERY.total_seconds())
            now = self.clock.now()
            if last - now > _CLOCK_SLACK:
                log.warning("the clock was set back by %s: everything is looked at anew", last - now)
                self._next_beat = now
                self._reschedule()
                for lane in self.deliver.lanes.values():
                    lane.free_at, lane.circuit = None, Circuit()
                self.deliver.wake()
            last = now

    async def _reload(self) -> None:
        await self.runner.run("reload", self.reload)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload()))
