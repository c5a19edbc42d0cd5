"""What is built from the configuration: sources, notifiers, revokers, settings of the loops and of the web side."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from alertd import __version__, registry
from alertd.clients.otlp_metrics import OtlpMetrics, otlp_target
from alertd.clients.png import can_draw
from alertd.clients.price_files import FetchedFile, price_book, price_list_file, rates_file
from alertd.clients.reference_rates import rates_of, reference_rates_of
from alertd.clients.webhook import Heartbeat
from alertd.core.addresses import answer_page, page_of, picture_key
from alertd.core.budgets import Budget, duration_text
from alertd.core.config_errors import Fault, SettingsError
from alertd.core.evaluation.routing import Receiver, quiet_until, route
from alertd.core.evaluation.values import Alert, Policy
from alertd.core.events import Event
from alertd.core.loop_stats import LoopStats
from alertd.core.messages.format import per_unit
from alertd.core.pricing.exchange_rates import Rate
from alertd.core.pricing.tariffs import exchange_of
from alertd.loops.collect import Collect, earliest_needed
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.loops.executor import ActionConfig, action_of, secrets_of
from alertd.loops.runner import Runner
from alertd.plugin_options import RevokerOptions
from alertd.ports import Clock, NewMessage, Notifier, Revoker, Source, Store
from alertd.scheduler import Scheduler
from alertd.settings import Settings
from alertd.sources._commitments import NAME, Commitments
from alertd.web.view import BudgetStatuses


@dataclass(slots=True)
class Components:
    """What is built from the configuration. A reload replaces all of it; the store stays."""

    settings: Settings
    sources: dict[str, Source]
    notifiers: dict[str, Notifier]
    revokers: dict[str, Revoker]
    collects: dict[str, Collect] = field(default_factory=dict)
    heartbeat: Heartbeat | None = None
    #: Pushes what /metrics shows.
    metrics: OtlpMetrics | None = None
    #: Lists that are downloaded, by the setting with their address.
    fetched: dict[str, FetchedFile] = field(default_factory=dict)

    async def close(self) -> None:
        if self.heartbeat is not None:
            await self.heartbeat.close()
        if self.metrics is not None:
            await self.metrics.close()
        for file in self.fetched.values():
            await file.close()
        for source in self.sources.values():
            await source.close()
        for notifier in self.notifiers.values():
            await notifier.close()
        for revoker in self.revokers.values():
            await revoker.close()


def build_components(
    settings: Settings, store: Store, clock: Clock, progress: Callable[[str, float], None]
) -> Components:
    """All that the settings ask for, built; nothing is contacted. Raises SettingsError."""
    components = Components(settings, sources_of(settings), notifiers_of(settings), revokers_of(settings))
    components.heartbeat = Heartbeat(settings.heartbeat_url) if settings.heartbeat_url else None
    if settings.metrics_exporter == "otlp":
        try:
            components.metrics = OtlpMetrics(otlp_target(os.environ, __version__, socket.gethostname()))
        except ValueError as error:
            place, _, said = str(error).partition(": ")
            raise SettingsError([Fault(place, *said.split("; ", 1))]) from None
    lists = settings.price_lists
    if lists.update_url and lists.file is not None:
        components.fetched["UPDATE_URL"] = price_list_file(lists.update_url, lists.file)
    if lists.rates_url and lists.rates_file is not None:
        components.fetched["RATES_URL"] = rates_file(lists.rates_url, lists.rates_file)
    components.collects = {
        name: Collect(source, store, clock, lambda now: _since(settings, now), progress)
        for name, source in components.sources.items()
    }
    return components


def evaluation_config(components: Components) -> EvaluationConfig:
    """What the evaluation is to go by. Raises PriceFileError."""
    settings, collects = components.settings, components.collects
    token = settings.http.token
    lists = settings.price_lists
    book = price_book(settings.prices, lists.second_opinion, lists.file)
    configured = (Rate(base, quote, rate) for (base, quote), rate in settings.fx.items())
    return EvaluationConfig(
        budgets=tuple(settings.budgets.values()),
        book=book,
        exchange=exchange_of(rates_of(book, configured, reference_rates_of(lists.rates_file))),
        receivers={n.name: Receiver(n.name, n.people, n.address) for n in components.notifiers.values()},
        sources=components.sources,
        dry_run=settings.dry_run,
        public_url=settings.public_url,
        picture_key=picture_key(token.get_secret_value()) if can_draw() and token else b"",
        policy=_policy(settings),
        correct=settings.correct_estimates,
        balances=lambda: {name: one.balance for name, one in collects.items() if one.balance is not None},
        committed=lambda: {name: one.committed for name, one in collects.items() if one.committed is not None},
        catching_up=lambda: frozenset(name for name, one in collects.items() if one.catching_up),
        failing=lambda: frozenset(name for name, one in collects.items() if one.failing),
    )


def action_config(components: Components, terms: EvaluationConfig, clock: Clock) -> ActionConfig:
    """What the act loop may do: the actions, and how their messages find their way."""
    others = {
        secret: f"sources.{name}" for name, (_, o) in components.settings.sources.items() for secret in secrets_of(o)
    }
    configured = components.settings.actions.items()
    actions = {
        n: action_of(n, o, components.revokers[n], others) for n, (_, o) in configured if isinstance(o, RevokerOptions)
    }
    public_url = terms.public_url
    own = {secret for _, (_, options) in configured for secret in secrets_of(options)}
    budgets = {budget.name: budget for budget in terms.budgets}

    def messages(events: Sequence[Event]) -> list[NewMessage]:
        quiet = quiet_until(terms.policy.quiet, terms.policy.zone, clock.now())
        linked = [
            replace(one, details_url=page_of(public_url, one), answer_url=answer_page(public_url, one))
            for one in events
        ]
        routed = route([Alert((event.id,), event) for event in linked], budgets, terms.receivers, quiet)
        return [NewMessage(m.key, m.notifier, m.conversation, m.events, m.not_before) for m in routed]

    return ActionConfig(actions, (*others, *own), components.settings.dry_run, messages)


def sources_of(settings: Settings) -> dict[str, Source]:
    """The configured sources, built; nothing is contacted."""
    built: dict[str, Source] = {}
    for name, (kind, options) in settings.sources.items():
        paced = options
        if getattr(options, "interval", None) is None:
            paced = options.model_copy(update={"interval": settings.poll_interval})
        built[name] = registry.load("sources", kind).build(name, paced)
    if settings.commitments:
        built[NAME] = Commitments(settings.commitments, settings.poll_interval)
    return built


def notifiers_of(settings: Settings) -> dict[str, Notifier]:
    """The configured notifiers, built; nothing is contacted."""
    return {
        name: registry.load("notifiers", kind).build(name, options)
        for name, (kind, options) in settings.notifiers.items()
    }


def revokers_of(settings: Settings) -> dict[str, Revoker]:
    """The configured actions' revokers, built; nothing is contacted."""
    return {
        name: registry.load("revokers", kind).build(name, options) for name, (kind, options) in settings.actions.items()
    }


def _policy(settings: Settings) -> Policy:
    return Policy(
        digest=settings.digest,
        quiet=settings.quiet_hours,
        zone=settings.timezone,
        drift=settings.drift_level / 100,
        interval=settings.poll_interval,
    )


def _since(settings: Settings, now: datetime) -> datetime:
    return earliest_needed([budget.period.containing(now).start for budget in settings.budgets.values()], now)


def fallbacks_of(settings: Settings) -> Mapping[str, str]:
    """Who says what a notifier cannot."""
    found = {name: getattr(options, "fallback", None) for name, (_, options) in settings.notifiers.items()}
    return {name: fallback for name, fallback in found.items() if fallback}


#: The name of the round that reads a source begins so.
COLLECT: Final = "collect "
#: A loop that has not ended a round for five intervals, and at least this, is stuck.
_STUCK_AFTER: Final = timedelta(minutes=10)
#: The longest round of a source that still reads the past.
_BACKFILL: Final = timedelta(hours=6)


def loops_of(runner: Runner, scheduler: Scheduler, collects: Mapping[str, Collect]) -> list[LoopStats]:
    """Every loop that has run a round, by name, with how long its next one may take."""
    for name, stats in runner.rounds.items():
        stats.allowed, stats.source = _allowed(name, scheduler, collects), _source_of(name)
    return [stats for _, stats in sorted(runner.rounds.items())]


def settings_shown(settings: Settings) -> dict[str, list[tuple[str, str]]]:
    """The configuration in force in words, by section; no secret and no address."""
    quiet = settings.quiet_hours
    return {
        "Budgets": [
            (name, _budget_shown(budget)) for name, budget in sorted(settings.budgets.items())
        ],
        "Sources": [(name, kind) for name, (kind, _) in sorted(settings.sources.items())],
        "Notifiers": [(name, kind) for name, (kind, _) in sorted(settings.notifiers.items())],
        "Actions": [
            (name, f"{kind}, mode {getattr(options, 'mode', 'dry_run')}")
            for name, (kind, options) in sorted(settings.actions.items())
        ],
        "The daemon": [
            ("Zone", str(settings.timezone)),
            ("Read every", duration_text(settings.poll_interval)),
            ("Digest", settings.digest),
            ("Quiet hours", "none" if quiet is None else str(quiet)),
            ("Public URL", settings.public_url or "not set: messages have no links"),
            ("Usage is kept", "for good" if settings.retention is None else duration_text(settings.retention)),
            ("Dry run", "yes" if settings.dry_run else "no"),
        ],
    }  # fmt: skip


def _budget_shown(budget: Budget) -> str:
    scopes = f" for each {' and '.join(budget.per)}" if budget.per else ""
    thresholds = ", ".join(map(str, budget.thresholds))
    return f"{budget.amount} {per_unit(str(budget.period))}{scopes}; {thresholds}; owner {budget.owner or 'nobody'}"


def budget_statuses_of(evaluation: Evaluate) -> BudgetStatuses:
    """Where everything stood at the last evaluation; nothing before the first."""
    latest = evaluation.latest
    return (
        BudgetStatuses()
        if latest is None
        else BudgetStatuses(evaluation.evaluated_at, latest.statuses, evaluation.views)
    )


def _allowed(name: str, scheduler: Scheduler, collects: Mapping[str, Collect]) -> timedelta | None:
    interval, collect = scheduler.interval_of(name), collects.get(_source_of(name))
    if interval is None:
        return None
    return max(interval * 5, _BACKFILL if collect is not None and collect.catching_up else _STUCK_AFTER)


def _source_of(name: str) -> str:
    return name.removeprefix(COLLECT) if name.startswith(COLLECT) else ""
