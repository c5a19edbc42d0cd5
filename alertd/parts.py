"""What the configuration makes: sources, notifiers, revokers, and the terms of the loops. It contacts nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from alertd import registry
from alertd.core.evaluation.routing import Receiver, quiet_until, route
from alertd.core.evaluation.values import Alert, Policy
from alertd.core.events import Event
from alertd.core.pricing.fx import Rate
from alertd.core.pricing.tariffs import exchange_of
from alertd.loops.action_config import ActionConfig, action_of, secrets_of
from alertd.loops.collect import Collect, earliest_needed
from alertd.loops.evaluate import Terms
from alertd.options import RevokerOptions
from alertd.ports import Clock, NewMessage, Notifier, Revoker, Source, Store
from alertd.settings import Settings
from alertd.sources._commitments import NAME, Commitments
from alertd.wire.heartbeat import Heartbeat
from alertd.wire.pricebook import price_book, rates_of
from alertd.wire.pricelist_file import PriceListFile


@dataclass(slots=True)
class Parts:
    """What the configuration makes: replaced as a whole on a reload, while the store and what it knows stay."""

    settings: Settings
    sources: dict[str, Source]
    notifiers: dict[str, Notifier]
    revokers: dict[str, Revoker]
    collects: dict[str, Collect] = field(default_factory=dict)
    heartbeat: Heartbeat | None = None
    price_list: PriceListFile | None = None

    async def close(self) -> None:
        if self.heartbeat is not None:
            await self.heartbeat.close()
        if self.price_list is not None:
            await self.price_list.close()
        for source in self.sources.values():
            await source.close()
        for notifier in self.notifiers.values():
            await notifier.close()
        for revoker in self.revokers.values():
            await revoker.close()


def assembled(settings: Settings, store: Store, clock: Clock, progress: Callable[[str, float], None]) -> Parts:
    """All that the settings ask for, built; nothing is contacted. Raises SettingsError."""
    parts = Parts(settings, sources_of(settings), notifiers_of(settings), revokers_of(settings))
    parts.heartbeat = Heartbeat(settings.heartbeat_url) if settings.heartbeat_url else None
    lists = settings.price_lists
    if lists.update_url and lists.file is not None:
        parts.price_list = PriceListFile(lists.update_url, lists.file)
    parts.collects = {
        name: Collect(source, store, clock, lambda now: _since(settings, now), progress)
        for name, source in parts.sources.items()
    }
    return parts


def terms_of(parts: Parts) -> Terms:
    """What the evaluation is to go by. Raises PriceFileError."""
    settings, collects = parts.settings, parts.collects
    lists = settings.price_lists
    book = price_book(settings.prices, lists.second_opinion, lists.file)
    configured = (Rate(base, quote, rate) for (base, quote), rate in settings.fx.items())
    return Terms(
        budgets=tuple(settings.budgets.values()),
        book=book,
        exchange=exchange_of(rates_of(book, configured)),
        receivers={n.name: Receiver(n.name, n.people, n.address) for n in parts.notifiers.values()},
        sources=parts.sources,
        dry_run=settings.dry_run,
        public_url=settings.public_url,
        policy=_policy(settings),
        correct=settings.correct_estimates,
        balances=lambda: {name: one.balance for name, one in collects.items() if one.balance is not None},
        committed=lambda: {name: one.committed for name, one in collects.items() if one.committed is not None},
        catching_up=lambda: frozenset(name for name, one in collects.items() if one.catching_up),
        failing=lambda: frozenset(name for name, one in collects.items() if one.failing),
    )


def action_config(parts: Parts, terms: Terms, clock: Clock) -> ActionConfig:
    """What the act loop may do: the actions, and how their messages find their way."""
    others = {secret: f"sources.{name}" for name, (_, o) in parts.settings.sources.items() for secret in secrets_of(o)}
    configured = parts.settings.actions.items()
    actions = {
        n: action_of(n, o, parts.revokers[n], others) for n, (_, o) in configured if isinstance(o, RevokerOptions)
    }
    own = {secret for _, (_, options) in configured for secret in secrets_of(options)}
    budgets = {budget.name: budget for budget in terms.budgets}

    def messages(events: Sequence[Event]) -> list[NewMessage]:
        quiet = quiet_until(terms.policy.quiet, terms.policy.zone, clock.now())
        routed = route([Alert((event.id,), event) for event in events], budgets, terms.receivers, quiet)
        return [NewMessage(m.key, m.notifier, m.conversation, m.events, m.not_before) for m in routed]

    return ActionConfig(actions, (*others, *own), parts.settings.dry_run, messages)


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
